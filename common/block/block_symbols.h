/*
 * The strings and label pairs of a block being written, by ids in the order they came. Within
 * common/block, and common/logblock.
 *
 * Owner: the writer.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/vec.h"

struct block_symbols_string {
    struct slice s;
    uint32_t hash;
};

struct block_symbols_pair {
    uint32_t name, value; /* string ids */
    uint32_t count;       /* series that have it */
};

struct block_symbols {
    struct arena *arena;
    VEC(struct block_symbols_string) strings;
    VEC(struct block_symbols_pair) pairs;
    uint32_t *string_slots, *pair_slots; /* id + 1, 0 is free; capacities are powers of two */
    size_t string_cap, pair_cap;
    uint64_t total_pairs; /* sum of the counts */
};

void block_symbols_init(struct block_symbols *s);
void block_symbols_done(struct block_symbols *s);
uint32_t block_symbols_string(struct block_symbols *s, struct slice text);
/* The pair's id; counts one series more. */
uint32_t block_symbols_pair(struct block_symbols *s, struct slice name, struct slice value);
/* ret_order: string ids in byte order. ret_rank: of each id its place in it. Caller frees both. */
void block_symbols_sort(const struct block_symbols *s, uint32_t **ret_order, uint32_t **ret_rank);
/* Pair ids by name and value. Caller frees. */
uint32_t *block_symbols_sort_pairs(const struct block_symbols *s, const uint32_t *rank);
