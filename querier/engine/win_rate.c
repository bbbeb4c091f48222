/*
 * rate(), increase(), delta(): the difference between the ends of the window, counter resets
 * made good, extrapolated to the window's edges. irate(), idelta(): of the last two samples.
 */
#include <math.h>

#include "querier/engine/window.h"

enum rate_kind { RATE_RATE, RATE_INCREASE, RATE_DELTA };

static void warn_not(struct win *w, const char *what)
{
    annot_add(&w->x->annots, ANNOT_WARNING, w->pos,
              "this native histogram metric is not a %s: \"%.*s\"", what, SLICE_ARG(w->name));
}

static void warn_custom_mix(struct win *w)
{
    annot_add(&w->x->annots, ANNOT_WARNING, w->pos,
              "vector contains a mix of histograms with exponential and custom buckets schemas for "
              "metric name \"%.*s\"",
              SLICE_ARG(w->name));
}

/*
 * By how much to stretch what happened between the first and the last sample. A series is taken to
 * go on to the window's edge if a sample is about due there, else half an interval further. A
 * counter is not taken back below zero: zero_s is when it would have been there.
 */
static double extrapolate(const struct win *w, size_t i, int64_t first_ms, int64_t last_ms,
                          size_t n, double zero_s, bool has_zero)
{
    double to_start = (double)(first_ms - w->start[i]) / 1000;
    double to_end = (double)(w->end[i] - last_ms) / 1000;
    double sampled = (double)(last_ms - first_ms) / 1000;
    double average = sampled / (double)(n - 1);
    double threshold = average * 1.1;

    if (to_start >= threshold)
        to_start = average / 2;
    if (has_zero && zero_s < to_start)
        to_start = zero_s;
    if (to_end >= threshold)
        to_end = average / 2;
    return (sampled + to_start + to_end) / sampled;
}

static double rate_factor(const struct win *w, double factor, enum rate_kind kind)
{
    return kind == RATE_RATE ? factor / ((double)w->range_ms / 1000) : factor;
}

struct resets {
    const size_t *at; /* samples below the one before them */
    size_t n, next;
};

static struct resets find_resets(struct win *w)
{
    const double *v = w->raw->v;
    size_t *at = NULL;
    size_t n = 0, cap = 0;

    for (size_t k = 1; k < w->raw->n; k++) {
        if (!(v[k] < v[k - 1]))
            continue;
        if (n == cap) {
            size_t grown = cap ? cap * 2 : 16;

            at = arena_grow(w->tmp, at, cap * sizeof(*at), grown * sizeof(*at));
            cap = grown;
        }
        at[n++] = k;
    }
    return (struct resets){at, n, 0};
}

static void rate_floats(struct win *w, size_t i, enum rate_kind kind, struct resets *resets)
{
    const struct raw *r = w->raw;
    size_t lo = w->lo[i], hi = w->hi[i];
    double d, zero_s = 0, factor;
    bool has_zero = false;

    if (hi - lo < 2)
        return;
    d = r->v[hi - 1] - r->v[lo];
    if (kind != RATE_DELTA) {
        while (resets->next < resets->n && resets->at[resets->next] <= lo)
            resets->next++;
        for (size_t k = resets->next; k < resets->n && resets->at[k] < hi; k++)
            d += r->v[resets->at[k] - 1];
        if (d > 0 && r->v[lo] >= 0) {
            zero_s = (double)(r->t[hi - 1] - r->t[lo]) / 1000 * (r->v[lo] / d);
            has_zero = true;
        }
    }
    factor = extrapolate(w, i, r->t[lo], r->t[hi - 1], hi - lo, zero_s, has_zero);
    w->v[i] = d * rate_factor(w, factor, kind);
}

/* What the histograms of the window grew by; NULL with an annotation if that has no answer. */
static const struct fhist *hist_difference(struct win *w, size_t i, bool is_counter)
{
    const struct fhist *const *h = w->raw->h + w->hlo[i];
    size_t n = win_nh(w, i);
    const struct fhist *first = h[0], *last = h[n - 1], *d, *prev;
    int32_t schema;
    struct fhist_notes notes = {0}, ignored = {0};
    bool is_custom;

    if (is_counter && (first->hint == HISTOGRAM_GAUGE || last->hint == HISTOGRAM_GAUGE))
        warn_not(w, "counter");
    if (is_counter && fhist_is_reset(w->tmp, h[1], first))
        first = fhist_zero_like(w->tmp, h[1]);
    is_custom = fhist_is_custom(first);
    if (fhist_is_custom(last) != is_custom) {
        warn_custom_mix(w);
        return NULL;
    }
    schema = ORR_MIN(first->schema, last->schema);
    for (size_t k = 1; k + 1 < n && is_counter; k++) {
        if (h[k]->hint == HISTOGRAM_GAUGE)
            warn_not(w, "counter");
        schema = ORR_MIN(schema, h[k]->schema);
        if (fhist_is_custom(h[k]) != is_custom) {
            warn_custom_mix(w);
            return NULL;
        }
    }
    /* Resets are dealt with here, so conflicting hints are no news. */
    d = fhist_sub(w->tmp, fhist_coarsen(w->tmp, last, schema), first, &ignored);
    notes.has_reconciled |= ignored.has_reconciled;
    if (is_counter) {
        prev = first;
        for (size_t k = 1; d && k < n; k++) {
            if (fhist_is_reset(w->tmp, h[k], prev)) {
                ignored = (struct fhist_notes){0};
                d = fhist_add(w->tmp, d, prev, &ignored);
                notes.has_reconciled |= ignored.has_reconciled;
            }
            prev = h[k];
        }
    } else if (first->hint != HISTOGRAM_GAUGE || last->hint != HISTOGRAM_GAUGE) {
        warn_not(w, "gauge");
    }
    win_note(w, &notes, "subtraction");
    return d;
}

