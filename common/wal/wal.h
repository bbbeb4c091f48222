/*
 * The write-ahead log of one process: every acknowledged write is in here, synced, before its 2xx.
 *
 * Records from any thread are copied into the open group. The wal thread writes a whole group with
 * one write linked to one fdatasync (io_uring; pwritev2 + fdatasync on a thread where io_uring is
 * not allowed) while the next group fills: latency is one to two syncs, throughput is the disk's.
 *
 * Files: DIR/wal/<first sequence number, 16 hex digits>.wal, preallocated, see walseg.h for bytes.
 * A record's position is its sequence number: 1, 2, 3 ... over the life of the directory.
 *
 * wal_open() starts a fresh segment at once, so appends may begin while wal_replay() still reads
 * the older ones. A torn tail of the last old segment is normal; anything else broken is
 * quarantined (copied to DIR/wal/quarantine), counted, logged with its offset, and the rest is
 * still read.
 *
 * A full disk or an I/O error fails every waiting and later append with ERR_IO until
 * wal_is_healthy() turns true again (probed each second with a fresh segment). A log whose disk is
 * full at wal_open() starts so: what is in it can be replayed.
 */
#pragma once
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/loop.h"
#include "common/base/slice.h"

struct wal;
struct walio;

struct wal_opts {
    const char *dir;         /* created if absent */
    const char *labels;      /* on its metrics: which of a process's logs it is; NULL: none */
    int64_t segment_bytes;   /* 0: 128 MiB */
    int64_t max_group_bytes; /* most bytes buffered and not yet synced; 0: 64 MiB */
    bool without_io_uring;   /* use the fallback */
    bool without_sync;       /* for the test of the test: acknowledges before fdatasync */
    /* for the simulator */
    struct walio *io;          /* NULL: the disk (walio.h). Taken, also when the open fails. */
    const struct clock *clock; /* NULL: system */
    bool without_thread;       /* the caller does the thread's work: wal_step() */
};

struct wal_record {
    uint64_t seq;
    uint8_t type;        /* meaning belongs to the user of the log */
    struct slice tenant; /* at most 255 bytes */
    struct slice payload;
};

/* e NULL: durable. Called on the wal thread, in order of seq; takes e. Must not block. */
typedef void wal_done_fn(void *arg, struct err *e);

ORR_CHECKED struct err *wal_open(const struct wal_opts *opts, struct wal **ret);
/* Syncs what is buffered, then frees. Pending callbacks have been called when it returns. */
ORR_CHECKED struct err *wal_close(struct wal *w);

/* Copies the record. Any thread. ERR_UNAVAILABLE when max_group_bytes are waiting, ERR_IO when the
 * log is unhealthy; then done is not called. *ret_seq may be NULL. */
ORR_CHECKED struct err *wal_append(struct wal *w, uint8_t type, struct slice tenant,
                                   struct slice payload, wal_done_fn *done, void *arg,
                                   uint64_t *ret_seq);
/* Makes everything appended so far durable, then calls done. */
void wal_barrier(struct wal *w, wal_done_fn *done, void *arg);
/* Sequence number the next append will get. Everything below it and >= wal_first_seq() is on disk
 * or buffered. */
uint64_t wal_next_seq(const struct wal *w);
uint64_t wal_first_seq(const struct wal *w);

struct wal_replay_stats {
    uint64_t records, bytes, segments;
    uint64_t torn_bytes;                     /* cut off the last segment's tail */
    uint64_t quarantined, quarantined_bytes; /* broken places elsewhere, and what they hold */
    uint64_t skipped_to_seq;                 /* first record after the last gap; 0: no gap */
};
/*
 * Reads the records that were on disk at wal_open() with from_seq <= seq, in order, calling
 * fn on the caller's thread; record bytes are lent for the call. fn returning an error ends the
 * replay with it. Blocking: not on a loop. At most once per wal_open().
 */
typedef struct err *wal_replay_fn(void *arg, const struct wal_record *rec);
ORR_CHECKED struct err *wal_replay(struct wal *w, uint64_t from_seq, wal_replay_fn *fn, void *arg,
                                   struct wal_replay_stats *ret);
/* Deletes whole segments whose records are all below seq. Any thread; blocking. */
ORR_CHECKED struct err *wal_truncate_before(struct wal *w, uint64_t seq);
bool wal_is_healthy(const struct wal *w);
const char *wal_backend(const struct wal *w); /* "io_uring" or "thread" */

/*
 * One turn of the wal thread, which does nothing else: writes and syncs the open group and calls
 * back; or probes, when the log is unhealthy and nobody waits. False: there was nothing to do. For
 * whoever opened the log without a thread.
 */
bool wal_step(struct wal *w);
/* As kill -9: what is buffered is gone, and nobody is called back. Without a thread only. */
void wal_abandon(struct wal *w);
