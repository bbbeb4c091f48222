/*
 * What the files of the log head share. One shard thread owns all of a struct logshard and of the
 * struct logtable (a tenant in a shard) below it, apart from members marked otherwise.
 *
 *   loghead ─ tenants (map, lock) ─▶ logtenant ─ tables[shard] ─▶ logtable ─ streams, index
 *           └ shards[n] ─ mailbox, file of frames                     ├ gens: sealing …, open last
 *                                                                      └ frames
 *
 * A *generation* is a run of blocks of memory to which lines of all streams of a table are appended
 * as they come. Each line points to the one before it of its stream, which may lie in an older
 * generation: a reader goes back as far as the oldest one that it holds. Generations are sealed
 * and leave in order.
 */
#pragma once
#include <pthread.h>
#include <stdatomic.h>

#include "common/base/hash.h"
#include "common/base/job.h"
#include "common/base/lock.h"
#include "common/base/log.h"
#include "common/base/mailbox.h"
#include "common/base/map.h"
#include "common/base/metric.h"
#include "common/base/rng.h"
#include "common/base/tokenbucket.h"
#include "common/logblock/logframe.h"
#include "common/logblock/logpage.h"
#include "ingester/logs/loghead.h"
#include "ingester/logs/logrecord.h"
#include "ingester/metrics/head_match.h"

#define LOGHEAD_MAX_SHARDS 64u
#define LOGHEAD_NO_REF UINT32_MAX
#define LOGHEAD_FILE_BYTES (256ull << 20) /* a file of frames is left when it is so long */

/* ---- loghead_gen.c ---- */

struct logline {
    const struct logline *prev; /* of its stream; valid if prev_gen is held */
    int64_t t_ns;
    uint32_t prev_gen; /* 0: none */
    uint32_t ref;
    uint32_t line_len, meta_len;
    uint8_t bytes[]; /* the line, structured metadata as in logrecord.h */
};
static_assert(sizeof(struct logline) == 32, "header of a line");

struct logblock_mem {
    uint8_t *ptr;
    uint32_t used, cap;
};
struct loggen {
    _Atomic uint32_t refs; /* the table's, and of each reader; the last one frees */
    uint32_t id;           /* 1, 2, 3 … in a table */
    struct loghead *head;
    VEC(struct logblock_mem) blocks;
    int64_t bytes; /* of all blocks: charged to the head's budget */
    uint64_t entries;
    int64_t opened_ms;
    VEC(uint32_t) stream_refs; /* of the streams that have lines in it, each once */
    uint64_t first_seq;        /* least number of a record in it; 0: none */
    uint64_t logged_at;        /* bytes logged by the head when it was opened */
    /* for its frame, set when it is closed for lines */
    uint64_t through, live_to;
    struct logsegment *segment;
    uint32_t number;
};
struct loggen *loggen_new(struct loghead *h, uint32_t id, int64_t now_ms);
void loggen_ref(struct loggen *g);
void loggen_unref(struct loggen *g); /* any thread; NULL is allowed */
/* Appends a line; the bytes are copied. */
struct logline *loggen_add(struct loggen *g, uint32_t line_len, uint32_t meta_len);

/* ---- tables ---- */

struct logstream {
    struct hash128 fp;
    const struct logline *last;
    uint32_t last_gen; /* 0: nothing open, ever */
    uint32_t labels;   /* offset in the index's arena */
    uint32_t defined;  /* table->defs when the log was last told its labels */
    uint32_t used_s;   /* Unix seconds of the last line's coming */
    uint32_t frames;   /* that have it */
    struct tokenbucket rate;
    bool is_used; /* else the ref is free */
    bool is_active;
    uint8_t place; /* enum loghead_place, while it is active */
};

struct logfile { /* a file of frames, mapped */
    _Atomic uint32_t refs;
    char *path;
    int fd;
    uint64_t used, cap; /* the map is as long as cap, the file as used */
    uint8_t *map;
    int64_t window_ms; /* of what it was made for */
    /* the shard thread's */
    bool is_kept; /* there is more in it, which cannot be read */
    uint32_t frames, dropped;
    uint64_t needed_seq; /* it is needed while the log has records up to this number */
};
struct logsealed {
    _Atomic uint32_t refs;
    _Atomic bool is_dropped; /* the last one to let go gives its bytes back */
    struct logfile *file;
    uint64_t at; /* in the file */
    struct logframe frame;
};
void logsealed_ref(struct logsealed *s);
void logsealed_unref(struct logsealed *s); /* any thread; the last one may block */

