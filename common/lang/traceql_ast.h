/*
 * The syntax tree of a TraceQL query (the language of Tempo as it is today).
 *
 * All nodes, and the text they point to, live in the arena given to traceql_parse(). Operations on
 * constants are folded while parsing, and parentheses are not kept: the shape of the tree says what
 * they said. Durations are nanoseconds.
 *
 *   { .a = 1 } | by(.b) | count() > 2      a pipeline of elements: a spanset, a group, a scalar filter
 *   ({ .a } | rate()) * 60 > 5 | topk(3)   arithmetic over leaves (pipeline and aggregation), then stages
 */
#pragma once
#include "common/base/arena.h"

/* X(symbol, what messages call it) */
#define TRACEQL_TYPES(X)                                                                           \
    X(TRACEQL_NIL, "nil")                                                                          \
    X(TRACEQL_ANY, "attribute") /* known only when a span is seen */                               \
    X(TRACEQL_INT, "integer")                                                                      \
    X(TRACEQL_FLOAT, "float")                                                                      \
    X(TRACEQL_STRING, "string")                                                                    \
    X(TRACEQL_BOOL, "boolean")                                                                     \
    X(TRACEQL_DURATION, "duration")                                                                \
    X(TRACEQL_STATUS, "status")                                                                    \
    X(TRACEQL_SPAN_KIND, "kind")
enum traceql_type {
#define X(sym, text) sym,
    TRACEQL_TYPES(X)
#undef X
};

/* X(symbol, text): OpenTelemetry's status codes, numbers included */
#define TRACEQL_STATUSES(X)                                                                        \
    X(TRACEQL_STATUS_UNSET, "unset")                                                               \
    X(TRACEQL_STATUS_OK, "ok")                                                                     \
    X(TRACEQL_STATUS_ERROR, "error")
enum traceql_status {
#define X(sym, text) sym,
    TRACEQL_STATUSES(X)
#undef X
};

/* X(symbol, text): OpenTelemetry's SpanKind, numbers included */
#define TRACEQL_KINDS(X)                                                                           \
    X(TRACEQL_KIND_UNSPECIFIED, "unspecified")                                                     \
    X(TRACEQL_KIND_INTERNAL, "internal")                                                           \
    X(TRACEQL_KIND_SERVER, "server")                                                               \
    X(TRACEQL_KIND_CLIENT, "client")                                                               \
    X(TRACEQL_KIND_PRODUCER, "producer")                                                           \
    X(TRACEQL_KIND_CONSUMER, "consumer")
enum traceql_span_kind {
#define X(sym, text) sym,
    TRACEQL_KINDS(X)
#undef X
};

struct traceql_static {
    enum traceql_type type;
    union {
        int64_t i; /* INT, DURATION (ns), STATUS, SPAN_KIND */
        double f;
        bool b;
        struct slice s;
    } v;
};

/* X(symbol, text, precedence: 0 for those of one operand) */
#define TRACEQL_OPS(X)                                                                             \
    X(TRACEQL_AND, "&&", 1)                                                                        \
    X(TRACEQL_OR, "||", 1)                                                                         \
    X(TRACEQL_EQ, "=", 2)                                                                          \
    X(TRACEQL_NE, "!=", 2)                                                                         \
    X(TRACEQL_RE, "=~", 2)                                                                         \
    X(TRACEQL_NOT_RE, "!~", 2)                                                                     \
    X(TRACEQL_GT, ">", 2)                                                                          \
    X(TRACEQL_GE, ">=", 2)                                                                         \
    X(TRACEQL_LT, "<", 2)                                                                          \
    X(TRACEQL_LE, "<=", 2)                                                                         \
    X(TRACEQL_ADD, "+", 3)                                                                         \
    X(TRACEQL_SUB, "-", 3)                                                                         \
    X(TRACEQL_MUL, "*", 5)                                                                         \
    X(TRACEQL_DIV, "/", 5)                                                                         \
    X(TRACEQL_MOD, "%", 5)                                                                         \
    X(TRACEQL_POW, "^", 6)                                                                         \
    X(TRACEQL_NEGATE, "-", 0)                                                                      \
    X(TRACEQL_NOT, "!", 0)                                                                         \
    X(TRACEQL_EXISTS, "!= nil", 0)                                                                 \
    X(TRACEQL_NOT_EXISTS, "= nil", 0)
enum traceql_op {
#define X(sym, text, precedence) sym,
    TRACEQL_OPS(X)
#undef X
};

/* X(symbol, text). && and || have precedence 1, the structural ones 2. What is kept of A op B: spans of B
 * that have such a span of A; with "!", those that have none; with "&", both sides. */
