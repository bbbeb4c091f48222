/*
 * What the files of the head share. One shard thread owns all of a struct head_shard and of the
 * struct head_ts (a tenant in a shard) below it, apart from members marked otherwise.
 *
 *   head ─ tenants (map, lock) ─▶ head_tenant ─ ts[shard] ─▶ head_ts ─ slabs ─▶ head_series (64 bytes)
 *        └ shards[n] ─ mailbox, chunk files, log record being built      └ index: names, pairs, postings
 *
 * A series is known by its ref (index into the slabs of its head_ts) in the WAL, the checkpoint and
 * the chunk files. Refs are used again after a series was forgotten.
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
#include "common/block/chunk.h"
#include "common/block/start_runs.h"
#include "ingester/metrics/head.h"
#include "ingester/metrics/head_chunks.h"
#include "ingester/metrics/head_index.h"
#include "ingester/metrics/head_match.h"

#define HEAD_SLAB 256u
#define HEAD_NO_TIME INT64_MIN /* of a series that has had no sample */
#define HEAD_OOO_MAX 32u
#define HEAD_MAX_SHARDS 64u

struct head_hist { /* open chunk of native histograms */
    struct chunk_hist_appender *app;
    int64_t min_ms;
};

struct head_live {
    struct hash128 fp;
    /* app.t and app.v are those of the newest sample also when no chunk is open (app.n is 0). Of a
     * histogram series app.v is a hash of the newest one, app.n the open chunk's samples. */
    struct chunk_xor_appender app;
    union {
        uint8_t *bytes; /* head_cap(bytes written) large; NULL when no chunk is open */
        struct head_hist *hist;
    } open;
    uint32_t sealed; /* newest closed chunk, head_chunks_narrow(); 0: none */
    uint32_t labels; /* offset in the label arena */
};
static_assert(sizeof(struct head_live) == 64, "one cache line a series");

enum head_series_flag {
    HEAD_USED = 1,
    HEAD_HIST = 2,    /* open.hist */
    HEAD_OOO = 4,     /* has a struct head_ooo */
    HEAD_LOGGED = 8,  /* its definition is in the WAL or a checkpoint */
    HEAD_FIRST = 16,  /* the open chunk follows a gap or a window's start: see head_chunk_full() */
    HEAD_STARTS = 32, /* has a struct head_starts */
};
struct head_slab {     /* of HEAD_SLAB series, which stand in head_ts.series */
    uint64_t from_seq; /* replay: records below are already in what the checkpoint gave */
    uint32_t cap;      /* series allocated: the first slab of a tenant begins small */
    uint8_t flags[HEAD_SLAB];
};

/* Samples older than the series' newest, sorted by time, until they fill a chunk. */
struct head_ooo {
    uint32_t n, cap;
    struct sample *s;
};

/* Open runs of start timestamps, ascending, disjoint, 0 for unknown; head_starts.c. */
#define HEAD_STARTS_MAX 30u
struct head_starts {
    uint32_t n, cap; /* HEAD_STARTS_MAX + 2 at most: one inserted may split another */
    struct start_run *runs;
};

struct head_ring_exemplar {
    uint32_t ref;
    int64_t t_ms;
    double v;
    char *labels; /* uvarint length, canonical bytes; NULL: empty place */
};

/* Chunks at positions below pos with max_ms < up_to_ms are in segments. */
struct head_ts_cut {
    int64_t up_to_ms;
    uint64_t pos;
};

/* A 2-hour window with samples in the head. */
struct head_window {
    int64_t start_ms;
    bool is_touched; /* also since the cut under way took its part */
};

struct head_ts {
    struct head_shard *shard;
    struct head_tenant *tenant;
    /* fingerprint → ref */
    struct head_slots table;
    VEC(struct head_live *) series; /* one array a slab, aligned to 64 */
    VEC(struct head_slab *) slabs;
    uint32_t n_refs; /* handed out so far, in use or free */
    VEC(uint32_t) free_refs;
    uint64_t n_series;
    struct head_index index;
    struct map ooo;    /* ref (4 bytes) → struct head_ooo */
    struct map starts; /* ref → struct head_starts */
    VEC(struct head_ts_cut) cuts;
    VEC(struct head_window) windows;
    int64_t window_ms; /* start of the one that was written last; HEAD_NO_TIME: look it up */
    int64_t max_ms;    /* newest sample ever */
    int64_t min_ms;    /* oldest in the head, roughly: of starts of chunks since the last cut */
    uint64_t gc_epoch; /* changes when refs may have been given up */
    /* exemplars, oldest at ring_next once full */
    struct head_ring_exemplar *ring;
    uint32_t ring_cap, ring_len, ring_next;
    struct map ring_last;                  /* ref → index in ring + 1 */
    struct map metadata;                   /* family → struct head_meta */
    uint64_t meta_from_seq, ring_from_seq; /* as head_slab.from_seq */
};

