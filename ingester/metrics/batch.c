#include "ingester/metrics/batch.h"

#include "common/base/mem.h"

static const uint8_t batch_magic[8] = {'O', 'R', 'R', 'B', 'A', 'T', 0, 1};

static void put_u32(uint8_t *p, uint32_t v)
{
    memcpy(p, &v, 4); /* little endian hosts only: see static_assert */
}

static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "entries are read and written in place");

void batch_writer_init(struct batch_writer *w, int64_t base_t_ms)
{
    *w = (struct batch_writer){.base_t_ms = base_t_ms};
}

void batch_writer_done(struct batch_writer *w)
{
    struct buf *bufs[] = {&w->entries, &w->extras,     &w->meta,
                          &w->samples, &w->histograms, &w->exemplars};

    for (size_t i = 0; i < ORR_COUNT(bufs); i++)
        buf_done(bufs[i]);
}

size_t batch_writer_bytes(const struct batch_writer *w)
{
    return BATCH_HEADER_BYTES + w->entries.len + w->extras.len + w->meta.len;
}

static bool fits_inline(const struct batch_writer *w, int64_t t_ms)
{
    int64_t dt;

    return !__builtin_sub_overflow(t_ms, w->base_t_ms, &dt) && dt >= INT32_MIN && dt <= INT32_MAX;
}

static void put_entry(struct batch_writer *w, struct hash128 fp, uint32_t extra, int64_t t_ms,
                      double v)
{
    uint8_t *p = buf_reserve(&w->entries, BATCH_ENTRY_BYTES);

    put_u32(p + 16, extra);
    put_u32(p + 20, (uint32_t)(int32_t)(t_ms - w->base_t_ms));
    memcpy(p, &fp, 16);
    memcpy(p + 24, &v, 8);
    w->entries.len += BATCH_ENTRY_BYTES;
    w->n++;
}

void batch_sample(struct batch_writer *w, struct hash128 fp, int64_t t_ms, double v)
{
    if (ORR_LIKELY(fits_inline(w, t_ms))) {
        put_entry(w, fp, 0, t_ms, v);
        return;
    }
    batch_series_begin(w, fp);
    batch_series_sample(w, t_ms, v);
    batch_series_end(w);
}

void batch_series_begin(struct batch_writer *w, struct hash128 fp)
{
    w->fp = fp;
    w->labels = (struct slice){0};
    buf_reset(&w->samples);
    buf_reset(&w->histograms);
    buf_reset(&w->exemplars);
    w->n_samples = w->n_histograms = w->n_exemplars = 0;
    w->created_ms = w->start_ms = 0;
}

void batch_series_labels(struct batch_writer *w, struct slice canonical)
{
    w->labels = canonical;
}

void batch_series_sample(struct batch_writer *w, int64_t t_ms, double v)
{
    buf_u64le(&w->samples, (uint64_t)t_ms);
    buf_f64le(&w->samples, v);
    w->n_samples++;
}

void batch_series_histogram(struct batch_writer *w, int64_t t_ms, const struct histogram *h)
{
    struct buf enc = {0};

    batch_histogram_encode(&enc, h);
    buf_u64le(&w->histograms, (uint64_t)t_ms);
    buf_lstr(&w->histograms, buf_slice(&enc));
    buf_done(&enc);
    w->n_histograms++;
}

void batch_series_exemplar(struct batch_writer *w, struct slice canonical, int64_t t_ms, double v)
{
    buf_u64le(&w->exemplars, (uint64_t)t_ms);
    buf_f64le(&w->exemplars, v);
    buf_lstr(&w->exemplars, canonical);
    w->n_exemplars++;
}

void batch_series_created(struct batch_writer *w, int64_t created_ms)
{
    w->created_ms = created_ms;
}

void batch_series_start(struct batch_writer *w, int64_t start_ms)
{
    w->start_ms = start_ms;
}

static void put_counted(struct buf *out, uint32_t n, const struct buf *items)
{
    buf_uvarint(out, n);
    buf_slice_append(out, buf_slice(items));
}

