/*
 * What is to be compacted of a tenant whose blocks come in tiers (common/block/tiers.h), a pure function like levels.h's,
 * which it asks for each tier: those as measured by the one set of ranges, the downsampled by another.
 *
 * And with downsampling on: a block as measured that is in no such job, lies in a greatest range that is due (so nothing is
 * going to be merged with it) and is old enough gets one of 5 minutes beside it, and a block of 5 minutes one of an hour. It does
 * when no blocks of that tier stand for it; what is made anew because something came late is merged, as an overlap, with
 * what stood for its parts, of which block_merge.h keeps the fuller chunks.
 * A block whose samples a deletion cuts (waits) gets none till the deletion is off the list.
 *
 * Any thread.
 */
#pragma once
#include "common/block/tiers.h"
#include "compactor/levels.h"

struct tierplan_opts {
    struct levels_opts levels; /* of blocks as measured */
    struct levels_opts coarse; /* of downsampled ones */
    bool is_on;                /* downsampling, of this tenant */
    int64_t after_ms[TIERS]; /* age of a block's newest sample at which it gets one of this tier */
    int64_t
        keep_ms[TIERS]; /* age at which that would expire at once, so it is not made; 0: never */
    /* May be NULL: what is not to be downsampled yet. A change of it is one that the caller has to hear of. */
    bool (*waits)(void *arg, const struct catalogue_block *b);
    void *waits_arg;
};

/* As levels_plan(). */
struct levels_job *tierplan(const struct tierplan_opts *opts, const struct catalogue_block *blocks,
                            size_t n, int64_t now_ms, levels_skip_fn *skip, void *arg,
                            struct arena *a, size_t *ret_n, int64_t *ret_due_ms);