struct head_meta {
    enum sample_metric_type type;
    struct slice help, unit; /* heap, one block at .help.ptr */
};

struct head_tenant_window {
    int64_t start_ms;
    uint32_t shards; /* that have it */
};

struct head_tenant { /* never freed before the head */
    char *id;
    struct slice slice;
    struct head_ts **ts; /* by shard; each written and read by its shard thread */
    _Atomic uint64_t series, samples;
    _Atomic uint64_t metadata;
    _Atomic int64_t ooo_window_ms; /* of the latest push */
    _Atomic int64_t max_ms, min_ms;
    VEC(struct head_tenant_window) windows; /* under the head's lock */
    int64_t maintained_ms;                  /* cut up to here by head_maintain(); under cut_mutex */
    uint64_t rated_samples;                 /* at rated_ms, both under cut_mutex */
    int64_t rated_ms;
    _Atomic uint64_t rate_milli;
};

/* ---- messages to a shard thread ---- */

/* True: again, behind what waits now. */
typedef bool head_msg_fn(struct head_shard *sh, void *arg);
struct head_msg {
    head_msg_fn *fn;
    void *arg;
    struct head_shard *shard; /* its own from here on */
    struct mailbox_msg msg;
};
void head_post(struct head_shard *sh, struct head_msg *m); /* m stays the sender's */
/* Runs fn on the shard's thread (until it returns false) and waits for it. Blocking. */
void head_call(struct head_shard *sh, head_msg_fn *fn, void *arg);
/* The same on all shards at once; args[i] for shard i. */
void head_call_all(struct head *h, head_msg_fn *fn, void *const *args);

struct head_shard_metrics {
    uint64_t samples, histograms, exemplars, duplicates, out_of_order_accepted, late, created_zeros,
        starts;
    uint64_t rejected[BATCH_REASON_COUNT];
    uint64_t series_created, series_removed, chunks_closed, chunk_bytes, broken_chunks, unknown;
    int64_t starts_series;
    int64_t series, chunk_file_bytes, label_pairs, memory_chunk_bytes, open_windows;
    uint64_t chunk_file_failures;
    struct head_match_metrics regex;
};

/* The log record a shard builds for one batch; see head_log.h. */
struct head_log {
    struct buf series, samples, histograms, exemplars, metadata, starts, payload;
    uint32_t n_series, n_histograms, n_exemplars, n_metadata, n_starts;
    int64_t starts_t_ms, starts_st_ms; /* of the latest item of starts */
    size_t samples_at;                 /* where the open SAMPLES section begins in samples */
    uint32_t n_samples;
    int64_t base_ms;
    uint64_t raw_through;
};

struct head_raw; /* head_replay.c: a batch logged as it came, during a replay */

struct head_shard {
    struct head *head;
    uint32_t index;
    struct mailbox box;
    /* the shard thread's own */
    struct head_chunks chunks;
    VEC(struct head_ts *) tenants;
    struct head_log log;
    struct arena *scratch;
    _Atomic bool wal_failed; /* set by the wal thread */
    _Atomic bool is_healing; /* heal is in the mailbox */
    struct head_msg heal;
    uint64_t from_seq;           /* replay: records below are in the checkpoint */
    uint64_t last_seq;           /* newest record this shard wrote */
    VEC(struct head_raw *) raws; /* replay: logged as they came, not applied yet */
    struct head_replay_stats replay;
    struct head_regexes regexes; /* over all tenants */
    struct head_shard_metrics m;
};

enum head_state { HEAD_REPLAYING, HEAD_READY, HEAD_FAILED, HEAD_CLOSING };

struct head_replay;   /* head_replay.c */
struct head_registry; /* head_segment.c */

struct head_metrics {
    uint64_t cuts, cut_failures, segments_written, checkpoints, checkpoint_failures,
        replayed_samples;
    int64_t segments, queue_bytes, replay_queue_bytes, is_ready;
    struct metric_hist cut_s, checkpoint_s, replay_s;
};