struct loglive { /* records taken while older ones were read back, that frames have */
    uint64_t from, to;
};

struct logtable {
    struct logshard *shard;
    struct logtenant *tenant;
    struct head_slots table;       /* fingerprint → ref */
    VEC(struct logstream) streams; /* by ref */
    VEC(uint32_t) free_refs;
    struct head_index index;
    VEC(struct loggen *) gens; /* oldest first */
    bool is_open;              /* the last one takes lines; the others are being sealed */
    uint32_t next_gen;
    uint32_t min_gen;  /* of those here; next_gen: none is */
    uint32_t defs;     /* changes when all labels have to be logged again */
    uint32_t captures; /* readers at work: generations stay */
    VEC(struct logsealed *) frames;
    uint64_t last_seq, replayed_seq;
    uint64_t through; /* of frames, at start */
    VEC(struct loglive) live;
    uint32_t swept; /* next stream to be looked at for idleness */
    bool is_queued; /* its oldest closed generation is with the shard's sealer */
};

struct logtenant { /* never freed before the head */
    char *id;
    struct slice slice;
    VEC(struct logsegment *) segments; /* under the lock of loghead_segment.c */
    struct logtable **tables;          /* by shard; each written and read by its shard thread */
    _Atomic uint64_t streams, active, entries, bytes;
    _Atomic uint64_t away; /* of the active */
};

struct logshard_metrics {
    uint64_t entries, bytes, unknown, refused, created, forgotten, sealed_frames, sealed_bytes,
        sealed_raw, seal_failures, sealed_twice, dropped_frames, files_deleted;
    int64_t streams, active, frames, file_bytes;
    struct head_match_metrics regex;
};

struct logshard {
    struct loghead *head;
    uint32_t index;
    struct mailbox box;
    VEC(struct logtable *) tables;
    struct buf record;
    struct head_regexes regexes;
    _Atomic bool wal_failed; /* set by the wal thread */
    /* sealing: one generation at a time */
    VEC(struct logtable *) to_seal; /* first come first */
    bool is_sealing;
    struct err *seal_error; /* of the last attempt; NULL: it went well */
    /* the sealer's own, while is_sealing */
    struct logfile *file;        /* the one being written; NULL: none yet */
    VEC(struct logfile *) files; /* the shard thread's: all that have frames */
    uint32_t next_file;
    struct logpage_builder *builder;
    struct logfilter_grams grams;
    struct loghead_replay_stats replay;
    struct logshard_metrics m;
};

enum loghead_state { LOGHEAD_REPLAYING, LOGHEAD_READY, LOGHEAD_FAILED };

struct loghead_metrics {
    uint64_t pushes, budget_refusals, cuts, segments_cut, segments_dropped, drop_failures;
    int64_t open_bytes, queue_bytes, is_ready, segments, segment_bytes;
    struct metric_hist seal_s, replay_s;
};

struct loghead {
    char *dir;
    struct loghead_opts opts;
    uint32_t n_shards;
    struct logshard *shards;
    struct job_pool *sealers;
    struct lock lock; /* rank HEAD_TENANTS: tenants, state */
    struct map tenants;
    struct logsegments *segments;
    enum loghead_state state;
    _Atomic bool is_ready, is_closing;
    _Atomic bool is_loaded; /* frames were read: sealing may begin */
    pthread_cond_t changed; /* state */
    pthread_t replay_thread;
    bool has_replay_thread;
    struct err *replay_error;
    struct loghead_replay_stats replay_stats;
    _Atomic int64_t open_bytes, queued_bytes;
    _Atomic uint64_t inflight, logged_bytes;
    uint64_t epoch, live_from;
    struct loghead_metrics m;
};

ORR_CHECKED struct err *loghead_write_meta(struct loghead *h);            /* shards and epoch */
struct logtenant *loghead_tenant_get(struct loghead *h, struct slice id); /* makes it */
struct logtenant *loghead_tenant_find(struct loghead *h, struct slice id);
struct logtable *loghead_table_get(struct logshard *sh, struct logtenant *t);

/* Runs fn on all shards' threads at once (on each until it returns false) and waits for them; the
 * arg of shard i is args + i * each. Blocking. */
typedef bool logshard_fn(struct logshard *sh, void *arg);
void logshard_call_all(struct loghead *h, logshard_fn *fn, void *args, size_t each);

/* ---- loghead_table.c: streams by fingerprint, labels and matchers ---- */

