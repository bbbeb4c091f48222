#include <stdarg.h>

#include "common/base/gostr.h"
#include "common/base/num.h"
#include "common/lang/logql_internal.h"
#include "common/lang/promql_internal.h"

static const char *const token_texts[] = {
#define X(sym, text) text,
    LOGQL_TOKENS(X)
#undef X
};

static struct logql_expr *parse_expr(struct logql_parser *p, int min_prec);

bool logql_parse_next(struct logql_parser *p)
{
    p->last_end = p->tok.end;
    if (p->err)
        return false;
    if (!logql_lex_next(&p->lex, &p->tok)) {
        p->err = p->lex.err;
        p->lex.err = NULL;
        return false;
    }
    return true;
}

bool logql_parse_take(struct logql_parser *p, enum logql_tok type)
{
    return !p->err && p->tok.type == type && logql_parse_next(p);
}

ORR_PRINTF(4, 0)
static void fail(struct logql_parser *p, size_t pos, enum err_code code, const char *fmt,
                 va_list ap)
{
    if (!p->err)
        p->err = promql_lex_verror(p->lex.src, pos, code, fmt, ap);
}

void logql_parse_fail(struct logql_parser *p, size_t pos, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fail(p, pos, ERR_INVALID, fmt, ap);
    va_end(ap);
}

void logql_parse_limit(struct logql_parser *p, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fail(p, p->tok.start, ERR_LIMIT, fmt, ap);
    va_end(ap);
}

struct slice logql_parse_text(const struct logql_parser *p, struct logql_token t)
{
    return slice_sub(p->lex.src, t.start, t.end - t.start);
}

void logql_parse_unexpected(struct logql_parser *p, const char *expected)
{
    struct slice text = logql_parse_text(p, p->tok);
    struct buf b = {0};

    if (p->tok.type == LOGQL_TOK_EOF)
        buf_str(&b, token_texts[LOGQL_TOK_EOF]);
    else
        gostr_quote(&b, text.len > 64 ? slice_sub(text, 0, 64) : text);
    if (*expected)
        buf_printf(&b, ", expected %s", expected);
    logql_parse_fail(p, p->tok.start, "unexpected %s", buf_cstr(&b));
    buf_done(&b);
}

bool logql_parse_expect(struct logql_parser *p, enum logql_tok type)
{
    if (p->err)
        return false;
    if (p->tok.type == type)
        return logql_parse_next(p);
    logql_parse_unexpected(p, token_texts[type]);
    return false;
}

bool logql_parse_enter(struct logql_parser *p)
{
    if (p->err)
        return false;
    if (++p->depth <= LOGQL_MAX_DEPTH)
        return true;
    logql_parse_limit(p, "the query nests deeper than %d levels", LOGQL_MAX_DEPTH);
    return false;
}

bool logql_parse_ident(struct logql_parser *p, struct slice *ret)
{
    *ret = logql_parse_text(p, p->tok);
    return logql_parse_expect(p, LOGQL_TOK_IDENT);
}

bool logql_parse_string(struct logql_parser *p, struct slice *ret)
{
    struct logql_token t = p->tok;
    struct buf b = {0};
    bool is_ok;

    if (!logql_parse_expect(p, LOGQL_TOK_STRING))
        return false;
    is_ok = gostr_unquote(logql_parse_text(p, t), &b);
    if (is_ok)
        *ret = arena_dup(p->arena, buf_slice(&b));
    else
        logql_parse_fail(p, t.start, "a string with an escape that is none");
    buf_done(&b);
    return is_ok;
}

bool logql_parse_number(struct logql_parser *p, double *ret)
{
    struct logql_token t = p->tok;

    if (!logql_parse_expect(p, LOGQL_TOK_NUMBER))
        return false;
    if (!num_parse(logql_parse_text(p, t), ret))
        logql_parse_fail(p, t.start, "a number that is none, or out of range");
    return !p->err;
}

void *logql_parse_grow(struct logql_parser *p, void *ptr, size_t n, size_t each, size_t max,
                       const char *what)
{
    if (p->err)
        return NULL;
    if (n >= max) {
        logql_parse_limit(p, "more than %zu %s", max, what);
        return NULL;
    }
    return arena_more_bytes(p->arena, ptr, n, each);
}

