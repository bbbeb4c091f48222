#include "ingester/metrics/head_log.h"

enum section { S_SERIES = 1, S_SAMPLES, S_HISTOGRAMS, S_EXEMPLARS, S_METADATA, S_RAW, S_STARTS };

#define SAMPLES_HEADER 13 /* tag, base, count */

void head_log_reset(struct head_log *l)
{
    buf_reset(&l->series);
    buf_reset(&l->samples);
    buf_reset(&l->histograms);
    buf_reset(&l->exemplars);
    buf_reset(&l->metadata);
    buf_reset(&l->starts);
    l->n_starts = 0;
    l->starts_t_ms = l->starts_st_ms = 0;
    l->n_series = l->n_histograms = l->n_exemplars = l->n_metadata = l->n_samples = 0;
    l->raw_through = 0;
}

void head_log_done(struct head_log *l)
{
    buf_done(&l->series);
    buf_done(&l->samples);
    buf_done(&l->histograms);
    buf_done(&l->exemplars);
    buf_done(&l->metadata);
    buf_done(&l->starts);
    buf_done(&l->payload);
}

void head_log_series(struct head_log *l, uint32_t ref, struct hash128 fp, struct slice canonical)
{
    buf_u32le(&l->series, ref);
    buf_u64le(&l->series, fp.lo);
    buf_u64le(&l->series, fp.hi);
    buf_lstr(&l->series, canonical);
    l->n_series++;
}

static void close_samples(struct head_log *l)
{
    if (l->n_samples)
        memcpy(l->samples.ptr + l->samples_at + 9, &l->n_samples, 4);
    l->n_samples = 0;
}

static void open_samples(struct head_log *l, int64_t base_ms)
{
    close_samples(l);
    l->samples_at = l->samples.len;
    l->base_ms = base_ms;
    buf_byte(&l->samples, S_SAMPLES);
    buf_u64le(&l->samples, (uint64_t)base_ms);
    buf_u32le(&l->samples, 0);
}

void head_log_sample(struct head_log *l, uint32_t ref, int64_t t_ms, double v)
{
    int64_t dt = 0;
    int32_t dt32;
    uint8_t *p;

    if (ORR_UNLIKELY(!l->n_samples || __builtin_sub_overflow(t_ms, l->base_ms, &dt) ||
                     dt > INT32_MAX || dt < INT32_MIN)) {
        open_samples(l, t_ms);
        dt = 0;
    }
    if (ORR_UNLIKELY(l->samples.cap - l->samples.len < 16))
        (void)buf_reserve(&l->samples, 16);
    p = l->samples.ptr + l->samples.len;
    dt32 = (int32_t)dt;
    memcpy(p, &ref, 4);
    memcpy(p + 4, &dt32, 4);
    memcpy(p + 8, &v, 8);
    l->samples.len += 16;
    l->n_samples++;
}

void head_log_histogram(struct head_log *l, uint32_t ref, int64_t t_ms, struct slice encoded)
{
    buf_u32le(&l->histograms, ref);
    buf_u64le(&l->histograms, (uint64_t)t_ms);
    buf_lstr(&l->histograms, encoded);
    l->n_histograms++;
}

void head_log_exemplar(struct head_log *l, uint32_t ref, const struct batch_exemplar *ex)
{
    buf_u32le(&l->exemplars, ref);
    buf_u64le(&l->exemplars, (uint64_t)ex->t_ms);
    buf_f64le(&l->exemplars, ex->v);
    buf_lstr(&l->exemplars, ex->labels);
    l->n_exemplars++;
}

void head_log_metadata(struct head_log *l, const struct batch_meta *m)
{
    buf_byte(&l->metadata, (uint8_t)m->type);
    buf_lstr(&l->metadata, m->family);
    buf_lstr(&l->metadata, m->help);
    buf_lstr(&l->metadata, m->unit);
    l->n_metadata++;
}

