#include "querier/store/blockset_room.h"

#include "common/base/mem.h"

struct blockset_room {
    size_t max_bytes;
    struct blockset_room_share *shares[BLOCKSET_ROOM_SETS];
    size_t n;
};

struct blockset_room *blockset_room_new(struct objpages *pages)
{
    struct blockset_room *room = mem_new(struct blockset_room);
    struct objpages_stats st;

    objpages_stats_get(pages, &st);
    room->max_bytes = st.max_bytes / 2;
    return room;
}

void blockset_room_free(struct blockset_room *room)
{
    mem_free(room);
}

void blockset_room_join(struct blockset_room *room, struct blockset_room_share *share)
{
    ORR_ASSERT(room->n < BLOCKSET_ROOM_SETS);
    room->shares[room->n++] = share;
}

static bool is_too_full(const struct blockset_room *room)
{
    size_t bytes = 0;

    for (size_t i = 0; i < room->n; i++)
        bytes += atomic_load(&room->shares[i]->bytes);
    return bytes > room->max_bytes;
}

/* Of those that are not in is_tried; NULL: all are. */
static struct blockset_room_share *fullest(const struct blockset_room *room, bool *is_tried)
{
    size_t most = room->n, most_bytes = 0;

    for (size_t i = 0; i < room->n; i++) {
        size_t bytes = atomic_load(&room->shares[i]->bytes);

        if (!is_tried[i] && (most == room->n || bytes > most_bytes)) {
            most = i;
            most_bytes = bytes;
        }
    }
    if (most == room->n)
        return NULL;
    is_tried[most] = true;
    return room->shares[most];
}

static bool one_gives(const struct blockset_room *room)
{
    bool is_tried[BLOCKSET_ROOM_SETS] = {false};
    struct blockset_room_share *share;

    while ((share = fullest(room, is_tried)))
        if (share->give(share->arg))
            return true;
    return false;
}

void blockset_room_fit(struct blockset_room *room)
{
    while (is_too_full(room) && one_gives(room))
        continue;
}
