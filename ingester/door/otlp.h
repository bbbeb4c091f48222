/*
 * OpenTelemetry metrics (OTLP 1.x) as they were received, before they become series. Two decoders
 * fill it, otlp_proto.h (protobuf) and otlp_json.h, and otlp_translate.h reads it.
 *
 *   otlp_metrics ─ resource* (attributes) ─ scope* (name, version, attributes) ─ metric* ─ point*
 *
 * Attributes are labels already: a value that is no string stands as text (otlp_value.h). Times are
 * Unix nanoseconds, 0 where the sender gave none. All arrays lie in an arena; texts lie there or in
 * the body.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/model/labels.h"

/* Bounds of the decoders, beside the size of the body. */
#define OTLP_MAX_DEPTH 32 /* of attribute values within values */
#define OTLP_FLAG_NO_VALUE 1u
#define OTLP_TRACE_ID_BYTES 16
#define OTLP_SPAN_ID_BYTES 8

struct otlp_attrs {
    const struct label *ptr; /* as sent: any order, a key may come twice */
    size_t n;
};

struct otlp_exemplar {
    struct otlp_attrs attrs;
    struct slice trace_id, span_id; /* raw bytes; empty: none */
    uint64_t time_ns;
    double v;
    bool has_value;
};
/* The identifiers have the lengths that they must have. */
static inline bool otlp_ids_fit(const struct otlp_exemplar *ex)
{
    return (ex->trace_id.len == 0 || ex->trace_id.len == OTLP_TRACE_ID_BYTES) &&
           (ex->span_id.len == 0 || ex->span_id.len == OTLP_SPAN_ID_BYTES);
}

struct otlp_u64s {
    const uint64_t *ptr;
    size_t n;
};
struct otlp_f64s {
    const double *ptr;
    size_t n;
};

struct otlp_quantile {
    double quantile, v;
};

struct otlp_buckets {
    int32_t offset;
    struct otlp_u64s counts;
};

struct otlp_point {
    struct otlp_attrs attrs;
    uint64_t start_ns, time_ns;
    const struct otlp_exemplar *exemplars;
    uint32_t n_exemplars;
    uint32_t flags; /* OTLP_FLAG_NO_VALUE */
    bool has_sum;   /* of the histograms */
    int32_t scale;  /* of exponential ones */
    double v;       /* a number, or the sum */
    uint64_t count; /* of histograms and summaries */
    union {
        struct {
            struct otlp_u64s counts;
            struct otlp_f64s bounds;
        } histogram;
        struct {
            uint64_t zero_count;
            struct otlp_buckets pos, neg;
        } exponential;
        struct {
            const struct otlp_quantile *quantiles;
            size_t n_quantiles;
        } summary;
    };
};

enum otlp_kind { OTLP_NONE, OTLP_GAUGE, OTLP_SUM, OTLP_HISTOGRAM, OTLP_EXPONENTIAL, OTLP_SUMMARY };
enum otlp_temporality { OTLP_UNSPECIFIED, OTLP_DELTA, OTLP_CUMULATIVE };

struct otlp_metric {
    struct slice name, unit, description;
    enum otlp_kind kind;
    int32_t temporality; /* enum otlp_temporality, or a number nobody knows */
    bool is_monotonic;
    const struct otlp_point *points;
    size_t n_points;
};

struct otlp_scope {
    struct slice name, version, schema_url;
    struct otlp_attrs attrs;
    const struct otlp_metric *metrics;
    size_t n_metrics;
};

struct otlp_resource {
    struct otlp_attrs attrs;
    const struct otlp_scope *scopes;
    size_t n_scopes;
};

struct otlp_metrics {
    const struct otlp_resource *resources;
    size_t n_resources;
    uint64_t n_points; /* in all of it */
};

/* The value of the first attribute with this key; ptr NULL: there is none. */
static inline struct slice otlp_attr(struct otlp_attrs attrs, struct slice key)
{
    for (size_t i = 0; i < attrs.n; i++)
        if (slice_eq(attrs.ptr[i].name, key))
            return attrs.ptr[i].value;
    return (struct slice){0};
}
