/* Histograms of the series notation: sums of two, and the text of one. */
#include <math.h>

#include "common/base/num.h"
#include "common/lang/promql_series.h"

/* Distance between the lowest and the highest bucket that a sum may span. */
#define MAX_BUCKETS 100000

/* The buckets of one sign, without gaps: index lo + i holds counts[i]. */
struct dense {
    int64_t lo;
    size_t n;
    double *counts;
};

static struct err *expand(struct arena *a, const struct histogram_span *spans, size_t n_spans,
                          const double *buckets, size_t n_buckets, struct dense *ret)
{
    int64_t at = 0, lo = 0;
    size_t b = 0;

    *ret = (struct dense){0};
    if (n_buckets == 0)
        return NULL;
    for (int pass = 0; pass < 2; pass++) {
        at = b = 0;
        for (size_t i = 0; i < n_spans; i++) {
            at += spans[i].offset;
            if (i == 0)
                lo = at;
            for (uint32_t j = 0; j < spans[i].length && b < n_buckets; j++, at++, b++)
                if (pass == 1)
                    ret->counts[at - lo] = buckets[b];
        }
        if (at - lo < 0 || at - lo > MAX_BUCKETS)
            return err_new(ERR_LIMIT, "a histogram spans more than %d buckets", MAX_BUCKETS);
        if (pass == 0)
            *ret = (struct dense){lo, (size_t)(at - lo),
                                  arena_array(a, double, (size_t)(at - lo) + 1)};
    }
    return NULL;
}

/* Halves the resolution down times. */
static void reduce(struct dense *d, int32_t down)
{
    int64_t lo = d->lo, shift = INT64_C(1) << ORR_MIN(down, 40);
    size_t n = 0;

    if (down == 0 || d->n == 0)
        return;
        /* Bucket i covers (2^((i-1)/r), 2^(i/r)]: its new index is i / shift, rounded up. */
#define TARGET(i) (((i) > 0 ? (i) + shift - 1 : (i)) / shift)
    d->lo = TARGET(lo);
    for (size_t i = 0; i < d->n; i++) {
        int64_t t = TARGET(lo + (int64_t)i) - d->lo;
        double v = d->counts[i];

        if ((size_t)t >= n) {
            d->counts[t] = v;
            n = (size_t)t + 1;
        } else {
            d->counts[t] += v;
        }
    }
#undef TARGET
    d->n = n;
}

static double upper_bound(int64_t index, int32_t schema)
{
    return exp2(ldexp((double)index, -schema));
}

struct side {
    struct dense pos, neg;
    double zero_count, zero_threshold;
};

/* Moves the buckets below the threshold into the zero bucket; the threshold grows to the upper
 * bound of a populated bucket that it cuts. False when it grew. */
static bool absorb(struct side *s, struct dense *d, int32_t schema, double *threshold)
{
    for (size_t i = 0; i < d->n; i++) {
        int64_t index = d->lo + (int64_t)i;
        double upper = upper_bound(index, schema);

        if (upper_bound(index - 1, schema) >= *threshold)
            break;
        if (d->counts[i] == 0)
            continue;
        if (upper > *threshold) {
            *threshold = upper;
            return false;
        }
        s->zero_count += d->counts[i];
        d->counts[i] = 0;
    }
    return true;
}

static void widen(struct side *s, int32_t schema, double threshold)
{
    if (threshold == s->zero_threshold)
        return;
    while (!absorb(s, &s->pos, schema, &threshold) || !absorb(s, &s->neg, schema, &threshold))
        ;
    s->zero_threshold = threshold;
}

static struct err *add_dense(struct arena *a, const struct dense *x, const struct dense *y,
                             int sign, struct dense *ret)
{
    int64_t lo, hi;

    if (x->n == 0 && y->n == 0) {
        *ret = (struct dense){0};
        return NULL;
    }
    lo = x->n == 0 ? y->lo : y->n == 0 ? x->lo : ORR_MIN(x->lo, y->lo);
    hi = x->n == 0   ? y->lo + (int64_t)y->n
         : y->n == 0 ? x->lo + (int64_t)x->n
                     : ORR_MAX(x->lo + (int64_t)x->n, y->lo + (int64_t)y->n);
    if (hi - lo > MAX_BUCKETS)
        return err_new(ERR_LIMIT, "a sum of histograms spans more than %d buckets", MAX_BUCKETS);
    *ret = (struct dense){lo, (size_t)(hi - lo), arena_array(a, double, (size_t)(hi - lo))};
    for (size_t i = 0; i < x->n; i++)
        ret->counts[x->lo + (int64_t)i - lo] += x->counts[i];
    for (size_t i = 0; i < y->n; i++)
        ret->counts[y->lo + (int64_t)i - lo] += sign * y->counts[i];
    return NULL;
}

