#include "ingester/door/agg_pool.h"

#include <math.h>

#include "common/base/mem.h"
#include "ingester/door/agg_pool_internal.h"

#define FIRST_SLOTS 64
#define ARENA_SLACK 8192 /* sums of histograms grow by it before they are copied together */

static const struct metric_field agg_fields[] = {
    METRIC_COUNTER(struct agg_pool_metrics, samples, "orrery_aggregation_samples_total",
                   "Samples and histograms added up."),
    METRIC_COUNTER(struct agg_pool_metrics, late, "orrery_aggregation_late_samples_total",
                   "Samples not later than the last one of their input, left out."),
    METRIC_COUNTER(struct agg_pool_metrics, mixed, "orrery_aggregation_mixed_samples_total",
                   "Values left out of an output: histograms beside floats, or beside others that "
                   "they cannot be added to, or in min, max and last."),
    METRIC_COUNTER(struct agg_pool_metrics, resets, "orrery_aggregation_resets_total",
                   "Resets of counters that were added up."),
    METRIC_COUNTER(struct agg_pool_metrics, refused_inputs,
                   "orrery_aggregation_refused_inputs_total",
                   "Samples of series over limit max_aggregation_inputs_per_user."),
    METRIC_COUNTER(struct agg_pool_metrics, refused_series,
                   "orrery_aggregation_refused_series_total",
                   "Samples whose output is over limit max_aggregated_series_per_user."),
    METRIC_COUNTER(struct agg_pool_metrics, conflicts, "orrery_aggregation_conflicts_total",
                   "Samples refused because another rule makes the same series."),
    METRIC_COUNTER(struct agg_pool_metrics, not_ours, "orrery_aggregation_not_owned_total",
                   "Series that came here although another ingester is their owner, or whose rule "
                   "is not known here."),
    METRIC_COUNTER(struct agg_pool_metrics, outputs, "orrery_aggregation_output_samples_total",
                   "Samples and histograms of aggregated series given to be written."),
    METRIC_COUNTER(struct agg_pool_metrics, begun, "orrery_aggregation_groups_begun_total",
                   "Groups of series that began to be added up here."),
    METRIC_COUNTER(struct agg_pool_metrics, moved, "orrery_aggregation_groups_moved_total",
                   "Groups that another ingester owns now."),
    METRIC_COUNTER(struct agg_pool_metrics, gone, "orrery_aggregation_groups_gone_total",
                   "Groups that ended: no input left, or no rule."),
    METRIC_COUNTER(struct agg_pool_metrics, expired, "orrery_aggregation_inputs_expired_total",
                   "Inputs forgotten after their staleness."),
    METRIC_COUNTER(struct agg_pool_metrics, restarts, "orrery_aggregation_restarts_total",
                   "Times totals of a tenant were begun anew because this ingester may have been "
                   "replaced for a while."),
    METRIC_GAUGE(struct agg_pool_metrics, inputs, "orrery_aggregation_inputs",
                 "Series that are being added up."),
    METRIC_GAUGE(struct agg_pool_metrics, series, "orrery_aggregation_series",
                 "Series made of them."),
    METRIC_GAUGE(struct agg_pool_metrics, bytes, "orrery_aggregation_bytes",
                 "Memory of both, roughly."),
};

struct agg_pool *agg_pool_new(void)
{
    struct agg_pool *pool = mem_new(struct agg_pool);

    lock_init(&pool->lock, LOCK_LEAF_MODULE);
    metric_register(&pool->m, agg_fields, ORR_COUNT(agg_fields), NULL);
    return pool;
}

void agg_pool_free(struct agg_pool *pool)
{
    if (!pool)
        return;
    metric_unregister(&pool->m);
    MAP_FOREACH (en, &pool->tenants) {
        struct agg_tenant *t = en->value;

        while (t->groups.len)
            agg_pool_drop_group(pool, t, t->groups.len - 1);
        ring_unref(t->ring);
        vec_done(&t->groups);
        map_done(&t->places);
        mem_free(t->slots);
        mem_free(t);
    }
    map_done(&pool->tenants);
    lock_done(&pool->lock);
    mem_free(pool);
}

void agg_pool_seal(struct agg_pool *pool)
{
    lock_take(&pool->lock);
    pool->is_sealed = true;
    lock_release(&pool->lock);
}

