/*
 * The Prometheus protobuf exposition format: MetricFamily messages, each with its length before it,
 * turned into the series that the text formats would have shown.
 *
 *   body          (uvarint length | io.prometheus.client.MetricFamily)*
 *   MetricFamily  1 name  2 help  3 type  4 Metric*  5 unit
 *                 type: 0 counter 1 gauge 2 summary 3 untyped 4 histogram 5 gauge histogram
 *   Metric        1 LabelPair*  2 Gauge  3 Counter  4 Summary  5 Untyped  6 timestamp_ms  7 Histogram
 *   Gauge, Untyped  1 double value        Counter  1 double value  2 Exemplar  3 created Timestamp
 *   Summary       1 count  2 double sum  3 Quantile* (1 quantile, 2 value)  4 created
 *   Histogram     1 count  4 count_float  2 sum  3 Bucket*  15 created  5 schema  6 zero_threshold
 *                 7 zero_count  8 zero_count_float  9|12 spans  10|13 deltas  11|14 counts
 *                 (negative|positive)  16 Exemplar*
 *   Bucket        1 cumulative_count  4 cumulative_count_float  2 upper_bound  3 Exemplar
 *   Exemplar      1 LabelPair*  2 double value  3 Timestamp
 *   Timestamp     1 int64 seconds  2 int32 nanos
 *
 * As Prometheus reads it: a histogram with spans, a zero threshold or a zero count is a native one,
 * and its classic buckets are not shown; a classic one gets _count, _sum, _bucket with an
 * le="+Inf" bucket if it lacks it; a summary _count, _sum and its quantiles. le and quantile are
 * written as OpenMetrics floats. Time 0 is no time. Of a native histogram exemplars without a time
 * are dropped, and those of its buckets count when it has none of its own. A unit that is not a
 * suffix of the name, an unknown type, a native histogram that makes no sense: ERR_INVALID.
 *
 * Owner: one thread. What the callbacks get lies in the body or the arena; the arrays of a series
 * are valid during the call only.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/model/sample.h"

struct family_exemplar {
    const struct label *labels;
    size_t n_labels;
    double value;
    bool has_time;
    int64_t t_ms;
};

struct family_series {
    const struct label *labels; /* the name first */
    size_t n_labels;
    bool has_time;
    int64_t t_ms;
    double value;
    const struct histogram *histogram; /* NULL: value; its arrays stay in the arena */
    const struct family_exemplar *exemplars;
    size_t n_exemplars;
    int64_t created_ms; /* 0: unknown */
};

struct family_meta {
    struct slice name, help, unit;
    enum sample_metric_type type;
};

struct family_ops {
    /* Once per family that has a metric, before its series. */
    struct err *(*family)(void *arg, const struct family_meta *m);
    struct err *(*series)(void *arg, const struct family_series *s);
};

/* max_buckets: of a native histogram; 0: 65536. An error of a callback ends it and is returned. */
ORR_CHECKED struct err *family_wire_decode(struct arena *a, struct slice body, size_t max_buckets,
                                           const struct family_ops *ops, void *arg);
