#include <math.h>

#include "common/base/re.h"
#include "tests/conformance/promqltest/promqltest.h"

unsigned eval_shards;

#define TOLERANCE 1e-6

static bool value_eq(double a, double b)
{
    if (isnan(a) || isnan(b))
        return isnan(a) && isnan(b) && sample_is_stale(a) == sample_is_stale(b);
    if (a == b)
        return true;
    if (a == 0 || b == 0 || fabs(a) + fabs(b) < 1e-300)
        return fabs(a - b) < TOLERANCE * 1e-3;
    return fabs(a - b) / fmin(fabs(a) + fabs(b), 1.7e308) < TOLERANCE;
}

/* Non-empty buckets of one side as (index, count) pairs. */
static size_t side_of(struct arena *a, const struct histogram_span *spans, size_t n_spans,
                      const double *b, size_t n, int64_t **ret_idx, double **ret_v)
{
    int64_t *idx = arena_array(a, int64_t, n), at = 0;
    double *v = arena_array(a, double, n);
    size_t k = 0, out = 0;

    for (size_t s = 0; s < n_spans; s++) {
        at += spans[s].offset;
        for (uint32_t i = 0; i < spans[s].length && k < n; i++, k++, at++) {
            if (b[k] == 0)
                continue;
            idx[out] = at;
            v[out++] = b[k];
        }
    }
    *ret_idx = idx;
    *ret_v = v;
    return out;
}

static bool side_eq(struct arena *a, const struct histogram_span *s1, size_t ns1, const double *b1,
                    size_t n1, const struct histogram_span *s2, size_t ns2, const double *b2,
                    size_t n2)
{
    int64_t *i1, *i2;
    double *v1, *v2;
    size_t c1 = side_of(a, s1, ns1, b1, n1, &i1, &v1), c2 = side_of(a, s2, ns2, b2, n2, &i2, &v2);

    if (c1 != c2)
        return false;
    for (size_t i = 0; i < c1; i++)
        if (i1[i] != i2[i] || !value_eq(v1[i], v2[i]))
            return false;
    return true;
}

static bool hist_eq(struct arena *a, const struct histogram *got, const struct promql_value *want)
{
    const struct histogram *w = want->h;

    if (want->has_hint && got->hint != w->hint)
        return false;
    if (got->schema != w->schema || !value_eq(got->count, w->count) ||
        !value_eq(got->sum, w->sum) || !value_eq(got->zero_threshold, w->zero_threshold) ||
        !value_eq(got->zero_count, w->zero_count) || got->n_custom_bounds != w->n_custom_bounds)
        return false;
    for (size_t i = 0; i < w->n_custom_bounds; i++)
        if (got->custom_bounds[i] != w->custom_bounds[i])
            return false;
    return side_eq(a, got->pos_spans, got->n_pos_spans, got->pos_buckets, got->n_pos_buckets,
                   w->pos_spans, w->n_pos_spans, w->pos_buckets, w->n_pos_buckets) &&
           side_eq(a, got->neg_spans, got->n_neg_spans, got->neg_buckets, got->n_neg_buckets,
                   w->neg_spans, w->n_neg_spans, w->neg_buckets, w->n_neg_buckets);
}

static void value_print(struct buf *out, double v, const struct histogram *h)
{
    static const char *const hints[] = {"", " reset", " not_reset", " gauge"};

    if (h) {
        promql_histogram_print(out, h);
        buf_str(out, hints[h->hint]);
    } else {
        buf_f64_text(out, v);
    }
}

/* Series with points at times, of either side of the comparison. */
struct point {
    int64_t t;
    double v;
    const struct histogram *h;
    const struct promql_value *want;
};

struct table {
    struct labels labels;
    struct point *p;
    size_t n;
};

static struct table table_got(struct arena *a, const struct engine_series *s)
{
    struct table t = {s->labels, arena_array(a, struct point, s->n + s->n_hist), 0};
    size_t i = 0, k = 0;

    while (i < s->n || k < s->n_hist) {
        if (k == s->n_hist || (i < s->n && s->t_ms[i] < s->hist_t_ms[k])) {
            t.p[t.n++] = (struct point){s->t_ms[i], s->v[i], NULL, NULL};
            i++;
        } else {
            t.p[t.n++] = (struct point){s->hist_t_ms[k], 0, s->hist[k], NULL};
            k++;
        }
    }
    return t;
}

static struct table table_want(struct arena *a, const struct promql_series *s, int64_t start,
                               int64_t step)
{
    struct table t = {s->labels, arena_array(a, struct point, s->n), 0};

    for (size_t i = 0; i < s->n; i++)
        if (!s->values[i].is_omitted)
            t.p[t.n++] = (struct point){start + (int64_t)i * step, s->values[i].v, s->values[i].h,
                                        &s->values[i]};
    return t;
}

