/* Samples of one series: in order, out of order, floats and native histograms. */
#include "common/base/mem.h"
#include "ingester/metrics/head_internal.h"

/* ---- closing ---- */

struct err *head_series_store(struct head_ts *ts, uint32_t ref, int64_t min_ms, int64_t max_ms,
                              uint8_t encoding, uint16_t samples, struct slice data)
{
    struct head_live *s = head_series_at(ts, ref);
    struct head_chunks_record rec = {
        .prev = head_chunks_widen(&ts->shard->chunks, s->sealed),
        .min_ms = min_ms,
        .max_ms = max_ms,
        .ref = ref,
        .encoding = encoding,
        .samples = samples,
        .data = data,
    };
    uint64_t pos;
    struct err *e = head_chunks_append(&ts->shard->chunks, &rec, ts->tenant, &pos);

    if (e)
        return err_wrap(e, "store a chunk of tenant %s", ts->tenant->id);
    s->sealed = head_chunks_narrow(pos);
    ts->shard->m.chunks_closed++;
    ts->shard->m.chunk_bytes += data.len;
    head_note_memory(ts->shard);
    return NULL;
}

static int64_t xor_first_t(const uint8_t *bytes)
{
    struct reader r = reader_new(slice_of(bytes + 2, 10));

    return reader_varint(&r);
}

bool head_series_open_range(const struct head_ts *ts, uint32_t ref, int64_t *ret_min,
                            int64_t *ret_max)
{
    const struct head_live *s = head_series_at(ts, ref);

    if (!s->app.n || !s->open.bytes)
        return false;
    *ret_max = s->app.t;
    *ret_min =
        *head_flags_at(ts, ref) & HEAD_HIST ? s->open.hist->min_ms : xor_first_t(s->open.bytes);
    return true;
}

struct slice head_series_open_data(const struct head_ts *ts, uint32_t ref, uint8_t *ret_encoding)
{
    const struct head_live *s = head_series_at(ts, ref);

    if (*head_flags_at(ts, ref) & HEAD_HIST) {
        *ret_encoding = chunk_hist_appender_encoding(s->open.hist->app);
        return chunk_hist_appender_data(s->open.hist->app);
    }
    *ret_encoding = CHUNK_XOR;
    return slice_of(s->open.bytes, chunk_xor_bytes(&s->app));
}

static void free_open(struct head_ts *ts, uint32_t ref)
{
    struct head_live *s = head_series_at(ts, ref);
    uint8_t *flags = head_flags_at(ts, ref);

    if (*flags & HEAD_HIST) {
        chunk_hist_appender_free(s->open.hist->app);
        mem_free(s->open.hist);
    } else {
        mem_free(s->open.bytes);
    }
    s->open.bytes = NULL;
    *flags &= (uint8_t)~HEAD_HIST;
    /* t and v stay: they say what the next sample must follow */
    s->app = (struct chunk_xor_appender){.t = s->app.t, .v = s->app.v};
}

struct err *head_series_close_chunk(struct head_ts *ts, uint32_t ref)
{
    struct head_live *s = head_series_at(ts, ref);
    int64_t min_ms, max_ms;
    uint8_t encoding;
    struct slice data;
    struct err *e;

    if (!head_series_open_range(ts, ref, &min_ms, &max_ms))
        return NULL;
    data = head_series_open_data(ts, ref, &encoding);
    if ((e = head_series_store(ts, ref, min_ms, max_ms, encoding, s->app.n, data)))
        return e;
    free_open(ts, ref);
    return NULL;
}

static struct slice ref_key(const uint32_t *ref)
{
    return slice_of(ref, sizeof(*ref));
}

struct head_ooo *head_ooo_find(const struct head_ts *ts, uint32_t ref)
{
    return *head_flags_at(ts, ref) & HEAD_OOO ? map_get(&ts->ooo, ref_key(&ref)) : NULL;
}

static void free_ooo(struct head_ts *ts, uint32_t ref)
{
    struct head_ooo *o = head_ooo_find(ts, ref);

    if (!o)
        return;
    (void)map_del(&ts->ooo, ref_key(&ref));
    mem_free(o->s);
    mem_free(o);
    *head_flags_at(ts, ref) &= (uint8_t)~HEAD_OOO;
}

