/*
 * Aggregations: numbers and buckets over the documents of a search, nested.
 *
 *     esagg_parse(&parser, value, &specs);           {"per_minute":{"date_histogram":{…},"aggs":{…}}}
 *     r = esagg_run_new(arena, &specs);
 *     esagg_run_add(r, doc);                         for each document
 *     esagg_run_json(r, out, …);                     "per_minute":{"buckets":[…]}
 *
 * Buckets: date_histogram, histogram, terms, filter, filters, missing. Numbers: min, max, avg, sum, value_count, cardinality
 * (exact up to DISTINCT_EXACT values, then an estimate), stats. Others are errors that name them, as are parameters that would change
 * the answer and are not known. A number is a field's number, or a text that is one; terms of texts are the whole text.
 *
 * Bounds: ESAGG_MAX_SPECS, ESAGG_MAX_DEPTH, ESAGG_MAX_FILTERS of a request; ESAGG_MAX_BUCKETS of an answer, in all; what is counted
 * is in the arena, whose budget the caller looks at.
 *
 * Owner: one thread.
 */
#pragma once
#include "common/base/distinct.h"
#include "querier/search/esdoc.h"
#include "querier/search/esquery.h"

#define ESAGG_MAX_SPECS 256
#define ESAGG_MAX_DEPTH 16
#define ESAGG_MAX_FILTERS 256
#define ESAGG_MAX_BUCKETS 65536
#define ESAGG_DEF_TERMS 10

/* X(symbol, name) */
#define ESAGG_KINDS(X)                                                                             \
    X(ESAGG_DATE_HISTOGRAM, "date_histogram")                                                      \
    X(ESAGG_HISTOGRAM, "histogram")                                                                \
    X(ESAGG_TERMS, "terms")                                                                        \
    X(ESAGG_FILTER, "filter")                                                                      \
    X(ESAGG_FILTERS, "filters")                                                                    \
    X(ESAGG_MISSING, "missing")                                                                    \
    X(ESAGG_MIN, "min")                                                                            \
    X(ESAGG_MAX, "max")                                                                            \
    X(ESAGG_AVG, "avg")                                                                            \
    X(ESAGG_SUM, "sum")                                                                            \
    X(ESAGG_VALUE_COUNT, "value_count")                                                            \
    X(ESAGG_CARDINALITY, "cardinality")                                                            \
    X(ESAGG_STATS, "stats")
enum esagg_kind {
#define X(sym, name) sym,
    ESAGG_KINDS(X)
#undef X
        ESAGG_KIND_COUNT
};
const char *esagg_kind_name(enum esagg_kind kind);

enum esagg_order_by { ESAGG_BY_COUNT, ESAGG_BY_KEY, ESAGG_BY_METRIC };
struct esagg_order {
    enum esagg_order_by by;
    bool is_ascending;
    struct slice metric, part; /* stats.max */
};

struct esagg_spec;
struct esagg_specs {
    struct esagg_spec *ptr;
    size_t n;
};
struct esagg_spec {
    struct slice name;
    enum esagg_kind kind;
    struct slice field;
    struct slice format;
    struct esagg_specs children;
    struct slice missing; /* of a document without the field; ptr NULL: it is left out */
    uint64_t min_doc_count;
    /* histograms */
    int64_t interval_ns; /* fixed */
    char unit;           /* of the calendar; 0: fixed */
    double interval, offset;
    int64_t offset_ns;
    const struct gozone *zone; /* in the parser's keeping */
    bool has_bounds;
    double bound_min, bound_max; /* dates: ms */
    /* terms */
    uint64_t size;
    struct esagg_order orders[4];
    size_t n_orders;
    /* filter, filters */
    struct esquery **filters;
    struct slice *filter_names; /* ptr NULL: without names */
    size_t n_filters;
    struct slice other_name; /* ptr NULL: no other bucket */
};

/* What esagg_parse() leaves: time zones. */
struct esagg_parser {
    struct esquery_parser *queries;
    struct gozone *zones[ESAGG_MAX_SPECS];
    size_t n_zones, n_specs;
    unsigned depth;
};
/* ERR_INVALID, ERR_UNSUPPORTED, ERR_LIMIT. */
ORR_CHECKED struct err *esagg_parse(struct esagg_parser *p, struct jsonval v,
                                    struct esagg_specs *ret);
void esagg_parser_done(struct esagg_parser *p);

struct esagg_run;
struct esagg_run *esagg_run_new(struct arena *a, const struct esagg_specs *specs);
void esagg_run_free(struct esagg_run *r);
void esagg_run_add(struct esagg_run *r, struct esdoc *d);
/* {"name":{…},…}. has_types: date_histogram#name, as typed_keys asks. ERR_LIMIT: too many buckets. */
ORR_CHECKED struct err *esagg_run_json(struct esagg_run *r, struct buf *out, bool has_types);