/* ---- inputs by key ---- */

static size_t slot_of(const struct agg_tenant *t, struct hash128 key)
{
    size_t i = key.lo & t->mask;

    while (t->slots[i] && !hash128_eq(t->slots[i]->key, key))
        i = (i + 1) & t->mask;
    return i;
}

static struct agg_input *find(const struct agg_tenant *t, struct hash128 key)
{
    return t->slots ? t->slots[slot_of(t, key)] : NULL;
}

static void insert(struct agg_tenant *t, struct agg_input *in)
{
    if (!t->slots || 3 * (t->n_inputs + 1) > 2 * (t->mask + 1)) {
        struct agg_input **old = t->slots;
        size_t n = old ? t->mask + 1 : 0, slots = n ? 2 * n : FIRST_SLOTS;

        t->slots = mem_calloc(slots, sizeof(struct agg_input *));
        t->mask = slots - 1;
        for (size_t i = 0; i < n; i++)
            if (old[i])
                t->slots[slot_of(t, old[i]->key)] = old[i];
        mem_free(old);
    }
    t->slots[slot_of(t, in->key)] = in;
    t->n_inputs++;
}

/* Those behind it move up, so that no search ends early. */
static void take_out(struct agg_tenant *t, struct hash128 key)
{
    size_t hole = slot_of(t, key);

    for (size_t i = (hole + 1) & t->mask; t->slots[i]; i = (i + 1) & t->mask) {
        size_t home = t->slots[i]->key.lo & t->mask;

        if (((i - home) & t->mask) >= ((i - hole) & t->mask)) {
            t->slots[hole] = t->slots[i];
            hole = i;
        }
    }
    t->slots[hole] = NULL;
    t->n_inputs--;
}

static void forget_input(struct agg_pool *pool, struct agg_tenant *t, struct agg_input *in)
{
    take_out(t, in->key);
    METRIC_ADD(pool->m.inputs, -1);
    METRIC_ADD(pool->m.bytes, -(int64_t)(sizeof(*in) + in->hist_len));
    mem_free(in->hist);
    mem_free(in);
}

void agg_pool_drop_input(struct agg_pool *pool, struct agg_tenant *t, struct agg_input *in)
{
    struct agg_group *g = in->group;

    vec_remove_swap(&g->inputs, in->at);
    if (in->at < g->inputs.len)
        g->inputs.ptr[in->at]->at = in->at;
    forget_input(pool, t, in);
}

/* ---- groups ---- */

static struct slice place_key(const struct hash128 *place)
{
    return slice_of(place, sizeof(*place));
}

static int64_t group_bytes(const struct agg_group *g)
{
    return (int64_t)(sizeof(*g) + (g->arena ? arena_used(g->arena) : 0));
}

void agg_pool_drop_group(struct agg_pool *pool, struct agg_tenant *t, size_t i)
{
    struct agg_group *g = t->groups.ptr[i];

    VEC_FOREACH (in, &g->inputs)
        forget_input(pool, t, *in);
    vec_done(&g->inputs);
    METRIC_ADD(pool->m.bytes, -group_bytes(g));
    for (unsigned o = 0; o < AGG_OUTPUT_COUNT; o++)
        if (g->outputs & 1u << o) {
            mem_free((void *)g->labels[o].ptr);
            t->n_series--;
            METRIC_ADD(pool->m.series, -1);
        }
    (void)map_del(&t->places, place_key(&g->place));
    vec_remove_swap(&t->groups, i);
    arena_free(g->arena);
    mem_free(g);
}

void agg_pool_begin_anew(struct agg_group *g, int64_t now_ms)
{
    g->born_ms = now_ms;
    g->next_ms = (now_ms + 2 * g->interval_ms - 1) / g->interval_ms * g->interval_ms;
    g->begins = true;
    g->total -= g->written;
    g->written = 0;
    if (g->hist_written)
        g->hist_written = fhist_zero_like(g->arena, g->hist_written);
}

static struct agg_group *new_group(struct agg_pool *pool, struct agg_tenant *t, struct arena *a,
                                   const struct agg_rule *r, struct labels labels,
                                   struct hash128 place, uint32_t token, int64_t now_ms)
{
    struct agg_group *g = mem_new(struct agg_group);

