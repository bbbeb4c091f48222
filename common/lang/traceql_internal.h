/*
 * What the files of the TraceQL parser share: tokens, the lexer, the parser's state.
 *
 * The parser stops at the first error, which it keeps in err; functions that return a node return
 * NULL then, others false. Owner: the thread that parses.
 */
#pragma once
#include "common/lang/traceql.h"

/* X(symbol, what messages call it) */
#define TRACEQL_TOKENS(X)                                                                          \
    X(TRACEQL_TOK_EOF, "end of input")                                                             \
    X(TRACEQL_TOK_WORD, "a word")                                                                  \
    X(TRACEQL_TOK_STATIC, "a value")                                                               \
    X(TRACEQL_TOK_NIL, "nil")                                                                      \
    X(TRACEQL_TOK_ATTRIBUTE, "an attribute")                                                       \
    X(TRACEQL_TOK_SIGN, "an operator")                                                             \
    X(TRACEQL_TOK_LPAREN, "\"(\"")                                                                 \
    X(TRACEQL_TOK_RPAREN, "\")\"")                                                                 \
    X(TRACEQL_TOK_LBRACE, "\"{\"")                                                                 \
    X(TRACEQL_TOK_RBRACE, "\"}\"")                                                                 \
    X(TRACEQL_TOK_COMMA, "\",\"")                                                                  \
    X(TRACEQL_TOK_PIPE, "\"|\"")
enum traceql_tok {
#define X(sym, text) sym,
    TRACEQL_TOKENS(X)
#undef X
};

/* A sign means one thing between expressions of a span and another one between sets of spans. */
#define TRACEQL_NO_OP (-1)

struct traceql_token {
    enum traceql_tok type;
    uint32_t start, end;
    struct traceql_static value;        /* STATIC */
    struct traceql_attribute attribute; /* ATTRIBUTE */
    int op, spanset_op;                 /* SIGN: an enum, or TRACEQL_NO_OP */
};

struct traceql_lex {
    struct slice src;
    size_t pos;
    struct arena *arena;
    struct err *err;
};

struct traceql_parser {
    struct traceql_lex lex;
    struct arena *arena;
    struct traceql_token tok; /* the next one, not yet taken */
    unsigned depth;
    struct err *err;
};

/* Reads one token. False on an error, which is in l->err. */
bool traceql_lex_next(struct traceql_lex *l, struct traceql_token *ret);

/* traceql_parse.c */
bool traceql_parse_next(struct traceql_parser *p);
bool traceql_parse_take(struct traceql_parser *p, enum traceql_tok type);
bool traceql_parse_expect(struct traceql_parser *p, enum traceql_tok type);
bool traceql_parse_is_word(const struct traceql_parser *p, const char *word);
/* If the next token is that word, takes it. */
bool traceql_parse_word(struct traceql_parser *p, const char *word);
void traceql_parse_fail(struct traceql_parser *p, size_t pos, const char *fmt, ...)
    ORR_PRINTF(3, 4);
void traceql_parse_unexpected(struct traceql_parser *p, const char *expected);
bool traceql_parse_enter(struct traceql_parser *p); /* one level deeper; false past the limit */
/* False past TRACEQL_MAX_HEIGHT. */
bool traceql_parse_height(struct traceql_parser *p, unsigned height);
/* One more item behind *ptr, which has n: doubles the array as it goes. NULL past the limit. */
void *traceql_parse_grow(struct traceql_parser *p, void *ptr, size_t n, size_t each);
/* A number or a duration, a minus in front of it or not. */
bool traceql_parse_number(struct traceql_parser *p, struct traceql_static *ret);

/* traceql_field.c */
struct traceql_field *traceql_field_parse(struct traceql_parser *p);
/* "{ … }": the expression, true for "{}". */
struct traceql_field *traceql_field_filter(struct traceql_parser *p);
/* An attribute or intrinsic alone. */
bool traceql_field_attribute(struct traceql_parser *p, struct traceql_attribute *ret);
/* ( a, b ) */
bool traceql_field_attributes(struct traceql_parser *p, struct traceql_attributes *ret);

/* traceql_metric.c */
bool traceql_metric_op(const struct traceql_parser *p, enum traceql_metric *ret);
/* From the name on, which op was told by. */
bool traceql_metric_aggregation(struct traceql_parser *p, enum traceql_metric op,
                                struct traceql_aggregation *ret);
/* All that follow: | topk(n), | bottomk(n), comparisons. */
bool traceql_metric_stages(struct traceql_parser *p, struct traceql_stages *stages);
/* One number out of numbers and their arithmetic, at that precedence or above. */
bool traceql_metric_scalar(struct traceql_parser *p, unsigned min_prec, struct traceql_static *ret);
/* lhs op rhs of two such numbers; pos is of the operator. */
bool traceql_metric_fold(struct traceql_parser *p, size_t pos, enum traceql_op op,
                         struct traceql_static *lhs, const struct traceql_static *rhs);

/* traceql_check.c: what is refused of an expression that is well formed. */
bool traceql_check_unary(struct traceql_parser *p, const struct traceql_field *f, size_t start);
bool traceql_check_binary(struct traceql_parser *p, const struct traceql_field *f, size_t start);
bool traceql_check_filter(struct traceql_parser *p, const struct traceql_field *f, size_t start);
bool traceql_check_argument(struct traceql_parser *p, const struct traceql_field *f, size_t start);
/* Of by(): it must be about the span. */
bool traceql_check_group(struct traceql_parser *p, const struct traceql_field *f, size_t start);

unsigned traceql_op_precedence(enum traceql_op op);
bool traceql_op_is_comparison(enum traceql_op op); /* = != < <= > >= */
bool traceql_op_is_arithmetic(enum traceql_op op);
/* Whether the pattern, which was checked, matches all of text. */
bool traceql_re_once(struct slice text, struct slice pattern);