bool logql_parse_names(struct logql_parser *p, struct promql_names *ret)
{
    struct slice *names = NULL;
    size_t n = 0;

    if (!logql_parse_expect(p, LOGQL_TOK_LPAREN))
        return false;
    while (n > 0 || p->tok.type != LOGQL_TOK_RPAREN) {
        struct slice name;

        if (!logql_parse_ident(p, &name) ||
            !(names = logql_parse_grow(p, names, n, sizeof(*names), LOGQL_MAX_LIST, "labels")))
            return false;
        names[n++] = name;
        if (!logql_parse_take(p, LOGQL_TOK_COMMA))
            break;
    }
    *ret = (struct promql_names){names, n};
    return logql_parse_expect(p, LOGQL_TOK_RPAREN);
}

static struct logql_expr *new_expr(struct logql_parser *p, enum logql_kind kind, size_t start)
{
    struct logql_expr *e = arena_new_of(p->arena, struct logql_expr);

    e->kind = kind;
    e->start = (uint32_t)start;
    e->height = 1;
    return e;
}

/* Notes that e stands above child. */
static bool above(struct logql_parser *p, struct logql_expr *e, const struct logql_expr *child)
{
    if (p->err || !child)
        return false;
    if (child->height >= e->height)
        e->height = child->height + 1;
    if (e->height > LOGQL_MAX_HEIGHT)
        logql_parse_limit(p, "the query chains more than %d operations", LOGQL_MAX_HEIGHT);
    return !p->err;
}

/* by (a, b) or without (a, b), if there is one. */
static bool parse_grouping(struct logql_parser *p, struct logql_grouping *g)
{
    if (p->err || (p->tok.type != LOGQL_TOK_BY && p->tok.type != LOGQL_TOK_WITHOUT))
        return !p->err;
    g->is_given = true;
    g->is_without = p->tok.type == LOGQL_TOK_WITHOUT;
    return logql_parse_next(p) && logql_parse_names(p, &g->labels);
}

/* label or convert(label), then | filter … */
static bool parse_unwrap(struct logql_parser *p, struct logql_range *r)
{
    const struct logql_filter **filters = NULL;
    size_t n = 0;

    if (!logql_parse_expect(p, LOGQL_TOK_UNWRAP))
        return false;
    r->unwrap = LOGQL_UNWRAP_NUMBER;
    if (p->tok.type == LOGQL_TOK_CONVERT) {
        r->unwrap = p->tok.v.convert;
        if (!logql_parse_next(p) || !logql_parse_expect(p, LOGQL_TOK_LPAREN) ||
            !logql_parse_ident(p, &r->unwrap_label) || !logql_parse_expect(p, LOGQL_TOK_RPAREN))
            return false;
    } else if (!logql_parse_ident(p, &r->unwrap_label)) {
        return false;
    }
    while (logql_parse_take(p, LOGQL_TOK_PIPE)) {
        const struct logql_filter *f = logql_stage_filter(p);

        if (!f || !(filters = logql_parse_grow(p, filters, n, sizeof(*filters), LOGQL_MAX_STAGES,
                                               "filters")))
            return false;
        filters[n++] = f;
    }
    r->unwrap_filters = filters;
    r->n_unwrap_filters = n;
    return !p->err;
}

/* [5m], [5m] offset 1h */
static bool parse_window(struct logql_parser *p, struct logql_range *r)
{
    r->range_ns = p->tok.v.ns;
    if (!logql_parse_expect(p, LOGQL_TOK_RANGE))
        return false;
    if (!logql_parse_take(p, LOGQL_TOK_OFFSET))
        return !p->err;
    r->offset_ns = p->tok.v.ns;
    return logql_parse_expect(p, LOGQL_TOK_DURATION);
}

/*
 * Lines over time. The window may stand behind the selector or behind all, and one pair of
 * parentheses may stand around what is in front of it:
 *     {…} | x | unwrap y [5m]    {…} [5m] | x | unwrap y    ({…} | x | unwrap y) [5m]
 */
static bool parse_lines(struct logql_parser *p, struct logql_range *r, bool needs_window)
{
    bool has_window, unwraps;

    if (!logql_stage_selector(p, &r->logs.matchers))
        return false;
    has_window = p->tok.type == LOGQL_TOK_RANGE;
    if ((has_window && !parse_window(p, r)) || !logql_stage_pipeline(p, &r->logs, &unwraps) ||
        (unwraps && !parse_unwrap(p, r)))
        return false;
    if (has_window || (!needs_window && p->tok.type != LOGQL_TOK_RANGE)) {
        if (!has_window)
            r->range_ns = -1;
        return true;
    }
    return parse_window(p, r);
}

static bool parse_log_range(struct logql_parser *p, struct logql_range *r)
{
    if (p->tok.type != LOGQL_TOK_LPAREN)
        return parse_lines(p, r, true);
    if (!logql_parse_enter(p) || !logql_parse_next(p))
        return false;
    if (p->tok.type == LOGQL_TOK_LPAREN) {
        if (!parse_log_range(p, r))
            return false;
    } else if (!parse_lines(p, r, false)) {
        return false;
    }
    p->depth--;
    if (!logql_parse_expect(p, LOGQL_TOK_RPAREN))
        return false;
    return r->range_ns >= 0 || parse_window(p, r);
}