    g->rule = r->id;
    g->place = place;
    g->token = token;
    g->outputs = r->outputs;
    g->interval_ms = r->interval_ms;
    g->staleness_ms = r->staleness_ms;
    for (unsigned o = 0; o < AGG_OUTPUT_COUNT; o++)
        if (r->outputs & 1u << o)
            g->labels[o] = labels_dup_heap(agg_rule_output(r, a, labels, (enum agg_output)o));
    agg_pool_begin_anew(g, now_ms);
    vec_push(&t->groups, g);
    (void)map_put(&t->places, place_key(&g->place), g);
    t->n_series += r->n_outputs;
    METRIC_ADD(pool->m.series, r->n_outputs);
    METRIC_ADD(pool->m.bytes, group_bytes(g));
    METRIC_ADD(pool->m.begun, 1);
    return g;
}

/* ---- an input that is new ---- */

static struct err *not_ours(struct agg_pool *pool, const char *why)
{
    METRIC_ADD(pool->m.not_ours, 1);
    return err_new(ERR_UNAVAILABLE, "aggregation: %s, try again", why);
}

static const struct agg_rule *rule_of(const struct agg_rules *rules, struct labels ls,
                                      struct hash128 key)
{
    const struct agg_rule *r = agg_rules_find(rules, ls);

    return r && hash128_eq(agg_rule_key(r, labels_fingerprint(ls)), key) ? r : NULL;
}

/* *ret NULL without an error: refused, for *ret_why. */
static struct err *group_of(struct agg_pool *pool, struct agg_tenant *t, struct arena *a,
                            const struct agg_pool_call *c, const struct batch_entry *en,
                            struct agg_group **ret, enum batch_reason *ret_why)
{
    const struct agg_rule *r;
    struct labels ls, labels;
    struct hash128 place;
    uint32_t token;

    *ret = NULL;
    if (!batch_labels_valid(en->labels) || !labels_of_canonical(a, en->labels, &ls))
        return err_new(ERR_INVALID, "aggregation: malformed labels");
    if (!(r = rule_of(c->rules, ls, en->fp)))
        return not_ours(pool, "the owner has other rules");
    labels = agg_rule_group(r, a, ls);
    place = agg_rule_place(r, a, labels);
    token = labels_token(c->tenant, place);
    if (c->self < 0 || ring_owner(c->ring, token) != c->self)
        return not_ours(pool, "the owner changes");
    *ret_why = BATCH_AGG_INPUTS;
    if (c->limits->max_aggregation_inputs_per_user &&
        t->n_inputs >= (size_t)c->limits->max_aggregation_inputs_per_user)
        return NULL;
    *ret = map_get(&t->places, place_key(&place));
    if (*ret && (*ret)->ending != AGG_STAYS) {
        *ret = NULL;
        return not_ours(pool, "the series is being handed over");
    }
    if (*ret && (*ret)->rule != r->id) {
        *ret = NULL;
        *ret_why = BATCH_AGG_CONFLICT;
        return NULL;
    }
    if (*ret)
        return NULL;
    *ret_why = BATCH_AGG_SERIES;
    if (!c->limits->max_aggregated_series_per_user ||
        t->n_series + r->n_outputs <= (size_t)c->limits->max_aggregated_series_per_user)
        *ret = new_group(pool, t, a, r, labels, place, token, c->now_ms);
    return NULL;
}

static struct agg_input *add_input(struct agg_pool *pool, struct agg_tenant *t, struct agg_group *g,
                                   struct hash128 key)
{
    struct agg_input *in = mem_new(struct agg_input);

    in->key = key;
    in->group = g;
    in->t_ms = INT64_MIN;
    in->at = (uint32_t)g->inputs.len;
    vec_push(&g->inputs, in);
    insert(t, in);
    METRIC_ADD(pool->m.inputs, 1);
    METRIC_ADD(pool->m.bytes, (int64_t)sizeof(*in));
    return in;
}

/* ---- samples ---- */

/* False: not later than what the input has. */
static bool is_next(struct agg_pool *pool, struct agg_input *in, int64_t t_ms, int64_t now_ms)
{
    if (t_ms <= in->t_ms) {
        METRIC_ADD(pool->m.late, 1);
        return false;
    }
    in->t_ms = t_ms;
    in->seen_ms = now_ms;
    METRIC_ADD(pool->m.samples, 1);
    return true;
}

