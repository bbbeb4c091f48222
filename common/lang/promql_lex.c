#include <stdarg.h>

#include "common/base/gostr.h"
#include "common/lang/promql_internal.h"

static const struct {
    const char *name;
    enum promql_tok type;
    int sub; /* operator or aggregation */
} keywords[] = {
    {"and", TOK_OP, PROMQL_AND},
    {"or", TOK_OP, PROMQL_OR},
    {"unless", TOK_OP, PROMQL_UNLESS},
    {"atan2", TOK_OP, PROMQL_ATAN2},
#define X(sym, name, has_param, is_experimental) {name, TOK_AGG, sym},
    PROMQL_AGGS(X)
#undef X
        {"offset", TOK_OFFSET, 0},
    {"smoothed", TOK_SMOOTHED, 0},
    {"anchored", TOK_ANCHORED, 0},
    {"by", TOK_BY, 0},
    {"without", TOK_WITHOUT, 0},
    {"on", TOK_ON, 0},
    {"ignoring", TOK_IGNORING, 0},
    {"group_left", TOK_GROUP_LEFT, 0},
    {"group_right", TOK_GROUP_RIGHT, 0},
    {"fill", TOK_FILL, 0},
    {"fill_left", TOK_FILL_LEFT, 0},
    {"fill_right", TOK_FILL_RIGHT, 0},
    {"bool", TOK_BOOL, 0},
    {"start", TOK_START, 0},
    {"end", TOK_END, 0},
    {"step", TOK_STEP, 0},
    {"range", TOK_RANGE, 0},
    {"min_of", TOK_MIN_OF, 0},
    {"max_of", TOK_MAX_OF, 0},
    {"inf", TOK_NUMBER, 0},
    {"nan", TOK_NUMBER, 0},
};

struct err *promql_lex_verror(struct slice src, size_t pos, enum err_code code, const char *fmt,
                              va_list ap)
{
    size_t line = 1, line_start = 0;
    struct buf text = {0};
    struct err *e;

    for (size_t i = 0; i < pos && i < src.len; i++) {
        if (src.ptr[i] == '\n') {
            line++;
            line_start = i + 1;
        }
    }
    buf_vprintf(&text, fmt, ap);
    e = err_new(code, "%zu:%zu: parse error: %s", line, pos - line_start + 1, buf_cstr(&text));
    buf_done(&text);
    return e;
}

struct err *promql_lex_error(struct slice src, size_t pos, enum err_code code, const char *fmt, ...)
{
    struct err *e;
    va_list ap;

    va_start(ap, fmt);
    e = promql_lex_verror(src, pos, code, fmt, ap);
    va_end(ap);
    return e;
}

/* The rune as Go's %q prints it: 'x'. */
static const char *rune_text(struct buf *b, struct slice at)
{
    uint32_t r;
    struct buf quoted = {0};

    if (at.len == 0)
        return "end of input";
    gostr_quote(&quoted, slice_sub(at, 0, gostr_rune(at, &r)));
    buf_printf(b, "'%.*s'", (int)quoted.len - 2, (const char *)quoted.ptr + 1);
    buf_done(&quoted);
    return buf_cstr(b);
}

static bool fail(struct promql_lex *l, size_t pos, const char *fmt, const char *arg)
{
    struct buf b = {0};

    for (const char *p = fmt; *p; p++) {
        if (p[0] == '%' && p[1] == 's') {
            buf_str(&b, arg);
            p++;
        } else {
            buf_byte(&b, (uint8_t)*p);
        }
    }
    l->err = promql_lex_error(l->src, pos, ERR_INVALID, "%s", buf_cstr(&b));
    buf_done(&b);
    return false;
}

/* fmt has one %s, which becomes the character at pos. */
static bool fail_char(struct promql_lex *l, size_t pos, const char *fmt)
{
    struct buf b = {0};

    (void)fail(l, pos, fmt, rune_text(&b, slice_from(l->src, pos)));
    buf_done(&b);
    return false;
}

static int peek(const struct promql_lex *l, size_t ahead)
{
    return l->pos + ahead < l->src.len ? l->src.ptr[l->pos + ahead] : -1;
}

