#include <math.h>

#include "common/block/chunk.h"
#include "common/block/chunk_hist_internal.h"

/* One side (positive or negative) of the layout, and its buckets' state while decoding. */
struct side {
    struct histogram_span *spans;
    size_t n_spans, n;
    int64_t *value, *delta;      /* int: bucket deltas, and how they change */
    struct chunk_bits_xor *xors; /* float */
};

struct decoder {
    struct arena *arena;
    struct chunk_bits bits;
    bool is_int;
    uint8_t flags;
    int32_t schema;
    double zero_threshold;
    double *bounds;
    size_t n_bounds;
    struct side pos, neg;
    int64_t t, t_delta;
    int64_t count, count_delta, zero, zero_delta;   /* int */
    struct chunk_bits_xor sum, count_xor, zero_xor; /* the last two: float */
};

static struct err *corrupt(const char *what)
{
    return err_new(ERR_CORRUPT, "histogram chunk: %s", what);
}

static double read_zero_threshold(struct chunk_bits *b)
{
    unsigned code = (unsigned)chunk_bits_read(b, 8);

    if (code == 0)
        return 0;
    if (code == 255)
        return sample_from_bits(chunk_bits_read(b, 64));
    return ldexp(0.5, (int)code - 243);
}

static struct err *read_side(struct decoder *d, struct side *s)
{
    uint64_t n = chunk_bits_varuint(&d->bits), buckets = 0;
    int64_t index = 0;

    if (n > CHUNK_HIST_MAX_SPANS || n > chunk_bits_left(&d->bits))
        return corrupt("too many spans");
    s->spans = arena_array(d->arena, struct histogram_span, n);
    s->n_spans = (size_t)n;
    for (size_t i = 0; i < n; i++) {
        uint64_t length = chunk_bits_varuint(&d->bits);
        int64_t offset = chunk_bits_varint(&d->bits);

        if (length > CHUNK_HIST_MAX_BUCKETS || offset < INT32_MIN || offset > INT32_MAX)
            return corrupt("impossible span");
        if (i > 0 && offset < 0)
            return corrupt("span with a negative gap");
        buckets += length;
        index += offset + (int64_t)length;
        if (buckets > CHUNK_HIST_MAX_BUCKETS || index < INT32_MIN || index > INT32_MAX)
            return corrupt("impossible span");
        s->spans[i] = (struct histogram_span){(int32_t)offset, (uint32_t)length};
    }
    s->n = (size_t)buckets;
    if (d->is_int) {
        s->value = arena_array(d->arena, int64_t, s->n);
        s->delta = arena_array(d->arena, int64_t, s->n);
    } else {
        s->xors = arena_array(d->arena, struct chunk_bits_xor, s->n);
    }
    return NULL;
}

static struct err *read_bounds(struct decoder *d)
{
    uint64_t n = chunk_bits_varuint(&d->bits);

    if (n > CHUNK_HIST_MAX_BOUNDS || n > chunk_bits_left(&d->bits))
        return corrupt("too many custom bounds");
    d->bounds = arena_array(d->arena, double, n);
    d->n_bounds = (size_t)n;
    for (size_t i = 0; i < n; i++) {
        struct chunk_bits at = d->bits;

        if (chunk_bits_read(&d->bits, 1)) { /* a short one begins with a one bit */
            d->bits = at;
            d->bounds[i] = (double)(chunk_bits_varuint(&d->bits) - 1) / 1000;
        } else {
            d->bounds[i] = sample_from_bits(chunk_bits_read(&d->bits, 64));
        }
    }
    return NULL;
}

static struct err *read_layout(struct decoder *d)
{
    struct err *e;
    int64_t schema;

    d->zero_threshold = read_zero_threshold(&d->bits);
    schema = chunk_bits_varint(&d->bits);
    if (!d->bits.is_bad && schema != HISTOGRAM_CUSTOM_SCHEMA &&
        (schema < CHUNK_HIST_MIN_SCHEMA || schema > CHUNK_HIST_MAX_SCHEMA))
        return err_new(ERR_UNSUPPORTED, "histogram chunk: schema %lld", (long long)schema);
    d->schema = (int32_t)schema;
    if ((e = read_side(d, &d->pos)) || (e = read_side(d, &d->neg)))
        return e;
    if (schema == HISTOGRAM_CUSTOM_SCHEMA && (e = read_bounds(d)))
        return e;
    return d->bits.is_bad ? corrupt("layout is cut short") : NULL;
}

/* *value += (*delta += what comes next) */
static void read_dod(struct chunk_bits *b, int64_t *value, int64_t *delta)
{
    *delta = (int64_t)((uint64_t)*delta + (uint64_t)chunk_bits_varint(b));
    *value = (int64_t)((uint64_t)*value + (uint64_t)*delta);
}

static void read_first(struct decoder *d)
{
    struct chunk_bits *b = &d->bits;

    d->t = chunk_bits_varint(b);
    if (d->is_int) {
        d->count = (int64_t)chunk_bits_varuint(b);
        d->zero = (int64_t)chunk_bits_varuint(b);
    } else {
        d->count_xor.v = chunk_bits_read(b, 64);
        d->zero_xor.v = chunk_bits_read(b, 64);
    }
    d->sum.v = chunk_bits_read(b, 64);
}