/* What a counter grew by. The series was created while its group was watched: from zero. */
static double growth(struct agg_pool *pool, const struct agg_input *in, double v, bool is_created)
{
    if (!isfinite(v))
        return 0;
    if (!in->has_base)
        return is_created ? v : 0;
    if (v >= in->base && !is_created)
        return v - in->base;
    METRIC_ADD(pool->m.resets, 1);
    return v;
}

static void take_sample(struct agg_pool *pool, struct agg_input *in, struct sample s,
                        int64_t created_ms, int64_t now_ms)
{
    struct agg_group *g = in->group;
    int64_t before_ms = ORR_MAX(in->t_ms, g->born_ms);

    if (!is_next(pool, in, s.t_ms, now_ms))
        return;
    in->is_live = !sample_is_stale(s.v);
    if (!in->is_live)
        return;
    g->has_float_total = true;
    g->total += growth(pool, in, s.v, created_ms > before_ms);
    in->is_hist = false;
    in->v = s.v;
    if (isfinite(s.v)) {
        in->base = s.v;
        in->has_base = true;
    }
}

/* Sums share parts of what they are made of, and of their sums before. */
static void compact_hist(struct agg_group *g)
{
    struct arena *fresh;

    if (arena_used(g->arena) <= 4 * g->arena_base + ARENA_SLACK)
        return;
    fresh = arena_new(0);
    g->hist_written = fhist_dup(fresh, g->hist_written);
    g->hist_new = fhist_dup(fresh, g->hist_new);
    arena_free(g->arena);
    g->arena = fresh;
    g->arena_base = arena_used(fresh);
}

static void add_hist_total(struct agg_pool *pool, struct agg_group *g, const struct fhist *inc)
{
    struct fhist_notes notes = {0};
    const struct fhist *sum;
    int64_t before = group_bytes(g);

    if (!g->arena) {
        g->arena = arena_new(0);
        g->hist_written = g->hist_new = fhist_zero_like(g->arena, fhist_dup(g->arena, inc));
    }
    if ((sum = fhist_sum_add(g->arena, g->hist_new, fhist_dup(g->arena, inc), &notes)))
        g->hist_new = sum;
    else
        METRIC_ADD(pool->m.mixed, 1);
    compact_hist(g);
    METRIC_ADD(pool->m.bytes, group_bytes(g) - before);
}

const struct fhist *agg_pool_hist_total(struct agg_pool *pool, struct agg_group *g)
{
    struct fhist_notes notes = {0};
    int64_t before = group_bytes(g);
    const struct fhist *sum =
        fhist_sum_add(g->arena, g->hist_written, fhist_sum_done(g->arena, g->hist_new), &notes);

    if (sum)
        g->hist_written = sum; /* always: they are of one kind */
    g->hist_new = fhist_zero_like(g->arena, g->hist_written);
    compact_hist(g);
    METRIC_ADD(pool->m.bytes, group_bytes(g) - before);
    return g->hist_written;
}

static struct err *take_histogram(struct agg_pool *pool, struct arena *a, struct agg_input *in,
                                  int64_t t_ms, struct slice encoded, int64_t created_ms,
                                  int64_t now_ms)
{
    struct agg_group *g = in->group;
    int64_t before_ms = ORR_MAX(in->t_ms, g->born_ms);
    struct histogram now, before;
    const struct fhist *cur, *prev = NULL;
    struct fhist_notes notes = {0};
    struct err *e = batch_histogram_decode(a, encoded, &now);

    if (e || !is_next(pool, in, t_ms, now_ms))
        return e;
    in->is_live = !sample_is_stale(now.sum);
    if (!in->is_live)
        return NULL;
    in->is_hist = true;
    if (g->outputs & 1u << AGG_TOTAL) {
        cur = fhist_from(a, &now);
        if (in->hist && !(e = batch_histogram_decode(a, slice_of(in->hist, in->hist_len), &before)))
            prev = fhist_from(a, &before);
        if (e)
            return e;
        if (!prev && created_ms <= before_ms) {
            add_hist_total(pool, g, fhist_zero_like(a, cur));
        } else if (!prev || fhist_is_reset(a, cur, prev)) {
            METRIC_ADD(pool->m.resets, prev != NULL);
            add_hist_total(pool, g, cur);
        } else if ((cur = fhist_sub(a, cur, prev, &notes))) {
            add_hist_total(pool, g, cur);
        }
    }
    METRIC_ADD(pool->m.bytes, (int64_t)encoded.len - (int64_t)in->hist_len);
    mem_free(in->hist);
    in->hist = mem_alloc(encoded.len);
    memcpy(in->hist, encoded.ptr, encoded.len);
    in->hist_len = (uint32_t)encoded.len;
    return NULL;
}

