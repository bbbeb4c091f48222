/*
 * The head: the recent metrics of one ingester, all tenants, and its local segments.
 *
 * Writes: a head has a fixed number of shards (chosen when DIR is new, kept in DIR/head/meta), each
 * a thread that owns its series; the low bits of the fingerprint choose. head_push() splits a batch
 * (batch.h) by shard; each shard appends to its series, writes one WAL record with what it accepted
 * (head_log.h) and goes on; the push is done when all records are durable.
 *
 * Chunks: 120 samples or the end of a 2-hour window close a chunk (the first of a window closes
 * earlier, see head_chunk_full()). Closed chunks live in append-only mapped files
 * DIR/head/<shard>/chunks-<n> (head_chunks.h), not in anonymous memory.
 *
 * Cut: head_cut() writes closed windows as segments DIR/segments/<tenant>/<ULID>/ in the format of
 * Prometheus' blocks, plus `exemplars`, `metadata` and `starts` (head_segment.h). The data then leaves the
 * head; reads take it from the segment until head_segment_dropped() deletes that.
 *
 * Restart: head_open() returns at once and takes writes. Series and open chunks come back from
 * DIR/head/<shard>/checkpoint (head_checkpoint.h), the rest from the WAL behind it. Until that is
 * done every series is `unknown` without labels; batches with labels are logged (and acknowledged)
 * as they are, and applied when the replay is through. Reads: ERR_UNAVAILABLE.
 *
 * Threads: head_push() and the plain getters from any thread, never blocking on disk. What is
 * marked "blocking" belongs on a worker: it waits for shard threads or files.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/base/snapshot.h"
#include "common/model/matcher.h"
#include "common/model/sample.h"
#include "common/wal/wal.h"
#include "ingester/metrics/batch.h"

#define HEAD_WINDOW_MS 7200000ll
#define HEAD_CHUNK_SAMPLES 120

struct head;

struct head_opts {
    const char *dir;            /* created if absent; head/ and segments/ inside are ours */
    struct wal *wal;            /* opened by the caller, closed by it after head_close() */
    unsigned shards;            /* 0: one per CPU; a power of two, else rounded up. Kept by DIR. */
    int64_t replay_queue_bytes; /* batches waiting for the end of a replay; 0: 256 MiB */
    int64_t push_queue_bytes;   /* batches waiting for shard threads; 0: 256 MiB */
    int64_t checkpoint_wal_bytes; /* head_maintain() checkpoints after so much log; 0: 256 MiB */
    int64_t grace_ms;             /* window end to cut, beside the out-of-order window; 0: 15 min */
    int64_t max_ooo_ms; /* largest out-of-order window among tenants that delays cuts; 0: 24 h */
    uint32_t exemplars_per_tenant; /* ring size; 0: 100,000 */
    int64_t memory_chunk_bytes; /* closed chunks that no file can be made for, past which pushes are
                                   refused; 0: 256 MiB */
    int64_t regex_cache_bytes;  /* remembered regexes, over all shards; 0: 64 MiB */
    const struct clock *clock;  /* NULL: system */
};

ORR_CHECKED struct err *head_open(const struct head_opts *opts, struct head **ret);
/* Waits for pushes under way, checkpoints (when the replay had ended), stops the threads. Blocking.
 */
ORR_CHECKED struct err *head_close(struct head *h);
/* As kill -9 would leave the directory: stops without a checkpoint. For tests. */
void head_abandon(struct head *h);
bool head_is_ready(const struct head *h); /* the replay is through */
/* Blocking, until ready. The error that ended the replay, if one did (then the head stays unready).
 */
ORR_CHECKED struct err *head_wait_ready(struct head *h);

struct head_replay_stats {
    uint64_t series, samples, records, unknown_refs,
        broken_records; /* from checkpoint; from the log */
    int64_t checkpoint_ms, replay_ms;
    struct wal_replay_stats wal;
};
void head_replay_stats_get(const struct head *h, struct head_replay_stats *ret);

/* ---- writing ---- */

struct head_limits {
    uint64_t max_series;   /* active series of the tenant in this head; 0: no limit */
    int64_t ooo_window_ms; /* 0: out-of-order samples are refused */
    /* The samples are on a quorum of replicas, which had them in their order: older ones than the series
     * has are taken whatever the window (why: ingester/distribute.h). The other limits hold, and another
     * value at the same time is refused. Not kept by the log: it has what was taken. */
    bool takes_late;
    int64_t min_t_ms;      /* older samples are BATCH_TOO_OLD; 0: no bound */
    int64_t max_t_ms;      /* newer ones are BATCH_TOO_FAR; 0: no bound */
    uint32_t max_metadata; /* metric families with metadata; 0: no limit */
    uint32_t max_windows; /* 2-hour windows with samples that are in no segment yet, beside those of
                              now; 0: no limit */
};

