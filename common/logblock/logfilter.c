#include "common/base/reader.h"
#include "common/logblock/logfilter_internal.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

void logfilter_grams_done(struct logfilter_grams *g)
{
    vec_done(&g->hashes);
    mem_free(g->slots);
    *g = (struct logfilter_grams){0};
}

void logfilter_grams_clear(struct logfilter_grams *g)
{
    vec_clear(&g->hashes);
    if (g->slots)
        memset(g->slots, 0, g->n_slots * sizeof(*g->slots));
    memset(g->recent, 0, sizeof(g->recent));
}

static void grow(struct logfilter_grams *g)
{
    size_t n = g->n_slots ? g->n_slots * 2 : 1024;

    mem_free(g->slots);
    g->slots = mem_new_array(uint32_t, n);
    g->n_slots = n;
    VEC_FOREACH (h, &g->hashes) {
        size_t at = *h >> 1 & (n - 1);

        while (g->slots[at])
            at = (at + 1) & (n - 1);
        g->slots[at] = *h;
    }
}

static void put(struct logfilter_grams *g, uint32_t h)
{
    size_t at;

    if (g->hashes.len * 2 >= g->n_slots)
        grow(g);
    for (at = h >> 1 & (g->n_slots - 1); g->slots[at]; at = (at + 1) & (g->n_slots - 1))
        if (g->slots[at] == h)
            return;
    g->slots[at] = h;
    vec_push(&g->hashes, h);
}

static uint32_t hash_at(const uint8_t *p)
{
    uint64_t x;

    memcpy(&x, p, sizeof(x));
    return (uint32_t)((x << 16) * 0x9e3779b97f4a7c15ull >> 32) | 1; /* 0 is none */
}

static uint32_t hash_near_end(const uint8_t *p)
{
    uint8_t padded[sizeof(uint64_t)] = {0};

    memcpy(padded, p, LOGFILTER_GRAM);
    return hash_at(padded);
}

#define BATCH 1024
#define BEYOND 8 /* hashes behind a batch that four at once read, but no window has */

#ifdef __SSE2__
static __m128i load4(const uint32_t *p)
{
    return _mm_loadu_si128((const __m128i *)(const void *)p);
}

static void store4(uint32_t *p, __m128i v)
{
    _mm_storeu_si128((__m128i *)(void *)p, v);
}

/* As signed numbers: there is no instruction for others. */
static __m128i min4(__m128i a, __m128i b)
{
    __m128i is_b = _mm_cmpgt_epi32(a, b);

    return _mm_or_si128(_mm_and_si128(is_b, b), _mm_andnot_si128(is_b, a));
}
#endif

/* The least of each window of h[0 … n + WINDOW - 1), into least[0 … n); h is overwritten. Behind them BEYOND more
 * can be read and written, of least up to a multiple of four. */
static void find_least(uint32_t *restrict h, size_t n, uint32_t *restrict least)
{
    static_assert(LOGFILTER_WINDOW == 7, "2 and 2, 4 and 4 less one");
#ifdef __SSE2__
    const __m128i sign = _mm_set1_epi32(INT32_MIN);

    for (size_t i = 0; i < n + 5; i += 4)
        store4(h + i,
               min4(_mm_xor_si128(load4(h + i), sign), _mm_xor_si128(load4(h + i + 1), sign)));
    for (size_t i = 0; i < n + 3; i += 4)
        store4(h + i, min4(load4(h + i), load4(h + i + 2)));
    for (size_t i = 0; i < n; i += 4)
        store4(least + i, _mm_xor_si128(min4(load4(h + i), load4(h + i + 3)), sign));
#else
    for (size_t i = 0; i < n + 5; i++)
        h[i] = ORR_MIN(h[i], h[i + 1]);
    for (size_t i = 0; i < n + 3; i++)
        h[i] = ORR_MIN(h[i], h[i + 2]);
    for (size_t i = 0; i < n; i++)
        least[i] = ORR_MIN(h[i], h[i + 3]);
#endif
}

/* Bit i: least[i] is another than the one before it; there is one before the first. n: at most 64. */
static uint64_t changes_of(const uint32_t *least, size_t n)
{
    uint64_t same = 0;

#ifdef __SSE2__
    for (size_t i = 0; i < n; i += 4) {
        __m128i is_same = _mm_cmpeq_epi32(load4(least + i), load4(least + i - 1));

        same |= (uint64_t)(unsigned)_mm_movemask_ps(_mm_castsi128_ps(is_same)) << i;
    }
#else
    for (size_t i = 0; i < n; i++)
        same |= (uint64_t)(least[i] == least[i - 1]) << i;
#endif
    return ~same & UINT64_MAX >> (64 - n);
}

/*
 * The table of all is larger than the nearest caches, so it is asked for ahead; and what is in recent, which is
 * near, is in it already.
 */
