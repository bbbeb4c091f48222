/*
 * The reader's insides, for block_reader.c, block_select.c and block_ahead.c.
 */
#pragma once
#include "common/block/block_external.h"
#include "common/block/block_index.h"
#include "common/block/block_reader.h"
#include "common/block/block_starts.h"
#include "common/block/block_tombstones.h"

struct block_reader {
    struct block_source *src;
    struct arena *arena; /* of meta */
    struct block_meta meta;
    struct block_index index;
    struct block_external external;
    struct block_tombstones tombstones;
    struct block_starts starts;
    bool has_bad_starts;
};

/* Label refs and chunk metas of a series entry, without making labels of them; lent by h, which may be NULL,
 * if that holds it, else in the arena if the index is not at hand whole. */
struct block_reader_entry {
    struct slice labels, chunks; /* encoded */
    uint64_t n_labels, n_chunks;
};
ORR_CHECKED struct err *block_reader_entry(const struct block_reader *r, struct arena *a,
                                           const struct objpages_hold *h, uint32_t ref,
                                           struct block_reader_entry *ret);
/* Next (name, value) of an entry's labels; false at the end or if a symbol does not exist. */
struct reader;
bool block_reader_next_label(const struct block_reader *r, struct reader *in, uint32_t *ret_name,
                             uint32_t *ret_value);
/* Chunk metas one after the other. i counts from 0; the state is the meta before. */
bool block_reader_next_chunk(struct reader *in, uint64_t i, struct block_chunk_meta *io);
/* How many of the chunks make one read, and how long it is. */
size_t block_reader_plan_read(const struct block_chunk_meta *m, size_t n, size_t *ret_len);
