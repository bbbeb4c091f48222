/* What counting and printing of aggregations share. */
#pragma once
#include "common/base/map.h"
#include "querier/search/esagg.h"

struct esagg_state;
struct esagg_bucket {
    enum esvalue_kind kind;
    struct slice key; /* terms: the text */
    double number;    /* histograms: the key, of dates ms; terms: of a number */
    uint64_t docs;
    uint64_t last_doc; /* counted in it: a document counts once, whatever it has how often */
    struct esagg_state *children;
};
/* One aggregation in one bucket. */
struct esagg_state {
    const struct esagg_spec *spec;
    struct esagg_run *run;
    struct esagg_state *next; /* of all of the run */
    uint64_t count;
    long double sum;
    double min, max;
    struct distinct distinct;
    struct map index; /* key → bucket */
    struct esagg_bucket **buckets;
    size_t n, cap;
};
struct esagg_run {
    struct arena *arena;
    const struct esagg_specs *specs;
    struct esagg_state *top, *all;
    uint64_t doc;
    size_t n_out; /* buckets printed */
};

/* esagg.c */
struct esagg_bucket *esagg_bucket_at(struct esagg_state *s, double key);
/* The key of the bucket that a time is in, ms. */
double esagg_date_key(const struct esagg_spec *s, int64_t ns);
/* The same of a number, in a histogram. */
double esagg_number_key(const struct esagg_spec *s, double v);
double esagg_next_key(const struct esagg_spec *s, double key);
