/* Duration expressions: 5m, step() * 2, max_of(1m, range() / 10). */
#include <math.h>

#include "common/lang/promql_internal.h"

#define MAX_SECONDS (0x1p63 / 1e9) /* what a time.Duration holds */
#define EXPECTED "number, duration, step(), or range()"
#define MAX_OPERATIONS 2000 /* in one expression: it is walked by recursion */

static struct promql_duration *parse_expr(struct promql_parser *p, const char *context,
                                          int min_prec);

int64_t promql_duration_ms(double seconds)
{
    double ns = round(seconds * 1e9);

    if (ns >= 0x1p63)
        return INT64_MAX / 1000000;
    return ns <= -0x1p63 ? INT64_MIN / 1000000 : (int64_t)ns / 1000000;
}

static struct promql_duration *new_node(struct promql_parser *p, enum promql_dur_op op,
                                        size_t start, const struct promql_duration *lhs,
                                        const struct promql_duration *rhs)
{
    struct promql_duration *d = arena_new_of(p->arena, struct promql_duration);

    *d = (struct promql_duration){
        .op = op, .lhs = lhs, .rhs = rhs, .start = (uint32_t)start, .end = p->last_end};
    if (++p->n_durations > MAX_OPERATIONS && !p->err)
        p->err = promql_lex_error(p->lex.src, start, ERR_LIMIT,
                                  "a duration expression has more than %d terms", MAX_OPERATIONS);
    return p->err ? NULL : d;
}

static bool is_enabled(struct promql_parser *p, size_t pos)
{
    if (!p->opts.with_durations)
        promql_parse_fail(p, pos, "experimental duration expression is not enabled");
    return p->opts.with_durations;
}

static bool check_literal(struct promql_parser *p, const struct promql_duration *d, size_t pos)
{
    if (d->value <= MAX_SECONDS && d->value >= -MAX_SECONDS)
        return true;
    /* NaN too: it is no length of time. */
    promql_parse_fail(p, pos, "duration out of range");
    return false;
}

static struct promql_duration *parse_literal(struct promql_parser *p)
{
    size_t start = p->tok.start;
    struct promql_duration *d;
    bool is_duration;
    double v;

    if (!promql_parse_number(p, &v, &is_duration) ||
        !(d = new_node(p, PROMQL_DUR_NUMBER, start, NULL, NULL)))
        return NULL;
    d->value = v;
    d->is_duration = is_duration;
    return check_literal(p, d, start) ? d : NULL;
}

static bool expect(struct promql_parser *p, enum promql_tok type, const char *context)
{
    if (p->tok.type == type)
        return promql_parse_next(p);
    promql_parse_unexpected(p, context, EXPECTED);
    return false;
}

/* step(), range(), min_of(a, b), max_of(a, b) */
static struct promql_duration *parse_function(struct promql_parser *p, const char *context)
{
    struct promql_token t = p->tok;
    const struct promql_duration *lhs, *rhs;
    enum promql_dur_op op = t.type == TOK_STEP     ? PROMQL_DUR_STEP
                            : t.type == TOK_RANGE  ? PROMQL_DUR_RANGE
                            : t.type == TOK_MIN_OF ? PROMQL_DUR_MIN_OF
                                                   : PROMQL_DUR_MAX_OF;

    if (!is_enabled(p, t.start) || !promql_parse_next(p) || !expect(p, TOK_LPAREN, context))
        return NULL;
    if (op == PROMQL_DUR_STEP || op == PROMQL_DUR_RANGE)
        return expect(p, TOK_RPAREN, context) ? new_node(p, op, t.start, NULL, NULL) : NULL;
    if (!(lhs = parse_expr(p, context, 0)) || !expect(p, TOK_COMMA, context) ||
        !(rhs = parse_expr(p, context, 0)) || !expect(p, TOK_RPAREN, context))
        return NULL;
    return new_node(p, op, t.start, lhs, rhs);
}

/* Parentheses stay visible: a literal in them becomes an expression. */
static struct promql_duration *wrap(struct promql_parser *p, struct promql_duration *d,
                                    size_t start)
{
    if (d->op == PROMQL_DUR_NUMBER && !(d = new_node(p, PROMQL_DUR_POS, start, d, NULL)))
        return NULL;
    d->is_wrapped = true;
    return d;
}

static struct promql_duration *parse_paren(struct promql_parser *p, const char *context)
{
    size_t start = p->tok.start;
    struct promql_duration *d;

    if (!promql_parse_next(p) || !(d = parse_expr(p, context, 0)) ||
        !expect(p, TOK_RPAREN, context) || !is_enabled(p, d->start))
        return NULL;
    return wrap(p, d, start);
}

