#include <stdarg.h>

#include "common/base/gostr.h"
#include "common/base/promdur.h"
#include "common/lang/promql_internal.h"

/* A tree this tall is refused: whoever walks it recurses. */
#define MAX_HEIGHT 2000

static const struct {
    char class;
    const char *text;
} tokens[] = {
#define X(sym, class, text) {class, text},
    PROMQL_TOKENS(X)
#undef X
};

static struct promql_expr *parse_binary(struct promql_parser *p, int min_prec);

bool promql_parse_next(struct promql_parser *p)
{
    p->last_end = p->tok.end;
    if (p->err)
        return false;
    if (!promql_lex_next(&p->lex, &p->tok)) {
        p->err = p->lex.err;
        p->lex.err = NULL;
        return false;
    }
    return true;
}

void promql_parse_fail(struct promql_parser *p, size_t pos, const char *fmt, ...)
{
    va_list ap;

    if (p->err)
        return;
    va_start(ap, fmt);
    p->err = promql_lex_verror(p->lex.src, pos, ERR_INVALID, fmt, ap);
    va_end(ap);
}

struct slice promql_parse_text(const struct promql_parser *p, struct promql_token t)
{
    return slice_sub(p->lex.src, t.start, t.end - t.start);
}

static void describe_token(const struct promql_parser *p, struct buf *b)
{
    enum promql_tok type = p->tok.type;
    struct slice text = promql_parse_text(p, p->tok);

    switch (tokens[type].class) {
    case 'K':
        buf_printf(b, "<%.*s>", SLICE_ARG(text));
        break;
    case 'O':
        buf_printf(b, "<op:%.*s>", SLICE_ARG(text));
        break;
    case 'G':
        buf_printf(b, "<aggr:%.*s>", SLICE_ARG(text));
        break;
    case 'N':
        buf_str(b, tokens[type].text);
        if (type == TOK_EOF)
            break;
        buf_byte(b, ' ');
        /* fall through */
    default:
        gostr_quote(b, text.len > 64 ? slice_sub(text, 0, 64) : text);
    }
}

void promql_parse_unexpected(struct promql_parser *p, const char *context, const char *expected)
{
    struct buf b = {0};

    buf_str(&b, "unexpected ");
    describe_token(p, &b);
    if (*context)
        buf_printf(&b, " in %s", context);
    if (*expected)
        buf_printf(&b, ", expected %s", expected);
    promql_parse_fail(p, p->tok.start, "%s", buf_cstr(&b));
    buf_done(&b);
}

bool promql_parse_enter(struct promql_parser *p)
{
    if (p->err)
        return false;
    if (++p->depth <= PROMQL_MAX_DEPTH)
        return true;
    p->err = promql_lex_error(p->lex.src, p->tok.start, ERR_LIMIT,
                              "the query nests deeper than %d levels", PROMQL_MAX_DEPTH);
    return false;
}

bool promql_parse_unquote(struct promql_parser *p, struct promql_token t, struct slice *ret)
{
    struct buf b = {0};
    bool is_ok = gostr_unquote(promql_parse_text(p, t), &b);

    if (is_ok)
        *ret = arena_dup(p->arena, buf_slice(&b));
    else
        promql_parse_fail(p, t.start, "error unquoting string: invalid syntax");
    buf_done(&b);
    return is_ok;
}

struct promql_expr *promql_parse_new(struct promql_parser *p, enum promql_kind kind, size_t start)
{
    struct promql_expr *e = arena_new_of(p->arena, struct promql_expr);

    e->kind = kind;
    e->start = (uint32_t)start;
    e->end = p->last_end;
    e->height = 1;
    return e;
}

/* Notes that e stands above child. */
static bool above(struct promql_parser *p, struct promql_expr *e, const struct promql_expr *child)
{
    if (p->err || !child)
        return false;
    if (child->height >= e->height)
        e->height = child->height + 1;
    if (e->height <= MAX_HEIGHT)
        return true;
    p->err = promql_lex_error(p->lex.src, e->start, ERR_LIMIT,
                              "the query chains more than %d operations", MAX_HEIGHT);
    return false;
}

