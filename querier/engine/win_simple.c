/* Windows whose result is a sample, a count or an extreme. */
#include <math.h>

#include "querier/engine/window.h"

void win_set_hist(struct win *w, size_t i, const struct fhist *h)
{
    if (!w->h)
        w->h = row_hist_column(w->tmp, w->grid->n);
    w->h[i] = h;
    w->v[i] = ROW_ABSENT;
}

void win_warn_mixed(struct win *w)
{
    if (w->has_told_mixed)
        return;
    w->has_told_mixed = true;
    annot_add(&w->x->annots, ANNOT_WARNING, w->pos,
              "encountered a mix of histograms and floats for metric name \"%.*s\"",
              SLICE_ARG(w->name));
}

void win_info_ignored(struct win *w)
{
    if (w->has_told_ignored)
        return;
    w->has_told_ignored = true;
    annot_add(&w->x->annots, ANNOT_INFO, w->pos,
              "ignored histograms in a range containing both floats and histograms for metric name "
              "\"%.*s\"",
              SLICE_ARG(w->name));
}

void win_note(struct win *w, const struct fhist_notes *notes, const char *operation)
{
    if (notes->has_reset_conflict)
        annot_add(&w->x->annots, ANNOT_WARNING, w->pos,
                  "conflicting counter resets during histogram %s", operation);
    if (notes->has_reconciled)
        annot_add(&w->x->annots, ANNOT_INFO, w->pos,
                  "mismatched custom buckets were reconciled during %s", operation);
}

/* Of the points in the window, what they stand for. */
static double count_weights(const struct win *w, size_t i)
{
    double n = 0;

    for (size_t k = w->lo[i]; k < w->hi[i]; k++)
        n += w->raw->w[k];
    for (size_t k = w->hlo[i]; k < w->hhi[i]; k++)
        n += w->raw->hw[k];
    return n;
}

static void count_points(struct win *w)
{
    for (size_t i = 0; i < w->grid->n && exec_work(w->x, win_n(w, i) + win_nh(w, i)); i++)
        if (win_n(w, i) + win_nh(w, i))
            w->v[i] = count_weights(w, i);
}

void win_count(struct win *w)
{
    if (w->raw->w) {
        count_points(w);
        return;
    }
    for (size_t i = 0; i < w->grid->n; i++)
        if (win_n(w, i) + win_nh(w, i))
            w->v[i] = (double)(win_n(w, i) + win_nh(w, i));
}

void win_present(struct win *w)
{
    for (size_t i = 0; i < w->grid->n; i++)
        if (win_n(w, i) + win_nh(w, i))
            w->v[i] = 1;
}

/* Whether the sample asked for is a float. */
static bool last_is_float(const struct win *w, size_t i)
{
    const struct raw *r = w->raw;

    return win_n(w, i) && (!win_nh(w, i) || r->t[w->hi[i] - 1] > r->ht[w->hhi[i] - 1]);
}

static bool first_is_float(const struct win *w, size_t i)
{
    const struct raw *r = w->raw;

    return win_n(w, i) && (!win_nh(w, i) || r->t[w->lo[i]] < r->ht[w->hlo[i]]);
}

void win_last(struct win *w)
{
    for (size_t i = 0; i < w->grid->n; i++) {
        if (last_is_float(w, i))
            w->v[i] = w->raw->v[w->hi[i] - 1];
        else if (win_nh(w, i))
            win_set_hist(w, i, w->raw->h[w->hhi[i] - 1]);
    }
}

void win_first(struct win *w)
{
    for (size_t i = 0; i < w->grid->n; i++) {
        if (first_is_float(w, i))
            w->v[i] = w->raw->v[w->lo[i]];
        else if (win_nh(w, i))
            win_set_hist(w, i, w->raw->h[w->hlo[i]]);
    }
}

void win_ts_of_last(struct win *w)
{
    for (size_t i = 0; i < w->grid->n; i++) {
        if (last_is_float(w, i))
            w->v[i] = (double)w->raw->t[w->hi[i] - 1] / 1000;
        else if (win_nh(w, i))
            w->v[i] = (double)w->raw->ht[w->hhi[i] - 1] / 1000;
    }
}

void win_ts_of_first(struct win *w)
{
    for (size_t i = 0; i < w->grid->n; i++) {
        if (first_is_float(w, i))
            w->v[i] = (double)w->raw->t[w->lo[i]] / 1000;
        else if (win_nh(w, i))
            w->v[i] = (double)w->raw->ht[w->hlo[i]] / 1000;
    }
}