static struct err *take_entry(struct agg_pool *pool, struct arena *a, struct agg_input *in,
                              const struct batch_entry *en, int64_t now_ms)
{
    struct reader r = reader_new(en->histograms);
    int64_t created_ms = en->created_ms ? en->created_ms : en->start_ms;
    struct slice encoded;
    int64_t t_ms;
    struct err *e;

    if (en->has_inline)
        take_sample(pool, in, en->inline_sample, created_ms, now_ms);
    for (uint32_t i = 0; i < en->n_samples; i++)
        take_sample(pool, in, batch_entry_sample(en, i), i ? 0 : created_ms, now_ms);
    for (uint32_t i = 0; i < en->n_histograms && batch_next_histogram(&r, &t_ms, &encoded); i++)
        if ((e = take_histogram(pool, a, in, t_ms, encoded, i ? 0 : created_ms, now_ms)))
            return e;
    return NULL;
}

/* ---- a batch ---- */

static void refuse(struct agg_pool *pool, enum batch_reason why, uint32_t i,
                   const struct batch_entry *en, struct batch_reply *ret)
{
    uint32_t n = batch_reject_entry(ret, why, i, en);

    if (why == BATCH_AGG_INPUTS)
        METRIC_ADD(pool->m.refused_inputs, n);
    else if (why == BATCH_AGG_SERIES)
        METRIC_ADD(pool->m.refused_series, n);
    else
        METRIC_ADD(pool->m.conflicts, n);
}

static struct err *take_series(struct agg_pool *pool, struct agg_tenant *t, struct arena *a,
                               const struct agg_pool_call *c, const struct batch *b, uint32_t i,
                               struct batch_reply *ret)
{
    enum batch_reason why = BATCH_AGG_INPUTS;
    struct agg_group *g;
    struct agg_input *in;
    struct batch_entry en;
    struct err *e;

    if (!batch_entry_get(b, i, &en))
        return err_new(ERR_INVALID, "aggregation: a malformed batch");
    if (!(in = find(t, en.fp))) {
        if (!en.labels.ptr) {
            vec_push(&ret->unknown, i);
            return NULL;
        }
        if ((e = group_of(pool, t, a, c, &en, &g, &why)))
            return e;
        if (!g) {
            refuse(pool, why, i, &en, ret);
            return NULL;
        }
        in = add_input(pool, t, g, en.fp);
    }
    if (in->group->ending != AGG_STAYS)
        return not_ours(pool, "the series is being handed over");
    ret->accepted += (uint64_t)en.has_inline + en.n_samples + en.n_histograms;
    return take_entry(pool, a, in, &en, c->now_ms);
}

static struct agg_tenant *tenant_of(struct agg_pool *pool, struct slice tenant)
{
    void **slot = map_slot(&pool->tenants, tenant);

    if (!*slot)
        *slot = mem_new(struct agg_tenant);
    return *slot;
}

struct err *agg_pool_take(struct agg_pool *pool, const struct agg_pool_call *c, struct slice bytes,
                          struct batch_reply *ret)
{
    struct agg_tenant *t = NULL;
    struct arena *a;
    struct batch b;
    struct err *e = batch_open(bytes, &b), *first = NULL;

    if (e)
        return e;
    a = arena_new(0);
    lock_take(&pool->lock);
    if (pool->is_sealed)
        first = not_ours(pool, "the owner is stopping");
    else
        t = tenant_of(pool, c->tenant);
    for (uint32_t i = 0; t && i < b.n; i++) {
        e = take_series(pool, t, a, c, &b, i, ret);
        if (e && !err_is(e, ERR_UNAVAILABLE)) {
            first = err_first(e, first);
            break;
        }
        first = err_first(first, e); /* one that is not ours says nothing of the next */
    }
    lock_release(&pool->lock);
    arena_free(a);
    return first;
}
