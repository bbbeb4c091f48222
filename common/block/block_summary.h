/*
 * The summary of a block: a small filter by which a reader tells, before it opens anything of the block, that no series
 * of it can match. It is the sidecar "summary" of blocks in the bucket (not of segments: who has those has them open).
 *
 *   offset  size  field                                            integers little endian
 *        0     8  magic "ORRSUM" 0 2
 *        8    16  ULID of the block
 *       24     4  seed
 *       28     4  n, cells of one third
 *       32    3n  cells, a byte each
 *    32+3n     4  CRC-32C of all before it
 *
 * It is an xor filter over a set of keys: a key has one cell in each third and a print of 8 bits, and the cells are chosen
 * so that the three of a key of the set xor to its print. What is in the set is always found; what is not is taken for a
 * member once in 256. That takes 9.84 bits a key; a Bloom filter in as many bits errs two to four times as often.
 *
 * Keys:  0 name               some series has the label
 *        1 name 0xff value    some series has the pair
 *        2 name               the pairs of this name are not in the set: there was no room. (Taken for a member by chance,
 *                             it makes a reader open a block it need not. The other way round it would lose series.)
 *
 * Room: BLOCK_SUMMARY_PART of the block's bytes, BLOCK_SUMMARY_MIN_BYTES at least and BLOCK_SUMMARY_MAX_BYTES at most;
 * what is needed is written and no more. Metric names get it first, then names of labels, those with few values
 * before those with many. A block with more label names than there is room for has no summary.
 *
 * Why a file and not a part of the catalogue: that is read whole by everyone each time it changes, and with a
 * thousand blocks would be megabytes. A summary is one read of the bucket, and its length is in the catalogue, so there is
 * no second one to look for it; it is one page of the cache of pages (common/objstore/objpages.h), which keeps it in memory
 * and on the disk, and fetches it once for all parts of a query.
 *
 * Whose it is: a summary in the wrong directory would have its checksum right, and a reader that went by it would leave out series
 * that are there. So one that names another block is as good as none. Version 1 did not say whose it was: it is not gone by
 * (ERR_UNSUPPORTED), its block is opened instead, until it is merged or rewritten; who knows version 1 alone does likewise with this one.
 *
 * The bytes follow from the series of the block and its ULID alone. Readers take them as hostile: any bytes with the right checksum
 * give answers, if wrong ones. Immutable; any thread.
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/block/ulid.h"
#include "common/model/matcher.h"

#define BLOCK_SUMMARY_FILE "summary"
#define BLOCK_SUMMARY_PART 256
#define BLOCK_SUMMARY_MIN_BYTES 512u
#define BLOCK_SUMMARY_MAX_BYTES (32u << 10)

struct block_summary {
    uint32_t seed, third;
    const uint8_t *cells;
};

/* All of the label pairs of a block, each once. */
struct block_summary_pair {
    struct slice name, value;
    uint32_t name_id; /* one number for each name, below n_ids */
};
/* Replaces out by the file of this block; empty when max_bytes are too few. Deterministic, whatever the order of pairs of one
 * name. */
void block_summary_build(struct ulid block, const struct block_summary_pair *pairs, size_t n,
                         size_t n_ids, size_t max_bytes, struct buf *out);
/* Room for the summary of a block that has so many bytes without it. */
size_t block_summary_room(uint64_t block_bytes);

/* Borrows bytes. ERR_CORRUPT: broken, or of another block than this one; ERR_UNSUPPORTED: it does not say of which. */
ORR_CHECKED struct err *block_summary_open(struct slice bytes, struct ulid block,
                                           struct block_summary *ret);
/* False: no series has the label. */
bool block_summary_has_name(const struct block_summary *s, struct slice name);
/* False: no series has the pair. */
bool block_summary_has_pair(const struct block_summary *s, struct slice name, struct slice value);
/* False: no series matches all of them. Matchers on an external label are not asked about: what they say is
 * block_skip.h's. */
bool block_summary_may_match(const struct block_summary *s, struct labels external,
                             struct matchers ms);
