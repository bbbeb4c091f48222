#include "ingester/door/rw_histogram.h"

#include <math.h>

#include "ingester/door/rw_wire.h"

#define TAG(number, type) ((uint32_t)(number) << 3 | (uint32_t)(type))
#define MAX_BUCKETS 65536

/* ---- decoding ---- */

/* A repeated field under way. */
struct column {
    union {
        double *f64;
        struct histogram_span *spans;
        int64_t *i64;
    };
    size_t n, cap;
};

struct decoder {
    struct arena *a;
    size_t max;
    bool is_over, has_odd_created;
    struct column neg_spans, neg_deltas, neg_counts, pos_spans, pos_deltas, pos_counts, bounds;
    bool is_float, zero_is_float;
    double count_float, zero_count_float;
    uint64_t count_int, zero_count_int, hint, t, created;
};

/* Room for one more 8-byte element; false when there are too many. */
static bool column_room(struct decoder *d, struct column *c)
{
    if (c->n == c->cap) {
        size_t cap = c->cap ? 2 * c->cap : 16;

        if (c->n >= d->max) {
            d->is_over = true;
            return false;
        }
        c->f64 = arena_grow(d->a, c->f64, 8 * c->cap, 8 * cap);
        c->cap = cap;
    }
    return true;
}

static const uint8_t *read_span(struct decoder *d, struct column *c, const uint8_t *p,
                                const uint8_t *end)
{
    struct histogram_span s = {0};
    struct slice m;
    const uint8_t *q, *stop;
    uint32_t tag;
    uint64_t u;

    if (!(p = rw_wire_bytes(p, end, &m)) || !column_room(d, c))
        return NULL;
    for (q = m.ptr, stop = m.ptr + m.len; q < stop;) {
        if (!(q = rw_wire_tag(q, stop, &tag)))
            return NULL;
        if (tag == TAG(1, RW_VARINT)) {
            if ((q = rw_wire_u64(q, stop, &u)))
                s.offset = rw_wire_zigzag32((uint32_t)u);
        } else if (tag == TAG(2, RW_VARINT)) {
            if ((q = rw_wire_u64(q, stop, &u)))
                s.length = (uint32_t)u;
        } else {
            q = tag >> 3 <= 2 ? NULL : rw_wire_skip(q, stop, tag);
        }
        if (!q)
            return NULL;
    }
    c->spans[c->n++] = s;
    return p;
}

static const uint8_t *read_i64(struct decoder *d, struct column *c, const uint8_t *p,
                               const uint8_t *end)
{
    uint64_t u;

    if (!(p = rw_wire_u64(p, end, &u)) || !column_room(d, c))
        return NULL;
    c->i64[c->n++] = rw_wire_zigzag(u);
    return p;
}

static const uint8_t *read_f64(struct decoder *d, struct column *c, const uint8_t *p,
                               const uint8_t *end)
{
    double v;

    if (!(p = rw_wire_f64(p, end, &v)) || !column_room(d, c))
        return NULL;
    c->f64[c->n++] = v;
    return p;
}

typedef const uint8_t *read_fn(struct decoder *d, struct column *c, const uint8_t *p,
                               const uint8_t *end);

/* A repeated scalar: packed, or element by element. */
static const uint8_t *read_repeated(struct decoder *d, struct column *c, const uint8_t *p,
                                    const uint8_t *end, uint32_t type, uint32_t own, read_fn *read)
{
    struct slice m;
    const uint8_t *q;

    if (type == own)
        return read(d, c, p, end);
    if (type != RW_BYTES || !(p = rw_wire_bytes(p, end, &m)))
        return NULL;
    for (q = m.ptr; q < m.ptr + m.len;)
        if (!(q = read(d, c, q, m.ptr + m.len)))
            return NULL;
    return p;
}

static struct column *column_of(struct decoder *d, uint32_t number)
{
    switch (number) {
    case 8:
        return &d->neg_spans;
    case 9:
        return &d->neg_deltas;
    case 10:
        return &d->neg_counts;
    case 11:
        return &d->pos_spans;
    case 12:
        return &d->pos_deltas;
    case 13:
        return &d->pos_counts;
    default:
        return &d->bounds;
    }
}

