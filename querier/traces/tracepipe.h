/*
 * A TraceQL pipeline over the traces of a tracecols: which spans come out of it, as sets.
 *
 *     struct tracepipe *pipe = tracepipe_new(&q.pipeline, cols);
 *     for (uint32_t t = 0; t < cols->n_traces; t++)
 *         ... sets = tracepipe_run(pipe, t) ...
 *
 * Filters are evaluated once for all spans when it is made; a trace then costs what its own spans do.
 * Structural operators walk parents: time in proportion to the spans of the trace and the depth of its
 * tree, not to pairs of spans.
 *
 * Sets of spans are rows in ascending order without repeats. by() makes several sets of one, coalesce()
 * one of several, and each aggregate and by() leaves its value at the set, which search results show.
 *
 * Owner: one thread. Sets live until the next tracepipe_run().
 */
#pragma once
#include "common/lang/traceql.h"
#include "common/traces/tracecols.h"

struct traceset_value {
    const struct traceql_element *of; /* GROUP or SCALAR_FILTER */
    struct traceql_static value;      /* texts are the tracecols' or the run's */
};

struct traceset {
    uint32_t n;
    const uint32_t *rows;
    size_t n_values;
    const struct traceset_value *values;
};

struct tracesets {
    size_t n;
    struct traceset *ptr; /* none is empty */
};

struct tracepipe;

struct tracepipe *tracepipe_new(const struct traceql_pipeline *p, const struct tracecols *cols);
void tracepipe_free(struct tracepipe *pipe); /* NULL is allowed */
struct tracesets tracepipe_run(struct tracepipe *pipe, uint32_t trace);
/* The value of an attribute for one span, as select() and by() of metrics ask for it; NIL without one. Texts
 * live until the next call. */
struct traceql_static tracepipe_attribute(struct tracepipe *pipe, const struct traceql_attribute *a,
                                          uint32_t row);