static void rate_hists(struct win *w, size_t i, enum rate_kind kind)
{
    const struct raw *r = w->raw;
    size_t lo = w->hlo[i], hi = w->hhi[i];
    const struct fhist *d;
    double zero_s = 0, factor;
    bool has_zero = false;

    if (hi - lo < 2 || !(d = hist_difference(w, i, kind != RATE_DELTA)))
        return;
    if (kind != RATE_DELTA && d->count > 0 && r->h[lo]->count >= 0) {
        zero_s = (double)(r->ht[hi - 1] - r->ht[lo]) / 1000 * (r->h[lo]->count / d->count);
        has_zero = true;
    }
    factor = extrapolate(w, i, r->ht[lo], r->ht[hi - 1], hi - lo, zero_s, has_zero);
    d = fhist_mul(w->tmp, d, rate_factor(w, factor, kind));
    win_set_hist(w, i, fhist_with_hint(w->tmp, d, HISTOGRAM_GAUGE));
}

static void rate_of(struct win *w, enum rate_kind kind)
{
    struct resets resets = {0};

    if (kind != RATE_DELTA)
        resets = find_resets(w);
    for (size_t i = 0; i < w->grid->n; i++) {
        if (win_n(w, i) && win_nh(w, i))
            win_warn_mixed(w);
        else if (win_nh(w, i))
            rate_hists(w, i, kind);
        else
            rate_floats(w, i, kind, &resets);
    }
}

void win_rate(struct win *w)
{
    rate_of(w, RATE_RATE);
}

void win_increase(struct win *w)
{
    rate_of(w, RATE_INCREASE);
}

void win_delta(struct win *w)
{
    rate_of(w, RATE_DELTA);
}

struct point {
    int64_t t;
    double v;
    const struct fhist *h;
};

/* The last two samples of the window over both columns. */
static bool last_two(const struct win *w, size_t i, struct point *ret_old, struct point *ret_new)
{
    const struct raw *r = w->raw;
    size_t f = w->hi[i], h = w->hhi[i];
    struct point p[2];

    if (win_n(w, i) + win_nh(w, i) < 2)
        return false;
    for (int k = 0; k < 2; k++) {
        if (f > w->lo[i] && (h == w->hlo[i] || r->t[f - 1] > r->ht[h - 1])) {
            f--;
            p[k] = (struct point){r->t[f], r->v[f], NULL};
        } else {
            h--;
            p[k] = (struct point){r->ht[h], 0, r->h[h]};
        }
    }
    *ret_new = p[0];
    *ret_old = p[1];
    return true;
}

static void instant_hists(struct win *w, size_t i, const struct point *old, const struct point *cur,
                          bool is_rate, double seconds)
{
    const struct fhist *d = cur->h;
    struct fhist_notes notes = {0};

    if (is_rate && (old->h->hint == HISTOGRAM_GAUGE || cur->h->hint == HISTOGRAM_GAUGE))
        warn_not(w, "counter");
    if (!is_rate && (old->h->hint != HISTOGRAM_GAUGE || cur->h->hint != HISTOGRAM_GAUGE))
        warn_not(w, "gauge");
    if (!is_rate || !fhist_is_reset(w->tmp, cur->h, old->h)) {
        if (!(d = fhist_sub(w->tmp, cur->h, old->h, &notes))) {
            warn_custom_mix(w);
            return;
        }
        notes.has_reset_conflict = false;
        win_note(w, &notes, "subtraction");
    }
    if (is_rate)
        d = fhist_div(w->tmp, d, seconds);
    win_set_hist(w, i, fhist_with_hint(w->tmp, d, HISTOGRAM_GAUGE));
}

static void instant(struct win *w, bool is_rate)
{
    for (size_t i = 0; i < w->grid->n; i++) {
        struct point old, cur;
        double seconds;

        if (!last_two(w, i, &old, &cur) || cur.t == old.t)
            continue;
        seconds = (double)(cur.t - old.t) / 1000;
        if (!old.h != !cur.h) {
            win_warn_mixed(w);
        } else if (cur.h) {
            instant_hists(w, i, &old, &cur, is_rate, seconds);
        } else {
            double d = is_rate && cur.v < old.v ? cur.v : cur.v - old.v;

            w->v[i] = is_rate ? d / seconds : d;
        }
    }
}

void win_irate(struct win *w)
{
    instant(w, true);
}

void win_idelta(struct win *w)
{
    instant(w, false);
}
