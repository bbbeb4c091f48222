/*
 * An arena whose memory others share: at the end of its limit who gave it is asked for more.
 *
 *     a = arena_new(some);
 *     arena_on_limit(a, grant, arg);
 *     if (!arena_room(a, n * each)) …      before each array whose length somebody else chose
 *     p = arena_calloc(a, n, each);
 *
 * So what a request takes is counted before it is taken, though nobody knew beforehand how much it would be.
 */
#pragma once
#include "common/base/arena.h"

/* So many bytes more are wanted; how many there are: no fewer, or 0. */
typedef size_t arena_grant_fn(void *arg, size_t bytes);
/* Only arena_room() asks. An arena without limit asks nobody. */
void arena_on_limit(struct arena *a, arena_grant_fn *grant, void *arg);
/* Whether so many bytes may be handed out; 0: whether what was, or was charged, is within the limit. */
bool arena_room(struct arena *a, size_t bytes);
