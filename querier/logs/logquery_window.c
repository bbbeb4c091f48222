/* What the samples of a window make, as Loki computes it. */
#include <math.h>
#include <stdlib.h>

#include "common/base/promdur.h"
#include "querier/logs/logquery_internal.h"

typedef double window_fn(const struct logql_range *r, const struct logquery_sample *s, size_t n,
                         struct arena *tmp);

static double sum_of(const struct logql_range *r, const struct logquery_sample *s, size_t n,
                     struct arena *tmp)
{
    double sum = 0;

    (void)r, (void)tmp;
    for (size_t i = 0; i < n; i++)
        sum += s[i].v;
    return sum;
}

static double rate_of(const struct logql_range *r, const struct logquery_sample *s, size_t n,
                      struct arena *tmp)
{
    return sum_of(r, s, n, tmp) / promdur_seconds(r->range_ns);
}

static double avg_of(const struct logql_range *r, const struct logquery_sample *s, size_t n,
                     struct arena *tmp)
{
    double mean = 0;

    (void)r, (void)tmp;
    for (size_t i = 0; i < n; i++) {
        /* A mean that is infinite stays so, unless the opposite comes. */
        if (isinf(mean)) {
            if (isinf(s[i].v) && (mean > 0) == (s[i].v > 0))
                continue;
            if (isfinite(s[i].v))
                continue;
        }
        mean += s[i].v / (double)(i + 1) - mean / (double)(i + 1);
    }
    return mean;
}

static double least_of(const struct logql_range *r, const struct logquery_sample *s, size_t n,
                       struct arena *tmp)
{
    double v = s[0].v;

    (void)r, (void)tmp;
    for (size_t i = 1; i < n; i++)
        if (s[i].v < v || isnan(v))
            v = s[i].v;
    return v;
}

static double greatest_of(const struct logql_range *r, const struct logquery_sample *s, size_t n,
                          struct arena *tmp)
{
    double v = s[0].v;

    (void)r, (void)tmp;
    for (size_t i = 1; i < n; i++)
        if (s[i].v > v || isnan(v))
            v = s[i].v;
    return v;
}

/* Welford's. */
static double variance_of(const struct logql_range *r, const struct logquery_sample *s, size_t n,
                          struct arena *tmp)
{
    double mean = 0, squares = 0;

    (void)r, (void)tmp;
    for (size_t i = 0; i < n; i++) {
        double delta = s[i].v - mean;

        mean += delta / (double)(i + 1);
        squares += delta * (s[i].v - mean);
    }
    return squares / (double)n;
}

static double deviation_of(const struct logql_range *r, const struct logquery_sample *s, size_t n,
                           struct arena *tmp)
{
    return sqrt(variance_of(r, s, n, tmp));
}

/* NaN before all others. */
static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    if (isnan(x) || isnan(y))
        return isnan(y) - isnan(x);
    return (x > y) - (x < y);
}

static double quantile_of(const struct logql_range *r, const struct logquery_sample *s, size_t n,
                          struct arena *tmp)
{
    double *v, rank, weight;
    size_t lower, upper;

    if (r->param < 0)
        return -(double)INFINITY;
    if (r->param > 1)
        return (double)INFINITY;
    v = arena_array(tmp, double, n);
    for (size_t i = 0; i < n; i++)
        v[i] = s[i].v;
    qsort(v, n, sizeof(*v), by_value);
    rank = r->param * (double)(n - 1);
    lower = (size_t)fmax(0, floor(rank));
    upper = ORR_MIN(n - 1, lower + 1);
    weight = rank - floor(rank);
    return v[lower] * (1 - weight) + v[upper] * weight;
}

static double first_of(const struct logql_range *r, const struct logquery_sample *s, size_t n,
                       struct arena *tmp)
{
    (void)r, (void)n, (void)tmp;
    return s[0].v;
}

static double last_of(const struct logql_range *r, const struct logquery_sample *s, size_t n,
                      struct arena *tmp)
{
    (void)r, (void)tmp;
    return s[n - 1].v;
}

/* The increase of a counter with resets, by the length of the range. */
static double counter_rate_of(const struct logql_range *r, const struct logquery_sample *s,
                              size_t n, struct arena *tmp)
{
    double increase, last;

    (void)tmp;
    if (n < 2)
        return 0;
    increase = s[n - 1].v - s[0].v;
    last = s[0].v;
    for (size_t i = 0; i < n; i++) {
        if (s[i].v < last)
            increase += last;
        last = s[i].v;
    }
    return increase / promdur_seconds(r->range_ns);
}

#define WORK_BEFORE_A_LOOK 100000 /* samples */

static window_fn *const functions[] = {
    [LOGQL_RATE] = rate_of,
    [LOGQL_RATE_COUNTER] = counter_rate_of,
    [LOGQL_AVG_OVER_TIME] = avg_of,
    [LOGQL_SUM_OVER_TIME] = sum_of,
    [LOGQL_MIN_OVER_TIME] = least_of,
    [LOGQL_MAX_OVER_TIME] = greatest_of,
    [LOGQL_STDVAR_OVER_TIME] = variance_of,
    [LOGQL_STDDEV_OVER_TIME] = deviation_of,
    [LOGQL_QUANTILE_OVER_TIME] = quantile_of,
    [LOGQL_FIRST_OVER_TIME] = first_of,
    [LOGQL_LAST_OVER_TIME] = last_of,
};

struct err *logquery_window(struct logquery_run *run, const struct logql_range *range,
                            const struct logquery_grid *grid, const struct logquery_sample *samples,
                            size_t n, struct arena *tmp, double *v, bool *has)
{
    size_t from = 0, to = 0, work = 0;
    struct err *e;

    for (size_t i = 0; i < grid->n; i++) {
        int64_t end = grid->start_ns + (int64_t)i * grid->step_ns - range->offset_ns;

        while (to < n && samples[to].ts_ns <= end)
            to++;
        while (from < to && samples[from].ts_ns <= end - range->range_ns)
            from++;
        has[i] = from < to;
        if (has[i])
            v[i] = functions[range->op](range, samples + from, to - from, tmp);
        arena_reset(tmp);
        work += to - from;
        if (work < WORK_BEFORE_A_LOOK)
            continue;
        work = 0;
        if ((e = logquery_run_look(run)))
            return e;
    }
    return NULL;
}
