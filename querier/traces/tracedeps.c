#include "querier/traces/tracedeps.h"

#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/map.h"
#include "common/base/vec.h"

#define KIND_SERVER 2
#define KIND_CLIENT 3
#define STATUS_ERROR 2
#define NONE UINT32_MAX

/* A span that may share its id with another. */
struct half {
    uint64_t id;
    uint32_t row;
    uint8_t kind;
};

struct tracedeps {
    struct map by_pair; /* -> index + 1 into edges */
    VEC(struct tracedeps_edge) edges;
    struct arena *arena; /* their names */
    struct buf key;
    VEC(struct half) halves; /* of one trace, by id and kind */
};

struct tracedeps *tracedeps_new(void)
{
    struct tracedeps *d = mem_new(struct tracedeps);

    d->arena = arena_new(0);
    return d;
}

void tracedeps_free(struct tracedeps *d)
{
    if (!d)
        return;
    map_done(&d->by_pair);
    vec_done(&d->edges);
    vec_done(&d->halves);
    buf_done(&d->key);
    arena_free(d->arena);
    mem_free(d);
}

/* ---- parents ---- */

static int by_id(const void *a, const void *b)
{
    const struct half *l = a, *r = b;

    if (l->id != r->id)
        return l->id < r->id ? -1 : 1;
    return l->kind != r->kind ? (l->kind < r->kind ? -1 : 1)
                              : (l->row > r->row) - (l->row < r->row);
}

static void find_halves(struct tracedeps *d, const struct tracecols *c,
                        const struct tracecols_trace *t)
{
    vec_clear(&d->halves);
    for (uint32_t row = t->first; row < t->first + t->n; row++)
        if (c->kind[row] == KIND_SERVER || c->kind[row] == KIND_CLIENT)
            vec_push(&d->halves, ((struct half){c->span_id[row], row, c->kind[row]}));
    if (d->halves.len)
        qsort(d->halves.ptr, d->halves.len, sizeof(*d->halves.ptr), by_id);
}

/* The first span of that id and kind; NONE. */
static uint32_t half_of(const struct tracedeps *d, uint64_t id, uint8_t kind)
{
    size_t lo = 0, hi = d->halves.len;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const struct half *h = &d->halves.ptr[mid];

        if (h->id < id || (h->id == id && h->kind < kind))
            lo = mid + 1;
        else
            hi = mid;
    }
    if (lo == d->halves.len || d->halves.ptr[lo].id != id || d->halves.ptr[lo].kind != kind)
        return NONE;
    return d->halves.ptr[lo].row;
}

static uint32_t parent_of(const struct tracedeps *d, const struct tracecols *c, uint32_t row)
{
    uint32_t parent = c->parent[row], half;

    if (c->kind[row] == KIND_SERVER && (half = half_of(d, c->span_id[row], KIND_CLIENT)) != NONE)
        return half;
    if (parent != NONE && c->kind[parent] == KIND_CLIENT &&
        (half = half_of(d, c->span_id[parent], KIND_SERVER)) != NONE && half != row)
        return half;
    return parent;
}

/* ---- edges ---- */

static struct tracedeps_edge *edge_of(struct tracedeps *d, struct slice parent, struct slice child)
{
    void **slot;

    buf_reset(&d->key);
    buf_lstr(&d->key, parent);
    buf_slice_append(&d->key, child);
    slot = map_slot(&d->by_pair, buf_slice(&d->key));
    if (!*slot) {
        if (d->edges.len == TRACEDEPS_MAX)
            return NULL;
        vec_push(&d->edges, ((struct tracedeps_edge){.parent = arena_dup(d->arena, parent),
                                                     .child = arena_dup(d->arena, child)}));
        *slot = (void *)(uintptr_t)d->edges.len;
    }
    return &d->edges.ptr[(uintptr_t)*slot - 1];
}

static bool add_span(struct tracedeps *d, const struct tracecols *c, uint32_t row)
{
    uint32_t parent = parent_of(d, c, row), from, to = c->service[row];
    struct tracedeps_edge *e;

    if (parent == NONE)
        return true;
    from = c->service[parent];
    if (from == to || !c->dict[from].len || !c->dict[to].len)
        return true;
    if (!(e = edge_of(d, c->dict[from], c->dict[to])))
        return false;
    e->calls++;
    e->errors += c->status[row] == STATUS_ERROR;
    return true;
}

struct err *tracedeps_add(struct tracedeps *d, const struct tracecols *cols)
{
    for (uint32_t i = 0; i < cols->n_traces; i++) {
        const struct tracecols_trace *t = &cols->traces[i];

        find_halves(d, cols, t);
        for (uint32_t row = t->first; row < t->first + t->n; row++)
            if (!add_span(d, cols, row))
                return err_new(ERR_LIMIT,
                               "more than %d pairs of services call each other: ask for less time",
                               TRACEDEPS_MAX);
    }
    return NULL;
}

static int by_names(const void *a, const void *b)
{
    const struct tracedeps_edge *l = a, *r = b;
    int n = slice_cmp(l->parent, r->parent);

    return n ? n : slice_cmp(l->child, r->child);
}

const struct tracedeps_edge *tracedeps_edges(struct tracedeps *d, size_t *ret_n)
{
    *ret_n = d->edges.len;
    if (d->edges.len)
        qsort(d->edges.ptr, d->edges.len, sizeof(*d->edges.ptr), by_names);
    return d->edges.ptr;
}
