/* What the files of querier/logs share. */
#pragma once
#include "common/base/reader.h"
#include "common/logs/pipeline.h"
#include "querier/logs/logquery.h"

/* One running query. */
struct logquery_run {
    const struct logquery *q;
    struct logsource *source;
    struct arena *arena;
    struct logquery_stats *stats;
    uint32_t ticks, look_every; /* lines until the next look at the clock; and between two */
    int64_t looked_ns;
    int64_t began_mono_ms;
    /* Of a piece of a query; else NULL and 0. */
    const atomic_bool *stop; /* nobody wants the rest */
    size_t limit_bytes;      /* the query's */
    struct turn *turn;
    const struct logquery_only *only; /* NULL: the whole query */
};
/* Of a query this piece alone, for somebody else. */
struct logquery_only {
    const struct logsource_piece *at;
    struct slice leaf; /* empty: lines */
    struct buf *out;
};

/* NULL: it is within its memory. */
struct err *logquery_run_memory(const struct logquery_run *r);
/* NULL: neither its deadline has passed nor does anybody want it to end. */
struct err *logquery_run_over(const struct logquery_run *r);
/* Both: now and then in long work. */
struct err *logquery_run_look(const struct logquery_run *r);
/* After each line looked at: the query's limits, the deadline, the cancel flag. NULL: go on. */
struct err *logquery_run_line(struct logquery_run *r, size_t bytes);

/* It looks at more bytes than it may. */
struct err *logquery_run_too_much(const struct logquery *q);

/* For each stream: the query's limits. */
ORR_CHECKED struct err *logquery_run_stream(struct logquery_run *r,
                                            const struct logsource_set *set);
/* logsource_set_close(); what the set took is added to the query's. */
ORR_CHECKED struct err *logquery_run_close(struct logquery_run *r, struct logsource_set *set);

/* Adds what another run has counted. */
void logquery_run_add(struct logquery_run *r, const struct logquery_stats *add);

/* ---- logquery_pieces.c: reading a request in pieces, side by side ---- */

struct logquery_piece {
    struct logquery_run run; /* its own source, arena and statistics */
    struct logquery_stats stats;
    struct logsource_request req;
    struct logsource_piece at;
    void *state; /* read()'s */
    struct err *err;
};
struct logquery_pieces {
    struct logquery_run *run;
    const struct logsource_request *req;
    /* On any thread: reads the piece and makes its state, which what it fails with does not take away. */
    struct err *(*read)(void *arg, struct logquery_piece *p);
    /* In order, one at a time: copies what it wants of the state. *ret_is_enough: no later piece is wanted. next_ns: the
     * first moment of those. */
    struct err *(*take)(void *arg, const struct logquery_piece *p, int64_t next_ns,
                        bool *ret_is_enough);
    void (*drop)(void *state); /* on any thread, of every state that is not NULL */
    /* The state as bytes, and back, for pieces that others run. load(): of the piece's run, state is set as by read(); what is malformed
     * fails the reader. */
    void (*save)(const void *state, struct buf *out);
    struct err *(*load)(void *arg, struct logquery_piece *p, struct reader *r);
    struct slice leaf; /* which range aggregation, as it reads; empty: lines */
    void *arg;
};
/* Where the run is of one piece alone, that is read and saved. False: it is not to be cut, and nothing was done. Else *ret is the first error of the pieces in their order. */
bool logquery_pieces_run(const struct logquery_pieces *ps, struct err **ret);

/* For qsort() of what begins with its labels: struct logquery_stream, struct logquery_series. */
int logquery_by_labels(const void *a, const void *b);

/* logquery_lines.c: the answer to a query for lines. */
ORR_CHECKED struct err *logquery_lines(struct logquery_run *r, const struct logql_logs *logs,
                                       struct logquery_result *ret);

/* logquery_metric.c */
ORR_CHECKED struct err *logquery_metric(struct logquery_run *r, const struct engine *eng,
                                        const struct logql_expr *root, struct logquery_result *ret);

/* logquery_leaf.c: the steps of a query. */
struct logquery_grid {
    int64_t start_ns, step_ns;
    size_t n;
};
struct logquery_series {
    struct labels labels; /* first: sorted by them */
    const double *v;      /* a value for each step, where has says so */
    const bool *has;
};
/* A range aggregation at every step of the grid, in the run's arena. sum: of a sum around it that is
 * all that looks at its labels; NULL: none. text: as both read. */
ORR_CHECKED struct err *logquery_leaf(struct logquery_run *r, const struct logql_range *range,
                                      const struct logql_grouping *sum, struct slice text,
                                      const struct logquery_grid *grid,
                                      struct logquery_series **ret, size_t *ret_n);
/* logquery_window.c: the aggregation of samples (sorted by time) in each step's window. */
struct logquery_sample {
    int64_t ts_ns;
    double v;
};
ORR_CHECKED struct err *logquery_window(struct logquery_run *run, const struct logql_range *range,
                                        const struct logquery_grid *grid,
                                        const struct logquery_sample *samples, size_t n,
                                        struct arena *tmp, double *v, bool *has);
