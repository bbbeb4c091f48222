#include "common/block/chunk_hist.h"

#include <math.h>

#include "common/base/vec.h"
#include "common/block/chunk.h"
#include "common/block/chunk_hist_internal.h"

/* A bucket's last value in the form its encoding needs. */
union bucket_state {
    struct {
        int64_t value, delta; /* int: difference to the bucket before, and how that changed */
    } i;
    struct chunk_bits_xor x;
};

/* One side of the chunk's layout. Buckets are named by their index: the running sum of the spans.
 */
struct side {
    VEC(struct histogram_span) spans;
    VEC(int64_t) index;
    double *last; /* absolute counts of the last sample that was not stale */
    union bucket_state *state;
};

struct chunk_hist_appender {
    struct chunk_bits_writer w;
    size_t n;
    uint8_t encoding;
    enum chunk_hist_fit why;
    bool is_gauge, is_stale; /* the last sample */
    int32_t schema;
    double zero_threshold;
    VEC(double) bounds;
    struct side pos, neg;
    int64_t t, t_delta;
    double last_count, last_zero;
    int64_t count, count_delta, zero, zero_delta;
    struct chunk_bits_xor sum, count_xor, zero_xor;
    VEC(int64_t) scratch_index; /* of the histogram being added */
    VEC(double) scratch;        /* its buckets in the chunk's layout, positive then negative */
};

struct chunk_hist_appender *chunk_hist_appender_new(void)
{
    return mem_new(struct chunk_hist_appender);
}

static void side_done(struct side *s)
{
    vec_done(&s->spans);
    vec_done(&s->index);
    mem_free(s->last);
    mem_free(s->state);
}

void chunk_hist_appender_free(struct chunk_hist_appender *a)
{
    if (!a)
        return;
    buf_done(&a->w.out);
    vec_done(&a->bounds);
    side_done(&a->pos);
    side_done(&a->neg);
    vec_done(&a->scratch_index);
    vec_done(&a->scratch);
    mem_free(a);
}

size_t chunk_hist_appender_samples(const struct chunk_hist_appender *a)
{
    return a->n;
}

uint8_t chunk_hist_appender_encoding(const struct chunk_hist_appender *a)
{
    return a->encoding;
}

struct slice chunk_hist_appender_data(const struct chunk_hist_appender *a)
{
    return buf_slice(&a->w.out);
}

static size_t side_memory(const struct side *s)
{
    return s->spans.cap * sizeof(*s->spans.ptr) + s->index.cap * sizeof(*s->index.ptr) +
           s->index.len * (sizeof(*s->last) + sizeof(*s->state));
}

size_t chunk_hist_appender_memory(const struct chunk_hist_appender *a)
{
    return sizeof(*a) + a->w.out.cap + a->bounds.cap * sizeof(double) + side_memory(&a->pos) +
           side_memory(&a->neg) + a->scratch_index.cap * sizeof(int64_t) +
           a->scratch.cap * sizeof(double);
}

void chunk_hist_appender_next(struct chunk_hist_appender *a, enum chunk_hist_fit why)
{
    buf_reset(&a->w.out);
    a->w.free = 0;
    a->n = 0;
    a->why = why;
}

static bool is_count(double v)
{
    return v >= 0 && v <= 0x1p53 && v == floor(v);
}

static bool are_counts(const double *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!is_count(v[i]))
            return false;
    return true;
}

bool chunk_hist_is_int(const struct histogram *h)
{
    return h->is_int &&
           (sample_is_stale(h->sum) || (is_count(h->count) && is_count(h->zero_count) &&
                                        are_counts(h->pos_buckets, h->n_pos_buckets) &&
                                        are_counts(h->neg_buckets, h->n_neg_buckets)));
}

/* ---- layout ---- */

static bool same_spans(const struct side *s, const struct histogram_span *spans, size_t n)
{
    return s->spans.len == n && (n == 0 || memcmp(s->spans.ptr, spans, n * sizeof(*spans)) == 0);
}

/* Bucket indexes of spans into a->scratch_index. */
static void index_of_spans(struct chunk_hist_appender *a, const struct histogram_span *spans,
                           size_t n)
{
    int64_t at = 0;

    vec_clear(&a->scratch_index);
    for (size_t i = 0; i < n; i++) {
        at += spans[i].offset;
        for (uint32_t k = 0; k < spans[i].length; k++)
            vec_push(&a->scratch_index, at++);
    }
}

