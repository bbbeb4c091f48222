/*
 * The series of a block that is being written: they wait in a file, <ULID>.tmp/series.spool, until all strings are known,
 * and then become the index. Within common/block and common/logblock.
 *
 * Memory: the symbols, and during finish 4 bytes per label pair of each series.
 *
 * Owner: the writer.
 */
#pragma once
#include "common/block/block_dir.h"
#include "common/block/block_symbols.h"

struct block_spool {
    struct block_symbols symbols;
    struct block_out out;
    struct buf record;
    uint64_t series;
};

/* Also after an error block_spool_done() follows. */
ORR_CHECKED struct err *block_spool_open(struct block_spool *s, const struct block_dir *d);
/* metas: the chunks as the index will hold them. In the order in which they are to come in the index. */
ORR_CHECKED struct err *block_spool_add(struct block_spool *s, struct labels labels,
                                        struct slice metas);
/* Writes the index, and removes the spool. ret_refs: of all series, in order; caller mem_free()s; NULL: not asked for. */
ORR_CHECKED struct err *block_spool_finish(struct block_spool *s, struct block_dir *d,
                                           uint32_t **ret_refs);
/* Once all other files are written: the summary (block_summary.h) of the series, of the block that d is of. *ret_has: there is
 * one. */
ORR_CHECKED struct err *block_spool_summary(const struct block_spool *s, struct block_dir *d,
                                            bool *ret_has);
void block_spool_done(struct block_spool *s);
