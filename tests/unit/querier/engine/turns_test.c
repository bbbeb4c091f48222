#include "common/base/clock.h"
#include "querier/engine/turns.h"
#include "tests/unit/test.h"

static int64_t look_ms(struct turn *t, int64_t now_ms)
{
    int64_t began = clock_mono_ms(&clock_system);

    turn_look(t, now_ms);
    return clock_mono_ms(&clock_system) - began;
}

TEST(the_old_rest_while_there_are_young_ones)
{
    struct turns turns = {0};
    struct turn old, young;

    turn_begin(&old, &turns, 1000);
    turn_begin(&young, &turns, 1000 + TURNS_YOUNG_MS - 1);
    turn_look(&old, 1000 + TURNS_YOUNG_MS - 1);
    CHECK(old.is_young && young.is_young);
    CHECK_INT(atomic_load(&turns.young), 2);
    turn_look(&old, 1000 + TURNS_YOUNG_MS); /* grows old */
    CHECK(!old.is_young);
    CHECK_INT(atomic_load(&turns.young), 1);
    turn_look(&old, 1000 + TURNS_YOUNG_MS + 1); /* has to work first */
    CHECK_INT(old.since_ms, 1000 + TURNS_YOUNG_MS);
    CHECK(look_ms(&old, 2000) >= TURNS_REST_MS - 1);
    CHECK_INT(old.since_ms, 2000 + TURNS_REST_MS);
    turn_end(&young);
    turn_look(&old, 3000); /* alone: does not rest */
    CHECK_INT(old.since_ms, 2000 + TURNS_REST_MS);
    turn_end(&old);
    CHECK_INT(atomic_load(&turns.young), 0);
}
