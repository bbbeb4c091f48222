/*
 * Bytes as an export request of OpenTelemetry metrics: what the walk reads is what protobuf-c
 * reads, and what protobuf-c refuses it refuses (it may be stricter in the ways that otlp_proto.h
 * names). Then the whole way into a push, under settings that the bytes choose.
 */
#include <string.h>

#include "common/base/mem.h"
#include "common/proto/otlp_metrics.pb-c.h"
#include "ingester/door/otlp_proto.h"
#include "tests/fuzz/ingester/door/otlp_whole_way.h"

#define MUST(cond) ORR_ASSERT(cond)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same_bytes(struct slice s, ProtobufCBinaryData b)
{
    return s.len == b.len && (s.len == 0 || memcmp(s.ptr, b.data, s.len) == 0);
}

static bool same_f64(double a, double b)
{
    return memcmp(&a, &b, sizeof(a)) == 0;
}

static void compare_attrs(struct otlp_attrs got, Otlp__KeyValue **want, size_t n)
{
    MUST(got.n == n);
    for (size_t i = 0; i < n; i++) {
        const Otlp__AnyValue *v = want[i]->value;

        MUST(same_bytes(got.ptr[i].name, want[i]->key));
        if (!v || v->value_case == OTLP__ANY_VALUE__VALUE__NOT_SET)
            MUST(got.ptr[i].value.len == 0);
        else if (v->value_case == OTLP__ANY_VALUE__VALUE_TEXT)
            MUST(same_bytes(got.ptr[i].value, v->text));
        else if (v->value_case == OTLP__ANY_VALUE__VALUE_BOOLEAN)
            MUST(slice_eq_cstr(got.ptr[i].value, v->boolean ? "true" : "false"));
        else if (v->value_case == OTLP__ANY_VALUE__VALUE_INTEGER) {
            int64_t i64 = 0;

            MUST(slice_to_i64(got.ptr[i].value, &i64) && i64 == v->integer);
        }
    }
}

static void compare_exemplars(const struct otlp_point *got, Otlp__Exemplar **want, size_t n)
{
    MUST(got->n_exemplars == n);
    for (size_t i = 0; i < n; i++) {
        const struct otlp_exemplar *x = &got->exemplars[i];

        compare_attrs(x->attrs, want[i]->attributes, want[i]->n_attributes);
        MUST(x->time_ns == want[i]->time && same_bytes(x->trace_id, want[i]->trace_id) &&
             same_bytes(x->span_id, want[i]->span_id));
        MUST(x->has_value == (want[i]->value_case != OTLP__EXEMPLAR__VALUE__NOT_SET));
        if (want[i]->value_case == OTLP__EXEMPLAR__VALUE_AS_DOUBLE)
            MUST(same_f64(x->v, want[i]->as_double));
        else if (x->has_value)
            MUST(x->v == (double)want[i]->as_int);
    }
}

static void compare_numbers(const struct otlp_metric *got, Otlp__NumberPoint **want, size_t n)
{
    MUST(got->n_points == n);
    for (size_t i = 0; i < n; i++) {
        const struct otlp_point *p = &got->points[i];

        MUST(p->start_ns == want[i]->start && p->time_ns == want[i]->time &&
             p->flags == want[i]->flags);
        if (want[i]->value_case == OTLP__NUMBER_POINT__VALUE_AS_DOUBLE)
            MUST(same_f64(p->v, want[i]->as_double));
        else if (want[i]->value_case == OTLP__NUMBER_POINT__VALUE_AS_INT)
            MUST(p->v == (double)want[i]->as_int);
        compare_attrs(p->attrs, want[i]->attributes, want[i]->n_attributes);
        compare_exemplars(p, want[i]->exemplars, want[i]->n_exemplars);
    }
}

static void compare_histograms(const struct otlp_metric *got, const Otlp__Histogram *want)
{
    MUST(got->n_points == want->n_points && got->temporality == (int32_t)want->temporality);
    for (size_t i = 0; i < want->n_points; i++) {
        const struct otlp_point *p = &got->points[i];
        const Otlp__HistogramPoint *w = want->points[i];

        bool has_sum = w->has_sum_case == OTLP__HISTOGRAM_POINT__HAS_SUM_SUM;

        MUST(p->count == w->count && p->has_sum == has_sum && same_f64(p->v, has_sum ? w->sum : 0));
        MUST(p->histogram.counts.n == w->n_counts && p->histogram.bounds.n == w->n_bounds);
        MUST(!w->n_counts || memcmp(p->histogram.counts.ptr, w->counts, 8 * w->n_counts) == 0);
        MUST(!w->n_bounds || memcmp(p->histogram.bounds.ptr, w->bounds, 8 * w->n_bounds) == 0);
        compare_attrs(p->attrs, w->attributes, w->n_attributes);
        compare_exemplars(p, w->exemplars, w->n_exemplars);
    }
}