static void read_next(struct decoder *d)
{
    struct chunk_bits *b = &d->bits;

    read_dod(b, &d->t, &d->t_delta);
    if (d->is_int) {
        read_dod(b, &d->count, &d->count_delta);
        read_dod(b, &d->zero, &d->zero_delta);
    } else {
        chunk_bits_read_xor(b, &d->count_xor);
        chunk_bits_read_xor(b, &d->zero_xor);
    }
    chunk_bits_read_xor(b, &d->sum);
}

/* The buckets of one side, made absolute. */
static double *read_buckets(struct decoder *d, struct side *s, bool is_first)
{
    double *out = s->n ? arena_alloc(d->arena, s->n * sizeof(double)) : NULL;
    int64_t count = 0;

    for (size_t i = 0; i < s->n; i++) {
        if (!d->is_int) {
            if (is_first)
                s->xors[i].v = chunk_bits_read(&d->bits, 64);
            else
                chunk_bits_read_xor(&d->bits, &s->xors[i]);
            out[i] = sample_from_bits(s->xors[i].v);
            continue;
        }
        if (is_first)
            s->value[i] = chunk_bits_varint(&d->bits);
        else
            read_dod(&d->bits, &s->value[i], &s->delta[i]);
        count = (int64_t)((uint64_t)count + (uint64_t)s->value[i]);
        out[i] = (double)count;
    }
    return out;
}

static enum histogram_hint hint_of(uint8_t flags, size_t index)
{
    if ((flags & CHUNK_HIST_GAUGE_BITS) == CHUNK_HIST_GAUGE_BITS)
        return HISTOGRAM_GAUGE;
    /* What the header says of the first one holds only while the chunk before it is the one that
     * was there when it was written, which a merge or a backfill may have changed. */
    return index > 0 ? HISTOGRAM_NOT_RESET : HISTOGRAM_UNKNOWN;
}

static void fill(struct decoder *d, size_t i, struct histogram *h)
{
    double sum = sample_from_bits(d->sum.v);

    *h = (struct histogram){.is_int = d->is_int, .sum = sum};
    if (sample_is_stale(sum)) /* has no buckets written */
        return;
    h->schema = d->schema;
    h->hint = hint_of(d->flags, i);
    h->zero_threshold = d->zero_threshold;
    h->zero_count = d->is_int ? (double)(uint64_t)d->zero : sample_from_bits(d->zero_xor.v);
    h->count = d->is_int ? (double)(uint64_t)d->count : sample_from_bits(d->count_xor.v);
    h->pos_spans = d->pos.spans;
    h->n_pos_spans = d->pos.n_spans;
    h->neg_spans = d->neg.spans;
    h->n_neg_spans = d->neg.n_spans;
    h->custom_bounds = d->bounds;
    h->n_custom_bounds = d->n_bounds;
    h->pos_buckets = read_buckets(d, &d->pos, i == 0);
    h->n_pos_buckets = d->pos.n;
    h->neg_buckets = read_buckets(d, &d->neg, i == 0);
    h->n_neg_buckets = d->neg.n;
}

static struct err *decode_samples(struct decoder *d, size_t n, int64_t *t, struct histogram *h)
{
    for (size_t i = 0; i < n; i++) {
        if (i == 0)
            read_first(d);
        else
            read_next(d);
        fill(d, i, &h[i]);
        t[i] = d->t;
        if (d->bits.is_bad)
            return corrupt("bytes end before the declared samples");
        if (arena_over(d->arena))
            return err_new(ERR_LIMIT, "histogram chunk: over the memory budget");
    }
    return NULL;
}

struct err *chunk_hist_decode(struct arena *a, uint8_t encoding, struct slice data, size_t *ret_n,
                              int64_t **ret_t, struct histogram **ret_h)
{
    struct decoder d = {.arena = a, .is_int = encoding == CHUNK_HISTOGRAM};
    struct histogram *h;
    struct err *e;
    int64_t *t;
    size_t n;

    if (encoding != CHUNK_HISTOGRAM && encoding != CHUNK_FLOAT_HISTOGRAM)
        return err_new(ERR_UNSUPPORTED, "chunk encoding %u is not a histogram", encoding);
    if (data.len < CHUNK_HIST_HEADER)
        return corrupt("no header");
    n = chunk_samples(data);
    d.flags = data.ptr[CHUNK_HIST_FLAGS];
    d.bits = chunk_bits_new(slice_from(data, CHUNK_HIST_HEADER));
    if (n > data.len * 8 / 3) /* time, count and sum take a bit each at least */
        return corrupt("more samples than the bytes can hold");
    t = arena_array(a, int64_t, n);
    h = arena_array(a, struct histogram, n);
    if (n && ((e = read_layout(&d)) || (e = decode_samples(&d, n, t, h))))
        return e;
    *ret_n = n;
    *ret_t = t;
    *ret_h = h;
    return NULL;
}
