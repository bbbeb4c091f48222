/* Range functions against a plain recomputation of every window, on random series. */
#include <math.h>
#include <stdlib.h>

#include "common/base/rng.h"
#include "querier/engine/engine.h"
#include "querier/engine/memstore.h"
#include "tests/unit/test.h"

#define MAX_SAMPLES 400

struct series {
    int64_t t[MAX_SAMPLES];
    double v[MAX_SAMPLES];
    size_t n;
};

static struct labels one_label(struct label *l, const char *name)
{
    *l = (struct label){SLICE(LABEL_NAME), slice_cstr(name)};
    return (struct labels){l, 1};
}

/* A counter with resets, gaps, uneven times, stale markers and now and then NaN. */
static struct series random_series(struct rng *r, struct memstore *m)
{
    struct series s = {0};
    struct label l;
    int64_t t = (int64_t)rng_below(r, 30000);
    double v = (double)rng_below(r, 100);
    size_t count = 50 + rng_below(r, MAX_SAMPLES - 60);

    for (size_t i = 0; i < count; i++) {
        t += rng_chance(r, 0.05) ? 60000 + (int64_t)rng_below(r, 400000)
                                 : 10000 + (int64_t)rng_below(r, 10000);
        if (rng_chance(r, 0.03)) {
            memstore_add(m, one_label(&l, "x_total"), t, sample_from_bits(SAMPLE_STALE_BITS), NULL,
                         0);
            continue;
        }
        v = rng_chance(r, 0.04) ? (double)rng_below(r, 10) : v + (double)rng_below(r, 1000) / 8;
        s.t[s.n] = t;
        s.v[s.n] = rng_chance(r, 0.02) ? sample_from_bits(SAMPLE_NAN_BITS) : v;
        memstore_add(m, one_label(&l, "x_total"), t, s.v[s.n], NULL, 0);
        s.n++;
    }
    return s;
}

struct window {
    const int64_t *t;
    const double *v;
    size_t n;
    int64_t start, end;
};

typedef double naive_fn(const struct window *w, bool *ret_has);

static double naive_count(const struct window *w, bool *has)
{
    *has = w->n > 0;
    return (double)w->n;
}

static double naive_extreme(const struct window *w, double sign)
{
    double best = w->v[0];

    for (size_t i = 1; i < w->n; i++)
        if (sign * w->v[i] > sign * best || isnan(best))
            best = w->v[i];
    return best;
}

static double naive_max(const struct window *w, bool *has)
{
    *has = w->n > 0;
    return *has ? naive_extreme(w, 1) : 0;
}

static double naive_min(const struct window *w, bool *has)
{
    *has = w->n > 0;
    return *has ? naive_extreme(w, -1) : 0;
}

static double naive_sum(const struct window *w, bool *has)
{
    long double sum = 0;

    *has = w->n > 0;
    for (size_t i = 0; i < w->n; i++)
        sum += w->v[i];
    return (double)sum;
}

static double naive_avg(const struct window *w, bool *has)
{
    return naive_sum(w, has) / (double)w->n;
}

static double naive_changes(const struct window *w, bool *has)
{
    double n = 0;

    *has = w->n > 0;
    for (size_t i = 1; i < w->n; i++)
        n += w->v[i] != w->v[i - 1] && !(isnan(w->v[i]) && isnan(w->v[i - 1]));
    return n;
}

static double naive_resets(const struct window *w, bool *has)
{
    double n = 0;

    *has = w->n > 0;
    for (size_t i = 1; i < w->n; i++)
        n += w->v[i] < w->v[i - 1];
    return n;
}

static double naive_increase(const struct window *w, bool *has)
{
    double d, to_start, to_end, sampled, average, zero;

    *has = w->n > 1;
    if (!*has)
        return 0;
    d = w->v[w->n - 1] - w->v[0];
    for (size_t i = 1; i < w->n; i++)
        if (w->v[i] < w->v[i - 1])
            d += w->v[i - 1];
    to_start = (double)(w->t[0] - w->start) / 1000;
    to_end = (double)(w->end - w->t[w->n - 1]) / 1000;
    sampled = (double)(w->t[w->n - 1] - w->t[0]) / 1000;
    average = sampled / (double)(w->n - 1);
    if (to_start >= average * 1.1)
        to_start = average / 2;
    if (d > 0 && w->v[0] >= 0 && (zero = sampled * (w->v[0] / d)) < to_start)
        to_start = zero;
    if (to_end >= average * 1.1)
        to_end = average / 2;
    return d * ((sampled + to_start + to_end) / sampled);
}

static double naive_rate(const struct window *w, bool *has)
{
    return naive_increase(w, has) / ((double)(w->end - w->start) / 1000);
}

static double naive_stdvar(const struct window *w, bool *has)
{
    long double mean = 0, sum = 0;

    *has = w->n > 0;
    for (size_t i = 0; i < w->n; i++)
        mean += w->v[i] / (long double)w->n;
    for (size_t i = 0; i < w->n; i++)
        sum += (w->v[i] - mean) * (w->v[i] - mean) / (long double)w->n;
    return (double)sum;
}

static double naive_deriv(const struct window *w, bool *has)
{
    long double sx = 0, sy = 0, sxy = 0, sxx = 0, n = (long double)w->n;
    bool is_flat = true;

    *has = w->n > 1;
    for (size_t i = 0; i < w->n; i++) {
        long double x = (long double)(w->t[i] - w->t[0]) / 1000;

        is_flat &= w->v[i] == w->v[0];
        sx += x;
        sy += w->v[i];
        sxy += x * w->v[i];
        sxx += x * x;
    }
    return is_flat ? 0 : (double)((sxy - sx * sy / n) / (sxx - sx * sx / n));
}

