/*
 * What a span of a trace must say, if a TraceQL query is to find anything in the trace: a condition that is necessary, not sufficient, so
 * whoever holds pieces of traces can leave out most of what does not match (tracesource_request.filters).
 *
 * It is made of the filters that a query begins with; of two sides of an operator that both must be there, the right one, which is
 * what most operators keep. What hangs on other spans of the trace (its root, its duration, nested sets, how many children) is
 * taken as true.
 *
 * Any thread.
 */
#pragma once
#include "common/lang/traceql.h"
#include "common/traces/tracecols.h"

struct tracecond {
    const struct traceql_field *const
        *ptr; /* one of them must be true of a span; lent from query and arena */
    size_t n; /* 0: any trace may match */
};
struct tracecond tracecond_of(struct arena *a, const struct traceql *q);
/* Whether a span of cols fulfils one of them; n 0: yes. */
bool tracecond_may(const struct traceql_field *const *filters, size_t n,
                   const struct tracecols *cols);
