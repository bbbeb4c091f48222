/*
 * The trace head: the recent traces of one ingester, all tenants.
 *
 *   tracehead_push(batch) ─▶ the head's thread: limits; one record into the log ∥ pieces into RocksDB ─▶ done when both are through
 *   live traces ─ without spans for idle_ms, after max_live_ms, or on command ─▶ cut: by trace id into a file of a segment
 *                (common/traces/tracesegment.h), synced; then out of RocksDB
 *       (of a tenant with policies, common/model/tail_rule.h: those alone that the sampler keeps, sampler.h; what it drops goes
 *       out of RocksDB, what it has yet to hear of stays live)
 *   segment ─ window's end + grace, past a size, or on command ─▶ grows no more: for compactors; dropped when a block has it
 *   tracehead_select() ─▶ traces by id: pieces of live ones and of segments
 *
 * Pieces (common/traces/tracepiece.h) are opaque: a span costs nothing here until its trace is cut. One whose spans come again
 * after it was cut is a live trace again; pieces of a trace are united by readers and by compaction, spans that are
 * there several times become one.
 *
 * RocksDB (DIR/live; tenant's number │ trace id │ number of the piece, big endian) is where live traces lie so that they take no memory:
 * it is emptied at each start, and has no log of its own. What is durable is the log and the segments:
 *
 *   DIR/wal     each record a batch as it came (ingester/door/trace_batch.h), without what was refused
 *   DIR/floor   decimal: all traces of records before this one are in segments. A restart reads the log from there; the log
 *               is cut behind it. As traces live for seconds it is short. Of records behind it some may be in
 *               segments, too: their spans come twice, and are united.
 *   DIR/segments/<tenant>/<window's start, Unix ms>-<ULID>/000001.pieces …
 *   DIR/dropped-by/<tenant>  ingester/metrics/dropped_by.h
 *
 * A *segment* is what was cut of a tenant's traces which were first heard of in one window of TRACEHEAD_WINDOW_MS of the clock. While it
 * grows nobody is told of it; then what comes later of the window is another segment. One that is found at a start grows no more.
 *
 * Memory: 64 bytes and a little for each live trace, of which there are no more than max_live over all tenants (pushes beyond are
 * refused with ERR_UNAVAILABLE); RocksDB's buffers; batches under way up to push_queue_bytes. On command, and when three quarters of
 * max_live are there, traces are cut though they are not idle.
 *
 * Threads: tracehead_push() and plain getters from any, never blocking on disk. What is marked
 * "blocking" belongs on a worker.
 */
#pragma once
#include <stdatomic.h>

#include "common/base/arena.h"
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/wal/wal.h"
#include "ingester/metrics/batch.h"
#include "ingester/traces/sampler.h"

#define TRACEHEAD_WINDOW_MS 7200000ll

struct tracehead;

struct tenant_rules;
struct tracehead_sampling {
    struct sampler *sampler; /* NULL: all traces are kept; the caller's, until tracehead_close() */
    struct tenant_rules *(*rules)(void *arg, struct slice tenant); /* a reference */
    void *arg;
};
struct tracehead_opts {
    const char *dir;          /* created if absent */
    struct wal *wal;          /* opened by the caller, closed by it after tracehead_close() */
    int64_t idle_ms;          /* a trace without spans for so long is cut; 0: 10 s */
    int64_t max_live_ms;      /* spans that come later than this keep it alive no longer; 0: 30 s */
    int64_t cut_period_ms;    /* how often what is idle is cut, in one file a tenant; 0: 10 s */
    uint64_t max_live;        /* live traces; 0: 4,000,000 */
    int64_t segment_bytes;    /* a segment of so much grows no more; 0: 512 MiB */
    int64_t grace_ms;         /* from a window's end until its segments grow no more; 0: 15 min */
    int64_t push_queue_bytes; /* batches under way; 0: 256 MiB */
    size_t write_buffer_bytes; /* of RocksDB; 0: 16 MiB */
    struct tracehead_sampling sampling;
    const struct clock *clock; /* NULL: the system's */
};

ORR_CHECKED struct err *tracehead_open(const struct tracehead_opts *opts, struct tracehead **ret);
/* Waits for pushes under way, stops the threads; what is live stays in the log. Blocking. NULL is allowed. */
void tracehead_close(struct tracehead *h);
bool tracehead_is_ready(const struct tracehead *h); /* the replay is through */
/* Blocking, until ready. The error that ended the replay, if one did (then the head stays unready). */
ORR_CHECKED struct err *tracehead_wait_ready(struct tracehead *h);

/* ---- writing ---- */

struct tracehead_limits {
    uint64_t max_traces;      /* live traces of the tenant in this head; 0: no limit */
    uint64_t max_trace_bytes; /* of pieces of a live trace; 0: no limit */
};
/*
 * The push is through: e NULL: everything not rejected is stored and durable; else (ERR_IO, ERR_UNAVAILABLE) it may or may not
 * be stored. Takes e; reply is lent for the call, its series are the batch's traces, its times 0. Called exactly once per successful
 * tracehead_push(), on the wal thread or the head's: must not block.
 */