bool promql_parse_above(struct promql_parser *p, struct promql_expr *e,
                        const struct promql_expr *child)
{
    return above(p, e, child);
}

bool promql_parse_number(struct promql_parser *p, double *ret, bool *ret_is_duration)
{
    struct slice text = promql_parse_text(p, p->tok);
    size_t start = p->tok.start;
    int64_t ns;

    *ret_is_duration = p->tok.type == TOK_DURATION;
    if (*ret_is_duration) {
        struct err *e = promdur_parse(text, &ns);

        if (e) {
            promql_parse_fail(p, start, "%s", err_msg(e));
            err_free(e);
            return false;
        }
        *ret = promdur_seconds(ns);
    } else if (!gonum_number(text, ret)) {
        promql_parse_fail(p, start, "error parsing number: \"%.*s\"", (int)ORR_MIN(text.len, 64),
                          (const char *)text.ptr);
        return false;
    }
    return promql_parse_next(p);
}

static struct promql_expr *parse_number(struct promql_parser *p)
{
    size_t start = p->tok.start;
    bool is_duration;
    double v;
    struct promql_expr *e;

    if (!promql_parse_number(p, &v, &is_duration))
        return NULL;
    e = promql_parse_new(p, PROMQL_NUMBER, start);
    e->u.number.value = v;
    e->u.number.is_duration = is_duration;
    return e;
}

static struct promql_expr *parse_string(struct promql_parser *p)
{
    struct promql_token t = p->tok;
    struct promql_expr *e;
    struct slice text;

    if (!promql_parse_unquote(p, t, &text) || !promql_parse_next(p))
        return NULL;
    e = promql_parse_new(p, PROMQL_TEXT, t.start);
    e->u.text = text;
    return e;
}

static struct promql_expr *parse_paren(struct promql_parser *p)
{
    size_t start = p->tok.start;
    struct promql_expr *inner, *e;

    if (!promql_parse_next(p) || !(inner = parse_binary(p, 0)))
        return NULL;
    if (p->tok.type != TOK_RPAREN) {
        promql_parse_unexpected(p, "", "");
        return NULL;
    }
    if (!promql_parse_next(p))
        return NULL;
    e = promql_parse_new(p, PROMQL_PAREN, start);
    e->u.paren = inner;
    return above(p, e, inner) ? e : NULL;
}

/* The arguments of a call or aggregation, from "(" to ")". */
static bool parse_args(struct promql_parser *p, struct promql_expr ***ret, size_t *ret_n,
                       const char *context)
{
    struct promql_expr **args = NULL;
    size_t n = 0, cap = 0;

    if (!promql_parse_next(p))
        return false;
    while (p->tok.type != TOK_RPAREN) {
        struct promql_expr *arg = parse_binary(p, 0);

        if (!arg)
            return false;
        if (n == cap) {
            size_t more = cap ? cap * 2 : 4;

            args = arena_grow(p->arena, args, cap * sizeof(*args), more * sizeof(*args));
            cap = more;
        }
        args[n++] = arg;
        if (p->tok.type == TOK_COMMA) {
            size_t comma = p->tok.start;

            if (!promql_parse_next(p))
                return false;
            if (p->tok.type == TOK_RPAREN) {
                promql_parse_fail(p, comma, "trailing commas not allowed in function call args");
                return false;
            }
        } else if (p->tok.type != TOK_RPAREN) {
            promql_parse_unexpected(p, context, "");
            return false;
        }
    }
    *ret = args;
    *ret_n = n;
    return promql_parse_next(p);
}

static struct promql_expr *parse_call(struct promql_parser *p, struct promql_token name)
{
    struct slice text = promql_parse_text(p, name);
    const struct promql_func *f = promql_func_find(text);
    struct promql_call call = {.func = f};
    struct promql_expr *e;

    if (!f) {
        promql_parse_fail(p, name.start, "unknown function with name \"%.*s\"", SLICE_ARG(text));
        return NULL;
    }
    if (f->is_experimental && !p->opts.with_functions) {
        promql_parse_fail(p, name.start, "function \"%s\" is not enabled", f->name);
        return NULL;
    }
    if (!parse_args(p, &call.args, &call.n_args, ""))
        return NULL;
    e = promql_parse_new(p, PROMQL_CALL, name.start);
    e->u.call = call;
    for (size_t i = 0; i < call.n_args; i++)
        if (!above(p, e, call.args[i]))
            return NULL;
    return e;
}

