/*
 * Runs a LogQL query over a log source: lines, or a metric computed from lines.
 *
 *     struct logquery q = {.expr = text, .start_ns = a, .end_ns = b, .step_ns = s, .limit = 100};
 *     if ((e = logquery(eng, &q, source, arena, &result)))
 *         return e;
 *
 * Lines: those with start <= time < end that the pipeline keeps, the first limit of them in the
 * direction asked for, by the streams that their labels make.
 *
 * Metrics: what stands above the range aggregations is PromQL in all but the name and is run by
 * querier/engine; logquery_metric.c says how. A window is (t - range - offset, t - offset].
 *
 * Threads: logquery() blocks; call it on a worker. With a pool what it reads is read in pieces (logsource.h) by several
 * threads at once, and put together in their order: the answer is the same, to the byte, and of statistics what pieces
 * find that nobody needs any more is not in them. Everything is in the caller's arena, whose budget bounds it; each piece
 * under way may take an even share of what is left of it; there are fewer at once where that would be little. The cancel flag may be set from any thread.
 */
#pragma once
#include "common/base/job.h"
#include "common/lang/logql.h"
#include "querier/engine/engine.h"
#include "querier/engine/turns.h"
#include "querier/logs/logsource.h"

#define LOGQUERY_LIMIT 100
#define LOGQUERY_MAX_SERIES 100000
#define LOGQUERY_MAX_NS ((int64_t)1 << 62)       /* of a moment: the year 2116 */
#define LOGQUERY_MAX_RANGE_NS ((int64_t)1 << 60) /* of a range or an offset: 36 years */

/* 0: the default named here, or no limit. */
struct logquery {
    struct slice expr;
    int64_t start_ns, end_ns; /* a metric at one moment: equal, and step_ns 0 */
    int64_t step_ns;          /* whole milliseconds */
    int64_t interval_ns;      /* of lines only those at least so far from the one before */
    bool is_forward;          /* oldest lines first, else newest */
    bool metric_only;         /* a query for lines is an error */
    bool lines_only;          /* a metric query is an error */
    uint32_t limit;           /* lines; LOGQUERY_LIMIT */
    uint32_t max_entries;     /* that limit may be */
    uint64_t max_bytes;       /* of lines that may be looked at */
    uint64_t max_series;      /* of a range aggregation; LOGQUERY_MAX_SERIES */
    uint64_t max_samples;     /* held at any moment; ENGINE_MAX_SAMPLES */
    uint64_t max_points;      /* steps; ENGINE_MAX_POINTS */
    int64_t deadline_mono_ms; /* clock_system's mono; none */
    const atomic_bool *cancel;
    struct job_pool *pool; /* whose threads help; NULL: it is not cut */
    /* Pieces under way at once, this thread's among them; below 2: it is not cut, but where the source reads ahead. */
    unsigned lanes;
    struct turns
        *turns; /* of all queries that are read in pieces (querier/engine/turns.h); NULL: none */
};

struct logquery_line {
    int64_t ts_ns;
    struct slice line;
};

/* The lines whose labels are equal. Sorted by labels; lines in the direction asked for. */
struct logquery_stream {
    struct labels labels;                   /* all of them; first */
    struct labels stream, metadata, parsed; /* the same apart by where they come from */
    const struct logquery_line *lines;
    size_t n;
};

struct logquery_stats {
    uint64_t bytes, lines; /* looked at */
    uint64_t lines_kept;   /* by the pipeline */
    uint64_t streams;      /* of the source, in each stretch of time */
    uint64_t entries;      /* in the answer: lines, or points */
    int64_t exec_ns;
    int64_t queued_ns;             /* waited for a worker: the caller's to set */
    struct logsource_stats source; /* over all selects */
};

struct logquery_result {
    bool is_metric, is_forward;
    struct logquery_stream *streams; /* lines */
    size_t n_streams;
    struct engine_result metric;
    struct logquery_stats stats;
};

/*
 * An engine for metrics: one that divides as LogQL does. Free with engine_free().
 */
struct engine *logquery_engine(void);

/*
 * ERR_INVALID: the query or its times are wrong, or a line of a metric query has an error that the
 * query does not ask for ("pipeline error: …"). ERR_LIMIT, ERR_TIMEOUT, ERR_CANCELED name the limit.
 * Others come from the source.
 */
ORR_CHECKED struct err *logquery(const struct engine *eng, const struct logquery *q,
                                 struct logsource *source, struct arena *a,
                                 struct logquery_result *ret);

/*
 * Runs one piece of a query for whoever runs the query, and appends what it made to out, in bytes that logquery() there puts together
 * (logpiece_wire.h). leaf: which range aggregation, as it reads; empty: the query is for lines. Of q its pool and lanes mean nothing.
 */
ORR_CHECKED struct err *logquery_piece(const struct logquery *q, struct slice leaf,
                                       const struct logsource_piece *at, struct logsource *source,
                                       struct arena *a, struct buf *out);
