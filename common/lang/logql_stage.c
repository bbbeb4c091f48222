#include "common/lang/logql_internal.h"

/* An arena's struct matcher; its regex is freed with the query. */
static struct matcher *new_matcher(struct logql_parser *p, enum matcher_op op, struct slice name,
                                   struct slice value, size_t pos)
{
    struct logql_owned *o = arena_new_of(p->arena, struct logql_owned);
    struct err *e;

    if ((op == MATCHER_RE || op == MATCHER_NRE) && ++p->n_regexes > MATCHERS_MAX_REGEXES) {
        logql_parse_limit(p, "the query has more than %d regular expressions",
                          MATCHERS_MAX_REGEXES);
        return NULL;
    }
    if ((e = matcher_init(p->arena, op, name, value, &o->matcher))) {
        if (err_code(e) == ERR_LIMIT)
            logql_parse_limit(p, "%s", err_msg(e));
        else
            logql_parse_fail(p, pos, "%s", err_msg(e));
        err_free(e);
        return NULL;
    }
    o->next = p->owned;
    p->owned = o;
    return &o->matcher;
}

/* Whether the next token is an operator of matchers. */
static bool is_matcher_op(const struct logql_parser *p, enum matcher_op *ret)
{
    switch (p->tok.type) {
    case LOGQL_TOK_EQL:
        *ret = MATCHER_EQ;
        return true;
    case LOGQL_TOK_EQL_RE:
        *ret = MATCHER_RE;
        return true;
    case LOGQL_TOK_NEQ_RE:
        *ret = MATCHER_NRE;
        return true;
    case LOGQL_TOK_OP:
        *ret = MATCHER_NE;
        return p->tok.v.op == PROMQL_NE;
    default:
        return false;
    }
}

/* op "value" behind a name. */
static struct matcher *parse_matcher(struct logql_parser *p, struct slice name)
{
    size_t pos = p->tok.start;
    struct slice value;
    enum matcher_op op;

    if (!is_matcher_op(p, &op)) {
        logql_parse_unexpected(p, "\"=\", \"!=\", \"=~\" or \"!~\"");
        return NULL;
    }
    if (!logql_parse_next(p) || !logql_parse_string(p, &value))
        return NULL;
    return new_matcher(p, op, name, value, pos);
}

bool logql_stage_selector(struct logql_parser *p, struct matchers *ret)
{
    struct matcher *ms = NULL;
    size_t n = 0;

    if (!logql_parse_expect(p, LOGQL_TOK_LBRACE))
        return false;
    while (n > 0 || p->tok.type != LOGQL_TOK_RBRACE) {
        const struct matcher *m;
        struct slice name;

        if (!logql_parse_ident(p, &name) || !(m = parse_matcher(p, name)) ||
            !(ms = logql_parse_grow(p, ms, n, sizeof(*ms), MATCHERS_MAX, "matchers")))
            return false;
        ms[n++] = *m;
        if (!logql_parse_take(p, LOGQL_TOK_COMMA))
            break;
    }
    *ret = (struct matchers){ms, n};
    return logql_parse_expect(p, LOGQL_TOK_RBRACE);
}

/* "text" or ip("text") */
static bool parse_needle(struct logql_parser *p, struct logql_needle *ret)
{
    if (!logql_parse_take(p, LOGQL_TOK_IP))
        return logql_parse_string(p, &ret->text);
    ret->is_ip = true;
    return logql_parse_expect(p, LOGQL_TOK_LPAREN) && logql_parse_string(p, &ret->text) &&
           logql_parse_expect(p, LOGQL_TOK_RPAREN);
}

static bool is_op(const struct logql_parser *p, enum promql_op op)
{
    return p->tok.type == LOGQL_TOK_OP && p->tok.v.op == op;
}