static const uint8_t *read_number(struct decoder *d, struct histogram *h, const uint8_t *p,
                                  const uint8_t *end, uint32_t tag)
{
    uint64_t u = 0;

    switch (tag) {
    case TAG(1, RW_VARINT):
        d->is_float = false;
        return rw_wire_u64(p, end, &d->count_int);
    case TAG(2, RW_FIXED64):
        d->is_float = true;
        return rw_wire_f64(p, end, &d->count_float);
    case TAG(3, RW_FIXED64):
        return rw_wire_f64(p, end, &h->sum);
    case TAG(4, RW_VARINT):
        p = rw_wire_u64(p, end, &u);
        h->schema = rw_wire_zigzag32((uint32_t)u);
        return p;
    case TAG(5, RW_FIXED64):
        return rw_wire_f64(p, end, &h->zero_threshold);
    case TAG(6, RW_VARINT):
        d->zero_is_float = false;
        return rw_wire_u64(p, end, &d->zero_count_int);
    case TAG(7, RW_FIXED64):
        d->zero_is_float = true;
        return rw_wire_f64(p, end, &d->zero_count_float);
    case TAG(14, RW_VARINT):
        return rw_wire_u64(p, end, &d->hint);
    case TAG(15, RW_VARINT):
        return rw_wire_u64(p, end, &d->t);
    default:
        return NULL;
    }
}

static const uint8_t *read_field(struct decoder *d, struct histogram *h, const uint8_t *p,
                                 const uint8_t *end, uint32_t tag)
{
    uint32_t number = tag >> 3, type = tag & 7;

    switch (number) {
    case 8:
    case 11:
        return type == RW_BYTES ? read_span(d, column_of(d, number), p, end) : NULL;
    case 9:
    case 12:
        return read_repeated(d, column_of(d, number), p, end, type, RW_VARINT, read_i64);
    case 10:
    case 13:
    case 16:
        return read_repeated(d, column_of(d, number), p, end, type, RW_FIXED64, read_f64);
    case 17: /* unknown in 1.0, so of any type */
        d->has_odd_created |= type != RW_VARINT;
        return type == RW_VARINT ? rw_wire_u64(p, end, &d->created) : rw_wire_skip(p, end, tag);
    default:
        return number <= 16 ? read_number(d, h, p, end, tag) : rw_wire_skip(p, end, tag);
    }
}

/* Deltas to counts, in place. */
static uint64_t sum_deltas(struct column *c, bool *ret_negative)
{
    uint64_t count = 0, sum = 0;

    for (size_t i = 0; i < c->n; i++) {
        count += (uint64_t)c->i64[i];
        *ret_negative |= (int64_t)count < 0;
        sum += count;
        c->f64[i] = (double)(int64_t)count;
    }
    return sum;
}

static void fill(struct decoder *d, struct rw_histogram *r)
{
    struct histogram *h = &r->h;
    struct column *pos = d->is_float ? &d->pos_counts : &d->pos_deltas;
    struct column *neg = d->is_float ? &d->neg_counts : &d->neg_deltas;

    h->is_int = !d->is_float;
    if (!d->is_float) {
        r->count = d->count_int;
        /* The zero count of the other kind does not count, as in Prometheus. */
        r->zero_count = d->zero_is_float ? 0 : d->zero_count_int;
        r->pos_sum = sum_deltas(pos, &r->has_negative_bucket);
        r->neg_sum = sum_deltas(neg, &r->has_negative_bucket);
        h->count = (double)r->count;
        h->zero_count = (double)r->zero_count;
    } else {
        h->count = d->count_float;
        h->zero_count = d->zero_is_float ? d->zero_count_float : 0;
    }
    h->hint = (uint32_t)d->hint <= HISTOGRAM_GAUGE ? (enum histogram_hint)(uint32_t)d->hint
                                                   : HISTOGRAM_UNKNOWN;
    h->pos_spans = d->pos_spans.spans;
    h->n_pos_spans = d->pos_spans.n;
    h->neg_spans = d->neg_spans.spans;
    h->n_neg_spans = d->neg_spans.n;
    h->pos_buckets = pos->f64;
    h->n_pos_buckets = pos->n;
    h->neg_buckets = neg->f64;
    h->n_neg_buckets = neg->n;
    h->custom_bounds = d->bounds.f64;
    h->n_custom_bounds = d->bounds.n;
    r->t_ms = (int64_t)d->t;
    r->created_ms = (int64_t)d->created;
    r->has_odd_created = d->has_odd_created;
}

