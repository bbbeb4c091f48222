/*
 * How many different texts there were: exact up to DISTINCT_EXACT, beyond that an estimate (HyperLogLog; standard
 * error 1.6 %). It grows with what it has seen to 12 KiB in all, in the arena, and no further.
 *
 * {0} is empty. Owner: one thread. Deterministic: the order of adding does not count.
 */
#pragma once
#include "common/base/arena.h"

#define DISTINCT_EXACT 256
#define DISTINCT_BITS 12 /* of a hash choose the register */

struct distinct {
    uint64_t *hashes; /* open addressing, 0: free; NULL once there are registers */
    uint32_t n, cap;
    uint8_t *registers; /* 1 << DISTINCT_BITS */
};

void distinct_add(struct distinct *d, struct arena *a, struct slice text);
uint64_t distinct_count(const struct distinct *d);
