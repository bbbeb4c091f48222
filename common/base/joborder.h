/*
 * Pieces of one computation that run side by side, and whose results are taken in order.
 *
 *     run(0) ──────────┐            lanes of them at once: the caller's thread is one lane, threads of the pool the others
 *     run(1) ───┐      take(0)      a piece is begun when fewer than window of those before it have not been taken
 *     run(2)    ┆ ─────┆take(1)     take() is called for 0, 1, 2 … each after its run(), never two at once
 *
 * So what is held of results is that of a window, and who needs no more than the first few says so in take(): pieces that
 * were not begun never are. Whoever is likely to need few begins with a small window, and take() says how many from then on. Those under way are waited for; run() has to look at a flag of its own that take() sets.
 *
 * Pools are shared: a lane that has ended a piece goes to the back of the pool's queue if somebody waits in it. When the
 * pool is busy the caller does all pieces by itself, one after the other; it never waits for a free thread.
 *
 * The caller is no thread of a loop. Nothing is left running when joborder() returns.
 */
#pragma once
#include "common/base/job.h"

struct joborder {
    struct job_pool *pool;
    size_t n;        /* pieces */
    unsigned lanes;  /* that run at once; 0 is 1 */
    unsigned window; /* pieces begun and not taken yet, at most; below lanes it is lanes */
    unsigned first;  /* the same until the first was taken; 0: no other than later */
    void (*run)(void *arg, size_t i);
    unsigned (*take)(void *arg,
                     size_t i); /* the window from now on, up to window; 0: no more is wanted */
    void *arg;
};
void joborder(const struct joborder *o);
