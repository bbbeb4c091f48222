#include "querier/engine/memstore.h"

#include <stdlib.h>

#include "common/base/map.h"
#include "common/base/vec.h"
#include "common/model/fhist.h"

struct mem_series {
    struct labels labels;
    VEC(int64_t) t;
    VEC(double) v;
    VEC(const struct histogram *) h;
    VEC(int64_t) st;
    bool has_hist, has_st;
    size_t n_hinted; /* samples whose hints memstore_derive_hints() has set */
};

struct memstore {
    struct storage storage;
    struct arena *arena; /* labels and histograms */
    struct map index;    /* canonical labels to series */
    VEC(struct mem_series *) series;
    bool is_sorted;
};

struct mem_set {
    struct series_set set;
    struct memstore *m;
    struct storage_request req;
    size_t at;
};

static bool mem_next(struct series_set *set, struct storage_series *ret)
{
    struct mem_set *s = (struct mem_set *)set;

    while (s->at < s->m->series.len) {
        const struct mem_series *ms = s->m->series.ptr[s->at++];
        size_t lo = 0, hi;

        if (!matchers_match(s->req.matchers, ms->labels) ||
            (s->req.shard_count > 1 &&
             labels_fingerprint(ms->labels).hi % s->req.shard_count != s->req.shard_index))
            continue;
        while (lo < ms->t.len && ms->t.ptr[lo] < s->req.start_ms)
            lo++;
        for (hi = lo; hi < ms->t.len && ms->t.ptr[hi] <= s->req.end_ms; hi++)
            ;
        *ret = (struct storage_series){.labels = ms->labels,
                                       .n = hi - lo,
                                       .t_ms = ms->t.ptr + lo,
                                       .v = ms->v.ptr + lo,
                                       .h = ms->has_hist ? ms->h.ptr + lo : NULL,
                                       .st_ms = ms->has_st ? ms->st.ptr + lo : NULL};
        return true;
    }
    return false;
}

static struct err *mem_close(struct series_set *set)
{
    mem_free(set);
    return NULL;
}

static int series_order(const void *a, const void *b)
{
    return labels_cmp((*(struct mem_series *const *)a)->labels,
                      (*(struct mem_series *const *)b)->labels);
}

static struct err *mem_select(struct storage *st, struct arena *arena,
                              const struct storage_request *req, struct series_set **ret)
{
    static const struct series_set_ops ops = {mem_next, mem_close};
    struct memstore *m = (struct memstore *)st;
    struct mem_set *s = mem_new(struct mem_set);

    (void)arena;
    if (!m->is_sorted && m->series.len)
        qsort(m->series.ptr, m->series.len, sizeof(*m->series.ptr), series_order);
    m->is_sorted = true;
    s->set.ops = &ops;
    s->m = m;
    s->req = *req;
    *ret = &s->set;
    return NULL;
}

struct memstore *memstore_new(void)
{
    static const struct storage_ops ops = {mem_select};
    struct memstore *m = mem_new(struct memstore);

    m->storage.ops = &ops;
    m->arena = arena_new(0);
    return m;
}

void memstore_clear(struct memstore *m)
{
    VEC_FOREACH (s, &m->series) {
        vec_done(&(*s)->t);
        vec_done(&(*s)->v);
        vec_done(&(*s)->h);
        vec_done(&(*s)->st);
        mem_free(*s);
    }
    vec_clear(&m->series);
    map_done(&m->index);
    m->index = (struct map){0};
    arena_reset(m->arena);
}

void memstore_free(struct memstore *m)
{
    if (!m)
        return;
    memstore_clear(m);
    vec_done(&m->series);
    map_done(&m->index);
    arena_free(m->arena);
    mem_free(m);
}

static struct mem_series *series_of(struct memstore *m, struct labels ls)
{
    struct buf key = {0};
    void **slot;
    struct mem_series *s;

