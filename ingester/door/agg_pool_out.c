/* The way out of the pool: what is due, and what ends. */
#include <math.h>
#include <stdlib.h>

#include "common/base/mem.h"
#include "ingester/door/agg_pool_internal.h"

/* ---- following ring and rules ---- */

static enum agg_ending ending_of(const struct agg_group *g, const struct agg_pool_call *c,
                                 bool has_new_rules, bool has_new_ring)
{
    if (g->ending != AGG_STAYS)
        return g->ending;
    if (has_new_rules && !agg_rules_by_id(c->rules, g->rule))
        return AGG_GONE;
    if (!has_new_ring)
        return AGG_STAYS;
    return c->self >= 0 && ring_owner(c->ring, g->token) == c->self ? AGG_STAYS : AGG_MOVED;
}

/* Others may have taken our groups for dead and given them back since the last look. */
static bool may_have_been_replaced(struct agg_tenant *t, const struct agg_pool_call *c)
{
    bool is_alone = ring_size(c->ring) > 1 && 2 * ring_active(c->ring) <= ring_size(c->ring);
    bool ret = (t->was_alone && !is_alone) ||
               (t->looked_ms && c->now_ms - t->looked_ms > AGG_POOL_PAUSE_MS);

    t->was_alone = is_alone;
    t->looked_ms = c->now_ms;
    return ret;
}

static bool look(struct agg_pool *pool, struct agg_tenant *t, const struct agg_pool_call *c)
{
    bool is_due = false, begins = may_have_been_replaced(t, c);
    bool has_new_rules = t->rules_generation != c->limits->generation;
    bool has_new_ring = t->ring != c->ring; /* held: no other one has its address */

    t->rules_generation = c->limits->generation;
    if (has_new_ring) {
        ring_unref(t->ring);
        t->ring = ring_ref(c->ring);
    }
    if (begins)
        METRIC_ADD(pool->m.restarts, 1);
    VEC_FOREACH (g, &t->groups) {
        (*g)->ending = ending_of(*g, c, has_new_rules, has_new_ring);
        if (begins && (*g)->ending == AGG_STAYS)
            agg_pool_begin_anew(*g, c->now_ms);
        /* also when the clock was set back */
        if ((*g)->next_ms > c->now_ms + 3 * (*g)->interval_ms)
            agg_pool_begin_anew(*g, c->now_ms);
        is_due = is_due || (*g)->ending != AGG_STAYS || (*g)->next_ms <= c->now_ms;
    }
    return is_due;
}

bool agg_pool_look(struct agg_pool *pool, const struct agg_pool_call *c)
{
    struct agg_tenant *t;
    bool ret;

    lock_take(&pool->lock);
    t = map_get(&pool->tenants, c->tenant);
    ret = t && look(pool, t, c);
    lock_release(&pool->lock);
    return ret;
}

size_t agg_pool_tenants(struct agg_pool *pool, char ***ret)
{
    char **names;
    size_t n = 0;

    lock_take(&pool->lock);
    names = mem_new_array(char *, pool->tenants.len + 1);
    MAP_FOREACH (en, &pool->tenants)
        if (((struct agg_tenant *)en->value)->groups.len)
            names[n++] = slice_dup(en->key);
    lock_release(&pool->lock);
    *ret = names;
    return n;
}

/* ---- the values of a group ---- */

/* Over the inputs that are alive, and have a sample not older than their staleness. */
struct agg_values {
    double sum, lost, min, max, last;
    int64_t last_ms;
    uint64_t floats, hists, mixed;
    const struct fhist *hist_sum;
};

static void add_float(struct agg_values *v, int64_t t_ms, double x)
{
    double sum = v->sum + x;

    if (isfinite(sum)) /* Neumaier */
        v->lost += fabs(v->sum) >= fabs(x) ? v->sum - sum + x : x - sum + v->sum;
    v->sum = sum;
    if (!v->floats || isnan(v->min) || x < v->min)
        v->min = x;
    if (!v->floats || isnan(v->max) || x > v->max)
        v->max = x;
    if (!v->floats || t_ms > v->last_ms) {
        v->last = x;
        v->last_ms = t_ms;
    }
    v->floats++;
}

static void add_hist(struct agg_values *v, const struct agg_group *g, const struct agg_input *in,
                     struct arena *a)
{
    struct fhist_notes notes = {0};
    const struct fhist *sum;
    struct histogram h;
    struct err *e;

    v->hists++;
    if (!(g->outputs & 1u << AGG_SUM))
        return;
    if ((e = batch_histogram_decode(a, slice_of(in->hist, in->hist_len), &h))) {
        err_free(e); /* it was decoded when it came */
        v->mixed++;
        return;
    }
    sum =
        v->hist_sum ? fhist_sum_add(a, v->hist_sum, fhist_from(a, &h), &notes) : fhist_from(a, &h);
    if (sum)
        v->hist_sum = sum;
    else
        v->mixed++;
}

