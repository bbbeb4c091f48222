#include <math.h>

#include "common/base/num.h"
#include "common/model/fhist.h"
#include "common/model/fhist_internal.h"

size_t fhist_ranges(struct arena *a, const struct fhist *h, struct fhist_range **ret)
{
    struct fhist_range *r = arena_array(a, struct fhist_range, h->pos.n + h->neg.n + 1);
    size_t n = 0;

    for (size_t i = h->neg.n; i-- > 0;) {
        const struct fhist_bucket *b = &h->neg.ptr[i];

        if (b->count != 0)
            r[n++] =
                (struct fhist_range){-fhist_bound(h, b->idx), -fhist_lower(h, b->idx), b->count};
    }
    if (h->zero_count > 0) /* a difference of gauges may be negative: Prometheus leaves it out */
        r[n++] = (struct fhist_range){-h->zero_threshold, h->zero_threshold, h->zero_count};
    for (size_t i = 0; i < h->pos.n; i++) {
        const struct fhist_bucket *b = &h->pos.ptr[i];

        if (b->count != 0)
            r[n++] = (struct fhist_range){fhist_lower(h, b->idx), fhist_bound(h, b->idx), b->count};
    }
    *ret = r;
    return n;
}

static bool is_zero_range(const struct fhist *h, const struct fhist_range *r)
{
    return !fhist_is_custom(h) && r->lower <= 0 && r->upper >= 0;
}

/* A zero bucket beside buckets of one sign only holds observations of that sign. */
static void narrow_zero(const struct fhist *h, struct fhist_range *r)
{
    if (!is_zero_range(h, r))
        return;
    if (h->neg.n == 0 && h->pos.n > 0)
        r->lower = 0;
    else if (h->pos.n == 0 && h->neg.n > 0)
        r->upper = 0;
}

/* The value at part (0..1) of the way through the bucket. */
static double interpolate(bool is_linear, const struct fhist_range *r, double part)
{
    double lo, hi;

    if (is_linear)
        return r->lower + (r->upper - r->lower) * part;
    lo = log2(fabs(r->lower));
    hi = log2(fabs(r->upper));
    if (r->lower > 0)
        return exp2(lo + (hi - lo) * part);
    return -exp2(hi + (lo - hi) * (1 - part));
}

double fhist_quantile(struct arena *a, double q, const struct fhist *h,
                      struct fhist_quantile_notes *notes)
{
    struct fhist_range *all, r = {0};
    size_t n = fhist_ranges(a, h, &all);
    bool is_forward = isnan(h->sum) || q < 0.5;
    double rank, count = 0;

    if (q < 0)
        return -INFINITY;
    if (q > 1)
        return INFINITY;
    if (h->count == 0 || isnan(q))
        return sample_from_bits(SAMPLE_NAN_BITS);
    /* Counting from the nearer end keeps small counts from drowning. With NaN observations, which
     * are in no bucket but count as the highest, only the way up is right. */
    rank = is_forward ? q * h->count : (1 - q) * h->count;
    for (size_t i = 0; i < n; i++) {
        r = all[is_forward ? i : n - 1 - i];
        count += r.count;
        if (count >= rank)
            break;
    }
    if (fhist_is_custom(h)) {
        if (r.lower == -INFINITY) {
            if (r.upper <= 0)
                return r.upper;
            r.lower = 0;
        } else if (r.upper == INFINITY) {
            return r.lower;
        }
    } else if (r.lower < 0 && r.upper > 0) {
        narrow_zero(h, &r);
    }
    if (count > h->count)
        count = h->count;
    if (count < rank) {
        if (isnan(h->sum)) {
            notes->is_nan_result = true;
            return sample_from_bits(SAMPLE_NAN_BITS);
        }
        return is_forward ? r.upper : r.lower;
    }
    if (isnan(h->sum))
        notes->is_skewed = true;
    rank = is_forward ? rank - (count - r.count) : count - rank;
    return interpolate(fhist_is_custom(h) || (r.lower <= 0 && r.upper >= 0), &r, rank / r.count);
}

