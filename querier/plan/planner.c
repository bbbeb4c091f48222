#include "querier/plan/planner.h"

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/lock.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/metric.h"
#include "common/model/late_writes.h"
#include "querier/engine/result_wire.h"
#include "querier/plan/flight.h"
#include "querier/plan/stepwise.h"

struct planner_metrics {
    uint64_t hits, misses, steps_kept, steps_run;
};

static const struct metric_field planner_fields[] = {
    METRIC_COUNTER(struct planner_metrics, hits, "orrery_querier_result_cache_hits_total",
                   "Range queries of which some steps were known from before."),
    METRIC_COUNTER(struct planner_metrics, misses, "orrery_querier_result_cache_misses_total",
                   "Range queries that were looked for and of which no step was known."),
    METRIC_COUNTER(struct planner_metrics, steps_kept,
                   "orrery_querier_result_cache_steps_used_total",
                   "Steps of range queries that were not computed again."),
    METRIC_COUNTER(struct planner_metrics, steps_run,
                   "orrery_querier_result_cache_steps_computed_total",
                   "Steps that were computed of range queries whose steps may be kept."),
};

struct planner {
    struct planner_opts opts;
    struct answer_cache *cache; /* NULL: nothing is kept */
    struct flights *flights;    /* NULL: nothing is shared */
    struct planner_metrics m;
    struct lock lock; /* of what follows */
    /* tenant: version of the news of late samples, as a pointer; as many as gossip carries */
    struct map late;
};

/* ---- metrics ---- */

static void write_one(struct buf *out, bool is_openmetrics, enum metric_type type, const char *name,
                      const char *help, uint64_t v)
{
    metric_write_family(out, is_openmetrics, type, name, help);
    metric_write_u64(out, name, NULL, v);
}

static void collect(void *arg, struct buf *out, bool is_openmetrics)
{
    struct planner *p = arg;
    struct answer_cache_stats s = {0};
    struct flights_stats shared = {0};

    if (p->cache)
        answer_cache_stats_get(p->cache, &s);
    if (p->flights)
        flights_stats_get(p->flights, &shared);
    write_one(out, is_openmetrics, METRIC_T_GAUGE, "orrery_querier_result_cache_bytes",
              "Memory of answers that are kept.", s.bytes);
    write_one(out, is_openmetrics, METRIC_T_GAUGE, "orrery_querier_result_cache_pieces",
              "Pieces of answers that are kept.", s.pieces);
    write_one(out, is_openmetrics, METRIC_T_COUNTER, "orrery_querier_result_cache_puts_total",
              "Pieces of answers that were put by.", s.puts);
    write_one(out, is_openmetrics, METRIC_T_COUNTER, "orrery_querier_result_cache_evictions_total",
              "Pieces that went because there was no room.", s.evictions);
    write_one(out, is_openmetrics, METRIC_T_COUNTER, "orrery_querier_result_cache_refused_total",
              "Pieces too large to be kept.", s.refused);
    write_one(out, is_openmetrics, METRIC_T_COUNTER, "orrery_querier_shared_queries_total",
              "Queries that got what the run of an equal one gave.", shared.carried);
}

struct planner *planner_new(const struct planner_opts *opts)
{
    struct planner *p = mem_new(struct planner);

    p->opts = *opts;
    if (!p->opts.clock)
        p->opts.clock = &clock_system;
    if (opts->max_bytes)
        p->cache = answer_cache_new(opts->max_bytes, opts->max_age_ms, p->opts.clock);
    if (opts->shares)
        p->flights = flights_new();
    lock_init(&p->lock, LOCK_LEAF_MODULE);
    metric_register(&p->m, planner_fields, ORR_COUNT(planner_fields), NULL);
    metric_register_collector(collect, p);
    return p;
}

void planner_free(struct planner *p)
{
    if (!p)
        return;
    metric_unregister_collector(collect, p);
    metric_unregister(&p->m);
    answer_cache_free(p->cache);
    flights_free(p->flights);
    map_done(&p->late);
    lock_done(&p->lock);
    mem_free(p);
}