typedef void tracehead_push_fn(void *arg, struct err *e, struct batch_reply *reply);
/* bytes: trace_batch.h; lent until done was called. An error here (ERR_UNAVAILABLE when the queue is full, there are too many live
 * traces, or the head is closing; ERR_IO) means done is not called. A batch that is none is ERR_INVALID, in done. Any thread. */
ORR_CHECKED struct err *tracehead_push(struct tracehead *h, struct slice tenant, struct slice bytes,
                                       const struct tracehead_limits *limits,
                                       tracehead_push_fn *done, void *arg);

/* ---- reading: blocking; a set belongs to one thread ---- */

struct tracehead_query {
    struct slice tenant;
    /* Traces of which a span, of some piece, overlaps this; end is exclusive. INT64_MIN, INT64_MAX: all, which is cheaper */
    int64_t start_ns, end_ns;
    uint8_t first[16], last[16]; /* both included */
    bool has_ids;                /* only these: */
    const uint8_t (*ids)[16];    /* ascending; lent until the set is closed */
    size_t n_ids;
    bool ids_only;
    uint64_t max_bytes;        /* of pieces, or ids; ERR_LIMIT beyond; 0: no bound */
    int64_t after_ns;          /* without traces that began before it; 0: all */
    const atomic_bool *cancel; /* may be NULL; ERR_CANCELED */
};
struct tracehead_trace {
    const uint8_t *id;
    const struct slice *pieces;
    uint32_t n; /* 0: ids_only */
};
struct tracehead_set;
/* By ascending id, none twice; what it lends is there, whatever is written, cut or dropped, until it is closed. ERR_UNAVAILABLE before
 * the head is ready. */
ORR_CHECKED struct err *tracehead_select(struct tracehead *h, const struct tracehead_query *q,
                                         struct tracehead_set **ret);
/* Lent until the next call. False at the end or after an error. */
bool tracehead_set_next(struct tracehead_set *s, struct tracehead_trace *ret);
/* NULL, or why it stopped early. Frees s; NULL is allowed. */
ORR_CHECKED struct err *tracehead_set_close(struct tracehead_set *s);

/* A sampler_look_fn of those that are live. Blocking; ERR_UNAVAILABLE before the head is ready. */
ORR_CHECKED struct err *tracehead_evidence(struct tracehead *h, struct slice tenant,
                                           const struct tail_rules *rules, const uint8_t (*ids)[16],
                                           size_t n, struct sampling_evidence *ret);

/* ---- segments ---- */

struct tracehead_segment {
    char tenant[152]; /* NUL-terminated */
    char ulid[27];
    int64_t min_ms, max_ms; /* the window; max is exclusive */
    uint64_t traces, spans, bytes;
    uint32_t files;
    int64_t
        cut_ms; /* Unix ms since when it grows no more; after a restart: its window's end + grace, if that is longer ago */
    void *pin;  /* set by tracehead_segment_pin() */
};
/* Those that grow no more, by tenant and window; the caller mem_free()s. Any thread. */
void tracehead_segments(struct tracehead *h, struct tracehead_segment **ret, size_t *ret_n);
/* Cuts all live traces of tenant (empty: of all), and lets its segments grow no more. Blocking; ERR_UNAVAILABLE before it is ready. On
 * an error (ERR_IO …) live traces stay so. *ret_segments (may be NULL): how many segments stopped growing. */
ORR_CHECKED struct err *tracehead_cut(struct tracehead *h, struct slice tenant,
                                      size_t *ret_segments);
/* Those whose window ended the grace ago grow no more. How many there were. */
size_t tracehead_cut_due(struct tracehead *h);
/* Keeps what a segment lends. ERR_NOT_FOUND: there is no such, or it grows. Pair with unpin. */
ORR_CHECKED struct err *tracehead_segment_pin(struct tracehead *h, struct slice tenant,
                                              struct slice ulid, struct tracehead_segment *ret);
void tracehead_segment_unpin(struct tracehead *h, const struct tracehead_segment *pinned);
/* Its i-th file, with its number, which stays the same over restarts. Lent until unpin. False: there is none. */
bool tracehead_segment_file(const struct tracehead_segment *pinned, size_t i, uint32_t *ret_number,
                            struct slice *ret_bytes);
/*
 * A visible block names it as a source, in this version of the tenant's catalogue of traces (0: it is not known in which). When
 * this returns without error it is gone for those who ask from now on, also after a crash. ERR_NOT_FOUND; ERR_IO: it
 * stays. Blocking.
 */
ORR_CHECKED struct err *tracehead_segment_dropped(struct tracehead *h, struct slice tenant,
                                                  struct slice ulid, uint64_t version);
/* The highest version by which a segment of the tenant was dropped here, ever; 0: none was. Asked after a read has
 * been opened it covers all that the read does not find here any more. Any thread. */
uint64_t tracehead_dropped_by(struct tracehead *h, struct slice tenant);

/* ---- upkeep ---- */

/* Cuts what is due, once in cut_period_ms, and the log; to be called about once a second. Blocking. */
ORR_CHECKED struct err *tracehead_maintain(struct tracehead *h);

struct tracehead_stats {
    uint64_t live, live_bytes; /* traces, and bytes of their pieces; of all tenants */
    uint64_t replayed;         /* pieces, at the start */
    uint64_t floor;            /* the log is needed from here on */
};
void tracehead_stats_get(struct tracehead *h, struct tracehead_stats *ret);