struct err *rw_histogram_decode(struct arena *a, struct slice message, size_t max_buckets,
                                struct rw_histogram *ret)
{
    const uint8_t *p = message.ptr, *end = message.ptr + message.len;
    struct decoder d = {.a = a, .max = max_buckets ? max_buckets : MAX_BUCKETS};
    struct rw_histogram r = {0};
    uint32_t tag;

    while (p && p < end)
        if ((p = rw_wire_tag(p, end, &tag)))
            p = read_field(&d, &r.h, p, end, tag);
    if (d.is_over)
        return err_new(ERR_LIMIT, "histogram with more than %zu buckets", d.max);
    if (!p)
        return err_new(ERR_INVALID, "Histogram: malformed");
    fill(&d, &r);
    if (r.h.n_pos_buckets + r.h.n_neg_buckets > d.max)
        return err_new(ERR_LIMIT, "histogram with more than %zu buckets", d.max);
    *ret = r;
    return NULL;
}

/* ---- sense ---- */

static struct err *check_spans(const char *side, const struct histogram_span *spans, size_t n,
                               size_t buckets, bool is_custom, uint64_t *ret_length)
{
    uint64_t need = 0;

    *ret_length = 0;
    for (size_t i = 0; i < n; i++) {
        if ((i > 0 || is_custom) && spans[i].offset < 0)
            return err_new(ERR_INVALID,
                           "%s: span number %zu with offset %d: a span must not go back", side,
                           i + 1, spans[i].offset);
        need += spans[i].length;
        *ret_length += spans[i].length + (uint64_t)(int64_t)spans[i].offset;
    }
    if (need != buckets)
        return err_new(ERR_INVALID,
                       "%s: spans need %llu buckets, have %zu buckets: histogram spans specify "
                       "different number of buckets than provided",
                       side, (unsigned long long)need, buckets);
    return NULL;
}

static struct err *check_custom(const struct histogram *h)
{
    double last = -INFINITY;
    uint64_t length;
    struct err *e;

    for (size_t i = 0; i < h->n_custom_bounds; i++) {
        if (!(h->custom_bounds[i] > last))
            return err_new(ERR_INVALID,
                           "custom buckets: previous bound is %f and current is %f: histogram "
                           "custom bounds must be in strictly increasing order",
                           last, h->custom_bounds[i]);
        last = h->custom_bounds[i];
    }
    if (h->n_custom_bounds && isinf(last))
        return err_new(ERR_INVALID, "custom buckets: the last bound must be finite");
    if ((e = check_spans("custom buckets", h->pos_spans, h->n_pos_spans, h->n_pos_buckets, true,
                         &length)))
        return e;
    if (length > h->n_custom_bounds + 1)
        return err_new(ERR_INVALID,
                       "custom buckets: only %zu custom bounds for a span length of %llu",
                       h->n_custom_bounds, (unsigned long long)length);
    if (h->zero_count != 0 || h->zero_threshold != 0)
        return err_new(ERR_INVALID, "custom buckets: there must be no zero bucket");
    if (h->n_neg_spans || h->n_neg_buckets)
        return err_new(ERR_INVALID, "custom buckets: there must be no negative buckets");
    return NULL;
}

static struct err *check_shape(const struct histogram *h)
{
    uint64_t length;
    struct err *e;

