/*
 * Brings a push to its replicas and says when it is safe.
 *
 *   series ──token──▶ replica set ──▶ one batch per instance (also when it is in several sets)
 *        local: by pointer            remote: RPC ingester.push
 *   replies ──▶ quorum per set (common/ring/quorum.h) ──▶ done, at the first verdict
 *
 * A series that its replicas are not known to have is sent with its labels. A replica that does not
 * know one that came without says so, and gets it again with labels: also after done, for as long
 * as replicas are outstanding, so that the slowest replica does not miss a series.
 *
 * When all series have one replica set (RF 1 in one process; three ingesters with RF 3) the batch
 * is encoded once and its bytes go to all.
 *
 * done gets an error when a set cannot reach its quorum (ERR_UNAVAILABLE; the data may have been
 * stored), or when a majority refused the batch itself. Without an error what was not rejected is
 * durable on a majority of each set.
 *
 * Rejections are judged sample by sample: one is stored when as many replicas of its set as a quorum
 * needs have taken that very sample. Where they disagree (one has newer samples of the series and
 * does not take older ones, the other one missed them) and a replica is outstanding whose answer
 * may decide, done waits for it; what is short of a quorum after that is reported as rejected, with
 * the reason of those who refused. Exemplars and metadata do not fail a write: theirs are counts
 * that a majority reports.
 *
 * Late at one replica. Two samples of a series that a client sent one after the other, through two
 * doors, may pass each other on their way to one replica: there the first is out of order, though a
 * quorum took it and the client was told so. When all replicas have answered, samples which a quorum
 * has and another replica of their set refused as BATCH_OUT_OF_ORDER or BATCH_TOO_OLD are sent to it
 * once more, as late: then order and window are not asked. So
 *   - what is late is decided by the quorum alone. What a client itself sends out of order a majority
 *     refuses, so it stays refused; clocks of client, door and replica may differ, and timestamps may
 *     be of the future, or an hour old because the client catches up;
 *   - done does not wait for it, and its outcome does not change the verdict. Until it is there (or if
 *     the door dies before) the sample is on a quorum, which is what was promised;
 *   - bounds of time, series and windows hold as ever. What they refuse is counted as missed;
 *   - another value at the same time is BATCH_DUPLICATE, not late: each replica keeps what it took
 *     first, and readers who see both choose as querier/store/columns.h and block_merge.h say;
 *   - histograms are treated alike. Start timestamps go with their samples; zeros where counters
 *     began and exemplars do not: no quorum is counted for them;
 *   - a replica that reads back its log takes samples in any order, and so is never late;
 *   - a peer of before does not know "ingester.push_late": the sample is missed there, as it was.
 *
 * A push that is late itself (push.is_late: a ruler fills a hole) goes to all of its replicas that way from the beginning.
 *
 * Log lines go the same way (distribute_bring()): streams are their series.
 *
 * distribute_push() is called on a loop, and done on the same one. Any number of loops at once.
 */
#pragma once
#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/base/metric.h"
#include "common/ring/ring.h"
#include "common/rpc/rpc.h"
#include "ingester/metrics/batch.h"
#include "ingester/push.h"

struct distribute;

/* A local replica's answer, on any thread; takes e; bytes are the batch reply, lent. */
typedef void distribute_local_fn(void *arg, struct err *e, struct batch_reply *reply);

struct distribute_ops {
    /* The ingesters' ring for writes; a new reference. Any loop. */
    struct ring *(*ring)(void *arg);
    /* This process's own replica: bytes are lent until done was called. An error: it is not. is_late:
     * a quorum has all of it, or the push is late itself. NULL: all that is brought has distribute_cargo_ops.store. */
    struct err *(*local)(void *arg, struct slice tenant, struct slice bytes, bool is_late,
                         distribute_local_fn *done, void *done_arg);
    /* As rpc_call() of "ingester.push", or "ingester.push_late"; on_reply comes on the calling loop. */
    void (*remote)(void *arg, const struct member *to, struct slice tenant, struct slice bytes,
                   bool is_late, int64_t timeout_ms, rpc_reply_fn *on_reply, void *reply_arg);
    void *arg;
    /* Samples of it may have been stored; just before done. On the push's loop. May be NULL. */
    void (*stored)(void *arg, const struct push *p);
};

