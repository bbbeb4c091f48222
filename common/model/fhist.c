#include "common/model/fhist.h"

#include <float.h>
#include <math.h>

#include "common/model/fhist_internal.h"

double fhist_bound(const struct fhist *h, int32_t idx)
{
    if (fhist_is_custom(h)) {
        if (idx < 0)
            return -INFINITY;
        return (size_t)idx < h->n_bounds ? h->bounds[idx] : INFINITY;
    }
    if (h->schema < 0)
        return ldexp(1, (int)((uint32_t)idx << -h->schema));

    int32_t per = 1 << h->schema;
    int32_t part = idx & (per - 1);
    int32_t exp = (idx >> h->schema) + 1;

    /* The bucket above the largest float ends at the largest float, not at infinity. */
    if (part == 0 && exp == 1025)
        return DBL_MAX;
    return ldexp(0.5 * exp2((double)part / per), exp);
}

double fhist_lower(const struct fhist *h, int32_t idx)
{
    return fhist_bound(h, idx - 1);
}

static struct fhist_side side_from(struct arena *a, const struct histogram_span *spans,
                                   size_t n_spans, const double *buckets, size_t n_buckets)
{
    struct fhist_side s = {arena_array(a, struct fhist_bucket, n_buckets), 0};
    int64_t idx = 0;
    size_t b = 0;

    for (size_t i = 0; i < n_spans; i++) {
        idx += spans[i].offset;
        for (uint32_t k = 0; k < spans[i].length && b < n_buckets; k++, b++, idx++)
            if (buckets[b] != 0)
                s.ptr[s.n++] = (struct fhist_bucket){(int32_t)idx, buckets[b], 0};
    }
    return s;
}

const struct fhist *fhist_from(struct arena *a, const struct histogram *h)
{
    struct fhist *f = arena_new_of(a, struct fhist);

    *f = (struct fhist){.schema = h->schema,
                        .hint = h->hint,
                        .zero_threshold = h->zero_threshold,
                        .zero_count = h->zero_count,
                        .count = h->count,
                        .sum = h->sum,
                        .n_bounds = h->n_custom_bounds};
    f->pos = side_from(a, h->pos_spans, h->n_pos_spans, h->pos_buckets, h->n_pos_buckets);
    f->neg = side_from(a, h->neg_spans, h->n_neg_spans, h->neg_buckets, h->n_neg_buckets);
    if (h->n_custom_bounds) {
        double *b = arena_array(a, double, h->n_custom_bounds);

        memcpy(b, h->custom_bounds, h->n_custom_bounds * sizeof(double));
        f->bounds = b;
    }
    return f;
}

static void side_to(struct arena *a, struct fhist_side s, const struct histogram_span **ret_spans,
                    size_t *ret_n_spans, const double **ret_buckets, size_t *ret_n)
{
    struct histogram_span *spans = arena_array(a, struct histogram_span, s.n);
    double *buckets = arena_array(a, double, s.n);
    size_t n_spans = 0, n = 0;
    int32_t next = 0;

    for (size_t i = 0; i < s.n; i++) {
        if (s.ptr[i].count == 0)
            continue;
        if (n_spans == 0 || s.ptr[i].idx != next)
            spans[n_spans++] = (struct histogram_span){s.ptr[i].idx - next, 0};
        spans[n_spans - 1].length++;
        buckets[n++] = s.ptr[i].count;
        next = s.ptr[i].idx + 1;
    }
    *ret_spans = spans;
    *ret_n_spans = n_spans;
    *ret_buckets = buckets;
    *ret_n = n;
}

const struct histogram *fhist_to(struct arena *a, const struct fhist *f)
{
    struct histogram *h = arena_new_of(a, struct histogram);

    *h = (struct histogram){.schema = f->schema,
                            .hint = f->hint,
                            .zero_threshold = f->zero_threshold,
                            .zero_count = f->zero_count,
                            .count = f->count,
                            .sum = f->sum,
                            .n_custom_bounds = f->n_bounds};
    if (f->n_bounds) {
        double *b = arena_array(a, double, f->n_bounds);

        memcpy(b, f->bounds, f->n_bounds * sizeof(double));
        h->custom_bounds = b;
    }
    side_to(a, f->pos, &h->pos_spans, &h->n_pos_spans, &h->pos_buckets, &h->n_pos_buckets);
    side_to(a, f->neg, &h->neg_spans, &h->n_neg_spans, &h->neg_buckets, &h->n_neg_buckets);
    return h;
}

static struct fhist_side side_dup(struct arena *a, struct fhist_side s)
{
    struct fhist_side d = {arena_array(a, struct fhist_bucket, s.n), s.n};

