/*
 * Which live blocks of a tenant are to become one: the planner of compaction, a pure function of the catalogue,
 * the clock and what is quarantined. Who does the jobs is levelmerge.h's and upkeep.h's; tests/sim drives the same code.
 *
 * Ranges (2h, 12h, 24h) are aligned to Unix time. A block belongs to a range when it lies inside it whole. A
 * range is due wait_ms after its end: by then what is flushed late has come, so it is not rewritten for each
 * latecomer. Blocks of different shards have nothing in common and are planned apart.
 *
 *   1. Overlap: blocks that overlap, directly or through others, are merged, once the smallest range
 *      that they reach into is due.
 *   2. Range: of the ranges that are due the greatest first, all blocks inside become one. So the steady state
 *      goes 2h → 12h → 24h as each comes due, and a backlog is rewritten once and not once per level.
 *      A range in which an overlap (or, on another process, anything) is being merged waits for the next look.
 *   3. Rewrite: a block that is in no job of these, and holds samples that a tombstone deletes whose time has come
 *      (deletions.h), is written anew by itself, however large.
 *
 * A tenant with split_shards above 1 has its blocks split: what a job makes of blocks that are of no shard is split_shards
 * blocks, one for each shard of the series (labels_hash_prometheus() % shards, which is Mimir's rule, and so is the label
 * in meta.json), each with at most max_bytes of the whole. From then on the shards are merged apart. A block of no shard
 * that no job takes along is split by itself when its second range is due, if it is larger than max_bytes or there are
 * blocks of shards that begin in its greatest range. So what was merged before the tenant had shards stays as it is.
 *
 * A tenant with splits_by_size has its blocks split when they get too large, and gets no say in how many shards: a power of
 * two of them, so many that what is in the greatest range makes blocks of at most max_bytes and max_series. A range that is
 * not over counts as if what is to come were like what is there. The number is one for all jobs of a greatest range: where
 * blocks begin that have been split it is theirs (the most, if there are several; blocks of a number that divides it are split
 * on, so two compactors that chose differently come to agree). A job splits when there are such, or its inputs alone are
 * too large for one block; a block that no job takes along is split by itself as above, or if it is too large. Series of
 * several inputs are taken for the same ones (the most that one has): if that was too few, what is made is split then.
 *
 * A block that crosses the bounds of a range (another system's) is left alone unless it overlaps.
 * A job has at most max_inputs inputs and max_bytes of them, and takes neighbours in time, so its output does not come
 * to overlap others. What must not be touched, a pinned block, and a block of more than max_bytes, is as if it were not there: what
 * overlaps it stays beside it, and reads merge. The latter two are rewritten, though, each by itself: a mark that a block is not to be
 * compacted does not keep what was deleted in the bucket.
 *
 * A merge has two inputs or more, no two jobs share one, and each turns its inputs into one block, or into such of more
 * shards: so doing jobs until there are none ends. A rewritten block holds nothing of what it was rewritten for. All processes
 * that see one catalogue plan the same jobs, but for rewrites: those are known to whoever looked into the block.
 *
 * Any thread.
 */
#pragma once
#include "common/block/catalogue.h"

#define LEVELS_MAX_RANGES 8
#define LEVELS_MAX_INPUTS 64
#define LEVELS_MAX_SHARDS 64

/* Since when a block is to be rewritten by itself; INT64_MAX: not at all. */
typedef int64_t levels_rewrite_fn(void *arg, struct ulid block);

struct levels_opts {
    int64_t ranges_ms[LEVELS_MAX_RANGES]; /* ascending, each a multiple of the one before */
    size_t n_ranges;                      /* 1 at least */
    int64_t wait_ms;
    size_t max_inputs; /* 2..LEVELS_MAX_INPUTS */
    uint64_t max_bytes;
    uint32_t split_shards;      /* 0, 1: not always so many; LEVELS_MAX_SHARDS at most */
    bool splits_by_size;        /* with split_shards 0 or 1 */
    uint64_t max_series;        /* of a block, for splits_by_size; 0: any number */
    levels_rewrite_fn *rewrite; /* may be NULL */
    void *rewrite_arg;
};
/* "2h,12h,24h". ERR_INVALID says what is wrong with it. Changes the ranges only. */
ORR_CHECKED struct err *levels_parse_ranges(struct slice text, struct levels_opts *io);

#define LEVELS_KINDS(X)                                                                            \
    X(LEVELS_OVERLAP, "overlap")                                                                   \
    X(LEVELS_RANGE, "range")                                                                       \
    X(LEVELS_SPLIT, "split")                                                                       \
    X(LEVELS_REWRITE, "rewrite")                                                                   \
    X(LEVELS_DOWNSAMPLE, "downsample") /* tierplan.h: of one input, which stays */
enum levels_kind {
#define X(sym, text) sym,
    LEVELS_KINDS(X)
#undef X
};
const char *levels_kind_text(enum levels_kind k);

struct levels_job {
    enum levels_kind kind;
    int64_t min_ms, max_ms;                      /* of the inputs, max exclusive */
    int64_t due_ms;                              /* since when it could be done */
    const struct catalogue_block *const *inputs; /* by min_t, then ulid; lent by the catalogue */
    size_t n;
    uint64_t bytes;        /* of the inputs */
    uint32_t shards;       /* that it makes; 0: one block, of the inputs' shard */
    int64_t resolution_ms; /* of what the job makes; filled in by tierplan.h */
};

/* What must not be touched: blocks in quarantine. */
typedef bool levels_skip_fn(void *arg, struct ulid block);

/* blocks: as catalogue_blocks() gives them; lent as long as the jobs. The list is the arena's. skip may
 * be NULL. *ret_due_ms: when something more comes due though nothing changes; INT64_MAX: nothing. */
struct levels_job *levels_plan(const struct levels_opts *opts, const struct catalogue_block *blocks,
                               size_t n, int64_t now_ms, levels_skip_fn *skip, void *arg,
                               struct arena *a, size_t *ret_n, int64_t *ret_due_ms);

/*
 * The same blocks as if each held but its newest moment, in the order that levels_plan() wants: for blocks that are cut by when
 * their data came and not by its times. Those overlap their neighbours nearly always, by seconds, and one late line makes one reach back for
 * days: by their times all blocks would hang together in one chain, and the whole of it be merged with each new block. By its end a
 * block is in one range of each length, and so is what is made of those in one. List and blocks are the arena's.
 */
const struct catalogue_block *levels_by_end(const struct catalogue_block *blocks, size_t n,
                                            struct arena *a);

/* The id of what a job makes, or that those of its shards are derived from: derived from its inputs (in the job's order). */
struct ulid levels_block_id(struct slice tenant, const struct levels_job *job);
/* Key of a job on the compactor ring: ring_key("tenant/<start of the greatest range in ms>"). */
uint32_t levels_key(const struct levels_opts *opts, struct slice tenant,
                    const struct levels_job *job);
