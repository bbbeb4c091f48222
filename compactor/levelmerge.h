/*
 * One job of compaction: live blocks become one, and the catalogue names it instead of them.
 *
 *   look whether they are live ─▶ download each input ─▶ verify every section and chunk ─▶ merge ─▶ upload, meta.json last
 *     ─▶ catalogue: the output added, the inputs retired, in one conditional put
 *
 *   <work_dir>/<block ULID>/in/<input ULID>/
 *   <work_dir>/<block ULID>/out/<ULID>/       all of it is removed at the end
 *
 * A job of downsampling is the same, save that its input stays live beside what was made of it (downsample.h).
 *
 * Readers see the inputs or the output, never both or neither. The inputs' files stay until upkeep.h deletes them.
 * The output names all segments that its inputs named, so a flush still recognises them.
 *
 * The output's id and bytes follow from its inputs: who repeats a job, after a crash or beside another
 * compactor, finds each step done, names what is uploaded already without making it again, and does nothing once the inputs are not live. The edit asks that all inputs are live. So of two jobs that share an input one takes
 * place, and of the other what was uploaded is taken back, unless the catalogue knows it.
 *
 * A job that splits (levels_job.shards) makes one block for each shard that has any series, of one name and the shard's
 * number. All of them are uploaded first, and added by the one edit that retires the inputs. Each names all the segments, and is read from the
 * inputs by a pass of its own, so memory is that of one output.
 *
 * A rewrite (LEVELS_REWRITE), which ends without a change when nothing would be left out, is such a job of one input; its output stays on the level of that, and pinned if that is, and without any series
 * is a block all the same: it goes on naming its segments, so that no flush brings them back.
 *
 * Of downsampled blocks any job takes the points whose windows are deleted whole; a rewrite takes each point in whose window anything is
 * deleted. Where a window was deleted in part, and blocks of what it was made of are live, the output does not name their segments any more: so those are
 * read there (tiers.h), and downsampled anew when the tombstone is off the list (tierplan.h), and what that makes is merged with
 * the output. Where they are not, what was left of the window is lost.
 *
 * A name that stands on the retired list (an upload that lay about was taken for an orphan) cannot be added till its
 * files are deleted; of several outputs one or another might always be there. So the job takes the next
 * name derived from the first of which none is retired.
 *
 * An input whose bytes are wrong, or that is not there though the catalogue names it, ends the job: it is reported
 * in bad, and the next plan leaves it out. Tombstones, sidecars: blockmake.h.
 *
 * Memory: one series at a time, the symbols of the output, the sidecars. Blocking; a job belongs to one
 * thread.
 */
#pragma once
#include "compactor/levels.h"
#include "compactor/signal.h"

struct levelmerge_metrics {
    uint64_t done, outdated, repeated; /* jobs; inputs were not live any more; another did it */
    uint64_t taken_up;                 /* blocks that an earlier attempt had uploaded */
    uint64_t rewritten, split; /* of those done: blocks rewritten by themselves; into shards */
    uint64_t inputs, read_bytes, written_bytes, samples, bad_blocks;
    struct blockmake_stats make;
    struct blockmake_waste waste;
};

/* Read by any thread while the job runs. */
struct levelmerge_progress {
    _Atomic uint64_t inputs; /* read and checked, of job->n */
    _Atomic uint64_t
        series; /* gone through, of at least those of the input with most, for each shard */
};

struct levelmerge_opts {
    const struct signal *signal;
    struct objstore *store;
    const char *work_dir;
    const atomic_bool *stop;              /* may be NULL; ERR_CANCELED */
    const struct retention *retention;    /* the tenant's; may be NULL */
    struct levelmerge_metrics *metrics;   /* written atomically: shared by several threads */
    struct levelmerge_progress *progress; /* may be NULL */
};

struct levelmerge_result {
    struct ulid block; /* the first, if there are several; zero: nothing was changed */
    size_t blocks;
    uint64_t version;                /* of the catalogue that names it; 0 with block zero */
    uint64_t series, samples, bytes; /* of all */
    struct ulid bad;                 /* an input that does not verify; zero: none */
    const char *bad_reason;          /* what of it, in the arena */
};

/* now_ms: Unix ms, when the inputs are retired. ret is written on failure too. */
ORR_CHECKED struct err *levelmerge_run(const struct levelmerge_opts *opts, struct slice tenant,
                                       const struct levels_job *job, int64_t now_ms,
                                       struct arena *a, struct levelmerge_result *ret);