static void trim(struct dense *d)
{
    while (d->n && d->counts[d->n - 1] == 0)
        d->n--;
    while (d->n && d->counts[0] == 0) {
        d->counts++;
        d->lo++;
        d->n--;
    }
}

static struct err *store(struct arena *a, struct dense *d, const struct histogram_span **ret_spans,
                         size_t *ret_n_spans, const double **ret_buckets, size_t *ret_n)
{
    struct histogram_span *span;

    trim(d);
    *ret_spans = NULL;
    *ret_n_spans = 0;
    *ret_buckets = d->counts;
    *ret_n = d->n;
    if (d->n == 0)
        return NULL;
    if (d->lo > INT32_MAX || d->lo < INT32_MIN)
        return err_new(ERR_LIMIT, "a histogram's bucket index is out of range");
    span = arena_new_of(a, struct histogram_span);
    *span = (struct histogram_span){(int32_t)d->lo, (uint32_t)d->n};
    *ret_spans = span;
    *ret_n_spans = 1;
    return NULL;
}

static enum histogram_hint add_hints(enum histogram_hint a, enum histogram_hint b)
{
    if (a == b)
        return a;
    return a == HISTOGRAM_GAUGE || b == HISTOGRAM_GAUGE ? HISTOGRAM_GAUGE : HISTOGRAM_UNKNOWN;
}

/* Custom bounds: those that both have. */
static void shared_bounds(struct arena *a, const struct histogram *x, const struct histogram *y,
                          struct histogram *ret)
{
    double *bounds = arena_array(a, double, x->n_custom_bounds + 1);
    size_t n = 0;

    for (size_t i = 0, j = 0; i < x->n_custom_bounds && j < y->n_custom_bounds;) {
        double p = x->custom_bounds[i], q = y->custom_bounds[j];

        if (p == q)
            bounds[n++] = p;
        i += p <= q;
        j += !(p < q);
    }
    ret->custom_bounds = bounds;
    ret->n_custom_bounds = n;
}

/* Folds buckets with bounds from into buckets with bounds to, which are some of them. */
static struct err *rebucket(struct arena *a, struct dense *d, const struct histogram *from,
                            const struct histogram *to)
{
    struct dense r = {0, to->n_custom_bounds + 1, arena_array(a, double, to->n_custom_bounds + 1)};

    for (size_t i = 0, t = 0; i < d->n; i++) {
        int64_t index = d->lo + (int64_t)i;

        if (index < 0 || (size_t)index > from->n_custom_bounds)
            return err_new(ERR_INVALID, "a histogram has more buckets than custom values");
        while (t < to->n_custom_bounds && ((size_t)index == from->n_custom_bounds ||
                                           to->custom_bounds[t] < from->custom_bounds[index]))
            t++;
        r.counts[t] += d->counts[i];
    }
    *d = r;
    return NULL;
}

static struct err *load(struct arena *a, const struct histogram *h, int32_t schema,
                        struct side *ret)
{
    struct err *e;

    *ret = (struct side){.zero_count = h->zero_count, .zero_threshold = h->zero_threshold};
    if ((e = expand(a, h->pos_spans, h->n_pos_spans, h->pos_buckets, h->n_pos_buckets,
                    &ret->pos)) ||
        (e = expand(a, h->neg_spans, h->n_neg_spans, h->neg_buckets, h->n_neg_buckets, &ret->neg)))
        return e;
    if (h->schema != HISTOGRAM_CUSTOM_SCHEMA) {
        reduce(&ret->pos, h->schema - schema);
        reduce(&ret->neg, h->schema - schema);
    }
    return NULL;
}

static bool is_exponential(int32_t schema)
{
    return schema >= -4 && schema <= 8;
}

static struct err *reconcile(struct arena *arena, const struct histogram *a,
                             const struct histogram *b, struct side *x, struct side *y,
                             struct histogram *ret)
{
    struct err *e;

    if (ret->schema == HISTOGRAM_CUSTOM_SCHEMA) {
        shared_bounds(arena, a, b, ret);
        if ((e = rebucket(arena, &x->pos, a, ret)))
            return e;
        return rebucket(arena, &y->pos, b, ret);
    }
    while (x->zero_threshold != y->zero_threshold) {
        if (!(x->zero_threshold < INFINITY) || !(y->zero_threshold < INFINITY))
            return err_new(ERR_INVALID, "a histogram's zero threshold is not a finite number");
        widen(x->zero_threshold < y->zero_threshold ? x : y, ret->schema,
              ORR_MAX(x->zero_threshold, y->zero_threshold));
    }
    return NULL;
}

