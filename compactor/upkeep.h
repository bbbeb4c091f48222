/*
 * The second thread of the role, "upkeep": compaction and sweeping of what is in the bucket already, so that
 * neither holds up flushes.
 *
 *   every compaction-interval   each tenant of the bucket whose catalogue has changed, or has something come due:
 *                               plan (levels.h), do those jobs that are ours (levelmerge.h), look again
 *   every sweep-interval        each tenant that is ours: sweep.h
 *
 * A job belongs to the owner of levels_key() on the compactor ring, a tenant's sweep to that of
 * ring_key("tenant/sweep"). Ownership only saves work; what makes it safe is in levelmerge.h and sweep.h.
 *
 * A tenant gets UPKEEP_TENANT_JOBS jobs, then the next has its turn. One whose job failed waits: retry-min,
 * doubled up to retry-max. A block that does not verify is left out for the time of "quarantine".
 *
 * What is remembered is for timing and for the page alone, and may be lost.
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/metric.h"
#include "compactor/levelmerge.h"

struct compactor;
struct upkeep;

#define UPKEEP_TENANT_JOBS 8
#define UPKEEP_PAGE_TENANTS 1000
#define UPKEEP_PAGE_ITEMS 10 /* jobs, or blocks of a list, of one tenant on the page */

struct upkeep_metrics { /* of one signal; gauges as of the last look */
    uint64_t jobs_failed, expired, orphans, deleted, tenant_failures, unswept, tombstones_forgotten;
    int64_t tenants, backlog_jobs, backlog_bytes, running, live_blocks, quarantined, retired,
        foreign, tombstones, to_rewrite;
    double oldest_s; /* since when the oldest job could have been done */
    struct levelmerge_metrics merge;
    struct metric_hist job_s;
};

/* ERR_INVALID: the ranges that are configured make no sense. c must outlive it. */
ORR_CHECKED struct err *upkeep_new(struct compactor *c, struct upkeep **ret);
void upkeep_free(struct upkeep *u); /* stops first; NULL is allowed */
/* ended: the last thing that the thread does. */
ORR_CHECKED struct err *upkeep_start(struct upkeep *u, void (*ended)(void *arg), void *arg);
/* Asks the thread to end; a job under way is broken off. Any thread. */
void upkeep_stop(struct upkeep *u);
void upkeep_hint(struct upkeep *u);                    /* look, and sweep, now; any thread */
void upkeep_status(struct upkeep *u, struct buf *out); /* a JSON object; any thread */
