/* What the files of the StatsD server share: statsd.c takes in, statsd_flush.c shows. */
#pragma once
#include "common/base/map.h"
#include "common/base/rng.h"
#include "ingester/door/expbuckets.h"
#include "ingester/door/statsd.h"
#include "ingester/door/statsd_line.h"

#define STATSD_FIRST_VALUES 16

struct statsd_value {
    double v, weight;
};

struct statsd_series {
    enum statsd_type type;
    bool is_new; /* its type was not told yet */
    char *name;
    struct labels tags; /* one heap block */
    int64_t used_ms;
    double value;              /* total of a counter, last of a gauge */
    double count, sum;         /* totals of a summary */
    struct expbuckets buckets; /* of a histogram, when it is one of those */
    /* Of the period. */
    struct statsd_value *values; /* a uniform sample of `seen` values */
    uint64_t seen;
    uint64_t *elements; /* a set's hashes, open addressing; 0 is free */
    uint32_t n_values, n_elements, cap;
    size_t bytes; /* charged */
};

struct statsd {
    struct statsd_opts opts;
    char *instance_label, *instance;
    struct map by_key;
    VEC(struct statsd_series *) all;
    struct rng rng;
    struct arena *scratch; /* of one statsd_take() */
    struct buf key;
    struct statsd_metrics m;
    /* The flush under way. */
    size_t next;
    int64_t flush_ms;
    bool is_flushing;
};

/* Gives back what it is charged. */
void statsd_series_free(struct statsd *s, struct statsd_series *x);
