/*
 * What is due next: a binary heap of times whose items are part of the objects that wait.
 *
 *     struct group { struct timeheap_item due; ... };
 *     timeheap_set(&h, &g->due, when);                 in, or moved
 *     while ((i = timeheap_first(&h)) && i->at_ns <= now)
 *         fire(ORR_CONTAINER(i, struct group, due));   which sets it anew or drops it
 *
 * All calls are O(log n) but timeheap_first(). The heap holds pointers only; an object drops its item
 * before it is freed. A zeroed item is in no heap.
 *
 * Owner: one thread.
 */
#pragma once
#include <stdint.h>

#include "common/base/vec.h"

struct timeheap_item {
    int64_t at_ns; /* read only, and meaningful while it is in */
    size_t place;  /* from 1; 0: in no heap */
};

struct timeheap {
    VEC(struct timeheap_item *) items;
};

void timeheap_set(struct timeheap *h, struct timeheap_item *i, int64_t at_ns);
void timeheap_drop(struct timeheap *h, struct timeheap_item *i); /* no effect when it is not in */
struct timeheap_item *timeheap_first(const struct timeheap *h);  /* NULL when empty */
void timeheap_done(struct timeheap *h);