uint32_t logtable_find(const struct logtable *tb, struct hash128 fp);
uint32_t logtable_add(struct logtable *tb, struct hash128 fp, struct slice canonical); /* checked */
void logtable_canonical(const struct logtable *tb, uint32_t ref, struct buf *out);
struct head_matching logtable_matching(struct logtable *tb);
void logtable_free(struct logtable *tb);
/* Lines came now: it is active. */
void logtable_touch(struct logtable *tb, uint32_t ref);
/* Where it is at home, of an active one. */
void logtable_place(struct logtable *tb, uint32_t ref, enum loghead_place place);
/* The frame has them now; it has them no more: refs of its streams, in some order. */
void logtable_hold(struct logtable *tb, const uint32_t *refs, size_t n);
void logtable_let_go(struct logtable *tb, const uint32_t *refs, size_t n);
/* Looks at some streams for idleness, and forgets those of which nothing is left; true when it is through. */
bool logtable_sweep(struct logtable *tb, uint32_t now_s);
/* Whether labels may be those of the fingerprint. */
bool logtable_labels_fit(struct slice canonical, struct hash128 fp);

/* ---- loghead_push.c ---- */

/* Appends a stream's entries (checked) to the open generation. */
void logtable_append(struct logtable *tb, uint32_t ref, const struct logrecord_stream *s,
                     uint64_t seq);

/* ---- loghead_seal.c ---- */

/* Closes the open generation for lines, if it has some, and has it sealed. */
void logtable_close_open(struct logtable *tb);
/* Whether it is due by size, or (now_ms not 0) age, log and window. */
bool logtable_is_due(const struct logtable *tb, int64_t now_ms);
/* Whether what is open came in another window. */
bool logtable_is_past(const struct logtable *tb, int64_t now_ms);
void logshard_seal_more(struct logshard *sh);

/* ---- loghead_file.c ---- */

/* Reads all frames of a shard into its tables. On the shard's thread. */
ORR_CHECKED struct err *logfile_load(struct logshard *sh);
/* Appends a frame, durably. Blocking; the sealer's. */
ORR_CHECKED struct err *logfile_append(struct logshard *sh, struct slice frame, int64_t window_ms,
                                       struct logsealed **ret);
void logfile_unref(struct logfile *f);
/* Its file has it now; and: it is dropped. On the shard's thread. */
void logfile_count(struct logshard *sh, struct logsealed *s);
void logfile_count_dropped(struct logshard *sh, struct logsealed *s);
/* Marks frames as dropped, durably. Any thread; blocking. On an error some may be marked: to be done again. */
ORR_CHECKED struct err *logfile_mark_dropped(struct logsealed *const *s, size_t n);
/* Deletes files of which nothing is needed. On the shard's thread, when it does not seal. */
void logfile_reap(struct logshard *sh);

/* ---- loghead_segment.c, loghead_drop.c: segments ---- */

struct logsegment { /* under the lock of the list; frames do not change any more once it is cut */
    struct ulid id;
    struct logtenant *tenant;
    int64_t window_ms, cut_ms;
    bool is_growing, is_cut;
    uint32_t refs;    /* one of those who list it, one of each pin */
    uint32_t numbers; /* given to frames */
    uint32_t awaited; /* frames that are not written yet */
    uint64_t streams, entries, bytes;
    VEC(struct logsealed *) frames; /* by number once it is cut */
};

struct logsegments {
    struct lock lock; /* rank LEAF_MODULE */
    VEC(struct logsegment *) all;
    struct rng rng;
    struct dropped_by *dropped_by;
};

ORR_CHECKED struct err *logsegments_open(struct loghead *h);
void logsegments_close(struct loghead *h);
/* The one that takes what came in this window, and the frame's number in it; the frame is waited for. */
struct logsegment *logsegment_join(struct logtenant *t, struct loghead *h, int64_t window_ms,
                                   uint32_t *ret_number);
/* The frame that was waited for. */
void logsegment_add(struct loghead *h, struct logsegment *g, struct logsealed *s);
/* A frame that was read back. */
void logsegment_found(struct loghead *h, struct logtenant *t, struct logsealed *s);
/* With a reference; NULL: there is none that is complete. */
struct logsegment *logsegment_find(struct loghead *h, struct slice tenant, struct slice ulid);
void logsegment_unref(struct loghead *h, struct logsegment *g);
struct err *logsegment_not_found(struct slice tenant, struct slice ulid);
int64_t loghead_window(int64_t t_ms); /* the begin of its window */

/* ---- loghead_replay.c ---- */

ORR_CHECKED struct err *loghead_replay_start(struct loghead *h);
void loghead_replay_join(struct loghead *h);
