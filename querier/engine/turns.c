#include "querier/engine/turns.h"

#include <time.h>

#include "common/base/clock.h"
#include "common/base/thread.h"

void turn_begin(struct turn *t, struct turns *turns, int64_t began_mono_ms, int64_t now_mono_ms)
{
    *t = (struct turn){turns, began_mono_ms ? began_mono_ms : now_mono_ms, true};
    if (now_mono_ms - t->since_ms < TURNS_YOUNG_MS) {
        atomic_fetch_add_explicit(&turns->young, 1, memory_order_relaxed);
    } else {
        t->is_young = false;
        t->since_ms = now_mono_ms;
    }
}

static void leave_the_young(struct turn *t)
{
    atomic_fetch_sub_explicit(&t->turns->young, 1, memory_order_relaxed);
    t->is_young = false;
}

void turn_end(struct turn *t, int64_t now_mono_ms)
{
    if (!t->is_young) {
        thread_leave_a_core(false);
        return;
    }
    leave_the_young(t);
    atomic_store_explicit(&t->turns->short_ms, now_mono_ms, memory_order_relaxed);
}

static bool is_among_short_ones(const struct turns *turns, int64_t now_mono_ms)
{
    int64_t last_ms = atomic_load_explicit(&turns->short_ms, memory_order_relaxed);

    return last_ms && now_mono_ms - last_ms < TURNS_SHORT_MS;
}

void turn_look(struct turn *t, int64_t now_mono_ms)
{
    const struct timespec rest = {.tv_nsec = TURNS_REST_MS * NS_PER_MS};

    if (t->is_young) {
        if (now_mono_ms - t->since_ms < TURNS_YOUNG_MS)
            return;
        leave_the_young(t);
        t->since_ms = now_mono_ms;
    }
    thread_leave_a_core(is_among_short_ones(t->turns, now_mono_ms));
    if (now_mono_ms - t->since_ms < TURNS_REST_MS ||
        atomic_load_explicit(&t->turns->young, memory_order_relaxed) == 0)
        return;
    (void)nanosleep(&rest, NULL);
    t->since_ms = now_mono_ms + TURNS_REST_MS;
}
