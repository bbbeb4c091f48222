/*
 * Which services call which: an edge for each pair of them where a span of the one has its parent in the other, and how often.
 *
 *     d = tracedeps_new();
 *     for each part of the data:  e = tracedeps_add(d, cols)
 *     edges = tracedeps_edges(d, &n)
 *
 * The parent of a span is the one with the id that it names. Zipkin's client and server share an id: then the server's half has
 * the client's as its parent, and what names that id has the server's. Spans whose service or parent is not there make no edge.
 *
 * A trace is in one part alone, whole. At most TRACEDEPS_MAX edges. Owner: one thread.
 */
#pragma once
#include "common/base/err.h"
#include "common/traces/tracecols.h"

#define TRACEDEPS_MAX 10000

struct tracedeps_edge {
    struct slice parent, child; /* lent */
    uint64_t calls, errors;     /* errors: of the child's spans */
};

struct tracedeps;
struct tracedeps *tracedeps_new(void);
void tracedeps_free(struct tracedeps *d); /* NULL is allowed */
/* ERR_LIMIT: more edges than that. */
ORR_CHECKED struct err *tracedeps_add(struct tracedeps *d, const struct tracecols *cols);
/* By parent, then child; lent until d goes. No more is added after it. */
const struct tracedeps_edge *tracedeps_edges(struct tracedeps *d, size_t *ret_n);