static bool parse_line_filter(struct logql_parser *p, struct logql_stage *s)
{
    struct logql_needle *needles = NULL;
    size_t n = 0;

    s->kind = LOGQL_STAGE_LINE;
    do {
        if (!logql_parse_next(p) ||
            !(needles = logql_parse_grow(p, needles, n, sizeof(*needles), LOGQL_MAX_LIST,
                                         "alternatives of a line filter")))
            return false;
        needles[n] = (struct logql_needle){0};
        if (!parse_needle(p, &needles[n++]))
            return false;
    } while (is_op(p, PROMQL_OR));
    s->needles = needles;
    s->n_needles = n;
    return true;
}

/* a="path", or a alone for a="a" */
static bool parse_expressions(struct logql_parser *p, struct logql_stage *s)
{
    struct logql_pair *pairs = NULL;
    size_t n = 0;

    do {
        struct logql_pair pair = {0};

        if (!logql_parse_ident(p, &pair.dst))
            return false;
        pair.src = pair.dst;
        if (logql_parse_take(p, LOGQL_TOK_EQL) && !logql_parse_string(p, &pair.src))
            return false;
        if (p->err ||
            !(pairs = logql_parse_grow(p, pairs, n, sizeof(*pairs), LOGQL_MAX_LIST, "expressions")))
            return false;
        pairs[n++] = pair;
    } while (logql_parse_take(p, LOGQL_TOK_COMMA));
    s->pairs = pairs;
    s->n_pairs = n;
    return !p->err;
}

static bool parse_logfmt(struct logql_parser *p, struct logql_stage *s)
{
    while (p->tok.type == LOGQL_TOK_STRICT || p->tok.type == LOGQL_TOK_KEEP_EMPTY) {
        if (p->tok.type == LOGQL_TOK_STRICT)
            s->is_strict = true;
        else
            s->keeps_empty = true;
        if (!logql_parse_next(p))
            return false;
    }
    return p->tok.type != LOGQL_TOK_IDENT || parse_expressions(p, s);
}

static bool parse_label_format(struct logql_parser *p, struct logql_stage *s)
{
    struct logql_pair *pairs = NULL;
    size_t n = 0;

    do {
        struct logql_pair pair = {0};

        if (!logql_parse_ident(p, &pair.dst) || !logql_parse_expect(p, LOGQL_TOK_EQL))
            return false;
        pair.is_name = p->tok.type == LOGQL_TOK_IDENT;
        if (!(pair.is_name ? logql_parse_ident(p, &pair.src) : logql_parse_string(p, &pair.src)) ||
            !(pairs = logql_parse_grow(p, pairs, n, sizeof(*pairs), LOGQL_MAX_LIST, "labels")))
            return false;
        pairs[n++] = pair;
    } while (logql_parse_take(p, LOGQL_TOK_COMMA));
    s->pairs = pairs;
    s->n_pairs = n;
    return !p->err;
}

/* Of drop and keep: names, or matchers that say when. */
static bool parse_label_list(struct logql_parser *p, struct logql_stage *s)
{
    struct logql_pair *pairs = NULL;
    size_t n = 0;

    do {
        struct logql_pair pair = {0};
        enum matcher_op op;

        if (!logql_parse_ident(p, &pair.dst))
            return false;
        if (is_matcher_op(p, &op) && !(pair.matcher = parse_matcher(p, pair.dst)))
            return false;
        if (!(pairs = logql_parse_grow(p, pairs, n, sizeof(*pairs), LOGQL_MAX_LIST, "labels")))
            return false;
        pairs[n++] = pair;
    } while (logql_parse_take(p, LOGQL_TOK_COMMA));
    s->pairs = pairs;
    s->n_pairs = n;
    return !p->err;
}

static const struct logql_filter *parse_filter(struct logql_parser *p, int min_prec);