/* How many observations of the bucket lie below v, a finite value inside it. */
static double count_below(bool is_linear, const struct fhist_range *r, double v)
{
    double lo, hi, at, part;

    /* There is no interpolating in a bucket without an end: seen from either bound, nothing of it lies
     * between. */
    if (isinf(r->lower))
        return r->count;
    if (isinf(r->upper))
        return 0;
    if (is_linear)
        return r->count * (v - r->lower) / (r->upper - r->lower);
    lo = log2(fabs(r->lower));
    hi = log2(fabs(r->upper));
    at = log2(fabs(v));
    part = v > 0 ? (at - lo) / (hi - lo) : 1 - (at - hi) / (lo - hi);
    return r->count * part;
}

double fhist_fraction(struct arena *a, double lower, double upper, const struct fhist *h,
                      bool *ret_has_nan)
{
    struct fhist_range *all;
    size_t n = fhist_ranges(a, h, &all);
    double rank = 0, lower_rank = 0, upper_rank = 0, count = h->count;
    bool has_lower = false, has_upper = false;

    if (h->count == 0 || isnan(lower) || isnan(upper))
        return sample_from_bits(SAMPLE_NAN_BITS);
    if (isnan(h->sum)) {
        /* NaN observations are counted in count, but are in no bucket. */
        count = 0;
        for (size_t i = 0; i < n; i++)
            count += all[i].count;
        *ret_has_nan = count < h->count;
    }
    if (lower >= upper)
        return 0;
    for (size_t i = 0; i < n && !(has_lower && has_upper); i++) {
        struct fhist_range r = all[i];
        bool is_linear = fhist_is_custom(h) || is_zero_range(h, &r);

        narrow_zero(h, &r);
        if (fhist_is_custom(h) && r.lower == -INFINITY && r.upper > 0)
            r.lower = 0;
        if (!has_lower && r.lower >= lower) {
            lower_rank = rank;
            has_lower = true;
        }
        if (!has_upper && r.lower >= upper) {
            upper_rank = rank;
            has_upper = true;
        }
        if (!has_lower && r.lower < lower && r.upper > lower) {
            lower_rank = rank + count_below(is_linear, &r, lower);
            has_lower = true;
        }
        if (!has_upper && r.lower < upper && r.upper > upper) {
            upper_rank = rank + count_below(is_linear, &r, upper);
            has_upper = true;
        }
        rank += r.count;
    }
    if (!has_lower || lower_rank > count)
        lower_rank = count;
    if (!has_upper || upper_rank > count)
        upper_rank = count;
    return (upper_rank - lower_rank) / h->count;
}

double fhist_variance(struct arena *a, const struct fhist *h)
{
    struct fhist_range *all;
    size_t n = fhist_ranges(a, h, &all);
    double mean = h->sum / h->count, sum = 0, lost = 0;

    for (size_t i = 0; i < n; i++) {
        const struct fhist_range *r = &all[i];
        double at, x, t;

        if (fhist_is_custom(h))
            at = (r->upper + r->lower) / 2;
        else if (r->lower <= 0 && r->upper >= 0)
            at = 0;
        else
            at = copysign(sqrt(r->upper * r->lower), r->upper);
        x = r->count * (at - mean) * (at - mean);
        t = sum + x;
        if (!isinf(t))
            lost += fabs(sum) >= fabs(x) ? (sum - t) + x : (x - t) + sum;
        sum = t;
    }
    return (sum + lost) / h->count;
}

static void range_text(struct buf *out, double lower, double upper, double count)
{
    buf_str(out, ", ");
    buf_byte(out, lower < 0 ? '[' : '(');
    num_format(out, lower, 'g', -1);
    buf_byte(out, ',');
    num_format(out, upper, 'g', -1);
    buf_byte(out, upper > 0 ? ']' : ')');
    buf_byte(out, ':');
    num_format(out, count, 'g', -1);
}

void fhist_text(struct buf *out, struct arena *a, const struct fhist *h)
{
    struct fhist_range *all;
    size_t n = fhist_ranges(a, h, &all);

    buf_str(out, "{count:");
    num_format(out, h->count, 'g', -1);
    buf_str(out, ", sum:");
    num_format(out, h->sum, 'g', -1);
    for (size_t i = 0; i < n; i++)
        range_text(out, all[i].lower, all[i].upper, all[i].count);
    buf_byte(out, '}');
}