static struct logql_expr *parse_range(struct logql_parser *p)
{
    struct logql_expr *e = new_expr(p, LOGQL_RANGE, p->tok.start);
    struct logql_range *r = &e->u.range;

    r->op = p->tok.v.range_op;
    if (!logql_parse_next(p) || !logql_parse_expect(p, LOGQL_TOK_LPAREN))
        return NULL;
    if (p->tok.type == LOGQL_TOK_NUMBER) {
        r->has_param = true;
        if (!logql_parse_number(p, &r->param) || !logql_parse_expect(p, LOGQL_TOK_COMMA))
            return NULL;
    }
    return parse_log_range(p, r) && logql_parse_expect(p, LOGQL_TOK_RPAREN) &&
                   parse_grouping(p, &r->grouping) && logql_check_range(p, r, e->start)
               ? e
               : NULL;
}

/* An operand that yields samples. */
static struct logql_expr *parse_samples(struct logql_parser *p)
{
    struct logql_expr *e = parse_expr(p, 0);

    if (!e || e->kind != LOGQL_LOGS)
        return e;
    logql_parse_fail(p, e->start, "lines where samples are expected");
    return NULL;
}

static struct logql_expr *parse_vector(struct logql_parser *p)
{
    struct logql_expr *e = new_expr(p, LOGQL_VECTOR, p->tok.start);
    struct logql_vector *v = &e->u.vector;
    double count = 0;

    v->op = p->tok.v.vector_op;
    if (!logql_parse_next(p) || !parse_grouping(p, &v->grouping) ||
        !logql_parse_expect(p, LOGQL_TOK_LPAREN))
        return NULL;
    if (p->tok.type == LOGQL_TOK_NUMBER) {
        struct logql_parser ahead = *p;

        /* sum(1 + x) begins with a number, too. */
        v->has_count = logql_parse_next(&ahead) && ahead.tok.type == LOGQL_TOK_COMMA;
        err_free(ahead.err);
        if (v->has_count &&
            (!logql_parse_number(p, &count) || !logql_parse_expect(p, LOGQL_TOK_COMMA)))
            return NULL;
    }
    if (!(v->expr = parse_samples(p)) || !logql_parse_expect(p, LOGQL_TOK_RPAREN) ||
        (!v->grouping.is_given && !parse_grouping(p, &v->grouping)) ||
        !logql_check_vector(p, v, count, e->start))
        return NULL;
    if (!v->grouping.is_without && v->grouping.labels.n == 0)
        v->grouping.is_given = false; /* by () is what no grouping is */
    v->count = (uint32_t)count;
    return above(p, e, v->expr) ? e : NULL;
}

static struct logql_expr *parse_label_replace(struct logql_parser *p)
{
    struct logql_expr *e = new_expr(p, LOGQL_LABEL_REPLACE, p->tok.start);
    struct logql_label_replace *l = &e->u.label_replace;
    struct slice *const args[] = {&l->dst, &l->replacement, &l->src, &l->regex};
    struct buf anchored = {0};
    struct err *err;
    struct re *re;

    if (!logql_parse_next(p) || !logql_parse_expect(p, LOGQL_TOK_LPAREN) ||
        !(l->expr = parse_samples(p)))
        return NULL;
    for (size_t i = 0; i < ORR_COUNT(args); i++)
        if (!logql_parse_expect(p, LOGQL_TOK_COMMA) || !logql_parse_string(p, args[i]))
            return NULL;
    if (!logql_parse_expect(p, LOGQL_TOK_RPAREN))
        return NULL;
    buf_str(&anchored, "^(?:");
    buf_slice_append(&anchored, l->regex);
    buf_str(&anchored, ")$");
    err = re_compile(buf_slice(&anchored), 0, &re);
    buf_done(&anchored);
    if (err) {
        logql_parse_fail(p, e->start, "label_replace: %s", err_msg(err));
        err_free(err);
        return NULL;
    }
    re_free(re);
    return above(p, e, l->expr) ? e : NULL;
}

/* 1, +1, -1 */
static struct logql_expr *parse_literal(struct logql_parser *p)
{
    struct logql_expr *e = new_expr(p, LOGQL_NUMBER, p->tok.start);
    bool is_minus = p->tok.type == LOGQL_TOK_OP && p->tok.v.op == PROMQL_SUB;

