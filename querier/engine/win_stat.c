/* Sums, averages, spreads, quantiles and regressions over windows. */
#include <math.h>

#include "common/base/num.h"
#include "querier/engine/window.h"

/* Calls back for each window that has floats; histograms beside them are ignored with an info. */
typedef double floats_fn(struct win *w, size_t i, const int64_t *t, const double *v, size_t n);

static void each_floats(struct win *w, size_t min_n, floats_fn *fn)
{
    for (size_t i = 0; i < w->grid->n && exec_work(w->x, win_n(w, i)); i++) {
        if (win_n(w, i) && win_nh(w, i))
            win_info_ignored(w);
        if (win_n(w, i) >= min_n)
            w->v[i] = fn(w, i, w->raw->t + w->lo[i], w->raw->v + w->lo[i], win_n(w, i));
    }
}

static double sum_floats(const double *v, size_t n)
{
    struct kahan k = {v[0], 0};

    for (size_t j = 1; j < n; j++)
        kahan_add(&k, v[j]);
    return kahan_value(&k);
}

/* Mean by sum as long as that does not overflow, from there on step by step. */
static double mean_floats(const double *v, size_t n)
{
    struct kahan k = {v[0], 0};
    bool is_stepwise = false;

    for (size_t j = 1; j < n; j++) {
        double count = (double)j + 1, q = (double)j / count;

        if (!is_stepwise) {
            struct kahan next = k;

            kahan_add(&next, v[j]);
            if (!isinf(next.sum)) {
                k = next;
                continue;
            }
            is_stepwise = true;
            k = (struct kahan){k.sum / (double)j, k.lost / (double)j};
        }
        k = (struct kahan){q * k.sum, q * k.lost};
        kahan_add(&k, v[j] / count);
    }
    if (is_stepwise)
        return k.sum + k.lost;
    return k.sum / (double)n + k.lost / (double)n;
}

/* Of points, each of which is the average of some samples. */
static double weighted_mean(const double *v, const double *weights, size_t n)
{
    struct kahan k = {v[0] * weights[0], 0};
    double total = weights[0];

    for (size_t j = 1; j < n; j++) {
        kahan_add(&k, v[j] * weights[j]);
        total += weights[j];
    }
    return kahan_value(&k) / total;
}

static double mean_of_window(const struct win *w, size_t i)
{
    const struct raw *r = w->raw;

    return r->w ? weighted_mean(r->v + w->lo[i], r->w + w->lo[i], win_n(w, i))
                : mean_floats(r->v + w->lo[i], win_n(w, i));
}

static const struct fhist *weighted_mean_of_hists(struct win *w, size_t i,
                                                  struct fhist_notes *notes)
{
    const struct fhist *acc = NULL;
    double total = 0;

    for (size_t k = w->hlo[i]; k < w->hhi[i]; k++) {
        const struct fhist *h = fhist_mul(w->tmp, w->raw->h[k], w->raw->hw[k]);

        total += w->raw->hw[k];
        if (acc && !(h = fhist_sum_add(w->tmp, acc, h, notes)))
            return NULL;
        acc = h;
    }
    return fhist_div(w->tmp, fhist_sum_done(w->tmp, acc), total);
}

static void warn_custom_mix(struct win *w)
{
    annot_add(&w->x->annots, ANNOT_WARNING, w->pos,
              "vector contains a mix of histograms with exponential and custom buckets schemas for "
              "metric name \"%.*s\"",
              SLICE_ARG(w->name));
}

/* Sum or mean of the window's histograms; NULL if they do not go together. A mean whose sum
 * overflows goes on step by step. */
static const struct fhist *add_hists(struct win *w, size_t i, bool is_mean,
                                     struct fhist_notes *notes)
{
    const struct fhist *acc = w->raw->h[w->hlo[i]], *next;
    bool is_stepwise = false;
    double n = 1;

    for (size_t k = w->hlo[i] + 1; k < w->hhi[i]; k++, n++) {
        const struct fhist *h = w->raw->h[k];

        if (!is_stepwise) {
            if (!(next = fhist_sum_add(w->tmp, acc, h, notes)))
                return NULL;
            if (!is_mean || !fhist_has_overflow(next)) {
                acc = next;
                continue;
            }
            is_stepwise = true;
            acc = fhist_div(w->tmp, acc, n);
        }
        if (!(acc = fhist_mean_add(w->tmp, acc, h, n, notes)))
            return NULL;
    }
    if (is_mean && !is_stepwise)
        acc = fhist_div(w->tmp, acc, n);
    return fhist_sum_done(w->tmp, acc);
}

