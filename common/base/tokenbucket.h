/*
 * A token bucket: how fast something may come.
 *
 * It fills at a rate up to its burst. Something is let in when the bucket holds what it costs, or is full (so that one
 * thing larger than the burst is not refused for ever); it may then go below zero, and what follows waits until that is
 * paid back. Rate and burst are the caller's at each call, so they may change.
 *
 * Owner: whoever holds it. Nothing here locks. Zeroed it is new: full.
 */
#pragma once
#include "common/base/clock.h"

struct tokenbucket {
    double tokens;
    int64_t filled_ns; /* mono; 0: never used */
};

static inline bool tokenbucket_take(struct tokenbucket *b, double rate, double burst, double n,
                                    int64_t now_ns)
{
    if (b->filled_ns == 0)
        b->tokens = burst;
    else
        b->tokens += rate * (double)(now_ns - b->filled_ns) / (double)NS_PER_S;
    b->filled_ns = now_ns ? now_ns : 1;
    b->tokens = ORR_MIN(b->tokens, burst);
    if (b->tokens < ORR_MIN(n, burst))
        return false;
    b->tokens -= n;
    return true;
}