void head_log_start(struct head_log *l, uint32_t ref, int64_t t_ms, int64_t st_ms)
{
    buf_u32le(&l->starts, ref);
    buf_varint(&l->starts, (int64_t)((uint64_t)t_ms - (uint64_t)l->starts_t_ms));
    buf_varint(&l->starts, (int64_t)((uint64_t)st_ms - (uint64_t)l->starts_st_ms));
    l->starts_t_ms = t_ms;
    l->starts_st_ms = st_ms;
    l->n_starts++;
}

bool head_log_is_empty(const struct head_log *l)
{
    return !l->n_series && !l->samples.len && !l->n_histograms && !l->n_exemplars &&
           !l->n_metadata && !l->raw_through;
}

static void put_section(struct buf *out, enum section tag, uint32_t n, const struct buf *items)
{
    if (!n)
        return;
    buf_byte(out, (uint8_t)tag);
    buf_u32le(out, n);
    buf_slice_append(out, buf_slice(items));
}

struct slice head_log_finish(struct head_log *l, uint32_t shard)
{
    close_samples(l);
    buf_reset(&l->payload);
    buf_u16le(&l->payload, (uint16_t)shard);
    put_section(&l->payload, S_SERIES, l->n_series, &l->series);
    buf_slice_append(&l->payload, buf_slice(&l->samples));
    put_section(&l->payload, S_HISTOGRAMS, l->n_histograms, &l->histograms);
    put_section(&l->payload, S_EXEMPLARS, l->n_exemplars, &l->exemplars);
    put_section(&l->payload, S_METADATA, l->n_metadata, &l->metadata);
    put_section(&l->payload, S_STARTS, l->n_starts, &l->starts);
    if (l->raw_through) {
        buf_byte(&l->payload, S_RAW);
        buf_u64le(&l->payload, l->raw_through);
    }
    return buf_slice(&l->payload);
}

/* ---- reading ---- */

bool head_log_shard_of(struct slice payload, uint32_t *ret_shard)
{
    struct reader r = reader_new(payload);

    *ret_shard = reader_u16le(&r);
    return reader_ok(&r);
}

static void visit_series(struct reader *r, const struct head_log_visitor *v, void *arg)
{
    uint32_t n = reader_u32le(r);

    while (n-- && reader_ok(r)) {
        uint32_t ref = reader_u32le(r);
        struct hash128 fp;
        struct slice canonical;

        fp.lo = reader_u64le(r);
        fp.hi = reader_u64le(r);
        canonical = reader_lstr(r);
        if (reader_ok(r) && v->series)
            v->series(arg, ref, fp, canonical);
    }
}

static void prefetch_row(const uint8_t *p, const uint8_t *end, size_t ahead, bool is_near,
                         const struct head_log_visitor *v, void *arg)
{
    uint32_t ref;

    if (!v->prefetch || (size_t)(end - p) <= ahead * 16)
        return;
    memcpy(&ref, p + ahead * 16, 4);
    v->prefetch(arg, ref, is_near);
}

static void visit_samples(struct reader *r, const struct head_log_visitor *v, void *arg)
{
    int64_t base_ms = (int64_t)reader_u64le(r);
    uint32_t n = reader_u32le(r);
    struct slice rows;

    if (n > reader_left(r) / 16) {
        reader_fail(r);
        return;
    }
    rows = reader_bytes(r, (size_t)n * 16);
    for (const uint8_t *p = rows.ptr, *end = p + rows.len; v->sample && p < end; p += 16) {
        uint32_t ref;
        int32_t dt;
        double value;

        prefetch_row(p, end, 24, false, v, arg);
        prefetch_row(p, end, 12, true, v, arg);
        memcpy(&ref, p, 4);
        memcpy(&dt, p + 4, 4);
        memcpy(&value, p + 8, 8);
        v->sample(arg, ref, (int64_t)((uint64_t)base_ms + (uint64_t)(int64_t)dt), value);
    }
}