static void compare_buckets(const struct otlp_buckets *got, const Otlp__Buckets *want)
{
    MUST(got->counts.n == (want ? want->n_counts : 0));
    if (!want)
        return;
    MUST(got->offset == want->offset);
    MUST(!want->n_counts || memcmp(got->counts.ptr, want->counts, 8 * want->n_counts) == 0);
}

static void compare_exponentials(const struct otlp_metric *got,
                                 const Otlp__ExponentialHistogram *want)
{
    MUST(got->n_points == want->n_points && got->temporality == (int32_t)want->temporality);
    for (size_t i = 0; i < want->n_points; i++) {
        const struct otlp_point *p = &got->points[i];
        const Otlp__ExponentialPoint *w = want->points[i];

        MUST(p->count == w->count && p->scale == w->scale && p->flags == w->flags &&
             p->exponential.zero_count == w->zero_count);
        compare_buckets(&p->exponential.pos, w->positive);
        compare_buckets(&p->exponential.neg, w->negative);
        compare_attrs(p->attrs, w->attributes, w->n_attributes);
        compare_exemplars(p, w->exemplars, w->n_exemplars);
    }
}

static void compare_summaries(const struct otlp_metric *got, const Otlp__Summary *want)
{
    MUST(got->n_points == want->n_points);
    for (size_t i = 0; i < want->n_points; i++) {
        const struct otlp_point *p = &got->points[i];
        const Otlp__SummaryPoint *w = want->points[i];

        MUST(p->count == w->count && same_f64(p->v, w->sum) &&
             p->summary.n_quantiles == w->n_quantiles);
        for (size_t k = 0; k < w->n_quantiles; k++)
            MUST(same_f64(p->summary.quantiles[k].quantile, w->quantiles[k]->quantile) &&
                 same_f64(p->summary.quantiles[k].v, w->quantiles[k]->value));
        compare_attrs(p->attrs, w->attributes, w->n_attributes);
    }
}

static void compare_metric(const struct otlp_metric *got, const Otlp__Metric *want)
{
    MUST(same_bytes(got->name, want->name) && same_bytes(got->unit, want->unit) &&
         same_bytes(got->description, want->description));
    switch (want->data_case) {
    case OTLP__METRIC__DATA_GAUGE:
        MUST(got->kind == OTLP_GAUGE);
        compare_numbers(got, want->gauge->points, want->gauge->n_points);
        break;
    case OTLP__METRIC__DATA_SUM:
        MUST(got->kind == OTLP_SUM && got->is_monotonic == !!want->sum->is_monotonic &&
             got->temporality == (int32_t)want->sum->temporality);
        compare_numbers(got, want->sum->points, want->sum->n_points);
        break;
    case OTLP__METRIC__DATA_HISTOGRAM:
        MUST(got->kind == OTLP_HISTOGRAM);
        compare_histograms(got, want->histogram);
        break;
    case OTLP__METRIC__DATA_EXPONENTIAL:
        MUST(got->kind == OTLP_EXPONENTIAL);
        compare_exponentials(got, want->exponential);
        break;
    case OTLP__METRIC__DATA_SUMMARY:
        MUST(got->kind == OTLP_SUMMARY);
        compare_summaries(got, want->summary);
        break;
    default:
        MUST(got->kind == OTLP_NONE);
    }
}

static void compare(const struct otlp_metrics *got, const Otlp__Request *want)
{
    MUST(got->n_resources == want->n_resource_metrics);
    for (size_t i = 0; i < got->n_resources; i++) {
        const struct otlp_resource *r = &got->resources[i];
        const Otlp__ResourceMetrics *w = want->resource_metrics[i];

        MUST(r->n_scopes == w->n_scope_metrics);
        if (w->resource)
            compare_attrs(r->attrs, w->resource->attributes, w->resource->n_attributes);
        for (size_t k = 0; k < r->n_scopes; k++) {
            const struct otlp_scope *s = &r->scopes[k];
            const Otlp__ScopeMetrics *sw = w->scope_metrics[k];

            MUST(s->n_metrics == sw->n_metrics && same_bytes(s->schema_url, sw->schema_url));
            if (sw->scope) {
                MUST(same_bytes(s->name, sw->scope->name) &&
                     same_bytes(s->version, sw->scope->version));
                compare_attrs(s->attrs, sw->scope->attributes, sw->scope->n_attributes);
            }
            for (size_t m = 0; m < s->n_metrics; m++)
                compare_metric(&s->metrics[m], sw->metrics[m]);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    Otlp__Request *want = otlp__request__unpack(NULL, size, data);
    struct arena *a = arena_new(0);
    struct otlp_metrics m;
    struct err *e = otlp_proto_decode(a, slice_of(data, size), &m);

    if (!e) {
        MUST(want != NULL);
        compare(&m, want);
        otlp_whole_way(&m, a, size ? data[size - 1] ^ data[0] : 0);
    }
    err_free(e);
    if (want)
        otlp__request__free_unpacked(want, NULL);
    arena_free(a);
    return 0;
}
