/*
 * Writes the index file of a block from the spool of its series. Within common/block only.
 *
 * A spool record:  uvarint labels | uvarint pair id, each | uvarint length | chunk metas, encoded as
 * the index wants them (they hold nothing that depends on the symbols)
 */
#pragma once
#include "common/block/block_out.h"
#include "common/block/block_symbols.h"

/* ret_refs: of all series, in order; caller mem_free()s. NULL: not asked for. */
ORR_CHECKED struct err *block_index_out_write(const struct block_symbols *symbols,
                                              struct slice spool, uint64_t series, const char *path,
                                              bool sync, uint64_t *ret_bytes, uint32_t **ret_refs);
