/*
 * Functions over windows of raw samples: rate(), sum_over_time() and the rest. A kernel computes
 * all steps of one series; windows only move forward, so it may keep state from step to step
 * where that gives exactly the result of a fresh computation (counts, extremes, resets), and
 * recomputes where it does not (sums and regressions, whose rounding depends on the order).
 * Internal to querier/engine.
 */
#pragma once
#include "querier/engine/source.h"

struct win {
    struct exec *x;
    struct arena *tmp; /* of this series */
    const struct raw *raw;
    struct slice name; /* metric, for annotations; may be empty */
    uint32_t pos;      /* of the range argument, for annotations */
    uint32_t pos0;     /* of the first argument (a scalar parameter, where there is one) */
    const struct grid *grid;
    int64_t range_ms;
    /* Window i is floats [lo[i], hi[i]) and histograms [hlo[i], hhi[i]) of raw, the samples with
     * start[i] < t <= end[i]. */
    const size_t *lo, *hi, *hlo, *hhi;
    const int64_t *start, *end;
    const double *arg, *arg2; /* scalar parameters, a value for each step */
    /* Results; v starts absent, h NULL until win_set_hist(). */
    double *v;
    const struct fhist **h;
    bool has_told_mixed, has_told_ignored; /* annotations are given once a series */
};

typedef void win_kernel(struct win *w);

void win_set_hist(struct win *w, size_t i, const struct fhist *h);
static inline size_t win_n(const struct win *w, size_t i)
{
    return w->hi[i] - w->lo[i];
}
static inline size_t win_nh(const struct win *w, size_t i)
{
    return w->hhi[i] - w->hlo[i];
}
/*
 * Start timestamps (st NULL: none known). One at or after its own sample says nothing. A counter was
 * reset between the samples k-1 and k if k started after k-1; also at k-1 itself, which is how
 * deltas come, provided k-1 had a start too (else it is a counter whose start is not known).
 */
static inline bool win_st_is_valid(const int64_t *st, const int64_t *t, size_t k)
{
    return st && st[k] != 0 && st[k] < t[k];
}
static inline bool win_st_is_reset(const int64_t *st, const int64_t *t, size_t k)
{
    return win_st_is_valid(st, t, k) &&
           (st[k] > t[k - 1] || (st[k] == t[k - 1] && win_st_is_valid(st, t, k - 1)));
}
/* Annotations that several kernels give. */
void win_warn_mixed(struct win *w);
void win_info_ignored(struct win *w);
void win_note(struct win *w, const struct fhist_notes *notes, const char *operation);

/* win_rate.c */
win_kernel win_rate, win_increase, win_delta, win_irate, win_idelta;
/* win_simple.c */
win_kernel win_count, win_present, win_last, win_first, win_min, win_max, win_changes, win_resets;
win_kernel win_ts_of_first, win_ts_of_last, win_ts_of_min, win_ts_of_max;
/* win_stat.c */
win_kernel win_sum, win_avg, win_stddev, win_stdvar, win_quantile, win_mad, win_deriv;
win_kernel win_predict_linear, win_smoothing;
/* win_extended.c: anchored and smoothed selectors */
win_kernel win_anchored_rate, win_anchored_increase, win_anchored_delta, win_anchored_changes;
win_kernel win_anchored_resets, win_smoothed_rate, win_smoothed_increase, win_smoothed_delta;
