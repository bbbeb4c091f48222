/*
 * Makes chunks of samples that come in time order: floats and histograms in any mixture, cut at
 * CHUNK_SAMPLES, at a change of kind, and where histograms demand it.
 *
 * Owner: one thread.
 */
#pragma once
#include "common/base/vec.h"
#include "common/block/chunk.h"

struct chunk_build {
    struct arena *arena; /* of the chunks' bytes */
    VEC(struct chunk) chunks;
    struct buf floats;
    struct chunk_xor_appender floats_at;
    struct chunk_hist_appender *hist;
    uint8_t open; /* encoding of the chunk being filled, CHUNK_NONE if none is */
    int64_t min_t, max_t;
};

void chunk_build_init(struct chunk_build *b);
void chunk_build_done(struct chunk_build *b);
/* Forgets all chunks; the bytes of new ones go to a. */
void chunk_build_begin(struct chunk_build *b, struct arena *a);
void chunk_build_float(struct chunk_build *b, int64_t t, double v);
void chunk_build_histogram(struct chunk_build *b, int64_t t, const struct histogram *h);
/* Puts a chunk as it is behind what came so far. */
void chunk_build_copy(struct chunk_build *b, const struct chunk *c);
/* Seals the open chunk: chunks then holds all. */
void chunk_build_end(struct chunk_build *b);
