#include "querier/traces/tracepool.h"

#include <stdlib.h>

#include "common/base/mem.h"
#include "common/base/vec.h"
#include "querier/traces/tracecond.h"
#include "querier/traces/tracenames.h"

struct tracepool {
    struct arena *arena;
    VEC(struct tracepiece) pieces; /* by id once it is ended */
};

struct tracepool *tracepool_new(void)
{
    struct tracepool *t = mem_new(struct tracepool);

    t->arena = arena_new(0);
    return t;
}

void tracepool_free(struct tracepool *t)
{
    if (!t)
        return;
    vec_done(&t->pieces);
    arena_free(t->arena);
    mem_free(t);
}

struct err *tracepool_add(struct tracepool *t, struct slice piece)
{
    struct tracepiece p;
    struct err *e = tracepiece_decode(t->arena, arena_dup(t->arena, piece), &p);

    if (!e)
        vec_push(&t->pieces, p);
    return e;
}

static int compare(const void *x, const void *y)
{
    const struct tracepiece *a = x, *b = y;

    return memcmp(a->trace_id, b->trace_id, sizeof(a->trace_id));
}

void tracepool_end(struct tracepool *t)
{
    if (t->pieces.len)
        qsort(t->pieces.ptr, t->pieces.len, sizeof(*t->pieces.ptr), compare);
}

/* ---- a set ---- */

struct pool_set {
    struct tracesource_set base;
    const struct tracepool *t;
    const struct tracesource_request *req;
    size_t at;
};

static bool overlaps(const struct tracepiece *p, size_t n, const struct tracesource_request *req)
{
    for (size_t i = 0; i < n; i++)
        for (uint32_t s = 0; s < p[i].n_spans; s++)
            if ((int64_t)p[i].spans[s].start_ns < req->end_ns &&
                (int64_t)p[i].spans[s].end_ns >= req->start_ns)
                return true;
    return false;
}

static int compare_ids(const void *x, const void *y)
{
    return memcmp(x, y, 16);
}

static bool may_match(const struct tracepiece *p, size_t n, const struct tracesource_request *req)
{
    struct arena *a;
    bool found = !req->n_filters;

    if (found)
        return true;
    a = arena_new(0);
    for (size_t i = 0; i < n && !found; i++) {
        struct tracebuild *b = tracebuild_new(a);
        struct tracepiece_rows rows;
        const struct tracecols *cols;

        tracepiece_rows_init(&rows, b);
        tracepiece_build(&rows, a, &p[i]);
        tracepiece_rows_done(&rows);
        cols = tracebuild_end(b);
        found = tracecond_may(req->filters, req->n_filters, cols);
    }
    arena_free(a);
    return found;
}

static bool is_wanted(const struct tracepiece *p, size_t n, const struct tracesource_request *req)
{
    if (memcmp(p->trace_id, req->first, 16) < 0 || memcmp(p->trace_id, req->last, 16) > 0)
        return false;
    if (req->ids && !bsearch(p->trace_id, req->ids, req->n_ids, 16, compare_ids))
        return false;
    return overlaps(p, n, req) && may_match(p, n, req);
}

static bool pool_next(struct tracesource_set *set, struct tracesource_trace *ret)
{
    struct pool_set *s = ORR_CONTAINER(set, struct pool_set, base);
    const struct tracepiece *all = s->t->pieces.ptr;

    while (s->at < s->t->pieces.len) {
        size_t first = s->at, n = 0;

        while (s->at < s->t->pieces.len && !compare(&all[first], &all[s->at])) {
            s->at++;
            n++;
        }
        if (!is_wanted(&all[first], n, s->req))
            continue;
        *ret =
            (struct tracesource_trace){all[first].trace_id, &all[first], s->req->ids_only ? 0 : n};
        return true;
    }
    return false;
}

static struct err *pool_close(struct tracesource_set *set)
{
    mem_free(ORR_CONTAINER(set, struct pool_set, base));
    return NULL;
}

static struct err *pool_select(void *src, struct arena *a, const struct tracesource_request *req,
                               struct tracesource_set **ret)
{
    static const struct tracesource_set_ops ops = {pool_next, pool_close};
    struct pool_set *s = mem_new(struct pool_set);

    *s = (struct pool_set){{&ops}, src, arena_copy(a, req, 1), 0};
    *ret = &s->base;
    return NULL;
}

static struct err *pool_names(void *src, const struct tracesource_names_request *req,
                              tracesource_name_fn *give, void *arg)
{
    const struct tracepool *t = src;
    struct arena *a = arena_new(0);
    struct tracebuild *b = tracebuild_new(a);
    struct tracepiece_rows rows;

    tracepiece_rows_init(&rows, b);
    VEC_FOREACH (p, &t->pieces)
        if ((req->start_ns == 0 && req->end_ns == INT64_MAX) ||
            overlaps(
                p, 1,
                &(struct tracesource_request){.start_ns = req->start_ns, .end_ns = req->end_ns}))
            tracepiece_build(&rows, a, p);
    tracepiece_rows_done(&rows);
    (void)tracenames_of(tracebuild_end(b), req, NULL, give, arg);
    arena_free(a);
    return NULL;
}

struct tracesource tracepool_source(struct tracepool *t)
{
    static const struct tracesource_ops ops = {pool_select, pool_names, NULL, NULL};

    return (struct tracesource){.ops = &ops, .src = t, .has_filters = true};
}
