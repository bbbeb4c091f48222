#include "ingester/door/otlp_bucket.h"

#include "common/base/clock.h"
#include "ingester/door/rw_histogram.h"

#define ZERO_THRESHOLD 1e-128
#define MAX_COUNTS 65536 /* of one side as sent; what is kept has the tenant's limit */
#define MAX_GAP 2        /* more empty buckets than this begin a span */

/* One side of a histogram under way. */
struct side {
    struct histogram_span *spans;
    double *buckets;
    size_t n_spans, n_buckets;
    uint64_t sum;
};

static void put_count(struct side *s, uint64_t count)
{
    s->buckets[s->n_buckets++] = (double)count;
    s->spans[s->n_spans - 1].length++;
}

/* Where counts[i] goes: bucket ((offset + i) >> by) + add. */
static struct err *lay_out(struct arena *a, struct otlp_u64s counts, int64_t offset, int by,
                           int64_t add, struct side *ret)
{
    int64_t first = (offset >> by) + add, next = first;

    *ret = (struct side){0};
    if (!counts.n)
        return NULL;
    if (counts.n > MAX_COUNTS)
        return err_new(ERR_UNSUPPORTED, "%zu buckets, more than %d", counts.n, MAX_COUNTS);
    if (first < INT32_MIN || ((offset + (int64_t)counts.n) >> by) + add > INT32_MAX)
        return err_new(ERR_UNSUPPORTED, "bucket offset %lld is out of range", (long long)offset);
    /* Each count is one bucket at most, and brings two empty ones or a span. */
    ret->spans = arena_array(a, struct histogram_span, counts.n / (MAX_GAP + 1) + 2);
    ret->buckets = arena_array(a, double, counts.n);
    ret->spans[ret->n_spans++] = (struct histogram_span){(int32_t)first, 0};
    for (size_t i = 0; i < counts.n;) {
        int64_t at = ((offset + (int64_t)i) >> by) + add;
        uint64_t count = 0;

        for (; i < counts.n && ((offset + (int64_t)i) >> by) + add == at; i++)
            count += counts.ptr[i];
        if (!count && i < counts.n)
            continue;
        if (at - next > MAX_GAP)
            ret->spans[ret->n_spans++] = (struct histogram_span){(int32_t)(at - next), 0};
        else
            for (; next < at; next++)
                put_count(ret, 0);
        put_count(ret, count);
        ret->sum += count;
        next = at + 1;
    }
    return NULL;
}

static void take_sums(const struct otlp_point *p, bool is_delta, struct rw_histogram *r)
{
    r->t_ms = (int64_t)p->time_ns / NS_PER_MS;
    r->h.is_int = true;
    r->h.hint = is_delta ? HISTOGRAM_GAUGE : HISTOGRAM_UNKNOWN;
    if (p->flags & OTLP_FLAG_NO_VALUE) {
        r->h.sum = sample_from_bits(SAMPLE_STALE_BITS);
        r->count = r->zero_count + r->pos_sum + r->neg_sum;
    } else {
        r->h.sum = p->has_sum ? p->v : 0;
        r->count = p->count;
    }
    r->h.count = (double)r->count;
}

static struct err *finish(struct arena *a, struct rw_histogram *r, struct push_histogram *ret)
{
    struct err *e = rw_histogram_check(a, r);

    if (!e)
        *ret = (struct push_histogram){r->t_ms, r->h};
    return e;
}

static void take_pos(struct rw_histogram *r, const struct side *s)
{
    r->h.pos_spans = s->spans;
    r->h.n_pos_spans = s->n_spans;
    r->h.pos_buckets = s->buckets;
    r->h.n_pos_buckets = s->n_buckets;
    r->pos_sum = s->sum;
}

struct err *otlp_bucket_exponential(struct arena *a, const struct otlp_point *p, bool is_delta,
                                    struct push_histogram *ret)
{
    int by = p->scale > RW_HISTOGRAM_MAX_SCHEMA ? p->scale - RW_HISTOGRAM_MAX_SCHEMA : 0;
    struct rw_histogram r = {.zero_count = p->exponential.zero_count};
    struct side pos, neg;
    struct err *e;

    if (p->scale < RW_HISTOGRAM_MIN_SCHEMA)
        return err_new(ERR_UNSUPPORTED, "scale %d is less than %d, the coarsest there is", p->scale,
                       RW_HISTOGRAM_MIN_SCHEMA);
    by = ORR_MIN(by, 40); /* offsets have 32 bits: all is in two buckets long before */
    if ((e = lay_out(a, p->exponential.pos.counts, p->exponential.pos.offset, by, 1, &pos)) ||
        (e = lay_out(a, p->exponential.neg.counts, p->exponential.neg.offset, by, 1, &neg)))
        return e;
    take_pos(&r, &pos);
    r.h.neg_spans = neg.spans;
    r.h.n_neg_spans = neg.n_spans;
    r.h.neg_buckets = neg.buckets;
    r.h.n_neg_buckets = neg.n_buckets;
    r.neg_sum = neg.sum;
    r.h.schema = ORR_MIN(p->scale, RW_HISTOGRAM_MAX_SCHEMA);
    r.h.zero_threshold = ZERO_THRESHOLD;
    r.h.zero_count = (double)r.zero_count;
    take_sums(p, is_delta, &r);
    return finish(a, &r, ret);
}

struct err *otlp_bucket_custom(struct arena *a, const struct otlp_point *p, bool is_delta,
                               struct push_histogram *ret)
{
    struct otlp_u64s counts = p->histogram.counts;
    struct rw_histogram r = {0};
    int64_t offset = 0;
    struct side pos;
    double *bounds;
    struct err *e;

    for (; counts.n && counts.ptr[0] == 0; counts.ptr++, counts.n--)
        offset++;
    if ((e = lay_out(a, counts, offset, 0, 0, &pos)))
        return e;
    take_pos(&r, &pos);
    bounds = arena_array(a, double, p->histogram.bounds.n);
    if (p->histogram.bounds.n)
        memcpy(bounds, p->histogram.bounds.ptr, p->histogram.bounds.n * sizeof(*bounds));
    r.h.schema = HISTOGRAM_CUSTOM_SCHEMA;
    r.h.custom_bounds = bounds;
    r.h.n_custom_bounds = p->histogram.bounds.n;
    take_sums(p, is_delta, &r);
    return finish(a, &r, ret);
}