/*
 * The push is through: e NULL: everything not rejected or unknown is stored and durable; else
 * (ERR_IO, ERR_UNAVAILABLE) it may or may not be stored. Takes e; reply is lent for the call (move
 * reply->unknown out if needed later). Called exactly once per successful head_push(), on the wal
 * thread, a shard thread or (nothing to log) the caller's before head_push() returns: must not block,
 * post to your loop. While the head reads back, what a batch with labels holds is accepted without
 * the checks that need the series (order, series limit).
 */
typedef void head_push_fn(void *arg, struct err *e, struct batch_reply *reply);
/* bytes are lent until done. An error here (ERR_INVALID, ERR_UNAVAILABLE when queues are full or
 * the head is closing) means done is not called. Any thread. */
ORR_CHECKED struct err *head_push(struct head *h, struct slice tenant, struct slice bytes,
                                  const struct head_limits *limits, head_push_fn *done, void *arg);

/* ---- reading: blocking; results are immutable and may be used from any one thread ---- */

struct head_chunk {
    int64_t min_ms, max_ms;
    /* As in common/block/chunk.h (Prometheus' numbers), or CHUNK_STARTS: start timestamps of samples in
     * the others (common/block/start_runs.h). */
    uint8_t encoding;
    uint16_t samples;
    struct slice data; /* Prometheus chunk data: u16be sample count, then the bit stream */
};
struct head_series {
    struct labels labels;
    struct hash128 fp;
    const struct head_chunk *chunks; /* by min_ms; may overlap (out-of-order, segment and head), and
                                        the same (t, v) may occur twice */
    size_t n_chunks;
};
struct head_query {
    struct slice tenant;
    struct matchers matchers; /* all must hold */
    int64_t min_ms, max_ms;   /* both inclusive */
    bool without_chunks;      /* labels only */
    uint32_t shard_index,
        shard_count; /* only series with fp.hi % shard_count == shard_index; 0: all */
    uint64_t max_series, max_bytes; /* ERR_LIMIT beyond; 0: no limit. Bytes: chunks and labels. */
    /* Series come in the order of their fingerprints (hash128_cmp) and only with those of their labels
     * that are among names. */
    bool is_keyed;
    const struct slice *names;
    size_t n_names;
    bool newest_only; /* only the newest sample in the range is wanted; more may come */
};
struct head_set;
/* Series in label order (but see is_keyed), each once, with the chunks that overlap the range: from the head and from
 * segments not yet dropped. Lent members live until head_set_free(). */
ORR_CHECKED struct err *head_select(struct head *h, const struct head_query *q,
                                    struct head_set **ret);
bool head_set_next(struct head_set *s,
                   struct head_series *ret); /* ret's chunks live until the next call */
/* NULL, or why head_set_next() stopped early (a segment could not be read). Frees s. */
ORR_CHECKED struct err *head_set_close(struct head_set *s);

struct head_names {
    struct slice *ptr; /* sorted, unique */
    size_t n;
};
/* Of series that match (no matchers: all). Copied into a. limit 0: all. */
ORR_CHECKED struct err *head_label_names(struct head *h, const struct head_query *q,
                                         struct arena *a, struct head_names *ret);
ORR_CHECKED struct err *head_label_values(struct head *h, const struct head_query *q,
                                          struct slice name, struct arena *a,
                                          struct head_names *ret);

struct head_metadata {
    struct slice family, help, unit;
    enum sample_metric_type type;
};
/* By family name; family empty: all. Copied into a. */
ORR_CHECKED struct err *head_metadata_list(struct head *h, struct slice tenant, struct slice family,
                                           struct arena *a, struct head_metadata **ret,
                                           size_t *ret_n);
struct head_exemplars {
    struct labels labels;
    struct exemplar *ptr; /* by time */
    size_t n;
};
/* Series in label order that match and have exemplars in the range. Copied into a. */
ORR_CHECKED struct err *head_exemplars_list(struct head *h, const struct head_query *q,
                                            struct arena *a, struct head_exemplars **ret,
                                            size_t *ret_n);

struct head_tenant_stats {
    uint64_t series, samples_appended;
    uint64_t rate_milli;    /* samples in 1000 s, between the last two calls of head_maintain() */
    int64_t min_ms, max_ms; /* of samples in the head; min > max: none */
};
void head_tenant_stats_get(struct head *h, struct slice tenant, struct head_tenant_stats *ret);