struct head {
    char *dir;
    struct head_opts opts;
    uint32_t n_shards;
    struct head_shard *shards;
    struct lock lock;   /* rank HEAD_TENANTS: tenants, state, replay queue */
    struct map tenants; /* id → struct head_tenant */
    enum head_state state;
    _Atomic bool is_ready;
    pthread_cond_t changed; /* state */
    struct head_replay *replay;
    struct err *replay_error;
    struct head_replay_stats replay_stats;
    _Atomic int64_t queued_bytes;
    _Atomic uint64_t inflight; /* pushes whose done was not called yet */
    /* closed chunks in memory for want of a file: bytes, why, when a file was last tried */
    _Atomic int64_t memory_chunk_bytes, healed_ms;
    _Atomic int memory_errnum;
    pthread_mutex_t cut_mutex; /* outermost: one cut or checkpoint at a time, held over file work */
    uint64_t checkpoint_at_seq;
    _Atomic uint64_t logged_bytes, checkpoint_at_bytes;
    struct head_registry *registry;
    struct head_metrics m;
};

struct head_tenant *head_tenant_get(struct head *h, struct slice id);  /* makes it */
struct head_tenant *head_tenant_find(struct head *h, struct slice id); /* or NULL */
/* All tenants at this moment; caller mem_free()s. */
struct head_tenant **head_tenant_list(struct head *h, size_t *ret_n);
struct head_ts *head_ts_get(struct head_shard *sh, struct head_tenant *t);

/* ---- head_table.c: series by ref and by fingerprint ---- */

static inline struct head_live *head_series_at(const struct head_ts *ts, uint32_t ref)
{
    return &ts->series.ptr[ref / HEAD_SLAB][ref % HEAD_SLAB];
}
static inline uint8_t *head_flags_at(const struct head_ts *ts, uint32_t ref)
{
    return &ts->slabs.ptr[ref / HEAD_SLAB]->flags[ref % HEAD_SLAB];
}
static inline bool head_ref_is_used(const struct head_ts *ts, uint32_t ref)
{
    return ref < ts->n_refs && (*head_flags_at(ts, ref) & HEAD_USED);
}
#define HEAD_NO_REF UINT32_MAX
uint32_t head_table_find(const struct head_ts *ts, struct hash128 fp); /* ref or HEAD_NO_REF */
/* A new series with these canonical labels, checked by the caller; not in the table before. */
uint32_t head_table_add(struct head_ts *ts, struct hash128 fp, struct slice canonical);
/* The same at a given ref, as a replay finds it; a series that was there, or the same fingerprint
 * under another ref, is forgotten first. False when the ref is not plausible. */
bool head_table_add_at(struct head_ts *ts, uint32_t ref, struct hash128 fp, struct slice canonical);
/* For the checkpoint's loader: labels are packed pair ids of an index that is already there. */
bool head_table_load(struct head_ts *ts, uint32_t ref, struct hash128 fp, struct slice packed,
                     struct head_live **ret);
void head_table_finish_load(struct head_ts *ts); /* free refs */
/* Forgets series: postings, labels, open chunk, out-of-order samples, exemplars. */
void head_table_remove(struct head_ts *ts, const uint32_t *refs, size_t n);
void head_ts_free(struct head_ts *ts);

/* ---- head_series.c: samples of one series ---- */

static inline int64_t head_window_start(int64_t t_ms)
{
    int64_t w = t_ms / HEAD_WINDOW_MS;

    /* the first window of time begins before there are numbers for it: it wraps */
    return (int64_t)((uint64_t)(w - (t_ms % HEAD_WINDOW_MS < 0)) * (uint64_t)HEAD_WINDOW_MS);
}

/* Size class of an open chunk's buffer: allocator classes, with the appender's room. */
static inline uint32_t head_cap(uint32_t bytes)
{
    uint32_t want = bytes + CHUNK_XOR_ROOM, shift;

    if (want <= 64)
        return 64;
    if (want <= 128)
        return (want + 15) & ~15u;
    shift = 29u - (uint32_t)__builtin_clz(want - 1);
    return (want + (1u << shift) - 1) & ~((1u << shift) - 1);
}
/*
 * Scrapes begin together, so chunks would fill, and take most memory, together. The first chunk of a
 * series in a window is cut short by an amount that its fingerprint chooses (the same on every
 * replica), which spreads the phases: memory stays near its mean and closing is spread over time.
 */