static void sum_hists(struct win *w, size_t i, bool is_mean)
{
    struct fhist_notes notes = {0};
    const struct fhist *sum = is_mean && w->raw->hw ? weighted_mean_of_hists(w, i, &notes)
                                                    : add_hists(w, i, is_mean, &notes);
    bool has_reset = false, has_not_reset = false;

    /* Hints can collide between any two, not only along the running sum. */
    for (size_t k = w->hlo[i]; k < w->hhi[i]; k++) {
        has_reset |= w->raw->h[k]->hint == HISTOGRAM_RESET;
        has_not_reset |= w->raw->h[k]->hint == HISTOGRAM_NOT_RESET;
    }
    notes.has_reset_conflict = has_reset && has_not_reset;
    win_note(w, &notes, "aggregation");
    if (sum)
        win_set_hist(w, i, sum);
    else
        warn_custom_mix(w);
}

static void sum_or_mean(struct win *w, bool is_mean)
{
    for (size_t i = 0; i < w->grid->n && exec_work(w->x, win_n(w, i) + 100 * win_nh(w, i)); i++) {
        const double *v = w->raw->v + w->lo[i];

        if (win_n(w, i) && win_nh(w, i))
            win_warn_mixed(w);
        else if (win_nh(w, i))
            sum_hists(w, i, is_mean);
        else if (win_n(w, i))
            w->v[i] = is_mean ? mean_of_window(w, i) : sum_floats(v, win_n(w, i));
    }
}

void win_sum(struct win *w)
{
    sum_or_mean(w, false);
}

void win_avg(struct win *w)
{
    sum_or_mean(w, true);
}

static double variance(struct win *w, size_t i, const int64_t *t, const double *v, size_t n)
{
    struct kahan mean = {0}, aux = {0};

    (void)w;
    (void)i;
    (void)t;
    for (size_t j = 0; j < n; j++) {
        double delta = v[j] - (mean.sum + mean.lost);

        kahan_add(&mean, delta / (double)(j + 1));
        kahan_add(&aux, delta * (v[j] - (mean.sum + mean.lost)));
    }
    return (aux.sum + aux.lost) / (double)n;
}

static double deviation(struct win *w, size_t i, const int64_t *t, const double *v, size_t n)
{
    return sqrt(variance(w, i, t, v, n));
}

void win_stdvar(struct win *w)
{
    each_floats(w, 1, variance);
}

void win_stddev(struct win *w)
{
    each_floats(w, 1, deviation);
}

/* NaN is below everything. */
static bool is_below(double x, double y)
{
    return x < y || (isnan(x) && !isnan(y));
}

/* Puts the value of rank k in its place, nothing greater before it, nothing smaller behind. */
static void select_rank(double *v, size_t n, size_t k)
{
    size_t lo = 0, hi = n - 1;

    while (lo < hi) {
        double pivot = v[lo + (hi - lo) / 2];
        size_t i = lo, j = hi;

        for (;;) {
            while (is_below(v[i], pivot))
                i++;
            while (is_below(pivot, v[j]))
                j--;
            if (i >= j)
                break;
            double t = v[i];

            v[i++] = v[j];
            v[j--] = t;
        }
        if (k <= j)
            hi = j;
        else
            lo = j + 1;
    }
}

double ops_quantile(double q, double *values, size_t n)
{
    double rank, lower, upper, weight;
    size_t at;

    if (n == 0 || isnan(q))
        return sample_from_bits(SAMPLE_NAN_BITS);
    if (q < 0)
        return -INFINITY;
    if (q > 1)
        return INFINITY;
    rank = q * (double)(n - 1);
    lower = floor(rank);
    weight = rank - lower;
    at = (size_t)lower;
    select_rank(values, n, at);
    upper = values[at];
    for (size_t i = at + 1; i < n; i++)
        if (i == at + 1 || is_below(values[i], upper))
            upper = values[i];
    return values[at] * (1 - weight) + upper * weight;
}

static double *scratch_copy(struct win *w, const double *v, size_t n)
{
    double *copy = arena_array(w->tmp, double, n);

    memcpy(copy, v, n * sizeof(double));
    return copy;
}