    if ((p->tok.type == LOGQL_TOK_OP && !logql_parse_next(p)) ||
        !logql_parse_number(p, &e->u.number))
        return NULL;
    if (is_minus)
        e->u.number = -e->u.number;
    return e;
}

static struct logql_expr *parse_constant(struct logql_parser *p)
{
    struct logql_expr *e = new_expr(p, LOGQL_CONSTANT, p->tok.start);

    return logql_parse_next(p) && logql_parse_expect(p, LOGQL_TOK_LPAREN) &&
                   logql_parse_number(p, &e->u.number) && logql_parse_expect(p, LOGQL_TOK_RPAREN)
               ? e
               : NULL;
}

static struct logql_expr *parse_logs(struct logql_parser *p)
{
    struct logql_expr *e = new_expr(p, LOGQL_LOGS, p->tok.start);
    struct logql_logs *logs = &e->u.logs;
    bool unwraps;

    if (!logql_stage_selector(p, &logs->matchers) || !logql_stage_pipeline(p, logs, &unwraps))
        return NULL;
    if (unwraps) {
        logql_parse_unexpected(p, "a stage: unwrap is for aggregations over time");
        return NULL;
    }
    return logql_check_logs(p, logs, e->start) ? e : NULL;
}

/* variants(…, …) of ({…} | … [5m]) */
static struct logql_expr *parse_variants(struct logql_parser *p)
{
    struct logql_expr *e = new_expr(p, LOGQL_VARIANTS, p->tok.start), **exprs = NULL;
    struct logql_variants *v = &e->u.variants;
    struct logql_range of = {.range_ns = -1};

    if (!logql_parse_next(p) || !logql_parse_expect(p, LOGQL_TOK_LPAREN))
        return NULL;
    do {
        struct logql_expr *one = parse_samples(p);

        if (!one || !above(p, e, one) ||
            !(exprs = logql_parse_grow(p, exprs, v->n, sizeof(struct logql_expr *),
                                       LOGQL_MAX_VARIANTS, "variants")))
            return NULL;
        if (one->kind == LOGQL_NUMBER) {
            logql_parse_fail(p, one->start, "a number where a variant is expected");
            return NULL;
        }
        exprs[v->n++] = one;
    } while (logql_parse_take(p, LOGQL_TOK_COMMA));
    if (!logql_parse_expect(p, LOGQL_TOK_RPAREN) || !logql_parse_expect(p, LOGQL_TOK_OF) ||
        !logql_parse_expect(p, LOGQL_TOK_LPAREN) || !parse_log_range(p, &of) ||
        !logql_parse_expect(p, LOGQL_TOK_RPAREN) || !logql_check_logs(p, &of.logs, e->start))
        return NULL;
    if (of.offset_ns || of.unwrap != LOGQL_UNWRAP_NONE) {
        logql_parse_fail(p, e->start, "%s is for the variants, and not behind of",
                         of.offset_ns ? "offset" : "unwrap");
        return NULL;
    }
    v->exprs = exprs;
    v->common = of.logs;
    v->range_ns = of.range_ns;
    return e;
}

static struct logql_expr *parse_primary(struct logql_parser *p)
{
    struct logql_expr *e;

    switch (p->tok.type) {
    case LOGQL_TOK_LBRACE:
        return parse_logs(p);
    case LOGQL_TOK_RANGE_OP:
        return parse_range(p);
    case LOGQL_TOK_VECTOR_OP:
        return parse_vector(p);
    case LOGQL_TOK_LABEL_REPLACE:
        return parse_label_replace(p);
    case LOGQL_TOK_CONSTANT:
        return parse_constant(p);
    case LOGQL_TOK_LPAREN:
        return logql_parse_next(p) && (e = parse_expr(p, 0)) &&
                       logql_parse_expect(p, LOGQL_TOK_RPAREN)
                   ? e
                   : NULL;
    default:
        if (p->tok.type == LOGQL_TOK_NUMBER ||
            (p->tok.type == LOGQL_TOK_OP &&
             (p->tok.v.op == PROMQL_ADD || p->tok.v.op == PROMQL_SUB)))
            return parse_literal(p);
        logql_parse_unexpected(p, "");
        return NULL;
    }
}

/* Higher binds tighter; 0 is no operator. */
static int precedence(const struct logql_token *t)
{
    if (t->type != LOGQL_TOK_OP)
        return 0;
    switch (t->v.op) {
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
        return 5;
    case PROMQL_POW:
        return 6;
    default:
        return 3;
    }
}

