/* A leaf as bytes, and back. */
#include <math.h>

#include "querier/logs/logleaf.h"

static void save_counts(const struct logleaf *f, const struct logleaf_series *s, struct buf *out)
{
    size_t n = 0, last = 0;

    for (size_t i = 0; i <= f->n_steps; i++)
        n += s->change[i] != 0 || s->change_n[i] != 0;
    buf_uvarint(out, n);
    for (size_t i = 0; i <= f->n_steps; i++) {
        if (s->change[i] == 0 && s->change_n[i] == 0)
            continue;
        buf_uvarint(out, i - last);
        buf_f64le(out, s->change[i]);
        buf_f64le(out, s->change_n[i]);
        last = i;
    }
}

static void save_samples(const struct logleaf_series *s, struct buf *out)
{
    int64_t last = 0;

    buf_u64le(out, s->stream.hi);
    buf_u64le(out, s->stream.lo);
    buf_byte(out, s->is_mixed);
    buf_uvarint(out, s->n);
    for (size_t i = 0; i < s->n; i++) {
        buf_varint(out, (int64_t)((uint64_t)s->samples[i].ts_ns - (uint64_t)last));
        buf_f64le(out, s->samples[i].v);
        last = s->samples[i].ts_ns;
    }
}

void logleaf_save(const struct logleaf *f, struct buf *out)
{
    buf_uvarint(out, f->n);
    for (size_t i = 0; i < f->n && buf_ok(out); i++) {
        const struct logleaf_series *s = f->series[i];

        labels_put(out, s->labels);
        if (f->counts)
            save_counts(f, s, out);
        else
            save_samples(s, out);
    }
}

/* Counts are added up: one that is no number would be in every later step. */
static double load_count(struct reader *r)
{
    double v = reader_f64le(r);

    if (!isfinite(v))
        reader_fail(r);
    return v;
}

static void load_counts(const struct logleaf *f, struct logleaf_series *s, struct reader *r)
{
    size_t at = 0;

    for (size_t n = reader_count(r, 17); n > 0; n--) {
        uint64_t gap = reader_uvarint(r);

        if (gap > f->n_steps - at)
            reader_fail(r);
        if (!reader_ok(r))
            return;
        at += gap;
        s->change[at] += load_count(r);
        s->change_n[at] += load_count(r);
    }
}

static struct err *load_samples(struct logleaf *f, struct logleaf_series *s,
                                const struct logsource_piece *at, struct reader *r)
{
    struct hash128 stream = {0};
    uint8_t is_mixed;
    struct err *e;
    int64_t ts_ns = 0;
    size_t n;

    stream.hi = reader_u64le(r);
    stream.lo = reader_u64le(r);
    is_mixed = reader_u8(r);
    n = reader_count(r, 9);
    if (s->n || is_mixed > 1) /* a series twice */
        reader_fail(r);
    if (!reader_ok(r) || !n)
        return NULL;
    if ((e = logleaf_grow(f, s, n)))
        return e;
    s->stream = stream;
    s->is_mixed = is_mixed;
    for (; s->n < n && reader_ok(r); s->n++) {
        int64_t last_ns = ts_ns;

        ts_ns = (int64_t)((uint64_t)ts_ns + (uint64_t)reader_varint(r));
        s->samples[s->n] = (struct logquery_sample){ts_ns, reader_f64le(r)};
        /* windows are looked for in samples that are sorted unless they are said to be mixed */
        if (ts_ns < at->from_ns || ts_ns >= at->to_ns || (s->n && ts_ns < last_ns && !is_mixed))
            reader_fail(r);
    }
    return NULL;
}

static struct err *load_series(struct logleaf *f, const struct logsource_piece *at,
                               struct reader *r)
{
    struct labels ls;
    struct err *e;
    size_t number;

    arena_reset(f->tmp);
    ls = labels_read(f->tmp, r);
    if (!reader_ok(r))
        return NULL;
    if ((e = logleaf_find(f, ls, &number)))
        return e;
    if (!f->counts)
        return load_samples(f, f->series[number - 1], at, r);
    load_counts(f, f->series[number - 1], r);
    return NULL;
}

struct err *logleaf_load(struct logleaf *f, const struct logsource_piece *at, struct reader *r)
{
    struct err *e = NULL;

    for (size_t n = reader_count(r, 2); n > 0 && !e && reader_ok(r); n--)
        if (!(e = load_series(f, at, r)))
            e = logquery_run_memory(f->run);
    return e;
}
