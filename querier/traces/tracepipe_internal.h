/* Operators between sets of spans of one trace, and sums, for tracepipe.c. */
#pragma once
#include "querier/traces/tracepipe.h"

/* Writes the rows of *out; what else is in it stays. Rows are the arena's. */
void tracepipe_operate(struct arena *a, const struct tracecols *cols, enum traceql_spanset_op op,
                       const struct traceset *lhs, const struct traceset *rhs,
                       struct traceset *out);
/* sum += v: durations stay durations among themselves. */
void tracepipe_add(struct traceql_static *sum, const struct traceql_static *v);
void tracepipe_divide(struct traceql_static *sum, uint32_t n);