static void spans_of_index(struct side *s)
{
    int64_t next = 0;

    vec_clear(&s->spans);
    for (size_t i = 0; i < s->index.len; i++) {
        int64_t at = s->index.ptr[i];

        if (s->spans.len == 0 || at != next)
            vec_push(&s->spans, ((struct histogram_span){(int32_t)(at - next), 0}));
        vec_last(&s->spans).length++;
        next = at + 1;
    }
}

static void side_begin(struct side *s)
{
    mem_free(s->last);
    mem_free(s->state);
    s->last = mem_new_array(double, s->index.len + 1);
    s->state = mem_new_array(union bucket_state, s->index.len + 1);
}

static void side_set(struct chunk_hist_appender *a, struct side *s,
                     const struct histogram_span *spans, size_t n)
{
    vec_clear(&s->spans);
    for (size_t i = 0; i < n; i++)
        vec_push(&s->spans, spans[i]);
    index_of_spans(a, spans, n);
    vec_clear(&s->index);
    for (size_t i = 0; i < a->scratch_index.len; i++)
        vec_push(&s->index, a->scratch_index.ptr[i]);
    side_begin(s);
}

/* True if the side has a bucket for each of a->scratch_index. */
static bool side_covers(const struct chunk_hist_appender *a, const struct side *s)
{
    size_t i = 0;

    for (size_t k = 0; k < a->scratch_index.len; k++) {
        while (i < s->index.len && s->index.ptr[i] < a->scratch_index.ptr[k])
            i++;
        if (i == s->index.len || s->index.ptr[i] != a->scratch_index.ptr[k])
            return false;
    }
    return true;
}

/* Adds the buckets of a->scratch_index to the side's layout. */
static void side_widen(struct chunk_hist_appender *a, struct side *s)
{
    size_t i = 0, k = 0, ni = s->index.len, nk = a->scratch_index.len;
    VEC(int64_t) all = {0};

    while (i < ni || k < nk) {
        int64_t x = i < ni ? s->index.ptr[i] : INT64_MAX;
        int64_t y = k < nk ? a->scratch_index.ptr[k] : INT64_MAX;

        vec_push(&all, ORR_MIN(x, y));
        i += x <= y;
        k += y <= x;
    }
    vec_done(&s->index);
    s->index.ptr = all.ptr;
    s->index.len = all.len;
    s->index.cap = all.cap;
    spans_of_index(s);
}

/* Puts buckets at the given indexes into their places among the side's; the rest is zero. */
static void spread(const struct side *s, const int64_t *index, size_t n, const double *buckets,
                   double *out)
{
    size_t k = 0;

    for (size_t i = 0; i < s->index.len; i++) {
        bool is_there = k < n && index[k] == s->index.ptr[i];

        out[i] = is_there ? buckets[k] : 0;
        k += is_there;
    }
}

/* ---- bytes ---- */

static void write_zero_threshold(struct chunk_bits_writer *w, double v)
{
    int exp;

    if (v == 0) {
        chunk_bits_write(w, 0, 8);
    } else if (frexp(v, &exp) == 0.5 && exp >= -242 && exp <= 11) {
        chunk_bits_write(w, (uint64_t)(exp + 243), 8);
    } else {
        chunk_bits_write(w, 255, 8);
        chunk_bits_write(w, sample_bits(v), 64);
    }
}

static void write_spans(struct chunk_bits_writer *w, const struct side *s)
{
    chunk_bits_write_varuint(w, s->spans.len);
    for (size_t i = 0; i < s->spans.len; i++) {
        chunk_bits_write_varuint(w, s->spans.ptr[i].length);
        chunk_bits_write_varint(w, s->spans.ptr[i].offset);
    }
}

static void write_bounds(struct chunk_bits_writer *w, const double *v, size_t n)
{
    chunk_bits_write_varuint(w, n);
    for (size_t i = 0; i < n; i++) {
        double k = v[i] * 1000, whole = round(k);

        if (k >= 0 && k <= CHUNK_HIST_WHOLE_BOUND && whole / 1000 == v[i]) {
            chunk_bits_write_varuint(w, (uint64_t)whole + 1);
        } else {
            chunk_bits_write(w, 0, 1);
            chunk_bits_write(w, sample_bits(v[i]), 64);
        }
    }
}

