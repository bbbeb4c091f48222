#include "common/base/distinct.h"

#include <math.h>

#include "common/base/hash.h"

#define REGISTERS (1u << DISTINCT_BITS)
#define SEED 0x64697374ull
#define FIRST_CAP 8

/* False: it was there. There is room. */
static bool put(uint64_t *hashes, uint32_t cap, uint64_t h)
{
    uint32_t i = (uint32_t)h & (cap - 1);

    while (hashes[i] && hashes[i] != h)
        i = (i + 1) & (cap - 1);
    if (hashes[i])
        return false;
    hashes[i] = h;
    return true;
}

/* A register holds how far down the first one stood among the hashes that chose it. */
static void mark(uint8_t *registers, uint64_t h)
{
    uint64_t rest = h << DISTINCT_BITS;
    uint8_t rank = rest ? (uint8_t)(__builtin_clzll(rest) + 1) : 64 - DISTINCT_BITS + 1;
    uint8_t *at = &registers[h >> (64 - DISTINCT_BITS)];

    if (rank > *at)
        *at = rank;
}

static void estimate_from_now_on(struct distinct *d, struct arena *a)
{
    d->registers = arena_zalloc(a, REGISTERS);
    for (uint32_t i = 0; i < d->cap; i++)
        if (d->hashes[i])
            mark(d->registers, d->hashes[i]);
    d->hashes = NULL;
}

static void grow(struct distinct *d, struct arena *a)
{
    uint32_t cap = d->cap ? d->cap * 2 : FIRST_CAP;
    uint64_t *hashes = arena_array(a, uint64_t, cap);

    for (uint32_t i = 0; i < d->cap; i++)
        if (d->hashes[i])
            (void)put(hashes, cap, d->hashes[i]);
    d->hashes = hashes;
    d->cap = cap;
}

void distinct_add(struct distinct *d, struct arena *a, struct slice text)
{
    uint64_t h = hash_xxh64(text, SEED);

    h += h == 0; /* 0 is a free place */
    if (d->registers) {
        mark(d->registers, h);
        return;
    }
    if (d->n * 4 >= d->cap * 3)
        grow(d, a);
    d->n += put(d->hashes, d->cap, h);
    if (d->n > DISTINCT_EXACT)
        estimate_from_now_on(d, a);
}

uint64_t distinct_count(const struct distinct *d)
{
    const double m = REGISTERS, alpha = 0.7213 / (1 + 1.079 / m);
    double sum = 0, estimate;
    uint32_t empty = 0;

    if (!d->registers)
        return d->n;
    for (uint32_t i = 0; i < REGISTERS; i++) {
        sum += ldexp(1, -d->registers[i]);
        empty += d->registers[i] == 0;
    }
    estimate = alpha * m * m / sum;
    if (estimate <= 2.5 * m && empty) /* few: by the registers that nothing chose */
        estimate = m * log(m / empty);
    return (uint64_t)llround(estimate);
}
