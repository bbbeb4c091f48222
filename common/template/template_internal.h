/*
 * The parsed form of templates, shared by lexer, parser and executor. Everything points into the
 * arena of its set; at and end are byte offsets into the text of the template it came from.
 */
#pragma once
#include "common/base/map.h"
#include "common/base/vec.h"
#include "common/template/template.h"

#define TEMPLATE_TOKENS(X)                                                                         \
    X(EOF, "EOF")                                                                                  \
    X(ERROR, "error")                                                                              \
    X(TEXT, "text")                                                                                \
    X(LEFT, "{{")                                                                                  \
    X(RIGHT, "}}")                                                                                 \
    X(SPACE, "space")                                                                              \
    X(ASSIGN, "=")                                                                                 \
    X(DECLARE, ":=")                                                                               \
    X(PIPE, "|")                                                                                   \
    X(CHAR, "character")                                                                           \
    X(LPAREN, "(")                                                                                 \
    X(RPAREN, ")")                                                                                 \
    X(STRING, "string")                                                                            \
    X(RAW_STRING, "raw string")                                                                    \
    X(RUNE, "character constant")                                                                  \
    X(NUMBER, "number")                                                                            \
    X(COMPLEX, "complex number")                                                                   \
    X(VARIABLE, "variable")                                                                        \
    X(FIELD, "field")                                                                              \
    X(IDENT, "identifier")                                                                         \
    X(BOOL, "bool")                                                                                \
    X(DOT, ".")                                                                                    \
    X(NIL, "nil")                                                                                  \
    X(BLOCK, "block")                                                                              \
    X(BREAK, "break")                                                                              \
    X(CONTINUE, "continue")                                                                        \
    X(DEFINE, "define")                                                                            \
    X(ELSE, "else")                                                                                \
    X(END, "end")                                                                                  \
    X(IF, "if")                                                                                    \
    X(RANGE, "range")                                                                              \
    X(TEMPLATE, "template")                                                                        \
    X(WITH, "with")

enum template_token_kind {
#define X(sym, text) TOKEN_##sym,
    TEMPLATE_TOKENS(X)
#undef X
};

struct template_token {
    enum template_token_kind kind;
    size_t at;
    struct slice text; /* as in the source; of an error what is wrong, in the arena */
};

typedef VEC(struct template_token) template_tokens;

struct template_lex_opts {
    struct slice left, right;             /* delimiters */
    bool is_break_func, is_continue_func; /* words that name functions are no keywords */
};
/* Cuts text into tokens up to EOF or the first error, which is the last token. */
void template_lex(struct arena *a, struct slice text, const struct template_lex_opts *opts,
                  template_tokens *ret);

enum node_kind {
    NODE_TEXT,
    NODE_ACTION,
    NODE_IF,
    NODE_RANGE,
    NODE_WITH,
    NODE_BREAK,
    NODE_CONTINUE,
    NODE_TEMPLATE,
    NODE_END,  /* while parsing only */
    NODE_ELSE, /* while parsing only */
    /* operands */
    NODE_PIPE,
    NODE_DOT,
    NODE_NIL,
    NODE_BOOL,
    NODE_NUMBER,
    NODE_STRING,
    NODE_FIELD,    /* .a.b */
    NODE_VARIABLE, /* $x.a.b: names[0] is $x */
    NODE_IDENT,    /* a function */
    NODE_CHAIN,    /* (…).a.b */
};

struct template_node;

struct template_list {
    struct template_node **ptr;
    size_t n;
};

struct template_cmd {
    struct template_node **args;
    size_t n;
};

struct template_pipe {
    size_t at, end;
    struct slice decls[2];
    size_t n_decls;
    bool is_assign;
    struct template_cmd *cmds;
    size_t n;
};

/* A numeric constant is all the kinds that it can be without loss. */
struct template_number {
    bool is_int, is_uint, is_float, is_complex;
    bool looks_float; /* written with a point or an exponent */
    int64_t i;
    uint64_t u;
    double f, im;
};

struct template_node {
    enum node_kind kind;
    size_t at, end;
    union {
        struct slice text; /* TEXT, STRING */
        bool b;
        struct template_number number;
        struct {
            struct slice *names;
            size_t n;
            struct template_node *head; /* of a chain */
        } path;                         /* FIELD, VARIABLE, CHAIN */
        const struct value_func *func;  /* IDENT; a builtin's is in template_builtins */
        struct {
            struct slice name;          /* TEMPLATE */
            struct template_pipe *pipe; /* TEMPLATE: may be NULL */
            struct template_list body, otherwise;
        } ctl;                      /* ACTION, IF, RANGE, WITH, TEMPLATE */
        struct template_pipe *pipe; /* PIPE */
    };
};

struct template_def {
    struct slice name;
    struct slice source_name, text; /* where it was parsed from */
    struct template_list root;
};

struct template_set {
    struct arena *arena;
    const struct template_funcs *funcs;
    struct map defs; /* name -> struct template_def */
    struct slice left, right;
    const struct template_set *base; /* NULL: none */
};

const struct template_def *template_find(const struct template_set *set, struct slice name);
const struct value_func *template_find_func(const struct template_set *set, struct slice name);
bool template_is_empty(const struct template_list *list);

/* Parses text into definitions, the whole text's own last. Appends to *ret (VEC of pointers). */
typedef VEC(struct template_def *) template_defs;
ORR_CHECKED struct err *template_parse_text(const struct template_set *set, struct slice name,
                                            struct slice text, template_defs *ret);

/* Go's functions. and, or and call need the executor: their fn is only a mark. */
extern const struct value_func template_builtins[];
extern const size_t template_builtins_n;
struct err *template_func_and(struct value_call *call, const struct value *args, size_t n,
                              struct value *ret);
struct err *template_func_or(struct value_call *call, const struct value *args, size_t n,
                             struct value *ret);
/* eq ne lt le gt ge (template_compare.c). */
value_fn template_func_eq, template_func_ne, template_func_lt, template_func_le, template_func_gt,
    template_func_ge;
/* html js urlquery (template_escape.c). */
value_fn template_func_html, template_func_js, template_func_urlquery;