static void put_least(struct logfilter_grams *g, const uint32_t *least, size_t n)
{
    uint32_t fresh[BATCH];
    size_t n_fresh = 0;

    for (size_t start = 0; start < n; start += 64) {
        uint64_t changes = changes_of(least + start, ORR_MIN(n - start, (size_t)64));

        for (; changes; changes &= changes - 1) {
            uint32_t h = least[start + (size_t)__builtin_ctzll(changes)],
                     *seen = &g->recent[h >> 20];

            fresh[n_fresh] = h;
            n_fresh += *seen != h;
            *seen = h;
            if (g->slots)
                __builtin_prefetch(&g->slots[h >> 1 & (g->n_slots - 1)], 1);
        }
    }
    for (size_t i = 0; i < n_fresh; i++)
        put(g, fresh[i]);
}

void logfilter_grams_add(struct logfilter_grams *g, struct slice text)
{
    uint32_t h[BATCH + LOGFILTER_WINDOW + BEYOND], least[1 + BATCH];
    size_t n;

    if (text.len < LOGFILTER_MIN_NEEDLE)
        return;
    n = text.len - LOGFILTER_MIN_NEEDLE + 1; /* windows */
    least[0] = 0;                            /* the one before the first */
    for (size_t start = 0; start < n; start += BATCH) {
        size_t k = ORR_MIN(n - start, (size_t)BATCH), n_grams = k + LOGFILTER_WINDOW - 1, i = 0;
        const uint8_t *p = text.ptr + start;
        size_t whole = text.len - start >= 8 ? text.len - start - 7 : 0;

        for (size_t end = ORR_MIN(n_grams, whole); i < end; i++)
            h[i] = hash_at(p + i);
        for (; i < n_grams; i++)
            h[i] = hash_near_end(p + i);
        memset(h + i, 0, BEYOND * sizeof(*h));
        find_least(h, k, least + 1);
        put_least(g, least + 1, k);
        least[0] = least[k];
    }
}

/* ---- the filter of one page ---- */

uint32_t logfilter_stripes(uint32_t size_class)
{
    return (uint32_t)((8 + size_class % 8) << (size_class / 8)) / 8;
}

#define BITS_PER_GRAM 4

static uint32_t class_of(size_t n_grams)
{
    uint32_t c = 0;

    while (c < LOGFILTER_MAX_CLASS &&
           (uint64_t)logfilter_stripes(c) * LOGFILTER_STRIPE < n_grams * BITS_PER_GRAM)
        c++;
    return c;
}

void logfilter_bits_done(struct logfilter_bits *f)
{
    mem_free(f->words);
    *f = (struct logfilter_bits){0};
}

size_t logfilter_bits_bytes(const struct logfilter_bits *f)
{
    return (size_t)logfilter_stripes(f->size_class) * LOGFILTER_STRIPE / 8;
}

void logfilter_rows(uint32_t hash, uint32_t n_stripes, uint32_t *ret)
{
    uint64_t x = (hash ^ 0x5bd1e995ull) * 0xff51afd7ed558ccdull, y;
    uint32_t stripe = (uint32_t)((x >> 32) * n_stripes >> 32);

    x ^= x >> 29;
    y = x * 0xc4ceb9fe1a85ec53ull >> 32;
    for (int k = 0; k < LOGFILTER_HASHES; k++, y >>= 8)
        ret[k] = stripe * LOGFILTER_STRIPE + (uint32_t)(y & (LOGFILTER_STRIPE - 1));
}

struct logfilter_bits logfilter_bits_of(const struct logfilter_grams *g)
{
    struct logfilter_bits f = {.size_class = class_of(g->hashes.len)};
    uint32_t n = logfilter_stripes(f.size_class), rows[LOGFILTER_HASHES];

    f.words = mem_zalloc(logfilter_bits_bytes(&f));
    VEC_FOREACH (h, &g->hashes) {
        logfilter_rows(*h, n, rows);
        for (int k = 0; k < LOGFILTER_HASHES; k++)
            f.words[rows[k] >> 6] |= 1ull << (rows[k] & 63);
    }
    return f;
}

void logfilter_bits_write(const struct logfilter_bits *f, struct buf *out)
{
    for (size_t i = 0; i < logfilter_bits_bytes(f) / 8; i++)
        buf_u64le(out, f->words[i]);
}

bool logfilter_bits_read(uint32_t size_class, struct slice bytes, struct logfilter_bits *ret)
{
    struct logfilter_bits f = {.size_class = size_class};
    struct reader r = reader_new(bytes);

    if (size_class > LOGFILTER_MAX_CLASS || logfilter_bits_bytes(&f) != bytes.len)
        return false;
    f.words = mem_alloc(bytes.len);
    for (size_t i = 0; i < bytes.len / 8; i++)
        f.words[i] = reader_u64le(&r);
    *ret = f;
    return true;
}

bool logfilter_bits_may(const struct logfilter_bits *f, const struct logfilter_grams *needle)
{
    uint32_t n = logfilter_stripes(f->size_class), rows[LOGFILTER_HASHES];

    VEC_FOREACH (h, &needle->hashes) {
        logfilter_rows(*h, n, rows);
        for (int k = 0; k < LOGFILTER_HASHES; k++)
            if (!(f->words[rows[k] >> 6] >> (rows[k] & 63) & 1))
                return false;
    }
    return true;
}