void batch_series_end(struct batch_writer *w)
{
    struct sample first = {0};
    bool is_inline = false;
    uint32_t extra;

    if (w->n_samples == 1) {
        memcpy(&first.t_ms, w->samples.ptr, 8);
        memcpy(&first.v, w->samples.ptr + 8, 8);
        is_inline = fits_inline(w, first.t_ms);
    }
    if (!is_inline)
        first = (struct sample){.t_ms = w->base_t_ms};
    if (is_inline && !w->labels.ptr && !w->n_histograms && !w->n_exemplars && !w->created_ms &&
        !w->start_ms) {
        put_entry(w, w->fp, 0, first.t_ms, first.v);
        return;
    }
    extra = (uint32_t)w->extras.len + 1;
    buf_byte(&w->extras,
             (uint8_t)((is_inline ? BATCH_F_INLINE : 0) | (w->labels.ptr ? BATCH_F_LABELS : 0) |
                       (!is_inline && w->n_samples ? BATCH_F_SAMPLES : 0) |
                       (w->n_histograms ? BATCH_F_HISTOGRAMS : 0) |
                       (w->n_exemplars ? BATCH_F_EXEMPLARS : 0) |
                       (w->created_ms ? BATCH_F_CREATED : 0) | (w->start_ms ? BATCH_F_START : 0)));
    if (w->labels.ptr)
        buf_lstr(&w->extras, w->labels);
    if (!is_inline && w->n_samples)
        put_counted(&w->extras, w->n_samples, &w->samples);
    if (w->n_histograms)
        put_counted(&w->extras, w->n_histograms, &w->histograms);
    if (w->n_exemplars)
        put_counted(&w->extras, w->n_exemplars, &w->exemplars);
    if (w->created_ms)
        buf_u64le(&w->extras, (uint64_t)w->created_ms);
    if (w->start_ms)
        buf_varint(&w->extras, w->start_ms);
    put_entry(w, w->fp, extra, first.t_ms, first.v);
}

void batch_metadata(struct batch_writer *w, enum sample_metric_type type, struct slice family,
                    struct slice help, struct slice unit)
{
    buf_byte(&w->meta, (uint8_t)type);
    buf_lstr(&w->meta, family);
    buf_lstr(&w->meta, help);
    buf_lstr(&w->meta, unit);
    w->n_meta++;
}

void batch_finish(struct batch_writer *w, struct buf *out)
{
    buf_append(out, batch_magic, sizeof(batch_magic));
    buf_u32le(out, w->n);
    buf_u32le(out, w->n_meta);
    buf_u64le(out, (uint64_t)w->base_t_ms);
    buf_u32le(out, (uint32_t)w->extras.len);
    buf_u32le(out, (uint32_t)w->meta.len);
    buf_slice_append(out, buf_slice(&w->entries));
    buf_slice_append(out, buf_slice(&w->extras));
    buf_slice_append(out, buf_slice(&w->meta));
    buf_reset(&w->entries);
    buf_reset(&w->extras);
    buf_reset(&w->meta);
    w->n = w->n_meta = 0;
}

/* ---- reading ---- */

bool batch_next_histogram(struct reader *r, int64_t *ret_t_ms, struct slice *ret_encoded)
{
    if (!reader_left(r))
        return false;
    *ret_t_ms = (int64_t)reader_u64le(r);
    *ret_encoded = reader_lstr(r);
    return reader_ok(r);
}

bool batch_next_exemplar(struct reader *r, struct batch_exemplar *ret)
{
    if (!reader_left(r))
        return false;
    ret->t_ms = (int64_t)reader_u64le(r);
    ret->v = reader_f64le(r);
    ret->labels = reader_lstr(r);
    return reader_ok(r);
}

bool batch_next_meta(struct reader *r, struct batch_meta *ret)
{
    uint8_t type;

    if (!reader_left(r))
        return false;
    type = reader_u8(r);
    ret->type = type > METRIC_STATESET ? METRIC_UNKNOWN : (enum sample_metric_type)type;
    ret->family = reader_lstr(r);
    ret->help = reader_lstr(r);
    ret->unit = reader_lstr(r);
    return reader_ok(r);
}

/* Bytes of n items, each read by next; the reader stands behind them. */
static struct slice take_items(struct reader *r, uint64_t n, bool is_exemplar)
{
    const uint8_t *start = r->ptr;

    for (uint64_t i = 0; i < n && reader_ok(r); i++) {
        reader_skip(r, is_exemplar ? 16 : 8);
        (void)reader_lstr(r);
    }
    return slice_of(start, (size_t)(r->ptr - start));
}

static bool read_extra(struct reader *r, struct batch_entry *ret)
{
    uint8_t flags = reader_u8(r);
    uint64_t n;

    ret->has_inline = flags & BATCH_F_INLINE;
    if (flags & BATCH_F_LABELS)
        ret->labels = reader_lstr(r);
    if (flags & BATCH_F_SAMPLES) {
        n = reader_uvarint(r);
        if (n > reader_left(r) / 16)
            return false;
        ret->n_samples = (uint32_t)n;
        ret->samples = reader_bytes(r, (size_t)n * 16);
    }
    if (flags & BATCH_F_HISTOGRAMS) {
        n = reader_uvarint(r);
        if (n > reader_left(r))
            return false;
        ret->n_histograms = (uint32_t)n;
        ret->histograms = take_items(r, n, false);
    }
    if (flags & BATCH_F_EXEMPLARS) {
        n = reader_uvarint(r);
        if (n > reader_left(r))
            return false;
        ret->n_exemplars = (uint32_t)n;
        ret->exemplars = take_items(r, n, true);
    }
    if (flags & BATCH_F_CREATED)
        ret->created_ms = (int64_t)reader_u64le(r);
    if (flags & BATCH_F_START)
        ret->start_ms = reader_varint(r);
    return reader_ok(r) && !(flags & ~127);
}

