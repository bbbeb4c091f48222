/*
 * What the files of the trace head share.
 *
 *   tracehead ─ tenants (map) ─▶ tracetenant ─ segments ─▶ tracesegdir ─ files ─▶ tracefile, shared with readers
 *             ├ lives: index of what lies in RocksDB
 *             └ box: the thread that takes batches
 *
 * Who reads takes RocksDB's snapshot first and the files after that; who cuts makes a file known before it deletes the pieces from
 * RocksDB. So a piece is in one of them at least for every reader.
 */
#pragma once
#include <pthread.h>
#include <stdatomic.h>

#include "common/base/lock.h"
#include "common/base/log.h"
#include "common/base/mailbox.h"
#include "common/base/map.h"
#include "common/base/metric.h"
#include "common/block/ulid.h"
#include "common/kv/kv.h"
#include "common/traces/tracesegment.h"
#include "ingester/metrics/dropped_by.h"
#include "ingester/traces/tracehead.h"
#include "ingester/traces/tracelive.h"

#define TRACEHEAD_RECORD_TYPE 1
#define TRACEHEAD_KEY_BYTES 28 /* u32 tenant, 16 id, u64 number; big endian */

/* A file of a segment, mapped. */
struct tracefile {
    _Atomic uint32_t refs;
    uint32_t number;
    struct slice bytes;
    struct tracesegment seg;
};
struct tracesegdir {
    _Atomic uint32_t refs; /* the tenant's, and of each pin */
    struct ulid id;
    char *path;
    int64_t window_ms; /* its start */
    bool is_cut;
    int64_t cut_ms;
    uint32_t last_number;
    VEC(struct tracefile *) files;
    uint64_t traces, spans, bytes;
};
struct tracetenant {
    uint32_t number;
    char *id;
    struct slice slice;
    uint64_t n_live;
    VEC(struct tracesegdir *) segments; /* as they were begun */
};

struct tracehead_metrics {
    uint64_t pushes, pieces, bytes, refused, cuts, cut_failures, cut_traces, cut_spans, cut_bytes;
    uint64_t dropped_traces, dropped_spans;
    uint64_t broken, early, segments_cut, segments_dropped, drop_failures;
    int64_t live, live_bytes, queue_bytes, is_ready, segments, segment_bytes;
    struct metric_hist cut_s, replay_s;
};

enum tracehead_state { TRACEHEAD_REPLAYING, TRACEHEAD_READY, TRACEHEAD_FAILED };

struct tracehead {
    struct tracehead_opts opts;
    char *dir;
    struct kv *kv;
    struct dropped_by *dropped_by;
    struct mailbox box;
    struct kv_batch *batch; /* the box's, as is: */
    struct buf record;
    _Atomic uint64_t next_piece;
    _Atomic int64_t queued_bytes;
    _Atomic uint32_t inflight;
    _Atomic bool is_closing, is_ready;
    uint64_t live_from;  /* the log's number at the start: what is older is replayed */
    struct lock cutting; /* rank HEAD_TENANTS: one cuts, or drops, at a time; and: */
    int64_t next_cut_ms; /* mono */
    struct lock lock;    /* rank HEAD_DROPS: what follows, and tenants with all that is theirs */
    pthread_cond_t changed;
    struct map tenants;
    VEC(struct tracetenant *) by_number;
    struct tracelives lives;
    VEC(struct tracelive) out; /* taken out of lives, in no file yet */
    VEC(struct tracelive)
    waiting; /* of those: the verdict is to come; back in lives at the round's end */
    uint64_t
        pushing_seq; /* a batch that gets this number in the log, or a later one, is not in lives yet; 0: none is */
    uint64_t floor, replayed;
    enum tracehead_state state;
    struct err *replay_error;
    pthread_t replay_thread;
    bool has_replay_thread;
    struct tracehead_metrics m;
};

/* ---- tracehead.c; the lock is held ---- */

struct tracetenant *tracehead_tenant(struct tracehead *h, struct slice id);
/* NULL: nothing of it was ever here. */
struct tracetenant *tracehead_tenant_find(const struct tracehead *h, struct slice id);
/* Without the number: the key's first 20 bytes are the prefix of a trace. */
void tracehead_key(uint8_t ret[TRACEHEAD_KEY_BYTES], uint32_t tenant, const uint8_t id[16],
                   uint64_t number);
/* Pieces are in RocksDB, of which record seq is the log's; takes the lock. */
struct tracehead_added {
    const uint8_t *id;
    size_t bytes;
};
void tracehead_add(struct tracehead *h, struct tracetenant *t, const struct tracehead_added *added,
                   size_t n, uint64_t seq);

/* ---- tracehead_cut.c, tracehead_judge.c; who cuts ---- */

uint64_t tracehead_key_number(struct slice key);
/* Out of RocksDB: of each of n traces so many pieces, whose numbers stand back to back. */
ORR_CHECKED struct err *tracehead_delete(struct tracehead *h, const struct tracelive *ls, size_t n,
                                         const uint32_t *n_pieces, const uint64_t *numbers);
/* Leaves in h->out, which is sorted by tenant, what is to be kept. On an error, what was not judged. */
ORR_CHECKED struct err *tracehead_judge(struct tracehead *h, bool must);

/* ---- tracehead_segment.c ---- */

ORR_CHECKED struct err *tracesegdirs_load(struct tracehead *h);
void tracesegdir_unref(struct tracesegdir *s);
void tracefile_unref(struct tracefile *f);
/* That which grows for traces of the window; it is made, on the disk too, if there is none. Who cuts. */
ORR_CHECKED struct err *tracesegdir_growing(struct tracehead *h, struct tracetenant *t,
                                            int64_t window_ms, struct tracesegdir **ret);
/* Maps and checks a file of it. */
ORR_CHECKED struct err *tracefile_open(const char *path, uint32_t number, struct tracefile **ret);
void tracesegdir_add(struct tracesegdir *s, struct tracefile *f); /* takes f; the lock is held */
/* It grows no more; the lock is held. */
void tracesegdir_cut(struct tracehead *h, struct tracesegdir *s, int64_t cut_ms);

/* ---- tracehead_replay.c ---- */

ORR_CHECKED struct err *tracehead_floor_load(struct tracehead *h);
/* On disk, then the log is cut. Who cuts. */
ORR_CHECKED struct err *tracehead_floor_raise(struct tracehead *h);
ORR_CHECKED struct err *tracehead_replay_start(struct tracehead *h);
void tracehead_replay_join(struct tracehead *h);