static void write_header(struct chunk_hist_appender *a, uint8_t flags)
{
    chunk_bits_write(&a->w, 0, 16);
    chunk_bits_write(&a->w, flags, 8);
    write_zero_threshold(&a->w, a->zero_threshold);
    chunk_bits_write_varint(&a->w, a->schema);
    write_spans(&a->w, &a->pos);
    write_spans(&a->w, &a->neg);
    if (a->schema == HISTOGRAM_CUSTOM_SCHEMA)
        write_bounds(&a->w, a->bounds.ptr, a->bounds.len);
    a->t_delta = a->count_delta = a->zero_delta = 0;
    a->sum = a->count_xor = a->zero_xor = (struct chunk_bits_xor){0};
}

static void write_dod(struct chunk_bits_writer *w, int64_t *last, int64_t *last_delta, int64_t v)
{
    int64_t delta = (int64_t)((uint64_t)v - (uint64_t)*last);

    chunk_bits_write_varint(w, (int64_t)((uint64_t)delta - (uint64_t)*last_delta));
    *last = v;
    *last_delta = delta;
}

static void write_int_buckets(struct chunk_hist_appender *a, struct side *s, const double *v)
{
    int64_t before = 0;

    for (size_t i = 0; i < s->index.len; i++) {
        int64_t delta = (int64_t)v[i] - before;

        if (a->n == 0) {
            chunk_bits_write_varint(&a->w, delta);
            s->state[i].i.value = delta;
            s->state[i].i.delta = 0;
        } else {
            write_dod(&a->w, &s->state[i].i.value, &s->state[i].i.delta, delta);
        }
        before = (int64_t)v[i];
        s->last[i] = v[i];
    }
}

static void write_float_buckets(struct chunk_hist_appender *a, struct side *s, const double *v)
{
    for (size_t i = 0; i < s->index.len; i++) {
        if (a->n == 0) {
            chunk_bits_write(&a->w, sample_bits(v[i]), 64);
            s->state[i].x = (struct chunk_bits_xor){.v = sample_bits(v[i])};
        } else {
            chunk_bits_write_xor(&a->w, &s->state[i].x, sample_bits(v[i]));
        }
        s->last[i] = v[i];
    }
}

static void write_int(struct chunk_hist_appender *a, const struct histogram *h)
{
    if (a->n == 0) {
        a->count = (int64_t)h->count;
        a->zero = (int64_t)h->zero_count;
        chunk_bits_write_varuint(&a->w, (uint64_t)a->count);
        chunk_bits_write_varuint(&a->w, (uint64_t)a->zero);
    } else if (sample_is_stale(h->sum)) { /* means nothing there, so the shortest will do */
        chunk_bits_write_varint(&a->w, 0);
        chunk_bits_write_varint(&a->w, 0);
    } else {
        write_dod(&a->w, &a->count, &a->count_delta, (int64_t)h->count);
        write_dod(&a->w, &a->zero, &a->zero_delta, (int64_t)h->zero_count);
    }
}

static void write_float(struct chunk_hist_appender *a, const struct histogram *h)
{
    if (a->n == 0) {
        a->count_xor.v = sample_bits(h->count);
        a->zero_xor.v = sample_bits(h->zero_count);
        chunk_bits_write(&a->w, a->count_xor.v, 64);
        chunk_bits_write(&a->w, a->zero_xor.v, 64);
    } else {
        chunk_bits_write_xor(&a->w, &a->count_xor, sample_bits(h->count));
        chunk_bits_write_xor(&a->w, &a->zero_xor, sample_bits(h->zero_count));
    }
}

/* pos and neg: h's buckets in the chunk's layout. */
static void write_sample(struct chunk_hist_appender *a, int64_t t, const struct histogram *h,
                         const double *pos, const double *neg)
{
    bool is_int = a->encoding == CHUNK_HISTOGRAM;

    if (a->n == 0) {
        chunk_bits_write_varint(&a->w, t);
        a->t = t;
    } else {
        write_dod(&a->w, &a->t, &a->t_delta, t);
    }
    if (is_int)
        write_int(a, h);
    else
        write_float(a, h);
    if (a->n == 0) {
        a->sum.v = sample_bits(h->sum);
        chunk_bits_write(&a->w, a->sum.v, 64);
    } else {
        chunk_bits_write_xor(&a->w, &a->sum, sample_bits(h->sum));
    }
    a->is_stale = sample_is_stale(h->sum);
    if (!a->is_stale) {
        (is_int ? write_int_buckets : write_float_buckets)(a, &a->pos, pos);
        (is_int ? write_int_buckets : write_float_buckets)(a, &a->neg, neg);
        a->last_count = h->count;
        a->last_zero = h->zero_count;
    }
    a->n++;
    a->w.out.ptr[0] = (uint8_t)(a->n >> 8);
    a->w.out.ptr[1] = (uint8_t)a->n;
}

