/*
 * Chunks: a run of samples of one series, compressed as in Prometheus' TSDB.
 *
 * This header names the encodings, the struct that carries a chunk about, and the generic decoder;
 * chunk_xor.h holds the codec of floats, chunk_hist.h that of native histograms.
 *
 * The bytes of a chunk here are its "data": u16 sample count, big endian, then the encoding's own
 * bits, most significant bit first, padded with zeros to a byte. In a block's chunk file they stand
 * as  uvarint length | u8 encoding | data | u32 CRC-32C of encoding and data, big endian.
 *
 * Sample counts are not bounded by the format below 65535; we cut at CHUNK_SAMPLES.
 *
 * Any thread; nothing here holds state of its own.
 */
#pragma once
#include "common/base/err.h"
#include "common/block/chunk_hist.h"
#include "common/block/chunk_xor.h"
#include "common/model/sample.h"

#define CHUNK_SAMPLES 120 /* what we put in one chunk, as Prometheus does */
#define CHUNK_MAX_SAMPLES 65535
#define CHUNK_MAX_BYTES (16u << 20) /* of one chunk's data; more is refused as corrupt */

#define CHUNK_ENCODINGS(X)                                                                         \
    X(CHUNK_NONE, 0, "none")                                                                       \
    X(CHUNK_XOR, 1, "XOR")                                                                         \
    X(CHUNK_HISTOGRAM, 2, "histogram")                                                             \
    X(CHUNK_FLOAT_HISTOGRAM, 3, "floathistogram")                                                  \
    X(CHUNK_AGGR, 255, "aggregates") /* of samples, not samples: aggr_chunk.h */

enum chunk_encoding {
#define X(sym, num, name) sym = num,
    CHUNK_ENCODINGS(X)
#undef X
};

/* A chunk with its place in time: both ends are times of samples in it. data is borrowed. */
struct chunk {
    uint8_t encoding; /* enum chunk_encoding, or what a file says */
    int64_t min_t, max_t;
    struct slice data;
};

/* Samples of one chunk in columns. Of v and h one is NULL. */
struct chunk_columns {
    size_t n;
    int64_t *t;
    double *v;
    struct histogram *h;
};

const char *chunk_encoding_name(uint8_t encoding); /* "unknown" if it has none */
/* What the chunk's first two bytes say; 0 if it is shorter. */
size_t chunk_samples(struct slice data);
/* Samples, or of a chunk of aggregates points: what a block's statistics count. */
size_t chunk_points(uint8_t encoding, struct slice data);
/* All samples, in memory of the arena. ERR_UNSUPPORTED names an encoding we do not read,
 * ERR_CORRUPT what is wrong with the bytes. Times must increase strictly: if not, ERR_CORRUPT. */
ORR_CHECKED struct err *chunk_decode(struct arena *a, uint8_t encoding, struct slice data,
                                     struct chunk_columns *ret);
/* Decodes any chunk, one of aggregates too, to see whether it can be. */
struct chunk_extent {
    size_t n;         /* samples, or points */
    const int64_t *t; /* n, in memory of the arena */
    int64_t min_t, max_t;
};
ORR_CHECKED struct err *chunk_check(struct arena *a, uint8_t encoding, struct slice data,
                                    struct chunk_extent *ret);
