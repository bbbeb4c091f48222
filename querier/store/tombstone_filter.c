#include "querier/store/tombstone_filter.h"

#include "common/base/mem.h"
#include "common/block/tiers.h"

#define LONGEST_MS tier_resolution_ms(TIERS - 1)

struct filter {
    struct series_set set;
    struct series_set *src;
    struct tombstone_list *list;
    int64_t min_ms, max_ms;
    struct arena *arena; /* spans of the current series */
    /* columns of what is left */
    size_t cap;
    int64_t *t, *st;
    double *v;
    const struct histogram **h;
    struct storage_point *points;
};

static void reserve(struct filter *f, size_t n)
{
    if (n <= f->cap)
        return;
    f->cap = ORR_MAX(n, 2 * f->cap);
    f->t = mem_reallocarray(f->t, f->cap, sizeof(*f->t));
    f->st = mem_reallocarray(f->st, f->cap, sizeof(*f->st));
    f->v = mem_reallocarray(f->v, f->cap, sizeof(*f->v));
    f->h = mem_reallocarray((void *)f->h, f->cap, sizeof(*f->h));
    f->points = mem_reallocarray(f->points, f->cap, sizeof(*f->points));
}

/* at: the first span that can reach it. */
static bool is_deleted(const struct storage_series *s, size_t i, const struct tombstone_span *spans,
                       size_t n, size_t at)
{
    int64_t span_ms = s->points ? s->points[i].span_ms : 0;
    int64_t from = span_ms ? tier_window(s->t_ms[i], span_ms) : s->t_ms[i];
    int64_t to = span_ms ? from + span_ms - 1 : from;

    for (; at < n && spans[at].min_ms <= to; at++)
        if (spans[at].max_ms >= from)
            return true;
    return false;
}

static void keep_rest(struct filter *f, struct storage_series *io,
                      const struct tombstone_span *spans, size_t n_spans)
{
    size_t n = 0, at = 0;

    reserve(f, io->n);
    for (size_t i = 0; i < io->n; i++) {
        while (at < n_spans && spans[at].max_ms < io->t_ms[i] - LONGEST_MS)
            at++;
        if (is_deleted(io, i, spans, n_spans, at))
            continue;
        f->t[n] = io->t_ms[i];
        f->v[n] = io->v[i];
        if (io->h)
            f->h[n] = io->h[i];
        if (io->st_ms)
            f->st[n] = io->st_ms[i];
        if (io->points)
            f->points[n] = io->points[i];
        n++;
    }
    io->n = n;
    io->t_ms = f->t;
    io->v = f->v;
    io->h = io->h ? f->h : NULL;
    io->st_ms = io->st_ms ? f->st : NULL;
    io->points = io->points ? f->points : NULL;
}

static bool next_kept(struct filter *f, struct storage_series *ret)
{
    while (series_set_next(f->src, ret)) {
        struct tombstone_span *spans;
        size_t n;

        arena_reset(f->arena);
        spans = tombstone_list_spans(f->list, f->arena, ret->labels, f->min_ms, f->max_ms, &n);
        if (n)
            keep_rest(f, ret, spans, n);
        if (ret->n)
            return true;
    }
    return false;
}

static bool filter_next(struct series_set *set, struct storage_series *ret)
{
    struct filter *f = (struct filter *)set;
    bool is_more = next_kept(f, ret);

    set->warnings = f->src->warnings; /* reading finds out what is missing */
    set->n_warnings = f->src->n_warnings;
    return is_more;
}

static struct err *filter_close(struct series_set *set)
{
    struct filter *f = (struct filter *)set;
    struct err *e = series_set_close(f->src);

    tombstone_list_unref(f->list);
    arena_free(f->arena);
    mem_free(f->t);
    mem_free(f->st);
    mem_free(f->v);
    mem_free((void *)f->h);
    mem_free(f->points);
    mem_free(f);
    return e;
}

struct series_set *tombstone_filter_new(struct series_set *set, struct tombstone_list *list,
                                        int64_t min_ms, int64_t max_ms)
{
    static const struct series_set_ops ops = {filter_next, filter_close};
    struct filter *f = mem_new(struct filter);

    f->set.ops = &ops;
    f->set.warnings = set->warnings;
    f->set.n_warnings = set->n_warnings;
    f->src = set;
    f->list = tombstone_list_ref(list);
    /* the windows of points at both ends */
    f->min_ms = min_ms - (min_ms < INT64_MIN + LONGEST_MS ? 0 : LONGEST_MS);
    f->max_ms = max_ms + (max_ms > INT64_MAX - LONGEST_MS ? 0 : LONGEST_MS);
    f->arena = arena_new(0);
    return &f->set;
}
