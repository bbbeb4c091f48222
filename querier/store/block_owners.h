/*
 * Which queriers own a block: those that read it from the bucket and keep its pages, for themselves and for the
 * others.
 *
 * Owners follow from the queriers' ring alone, by the bids of ring_order() for tenant and ULID: of all healthy
 * ACTIVE queriers the first in that order, at most ceil(owners / zones) of each zone; places that zones leave empty
 * go to whoever comes next. So shares are even, and a querier that comes or goes moves what it wins or had. Two
 * queriers that see different rings may disagree: then a block is read by one more, and the answer is the same.
 *
 * Pure; any thread.
 */
#pragma once
#include "common/block/ulid.h"
#include "common/ring/ring.h"

#define BLOCK_OWNERS_MAX RING_MAX_RF

/* The owners' numbers in the ring, the first to be asked first; n (up to BLOCK_OWNERS_MAX) are wanted, fewer are
 * found when there are no more queriers. */
unsigned block_owners_of(const struct ring *ring, struct slice tenant, struct ulid ulid, unsigned n,
                         uint16_t ret[BLOCK_OWNERS_MAX]);
