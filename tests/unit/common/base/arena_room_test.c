#include "common/base/arena_room.h"
#include "tests/unit/test.h"

struct giving {
    size_t left, asked;
    unsigned times;
};

static size_t give(void *arg, size_t bytes)
{
    struct giving *g = arg;

    g->asked = bytes;
    g->times++;
    if (bytes > g->left)
        return 0;
    g->left -= bytes;
    return bytes;
}

TEST(arena_room_asks_for_what_is_missing)
{
    struct giving g = {.left = 5000};
    struct arena *a = arena_new(1000);

    CHECK(!arena_room(a, 1001)); /* nobody to ask */
    arena_on_limit(a, give, &g);
    CHECK(arena_room(a, 1000) && g.times == 0);
    CHECK(arena_room(a, 3000) && g.asked == 2000);
    CHECK(arena_room(a, 3000) && g.times == 1);
    (void)arena_alloc(a, 4000); /* beyond, unasked */
    CHECK(!arena_room(a, 3000) && g.asked == 4000);
    CHECK(!arena_room(a, SIZE_MAX));
    CHECK(arena_room(a, 0) && g.asked == 1000 && g.left == 2000);
    CHECK(arena_room(a, 1000) && g.left == 1000);
    CHECK_INT(arena_limit(a), 5000);
    arena_free(a);
    a = arena_new(0);
    arena_on_limit(a, give, &g);
    CHECK(arena_room(a, SIZE_MAX / 2));
    arena_free(a);
}