static double naive_last(const struct window *w, bool *has)
{
    *has = w->n > 0;
    return *has ? w->v[w->n - 1] : 0;
}

static double naive_idelta(const struct window *w, bool *has)
{
    *has = w->n > 1;
    return *has ? w->v[w->n - 1] - w->v[w->n - 2] : 0;
}

static const struct {
    const char *name;
    naive_fn *fn;
    double tolerance;
} functions[] = {
    {"count_over_time", naive_count, 0}, {"max_over_time", naive_max, 0},
    {"min_over_time", naive_min, 0},     {"sum_over_time", naive_sum, 1e-12},
    {"avg_over_time", naive_avg, 1e-12}, {"changes", naive_changes, 0},
    {"resets", naive_resets, 0},         {"increase", naive_increase, 1e-12},
    {"rate", naive_rate, 1e-12},         {"stdvar_over_time", naive_stdvar, 1e-9},
    {"deriv", naive_deriv, 1e-8},        {"last_over_time", naive_last, 0},
    {"idelta", naive_idelta, 0},
};

static bool is_close(double a, double b, double tolerance)
{
    if (isnan(a) || isnan(b))
        return isnan(a) && isnan(b);
    return fabs(a - b) <= tolerance * fmax(1, fmax(fabs(a), fabs(b)));
}

static void check_function(size_t f, const struct series *s, struct memstore *m, struct engine *eng,
                           int64_t range_ms, int64_t step_ms)
{
    struct arena *a = arena_new(0);
    const char *expr =
        arena_printf(a, "%s(x_total[%lldms])", functions[f].name, (long long)range_ms);
    struct engine_query q = {
        .expr = slice_cstr(expr), .start_ms = 5000, .end_ms = 4000000, .step_ms = step_ms};
    struct engine_result r;
    size_t at = 0;

    CHECK_OK(engine_query(eng, &q, memstore_storage(m), a, &r));
    for (int64_t t = q.start_ms; t <= q.end_ms; t += step_ms) {
        struct window w = {.start = t - range_ms, .end = t};
        size_t lo = 0;
        bool has;
        double want;

        while (lo < s->n && s->t[lo] <= w.start)
            lo++;
        w.t = s->t + lo;
        w.v = s->v + lo;
        while (lo + w.n < s->n && s->t[lo + w.n] <= t)
            w.n++;
        want = functions[f].fn(&w, &has);
        if (!has) {
            CHECK(r.n_series == 0 || at == r.series[0].n || r.series[0].t_ms[at] > t);
            continue;
        }
        CHECK(r.n_series == 1 && at < r.series[0].n);
        CHECK_INT(r.series[0].t_ms[at], t);
        if (!is_close(r.series[0].v[at], want, functions[f].tolerance))
            test_fail(__FILE__, __LINE__, "%s at %lld is %.17g, not %.17g", expr, (long long)t,
                      r.series[0].v[at], want);
        at++;
    }
    arena_free(a);
}

TEST(window_functions_agree_with_recomputing_every_window)
{
    struct engine *eng = engine_new(NULL);
    struct rng r;

    rng_seed(&r, 42);
    for (int round = 0; round < 20; round++) {
        struct memstore *m = memstore_new();
        struct series s = random_series(&r, m);
        int64_t range_ms = 1 + (int64_t)rng_below(&r, 600000),
                step_ms = 1000 + (int64_t)rng_below(&r, 120000);

        for (size_t f = 0; f < ORR_COUNT(functions); f++)
            check_function(f, &s, m, eng, range_ms, step_ms);
        memstore_free(m);
    }
    engine_free(eng);
}

TEST(window_quantiles_agree_with_sorting)
{
    struct engine *eng = engine_new(NULL);
    struct rng r;

    rng_seed(&r, 7);
    for (int round = 0; round < 300; round++) {
        struct memstore *m = memstore_new();
        struct arena *a = arena_new(0);
        size_t n = 1 + rng_below(&r, 40), at;
        double v[40], q = rng_unit(&r), rank, want;
        struct label l;
        struct engine_result res;
        struct engine_query query = {.start_ms = 100000, .end_ms = 100000};

        for (size_t i = 0; i < n; i++) {
            v[i] = rng_chance(&r, 0.2) ? (double)rng_below(&r, 3) : rng_unit(&r);
            memstore_add(m, one_label(&l, "x"), 1000 + (int64_t)i * 1000, v[i], NULL, 0);
        }
        for (size_t i = 1; i < n; i++)
            for (size_t k = i; k > 0 && v[k - 1] > v[k]; k--) {
                double t = v[k];

                v[k] = v[k - 1];
                v[k - 1] = t;
            }
        rank = q * (double)(n - 1);
        at = (size_t)rank;
        want =
            v[at] * (1 - (rank - floor(rank))) + v[ORR_MIN(at + 1, n - 1)] * (rank - floor(rank));
        query.expr = slice_cstr(arena_printf(a, "quantile_over_time(%.17g, x[100s])", q));
        CHECK_OK(engine_query(eng, &query, memstore_storage(m), a, &res));
        CHECK(res.n_series == 1 && is_close(res.series[0].v[0], want, 1e-14));
        arena_free(a);
        memstore_free(m);
    }
    engine_free(eng);
}
