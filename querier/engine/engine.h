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
};

struct engine *engine_new(const struct engine_opts *opts); /* NULL: defaults */
void engine_free(struct engine *eng);

struct engine_query {
    struct slice expr;
    int64_t start_ms, end_ms; /* instant query: equal, and step_ms 0 */
    int64_t step_ms;
    int64_t lookback_ms;       /* 0: the engine's */
    uint64_t max_samples;      /* held or read at any moment; 0: 50 million */
    uint64_t max_points;       /* steps of a range query; 0: 11000 */
    int64_t deadline_mono_ms;  /* clock_system's mono; 0: none */
    const atomic_bool *cancel; /* NULL: none */
};

enum engine_type { ENGINE_SCALAR, ENGINE_STRING, ENGINE_VECTOR, ENGINE_MATRIX };
const char *engine_type_name(enum engine_type t); /* as in the API: "vector" */

/* Points of one series: floats and histograms in separate columns, each sorted by time. */
struct engine_series {
    struct labels labels;
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