void head_series_drop_open(struct head_ts *ts, uint32_t ref)
{
    free_open(ts, ref);
    free_ooo(ts, ref);
    head_starts_drop(ts, ref);
}

/* One chunk for each 2-hour window, since segments hold one window. */
struct err *head_series_close_ooo(struct head_ts *ts, uint32_t ref)
{
    struct head_ooo *o = head_ooo_find(ts, ref);
    int64_t t[HEAD_OOO_MAX];
    double v[HEAD_OOO_MAX];
    struct buf b = {0};
    struct err *e = NULL;
    uint32_t from = 0, n;

    if (!o)
        return NULL;
    for (; from < o->n && !e; from += n) {
        int64_t window = head_window_start(o->s[from].t_ms);

        for (n = 0; from + n < o->n && head_window_start(o->s[from + n].t_ms) == window; n++) {
            t[n] = o->s[from + n].t_ms;
            v[n] = o->s[from + n].v;
        }
        buf_reset(&b);
        chunk_xor_encode(&b, t, v, n);
        e = head_series_store(ts, ref, t[0], t[n - 1], CHUNK_XOR, (uint16_t)n, buf_slice(&b));
        if (e)
            break;
    }
    buf_done(&b);
    if (!e) {
        free_ooo(ts, ref);
        return NULL;
    }
    memmove(o->s, o->s + from, (o->n - from) * sizeof(*o->s)); /* what is stored is stored */
    o->n -= from;
    return e;
}

static enum head_append_result no_place(struct err *e)
{
    LOG_ERROR(head, "cannot close a chunk", KV_ERR(e));
    err_free(e);
    return HEAD_FAILED_CHUNK;
}

/* ---- out of order ---- */

void head_ooo_insert(struct head_ts *ts, uint32_t ref, int64_t t_ms, double v)
{
    struct head_ooo *o = head_ooo_find(ts, ref);
    uint32_t i;

    if (!o) {
        o = mem_new(struct head_ooo);
        map_put(&ts->ooo, ref_key(&ref), o);
        *head_flags_at(ts, ref) |= HEAD_OOO;
    }
    if (o->n == o->cap) {
        o->cap = o->cap ? o->cap * 2 : 4;
        o->s = mem_reallocarray(o->s, o->cap, sizeof(*o->s));
    }
    for (i = o->n; i > 0 && o->s[i - 1].t_ms > t_ms; i--)
        o->s[i] = o->s[i - 1];
    o->s[i] = (struct sample){t_ms, v};
    o->n++;
}

enum found { FOUND_NOTHING, FOUND_SAME, FOUND_OTHER };

static enum found find_in_xor(struct head_ts *ts, struct slice data, int64_t t_ms, uint64_t bits)
{
    size_t n = chunk_samples(data), got;
    struct arena *a = ts->shard->scratch;
    int64_t *t = arena_array(a, int64_t, n + 1);
    double *v = arena_array(a, double, n + 1);
    struct err *e = chunk_xor_decode(data, n, t, v, &got);
    enum found found = FOUND_NOTHING;

    if (e) {
        ts->shard->m.broken_chunks++;
        err_free(e);
        got = 0;
    }
    for (size_t i = 0; i < got && found == FOUND_NOTHING; i++)
        if (t[i] == t_ms)
            found = sample_bits(v[i]) == bits ? FOUND_SAME : FOUND_OTHER;
    arena_reset(a);
    return found;
}

/* Is there a sample at t_ms already? Decodes at most the chunks that cover it. */
static enum found find_sample(struct head_ts *ts, uint32_t ref, int64_t t_ms, uint64_t bits)
{
    struct head_live *s = head_series_at(ts, ref);
    struct head_ooo *o = head_ooo_find(ts, ref);
    struct head_chunks_record rec;
    enum found found = FOUND_NOTHING;
    int64_t min_ms, max_ms;
    bool is_broken;