    labels_canonical(&key, ls);
    slot = map_slot(&m->index, buf_slice(&key));
    buf_done(&key);
    if (*slot)
        return *slot;
    s = mem_new(struct mem_series);
    s->labels = labels_dup(m->arena, ls);
    *slot = s;
    vec_push(&m->series, s);
    m->is_sorted = false;
    return s;
}

void memstore_add(struct memstore *m, struct labels ls, int64_t t_ms, double v,
                  const struct histogram *h, int64_t st_ms)
{
    struct mem_series *s = series_of(m, ls);
    size_t i = s->t.len;
    const struct histogram *copy = NULL;

    if (h) {
        struct histogram *own = arena_new_of(m->arena, struct histogram);

        /* Through the sparse form and back: a deep copy. */
        *own = *fhist_to(m->arena, fhist_from(m->arena, h));
        own->is_int = h->is_int;
        copy = own;
        v = h->sum;
    }
    s->has_hist |= copy != NULL;
    s->has_st |= st_ms != 0;
    while (i > 0 && s->t.ptr[i - 1] > t_ms)
        i--;
    if (i > 0 && s->t.ptr[i - 1] == t_ms) {
        s->n_hinted = ORR_MIN(s->n_hinted, i - 1);
        s->v.ptr[i - 1] = v;
        s->h.ptr[i - 1] = copy;
        s->st.ptr[i - 1] = st_ms;
        return;
    }
    s->n_hinted = ORR_MIN(s->n_hinted, i);
    vec_push(&s->t, 0);
    vec_push(&s->v, 0);
    vec_push(&s->h, NULL);
    vec_push(&s->st, 0);
    for (size_t k = s->t.len - 1; k > i; k--) {
        s->t.ptr[k] = s->t.ptr[k - 1];
        s->v.ptr[k] = s->v.ptr[k - 1];
        s->h.ptr[k] = s->h.ptr[k - 1];
        s->st.ptr[k] = s->st.ptr[k - 1];
    }
    s->t.ptr[i] = t_ms;
    s->v.ptr[i] = v;
    s->h.ptr[i] = copy;
    s->st.ptr[i] = st_ms;
}

/* Whether cur can go on in the chunk that prev ends. */
static bool continues(struct arena *a, const struct histogram *prev, const struct histogram *cur)
{
    struct fhist *p, *c;

    if (!prev || sample_is_stale(prev->sum) || cur->hint == HISTOGRAM_RESET ||
        (prev->hint == HISTOGRAM_GAUGE) != (cur->hint == HISTOGRAM_GAUGE))
        return false;
    if (cur->hint == HISTOGRAM_GAUGE || sample_is_stale(cur->sum))
        return true;
    if (prev->schema != cur->schema || prev->zero_threshold != cur->zero_threshold)
        return false;
    p = fhist_with_hint(a, fhist_from(a, prev), HISTOGRAM_UNKNOWN);
    c = fhist_with_hint(a, fhist_from(a, cur), HISTOGRAM_UNKNOWN);
    return !fhist_is_reset(a, c, p);
}

void memstore_derive_hints(struct memstore *m)
{
    struct arena *a = arena_new(0);

    VEC_FOREACH (sp, &m->series) {
        struct mem_series *s = *sp;
        const struct histogram *prev = s->n_hinted ? s->h.ptr[s->n_hinted - 1] : NULL;

        for (size_t i = s->n_hinted; s->has_hist && i < s->t.len; i++) {
            struct histogram *own;

            if (!s->h.ptr[i]) {
                prev = NULL;
                continue;
            }
            own = arena_new_of(m->arena, struct histogram);
            *own = *s->h.ptr[i];
            if (own->hint != HISTOGRAM_GAUGE)
                own->hint = continues(a, prev, own) ? HISTOGRAM_NOT_RESET : HISTOGRAM_UNKNOWN;
            s->h.ptr[i] = prev = own;
            arena_reset(a);
        }
        s->n_hinted = s->t.len;
    }
    arena_free(a);
}

size_t memstore_series(const struct memstore *m)
{
    return m->series.len;
}

struct storage *memstore_storage(struct memstore *m)
{
    return &m->storage;
}