#define TRACEQL_SPANSET_OPS(X)                                                                     \
    X(TRACEQL_SPANSET_AND, "&&")                                                                   \
    X(TRACEQL_SPANSET_UNION, "||")                                                                 \
    X(TRACEQL_CHILD, ">")                                                                          \
    X(TRACEQL_PARENT, "<")                                                                         \
    X(TRACEQL_DESCENDANT, ">>")                                                                    \
    X(TRACEQL_ANCESTOR, "<<")                                                                      \
    X(TRACEQL_SIBLING, "~")                                                                        \
    X(TRACEQL_NOT_CHILD, "!>")                                                                     \
    X(TRACEQL_NOT_PARENT, "!<")                                                                    \
    X(TRACEQL_NOT_DESCENDANT, "!>>")                                                               \
    X(TRACEQL_NOT_ANCESTOR, "!<<")                                                                 \
    X(TRACEQL_NOT_SIBLING, "!~")                                                                   \
    X(TRACEQL_UNION_CHILD, "&>")                                                                   \
    X(TRACEQL_UNION_PARENT, "&<")                                                                  \
    X(TRACEQL_UNION_DESCENDANT, "&>>")                                                             \
    X(TRACEQL_UNION_ANCESTOR, "&<<")                                                               \
    X(TRACEQL_UNION_SIBLING, "&~")
enum traceql_spanset_op {
#define X(sym, text) sym,
    TRACEQL_SPANSET_OPS(X)
#undef X
};

/* X(symbol, text) */
#define TRACEQL_SCOPES(X)                                                                          \
    X(TRACEQL_SCOPE_ANY, "")                                                                       \
    X(TRACEQL_SCOPE_RESOURCE, "resource")                                                          \
    X(TRACEQL_SCOPE_SPAN, "span")                                                                  \
    X(TRACEQL_SCOPE_EVENT, "event")                                                                \
    X(TRACEQL_SCOPE_LINK, "link")                                                                  \
    X(TRACEQL_SCOPE_INSTRUMENTATION, "instrumentation")
enum traceql_scope {
#define X(sym, text) sym,
    TRACEQL_SCOPES(X)
#undef X
};

/* X(symbol, canonical text, the scope and name of its other spelling, type) */
#define TRACEQL_INTRINSICS(X)                                                                      \
    X(TRACEQL_NO_INTRINSIC, "", "", "", TRACEQL_ANY)                                               \
    X(TRACEQL_SPAN_DURATION, "duration", "span", "duration", TRACEQL_DURATION)                     \
    X(TRACEQL_NAME, "name", "span", "name", TRACEQL_STRING)                                        \
    X(TRACEQL_SPAN_STATUS, "status", "span", "status", TRACEQL_STATUS)                             \
    X(TRACEQL_STATUS_MESSAGE, "statusMessage", "span", "statusMessage", TRACEQL_STRING)            \
    X(TRACEQL_KIND, "kind", "span", "kind", TRACEQL_SPAN_KIND)                                     \
    X(TRACEQL_CHILD_COUNT, "span:childCount", "span", "childCount", TRACEQL_INT)                   \
    X(TRACEQL_SPAN_ID, "span:id", "span", "id", TRACEQL_STRING)                                    \
    X(TRACEQL_PARENT_ID, "span:parentID", "span", "parentID", TRACEQL_STRING)                      \
    X(TRACEQL_ROOT_NAME, "rootName", "trace", "rootName", TRACEQL_STRING)                          \
    X(TRACEQL_ROOT_SERVICE, "rootServiceName", "trace", "rootService", TRACEQL_STRING)             \
    X(TRACEQL_TRACE_DURATION, "traceDuration", "trace", "duration", TRACEQL_DURATION)              \
    X(TRACEQL_TRACE_ID, "trace:id", "trace", "id", TRACEQL_STRING)                                 \
    X(TRACEQL_EVENT_NAME, "event:name", "event", "name", TRACEQL_STRING)                           \
    X(TRACEQL_EVENT_TIME, "event:timeSinceStart", "event", "timeSinceStart", TRACEQL_DURATION)     \
    X(TRACEQL_LINK_TRACE_ID, "link:traceID", "link", "traceID", TRACEQL_STRING)                    \
    X(TRACEQL_LINK_SPAN_ID, "link:spanID", "link", "spanID", TRACEQL_STRING)                       \
    X(TRACEQL_LIBRARY_NAME, "instrumentation:name", "instrumentation", "name", TRACEQL_STRING)     \
    X(TRACEQL_LIBRARY_VERSION, "instrumentation:version", "instrumentation", "version",            \
      TRACEQL_STRING)                                                                              \
    X(TRACEQL_NESTED_LEFT, "nestedSetLeft", "", "", TRACEQL_INT)                                   \
    X(TRACEQL_NESTED_RIGHT, "nestedSetRight", "", "", TRACEQL_INT)                                 \
    X(TRACEQL_NESTED_PARENT, "nestedSetParent", "", "", TRACEQL_INT)
enum traceql_intrinsic {
#define X(sym, text, scope, name, type) sym,
    TRACEQL_INTRINSICS(X)
#undef X
};

struct traceql_attribute {
    enum traceql_intrinsic intrinsic; /* else NO_INTRINSIC, and a scope and name */
    enum traceql_scope scope;
    struct slice name;
};

enum traceql_field_kind { TRACEQL_STATIC, TRACEQL_ATTRIBUTE, TRACEQL_UNARY, TRACEQL_BINARY };

