#include "alertmanager/ammatch_internal.h"
#include "common/base/gostr.h"

enum kind { T_END, T_OPEN, T_CLOSE, T_COMMA, T_OP, T_QUOTED, T_UNQUOTED };
struct token {
    enum kind kind;
    enum matcher_op op;
    struct slice text;
};
struct parser {
    struct arena *arena;
    struct slice rest;
    struct token next; /* looked at, not taken */
    bool has_open;
};

static struct err *scan_quoted(struct parser *p, struct token *t)
{
    bool is_escaped = false;

    for (size_t i = 1; i < p->rest.len; i++) {
        uint8_t c = p->rest.ptr[i];

        if (is_escaped)
            is_escaped = false;
        else if (c == '\\')
            is_escaped = true;
        else if (c == '"') {
            t->kind = T_QUOTED;
            t->text = slice_sub(p->rest, 0, i + 1);
            return NULL;
        }
    }
    return err_new(ERR_INVALID, "missing end \": %.*s", SLICE_ARG(p->rest));
}

static struct err *scan_operator(struct parser *p, struct token *t)
{
    uint8_t second = p->rest.len > 1 ? p->rest.ptr[1] : 0;
    bool is_not = p->rest.ptr[0] == '!';

    t->kind = T_OP;
    if (is_not && second != '=' && second != '~')
        return err_new(ERR_INVALID, "expected one of '=~' after '!'");
    t->text = slice_sub(p->rest, 0, is_not || second == '~' ? 2 : 1);
    if (is_not)
        t->op = second == '=' ? MATCHER_NE : MATCHER_NRE;
    else
        t->op = second == '~' ? MATCHER_RE : MATCHER_EQ;
    return NULL;
}

static void scan_unquoted(struct parser *p, struct token *t)
{
    size_t n = 0;
    uint32_t r;

    while (n < p->rest.len) {
        size_t step = gostr_rune(slice_from(p->rest, n), &r);

        if (ammatch_is_reserved(r))
            break;
        n += step;
    }
    t->kind = T_UNQUOTED;
    t->text = slice_sub(p->rest, 0, n);
}

/* Takes p->next and looks at the one behind it. */
static struct err *advance(struct parser *p)
{
    struct token t = {.kind = T_END, .text = SLICE_EMPTY};
    struct err *e = NULL;
    uint32_t r = 0;

    while (p->rest.len) {
        size_t n = gostr_rune(p->rest, &r);

        if (!ammatch_is_space(r))
            break;
        p->rest = slice_from(p->rest, n);
    }
    if (p->rest.len) {
        if (r == '{' || r == '}' || r == ',') {
            t.kind = r == '{' ? T_OPEN : r == '}' ? T_CLOSE : T_COMMA;
            t.text = slice_sub(p->rest, 0, 1);
        } else if (r == '=' || r == '!') {
            e = scan_operator(p, &t);
        } else if (r == '"') {
            e = scan_quoted(p, &t);
        } else if (!ammatch_is_reserved(r)) {
            scan_unquoted(p, &t);
        } else {
            e = err_new(ERR_INVALID, "invalid input: %.*s", SLICE_ARG(p->rest));
        }
    }
    if (e)
        return e;
    p->rest = slice_from(p->rest, t.text.len);
    p->next = t;
    return NULL;
}

static struct err *unexpected(const struct parser *p, const char *want)
{
    if (p->next.kind == T_END)
        return err_new(ERR_INVALID, "end of input: expected %s", want);
    return err_new(ERR_INVALID, "unexpected %.*s: expected %s", SLICE_ARG(p->next.text), want);
}

static struct err *take_text(struct parser *p, const char *what, struct slice *ret)
{
    struct token t = p->next;

    if (t.kind == T_UNQUOTED) {
        *ret = t.text;
    } else if (t.kind == T_QUOTED) {
        struct buf b = {0};
        bool ok = gostr_unquote(t.text, &b) && slice_is_utf8(buf_slice(&b));

        *ret = arena_dup(p->arena, buf_slice(&b));
        buf_done(&b);
        if (!ok)
            return err_new(ERR_INVALID, "%.*s: invalid input", SLICE_ARG(t.text));
    } else {
        return unexpected(p, what);
    }
    return advance(p);
}

static struct err *matcher(struct parser *p, ammatch_vec *ret)
{
    struct slice name, value;
    struct ammatch m;
    enum matcher_op op;
    struct err *e;

    if ((e = take_text(p, "label name", &name)))
        return e;
    if (p->next.kind != T_OP)
        return unexpected(p, "an operator such as '=', '!=', '=~' or '!~'");
    op = p->next.op;
    if ((e = advance(p)) || (e = take_text(p, "label value", &value)) ||
        (e = ammatch_init(p->arena, op, name, value, &m)))
        return e;
    vec_push(ret, m);
    return NULL;
}

static struct err *finish(struct parser *p)
{
    struct err *e;

    if (p->has_open) {
        if (p->next.kind != T_CLOSE)
            return unexpected(p, "close brace");
        if ((e = advance(p)))
            return e;
    } else if (p->next.kind == T_CLOSE) {
        return err_new(ERR_INVALID, "}: expected opening brace");
    }
    return p->next.kind == T_END ? NULL : unexpected(p, "end of input");
}

struct err *ammatch_utf8_list(struct arena *a, struct slice text, ammatch_vec *ret)
{
    struct parser p = {.arena = a, .rest = text};
    struct err *e;

    if (!slice_is_utf8(text))
        return err_new(ERR_INVALID, "not valid UTF-8");
    if ((e = advance(&p)))
        return e;
    if (p.next.kind == T_OPEN) {
        p.has_open = true;
        if ((e = advance(&p)))
            return e;
    }
    if ((p.has_open && p.next.kind == T_CLOSE) || p.next.kind == T_END || p.next.kind == T_CLOSE)
        return finish(&p);
    for (;;) {
        if ((e = matcher(&p, ret)))
            return e;
        if (p.next.kind == T_COMMA) {
            if ((e = advance(&p)))
                return e;
            if (p.next.kind != T_END && p.next.kind != T_CLOSE && p.next.kind != T_QUOTED &&
                p.next.kind != T_UNQUOTED)
                return unexpected(&p, "a matcher or close brace after comma");
            if (p.next.kind == T_QUOTED || p.next.kind == T_UNQUOTED)
                continue;
        } else if (p.next.kind != T_CLOSE && p.next.kind != T_END) {
            return unexpected(&p, "a comma or close brace");
        }
        return finish(&p);
    }
}
