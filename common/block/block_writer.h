/*
 * Writes one block in Prometheus' TSDB format (index v2, chunks v1), which promtool, Prometheus,
 * Thanos and Mimir open.
 *
 *   <dir>/<ULID>.tmp/chunks/000001 …   512 MiB at most each, filled as series come
 *                    series.spool      series with provisional label ids, gone at the end
 *                    starts            only when a series has start timestamps (block_starts.h), with a
 *                                      starts.spool until the end
 *                    index             written by finish, when all symbols are known
 *                    summary           if asked for: what is not in the block (block_summary.h)
 *                    tombstones        empty, as Prometheus writes it
 *                    meta.json         last
 *   <dir>/<ULID>/                      renamed there once everything is on disk
 *
 * Series come in the order of their labels (labels_cmp), strictly ascending, so nothing is sorted
 * here; memory is the symbols, and during finish 4 bytes per label pair of each series, then, for the summary, some 80
 * per pair that there is.
 *
 * index: magic BAAAD700 version 2 | symbols | series, each aligned to 16 | postings, each aligned
 * to 4 | postings offset table | TOC. No label indices, which no reader uses any more.
 *
 * The bytes depend on the input and the options only, never on time or chance.
 *
 * Owner: one thread. Blocking: never on a loop.
 */
#pragma once
#include "common/block/block_meta.h"
#include "common/block/chunk.h"

/* A series with its chunks in time order, not overlapping. */
struct block_series {
    struct labels labels;
    const struct chunk *chunks;
    size_t n_chunks;
    struct slice starts; /* start timestamps (start_runs.h), flat; len 0: none are known */
};

struct block_writer_opts {
    const char *dir;        /* made if absent */
    struct block_meta meta; /* ulid, level, sources, parents, origin, tenant, segments, shard …;
                             * min_t == max_t: taken from the chunks. stats and files are filled in.
                             * No sources: the block's own ulid. Borrowed until finish. */
    uint64_t max_segment_bytes; /* of a chunk file; 0: 512 MiB */
    bool has_summary;           /* a block of the bucket */
    bool no_sync;               /* tests and benchmarks: no fsync */
};

struct block_writer;

ORR_CHECKED struct err *block_writer_open(const struct block_writer_opts *opts,
                                          struct block_writer **ret);
/* Copies. ERR_INVALID names what is out of order, overlapping or empty. After an error only
 * close() may follow. */
ORR_CHECKED struct err *block_writer_add(struct block_writer *w, const struct block_series *s);
/* A file beside the index ("exemplars", "metadata"; not "starts", nor "summary"), whose name goes into meta.json. */
ORR_CHECKED struct err *block_writer_sidecar(struct block_writer *w, const char *name,
                                             struct slice content);
/* Index, meta.json, sync, rename. ret_meta is copied into the arena. A block without series is
 * valid; the caller asks block_writer_series() first if it does not want one. */
ORR_CHECKED struct err *block_writer_finish(struct block_writer *w, struct arena *a,
                                            struct block_meta *ret_meta);
/* Frees; without a finish that succeeded the temporary directory is removed. */
void block_writer_close(struct block_writer *w);

uint64_t block_writer_series(const struct block_writer *w);
uint64_t block_writer_bytes(const struct block_writer *w); /* of chunk data so far */