void planner_late_writes(struct planner *p, struct slice tenant, uint64_t version)
{
    lock_take(&p->lock);
    (void)map_put(&p->late, tenant, (void *)(uintptr_t)version);
    lock_release(&p->lock);
}

static uint64_t late_version(struct planner *p, struct slice tenant)
{
    uint64_t version;

    lock_take(&p->lock);
    version = (uint64_t)(uintptr_t)map_get(&p->late, tenant);
    lock_release(&p->lock);
    return version;
}

void planner_holds_done(struct planner_holds *h)
{
    splitter_stretches_done(&h->stretches);
}

/* ---- one query ---- */

struct asked {
    struct planner *p;
    const struct planner_ask *ask;
    struct planner_holds *holds;
    struct reach reach;
    struct slice settings;
    uint64_t version; /* of what the tenant's data are: deletions, and late samples */
    bool may_keep;
};

static struct slice settings_of(const struct planner_ask *ask)
{
    const struct store_query_opts *o = &ask->sq->opts;
    struct buf b = {0};
    struct slice s;

    buf_uvarint(&b, ask->q->max_samples);
    buf_uvarint(&b, o->max_series);
    buf_uvarint(&b, o->max_bytes);
    buf_uvarint(&b, o->shard_size);
    buf_varint(&b, ask->q->max_resolution_ms);
    s = arena_dup(o->arena, buf_slice(&b));
    buf_done(&b);
    return s;
}

/* What is deleted may not come back: without knowing it nothing that was kept is used. */
static void look_at_data(struct asked *q)
{
    struct slice tenant = q->ask->sq->opts.tenant;
    uint64_t versions[2] = {0, late_version(q->p, tenant)};
    struct tombstone_list *l;
    struct err *e = store_tombstones(q->ask->sq, &l);

    if (e) {
        err_free(e); /* the query will meet it, too */
        return;
    }
    versions[0] = tombstone_list_version(l);
    tombstone_list_unref(l);
    q->version = hash_xxh64(slice_of(versions, sizeof(versions)), 0);
    q->may_keep = q->ask->sq->warnings.len == 0 &&
                  !late_writes_are_under_way(versions[1], clock_wall_ms(q->p->opts.clock));
}

/* Each stretch would read all pages of the blocks that it shares with others; shards of the series (splitter.h) read
 * them side by side, and what one has fetched the other finds. */
static int64_t split_of(const struct asked *q)
{
    const struct engine_query *eq = q->ask->q;

    return store_reads_whole(q->ask->sq, eq->start_ms, eq->end_ms) ? 0 : q->p->opts.split_ms;
}

static struct err *run_range(struct asked *q, struct engine_result *ret)
{
    struct planner *p = q->p;
    const struct tenant_limits *l = q->ask->limits;
    struct store_query *sq = q->ask->sq;
    int64_t fresh_ms = ORR_MAX(late_writes_fresh_ms(l), l->out_of_order_time_window_ns / NS_PER_MS);
    struct stepwise_ask ask = {
        .q = q->ask->q,
        .reach = &q->reach,
        .split_ms = split_of(q),
        .cache = q->may_keep && l->cache_results ? p->cache : NULL,
        .tenant = sq->opts.tenant,
        .settings = q->settings,
        .version = q->version,
        .keep_until_ms = clock_wall_ms(p->opts.clock) - fresh_ms,
        .visible_min_ms = sq->opts.min_ms ? sq->opts.min_ms : INT64_MIN,
    };
    struct stepwise_stats stats;
    struct err *e = stepwise_query(&ask, sq->opts.arena, splitter_stretches_run,
                                   &q->holds->stretches, &stats, ret);

