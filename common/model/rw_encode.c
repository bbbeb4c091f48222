#include "common/model/rw_encode.h"

/* tag = field << 3 | wire type: 2 length-delimited, 1 eight bytes, 0 varint */
#define TAG_TIMESERIES 0x0a
#define TAG_SAMPLES 0x12
#define TAG_VALUE 0x09
#define TAG_TIMESTAMP 0x10
#define TAG_HISTOGRAMS 0x22
/* of Histogram: */
#define TAG_COUNT_FLOAT 0x11
#define TAG_SUM 0x19
#define TAG_SCHEMA 0x20
#define TAG_ZERO_THRESHOLD 0x29
#define TAG_ZERO_COUNT_FLOAT 0x39
#define TAG_NEGATIVE_SPANS 0x42
#define TAG_NEGATIVE_COUNTS 0x52
#define TAG_POSITIVE_SPANS 0x5a
#define TAG_POSITIVE_COUNTS 0x6a
#define TAG_RESET_HINT 0x70
#define TAG_HISTOGRAM_TIMESTAMP 0x78
#define TAG_CUSTOM_VALUES 0x82 /* 0x01: field 16, so two bytes */
/* of BucketSpan: */
#define TAG_OFFSET 0x08
#define TAG_LENGTH 0x10

/* A TimeSeries of one element, tagged tag; ends elem. */
static void put_series(struct buf *out, struct labels ls, uint8_t tag, struct buf *elem)
{
    struct buf series = {0};

    labels_canonical(&series, ls); /* is the protobuf of the labels */
    buf_byte(&series, tag);
    buf_lstr(&series, buf_slice(elem));
    buf_byte(out, TAG_TIMESERIES);
    buf_lstr(out, buf_slice(&series));
    buf_done(&series);
    buf_done(elem);
}

void rw_encode_sample(struct buf *out, struct labels ls, struct sample s)
{
    struct buf sample = {0};

    buf_byte(&sample, TAG_VALUE);
    buf_f64le(&sample, s.v);
    buf_byte(&sample, TAG_TIMESTAMP);
    buf_uvarint(&sample, (uint64_t)s.t_ms); /* int64: negative ones take ten bytes */
    put_series(out, ls, TAG_SAMPLES, &sample);
}

static void put_double(struct buf *out, uint8_t tag, double v)
{
    buf_byte(out, tag);
    buf_f64le(out, v);
}

/* Packed. */
static void put_doubles(struct buf *out, uint8_t tag, const double *v, size_t n)
{
    if (n == 0)
        return;
    buf_byte(out, tag);
    if (tag == TAG_CUSTOM_VALUES)
        buf_byte(out, 1);
    buf_uvarint(out, n * 8);
    for (size_t i = 0; i < n; i++)
        buf_f64le(out, v[i]);
}

static void put_spans(struct buf *out, uint8_t tag, const struct histogram_span *s, size_t n)
{
    struct buf span = {0};

    for (size_t i = 0; i < n; i++) {
        buf_reset(&span);
        buf_byte(&span, TAG_OFFSET);
        buf_varint(&span, s[i].offset);
        buf_byte(&span, TAG_LENGTH);
        buf_uvarint(&span, s[i].length);
        buf_byte(out, tag);
        buf_lstr(out, buf_slice(&span));
    }
    buf_done(&span);
}

void rw_encode_histogram(struct buf *out, struct labels ls, int64_t t_ms, const struct histogram *h)
{
    struct buf b = {0};

    put_double(&b, TAG_COUNT_FLOAT, h->count);
    put_double(&b, TAG_SUM, h->sum);
    buf_byte(&b, TAG_SCHEMA);
    buf_varint(&b, h->schema);
    put_double(&b, TAG_ZERO_THRESHOLD, h->zero_threshold);
    put_double(&b, TAG_ZERO_COUNT_FLOAT, h->zero_count);
    put_spans(&b, TAG_NEGATIVE_SPANS, h->neg_spans, h->n_neg_spans);
    put_doubles(&b, TAG_NEGATIVE_COUNTS, h->neg_buckets, h->n_neg_buckets);
    put_spans(&b, TAG_POSITIVE_SPANS, h->pos_spans, h->n_pos_spans);
    put_doubles(&b, TAG_POSITIVE_COUNTS, h->pos_buckets, h->n_pos_buckets);
    buf_byte(&b, TAG_RESET_HINT);
    buf_uvarint(&b, h->hint);
    buf_byte(&b, TAG_HISTOGRAM_TIMESTAMP);
    buf_uvarint(&b, (uint64_t)t_ms);
    put_doubles(&b, TAG_CUSTOM_VALUES, h->custom_bounds, h->n_custom_bounds);
    put_series(out, ls, TAG_HISTOGRAMS, &b);
}
