/*
 * TraceQL as of today's Tempo: text to tree and back.
 *
 *     struct traceql q;
 *     if ((e = traceql_parse(arena, slice_cstr("{ span.http.status_code >= 500 }"), &q)))
 *         return e;
 *
 * A query that parses has passed the checks that Tempo makes on the tree: types of operands, regular
 * expressions, what may be nil, arguments of aggregates. What Tempo parses and then says it does not
 * do (the scope parent, arithmetic between aggregates of pipelines) is refused with a message that
 * names it.
 *
 * Errors are ERR_INVALID and begin with the position: "1:5: parse error: unexpected …".
 *
 * Bounds: TRACEQL_MAX_BYTES of text, TRACEQL_MAX_DEPTH levels of nesting, TRACEQL_MAX_HEIGHT chained
 * operations, TRACEQL_MAX_LIST items of any list; beyond them, and past the arena's budget, parsing
 * fails with ERR_LIMIT.
 *
 * Any thread; a parsed query is read-only and may be shared.
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/lang/traceql_ast.h"

#define TRACEQL_MAX_BYTES (1u << 20)
#define TRACEQL_MAX_DEPTH 500
#define TRACEQL_MAX_HEIGHT 2000
#define TRACEQL_MAX_LIST 4096

struct traceql {
    struct traceql_pipeline pipeline; /* a search; empty if metrics is set */
    struct traceql_math *metrics;
    struct traceql_stages
        stages; /* behind metrics; those of a leaf that is all are here, not in it */
    struct traceql_hint *hints;
    size_t n_hints;
};

/* query is copied. Writes *ret only on success. */
ORR_CHECKED struct err *traceql_parse(struct arena *a, struct slice query, struct traceql *ret);

/* The canonical text, as Tempo prints it. */
void traceql_print(struct buf *out, const struct traceql *q);
void traceql_print_field(struct buf *out, const struct traceql_field *f);
void traceql_print_attribute(struct buf *out, const struct traceql_attribute *a);
/* What search results call the value that a GROUP or SCALAR_FILTER gives: "by(.a)", "avg(duration)". */
void traceql_print_value_name(struct buf *out, const struct traceql_element *e);
void traceql_print_static(struct buf *out, const struct traceql_static *v);

/* The type that an expression has whatever the span; ANY if that depends on the span. */
enum traceql_type traceql_type_of(const struct traceql_field *f);
const char *traceql_type_name(enum traceql_type type);
/* Of OpenTelemetry's SpanKind; of a number that is none "unspecified". */
const char *traceql_kind_text(uint8_t kind);
const char *traceql_op_text(enum traceql_op op);
const char *traceql_metric_name(enum traceql_metric op);
bool traceql_metric_has_attribute(enum traceql_metric op);
/* Numbers, durations among them. */
bool traceql_is_numeric(enum traceql_type type);
/* The value of a number as a float; durations in nanoseconds. */
double traceql_number(const struct traceql_static *v);
/* An order of all values: by type, then by value; NaN is before other floats. */
int traceql_cmp(const struct traceql_static *l, const struct traceql_static *r);
/* v, its text copied into a. */
struct traceql_static traceql_keep(struct arena *a, struct traceql_static v);
/*
 * lhs op rhs of two values, as Tempo computes it: integers stay integers in arithmetic, all else
 * becomes a float; text compares bytewise. False if there is no value: types that do not go together, an
 * integer divided by 0. Regular expressions are not done here.
 */
bool traceql_apply(enum traceql_op op, const struct traceql_static *lhs,
                   const struct traceql_static *rhs, struct traceql_static *ret);
