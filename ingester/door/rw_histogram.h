/*
 * Native histograms of remote write: from protobuf (rw_cursor.h has the field numbers) to struct
 * histogram, with Prometheus' rules of what makes sense.
 *
 *   integer  buckets come as deltas, each to the one before; the count is the buckets' sum (not
 *            less, if the sum is NaN)
 *   float    buckets come as counts
 *   schema   -4..8; 9..52 is finer than we keep and is brought to 8; -53: custom bounds
 *
 * Any thread.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/model/sample.h"

#define RW_HISTOGRAM_MAX_SCHEMA 8
#define RW_HISTOGRAM_MAX_RESERVED_SCHEMA 52
#define RW_HISTOGRAM_MIN_SCHEMA (-4)

struct rw_histogram {
    int64_t t_ms, created_ms; /* created: field 17, of remote write 2.0; 0: not told */
    struct histogram h;       /* arrays in the arena */
    /* Of integer histograms, exact. */
    uint64_t count, zero_count, pos_sum, neg_sum;
    bool has_negative_bucket;
    bool has_odd_created; /* field 17 with another wire type: an error in 2.0 */
};

/* ERR_INVALID for malformed bytes, ERR_LIMIT when it has more than max_buckets (0: 65536). */
ORR_CHECKED struct err *rw_histogram_decode(struct arena *a, struct slice message,
                                            size_t max_buckets, struct rw_histogram *ret);
/* Brings a reserved schema to the finest we keep, and checks sense. ERR_INVALID says what is wrong. */
ORR_CHECKED struct err *rw_histogram_check(struct arena *a, struct rw_histogram *r);
