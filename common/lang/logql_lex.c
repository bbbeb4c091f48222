#include "common/base/gosize.h"
#include "common/base/gostr.h"
#include "common/base/promdur.h"
#include "common/lang/logql_internal.h"
#include "common/lang/promql_internal.h"

struct word {
    const char *text;
    enum logql_tok type;
    int sub;
};

static const struct word words[] = {
    {"by", LOGQL_TOK_BY, 0},
    {"without", LOGQL_TOK_WITHOUT, 0},
    {"bool", LOGQL_TOK_BOOL, 0},
    {"on", LOGQL_TOK_ON, 0},
    {"ignoring", LOGQL_TOK_IGNORING, 0},
    {"group_left", LOGQL_TOK_GROUP_LEFT, 0},
    {"group_right", LOGQL_TOK_GROUP_RIGHT, 0},
    {"offset", LOGQL_TOK_OFFSET, 0},
    {"unwrap", LOGQL_TOK_UNWRAP, 0},
    {"json", LOGQL_TOK_JSON, 0},
    {"logfmt", LOGQL_TOK_LOGFMT, 0},
    {"regexp", LOGQL_TOK_REGEXP, 0},
    {"pattern", LOGQL_TOK_PATTERN, 0},
    {"unpack", LOGQL_TOK_UNPACK, 0},
    {"line_format", LOGQL_TOK_LINE_FORMAT, 0},
    {"label_format", LOGQL_TOK_LABEL_FORMAT, 0},
    {"decolorize", LOGQL_TOK_DECOLORIZE, 0},
    {"drop", LOGQL_TOK_DROP, 0},
    {"keep", LOGQL_TOK_KEEP, 0},
    {"and", LOGQL_TOK_OP, PROMQL_AND},
    {"or", LOGQL_TOK_OP, PROMQL_OR},
    {"unless", LOGQL_TOK_OP, PROMQL_UNLESS},
};

/* Words of the language only in front of a parenthesis; labels may have these names. */
static const struct word functions[] = {
#define X(sym, name, unwrap, may_group) {name, LOGQL_TOK_RANGE_OP, sym},
    LOGQL_RANGE_OPS(X)
#undef X
#define X(sym, name, has_count, may_group) {name, LOGQL_TOK_VECTOR_OP, sym},
        LOGQL_VECTOR_OPS(X)
#undef X
            {"bytes", LOGQL_TOK_CONVERT, LOGQL_UNWRAP_BYTES},
    {"duration", LOGQL_TOK_CONVERT, LOGQL_UNWRAP_DURATION},
    {"duration_seconds", LOGQL_TOK_CONVERT, LOGQL_UNWRAP_DURATION_SECONDS},
    {"label_replace", LOGQL_TOK_LABEL_REPLACE, 0},
    {"vector", LOGQL_TOK_CONSTANT, 0},
    {"ip", LOGQL_TOK_IP, 0},
};

/* Longer ones first. */
static const struct word signs[] = {
    {"|=", LOGQL_TOK_PIPE_EQL, 0},     {"|~", LOGQL_TOK_PIPE_RE, 0},
    {"|>", LOGQL_TOK_PIPE_PATTERN, 0}, {"!=", LOGQL_TOK_OP, PROMQL_NE},
    {"!~", LOGQL_TOK_NEQ_RE, 0},       {"!>", LOGQL_TOK_NEQ_PATTERN, 0},
    {"=~", LOGQL_TOK_EQL_RE, 0},       {"==", LOGQL_TOK_OP, PROMQL_EQ},
    {">=", LOGQL_TOK_OP, PROMQL_GE},   {"<=", LOGQL_TOK_OP, PROMQL_LE},
    {">", LOGQL_TOK_OP, PROMQL_GT},    {"<", LOGQL_TOK_OP, PROMQL_LT},
    {"=", LOGQL_TOK_EQL, 0},           {"|", LOGQL_TOK_PIPE, 0},
    {"(", LOGQL_TOK_LPAREN, 0},        {")", LOGQL_TOK_RPAREN, 0},
    {"{", LOGQL_TOK_LBRACE, 0},        {"}", LOGQL_TOK_RBRACE, 0},
    {",", LOGQL_TOK_COMMA, 0},         {"+", LOGQL_TOK_OP, PROMQL_ADD},
    {"-", LOGQL_TOK_OP, PROMQL_SUB},   {"*", LOGQL_TOK_OP, PROMQL_MUL},
    {"/", LOGQL_TOK_OP, PROMQL_DIV},   {"%", LOGQL_TOK_OP, PROMQL_MOD},
    {"^", LOGQL_TOK_OP, PROMQL_POW},
};

