#include <sched.h>

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
    turn_end(&young, 2000);
    turn_look(&old, 2500); /* alone: does not rest */
    CHECK_INT(old.since_ms, 2000 + TURNS_REST_MS);
    turn_end(&old, 3000);
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
    turn_end(&part, 2000);
    turn_begin(&part, &turns, 1000, 1000 + TURNS_YOUNG_MS); /* never young */
    CHECK(!part.is_young);
    turn_end(&part, 2000);
    CHECK_INT(atomic_load(&turns.young), 0);
    CHECK_INT(atomic_load(&turns.short_ms), 0); /* it was none */
}

static int cores(void)
{
    cpu_set_t set;

    CHECK_INT(sched_getaffinity(0, sizeof(set), &set), 0);
    return CPU_COUNT(&set);
}

static void *count_cores(void *arg)
{
    *(int *)arg = cores();
    return NULL;
}

TEST(the_old_leave_a_core_as_long_as_short_ones_come)
{
    int all = cores(), seen = 0, fewer = all > 1 ? all - 1 : all;
    struct turns turns = {0};
    struct turn old, brief;
    pthread_t id;

    turn_begin(&old, &turns, 0, 1000);
    turn_look(&old, 1300);
    CHECK_INT(cores(), all);
    turn_begin(&brief, &turns, 0, 1300);
    turn_end(&brief, 1301);
    turn_look(&old, 1302);
    CHECK_INT(cores(), fewer);
    CHECK_OK(thread_start("all", count_cores, &seen, &id));
    CHECK_INT(pthread_join(id, NULL), 0);
    CHECK_INT(seen, all);
    CHECK_INT(cores(), fewer);
    turn_look(&old, 1301 + TURNS_SHORT_MS);
    CHECK_INT(cores(), all);
    turn_begin(&brief, &turns, 0, 4000);
    turn_end(&brief, 4001);
    turn_look(&old, 4002);
    CHECK_INT(cores(), fewer);
    turn_end(&old, 4003);
    CHECK_INT(cores(), all);
}
