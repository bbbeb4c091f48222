/*
 * Metrics of spans over a range: what stands behind the pipeline of a TraceQL metrics query.
 *
 *     m = tracemetric_new(&q, &range);
 *     for each part of the data:  tracemetric_add(m, cols)
 *     set = tracemetric_end(m, arena)
 *
 * A span counts at its start. Point i stands at start + (i + 1) * step and is about the span starts in
 * (start + i * step, start + (i + 1) * step]. Durations become seconds. A trace is in one part alone,
 * whole; parts may come in any order.
 *
 * Series are by the values of by(); without by() a series is named after the function. nil is left out
 * of the labels, unless it is all there is. Histograms are powers of two, as Tempo has them: bucket 2^k
 * holds what is above 2^(k-1), and quantiles are interpolated within a bucket on the scale of powers.
 *
 * Memory: series x points x 8 bytes, twice for avg, and for each bucket of a histogram; tracemetric_add()
 * fails with ERR_LIMIT past the limits of the range. Owner: one thread.
 */
#pragma once
#include "common/base/err.h"
#include "common/lang/traceql.h"
#include "common/traces/tracecols.h"

#define TRACEMETRIC_MAX_POINTS 50000

struct tracemetric_range {
    int64_t start_ns, end_ns, step_ns; /* whole steps */
    size_t max_series;                 /* of all leaves together; 0: no limit */
};

struct tracemetric_label {
    struct slice name;
    struct traceql_static value;
};

struct tracemetric_series {
    size_t n_labels;
    const struct tracemetric_label *labels;
    double *values; /* NaN: no point */
};

struct tracemetric_set {
    size_t n_points, n;
    struct tracemetric_series *ptr;
};

struct tracemetric;

/* q and what it points to are borrowed. ERR_INVALID for a range that is none and for what is not supported. */
ORR_CHECKED struct err *tracemetric_new(const struct traceql *q,
                                        const struct tracemetric_range *range,
                                        struct tracemetric **ret);
void tracemetric_free(struct tracemetric *m); /* NULL is allowed */
ORR_CHECKED struct err *tracemetric_add(struct tracemetric *m, const struct tracecols *cols);
/* The answer, in a, with arithmetic and stages done. m is used up, and is to be freed. */
struct tracemetric_set tracemetric_end(struct tracemetric *m, struct arena *a);
/* The time of point i, ms since 1970. */
int64_t tracemetric_ms(const struct tracemetric_range *range, size_t i);
