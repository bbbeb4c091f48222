/*
 * Whole queries.
 *
 * What stands in parentheses may be a set of spans, a pipeline, a scalar or metrics, and which it is
 * shows only at its end: so operands are items, each of which knows what it is, and an operator
 * asks what it stands between.
 */
#include <stdarg.h>

#include "common/base/gostr.h"
#include "common/lang/promql_internal.h"
#include "common/lang/traceql_internal.h"

static const char *const token_texts[] = {
#define X(sym, text) text,
    TRACEQL_TOKENS(X)
#undef X
};

static const char *const aggregate_names[] = {
#define X(sym, name) name,
    TRACEQL_AGGREGATES(X)
#undef X
};

bool traceql_parse_next(struct traceql_parser *p)
{
    if (p->err)
        return false;
    if (traceql_lex_next(&p->lex, &p->tok))
        return true;
    p->err = p->lex.err;
    p->lex.err = NULL;
    return false;
}

bool traceql_parse_take(struct traceql_parser *p, enum traceql_tok type)
{
    return !p->err && p->tok.type == type && traceql_parse_next(p);
}

ORR_PRINTF(4, 0)
static void fail(struct traceql_parser *p, size_t pos, enum err_code code, const char *fmt,
                 va_list ap)
{
    if (!p->err)
        p->err = promql_lex_verror(p->lex.src, pos, code, fmt, ap);
}

void traceql_parse_fail(struct traceql_parser *p, size_t pos, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fail(p, pos, ERR_INVALID, fmt, ap);
    va_end(ap);
}

ORR_PRINTF(2, 3)
static bool over_limit(struct traceql_parser *p, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    fail(p, p->tok.start, ERR_LIMIT, fmt, ap);
    va_end(ap);
    return false;
}

static struct slice token_text(const struct traceql_parser *p)
{
    return slice_sub(p->lex.src, p->tok.start, p->tok.end - p->tok.start);
}

void traceql_parse_unexpected(struct traceql_parser *p, const char *expected)
{
    struct slice text = token_text(p);
    struct buf b = {0};

    if (p->tok.type == TRACEQL_TOK_EOF)
        buf_str(&b, token_texts[TRACEQL_TOK_EOF]);
    else
        gostr_quote(&b, text.len > 64 ? slice_sub(text, 0, 64) : text);
    if (*expected)
        buf_printf(&b, ", expected %s", expected);
    traceql_parse_fail(p, p->tok.start, "unexpected %s", buf_cstr(&b));
    buf_done(&b);
}

bool traceql_parse_expect(struct traceql_parser *p, enum traceql_tok type)
{
    if (p->err)
        return false;
    if (p->tok.type == type)
        return traceql_parse_next(p);
    traceql_parse_unexpected(p, token_texts[type]);
    return false;
}

bool traceql_parse_is_word(const struct traceql_parser *p, const char *word)
{
    return !p->err && p->tok.type == TRACEQL_TOK_WORD && slice_eq_cstr(token_text(p), word);
}

bool traceql_parse_word(struct traceql_parser *p, const char *word)
{
    return traceql_parse_is_word(p, word) && traceql_parse_next(p);
}

bool traceql_parse_enter(struct traceql_parser *p)
{
    if (p->err)
        return false;
    if (++p->depth <= TRACEQL_MAX_DEPTH)
        return true;
    return over_limit(p, "the query nests deeper than %d levels", TRACEQL_MAX_DEPTH);
}

bool traceql_parse_height(struct traceql_parser *p, unsigned height)
{
    if (height <= TRACEQL_MAX_HEIGHT)
        return true;
    return over_limit(p, "the query chains more than %d operations", TRACEQL_MAX_HEIGHT);
}

void *traceql_parse_grow(struct traceql_parser *p, void *ptr, size_t n, size_t each)
{
    if (p->err)
        return NULL;
    if (n >= TRACEQL_MAX_LIST) {
        (void)over_limit(p, "a list of more than %d items", TRACEQL_MAX_LIST);
        return NULL;
    }
    return arena_more_bytes(p->arena, ptr, n, each);
}