static double quantile(struct win *w, size_t i, const int64_t *t, const double *v, size_t n)
{
    double q = w->arg[i];

    (void)t;
    if (isnan(q) || q < 0 || q > 1) {
        struct buf b = {0};

        num_format(&b, q, 'g', -1);
        annot_add(&w->x->annots, ANNOT_WARNING, w->pos0,
                  "quantile value should be between 0 and 1, got %s", buf_cstr(&b));
        buf_done(&b);
    }
    return ops_quantile(q, scratch_copy(w, v, n), n);
}

void win_quantile(struct win *w)
{
    each_floats(w, 1, quantile);
}

static double mad(struct win *w, size_t i, const int64_t *t, const double *v, size_t n)
{
    double *copy = scratch_copy(w, v, n);
    double median = ops_quantile(0.5, copy, n);

    (void)i;
    (void)t;
    for (size_t j = 0; j < n; j++) {
        if (isnan(v[j]))
            return v[j]; /* sorting would hide it among the smallest */
        copy[j] = fabs(v[j] - median);
    }
    return ops_quantile(0.5, copy, n);
}

void win_mad(struct win *w)
{
    each_floats(w, 1, mad);
}

/* Least squares; x is seconds since origin_ms. Constant values are exactly flat. */
static void regression(const int64_t *t, const double *v, size_t n, int64_t origin_ms,
                       double *ret_slope, double *ret_intercept)
{
    struct kahan sx = {0}, sy = {0}, sxy = {0}, sxx = {0};
    double count = (double)n, x, y, slope;
    bool is_constant = true;

    for (size_t j = 0; j < n; j++) {
        is_constant &= v[j] == v[0];
        x = (double)(t[j] - origin_ms) / 1e3;
        kahan_add(&sx, x);
        kahan_add(&sy, v[j]);
        kahan_add(&sxy, x * v[j]);
        kahan_add(&sxx, x * x);
    }
    if (is_constant) {
        *ret_slope = isinf(v[0]) ? sample_from_bits(SAMPLE_NAN_BITS) : 0;
        *ret_intercept = isinf(v[0]) ? sample_from_bits(SAMPLE_NAN_BITS) : v[0];
        return;
    }
    x = sx.sum + sx.lost;
    y = sy.sum + sy.lost;
    slope = (sxy.sum + sxy.lost - x * y / count) / (sxx.sum + sxx.lost - x * x / count);
    *ret_slope = slope;
    *ret_intercept = y / count - slope * x / count;
}

static double deriv(struct win *w, size_t i, const int64_t *t, const double *v, size_t n)
{
    double slope, intercept;

    (void)w;
    (void)i;
    regression(t, v, n, t[0], &slope, &intercept);
    return slope;
}

void win_deriv(struct win *w)
{
    each_floats(w, 2, deriv);
}

static double predict_linear(struct win *w, size_t i, const int64_t *t, const double *v, size_t n)
{
    double slope, intercept;

    regression(t, v, n, grid_t(w->grid, i), &slope, &intercept);
    return slope * w->arg[i] + intercept;
}

void win_predict_linear(struct win *w)
{
    each_floats(w, 2, predict_linear);
}

/* Double exponential smoothing (Holt's linear method). */
static double smoothing(struct win *w, size_t i, const int64_t *t, const double *v, size_t n)
{
    double sf = w->arg[i], tf = w->arg2[i];
    double s0 = 0, s1 = v[0], trend = v[1] - v[0];

    (void)t;
    if (!(sf > 0 && sf < 1) || !(tf > 0 && tf < 1)) {
        bool is_sf = !(sf > 0 && sf < 1);

        (void)exec_fail(w->x, err_new(ERR_EXEC, "invalid %s factor. Expected: 0 < %s < 1, got: %f",
                                      is_sf ? "smoothing" : "trend", is_sf ? "sf" : "tf",
                                      is_sf ? sf : tf));
        return 0;
    }
    for (size_t j = 1; j < n; j++) {
        double x = sf * v[j], y;

        if (j > 1)
            trend = tf * (s1 - s0) + (1 - tf) * trend;
        y = (1 - sf) * (s1 + trend);
        s0 = s1;
        s1 = x + y;
    }
    return s1;
}

void win_smoothing(struct win *w)
{
    each_floats(w, 2, smoothing);
}