/* [bool] [on|ignoring (…) [group_left|group_right [(…)]]] */
static bool parse_modifiers(struct logql_parser *p, struct logql_binary *b)
{
    struct promql_matching *m = &b->matching;

    if (p->tok.type == LOGQL_TOK_BOOL) {
        b->is_bool = true;
        if (!logql_parse_next(p))
            return false;
    }
    if (p->tok.type != LOGQL_TOK_ON && p->tok.type != LOGQL_TOK_IGNORING)
        return !p->err;
    m->is_on = p->tok.type == LOGQL_TOK_ON;
    if (!logql_parse_next(p) || !logql_parse_names(p, &m->labels))
        return false;
    if (p->tok.type != LOGQL_TOK_GROUP_LEFT && p->tok.type != LOGQL_TOK_GROUP_RIGHT)
        return true;
    m->has_group = true;
    m->card = p->tok.type == LOGQL_TOK_GROUP_LEFT ? PROMQL_MANY_TO_ONE : PROMQL_ONE_TO_MANY;
    /* A parenthesis behind group_left is its list, unless what stands in it is no list: then it is
     * the right side. Loki takes it for the list. */
    return logql_parse_next(p) &&
           (p->tok.type != LOGQL_TOK_LPAREN || logql_parse_names(p, &m->include));
}

/* The operator at the front and its right side. */
static struct logql_expr *parse_operation(struct logql_parser *p, struct logql_expr *lhs, int prec)
{
    struct logql_binary b = {.op = p->tok.v.op, .lhs = lhs};
    struct logql_expr *e;

    if (!logql_parse_next(p) || !parse_modifiers(p, &b) ||
        !(b.rhs = parse_expr(p, prec == 6 ? 6 : prec + 1)) ||
        !logql_check_binary(p, &b, lhs->start))
        return NULL;
    if (lhs->kind == LOGQL_NUMBER && b.rhs->kind == LOGQL_NUMBER) {
        e = new_expr(p, LOGQL_NUMBER, lhs->start);
        e->u.number = logql_check_fold(b.op, lhs->u.number, b.rhs->u.number);
        return e;
    }
    e = new_expr(p, LOGQL_BINARY, lhs->start);
    e->u.binary = b;
    return above(p, e, lhs) && above(p, e, b.rhs) ? e : NULL;
}

static struct logql_expr *parse_expr(struct logql_parser *p, int min_prec)
{
    struct logql_expr *e;
    int prec;

    if (!logql_parse_enter(p))
        return NULL;
    e = parse_primary(p);
    while (e && (prec = precedence(&p->tok)) > 0 && prec >= min_prec)
        e = parse_operation(p, e, prec);
    p->depth--;
    return e;
}

static void free_owned(struct logql_owned *o)
{
    for (; o; o = o->next)
        matcher_done(&o->matcher);
}

static struct err *start_parser(struct logql_parser *p, struct arena *a, struct slice text)
{
    *p = (struct logql_parser){.arena = a};
    if (text.len > LOGQL_MAX_BYTES)
        return err_new(ERR_LIMIT, "the query is %zu bytes long, the limit is %u", text.len,
                       LOGQL_MAX_BYTES);
    p->lex.src = arena_dup(a, text);
    (void)logql_parse_next(p);
    return NULL;
}

static struct err *finish_parser(struct logql_parser *p)
{
    struct err *e;

    if (!p->err && p->tok.type != LOGQL_TOK_EOF)
        logql_parse_unexpected(p, "");
    e = p->err;
    if (!e && arena_over(p->arena))
        e = err_new(ERR_LIMIT, "parsing the query takes more than its %zu bytes of memory",
                    arena_limit(p->arena));
    if (e)
        free_owned(p->owned);
    return e;
}

struct err *logql_parse(struct arena *a, struct slice query, struct logql *ret)
{
    struct logql_parser p;
    struct logql_expr *root = NULL;
    struct err *e = start_parser(&p, a, query);

    if (e)
        return e;
    if (!p.err)
        root = p.tok.type == LOGQL_TOK_VARIANTS ? parse_variants(&p) : parse_expr(&p, 0);
    if ((e = finish_parser(&p)))
        return e;
    *ret = (struct logql){root, p.owned};
    return NULL;
}

void logql_done(struct logql *q)
{
    free_owned(q->owned);
    *q = (struct logql){0};
}

struct err *logql_parse_selector(struct arena *a, struct slice text, struct matchers *ret)
{
    struct logql_parser p;
    struct matchers ms = {0};
    struct err *e = start_parser(&p, a, text);

    if (e)
        return e;
    if (!p.err)
        (void)logql_stage_selector(&p, &ms);
    if ((e = finish_parser(&p)))
        return e;
    *ret = ms;
    return NULL;
}