struct distribute_opts {
    struct distribute_ops ops;
    const char *instance;       /* our name in the ring */
    int64_t timeout_ms;         /* of one write, all attempts together; of late samples once more */
    int64_t max_inflight_bytes; /* pushes not yet answered by all replicas */
    const char *metric_labels;  /* `signal="logs"`; NULL: none */
};

struct distribute *distribute_new(const struct distribute_opts *opts);
/* Pushes that are still under way are not told about any more; they end with their replicas'
 * answers. When the loops have stopped, or on the only one. NULL is allowed. */
void distribute_free(struct distribute *d);

/* Whether there is room for a body of so many bytes; counts a refusal. */
bool distribute_has_room(struct distribute *d, size_t bytes);
/* Bytes of a write that is on its way here still, and so takes room; negative gives back. */
void distribute_hold(struct distribute *d, int64_t bytes);
size_t distribute_inflight(const struct distribute *d); /* pushes; any thread */

#define DISTRIBUTE_MAX_EXAMPLES 8
struct distribute_example {
    enum batch_reason reason;
    uint32_t series; /* in the push */
    int64_t t_ms;
};
struct distribute_refusal {
    struct distribute_example what;
    uint64_t n; /* several samples may share series and time */
};
struct distribute_result {
    struct err *error; /* lent; NULL: durable on a quorum */
    uint64_t rejected[BATCH_REASON_COUNT];
    struct distribute_example examples[DISTRIBUTE_MAX_EXAMPLES];
    size_t n_examples;
    const struct distribute_refusal *refusals; /* of samples and histograms, all; lent */
    size_t n_refusals;
    struct slice widest; /* lent: batch_reply.widest of the replica with the most values */
};
/* Lent. p still lives; NULL: something else was brought. */
typedef void distribute_done_fn(void *arg, const struct push *p,
                                const struct distribute_result *result);

/* A series as batches hold it. */
void distribute_write_series(struct batch_writer *w, const struct push_series *s, bool with_labels);

/* Takes p. done is called once, never from within this call. */
void distribute_push(struct distribute *d, struct loop *loop, struct push *p,
                     distribute_done_fn *done, void *arg);

/*
 * What is brought to replicas, if it is no push: items with a place on the ring, and their bytes. Of
 * these the first n_series are what replies (batch.h) speak of, in the same order.
 */
struct distribute_cargo_ops {
    uint32_t (*token)(const void *arg, size_t i);
    /* Appends a batch of the n items (NULL: of all, n), ascending; with_labels: also of series that
     * replicas are known to have. */
    void (*encode)(const void *arg, const uint32_t *items, size_t n, bool with_labels,
                   struct buf *out);
    size_t (*memory)(const void *arg); /* bytes, roughly */
    /* This process's own replica takes the items as they are, so no bytes are made for it; else as distribute_ops.local. n is of
     * items also when that is NULL, which is lent for the call. May be NULL: it is given bytes like the others. */
    struct err *(*store)(void *arg, const uint32_t *items, size_t n, bool with_labels,
                         distribute_local_fn *done, void *done_arg);
    void (*end)(void *arg); /* all replicas have answered */
};
struct distribute_cargo {
    const struct distribute_cargo_ops *ops;
    void *arg;           /* until end */
    struct slice tenant; /* likewise */
    unsigned shard_size; /* of the tenant's part of the ring; 0: all */
    size_t n, n_series;
};
/* As distribute_push(); done is told of no push. */
void distribute_bring(struct distribute *d, struct loop *loop, const struct distribute_cargo *cargo,
                      distribute_done_fn *done, void *arg);
