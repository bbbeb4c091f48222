/*
 * What a tenant's retention says of a block and its series: one period for the tenant, others by selector
 * (common/model/retention_rule.h).
 *
 * Time counts from the end of a block: a series leaves it once the whole block is older than the series' period,
 * so a block is written anew at most once for each period and never trimmed day by day. A block leaves as a whole when it
 * is older than the longest (sweep.h). Reads do not filter: as with the tenant's period, a sample is kept at least so
 * long and goes some time after; who wants a hard bound has max-query-lookback.
 *
 * Immutable while it is used; any thread.
 */
#pragma once
#include "common/block/block_merge.h"
#include "common/block/catalogue.h"
#include "common/model/retention_rule.h"

struct retention {
    const struct retention_rules *rules; /* lent; NULL: none */
    int64_t default_ms;                  /* of series that no rule matches; 0: for ever */
    int64_t now_ms;                      /* Unix */
};

/* The longest period of any series; 0: for ever. */
int64_t retention_longest(const struct retention *r);
/* Those of the blocks, in their order, that do not leave as a whole: a list of the arena's. */
const struct catalogue_block *retention_kept(const struct retention *r,
                                             const struct catalogue_block *blocks, size_t n,
                                             struct arena *a, size_t *ret_n);
/* When more of a block that ends at max_t leaves than does now; INT64_MAX: nothing more. */
int64_t retention_next_ms(const struct retention *r, int64_t max_t);
/* What leaves a block that ends at max_t: a hash of the rules and which of them are over; 0: nothing can. r may be NULL. */
uint64_t retention_hash(const struct retention *r, int64_t max_t);
/* Whether a series leaves such a block. *ret_since_ms (may be NULL): when that began. */
bool retention_drops(const struct retention *r, struct labels ls, int64_t max_t,
                     int64_t *ret_since_ms);

/* src without the series that leave; takes src over. *io_dropped counts them. */
struct block_stream *retention_stream_new(struct block_stream *src, const struct retention *r,
                                          int64_t max_t, uint64_t *io_dropped);
