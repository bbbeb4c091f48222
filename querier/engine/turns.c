#include "querier/engine/turns.h"

#include <time.h>

#include "common/base/clock.h"

void turn_begin(struct turn *t, struct turns *turns, int64_t now_mono_ms)
{
    *t = (struct turn){turns, now_mono_ms, true};
    atomic_fetch_add_explicit(&turns->young, 1, memory_order_relaxed);
}

void turn_end(struct turn *t)
{
    if (t->is_young)
        atomic_fetch_sub_explicit(&t->turns->young, 1, memory_order_relaxed);
    t->is_young = false;
}

void turn_look(struct turn *t, int64_t now_mono_ms)
{
    const struct timespec rest = {.tv_nsec = TURNS_REST_MS * NS_PER_MS};

    if (t->is_young) {
        if (now_mono_ms - t->since_ms < TURNS_YOUNG_MS)
            return;
        turn_end(t);
        t->since_ms = now_mono_ms;
    }
    if (now_mono_ms - t->since_ms < TURNS_REST_MS ||
        atomic_load_explicit(&t->turns->young, memory_order_relaxed) == 0)
        return;
    (void)nanosleep(&rest, NULL);
    t->since_ms = now_mono_ms + TURNS_REST_MS;
}