/* ---- appending ---- */

static uint8_t flags_for(const struct chunk_hist_appender *a, const struct histogram *h)
{
    if (h->hint == HISTOGRAM_GAUGE)
        return CHUNK_HIST_GAUGE_BITS;
    if (h->hint == HISTOGRAM_RESET || a->why == CHUNK_HIST_RESET)
        return CHUNK_HIST_RESET_BITS;
    return a->why == CHUNK_HIST_FULL ? CHUNK_HIST_NO_RESET_BITS : 0;
}

static void begin(struct chunk_hist_appender *a, int64_t t, const struct histogram *h)
{
    a->encoding = chunk_hist_is_int(h) ? CHUNK_HISTOGRAM : CHUNK_FLOAT_HISTOGRAM;
    a->is_gauge = h->hint == HISTOGRAM_GAUGE;
    a->schema = h->schema;
    a->zero_threshold = h->zero_threshold;
    vec_clear(&a->bounds);
    for (size_t i = 0; i < h->n_custom_bounds; i++)
        vec_push(&a->bounds, h->custom_bounds[i]);
    side_set(a, &a->pos, h->pos_spans, h->n_pos_spans);
    side_set(a, &a->neg, h->neg_spans, h->n_neg_spans);
    ORR_ASSERT(a->pos.index.len == h->n_pos_buckets && a->neg.index.len == h->n_neg_buckets);
    write_header(a, flags_for(a, h));
    write_sample(a, t, h, h->pos_buckets, h->neg_buckets);
}

/* Whether a bucket went down, or one that was not zero is gone. */
static bool side_was_reset(struct chunk_hist_appender *a, const struct side *s,
                           const struct histogram_span *spans, size_t n_spans,
                           const double *buckets)
{
    size_t k = 0;

    index_of_spans(a, spans, n_spans);
    for (size_t i = 0; i < s->index.len; i++) {
        while (k < a->scratch_index.len && a->scratch_index.ptr[k] < s->index.ptr[i])
            k++;
        if (k < a->scratch_index.len && a->scratch_index.ptr[k] == s->index.ptr[i]) {
            if (buckets[k] < s->last[i])
                return true;
        } else if (s->last[i] > 0) {
            return true;
        }
    }
    return false;
}

static bool same_bounds(const struct chunk_hist_appender *a, const struct histogram *h)
{
    return a->bounds.len == h->n_custom_bounds &&
           (a->bounds.len == 0 ||
            memcmp(a->bounds.ptr, h->custom_bounds, a->bounds.len * sizeof(double)) == 0);
}

static enum chunk_hist_fit fit(struct chunk_hist_appender *a, const struct histogram *h)
{
    bool is_gauge = h->hint == HISTOGRAM_GAUGE;

    if (sample_is_stale(h->sum))
        return CHUNK_HIST_ADDED;
    if (a->is_stale || is_gauge != a->is_gauge)
        return CHUNK_HIST_CUT;
    if (!is_gauge && (h->hint == HISTOGRAM_RESET || h->count < a->last_count))
        return CHUNK_HIST_RESET;
    if (chunk_hist_is_int(h) != (a->encoding == CHUNK_HISTOGRAM) || h->schema != a->schema ||
        h->zero_threshold != a->zero_threshold)
        return CHUNK_HIST_CUT;
    if (h->schema == HISTOGRAM_CUSTOM_SCHEMA && !same_bounds(a, h))
        return is_gauge ? CHUNK_HIST_CUT : CHUNK_HIST_RESET;
    if (!is_gauge && (h->zero_count < a->last_zero ||
                      side_was_reset(a, &a->pos, h->pos_spans, h->n_pos_spans, h->pos_buckets) ||
                      side_was_reset(a, &a->neg, h->neg_spans, h->n_neg_spans, h->neg_buckets)))
        return CHUNK_HIST_RESET;
    return CHUNK_HIST_ADDED;
}