bool traceql_parse_number(struct traceql_parser *p, struct traceql_static *ret)
{
    bool is_negative = p->tok.type == TRACEQL_TOK_SIGN && p->tok.op == TRACEQL_SUB;

    if (is_negative && !traceql_parse_next(p))
        return false;
    if (p->tok.type != TRACEQL_TOK_STATIC || !traceql_is_numeric(p->tok.value.type)) {
        traceql_parse_unexpected(p, "a number");
        return false;
    }
    *ret = p->tok.value;
    if (is_negative && ret->type == TRACEQL_FLOAT)
        ret->v.f = -ret->v.f;
    else if (is_negative)
        ret->v.i = (int64_t)(0 - (uint64_t)ret->v.i);
    return traceql_parse_next(p);
}

enum item_kind {
    SPANSET,  /* { … }, and operations between such */
    PIPELINE, /* a | b: not yet in parentheses, or its first element alone: by(), select() */
    ELEMENT,  /* a scalar filter */
    SCALAR,   /* count(), and operations with it */
    NUMBER,
    METRICS,
};

/*
 * is_plain: may be an element of a pipeline. is_wrapped: in parentheses, a pipeline of its own. Both
 * sides of an operation between sets are one of these (as in Tempo: ({ .a } | { .b }) && { .c } is
 * not well formed, ({ .a } | { .b }) && ({ .c }) is).
 */
struct item {
    enum item_kind kind;
    size_t start;
    bool is_plain, is_wrapped;
    struct traceql_spanset *spanset;
    struct traceql_pipeline pipeline; /* PIPELINE; all but the aggregate of a SCALAR behind one */
    struct traceql_scalar_filter scalar; /* ELEMENT, SCALAR */
    bool is_simple;                      /* SCALAR: one aggregate, no arithmetic, no pipeline */
    struct traceql_static number;
    struct traceql_math *metrics;
    struct traceql_stages stages; /* behind metrics */
};

static bool parse_pipeline(struct traceql_parser *p, struct item *it);

static bool add_element(struct traceql_parser *p, struct traceql_pipeline *pl,
                        struct traceql_element e)
{
    pl->ptr = traceql_parse_grow(p, pl->ptr, pl->n, sizeof(e));
    if (!pl->ptr)
        return false;
    pl->ptr[pl->n++] = e;
    return true;
}

static struct traceql_spanset *new_spanset(struct traceql_parser *p, enum traceql_spanset_kind kind)
{
    struct traceql_spanset *s = arena_new_of(p->arena, struct traceql_spanset);

    s->kind = kind;
    s->height = 1;
    return s;
}

static struct traceql_math *new_math(struct traceql_parser *p, enum traceql_math_kind kind)
{
    struct traceql_math *m = arena_new_of(p->arena, struct traceql_math);

    m->kind = kind;
    m->height = 1;
    return m;
}

/* What it is as the operand of arithmetic; what its stages were is in the leaf then. */
static struct traceql_math *math_of(struct traceql_parser *p, const struct item *it)
{
    struct traceql_math *m = it->metrics;

    if (it->kind != NUMBER)
        return m;
    m = new_math(p, TRACEQL_NUMBER);
    m->number = it->number;
    return m;
}

/* An item in parentheses. */
static bool wrap(struct traceql_parser *p, struct item *it)
{
    switch (it->kind) {
    case SPANSET:
        it->is_wrapped = true;
        return true;
    case ELEMENT:
        if (!add_element(
                p, &it->pipeline,
                (struct traceql_element){.kind = TRACEQL_SCALAR_FILTER, .u.scalar = it->scalar}))
            return false;
        /* fallthrough */
    case PIPELINE:
        it->kind = SPANSET;
        it->is_plain = false;
        it->is_wrapped = true;
        it->spanset = new_spanset(p, TRACEQL_SPANSET_PIPELINE);
        it->spanset->u.pipeline = arena_copy(p->arena, &it->pipeline, 1);
        it->pipeline = (struct traceql_pipeline){0};
        return true;
    case METRICS:
        if (it->stages.n > 0 && it->metrics->kind != TRACEQL_LEAF)
            traceql_parse_fail(p, it->start,
                               "behind arithmetic in parentheses no comparison or topk can stand");
        it->is_wrapped = true;
        if (it->stages.n > 0)
            it->metrics->leaf.stages = it->stages;
        it->stages = (struct traceql_stages){0};
        return !p->err;
    default:
        return true;
    }
}