    if (s.n)
        memcpy(d.ptr, s.ptr, s.n * sizeof(*s.ptr));
    return d;
}

static struct fhist *hist_copy(struct arena *a, const struct fhist *h)
{
    struct fhist *d = arena_new_of(a, struct fhist);

    *d = *h;
    d->pos = side_dup(a, h->pos);
    d->neg = side_dup(a, h->neg);
    if (h->n_bounds) {
        double *b = arena_array(a, double, h->n_bounds);

        memcpy(b, h->bounds, h->n_bounds * sizeof(double));
        d->bounds = b;
    }
    return d;
}

const struct fhist *fhist_dup(struct arena *a, const struct fhist *h)
{
    return hist_copy(a, h);
}

struct fhist *fhist_with_hint(struct arena *a, const struct fhist *h, enum histogram_hint hint)
{
    struct fhist *d = arena_new_of(a, struct fhist);

    *d = *h; /* buckets are never changed once built, so they are shared */
    d->hint = hint;
    return d;
}

const struct fhist *fhist_zero_like(struct arena *a, const struct fhist *h)
{
    struct fhist *d = arena_new_of(a, struct fhist);

    d->schema = h->schema;
    d->bounds = h->bounds;
    d->n_bounds = h->n_bounds;
    return d;
}

static void bucket_join(struct fhist_bucket *to, const struct fhist_bucket *b)
{
    to->count += b->count;
    to->lost += b->lost;
}

static struct fhist_side side_coarsen(struct arena *a, struct fhist_side s, int32_t by)
{
    struct fhist_side d = {arena_array(a, struct fhist_bucket, s.n), 0};

    for (size_t i = 0; i < s.n; i++) {
        int32_t idx = ((s.ptr[i].idx - 1) >> by) + 1;

        if (d.n && d.ptr[d.n - 1].idx == idx)
            bucket_join(&d.ptr[d.n - 1], &s.ptr[i]);
        else
            d.ptr[d.n++] = (struct fhist_bucket){idx, s.ptr[i].count, s.ptr[i].lost};
    }
    return d;
}

const struct fhist *fhist_coarsen(struct arena *a, const struct fhist *h, int32_t schema)
{
    struct fhist *d;

    if (fhist_is_custom(h) || h->schema <= schema)
        return h;
    d = arena_new_of(a, struct fhist);
    *d = *h;
    d->schema = schema;
    d->pos = side_coarsen(a, h->pos, h->schema - schema);
    d->neg = side_coarsen(a, h->neg, h->schema - schema);
    return d;
}

/* What the zero bucket of h would hold were it at least threshold wide; grows the threshold to the
 * end of a populated bucket it would cut. */
static double zero_count_within(const struct fhist *h, double *threshold)
{
    double count;
    bool is_settled;

    if (*threshold <= h->zero_threshold)
        return h->zero_count;
    do {
        is_settled = true;
        count = h->zero_count;
        for (size_t i = 0; i < h->pos.n; i++) {
            const struct fhist_bucket *b = &h->pos.ptr[i];

            if (fhist_lower(h, b->idx) >= *threshold)
                break;
            count += b->count;
            if (fhist_bound(h, b->idx) > *threshold) {
                if (b->count != 0)
                    *threshold = fhist_bound(h, b->idx);
                break;
            }
        }
        for (size_t i = 0; i < h->neg.n; i++) {
            const struct fhist_bucket *b = &h->neg.ptr[i];

            if (fhist_lower(h, b->idx) >= *threshold)
                break;
            count += b->count;
            if (fhist_bound(h, b->idx) > *threshold) {
                if (b->count != 0) {
                    *threshold = fhist_bound(h, b->idx);
                    is_settled = false; /* the positive side may now reach further in */
                }
                break;
            }
        }
    } while (!is_settled);
    return count;
}

static struct fhist_side side_above(const struct fhist *h, struct fhist_side s, double threshold)
{
    size_t skip = 0;

    while (skip < s.n && fhist_bound(h, s.ptr[skip].idx) <= threshold)
        skip++;
    return skip ? (struct fhist_side){s.ptr + skip, s.n - skip} : s;
}

/* h with its zero bucket widened, the buckets it swallows gone. */
static const struct fhist *widen_zero(struct arena *a, const struct fhist *h, double *threshold)
{
    double count = zero_count_within(h, threshold);
    struct fhist *d = arena_new_of(a, struct fhist);

    *d = *h;
    d->zero_count = count;
    d->zero_threshold = *threshold;
    d->pos = side_above(h, h->pos, *threshold);
    d->neg = side_above(h, h->neg, *threshold);
    return d;
}