struct head_pair_count {
    struct slice name, value;
    uint64_t series;
};
/* Label pairs (of the label *name; NULL: of all) with how many series in memory have them, of those
 * that match; sorted by name and value, in the arena. *ret_series: how many match. */
ORR_CHECKED struct err *head_pairs_list(struct head *h, const struct head_query *q,
                                        const struct slice *name, struct arena *a,
                                        struct head_pair_count **ret, size_t *ret_n,
                                        uint64_t *ret_series);
/* Label pairs and chunks in memory and chunk files. Walks all series, in turns. */
ORR_CHECKED struct err *head_count(struct head *h, struct slice tenant, uint64_t *ret_pairs,
                                   uint64_t *ret_chunks);

struct head_cardinality { /* TSDB status page: top entries, largest first */
    struct slice name;
    uint64_t count;
};
struct head_status {
    uint64_t series, label_pairs;
    struct head_cardinality *by_metric, *by_label_values, *by_label_pair; /* pair as name=value */
    size_t n_by_metric, n_by_label_values, n_by_label_pair;
};
ORR_CHECKED struct err *head_status_get(struct head *h, struct slice tenant, size_t top,
                                        struct arena *a, struct head_status *ret);
/* Tenants with data here (head or segments), sorted. */
ORR_CHECKED struct err *head_tenants(struct head *h, struct arena *a, struct head_names *ret);

/* ---- segments ---- */

enum head_segment_state {
    HEAD_SEGMENT_READY,   /* complete on disk, waits for a compactor */
    HEAD_SEGMENT_DROPPED, /* on its way out */
};
struct head_segment {
    char tenant[152]; /* NUL-terminated */
    char ulid[27];
    int64_t min_ms, max_ms; /* max is exclusive, as in meta.json */
    uint64_t series, samples, bytes;
    enum head_segment_state state;
    char path[512]; /* directory */
    void *pin;      /* set by head_segment_pin() */
};
/* Copies of the registry's rows, ordered by tenant and min_ms; caller mem_free()s. Any thread. */
void head_segments(struct head *h, struct head_segment **ret, size_t *ret_n);
/* A visible block names it as a source (or it was uploaded), in this version of the tenant's catalogue (0: it is not
 * known in which): deletes it once no reader uses it. Unknown ULID: ERR_NOT_FOUND. The version is on disk before the
 * segment goes; if it cannot be, the segment stays. Blocking. */
ORR_CHECKED struct err *head_segment_dropped(struct head *h, struct slice tenant, struct slice ulid,
                                             uint64_t version);
/* The highest version by which a segment of the tenant was dropped here, ever; 0: none was. Asked after a read has
 * been opened it covers all that the read does not find here any more. Any thread. */
uint64_t head_dropped_by(struct head *h, struct slice tenant);
/* Keeps the segment's files while someone streams them; ERR_NOT_FOUND. Pair with unpin. Any thread.
 */
ORR_CHECKED struct err *head_segment_pin(struct head *h, struct slice tenant, struct slice ulid,
                                         struct head_segment *ret);
void head_segment_unpin(struct head *h, const struct head_segment *pinned);

/*
 * Cuts what lies before up_to_ms (INT64_MAX: all) of tenant (empty: of all) into segments, one per
 * 2-hour window, then checkpoints and truncates the WAL. Series without data left are forgotten.
 * Blocking. Runs one at a time; a second caller waits. *ret_segments may be NULL.
 */
ORR_CHECKED struct err *head_cut(struct head *h, struct slice tenant, int64_t up_to_ms,
                                 size_t *ret_segments);
/* Cuts every window whose end + grace + the tenant's out-of-order window is past, and checkpoints
 * when due. Call about once a minute, with wall time. Blocking. */
ORR_CHECKED struct err *head_maintain(struct head *h, int64_t now_ms);
ORR_CHECKED struct err *head_checkpoint(struct head *h); /* now, and truncates the WAL. Blocking. */

/*
 * Closed chunks are in memory because no file can be made for them (disk full), and as many as
 * head_opts.memory_chunk_bytes allows: pushes are refused with ERR_UNAVAILABLE. The file is tried
 * again by every head_maintain(), checkpoint and cut, and here, once a second.
 * NULL: it is not so. Else why; the caller ends it. Any thread.
 */
struct err *head_is_stuck(struct head *h);

/* Gauges beside the metrics table: series of all tenants; bytes in chunk files. */
uint64_t head_series_count(const struct head *h);