static bool parse_aggregate(struct traceql_parser *p, enum traceql_aggregate aggregate,
                            struct item *it)
{
    size_t start;

    it->kind = SCALAR;
    it->is_simple = true;
    it->scalar.aggregate = aggregate;
    if (!traceql_parse_next(p) || !traceql_parse_expect(p, TRACEQL_TOK_LPAREN))
        return false;
    start = p->tok.start;
    if (aggregate != TRACEQL_COUNT && (!(it->scalar.argument = traceql_field_parse(p)) ||
                                       !traceql_check_argument(p, it->scalar.argument, start)))
        return false;
    return traceql_parse_expect(p, TRACEQL_TOK_RPAREN);
}

static bool parse_operand(struct traceql_parser *p, struct item *it)
{
    struct traceql_field *filter;

    *it = (struct item){.start = p->tok.start};
    if (p->tok.type == TRACEQL_TOK_LBRACE) {
        if (!(filter = traceql_field_filter(p)))
            return false;
        it->kind = SPANSET;
        it->is_plain = true;
        it->spanset = new_spanset(p, TRACEQL_FILTER);
        it->spanset->u.filter = filter;
        return true;
    }
    if (p->tok.type == TRACEQL_TOK_LPAREN)
        return traceql_parse_next(p) && parse_pipeline(p, it) &&
               traceql_parse_expect(p, TRACEQL_TOK_RPAREN) && wrap(p, it);
    for (size_t i = 0; i < ORR_COUNT(aggregate_names); i++)
        if (traceql_parse_is_word(p, aggregate_names[i]))
            return parse_aggregate(p, (enum traceql_aggregate)i, it);
    if (p->tok.type == TRACEQL_TOK_STATIC || p->tok.type == TRACEQL_TOK_SIGN) {
        it->kind = NUMBER;
        return traceql_parse_number(p, &it->number);
    }
    traceql_parse_unexpected(p, "\"{\", \"(\" or an aggregate");
    return false;
}

static bool join_spansets(struct traceql_parser *p, struct item *lhs, enum traceql_spanset_op op,
                          size_t pos, const struct item *rhs)
{
    struct traceql_spanset *s;

    if (rhs->kind != SPANSET ||
        !((lhs->is_plain && rhs->is_plain) || (lhs->is_wrapped && rhs->is_wrapped))) {
        traceql_parse_fail(p, pos, "both sides of this operator are { … }, or both in parentheses");
        return false;
    }
    s = new_spanset(p, TRACEQL_OPERATION);
    s->u.operation.op = op;
    s->u.operation.lhs = lhs->spanset;
    s->u.operation.rhs = rhs->spanset;
    s->height +=
        lhs->spanset->height > rhs->spanset->height ? lhs->spanset->height : rhs->spanset->height;
    lhs->spanset = s;
    lhs->is_plain = lhs->is_plain && rhs->is_plain;
    lhs->is_wrapped = lhs->is_wrapped && rhs->is_wrapped;
    return traceql_parse_height(p, s->height);
}

static bool is_comparing(const struct traceql_math *m)
{
    return m && m->kind == TRACEQL_LEAF && m->leaf.aggregation.op == TRACEQL_COMPARE;
}

static bool check_no_compare(struct traceql_parser *p, const struct traceql_math *m, size_t pos)
{
    if (is_comparing(m))
        traceql_parse_fail(p, pos, "compare() stands alone: it is not computed with");
    return !p->err;
}

