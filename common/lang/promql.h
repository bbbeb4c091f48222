/*
 * PromQL as of Prometheus 3.14: text to tree and back.
 *
 *     struct promql q;
 *     if ((e = promql_parse(arena, slice_cstr("rate(http_requests_total[5m])"), NULL, &q)))
 *         return e;
 *     ... q.root ...
 *     promql_done(&q);
 *
 * Errors are ERR_INVALID with the text Prometheus' API gives, position first:
 * "1:5: parse error: unexpected character inside braces: '1'".
 *
 * Bounds: a query has at most PROMQL_MAX_BYTES bytes, nests at most PROMQL_MAX_DEPTH levels and
 * chains at most 2000 operations (a + b + c …), so that whoever walks a tree may recurse;
 * beyond that parsing fails with ERR_LIMIT. All memory is the arena's (an over-budget arena fails
 * the parse with ERR_LIMIT too), but compiled regexes are on the heap until promql_done().
 *
 * Any thread; a parsed query is read-only and may be shared, promql_resolve_durations() apart.
 */
#pragma once
#include "common/lang/promql_ast.h"
#include "common/lang/promql_func.h"

#define PROMQL_MAX_BYTES (1u << 20)
#define PROMQL_MAX_DEPTH 500

/* Experimental syntax, off unless asked for, as in Prometheus. */
struct promql_options {
    bool with_functions; /* experimental functions and aggregations */
    bool with_durations; /* duration expressions: foo[step() * 2] */
    bool with_extended;  /* anchored and smoothed selectors */
    bool with_fill;      /* fill, fill_left, fill_right */
};
#define PROMQL_EVERYTHING                                                                          \
    ((struct promql_options){                                                                      \
        .with_functions = true, .with_durations = true, .with_extended = true, .with_fill = true})

struct promql {
    struct promql_expr *root;
    struct promql_expr *selectors; /* all PROMQL_SELECTOR nodes, linked by u.selector.next */
};

/* query is copied. opts NULL: everything experimental is off. Writes *ret only on success. */
ORR_CHECKED struct err *promql_parse(struct arena *a, struct slice query,
                                     const struct promql_options *opts, struct promql *ret);
/* Frees the regexes; the rest goes with the arena. {0} is allowed. */
void promql_done(struct promql *q);

/* One selector as in match[]: name{a="b"}, no range, offset or @. Matchers that all match the
 * empty string are accepted; see promql_selects_all(). Free with matchers_done(). */
ORR_CHECKED struct err *promql_parse_selector(struct arena *a, struct slice text,
                                              struct matchers *ret);
/* No matcher rules out the empty string: Prometheus refuses to select by these. */
bool promql_selects_all(struct matchers ms);
/* A metric as text, name{a="b"}, to labels (sorted, in the arena). */
ORR_CHECKED struct err *promql_parse_metric(struct arena *a, struct slice text, struct labels *ret);

/*
 * Evaluates the duration expressions of a tree for one evaluation and fills in the *_ms members.
 * step_ms and range_ms are the query's (0 for an instant query). Fails with ERR_EXEC on a range or
 * step that is not positive, division by zero and values out of range.
 */
ORR_CHECKED struct err *promql_resolve_durations(struct promql_expr *root, int64_t step_ms,
                                                 int64_t range_ms);

/* The canonical text (Expr.String() of Prometheus). */
void promql_print(struct buf *out, const struct promql_expr *e);
/* The same on several lines where it is longer than 100 bytes, as format_query has it (Prettify). */
void promql_print_pretty(struct buf *out, const struct promql_expr *e);
/* An S-expression with all defaults explicit, for tests and debugging:
 * (binop + card=one-to-one ignoring=[] (selector ["__name__" = "a"]) …). */
void promql_print_tree(struct buf *out, const struct promql_expr *e);
void promql_print_duration(struct buf *out, const struct promql_duration *d);
void promql_print_names(struct buf *out, struct promql_names names); /* "(a, b)" */

const char *promql_op_text(enum promql_op op);
const char *promql_agg_name(enum promql_agg op);
bool promql_agg_has_param(enum promql_agg op);
bool promql_agg_is_experimental(enum promql_agg op);
/* "scalar", "string", "vector", "matrix", "none": as the HTTP API has them. */
const char *promql_type_name(enum promql_type t);
/* Skips parentheses. */
const struct promql_expr *promql_unwrap(const struct promql_expr *e);
