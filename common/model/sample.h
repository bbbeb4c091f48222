/*
 * What a series holds: float samples, native histograms, exemplars. Times are Unix milliseconds.
 *
 * A stale marker is the NaN with exactly the bits SAMPLE_STALE_BITS (a histogram is stale when its
 * sum has them). All other NaNs are ordinary values.
 */
#pragma once
#include <string.h>

#include "common/model/labels.h"

#define SAMPLE_STALE_BITS 0x7ff0000000000002ull
#define SAMPLE_NAN_BITS 0x7ff8000000000001ull /* the NaN that Go's math.NaN() gives */

static inline uint64_t sample_bits(double v)
{
    uint64_t b;

    memcpy(&b, &v, 8);
    return b;
}
static inline double sample_from_bits(uint64_t b)
{
    double v;

    memcpy(&v, &b, 8);
    return v;
}
static inline bool sample_is_stale(double v)
{
    return sample_bits(v) == SAMPLE_STALE_BITS;
}

struct sample {
    int64_t t_ms;
    double v;
};

struct histogram_span {
    int32_t offset;
    uint32_t length;
};

enum histogram_hint { HISTOGRAM_UNKNOWN, HISTOGRAM_RESET, HISTOGRAM_NOT_RESET, HISTOGRAM_GAUGE };
#define HISTOGRAM_CUSTOM_SCHEMA (-53)

/*
 * A native histogram with float counts (integers up to 2^53 are exact). Buckets are absolute
 * counts, not deltas, in span order. schema -4..8 exponential, -53 custom (bounds in
 * custom_bounds, upper bounds without +Inf).
 */
struct histogram {
    int32_t schema;
    enum histogram_hint hint;
    bool is_int; /* came as an integer histogram: written back as one */
    double zero_threshold, zero_count, count, sum;
    const struct histogram_span *pos_spans, *neg_spans;
    size_t n_pos_spans, n_neg_spans;
    const double *pos_buckets, *neg_buckets;
    size_t n_pos_buckets, n_neg_buckets;
    const double *custom_bounds;
    size_t n_custom_bounds;
};

struct exemplar {
    struct labels labels;
    double value;
    int64_t t_ms;
};

#define SAMPLE_METRIC_TYPES(X)                                                                     \
    X(METRIC_UNKNOWN, "unknown")                                                                   \
    X(METRIC_COUNTER_TYPE, "counter")                                                              \
    X(METRIC_GAUGE_TYPE, "gauge")                                                                  \
    X(METRIC_HISTOGRAM, "histogram")                                                               \
    X(METRIC_GAUGEHISTOGRAM, "gaugehistogram")                                                     \
    X(METRIC_SUMMARY, "summary") X(METRIC_INFO, "info") X(METRIC_STATESET, "stateset")
enum sample_metric_type { /* numbers as in remote write's MetricMetadata */
#define X(sym, name) sym,
                          SAMPLE_METRIC_TYPES(X)
#undef X
};
