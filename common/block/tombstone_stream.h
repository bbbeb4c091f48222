/*
 * A block stream without the samples that a tombstone list has deleted: what goes into a new block
 * is gone for good. Chunks that no tombstone touches pass as they are; the others are decoded and
 * encoded anew. A series of which nothing is left is left out.
 *
 * Of aggregates the points go in whose window of time anything is deleted; or, with keeps_cut, only where all of it is.
 *
 * Owner: one thread, as the stream below it.
 */
#pragma once
#include "common/block/block_merge.h"
#include "common/block/tombstone_list.h"

/* Takes src over; list outlives the stream. Close with block_stream_close(). resolution_ms: of the block (0: samples).
 * *io_dropped (may be NULL) counts the samples left out. */
struct block_stream *tombstone_stream_new(struct block_stream *src,
                                          const struct tombstone_list *list, int64_t resolution_ms,
                                          bool keeps_cut, uint64_t *io_dropped);
