#include "common/block/block_symbols.h"

#include <stdlib.h>

#include "common/base/hash.h"

#define SYMBOLS_FIRST_CAP 1024

void block_symbols_init(struct block_symbols *s)
{
    *s = (struct block_symbols){.arena = arena_new(0)};
    s->string_cap = s->pair_cap = SYMBOLS_FIRST_CAP;
    s->string_slots = mem_new_array(uint32_t, s->string_cap);
    s->pair_slots = mem_new_array(uint32_t, s->pair_cap);
}

void block_symbols_done(struct block_symbols *s)
{
    if (s->arena)
        arena_free(s->arena);
    vec_done(&s->strings);
    vec_done(&s->pairs);
    mem_free(s->string_slots);
    mem_free(s->pair_slots);
}

static uint32_t pair_hash(uint32_t name, uint32_t value)
{
    uint64_t h = ((uint64_t)name << 32 | value) * 0x9e3779b97f4a7c15ull;

    return (uint32_t)(h >> 32);
}

static void grow_strings(struct block_symbols *s)
{
    mem_free(s->string_slots);
    s->string_cap *= 2;
    s->string_slots = mem_new_array(uint32_t, s->string_cap);
    for (size_t i = 0; i < s->strings.len; i++) {
        size_t at = s->strings.ptr[i].hash & (s->string_cap - 1);

        while (s->string_slots[at])
            at = (at + 1) & (s->string_cap - 1);
        s->string_slots[at] = (uint32_t)i + 1;
    }
}

uint32_t block_symbols_string(struct block_symbols *s, struct slice text)
{
    uint32_t hash = (uint32_t)hash_xxh64(text, 0);
    size_t at = hash & (s->string_cap - 1);

    for (; s->string_slots[at]; at = (at + 1) & (s->string_cap - 1)) {
        struct block_symbols_string *x = &s->strings.ptr[s->string_slots[at] - 1];

        if (x->hash == hash && slice_eq(x->s, text))
            return s->string_slots[at] - 1;
    }
    vec_push(&s->strings, ((struct block_symbols_string){arena_dup(s->arena, text), hash}));
    s->string_slots[at] = (uint32_t)s->strings.len;
    if (s->strings.len * 2 > s->string_cap)
        grow_strings(s);
    return (uint32_t)s->strings.len - 1;
}

static void grow_pairs(struct block_symbols *s)
{
    mem_free(s->pair_slots);
    s->pair_cap *= 2;
    s->pair_slots = mem_new_array(uint32_t, s->pair_cap);
    for (size_t i = 0; i < s->pairs.len; i++) {
        size_t at = pair_hash(s->pairs.ptr[i].name, s->pairs.ptr[i].value) & (s->pair_cap - 1);

        while (s->pair_slots[at])
            at = (at + 1) & (s->pair_cap - 1);
        s->pair_slots[at] = (uint32_t)i + 1;
    }
}

uint32_t block_symbols_pair(struct block_symbols *s, struct slice name, struct slice value)
{
    uint32_t n = block_symbols_string(s, name), v = block_symbols_string(s, value);
    size_t at = pair_hash(n, v) & (s->pair_cap - 1);

    s->total_pairs++;
    for (; s->pair_slots[at]; at = (at + 1) & (s->pair_cap - 1)) {
        struct block_symbols_pair *p = &s->pairs.ptr[s->pair_slots[at] - 1];

        if (p->name == n && p->value == v) {
            p->count++;
            return s->pair_slots[at] - 1;
        }
    }
    vec_push(&s->pairs, ((struct block_symbols_pair){n, v, 1}));
    s->pair_slots[at] = (uint32_t)s->pairs.len;
    if (s->pairs.len * 2 > s->pair_cap)
        grow_pairs(s);
    return (uint32_t)s->pairs.len - 1;
}

static int by_text(const void *a, const void *b, void *arg)
{
    const struct block_symbols *s = arg;

    return slice_cmp(s->strings.ptr[*(const uint32_t *)a].s,
                     s->strings.ptr[*(const uint32_t *)b].s);
}

void block_symbols_sort(const struct block_symbols *s, uint32_t **ret_order, uint32_t **ret_rank)
{
    uint32_t *order = mem_new_array(uint32_t, s->strings.len + 1);
    uint32_t *rank = mem_new_array(uint32_t, s->strings.len + 1);

    for (size_t i = 0; i < s->strings.len; i++)
        order[i] = (uint32_t)i;
    qsort_r(order, s->strings.len, sizeof(*order), by_text, (void *)s);
    for (size_t i = 0; i < s->strings.len; i++)
        rank[order[i]] = (uint32_t)i;
    *ret_order = order;
    *ret_rank = rank;
}

struct pair_order {
    const struct block_symbols_pair *pairs;
    const uint32_t *rank;
};

static int by_rank(const void *a, const void *b, void *arg)
{
    const struct pair_order *o = arg;
    const struct block_symbols_pair *x = &o->pairs[*(const uint32_t *)a];
    const struct block_symbols_pair *y = &o->pairs[*(const uint32_t *)b];
    uint64_t kx = (uint64_t)o->rank[x->name] << 32 | o->rank[x->value];
    uint64_t ky = (uint64_t)o->rank[y->name] << 32 | o->rank[y->value];

    return (kx > ky) - (kx < ky);
}

uint32_t *block_symbols_sort_pairs(const struct block_symbols *s, const uint32_t *rank)
{
    uint32_t *order = mem_new_array(uint32_t, s->pairs.len + 1);
    struct pair_order o = {s->pairs.ptr, rank};

    for (size_t i = 0; i < s->pairs.len; i++)
        order[i] = (uint32_t)i;
    qsort_r(order, s->pairs.len, sizeof(*order), by_rank, &o);
    return order;
}