bool batch_entry_get(const struct batch *b, uint32_t i, struct batch_entry *ret)
{
    const uint8_t *p = b->entries + (size_t)i * BATCH_ENTRY_BYTES;
    uint32_t extra;
    int32_t dt;
    struct reader r;

    *ret = (struct batch_entry){
        .samples = SLICE_EMPTY, .histograms = SLICE_EMPTY, .exemplars = SLICE_EMPTY};
    memcpy(&ret->fp, p, 16);
    memcpy(&extra, p + 16, 4);
    memcpy(&dt, p + 20, 4);
    ret->inline_sample.t_ms = (int64_t)((uint64_t)b->base_t_ms + (uint64_t)(int64_t)dt);
    memcpy(&ret->inline_sample.v, p + 24, 8);
    ret->has_inline = true;
    if (ORR_LIKELY(!extra))
        return true;
    r = reader_new(slice_from(b->extras, extra - 1));
    if (read_extra(&r, ret))
        return true;
    *ret = (struct batch_entry){
        .fp = ret->fp, .samples = SLICE_EMPTY, .histograms = SLICE_EMPTY, .exemplars = SLICE_EMPTY};
    return false;
}

struct sample batch_entry_sample(const struct batch_entry *en, uint32_t i)
{
    struct sample s;

    memcpy(&s.t_ms, en->samples.ptr + (size_t)i * 16, 8);
    memcpy(&s.v, en->samples.ptr + (size_t)i * 16 + 8, 8);
    return s;
}

static struct err *check_items(const struct batch *b)
{
    struct batch_entry en;
    struct batch_meta m;
    struct reader r = reader_new(b->meta);
    uint32_t n = 0;
    uint64_t visited = 0;

    for (uint32_t i = 0; i < b->n; i++) {
        uint32_t extra;

        memcpy(&extra, b->entries + (size_t)i * BATCH_ENTRY_BYTES + 16, 4);
        if (ORR_LIKELY(!extra))
            continue;
        if (extra > b->extras.len || !batch_entry_get(b, i, &en))
            return err_new(ERR_INVALID, "batch: malformed extra of series %u", i);
        /* many entries that name one large extra would make work out of nothing */
        visited += en.labels.len + en.samples.len + en.histograms.len + en.exemplars.len;
        if (visited > b->extras.len)
            return err_new(ERR_INVALID, "batch: extras of series %u overlap", i);
    }
    while (batch_next_meta(&r, &m))
        n++;
    if (!reader_ok(&r) || n != b->n_meta)
        return err_new(ERR_INVALID, "batch: malformed metadata");
    return NULL;
}

struct err *batch_open(struct slice bytes, struct batch *ret)
{
    struct reader r = reader_new(bytes);
    struct slice magic = reader_bytes(&r, sizeof(batch_magic));
    struct batch b = {0};
    uint32_t extras, meta;
    struct err *e;

    b.n = reader_u32le(&r);
    b.n_meta = reader_u32le(&r);
    b.base_t_ms = (int64_t)reader_u64le(&r);
    extras = reader_u32le(&r);
    meta = reader_u32le(&r);
    if (!reader_ok(&r) || memcmp(magic.ptr, batch_magic, sizeof(batch_magic)) != 0)
        return err_new(ERR_INVALID, "batch: not a batch of version 1");
    if (b.n > BATCH_MAX_SERIES || bytes.len > BATCH_MAX_BYTES)
        return err_new(ERR_INVALID, "batch: %u series, %zu bytes: too large", b.n, bytes.len);
    if ((uint64_t)b.n * BATCH_ENTRY_BYTES + extras + meta != reader_left(&r))
        return err_new(ERR_INVALID, "batch: sizes do not add up");
    b.entries = reader_bytes(&r, (size_t)b.n * BATCH_ENTRY_BYTES).ptr;
    b.extras = reader_bytes(&r, extras);
    b.meta = reader_bytes(&r, meta);
    if ((e = check_items(&b)))
        return e;
    *ret = b;
    return NULL;
}

/* ---- labels ---- */

