#include <sys/resource.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/thread.h"
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

    turn_begin(&old, &turns, 0, 1000);
    turn_begin(&young, &turns, 0, 1000 + TURNS_YOUNG_MS - 1);
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

TEST(a_part_is_as_old_as_its_whole)
{
    struct turns turns = {0};
    struct turn part;

    turn_begin(&part, &turns, 1000, 1000 + TURNS_YOUNG_MS - 50);
    CHECK(part.is_young);
    turn_look(&part, 1000 + TURNS_YOUNG_MS); /* 50 ms after it began itself */
    CHECK(!part.is_young);
    CHECK_INT(atomic_load(&turns.young), 0);
    turn_end(&part);
    turn_begin(&part, &turns, 1000, 1000 + TURNS_YOUNG_MS); /* never young */
    CHECK(!part.is_young);
    CHECK_INT(atomic_load(&turns.young), 0);
    turn_end(&part);
    CHECK_INT(atomic_load(&turns.young), 0);
}

static int nice_now(void)
{
    return getpriority(PRIO_PROCESS, (id_t)gettid());
}

TEST(the_old_step_back_until_they_end)
{
    struct turns turns = {0};
    struct turn old;
    int before = nice_now(), back;

    thread_step_back(); /* the system may not allow it */
    back = nice_now();
    thread_step_up();
    turn_begin(&old, &turns, 0, 1000);
    CHECK_INT(nice_now(), before);
    turn_look(&old, 1000 + TURNS_YOUNG_MS);
    CHECK_INT(nice_now(), back);
    turn_end(&old);
    CHECK_INT(nice_now(), before);
}