static bool point_eq(struct arena *a, const struct point *got, const struct point *want)
{
    if (got->t != want->t || !got->h != !want->h)
        return false;
    return want->h ? hist_eq(a, got->h, want->want) : value_eq(got->v, want->v);
}

static bool table_eq(struct arena *a, const struct table *got, const struct table *want)
{
    if (!labels_eq(got->labels, want->labels) || got->n != want->n)
        return false;
    for (size_t i = 0; i < got->n; i++)
        if (!point_eq(a, &got->p[i], &want->p[i]))
            return false;
    return true;
}

static void table_print(struct buf *out, const struct table *t, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        buf_str(out, i ? "; " : "");
        labels_text(out, t[i].labels);
        for (size_t k = 0; k < t[i].n; k++) {
            buf_str(out, k ? " " : " = ");
            value_print(out, t[i].p[k].v, t[i].p[k].h);
            buf_printf(out, "@%lld", (long long)t[i].p[k].t);
        }
    }
    if (n == 0)
        buf_str(out, "nothing");
}

static bool tables_eq(struct arena *a, const struct table *got, size_t n_got,
                      const struct table *want, size_t n_want, bool is_ordered)
{
    if (n_got != n_want)
        return false;
    for (size_t i = 0; i < n_got; i++) {
        size_t k;

        if (is_ordered) {
            if (!table_eq(a, &got[i], &want[i]))
                return false;
            continue;
        }
        for (k = 0; k < n_want; k++)
            if (table_eq(a, &got[i], &want[k]))
                break;
        if (k == n_want)
            return false;
    }
    return true;
}

static bool text_fits(const struct expectation *x, struct slice text)
{
    struct re *re;
    struct err *e;
    bool does;
    int spans[2];

    if (!x->has_text)
        return true;
    if (!x->is_regex)
        return slice_eq(x->text, text);
    if ((e = re_compile(x->text, 0, &re))) {
        err_free(e);
        return false;
    }
    does = re_find(re, text, 0, spans, 2);
    re_free(re);
    return does;
}

static void texts_print(struct buf *out, const struct slice *t, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "%s%.*s", i ? "; " : "", SLICE_ARG(t[i]));
    if (n == 0)
        buf_str(out, "none");
}

static bool check_annotations(const struct command *c, enum expect_kind kind, enum expect_kind none,
                              const struct slice *got, size_t n, struct buf *detail)
{
    bool has_any = false;
    const char *what = kind == EXPECT_WARN ? "warnings" : "infos";

    VEC_FOREACH (x, &c->expects) {
        bool is_met = false;

        if (x->kind == none && n) {
            buf_printf(detail, "%s ", what);
            texts_print(detail, got, n);
            buf_str(detail, " / none");
            return false;
        }
        if (x->kind != kind)
            continue;
        has_any = true;
        for (size_t i = 0; i < n && !is_met; i++)
            is_met = text_fits(x, got[i]);
        if (!is_met) {
            buf_printf(detail, "%s ", what);
            texts_print(detail, got, n);
            buf_printf(detail, " / %.*s", SLICE_ARG(x->has_text ? x->text : SLICE("some")));
            return false;
        }
    }
    for (size_t i = 0; i < n && has_any; i++) {
        bool is_met = false;

        VEC_FOREACH (x, &c->expects)
            is_met |= x->kind == kind && text_fits(x, got[i]);
        if (!is_met) {
            buf_printf(detail, "%s not expected: %.*s", what, SLICE_ARG(got[i]));
            return false;
        }
    }
    return true;
}

static bool check_failure(const struct command *c, struct err *e, struct buf *detail)
{
    bool has_expected = false, fits = true;

    VEC_FOREACH (x, &c->expects) {
        if (x->kind != EXPECT_FAIL)
            continue;
        has_expected = true;
        if (e && !text_fits(x, slice_cstr(err_msg(e)))) {
            buf_printf(detail, "error \"%s\" / \"%.*s\"", err_msg(e), SLICE_ARG(x->text));
            fits = false;
        }
    }
    if (e && !has_expected)
        buf_printf(detail, "error \"%s\" / a result", err_msg(e));
    if (!e && has_expected)
        buf_str(detail, "a result / an error");
    err_free(e);
    return has_expected == (e != NULL) && fits;
}

static bool check_result(struct arena *a, const struct command *c, const struct engine_result *r,
                         struct buf *detail)
{
    size_t n_want = c->series.len;
    struct table *got = arena_array(a, struct table, r->n_series),
                 *want = arena_array(a, struct table, n_want);
    int64_t start = c->has_matrix ? c->matrix_start_ms : c->start_ms;
    int64_t step = c->has_matrix ? c->matrix_step_ms : c->step_ms;

