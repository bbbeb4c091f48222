/*
 * How a query is run: as one, or in shards of its series on several threads and queriers.
 *
 *     splitter_query ─▶ did this query cost much the last time? ─no─▶ engine_query()
 *                              │yes
 *                              ▼
 *       engine_query_split(): shard 0 … n-1 ─┬─ threads of this process (job_parallel)
 *                                            └─ other queriers ("querier.partial"), a share each
 *
 * Stretches of time of a query (stepwise.h) are run in the same way, each as one; of a query that cost much
 * the other queriers take a share.
 *
 * What a query costs is known from the last time it was asked (samples read, by a hash of tenant and text):
 * most queries are small, and for them parts would cost more than they save.
 *
 * Budgets are the whole query's: series and bytes are counted together over the local parts; memory and
 * samples are divided by the number of parts that run at once. A querier that cannot take its share (busy,
 * gone, of an older version) has it done here instead; any other error is the query's.
 *
 * Threads: splitter_query() blocks, on a worker; one struct splitter is shared by all. The handler of
 * "querier.partial" runs its part on the plan's own threads.
 */
#pragma once
#include "common/rpc/rpc.h"
#include "querier/engine/engine.h"
#include "querier/store/store.h"

struct splitter;

struct splitter_opts {
    const struct engine *engine;
    struct store *store;
    unsigned threads; /* shards that run at once in this process; below 2: no splitting here */
    uint64_t split_at_samples; /* queries that read so many the last time are split; 0: never */
    size_t max_part_bytes;     /* memory of a part run for another querier */
    struct rpc_pool *pool;     /* NULL: this process alone */
    /* Addresses of the other queriers: up to max, each written as a NUL-terminated text of at most
     * SPLITTER_ADDR_BYTES. Any thread. NULL: there are none. */
    size_t (*peers)(void *arg, char (*ret)[256], size_t max);
    void *peers_arg;
};
#define SPLITTER_ADDR_BYTES 256
#define SPLITTER_MAX_PEERS 16

struct splitter *splitter_new(const struct splitter_opts *opts);
/* Cancels and waits for the parts that run. NULL is allowed. */
void splitter_free(struct splitter *p);
/* Registers "querier.partial". Before the server starts. */
void splitter_serve(struct splitter *p, struct rpc_server *server);

/* The threads that parts run on, lent: for what else is done in parts. */
struct job_pool *splitter_pool(struct splitter *p);

struct splitter_stats {
    uint64_t split, time_split, parts_local, parts_remote, parts_returned, parts_served;
};
void splitter_stats_get(struct splitter *p, struct splitter_stats *ret);

/* As engine_query() over sq; sq's arena is a. */
ORR_CHECKED struct err *splitter_query(struct splitter *p, const struct engine_query *q,
                                       struct store_query *sq, struct arena *a,
                                       struct engine_result *ret);

/* ---- stretches of time of one query ---- */

struct splitter_stretches {
    struct splitter *splitter;
    struct store_query *sq; /* its arena is the query's */
    struct arena **arenas;  /* of the last run's jobs: what their results point to */
    size_t n_arenas;
};
/* An engine_run_fn; arg is the struct splitter_stretches. Series and bytes are counted for each stretch by
 * itself, and bytes also together. Forgets the results of an earlier run. */
void splitter_stretches_run(void *arg, struct engine_job *jobs, size_t n);
void splitter_stretches_done(struct splitter_stretches *s);
