/*
 * A hash map from bytes to a pointer; open addressing, keys copied. For tables off the hottest
 * paths (tenants, peers, handlers). Iteration order is unspecified; nothing may be inserted or
 * deleted while iterating.
 *
 * Owner: one thread.
 */
#pragma once
#include "common/base/slice.h"

struct map_entry {
    struct slice key; /* owned by the map */
    uint64_t hash;
    void *value;
};

struct map {
    struct map_entry *slots; /* key.ptr NULL: free */
    size_t len, cap;
};

void map_done(struct map *m);                         /* values are the caller's */
void *map_get(const struct map *m, struct slice key); /* NULL if absent */
bool map_has(const struct map *m, struct slice key);
/* Returns the value that was there before, or NULL. */
void *map_put(struct map *m, struct slice key, void *value);
/* Address of the value slot; inserts NULL if absent. Valid until the next insert. */
void **map_slot(struct map *m, struct slice key);
/* Returns the removed value, or NULL. */
void *map_del(struct map *m, struct slice key);
struct map_entry *map_next(const struct map *m, struct map_entry *prev); /* prev NULL: first */

#define MAP_FOREACH(e, m) for (struct map_entry *e = map_next((m), NULL); e; e = map_next((m), e))