/* x + y; what rounding took goes to *lost. */
static double add_lossy(double x, double y, double *lost)
{
    double t = x + y;

    if (isinf(t))
        *lost = 0;
    else if (fabs(x) >= fabs(y))
        *lost += (x - t) + y;
    else
        *lost += (y - t) + x;
    return t;
}

/* sign: of y. keeps_lost: the rounding errors are kept beside the counts. */
struct add_mode {
    double sign;
    bool keeps_lost;
};

static struct fhist_side side_add(struct arena *a, struct fhist_side x, struct fhist_side y,
                                  struct add_mode mode)
{
    struct fhist_side d = {arena_array(a, struct fhist_bucket, x.n + y.n), 0};
    size_t i = 0, j = 0;

    while (i < x.n || j < y.n) {
        struct fhist_bucket b;

        if (j == y.n || (i < x.n && x.ptr[i].idx < y.ptr[j].idx)) {
            b = x.ptr[i++];
        } else if (i == x.n || y.ptr[j].idx < x.ptr[i].idx) {
            b = y.ptr[j++];
            b.count *= mode.sign;
            b.lost *= mode.sign;
        } else {
            b = x.ptr[i++];
            b.lost += mode.sign * y.ptr[j].lost;
            b.count = add_lossy(b.count, mode.sign * y.ptr[j++].count, &b.lost);
        }
        if (!mode.keeps_lost)
            b.lost = 0;
        if (b.count != 0 || b.lost != 0)
            d.ptr[d.n++] = b;
    }
    return d;
}

static enum histogram_hint merge_hints(enum histogram_hint x, enum histogram_hint y,
                                       bool *ret_conflict)
{
    if (x == y)
        return x;
    if (x == HISTOGRAM_GAUGE || y == HISTOGRAM_GAUGE)
        return HISTOGRAM_GAUGE;
    if (x != HISTOGRAM_UNKNOWN && y != HISTOGRAM_UNKNOWN)
        *ret_conflict = true;
    return HISTOGRAM_UNKNOWN;
}

static bool bounds_eq(const struct fhist *x, const struct fhist *y)
{
    if (x->n_bounds != y->n_bounds)
        return false;
    for (size_t i = 0; i < x->n_bounds; i++)
        if (x->bounds[i] != y->bounds[i])
            return false;
    return true;
}

/* The bounds both have. */
static size_t bounds_common(struct arena *a, const struct fhist *x, const struct fhist *y,
                            const double **ret)
{
    double *b = arena_array(a, double, ORR_MIN(x->n_bounds, y->n_bounds));
    size_t n = 0, i = 0, j = 0;

    while (i < x->n_bounds && j < y->n_bounds) {
        if (x->bounds[i] == y->bounds[j]) {
            b[n++] = x->bounds[i];
            i++;
            j++;
        } else if (x->bounds[i] < y->bounds[j]) {
            i++;
        } else {
            j++;
        }
    }
    *ret = b;
    return n;
}

/* Buckets of h counted into a subset of its bounds. */
static struct fhist_side side_rebound(struct arena *a, const struct fhist *h, const double *bounds,
                                      size_t n)
{
    struct fhist_side d = {arena_array(a, struct fhist_bucket, h->pos.n), 0};
    size_t at = 0;

    for (size_t i = 0; i < h->pos.n; i++) {
        double upper = fhist_bound(h, h->pos.ptr[i].idx);

        while (at < n && bounds[at] < upper)
            at++;
        if (d.n && d.ptr[d.n - 1].idx == (int32_t)at)
            bucket_join(&d.ptr[d.n - 1], &h->pos.ptr[i]);
        else
            d.ptr[d.n++] =
                (struct fhist_bucket){(int32_t)at, h->pos.ptr[i].count, h->pos.ptr[i].lost};
    }
    return d;
}

static void add_custom(struct arena *a, struct fhist *d, const struct fhist *x,
                       const struct fhist *y, struct add_mode mode, struct fhist_notes *notes)
{
    if (bounds_eq(x, y)) {
        d->pos = side_add(a, x->pos, y->pos, mode);
        return;
    }
    notes->has_reconciled = true;
    d->n_bounds = bounds_common(a, x, y, &d->bounds);
    d->pos = side_add(a, side_rebound(a, x, d->bounds, d->n_bounds),
                      side_rebound(a, y, d->bounds, d->n_bounds), mode);
}

