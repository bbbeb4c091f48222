/*
 * A block that is corrupt, and what the answer is made of then. Where a block holds segments of one ingester alone, or of
 * one zone's, and others had all of it when it was named (catalogue.h: instance, zone), the read goes on without it, as it does without
 * that ingester or zone: as long as all that is lost is of one of them, blocks and streams together (fanout_lose()).
 * That is so until the blocks of replicas are merged into one. Where nobody else has the samples, or two have lost something, the read
 * fails, with an error that names the block.
 *
 * Whether others still have them all nothing here proves. The catalogue says of a block which segments it holds, and not who wrote which sample
 * to whom. Two things make a gap of it that no stream and no block tells of: the replication factor was raised after the samples
 * had been written and before the block was named; and another replica lost what it had (its disk) afterwards. So the
 * answer carries a warning with the block and its range, and is not kept in the cache of results. It does not say that something is missing. Named
 * are BLOCKLOSS_NAMED blocks, of more it is said that there are more.
 *
 * What of the block was read before its damage was met stays in the answer: each chunk has its checksum, and the merge takes
 * equal samples once.
 *
 * Each such block is logged (as often as the log lets a line be), counted and warned of once for a query, however many selects meet it. (Parts of a
 * query that run elsewhere or beside it count for themselves; warnings are the same and come once.)
 *
 * Owner: the worker of the select.
 */
#pragma once
#include "common/base/map.h"
#include "querier/store/blockset.h"
#include "querier/store/series_source.h"

#define BLOCKLOSS_NAMED 8 /* in warnings of one query */

struct store_query;

struct blockloss {
    struct fanout *f; /* the ingesters' of the select; NULL: nothing can be done without */
    struct store_query *sq;
    struct series_set *set; /* whose warnings are sq's; NULL: there is none yet */
    struct map known; /* ids of those that this read does without: it may meet one several times */
};
void blockloss_done(struct blockloss *loss);

/* Whether the read can do without the block, whose error is e; if so it is noted. struct blockset_losses' allows(). */
bool blockloss_allows(void *loss, const struct catalogue_block *block, const struct err *e);
/* Whether an error met in the middle of a block is about the block: it is corrupt, or a file of it is gone, or cannot be read. */
bool blockloss_is_of_block(const struct err *e);
/* The series of src, which it takes over, up to where the block cannot be read on, if it may be. loss and block outlive
 * it. */
struct series_source *blockloss_source(struct blockloss *loss, const struct catalogue_block *block,
                                       struct series_source *src);
