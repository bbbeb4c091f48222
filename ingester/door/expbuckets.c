#include "ingester/door/expbuckets.h"

#include <math.h>

#include "common/base/mem.h"

void expbuckets_init(struct expbuckets *x)
{
    *x = (struct expbuckets){.schema = EXPBUCKETS_SCHEMA};
}

void expbuckets_done(struct expbuckets *x)
{
    mem_free(x->pos.counts);
    mem_free(x->neg.counts);
    expbuckets_init(x);
}

size_t expbuckets_bytes(const struct expbuckets *x)
{
    return (x->pos.cap + x->neg.cap) * sizeof(double);
}

static int32_t bucket_of(double v, int schema)
{
    return (int32_t)ceil(ldexp(log2(v), schema));
}

/* Two buckets become one: 2k-1 and 2k are k. */
static int32_t coarser(int32_t i)
{
    return (i + 1) >> 1;
}

static void coarsen_side(struct expbuckets_side *s)
{
    int32_t first = coarser(s->first);
    uint32_t n = 0;

    for (uint32_t i = 0; i < s->n; i++) {
        uint32_t to = (uint32_t)(coarser(s->first + (int32_t)i) - first);
        double count = s->counts[i];

        if (to == n)
            s->counts[n++] = 0; /* to <= i: what stood there has moved */
        s->counts[to] += count;
    }
    s->first = first;
    s->n = n;
}

static void coarsen(struct expbuckets *x)
{
    x->schema--;
    coarsen_side(&x->pos);
    coarsen_side(&x->neg);
}

/* How many buckets the side has once it holds i. */
static uint32_t span_with(const struct expbuckets_side *s, int32_t i)
{
    int32_t last = s->first + (int32_t)s->n - 1;

    if (s->n == 0)
        return 1;
    return (uint32_t)(ORR_MAX(last, i) - ORR_MIN(s->first, i)) + 1;
}

/* Makes room for bucket i, which fits. */
static double *slot_of(struct expbuckets_side *s, int32_t i)
{
    uint32_t n = span_with(s, i), before = s->n && i < s->first ? (uint32_t)(s->first - i) : 0;

    if (n > s->cap) {
        s->cap = ORR_MIN(ORR_MAX(2 * n, 8u), (uint32_t)EXPBUCKETS_MAX);
        s->counts = mem_reallocarray(s->counts, s->cap, sizeof(*s->counts));
    }
    if (s->n == 0)
        s->first = i;
    if (before) {
        memmove(s->counts + before, s->counts, s->n * sizeof(*s->counts));
        memset(s->counts, 0, before * sizeof(*s->counts));
        s->first = i;
        s->n += before;
    }
    for (; s->n < n; s->n++)
        s->counts[s->n] = 0;
    return &s->counts[i - s->first];
}

void expbuckets_add(struct expbuckets *x, double v, double weight)
{
    struct expbuckets_side *s = v < 0 ? &x->neg : &x->pos;
    double size = fabs(v);
    int32_t i;

    x->count += weight;
    x->sum += v * weight;
    if (size <= EXPBUCKETS_ZERO) {
        x->zero_count += weight;
        return;
    }
    /* At the coarsest schema all doubles fit: 2048 / 16 buckets. */
    while (span_with(s, i = bucket_of(size, x->schema)) > EXPBUCKETS_MAX &&
           x->schema > EXPBUCKETS_MIN_SCHEMA)
        coarsen(x);
    *slot_of(s, i) += weight;
}

static void copy_side(const struct expbuckets_side *s, struct arena *a,
                      const struct histogram_span **ret_spans, size_t *ret_n_spans,
                      const double **ret_counts, size_t *ret_n)
{
    struct histogram_span *span;
    double *counts;

    if (s->n == 0)
        return;
    span = arena_new_of(a, struct histogram_span);
    counts = arena_array(a, double, s->n);
    *span = (struct histogram_span){s->first, s->n};
    memcpy(counts, s->counts, s->n * sizeof(*counts));
    *ret_spans = span;
    *ret_n_spans = 1;
    *ret_counts = counts;
    *ret_n = s->n;
}

struct histogram expbuckets_histogram(const struct expbuckets *x, struct arena *a)
{
    struct histogram h = {.schema = x->schema,
                          .zero_threshold = EXPBUCKETS_ZERO,
                          .zero_count = x->zero_count,
                          .count = x->count,
                          .sum = x->sum};

    copy_side(&x->pos, a, &h.pos_spans, &h.n_pos_spans, &h.pos_buckets, &h.n_pos_buckets);
    copy_side(&x->neg, a, &h.neg_spans, &h.n_neg_spans, &h.neg_buckets, &h.n_neg_buckets);
    return h;
}