#define HEAD_FIRST_MIN 30u
static inline bool head_chunk_full(uint8_t flags, const struct hash128 *fp, uint32_t n)
{
    if (n < HEAD_FIRST_MIN)
        return false;
    if (flags & HEAD_FIRST)
        return n >= HEAD_FIRST_MIN +
                        (uint32_t)(fp->lo >> 32) % (HEAD_CHUNK_SAMPLES - HEAD_FIRST_MIN + 1);
    return n >= HEAD_CHUNK_SAMPLES;
}
enum head_append_result {
    HEAD_APPENDED,
    HEAD_REPEATED,     /* the same sample is there: accepted, logged, not stored again */
    HEAD_REJECTED,     /* *ret_reason */
    HEAD_FAILED_CHUNK, /* no place for closed chunks */
};
/* ooo_window_ms INT64_MAX: replay, or what a quorum took; anything goes. */
enum head_append_result head_series_append(struct head_ts *ts, uint32_t ref, int64_t t_ms, double v,
                                           int64_t ooo_window_ms, enum batch_reason *ret_reason);
enum head_append_result head_series_append_hist(struct head_ts *ts, uint32_t ref, int64_t t_ms,
                                                struct slice encoded, int64_t ooo_window_ms,
                                                enum batch_reason *ret_reason);
/* Closes the open chunk (if any) and out-of-order samples older than up_to_ms. */
ORR_CHECKED struct err *head_series_close_chunk(struct head_ts *ts, uint32_t ref);
ORR_CHECKED struct err *head_series_close_ooo(struct head_ts *ts, uint32_t ref);
bool head_series_open_range(const struct head_ts *ts, uint32_t ref, int64_t *ret_min,
                            int64_t *ret_max);
struct slice head_series_open_data(const struct head_ts *ts, uint32_t ref, uint8_t *ret_encoding);
void head_series_drop_open(struct head_ts *ts, uint32_t ref); /* frees without storing */
struct head_ooo *head_ooo_find(const struct head_ts *ts, uint32_t ref);
void head_ooo_insert(struct head_ts *ts, uint32_t ref, int64_t t_ms, double v);
/* Sets up the open chunk from its bytes (checkpoint). False if malformed. */
bool head_series_restore_open(struct head_ts *ts, uint32_t ref, uint8_t encoding,
                              struct slice data);
/* Puts a chunk into the files, in front of the series' chain. */
ORR_CHECKED struct err *head_series_store(struct head_ts *ts, uint32_t ref, int64_t min_ms,
                                          int64_t max_ms, uint8_t encoding, uint16_t samples,
                                          struct slice data);

/* ---- head_starts.c: start timestamps ---- */

struct head_starts *head_starts_find(const struct head_ts *ts, uint32_t ref); /* or NULL */
/* From now on the series has them. */
void head_starts_begin(struct head_ts *ts, uint32_t ref);
/* Of a series that has them: the sample stored at t_ms has this start, 0: none is known. */
ORR_CHECKED struct err *head_starts_set(struct head_ts *ts, uint32_t ref, int64_t t_ms,
                                        int64_t st_ms);
/* Puts an open run behind the others, as a checkpoint has it. */
void head_starts_load(struct head_ts *ts, uint32_t ref, struct start_run run);
/* Whether the newest open run says something of t_ms. */
bool head_starts_knows(const struct head_ts *ts, uint32_t ref, int64_t t_ms);
ORR_CHECKED struct err *head_starts_close(struct head_ts *ts, uint32_t ref);
void head_starts_drop(struct head_ts *ts, uint32_t ref); /* frees without storing */

bool head_cut_hides(const struct head_ts_cut *cuts, size_t n, uint64_t pos, int64_t max_ms);

/* ---- head_extra.c: exemplars and metadata in a shard ---- */

/* False: rejected (out of order). */
bool head_ring_add(struct head_ts *ts, uint32_t ref, int64_t t_ms, double v, struct slice labels);
void head_ring_forget(struct head_ts *ts); /* exemplars of series that are gone */
void head_ring_free(struct head_ts *ts);
/* True if it changed. */
bool head_meta_put(struct head_ts *ts, const struct batch_meta *m);
void head_meta_free(struct head_ts *ts);
uint32_t head_meta_shard(const struct head *h, struct slice family);

/* ---- head_table.c: matchers ---- */

/* As head_matching_…() of head_match.h. */
bool head_match_prepare(struct head_ts *ts, struct matchers ms, int64_t *io_spent_ns);
roaring_bitmap_t *head_match(struct head_ts *ts, struct matchers ms);

