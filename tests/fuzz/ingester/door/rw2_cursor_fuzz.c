/*
 * Bytes as the body of a remote write 2.0: what the cursor reads is what protobuf-c reads, and what
 * protobuf-c refuses the cursor refuses (it may be stricter in the ways that rw_cursor.h names).
 * Then the whole way into a push.
 */
#include <string.h>

#include "common/base/arena.h"
#include "common/base/mem.h"
#include "common/proto/remote_write_v2.pb-c.h"
#include "ingester/door/rw2_cursor.h"
#include "ingester/door/rw2_request.h"
#include "ingester/door/rw_histogram.h"
#include "ingester/metrics/batch.h"

#define MUST(cond) ORR_ASSERT(cond)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static bool same_f64(double a, double b)
{
    return memcmp(&a, &b, sizeof(a)) == 0;
}

static void compare_refs(const struct rw2_refs *got, const uint32_t *want, size_t n)
{
    MUST(got->n == n);
    for (size_t i = 0; i < n && i < (size_t)2 * RW2_CURSOR_MAX_LABELS; i++)
        MUST(got->ptr[i] == want[i]);
}

/* False when the cursor refuses it. */
static bool compare_histogram(struct arena *a, struct slice message, const Rw2__Histogram *want)
{
    struct rw_histogram r;
    struct err *e = rw_histogram_decode(a, message, 0, &r);

    if (e) {
        err_free(e);
        return false;
    }
    if (want) {
        bool is_int = want->count_case != RW2__HISTOGRAM__COUNT_COUNT_FLOAT;

        MUST(r.h.is_int == is_int && r.t_ms == want->timestamp && r.h.schema == want->schema);
        MUST(r.created_ms == want->start_timestamp);
        MUST(same_f64(r.h.sum, want->sum));
        MUST(r.h.n_pos_spans == want->n_positive_spans);
        MUST(r.h.n_neg_buckets == (is_int ? want->n_negative_deltas : want->n_negative_counts));
        MUST(r.h.n_custom_bounds == want->n_custom_values);
    }
    err_free(rw_histogram_check(a, &r));
    return !r.has_odd_created;
}

static bool compare_series(struct arena *a, const struct rw2_series *s, const Rw2__TimeSeries *want)
{
    bool ok = true;

    for (size_t i = 0; i < s->n_histograms; i++)
        ok &= compare_histogram(a, s->histograms[i],
                                want && i < want->n_histograms ? want->histograms[i] : NULL);
    if (!want)
        return ok;
    compare_refs(&s->refs, want->labels_refs, want->n_labels_refs);
    MUST(s->n_samples == want->n_samples && s->n_histograms == want->n_histograms &&
         s->n_exemplars == want->n_exemplars && s->created_ms == want->created_timestamp);
    for (size_t i = 0; i < s->n_samples; i++)
        MUST(same_f64(s->samples[i].v, want->samples[i]->value) &&
             s->samples[i].t_ms == want->samples[i]->timestamp &&
             s->created[i] == want->samples[i]->start_timestamp);
    for (size_t i = 0; i < s->n_exemplars; i++) {
        MUST(same_f64(s->exemplars[i].v, want->exemplars[i]->value) &&
             s->exemplars[i].t_ms == want->exemplars[i]->timestamp);
        compare_refs(&s->exemplars[i].refs, want->exemplars[i]->labels_refs,
                     want->exemplars[i]->n_labels_refs);
    }
    if (want->metadata)
        MUST(s->type == want->metadata->type && s->help_ref == want->metadata->help_ref &&
             s->unit_ref == want->metadata->unit_ref);
    else
        MUST(!(s->type | s->help_ref | s->unit_ref));
    return ok;
}

/* Whether the cursor accepts all of it; each thing it reads is compared. */
static bool compare(struct arena *a, struct slice body, const Rw2__Request *want)
{
    struct rw2_cursor c;
    struct slice symbol;
    bool ok = true;
    size_t n = 0;

    rw2_cursor_init(&c, a, body);
    MUST(!rw2_cursor_symbol(&c, (uint32_t)c.n_symbols, &symbol));
    if (want && !c.error) {
        MUST(c.n_symbols == want->n_symbols);
        for (uint32_t i = 0; i < c.n_symbols; i++)
            MUST(rw2_cursor_symbol(&c, i, &symbol) && symbol.len == want->symbols[i].len &&
                 (symbol.len == 0 || !memcmp(symbol.ptr, want->symbols[i].data, symbol.len)));
    }
    for (; rw2_cursor_next(&c); n++) {
        MUST(!want || n < want->n_timeseries);
        ok &= compare_series(a, &c.series, want ? want->timeseries[n] : NULL);
    }
    if (!c.error && want)
        MUST(n == want->n_timeseries);
    return ok && !c.error;
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
    push_builder_init(&b, p, &known, 1);
    err_free(rw2_request_decoder.decode(&b, NULL));
    push_builder_remember(p, &known);
    VEC_FOREACH (s, &p->series) {
        MUST(hash128_eq(s->fp, labels_fingerprint_of_canonical(s->labels)));
        MUST(batch_labels_valid(s->labels));
    }
    push_free(p);
    fp_cache_done(&known);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice body = slice_of(data, size);
    Rw2__Request *want = rw2__request__unpack(NULL, size, data);
    struct arena *a = arena_new(0);
    bool ok = compare(a, body, want);

    MUST(want || !ok);
    if (want)
        rw2__request__free_unpacked(want, NULL);
    whole_way(body);
    arena_free(a);
    return 0;
}
