#include "querier/plan/steps_join.h"

#include "querier/engine/annot.h"

struct cursor {
    const struct steps_part *part;
    size_t at; /* the next series */
};

/* Where the first time of at least t_ms stands. */
static size_t lower_bound(const int64_t *t, size_t n, int64_t t_ms)
{
    size_t lo = 0, hi = n;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;

        if (t[mid] < t_ms)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo;
}

/* The points of s that the part means: views, nothing is copied. */
static struct engine_series cut(const struct steps_part *p, const struct engine_series *s)
{
    struct engine_series out = {.labels = s->labels};
    size_t from = lower_bound(s->t_ms, s->n, p->first_ms);
    size_t to = lower_bound(s->t_ms, s->n, p->last_ms + 1);

    out.n = to - from;
    out.t_ms = s->t_ms + from;
    out.v = s->v + from;
    from = lower_bound(s->hist_t_ms, s->n_hist, p->first_ms);
    to = lower_bound(s->hist_t_ms, s->n_hist, p->last_ms + 1);
    out.n_hist = to - from;
    out.hist_t_ms = s->hist_t_ms + from;
    out.hist = s->hist + from;
    return out;
}

static const struct engine_series *head(const struct cursor *c)
{
    return c->at < c->part->result->n_series ? &c->part->result->series[c->at] : NULL;
}

/* The least label set among the cursors; false: all are at their end. */
static bool least(const struct cursor *cs, size_t n, struct labels *ret)
{
    bool has = false;

    for (size_t i = 0; i < n; i++) {
        const struct engine_series *s = head(&cs[i]);

        if (s && (!has || labels_cmp(s->labels, *ret) < 0)) {
            *ret = s->labels;
            has = true;
        }
    }
    return has;
}

/* Puts the n pieces of one series together; found lends room. */
static struct engine_series glue(struct arena *a, const struct engine_series *found, size_t n)
{
    struct engine_series out = found[0];
    size_t total = 0, total_hist = 0;
    int64_t *t, *ht;
    double *v;
    const struct histogram **h;

    if (n == 1)
        return out;
    for (size_t i = 0; i < n; i++) {
        total += found[i].n;
        total_hist += found[i].n_hist;
    }
    t = arena_array(a, int64_t, total);
    v = arena_array(a, double, total);
    ht = arena_array(a, int64_t, total_hist);
    h = arena_array(a, const struct histogram *, total_hist);
    out = (struct engine_series){found[0].labels, 0, t, v, 0, ht, h};
    for (size_t i = 0; i < n; i++) {
        const struct engine_series *s = &found[i];

        if (s->n) {
            memcpy(t + out.n, s->t_ms, s->n * sizeof(*t));
            memcpy(v + out.n, s->v, s->n * sizeof(*v));
        }
        if (s->n_hist) {
            memcpy(ht + out.n_hist, s->hist_t_ms, s->n_hist * sizeof(*ht));
            memcpy((void *)(h + out.n_hist), (const void *)s->hist, s->n_hist * sizeof(*h));
        }
        out.n += s->n;
        out.n_hist += s->n_hist;
    }
    return out;
}

static void join_texts(struct arena *a, const struct steps_part *parts, size_t n,
                       struct engine_result *ret, bool *ret_is_whole)
{
    struct annots as;

    annot_init(&as, a, SLICE_EMPTY);
    for (size_t i = 0; i < n; i++) {
        const struct engine_result *r = parts[i].result;

        for (size_t k = 0; k < r->n_warnings; k++)
            annot_add_text(&as, ANNOT_WARNING, r->warnings[k]);
        for (size_t k = 0; k < r->n_infos; k++)
            annot_add_text(&as, ANNOT_INFO, r->infos[k]);
        *ret_is_whole &= r->n_warnings <= ANNOT_SHOWN && r->n_infos <= ANNOT_SHOWN;
    }
    ret->n_warnings = annot_list(&as, ANNOT_WARNING, &ret->warnings);
    ret->n_infos = annot_list(&as, ANNOT_INFO, &ret->infos);
    *ret_is_whole &= ret->n_warnings <= ANNOT_SHOWN && ret->n_infos <= ANNOT_SHOWN;
    annot_done(&as);
}

struct err *steps_join(struct arena *a, const struct steps_part *parts, size_t n,
                       struct engine_result *ret, bool *ret_is_whole)
{
    struct cursor *cs = arena_array(a, struct cursor, n);
    struct engine_series *found = arena_array(a, struct engine_series, n), *out;
    struct engine_result r = {.type = ENGINE_MATRIX};
    struct labels ls = {0};
    size_t cap = 1;

    for (size_t i = 0; i < n; i++) {
        cs[i].part = &parts[i];
        cap = ORR_MAX(cap, parts[i].result->n_series);
        r.stats.samples += parts[i].result->stats.samples;
        r.stats.series += parts[i].result->stats.series;
    }
    out = arena_array(a, struct engine_series, cap);
    while (least(cs, n, &ls)) {
        size_t n_found = 0;

        if (arena_over(a))
            return err_new(ERR_LIMIT, "the query needs more than its %zu bytes of memory",
                           arena_limit(a));
        for (size_t i = 0; i < n; i++) {
            const struct engine_series *s = head(&cs[i]);

            if (!s || labels_cmp(s->labels, ls) != 0)
                continue;
            cs[i].at++;
            found[n_found] = cut(&parts[i], s);
            n_found += found[n_found].n + found[n_found].n_hist > 0;
        }
        if (!n_found)
            continue;
        if (r.n_series == cap) {
            out = arena_grow(a, out, cap * sizeof(*out), 2 * cap * sizeof(*out));
            cap *= 2;
        }
        out[r.n_series++] = glue(a, found, n_found);
    }
    r.series = out;
    r.stats.peak_bytes = arena_used(a);
    *ret_is_whole = true;
    join_texts(a, parts, n, &r, ret_is_whole);
    *ret = r;
    return NULL;
}