static struct promql_duration *signed_node(struct promql_parser *p, size_t start, bool is_minus,
                                           struct promql_duration *d)
{
    if (d->op == PROMQL_DUR_NUMBER) {
        d->value = is_minus ? -d->value : d->value;
        d->start = (uint32_t)start;
        return check_literal(p, d, start) ? d : NULL;
    }
    return is_minus ? new_node(p, PROMQL_DUR_NEG, start, d, NULL) : d;
}

static bool is_sign(const struct promql_parser *p)
{
    return p->tok.type == TOK_OP && (p->tok.op == PROMQL_ADD || p->tok.op == PROMQL_SUB);
}

static struct promql_duration *parse_primary(struct promql_parser *p, const char *context)
{
    switch (p->tok.type) {
    case TOK_NUMBER:
    case TOK_DURATION:
        return parse_literal(p);
    case TOK_STEP:
    case TOK_RANGE:
    case TOK_MIN_OF:
    case TOK_MAX_OF:
        return parse_function(p, context);
    case TOK_LPAREN:
        return parse_paren(p, context);
    default:
        promql_parse_unexpected(p, context, EXPECTED);
        return NULL;
    }
}

/* 0: not an operator of durations. */
static int precedence(const struct promql_token *t, enum promql_dur_op *ret)
{
    static const struct {
        enum promql_op op;
        enum promql_dur_op dur;
        int prec;
    } ops[] = {
        {PROMQL_ADD, PROMQL_DUR_ADD, 1}, {PROMQL_SUB, PROMQL_DUR_SUB, 1},
        {PROMQL_MUL, PROMQL_DUR_MUL, 2}, {PROMQL_DIV, PROMQL_DUR_DIV, 2},
        {PROMQL_MOD, PROMQL_DUR_MOD, 2}, {PROMQL_POW, PROMQL_DUR_POW, 3},
    };

    for (size_t i = 0; t->type == TOK_OP && i < ORR_COUNT(ops); i++) {
        if (ops[i].op == t->op) {
            *ret = ops[i].dur;
            return ops[i].prec;
        }
    }
    return 0;
}

static struct promql_duration *parse_operation(struct promql_parser *p, const char *context,
                                               struct promql_duration *lhs, int prec,
                                               enum promql_dur_op op)
{
    size_t pos = p->tok.start;
    struct promql_duration *rhs;

    if (!promql_parse_next(p) || !(rhs = parse_expr(p, context, prec == 3 ? 3 : prec + 1)) ||
        !is_enabled(p, lhs->start))
        return NULL;
    if (rhs->op == PROMQL_DUR_NUMBER && rhs->value == 0 &&
        (op == PROMQL_DUR_DIV || op == PROMQL_DUR_MOD)) {
        promql_parse_fail(p, pos, op == PROMQL_DUR_DIV ? "division by zero" : "modulo by zero");
        return NULL;
    }
    return new_node(p, op, lhs->start, lhs, rhs);
}

static struct promql_duration *parse_expr(struct promql_parser *p, const char *context,
                                          int min_prec)
{
    struct promql_duration *d;
    enum promql_dur_op op;
    int prec;

    if (!promql_parse_enter(p))
        return NULL;
    if (is_sign(p)) {
        bool is_minus = p->tok.op == PROMQL_SUB;
        size_t start = p->tok.start;

        d = promql_parse_next(p) ? parse_expr(p, context, 3) : NULL;
        d = d ? signed_node(p, start, is_minus, d) : NULL;
    } else {
        d = parse_primary(p, context);
    }
    while (d && (prec = precedence(&p->tok, &op)) > 0 && prec >= min_prec)
        d = parse_operation(p, context, d, prec, op);
    p->depth--;
    return d;
}

struct promql_duration *promql_duration_positive(struct promql_parser *p, const char *context)
{
    struct promql_duration *d;

    p->n_durations = 0;
    d = parse_expr(p, context, 0);
    if (d && d->op == PROMQL_DUR_NUMBER && !(d->value > 0)) {
        promql_parse_fail(p, d->start, "duration must be greater than 0");
        return NULL;
    }
    return d;
}

/* After offset a number, call or parenthesis is all there is: foo offset 1m + 1m adds to foo. */
struct promql_duration *promql_duration_offset(struct promql_parser *p)
{
    size_t start = p->tok.start;
    struct promql_duration *d;
    bool is_minus;

    p->n_durations = 0;
    if (!is_sign(p))
        return parse_primary(p, "offset");
    is_minus = p->tok.op == PROMQL_SUB;
    if (!promql_parse_next(p))
        return NULL;
    if (p->tok.type != TOK_LPAREN) {
        d = parse_primary(p, "offset");
    } else {
        /* -(1m) is older than the other duration expressions: it needs no option. */
        size_t paren = p->tok.start;

        d = promql_parse_next(p) ? parse_expr(p, "offset", 0) : NULL;
        d = d && expect(p, TOK_RPAREN, "offset") ? wrap(p, d, paren) : NULL;
    }
    return d ? signed_node(p, start, is_minus, d) : NULL;
}
