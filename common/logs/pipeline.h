/*
 * The pipeline of a LogQL query, compiled once and run on every line: filters, parsers, label
 * filters, formats, drop and keep, and for metric queries unwrap.
 *
 *     pipeline_make(arena, &logs, NULL, &p);
 *     s = pipeline_state_new(p, budget);           one per thread
 *     pipeline_state_stream(s, labels);
 *     if (pipeline_state_line(s, ts_ns, line, metadata, &out))
 *         use(out.line, pipeline_state_labels(s, arena));
 *
 * Line filters are run before anything else wherever no stage before them changes the line. Parsers
 * set only labels that the query looks at, where that is known (metric queries that group by
 * labels), and stop where a label filter refuses the value just parsed, as Loki does: what a parser
 * has not come to it cannot complain of.
 *
 * Errors of a line (malformed JSON, a number that is none, …) drop nothing: they become the labels
 * __error__ and __error_details__, and a numeric filter lets through what it cannot compare.
 *
 * A struct pipeline is immutable, any number of threads may run it; a state belongs to one.
 * Memory: what a line needs lasts until the next line and is charged to the state's budget; on
 * lines that filters drop nothing is allocated.
 */
#pragma once
#include "common/lang/logql_ast.h"
#include "common/model/labels.h"

struct pipeline;
struct pipeline_state;

struct pipeline_opts {
    const struct logql_range *range; /* a metric query; NULL: lines are asked for */
    /* of the sum around it, which then is all that is looked at; NULL: none */
    const struct logql_grouping *sum;
};

/* The tree must outlive the pipeline. ERR_INVALID: a regex, template, path, pattern or address that
 * is none, with the stage's name. ERR_LIMIT: the query names more labels than 4096. */
ORR_CHECKED struct err *pipeline_make(struct arena *a, const struct logql_logs *logs,
                                      const struct pipeline_opts *opts, struct pipeline **ret);
void pipeline_done(struct pipeline *p); /* what is not the arena's; NULL is allowed */

struct pipeline_state *pipeline_state_new(const struct pipeline *p, struct arena *budget);
void pipeline_state_free(struct pipeline_state *s);

struct pipeline_line {
    struct slice line; /* borrows; until the next line */
    double value;      /* of a metric query: what the line counts for */
    bool is_plain;     /* the labels are the stream's, nothing was set or deleted */
};
/* Borrowed until the next stream. */
void pipeline_state_stream(struct pipeline_state *s, struct labels stream);
/* False: the line is dropped. line and metadata are borrowed until the next line. */
bool pipeline_state_line(struct pipeline_state *s, int64_t ts_ns, struct slice line,
                         struct labels metadata, struct pipeline_line *ret);
/* Of the line just run, sorted, texts borrowed until the next one. Of a metric query those of the
 * series that the line belongs to. */
struct labels pipeline_state_labels(struct pipeline_state *s, struct arena *a);
struct pipeline_labels {
    struct labels stream, metadata, parsed;
};
/* The same apart by where they come from, for log queries. */
struct pipeline_labels pipeline_state_categories(struct pipeline_state *s, struct arena *a);
/* As linefilter_needles(), of the line filters that see a line as it came. Without a struct pipeline: any tree. */
size_t pipeline_needles(struct arena *a, const struct logql_logs *logs, struct slice *ret,
                        size_t max);

/* A label that a parser makes of the line as it came must be a number in [min, max], or be no number, or the parser must have
 * failed: other lines are dropped. That holds of lines whose stream and structured metadata have no label of the name. */
struct pipeline_bound {
    enum logql_stage_kind parser; /* LOGQL_STAGE_JSON or LOGQL_STAGE_LOGFMT, with all its labels */
    struct slice name;
    double min, max;
};
/* False: the pipeline's first filter on labels is no such one. Without a struct pipeline, as pipeline_needles(). Borrows. */
bool pipeline_bound(const struct logql_logs *logs, struct pipeline_bound *ret);
/* The line just run has an error that the query does not ask for: a metric query fails with it. */
bool pipeline_state_fails(const struct pipeline_state *s, struct slice *ret_error,
                          struct slice *ret_details);