static bool join_metrics(struct traceql_parser *p, struct item *lhs, enum traceql_op op, size_t pos,
                         const struct item *rhs)
{
    struct traceql_math *m;

    if (op != TRACEQL_ADD && op != TRACEQL_SUB && op != TRACEQL_MUL && op != TRACEQL_DIV) {
        traceql_parse_fail(p, pos, "metrics know + - * / only");
        return false;
    }
    if (lhs->number.type == TRACEQL_DURATION || rhs->number.type == TRACEQL_DURATION) {
        traceql_parse_fail(p, pos, "no arithmetic with durations here");
        return false;
    }
    m = new_math(p, TRACEQL_MATH);
    m->op = op;
    m->lhs = math_of(p, lhs);
    m->rhs = math_of(p, rhs);
    m->height += m->lhs->height > m->rhs->height ? m->lhs->height : m->rhs->height;
    lhs->kind = METRICS;
    lhs->metrics = m;
    lhs->is_wrapped = true;
    return traceql_parse_height(p, m->height) && check_no_compare(p, m->lhs, pos) &&
           check_no_compare(p, m->rhs, pos);
}

/* op between scalars, or a scalar and a number. */
static bool join_scalars(struct traceql_parser *p, struct item *lhs, enum traceql_op op, size_t pos,
                         const struct item *rhs)
{
    if (op == TRACEQL_AND || op == TRACEQL_OR || op == TRACEQL_RE || op == TRACEQL_NOT_RE) {
        traceql_parse_fail(p, pos, "aggregates are computed with and compared, not more");
        return false;
    }
    if (!traceql_op_is_comparison(op)) {
        lhs->kind = SCALAR;
        lhs->is_simple = false;
        return true;
    }
    if (lhs->kind != SCALAR || !lhs->is_simple || rhs->kind != NUMBER) {
        traceql_parse_fail(p, pos,
                           "not supported yet: comparisons other than of one aggregate "
                           "with a number, as in { … } | max(duration) > 1s");
        return false;
    }
    lhs->kind = ELEMENT;
    lhs->scalar.op = op;
    lhs->scalar.value = rhs->number;
    return true;
}

static bool is_computed(const struct item *it)
{
    return it->kind == SCALAR || it->kind == NUMBER;
}

/* The operator, which is not taken yet, between lhs and what follows. */
static bool join(struct traceql_parser *p, struct item *lhs, const struct traceql_token *op,
                 const struct item *rhs)
{
    if (lhs->kind == SPANSET && op->spanset_op != TRACEQL_NO_OP)
        return join_spansets(p, lhs, (enum traceql_spanset_op)op->spanset_op, op->start, rhs);
    if (op->op == TRACEQL_NO_OP) {
        traceql_parse_fail(p, op->start, "this operator stands between sets of spans");
        return false;
    }
    if (lhs->kind == NUMBER && rhs->kind == NUMBER &&
        traceql_op_is_arithmetic((enum traceql_op)op->op))
        return traceql_metric_fold(p, op->start, (enum traceql_op)op->op, &lhs->number,
                                   &rhs->number);
    if ((lhs->kind == METRICS && lhs->is_wrapped && !lhs->stages.n &&
         (rhs->kind == METRICS || rhs->kind == NUMBER)) ||
        (lhs->kind == NUMBER && rhs->kind == METRICS && rhs->is_wrapped && !rhs->stages.n))
        return join_metrics(p, lhs, (enum traceql_op)op->op, op->start, rhs);
    if (is_computed(lhs) && is_computed(rhs) && (lhs->kind == SCALAR || rhs->kind == SCALAR))
        return join_scalars(p, lhs, (enum traceql_op)op->op, op->start, rhs);
    traceql_parse_fail(p, op->start, "this operator does not go between these");
    return false;
}

static unsigned precedence(const struct traceql_token *t)
{
    if (t->type != TRACEQL_TOK_SIGN)
        return 0;
    if (t->op != TRACEQL_NO_OP)
        return traceql_op_precedence((enum traceql_op)t->op);
    return traceql_op_precedence(TRACEQL_EQ); /* > and all structural operators */
}

