/*
 * LogQL as of Loki 3.8: text to tree and back.
 *
 *     struct logql q;
 *     if ((e = logql_parse(arena, slice_cstr("rate({app=\"a\"} |= \"x\" [5m])"), &q)))
 *         return e;
 *     ... q.root ...
 *     logql_done(&q);
 *
 * A query that parses has passed the checks that Loki makes on the tree: a selector that rules
 * something out, unwrap where it belongs, parameters, grouping, types of operands. What a stage
 * makes of its text (templates, line regexes, JSON paths) is checked where it is compiled.
 *
 * Errors are ERR_INVALID and begin with the position: "1:5: parse error: unexpected …".
 *
 * Bounds: LOGQL_MAX_BYTES of text, LOGQL_MAX_DEPTH levels of nesting, LOGQL_MAX_HEIGHT chained
 * operations, LOGQL_MAX_STAGES stages of a pipeline, LOGQL_MAX_LIST items of any list; beyond
 * them, and past the arena's budget, parsing fails with ERR_LIMIT.
 *
 * Beyond Loki: a selector may select all with {orrery_event=""}, which are the lines that are no events (common/model/event.h).
 *
 * variants(…) of (…), experimental in Loki and off by default there, is taken, LOGQL_MAX_VARIANTS of them.
 *
 * Any thread; a parsed query is read-only and may be shared.
 */
#pragma once
#include "common/lang/logql_ast.h"

#define LOGQL_MAX_BYTES (1u << 20)
#define LOGQL_MAX_DEPTH 500
#define LOGQL_MAX_HEIGHT 2000
#define LOGQL_MAX_STAGES 1000
#define LOGQL_MAX_LIST 4096
#define LOGQL_MAX_VARIANTS 32

struct logql {
    struct logql_expr *root;
    struct logql_owned *owned; /* compiled matchers */
};

/* query is copied. Writes *ret only on success. */
ORR_CHECKED struct err *logql_parse(struct arena *a, struct slice query, struct logql *ret);
/* A selector alone, {a="b"}, as in match[] and delete requests. Free with matchers_done(). */
ORR_CHECKED struct err *logql_parse_selector(struct arena *a, struct slice text,
                                             struct matchers *ret);
/* Frees what is not the arena's. {0} is allowed. */
void logql_done(struct logql *q);

/* The canonical text, as Loki prints it. */
void logql_print(struct buf *out, const struct logql_expr *e);
void logql_print_stage(struct buf *out, const struct logql_stage *s);
/* The same on several lines where it is longer than 100 bytes, for format_query. */
void logql_print_pretty(struct buf *out, const struct logql_expr *e);

const char *logql_range_op_name(enum logql_range_op op);
const char *logql_vector_op_name(enum logql_vector_op op);
const char *logql_line_op_text(enum logql_line_op op);
