/*
 * What the files of upkeep.h share: upkeep.c (the thread, its life, what it shows) and upkeep_tenant.c (what
 * is done about one tenant).
 */
#pragma once
#include "common/base/clock.h"
#include "common/base/job.h"
#include "common/base/mem.h"
#include "compactor/compactor_internal.h"
#include "compactor/deletions.h"
#include "compactor/tierplan.h"

/* What is remembered of a tenant. */
struct upkeep_tenant {
    /* of the catalogue and the tombstones when nothing was to be done with them */
    char etag[OBJSTORE_ETAG_BYTES], tombs_etag[OBJSTORE_ETAG_BYTES];
    int64_t due_ms;       /* Unix; till then nothing, while the etag stays */
    bool was_downsampled; /* limits.downsampling at that time */
    int64_t retry_ms;     /* monotonic */
    unsigned failures;
    uint64_t pass;       /* that saw it */
    size_t jobs, blocks; /* planned and not done; live */
    uint64_t bytes;
    int64_t oldest_ms; /* Unix, of the jobs' due_ms; INT64_MAX: none */
    size_t retired, foreign;
    struct deletions *deletions;
    struct tenant_rules *rules; /* of this turn */
    struct retention retention;
    uint32_t split_shards;
    uint64_t generation;      /* of the limits */
    size_t tombstones;        /* on the list */
    struct buf levels, sweep; /* members of the page's row */
};

/* A block that is left out. */
struct upkeep_quarantine {
    int64_t until_ms; /* monotonic */
    char reason[512]; /* which section, and what is wrong with it */
};

struct upkeep_job;

/* What is remembered of a signal. The thread's, but for what is counted. */
struct upkeep_part {
    const struct signal *signal;
    struct upkeep_metrics m;
    struct map tenants;     /* → struct upkeep_tenant */
    struct map quarantined; /* "tenant/ULID" → struct upkeep_quarantine */
};

struct upkeep {
    struct compactor *c;
    uint64_t passes;
    pthread_t thread;
    bool has_thread;
    void (*ended)(void *arg);
    void *ended_arg;

    /* the thread's */
    struct upkeep_part parts[SIGNAL_COUNT];
    struct map said; /* of dry-run, "tenant/what/ULID": not again at every look; bounded */
    struct job_pool *pool;
    int64_t pool_threads;
    uint64_t pass;
    int64_t next_sweep_ms; /* monotonic */

    struct lock lock;
    pthread_cond_t changed;
    /* under the lock */
    bool is_hinted;
    struct buf rows;
    int64_t last_pass_ms; /* Unix */
    VEC(struct upkeep_job *) running;
};

/* One look at all tenants of a signal. */
struct upkeep_pass {
    struct upkeep *u;
    struct upkeep_part *part;
    const struct compactor_conf *conf;
    struct tierplan_opts tiers;
    struct ring *compactors;
    bool is_sweep, found_more;
};

/* One tenant's turn. */
void upkeep_tenant_look(struct upkeep_pass *p, struct slice tenant);
void upkeep_tenant_free(struct upkeep_tenant *t);
/* Blocks in quarantine whose time is over get another chance. */
void upkeep_tenant_release(struct upkeep_part *part);
/* Whatever is remembered of catalogues in which nothing was to be done is forgotten. */
void upkeep_tenant_look_anew(struct upkeep_part *part);
/* Reads the tombstones and looks into those of our blocks that they reach. A failure is noted, and
 * the next pass looks again. *io_due_ms becomes less when a tombstone comes due before. */
void upkeep_deletions_look(struct upkeep_pass *p, struct slice tenant, struct upkeep_tenant *t,
                           const struct catalogue *c, int64_t *io_due_ms);
/* Takes tombstones off the list of which nothing is left. The tenant's sweep. */
ORR_CHECKED struct err *upkeep_deletions_sweep(struct upkeep_pass *p, struct slice tenant,
                                               struct upkeep_tenant *t);
/* ---- quarantine ---- */
void upkeep_tenant_quarantine(struct upkeep_pass *p, struct slice tenant, struct ulid block,
                              const char *reason);
bool upkeep_tenant_is_quarantined(const struct upkeep_part *part, struct slice tenant,
                                  struct ulid block);

/* Whether dry-run has not said so yet. */
bool upkeep_is_news(struct upkeep *u, struct slice tenant, const char *what, struct ulid id);

/* A job under way as JSON: the page's, under the lock. */
void upkeep_tenant_put_running(struct buf *out, const struct upkeep_job *j);
/* Series that it has gone through, and of how many it will be at least. */
void upkeep_tenant_add_progress(const struct upkeep_job *j, uint64_t *io_done, uint64_t *io_all);
/* Ends e: a pass goes on. */
void upkeep_note(struct upkeep *u, const char *what, struct err *e);

static inline bool upkeep_is_stopping(const struct upkeep *u)
{
    return atomic_load(&u->c->is_stopping);
}
