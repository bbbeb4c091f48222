/*
 * Tiers: blocks of a tenant as measured (0), of 5 minutes (1) and of an hour (2), and which of them stand for which.
 *
 * A downsampled block names the segments of the block that it was made of (catalogue_block.segments; a block without
 * any, an adopted one, stands for itself by its own id), and merging keeps the names. So a finer block is stood for when
 * all its names are named in the coarser tier, by blocks of its shard: whatever blocks were merged in between, and not any
 * more when something came late and was merged into it.
 *
 * Where the blocks of a tier may be read instead of finer ones: in their range of time, without the ranges of finer blocks
 * that they do not stand for. A finer block that is gone (expired) takes nothing away.
 *
 * A struct tiers borrows nothing; immutable, any thread.
 */
#pragma once
#include "common/base/map.h"
#include "common/block/aggr_chunk.h"
#include "common/block/catalogue.h"

#define TIERS 3
/* 0, 1 or 2. What other systems may have in between counts with the coarser of ours. */
static inline unsigned tier_of(int64_t resolution_ms)
{
    return resolution_ms == 0 ? 0 : resolution_ms <= AGGR_5M_MS ? 1 : 2;
}
static inline int64_t tier_resolution_ms(unsigned tier)
{
    return tier == 0 ? 0 : tier == 1 ? AGGR_5M_MS : AGGR_1H_MS;
}
/* The window of time that a point or anything else of such a length lies in: its first millisecond. */
static inline int64_t tier_window(int64_t t_ms, int64_t resolution_ms)
{
    int64_t rest = t_ms % resolution_ms;

    return t_ms - (rest < 0 ? rest + resolution_ms : rest);
}

/* ---- what blocks stand for ---- */

struct tier_names {
    struct map of[TIERS]; /* sets */
};
struct tier_names *tier_names_new(const struct catalogue_block *blocks, size_t n);
void tier_names_free(struct tier_names *t);
/* Whether blocks of this tier name all that b does: of a coarser one, whether they stand for b. */
bool tier_names_have(const struct tier_names *t, unsigned tier, const struct catalogue_block *b);
/* What a block that is made of b names: b's segments, or its own id, in the arena. */
struct slice *tier_names_of(struct arena *a, const struct catalogue_block *b, size_t *ret_n);

/* ---- where they are read ---- */

struct tiers;
struct tiers *tiers_new(const struct catalogue_block *blocks, size_t n);
void tiers_free(struct tiers *t); /* NULL is allowed */

struct tier_span {
    int64_t min_ms, max_ms; /* both inclusive */
    unsigned tier;
};
/* Ascending times between two samples of which one counts and the other does not: a deletion begins or ends there. A window
 * of time that one lies in, and does not begin with, is cut. */
struct tier_cuts {
    const int64_t *ptr;
    size_t n;
};
bool tier_cuts_have(const struct tier_cuts *cuts, int64_t at, int64_t resolution_ms);
/*
 * What to read between two times, both inclusive, by tiers up to max_tier: spans that follow one another without gaps. Of the
 * tiers that may be read the coarsest whose window there is not cut (cuts may be NULL); where only coarser ones than max_tier or
 * cut ones are left, the finest there is. *ret_is_coarser: than max_tier.
 */
struct tier_span *tiers_choose(const struct tiers *t, struct arena *a, int64_t min_ms,
                               int64_t max_ms, unsigned max_tier, const struct tier_cuts *cuts,
                               size_t *ret_n, bool *ret_is_coarser);
