/* Text to tokens. White space between operands is a token: it separates {{.a .b}} from {{.a.b}}. */
#include "common/base/gostr.h"
#include "common/base/re.h"
#include "common/template/template_internal.h"

struct lexer {
    struct arena *arena;
    struct slice text;
    const struct template_lex_opts *opts;
    template_tokens *out;
    size_t at, start;
    int parens;
    bool is_done;
    struct re *letters; /* compiled when a letter beyond ASCII is met */
};

static const struct {
    const char *word;
    enum template_token_kind kind;
} keywords[] = {
    {"block", TOKEN_BLOCK},
    {"break", TOKEN_BREAK},
    {"continue", TOKEN_CONTINUE},
    {"define", TOKEN_DEFINE},
    {"else", TOKEN_ELSE},
    {"end", TOKEN_END},
    {"if", TOKEN_IF},
    {"range", TOKEN_RANGE},
    {"nil", TOKEN_NIL},
    {"template", TOKEN_TEMPLATE},
    {"with", TOKEN_WITH},
    {"true", TOKEN_BOOL},
    {"false", TOKEN_BOOL},
};

static bool is_space(int c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static int byte_at(const struct lexer *l, size_t at)
{
    return at < l->text.len ? l->text.ptr[at] : -1;
}

static bool starts_with(const struct lexer *l, size_t at, struct slice what)
{
    return at <= l->text.len && slice_has_prefix(slice_from(l->text, at), what);
}

static void emit(struct lexer *l, enum template_token_kind kind)
{
    struct template_token t = {kind, l->start, slice_sub(l->text, l->start, l->at - l->start)};

    vec_push(l->out, t);
    l->start = l->at;
}

static void fail(struct lexer *l, const char *message)
{
    struct template_token t = {TOKEN_ERROR, l->start, slice_cstr(message)};

    vec_push(l->out, t);
    l->is_done = true;
}

/* The length of the letter or digit at an offset; 0 if there is none. */
static size_t alnum_at(struct lexer *l, size_t at)
{
    int c = byte_at(l, at);
    struct slice rune;
    uint32_t r;

    if (c < 0)
        return 0;
    if (c < 0x80)
        return c == '_' || (c >= '0' && c <= '9') || ((c | 0x20) >= 'a' && (c | 0x20) <= 'z');
    rune = slice_from(l->text, at);
    rune.len = gostr_rune(rune, &r);
    if (rune.len == 1)
        return 0;
    if (!l->letters) {
        struct err *e = re_compile(SLICE("[\\pL\\p{Nd}]"), RE_ANCHORED, &l->letters);

        ORR_ASSERT(!e);
    }
    return re_match(l->letters, rune) ? rune.len : 0;
}

/* " -}}" at an offset. */
static bool at_trimmed_right(const struct lexer *l, size_t at)
{
    return is_space(byte_at(l, at)) && byte_at(l, at + 1) == '-' &&
           starts_with(l, at + 2, l->opts->right);
}

static void skip_space(struct lexer *l)
{
    while (is_space(byte_at(l, l->at)))
        l->at++;
    l->start = l->at;
}

static void lex_right(struct lexer *l, bool is_trimmed)
{
    if (is_trimmed)
        l->start = l->at += 2;
    l->at += l->opts->right.len;
    emit(l, TOKEN_RIGHT);
    if (is_trimmed)
        skip_space(l);
}

static void lex_comment(struct lexer *l)
{
    ptrdiff_t end = slice_find(l->text, SLICE("*/"), l->at);
    bool is_trimmed;

    if (end < 0) {
        fail(l, "unclosed comment");
        return;
    }
    l->at = (size_t)end + 2;
    is_trimmed = at_trimmed_right(l, l->at);
    if (!is_trimmed && !starts_with(l, l->at, l->opts->right)) {
        fail(l, "comment ends before closing delimiter");
        return;
    }
    l->start = l->at += l->opts->right.len + (is_trimmed ? 2 : 0);
    if (is_trimmed)
        skip_space(l);
}

static bool lex_text(struct lexer *l, bool *ret_is_action)
{
    ptrdiff_t left = slice_find(l->text, l->opts->left, l->at);
    size_t end = left < 0 ? l->text.len : (size_t)left, next = end + l->opts->left.len;
    bool is_trimmed;

    *ret_is_action = false;
    l->at = end;
    is_trimmed = left >= 0 && byte_at(l, next) == '-' && is_space(byte_at(l, next + 1));
    if (is_trimmed)
        while (l->at > l->start && is_space(byte_at(l, l->at - 1)))
            l->at--;
    if (l->at > l->start)
        emit(l, TOKEN_TEXT);
    if (left < 0)
        return false;
    l->start = end;
    l->at = next;
    if (starts_with(l, next + (is_trimmed ? 2 : 0), SLICE("/*"))) {
        l->at += is_trimmed ? 2 : 0;
        l->start = l->at;
        lex_comment(l);
        return true;
    }
    emit(l, TOKEN_LEFT);
    if (is_trimmed)
        l->start = l->at += 2;
    l->parens = 0;
    *ret_is_action = true;
    return true;
}

/* Whether a word may end here. */
static bool at_terminator(const struct lexer *l)
{
    int c = byte_at(l, l->at);

    return c < 0 || is_space(c) || strchr(".,|:()", c) || starts_with(l, l->at, l->opts->right);
}

static void bad_character(struct lexer *l)
{
    uint32_t r;

    (void)gostr_rune(slice_from(l->text, l->at), &r);
    fail(l, arena_printf(l->arena, "bad character U+%04X", r));
}

static void lex_field(struct lexer *l, bool is_variable)
{
    size_t n, begin = ++l->at;

    while ((n = alnum_at(l, l->at)))
        l->at += n;
    if (l->at == begin && at_terminator(l))
        emit(l, is_variable ? TOKEN_VARIABLE : TOKEN_DOT);
    else if (!at_terminator(l))
        bad_character(l);
    else
        emit(l, is_variable ? TOKEN_VARIABLE : TOKEN_FIELD);
}

static void lex_word(struct lexer *l)
{
    enum template_token_kind kind = TOKEN_IDENT;
    struct slice word;
    size_t n;

    while ((n = alnum_at(l, l->at)))
        l->at += n;
    if (!at_terminator(l)) {
        bad_character(l);
        return;
    }
    word = slice_sub(l->text, l->start, l->at - l->start);
    for (size_t i = 0; i < ORR_COUNT(keywords); i++)
        if (slice_eq_cstr(word, keywords[i].word))
            kind = keywords[i].kind;
    if ((kind == TOKEN_BREAK && l->opts->is_break_func) ||
        (kind == TOKEN_CONTINUE && l->opts->is_continue_func))
        kind = TOKEN_IDENT;
    emit(l, kind);
}

/* "…" or '…' with backslashes. */
static void lex_quoted(struct lexer *l, uint8_t quote)
{
    for (l->at++;; l->at++) {
        int c = byte_at(l, l->at);

        if (c == '\\') {
            c = byte_at(l, ++l->at);
            if (c >= 0 && c != '\n')
                continue;
        }
        if (c < 0 || c == '\n') {
            fail(l,
                 quote == '"' ? "unterminated quoted string" : "unterminated character constant");
            return;
        }
        if (c == quote)
            break;
    }
    l->at++;
    emit(l, quote == '"' ? TOKEN_STRING : TOKEN_RUNE);
}

static void lex_raw(struct lexer *l)
{
    ptrdiff_t end = slice_find_byte(l->text, '`', l->at + 1);

    if (end < 0) {
        fail(l, "unterminated raw quoted string");
        return;
    }
    l->at = (size_t)end + 1;
    emit(l, TOKEN_RAW_STRING);
}

static void accept_run(struct lexer *l, const char *set)
{
    int c;

    while ((c = byte_at(l, l->at)) > 0 && strchr(set, c))
        l->at++;
}

static bool accept(struct lexer *l, const char *set)
{
    int c = byte_at(l, l->at);

    if (c <= 0 || !strchr(set, c))
        return false;
    l->at++;
    return true;
}

static bool scan_number(struct lexer *l)
{
    const char *decimal = "0123456789_", *digits = decimal;

    (void)accept(l, "+-");
    if (accept(l, "0")) {
        if (accept(l, "xX"))
            digits = "0123456789abcdefABCDEF_";
        else if (accept(l, "oO"))
            digits = "01234567_";
        else if (accept(l, "bB"))
            digits = "01_";
    }
    accept_run(l, digits);
    if (accept(l, "."))
        accept_run(l, digits);
    if ((digits == decimal && accept(l, "eE")) || (strlen(digits) > 20 && accept(l, "pP"))) {
        (void)accept(l, "+-");
        accept_run(l, decimal);
    }
    (void)accept(l, "i");
    return alnum_at(l, l->at) == 0;
}

static void lex_number(struct lexer *l)
{
    bool is_complex = false, is_good = scan_number(l);
    int c = byte_at(l, l->at);

    if (is_good && (c == '+' || c == '-')) { /* 1+2i */
        is_complex = true;
        is_good = scan_number(l) && l->text.ptr[l->at - 1] == 'i';
    }
    if (is_good)
        emit(l, is_complex ? TOKEN_COMPLEX : TOKEN_NUMBER);
    else
        fail(l, arena_printf(l->arena, "bad number syntax: \"%.*s\"", (int)(l->at - l->start),
                             (const char *)l->text.ptr + l->start));
}

static void lex_spaces(struct lexer *l)
{
    if (at_trimmed_right(l, l->at)) {
        if (l->parens)
            fail(l, "unclosed left paren");
        else
            lex_right(l, true);
        return;
    }
    /* The space of a " -}}" belongs to the delimiter. */
    while (is_space(byte_at(l, l->at)) && !at_trimmed_right(l, l->at))
        l->at++;
    emit(l, TOKEN_SPACE);
}

static void lex_one_character(struct lexer *l, int c)
{
    uint32_t r;

    if (alnum_at(l, l->at)) {
        lex_word(l);
    } else if (c > ' ' && c < 0x7f) {
        l->at++;
        emit(l, TOKEN_CHAR);
    } else {
        (void)gostr_rune(slice_from(l->text, l->at), &r);
        fail(l, arena_printf(l->arena, "unrecognized character in action: U+%04X", r));
    }
}

static void lex_paren(struct lexer *l, int c)
{
    l->parens += c == '(' ? 1 : -1;
    if (l->parens < 0) {
        fail(l, "unexpected right paren");
        return;
    }
    l->at++;
    emit(l, c == '(' ? TOKEN_LPAREN : TOKEN_RPAREN);
}

/* One token inside an action; false at its end. */
static bool lex_inside(struct lexer *l)
{
    int c = byte_at(l, l->at), next = byte_at(l, l->at + 1);
    size_t n_before = l->out->len;

    if (starts_with(l, l->at, l->opts->right)) {
        if (l->parens)
            fail(l, "unclosed left paren");
        else
            lex_right(l, false);
    } else if (c < 0) {
        fail(l, "unclosed action");
    } else if (is_space(c)) {
        lex_spaces(l);
    } else if (c == '=' || c == '|') {
        l->at++;
        emit(l, c == '=' ? TOKEN_ASSIGN : TOKEN_PIPE);
    } else if (c == ':') {
        if (next != '=') {
            fail(l, "expected :=");
        } else {
            l->at += 2;
            emit(l, TOKEN_DECLARE);
        }
    } else if (c == '"' || c == '\'') {
        lex_quoted(l, (uint8_t)c);
    } else if (c == '`') {
        lex_raw(l);
    } else if (c == '$' || (c == '.' && (next < '0' || next > '9'))) {
        lex_field(l, c == '$');
    } else if (c == '.' || c == '+' || c == '-' || (c >= '0' && c <= '9')) {
        lex_number(l);
    } else if (c == '(' || c == ')') {
        lex_paren(l, c);
    } else {
        lex_one_character(l, c);
    }
    return !l->is_done && l->out->ptr[n_before].kind != TOKEN_RIGHT;
}

void template_lex(struct arena *a, struct slice text, const struct template_lex_opts *opts,
                  template_tokens *ret)
{
    struct lexer l = {.arena = a, .text = text, .opts = opts, .out = ret};
    bool is_action;

    while (!l.is_done && lex_text(&l, &is_action)) {
        if (!is_action)
            continue;
        while (lex_inside(&l))
            ;
    }
    if (!l.is_done)
        emit(&l, TOKEN_EOF);
    re_free(l.letters);
}
