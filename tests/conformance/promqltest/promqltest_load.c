/* load: series into the store; load_with_nhcb also as native histograms with custom buckets. */
#include <math.h>
#include <stdlib.h>

#include "common/base/num.h"
#include "tests/conformance/promqltest/promqltest.h"

/* Classic histogram series that become one native histogram. */
struct nhcb {
    struct labels labels;
    const struct promql_series *count, *sum;
    VEC(const struct promql_series *) buckets;
    VEC(double) bounds;
};

static double value_at(const struct promql_series *s, size_t i, bool *ret_is_there)
{
    *ret_is_there = s && i < s->n && !s->values[i].is_omitted && !s->values[i].h;
    return *ret_is_there ? s->values[i].v : 0;
}

static void sort_buckets(struct nhcb *n)
{
    for (size_t i = 1; i < n->bounds.len; i++) {
        for (size_t k = i; k > 0 && n->bounds.ptr[k - 1] > n->bounds.ptr[k]; k--) {
            double b = n->bounds.ptr[k];
            const struct promql_series *s = n->buckets.ptr[k];

            n->bounds.ptr[k] = n->bounds.ptr[k - 1];
            n->buckets.ptr[k] = n->buckets.ptr[k - 1];
            n->bounds.ptr[k - 1] = b;
            n->buckets.ptr[k - 1] = s;
        }
    }
}

static void add_nhcb(struct arena *a, const struct command *c, const struct nhcb *n,
                     struct memstore *store)
{
    size_t steps = 0, nb = n->buckets.len;

    for (size_t k = 0; k < nb; k++)
        steps = ORR_MAX(steps, n->buckets.ptr[k]->n);
    if (n->count)
        steps = ORR_MAX(steps, n->count->n);
    for (size_t i = 0; i < steps; i++) {
        double *counts = arena_array(a, double, nb + 1), *bounds = arena_array(a, double, nb),
               last = 0, v;
        struct histogram_span *span = arena_new_of(a, struct histogram_span);
        struct histogram h = {.schema = HISTOGRAM_CUSTOM_SCHEMA,
                              .pos_spans = span,
                              .n_pos_spans = 1,
                              .pos_buckets = counts,
                              .custom_bounds = bounds};
        bool is_there, has_any = false, has_inf = false;
        size_t used = 0;

        h.count = value_at(n->count, i, &is_there);
        bool has_count = is_there;

        h.sum = value_at(n->sum, i, &is_there);
        for (size_t k = 0; k < nb; k++) {
            v = value_at(n->buckets.ptr[k], i, &is_there);
            if (!is_there)
                continue;
            has_any = true;
            if (sample_is_stale(v)) {
                h.sum = v;
                break;
            }
            counts[used] = v - last;
            last = v;
            if (isinf(n->bounds.ptr[k]))
                has_inf = true;
            else
                bounds[h.n_custom_bounds++] = n->bounds.ptr[k];
            used++;
        }
        if (!has_any)
            continue;
        if (!has_count)
            h.count = last;
        if (!has_inf && !sample_is_stale(h.sum))
            counts[used++] = h.count - last;
        span->length = (uint32_t)used;
        h.n_pos_buckets = used;
        memstore_add(store, n->labels, (int64_t)i * c->interval_ms, 0, &h, 0);
    }
}

static struct nhcb *nhcb_of(struct nhcb *all, size_t *n, struct labels ls)
{
    for (size_t i = 0; i < *n; i++)
        if (labels_eq(all[i].labels, ls))
            return &all[i];
    all[*n] = (struct nhcb){.labels = ls};
    return &all[(*n)++];
}

static void collect_nhcb(struct arena *a, struct nhcb *all, size_t *n,
                         const struct promql_series *s)
{
    static const char *const endings[] = {"_bucket", "_count", "_sum"};
    struct slice name = labels_get(s->labels, SLICE(LABEL_NAME)),
                 le = labels_get(s->labels, SLICE("le"));

    for (size_t k = 0; k < ORR_COUNT(endings); k++) {
        struct labels_builder b;
        struct nhcb *h;
        double bound;

        if (!slice_has_suffix(name, slice_cstr(endings[k])) || (k == 0 && !num_parse(le, &bound)))
            continue;
        labels_builder_init(&b, a, s->labels);
        labels_builder_set(&b, SLICE(LABEL_NAME),
                           slice_sub(name, 0, name.len - strlen(endings[k])));
        if (k == 0)
            labels_builder_del(&b, SLICE("le"));
        h = nhcb_of(all, n, labels_builder_labels(&b));
        if (k == 0) {
            vec_push(&h->buckets, s);
            vec_push(&h->bounds, bound);
        } else if (k == 1) {
            h->count = s;
        } else {
            h->sum = s;
        }
        return;
    }
}

/* foo{...}@st values: where the metric ends with @st. */
static bool is_starts_line(struct slice line)
{
    ptrdiff_t at = slice_find(line, SLICE("@st"), 0);

    return at > 0 && (size_t)at + 3 < line.len &&
           (line.ptr[at + 3] == ' ' || line.ptr[at + 3] == '\t');
}

struct err *load_run(struct arena *a, const struct command *c, struct memstore *store)
{
    size_t n = c->loads.len, n_nhcb = 0;
    struct promql_series *series = arena_array(a, struct promql_series, n);
    struct promql_series *starts = arena_array(a, struct promql_series, n);
    struct nhcb *nhcb = arena_array(a, struct nhcb, n);
    bool *is_starts = arena_array(a, bool, n);
    struct err *e;

    for (size_t i = 0; i < n; i++) {
        is_starts[i] = is_starts_line(c->loads.ptr[i]);
        e = is_starts[i] ? promql_series_parse_starts(a, c->loads.ptr[i], &starts[i])
                         : promql_series_parse(a, c->loads.ptr[i], &series[i]);
        if (e)
            return err_wrap(e, "line %u", c->line + 1 + (unsigned)i);
    }
    for (size_t i = 0; i < n; i++) {
        const struct promql_series *st = NULL;

        if (is_starts[i])
            continue;
        for (size_t k = 0; k < n && !st; k++)
            if (is_starts[k] && labels_eq(starts[k].labels, series[i].labels))
                st = &starts[k];
        for (size_t k = 0; k < series[i].n; k++) {
            int64_t t = (int64_t)k * c->interval_ms;
            const struct promql_value *v = &series[i].values[k];

            if (!v->is_omitted)
                memstore_add(store, series[i].labels, t, v->v, v->h,
                             st && k < st->n && !st->values[k].is_omitted
                                 ? t + (int64_t)st->values[k].v
                                 : 0);
        }
        if (c->with_nhcb)
            collect_nhcb(a, nhcb, &n_nhcb, &series[i]);
    }
    for (size_t i = 0; i < n_nhcb; i++) {
        sort_buckets(&nhcb[i]);
        if (nhcb[i].buckets.len)
            add_nhcb(a, c, &nhcb[i], store);
        vec_done(&nhcb[i].buckets);
        vec_done(&nhcb[i].bounds);
    }
    memstore_derive_hints(store);
    return NULL;
}
