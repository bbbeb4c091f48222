/*
 * Trees of whole traces: who is whose parent, nested sets and roots, for those who make a tracecols (tracecols.h) or write it down.
 *
 * Any thread.
 */
#pragma once
#include "common/traces/tracecols.h"

/* Which row has an id: of several with one id the first. */
struct tracetree_id {
    uint64_t id;
    uint32_t row;
};
void tracetree_ids_sort(struct tracetree_id *ids, size_t n);
/* UINT32_MAX: none. */
uint32_t tracetree_ids_find(const struct tracetree_id *ids, size_t n, uint64_t id);

/* t->n_spans and t->parent are there; n_children, left, right and set_parent come to be, in the arena, and of each trace the root. is_root: of
 * each span whether it says that it has no parent. */
void tracetree_build(struct arena *a, struct tracecols_trace *traces, size_t n,
                     const uint8_t *is_root, struct tracecols *t);
