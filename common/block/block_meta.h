/*
 * meta.json of a metrics block: what Prometheus, Thanos and Mimir write, and an object of our own.
 *
 *   ulid, minTime, maxTime (exclusive), version 1
 *   stats {numSamples, numFloatSamples, numHistogramSamples, numSeries, numChunks, numTombstones}
 *   compaction {level, sources [ulid], parents [{ulid, minTime, maxTime}]}
 *   thanos {version 1, labels {"__compactor_shard_id__": "1_of_4"}, downsample {resolution},
 *           source, segment_files, files [{rel_path, size_bytes}]}
 *   orrery {version 1, tenant, sources [segment id], shard, shards, sidecars [file name]}
 *
 * A block of Thanos or Mimir has no object of our own: its compaction.sources count as its segments (tiers.h).
 *
 * Unknown members are ignored on reading and not kept. Bounded: 16 MiB of JSON, 2^20 entries a
 * list.
 *
 * Owner: whoever holds the struct; strings live in the arena given to parse.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/block/ulid.h"
#include "common/model/labels.h"

#define BLOCK_META_FILE "meta.json"
#define BLOCK_STARTS_FILE "starts" /* the sidecar of start timestamps, block_starts.h */
#define BLOCK_META_MAX_BYTES (16u << 20)
#define BLOCK_META_MAX_SHARDS 4096

struct block_stats {
    uint64_t samples, float_samples, histogram_samples, series, chunks, tombstones;
};

struct block_file {
    struct slice path; /* "index", "chunks/000001" */
    uint64_t bytes;
};

struct block_parent {
    struct ulid ulid;
    int64_t min_t, max_t;
};

struct block_meta {
    struct ulid ulid;
    int64_t min_t, max_t; /* ms; max_t is exclusive */
    struct block_stats stats;
    int level; /* 1: straight from a head or a flush */
    const struct ulid *sources;
    size_t n_sources;
    const struct block_parent *parents;
    size_t n_parents;
    /* thanos */
    struct slice origin;    /* "source" there: which component wrote it */
    int64_t resolution_ms;  /* between the points of a downsampled block; 0: as measured */
    struct labels external; /* of all series, not stored with them; compaction writes them into the
                                     * series, so what it makes has none */
    const struct block_file *files; /* without meta.json */
    size_t n_files;
    /* orrery */
    struct slice tenant;
    const struct slice *segments; /* ids of the segments this block holds, sorted */
    size_t n_segments;
    uint32_t shard, shards;       /* shards 0 or 1: not sharded; shard counts from 0 */
    const struct slice *sidecars; /* exemplars, metadata, starts: files beside the index */
    size_t n_sidecars;
};

/* Milliseconds far from where sums of times overflow, which is asked of all that is read. */
bool block_meta_is_time(int64_t t);
bool block_meta_has_sidecar(const struct block_meta *m, const char *name);

void block_meta_write(struct buf *out, const struct block_meta *m);
/* ERR_CORRUPT with the member that is wrong; ERR_UNSUPPORTED for another version. */
ORR_CHECKED struct err *block_meta_parse(struct arena *a, struct slice json,
                                         struct block_meta *ret);
/* Copies the lists and strings into the arena. */
struct block_meta block_meta_dup(struct arena *a, const struct block_meta *m);
/* Sum of the files' sizes. */
uint64_t block_meta_bytes(const struct block_meta *m);
