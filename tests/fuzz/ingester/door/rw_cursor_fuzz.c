/*
 * Bytes as the body of a remote write: what the cursor reads is what protobuf-c reads. What
 * protobuf-c refuses the cursor refuses; the other way round it may be stricter in the ways that
 * rw_cursor.h names (and looks into labels only when it must). Then the whole way into a push.
 */
#include <string.h>

#include "common/base/arena.h"
#include "common/base/mem.h"
#include "common/proto/remote_write.pb-c.h"
#include "ingester/door/rw_cursor.h"
#include "ingester/door/rw_histogram.h"
#include "ingester/door/write_request.h"

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

/* False when a label of the message is malformed. */
static bool compare_labels(struct slice message, Prometheus__Label **want, size_t n)
{
    struct rw_fields f = rw_fields_of(message);
    struct label l;
    size_t i = 0;

    for (; rw_cursor_label(&f, &l); i++) {
        if (!want)
            continue;
        MUST(i < n);
        MUST(same_bytes(l.name, want[i]->name) && same_bytes(l.value, want[i]->value));
    }
    if (!f.error && want)
        MUST(i == n);
    return !f.error;
}

static void compare_spans(const struct histogram_span *got, size_t n_got,
                          Prometheus__BucketSpan **want, size_t n)
{
    MUST(n_got == n);
    for (size_t i = 0; i < n; i++)
        MUST(got[i].offset == want[i]->offset && got[i].length == want[i]->length);
}

static void compare_counts(const double *got, size_t n_got, const int64_t *deltas, size_t n_deltas,
                           const double *counts, size_t n_counts, bool is_int)
{
    uint64_t sum = 0;

    MUST(n_got == (is_int ? n_deltas : n_counts));
    for (size_t i = 0; i < n_got; i++) {
        if (is_int)
            sum += (uint64_t)deltas[i];
        MUST(same_f64(got[i], is_int ? (double)(int64_t)sum : counts[i]));
    }
}

/* False when the cursor refuses it. */
static bool compare_histogram(struct arena *a, struct slice message,
                              const Prometheus__Histogram *want)
{
    struct rw_histogram r;
    struct err *e = rw_histogram_decode(a, message, 0, &r);

    if (e) {
        err_free(e);
        return false;
    }
    if (want) {
        bool is_int = want->count_case != PROMETHEUS__HISTOGRAM__COUNT_COUNT_FLOAT;

        MUST(r.h.is_int == is_int && r.t_ms == want->timestamp && r.h.schema == want->schema);
        MUST(same_f64(r.h.sum, want->sum));
        MUST(same_f64(r.h.zero_threshold, want->zero_threshold));
        if (is_int)
            MUST(r.count == want->count_int || !want->count_case);
        else
            MUST(same_f64(r.h.count, want->count_float));
        compare_spans(r.h.pos_spans, r.h.n_pos_spans, want->positive_spans, want->n_positive_spans);
        compare_spans(r.h.neg_spans, r.h.n_neg_spans, want->negative_spans, want->n_negative_spans);
        compare_counts(r.h.pos_buckets, r.h.n_pos_buckets, want->positive_deltas,
                       want->n_positive_deltas, want->positive_counts, want->n_positive_counts,
                       is_int);
        compare_counts(r.h.neg_buckets, r.h.n_neg_buckets, want->negative_deltas,
                       want->n_negative_deltas, want->negative_counts, want->n_negative_counts,
                       is_int);
        MUST(r.h.n_custom_bounds == want->n_custom_values);
    }
    err_free(rw_histogram_check(a, &r));
    return true;
}

static bool compare_series(struct arena *a, const struct rw_series *s,
                           const Prometheus__TimeSeries *want)
{
    struct rw_fields f = rw_fields_of(s->message);
    bool ok = compare_labels(s->message, want ? want->labels : NULL, want ? want->n_labels : 0);
    struct sample sample;
    struct rw_exemplar ex;
    struct slice m;
    size_t i;

    if (want)
        MUST(s->n_samples == want->n_samples && s->n_exemplars == want->n_exemplars &&
             s->n_histograms == want->n_histograms);
    for (i = 0; rw_cursor_sample(&f, &sample); i++)
        if (want)
            MUST(same_f64(sample.v, want->samples[i]->value) &&
                 sample.t_ms == want->samples[i]->timestamp);
    MUST(i == s->n_samples && !f.error);
    f = rw_fields_of(s->message);
    for (i = 0; rw_cursor_exemplar(&f, &ex); i++) {
        if (want)
            MUST(same_f64(ex.v, want->exemplars[i]->value) &&
                 ex.t_ms == want->exemplars[i]->timestamp);
        MUST(compare_labels(ex.message, want ? want->exemplars[i]->labels : NULL,
                            want ? want->exemplars[i]->n_labels : 0));
    }
    MUST(i == s->n_exemplars && !f.error);
    f = rw_fields_of(s->message);
    for (i = 0; rw_cursor_histogram(&f, &m); i++)
        ok &= compare_histogram(a, m, want ? want->histograms[i] : NULL);
    return ok;
}

static void compare_metadata(const struct rw_metadata *m, const Prometheus__MetricMetadata *want)
{
    MUST(same_bytes(m->family, want->metric_family_name) && same_bytes(m->help, want->help) &&
         same_bytes(m->unit, want->unit));
    if ((uint32_t)want->type <= METRIC_STATESET)
        MUST((uint32_t)m->type == (uint32_t)want->type);
}

/* Whether the cursor accepts all of it; each thing it reads is compared. */
static bool compare(struct arena *a, struct slice body, const Prometheus__WriteRequest *want)
{
    size_t n_series = 0, n_metadata = 0;
    enum rw_cursor_item item;
    struct rw_cursor c;
    bool ok = true;

    rw_cursor_init(&c, body);
    while ((item = rw_cursor_next(&c)) != RW_CURSOR_END && item != RW_CURSOR_BAD) {
        if (item == RW_CURSOR_SERIES) {
            MUST(!want || n_series < want->n_timeseries);
            ok &= compare_series(a, &c.series, want ? want->timeseries[n_series] : NULL);
            n_series++;
        } else {
            MUST(!want || n_metadata < want->n_metadata);
            if (want)
                compare_metadata(&c.metadata, want->metadata[n_metadata]);
            n_metadata++;
        }
    }
    if (item == RW_CURSOR_BAD)
        return false;
    if (want)
        MUST(n_series == want->n_timeseries && n_metadata == want->n_metadata);
    return ok;
}

static void whole_way(struct slice body)
{
    static const struct tenant_limits limits = {.max_label_names_per_series = 20,
                                                .max_label_value_length = 50,
                                                .max_native_histogram_buckets = 100};
    struct push_builder b;
    struct fp_cache known;
    struct push *p = push_new(SLICE("t"), &limits);

    fp_cache_init(&known, 1 << 20);
    buf_slice_append(&p->body, body);
    push_builder_init(&b, p, &known, 0);
    err_free(write_request_decoder.decode(&b, NULL));
    push_builder_remember(p, &known);
    VEC_FOREACH (s, &p->series)
        MUST(hash128_eq(s->fp, labels_fingerprint_of_canonical(s->labels)));
    push_free(p);
    fp_cache_done(&known);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice body = slice_of(data, size);
    Prometheus__WriteRequest *want = prometheus__write_request__unpack(NULL, size, data);
    struct arena *a = arena_new(0);
    bool ok = compare(a, body, want);

    MUST(want || !ok);
    if (want)
        prometheus__write_request__free_unpacked(want, NULL);
    whole_way(body);
    arena_free(a);
    return 0;
}