/*
 * Extremes with a queue of candidates: each one is better than all after it, the first is the
 * window's. NaNs are never candidates; a window of nothing else yields its first sample.
 */
static void extremes(struct win *w, double sign)
{
    const double *v = w->raw->v;
    size_t *queue = arena_array(w->tmp, size_t, w->raw->n + 1);
    size_t head = 0, tail = 0, next = 0;

    for (size_t i = 0; i < w->grid->n; i++) {
        if (win_nh(w, i) && win_n(w, i))
            win_info_ignored(w);
        if (!win_n(w, i))
            continue;
        if (next < w->lo[i])
            next = w->lo[i];
        for (; next < w->hi[i]; next++) {
            if (isnan(v[next]))
                continue;
            while (tail > head && sign * v[queue[tail - 1]] < sign * v[next])
                tail--;
            queue[tail++] = next;
        }
        while (head < tail && queue[head] < w->lo[i])
            head++;
        w->v[i] = head < tail ? v[queue[head]] : v[w->lo[i]];
    }
}

void win_max(struct win *w)
{
    extremes(w, 1);
}

void win_min(struct win *w)
{
    extremes(w, -1);
}

static void ts_of_extreme(struct win *w, double sign)
{
    for (size_t i = 0; i < w->grid->n && exec_work(w->x, win_n(w, i)); i++) {
        size_t best = w->lo[i];

        if (win_nh(w, i) && win_n(w, i))
            win_info_ignored(w);
        if (!win_n(w, i))
            continue;
        for (size_t k = best + 1; k < w->hi[i]; k++)
            if (sign * w->raw->v[k] >= sign * w->raw->v[best] || isnan(w->raw->v[best]))
                best = k;
        w->v[i] = (double)w->raw->t[best] / 1000;
    }
}

void win_ts_of_max(struct win *w)
{
    ts_of_extreme(w, 1);
}

void win_ts_of_min(struct win *w)
{
    ts_of_extreme(w, -1);
}

/* A step from one sample to the next that counts. */
typedef bool event_fn(double from, double to);

static bool is_change(double from, double to)
{
    return from != to && !(isnan(from) && isnan(to));
}

static bool is_reset(double from, double to)
{
    return to < from;
}

/* Float-only series: events up to each sample, so that a window is one subtraction. */
static void count_events(struct win *w, event_fn *is_event, bool is_for_resets)
{
    const struct raw *r = w->raw;
    uint32_t *before = arena_array(w->tmp, uint32_t, r->n + 1);

    for (size_t k = 1; k < r->n; k++)
        before[k] = before[k - 1] + (is_event(r->v[k - 1], r->v[k]) ||
                                     (is_for_resets && win_st_is_reset(r->st, r->t, k)));
    for (size_t i = 0; i < w->grid->n; i++)
        if (win_n(w, i))
            w->v[i] = (double)(before[w->hi[i] - 1] - before[w->lo[i]]);
}

/* With histograms: in order of time over both columns. */
static void count_events_mixed(struct win *w, event_fn *is_event, bool is_for_resets)
{
    const struct raw *r = w->raw;

    for (size_t i = 0; i < w->grid->n && exec_work(w->x, win_n(w, i) + 100 * win_nh(w, i)); i++) {
        size_t f = w->lo[i], h = w->hlo[i], count = 0;
        const struct fhist *prev_h = NULL;
        double prev = 0;
        bool is_first = true;

        if (!win_n(w, i) && !win_nh(w, i))
            continue;
        while (f < w->hi[i] || h < w->hhi[i]) {
            if (h == w->hhi[i] || (f < w->hi[i] && r->t[f] < r->ht[h])) {
                if (!is_first)
                    count += prev_h || is_event(prev, r->v[f]);
                prev = r->v[f++];
                prev_h = NULL;
            } else {
                const struct fhist *cur = r->h[h++];

                if (!is_first && !prev_h)
                    count++;
                else if (prev_h)
                    count += is_for_resets ? fhist_is_reset(w->tmp, cur, prev_h) ||
                                                 win_st_is_reset(r->hst, r->ht, h - 1)
                                           : !fhist_eq(cur, prev_h);
                prev_h = cur;
            }
            is_first = false;
        }
        w->v[i] = (double)count;
    }
}

void win_changes(struct win *w)
{
    if (w->raw->nh)
        count_events_mixed(w, is_change, false);
    else if (w->raw->n)
        count_events(w, is_change, false);
}

void win_resets(struct win *w)
{
    if (w->raw->nh)
        count_events_mixed(w, is_reset, true);
    else if (w->raw->n)
        count_events(w, is_reset, true);
}
