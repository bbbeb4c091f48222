#include "common/base/reader.h"
#include "common/logblock/logfilter_internal.h"

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

/* Where the bits of a gram are: a byte of places for each, and the stripe. */
static inline uint64_t places_of(uint32_t hash, uint32_t n_stripes, uint32_t *ret_stripe)
{
    uint64_t x = (hash ^ 0x5bd1e995ull) * 0xff51afd7ed558ccdull;

    *ret_stripe = (uint32_t)((x >> 32) * n_stripes >> 32);
    x ^= x >> 29;
    return x * 0xc4ceb9fe1a85ec53ull >> 32;
}

void logfilter_rows(uint32_t hash, uint32_t n_stripes, uint32_t *ret)
{
    uint32_t stripe;
    uint64_t places = places_of(hash, n_stripes, &stripe);

    for (int k = 0; k < LOGFILTER_HASHES; k++, places >>= 8)
        ret[k] = stripe * LOGFILTER_STRIPE + (uint32_t)(places & (LOGFILTER_STRIPE - 1));
}

static_assert(LOGFILTER_STRIPE == 64 && LOGFILTER_HASHES == 3, "a page's stripe is a word");

/* The bits of a gram in the word of its stripe. */
static inline uint64_t mask_of(uint32_t hash, uint32_t n_stripes, uint32_t *ret_stripe)
{
    uint64_t places = places_of(hash, n_stripes, ret_stripe);

    return 1ull << (places & 63) | 1ull << (places >> 8 & 63) | 1ull << (places >> 16 & 63);
}

struct logfilter_bits logfilter_bits_of(const struct logfilter_grams *g)
{
    struct logfilter_bits f = {.size_class = class_of(g->hashes.len)};
    uint32_t n = logfilter_stripes(f.size_class), stripe;

    f.words = mem_zalloc(logfilter_bits_bytes(&f));
    VEC_FOREACH (h, &g->hashes) {
        uint64_t mask = mask_of(*h, n, &stripe);

        f.words[stripe] |= mask;
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
    uint32_t n = logfilter_stripes(f->size_class), stripe;

    VEC_FOREACH (h, &needle->hashes) {
        uint64_t mask = mask_of(*h, n, &stripe);

        if ((f->words[stripe] & mask) != mask)
            return false;
    }
    return true;
}
