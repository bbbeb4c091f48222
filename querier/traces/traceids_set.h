/*
 * Sets of trace ids, as ascending lists in an arena.
 *
 * Owner: one thread.
 */
#pragma once
#include "querier/traces/tracesource.h"

struct traceids_set {
    uint8_t (*ptr)[16];
    size_t n;
};
/* At the end; traceids_set_sort() before it is read. */
void traceids_set_add(struct arena *a, struct traceids_set *s, const uint8_t id[16]);
/* Ascending, each once. */
void traceids_set_sort(struct traceids_set *s);
/* Ids of what a source has of a request: appended. Ends early when a is over. */
ORR_CHECKED struct err *traceids_set_ask(struct arena *a, struct traceids_set *s,
                                         const struct tracesource *source,
                                         const struct tracesource_request *req);
/* Both are sorted. What is in either, in the arena. */
struct traceids_set traceids_set_unite(struct arena *a, struct traceids_set x,
                                       struct traceids_set y);
