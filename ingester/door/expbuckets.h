/*
 * An exponential histogram that grows: what a native histogram holds, of values that come one by one.
 *
 * Buckets are those of Prometheus' schemas: at schema s bucket i holds (2^((i-1)/2^s), 2^(i/2^s)]. It
 * begins at EXPBUCKETS_SCHEMA (9 % wide) and goes to the next coarser schema whenever the buckets from
 * the first to the last of a sign are more than EXPBUCKETS_MAX. Values of at most
 * EXPBUCKETS_ZERO are zero. Counts are floats: a value may stand for several, or for a part of one.
 *
 * Memory: 8 bytes for each bucket between the first and the last.
 *
 * Owner: one thread.
 */
#pragma once
#include "common/base/arena.h"
#include "common/model/sample.h"

#define EXPBUCKETS_SCHEMA 3
#define EXPBUCKETS_MIN_SCHEMA (-4)
#define EXPBUCKETS_MAX 160
#define EXPBUCKETS_ZERO 0x1p-128

struct expbuckets_side {
    double *counts; /* of bucket first, first + 1, … */
    int32_t first;
    uint32_t n, cap;
};

struct expbuckets {
    int schema;
    double count, sum, zero_count;
    struct expbuckets_side pos, neg;
};

void expbuckets_init(struct expbuckets *x);
void expbuckets_done(struct expbuckets *x);
/* v finite, weight > 0. */
void expbuckets_add(struct expbuckets *x, double v, double weight);
size_t expbuckets_bytes(const struct expbuckets *x); /* of its arrays */
/* A copy in the arena, a counter of floats. */
struct histogram expbuckets_histogram(const struct expbuckets *x, struct arena *a);
