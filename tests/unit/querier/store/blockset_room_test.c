/* Which set of blocks gives memory, and when. */
#include "common/objstore/objpages.h"
#include "querier/store/blockset_room.h"
#include "tests/unit/test.h"

#define ROOM_BYTES 1000

struct set {
    struct blockset_room_share share;
    size_t used; /* bytes that are in use */
    int given;
};

/* 100 bytes at a time. */
static bool give(void *arg)
{
    struct set *s = arg;

    if (atomic_load(&s->share.bytes) <= s->used)
        return false;
    (void)atomic_fetch_sub(&s->share.bytes, 100);
    s->given++;
    return true;
}

static struct blockset_room *room_of(struct objpages **ret_pages, struct set *sets, size_t n)
{
    struct blockset_room *room;

    *ret_pages = objpages_new(&(struct objpages_opts){.max_bytes = 2 * ROOM_BYTES});
    room = blockset_room_new(*ret_pages);
    for (size_t i = 0; i < n; i++) {
        sets[i].share.give = give;
        sets[i].share.arg = &sets[i];
        blockset_room_join(room, &sets[i].share);
    }
    return room;
}

TEST(blockset_room_has_the_fullest_give_until_all_fit)
{
    struct set sets[] = {{.share.bytes = 300}, {.share.bytes = 1100}, {.share.bytes = 200}};
    struct objpages *pages;
    struct blockset_room *room = room_of(&pages, sets, ORR_COUNT(sets));

    blockset_room_fit(room);
    CHECK_INT(sets[0].given, 0);
    CHECK_INT(sets[1].given, 6); /* to 500: half of the cache is full, and not more */
    CHECK_INT(sets[2].given, 0);
    blockset_room_fit(room);
    CHECK_INT(sets[1].given, 6);
    atomic_store(&sets[0].share.bytes, 600);
    blockset_room_fit(room);
    CHECK_INT(sets[0].given + sets[1].given, 6 + 3);
    CHECK(sets[0].given >= 1 && sets[0].given <= 2);
    blockset_room_free(room);
    objpages_free(pages);
}

TEST(blockset_room_asks_the_next_when_all_of_the_fullest_is_in_use)
{
    struct set sets[] = {{.share.bytes = 900, .used = 900}, {.share.bytes = 300, .used = 200}};
    struct objpages *pages;
    struct blockset_room *room = room_of(&pages, sets, ORR_COUNT(sets));

    blockset_room_fit(room); /* ends, though they still do not fit */
    CHECK_INT(sets[0].given, 0);
    CHECK_INT(sets[1].given, 1);
    blockset_room_free(room);
    objpages_free(pages);
}