    for (uint32_t i = 0; o && i < o->n; i++)
        if (o->s[i].t_ms == t_ms)
            return sample_bits(o->s[i].v) == bits ? FOUND_SAME : FOUND_OTHER;
    if (!(*head_flags_at(ts, ref) & HEAD_HIST) &&
        head_series_open_range(ts, ref, &min_ms, &max_ms) && t_ms >= min_ms && t_ms <= max_ms)
        found = find_in_xor(ts, slice_of(s->open.bytes, chunk_xor_bytes(&s->app)), t_ms, bits);
    for (uint64_t pos = head_chunks_widen(&ts->shard->chunks, s->sealed);
         found == FOUND_NOTHING && head_chunks_read_own(&ts->shard->chunks, pos, &rec, &is_broken);
         pos = rec.prev) {
        if (rec.encoding == CHUNK_XOR && t_ms >= rec.min_ms && t_ms <= rec.max_ms)
            found = find_in_xor(ts, rec.data, t_ms, bits);
    }
    return found;
}

/* The window reaches back from the tenant's newest sample, as in Prometheus. */
static bool check_window(const struct head_ts *ts, int64_t t_ms, int64_t window_ms,
                         enum batch_reason *ret_reason)
{
    if (window_ms == INT64_MAX)
        return true;
    if (window_ms <= 0) {
        *ret_reason = BATCH_OUT_OF_ORDER;
        return false;
    }
    *ret_reason = BATCH_TOO_OLD;
    return ts->max_ms < INT64_MIN + window_ms || t_ms >= ts->max_ms - window_ms;
}

static enum head_append_result append_old(struct head_ts *ts, uint32_t ref, int64_t t_ms, double v,
                                          int64_t window_ms, enum batch_reason *ret_reason)
{
    struct head_ooo *o;
    struct err *e;

    switch (find_sample(ts, ref, t_ms, sample_bits(v))) {
    case FOUND_SAME:
        return HEAD_REPEATED;
    case FOUND_OTHER:
        *ret_reason = BATCH_DUPLICATE;
        return HEAD_REJECTED;
    case FOUND_NOTHING:
        break;
    }
    if (!check_window(ts, t_ms, window_ms, ret_reason))
        return HEAD_REJECTED;
    o = head_ooo_find(ts, ref);
    if (o && o->n >= HEAD_OOO_MAX && (e = head_series_close_ooo(ts, ref)))
        return no_place(e);
    head_ooo_insert(ts, ref, t_ms, v);
    ts->min_ms = ORR_MIN(ts->min_ms, t_ms);
    ts->shard->m.out_of_order_accepted++;
    return HEAD_APPENDED;
}

/* ---- in order ---- */

static inline void grow_open(struct head_live *s, uint32_t before)
{
    uint32_t have = head_cap(before), want = head_cap((uint32_t)chunk_xor_bytes(&s->app));

    if (ORR_UNLIKELY(want != have))
        s->open.bytes = mem_realloc(s->open.bytes, want);
}

static inline void note_oldest(struct head_ts *ts, int64_t t_ms)
{
    if (t_ms < ts->min_ms)
        ts->min_ms = t_ms;
}

static struct err *begin_chunk(struct head_ts *ts, uint32_t ref)
{
    struct head_live *s = head_series_at(ts, ref);
    struct err *e = head_series_close_chunk(ts, ref);

    if (!e && !s->open.bytes)
        s->open.bytes = mem_alloc(head_cap(0));
    return e;
}

enum head_append_result head_series_append(struct head_ts *ts, uint32_t ref, int64_t t_ms, double v,
                                           int64_t ooo_window_ms, enum batch_reason *ret_reason)
{
    struct head_live *s = head_series_at(ts, ref);
    uint8_t *flags = head_flags_at(ts, ref);
    uint32_t before;

    if (ORR_UNLIKELY(t_ms <= s->app.t)) {
        if (t_ms == s->app.t && !(*flags & HEAD_HIST)) {
            if (sample_bits(v) == s->app.v && s->app.t != HEAD_NO_TIME)
                return HEAD_REPEATED;
            *ret_reason = BATCH_DUPLICATE;
            return HEAD_REJECTED;
        }
        return append_old(ts, ref, t_ms, v, ooo_window_ms, ret_reason);
    }
    if (ORR_UNLIKELY(!s->app.n || head_chunk_full(*flags, &s->fp, s->app.n) ||
                     head_window_start(t_ms) != head_window_start(s->app.t) ||
                     (*flags & HEAD_HIST))) {
        bool is_first = !s->app.n || head_window_start(t_ms) != head_window_start(s->app.t);
        struct err *e = begin_chunk(ts, ref);

        if (e)
            return no_place(e);
        note_oldest(ts, t_ms);
        *flags = (uint8_t)((*flags & ~HEAD_FIRST) | (is_first ? HEAD_FIRST : 0));
    }
    before = (uint32_t)chunk_xor_bytes(&s->app);
    chunk_xor_append(&s->app, s->open.bytes, t_ms, v);
    s->app.t = t_ms;
    s->app.v = sample_bits(v);
    grow_open(s, before);
    if (t_ms > ts->max_ms)
        ts->max_ms = t_ms;
    return HEAD_APPENDED;
}

