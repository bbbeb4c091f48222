/*
 * rate(), increase(), delta(), changes() and resets() over anchored and smoothed selectors. Instead of
 * extrapolating they take a value at each edge of the window: anchored, that of the last sample at or
 * before the edge (up to the lookback further back); smoothed, what a straight line between the samples
 * around the edge says.
 */
#include "querier/engine/window.h"

/* The samples that matter for one step, as indexes of the raw floats. */
struct extent {
    size_t from;        /* first that may be looked at */
    size_t first, last; /* give the values at the edges */
    double left, right;
    size_t inner, inner_end; /* [inner, inner_end) are strictly between the edges */
};

static double interpolate(const struct raw *r, size_t i, size_t k, int64_t t, bool is_counter,
                          bool is_left)
{
    double y1 = r->v[i], y2 = r->v[k];

    /* Through a counter reset the line starts from zero, or goes on from where it was. */
    if (is_counter && y2 < y1) {
        if (is_left)
            y1 = 0;
        else
            y2 += y1;
    }
    return y1 + (y2 - y1) * (double)(t - r->t[i]) / (double)(r->t[k] - r->t[i]);
}

static bool find_extent(const struct win *w, size_t i, bool is_smoothed, bool is_counter,
                        struct extent *e)
{
    const struct raw *r = w->raw;
    size_t lo = w->lo[i], hi = w->hi[i];
    int64_t lookback = w->x->lookback_ms;
    bool is_cut;

    e->from = lo;
    while (e->from > 0 && r->t[e->from - 1] > w->start[i] - lookback)
        e->from--;
    e->first = lo > e->from ? lo - 1 : lo;
    if (is_smoothed && hi < r->n && r->t[hi] <= w->end[i] + lookback &&
        (hi == 0 || r->t[hi - 1] < w->end[i]))
        e->last = hi;
    else if (hi > lo)
        e->last = hi - 1;
    else
        return false;
    e->left = r->v[e->first];
    e->right = r->v[e->last];
    is_cut = is_smoothed && r->t[e->first] < w->start[i];
    if (is_cut)
        e->left = interpolate(r, e->first, e->first + 1, w->start[i], is_counter, true);
    /* A window between two neighbours lies on one line: both edges see a reset in the same way. */
    is_cut = is_cut && e->last == e->first + 1;
    if (is_smoothed && e->last > e->from && r->t[e->last] > w->end[i])
        e->right = interpolate(r, e->last - 1, e->last, w->end[i], is_counter, is_cut);
    e->inner = r->t[e->first] <= w->start[i] ? e->first + 1 : e->first;
    e->inner_end = r->t[e->last] >= w->end[i] ? e->last : e->last + 1;
    return true;
}

static bool refuse_hists(struct win *w)
{
    if (!w->raw->nh)
        return false;
    (void)exec_fail(
        w->x,
        err_new(ERR_EXEC, "smoothed and anchored modifiers do not work with native histograms"));
    return true;
}

static void extended_rate(struct win *w, bool is_smoothed, bool is_counter, bool is_rate)
{
    const struct raw *r = w->raw;

    if (refuse_hists(w))
        return;
    for (size_t i = 0; i < w->grid->n && exec_work(w->x, 1 + win_n(w, i)); i++) {
        struct extent e;
        double d, prev;

        if (!find_extent(w, i, is_smoothed, is_counter, &e))
            continue;
        d = e.right - e.left;
        prev = e.left;
        for (size_t k = e.inner; is_counter && k < e.inner_end; k++) {
            if (r->v[k] < prev)
                d += prev;
            prev = r->v[k];
        }
        if (is_counter && e.right < prev)
            d += prev;
        w->v[i] = is_rate ? d / ((double)w->range_ms / 1000) : d;
    }
}

void win_anchored_rate(struct win *w)
{
    extended_rate(w, false, true, true);
}

void win_anchored_increase(struct win *w)
{
    extended_rate(w, false, true, false);
}

void win_anchored_delta(struct win *w)
{
    extended_rate(w, false, false, false);
}

void win_smoothed_rate(struct win *w)
{
    extended_rate(w, true, true, true);
}

void win_smoothed_increase(struct win *w)
{
    extended_rate(w, true, true, false);
}

void win_smoothed_delta(struct win *w)
{
    extended_rate(w, true, false, false);
}

/* Counts over the value at the start, the samples between, and the value at the end. */
static void anchored_events(struct win *w, bool is_resets)
{
    const struct raw *r = w->raw;

    if (refuse_hists(w))
        return;
    for (size_t i = 0; i < w->grid->n && exec_work(w->x, 1 + win_n(w, i)); i++) {
        struct extent e;
        double prev;
        size_t count = 0;

        if (!find_extent(w, i, false, false, &e))
            continue;
        prev = e.left;
        for (size_t k = e.inner; k <= e.inner_end; k++) {
            double v = k == e.inner_end ? e.right : r->v[k];

            if (is_resets ? v < prev : v != prev && !(__builtin_isnan(v) && __builtin_isnan(prev)))
                count++;
            prev = v;
        }
        w->v[i] = (double)count;
    }
}

void win_anchored_changes(struct win *w)
{
    anchored_events(w, false);
}

void win_anchored_resets(struct win *w)
{
    anchored_events(w, true);
}