    if (stats.pieces_hit + stats.pieces_missed) {
        METRIC_ADD(p->m.hits, stats.pieces_hit > 0);
        METRIC_ADD(p->m.misses, stats.pieces_hit == 0);
        METRIC_ADD(p->m.steps_kept, stats.steps_kept);
        METRIC_ADD(p->m.steps_run, stats.steps_run);
    }
    return e;
}

static struct err *run_one(struct asked *q, struct engine_result *ret)
{
    const struct planner_ask *ask = q->ask;

    if (ask->q->step_ms > 0)
        return run_range(q, ret);
    return splitter_query(q->p->opts.splitter, ask->q, ask->sq, ask->sq->opts.arena, ret);
}

/* ---- with others ---- */

static struct slice flight_key(const struct asked *q)
{
    const struct engine_query *eq = q->ask->q;
    struct arena *a = q->ask->sq->opts.arena;
    struct buf b = {0};
    struct slice key;

    buf_lstr(&b, q->ask->sq->opts.tenant);
    buf_lstr(&b, q->reach.text);
    buf_lstr(&b, q->settings);
    buf_varint(&b, eq->start_ms);
    buf_varint(&b, eq->end_ms);
    buf_varint(&b, eq->step_ms);
    buf_varint(&b, eq->lookback_ms);
    buf_uvarint(&b, q->version);
    key = arena_dup(a, buf_slice(&b));
    buf_done(&b);
    return key;
}

/* The answer for others: behind the text, whose positions its annotations tell. */
struct written {
    const struct engine_result *result;
    struct slice text;
};

static void write_answer(struct buf *out, void *arg)
{
    const struct written *w = arg;

    buf_lstr(out, w->text);
    result_wire_encode(out, w->result);
}

/* bytes are the arena's. *ret_is_foreign: it has annotations, and they are of another spelling of the query. */
static struct err *read_answer(const struct asked *q, struct slice bytes, struct engine_result *ret,
                               bool *ret_is_foreign)
{
    struct arena *a = q->ask->sq->opts.arena;
    struct reader r = reader_new(bytes);
    struct slice text = reader_lstr(&r);
    struct err *e = result_wire_decode(a, reader_bytes(&r, reader_left(&r)), ret);

    if (!e && arena_over(a))
        e = err_new(ERR_LIMIT, "the query needs more than its %zu bytes of memory", arena_limit(a));
    *ret_is_foreign = !e && ret->n_warnings + ret->n_infos > 0 && !slice_eq(text, q->ask->q->expr);
    return e;
}

static struct err *run_shared(struct asked *q, struct engine_result *ret)
{
    struct slice bytes = SLICE_EMPTY;
    struct flight *f = NULL;
    bool is_foreign = false;
    struct err *e = flight_board(q->p->flights, flight_key(q), q->ask->q->deadline_mono_ms,
                                 q->ask->q->cancel, q->ask->sq->opts.arena, &f, &bytes);

    if (e)
        return e;
    if (f) {
        struct written w = {ret, q->ask->q->expr};

        e = run_one(q, ret);
        flight_land(f, e, write_answer, &w);
        return e;
    }
    e = read_answer(q, bytes, ret, &is_foreign);
    return is_foreign ? run_one(q, ret) : e;
}

struct err *planner_query(struct planner *p, const struct planner_ask *ask,
                          struct planner_holds *holds, struct engine_result *ret)
{
    struct store_query *sq = ask->sq;
    struct asked q = {.p = p, .ask = ask, .holds = holds};
    struct err *e = NULL;

    holds->stretches = (struct splitter_stretches){.splitter = p->opts.splitter, .sq = sq};
    if (!ask->is_afresh && !(e = reach_of(p->opts.engine, ask->q, sq->opts.arena, &q.reach))) {
        q.settings = settings_of(ask);
        look_at_data(&q);
        return p->flights ? run_shared(&q, ret) : run_one(&q, ret);
    }
    err_free(e); /* the engine says it in its own words */
    return splitter_query(p->opts.splitter, ask->q, sq, sq->opts.arena, ret);
}