/* ---- native histograms ---- */

static enum head_append_result append_old_hist(struct head_ts *ts, uint32_t ref, int64_t t_ms,
                                               const struct histogram *h, int64_t window_ms,
                                               enum batch_reason *ret_reason)
{
    struct chunk_hist_appender *app;
    struct slice data;
    struct err *e;

    if (!check_window(ts, t_ms, window_ms, ret_reason))
        return HEAD_REJECTED;
    /* rare enough for a chunk each; reads and cuts merge them */
    app = chunk_hist_appender_new();
    (void)chunk_hist_append(app, t_ms, h, HEAD_CHUNK_SAMPLES);
    data = chunk_hist_appender_data(app);
    e = head_series_store(ts, ref, t_ms, t_ms, chunk_hist_appender_encoding(app), 1, data);
    chunk_hist_appender_free(app);
    if (e)
        return no_place(e);
    ts->min_ms = ORR_MIN(ts->min_ms, t_ms);
    ts->shard->m.out_of_order_accepted++;
    return HEAD_APPENDED;
}

static struct err *open_hist(struct head_ts *ts, uint32_t ref, int64_t t_ms)
{
    struct head_live *s = head_series_at(ts, ref);
    struct err *e = head_series_close_chunk(ts, ref);

    if (e)
        return e;
    if (s->open.bytes)
        free_open(ts, ref);
    s->open.hist = mem_new(struct head_hist);
    s->open.hist->app = chunk_hist_appender_new();
    s->open.hist->min_ms = t_ms;
    *head_flags_at(ts, ref) |= HEAD_HIST;
    return NULL;
}

/* The chunk does not take the sample: stores it and goes on with the same appender, so that the
 * next chunk knows whether a reset lies between. */
static struct err *next_hist_chunk(struct head_ts *ts, uint32_t ref, int64_t t_ms,
                                   enum chunk_hist_fit why)
{
    struct head_live *s = head_series_at(ts, ref);
    struct head_hist *hist = s->open.hist;
    uint8_t encoding;
    struct slice data = head_series_open_data(ts, ref, &encoding);
    struct err *e = head_series_store(ts, ref, hist->min_ms, s->app.t, encoding, s->app.n, data);

    if (e)
        return e;
    chunk_hist_appender_next(hist->app, why);
    hist->min_ms = t_ms;
    s->app.n = 0;
    return NULL;
}

static struct err *add_hist(struct head_ts *ts, uint32_t ref, int64_t t_ms,
                            const struct histogram *h)
{
    struct head_live *s = head_series_at(ts, ref);
    enum chunk_hist_fit fit = CHUNK_HIST_CUT;
    struct err *e;

    if (!(*head_flags_at(ts, ref) & HEAD_HIST)) {
        if ((e = open_hist(ts, ref, t_ms)))
            return e;
    } else if (s->app.n && head_window_start(t_ms) != head_window_start(s->app.t)) {
        if ((e = next_hist_chunk(ts, ref, t_ms, CHUNK_HIST_ADDED)))
            return e;
    }
    fit = chunk_hist_append(s->open.hist->app, t_ms, h, HEAD_CHUNK_SAMPLES);
    if (fit == CHUNK_HIST_ADDED)
        return NULL;
    if ((e = next_hist_chunk(ts, ref, t_ms, fit)))
        return e;
    fit = chunk_hist_append(s->open.hist->app, t_ms, h, HEAD_CHUNK_SAMPLES);
    ORR_ASSERT(fit == CHUNK_HIST_ADDED);
    return NULL;
}

