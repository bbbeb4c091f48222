/*
 * What the files of the PromQL parser share: tokens, the lexer, the parser's state.
 *
 * The parser stops at the first error, which it keeps in err; functions that return a node return
 * NULL then. Owner: the thread that parses.
 */
#pragma once
#include "common/base/gonum.h"
#include "common/lang/promql.h"

/* X(symbol, class, text). Classes: K keyword, O operator, G aggregation, P plain (text quoted as
 * it is), N named kinds whose text varies. */
#define PROMQL_TOKENS(X)                                                                           \
    X(TOK_EOF, 'N', "end of input")                                                                \
    X(TOK_IDENT, 'N', "identifier")                                                                \
    X(TOK_METRIC, 'N', "metric identifier")                                                        \
    X(TOK_STRING, 'N', "string")                                                                   \
    X(TOK_NUMBER, 'N', "number")                                                                   \
    X(TOK_DURATION, 'N', "duration")                                                               \
    X(TOK_LPAREN, 'P', "(")                                                                        \
    X(TOK_RPAREN, 'P', ")")                                                                        \
    X(TOK_LBRACE, 'P', "{")                                                                        \
    X(TOK_RBRACE, 'P', "}")                                                                        \
    X(TOK_LBRACKET, 'P', "[")                                                                      \
    X(TOK_RBRACKET, 'P', "]")                                                                      \
    X(TOK_COMMA, 'P', ",")                                                                         \
    X(TOK_COLON, 'P', ":")                                                                         \
    X(TOK_EQL, 'P', "=")                                                                           \
    X(TOK_EQL_RE, 'O', "=~")                                                                       \
    X(TOK_NEQ_RE, 'O', "!~")                                                                       \
    X(TOK_AT, 'O', "@")                                                                            \
    X(TOK_OP, 'O', "")                                                                             \
    X(TOK_AGG, 'G', "")                                                                            \
    X(TOK_OFFSET, 'K', "offset")                                                                   \
    X(TOK_SMOOTHED, 'K', "smoothed")                                                               \
    X(TOK_ANCHORED, 'K', "anchored")                                                               \
    X(TOK_BY, 'K', "by")                                                                           \
    X(TOK_WITHOUT, 'K', "without")                                                                 \
    X(TOK_ON, 'K', "on")                                                                           \
    X(TOK_IGNORING, 'K', "ignoring")                                                               \
    X(TOK_GROUP_LEFT, 'K', "group_left")                                                           \
    X(TOK_GROUP_RIGHT, 'K', "group_right")                                                         \
    X(TOK_FILL, 'K', "fill")                                                                       \
    X(TOK_FILL_LEFT, 'K', "fill_left")                                                             \
    X(TOK_FILL_RIGHT, 'K', "fill_right")                                                           \
    X(TOK_BOOL, 'K', "bool")                                                                       \
    X(TOK_START, 'P', "start")                                                                     \
    X(TOK_END, 'P', "end")                                                                         \
    X(TOK_STEP, 'P', "step")                                                                       \
    X(TOK_RANGE, 'P', "range")                                                                     \
    X(TOK_MIN_OF, 'P', "min_of")                                                                   \
    X(TOK_MAX_OF, 'P', "max_of")
enum promql_tok {
#define X(sym, class, text) sym,
    PROMQL_TOKENS(X)
#undef X
};

struct promql_token {
    enum promql_tok type;
    enum promql_op op;   /* TOK_OP */
    enum promql_agg agg; /* TOK_AGG */
    uint32_t start, end;
};

struct promql_lex {
    struct slice src;
    size_t pos;
    int paren_depth;
    bool is_brace_open, is_bracket_open;
    bool in_duration; /* after [ until the first number */
    bool got_colon;   /* since [ */
    struct err *err;
};

struct promql_parser {
    struct promql_lex lex;
    struct arena *arena;
    struct promql_options opts;
    struct promql_token tok; /* the next one, not yet taken */
    uint32_t last_end;       /* end of the last token taken */
    unsigned depth;
    unsigned n_durations; /* nodes of the duration expression at hand */
    bool is_series;       /* a series notation: values follow the labels */
    struct promql_expr *selectors;
    struct err *err;
};