static void add_exponential(struct arena *a, struct fhist *d, const struct fhist *x,
                            const struct fhist *y, struct add_mode mode)
{
    int32_t schema = ORR_MIN(x->schema, y->schema);
    double threshold = ORR_MAX(x->zero_threshold, y->zero_threshold);

    /* "less", for a threshold that is NaN is never equal to anything */
    while (x->zero_threshold < threshold || y->zero_threshold < threshold) {
        if (x->zero_threshold < threshold)
            x = widen_zero(a, x, &threshold);
        if (y->zero_threshold < threshold)
            y = widen_zero(a, y, &threshold);
    }
    x = fhist_coarsen(a, x, schema);
    y = fhist_coarsen(a, y, schema);
    d->schema = schema;
    d->zero_threshold = threshold;
    d->zero_lost = x->zero_lost + mode.sign * y->zero_lost;
    d->zero_count = add_lossy(x->zero_count, mode.sign * y->zero_count, &d->zero_lost);
    d->pos = side_add(a, x->pos, y->pos, mode);
    d->neg = side_add(a, x->neg, y->neg, mode);
}

static const struct fhist *combine(struct arena *a, const struct fhist *x, const struct fhist *y,
                                   struct add_mode mode, struct fhist_notes *notes)
{
    struct fhist *d;

    if (fhist_is_custom(x) != fhist_is_custom(y))
        return NULL;
    d = arena_new_of(a, struct fhist);
    *d = *x;
    d->hint = merge_hints(x->hint, y->hint, &notes->has_reset_conflict);
    d->count_lost = x->count_lost + mode.sign * y->count_lost;
    d->sum_lost = x->sum_lost + mode.sign * y->sum_lost;
    d->count = add_lossy(x->count, mode.sign * y->count, &d->count_lost);
    d->sum = add_lossy(x->sum, mode.sign * y->sum, &d->sum_lost);
    if (fhist_is_custom(x))
        add_custom(a, d, x, y, mode, notes);
    else
        add_exponential(a, d, x, y, mode);
    if (!mode.keeps_lost)
        d->zero_lost = d->count_lost = d->sum_lost = 0;
    return d;
}

const struct fhist *fhist_add(struct arena *a, const struct fhist *x, const struct fhist *y,
                              struct fhist_notes *notes)
{
    return combine(a, x, y, (struct add_mode){1, false}, notes);
}

const struct fhist *fhist_sub(struct arena *a, const struct fhist *x, const struct fhist *y,
                              struct fhist_notes *notes)
{
    return combine(a, x, y, (struct add_mode){-1, false}, notes);
}

const struct fhist *fhist_sum_add(struct arena *a, const struct fhist *x, const struct fhist *y,
                                  struct fhist_notes *notes)
{
    return combine(a, x, y, (struct add_mode){1, true}, notes);
}

static void side_done(struct fhist_side *s)
{
    for (size_t i = 0; i < s->n; i++) {
        s->ptr[i].count += s->ptr[i].lost;
        s->ptr[i].lost = 0;
    }
}

const struct fhist *fhist_sum_done(struct arena *a, const struct fhist *x)
{
    struct fhist *d = hist_copy(a, x);

    d->zero_count += d->zero_lost;
    d->count += d->count_lost;
    d->sum += d->sum_lost;
    d->zero_lost = d->count_lost = d->sum_lost = 0;
    side_done(&d->pos);
    side_done(&d->neg);
    return d;
}

static bool side_has_overflow(struct fhist_side s)
{
    for (size_t i = 0; i < s.n; i++)
        if (isinf(s.ptr[i].count))
            return true;
    return false;
}

bool fhist_has_overflow(const struct fhist *h)
{
    return isinf(h->zero_count) || isinf(h->count) || isinf(h->sum) || side_has_overflow(h->pos) ||
           side_has_overflow(h->neg);
}

const struct fhist *fhist_mean_add(struct arena *a, const struct fhist *mean, const struct fhist *y,
                                   double n, struct fhist_notes *notes)
{
    return combine(a, fhist_mul(a, mean, n / (n + 1)), fhist_div(a, y, n + 1),
                   (struct add_mode){1, true}, notes);
}

static void side_mul(struct fhist_side *s, double f)
{
    for (size_t i = 0; i < s->n; i++) {
        s->ptr[i].count *= f;
        s->ptr[i].lost *= f;
    }
}

static void side_div(struct fhist_side *s, double f)
{
    for (size_t i = 0; i < s->n; i++) {
        s->ptr[i].count /= f;
        s->ptr[i].lost /= f;
    }
}