static bool fail(struct logql_lex *l, size_t pos, const char *what)
{
    l->err = promql_lex_error(l->src, pos, ERR_INVALID, "%s", what);
    return false;
}

static int peek_at(const struct logql_lex *l, size_t pos)
{
    return pos < l->src.len ? l->src.ptr[pos] : -1;
}

static bool is_space(int c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static size_t skip_space(const struct logql_lex *l, size_t pos)
{
    while (is_space(peek_at(l, pos)))
        pos++;
    return pos;
}

static void skip_space_and_comments(struct logql_lex *l)
{
    for (;;) {
        l->pos = skip_space(l, l->pos);
        if (peek_at(l, l->pos) != '#')
            return;
        while (peek_at(l, l->pos) >= 0 && peek_at(l, l->pos) != '\n')
            l->pos++;
    }
}

static bool set_word(struct logql_token *t, const struct word *w)
{
    t->type = w->type;
    if (w->type == LOGQL_TOK_OP)
        t->v.op = (enum promql_op)w->sub;
    else if (w->type == LOGQL_TOK_RANGE_OP)
        t->v.range_op = (enum logql_range_op)w->sub;
    else if (w->type == LOGQL_TOK_VECTOR_OP)
        t->v.vector_op = (enum logql_vector_op)w->sub;
    else if (w->type == LOGQL_TOK_CONVERT)
        t->v.convert = (enum logql_unwrap)w->sub;
    return true;
}

/* "(", or by or without and then "(". */
static bool is_before_arguments(const struct logql_lex *l)
{
    static const struct slice grouping[] = {SLICE_INIT("by"), SLICE_INIT("without")};
    size_t pos = skip_space(l, l->pos);

    if (peek_at(l, pos) == '(')
        return true;
    for (size_t i = 0; i < ORR_COUNT(grouping); i++) {
        size_t n = grouping[i].len;

        if (slice_eq_nocase(slice_sub(l->src, pos, n), grouping[i]) &&
            peek_at(l, skip_space(l, pos + n)) == '(')
            return true;
    }
    return false;
}

static bool lex_word(struct logql_lex *l, struct logql_token *t)
{
    struct slice word;
    size_t n;

    while ((n = gostr_word_at(l->src, l->pos, true)))
        l->pos += n;
    word = slice_sub(l->src, t->start, l->pos - t->start);
    for (size_t i = 0; i < ORR_COUNT(functions); i++)
        if (slice_eq_nocase(word, slice_cstr(functions[i].text)) && is_before_arguments(l))
            return set_word(t, &functions[i]);
    for (size_t i = 0; i < ORR_COUNT(words); i++)
        if (slice_eq_nocase(word, slice_cstr(words[i].text)))
            return set_word(t, &words[i]);
    t->type = LOGQL_TOK_IDENT;
    return true;
}

/* The longest text from start on that continues past pos with digits, dots and those letters. */
static struct slice run_of(const struct logql_lex *l, size_t start, size_t pos, const char *set)
{
    size_t end = pos;

    for (; peek_at(l, end) > 0; end++)
        if (!is_digit(peek_at(l, end)) && !strchr(set, peek_at(l, end)))
            break;
    return end > pos ? slice_sub(l->src, start, end - start) : SLICE_EMPTY;
}

static bool parse_duration(struct slice text, int64_t *ret)
{
    struct err *e = promdur_parse_signed(text, ret);

    if (e) {
        err_free(e);
        e = promdur_parse_go(text, ret);
    }
    err_free(e);
    return !e;
}

/* A duration that begins at t->start; what was scanned of it ends at pos. */
static bool lex_duration(struct logql_lex *l, struct logql_token *t)
{
    struct slice text = run_of(l, t->start, l->pos, ".nu\xc2\xb5\xcemshdwy");

    /* -0 alone is a number. */
    if (!text.len || is_digit(text.ptr[text.len - 1]) || !parse_duration(text, &t->v.ns))
        return false;
    t->type = LOGQL_TOK_DURATION;
    l->pos = t->start + text.len;
    return true;
}

static bool lex_size(struct logql_lex *l, struct logql_token *t)
{
    struct slice text = run_of(l, t->start, l->pos, ".BibkKMGTP");

    if (!text.len || !gosize_parse(text, &t->v.bytes))
        return false;
    t->type = LOGQL_TOK_BYTES;
    l->pos = t->start + text.len;
    return true;
}

static void skip_digits(struct logql_lex *l)
{
    while (is_digit(peek_at(l, l->pos)) || peek_at(l, l->pos) == '_')
        l->pos++;
}

static bool lex_number(struct logql_lex *l, struct logql_token *t)
{
    int c = peek_at(l, l->pos + 1), digit = peek_at(l, l->pos + 2);

    t->type = LOGQL_TOK_NUMBER;
    /* 0B alone is a size. */
    if (peek_at(l, l->pos) == '0' && c > 0 && strchr("xXbBoO", c) && is_digit(digit))
        return fail(l, t->start, "numbers are decimal");
    skip_digits(l);
    if (peek_at(l, l->pos) == '.') {
        l->pos++;
        skip_digits(l);
    }
    if ((peek_at(l, l->pos) | 0x20) == 'e') {
        l->pos++;
        if (peek_at(l, l->pos) == '+' || peek_at(l, l->pos) == '-')
            l->pos++;
        if (!is_digit(peek_at(l, l->pos)))
            return fail(l, t->start, "exponent has no digits");
        skip_digits(l);
    }
    return lex_duration(l, t) || lex_size(l, t) || t->type == LOGQL_TOK_NUMBER;
}

static bool lex_string(struct logql_lex *l, struct logql_token *t)
{
    int quote = peek_at(l, l->pos++);

    t->type = LOGQL_TOK_STRING;
    for (;;) {
        int c = peek_at(l, l->pos++);

        if (c < 0 || (c == '\n' && quote == '"')) {
            l->pos = ORR_MIN(l->pos, l->src.len);
            return fail(l, t->start, "literal not terminated");
        }
        if (c == quote)
            return true;
        if (c == '\\' && quote == '"' && l->pos < l->src.len && peek_at(l, l->pos) != '\n')
            l->pos++;
    }
}

/* [5m] whole. */
static bool lex_range(struct logql_lex *l, struct logql_token *t)
{
    ptrdiff_t end = slice_find_byte(l->src, ']', l->pos);

    t->type = LOGQL_TOK_RANGE;
    if (end < 0)
        return fail(l, t->start, "missing closing ']' in duration");
    if (!parse_duration(slice_sub(l->src, t->start + 1, (size_t)end - t->start - 1), &t->v.ns) ||
        t->v.ns < 0)
        return fail(l, t->start, "not a valid duration");
    l->pos = (size_t)end + 1;
    return true;
}

static bool lex_flag(struct logql_lex *l, struct logql_token *t)
{
    static const struct word flags[] = {{"--strict", LOGQL_TOK_STRICT, 0},
                                        {"--keep-empty", LOGQL_TOK_KEEP_EMPTY, 0}};

    for (size_t i = 0; i < ORR_COUNT(flags); i++) {
        size_t n = strlen(flags[i].text);

        if (slice_has_prefix(slice_from(l->src, l->pos), slice_cstr(flags[i].text)) &&
            !gostr_word_at(l->src, l->pos + n, true) && peek_at(l, l->pos + n) != '-') {
            l->pos += n;
            return set_word(t, &flags[i]);
        }
    }
    return false;
}

static bool lex_sign(struct logql_lex *l, struct logql_token *t)
{
    struct slice rest = slice_from(l->src, l->pos);

    if (rest.ptr[0] == '-') {
        if (lex_flag(l, t))
            return true;
        l->pos++;
        if (lex_duration(l, t)) /* -5m is one word, -5 is two */
            return true;
        l->pos--;
    }
    for (size_t i = 0; i < ORR_COUNT(signs); i++) {
        if (slice_has_prefix(rest, slice_cstr(signs[i].text))) {
            l->pos += strlen(signs[i].text);
            return set_word(t, &signs[i]);
        }
    }
    return fail(l, t->start, "unexpected character");
}

bool logql_lex_next(struct logql_lex *l, struct logql_token *ret)
{
    struct logql_token t = {0};
    bool is_ok;
    int c;

    skip_space_and_comments(l);
    t.start = (uint32_t)l->pos;
    c = peek_at(l, l->pos);
    if (c < 0)
        is_ok = true; /* LOGQL_TOK_EOF */
    else if (gostr_word_at(l->src, l->pos, false))
        is_ok = lex_word(l, &t);
    else if (is_digit(c) || (c == '.' && is_digit(peek_at(l, l->pos + 1))))
        is_ok = lex_number(l, &t);
    else if (c == '"' || c == '`')
        is_ok = lex_string(l, &t);
    else if (c == '[')
        is_ok = lex_range(l, &t);
    else
        is_ok = lex_sign(l, &t);
    t.end = (uint32_t)l->pos;
    if (is_ok)
        *ret = t;
    return is_ok;
}