/* Operands and operators between them, up to one that binds weaker. */
static bool parse_operation(struct traceql_parser *p, unsigned min_prec, struct item *it)
{
    if (!traceql_parse_enter(p) || !parse_operand(p, it))
        return false;
    for (;;) {
        struct traceql_token op = p->tok;
        unsigned prec = precedence(&op);
        struct item rhs;

        if (prec == 0 || prec < min_prec)
            break;
        if (it->kind == METRICS && op.op != TRACEQL_NO_OP &&
            traceql_op_is_comparison((enum traceql_op)op.op))
            break; /* a stage of its pipeline */
        if (!traceql_parse_next(p) || !parse_operation(p, prec + (op.op != TRACEQL_POW), &rhs) ||
            !join(p, it, &op, &rhs))
            return false;
    }
    p->depth--;
    return !p->err;
}

/* by(), coalesce() or select(), if it is one. */
static bool parse_function(struct traceql_parser *p, bool is_first, struct traceql_element *e,
                           bool *ret_is_one)
{
    size_t start;

    *ret_is_one = true;
    *e = (struct traceql_element){.kind = TRACEQL_GROUP};
    if (traceql_parse_word(p, "by")) {
        start = p->tok.start;
        return traceql_parse_expect(p, TRACEQL_TOK_LPAREN) &&
               (e->u.group = traceql_field_parse(p)) && traceql_check_group(p, e->u.group, start) &&
               traceql_parse_expect(p, TRACEQL_TOK_RPAREN);
    }
    if (traceql_parse_word(p, "select")) {
        e->kind = TRACEQL_SELECT;
        return traceql_field_attributes(p, &e->u.select);
    }
    if (!is_first && traceql_parse_word(p, "coalesce")) {
        e->kind = TRACEQL_COALESCE;
        return traceql_parse_expect(p, TRACEQL_TOK_LPAREN) &&
               traceql_parse_expect(p, TRACEQL_TOK_RPAREN);
    }
    *ret_is_one = false;
    return !p->err;
}

/* it, which is parsed, as the next element of pl. */
static bool append_item(struct traceql_parser *p, struct traceql_pipeline *pl,
                        const struct item *it)
{
    if (it->kind == ELEMENT)
        return add_element(
            p, pl, (struct traceql_element){.kind = TRACEQL_SCALAR_FILTER, .u.scalar = it->scalar});
    if (it->kind == SPANSET && it->is_plain)
        return add_element(
            p, pl, (struct traceql_element){.kind = TRACEQL_SPANSET, .u.spanset = it->spanset});
    traceql_parse_unexpected(p, it->kind == SCALAR ? "a comparison" : "an operator");
    return false;
}

/* Stages behind metrics; what is behind a leaf that is all of it so far is kept beside it. */
static bool parse_stages(struct traceql_parser *p, struct item *it)
{
    size_t start = p->tok.start;

    if (it->metrics->kind == TRACEQL_LEAF && it->stages.n == 0) {
        it->stages = it->metrics->leaf.stages;
        it->metrics->leaf.stages = (struct traceql_stages){0};
    }
    return traceql_metric_stages(p, &it->stages) &&
           (it->stages.n == 0 || check_no_compare(p, it->metrics, start));
}

/* The aggregation ends the pipeline of spans. */
static bool parse_metrics(struct traceql_parser *p, enum traceql_metric op, struct item *it)
{
    struct traceql_math *m = new_math(p, TRACEQL_LEAF);

    m->leaf.pipeline = it->pipeline;
    it->kind = METRICS;
    it->metrics = m;
    it->pipeline = (struct traceql_pipeline){0};
    return traceql_metric_aggregation(p, op, &m->leaf.aggregation) && parse_stages(p, it);
}

