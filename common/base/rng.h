/*
 * Randomness, injectable: xoshiro256**, seeded explicitly, so a simulation repeats. Not for keys
 * or nonces: those come from OpenSSL.
 *
 * Owner: one thread.
 */
#pragma once
#include "common/base/attr.h"

struct rng {
    uint64_t s[4];
};

void rng_seed(struct rng *r, uint64_t seed);
void rng_seed_system(struct rng *r); /* from getrandom() */
uint64_t rng_u64(struct rng *r);
uint32_t rng_u32(struct rng *r);
uint64_t rng_below(struct rng *r, uint64_t n); /* 0..n-1, unbiased; n > 0 */
double rng_unit(struct rng *r);                /* [0, 1) */
bool rng_chance(struct rng *r, double p);
