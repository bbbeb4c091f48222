/*
 * A histogram of seconds that is written as a classic one, a native one, or both.
 *
 * Native: exponential buckets of schema 3 (each 9% wider than the one before); of more than GENHIST_MAX_NATIVE the schema goes down by one, as
 * often as it takes. Values of 0 and below are in the zero bucket.
 *
 * Owner: whoever holds it. Nothing here locks.
 */
#pragma once
#include "common/base/vec.h"
#include "common/model/generator_rule.h"
#include "common/model/sample.h"

#define GENHIST_MAX_NATIVE 160
#define GENHIST_SCHEMA 3
#define GENHIST_ZERO_THRESHOLD 0x1p-128 /* Prometheus' default */

struct genhist_exemplar {
    uint8_t trace[16];
    double v;
    int64_t t_ms; /* 0: none */
};
struct genhist_native {
    int32_t index;
    double n;
};
struct genhist {
    double count, sum, zeros;
    bool is_fractional;
    double *classic; /* of each bucket and +Inf, not summed up; NULL: not wanted */
    struct genhist_exemplar *exemplars; /* likewise; the newest since they were written */
    int32_t schema;
    VEC(struct genhist_native) native; /* by index */
    struct genhist_exemplar exemplar;  /* of the native one */
};

struct genhist *genhist_new(const struct generator_buckets *buckets, bool has_classic);
void genhist_free(struct genhist *h); /* NULL is allowed */
/* A value that stands for n. */
void genhist_observe(struct genhist *h, const struct generator_buckets *buckets, bool has_native,
                     double v, double n, const uint8_t trace[16], int64_t now_ms);
/* The native one; arrays in the arena. */
struct histogram genhist_to_native(const struct genhist *h, struct arena *a);
