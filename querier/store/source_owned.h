/*
 * The series of a block that other queriers own (block_owners.h), asked of them by "querier.block"; and of the bucket when
 * none of them answers.
 *
 * The owners are asked one after the other. One that refuses, or gives no sign of life for straggler_ms, makes room for
 * the next; after the last the block is read here. One that has begun gets SOURCE_OWNED_PATIENCE times as long for each
 * frame, and when it fails then the block is read here at once. Who came next goes on behind the last series that was taken,
 * since all tell the same series in the same order: so the loss of an owner in the middle costs time and nothing else.
 * Who was slow or refused is a suspect (fanout.h): not asked for some seconds.
 *
 * Memory: up to 16 MiB of frames (BLOCK_WIRE_FRAME_BYTES each) for all blocks of a select, above 256 blocks a frame each.
 *
 * Owner: one thread; blocks.
 */
#pragma once
#include "querier/store/block_owners.h"
#include "querier/store/series_source.h"
#include "querier/store/store.h"

#define SOURCE_OWNED_PATIENCE 10

struct source_owned_opts {
    struct store_query *sq; /* outlives it, as all that is lent below */
    struct ring *ring;      /* the queriers'; referenced */
    const uint16_t *owners; /* to be asked; copied */
    unsigned n_owners;
    const struct catalogue_block *block;
    struct rpc_select select; /* chunks or labels */
    size_t n_together;        /* as series_source_block() */
};

/* Asks the first owner and does not wait. */
struct series_source *series_source_owned(const struct source_owned_opts *opts);
/* Waits until somebody has begun to tell series. ERR_NOT_FOUND: the block is gone, and a fresh catalogue knows a better
 * one. Later that is ERR_UNAVAILABLE. */
ORR_CHECKED struct err *series_source_owned_begin(struct series_source *s);
