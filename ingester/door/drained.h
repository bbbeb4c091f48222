/*
 * Waiting, on a thread that is no loop, until all of several things on loops are drained.
 *
 *     drained_expect(&d, n);     then, n times on any loop: drained_one(&d)
 *     drained_wait(&d, 5000)
 *
 * Once. It outlives what calls drained_one(), also when the wait was given up.
 */
#pragma once
#include <stdatomic.h>

#include "common/base/err.h"

struct drained {
    int fd; /* an eventfd that is written to by the last */
    _Atomic size_t left;
};

ORR_CHECKED struct err *drained_init(struct drained *d);
void drained_done(struct drained *d); /* also when init failed */
void drained_expect(struct drained *d, size_t n);
void drained_one(void *d);
/* One more than was expected. With one that ends when no more are to come, things may come and go before. */
void drained_more(struct drained *d);
/* False: timeout_ms were over before. True at once when none are expected. */
bool drained_wait(struct drained *d, int64_t timeout_ms);