/* A comparison with a number, a duration or a size. */
static bool parse_measure(struct logql_parser *p, struct logql_filter *f)
{
    bool is_minus = is_op(p, PROMQL_SUB);

    if ((is_minus || is_op(p, PROMQL_ADD)) &&
        (!logql_parse_next(p) || p->tok.type != LOGQL_TOK_NUMBER)) {
        logql_parse_unexpected(p, "number");
        return false;
    }
    switch (p->tok.type) {
    case LOGQL_TOK_DURATION:
        f->kind = LOGQL_FILTER_DURATION;
        f->v.duration_ns = p->tok.v.ns;
        return logql_parse_next(p);
    case LOGQL_TOK_BYTES:
        f->kind = LOGQL_FILTER_BYTES;
        f->v.bytes = p->tok.v.bytes;
        return logql_parse_next(p);
    default:
        f->kind = LOGQL_FILTER_NUMBER;
        if (!logql_parse_number(p, &f->v.number))
            return false;
        if (is_minus)
            f->v.number = -f->v.number;
        return true;
    }
}

static bool parse_comparison(struct logql_parser *p, struct logql_filter *f)
{
    struct logql_lex ahead = p->lex;
    struct logql_token next = {0};
    enum matcher_op op;
    bool may_match = is_matcher_op(p, &op);

    if (!logql_lex_next(&ahead, &next)) {
        p->err = ahead.err;
        return false;
    }
    if (may_match && (op == MATCHER_RE || op == MATCHER_NRE || next.type == LOGQL_TOK_STRING)) {
        f->kind = LOGQL_FILTER_TEXT;
        return (f->matcher = parse_matcher(p, f->name)) != NULL;
    }
    if (p->tok.type == LOGQL_TOK_EQL) {
        f->op = PROMQL_EQ;
    } else if (p->tok.type == LOGQL_TOK_OP && promql_op_is_comparison(p->tok.v.op)) {
        f->op = p->tok.v.op;
    } else {
        logql_parse_unexpected(p, "a comparison");
        return false;
    }
    if (!logql_parse_next(p))
        return false;
    if (may_match && p->tok.type == LOGQL_TOK_IP) {
        struct logql_needle needle = {0};

        f->kind = LOGQL_FILTER_IP;
        if (!parse_needle(p, &needle))
            return false;
        f->text = needle.text;
        return true;
    }
    return parse_measure(p, f);
}

static const struct logql_filter *parse_one_filter(struct logql_parser *p)
{
    struct logql_filter *f;

    if (logql_parse_take(p, LOGQL_TOK_LPAREN)) {
        const struct logql_filter *inner = parse_filter(p, 0);

        return inner && logql_parse_expect(p, LOGQL_TOK_RPAREN) ? inner : NULL;
    }
    f = arena_new_of(p->arena, struct logql_filter);
    return !p->err && logql_parse_ident(p, &f->name) && parse_comparison(p, f) ? f : NULL;
}

/*
 * What joins two filters: or (1), and (2), a comma or nothing at all (3). Those last have no rank
 * in Loki's grammar, so what stands behind them belongs to their right side whatever it is: a b or
 * c is a and (b or c), and a or b, c is a or (b and c).
 */
static int joint_of(const struct logql_parser *p)
{
    if (is_op(p, PROMQL_OR))
        return 1;
    if (is_op(p, PROMQL_AND))
        return 2;
    return p->tok.type == LOGQL_TOK_COMMA || p->tok.type == LOGQL_TOK_IDENT ||
                   p->tok.type == LOGQL_TOK_LPAREN
               ? 3
               : 0;
}

static const struct logql_filter *parse_filter(struct logql_parser *p, int min_prec)
{
    const struct logql_filter *lhs, *rhs;
    int joint;

    if (!logql_parse_enter(p))
        return NULL;
    lhs = parse_one_filter(p);
    while (lhs && (joint = joint_of(p)) > 0 && joint >= min_prec) {
        struct logql_filter *f = arena_new_of(p->arena, struct logql_filter);
        bool has_word = joint < 3 || p->tok.type == LOGQL_TOK_COMMA;

        if (p->err || (has_word && !logql_parse_next(p)) ||
            !(rhs = parse_filter(p, joint == 3 ? 0 : joint + 1)))
            return NULL;
        f->kind = joint == 1 ? LOGQL_FILTER_OR : LOGQL_FILTER_AND;
        f->lhs = lhs;
        f->rhs = rhs;
        lhs = f;
    }
    p->depth--;
    return p->err ? NULL : lhs;
}

