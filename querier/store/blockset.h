/*
 * The blocks of one signal that a querier reads: each tenant's catalogue, kept while it is true, and open
 * readers, kept while there is room.
 *
 * Catalogue: blockset_take(bs, tenant, need, …) answers with a catalogue at least as new as
 * the bucket's was at need.not_before_ns. It costs a stat when what is held was looked at
 * earlier than that, and a load when the etag differs. blockset_hint() (gossip: "version 17 of
 * tenant a's catalogue is out") makes the next take look whatever not_before_ns says.
 *
 * When the bucket does not answer (lookout.h tells for how long it is waited for), the catalogue held
 * is used as long as no newer version is known of, and is_stale says so; without one the take fails.
 *
 * need.version is what cannot be done without: data are in blocks of that version, and were taken out of where they
 * had been. A catalogue of before is looked past as after a hint. Unlike a hint, which the bucket may overrule, it stands:
 * if the bucket does not answer in the patience of lookout.h, or has nothing so new (it was set back, or something in
 * front of it is), the take fails with ERR_UNAVAILABLE and says both versions.
 *
 * What a block need not be opened for is block_skip.h's: times and external labels are looked at in the catalogue, then, of a
 * block that is not open, its summary (block_summary.h), which is read through the same cache of pages. One that cannot be
 * read, is broken or another block's keeps its block.
 *
 * Readers: opened at first use (a directory is mapped, other stores are read by pages), shared by
 * reference, closed least recently used first beyond max_open, or when those of all sets of a room
 * (blockset_room.h) take more of the memory of the page cache than they may. They are charged to it.
 *
 * Any worker; blocks. blockset_hint(): any thread, does not block.
 */
#pragma once
#include "common/base/job.h"
#include "common/block/block_reader.h"
#include "common/block/block_skip.h"
#include "common/block/tiers.h"
#include "common/logblock/logblock.h"
#include "common/traceblock/traceblock.h"
#include "querier/store/blockset_room.h"
#include "querier/store/newness.h"

struct blockset;
struct open_block;

struct blockset_opts {
    struct slice signal;       /* static: "metrics", "logs", "traces" */
    struct objstore *objstore; /* outlives it */
    const char *local_root;    /* directory of a store that is one: blocks are mapped; else NULL */
    struct objpages *pages;    /* what others are read through; outlives it */
    struct blockset_room
        *room; /* of pages; outlives its use; NULL: readers are not bounded by their memory */
    struct block_heads *heads; /* where headers of those are kept; outlives it; NULL: in memory */
    struct job_pool *jobs;     /* that open blocks side by side; outlives it; NULL: one by one */
    size_t max_open;           /* readers kept though nobody uses them; 0: 1000 */
};

struct blockset *blockset_new(const struct blockset_opts *opts);
void blockset_free(struct blockset *bs); /* when nothing is taken; NULL is allowed */

/* A newer catalogue version became known. */
void blockset_hint(struct blockset *bs, struct slice tenant, uint64_t version);

/*
 * Which blocks are read here. The others are in the view without a reader, for whoever asks their owners, and
 * blockset_open() opens one later. Called by several threads at once, without a lock; blocks are lent.
 */
struct blockset_chooser {
    bool (*is_here)(void *arg, const struct catalogue_block *block);
    void *arg;
};

/* Blocks that are corrupt, or not there though the newest catalogue names them, and that the reader can do without. Called by one
 * thread; e stays the caller's. NULL: it can do without none. */
struct blockset_losses {
    bool (*allows)(void *arg, const struct catalogue_block *block, const struct err *e);
    void *arg;
};

/* What is looked for: series that match any of the sets. n 0: all. */
struct blockset_filter {
    const struct matchers *sets;
    size_t n;
};

struct blockset_view {
    const struct catalogue_block *meta; /* n, in the order of the catalogue; copies in the arena */
    struct block_reader **readers;      /* n, referenced; NULL: it is not read here (chooser) */
    struct logblock **lines;            /* n, the same; NULL: the signal is another than logs */
    struct traceblock **traces;         /* n, the same; NULL: the signal is another than traces */
    size_t n;
    uint64_t version;
    uint64_t skipped[BLOCK_SKIP_REASONS]; /* blocks that are not in the view */
    /* of blockset_take_tiers(); none when no block is downsampled */
    const struct tier_span *spans;
    size_t n_spans;
    bool
        is_coarser; /* in some of them the tier is coarser than was asked for: finer blocks have expired */
    bool is_stale;               /* the bucket did not answer; the newest known version was used */
    struct open_block **handles; /* its own */
};
/*
 * Readers of all blocks that overlap [min_ms, max_ms] and may have what the filter (NULL: none) looks for. A block that is gone (compacted away
 * meanwhile) makes it start over with a fresh catalogue. Views are given back with
 * blockset_release(); {0} is allowed there.
 */
ORR_CHECKED struct err *blockset_take(struct blockset *bs, struct arena *a, struct slice tenant,
                                      const struct newness_need *need, int64_t min_ms,
                                      int64_t max_ms, const struct blockset_filter *filter,
                                      struct blockset_view *ret);
/*
 * Those of the tiers (common/block/tiers.h) that are to be read, up to max_tier, as of the spans of ret. Of downsampled blocks also
 * those that reach_ms before min_ms would be; spans begin there, too. cuts may be NULL: windows that are not read as points.
 * chooser may be NULL: all are read here. Of those that are not, the summaries are not looked at. losses may be NULL; what it
 * allows is not in the view.
 */
ORR_CHECKED struct err *
blockset_take_tiers(struct blockset *bs, struct arena *a, struct slice tenant,
                    const struct newness_need *need, int64_t min_ms, int64_t max_ms,
                    unsigned max_tier, int64_t reach_ms, const struct tier_cuts *cuts,
                    const struct blockset_filter *filter, const struct blockset_chooser *chooser,
                    const struct blockset_losses *losses, struct blockset_view *ret);
/* ERR_UNAVAILABLE instead of e: a block that a catalogue names and that is not there may be there again, and is worth
 * another try. */
ORR_CHECKED struct err *blockset_gone(struct err *e);
/* This block, whatever a catalogue says of it now; none when its summary says that the filter would find nothing.
 * ERR_NOT_FOUND if it is gone. The view is given back like others. */
ORR_CHECKED struct err *blockset_open(struct blockset *bs, struct arena *a, struct slice tenant,
                                      const struct catalogue_block *block,
                                      const struct blockset_filter *filter,
                                      struct blockset_view *ret);
/* What the blocks of the range have, all files and labels together, by the catalogue that is held, or a first
 * one if none is; UINT64_MAX if there is none to be had. */
uint64_t blockset_bytes(struct blockset *bs, struct slice tenant, int64_t min_ms, int64_t max_ms);
/* Their times and sizes, by the same catalogue; none if there is none to be had. In the arena. */
struct blockset_times {
    struct ulid ulid;
    int64_t min_ms, max_ms; /* max is exclusive */
    uint64_t bytes, series;
};
void blockset_times(struct blockset *bs, struct arena *a, struct slice tenant, int64_t min_ms,
                    int64_t max_ms, const struct blockset_times **ret, size_t *ret_n);
void blockset_release(struct blockset *bs, struct blockset_view *v);

struct blockset_stats {
    uint64_t open, opened, catalogue_loads, catalogue_checks;
    uint64_t reader_bytes;  /* memory of those that are open */
    uint64_t bad_summaries; /* that could not be read, were broken or another block's */
};
void blockset_stats_get(struct blockset *bs, struct blockset_stats *ret);
