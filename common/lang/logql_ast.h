/*
 * The syntax tree of a LogQL query (the language of Loki 3.8).
 *
 * All nodes, and the text they point to, live in the arena given to logql_parse(); compiled
 * matchers alone have memory elsewhere, see logql_done(). Positions are byte offsets into the
 * query. Times are nanoseconds, sizes bytes.
 *
 * Arithmetic between literals is folded while parsing, and parentheses are not kept: the shape of
 * the tree says what they said.
 */
#pragma once
#include "common/lang/promql_ast.h"

enum logql_kind {
    LOGQL_LOGS,          /* u.logs: a selector and its pipeline; yields lines, all others samples */
    LOGQL_RANGE,         /* u.range: rate({…}[5m]) */
    LOGQL_VECTOR,        /* u.vector: sum by (a) (…) */
    LOGQL_BINARY,        /* u.binary */
    LOGQL_LABEL_REPLACE, /* u.label_replace */
    LOGQL_NUMBER,        /* u.number */
    LOGQL_CONSTANT,      /* u.number: vector(1) */
    LOGQL_VARIANTS,      /* u.variants: variants(…, …) of ({…}[5m]); the root alone */
};

/* X(symbol, name, unwrap: 'N' never, 'M' must, 'O' optional; whether it may be grouped) */
#define LOGQL_RANGE_OPS(X)                                                                         \
    X(LOGQL_COUNT_OVER_TIME, "count_over_time", 'N', false)                                        \
    X(LOGQL_RATE, "rate", 'O', false)                                                              \
    X(LOGQL_RATE_COUNTER, "rate_counter", 'M', false)                                              \
    X(LOGQL_BYTES_OVER_TIME, "bytes_over_time", 'N', false)                                        \
    X(LOGQL_BYTES_RATE, "bytes_rate", 'N', false)                                                  \
    X(LOGQL_AVG_OVER_TIME, "avg_over_time", 'M', true)                                             \
    X(LOGQL_SUM_OVER_TIME, "sum_over_time", 'M', false)                                            \
    X(LOGQL_MIN_OVER_TIME, "min_over_time", 'M', true)                                             \
    X(LOGQL_MAX_OVER_TIME, "max_over_time", 'M', true)                                             \
    X(LOGQL_STDVAR_OVER_TIME, "stdvar_over_time", 'M', true)                                       \
    X(LOGQL_STDDEV_OVER_TIME, "stddev_over_time", 'M', true)                                       \
    X(LOGQL_QUANTILE_OVER_TIME, "quantile_over_time", 'M', true)                                   \
    X(LOGQL_FIRST_OVER_TIME, "first_over_time", 'M', true)                                         \
    X(LOGQL_LAST_OVER_TIME, "last_over_time", 'M', true)                                           \
    X(LOGQL_ABSENT_OVER_TIME, "absent_over_time", 'O', false)
enum logql_range_op {
#define X(sym, name, unwrap, may_group) sym,
    LOGQL_RANGE_OPS(X)
#undef X
};

/* X(symbol, name, takes a count, may be grouped) */
#define LOGQL_VECTOR_OPS(X)                                                                        \
    X(LOGQL_SUM, "sum", false, true)                                                               \
    X(LOGQL_AVG, "avg", false, true)                                                               \
    X(LOGQL_COUNT, "count", false, true)                                                           \
    X(LOGQL_MIN, "min", false, true)                                                               \
    X(LOGQL_MAX, "max", false, true)                                                               \
    X(LOGQL_STDDEV, "stddev", false, true)                                                         \
    X(LOGQL_STDVAR, "stdvar", false, true)                                                         \
    X(LOGQL_TOPK, "topk", true, true)                                                              \
    X(LOGQL_BOTTOMK, "bottomk", true, true)                                                        \
    X(LOGQL_APPROX_TOPK, "approx_topk", true, false)                                               \
    X(LOGQL_SORT, "sort", false, false)                                                            \
    X(LOGQL_SORT_DESC, "sort_desc", false, false)
enum logql_vector_op {
#define X(sym, name, has_count, may_group) sym,
    LOGQL_VECTOR_OPS(X)
#undef X
};

/* X(symbol, text). Each negative one stands behind its positive. */
#define LOGQL_LINE_OPS(X)                                                                          \
    X(LOGQL_LINE_HAS, "|=")                                                                        \
    X(LOGQL_LINE_HAS_NOT, "!=")                                                                    \
    X(LOGQL_LINE_RE, "|~")                                                                         \
    X(LOGQL_LINE_NOT_RE, "!~")                                                                     \
    X(LOGQL_LINE_PATTERN, "|>")                                                                    \
    X(LOGQL_LINE_NOT_PATTERN, "!>")
enum logql_line_op {
#define X(sym, text) sym,
    LOGQL_LINE_OPS(X)
#undef X
};
static inline bool logql_line_op_is_negative(enum logql_line_op op)
{
    return op & 1;
}

/* What one line filter looks for. Of several, joined by or, one must be found (positive) or none
 * may be (negative). */
struct logql_needle {
    struct slice text;
    bool is_ip; /* ip("…"): an address, a range or a prefix */
};