/* An input is forgotten when nothing came of it for so long, whatever its time: a total goes on while
 * old samples come. In the other outputs it counts by its time, as of t_ms. */
static void walk_inputs(struct agg_pool *pool, struct agg_tenant *t, struct agg_group *g,
                        int64_t now_ms, int64_t t_ms, struct arena *a, struct agg_values *v)
{
    for (size_t i = g->inputs.len; i-- > 0;) {
        struct agg_input *in = g->inputs.ptr[i];

        if (now_ms - in->seen_ms > g->staleness_ms) {
            METRIC_ADD(pool->m.expired, 1);
            agg_pool_drop_input(pool, t, in);
        } else if (!in->is_live || in->t_ms < t_ms - g->staleness_ms) {
            continue;
        } else if (in->is_hist) {
            add_hist(v, g, in, a);
        } else {
            add_float(v, in->t_ms, in->v);
        }
    }
    v->mixed += v->floats ? v->hists : 0;
    METRIC_ADD(pool->m.mixed, v->mixed);
}

/* ---- writing ---- */

struct agg_out {
    struct push_builder *b;
    struct agg_pool *pool;
    int64_t t_ms;
};

static struct err *put(struct agg_out *out, struct agg_group *g, enum agg_output o,
                       const struct sample *s, const struct push_histogram *h)
{
    if (s && sample_is_stale(s->v))
        g->shown &= ~(1u << o);
    else
        g->shown |= 1u << o;
    METRIC_ADD(out->pool->m.outputs, 1);
    return push_builder_add(out->b, &(struct push_in){.labels = g->labels[o].ptr,
                                                      .n_labels = g->labels[o].n,
                                                      .samples = s,
                                                      .n_samples = s != NULL,
                                                      .histograms = h,
                                                      .n_histograms = h != NULL});
}

static struct err *put_float(struct agg_out *out, struct agg_group *g, enum agg_output o, double v)
{
    return put(out, g, o, &(struct sample){out->t_ms, v}, NULL);
}

static struct err *put_hist(struct agg_out *out, struct agg_group *g, enum agg_output o,
                            const struct fhist *h, enum histogram_hint hint)
{
    struct arena *a = push_builder_arena(out->b);
    struct push_histogram ph = {out->t_ms,
                                *fhist_to(a, fhist_with_hint(a, fhist_sum_done(a, h), hint))};

    return put(out, g, o, NULL, &ph);
}

/* A stale marker, where a value was shown before. */
static struct err *put_none(struct agg_out *out, struct agg_group *g, enum agg_output o)
{
    return g->shown & 1u << o ? put_float(out, g, o, sample_from_bits(SAMPLE_STALE_BITS)) : NULL;
}

static struct err *put_total(struct agg_out *out, struct agg_group *g)
{
    if (g->has_float_total) {
        g->written = g->begins ? 0 : g->total;
        return put_float(out, g, AGG_TOTAL, g->written);
    }
    if (!g->hist_written)
        return NULL;
    return put_hist(out, g, AGG_TOTAL,
                    g->begins ? g->hist_written : agg_pool_hist_total(out->pool, g),
                    g->begins ? HISTOGRAM_RESET : HISTOGRAM_UNKNOWN);
}

static struct err *put_sum(struct agg_out *out, struct agg_group *g, const struct agg_values *v)
{
    if (v->floats)
        return put_float(out, g, AGG_SUM, isfinite(v->sum) ? v->sum + v->lost : v->sum);
    if (v->hist_sum)
        return put_hist(out, g, AGG_SUM, v->hist_sum, HISTOGRAM_GAUGE);
    return put_none(out, g, AGG_SUM);
}

static struct err *put_output(struct agg_out *out, struct agg_group *g, enum agg_output o,
                              const struct agg_values *v)
{
    if (o == AGG_TOTAL)
        return put_total(out, g);
    if (o == AGG_SUM)
        return put_sum(out, g, v);
    if (o == AGG_COUNT && v->floats + v->hists)
        return put_float(out, g, o, (double)(v->floats + v->hists));
    if (o == AGG_COUNT || !v->floats)
        return put_none(out, g, o);
    return put_float(out, g, o, o == AGG_LAST ? v->last : o == AGG_MIN ? v->min : v->max);
}

static struct err *put_stale(struct agg_out *out, struct agg_group *g)
{
    struct err *e = NULL;

    for (unsigned o = 0; !e && o < AGG_OUTPUT_COUNT; o++)
        if (g->outputs & 1u << o)
            e = put_none(out, g, (enum agg_output)o);
    return e;
}