static bool is_space(int c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool is_digit(int c)
{
    return c >= '0' && c <= '9';
}

static bool is_alpha(int c)
{
    return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_alnum(int c)
{
    return is_alpha(c) || is_digit(c);
}

static bool take(struct promql_lex *l, const char *set)
{
    int c = peek(l, 0);

    if (c <= 0 || !strchr(set, c))
        return false;
    l->pos++;
    return true;
}

static bool is_one_of(const struct promql_lex *l, const char *set)
{
    int c = peek(l, 0);

    return c > 0 && strchr(set, c);
}

/* A dot, an exponent or an underscore inside a number, with what may not follow it. */
static bool scan_separator(struct promql_lex *l, bool is_hex, bool *had_dot, bool *had_exponent)
{
    if (is_one_of(l, ".")) {
        l->pos++;
        if (*had_dot || is_hex || take(l, "_."))
            return false;
        *had_dot = true;
    } else if (is_one_of(l, "eE")) {
        l->pos++;
        if (*had_exponent)
            return false;
        *had_exponent = true;
        (void)take(l, "+-");
        if (take(l, "._eE") || peek(l, 0) < 0)
            return false;
    } else {
        l->pos++;
        if (take(l, "._eE") || peek(l, 0) < 0)
            return false;
    }
    return true;
}

/* Whether a whole number literal ends at pos; it may still be out of range or oddly formed. */
static bool scan_number(struct promql_lex *l)
{
    static const char decimal[] = "0123456789", hex[] = "0123456789abcdefABCDEF";
    const char *digits = decimal;
    bool had_dot = false, had_exponent = false;
    size_t start = l->pos;

    if (take(l, "0") && take(l, "xX")) {
        (void)take(l, "_");
        digits = hex;
    }
    (void)take(l, ".");
    (void)take(l, digits);
    while (is_one_of(l, digits) || is_one_of(l, "._eE")) {
        /* An e right after the first digit of a hex number counts as an exponent, as there. */
        if (is_one_of(l, "._eE")) {
            if (!scan_separator(l, digits == hex, &had_dot, &had_exponent))
                return false;
            continue;
        }
        while (take(l, digits))
            ;
    }
    return l->pos > start && !is_alnum(peek(l, 0));
}

/* The rest of 1h30m after its first digits. */
static bool scan_duration(struct promql_lex *l)
{
    if (!take(l, "smhdwy"))
        return false;
    (void)take(l, "s");
    while (is_digit(peek(l, 0))) {
        while (is_digit(peek(l, 0)))
            l->pos++;
        if (!take(l, "smhdw"))
            return false;
        (void)take(l, "s");
    }
    return !is_alnum(peek(l, 0));
}

bool promql_lex_number(struct promql_lex *l, enum promql_tok *ret_type)
{
    if (scan_number(l)) {
        *ret_type = TOK_NUMBER;
        return true;
    }
    *ret_type = TOK_DURATION;
    return scan_duration(l);
}

static bool lex_number(struct promql_lex *l, struct promql_token *t)
{
    struct buf b = {0};

    if (promql_lex_number(l, &t->type)) {
        l->in_duration = false;
        return true;
    }
    gostr_quote(&b, slice_sub(l->src, t->start, l->pos - t->start));
    (void)fail(l, t->start, "bad number or duration syntax: %s", buf_cstr(&b));
    buf_done(&b);
    return false;
}

/* U+FFFD stands for bytes that are not UTF-8; Prometheus takes a written one for such, too. */
static bool skip_rune(struct promql_lex *l)
{
    uint32_t r;
    size_t n = gostr_rune(slice_from(l->src, l->pos), &r);

    if (r == 0xfffd)
        return fail(l, l->pos, "invalid UTF-8 rune", "");
    l->pos += n;
    return true;
}

static bool lex_string(struct promql_lex *l, struct promql_token *t)
{
    uint8_t quote = l->src.ptr[l->pos++];
    struct buf scratch = {0};
    bool is_ok = true;

    t->type = TOK_STRING;
    while (is_ok && peek(l, 0) != quote) {
        int c = peek(l, 0);
        struct slice rest = slice_from(l->src, l->pos);

        if (c < 0 || (c == '\n' && quote != '`')) {
            is_ok =
                fail(l, t->start,
                     quote == '`' ? "unterminated raw string" : "unterminated quoted string", "");
        } else if (c != '\\' || quote == '`') {
            is_ok = skip_rune(l);
        } else {
            switch (gostr_unescape_one(&rest, quote, &scratch)) {
            case GOSTR_OK:
                break;
            case GOSTR_BAD_RUNE:
                is_ok = fail(l, t->start, "escape sequence is an invalid Unicode code point", "");
                break;
            case GOSTR_UNKNOWN_ESCAPE:
                is_ok = fail(l, t->start, "unknown escape sequence", "");
                break;
            case GOSTR_SYNTAX:
                is_ok = fail(l, t->start, "illegal character in escape sequence", "");
                break;
            }
            buf_reset(&scratch);
            l->pos = l->src.len - rest.len;
        }
    }
    buf_done(&scratch);
    l->pos += is_ok;
    return is_ok;
}

bool promql_lex_keyword(struct slice word, struct promql_token *ret)
{
    for (size_t i = 0; i < ORR_COUNT(keywords); i++) {
        if (slice_eq_nocase(word, slice_cstr(keywords[i].name))) {
            ret->type = keywords[i].type;
            if (ret->type == TOK_OP)
                ret->op = (enum promql_op)keywords[i].sub;
            else if (ret->type == TOK_AGG)
                ret->agg = (enum promql_agg)keywords[i].sub;
            return true;
        }
    }
    return false;
}

/* fill, fill_left and fill_right are words of the language only before a parenthesis, so that
 * metrics of these names stay usable. */
static bool is_before_paren(const struct promql_lex *l)
{
    size_t ahead = 0;

    while (is_space(peek(l, ahead)))
        ahead++;
    return peek(l, ahead) == '(';
}

static bool lex_word(struct promql_lex *l, struct promql_token *t)
{
    struct slice word;

    while (is_alnum(peek(l, 0)) || peek(l, 0) == ':')
        l->pos++;
    word = slice_sub(l->src, t->start, l->pos - t->start);
    if (!promql_lex_keyword(word, t))
        t->type = slice_find_byte(word, ':', 0) >= 0 ? TOK_METRIC : TOK_IDENT;
    else if ((t->type == TOK_FILL || t->type == TOK_FILL_LEFT || t->type == TOK_FILL_RIGHT) &&
             !is_before_paren(l))
        t->type = TOK_IDENT;
    return true;
}

/* step, range, min_of and max_of inside brackets. */
static bool lex_duration_word(struct promql_lex *l, struct promql_token *t)
{
    while (is_alpha(peek(l, 0)))
        l->pos++;
    if (promql_lex_keyword(slice_sub(l->src, t->start, l->pos - t->start), t) &&
        (t->type == TOK_STEP || t->type == TOK_RANGE || t->type == TOK_MIN_OF ||
         t->type == TOK_MAX_OF))
        return true;
    return fail_char(l, t->start, "unexpected character in duration expression: %s");
}

static bool lex_in_braces(struct promql_lex *l, struct promql_token *t)
{
    int c = peek(l, 0);

    if (c < 0)
        return fail(l, l->pos, "unexpected end of input inside braces", "");
    if (c == '"' || c == '\'' || c == '`')
        return lex_string(l, t);
    if (is_alpha(c)) {
        while (is_alnum(peek(l, 0)))
            l->pos++;
        t->type = TOK_IDENT;
        return true;
    }
    l->pos++;
    switch (c) {
    case ',':
        t->type = TOK_COMMA;
        return true;
    case '=':
        t->type = take(l, "~") ? TOK_EQL_RE : TOK_EQL;
        return true;
    case '!':
        t->type = TOK_NEQ_RE;
        if (take(l, "~"))
            return true;
        t->type = TOK_OP;
        t->op = PROMQL_NE;
        return take(l, "=") ||
               fail_char(l, l->pos, "unexpected character after '!' inside braces: %s");
    case '}':
        t->type = TOK_RBRACE;
        l->is_brace_open = false;
        return true;
    case '{':
        return fail(l, t->start, "unexpected left brace '{'", "");
    default:
        return fail_char(l, t->start, "unexpected character inside braces: %s");
    }
}

static bool op_token(struct promql_token *t, enum promql_op op)
{
    t->type = TOK_OP;
    t->op = op;
    return true;
}

static bool lex_close(struct promql_lex *l, struct promql_token *t, int c)
{
    if (c == ')') {
        t->type = TOK_RPAREN;
        return --l->paren_depth >= 0 || fail(l, t->start, "unexpected right parenthesis ')'", "");
    }
    t->type = TOK_RBRACKET;
    if (!l->is_bracket_open)
        return fail(l, t->start, "unexpected right bracket ']'", "");
    l->is_bracket_open = l->in_duration = false;
    return true;
}

static bool lex_open(struct promql_lex *l, struct promql_token *t, int c)
{
    if (c == '(') {
        t->type = TOK_LPAREN;
        l->paren_depth++;
    } else if (c == '{') {
        t->type = TOK_LBRACE;
        l->is_brace_open = true;
    } else {
        t->type = TOK_LBRACKET;
        if (l->is_bracket_open)
            return fail(l, t->start, "unexpected left bracket '['", "");
        l->is_bracket_open = l->in_duration = true;
        l->got_colon = false;
    }
    return true;
}

/* Of one or two characters, the first of which is taken. */
static bool lex_operator(struct promql_lex *l, struct promql_token *t, int c)
{
    switch (c) {
    case '*':
        return op_token(t, PROMQL_MUL);
    case '/':
        return op_token(t, PROMQL_DIV);
    case '%':
        return op_token(t, PROMQL_MOD);
    case '+':
        return op_token(t, PROMQL_ADD);
    case '-':
        return op_token(t, PROMQL_SUB);
    case '^':
        return op_token(t, PROMQL_POW);
    case '<':
        return op_token(t, take(l, "=") ? PROMQL_LE : take(l, "/") ? PROMQL_TRIM_UPPER : PROMQL_LT);
    case '>':
        return op_token(t, take(l, "=") ? PROMQL_GE : take(l, "/") ? PROMQL_TRIM_LOWER : PROMQL_GT);
    case '!':
        if (!take(l, "="))
            return fail_char(l, l->pos, "unexpected character after '!': %s");
        return op_token(t, PROMQL_NE);
    case '=':
        if (is_one_of(l, "~"))
            return fail_char(l, l->pos, "unexpected character after '=': %s");
        if (take(l, "="))
            return op_token(t, PROMQL_EQ);
        t->type = TOK_EQL;
        return true;
    case ',':
        t->type = TOK_COMMA;
        return true;
    case '@':
        t->type = TOK_AT;
        return true;
    default:
        return fail_char(l, t->start, "unexpected character: %s");
    }
}

static bool lex_colon(struct promql_lex *l, struct promql_token *t)
{
    l->pos++;
    t->type = TOK_COLON;
    if (l->got_colon)
        return fail(l, t->start, "unexpected colon ':'", "");
    l->got_colon = true;
    return true;
}

static bool lex_end(struct promql_lex *l, struct promql_token *t)
{
    if (l->in_duration)
        return fail(l, l->pos, "unexpected end of input in duration expression", "");
    if (l->paren_depth)
        return fail(l, l->pos, "unclosed left parenthesis", "");
    if (l->is_bracket_open)
        return fail(l, l->pos, "unclosed left bracket", "");
    t->type = TOK_EOF;
    return true;
}

static bool lex_statement(struct promql_lex *l, struct promql_token *t)
{
    int c = peek(l, 0);

    if (c < 0)
        return lex_end(l, t);
    if (is_digit(c) || (c == '.' && is_digit(peek(l, 1))))
        return lex_number(l, t);
    if (l->is_bracket_open && c == ':')
        return lex_colon(l, t);
    if (l->is_bracket_open && is_alpha(c))
        return lex_duration_word(l, t);
    if (l->in_duration && !strchr("()+-*/%^,]", c))
        return fail_char(l, t->start, "unexpected character in duration expression: %s");
    if (c == '"' || c == '\'' || c == '`')
        return lex_string(l, t);
    if (is_alpha(c) || c == ':')
        return lex_word(l, t);
    l->pos++;
    if (c == '(' || c == '{' || c == '[')
        return lex_open(l, t, c);
    if (c == ')' || c == ']')
        return lex_close(l, t, c);
    return lex_operator(l, t, c);
}

static void skip_space_and_comments(struct promql_lex *l)
{
    for (;;) {
        while (is_space(peek(l, 0)))
            l->pos++;
        if (peek(l, 0) != '#' || l->in_duration)
            return;
        while (peek(l, 0) >= 0 && peek(l, 0) != '\n' && peek(l, 0) != '\r')
            l->pos++;
    }
}

bool promql_lex_next(struct promql_lex *l, struct promql_token *ret)
{
    struct promql_token t = {0};
    bool is_ok;

    skip_space_and_comments(l);
    t.start = (uint32_t)l->pos;
    is_ok = l->is_brace_open ? lex_in_braces(l, &t) : lex_statement(l, &t);
    t.end = (uint32_t)l->pos;
    if (is_ok)
        *ret = t;
    return is_ok;
}
