#include "common/base/gonum.h"
#include "common/base/gostr.h"
#include "common/base/promdur.h"
#include "common/lang/promql_internal.h"
#include "common/lang/traceql_internal.h"

struct sign {
    const char *text;
    int op, spanset_op;
};

/* Longer ones first. */
static const struct sign signs[] = {
    {"!>>", TRACEQL_NO_OP, TRACEQL_NOT_DESCENDANT},
    {"!<<", TRACEQL_NO_OP, TRACEQL_NOT_ANCESTOR},
    {"&>>", TRACEQL_NO_OP, TRACEQL_UNION_DESCENDANT},
    {"&<<", TRACEQL_NO_OP, TRACEQL_UNION_ANCESTOR},
    {"!>", TRACEQL_NO_OP, TRACEQL_NOT_CHILD},
    {"!<", TRACEQL_NO_OP, TRACEQL_NOT_PARENT},
    {"&>", TRACEQL_NO_OP, TRACEQL_UNION_CHILD},
    {"&<", TRACEQL_NO_OP, TRACEQL_UNION_PARENT},
    {"&~", TRACEQL_NO_OP, TRACEQL_UNION_SIBLING},
    {"&&", TRACEQL_AND, TRACEQL_SPANSET_AND},
    {"||", TRACEQL_OR, TRACEQL_SPANSET_UNION},
    {">>", TRACEQL_NO_OP, TRACEQL_DESCENDANT},
    {"<<", TRACEQL_NO_OP, TRACEQL_ANCESTOR},
    {"!~", TRACEQL_NOT_RE, TRACEQL_NOT_SIBLING},
    {"=~", TRACEQL_RE, TRACEQL_NO_OP},
    {"!=", TRACEQL_NE, TRACEQL_NO_OP},
    {">=", TRACEQL_GE, TRACEQL_NO_OP},
    {"<=", TRACEQL_LE, TRACEQL_NO_OP},
    {">", TRACEQL_GT, TRACEQL_CHILD},
    {"<", TRACEQL_LT, TRACEQL_PARENT},
    {"=", TRACEQL_EQ, TRACEQL_NO_OP},
    {"~", TRACEQL_NO_OP, TRACEQL_SIBLING},
    {"!", TRACEQL_NOT, TRACEQL_NO_OP},
    {"+", TRACEQL_ADD, TRACEQL_NO_OP},
    {"-", TRACEQL_SUB, TRACEQL_NO_OP},
    {"*", TRACEQL_MUL, TRACEQL_NO_OP},
    {"/", TRACEQL_DIV, TRACEQL_NO_OP},
    {"%", TRACEQL_MOD, TRACEQL_NO_OP},
    {"^", TRACEQL_POW, TRACEQL_NO_OP},
};

struct constant {
    const char *text;
    struct traceql_static value;
};

static const struct constant constants[] = {{"true", {TRACEQL_BOOL, {.b = true}}},
                                            {"false", {TRACEQL_BOOL, {.b = false}}},
                                            {"minInt", {TRACEQL_INT, {.i = INT64_MIN}}},
                                            {"maxInt", {TRACEQL_INT, {.i = INT64_MAX}}},
#define X(sym, text) {text, {TRACEQL_STATUS, {.i = sym}}},
                                            TRACEQL_STATUSES(X)
#undef X
#define X(sym, text) {text, {TRACEQL_SPAN_KIND, {.i = sym}}},
                                                TRACEQL_KINDS(X)
#undef X
};

static const char *const scope_texts[] = {
#define X(sym, text) text,
    TRACEQL_SCOPES(X)
#undef X
};

struct intrinsic {
    enum traceql_intrinsic intrinsic;
    const char *text, *scope, *name;
};

static const struct intrinsic intrinsics[] = {
#define X(sym, text, scope, name, type) {sym, text, scope, name},
    TRACEQL_INTRINSICS(X)
#undef X
};

static bool fail(struct traceql_lex *l, size_t pos, const char *what)
{
    l->err = promql_lex_error(l->src, pos, ERR_INVALID, "%s", what);
    return false;
}

