/*
 * What the files of the LogQL parser share: tokens, the lexer, the parser's state.
 *
 * The parser stops at the first error, which it keeps in err; functions that return a node return
 * NULL then, others false. Owner: the thread that parses.
 */
#pragma once
#include "common/lang/logql.h"

/* X(symbol, text): the text of punctuation and words, else what messages call it. */
#define LOGQL_TOKENS(X)                                                                            \
    X(LOGQL_TOK_EOF, "end of input")                                                               \
    X(LOGQL_TOK_IDENT, "identifier")                                                               \
    X(LOGQL_TOK_STRING, "string")                                                                  \
    X(LOGQL_TOK_NUMBER, "number")                                                                  \
    X(LOGQL_TOK_DURATION, "duration")                                                              \
    X(LOGQL_TOK_BYTES, "size")                                                                     \
    X(LOGQL_TOK_RANGE, "range")                                                                    \
    X(LOGQL_TOK_RANGE_OP, "range aggregation")                                                     \
    X(LOGQL_TOK_VECTOR_OP, "vector aggregation")                                                   \
    X(LOGQL_TOK_CONVERT, "conversion")                                                             \
    X(LOGQL_TOK_OP, "operator")                                                                    \
    X(LOGQL_TOK_LABEL_REPLACE, "label_replace")                                                    \
    X(LOGQL_TOK_CONSTANT, "vector")                                                                \
    X(LOGQL_TOK_VARIANTS, "variants")                                                              \
    X(LOGQL_TOK_OF, "of")                                                                          \
    X(LOGQL_TOK_IP, "ip")                                                                          \
    X(LOGQL_TOK_STRICT, "--strict")                                                                \
    X(LOGQL_TOK_KEEP_EMPTY, "--keep-empty")                                                        \
    X(LOGQL_TOK_LPAREN, "(")                                                                       \
    X(LOGQL_TOK_RPAREN, ")")                                                                       \
    X(LOGQL_TOK_LBRACE, "{")                                                                       \
    X(LOGQL_TOK_RBRACE, "}")                                                                       \
    X(LOGQL_TOK_COMMA, ",")                                                                        \
    X(LOGQL_TOK_EQL, "=")                                                                          \
    X(LOGQL_TOK_EQL_RE, "=~")                                                                      \
    X(LOGQL_TOK_NEQ_RE, "!~")                                                                      \
    X(LOGQL_TOK_PIPE, "|")                                                                         \
    X(LOGQL_TOK_PIPE_EQL, "|=")                                                                    \
    X(LOGQL_TOK_PIPE_RE, "|~")                                                                     \
    X(LOGQL_TOK_PIPE_PATTERN, "|>")                                                                \
    X(LOGQL_TOK_NEQ_PATTERN, "!>")                                                                 \
    X(LOGQL_TOK_BY, "by")                                                                          \
    X(LOGQL_TOK_WITHOUT, "without")                                                                \
    X(LOGQL_TOK_BOOL, "bool")                                                                      \
    X(LOGQL_TOK_ON, "on")                                                                          \
    X(LOGQL_TOK_IGNORING, "ignoring")                                                              \
    X(LOGQL_TOK_GROUP_LEFT, "group_left")                                                          \
    X(LOGQL_TOK_GROUP_RIGHT, "group_right")                                                        \
    X(LOGQL_TOK_OFFSET, "offset")                                                                  \
    X(LOGQL_TOK_UNWRAP, "unwrap")                                                                  \
    X(LOGQL_TOK_JSON, "json")                                                                      \
    X(LOGQL_TOK_LOGFMT, "logfmt")                                                                  \
    X(LOGQL_TOK_REGEXP, "regexp")                                                                  \
    X(LOGQL_TOK_PATTERN, "pattern")                                                                \
    X(LOGQL_TOK_UNPACK, "unpack")                                                                  \
    X(LOGQL_TOK_LINE_FORMAT, "line_format")                                                        \
    X(LOGQL_TOK_LABEL_FORMAT, "label_format")                                                      \
    X(LOGQL_TOK_DECOLORIZE, "decolorize")                                                          \
    X(LOGQL_TOK_DROP, "drop")                                                                      \
    X(LOGQL_TOK_KEEP, "keep")
