#include "querier/engine/result_wire.h"

#include "common/base/reader.h"
#include "common/model/hist_wire.h"

#define WIRE_VERSION 1

static void times_encode(struct buf *out, const int64_t *t, size_t n)
{
    int64_t last = 0;

    for (size_t i = 0; i < n; i++) {
        buf_varint(out, (int64_t)((uint64_t)t[i] - (uint64_t)last));
        last = t[i];
    }
}

static void texts_encode(struct buf *out, const struct slice *t, size_t n)
{
    buf_uvarint(out, n);
    for (size_t i = 0; i < n; i++)
        buf_lstr(out, t[i]);
}

static void series_encode(struct buf *out, const struct engine_series *s)
{
    buf_uvarint(out, s->labels.n);
    for (size_t i = 0; i < s->labels.n; i++) {
        buf_lstr(out, s->labels.ptr[i].name);
        buf_lstr(out, s->labels.ptr[i].value);
    }
    buf_uvarint(out, s->n);
    times_encode(out, s->t_ms, s->n);
    for (size_t i = 0; i < s->n; i++)
        buf_f64le(out, s->v[i]);
    buf_uvarint(out, s->n_hist);
    times_encode(out, s->hist_t_ms, s->n_hist);
    for (size_t i = 0; i < s->n_hist; i++)
        hist_wire_encode(out, s->hist[i]);
}

void result_wire_encode(struct buf *out, const struct engine_result *r)
{
    buf_byte(out, WIRE_VERSION);
    buf_byte(out, (uint8_t)r->type);
    buf_uvarint(out, 0);
    if (r->type == ENGINE_STRING) {
        buf_lstr(out, r->string);
        buf_varint(out, r->string_t_ms);
    }
    texts_encode(out, r->warnings, r->n_warnings);
    texts_encode(out, r->infos, r->n_infos);
    buf_uvarint(out, r->stats.samples);
    buf_uvarint(out, r->stats.series);
    buf_uvarint(out, r->stats.peak_bytes);
    buf_uvarint(out, r->n_series);
    for (size_t i = 0; i < r->n_series; i++)
        series_encode(out, &r->series[i]);
}

static const int64_t *times_decode(struct arena *a, struct reader *r, size_t n)
{
    int64_t *t = arena_array(a, int64_t, n);
    uint64_t last = 0;

    for (size_t i = 0; i < n; i++) {
        last += (uint64_t)reader_varint(r);
        t[i] = (int64_t)last;
    }
    return t;
}

static const double *doubles_decode(struct arena *a, struct reader *r, size_t n)
{
    double *v = arena_array(a, double, n);

    for (size_t i = 0; i < n; i++)
        v[i] = reader_f64le(r);
    return v;
}

static const struct slice *texts_decode(struct arena *a, struct reader *r, size_t *ret_n)
{
    size_t n = reader_count(r, 1);
    struct slice *t = arena_array(a, struct slice, n);

    for (size_t i = 0; i < n; i++)
        t[i] = reader_lstr(r);
    *ret_n = n;
    return t;
}

static void series_decode(struct arena *a, struct reader *r, struct engine_series *s)
{
    size_t n = reader_count(r, 2);
    struct label *ls = arena_array(a, struct label, n);
    const struct histogram **h;

    for (size_t i = 0; i < n; i++) {
        ls[i].name = reader_lstr(r);
        ls[i].value = reader_lstr(r);
        /* Sorted and unique, as every struct labels is. */
        if (i && slice_cmp(ls[i - 1].name, ls[i].name) >= 0)
            reader_fail(r);
    }
    s->labels = (struct labels){ls, n};
    s->n = reader_count(r, 9);
    s->t_ms = times_decode(a, r, s->n);
    s->v = doubles_decode(a, r, s->n);
    s->n_hist = reader_count(r, HIST_WIRE_MIN_BYTES);
    s->hist_t_ms = times_decode(a, r, s->n_hist);
    h = arena_array(a, const struct histogram *, s->n_hist);
    for (size_t i = 0; i < s->n_hist && reader_ok(r); i++)
        h[i] = hist_wire_decode(a, r);
    s->hist = h;
}

struct err *result_wire_decode(struct arena *a, struct slice bytes, struct engine_result *ret)
{
    struct reader r = reader_new(bytes);
    struct engine_result out = {0};
    struct engine_series *series;
    uint8_t version = reader_u8(&r), type = reader_u8(&r);

    if (!reader_ok(&r) || version != WIRE_VERSION || type > ENGINE_MATRIX ||
        reader_uvarint(&r) != 0)
        return err_new(ERR_CORRUPT, "query result has version %u, type %u", version, type);
    out.type = (enum engine_type)type;
    if (out.type == ENGINE_STRING) {
        out.string = reader_lstr(&r);
        out.string_t_ms = reader_varint(&r);
    }
    out.warnings = texts_decode(a, &r, &out.n_warnings);
    out.infos = texts_decode(a, &r, &out.n_infos);
    out.stats.samples = reader_uvarint(&r);
    out.stats.series = reader_uvarint(&r);
    out.stats.peak_bytes = reader_uvarint(&r);
    out.n_series = reader_count(&r, 3);
    series = arena_array(a, struct engine_series, out.n_series);
    for (size_t i = 0; i < out.n_series && reader_ok(&r); i++)
        series_decode(a, &r, &series[i]);
    if (!reader_ok(&r) || reader_left(&r))
        return err_new(ERR_CORRUPT, "query result is cut short or malformed");
    if (out.type == ENGINE_SCALAR && (out.n_series != 1 || series[0].n != 1))
        return err_new(ERR_CORRUPT, "query result of type scalar without a value");
    out.series = series;
    *ret = out;
    return NULL;
}