static int peek_at(const struct traceql_lex *l, size_t pos)
{
    return pos < l->src.len ? l->src.ptr[pos] : -1;
}

static bool is_space(int c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool starts_with(const struct traceql_lex *l, size_t pos, const char *text)
{
    return slice_eq(slice_sub(l->src, pos, strlen(text)), slice_cstr(text));
}

/* Comments are those of Go, as in Tempo. */
static bool skip_space_and_comments(struct traceql_lex *l)
{
    for (;;) {
        while (is_space(peek_at(l, l->pos)))
            l->pos++;
        if (starts_with(l, l->pos, "//")) {
            while (peek_at(l, l->pos) >= 0 && peek_at(l, l->pos) != '\n')
                l->pos++;
        } else if (starts_with(l, l->pos, "/*")) {
            size_t start = l->pos;

            for (l->pos += 2; !starts_with(l, l->pos, "*/"); l->pos++)
                if (peek_at(l, l->pos) < 0)
                    return fail(l, start, "a comment that does not end");
            l->pos += 2;
        } else {
            return true;
        }
    }
}

/* Names run on up to a space or one of these. */
static bool ends_name(int c)
{
    return c < 0 || is_space(c) || strchr("{}()=~!<>&|^,", c) != NULL;
}

/* The quoted part of a name that begins at l->pos. */
static bool quoted_name(struct traceql_lex *l, struct buf *name)
{
    size_t start = l->pos++;

    for (int c; (c = peek_at(l, l->pos)) != '"'; l->pos++) {
        if (c == '\\') {
            c = peek_at(l, ++l->pos);
            if (c != '\\' && c != '"')
                return fail(l, l->pos - 1, "in a quoted name, \\ stands before \\ or \" only");
        }
        if (c < 0)
            return fail(l, start, "a quoted name that does not end");
        buf_byte(name, (uint8_t)c);
    }
    l->pos++;
    return true;
}

/* The name behind "span." and the like. */
static bool lex_name(struct traceql_lex *l, struct slice *ret)
{
    struct buf name = {0};
    size_t start = l->pos;
    bool is_ok = true;

    if (ends_name(peek_at(l, l->pos)))
        return fail(l, start, "an attribute needs a name, right behind the dot");
    while (is_ok && !ends_name(peek_at(l, l->pos))) {
        if (peek_at(l, l->pos) == '"')
            is_ok = quoted_name(l, &name);
        else
            buf_byte(&name, (uint8_t)peek_at(l, l->pos++));
    }
    if (is_ok)
        *ret = arena_dup(l->arena, buf_slice(&name));
    buf_done(&name);
    return is_ok;
}

static bool lex_attribute(struct traceql_lex *l, struct traceql_token *t, enum traceql_scope scope)
{
    t->type = TRACEQL_TOK_ATTRIBUTE;
    t->attribute = (struct traceql_attribute){.scope = scope};
    return lex_name(l, &t->attribute.name);
}

/* "trace:id", "span:name": l->pos is behind the colon. */
static bool lex_scoped_intrinsic(struct traceql_lex *l, struct traceql_token *t, struct slice scope)
{
    struct slice name;
    size_t start, n;

    if (!skip_space_and_comments(l))
        return false;
    start = l->pos;
    while ((n = gostr_word_at(l->src, l->pos, l->pos > start)))
        l->pos += n;
    name = slice_sub(l->src, start, l->pos - start);
    for (size_t i = 1; i < ORR_COUNT(intrinsics); i++) {
        if (!slice_eq(scope, slice_cstr(intrinsics[i].scope)) ||
            !slice_eq(name, slice_cstr(intrinsics[i].name)))
            continue;
        t->type = TRACEQL_TOK_ATTRIBUTE;
        t->attribute = (struct traceql_attribute){.intrinsic = intrinsics[i].intrinsic};
        return true;
    }
    return fail(l, start, "this scope has no such intrinsic; names behind a dot are attributes");
}

static bool has_intrinsics(struct slice scope)
{
    for (size_t i = 1; i < ORR_COUNT(intrinsics); i++)
        if (slice_eq(scope, slice_cstr(intrinsics[i].scope)))
            return scope.len > 0;
    return false;
}

static bool lex_word(struct traceql_lex *l, struct traceql_token *t)
{
    struct slice word;
    size_t n;

    while ((n = gostr_word_at(l->src, l->pos, l->pos > t->start)))
        l->pos += n;
    word = slice_sub(l->src, t->start, l->pos - t->start);
    if (slice_eq(word, SLICE("parent")))
        return fail(l, t->start, "parent is not supported yet: { … } > { … } asks about parents");
    if (peek_at(l, l->pos) == '.') {
        for (size_t i = 1; i < ORR_COUNT(scope_texts); i++) {
            if (!slice_eq(word, slice_cstr(scope_texts[i])))
                continue;
            l->pos++;
            return lex_attribute(l, t, (enum traceql_scope)i);
        }
    } else if (peek_at(l, l->pos) == ':' && has_intrinsics(word)) {
        l->pos++;
        return lex_scoped_intrinsic(l, t, word);
    }
    t->type = TRACEQL_TOK_WORD;
    if (slice_eq(word, SLICE("nil")))
        t->type = TRACEQL_TOK_NIL;
    for (size_t i = 0; i < ORR_COUNT(constants); i++) {
        if (!slice_eq(word, slice_cstr(constants[i].text)))
            continue;
        t->type = TRACEQL_TOK_STATIC;
        t->value = constants[i].value;
    }
    for (size_t i = 1; i < ORR_COUNT(intrinsics); i++) {
        if (!slice_eq(word, slice_cstr(intrinsics[i].text)))
            continue;
        t->type = TRACEQL_TOK_ATTRIBUTE;
        t->attribute = (struct traceql_attribute){.intrinsic = intrinsics[i].intrinsic};
    }
    return true;
}

/* The end of a number that begins at pos; *ret_is_float when it has a point or an exponent. */
static size_t number_end(const struct traceql_lex *l, size_t pos, bool *ret_is_float)
{
    *ret_is_float = false;
    while (is_digit(peek_at(l, pos)))
        pos++;
    if (peek_at(l, pos) == '.') {
        *ret_is_float = true;
        do
            pos++;
        while (is_digit(peek_at(l, pos)));
    }
    if (peek_at(l, pos) == 'e' || peek_at(l, pos) == 'E') {
        size_t digits = pos + 1;

        *ret_is_float = true;
        if (peek_at(l, digits) == '+' || peek_at(l, digits) == '-')
            digits++;
        for (pos = digits; is_digit(peek_at(l, pos));)
            pos++;
    }
    return pos;
}

/* A duration from t->start on that goes further than pos, where a number ended. */
static bool lex_duration(struct traceql_lex *l, struct traceql_token *t, size_t pos)
{
    static const char units[] = "nu\xc2\xb5mshdwy.";
    struct slice text;
    struct err *e;
    int64_t ns;

    while (peek_at(l, pos) >= 0 && (is_digit(peek_at(l, pos)) || strchr(units, peek_at(l, pos))))
        pos++;
    text = slice_sub(l->src, t->start, pos - t->start);
    if ((e = promdur_parse(text, &ns))) {
        err_free(e);
        e = promdur_parse_go(text, &ns);
    }
    if (e) {
        err_free(e);
        return false;
    }
    l->pos = pos;
    t->value = (struct traceql_static){TRACEQL_DURATION, {.i = ns}};
    return true;
}

static bool lex_number(struct traceql_lex *l, struct traceql_token *t)
{
    bool is_float;
    size_t end = number_end(l, t->start, &is_float);
    struct slice text = slice_sub(l->src, t->start, end - t->start);
    int c = peek_at(l, end);

    t->type = TRACEQL_TOK_STATIC;
    if (c >= 0 && strchr("nu\xc2mshdwy.", c) && lex_duration(l, t, end))
        return true;
    l->pos = end;
    if (c == '_' || ((c == 'x' || c == 'b' || c == 'o') && slice_eq(text, SLICE("0"))))
        return fail(l, t->start, "numbers are decimal, without underscores");
    if (is_float) {
        t->value.type = TRACEQL_FLOAT;
        if (!gonum_float(text, &t->value.v.f))
            return fail(l, t->start, "a number that is none, or out of range");
        return true;
    }
    while (text.len > 1 && text.ptr[0] == '0') /* decimal, with zeros in front or not */
        text = slice_from(text, 1);
    t->value.type = TRACEQL_INT;
    return gonum_int(text, &t->value.v.i) || fail(l, t->start, "an integer out of range");
}

static bool lex_string(struct traceql_lex *l, struct traceql_token *t)
{
    int quote = peek_at(l, l->pos++);
    struct buf b = {0};
    bool is_ok;

    for (int c; (c = peek_at(l, l->pos)) != quote; l->pos++) {
        if (c < 0 || (quote == '"' && c == '\n'))
            return fail(l, t->start, "a string that does not end");
        if (quote == '"' && c == '\\' && peek_at(l, l->pos + 1) >= 0)
            l->pos++;
    }
    l->pos++;
    is_ok = gostr_unquote(slice_sub(l->src, t->start, l->pos - t->start), &b);
    t->type = TRACEQL_TOK_STATIC;
    t->value.type = TRACEQL_STRING;
    if (is_ok)
        t->value.v.s = arena_dup(l->arena, buf_slice(&b));
    buf_done(&b);
    return is_ok || fail(l, t->start, "a string with an escape that is none");
}

static bool lex_sign(struct traceql_lex *l, struct traceql_token *t)
{
    for (size_t i = 0; i < ORR_COUNT(signs); i++) {
        if (!starts_with(l, l->pos, signs[i].text))
            continue;
        l->pos += strlen(signs[i].text);
        t->type = TRACEQL_TOK_SIGN;
        t->op = signs[i].op;
        t->spanset_op = signs[i].spanset_op;
        return true;
    }
    return fail(l, l->pos, "a character that means nothing here");
}

static enum traceql_tok punctuation(int c, int next)
{
    switch (c) {
    case '(':
        return TRACEQL_TOK_LPAREN;
    case ')':
        return TRACEQL_TOK_RPAREN;
    case '{':
        return TRACEQL_TOK_LBRACE;
    case '}':
        return TRACEQL_TOK_RBRACE;
    case ',':
        return TRACEQL_TOK_COMMA;
    case '|':
        return next == '|' ? TRACEQL_TOK_EOF : TRACEQL_TOK_PIPE;
    default:
        return TRACEQL_TOK_EOF;
    }
}

static bool lex_any(struct traceql_lex *l, struct traceql_token *t)
{
    int c = peek_at(l, l->pos), next = peek_at(l, l->pos + 1);

    t->type = TRACEQL_TOK_EOF;
    if (c < 0)
        return true;
    t->type = punctuation(c, next);
    if (t->type != TRACEQL_TOK_EOF) {
        l->pos++;
        return true;
    }
    if (c == '"' || c == '`')
        return lex_string(l, t);
    if (is_digit(c) || (c == '.' && is_digit(next)))
        return lex_number(l, t);
    if (c == '.') {
        l->pos++;
        return lex_attribute(l, t, TRACEQL_SCOPE_ANY);
    }
    return gostr_word_at(l->src, l->pos, false) ? lex_word(l, t) : lex_sign(l, t);
}

bool traceql_lex_next(struct traceql_lex *l, struct traceql_token *ret)
{
    struct traceql_token t = {.op = TRACEQL_NO_OP, .spanset_op = TRACEQL_NO_OP};

    if (!skip_space_and_comments(l))
        return false;
    t.start = (uint32_t)l->pos;
    if (!lex_any(l, &t))
        return false;
    t.end = (uint32_t)l->pos;
    *ret = t;
    return true;
}
