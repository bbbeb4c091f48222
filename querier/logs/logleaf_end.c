/* What a leaf has made of its lines, at every step. */
#include <math.h>
#include <stdlib.h>

#include "common/base/promdur.h"
#include "querier/logs/logleaf.h"

static void finish_counts(const struct logleaf *f, const struct logleaf_series *s, double *v,
                          bool *has)
{
    bool is_rate = f->range->op == LOGQL_RATE || f->range->op == LOGQL_BYTES_RATE;
    double sum = 0, n = 0;

    for (size_t i = 0; i < f->grid->n; i++) {
        sum += s->change[i];
        n += s->change_n[i];
        has[i] = n > 0;
        v[i] = is_rate ? sum / promdur_seconds(f->range->range_ns) : sum;
    }
}

/* Of one time by value, NaN first: lines of several streams have no order then, whether or not they come one behind the other. */
static int by_time(const void *a, const void *b)
{
    const struct logquery_sample *x = a, *y = b;

    if (x->ts_ns != y->ts_ns)
        return x->ts_ns < y->ts_ns ? -1 : 1;
    if (isnan(x->v) || isnan(y->v))
        return isnan(y->v) - isnan(x->v);
    return (x->v > y->v) - (x->v < y->v);
}

struct err *logleaf_finish(struct logleaf *f, struct logquery_series **ret, size_t *ret_n)
{
    struct logquery_series *out = arena_array(f->arena, struct logquery_series, f->n);
    struct err *e;

    for (size_t i = 0; i < f->n; i++) {
        struct logleaf_series *s = f->series[i];
        double *v = arena_array(f->arena, double, f->grid->n);
        bool *has = arena_array(f->arena, bool, f->grid->n);

        if ((e = logquery_run_memory(f->run)))
            return e;
        if (f->counts) {
            finish_counts(f, s, v, has);
        } else {
            if (s->is_mixed)
                qsort(s->samples, s->n, sizeof(*s->samples), by_time);
            if ((e = logquery_window(f->run, f->range, f->grid, s->samples, s->n, f->tmp, v, has)))
                return e;
        }
        out[i] = (struct logquery_series){s->labels, v, has};
    }
    if (f->n)
        qsort(out, f->n, sizeof(*out), logquery_by_labels);
    *ret = out;
    *ret_n = f->n;
    return NULL;
}

/* The labels that the selector's equalities give; a name matched again loses its value. */
static struct labels absent_labels(struct arena *a, struct matchers ms)
{
    struct labels_builder b;

    labels_builder_init(&b, a, (struct labels){0});
    for (size_t i = 0; i < ms.n; i++) {
        bool is_first = ms.ptr[i].op == MATCHER_EQ;

        for (size_t k = 0; k < i && is_first; k++)
            is_first = ms.ptr[k].op != MATCHER_EQ || !slice_eq(ms.ptr[k].name, ms.ptr[i].name);
        if (is_first)
            labels_builder_set(&b, ms.ptr[i].name, ms.ptr[i].value);
        else
            labels_builder_del(&b, ms.ptr[i].name);
    }
    return labels_builder_labels(&b);
}

/* One series, where no line is in the window. */
struct err *logleaf_finish_absent(struct logleaf *f, struct logquery_series **ret, size_t *ret_n)
{
    double *v = arena_array(f->arena, double, f->grid->n);
    bool *has = arena_array(f->arena, bool, f->grid->n);
    struct logquery_series *lines, *out = arena_new_of(f->arena, struct logquery_series);
    struct err *e;
    size_t n;

    if ((e = logleaf_finish(f, &lines, &n)))
        return e;
    for (size_t i = 0; i < f->grid->n; i++) {
        v[i] = 1;
        has[i] = n == 0 || !lines[0].has[i];
    }
    *out = (struct logquery_series){absent_labels(f->arena, f->range->logs.matchers), v, has};
    *ret = out;
    *ret_n = 1;
    return NULL;
}
