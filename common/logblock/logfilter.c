#include "common/logblock/logfilter.h"

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
    g->has_zero = false;
}

static void grow(struct logfilter_grams *g)
{
    size_t n = g->n_slots ? g->n_slots * 2 : 1024;

    mem_free(g->slots);
    g->slots = mem_new_array(uint32_t, n);
    g->n_slots = n;
    VEC_FOREACH (h, &g->hashes) {
        size_t at = *h & (n - 1);

        if (*h == 0)
            continue;
        while (g->slots[at])
            at = (at + 1) & (n - 1);
        g->slots[at] = *h;
    }
}

static void put(struct logfilter_grams *g, uint32_t h)
{
    size_t at;

    if (h == 0) {
        if (!g->has_zero)
            vec_push(&g->hashes, h);
        g->has_zero = true;
        return;
    }
    if (g->hashes.len * 2 >= g->n_slots)
        grow(g);
    for (at = h & (g->n_slots - 1); g->slots[at]; at = (at + 1) & (g->n_slots - 1))
        if (g->slots[at] == h)
            return;
    g->slots[at] = h;
    vec_push(&g->hashes, h);
}

static uint32_t hash_at(const uint8_t *p)
{
    uint64_t x = 0;

    memcpy(&x, p, LOGFILTER_GRAM);
    return (uint32_t)((x * 0x9e3779b97f4a7c15ull) >> 32);
}

/* The least of each window; ties go to the later one, which stays longer. The last one that was kept is
 * not put again. */
void logfilter_grams_add(struct logfilter_grams *g, struct slice text)
{
    uint32_t window[LOGFILTER_WINDOW];
    size_t n, least = 0, kept = SIZE_MAX;

    if (text.len < LOGFILTER_MIN_NEEDLE)
        return;
    n = text.len - LOGFILTER_GRAM + 1;
    for (size_t i = 0; i < n; i++) {
        uint32_t h = hash_at(text.ptr + i);

        window[i % LOGFILTER_WINDOW] = h;
        if (i == 0 || h <= window[least % LOGFILTER_WINDOW]) {
            least = i;
        } else if (i - least >= LOGFILTER_WINDOW) {
            least = i - LOGFILTER_WINDOW + 1;
            for (size_t k = least + 1; k <= i; k++)
                if (window[k % LOGFILTER_WINDOW] <= window[least % LOGFILTER_WINDOW])
                    least = k;
        }
        if (i + 1 >= LOGFILTER_WINDOW && least != kept) {
            put(g, window[least % LOGFILTER_WINDOW]);
            kept = least;
        }
    }
}

/* ---- the filter of one page ---- */

/* Rows of a class: stripes grow by an eighth or so. */
static uint32_t stripes_of(uint32_t size_class)
{
    return (uint32_t)((8 + size_class % 8) << (size_class / 8)) / 8;
}

#define BITS_PER_GRAM 4
#define MAX_CLASS 160

static uint32_t class_of(size_t n_grams)
{
    uint32_t c = 0;

    while (c < MAX_CLASS && (uint64_t)stripes_of(c) * LOGFILTER_STRIPE < n_grams * BITS_PER_GRAM)
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
    return (size_t)stripes_of(f->size_class) * LOGFILTER_STRIPE / 8;
}

/* The rows of a gram: all in one stripe. */
static void rows_of(uint32_t hash, uint32_t n_stripes, uint32_t *ret)
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
    uint32_t n = stripes_of(f.size_class), rows[LOGFILTER_HASHES];

    f.words = mem_zalloc(logfilter_bits_bytes(&f));
    VEC_FOREACH (h, &g->hashes) {
        rows_of(*h, n, rows);
        for (int k = 0; k < LOGFILTER_HASHES; k++)
            f.words[rows[k] >> 6] |= 1ull << (rows[k] & 63);
    }
    return f;
}

bool logfilter_bits_may(const struct logfilter_bits *f, const struct logfilter_grams *needle)
{
    uint32_t n = stripes_of(f->size_class), rows[LOGFILTER_HASHES];

    VEC_FOREACH (h, &needle->hashes) {
        rows_of(*h, n, rows);
        for (int k = 0; k < LOGFILTER_HASHES; k++)
            if (!(f->words[rows[k] >> 6] >> (rows[k] & 63) & 1))
                return false;
    }
    return true;
}
