/*
 * The syntax tree of a PromQL query (the language of Prometheus 3.14).
 *
 * All nodes, and the text they point to, live in the arena given to promql_parse(). A tree is
 * typed: every node's type has been checked against its place. Positions are byte offsets into
 * the query, end exclusive.
 *
 * Times are milliseconds. A literal range, offset or step is in the *_ms member. Where the query
 * has a duration expression (foo[step() * 2]) the *_expr member is set and *_ms is 0 until
 * promql_resolve_durations() has filled it in for one evaluation.
 */
#pragma once
#include "common/model/matcher.h"

enum promql_type { PROMQL_NONE, PROMQL_SCALAR, PROMQL_STRING, PROMQL_VECTOR, PROMQL_MATRIX };

enum promql_kind {
    PROMQL_NUMBER,    /* u.number */
    PROMQL_TEXT,      /* u.text: a string literal */
    PROMQL_SELECTOR,  /* u.selector: instant vector */
    PROMQL_RANGE,     /* u.range: selector[5m] */
    PROMQL_SUBQUERY,  /* u.subquery: expr[1h:5m] */
    PROMQL_CALL,      /* u.call */
    PROMQL_AGGREGATE, /* u.aggregate */
    PROMQL_BINARY,    /* u.binary */
    PROMQL_UNARY,     /* u.unary */
    PROMQL_PAREN,     /* u.paren */
};

enum promql_at { PROMQL_AT_NONE, PROMQL_AT_TIME, PROMQL_AT_START, PROMQL_AT_END };

/* X(symbol, text). Arithmetic, comparisons, sets, in that order (see promql_op_is_*). */
#define PROMQL_OPS(X)                                                                              \
    X(PROMQL_ADD, "+")                                                                             \
    X(PROMQL_SUB, "-")                                                                             \
    X(PROMQL_MUL, "*")                                                                             \
    X(PROMQL_DIV, "/")                                                                             \
    X(PROMQL_MOD, "%")                                                                             \
    X(PROMQL_POW, "^")                                                                             \
    X(PROMQL_ATAN2, "atan2")                                                                       \
    X(PROMQL_EQ, "==")                                                                             \
    X(PROMQL_NE, "!=")                                                                             \
    X(PROMQL_GT, ">")                                                                              \
    X(PROMQL_LT, "<")                                                                              \
    X(PROMQL_GE, ">=")                                                                             \
    X(PROMQL_LE, "<=")                                                                             \
    X(PROMQL_TRIM_UPPER, "</")                                                                     \
    X(PROMQL_TRIM_LOWER, ">/")                                                                     \
    X(PROMQL_AND, "and")                                                                           \
    X(PROMQL_OR, "or")                                                                             \
    X(PROMQL_UNLESS, "unless")
enum promql_op {
#define X(sym, text) sym,
    PROMQL_OPS(X)
#undef X
};

static inline bool promql_op_is_comparison(enum promql_op op)
{
    return op >= PROMQL_EQ && op <= PROMQL_LE;
}
static inline bool promql_op_is_set(enum promql_op op)
{
    return op >= PROMQL_AND;
}

/* X(symbol, name, takes a parameter, is experimental) */
#define PROMQL_AGGS(X)                                                                             \
    X(PROMQL_AGG_SUM, "sum", false, false)                                                         \
    X(PROMQL_AGG_AVG, "avg", false, false)                                                         \
    X(PROMQL_AGG_COUNT, "count", false, false)                                                     \
    X(PROMQL_AGG_MIN, "min", false, false)                                                         \
    X(PROMQL_AGG_MAX, "max", false, false)                                                         \
    X(PROMQL_AGG_GROUP, "group", false, false)                                                     \
    X(PROMQL_AGG_STDDEV, "stddev", false, false)                                                   \
    X(PROMQL_AGG_STDVAR, "stdvar", false, false)                                                   \
    X(PROMQL_AGG_TOPK, "topk", true, false)                                                        \
    X(PROMQL_AGG_BOTTOMK, "bottomk", true, false)                                                  \
    X(PROMQL_AGG_COUNT_VALUES, "count_values", true, false)                                        \
    X(PROMQL_AGG_QUANTILE, "quantile", true, false)                                                \
    X(PROMQL_AGG_LIMITK, "limitk", true, true)                                                     \
    X(PROMQL_AGG_LIMIT_RATIO, "limit_ratio", true, true)
