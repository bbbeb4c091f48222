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

/* What is between the first and the last sample of a window. */
struct stretch {
    int64_t first_ms, last_ms;
    size_t n;
    bool has_start; /* start_ms, inside of the window, is when the counter was zero */
    int64_t start_ms;
    bool has_zero; /* zero_s before the first sample the counter would have been zero */
    double zero_s;
};

/*
 * By how much to stretch it to the window. A series is taken to go on to the window's edge if a sample
 * is about due there, else half an interval further. A counter is not taken back below zero, nor
 * beyond a known start.
 */
static double extrapolate(const struct win *w, size_t i, const struct stretch *s)
{
    int64_t from_ms = s->has_start ? s->start_ms : s->first_ms;
    double to_start = (double)(from_ms - w->start[i]) / 1000;
    double to_end = (double)(w->end[i] - s->last_ms) / 1000;
    double covered = (double)(s->last_ms - from_ms) / 1000;
    double average = s->n > 1 ? (double)(s->last_ms - s->first_ms) / 1000 / (double)(s->n - 1) : 0;
    double threshold = average * 1.1;

    if (s->has_start)
        to_start = 0;
    else if (to_start >= threshold)
        to_start = average / 2;
    if (s->has_zero && s->zero_s < to_start)
        to_start = s->zero_s;
    if (to_end >= threshold)
        to_end = average / 2;
    return (covered + to_start + to_end) / covered;
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
    bool has_any = w->raw->st != NULL;
    size_t *at = NULL;
    size_t n = 0, cap = 0;

    for (size_t k = 1; k < w->raw->n; k++) /* seldom, and told by many at once */
        has_any |= v[k] < v[k - 1];
    if (!has_any)
        return (struct resets){NULL, 0, 0};
    for (size_t k = 1; k < w->raw->n; k++) {
        if (!(v[k] < v[k - 1]) && !win_st_is_reset(w->raw->st, w->raw->t, k))
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

/* Whether the window's first sample started inside of it. */
static bool starts_inside(const struct win *w, size_t i, const int64_t *st, const int64_t *t,
                          size_t first)
{
    return win_st_is_valid(st, t, first) && st[first] > w->start[i];
}

static void warn_overlap(struct win *w, const int64_t *st, const int64_t *t, size_t lo, size_t hi)
{
    for (size_t k = lo + 1; st && k < hi; k++) {
        if (st[k] == 0 || st[k] >= t[k - 1] || st[k] == st[k - 1])
            continue;
        annot_add(&w->x->annots, ANNOT_WARNING, w->pos,
                  "sample has start time that overlaps with previous sample timestamp for metric "
                  "\"%.*s\"",
                  SLICE_ARG(w->name));
        return;
    }
}

static void rate_floats(struct win *w, size_t i, enum rate_kind kind, struct resets *resets)
{
    const struct raw *r = w->raw;
    size_t lo = w->lo[i], hi = w->hi[i];
    struct stretch s = {.n = hi - lo};
    double d;

    if (s.n == 0)
        return;
    s.has_start = kind != RATE_DELTA && starts_inside(w, i, r->st, r->t, lo);
    if (s.n < 2 && !s.has_start)
        return;
    s.first_ms = r->t[lo];
    s.last_ms = r->t[hi - 1];
    d = r->v[hi - 1] - r->v[lo];
    if (kind != RATE_DELTA) {
        while (resets->next < resets->n && resets->at[resets->next] <= lo)
            resets->next++;
        for (size_t k = resets->next; k < resets->n && resets->at[k] < hi; k++)
            d += r->v[resets->at[k] - 1];
        warn_overlap(w, r->st, r->t, lo, hi);
        if (s.has_start) {
            s.start_ms = r->st[lo];
            d += r->v[lo];
        } else if (d > 0 && r->v[lo] >= 0) {
            s.zero_s = (double)(s.last_ms - s.first_ms) / 1000 * (r->v[lo] / d);
            s.has_zero = true;
        }
    }
    w->v[i] = d * rate_factor(w, extrapolate(w, i, &s), kind);
}

/* What the histograms of the window grew by; NULL with an annotation if that has no answer. */
static const struct fhist *hist_difference(struct win *w, size_t i, bool is_counter, bool has_start)
{
    const struct fhist *const *h = w->raw->h + w->hlo[i];
    const int64_t *st = w->raw->hst ? w->raw->hst + w->hlo[i] : NULL, *t = w->raw->ht + w->hlo[i];
    size_t n = win_nh(w, i);
    const struct fhist *first = h[0], *last = h[n - 1], *d, *prev;
    int32_t schema;
    struct fhist_notes notes = {0}, ignored = {0};
    bool is_custom;

    if (is_counter && (first->hint == HISTOGRAM_GAUGE || last->hint == HISTOGRAM_GAUGE))
        warn_not(w, "counter");
    if (has_start)
        first = fhist_zero_like(w->tmp, h[0]);
    else if (is_counter && (fhist_is_reset(w->tmp, h[1], first) || win_st_is_reset(st, t, 1)))
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
        size_t from = !has_start && first != h[0]; /* that reset is dealt with */

        prev = has_start ? h[0] : first;
        for (size_t k = 1; d && k < n; k++) {
            if (fhist_is_reset(w->tmp, h[k], prev) || (k > from && win_st_is_reset(st, t, k))) {
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
    struct stretch s = {.n = hi - lo, .first_ms = r->ht[lo], .last_ms = r->ht[hi - 1]};
    const struct fhist *d;

    s.has_start = kind != RATE_DELTA && starts_inside(w, i, r->hst, r->ht, lo);
    if (s.n < 2 && !s.has_start)
        return;
    if (kind != RATE_DELTA)
        warn_overlap(w, r->hst, r->ht, lo, hi);
    if (!(d = hist_difference(w, i, kind != RATE_DELTA, s.has_start)))
        return;
    if (s.has_start) {
        s.start_ms = r->hst[lo];
    } else if (kind != RATE_DELTA && d->count > 0 && r->h[lo]->count >= 0) {
        s.zero_s = (double)(s.last_ms - s.first_ms) / 1000 * (r->h[lo]->count / d->count);
        s.has_zero = true;
    }
    d = fhist_mul(w->tmp, d, rate_factor(w, extrapolate(w, i, &s), kind));
    win_set_hist(w, i, fhist_with_hint(w->tmp, d, HISTOGRAM_GAUGE));
}

/* ---- floats alone, the usual case: columns of PLAIN_STEPS steps, so that the arithmetic of many
 * steps is done at once. The formulas are those of rate_floats() and extrapolate(). ---- */

#define PLAIN_STEPS 64
#define PLAIN_LANES 8

struct plain {
    size_t n;
    size_t step[PLAIN_STEPS];
    double d[PLAIN_STEPS], first[PLAIN_STEPS];
    double to_start_ms[PLAIN_STEPS], to_end_ms[PLAIN_STEPS], covered_ms[PLAIN_STEPS];
    double intervals[PLAIN_STEPS];
};

/* The steps from..to whose windows have two samples. */
static void gather_plain(const struct win *w, struct plain *p, size_t from, size_t to,
                         struct resets *resets)
{
    const int64_t *t = w->raw->t;
    const double *v = w->raw->v;

    p->n = 0;
    for (size_t i = from; i < to; i++) {
        size_t lo = w->lo[i], hi = w->hi[i], k = p->n;
        double d;

        if (hi < lo + 2)
            continue;
        d = v[hi - 1] - v[lo];
        if (resets->n) {
            while (resets->next < resets->n && resets->at[resets->next] <= lo)
                resets->next++;
            for (size_t r = resets->next; r < resets->n && resets->at[r] < hi; r++)
                d += v[resets->at[r] - 1];
        }
        p->step[k] = i;
        p->d[k] = d;
        p->first[k] = v[lo];
        p->to_start_ms[k] = (double)(t[lo] - w->start[i]);
        p->to_end_ms[k] = (double)(w->end[i] - t[hi - 1]);
        p->covered_ms[k] = (double)(t[hi - 1] - t[lo]);
        p->intervals[k] = (double)(hi - lo - 1);
        p->n++;
    }
    for (size_t k = p->n; k % PLAIN_LANES; k++) /* lanes that are computed and not used */
        p->d[k] = p->first[k] = p->to_start_ms[k] = p->to_end_ms[k] = p->covered_ms[k] =
            p->intervals[k] = 1;
}

/* PLAIN_LANES steps, without a branch. d becomes the result. divisor: the range's seconds, or 1. */
static void solve_lanes(struct plain *p, size_t at, int is_counter, double divisor)
{
    double *d = p->d + at;
    const double *first = p->first + at, *intervals = p->intervals + at;
    const double *start_ms = p->to_start_ms + at, *end_ms = p->to_end_ms + at;
    const double *covered_ms = p->covered_ms + at;

    for (size_t k = 0; k < PLAIN_LANES; k++) {
        double start = start_ms[k] / 1000, end = end_ms[k] / 1000, covered = covered_ms[k] / 1000;
        double average = covered / intervals[k], threshold = average * 1.1, half = average / 2;
        double zero = covered * (first[k] / d[k]);

        start = start >= threshold ? half : start;
        end = end >= threshold ? half : end;
        start = (is_counter & (d[k] > 0) & (first[k] >= 0) & (zero < start)) ? zero : start;
        d[k] *= (covered + start + end) / covered / divisor;
    }
}

static void rate_plain(struct win *w, enum rate_kind kind)
{
    struct resets resets = {0};
    struct plain p; /* large: filled before it is read */

    if (kind != RATE_DELTA)
        resets = find_resets(w);
    for (size_t from = 0; from < w->grid->n; from += PLAIN_STEPS) {
        gather_plain(w, &p, from, ORR_MIN(from + PLAIN_STEPS, w->grid->n), &resets);
        for (size_t k = 0; k < p.n; k += PLAIN_LANES)
            solve_lanes(&p, k, kind != RATE_DELTA,
                        kind == RATE_RATE ? (double)w->range_ms / 1000 : 1);
        for (size_t k = 0; k < p.n; k++)
            w->v[p.step[k]] = p.d[k];
    }
}

static void rate_of(struct win *w, enum rate_kind kind)
{
    struct resets resets = {0};

    if (w->raw->nh == 0 && !w->raw->st) {
        rate_plain(w, kind);
        return;
    }
    if (kind != RATE_DELTA)
        resets = find_resets(w);
    for (size_t i = 0; i < w->grid->n && exec_work(w->x, 1 + 100 * win_nh(w, i)); i++) {
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
    bool is_st_reset; /* against the sample of its kind before it */
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
            p[k] = (struct point){r->t[f], r->v[f], NULL,
                                  f > w->lo[i] && win_st_is_reset(r->st, r->t, f)};
        } else {
            h--;
            p[k] = (struct point){r->ht[h], 0, r->h[h],
                                  h > w->hlo[i] && win_st_is_reset(r->hst, r->ht, h)};
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
    if (!is_rate || (!cur->is_st_reset && !fhist_is_reset(w->tmp, cur->h, old->h))) {
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
            double d = is_rate && (cur.v < old.v || cur.is_st_reset) ? cur.v : cur.v - old.v;

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
