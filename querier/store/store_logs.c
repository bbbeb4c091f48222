/* Log lines: which blocks a query reads, by which catalogue. */
#include "common/base/clock.h"
#include "common/base/metric.h"
#include "querier/store/store_internal.h"

static struct newness_need need_of(struct store_query *sq, struct fanout *f)
{
    if (f)
        sq->logs_dropped_by = ORR_MAX(sq->logs_dropped_by, fanout_mark(f));
    return store_need_of(sq, sq->logs_dropped_by, &sq->logs_not_before_ns);
}

struct err *store_take_logs(struct store_query *sq, struct arena *a, struct fanout *f,
                            int64_t min_ms, int64_t max_ms, const struct blockset_filter *filter,
                            struct blockset_view *ret)
{
    struct newness_need need = need_of(sq, f);
    struct store *s = sq->store;
    struct err *e;

    *ret = (struct blockset_view){0};
    if (!s->log_blocks)
        return NULL;
    if ((e = blockset_take(s->log_blocks, a, sq->opts.tenant, &need, min_ms, max_ms, filter, ret)))
        return e;
    store_warn_if_stale(sq, ret);
    if (!f) /* a plan: what is read of it is taken again, and counts then */
        return NULL;
    METRIC_ADD(s->logs.blocks, ret->n);
    for (int i = 0; i < BLOCK_SKIP_REASONS; i++)
        METRIC_ADD(s->logs.skipped[i], ret->skipped[i]);
    return NULL;
}

void store_logs_fork(struct store_query *sq, struct arena *a, struct store_query *ret)
{
    struct store_query_opts opts = sq->opts;
    struct newness_need need = need_of(sq, NULL);

    opts.arena = a;
    store_query_init(ret, sq->store, &opts);
    ret->logs_not_before_ns = need.not_before_ns;
    ret->logs_dropped_by = need.version;
}

void store_logs_join(struct store_query *sq, struct store_query *part)
{
    sq->logs_dropped_by = ORR_MAX(sq->logs_dropped_by, part->logs_dropped_by);
    sq->logs_not_before_ns = ORR_MAX(sq->logs_not_before_ns, part->logs_not_before_ns);
    sq->failed_streams += part->failed_streams;
    VEC_FOREACH (w, &part->warnings)
        store_query_warn(sq, *w);
    store_query_done(part);
}

void store_logs_gone(struct store_query *sq)
{
    sq->logs_not_before_ns = clock_mono_ns(&clock_system);
}

void store_release_logs(struct store_query *sq, struct blockset_view *v)
{
    if (sq->store->log_blocks)
        blockset_release(sq->store->log_blocks, v);
}

struct job_pool *store_logs_jobs(struct store_query *sq)
{
    return sq->store->jobs;
}

void store_log_times(struct store_query *sq, struct arena *a, int64_t min_ms, int64_t max_ms,
                     const struct blockset_times **ret, size_t *ret_n)
{
    *ret = NULL;
    *ret_n = 0;
    if (sq->store->log_blocks)
        blockset_times(sq->store->log_blocks, a, sq->opts.tenant, min_ms, max_ms, ret, ret_n);
}

/* ---- owners ---- */

struct ring *store_log_owners(struct store_query *sq)
{
    struct store *s = sq->store;

    return s->log_blocks && s->opts.block_replication ? s->opts.queriers(s->opts.queriers_arg)
                                                      : NULL;
}

/* Of [min_ms, max_ms] what the block has if lines come evenly. */
static double bytes_in(const struct blockset_times *b, int64_t min_ms, int64_t max_ms)
{
    double from = (double)ORR_MAX(b->min_ms, min_ms), to = (double)ORR_MIN(b->max_ms, max_ms + 1);
    double whole = (double)b->max_ms - (double)b->min_ms;

    return whole > 0 && to > from ? (double)b->bytes * (to - from) / whole : (double)b->bytes;
}