enum logql_filter_kind {
    LOGQL_FILTER_TEXT,     /* matcher */
    LOGQL_FILTER_NUMBER,   /* op, number */
    LOGQL_FILTER_DURATION, /* op, number: nanoseconds */
    LOGQL_FILTER_BYTES,    /* op, number: bytes */
    LOGQL_FILTER_IP,       /* op (PROMQL_EQ, PROMQL_NE), text */
    LOGQL_FILTER_AND,      /* lhs, rhs */
    LOGQL_FILTER_OR,
};
struct logql_filter {
    enum logql_filter_kind kind;
    enum promql_op op;
    struct slice name;
    struct slice text;
    union {
        double number;
        int64_t duration_ns;
        uint64_t bytes;
    } v;
    const struct matcher *matcher;
    const struct logql_filter *lhs, *rhs;
};

/* dst="src": of json and logfmt, src is a path into the line; of label_format a template, or the
 * name of a label if is_name; of drop and keep, src is not used. */
struct logql_pair {
    struct slice dst, src;
    bool is_name;
    const struct matcher *matcher; /* drop and keep: only if the label matches; else NULL */
};

/* X(symbol, name) in the order of logql_stage.kind. */
#define LOGQL_STAGES(X)                                                                            \
    X(LOGQL_STAGE_LINE, "")           /* line_op, needles */                                       \
    X(LOGQL_STAGE_FILTER, "")         /* filter */                                                 \
    X(LOGQL_STAGE_JSON, "json")       /* pairs */                                                  \
    X(LOGQL_STAGE_LOGFMT, "logfmt")   /* pairs, is_strict, keeps_empty */                          \
    X(LOGQL_STAGE_REGEXP, "regexp")   /* text */                                                   \
    X(LOGQL_STAGE_PATTERN, "pattern") /* text */                                                   \
    X(LOGQL_STAGE_UNPACK, "unpack")                                                                \
    X(LOGQL_STAGE_LINE_FORMAT, "line_format")   /* text */                                         \
    X(LOGQL_STAGE_LABEL_FORMAT, "label_format") /* pairs */                                        \
    X(LOGQL_STAGE_DECOLORIZE, "decolorize")                                                        \
    X(LOGQL_STAGE_DROP, "drop") /* pairs */                                                        \
    X(LOGQL_STAGE_KEEP, "keep") /* pairs */
enum logql_stage_kind {
#define X(sym, name) sym,
    LOGQL_STAGES(X)
#undef X
};
struct logql_stage {
    enum logql_stage_kind kind;
    uint32_t start, end;
    enum logql_line_op line_op;
    const struct logql_needle *needles;
    size_t n_needles;
    const struct logql_filter *filter;
    const struct logql_pair *pairs;
    size_t n_pairs;
    struct slice text;
    bool is_strict, keeps_empty;
};

struct logql_logs {
    struct matchers matchers; /* as written */
    const struct logql_stage *stages;
    size_t n_stages;
};

/* X(symbol, name): how unwrap reads a label */
#define LOGQL_UNWRAPS(X)                                                                           \
    X(LOGQL_UNWRAP_NONE, "")                                                                       \
    X(LOGQL_UNWRAP_NUMBER, "")                                                                     \
    X(LOGQL_UNWRAP_BYTES, "bytes")                                                                 \
    X(LOGQL_UNWRAP_DURATION, "duration")                                                           \
    X(LOGQL_UNWRAP_DURATION_SECONDS, "duration_seconds")
enum logql_unwrap {
#define X(sym, name) sym,
    LOGQL_UNWRAPS(X)
#undef X
};

struct logql_grouping {
    bool is_given; /* written, be it with an empty list */
    bool is_without;
    struct promql_names labels;
};

struct logql_range {
    enum logql_range_op op;
    double param; /* of quantile_over_time */
    bool has_param;
    struct logql_logs logs;
    enum logql_unwrap unwrap;
    struct slice unwrap_label;
    const struct logql_filter *const *unwrap_filters; /* behind unwrap: each must hold */
    size_t n_unwrap_filters;
    int64_t range_ns, offset_ns; /* offset positive: into the past */
    struct logql_grouping grouping;
};

struct logql_expr;

struct logql_vector {
    enum logql_vector_op op;
    uint32_t count; /* of topk and its kind */
    bool has_count;
    struct logql_grouping grouping;
    struct logql_expr *expr;
};

struct logql_binary {
    enum promql_op op; /* no PROMQL_ATAN2 and no trimming */
    bool is_bool;
    struct promql_matching matching; /* no fill */
    struct logql_expr *lhs, *rhs;
};

struct logql_label_replace {
    struct logql_expr *expr;
    struct slice dst, replacement, src, regex;
};

/* Each as if its range aggregations were over the lines of common, and their own stages behind those of it: what selectors
 * of their own say does not count. */
struct logql_variants {
    struct logql_expr *const *exprs; /* yield samples, and are no numbers */
    size_t n;
    struct logql_logs common;
    int64_t range_ns; /* as written: each variant has its own */
};

struct logql_expr {
    enum logql_kind kind;
    uint32_t start;
    uint32_t height; /* 1 for a leaf: bounded, so a walk may recurse */
    union {
        struct logql_logs logs;
        struct logql_range range;
        struct logql_vector vector;
        struct logql_binary binary;
        struct logql_label_replace label_replace;
        struct logql_variants variants;
        double number;
    } u;
};