/* by (a, b) and without (a, b), if there is one. */
static bool parse_grouping(struct promql_parser *p, struct promql_aggregate *agg)
{
    if (p->tok.type != TOK_BY && p->tok.type != TOK_WITHOUT)
        return true;
    agg->is_without = p->tok.type == TOK_WITHOUT;
    return promql_parse_next(p) && promql_parse_labels(p, &agg->grouping);
}

static struct promql_expr *parse_aggregate(struct promql_parser *p, struct promql_token op)
{
    struct promql_aggregate agg = {.op = op.agg};
    bool is_modifier_first = p->tok.type != TOK_LPAREN;
    size_t n, want = promql_agg_has_param(op.agg) ? 2 : 1;
    struct promql_expr **args, *e;

    if (!parse_grouping(p, &agg))
        return NULL;
    if (p->tok.type != TOK_LPAREN) {
        promql_parse_unexpected(p, "aggregation", "");
        return NULL;
    }
    if (!parse_args(p, &args, &n, "aggregation") ||
        (!is_modifier_first && !parse_grouping(p, &agg)))
        return NULL;
    if (n == 0)
        promql_parse_fail(p, op.start, "no arguments for aggregate expression provided");
    if (promql_agg_is_experimental(op.agg) && !p->opts.with_functions)
        promql_parse_fail(p, op.start,
                          "%s() is experimental and must be enabled with "
                          "--enable-feature=promql-experimental-functions",
                          promql_agg_name(op.agg));
    if (n != want)
        promql_parse_fail(p, op.start,
                          "wrong number of arguments for aggregate expression provided, expected "
                          "%zu, got %zu",
                          want, n);
    if (p->err)
        return NULL;
    e = promql_parse_new(p, PROMQL_AGGREGATE, op.start);
    agg.expr = args[want - 1];
    agg.param = want == 2 ? args[0] : NULL;
    e->u.aggregate = agg;
    return above(p, e, agg.expr) && (!agg.param || above(p, e, agg.param)) ? e : NULL;
}

/* A word is a function before "(", an aggregation before "(", by or without, else a metric. */
static struct promql_expr *parse_word(struct promql_parser *p)
{
    struct promql_token t = p->tok;

    if (!promql_parse_next(p))
        return NULL;
    if (t.type == TOK_AGG &&
        (p->tok.type == TOK_LPAREN || p->tok.type == TOK_BY || p->tok.type == TOK_WITHOUT))
        return parse_aggregate(p, t);
    if (p->tok.type == TOK_LPAREN && (t.type == TOK_IDENT || (t.type >= TOK_START)))
        return parse_call(p, t);
    return promql_selector_named(p, t);
}

static struct promql_expr *parse_primary(struct promql_parser *p)
{
    switch (p->tok.type) {
    case TOK_NUMBER:
    case TOK_DURATION:
        return parse_number(p);
    case TOK_STRING:
        return parse_string(p);
    case TOK_LPAREN:
        return parse_paren(p);
    case TOK_LBRACE:
        return promql_selector_named(p, (struct promql_token){.start = p->tok.start});
    default:
        if (promql_selector_is_name(p->tok.type, p->tok.op))
            return parse_word(p);
        promql_parse_unexpected(p, "", "");
        return NULL;
    }
}

/* Higher binds tighter; 0 is no operator of this kind. */
static int precedence(const struct promql_token *t)
{
    if (t->type != TOK_OP)
        return 0;
    switch (t->op) {
    case PROMQL_OR:
        return 1;
    case PROMQL_AND:
    case PROMQL_UNLESS:
        return 2;
    case PROMQL_ADD:
    case PROMQL_SUB:
        return 4;
    case PROMQL_MUL:
    case PROMQL_DIV:
    case PROMQL_MOD:
    case PROMQL_ATAN2:
        return 5;
    case PROMQL_POW:
        return 6;
    default:
        return 3;
    }
}

