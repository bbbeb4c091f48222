/*
 * A series set without the samples that a tombstone list has deleted. Series that no tombstone names
 * pass untouched; of the others the columns are copied without what is deleted, and a series of which
 * nothing is left is left out.
 *
 * A point goes when anything is deleted in its window of time: what it says of the rest is not known. Whoever has the samples of
 * such a window reads those instead (store.c).
 *
 * Owner: the one thread of the set below.
 */
#pragma once
#include "common/block/tombstone_list.h"
#include "querier/engine/storage.h"

/* Takes set over and a reference to list. Only tombstones that reach into [min_ms, max_ms] count. */
struct series_set *tombstone_filter_new(struct series_set *set, struct tombstone_list *list,
                                        int64_t min_ms, int64_t max_ms);
