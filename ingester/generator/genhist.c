#include "ingester/generator/genhist.h"

#include <math.h>

struct genhist *genhist_new(const struct generator_buckets *buckets, bool has_classic)
{
    struct genhist *h = mem_new(struct genhist);

    h->schema = GENHIST_SCHEMA;
    if (has_classic) {
        h->classic = mem_new_array(double, buckets->n + 1);
        h->exemplars = mem_new_array(struct genhist_exemplar, buckets->n + 1);
    }
    return h;
}

void genhist_free(struct genhist *h)
{
    if (!h)
        return;
    mem_free(h->classic);
    mem_free(h->exemplars);
    vec_done(&h->native);
    mem_free(h);
}

/* ---- native ---- */

static int32_t half_index(int32_t index)
{
    return (index + 1) >> 1; /* upper bounds are included: 1 and 2 become 1 */
}

/* Of schema GENHIST_SCHEMA: v <= 2^(index / 8), and above the bucket before. */
static int32_t index_of(double v)
{
    /* 2^(k / 8) / 2 */
    static const double bounds[] = {0x1p-1,
                                    0x1.172b83c7d517bp-1,
                                    0x1.306fe0a31b715p-1,
                                    0x1.4bfdad5362a27p-1,
                                    0x1.6a09e667f3bcdp-1,
                                    0x1.8ace5422aa0dbp-1,
                                    0x1.ae89f995ad3adp-1,
                                    0x1.d5818dcfba487p-1};
    int exp, k = 0, n = ORR_COUNT(bounds);
    double frac = frexp(v, &exp); /* 0.5 to 1, without 1 */

    static_assert(ORR_COUNT(bounds) == 1 << GENHIST_SCHEMA, "the bounds of an octave");
    while (k < n && bounds[k] < frac)
        k++;
    return k + (exp - 1) * n;
}

static void coarsen(struct genhist *h)
{
    size_t to = 0;

    h->schema--;
    for (size_t i = 0; i < h->native.len; i++) {
        struct genhist_native b = h->native.ptr[i];

        b.index = half_index(b.index);
        if (to && h->native.ptr[to - 1].index == b.index)
            h->native.ptr[to - 1].n += b.n;
        else
            h->native.ptr[to++] = b;
    }
    h->native.len = to;
}

static void add_native(struct genhist *h, double v, double n)
{
    int32_t index = index_of(v);
    size_t at;

    for (int32_t s = GENHIST_SCHEMA; s > h->schema; s--)
        index = half_index(index);
    for (at = h->native.len; at > 0 && h->native.ptr[at - 1].index > index; at--)
        ;
    if (at > 0 && h->native.ptr[at - 1].index == index) {
        h->native.ptr[at - 1].n += n;
        return;
    }
    (void)vec_add(&h->native);
    memmove(&h->native.ptr[at + 1], &h->native.ptr[at],
            (h->native.len - 1 - at) * sizeof(*h->native.ptr));
    h->native.ptr[at] = (struct genhist_native){index, n};
    while (h->native.len > GENHIST_MAX_NATIVE)
        coarsen(h);
}

static size_t count_spans(const struct genhist *h)
{
    size_t n = 0;

    for (size_t i = 0; i < h->native.len; i++)
        n += i == 0 || h->native.ptr[i].index != h->native.ptr[i - 1].index + 1;
    return n;
}

struct histogram genhist_to_native(const struct genhist *h, struct arena *a)
{
    struct histogram_span *spans = arena_array(a, struct histogram_span, count_spans(h));
    double *buckets = arena_array(a, double, h->native.len);
    struct histogram ret = {.schema = h->schema,
                            .is_int = !h->is_fractional,
                            .zero_threshold = GENHIST_ZERO_THRESHOLD,
                            .zero_count = h->zeros,
                            .count = h->count,
                            .sum = h->sum,
                            .pos_spans = spans,
                            .pos_buckets = buckets,
                            .n_pos_buckets = h->native.len};
    int32_t next = 0; /* index behind the last bucket */

    for (size_t i = 0; i < h->native.len; i++) {
        int32_t index = h->native.ptr[i].index;

        buckets[i] = h->native.ptr[i].n;
        if (i == 0 || index != next)
            spans[ret.n_pos_spans++] = (struct histogram_span){index - next, 0};
        spans[ret.n_pos_spans - 1].length++;
        next = index + 1;
    }
    return ret;
}

/* ---- values ---- */

void genhist_observe(struct genhist *h, const struct generator_buckets *buckets, bool has_native,
                     double v, double n, const uint8_t trace[16], int64_t now_ms)
{
    struct genhist_exemplar ex = {.v = v, .t_ms = now_ms};

    memcpy(ex.trace, trace, sizeof(ex.trace));
    h->count += n;
    h->sum += v * n;
    h->is_fractional |= n != floor(n);
    if (h->classic) {
        size_t i = 0;

        while (i < buckets->n && v > buckets->ptr[i])
            i++;
        h->classic[i] += n;
        h->exemplars[i] = ex;
    }
    if (!has_native)
        return;
    h->exemplar = ex;
    if (v > GENHIST_ZERO_THRESHOLD)
        add_native(h, v, n);
    else
        h->zeros += n;
}
