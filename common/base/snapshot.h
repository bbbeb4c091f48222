/*
 * The current version of an immutable, reference-counted value: how ring, configuration and rules
 * cross threads. A holder of a reference may read without locks for as long as it likes.
 *
 * Embed struct snapshot as the first member of the value. Any thread.
 */
#pragma once
#include <stdatomic.h>

#include "common/base/lock.h"

struct snapshot {
    _Atomic uint32_t refs;
    void (*free)(struct snapshot *s); /* called when the last reference goes */
};

struct snapshot_cell {
    struct lock lock;
    struct snapshot *current;
};

void snapshot_init(struct snapshot *s, void (*free_fn)(struct snapshot *s)); /* one reference */
struct snapshot *snapshot_ref(struct snapshot *s);
void snapshot_unref(struct snapshot *s); /* NULL is allowed */

void snapshot_cell_init(struct snapshot_cell *c, enum lock_rank rank);
void snapshot_cell_done(struct snapshot_cell *c);
/* Takes over the caller's reference to next; drops the cell's to the old one. */
void snapshot_cell_set(struct snapshot_cell *c, struct snapshot *next);
struct snapshot *snapshot_cell_get(struct snapshot_cell *c); /* a reference, or NULL if unset */
