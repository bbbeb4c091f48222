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