enum promql_agg {
#define X(sym, name, has_param, is_experimental) sym,
    PROMQL_AGGS(X)
#undef X
};

enum promql_card { PROMQL_ONE_TO_ONE, PROMQL_MANY_TO_ONE, PROMQL_ONE_TO_MANY, PROMQL_MANY_TO_MANY };

struct promql_names {
    const struct slice *ptr;
    size_t n;
};

/* How the two sides of a binary operation between vectors find each other. */
struct promql_matching {
    enum promql_card card;
    bool is_on;                  /* on(labels), else ignoring(labels) */
    bool has_group;              /* group_left or group_right was written */
    struct promql_names labels;  /* of on or ignoring */
    struct promql_names include; /* of group_left or group_right */
    bool has_fill_left, has_fill_right;
    double fill_left, fill_right; /* value that a side without a match takes */
};

enum promql_dur_op {
    PROMQL_DUR_NUMBER, /* value in seconds */
    PROMQL_DUR_STEP,   /* step() */
    PROMQL_DUR_RANGE,  /* range(): end - start of the query */
    PROMQL_DUR_NEG,    /* -lhs */
    PROMQL_DUR_POS,    /* +lhs */
    PROMQL_DUR_ADD,
    PROMQL_DUR_SUB,
    PROMQL_DUR_MUL,
    PROMQL_DUR_DIV,
    PROMQL_DUR_MOD,
    PROMQL_DUR_POW,
    PROMQL_DUR_MIN_OF,
    PROMQL_DUR_MAX_OF,
};
struct promql_duration {
    enum promql_dur_op op;
    double value;
    bool is_duration; /* the literal was written as 5m, not as 300 */
    bool is_wrapped;  /* in parentheses */
    const struct promql_duration *lhs, *rhs;
    uint32_t start, end;
};

struct promql_expr;

struct promql_selector {
    struct slice name;        /* as written before the braces; empty if there was none */
    struct matchers matchers; /* as written, then __name__ of the name before the braces */
    int64_t offset_ms;        /* positive: into the past */
    const struct promql_duration *offset_expr;
    enum promql_at at;
    int64_t at_ms;
    bool is_anchored, is_smoothed;
    bool has_offset;          /* not zero, also below a millisecond */
    struct promql_expr *next; /* next selector of the query; see struct promql */
};

struct promql_range {
    struct promql_expr *selector; /* PROMQL_SELECTOR: has offset, @, anchored, smoothed */
    int64_t range_ms;
    const struct promql_duration *range_expr;
};

struct promql_subquery {
    struct promql_expr *expr;
    int64_t range_ms, step_ms; /* step 0: the engine's default */
    const struct promql_duration *range_expr, *step_expr, *offset_expr;
    int64_t offset_ms;
    bool has_offset;
    enum promql_at at;
    int64_t at_ms;
};

struct promql_call {
    const struct promql_func *func; /* promql_func.h */
    struct promql_expr **args;
    size_t n_args;
};

struct promql_aggregate {
    enum promql_agg op;
    bool is_without;
    struct promql_names grouping;
    struct promql_expr *param; /* NULL unless the op takes one */
    struct promql_expr *expr;
};

struct promql_binary {
    enum promql_op op;
    bool is_bool;
    bool has_matching; /* both sides are vectors: matching is meant */
    struct promql_expr *lhs, *rhs;
    struct promql_matching matching;
};

struct promql_unary {
    bool is_minus; /* else plus */
    struct promql_expr *expr;
};

struct promql_expr {
    enum promql_kind kind;
    enum promql_type type;
    uint32_t start, end;
    uint32_t height; /* 1 for a leaf: bounded, so a walk may recurse */
    union {
        struct {
            double value;
            bool is_duration; /* written as 5m: value is in seconds, printed as a duration */
        } number;
        struct slice text;
        struct promql_selector selector;
        struct promql_range range;
        struct promql_subquery subquery;
        struct promql_call call;
        struct promql_aggregate aggregate;
        struct promql_binary binary;
        struct promql_unary unary;
        struct promql_expr *paren;
    } u;
};