static enum head_append_result append_hist(struct head_ts *ts, uint32_t ref, int64_t t_ms,
                                           const struct histogram *h, uint64_t hash,
                                           int64_t window_ms, enum batch_reason *ret_reason)
{
    struct head_live *s = head_series_at(ts, ref);
    struct err *e;

    if (t_ms <= s->app.t) {
        if (t_ms == s->app.t) {
            *ret_reason = BATCH_DUPLICATE;
            return s->app.v == hash ? HEAD_REPEATED : HEAD_REJECTED;
        }
        return append_old_hist(ts, ref, t_ms, h, window_ms, ret_reason);
    }
    if ((e = add_hist(ts, ref, t_ms, h)))
        return no_place(e);
    note_oldest(ts, t_ms);
    s->app.t = t_ms;
    s->app.v = hash;
    s->app.n = (uint16_t)chunk_hist_appender_samples(s->open.hist->app);
    if (t_ms > ts->max_ms)
        ts->max_ms = t_ms;
    return HEAD_APPENDED;
}

enum head_append_result head_series_append_hist(struct head_ts *ts, uint32_t ref, int64_t t_ms,
                                                struct slice encoded, int64_t ooo_window_ms,
                                                enum batch_reason *ret_reason)
{
    struct arena *a = arena_new(0);
    struct histogram h;
    struct err *e = batch_histogram_decode(a, encoded, &h);
    enum head_append_result r = HEAD_REJECTED;

    if (e) {
        *ret_reason = BATCH_BAD_HISTOGRAM;
        err_free(e);
    } else {
        r = append_hist(ts, ref, t_ms, &h, hash_xxh64(encoded, 0), ooo_window_ms, ret_reason);
    }
    arena_free(a);
    return r;
}

/* ---- from a checkpoint ---- */

static bool restore_hist(struct head_ts *ts, uint32_t ref, uint8_t encoding, struct slice data)
{
    struct head_live *s = head_series_at(ts, ref);
    struct arena *a = arena_new(0);
    struct chunk_hist_appender *app = NULL;
    struct err *e;
    size_t n = 0;
    int64_t *t;
    struct histogram *h;

    e = chunk_hist_decode(a, encoding, data, &n, &t, &h);
    if (!e && n && n <= HEAD_CHUNK_SAMPLES) {
        app = chunk_hist_appender_new();
        for (size_t i = 0; i < n; i++)
            if (chunk_hist_append(app, t[i], &h[i], HEAD_CHUNK_SAMPLES) != CHUNK_HIST_ADDED) {
                chunk_hist_appender_free(app);
                app = NULL;
                break;
            }
    }
    if (app) {
        s->open.hist = mem_new(struct head_hist);
        *s->open.hist = (struct head_hist){app, t[0]};
        s->app.n = (uint16_t)n;
        *head_flags_at(ts, ref) |= HEAD_HIST;
    }
    err_free(e);
    arena_free(a);
    return app != NULL;
}

bool head_series_restore_open(struct head_ts *ts, uint32_t ref, uint8_t encoding, struct slice data)
{
    struct head_live *s = head_series_at(ts, ref);
    struct chunk_xor_appender app;
    struct err *e;

    if (encoding == CHUNK_HISTOGRAM || encoding == CHUNK_FLOAT_HISTOGRAM)
        return restore_hist(ts, ref, encoding, data);
    if (encoding != CHUNK_XOR || data.len > UINT16_MAX)
        return false;
    if ((e = chunk_xor_resume(data, &app))) {
        err_free(e);
        return false;
    }
    if (!app.n ||
        data.len != chunk_xor_bytes(&app)) /* what lies behind its samples is none of it */
        return false;
    s->app = app;
    s->open.bytes = mem_alloc(head_cap((uint32_t)data.len));
    memcpy(s->open.bytes, data.ptr, data.len);
    return true;
}

bool head_cut_hides(const struct head_ts_cut *cuts, size_t n, uint64_t pos, int64_t max_ms)
{
    for (size_t i = 0; i < n; i++)
        if (pos < cuts[i].pos && max_ms < cuts[i].up_to_ms)
            return true;
    return false;
}
