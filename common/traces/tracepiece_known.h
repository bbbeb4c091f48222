/*
 * Resources and scopes that were seen, each once, by number: 0, 1, … in the order they came. One that is known is looked up as it is, without
 * being encoded; one that is new is copied.
 *
 * Owner: one thread. Memory: a copy of each, which is to be bounded by who looks them up.
 */
#pragma once
#include "common/base/vec.h"
#include "common/traces/tracepiece.h"

struct tracepiece_slot {
    uint64_t hash;
    uint32_t number; /* + 1; 0: free */
};
struct tracepiece_slots {
    struct tracepiece_slot *ptr; /* open addressing */
    size_t n;
};
struct tracepiece_known {
    struct arena *arena; /* of the copies; from the first on */
    VEC(struct tracepiece_resource) resources;
    VEC(struct tracepiece_scope) scopes;
    struct tracepiece_slots of_resources, of_scopes;
};

/* k: {0} at first. *ret_new: it was not known. */
uint32_t tracepiece_known_resource(struct tracepiece_known *k, const struct tracepiece_resource *r,
                                   bool *ret_new);
uint32_t tracepiece_known_scope(struct tracepiece_known *k, const struct tracepiece_scope *s,
                                bool *ret_new);
void tracepiece_known_clear(struct tracepiece_known *k); /* begins anew */
void tracepiece_known_done(struct tracepiece_known *k);
