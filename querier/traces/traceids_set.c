#include "querier/traces/traceids_set.h"

#include <stdlib.h>

void traceids_set_add(struct arena *a, struct traceids_set *s, const uint8_t id[16])
{
    s->ptr = arena_more(a, s->ptr, s->n);
    memcpy(s->ptr[s->n++], id, 16);
}

static int compare(const void *x, const void *y)
{
    return memcmp(x, y, 16);
}

void traceids_set_sort(struct traceids_set *s)
{
    size_t n = 0;

    if (s->n)
        qsort(s->ptr, s->n, 16, compare);
    for (size_t i = 0; i < s->n; i++)
        if (!n || memcmp(s->ptr[n - 1], s->ptr[i], 16) != 0)
            memmove(s->ptr[n++], s->ptr[i], 16);
    s->n = n;
}

struct err *traceids_set_ask(struct arena *a, struct traceids_set *s,
                             const struct tracesource *source,
                             const struct tracesource_request *req)
{
    struct tracesource_request ask = *req;
    struct tracesource_set *set;
    struct tracesource_trace t;
    struct err *e;

    ask.ids_only = true;
    if ((e = tracesource_select(source, a, &ask, &set)))
        return e;
    while (!arena_over(a) && tracesource_set_next(set, &t))
        traceids_set_add(a, s, t.id);
    return tracesource_set_close(set);
}

struct traceids_set traceids_set_unite(struct arena *a, struct traceids_set x,
                                       struct traceids_set y)
{
    struct traceids_set out = {0};
    size_t i = 0, k = 0;

    if (!x.n || !y.n)
        return x.n ? x : y;
    out.ptr = arena_alloc(a, (x.n + y.n) * 16);
    while (i < x.n || k < y.n) {
        int c = i == x.n ? 1 : k == y.n ? -1 : memcmp(x.ptr[i], y.ptr[k], 16);

        memcpy(out.ptr[out.n++], c <= 0 ? x.ptr[i] : y.ptr[k], 16);
        i += c <= 0;
        k += c >= 0;
    }
    return out;
}
