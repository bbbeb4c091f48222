/*
 * Index headers of blocks on the local disk: what a reader of a block in an object store has to have at hand, so
 * that it takes no memory but what the kernel can take back.
 *
 * A header is a sparse file of the length of the index with its beginning (header, symbols) and its end (postings
 * table, table of contents) where they are in the index, and a hole between them. So it is read by the code
 * that reads an index, and checked by the same checksums each time it is opened: one that fails is dropped and
 * made anew.
 *
 *   <dir>/<32 hex digits of the hash of the index' key>.head
 *
 * Made when a block is first read, written beside and renamed, so none is ever there half. When all together take
 * more than max_bytes of the disk, those go first that were opened longest ago; who has one mapped keeps it.
 *
 * What goes wrong with the disk is logged, and then headers are in memory.
 *
 * Any thread; blocks on the disk.
 */
#pragma once
#include "common/base/err.h"
#include "common/base/slice.h"

struct block_heads;

struct block_heads *block_heads_new(const char *dir, uint64_t max_bytes);
void block_heads_free(struct block_heads *h); /* NULL is allowed */

/* The header of the index of that many bytes, mapped; the caller gives it to fsx_unmap(). */
bool block_heads_find(struct block_heads *h, const char *block, uint64_t size, struct slice *ret);
/* begin are the first bytes of the index, end the last. */
void block_heads_put(struct block_heads *h, const char *block, uint64_t size, struct slice begin,
                     struct slice end);
/* It turned out to be broken. Takes e. */
void block_heads_drop(struct block_heads *h, const char *block, struct err *e);

struct block_heads_stats {
    uint64_t bytes, max_bytes, files; /* now; bytes of the disk */
    uint64_t built, evictions, corrupt, failures;
};
void block_heads_stats_get(struct block_heads *h, struct block_heads_stats *ret);
