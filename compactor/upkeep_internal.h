/*
 * What the files of upkeep.h share: upkeep.c (the thread, its life, what it shows) and upkeep_tenant.c (what
 * is done about one tenant).
 */
#pragma once
#include "common/base/clock.h"
#include "common/base/job.h"
#include "common/base/mem.h"
#include "compactor/compactor_internal.h"
#include "compactor/tierplan.h"

/* What is remembered of a tenant. */
struct upkeep_tenant {
    char etag[OBJSTORE_ETAG_BYTES]; /* of the catalogue when nothing was to be done with it */
    int64_t due_ms;                 /* Unix; till then nothing, while the etag stays */
    bool was_downsampled;           /* limits.downsampling at that time */
    int64_t retry_ms;               /* monotonic */
    unsigned failures;
    uint64_t pass;       /* that saw it */
    size_t jobs, blocks; /* planned and not done; live */
    uint64_t bytes;
    int64_t oldest_ms; /* Unix, of the jobs' due_ms; INT64_MAX: none */
    size_t retired, foreign;
    struct buf levels, sweep; /* members of the page's row */
};

struct upkeep_job;

struct upkeep {
    struct compactor *c;
    struct upkeep_metrics m;
    pthread_t thread;
    bool has_thread;

    /* the thread's */
    struct map tenants;     /* → struct upkeep_tenant */
    struct map quarantined; /* "tenant/ULID" → monotonic ms till when, allocated */
    struct job_pool *pool;
    int64_t pool_threads;
    uint64_t pass;
    int64_t next_sweep_ms; /* monotonic */

    struct lock lock;
    pthread_cond_t changed;
    /* under the lock */
    bool is_hinted, is_running;
    void (*ended)(void *arg);
    void *ended_arg;
    struct buf rows;
    int64_t last_pass_ms; /* Unix */
    VEC(struct upkeep_job *) running;
};

/* One look at all tenants. */
struct upkeep_pass {
    struct upkeep *u;
    const struct compactor_conf *conf;
    struct tierplan_opts tiers;
    struct ring *compactors;
    bool is_sweep, found_more;
};

/* One tenant's turn. */
void upkeep_tenant_look(struct upkeep_pass *p, struct slice tenant);
void upkeep_tenant_free(struct upkeep_tenant *t);
/* Blocks in quarantine whose time is over get another chance. */
void upkeep_tenant_release(struct upkeep *u);
/* A job under way as JSON: the page's, under the lock. */
void upkeep_tenant_put_running(struct buf *out, const struct upkeep_job *j);
/* Ends e: a pass goes on. */
void upkeep_note(struct upkeep *u, const char *what, struct err *e);

static inline bool upkeep_is_stopping(const struct upkeep *u)
{
    return atomic_load(&u->c->is_stopping);
}
