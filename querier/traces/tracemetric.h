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
 * compare() is tracecompare.h's.
 *
 * Exemplars are spans that counted: up to max_exemplars of each leaf, at most one of a series and point, spread evenly over those, and
 * the same ones in whatever order spans come. compare() has none.
 *
 * Memory: series x points x 8 bytes, twice for avg, and for each bucket of a histogram; tracemetric_add()
 * fails with ERR_LIMIT past the limits of the range. Owner: one thread.
 */
#pragma once
#include "common/base/err.h"
#include "common/lang/traceql.h"
#include "common/traces/tracecols.h"

#define TRACEMETRIC_MAX_POINTS 50000
#define TRACEMETRIC_MAX_EXEMPLARS 100

struct tracemetric_range {
    int64_t start_ns, end_ns, step_ns; /* whole steps */
    size_t max_series;                 /* of all leaves together but for compare()'s; 0: no limit */
    uint32_t max_exemplars;            /* of each leaf, up to TRACEMETRIC_MAX_EXEMPLARS; 0: none */
};

struct tracemetric_label {
    struct slice name;
    struct traceql_static value;
};

/* A span. */
struct tracemetric_exemplar {
    uint8_t trace_id[16];
    uint64_t span_id;
    struct slice service, name;
    int64_t start_ns;
    uint32_t point;
    double value; /* what was measured of it; NaN: it was only counted */
};

struct tracemetric_series {
    size_t n_labels;
    const struct tracemetric_label *labels;
    double *values; /* NaN: no point */
    bool is_note;   /* has no points and is kept for what its labels say */
    size_t n_exemplars;
    const struct tracemetric_exemplar *exemplars;
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
/* Whether tracemetric_add() is to have all columns, whatever the query names. */
bool tracemetric_asks_all(const struct traceql *q);
ORR_CHECKED struct err *tracemetric_add(struct tracemetric *m, const struct tracecols *cols);
/* The answer, in a, with arithmetic and stages done. m is used up, and is to be freed. */
struct tracemetric_set tracemetric_end(struct tracemetric *m, struct arena *a);
/* The time of point i, ms since 1970. */
int64_t tracemetric_ms(const struct tracemetric_range *range, size_t i);