/* ---- head_range.c ---- */

/* Series that have samples in a range of time, found in turns, so that the shard goes on with its
 * other work. {0} to begin with. */
struct head_range {
    roaring_bitmap_t *found; /* the caller frees; NULL: it was not asked for, every series counts */
    uint32_t *refs;
    size_t n, at;
    uint64_t epoch;
    bool has_begun;
};
/* True: call again in the shard's next turn. Series of which nothing is newer than max_ms count only
 * while that is less than HEAD_RANGE_SLACK_MS before the newest sample. */
#define HEAD_RANGE_SLACK_MS 300000
bool head_range_step(struct head_range *r, struct head_ts *ts, const struct head_query *q);
uint64_t head_range_chunks(const struct head_ts *ts, uint32_t ref); /* of a series in memory */

/* ---- head_push.c ---- */

struct head_apply { /* one batch on one shard */
    struct head_ts *ts;
    const struct batch *batch;
    const struct head_limits *limits;
    const uint32_t *idx; /* series of this shard */
    uint32_t n;
    struct batch_reply *reply;
};
void head_apply(struct head_shard *sh, const struct head_apply *a);
void head_note_range(struct head_ts *ts); /* tells the tenant */
/* Indexes of the shard's series; caller frees *ret_idx. For raw batches. */
uint32_t head_split_one(const struct head *h, uint32_t shard, const struct batch *b,
                        uint32_t **ret_idx);

/* ---- head_windows.c: how many windows a tenant has open; on the shard's thread ---- */

static inline bool head_window_is_last(const struct head_ts *ts, int64_t t_ms)
{
    return t_ms >= ts->window_ms && (uint64_t)t_ms - (uint64_t)ts->window_ms < HEAD_WINDOW_MS &&
           ts->window_ms != HEAD_NO_TIME;
}
/* Is there room for a sample's window among so many (0: any number)? */
bool head_window_fits(struct head_ts *ts, int64_t t_ms, uint32_t max);
void head_window_note(struct head_ts *ts, int64_t t_ms); /* a sample was stored */
void head_windows_begin_cut(struct head_ts *ts);
void head_windows_end_cut(struct head_ts *ts, int64_t up_to_ms);
void head_windows_forget(struct head_ts *ts); /* all, with the ts */

/* ---- head_heal.c: closed chunks that are in memory for want of a file ---- */

void head_note_memory(struct head_shard *sh); /* on the shard's thread, after chunks were stored */
ORR_CHECKED struct err *head_heal(struct head *h); /* blocking; NULL: all are in files */

/* ---- head_replay.c, head_checkpoint.c, head_cut.c, head_segment.c ---- */

ORR_CHECKED struct err *head_replay_start(struct head *h);
void head_replay_join(struct head *h);
/* A push while the head is not ready. *ret_is_ready: it became so meanwhile, push normally. */
ORR_CHECKED struct err *head_replay_push(struct head *h, struct head_tenant *t, struct slice bytes,
                                         const struct batch *b, const struct head_limits *limits,
                                         head_push_fn *done, void *arg, bool *ret_is_ready);
/* After a failure of the log it is not known which definitions reached the disk: all are written
 * again with the series' next sample. */
void head_forget_logged(struct head_shard *sh);
void head_shard_reset(struct head_shard *sh); /* forgets all series */
ORR_CHECKED struct err *head_shard_start(struct head_shard *sh);
void head_shard_stop(struct head_shard *sh); /* joins the thread */
void head_shard_free(struct head_shard *sh);
char *head_shard_dir(const struct head_shard *sh); /* heap */
ORR_CHECKED struct err *head_checkpoint_load(struct head_shard *sh);
ORR_CHECKED struct err *head_checkpoint_locked(struct head *h); /* h->cut_mutex held */
/* h->cut_mutex held; adds to *segments. No checkpoint. Several tenants may be cut at once. */
ORR_CHECKED struct err *head_cut_tenant(struct head *h, struct head_tenant *t, int64_t up_to_ms,
                                        _Atomic size_t *segments);
/* Calls fn for each tenant, on some threads at once; the first error. Blocking. */
typedef struct err *head_sweep_fn(void *arg, struct head_tenant *t);
ORR_CHECKED struct err *head_sweep(struct head_tenant *const *tenants, size_t n, head_sweep_fn *fn,
                                   void *arg);
ORR_CHECKED struct err *head_registry_open(struct head *h);
void head_registry_close(struct head *h);