static struct promql_expr *parse_unary(struct promql_parser *p)
{
    bool is_sign = p->tok.type == TOK_OP && (p->tok.op == PROMQL_ADD || p->tok.op == PROMQL_SUB);
    bool is_minus = is_sign && p->tok.op == PROMQL_SUB;
    size_t start = p->tok.start;
    struct promql_expr *operand, *e;

    if (!is_sign) {
        e = parse_primary(p);
        return e ? promql_selector_suffixes(p, e) : NULL;
    }
    /* A sign binds as multiplication does: -a ^ b is -(a ^ b), -a * b is (-a) * b. */
    if (!promql_parse_next(p) || !(operand = parse_binary(p, 6)))
        return NULL;
    if (operand->kind == PROMQL_NUMBER) {
        if (is_minus)
            operand->u.number.value = -operand->u.number.value;
        operand->start = (uint32_t)start;
        return operand;
    }
    e = promql_parse_new(p, PROMQL_UNARY, start);
    e->u.unary.is_minus = is_minus;
    e->u.unary.expr = operand;
    return above(p, e, operand) ? e : NULL;
}

static bool take_if(struct promql_parser *p, enum promql_tok type)
{
    return p->tok.type == type && promql_parse_next(p);
}

/* (number), with a sign or not. */
static bool parse_fill(struct promql_parser *p, double *ret)
{
    bool is_minus = false, is_duration;

    if (!promql_parse_next(p))
        return false;
    if (take_if(p, TOK_LPAREN)) {
        if (p->tok.type == TOK_OP && (p->tok.op == PROMQL_ADD || p->tok.op == PROMQL_SUB)) {
            is_minus = p->tok.op == PROMQL_SUB;
            if (!promql_parse_next(p))
                return false;
        }
        if (p->tok.type == TOK_NUMBER || p->tok.type == TOK_DURATION) {
            if (!promql_parse_number(p, ret, &is_duration))
                return false;
            *ret = is_minus ? -*ret : *ret;
            if (take_if(p, TOK_RPAREN))
                return true;
        }
    }
    if (!p->err)
        promql_parse_unexpected(p, "fill value", "number");
    return false;
}

/* fill(x), fill_left(x), fill_right(y), and the two last in either order. */
static bool parse_fills(struct promql_parser *p, struct promql_matching *m)
{
    if (p->tok.type == TOK_FILL) {
        if (!parse_fill(p, &m->fill_left))
            return false;
        m->fill_right = m->fill_left;
        m->has_fill_left = m->has_fill_right = true;
        return true;
    }
    while ((p->tok.type == TOK_FILL_LEFT && !m->has_fill_left) ||
           (p->tok.type == TOK_FILL_RIGHT && !m->has_fill_right)) {
        bool is_left = p->tok.type == TOK_FILL_LEFT;

        if (!parse_fill(p, is_left ? &m->fill_left : &m->fill_right))
            return false;
        *(is_left ? &m->has_fill_left : &m->has_fill_right) = true;
    }
    return true;
}

/* [bool] [on|ignoring (…) [group_left|group_right [(…)]]] [fill…] */
static bool parse_modifiers(struct promql_parser *p, struct promql_binary *b)
{
    struct promql_matching *m = &b->matching;

    if (p->tok.type == TOK_BOOL) {
        b->is_bool = true;
        if (!promql_parse_next(p))
            return false;
    }
    if (p->tok.type == TOK_ON || p->tok.type == TOK_IGNORING) {
        m->is_on = p->tok.type == TOK_ON;
        if (!promql_parse_next(p) || !promql_parse_labels(p, &m->labels))
            return false;
        if (p->tok.type == TOK_GROUP_LEFT || p->tok.type == TOK_GROUP_RIGHT) {
            m->has_group = true;
            m->card = p->tok.type == TOK_GROUP_LEFT ? PROMQL_MANY_TO_ONE : PROMQL_ONE_TO_MANY;
            if (!promql_parse_next(p) ||
                (p->tok.type == TOK_LPAREN && !promql_parse_labels(p, &m->include)))
                return false;
        }
    }
    return parse_fills(p, m);
}

