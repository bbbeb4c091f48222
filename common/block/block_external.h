/*
 * External labels: what another system (Thanos) says of all series of a block and does not store with them.
 *
 * A reader that was opened with some shows them on each series as if they stood in the index. As in Thanos
 * (labelpb.ExtendSortedLabels) the external value replaces the series' own when both have the name. A matcher on
 * such a name is answered here, without the index: it accepts all series of the block or none.
 *
 * More labels can change the order: {job} comes before {job, le}, {job, zone} behind {job, le, zone}. So selected
 * refs are put into label order again. When the series' own label is replaced two series can become equal; nothing
 * here could merge them, and it is ERR_UNSUPPORTED (who adopts a block finds out: select everything).
 *
 * Within common/block only. Immutable once open.
 */
#pragma once
#include "common/block/block_reader.h"

struct block_external {
    struct labels labels; /* in the reader's arena; none is empty */
    uint64_t *
        at; /* each name among the symbols: 2i + 1, it is symbol i; 2i, it stands before symbol i */
};

/* Once the index is open. */
void block_external_open(struct block_reader *r, struct labels labels);
/* The matchers that are left for the index, in the arena; false: no series of the block can match. */
bool block_external_narrow(const struct block_reader *r, struct arena *a, struct matchers ms,
                           struct matchers *ret);
/* Refs, ascending, into label order. */
ORR_CHECKED struct err *block_external_sort(const struct block_reader *r, struct block_refs refs);
/* A series' labels with the external ones. */
struct labels block_external_join(const struct block_reader *r, struct arena *a, struct labels own);
/* Sorted names, with the external ones. */
void block_external_names(const struct block_reader *r, struct arena *a, struct block_names *io);
/* The only value of an external name; false if name is none. */
bool block_external_value(const struct block_reader *r, struct arena *a, struct slice name,
                          struct block_names *ret);