bool batch_labels_valid(struct slice canonical)
{
    struct reader r = reader_new(canonical);
    struct slice last = SLICE_EMPTY;
    struct label l;
    bool is_first = true;

    while (labels_next_canonical(&r, &l)) {
        if (!l.name.len || !l.value.len || (!is_first && slice_cmp(last, l.name) >= 0))
            return false;
        last = l.name;
        is_first = false;
    }
    return reader_ok(&r) && !is_first;
}

/* ---- histograms ---- */

static void put_side(struct buf *out, const struct histogram_span *spans, size_t n_spans,
                     const double *buckets, size_t n)
{
    buf_uvarint(out, n_spans);
    for (size_t i = 0; i < n_spans; i++) {
        buf_varint(out, spans[i].offset);
        buf_uvarint(out, spans[i].length);
    }
    buf_uvarint(out, n);
    for (size_t i = 0; i < n; i++)
        buf_f64le(out, buckets[i]);
}

void batch_histogram_encode(struct buf *out, const struct histogram *h)
{
    buf_byte(out, (uint8_t)((h->is_int ? 1 : 0) | (h->n_custom_bounds ? 2 : 0) |
                            ((unsigned)h->hint << 4)));
    buf_varint(out, h->schema);
    buf_f64le(out, h->zero_threshold);
    buf_f64le(out, h->zero_count);
    buf_f64le(out, h->count);
    buf_f64le(out, h->sum);
    put_side(out, h->pos_spans, h->n_pos_spans, h->pos_buckets, h->n_pos_buckets);
    put_side(out, h->neg_spans, h->n_neg_spans, h->neg_buckets, h->n_neg_buckets);
    if (h->n_custom_bounds) {
        buf_uvarint(out, h->n_custom_bounds);
        for (size_t i = 0; i < h->n_custom_bounds; i++)
            buf_f64le(out, h->custom_bounds[i]);
    }
}

static bool take_doubles(struct arena *a, struct reader *r, const double **ret, size_t *ret_n)
{
    uint64_t n = reader_uvarint(r);
    struct slice raw;

    if (n > BATCH_MAX_BUCKETS || n > reader_left(r) / 8)
        return false;
    raw = reader_bytes(r, (size_t)n * 8);
    *ret = n ? memcpy(arena_alloc(a, raw.len), raw.ptr, raw.len) : NULL;
    *ret_n = (size_t)n;
    return true;
}

static bool take_side(struct arena *a, struct reader *r, const struct histogram_span **ret_spans,
                      size_t *ret_n_spans, const double **ret_buckets, size_t *ret_n)
{
    uint64_t n = reader_uvarint(r), sum = 0;
    struct histogram_span *spans;

    if (n > BATCH_MAX_BUCKETS || n > reader_left(r) / 2)
        return false;
    spans = arena_array(a, struct histogram_span, (size_t)n);
    for (uint64_t i = 0; i < n; i++) {
        int64_t off = reader_varint(r);
        uint64_t len = reader_uvarint(r);

        if (off > INT32_MAX || off < INT32_MIN || len > BATCH_MAX_BUCKETS || (i && off < 0))
            return false;
        spans[i] = (struct histogram_span){(int32_t)off, (uint32_t)len};
        sum += len;
    }
    *ret_spans = spans;
    *ret_n_spans = (size_t)n;
    return take_doubles(a, r, ret_buckets, ret_n) && sum == *ret_n;
}

struct err *batch_histogram_decode(struct arena *a, struct slice bytes, struct histogram *ret)
{
    struct reader r = reader_new(bytes);
    struct histogram h = {0};
    uint8_t flags = reader_u8(&r);
    int64_t schema = reader_varint(&r);
    bool is_good;

    h.is_int = flags & 1;
    h.hint = (enum histogram_hint)(flags >> 4 & 3);
    h.schema = (int32_t)schema;
    h.zero_threshold = reader_f64le(&r);
    h.zero_count = reader_f64le(&r);
    h.count = reader_f64le(&r);
    h.sum = reader_f64le(&r);
    is_good = take_side(a, &r, &h.pos_spans, &h.n_pos_spans, &h.pos_buckets, &h.n_pos_buckets) &&
              take_side(a, &r, &h.neg_spans, &h.n_neg_spans, &h.neg_buckets, &h.n_neg_buckets) &&
              (!(flags & 2) || take_doubles(a, &r, &h.custom_bounds, &h.n_custom_bounds));
    if (!is_good || !reader_ok(&r) || reader_left(&r) || (flags & ~0x33))
        return err_new(ERR_INVALID, "histogram: malformed bytes");
    if ((schema < -4 || schema > 8) && schema != HISTOGRAM_CUSTOM_SCHEMA)
        return err_new(ERR_INVALID, "histogram: schema %lld is not known", (long long)schema);
    *ret = h;
    return NULL;
}
