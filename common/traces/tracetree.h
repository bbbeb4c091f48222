/*
 * Nested sets and roots of whole traces, from what is whose parent: for those who make a tracecols (tracecols.h).
 *
 * Any thread.
 */
#pragma once
#include "common/traces/tracecols.h"

/* t->n_spans and t->parent are there; n_children, left, right and set_parent come to be, in the arena, and of each trace the root. is_root: of
 * each span whether it says that it has no parent. */
void tracetree_build(struct arena *a, struct tracecols_trace *traces, size_t n,
                     const uint8_t *is_root, struct tracecols *t);
