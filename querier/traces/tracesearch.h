/*
 * A TraceQL search: the newest traces that match, with the spans of each that do.
 *
 *     e = tracesearch(&opts, &found);          found lies in opts.scan.arena
 *     tracesearch_json(&out, &found);
 *     tracesearch_done(&found);                 before the arena goes
 *
 * Of all that matches in the range the traces that began last are kept; what is too old to be among them is not looked at, once there are as many
 * as are wanted. A trace is in the range if any of it is.
 *
 * Owner: one worker. Memory: tracescan.h's and that of the hits kept.
 */
#pragma once
#include "querier/traces/tracescan.h"

struct tracesearch_opts {
    struct tracescan_opts scan;               /* its filters are set here */
    const struct traceql *query;              /* a search, not metrics */
    uint32_t limit;                           /* traces */
    uint32_t spans_per_set;                   /* 0: all */
    int64_t min_duration_ns, max_duration_ns; /* of the trace; 0: any */
};

struct tracehit_value {
    struct slice name;
    struct traceql_static value;
};
struct tracehit_span {
    uint64_t id;
    int64_t start_ns, end_ns;
    struct slice name;
    size_t n_values; /* attributes that the query names, and that the span has */
    const struct tracehit_value *values;
};
struct tracehit_set {
    uint32_t matched, n_spans; /* of the matched, those that are here */
    const struct tracehit_span *spans;
    size_t n_values; /* of by() and aggregates */
    const struct tracehit_value *values;
};
struct tracehit_service {
    struct slice name;
    uint32_t spans, errors;
};
struct tracehit {
    uint8_t id[16];
    struct slice root_service, root_name;
    int64_t start_ns, end_ns;
    size_t n_sets, n_services;
    const struct tracehit_set *sets;
    const struct tracehit_service *services;
};
struct tracesearch_result {
    struct arena **arenas; /* of each hit; our own */
    size_t n;
    const struct tracehit *hits; /* newest first */
    struct tracescan_stats stats;
};

/* ERR_INVALID: the query is one of metrics. Else errors of the scan. */
ORR_CHECKED struct err *tracesearch(const struct tracesearch_opts *opts,
                                    struct tracesearch_result *ret);
void tracesearch_done(struct tracesearch_result *res);
/* As Tempo's /api/search answers. */
void tracesearch_json(struct buf *out, const struct tracesearch_result *res);
/* A value of TraceQL as an AnyValue; what has no form of its own in OTLP (durations, status, kind) is a text. */
void tracesearch_json_value(struct buf *out, const struct traceql_static *v);
