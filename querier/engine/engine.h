/*
 * The PromQL engine: parses a query, checks it against its limits, runs it over a storage and
 * returns the result, all in the caller's arena.
 *
 * Series-major: every operator yields one series at a time with the values of all steps in one
 * column, so that memory is that of the operators that must hold rows (binary operations, sorts,
 * the result) and groups x steps for aggregations, not series x steps.
 *
 * Semantics are those of Prometheus 3.14: left-open ranges and lookback, stale markers,
 * annotations with positions. A function the engine does not have answers ERR_UNSUPPORTED with
 * its name.
 *
 * Threads: engine_query() blocks; call it on a worker. A struct engine is immutable and shared.
 * The arena belongs to the calling thread. The cancel flag may be set from any thread.
 */
#pragma once
#include <stdatomic.h>

#include "common/base/err.h"
#include "common/model/sample.h"
#include "querier/engine/storage.h"

struct engine;

/* All times in ms. Zero values mean the default named here. */
struct engine_opts {
    int64_t lookback_ms;           /* 5m */
    int64_t subquery_step_ms;      /* default step of [5m:], 1m */
    bool has_experimental;         /* experimental functions, aggregations and syntax */
    bool has_delayed_name_removal; /* as Prometheus' feature flag promql-delayed-name-removal */
    bool has_type_and_unit;        /* __type__ and __unit__ belong to the name */
    bool has_start_timestamps;     /* rate and friends use start timestamps where known */
    bool divides_as_logql;         /* what is divided by zero is NaN, not infinite */
};

struct engine *engine_new(const struct engine_opts *opts); /* NULL: defaults */
void engine_free(struct engine *eng);

#define ENGINE_MAX_SAMPLES 50000000
#define ENGINE_MAX_POINTS 11000

struct engine_given;
struct engine_query {
    struct slice expr;
    int64_t start_ms, end_ms; /* instant query: equal, and step_ms 0 */
    int64_t step_ms;
    int64_t lookback_ms; /* 0: the engine's */
    /* Held or read at any moment, and a tenth of what is computed; 0: ENGINE_MAX_SAMPLES. */
    uint64_t max_samples;
    uint64_t max_points;       /* steps of a range query; 0: ENGINE_MAX_POINTS */
    int64_t deadline_mono_ms;  /* clock_system's mono; 0: none */
    int64_t began_mono_ms;     /* of a part: when the whole did (turns.h); 0: with this call */
    const atomic_bool *cancel; /* NULL: none */
    /* Where the storage has aggregates of so much time or less, they may be used where they do; 0: samples alone, as long
     * as there are any. */
    int64_t max_resolution_ms;
    /* Only series of this shard (labels_fingerprint().hi % shard_count); 0: all. */
    uint32_t shard_index, shard_count;
    const struct engine_given *given; /* aggregations done in part already; see engine_partials() */
    size_t n_given;
    /* The expression is an aggregation whose results cannot be put together from parts (avg, stddev, stdvar):
     * instead it yields what it made them of, which can. */
    bool wants_moments;
};

enum engine_type { ENGINE_SCALAR, ENGINE_STRING, ENGINE_VECTOR, ENGINE_MATRIX };
const char *engine_type_name(enum engine_type t); /* as in the API: "vector" */

/* Points of one series: floats and histograms in separate columns, each sorted by time. */
struct engine_series {
    struct labels labels; /* first: ops_by_labels() */
    size_t n;
    const int64_t *t_ms;
    const double *v;
    size_t n_hist;
    const int64_t *hist_t_ms;
    const struct histogram *const *hist;
};

struct engine_stats {
    uint64_t samples;    /* read from storage into windows and steps */
    uint64_t series;     /* pulled from storage */
    uint64_t peak_bytes; /* of the arena */
};

/* Everything is in the arena given to engine_query(). Scalars are one series without labels with
 * one point; so is a scalar of a range query, with all of them. */
struct engine_result {
    enum engine_type type;
    struct slice string; /* ENGINE_STRING */
    int64_t string_t_ms;
    const struct engine_series *series;
    size_t n_series;
    /* "PromQL warning: ... (1:5)"; without duplicates, at most 10 of each and then a count. */
    const struct slice *warnings, *infos;
    size_t n_warnings, n_infos;
    struct engine_stats stats;
};

/*
 * ERR_INVALID: the expression or the times are wrong ("1:7: parse error: ...").
 * ERR_UNSUPPORTED: names the function. ERR_EXEC: the query failed as PromQL defines it.
 * ERR_LIMIT, ERR_TIMEOUT, ERR_CANCELED: name the limit. Others come from the storage.
 */
ORR_CHECKED struct err *engine_query(const struct engine *eng, const struct engine_query *q,
                                     struct storage *st, struct arena *a,
                                     struct engine_result *ret);

/*
 * Splitting a query by series. engine_partials() finds the aggregations of a query that can be done for
 * each shard of the series and then over the shards' results: all but topk and the like, over
 * selectors and functions of them. Of each, partial_expr is a query of its own, whose text stands where
 * it stood (behind blanks), so that positions in annotations stay true; of quantile it is what the quantile is
 * over. It is run once per shard, and what all shards said is given to the whole query:
 *
 *     engine_partials(eng, &q, a, &given, &n)
 *     for each given[i], for each shard k:   engine_query(given[i].partial_expr, shard k of n)
 *     given[i].series = the series of all its shards, one behind the other
 *     q.given = given;  engine_query(&q)
 *
 * or all of it by engine_query_split().
 */
struct engine_given {
    uint32_t start, end; /* the aggregation in the query's text */
    struct slice partial_expr;
    const struct engine_series *series;
    size_t n_series;
    bool has_moments; /* the parts are asked for moments */
    bool is_sum;      /* made of sums, whose digits cancel out where signs differ */
};
ORR_CHECKED struct err *engine_partials(const struct engine *eng, const struct engine_query *q,
                                        struct arena *a, struct engine_given **ret, size_t *ret_n);

struct engine_job {
    struct engine_query q;
    /* to be filled; what the result points to lives until engine_query_split() returns */
    struct engine_result result;
    struct err *err;
};
/* Runs all jobs, in any order and on any threads. */
typedef void engine_run_fn(void *arg, struct engine_job *jobs, size_t n);
/* As engine_query(), in `shards` parts where that is possible. If they leave doubts about the whole (native
 * histograms, kinds of samples mixed between shards), it is run again as one. *ret_was_split may be NULL. */
ORR_CHECKED struct err *engine_query_split(const struct engine *eng, const struct engine_query *q,
                                           struct storage *st, struct arena *a, unsigned shards,
                                           engine_run_fn *run, void *arg, bool *ret_was_split,
                                           struct engine_result *ret);