bool store_log_owner(struct store_query *sq, const struct ring *ring, int64_t min_ms,
                     int64_t max_ms, uint16_t *ret)
{
    struct arena *a = arena_new(0);
    double *bytes = arena_array(a, double, ring_size(ring) + 1), here = 0;
    const struct blockset_times *times;
    size_t n, best = 0;
    bool is_owned;

    blockset_times(sq->store->log_blocks, a, sq->opts.tenant, min_ms, max_ms, &times, &n);
    for (size_t i = 0; i < n; i++) {
        uint16_t owners[BLOCK_OWNERS_MAX];
        unsigned found = store_askable_owners(sq, ring, times[i].ulid, owners);

        if (!found)
            here += bytes_in(&times[i], min_ms, max_ms);
        for (unsigned k = 0; k < found; k++)
            bytes[owners[k]] += bytes_in(&times[i], min_ms, max_ms);
    }
    for (size_t i = 1; i < ring_size(ring); i++)
        if (bytes[i] > bytes[best])
            best = i;
    is_owned = bytes[best] > here;
    arena_free(a);
    *ret = (uint16_t)best;
    return is_owned;
}

struct fanout *store_ask_log_owner(struct store_query *sq, struct ring *ring, uint16_t who,
                                   const char *method, struct slice payload)
{
    struct store *s = sq->store;
    struct fanout_opts opts = {.pool = s->opts.pool,
                               .loop = s->opts.loop,
                               .ring = ring,
                               .method = method,
                               .tenant = sq->opts.tenant,
                               .payload = payload,
                               .deadline_mono_ms = sq->opts.deadline_mono_ms,
                               .cancel = sq->opts.cancel,
                               .straggler_ms = s->opts.straggler_ms,
                               .has_other = true,
                               .suspects = s->owner_suspects};

    opts.set = fanout_set_of_one(who);
    METRIC_ADD(s->logs.asked, 1);
    return fanout_start(&opts);
}

void store_be_patient(struct store_query *sq, struct fanout *f, unsigned times)
{
    fanout_be_patient(f, times * sq->store->opts.straggler_ms);
}

void store_log_owner_failed(struct store_query *sq, const struct ring *ring, uint16_t who,
                            struct fanout *f)
{
    METRIC_ADD(sq->store->logs.returned, 1);
    if (!fanout_failed(f))
        return;
    switch (fanout_code(f, 0)) {
    case ERR_UNAVAILABLE:
    case ERR_TIMEOUT:
    case ERR_NET:
        fanout_suspects_add(sq->store->owner_suspects, ring_member(ring, who)->instance);
        break;
    default: /* of this piece, or it knows no such question: it may answer others */
        break;
    }
}

void store_count_logs(struct store_query *sq, const struct store_logs_stats *add)
{
    struct store_logs_stats *sum = &sq->store->logs;

    METRIC_ADD(sum->selects, add->selects);
    METRIC_ADD(sum->failures, add->failures);
    METRIC_ADD(sum->pages, add->pages);
    METRIC_ADD(sum->pages_skipped, add->pages_skipped);
    METRIC_ADD(sum->page_bytes, add->page_bytes);
    METRIC_ADD(sum->filter_bytes, add->filter_bytes);
    METRIC_ADD(sum->lines, add->lines);
    METRIC_ADD(sum->ahead, add->ahead);
    METRIC_ADD(sum->deleted, add->deleted);
}

void store_logs_stats_get(struct store *s, struct store_logs_stats *ret)
{
    const struct store_logs_stats *l = &s->logs;

    *ret = (struct store_logs_stats){.selects = METRIC_GET(l->selects),
                                     .failures = METRIC_GET(l->failures),
                                     .blocks = METRIC_GET(l->blocks),
                                     .pages = METRIC_GET(l->pages),
                                     .pages_skipped = METRIC_GET(l->pages_skipped),
                                     .page_bytes = METRIC_GET(l->page_bytes),
                                     .filter_bytes = METRIC_GET(l->filter_bytes),
                                     .lines = METRIC_GET(l->lines),
                                     .ahead = METRIC_GET(l->ahead),
                                     .deleted = METRIC_GET(l->deleted),
                                     .asked = METRIC_GET(l->asked),
                                     .returned = METRIC_GET(l->returned)};
    for (int i = 0; i < BLOCK_SKIP_REASONS; i++)
        ret->skipped[i] = METRIC_GET(l->skipped[i]);
}