/* *ret_ends: the group is to be forgotten. */
static struct err *put_group(struct agg_pool *pool, struct agg_tenant *t, struct agg_group *g,
                             const struct ownfeed_flush *f, struct agg_out *out, bool *ret_ends)
{
    struct agg_values v = {0};
    bool is_scheduled = !f->is_last && g->ending == AGG_STAYS;
    struct err *e = NULL;

    out->t_ms = is_scheduled ? f->now_ms / g->interval_ms * g->interval_ms : f->now_ms;
    walk_inputs(pool, t, g, f->now_ms, out->t_ms, push_builder_arena(out->b), &v);
    *ret_ends = g->ending != AGG_STAYS || !g->inputs.len;
    g->next_ms = out->t_ms / g->interval_ms * g->interval_ms + g->interval_ms;
    if (out->t_ms <= g->last_ms)
        return NULL;
    if (g->ending == AGG_GONE || (!g->inputs.len && g->ending == AGG_STAYS))
        return put_stale(out, g);
    if (!is_scheduled && g->begins)
        return NULL; /* too new to say anything */
    for (unsigned o = 0; !e && o < AGG_OUTPUT_COUNT; o++)
        if (g->outputs & 1u << o)
            e = put_output(out, g, (enum agg_output)o, &v);
    g->begins = false;
    g->last_ms = out->t_ms;
    return e;
}

static void count_ending(struct agg_pool *pool, const struct agg_group *g)
{
    if (g->ending == AGG_MOVED)
        METRIC_ADD(pool->m.moved, 1);
    else
        METRIC_ADD(pool->m.gone, 1);
}

/* From the last to the first: one that ends is replaced by one that was seen, or is new. */
static struct err *put_groups(struct agg_pool *pool, struct agg_tenant *t, struct ownfeed_flush *f,
                              struct push_builder *b)
{
    struct agg_out out = {.b = b, .pool = pool};
    size_t walked = 0;
    struct err *e = NULL;

    f->next = ORR_MIN(f->next, t->groups.len);
    while (!e && f->next > 0 && walked < AGG_POOL_SLICE_INPUTS &&
           b->push->series.len < AGG_POOL_SLICE_SERIES) {
        struct agg_group *g = t->groups.ptr[--f->next];
        bool ends;

        walked++;
        if (!f->is_last && g->ending == AGG_STAYS && g->next_ms > f->now_ms)
            continue;
        walked += g->inputs.len;
        e = put_group(pool, t, g, f, &out, &ends);
        if (ends) {
            count_ending(pool, g);
            agg_pool_drop_group(pool, t, f->next);
        }
    }
    f->is_done = f->next == 0;
    return e;
}

struct err *agg_pool_decode(struct push_builder *b, const void *arg)
{
    struct ownfeed_flush *f = (struct ownfeed_flush *)arg;
    struct agg_pool *pool = f->of;
    struct agg_tenant *t;
    struct err *e = NULL;

    lock_take(&pool->lock);
    t = map_get(&pool->tenants, f->tenant);
    f->is_done = true;
    if (t)
        e = put_groups(pool, t, f, b);
    lock_release(&pool->lock);
    return e;
}

/* ---- the page ---- */

static struct agg_pool_row *row_of(struct agg_pool_row *rows, size_t from, size_t *n,
                                   struct slice tenant, uint64_t rule)
{
    for (size_t i = from; i < *n; i++)
        if (rows[i].rule == rule)
            return &rows[i];
    rows[*n] = (struct agg_pool_row){.tenant = slice_dup(tenant), .rule = rule};
    return &rows[(*n)++];
}

size_t agg_pool_list(struct agg_pool *pool, struct agg_pool_row **ret)
{
    struct agg_pool_row *rows;
    size_t n = 0, groups = 0;

    lock_take(&pool->lock);
    MAP_FOREACH (en, &pool->tenants)
        groups += ((struct agg_tenant *)en->value)->groups.len;
    rows = mem_new_array(struct agg_pool_row, groups + 1);
    MAP_FOREACH (en, &pool->tenants) {
        struct agg_tenant *t = en->value;
        size_t from = n;

        VEC_FOREACH (g, &t->groups) {
            struct agg_pool_row *row = row_of(rows, from, &n, en->key, (*g)->rule);

            row->groups++;
            row->inputs += (*g)->inputs.len;
            row->last_ms = ORR_MAX(row->last_ms, (*g)->last_ms);
        }
    }
    lock_release(&pool->lock);
    *ret = rows;
    return n;
}

void agg_pool_list_free(struct agg_pool_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        mem_free(rows[i].tenant);
    mem_free(rows);
}
