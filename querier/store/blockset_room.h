/*
 * Memory that the open readers of several sets of blocks (blockset.h) share, of the page cache that all read through.
 *
 * They may have half of it, so that there is always room to read with. When they take more, the set that has most gives
 * readers that nobody uses; another only if all of that one are in use.
 *
 * Any thread; does not lock. All sets join before one of them counts.
 */
#pragma once
#include <stdatomic.h>

#include "common/objstore/objpages.h"

#define BLOCKSET_ROOM_SETS 4

/* Of one set, which has it as a member. */
struct blockset_room_share {
    _Atomic size_t bytes; /* memory of the set's open readers; the set counts it */
    /* Closes one of them that nobody uses; false: all are in use. */
    bool (*give)(void *arg);
    void *arg;
};

struct blockset_room;
struct blockset_room *blockset_room_new(struct objpages *pages);
void blockset_room_free(struct blockset_room *room); /* NULL is allowed */
/* The share is lent as long as the room is used. */
void blockset_room_join(struct blockset_room *room, struct blockset_room_share *share);
/* Has shares give until they fit, or all that is left is in use. */
void blockset_room_fit(struct blockset_room *room);