const struct fhist *fhist_mul(struct arena *a, const struct fhist *h, double f)
{
    struct fhist *d = hist_copy(a, h);

    d->zero_count *= f;
    d->count *= f;
    d->sum *= f;
    d->zero_lost *= f;
    d->count_lost *= f;
    d->sum_lost *= f;
    side_mul(&d->pos, f);
    side_mul(&d->neg, f);
    if (f < 0)
        d->hint = HISTOGRAM_GAUGE; /* what counts down is no counter */
    return d;
}

const struct fhist *fhist_div(struct arena *a, const struct fhist *h, double f)
{
    struct fhist *d = hist_copy(a, h);

    d->zero_count /= f;
    d->count /= f;
    d->sum /= f;
    d->zero_lost /= f;
    d->count_lost /= f;
    d->sum_lost /= f;
    if (f < 0)
        d->hint = HISTOGRAM_GAUGE;
    if (f == 0) { /* 0/0 in the empty buckets has no place to be kept: none are */
        d->pos.n = d->neg.n = 0;
        return d;
    }
    side_div(&d->pos, f);
    side_div(&d->neg, f);
    return d;
}

/* Whether a bucket of prev holds more than the same one of cur. */
static bool side_fell(struct fhist_side cur, struct fhist_side prev)
{
    size_t i = 0;

    for (size_t j = 0; j < prev.n; j++) {
        while (i < cur.n && cur.ptr[i].idx < prev.ptr[j].idx)
            i++;
        if (i < cur.n && cur.ptr[i].idx == prev.ptr[j].idx) {
            if (cur.ptr[i].count < prev.ptr[j].count)
                return true;
        } else if (prev.ptr[j].count > 0) {
            return true;
        }
    }
    return false;
}

static bool custom_fell(struct arena *a, const struct fhist *cur, const struct fhist *prev)
{
    const double *bounds;
    size_t n;

    if (bounds_eq(cur, prev))
        return side_fell(cur->pos, prev->pos);
    n = bounds_common(a, cur, prev, &bounds);
    return side_fell(side_rebound(a, cur, bounds, n), side_rebound(a, prev, bounds, n));
}

bool fhist_is_reset(struct arena *a, const struct fhist *cur, const struct fhist *prev)
{
    double threshold = cur->zero_threshold;
    double zero;

    if (cur->hint == HISTOGRAM_RESET)
        return true;
    if (cur->hint == HISTOGRAM_NOT_RESET)
        return false;
    if (cur->count < prev->count || fhist_is_custom(cur) != fhist_is_custom(prev))
        return true;
    if (fhist_is_custom(cur))
        return custom_fell(a, cur, prev);
    if (cur->schema > prev->schema || cur->zero_threshold < prev->zero_threshold)
        return true;
    zero = zero_count_within(prev, &threshold);
    if (threshold != cur->zero_threshold || cur->zero_count < zero)
        return true;
    if (prev->zero_threshold != threshold)
        prev = widen_zero(a, prev, &threshold);
    prev = fhist_coarsen(a, prev, cur->schema);
    return side_fell(cur->pos, prev->pos) || side_fell(cur->neg, prev->neg);
}

static bool f64_eq(double x, double y)
{
    return x == y || (isnan(x) && isnan(y));
}

static bool side_eq(struct fhist_side x, struct fhist_side y)
{
    size_t i = 0, j = 0;

    for (;;) {
        while (i < x.n && x.ptr[i].count == 0)
            i++;
        while (j < y.n && y.ptr[j].count == 0)
            j++;
        if (i == x.n || j == y.n)
            return i == x.n && j == y.n;
        if (x.ptr[i].idx != y.ptr[j].idx || !f64_eq(x.ptr[i].count, y.ptr[j].count))
            return false;
        i++;
        j++;
    }
}

bool fhist_eq(const struct fhist *x, const struct fhist *y)
{
    return x->schema == y->schema && f64_eq(x->count, y->count) && f64_eq(x->sum, y->sum) &&
           x->zero_threshold == y->zero_threshold && f64_eq(x->zero_count, y->zero_count) &&
           bounds_eq(x, y) && side_eq(x->pos, y->pos) && side_eq(x->neg, y->neg);
}

const struct fhist *fhist_stats(struct arena *a, const struct histogram *h,
                                const struct histogram *prev)
{
    struct fhist *d = arena_new_of(a, struct fhist);

    *d = (struct fhist){.schema = h->schema, .hint = h->hint, .count = h->count, .sum = h->sum};
    if (h->hint == HISTOGRAM_UNKNOWN && prev && !sample_is_stale(prev->sum))
        d->hint = fhist_is_reset(a, fhist_from(a, h), fhist_from(a, prev)) ? HISTOGRAM_RESET
                                                                           : HISTOGRAM_NOT_RESET;
    return d;
}
