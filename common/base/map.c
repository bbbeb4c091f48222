#include "common/base/map.h"

#include "common/base/hash.h"
#include "common/base/mem.h"

/* Linear probing, power-of-two capacity, at most 3/4 full; deletion moves followers back, so
 * there are no tombstones. */

static size_t find(const struct map *m, struct slice key, uint64_t hash)
{
    size_t i = hash & (m->cap - 1);

    while (m->slots[i].key.ptr && !(m->slots[i].hash == hash && slice_eq(m->slots[i].key, key)))
        i = (i + 1) & (m->cap - 1);
    return i;
}

static void grow(struct map *m)
{
    struct map_entry *old = m->slots;
    size_t old_cap = m->cap;

    m->cap = old_cap ? old_cap * 2 : 8;
    m->slots = mem_new_array(struct map_entry, m->cap);
    for (size_t i = 0; i < old_cap; i++)
        if (old[i].key.ptr)
            m->slots[find(m, old[i].key, old[i].hash)] = old[i];
    mem_free(old);
}

void map_done(struct map *m)
{
    for (size_t i = 0; i < m->cap; i++)
        mem_free((void *)m->slots[i].key.ptr);
    mem_free(m->slots);
    *m = (struct map){0};
}

static struct map_entry *lookup(const struct map *m, struct slice key)
{
    struct map_entry *e;

    if (!m->len)
        return NULL;
    e = &m->slots[find(m, key, hash_xxh64(key, 0))];
    return e->key.ptr ? e : NULL;
}

void *map_get(const struct map *m, struct slice key)
{
    struct map_entry *e = lookup(m, key);

    return e ? e->value : NULL;
}

bool map_has(const struct map *m, struct slice key)
{
    return lookup(m, key) != NULL;
}

void **map_slot(struct map *m, struct slice key)
{
    uint64_t hash = hash_xxh64(key, 0);
    struct map_entry *e;

    if ((m->len + 1) * 4 > m->cap * 3)
        grow(m);
    e = &m->slots[find(m, key, hash)];
    if (!e->key.ptr) {
        *e = (struct map_entry){slice_of(mem_dup(key.ptr, key.len), key.len), hash, NULL};
        m->len++;
    }
    return &e->value;
}

void *map_put(struct map *m, struct slice key, void *value)
{
    void **slot = map_slot(m, key);
    void *old = *slot;

    *slot = value;
    return old;
}

void *map_del(struct map *m, struct slice key)
{
    struct map_entry *e = lookup(m, key);
    size_t hole, i;
    void *value;

    if (!e)
        return NULL;
    value = e->value;
    mem_free((void *)e->key.ptr);
    hole = i = (size_t)(e - m->slots);
    for (;;) {
        size_t home;

        i = (i + 1) & (m->cap - 1);
        if (!m->slots[i].key.ptr)
            break;
        home = m->slots[i].hash & (m->cap - 1);
        if (((i - home) & (m->cap - 1)) >= ((i - hole) & (m->cap - 1))) {
            m->slots[hole] = m->slots[i];
            hole = i;
        }
    }
    m->slots[hole] = (struct map_entry){0};
    m->len--;
    return value;
}

struct map_entry *map_next(const struct map *m, struct map_entry *prev)
{
    for (size_t i = prev ? (size_t)(prev - m->slots) + 1 : 0; i < m->cap; i++)
        if (m->slots[i].key.ptr)
            return &m->slots[i];
    return NULL;
}
