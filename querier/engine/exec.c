#include "querier/engine/exec.h"

#include <math.h>

#include "common/base/clock.h"
#include "common/base/hash.h"

bool exec_fail(struct exec *x, struct err *e)
{
    x->err = err_first(x->err, e);
    return false;
}

static bool fail_over_memory(struct exec *x)
{
    return exec_fail(x, err_new(ERR_LIMIT,
                                "query needs more memory than its limit of %zu bytes "
                                "(querier.max-query-memory)",
                                arena_limit(x->arena)));
}

bool exec_room(struct exec *x, size_t bytes)
{
    return bytes <= arena_left(x->arena) || fail_over_memory(x);
}

bool exec_tick(struct exec *x)
{
    if (x->err)
        return false;
    if (arena_over(x->arena))
        return fail_over_memory(x);
    if (x->q->cancel && atomic_load_explicit(x->q->cancel, memory_order_relaxed))
        return exec_fail(x, err_new(ERR_CANCELED, "query was canceled in query execution"));
    /* A look at the clock costs more than a short series. */
    if ((x->ticks++ & 15) == 0) {
        int64_t now_ms = clock_mono_ms(&clock_system);

        if (x->q->deadline_mono_ms && now_ms >= x->q->deadline_mono_ms)
            return exec_fail(x, err_new(ERR_TIMEOUT,
                                        "query timed out in query execution (querier.timeout, "
                                        "limits.query-timeout, or the timeout asked for)"));
        turn_look(&x->turn, now_ms);
    }
    return true;
}

bool exec_work(struct exec *x, uint64_t n)
{
    x->work += n;
    if (x->work < (1u << 16))
        return !x->err;
    x->work = 0;
    x->ticks = 0; /* look at the clock now */
    return exec_tick(x);
}

bool exec_hold(struct exec *x, uint64_t n)
{
    x->held += n;
    if (x->held > x->max_samples)
        return exec_fail(
            x, err_new(ERR_LIMIT,
                       "query processing would load too many samples into memory in query "
                       "execution: the limit is %llu (limits.max-samples-per-query)",
                       (unsigned long long)x->max_samples));
    return true;
}

#define LONG_ROW 4096 /* steps */

/*
 * Rows of many steps are made and gone again, one after the other, so that what is held says nothing of
 * the work: a subquery of a million steps over every series would go on for hours in a few megabytes.
 */
static bool count_points(struct exec *x, uint64_t n)
{
    x->points += n;
    if (n > LONG_ROW)
        x->ticks = 0; /* look at the clock for each */
    if (x->points / EXEC_POINTS_PER_SAMPLE > x->max_samples)
        return exec_fail(x,
                         err_new(ERR_LIMIT,
                                 "query computes more than %llu points: %d for each of the samples "
                                 "that it may hold (limits.max-samples-per-query)",
                                 (unsigned long long)x->max_samples * EXEC_POINTS_PER_SAMPLE,
                                 EXEC_POINTS_PER_SAMPLE));
    return true;
}

void exec_release(struct exec *x, uint64_t n)
{
    x->held -= ORR_MIN(n, x->held);
}

void exec_done(struct exec *x)
{
    for (struct node *n = x->made; n; n = n->next_made) {
        if (n->ops->done)
            n->ops->done(n);
        arena_free(n->tmp);
        n->tmp = NULL;
    }
    x->made = NULL;
}

void *node_make(struct exec *x, size_t bytes, const struct node_ops *ops, struct grid grid)
{
    struct node *n = arena_zalloc(x->arena, bytes);

    n->ops = ops;
    n->x = x;
    n->grid = grid;
    n->next_made = x->made;
    x->made = n;
    return n;
}

bool node_next(struct node *n, struct row *ret)
{
    if (!count_points(n->x, n->grid.n) || !exec_tick(n->x))
        return false;
    if (n->tmp)
        arena_reset(n->tmp);
    return n->ops->next(n, ret) && exec_ok(n->x);
}

struct arena *node_tmp(struct node *n)
{
    if (!n->tmp)
        n->tmp = arena_child(n->x->arena, 0);
    return n->tmp;
}

double *row_column(struct arena *a, size_t n)
{
    double *v = arena_array(a, double, n);

    for (size_t i = 0; i < n; i++)
        v[i] = ROW_ABSENT;
    return v;
}

