/*
 * What a search asks for: the body of _search, or of its parameters in the URL.
 *
 *     esbody_init(&b, arena, now_ns);
 *     esbody_parse(&b, root);                        {"query":{…},"size":10,"sort":[…],"aggs":{…}}
 *     esbody_param(&b, name, value, &is_known);      q=level:error size=10 sort=@timestamp:desc
 *     esbody_end(&b, max_hits);                      checks, defaults
 *     esbody_done(&b);
 *
 * Known: query, from, size, sort, _source, fields, docvalue_fields, track_total_hits, search_after, aggs (aggregations), timeout. What
 * does not change which documents are found and counted is read and not done: highlight, version, explain, stored_fields,
 * track_scores …. All else is an error that names it.
 *
 * Order: @timestamp, newest first, if nothing is said. Documents of one millisecond have an order of their own (esdoc_order()), which
 * is _doc and _shard_doc, and which decides where all keys are equal; so search_after with @timestamp and _doc goes on without
 * a gap. @timestamp and fields may be mixed; values of a field are numbers before texts, no value last (missing: _first).
 *
 * Bounds: ESBODY_MAX_KEYS, ESBODY_MAX_FIELDS; from + size no more than ESBODY_MAX_HITS. Owner: one thread.
 */
#pragma once
#include "querier/search/esagg.h"
#include "querier/search/esdoc.h"
#include "querier/search/esquery.h"

#define ESBODY_MAX_HITS 10000
#define ESBODY_MAX_KEYS 8
#define ESBODY_MAX_FIELDS 256
#define ESBODY_DEF_SIZE 10
#define ESBODY_DEF_TOTAL 10000 /* as far as is counted */
#define ESBODY_MAX_DEPTH 256   /* of the JSON */

enum essort_by { ESSORT_TIME, ESSORT_ORDER, ESSORT_SCORE, ESSORT_FIELD };
struct essort_key {
    enum essort_by by;
    struct slice field, format;
    bool is_ascending, missing_first;
};
enum essort_kind { ESSORT_NUMBER, ESSORT_TEXT, ESSORT_MISSING };
struct essort_value {
    enum essort_kind kind;
    long double number;
    struct slice text;
};
/* <0: a comes first. */
int essort_cmp(const struct essort_key *k, const struct essort_value *a,
               const struct essort_value *b);
/* Of a document; texts are lent until its next line. */
void essort_value_of(const struct essort_key *k, struct esdoc *d, struct arena *a,
                     struct essort_value *ret);

struct esfetch {
    struct slice pattern, format;
};

struct esbody {
    struct arena *arena;
    struct esquery_parser queries;
    struct esagg_parser aggs_parser;
    struct esquery *query; /* NULL until the end: all */
    uint64_t from, size;
    struct essort_key keys[ESBODY_MAX_KEYS];
    size_t n_keys;
    bool has_sort; /* keys were given: hits have sort values, and no score */
    struct essort_value after[ESBODY_MAX_KEYS];
    size_t n_after;
    struct esdoc_wants source;
    bool has_no_source;
    struct esfetch fields[ESBODY_MAX_FIELDS];
    size_t n_fields;
    uint64_t track; /* how far hits are counted: 0 not at all, UINT64_MAX all */
    struct esagg_specs aggs;
    int64_t timeout_ms; /* 0: not given */
    /* of the URL */
    struct slice q, df;
    bool q_joins_with_and;
};

void esbody_init(struct esbody *b, struct arena *a, int64_t now_ns);
void esbody_done(struct esbody *b);
ORR_CHECKED struct err *esbody_parse(struct esbody *b, struct jsonval root);
/* Texts are copied. *ret_is_known false: it is no parameter of a search's. */
ORR_CHECKED struct err *esbody_param(struct esbody *b, struct slice name, struct slice value,
                                     bool *ret_is_known);
ORR_CHECKED struct err *esbody_end(struct esbody *b, uint64_t max_hits);
