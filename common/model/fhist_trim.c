/*
 * The operators </ and >/: observations of a histogram below or above a bound. The bucket that the
 * bound cuts is split by interpolation; the sum is then estimated from the buckets' middles.
 */
#include <math.h>

#include "common/model/fhist.h"
#include "common/model/fhist_internal.h"

struct trim {
    double bound;
    bool keeps_upper;
    bool is_linear;
    /* Of the histogram so far. */
    bool has_trimmed;
    double count, sum;
};

static double middle(const struct trim *t, double lower, double upper)
{
    if (isinf(lower))
        return upper;
    if (isinf(upper))
        return lower;
    if (t->is_linear)
        return (lower + upper) / 2;
    return copysign(sqrt(lower * upper), upper + lower);
}

/* How much of the way from lower to upper the bound is. */
static double part_below(const struct trim *t, double lower, double upper)
{
    double lo, hi, at;

    if (t->is_linear)
        return (t->bound - lower) / (upper - lower);
    lo = log2(fabs(lower));
    hi = log2(fabs(upper));
    at = log2(fabs(t->bound));
    return lower > 0 ? (at - lo) / (hi - lo) : 1 - (at - hi) / (lo - hi);
}

/* A bucket without a lower or an upper end: kept or dropped whole, as if its observations were at
 * the bound where the bound is inside. */
static double trim_open(struct trim *t, double lower, double upper, double count)
{
    bool is_kept = isinf(lower) ? (!t->keeps_upper && !isinf(upper)) : t->keeps_upper;

    t->has_trimmed = true;
    if (!is_kept)
        return 0;
    t->count += count;
    t->sum += count * t->bound;
    return count;
}

/* What stays of a bucket's count. */
static double trim_bucket(struct trim *t, double lower, double upper, double count)
{
    bool is_below = upper <= t->bound, is_above = lower >= t->bound;
    double part, kept;

    if (count == 0)
        return 0;
    if (t->keeps_upper ? is_above : is_below) {
        t->count += count;
        t->sum += count * middle(t, lower, upper);
        return count;
    }
    if (t->keeps_upper ? is_below : is_above) {
        t->has_trimmed = true;
        return 0;
    }
    if (isinf(lower) || isinf(upper))
        return trim_open(t, lower, upper, count);
    part = part_below(t, lower, upper);
    kept = count * (t->keeps_upper ? 1 - part : part);
    t->has_trimmed = true;
    t->count += kept;
    t->sum += kept * (t->keeps_upper ? middle(t, t->bound, upper) : middle(t, lower, t->bound));
    return kept;
}

static void trim_custom(struct trim *t, struct fhist *d)
{
    size_t n = 0;

    for (size_t i = 0; i < d->pos.n; i++) {
        struct fhist_bucket b = d->pos.ptr[i];
        double lower = fhist_lower(d, b.idx), upper = fhist_bound(d, b.idx);

        /* The lowest bucket begins at zero if it can. A bound below that is outside of all. */
        if (isinf(lower) && upper > 0 && !isinf(upper)) {
            if (t->bound < 0) {
                t->has_trimmed = true;
                continue;
            }
            lower = 0;
        }
        b.count = trim_bucket(t, lower, upper, b.count);
        if (b.count != 0)
            d->pos.ptr[n++] = b;
    }
    d->pos.n = n;
}

static void trim_side(struct trim *t, struct fhist *d, struct fhist_side *s, bool is_negative)
{
    size_t n = 0;

    t->is_linear = false;
    for (size_t i = 0; i < s->n; i++) {
        struct fhist_bucket b = s->ptr[i];
        double near = fhist_lower(d, b.idx), far = fhist_bound(d, b.idx);

        b.count =
            is_negative ? trim_bucket(t, -far, -near, b.count) : trim_bucket(t, near, far, b.count);
        if (b.count != 0)
            s->ptr[n++] = b;
    }
    s->n = n;
}

const struct fhist *fhist_trim(struct arena *a, const struct fhist *h, double bound, bool is_upper)
{
    struct trim t = {.bound = bound, .keeps_upper = is_upper, .is_linear = true};
    struct fhist *d;

    if (isinf(bound) && (bound > 0) != is_upper)
        return h;
    d = arena_new_of(a, struct fhist);
    *d = *h;
    d->pos = (struct fhist_side){arena_array(a, struct fhist_bucket, h->pos.n), h->pos.n};
    d->neg = (struct fhist_side){arena_array(a, struct fhist_bucket, h->neg.n), h->neg.n};
    if (h->pos.n)
        memcpy(d->pos.ptr, h->pos.ptr, h->pos.n * sizeof(*h->pos.ptr));
    if (h->neg.n)
        memcpy(d->neg.ptr, h->neg.ptr, h->neg.n * sizeof(*h->neg.ptr));
    if (isinf(bound)) {
        d->pos.n = d->neg.n = 0;
        d->count = d->sum = d->zero_count = 0;
        return d;
    }
    if (fhist_is_custom(h)) {
        trim_custom(&t, d);
    } else {
        double lower = h->pos.n && !h->neg.n ? 0 : -h->zero_threshold;
        double upper = h->neg.n && !h->pos.n ? 0 : h->zero_threshold;

        d->zero_count = trim_bucket(&t, lower, upper, h->zero_count);
        trim_side(&t, d, &d->neg, true);
        trim_side(&t, d, &d->pos, false);
    }
    if (!t.has_trimmed)
        return h;
    d->count = t.count;
    d->sum = t.sum;
    return d;
}
