#include "common/base/snapshot.h"

void snapshot_init(struct snapshot *s, void (*free_fn)(struct snapshot *s))
{
    atomic_init(&s->refs, 1);
    s->free = free_fn;
}

struct snapshot *snapshot_ref(struct snapshot *s)
{
    (void)atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
    return s;
}

void snapshot_unref(struct snapshot *s)
{
    if (s && atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) == 1)
        s->free(s);
}

void snapshot_cell_init(struct snapshot_cell *c, enum lock_rank rank)
{
    lock_init(&c->lock, rank);
    c->current = NULL;
}

void snapshot_cell_done(struct snapshot_cell *c)
{
    snapshot_unref(c->current);
    c->current = NULL;
    lock_done(&c->lock);
}

void snapshot_cell_set(struct snapshot_cell *c, struct snapshot *next)
{
    struct snapshot *old;

    lock_take(&c->lock);
    old = c->current;
    c->current = next;
    lock_release(&c->lock);
    snapshot_unref(old);
}

struct snapshot *snapshot_cell_get(struct snapshot_cell *c)
{
    struct snapshot *s;

    lock_take(&c->lock);
    s = c->current ? snapshot_ref(c->current) : NULL;
    lock_release(&c->lock);
    return s;
}