enum logql_tok {
#define X(sym, text) sym,
    LOGQL_TOKENS(X)
#undef X
};

struct logql_token {
    enum logql_tok type;
    union {
        enum promql_op op;
        enum logql_range_op range_op;
        enum logql_vector_op vector_op;
        enum logql_unwrap convert;
        int64_t ns;     /* DURATION, RANGE */
        uint64_t bytes; /* BYTES */
    } v;
    uint32_t start, end;
};

struct logql_lex {
    struct slice src;
    size_t pos;
    struct err *err;
};

struct logql_owned {
    struct matcher matcher;
    struct logql_owned *next;
};

struct logql_parser {
    struct logql_lex lex;
    struct arena *arena;
    struct logql_token tok; /* the next one, not yet taken */
    uint32_t last_end;      /* end of the last token taken */
    unsigned depth;
    size_t n_regexes;
    struct logql_owned *owned;
    struct err *err;
};

/* Reads one token. False on an error, which is in l->err. */
bool logql_lex_next(struct logql_lex *l, struct logql_token *ret);

/* logql_parse.c */
bool logql_parse_next(struct logql_parser *p);
/* If the next token is of that type, takes it. */
bool logql_parse_take(struct logql_parser *p, enum logql_tok type);
bool logql_parse_expect(struct logql_parser *p, enum logql_tok type);
void logql_parse_fail(struct logql_parser *p, size_t pos, const char *fmt, ...) ORR_PRINTF(3, 4);
void logql_parse_limit(struct logql_parser *p, const char *fmt, ...) ORR_PRINTF(2, 3);
void logql_parse_unexpected(struct logql_parser *p, const char *expected);
bool logql_parse_enter(struct logql_parser *p); /* one level deeper; false past the limit */
struct slice logql_parse_text(const struct logql_parser *p, struct logql_token t);
/* Of the current token, which is taken. */
bool logql_parse_ident(struct logql_parser *p, struct slice *ret);
bool logql_parse_string(struct logql_parser *p, struct slice *ret);
bool logql_parse_number(struct logql_parser *p, double *ret);
/* (a, b), ( ) */
bool logql_parse_names(struct logql_parser *p, struct promql_names *ret);
/* One more item behind *ptr, which has n: doubles the array as it goes. NULL past the limit. */
void *logql_parse_grow(struct logql_parser *p, void *ptr, size_t n, size_t each, size_t max,
                       const char *what);

/* logql_stage.c */
bool logql_stage_selector(struct logql_parser *p, struct matchers *ret);
/* Stages up to what is none; *ret_unwraps: stopped in front of | unwrap, the pipe taken. */
bool logql_stage_pipeline(struct logql_parser *p, struct logql_logs *logs, bool *ret_unwraps);
const struct logql_filter *logql_stage_filter(struct logql_parser *p);

/* logql_check.c: what Loki checks on a finished node. NULL when it is well. */
bool logql_check_logs(struct logql_parser *p, const struct logql_logs *logs, size_t start);
bool logql_check_range(struct logql_parser *p, const struct logql_range *r, size_t start);
bool logql_check_vector(struct logql_parser *p, const struct logql_vector *v, double count,
                        size_t start);
bool logql_check_binary(struct logql_parser *p, const struct logql_binary *b, size_t start);
/* The value of an operation between numbers. */
double logql_check_fold(enum promql_op op, double lhs, double rhs);

/* logql_print.c: parts of nodes, for logql_pretty.c. */
void logql_print_selector(struct buf *out, struct matchers ms);
void logql_print_filter(struct buf *out, const struct logql_filter *f);
void logql_print_unwrap(struct buf *out, const struct logql_range *r);       /* "| unwrap a | b" */
void logql_print_window(struct buf *out, const struct logql_range *r);       /* "[5m] offset 1h" */
void logql_print_grouping(struct buf *out, const struct logql_grouping *g);  /* " by (a)" */
void logql_print_matching(struct buf *out, const struct promql_matching *m); /* " on (a) " */
void logql_print_replacement(struct buf *out,
                             const struct logql_label_replace *l); /* ",\"a\",\"b\",…" */
