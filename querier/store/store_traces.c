/* Traces: which blocks a query reads, by which catalogue. */
#include "common/base/clock.h"
#include "common/base/metric.h"
#include "querier/store/store_internal.h"

void store_heard_traces(struct store_query *sq, struct fanout *f)
{
    sq->traces_dropped_by = ORR_MAX(sq->traces_dropped_by, fanout_mark(f));
}

struct err *store_take_traces(struct store_query *sq, struct arena *a, int64_t min_ms,
                              int64_t max_ms, const struct blockset_filter *filter,
                              struct blockset_view *ret)
{
    struct newness_need need = store_need_of(sq, sq->traces_dropped_by, &sq->traces_not_before_ns);
    struct store *s = sq->store;
    struct err *e;

    *ret = (struct blockset_view){0};
    if (!s->trace_blocks)
        return NULL;
    METRIC_ADD(s->traces.selects, 1);
    if ((e = blockset_take(s->trace_blocks, a, sq->opts.tenant, &need, min_ms, max_ms, filter,
                           ret))) {
        METRIC_ADD(s->traces.failures, 1);
        return e;
    }
    store_warn_if_stale(sq, ret);
    METRIC_ADD(s->traces.blocks, ret->n);
    for (int i = 0; i < BLOCK_SKIP_REASONS; i++)
        METRIC_ADD(s->traces.skipped[i], ret->skipped[i]);
    return NULL;
}

void store_traces_gone(struct store_query *sq)
{
    sq->traces_not_before_ns = clock_mono_ns(&clock_system);
}

void store_release_traces(struct store_query *sq, struct blockset_view *v)
{
    if (sq->store->trace_blocks)
        blockset_release(sq->store->trace_blocks, v);
}

struct job_pool *store_traces_jobs(struct store_query *sq)
{
    return sq->store->jobs;
}

void store_count_traces(struct store_query *sq, const struct store_traces_stats *add)
{
    struct store_traces_stats *sum = &sq->store->traces;

    METRIC_ADD(sum->failures, add->failures);
    METRIC_ADD(sum->groups, add->groups);
    METRIC_ADD(sum->groups_skipped, add->groups_skipped);
    METRIC_ADD(sum->bytes, add->bytes);
    METRIC_ADD(sum->spans, add->spans);
}

void store_traces_stats_get(struct store *s, struct store_traces_stats *ret)
{
    const struct store_traces_stats *t = &s->traces;

    *ret = (struct store_traces_stats){.selects = METRIC_GET(t->selects),
                                       .failures = METRIC_GET(t->failures),
                                       .blocks = METRIC_GET(t->blocks),
                                       .groups = METRIC_GET(t->groups),
                                       .groups_skipped = METRIC_GET(t->groups_skipped),
                                       .bytes = METRIC_GET(t->bytes),
                                       .spans = METRIC_GET(t->spans)};
    for (int i = 0; i < BLOCK_SKIP_REASONS; i++)
        ret->skipped[i] = METRIC_GET(t->skipped[i]);
}
