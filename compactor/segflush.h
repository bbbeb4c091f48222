/*
 * One flush: the segments of a job become one block in the bucket, and the catalogue names it.
 *
 *   look whether it is done ─▶ fetch each segment ─▶ verify every section and chunk ─▶ merge ─▶ upload, meta.json last
 *     ─▶ catalogue (conditional put)
 *
 *   <work_dir>/<block ULID>/in/<segment ULID>/   as fetched
 *   <work_dir>/<block ULID>/out/<ULID>/          the block; all of it is removed at the end
 *
 * The block's id is derived from the segments it holds, and its bytes from their samples: who
 * repeats a flush, after a crash or beside another compactor, writes the same bytes under the same
 * name, and each step finds the work of the one before done: what was uploaded, and not named then, is named without being made again. When all segments are named in the catalogue
 * nothing is fetched; when they come to be named by others meanwhile, nothing is added and the upload is taken back.
 * While the name stands on the retired list (an upload that lay about was taken for an orphan) the block takes the next one
 * derived from it, as one that levelmerge.h makes.
 *
 * A segment whose bytes are wrong (ERR_CORRUPT, or another tenant's) is fetched once more; then it is
 * reported in bad and the others are merged without it. One that is gone (ERR_NOT_FOUND) is left out
 * too: a drop crossed our way. Other failures fail the flush and change nothing.
 *
 * What tombstones (common/block/tombstone_list.h) delete is left out of the block; those that reach into
 * its segments are part of its id, too.
 *
 * Sidecars (exemplars, metadata) are merged; a corrupt one is left out, logged and counted, and its
 * samples are kept.
 *
 * Memory: one series at a time, the symbols of the block, and the sidecars. Blocking; a flush belongs
 * to one thread.
 */
#pragma once
#include <stdatomic.h>

#include "common/base/arena.h"
#include "common/block/catalogue.h"
#include "compactor/plan.h"
#include "compactor/signal.h"

struct segflush_metrics {
    uint64_t flushes, empty,
        repeated, /* blocks added; jobs that left nothing to add; done before */
        taken_up; /* of those added: uploaded by an earlier attempt */
    uint64_t segments, fetched_bytes, block_bytes, samples;
    uint64_t bad_segments, gone_segments;
    struct blockmake_stats make;
    struct blockmake_waste waste;
};

struct segflush_opts {
    const struct signal *signal;
    struct objstore *store;
    const char *work_dir;
    /* Brings a segment into dir, which does not exist yet. */
    struct err *(*fetch)(void *arg, struct slice tenant, const struct plan_input *in,
                         const char *dir, uint64_t *ret_bytes);
    void *arg;
    struct catalogue_origin origin;   /* of the job's segments */
    const atomic_bool *stop;          /* may be NULL; ERR_CANCELED */
    struct segflush_metrics *metrics; /* written atomically: shared by several threads */
};

struct segflush_result {
    struct ulid block; /* zero: there was nothing to make a block of, or no need to */
    uint64_t
        version; /* of the catalogue that names all segments; 0: there was nothing to make a block of */
    uint64_t series, samples, bytes;
    struct ulid *bad; /* segments that are corrupt; in the arena */
    size_t n_bad;
};

/* ret is written on failure too: bad holds what was found. */
ORR_CHECKED struct err *segflush_run(const struct segflush_opts *opts, const struct plan_job *job,
                                     struct arena *a, struct segflush_result *ret);
/* The id of the block that holds these segments (ascending). */
struct ulid segflush_block_id(struct slice tenant, const struct ulid *segments, size_t n);