/* The operator at the front and its right side. */
static struct promql_expr *parse_operation(struct promql_parser *p, struct promql_expr *lhs,
                                           int prec)
{
    struct promql_binary b = {.op = p->tok.op, .lhs = lhs};
    struct promql_expr *e;

    if (!promql_parse_next(p) || !parse_modifiers(p, &b) ||
        !(b.rhs = parse_binary(p, prec == 6 ? 6 : prec + 1)))
        return NULL;
    if (!p->opts.with_fill && (b.matching.has_fill_left || b.matching.has_fill_right)) {
        promql_parse_fail(p, lhs->start, "binop fill modifiers are experimental and not enabled");
        return NULL;
    }
    e = promql_parse_new(p, PROMQL_BINARY, lhs->start);
    e->u.binary = b;
    return above(p, e, lhs) && above(p, e, b.rhs) ? e : NULL;
}

static struct promql_expr *parse_binary(struct promql_parser *p, int min_prec)
{
    struct promql_expr *e;
    int prec;

    if (!promql_parse_enter(p))
        return NULL;
    e = parse_unary(p);
    while (e && (prec = precedence(&p->tok)) > 0 && prec >= min_prec)
        e = parse_operation(p, e, prec);
    p->depth--;
    return e;
}

static struct err *start_parser(struct promql_parser *p, struct arena *a, struct slice text,
                                const struct promql_options *opts)
{
    *p = (struct promql_parser){.arena = a};
    if (opts)
        p->opts = *opts;
    if (text.len > PROMQL_MAX_BYTES)
        return err_new(ERR_LIMIT, "the query is %zu bytes long, the limit is %u", text.len,
                       PROMQL_MAX_BYTES);
    p->lex.src = arena_dup(a, text);
    (void)promql_parse_next(p);
    return NULL;
}

static void free_selectors(struct promql_expr *s)
{
    for (; s; s = s->u.selector.next)
        matchers_done(s->u.selector.matchers);
}

static struct err *finish_parser(struct promql_parser *p)
{
    struct err *e = p->err;

    if (!e && arena_over(p->arena))
        e = err_new(ERR_LIMIT, "parsing the query takes more than its %zu bytes of memory",
                    arena_limit(p->arena));
    if (e)
        free_selectors(p->selectors);
    return e;
}

struct err *promql_parse(struct arena *a, struct slice query, const struct promql_options *opts,
                         struct promql *ret)
{
    struct promql_parser p;
    struct promql_expr *root = NULL;
    struct err *e;

    if ((e = start_parser(&p, a, query, opts)))
        return e;
    if (!p.err && p.tok.type == TOK_EOF)
        promql_parse_fail(&p, 0, "no expression found in input");
    if (!p.err)
        root = parse_binary(&p, 0);
    if (!p.err && p.tok.type != TOK_EOF)
        promql_parse_unexpected(&p, "", "");
    if (!p.err)
        (void)promql_check(&p, root);
    if ((e = finish_parser(&p)))
        return e;
    *ret = (struct promql){root, p.selectors};
    return NULL;
}

void promql_done(struct promql *q)
{
    free_selectors(q->selectors);
    *q = (struct promql){0};
}

struct err *promql_parse_selector(struct arena *a, struct slice text, struct matchers *ret)
{
    struct promql_parser p;
    struct promql_expr *s = NULL;
    struct err *e;

    if ((e = start_parser(&p, a, text, NULL)))
        return e;
    if (!p.err)
        s = promql_selector_parse(&p);
    if (!p.err && p.tok.type != TOK_EOF)
        promql_parse_unexpected(&p, "", "");
    if ((e = finish_parser(&p)))
        return e;
    *ret = s->u.selector.matchers;
    return NULL;
}

struct err *promql_parse_metric(struct arena *a, struct slice text, struct labels *ret)
{
    struct promql_parser p;
    struct labels ls = {0};
    struct err *e;

    if ((e = start_parser(&p, a, text, NULL)))
        return e;
    if (!p.err && promql_selector_labels(&p, &ls) && p.tok.type != TOK_EOF)
        promql_parse_unexpected(&p, "", "");
    if ((e = finish_parser(&p)))
        return e;
    *ret = ls;
    return NULL;
}