/* Writes the chunk anew with the buckets that h has and it has not. */
static void recode(struct chunk_hist_appender *a, const struct histogram *h)
{
    struct arena *tmp = arena_new(0);
    VEC(int64_t) old_pos = {0}, old_neg = {0};
    uint8_t flags = a->w.out.ptr[CHUNK_HIST_FLAGS];
    struct histogram *hs;
    struct err *e;
    int64_t *ts;
    size_t n;

    e = chunk_hist_decode(tmp, a->encoding, chunk_hist_appender_data(a), &n, &ts, &hs);
    ORR_ASSERT(!e); /* we wrote it */
    for (size_t i = 0; i < a->pos.index.len; i++)
        vec_push(&old_pos, a->pos.index.ptr[i]);
    for (size_t i = 0; i < a->neg.index.len; i++)
        vec_push(&old_neg, a->neg.index.ptr[i]);
    index_of_spans(a, h->pos_spans, h->n_pos_spans);
    side_widen(a, &a->pos);
    side_begin(&a->pos);
    index_of_spans(a, h->neg_spans, h->n_neg_spans);
    side_widen(a, &a->neg);
    side_begin(&a->neg);
    chunk_hist_appender_next(a, a->why);
    write_header(a, flags);
    vec_clear(&a->scratch);
    vec_reserve(&a->scratch, a->pos.index.len + a->neg.index.len);
    for (size_t i = 0; i < n; i++) {
        double *pos = a->scratch.ptr, *neg = pos + a->pos.index.len;

        spread(&a->pos, old_pos.ptr, hs[i].n_pos_buckets ? old_pos.len : 0, hs[i].pos_buckets, pos);
        spread(&a->neg, old_neg.ptr, hs[i].n_neg_buckets ? old_neg.len : 0, hs[i].neg_buckets, neg);
        write_sample(a, ts[i], &hs[i], pos, neg);
    }
    vec_done(&old_pos);
    vec_done(&old_neg);
    arena_free(tmp);
}

static void add(struct chunk_hist_appender *a, int64_t t, const struct histogram *h)
{
    bool covers = true;
    double *pos, *neg;

    if (same_spans(&a->pos, h->pos_spans, h->n_pos_spans) &&
        same_spans(&a->neg, h->neg_spans, h->n_neg_spans)) {
        write_sample(a, t, h, h->pos_buckets, h->neg_buckets);
        return;
    }
    index_of_spans(a, h->pos_spans, h->n_pos_spans);
    covers &= side_covers(a, &a->pos);
    index_of_spans(a, h->neg_spans, h->n_neg_spans);
    covers &= side_covers(a, &a->neg);
    if (!covers)
        recode(a, h);
    vec_clear(&a->scratch);
    vec_reserve(&a->scratch, a->pos.index.len + a->neg.index.len + 1);
    pos = a->scratch.ptr;
    neg = pos + a->pos.index.len;
    index_of_spans(a, h->pos_spans, h->n_pos_spans);
    ORR_ASSERT(a->scratch_index.len == h->n_pos_buckets);
    spread(&a->pos, a->scratch_index.ptr, a->scratch_index.len, h->pos_buckets, pos);
    index_of_spans(a, h->neg_spans, h->n_neg_spans);
    ORR_ASSERT(a->scratch_index.len == h->n_neg_buckets);
    spread(&a->neg, a->scratch_index.ptr, a->scratch_index.len, h->neg_buckets, neg);
    write_sample(a, t, h, pos, neg);
}

enum chunk_hist_fit chunk_hist_append(struct chunk_hist_appender *a, int64_t t,
                                      const struct histogram *h, size_t max_samples)
{
    /* A stale marker is its sum and nothing else. */
    struct histogram stale = {.sum = h->sum, .is_int = h->is_int, .hint = h->hint};
    enum chunk_hist_fit f;

    if (sample_is_stale(h->sum))
        h = &stale;
    if (a->n == 0) {
        begin(a, t, h);
        return CHUNK_HIST_ADDED;
    }
    if ((f = fit(a, h)) != CHUNK_HIST_ADDED)
        return f;
    if (a->n >= max_samples || a->n == UINT16_MAX)
        return CHUNK_HIST_FULL;
    if (h == &stale)
        write_sample(a, t, h, NULL, NULL);
    else
        add(a, t, h);
    return CHUNK_HIST_ADDED;
}
