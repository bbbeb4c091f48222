#include "querier/api/federate_proto.h"

#include "common/base/num.h"

/* ---- what is asked for ---- */

/* One media range with its parameters. */
struct media {
    struct slice type, proto, encoding, version;
    double q;
};

static struct media read_media(struct slice text)
{
    struct media m = {.q = 1};
    struct slice value, key;
    double q;

    if (slice_split(&text, ';', &m.type))
        m.type = slice_trim(m.type);
    while (slice_split(&text, ';', &value)) {
        if (!slice_split(&value, '=', &key))
            continue;
        key = slice_trim(key);
        value = slice_trim(value);
        if (slice_eq_cstr(key, "proto"))
            m.proto = value;
        else if (slice_eq_cstr(key, "encoding"))
            m.encoding = value;
        else if (slice_eq_cstr(key, "version"))
            m.version = value;
        else if (slice_eq_cstr(key, "q") && num_parse(value, &q) && q >= 0 && q <= 1) /* not NaN */
            m.q = q;
    }
    return m;
}

static bool is_proto(const struct media *m)
{
    return slice_eq_cstr(m->type, "application/vnd.google.protobuf") &&
           slice_eq_cstr(m->proto, "io.prometheus.client.MetricFamily") &&
           (!m->encoding.len || slice_eq_cstr(m->encoding, "delimited"));
}

static bool is_text(const struct media *m)
{
    return slice_eq_cstr(m->type, "text/plain") &&
           (!m->version.len || slice_eq_cstr(m->version, "0.0.4"));
}

bool federate_proto_is_wanted(struct slice accept)
{
    double proto = 0, text = 0;
    struct slice range;

    while (slice_split(&accept, ',', &range)) {
        struct media m = read_media(range);

        if (is_proto(&m))
            proto = ORR_MAX(proto, m.q);
        else if (is_text(&m))
            text = ORR_MAX(text, m.q);
    }
    return proto > 0 && proto >= text;
}

/* ---- messages ---- */

static void put_key(struct buf *out, unsigned field, unsigned wire)
{
    buf_uvarint(out, field << 3 | wire);
}

static void put_bytes(struct buf *out, unsigned field, struct slice s)
{
    put_key(out, field, 2);
    buf_lstr(out, s);
}

static void put_double(struct buf *out, unsigned field, double v)
{
    put_key(out, field, 1);
    buf_f64le(out, v);
}

static void put_spans(struct buf *out, unsigned field, const struct histogram_span *spans, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct buf span = {0};

        put_key(&span, 1, 0);
        buf_varint(&span, spans[i].offset);
        put_key(&span, 2, 0);
        buf_uvarint(&span, spans[i].length);
        put_bytes(out, field, buf_slice(&span));
        buf_done(&span);
    }
}

/* proto2: not packed. */
static void put_counts(struct buf *out, unsigned field, const double *counts, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put_double(out, field, counts[i]);
}

static void put_native(struct buf *out, const struct histogram *h)
{
    put_key(out, 5, 0);
    buf_varint(out, h->schema);
    put_double(out, 6, h->zero_threshold);
    put_double(out, 8, h->zero_count);
    put_spans(out, 9, h->neg_spans, h->n_neg_spans);
    put_counts(out, 11, h->neg_buckets, h->n_neg_buckets);
    put_spans(out, 12, h->pos_spans, h->n_pos_spans);
    put_counts(out, 14, h->pos_buckets, h->n_pos_buckets);
    /* without a span and a zero bucket it would pass for a classic one */
    if (!h->n_pos_spans && !h->n_neg_spans && h->zero_threshold == 0)
        put_spans(out, 12, &(struct histogram_span){0}, 1);
}

static void put_bucket(struct buf *out, double upper, double count)
{
    struct buf bucket = {0};

    put_double(&bucket, 2, upper);
    put_double(&bucket, 4, count);
    put_bytes(out, 3, buf_slice(&bucket));
    buf_done(&bucket);
}

/* Buckets that no span names are left out: they count what those before them do. */
static void put_custom(struct buf *out, const struct histogram *h)
{
    size_t next = 0, used = 0;
    double sum = 0;

    for (size_t i = 0; i < h->n_pos_spans; i++) {
        next += (size_t)(h->pos_spans[i].offset > 0 ? h->pos_spans[i].offset : 0);
        for (uint32_t k = 0; k < h->pos_spans[i].length && used < h->n_pos_buckets; k++, next++) {
            sum += h->pos_buckets[used++];
            if (next < h->n_custom_bounds)
                put_bucket(out, h->custom_bounds[next], sum);
        }
    }
}

enum federate_kind federate_proto_kind(const struct histogram *h)
{
    if (!h)
        return FEDERATE_UNTYPED;
    return h->hint == HISTOGRAM_GAUGE ? FEDERATE_GAUGE_HISTOGRAM : FEDERATE_HISTOGRAM;
}

void federate_proto_metric(struct buf *out, const struct label *pairs, size_t n, int64_t t_ms,
                           double v, const struct histogram *h)
{
    struct buf m = {0};

    for (size_t i = 0; i < n; i++) {
        buf_reset(&m);
        put_bytes(&m, 1, pairs[i].name);
        put_bytes(&m, 2, pairs[i].value);
        put_bytes(out, 1, buf_slice(&m));
    }
    buf_reset(&m);
    if (h) {
        put_double(&m, 4, h->count);
        put_double(&m, 2, h->sum);
        if (h->schema == HISTOGRAM_CUSTOM_SCHEMA)
            put_custom(&m, h);
        else
            put_native(&m, h);
    } else {
        put_double(&m, 1, v);
    }
    put_bytes(out, h ? 7 : 5, buf_slice(&m));
    buf_done(&m);
    put_key(out, 6, 0);
    buf_uvarint(out, (uint64_t)t_ms);
}

/* ---- families ---- */

static size_t varint_bytes(uint64_t v)
{
    size_t n = 1;

    while (v >>= 7)
        n++;
    return n;
}

size_t federate_proto_framed(struct slice metric)
{
    return 1 + varint_bytes(metric.len) + metric.len;
}

void federate_proto_family(struct buf *out, struct slice name, enum federate_kind kind,
                           size_t metric_bytes)
{
    static const uint8_t types[] = {
        [FEDERATE_UNTYPED] = 3, [FEDERATE_HISTOGRAM] = 4, [FEDERATE_GAUGE_HISTOGRAM] = 5};

    buf_uvarint(out, 1 + varint_bytes(name.len) + name.len + 2 + metric_bytes);
    put_bytes(out, 1, name);
    put_key(out, 3, 0);
    buf_uvarint(out, types[kind]);
}

void federate_proto_append(struct buf *out, struct slice metric)
{
    put_bytes(out, 4, metric);
}