/* All elements behind the first, which is in it->pipeline. */
static bool parse_elements(struct traceql_parser *p, struct item *it)
{
    while (traceql_parse_take(p, TRACEQL_TOK_PIPE)) {
        struct traceql_element e;
        enum traceql_metric op;
        struct item next;
        bool is_one;

        if (traceql_metric_op(p, &op))
            return parse_metrics(p, op, it);
        if (!parse_function(p, false, &e, &is_one))
            return false;
        if (is_one) {
            if (!add_element(p, &it->pipeline, e))
                return false;
            continue;
        }
        if (!parse_operation(p, 0, &next))
            return false;
        if (next.kind == SCALAR && p->tok.type == TRACEQL_TOK_RPAREN) {
            it->kind = SCALAR; /* ({ … } | count()), which is told what it may not be later */
            it->is_simple = false;
            return true;
        }
        if (!append_item(p, &it->pipeline, &next))
            return false;
    }
    return !p->err;
}

static bool parse_pipeline(struct traceql_parser *p, struct item *it)
{
    struct traceql_element e;
    bool is_one;

    *it = (struct item){.kind = PIPELINE, .start = p->tok.start};
    if (!parse_function(p, true, &e, &is_one))
        return false;
    if (is_one)
        return add_element(p, &it->pipeline, e) && parse_elements(p, it);
    if (!parse_operation(p, 0, it))
        return false;
    if (it->kind == METRICS)
        return parse_stages(p, it);
    if (p->tok.type != TRACEQL_TOK_PIPE)
        return true;
    if (!append_item(p, &it->pipeline, it))
        return false;
    it->kind = PIPELINE;
    return parse_elements(p, it);
}

/* with(name=value, …) */
static bool parse_hints(struct traceql_parser *p, struct traceql *q)
{
    if (!traceql_parse_word(p, "with"))
        return !p->err;
    if (!traceql_parse_expect(p, TRACEQL_TOK_LPAREN))
        return false;
    do {
        struct traceql_hint h = {.name = token_text(p)};

        if (!traceql_parse_expect(p, TRACEQL_TOK_WORD))
            return false;
        if (p->tok.type != TRACEQL_TOK_SIGN || p->tok.op != TRACEQL_EQ) {
            traceql_parse_unexpected(p, "\"=\"");
            return false;
        }
        if (!traceql_parse_next(p))
            return false;
        h.value = p->tok.value;
        if (!traceql_parse_expect(p, TRACEQL_TOK_STATIC))
            return false;
        if (!(q->hints = traceql_parse_grow(p, q->hints, q->n_hints, sizeof(h))))
            return false;
        q->hints[q->n_hints++] = h;
    } while (traceql_parse_take(p, TRACEQL_TOK_COMMA));
    return traceql_parse_expect(p, TRACEQL_TOK_RPAREN);
}

/* What a query may be as a whole. */
static bool finish_query(struct traceql_parser *p, struct item *it, struct traceql *q)
{
    switch (it->kind) {
    case METRICS:
        q->metrics = it->metrics;
        q->stages = it->stages;
        return true;
    case PIPELINE:
        q->pipeline = it->pipeline;
        return true;
    case SPANSET:
        it->is_plain = true; /* the whole query may be in parentheses as well */
        return append_item(p, &q->pipeline, it);
    default:
        return append_item(p, &q->pipeline, it);
    }
}

struct err *traceql_parse(struct arena *a, struct slice query, struct traceql *ret)
{
    struct traceql_parser p = {.arena = a};
    struct traceql q = {0};
    struct item it;

    if (query.len > TRACEQL_MAX_BYTES)
        return err_new(ERR_LIMIT, "the query is %zu bytes long, the limit is %u", query.len,
                       TRACEQL_MAX_BYTES);
    p.lex.arena = a;
    p.lex.src = arena_dup(a, query);
    if (traceql_parse_next(&p) && parse_pipeline(&p, &it) && finish_query(&p, &it, &q) &&
        parse_hints(&p, &q) && p.tok.type != TRACEQL_TOK_EOF)
        traceql_parse_unexpected(&p, "");
    if (!p.err && arena_over(a))
        p.err = err_new(ERR_LIMIT, "parsing the query takes more than its %zu bytes of memory",
                        arena_limit(a));
    if (p.err)
        return p.err;
    *ret = q;
    return NULL;
}
