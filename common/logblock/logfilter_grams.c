#include "common/base/mem.h"
#include "common/logblock/logfilter_internal.h"

#ifdef __x86_64__
#include <immintrin.h>
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

/* Room for n more, in a table of which half is free then. */
static void make_room(struct logfilter_grams *g, size_t n)
{
    size_t n_slots = ORR_MAX(g->n_slots, (size_t)1024);

    vec_reserve(&g->hashes, n);
    while (n_slots < (g->hashes.len + n) * 2)
        n_slots *= 2;
    if (n_slots == g->n_slots)
        return;
    mem_free(g->slots);
    g->slots = mem_new_array(uint32_t, n_slots);
    g->n_slots = n_slots;
    VEC_FOREACH (h, &g->hashes) {
        size_t at = *h >> 1 & (n_slots - 1);

        while (g->slots[at])
            at = (at + 1) & (n_slots - 1);
        g->slots[at] = *h;
    }
}

/*
 * There is room for them. Whether one is there already is as good as random, and no branch here asks for it: as a
 * rule one finds a free slot, or itself, at once.
 */
static void put(struct logfilter_grams *g, const uint32_t *h, size_t n)
{
    uint32_t *slots = g->slots, *hashes = g->hashes.ptr;
    size_t mask = g->n_slots - 1, len = g->hashes.len;

    for (size_t i = 0; i < n; i++) {
        size_t at = h[i] >> 1 & mask;

        while ((slots[at] != 0) & (slots[at] != h[i]))
            at = (at + 1) & mask;
        hashes[len] = h[i];
        len += slots[at] == 0;
        slots[at] = h[i];
    }
    g->hashes.len = len;
}

/* ---- the least of each window ---- */

static_assert(LOGFILTER_GRAM == 6 && LOGFILTER_WINDOW == 4, "what is written out below");

#define MULTIPLIER (0x9e3779b97f4a7c15ull << 16) /* six of eight bytes count */

static uint32_t hash_of(uint64_t gram)
{
    return (uint32_t)(gram * MULTIPLIER >> 32) | 1; /* 0 is none */
}

void logfilter_kept_portable(const uint8_t *text, size_t n, struct logfilter_kept *k)
{
    uint32_t h[LOGFILTER_BATCH + LOGFILTER_WINDOW - 1] = {0}, before = k->before;
    uint64_t gram = 0;

    memset(k->changes, 0, sizeof(k->changes));
    for (size_t i = 0; i < n + LOGFILTER_MIN_NEEDLE - 1; i++) {
        gram = gram >> 8 | (uint64_t)text[i] << 40;
        if (i >= LOGFILTER_GRAM - 1)
            h[i - LOGFILTER_GRAM + 1] = hash_of(gram);
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t least = h[i];

        for (size_t j = 1; j < LOGFILTER_WINDOW; j++)
            least = ORR_MIN(least, h[i + j]);
        k->least[i] = least;
        k->changes[i / 64] |= (uint64_t)(least != before) << (i % 64);
        before = least;
    }
    k->before = before;
}

#ifdef __x86_64__
#define AVX2 __attribute__((target("avx2")))

/* Which of sixteen bytes are the low four of eight grams in a row, and which their fifth and sixth, above. */
#define LOW(i) (i), (i) + 1, (i) + 2, (i) + 3
#define HIGH(i) -1, -1, (i) + 4, (i) + 5

/*
 * The hashes of the eight grams that begin in the first eight of x: of a gram (b << 16 | a) + (c << 32), with the multiplier
 * (k << 16) + (m << 32), the upper half of the product is (k * a >> 16) + k * b + m * (b << 16 | a) + (k * c << 16).
 */
AVX2 static inline __m256i hash8(__m128i x)
{
    const __m256i low_bytes =
        _mm256_setr_epi8(LOW(0), LOW(1), LOW(2), LOW(3), LOW(4), LOW(5), LOW(6), LOW(7));
    const __m256i high_bytes =
        _mm256_setr_epi8(HIGH(0), HIGH(1), HIGH(2), HIGH(3), HIGH(4), HIGH(5), HIGH(6), HIGH(7));
    const __m256i k = _mm256_set1_epi16((short)(MULTIPLIER >> 16 & 0xffff)),
                  m = _mm256_set1_epi32((int)(MULTIPLIER >> 32));
    __m256i twice = _mm256_broadcastsi128_si256(x), low = _mm256_shuffle_epi8(twice, low_bytes),
            high = _mm256_shuffle_epi8(twice, high_bytes), sum;

    sum = _mm256_add_epi32(_mm256_mulhi_epu16(low, k),
                           _mm256_srli_epi32(_mm256_mullo_epi16(low, k), 16));
    sum = _mm256_add_epi32(sum, _mm256_mullo_epi16(high, k));
    sum = _mm256_add_epi32(sum, _mm256_mullo_epi32(low, m));
    return _mm256_or_si256(sum, _mm256_set1_epi32(1));
}