const struct fhist **row_hist_column(struct arena *a, size_t n)
{
    return arena_array(a, const struct fhist *, n);
}

static bool is_name_label(struct slice name)
{
    return slice_eq(name, SLICE("__name__")) || slice_eq(name, SLICE("__type__")) ||
           slice_eq(name, SLICE("__unit__"));
}

struct labels row_nameless(struct arena *a, struct labels ls)
{
    struct label *out = NULL;
    size_t n = 0;

    for (size_t i = 0; i < ls.n; i++)
        n += is_name_label(ls.ptr[i].name);
    if (n == 0)
        return ls;
    out = arena_array(a, struct label, ls.n - n);
    n = 0;
    for (size_t i = 0; i < ls.n; i++)
        if (!is_name_label(ls.ptr[i].name))
            out[n++] = ls.ptr[i];
    return (struct labels){out, n};
}

void row_drop_name(struct exec *x, struct arena *a, struct row *r)
{
    if (x->opts->has_delayed_name_removal)
        r->drop_name = true;
    else
        r->labels = row_nameless(a, r->labels);
}

void rowset_add(struct exec *x, struct rowset *s, const struct row *r, size_t steps)
{
    struct row *d;

    if (s->n == s->cap) {
        size_t cap = s->cap ? s->cap * 2 : 16;

        s->ptr = arena_grow(x->arena, s->ptr, s->cap * sizeof(*s->ptr), cap * sizeof(*s->ptr));
        s->cap = cap;
    }
    d = &s->ptr[s->n++];
    *d = (struct row){.labels = labels_dup(x->arena, r->labels), .drop_name = r->drop_name};
    d->v = arena_array(x->arena, double, steps);
    memcpy(d->v, r->v, steps * sizeof(double));
    if (!r->h)
        return;
    for (size_t i = 0; i < steps; i++) {
        if (!r->h[i])
            continue;
        if (!d->h)
            d->h = row_hist_column(x->arena, steps);
        d->h[i] = fhist_dup(x->arena, r->h[i]);
    }
}

bool rowset_fill(struct exec *x, struct rowset *s, struct node *child)
{
    struct row r;

    while (node_next(child, &r)) {
        if (!exec_hold(x, child->grid.n))
            return false;
        rowset_add(x, s, &r, child->grid.n);
    }
    return exec_ok(x);
}

struct labelmap_slot {
    uint64_t hash;
    size_t index; /* +1; 0: free */
    struct labels labels;
};

static uint64_t labels_quick_hash(struct labels ls)
{
    uint64_t h = LABELS_SEED + ls.n;

    for (size_t i = 0; i < ls.n; i++) {
        h = hash_xxh64(ls.ptr[i].name, h);
        h = hash_xxh64(ls.ptr[i].value, h);
    }
    return h;
}

static void labelmap_grow(struct labelmap *m)
{
    size_t cap = m->cap ? m->cap * 2 : 32;
    struct labelmap_slot *slots = arena_array(m->arena, struct labelmap_slot, cap);

    for (size_t i = 0; i < m->cap; i++) {
        size_t at;

        if (!m->slots[i].index)
            continue;
        for (at = m->slots[i].hash & (cap - 1); slots[at].index; at = (at + 1) & (cap - 1))
            ;
        slots[at] = m->slots[i];
    }
    m->slots = slots;
    m->cap = cap;
}

size_t labelmap_index(struct labelmap *m, struct labels ls, bool *ret_is_new)
{
    uint64_t hash = labels_quick_hash(ls);
    size_t at;

    if ((m->n + 1) * 2 > m->cap)
        labelmap_grow(m);
    for (at = hash & (m->cap - 1); m->slots[at].index; at = (at + 1) & (m->cap - 1)) {
        if (m->slots[at].hash == hash && labels_eq(m->slots[at].labels, ls)) {
            *ret_is_new = false;
            return m->slots[at].index - 1;
        }
    }
    m->slots[at] = (struct labelmap_slot){hash, ++m->n, labels_dup(m->arena, ls)};
    *ret_is_new = true;
    return m->n - 1;
}

struct labels labelmap_labels(const struct labelmap *m, size_t index)
{
    for (size_t i = 0; i < m->cap; i++)
        if (m->slots[i].index == index + 1)
            return m->slots[i].labels;
    return (struct labels){0};
}
