/*
 * The series notation of Prometheus' test files:
 *
 *     foo{a="b"} 1+2x3 _ stale {{schema:0 count:3 sum:4 buckets:[1 2]}}x2
 *
 * is 1 3 5 7, a missing point, a stale marker and the same histogram three times.
 *
 * All memory is the arena's. At most PROMQL_SERIES_MAX_VALUES values a series (ERR_LIMIT beyond).
 * Any thread.
 */
#pragma once
#include "common/base/err.h"
#include "common/model/sample.h"

#define PROMQL_SERIES_MAX_VALUES 1000000

struct promql_value {
    bool is_omitted;           /* _ */
    bool has_hint;             /* the histogram's counter_reset_hint was written down */
    double v;                  /* a stale marker has SAMPLE_STALE_BITS */
    const struct histogram *h; /* NULL: v is the value */
};

struct promql_series {
    struct labels labels;
    struct promql_value *values;
    size_t n;
};

/* ERR_INVALID with "line:column: parse error: …". */
ORR_CHECKED struct err *promql_series_parse(struct arena *a, struct slice text,
                                            struct promql_series *ret);
/*
 * The start timestamps of a test file: foo{a="b"}@st _ -1m -30s-1mx2. A value is the distance of
 * the start timestamp from its sample, in milliseconds in v; negative is before it.
 */
ORR_CHECKED struct err *promql_series_parse_starts(struct arena *a, struct slice text,
                                                   struct promql_series *ret);

/* A histogram in the notation, {{schema:1 count:3.1 …}}, as FloatHistogram.TestExpression(). */
void promql_histogram_print(struct buf *out, const struct histogram *h);
/* a + sign * b into *ret, as the notation's {{…}}+{{…}}x3 has it: schemas, zero buckets and custom
 * bounds are reconciled. ERR_INVALID if they cannot be. */
ORR_CHECKED struct err *promql_histogram_add(struct arena *arena, const struct histogram *a,
                                             const struct histogram *b, int sign,
                                             struct histogram *ret);