/* An expression over one span. */
struct traceql_field {
    enum traceql_field_kind kind;
    unsigned height; /* nodes down to the deepest leaf */
    union {
        struct traceql_static value;
        struct traceql_attribute attribute;
        struct {
            enum traceql_op op;
            struct traceql_field *operand;
        } unary;
        struct {
            enum traceql_op op;
            struct traceql_field *lhs, *rhs;
        } binary;
    } u;
};

struct traceql_pipeline;

enum traceql_spanset_kind {
    TRACEQL_FILTER,          /* u.filter */
    TRACEQL_OPERATION,       /* u.operation */
    TRACEQL_SPANSET_PIPELINE /* u.pipeline: an operand in parentheses */
};

struct traceql_spanset {
    enum traceql_spanset_kind kind;
    unsigned height;
    union {
        struct traceql_field *filter;
        struct {
            enum traceql_spanset_op op;
            struct traceql_spanset *lhs, *rhs;
        } operation;
        struct traceql_pipeline *pipeline;
    } u;
};

/* X(symbol, name) */
#define TRACEQL_AGGREGATES(X)                                                                      \
    X(TRACEQL_COUNT, "count")                                                                      \
    X(TRACEQL_AVG, "avg")                                                                          \
    X(TRACEQL_MAX, "max")                                                                          \
    X(TRACEQL_MIN, "min")                                                                          \
    X(TRACEQL_SUM, "sum")
enum traceql_aggregate {
#define X(sym, name) sym,
    TRACEQL_AGGREGATES(X)
#undef X
};

/* aggregate(argument) op value: spansets of which it is true go on. The value is a number or duration. */
struct traceql_scalar_filter {
    enum traceql_aggregate aggregate;
    struct traceql_field *argument; /* NULL: count() */
    enum traceql_op op;             /* a comparison */
    struct traceql_static value;
};

struct traceql_attributes {
    struct traceql_attribute *ptr;
    size_t n;
};

enum traceql_element_kind {
    TRACEQL_SPANSET,
    TRACEQL_SCALAR_FILTER,
    TRACEQL_GROUP,    /* by(field) */
    TRACEQL_COALESCE, /* coalesce() */
    TRACEQL_SELECT,   /* select(a, b) */
};

struct traceql_element {
    enum traceql_element_kind kind;
    union {
        struct traceql_spanset *spanset;
        struct traceql_scalar_filter scalar;
        struct traceql_field *group;
        struct traceql_attributes select;
    } u;
};

struct traceql_pipeline {
    struct traceql_element *ptr;
    size_t n;
};

/* X(symbol, name, takes an attribute) */
#define TRACEQL_METRICS(X)                                                                         \
    X(TRACEQL_RATE, "rate", false)                                                                 \
    X(TRACEQL_COUNT_OVER_TIME, "count_over_time", false)                                           \
    X(TRACEQL_MIN_OVER_TIME, "min_over_time", true)                                                \
    X(TRACEQL_MAX_OVER_TIME, "max_over_time", true)                                                \
    X(TRACEQL_SUM_OVER_TIME, "sum_over_time", true)                                                \
    X(TRACEQL_AVG_OVER_TIME, "avg_over_time", true)                                                \
    X(TRACEQL_HISTOGRAM_OVER_TIME, "histogram_over_time", true)                                    \
    X(TRACEQL_QUANTILE_OVER_TIME, "quantile_over_time", true)                                      \
    X(TRACEQL_COMPARE, "compare", false)
enum traceql_metric {
#define X(sym, name, has_attribute) sym,
    TRACEQL_METRICS(X)
#undef X
};

struct traceql_aggregation {
    enum traceql_metric op;
    struct traceql_attribute attribute;
    double *quantiles;
    size_t n_quantiles;
    struct traceql_attributes by;
    struct traceql_field
        *selection;           /* COMPARE: the filter of the spans to compare with the others */
    int64_t top_n;            /* COMPARE; 10 if nothing is said */
    int64_t start_ns, end_ns; /* COMPARE: of the selection; 0: the whole range */
};

/* topk(n), bottomk(n), or a comparison of each value. */
struct traceql_stage {
    enum { TRACEQL_TOPK, TRACEQL_BOTTOMK, TRACEQL_COMPARISON } kind;
    int64_t n;                   /* TOPK, BOTTOMK */
    enum traceql_op op;          /* COMPARISON */
    struct traceql_static value; /* COMPARISON: INT or FLOAT; a duration is in seconds */
};

struct traceql_stages {
    struct traceql_stage *ptr;
    size_t n;
};

enum traceql_math_kind { TRACEQL_LEAF, TRACEQL_NUMBER, TRACEQL_MATH };

/* Arithmetic over results. */
struct traceql_math {
    enum traceql_math_kind kind;
    unsigned height;
    struct {
        struct traceql_pipeline pipeline;
        struct traceql_aggregation aggregation;
        struct traceql_stages stages;
    } leaf;
    struct traceql_static number; /* INT or FLOAT */
    enum traceql_op op;           /* ADD SUB MUL DIV; one side at least is no NUMBER */
    struct traceql_math *lhs, *rhs;
};

struct traceql_hint {
    struct slice name;
    struct traceql_static value;
};