    if (c->has_string) {
        if (r->type == ENGINE_STRING && slice_eq(r->string, c->string))
            return true;
        buf_printf(detail, "\"%.*s\" / \"%.*s\"", SLICE_ARG(r->string), SLICE_ARG(c->string));
        return false;
    }
    for (size_t i = 0; i < r->n_series; i++)
        got[i] = table_got(a, &r->series[i]);
    for (size_t i = 0; i < n_want; i++) {
        want[i] = table_want(a, &c->series.ptr[i].series, start, step);
        if (c->series.ptr[i].is_scalar)
            want[i].labels = (struct labels){0};
    }
    if (tables_eq(a, got, r->n_series, want, n_want, c->is_ordered))
        return true;
    table_print(detail, got, r->n_series);
    buf_str(detail, " / ");
    table_print(detail, want, n_want);
    return false;
}

/* ---- in shards ---- */

struct sharding {
    const struct engine *eng;
    struct storage *store;
    struct arena *a;
};

static void run_jobs(void *arg, struct engine_job *jobs, size_t n)
{
    struct sharding *s = arg;

    for (size_t i = 0; i < n; i++)
        jobs[i].err = engine_query(s->eng, &jobs[i].q, s->store, s->a, &jobs[i].result);
}

static struct err *ask(const struct engine *eng, const struct engine_query *q,
                       struct storage *store, struct arena *a, struct engine_result *ret)
{
    struct sharding s = {eng, store, a};

    if (eval_shards < 2)
        return engine_query(eng, q, store, a, ret);
    return engine_query_split(eng, q, store, a, eval_shards, run_jobs, &s, NULL, ret);
}

/* An instant query again as a range query around its time: the step at that time must say the same. */
static bool check_as_range(const struct engine *eng, const struct command *c, struct storage *store,
                           const struct engine_result *instant, struct buf *detail)
{
    struct arena *a = arena_new(0);
    struct engine_query q = {.expr = c->expr,
                             .start_ms = c->start_ms - 60000,
                             .end_ms = c->start_ms + 60000,
                             .step_ms = 60000};
    struct engine_result r;
    struct err *e = ask(eng, &q, store, a, &r);
    struct table *got, *want;
    size_t n = 0;
    bool is_same;

    if (e) {
        /* The neighbouring steps may fail for reasons of their own. */
        err_free(e);
        arena_free(a);
        return true;
    }
    got = arena_array(a, struct table, r.n_series);
    want = arena_array(a, struct table, instant->n_series);
    for (size_t i = 0; i < r.n_series; i++) {
        struct table t = table_got(a, &r.series[i]);
        size_t kept = 0;

        for (size_t k = 0; k < t.n; k++)
            if (t.p[k].t == c->start_ms)
                t.p[kept++] = t.p[k];
        t.n = kept;
        if (kept)
            got[n++] = t;
    }
    for (size_t i = 0; i < instant->n_series; i++) {
        want[i] = table_got(a, &instant->series[i]);
        for (size_t k = 0; k < want[i].n; k++) {
            struct promql_value *v = arena_new_of(a, struct promql_value);

            *v = (struct promql_value){.v = want[i].p[k].v, .h = want[i].p[k].h, .has_hint = true};
            want[i].p[k].want = v;
        }
    }
    is_same = tables_eq(a, got, n, want, instant->n_series, false);
    if (!is_same) {
        buf_str(detail, "as a range query: ");
        table_print(detail, got, n);
        buf_str(detail, " / ");
        table_print(detail, want, instant->n_series);
    }
    arena_free(a);
    return is_same;
}

/* Whether the query speaks of its own range. */
static bool knows_range(struct slice expr)
{
    static const char *const words[] = {"start()", "end()", "range()", "step()"};

    for (size_t i = 0; i < ORR_COUNT(words); i++)
        if (slice_find(expr, slice_cstr(words[i]), 0) >= 0)
            return true;
    return false;
}

bool eval_run(const struct engine *eng, const struct command *c, struct storage *store,
              struct buf *detail)
{
    struct arena *a = arena_new(0);
    struct engine_query q = {.expr = c->expr,
                             .start_ms = c->start_ms,
                             .end_ms = c->end_ms,
                             .step_ms = c->is_range ? c->step_ms : 0};
    struct engine_result r = {0};
    struct err *e = ask(eng, &q, store, a, &r);
    bool has_failed = e != NULL, is_ok = check_failure(c, e, detail);

    if (is_ok && !has_failed) {
        is_ok =
            check_annotations(c, EXPECT_WARN, EXPECT_NO_WARN, r.warnings, r.n_warnings, detail) &&
            check_annotations(c, EXPECT_INFO, EXPECT_NO_INFO, r.infos, r.n_infos, detail) &&
            check_result(a, c, &r, detail);
        if (is_ok && r.type == ENGINE_VECTOR && !c->is_ordered && !knows_range(c->expr))
            is_ok = check_as_range(eng, c, store, &r, detail);
    }
    arena_free(a);
    return is_ok;
}