/* The least of each of eight windows: a has the hashes at their beginnings, b the next eight. */
AVX2 static inline __m256i least8(__m256i a, __m256i b)
{
    __m256i mid = _mm256_permute2x128_si256(a, b, 0x21);

    return _mm256_min_epu32(
        _mm256_min_epu32(a, _mm256_alignr_epi8(mid, a, 4)),
        _mm256_min_epu32(_mm256_alignr_epi8(mid, a, 8), _mm256_alignr_epi8(mid, a, 12)));
}

AVX2 static inline __m128i load16(const void *p)
{
    return _mm_loadu_si128((const __m128i *)p);
}

/* Sixteen bytes from at on, of a text of len, 16 or more; zeros behind it. */
AVX2 static inline __m128i bytes_at(const uint8_t *text, size_t len, size_t at)
{
    static const int8_t shift[48] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11,
                                     12, 13, 14, 15, -1, -1, -1, -1, -1, -1, -1, -1,
                                     -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1,
                                     -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};

    if (at + 16 <= len)
        return load16(text + at);
    return _mm_shuffle_epi8(load16(text + len - 16), load16(shift + ORR_MIN(at + 16 - len, 32u)));
}

AVX2 static void kept_avx2(const uint8_t *text, size_t n, struct logfilter_kept *k)
{
    size_t len = n + LOGFILTER_MIN_NEEDLE - 1;
    __m256i h = hash8(bytes_at(text, len, 0)), before = _mm256_set1_epi32((int)k->before);
    uint8_t *changes = (uint8_t *)k->changes;

    for (size_t i = 0; i < n; i += 8) {
        __m256i next = hash8(bytes_at(text, len, i + 8)), least = least8(h, next);
        __m256i mid = _mm256_permute2x128_si256(before, least, 0x21);
        __m256i same = _mm256_cmpeq_epi32(least, _mm256_alignr_epi8(least, mid, 12));

        _mm256_storeu_si256((__m256i *)(void *)(k->least + i), least);
        changes[i / 8] = (uint8_t)~_mm256_movemask_ps(_mm256_castsi256_ps(same));
        h = next;
        before = least;
    }
    for (size_t i = (n + 7) / 8; i % 8; i++)
        changes[i] = 0;
    if (n % 8)
        changes[n / 8] &= (uint8_t)(0xff >> (8 - n % 8));
    k->before = k->least[n - 1];
}
#endif

void logfilter_kept_of(const uint8_t *text, size_t n, struct logfilter_kept *k)
{
#ifdef __x86_64__
    if (n + LOGFILTER_MIN_NEEDLE - 1 >= 16 && __builtin_cpu_supports("avx2")) {
        kept_avx2(text, n, k);
        return;
    }
#endif
    logfilter_kept_portable(text, n, k);
}

/*
 * The table of all is larger than the nearest caches, so it is asked for ahead; and what is in recent, which is
 * near, is in it already.
 */
static void put_kept(struct logfilter_grams *g, const struct logfilter_kept *k, size_t n)
{
    uint32_t fresh[LOGFILTER_BATCH];
    size_t n_fresh = 0;

    for (size_t start = 0; start < n; start += 64)
        for (uint64_t changes = k->changes[start / 64]; changes; changes &= changes - 1) {
            uint32_t h = k->least[start + (size_t)__builtin_ctzll(changes)];
            uint16_t *seen = &g->recent[h >> 17], rest = (uint16_t)(h >> 1);

            fresh[n_fresh] = h;
            n_fresh += (*seen != rest) | (rest == 0);
            *seen = rest;
        }
    make_room(g, n_fresh);
    for (size_t i = 0; i < n_fresh; i++)
        __builtin_prefetch(&g->slots[fresh[i] >> 1 & (g->n_slots - 1)], 1);
    put(g, fresh, n_fresh);
}

void logfilter_grams_add(struct logfilter_grams *g, struct slice text)
{
    struct logfilter_kept k;
    size_t n;

    if (text.len < LOGFILTER_MIN_NEEDLE)
        return;
    n = text.len - LOGFILTER_MIN_NEEDLE + 1; /* windows */
    k.before = 0;
    for (size_t start = 0; start < n; start += LOGFILTER_BATCH) {
        size_t m = ORR_MIN(n - start, (size_t)LOGFILTER_BATCH);

        logfilter_kept_of(text.ptr + start, m, &k);
        put_kept(g, &k, m);
    }
}