/* Reads one token. False on an error, which is in l->err. */
bool promql_lex_next(struct promql_lex *l, struct promql_token *ret);
/* Reads a number or a duration literal at pos; *ret_type is which. False if it is neither, with
 * pos where it stopped. */
bool promql_lex_number(struct promql_lex *l, enum promql_tok *ret_type);
/* Whether a NUL-free, lower-cased keyword; sets type, op and agg. */
bool promql_lex_keyword(struct slice word, struct promql_token *ret);
/* "1:5: parse error: …" */
struct err *promql_lex_error(struct slice src, size_t pos, enum err_code code, const char *fmt, ...)
    ORR_PRINTF(4, 5) ORR_CHECKED;
struct err *promql_lex_verror(struct slice src, size_t pos, enum err_code code, const char *fmt,
                              va_list ap) ORR_PRINTF(4, 0) ORR_CHECKED;

bool promql_parse_next(struct promql_parser *p);
void promql_parse_fail(struct promql_parser *p, size_t pos, const char *fmt, ...) ORR_PRINTF(3, 4);
/* "unexpected <token> in context, expected expected". */
void promql_parse_unexpected(struct promql_parser *p, const char *context, const char *expected);
bool promql_parse_enter(struct promql_parser *p); /* one level deeper; false past the limit */
struct slice promql_parse_text(const struct promql_parser *p, struct promql_token t);
bool promql_parse_unquote(struct promql_parser *p, struct promql_token t, struct slice *ret);
struct promql_expr *promql_parse_new(struct promql_parser *p, enum promql_kind kind, size_t start);
/* Of the current number or duration token, which it takes. */
bool promql_parse_number(struct promql_parser *p, double *ret, bool *ret_is_duration);
/* Notes that e stands above child; false when the tree becomes too tall. */
bool promql_parse_above(struct promql_parser *p, struct promql_expr *e,
                        const struct promql_expr *child);
bool promql_parse_labels(struct promql_parser *p, struct promql_names *ret);

/* promql_selector.c */
bool promql_selector_is_name(enum promql_tok t, enum promql_op op);
struct promql_expr *promql_selector_parse(struct promql_parser *p);
/* name{…} with the name token already taken (type TOK_EOF: no name, at the brace). */
struct promql_expr *promql_selector_named(struct promql_parser *p, struct promql_token name);
/* A metric with its labels: name{a="b"}. */
bool promql_selector_labels(struct promql_parser *p, struct labels *ret);
/* [5m], [1h:5m], offset, @, anchored, smoothed behind e. */
struct promql_expr *promql_selector_suffixes(struct promql_parser *p, struct promql_expr *e);

/* promql_duration.c */
struct promql_duration *promql_duration_positive(struct promql_parser *p, const char *context);
struct promql_duration *promql_duration_offset(struct promql_parser *p);
/* Milliseconds of a plain number, as Prometheus rounds them. */
int64_t promql_duration_ms(double seconds);

/* promql_check.c: types, arguments, matching. Fills in e->type all the way down. */
bool promql_check(struct promql_parser *p, struct promql_expr *e);

/* promql_print.c: parts of nodes, for promql_pretty.c. */
void promql_print_operator(struct buf *out, const struct promql_binary *b); /* "> bool on (a)" */
void promql_print_aggregate_head(struct buf *out,
                                 const struct promql_aggregate *a); /* "sum by (a) " */
void promql_print_subquery_suffix(struct buf *out, const struct promql_subquery *q); /* "[1h:5m]" */

/* Matchers in the order of their texts, as Prometheus prints them. */
typedef void promql_print_matcher_fn(struct buf *out, const struct matcher *m);
void promql_print_sorted(struct buf *out, struct matchers ms, promql_print_matcher_fn *fn,
                         const char *sep);
