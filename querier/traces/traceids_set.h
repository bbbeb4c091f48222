/*
 * Sets of trace ids, as ascending lists in an arena.
 *
 * Owner: one thread.
 */
#pragma once
#include "common/base/arena.h"

struct traceids_set {
    uint8_t (*ptr)[16];
    size_t n;
};
/* At the end; traceids_set_sort() before it is read. */
void traceids_set_add(struct arena *a, struct traceids_set *s, const uint8_t id[16]);
/* Ascending, each once. */
void traceids_set_sort(struct traceids_set *s);
/* Both are sorted. What is in either, in the arena. */
struct traceids_set traceids_set_unite(struct arena *a, struct traceids_set x,
                                       struct traceids_set y);
