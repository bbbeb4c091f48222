/*
 * Between the API and the engine: how a tenant's query is answered with as little work as it needs.
 *
 *     planner_query ─▶ an equal one is under way?  ─yes─▶ one more run for all who came meanwhile (flight.h)
 *                           │no
 *                           ▼
 *       a range query: steps known from before, the others in stretches of time (stepwise.h)
 *                           │
 *                           ▼
 *       each stretch, and instant queries: as one, or in shards of the series (splitter.h)
 *
 * What is kept of an answer is true as long as what it was made of is: it goes when the tenant's deletions or
 * the limits that an answer hangs on change, steps are kept only when they are older than
 * limits.max-cache-freshness and the out-of-order window, and when samples come later than that (a producer
 * catches up after an outage) the ingesters tell of it (common/model/late_writes.h): while they do nothing is kept,
 * and what was kept is forgotten. Between processes such news take gossip's way, a second or two when it gets through;
 * for what they miss (a block put into the bucket by hand) nothing is kept longer than max_age_ms. Header
 * Cache-Control: no-store asks for an answer from scratch.
 *
 * Queries that want to know what they cost (stats=…), rulers' and those over several tenants are not shared or kept.
 *
 * Threads: planner_query() blocks, on a worker; one struct planner is shared by all.
 */
#pragma once
#include "common/model/limits.h"
#include "querier/plan/splitter.h"

struct planner;

struct planner_opts {
    const struct engine *engine;
    struct splitter *splitter;
    size_t max_bytes;   /* of kept answers; 0: none are */
    int64_t max_age_ms; /* of a kept answer */
    int64_t split_ms;   /* stretches are cut at multiples of it; 0: not */
    bool shares;        /* equal queries that wait at the same time are run once */
    const struct clock *clock;
};

struct planner *planner_new(const struct planner_opts *opts); /* registers its metrics */
void planner_free(struct planner *p);                         /* NULL is allowed */
/* Late samples of this tenant are told of. Any thread. */
void planner_late_writes(struct planner *p, struct slice tenant, uint64_t version);

struct planner_ask {
    const struct engine_query *q;
    const struct tenant_limits *limits;
    struct store_query *sq; /* its arena is the query's */
    bool is_afresh;         /* nothing known before, nothing kept, nothing shared */
};
/* What the result's series point to, beside the query's arena (annotations are the arena's). {0}, and done whatever came of the query. */
struct planner_holds {
    struct splitter_stretches stretches;
};
ORR_CHECKED struct err *planner_query(struct planner *p, const struct planner_ask *ask,
                                      struct planner_holds *holds, struct engine_result *ret);
void planner_holds_done(struct planner_holds *h);
