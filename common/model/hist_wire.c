#include "common/model/hist_wire.h"

static void doubles_encode(struct buf *out, const double *v, size_t n)
{
    buf_uvarint(out, n);
    for (size_t i = 0; i < n; i++)
        buf_f64le(out, v[i]);
}

static void spans_encode(struct buf *out, const struct histogram_span *s, size_t n)
{
    buf_uvarint(out, n);
    for (size_t i = 0; i < n; i++) {
        buf_varint(out, s[i].offset);
        buf_uvarint(out, s[i].length);
    }
}

void hist_wire_encode(struct buf *out, const struct histogram *h)
{
    buf_varint(out, h->schema);
    buf_byte(out, (uint8_t)h->hint);
    buf_byte(out, h->is_int);
    buf_f64le(out, h->zero_threshold);
    buf_f64le(out, h->zero_count);
    buf_f64le(out, h->count);
    buf_f64le(out, h->sum);
    spans_encode(out, h->pos_spans, h->n_pos_spans);
    spans_encode(out, h->neg_spans, h->n_neg_spans);
    doubles_encode(out, h->pos_buckets, h->n_pos_buckets);
    doubles_encode(out, h->neg_buckets, h->n_neg_buckets);
    doubles_encode(out, h->custom_bounds, h->n_custom_bounds);
}

static const double *doubles_decode(struct arena *a, struct reader *r, size_t n)
{
    double *v = arena_array(a, double, n);

    for (size_t i = 0; i < n; i++)
        v[i] = reader_f64le(r);
    return v;
}

static const struct histogram_span *spans_decode(struct arena *a, struct reader *r, size_t *ret_n)
{
    size_t n = reader_count(r, 2);
    struct histogram_span *s = arena_array(a, struct histogram_span, n);

    for (size_t i = 0; i < n; i++) {
        s[i].offset = (int32_t)reader_varint(r);
        s[i].length = (uint32_t)reader_uvarint(r);
    }
    *ret_n = n;
    return s;
}

const struct histogram *hist_wire_decode(struct arena *a, struct reader *r)
{
    struct histogram *h = arena_new_of(a, struct histogram);
    uint64_t pos = 0, neg = 0;

    h->schema = (int32_t)reader_varint(r);
    h->hint = (enum histogram_hint)(reader_u8(r) & 3);
    h->is_int = reader_u8(r) != 0;
    h->zero_threshold = reader_f64le(r);
    h->zero_count = reader_f64le(r);
    h->count = reader_f64le(r);
    h->sum = reader_f64le(r);
    h->pos_spans = spans_decode(a, r, &h->n_pos_spans);
    h->neg_spans = spans_decode(a, r, &h->n_neg_spans);
    h->n_pos_buckets = reader_count(r, 8);
    h->pos_buckets = doubles_decode(a, r, h->n_pos_buckets);
    h->n_neg_buckets = reader_count(r, 8);
    h->neg_buckets = doubles_decode(a, r, h->n_neg_buckets);
    h->n_custom_bounds = reader_count(r, 8);
    h->custom_bounds = doubles_decode(a, r, h->n_custom_bounds);
    for (size_t i = 0; i < h->n_pos_spans; i++)
        pos += h->pos_spans[i].length;
    for (size_t i = 0; i < h->n_neg_spans; i++)
        neg += h->neg_spans[i].length;
    if (pos != h->n_pos_buckets || neg != h->n_neg_buckets ||
        (h->schema != HISTOGRAM_CUSTOM_SCHEMA && (h->schema < -4 || h->schema > 8)))
        reader_fail(r);
    return h;
}
