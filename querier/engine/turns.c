#include "querier/engine/turns.h"

#include <time.h>

#include "common/base/clock.h"
#include "common/base/thread.h"

static void grow_old(struct turn *t, int64_t now_mono_ms)
{
    t->is_young = false;
    t->since_ms = now_mono_ms;
    thread_step_back();
}

void turn_begin(struct turn *t, struct turns *turns, int64_t began_mono_ms, int64_t now_mono_ms)
{
    *t = (struct turn){turns, began_mono_ms ? began_mono_ms : now_mono_ms, true};
    if (now_mono_ms - t->since_ms >= TURNS_YOUNG_MS)
        grow_old(t, now_mono_ms);
    else
        atomic_fetch_add_explicit(&turns->young, 1, memory_order_relaxed);
}

static void leave_the_young(struct turn *t)
{
    atomic_fetch_sub_explicit(&t->turns->young, 1, memory_order_relaxed);
}

void turn_end(struct turn *t)
{
    if (t->is_young)
        leave_the_young(t);
    else
        thread_step_up();
    t->is_young = false;
}

void turn_look(struct turn *t, int64_t now_mono_ms)
{
    const struct timespec rest = {.tv_nsec = TURNS_REST_MS * NS_PER_MS};

    if (t->is_young) {
        if (now_mono_ms - t->since_ms < TURNS_YOUNG_MS)
            return;
        leave_the_young(t);
        grow_old(t, now_mono_ms);
    }
    if (now_mono_ms - t->since_ms < TURNS_REST_MS ||
        atomic_load_explicit(&t->turns->young, memory_order_relaxed) == 0)
        return;
    (void)nanosleep(&rest, NULL);
    t->since_ms = now_mono_ms + TURNS_REST_MS;
}
