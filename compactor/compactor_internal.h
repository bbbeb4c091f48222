/*
 * What the files of the role share.
 *
 * Threads: "compactor" runs the rounds and owns the plan; with compactor.concurrency above 1 its pool
 * runs flushes beside it. "upkeep" (upkeep.h) compacts and sweeps. Pages and RPC handlers run on loops and see only what is under the lock.
 */
#pragma once
#include <pthread.h>
#include <stdatomic.h>

#include "common/base/lock.h"
#include "common/base/map.h"
#include "common/base/metric.h"
#include "common/base/spell.h"
#include "common/base/vec.h"
#include "common/block/catalogue.h"
#include "common/model/limits.h"
#include "compactor/compactor.h"
#include "compactor/plan.h"
#include "compactor/segflush.h"
#include "compactor/upkeep.h"
#include "compactor/writers.h"

struct compactor_conf {
    int64_t poll_interval_ns, flush_wait_ns, early_wait_ns, cut_grace_ns, drop_delay_ns;
    int64_t retry_min_ns, retry_max_ns, quarantine_ns, rpc_timeout_ns;
    int64_t concurrency, max_segment_bytes;
    /* upkeep.h's */
    int64_t compaction_interval_ns, compaction_wait_ns, sweep_interval_ns, deletion_delay_ns,
        orphan_age_ns, delete_rewrite_after_ns;
    int64_t compaction_concurrency, max_block_bytes;
    char *block_ranges, *coarse_ranges;
    int64_t after_5m_ns, after_1h_ns; /* tierplan.h's */
    bool is_dry;
};
extern const struct conf_section compactor_section;

struct compactor_metrics {
    uint64_t rounds, hints;
};
/* Of one signal. */
struct compactor_part_metrics {
    uint64_t polls, poll_failures, drops, drop_failures, catalogue_failures;
    int64_t segments, windows, quarantined, backlog_bytes, running;
    double oldest_s;
    struct metric_hist flush_s;
    struct segflush_metrics flush;
};

#define COMPACTOR_CODES 32 /* at least as many as there are error codes */

/* A flush under way, for the status page. */
struct compactor_running {
    const struct signal *signal;
    char tenant[160];
    int64_t window_ms, start_wall_ms;
    size_t segments;
    uint64_t bytes;
};

/* A tenant's catalogue as last read. The compactor thread's. */
struct compactor_catalogue {
    struct catalogue *c;
    struct slice
        *named; /* catalogue_segments() of c: each round asks for all that ingesters hold */
    size_t n_named;
    char etag[OBJSTORE_ETAG_BYTES];
    uint64_t round;  /* that looked last */
    bool is_known;   /* in that round the bucket answered */
    uint64_t posted; /* version last told to the others */
};

/* What the compactor thread has of a signal. */
struct compactor_part {
    const struct signal *signal;
    struct compactor_part_metrics m;
    struct plan *plan;
    struct map catalogues; /* tenant → struct compactor_catalogue */
    /* under the compactor's lock, as of the last round */
    size_t ingesters, answered;
    struct buf rows; /* JSON of the windows that wait */
};

struct compactor {
    struct process *process;
    struct rpc_pool *peers;
    struct loop *loop; /* the pool's */
    struct membership *membership;
    struct writers *writers;
    struct objstore *store; /* the writers' */
    int64_t deletes_ms;     /* how long a request to delete may be under way (sweep.h) */
    struct limits *limits;
    struct upkeep *upkeep;
    char *work_dir;
    struct compactor_metrics m;
    uint64_t failures[COMPACTOR_CODES]; /* by position in ERR_CODES */
    struct spell trouble;
    atomic_bool is_stopping;
    atomic_bool has_gained; /* a lease, since upkeep has looked */
    pthread_t thread;
    bool has_thread;

    /* the thread's */
    struct compactor_part parts[SIGNAL_COUNT];
    struct job_pool *pool; /* NULL: flushes run one after the other */
    int64_t pool_threads;
    uint64_t round;

    struct lock lock;
    pthread_cond_t changed;
    /* under the lock */
    bool is_hinted;
    process_done_fn *done; /* of the drain, until it is called: when all threads have ended */
    void *done_arg;
    unsigned running_threads;
    VEC(struct compactor_running *) running;
    char last_error[512];
    int64_t last_error_ms, last_round_ms;
    bool is_owner; /* this process is on the compactor ring */
};

/* One round: ask, plan, drop, flush. Returns the monotonic ms by which to look again at the latest.
 * The compactor thread's. */
int64_t compactor_round(struct compactor *c, const struct compactor_conf *conf);
void compactor_catalogues_done(struct compactor *c);
/* Whether the ring gives a key to this process. Any thread. */
bool compactor_is_given(const struct compactor *c, const struct ring *compactors, uint32_t key);
/* Whether work on a tenant is this process's: by the ring, which gives the key to it; where leases decide (writers.h) by
 * the lease, whatever the key. Any thread. */
bool compactor_owns(const struct compactor *c, const struct ring *compactors, struct slice tenant,
                    uint32_t key);
/* Pool for as many jobs at once, the caller's thread being one of them: NULL for one. */
void compactor_size_pool(const char *name, int64_t concurrency, struct job_pool **io_pool,
                         int64_t *io_threads);
/* Gossips the version of a tenant's catalogue, as "catalogue/<signal>/<tenant>". Any thread. */
void compactor_tell_version(struct compactor *c, const struct signal *sig, struct slice tenant,
                            uint64_t version);
/* What failed and will be tried again: counts it, keeps it for the status page, logs it unless its spell
 * has been told of. Ends e. Any thread. */
void compactor_note(struct compactor *c, const char *doing, struct err *e);
/* Starts a round soon. Any thread. */
void compactor_hint(struct compactor *c);

void compactor_pages_open(struct compactor *c);   /* routes and metrics */
void compactor_changes_open(struct compactor *c); /* the RPC a querier has its deletions made by */
void compactor_pages_close(struct compactor *c);