struct err *promql_histogram_add(struct arena *arena, const struct histogram *a,
                                 const struct histogram *b, int sign, struct histogram *ret)
{
    bool is_custom = a->schema == HISTOGRAM_CUSTOM_SCHEMA;
    struct histogram h = {.schema = ORR_MIN(a->schema, b->schema),
                          .hint = add_hints(a->hint, b->hint),
                          .count = a->count + sign * b->count,
                          .sum = a->sum + sign * b->sum};
    struct dense pos, neg;
    struct side x, y;
    struct err *e;

    if (is_custom != (b->schema == HISTOGRAM_CUSTOM_SCHEMA) ||
        (!is_custom && !(is_exponential(a->schema) && is_exponential(b->schema))))
        return err_new(ERR_INVALID, "cannot combine histograms of schemas %d and %d", a->schema,
                       b->schema);
    if ((e = load(arena, a, h.schema, &x)) || (e = load(arena, b, h.schema, &y)) ||
        (e = reconcile(arena, a, b, &x, &y, &h)))
        return e;
    h.zero_threshold = x.zero_threshold;
    h.zero_count = x.zero_count + sign * y.zero_count;
    if ((e = add_dense(arena, &x.pos, &y.pos, sign, &pos)) ||
        (e = add_dense(arena, &x.neg, &y.neg, sign, &neg)) ||
        (e = store(arena, &pos, &h.pos_spans, &h.n_pos_spans, &h.pos_buckets, &h.n_pos_buckets)) ||
        (e = store(arena, &neg, &h.neg_spans, &h.n_neg_spans, &h.neg_buckets, &h.n_neg_buckets)))
        return e;
    *ret = h;
    return NULL;
}

static void print_key(struct buf *out, const char **sep, const char *key)
{
    buf_printf(out, "%s%s:", *sep, key);
    *sep = " ";
}

static void print_number(struct buf *out, const char **sep, const char *key, double v)
{
    if (v == 0)
        return;
    print_key(out, sep, key);
    num_format(out, v, 'g', -1);
}

static void print_list(struct buf *out, const char **sep, const char *key, const double *v,
                       size_t n)
{
    print_key(out, sep, key);
    buf_byte(out, '[');
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_byte(out, ' ');
        num_format(out, v[i], 'g', -1);
    }
    buf_byte(out, ']');
}

static void print_buckets(struct buf *out, const char **sep, struct dense d, const char *offset,
                          const char *buckets)
{
    trim(&d);
    if (d.n && d.lo) {
        print_key(out, sep, offset);
        buf_printf(out, "%lld", (long long)d.lo);
    }
    if (d.n)
        print_list(out, sep, buckets, d.counts, d.n);
}

void promql_histogram_print(struct buf *out, const struct histogram *h)
{
    static const char *const hints[] = {NULL, "reset", "not_reset", "gauge"};
    struct arena *a = arena_new(0);
    struct dense pos = {0}, neg = {0};
    struct err *e = expand(a, h->pos_spans, h->n_pos_spans, h->pos_buckets, h->n_pos_buckets, &pos);
    const char *sep = "";

    if (!e)
        e = expand(a, h->neg_spans, h->n_neg_spans, h->neg_buckets, h->n_neg_buckets, &neg);
    buf_str(out, "{{");
    if (h->schema) {
        print_key(out, &sep, "schema");
        buf_printf(out, "%d", h->schema);
    }
    print_number(out, &sep, "count", h->count);
    print_number(out, &sep, "sum", h->sum);
    print_number(out, &sep, "z_bucket", h->zero_count);
    print_number(out, &sep, "z_bucket_w", h->zero_threshold);
    if (h->schema == HISTOGRAM_CUSTOM_SCHEMA)
        print_list(out, &sep, "custom_values", h->custom_bounds, h->n_custom_bounds);
    if (h->hint != HISTOGRAM_UNKNOWN) {
        print_key(out, &sep, "counter_reset_hint");
        buf_str(out, hints[h->hint]);
    }
    if (e) /* buckets too far apart for a text */
        buf_printf(out, "%s(%s)", sep, err_msg(e));
    print_buckets(out, &sep, pos, "offset", "buckets");
    print_buckets(out, &sep, neg, "n_offset", "n_buckets");
    buf_str(out, "}}");
    err_free(e);
    arena_free(a);
}