static void visit_histograms(struct reader *r, const struct head_log_visitor *v, void *arg)
{
    uint32_t n = reader_u32le(r);

    while (n-- && reader_ok(r)) {
        uint32_t ref = reader_u32le(r);
        int64_t t_ms = (int64_t)reader_u64le(r);
        struct slice encoded = reader_lstr(r);

        if (reader_ok(r) && v->histogram)
            v->histogram(arg, ref, t_ms, encoded);
    }
}

static void visit_exemplars(struct reader *r, const struct head_log_visitor *v, void *arg)
{
    uint32_t n = reader_u32le(r);

    while (n-- && reader_ok(r)) {
        uint32_t ref = reader_u32le(r);
        struct batch_exemplar ex;

        ex.t_ms = (int64_t)reader_u64le(r);
        ex.v = reader_f64le(r);
        ex.labels = reader_lstr(r);
        if (reader_ok(r) && v->exemplar)
            v->exemplar(arg, ref, &ex);
    }
}

static void visit_metadata(struct reader *r, const struct head_log_visitor *v, void *arg)
{
    uint32_t n = reader_u32le(r);
    struct batch_meta m;

    while (n-- && reader_ok(r)) {
        if (!batch_next_meta(r, &m))
            reader_fail(r);
        else if (v->metadata)
            v->metadata(arg, &m);
    }
}

static void visit_starts(struct reader *r, const struct head_log_visitor *v, void *arg)
{
    uint32_t n = reader_u32le(r);
    int64_t t_ms = 0, st_ms = 0;

    while (n-- && reader_ok(r)) {
        uint32_t ref = reader_u32le(r);

        t_ms = (int64_t)((uint64_t)t_ms + (uint64_t)reader_varint(r));
        st_ms = (int64_t)((uint64_t)st_ms + (uint64_t)reader_varint(r));
        if (reader_ok(r) && v->start)
            v->start(arg, ref, t_ms, st_ms);
    }
}

struct err *head_log_visit(struct slice payload, const struct head_log_visitor *v, void *arg)
{
    struct reader r = reader_new(payload);
    uint64_t seq;

    (void)reader_u16le(&r);
    while (reader_left(&r) && reader_ok(&r)) {
        uint8_t tag = reader_u8(&r);

        switch (tag) {
        case S_SERIES:
            visit_series(&r, v, arg);
            break;
        case S_SAMPLES:
            visit_samples(&r, v, arg);
            break;
        case S_HISTOGRAMS:
            visit_histograms(&r, v, arg);
            break;
        case S_EXEMPLARS:
            visit_exemplars(&r, v, arg);
            break;
        case S_METADATA:
            visit_metadata(&r, v, arg);
            break;
        case S_STARTS:
            visit_starts(&r, v, arg);
            break;
        case S_RAW:
            seq = reader_u64le(&r);
            if (reader_ok(&r) && v->raw_through)
                v->raw_through(arg, seq);
            break;
        default:
            return err_new(ERR_CORRUPT, "head record: section %u is not known", tag);
        }
    }
    return reader_ok(&r) ? NULL : err_new(ERR_CORRUPT, "head record: malformed");
}

void head_log_raw_header(struct buf *out, const struct head_limits *limits)
{
    buf_u64le(out, (uint64_t)limits->ooo_window_ms);
    buf_u64le(out, limits->max_series);
    buf_u64le(out, (uint64_t)limits->min_t_ms);
    buf_u64le(out, (uint64_t)limits->max_t_ms);
    buf_u32le(out, limits->max_metadata);
}

struct err *head_log_raw_open(struct slice payload, struct head_limits *ret_limits,
                              struct batch *ret)
{
    struct reader r = reader_new(payload);
    struct head_limits l = {0};

    l.ooo_window_ms = (int64_t)reader_u64le(&r);
    l.max_series = reader_u64le(&r);
    l.min_t_ms = (int64_t)reader_u64le(&r);
    l.max_t_ms = (int64_t)reader_u64le(&r);
    l.max_metadata = reader_u32le(&r);
    if (!reader_ok(&r))
        return err_new(ERR_CORRUPT, "head record: malformed raw batch");
    *ret_limits = l;
    return batch_open(reader_rest(&r), ret);
}