    if (h->schema == HISTOGRAM_CUSTOM_SCHEMA)
        return check_custom(h);
    if (h->schema < RW_HISTOGRAM_MIN_SCHEMA || h->schema > RW_HISTOGRAM_MAX_RESERVED_SCHEMA)
        return err_new(ERR_INVALID,
                       "histogram has an invalid schema, which must be between -4 and 8 for "
                       "exponential buckets, or -53 for custom buckets, got schema %d",
                       h->schema);
    if ((e = check_spans("positive side", h->pos_spans, h->n_pos_spans, h->n_pos_buckets, false,
                         &length)) ||
        (e = check_spans("negative side", h->neg_spans, h->n_neg_spans, h->n_neg_buckets, false,
                         &length)))
        return e;
    if (h->n_custom_bounds)
        return err_new(ERR_INVALID, "an exponential histogram must not have custom bounds");
    return NULL;
}

static bool has_negative(const double *v, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (v[i] < 0)
            return true;
    return false;
}

static struct err *check_counts(const struct rw_histogram *r)
{
    const struct histogram *h = &r->h;
    uint64_t found = r->pos_sum + r->neg_sum + r->zero_count;

    if (r->has_negative_bucket || has_negative(h->pos_buckets, h->n_pos_buckets) ||
        has_negative(h->neg_buckets, h->n_neg_buckets))
        return err_new(ERR_INVALID, "histogram has a bucket whose observation count is negative");
    if (!h->is_int) {
        if (h->zero_count < 0 || h->count < 0)
            return err_new(ERR_INVALID, "histogram's observation count is negative");
        return NULL;
    }
    if (isnan(h->sum) ? found > r->count : found != r->count)
        return err_new(ERR_INVALID,
                       "%llu observations found in buckets, but the Count field is %llu: "
                       "histogram's observation count should equal the number of observations "
                       "found in the buckets (in absence of NaN)",
                       (unsigned long long)found, (unsigned long long)r->count);
    return NULL;
}

/* Bucket i of a schema lies in bucket ceil(i / 2^k) of the one that is k coarser. */
static void reduce_side(struct arena *a, int by, const struct histogram_span **spans,
                        size_t *n_spans, const double **buckets, size_t *n_buckets)
{
    struct histogram_span *out = arena_array(a, struct histogram_span, *n_buckets + 1);
    double *counts = arena_array(a, double, *n_buckets + 1);
    size_t n = 0, n_out = 0, next = 0;
    int64_t index = 0, last = 0;

    for (size_t i = 0; i < *n_spans; i++) {
        index += (*spans)[i].offset;
        for (uint32_t j = 0; j < (*spans)[i].length; j++, index++) {
            int64_t to = ((index - 1) >> by) + 1;

            if (n && to == last) {
                counts[n - 1] += (*buckets)[next++];
                continue;
            }
            if (n && to == last + 1) {
                out[n_out - 1].length++;
            } else {
                int64_t from = n ? last + 1 : 0;

                out[n_out++] = (struct histogram_span){(int32_t)(to - from), 1};
            }
            counts[n++] = (*buckets)[next++];
            last = to;
        }
    }
    *spans = out;
    *n_spans = n_out;
    *buckets = counts;
    *n_buckets = n;
}

struct err *rw_histogram_check(struct arena *a, struct rw_histogram *r)
{
    struct histogram *h = &r->h;
    struct err *e = check_shape(h);

    if (!e)
        e = check_counts(r);
    if (e || h->schema <= RW_HISTOGRAM_MAX_SCHEMA)
        return e;
    reduce_side(a, h->schema - RW_HISTOGRAM_MAX_SCHEMA, &h->pos_spans, &h->n_pos_spans,
                &h->pos_buckets, &h->n_pos_buckets);
    reduce_side(a, h->schema - RW_HISTOGRAM_MAX_SCHEMA, &h->neg_spans, &h->n_neg_spans,
                &h->neg_buckets, &h->n_neg_buckets);
    h->schema = RW_HISTOGRAM_MAX_SCHEMA;
    return NULL;
}
