#include "ingester/door/fp_cache.h"

#include "common/base/mem.h"

#define FIRST_SLOTS 1024
#define MAX_PROBES 512 /* a bound for hostile fingerprints; 2/3 full needs a handful */

static bool is_free(struct hash128 fp)
{
    return fp.lo == 0 && fp.hi == 0;
}

void fp_cache_init(struct fp_cache *c, size_t max_bytes)
{
    size_t slots = FIRST_SLOTS;

    while (2 * slots * sizeof(struct hash128) <= max_bytes)
        slots *= 2;
    *c = (struct fp_cache){.max_slots = slots};
}

void fp_cache_done(struct fp_cache *c)
{
    mem_free(c->slots);
    *c = (struct fp_cache){0};
}

void fp_cache_clear(struct fp_cache *c)
{
    mem_free(c->slots);
    c->slots = NULL;
    c->mask = c->n = 0;
}

bool fp_cache_has(const struct fp_cache *c, struct hash128 fp)
{
    if (!c->slots || is_free(fp))
        return false;
    for (size_t i = 0; i < MAX_PROBES; i++) {
        const struct hash128 *s = &c->slots[(fp.lo + i) & c->mask];

        if (hash128_eq(*s, fp))
            return true;
        if (is_free(*s))
            return false;
    }
    return false;
}

static void put(struct fp_cache *c, struct hash128 fp)
{
    for (size_t i = 0; i < MAX_PROBES; i++) {
        struct hash128 *s = &c->slots[(fp.lo + i) & c->mask];

        if (hash128_eq(*s, fp))
            return;
        if (is_free(*s)) {
            *s = fp;
            c->n++;
            return;
        }
    }
    c->slots[fp.lo & c->mask] = fp;
    c->evictions++;
}

static void grow(struct fp_cache *c)
{
    struct fp_cache next = *c;
    size_t slots = c->slots ? 2 * (c->mask + 1) : FIRST_SLOTS;

    next.slots = mem_calloc(slots, sizeof(struct hash128));
    next.mask = slots - 1;
    next.n = 0;
    for (size_t i = 0; c->slots && i <= c->mask; i++)
        if (!is_free(c->slots[i]))
            put(&next, c->slots[i]);
    mem_free(c->slots);
    *c = next;
}

void fp_cache_add(struct fp_cache *c, struct hash128 fp)
{
    if (is_free(fp))
        return;
    if (!c->slots || 3 * (c->n + 1) > 2 * (c->mask + 1)) {
        if (!c->slots || c->mask + 1 < c->max_slots) {
            grow(c);
        } else if (!fp_cache_has(c, fp)) {
            c->slots[fp.lo & c->mask] = fp;
            c->evictions++;
            return;
        }
    }
    put(c, fp);
}

size_t fp_cache_bytes(const struct fp_cache *c)
{
    return c->slots ? (c->mask + 1) * sizeof(struct hash128) : 0;
}