const struct logql_filter *logql_stage_filter(struct logql_parser *p)
{
    return parse_filter(p, 0);
}

/* Behind "|". */
static bool parse_stage(struct logql_parser *p, struct logql_stage *s)
{
    enum logql_tok type = p->tok.type;

    if (type == LOGQL_TOK_IDENT || type == LOGQL_TOK_LPAREN) {
        s->kind = LOGQL_STAGE_FILTER;
        return (s->filter = logql_stage_filter(p)) != NULL;
    }
    if (type < LOGQL_TOK_JSON) {
        logql_parse_unexpected(p, "a stage");
        return false;
    }
    /* The stages' tokens stand in the order of the stages. */
    s->kind = (enum logql_stage_kind)(LOGQL_STAGE_JSON + (type - LOGQL_TOK_JSON));
    if (!logql_parse_next(p))
        return false;
    switch (s->kind) {
    case LOGQL_STAGE_JSON:
        return p->tok.type != LOGQL_TOK_IDENT || parse_expressions(p, s);
    case LOGQL_STAGE_LOGFMT:
        return parse_logfmt(p, s);
    case LOGQL_STAGE_REGEXP:
    case LOGQL_STAGE_PATTERN:
    case LOGQL_STAGE_LINE_FORMAT:
        return logql_parse_string(p, &s->text);
    case LOGQL_STAGE_LABEL_FORMAT:
        return parse_label_format(p, s);
    case LOGQL_STAGE_DROP:
    case LOGQL_STAGE_KEEP:
        return parse_label_list(p, s);
    default:
        return true;
    }
}
static_assert(LOGQL_TOK_KEEP - LOGQL_TOK_JSON == LOGQL_STAGE_KEEP - LOGQL_STAGE_JSON,
              "stages and their tokens stand in one order");

static bool line_op_of(const struct logql_parser *p, enum logql_line_op *ret)
{
    switch (p->tok.type) {
    case LOGQL_TOK_PIPE_EQL:
        *ret = LOGQL_LINE_HAS;
        return true;
    case LOGQL_TOK_PIPE_RE:
        *ret = LOGQL_LINE_RE;
        return true;
    case LOGQL_TOK_NEQ_RE:
        *ret = LOGQL_LINE_NOT_RE;
        return true;
    case LOGQL_TOK_PIPE_PATTERN:
        *ret = LOGQL_LINE_PATTERN;
        return true;
    case LOGQL_TOK_NEQ_PATTERN:
        *ret = LOGQL_LINE_NOT_PATTERN;
        return true;
    default:
        *ret = LOGQL_LINE_HAS_NOT;
        return is_op(p, PROMQL_NE);
    }
}

bool logql_stage_pipeline(struct logql_parser *p, struct logql_logs *logs, bool *ret_unwraps)
{
    struct logql_stage *stages = NULL;
    size_t n = 0;

    *ret_unwraps = false;
    for (;;) {
        struct logql_stage s = {.start = p->tok.start};
        bool is_line = line_op_of(p, &s.line_op);

        if (!is_line && p->tok.type != LOGQL_TOK_PIPE)
            break;
        if (!is_line && !logql_parse_next(p))
            return false;
        if (!is_line && p->tok.type == LOGQL_TOK_UNWRAP) {
            *ret_unwraps = true;
            break;
        }
        if (!(is_line ? parse_line_filter(p, &s) : parse_stage(p, &s)) ||
            !(stages = logql_parse_grow(p, stages, n, sizeof(*stages), LOGQL_MAX_STAGES, "stages")))
            return false;
        s.end = p->last_end;
        stages[n++] = s;
    }
    logs->stages = stages;
    logs->n_stages = n;
    return !p->err;
}
