#include <math.h>

#include "common/lang/promql_internal.h"

#define NS_PER_S 1e9

/* Words of the language that may also name a metric. */
bool promql_selector_is_name(enum promql_tok t, enum promql_op op)
{
    switch (t) {
    case TOK_IDENT:
    case TOK_METRIC:
    case TOK_AGG:
    case TOK_BY:
    case TOK_WITHOUT:
    case TOK_OFFSET:
    case TOK_ANCHORED:
    case TOK_SMOOTHED:
        return true;
    case TOK_OP:
        return promql_op_is_set(op);
    default:
        return t >= TOK_START;
    }
}

/* Words of the language that may also name a label in by (…) and the like. */
static bool is_label_token(const struct promql_token *t)
{
    switch (t->type) {
    case TOK_BOOL:
    case TOK_GROUP_LEFT:
    case TOK_GROUP_RIGHT:
    case TOK_IGNORING:
    case TOK_ON:
    case TOK_FILL:
    case TOK_FILL_LEFT:
    case TOK_FILL_RIGHT:
        return true;
    case TOK_OP:
        return t->op == PROMQL_ATAN2 || promql_op_is_set(t->op);
    default:
        return promql_selector_is_name(t->type, t->op);
    }
}

/* One label of a list, which is the current token. */
static bool parse_label(struct promql_parser *p, struct slice *ret)
{
    struct promql_token t = p->tok;

    if (t.type == TOK_STRING) {
        if (!promql_parse_unquote(p, t, ret))
            return false;
    } else if (is_label_token(&t)) {
        *ret = promql_parse_text(p, t);
    } else {
        promql_parse_unexpected(p, "grouping opts", "label");
        return false;
    }
    if (ret->len == 0 || !slice_is_utf8(*ret)) {
        promql_parse_fail(p, t.start, "invalid label name for grouping: \"%.*s\"", SLICE_ARG(*ret));
        return false;
    }
    return promql_parse_next(p);
}

bool promql_parse_labels(struct promql_parser *p, struct promql_names *ret)
{
    struct slice *names = NULL;
    size_t n = 0, cap = 0;

    if (p->tok.type != TOK_LPAREN) {
        promql_parse_unexpected(p, "grouping opts", "\"(\"");
        return false;
    }
    if (!promql_parse_next(p))
        return false;
    while (p->tok.type != TOK_RPAREN) {
        if (n == cap) {
            size_t more = cap ? cap * 2 : 4;

            names = arena_grow(p->arena, names, cap * sizeof(*names), more * sizeof(*names));
            cap = more;
        }
        if (!parse_label(p, &names[n++]))
            return false;
        if (p->tok.type == TOK_COMMA) {
            if (!promql_parse_next(p))
                return false;
        } else if (p->tok.type != TOK_RPAREN) {
            promql_parse_unexpected(p, "grouping opts", "\",\" or \")\"");
            return false;
        }
    }
    *ret = (struct promql_names){names, n};
    return promql_parse_next(p);
}

struct matcher_list {
    struct matcher *ptr;
    size_t n, cap, n_regexes;
};

static bool add_matcher(struct promql_parser *p, struct matcher_list *list, size_t pos,
                        enum matcher_op op, struct slice name, struct slice value)
{
    struct err *e;

    if (list->n == list->cap) {
        size_t more = list->cap ? list->cap * 2 : 4;

        list->ptr = arena_grow(p->arena, list->ptr, list->cap * sizeof(*list->ptr),
                               more * sizeof(*list->ptr));
        list->cap = more;
    }
    if (!(e = matcher_init(p->arena, op, name, value, &list->ptr[list->n]))) {
        struct matcher *m = &list->ptr[list->n++];

        list->n_regexes += m->re != NULL;
        if (list->n > MATCHERS_MAX || list->n_regexes > MATCHERS_MAX_REGEXES)
            e = matchers_check_count((struct matchers){list->ptr, list->n});
    }
    if (!e)
        return true;
    if (!p->err)
        p->err = promql_lex_error(
            p->lex.src, pos, err_code(e) == ERR_LIMIT ? ERR_LIMIT : ERR_INVALID, "%s", err_msg(e));
    err_free(e);
    return false;
}

static bool match_op(const struct promql_token *t, enum matcher_op *ret)
{
    if (t->type == TOK_EQL)
        *ret = MATCHER_EQ;
    else if (t->type == TOK_OP && t->op == PROMQL_NE)
        *ret = MATCHER_NE;
    else if (t->type == TOK_EQL_RE)
        *ret = MATCHER_RE;
    else if (t->type == TOK_NEQ_RE)
        *ret = MATCHER_NRE;
    else
        return false;
    return true;
}

/* name="value" or, alone, "metric name". */
static bool parse_matcher(struct promql_parser *p, struct matcher_list *list)
{
    struct promql_token t = p->tok;
    struct slice name, value;
    enum matcher_op op;

    if (t.type == TOK_STRING) {
        if (!promql_parse_unquote(p, t, &name))
            return false;
    } else if (t.type == TOK_IDENT) {
        name = promql_parse_text(p, t);
    } else {
        promql_parse_unexpected(p, "label matching", "identifier or \"}\"");
        return false;
    }
    if (!promql_parse_next(p))
        return false;
    if (!match_op(&p->tok, &op)) {
        if (t.type == TOK_STRING)
            return add_matcher(p, list, t.start, MATCHER_EQ, SLICE(LABEL_NAME), name);
        promql_parse_unexpected(p, "label matching", "label matching operator");
        return false;
    }
    if (!promql_parse_next(p))
        return false;
    if (p->tok.type != TOK_STRING) {
        promql_parse_unexpected(p, "label matching", "string");
        return false;
    }
    return promql_parse_unquote(p, p->tok, &value) && promql_parse_next(p) &&
           add_matcher(p, list, t.start, op, name, value);
}

/* {…}, from the brace on. */
static bool parse_matchers(struct promql_parser *p, struct matcher_list *list)
{
    if (!promql_parse_next(p))
        return false;
    while (p->tok.type != TOK_RBRACE) {
        if (!parse_matcher(p, list))
            return false;
        if (p->tok.type == TOK_COMMA) {
            if (!promql_parse_next(p))
                return false;
        } else if (p->tok.type != TOK_RBRACE) {
            promql_parse_unexpected(p, "label matching", "\",\" or \"}\"");
            return false;
        }
    }
    return promql_parse_next(p);
}

struct promql_expr *promql_selector_named(struct promql_parser *p, struct promql_token name)
{
    struct promql_expr *e = promql_parse_new(p, PROMQL_SELECTOR, name.start);
    struct promql_selector *s = &e->u.selector;
    struct matcher_list list = {0};
    bool is_ok = true;

    /* Linked at once, so that an error on the way frees its regexes too. */
    s->next = p->selectors;
    p->selectors = e;
    if (name.end > name.start)
        s->name = promql_parse_text(p, name);
    if (p->tok.type == TOK_LBRACE)
        is_ok = parse_matchers(p, &list);
    if (is_ok && s->name.len)
        is_ok = add_matcher(p, &list, name.start, MATCHER_EQ, SLICE(LABEL_NAME), s->name);
    s->matchers = (struct matchers){list.ptr, list.n};
    e->end = p->last_end;
    return is_ok ? e : NULL;
}

struct promql_expr *promql_selector_parse(struct promql_parser *p)
{
    struct promql_token t = p->tok;

    if (t.type == TOK_LBRACE)
        return promql_selector_named(p, (struct promql_token){.start = t.start});
    if (!promql_selector_is_name(t.type, t.op)) {
        promql_parse_unexpected(p, "", "");
        return NULL;
    }
    return promql_parse_next(p) ? promql_selector_named(p, t) : NULL;
}

bool promql_selects_all(struct matchers ms)
{
    for (size_t i = 0; i < ms.n; i++)
        if (!matcher_matches_empty(&ms.ptr[i]))
            return false;
    return true;
}

/* The places that offset and @ behind e set; NULL if they may not stand there. */
struct when {
    int64_t *offset_ms, *at_ms;
    const struct promql_duration **offset_expr;
    bool *has_offset;
    enum promql_at *at;
};

static bool when_of(struct promql_expr *e, struct when *ret)
{
    struct promql_selector *s;

    if (e->kind == PROMQL_SUBQUERY) {
        struct promql_subquery *q = &e->u.subquery;

        *ret = (struct when){&q->offset_ms, &q->at_ms, &q->offset_expr, &q->has_offset, &q->at};
        return true;
    }
    if (e->kind != PROMQL_SELECTOR && e->kind != PROMQL_RANGE)
        return false;
    s = e->kind == PROMQL_SELECTOR ? &e->u.selector : &e->u.range.selector->u.selector;
    *ret = (struct when){&s->offset_ms, &s->at_ms, &s->offset_expr, &s->has_offset, &s->at};
    return true;
}

static bool parse_offset(struct promql_parser *p, struct promql_expr *e)
{
    struct promql_duration *d;
    struct when w;

    if (!promql_parse_next(p) || !(d = promql_duration_offset(p)))
        return false;
    if (!when_of(e, &w)) {
        promql_parse_fail(p, e->start,
                          "offset modifier must be preceded by an instant vector selector or "
                          "range vector selector or a subquery");
        return false;
    }
    if (*w.has_offset || *w.offset_expr) {
        promql_parse_fail(p, e->start, "offset may not be set multiple times");
        return false;
    }
    if (d->op == PROMQL_DUR_NUMBER) {
        *w.offset_ms = promql_duration_ms(d->value);
        *w.has_offset = round(d->value * NS_PER_S) != 0;
    } else {
        *w.offset_expr = d;
    }
    e->end = p->last_end;
    return true;
}

/* start() or end() behind @. */
static bool parse_at_bound(struct promql_parser *p, enum promql_at *ret)
{
    *ret = p->tok.type == TOK_START ? PROMQL_AT_START : PROMQL_AT_END;
    if (!promql_parse_next(p))
        return false;
    if (p->tok.type == TOK_LPAREN) {
        if (!promql_parse_next(p))
            return false;
        if (p->tok.type == TOK_RPAREN)
            return promql_parse_next(p);
    }
    promql_parse_unexpected(p, "@", "timestamp");
    return false;
}

static bool parse_at_time(struct promql_parser *p, const struct promql_expr *e, int64_t *ret_ms)
{
    bool is_minus = p->tok.type == TOK_OP && p->tok.op == PROMQL_SUB, is_duration;
    bool is_plus = p->tok.type == TOK_OP && p->tok.op == PROMQL_ADD;
    double v;

    if ((is_minus || is_plus) && !promql_parse_next(p))
        return false;
    if (p->tok.type != TOK_NUMBER && p->tok.type != TOK_DURATION) {
        promql_parse_unexpected(p, "@", "timestamp");
        return false;
    }
    if (!promql_parse_number(p, &v, &is_duration))
        return false;
    v = is_minus ? -v : v;
    if (!(fabs(v) < 0x1p63) || fabs(round(v * 1000)) >= 0x1p63) {
        promql_parse_fail(p, e->start, "timestamp out of bounds for @ modifier: %f", v);
        return false;
    }
    *ret_ms = (int64_t)round(v * 1000);
    return true;
}

static bool parse_at(struct promql_parser *p, struct promql_expr *e)
{
    enum promql_at at = PROMQL_AT_TIME;
    int64_t at_ms = 0;
    struct when w;

    if (!promql_parse_next(p))
        return false;
    if (p->tok.type == TOK_START || p->tok.type == TOK_END ? !parse_at_bound(p, &at)
                                                           : !parse_at_time(p, e, &at_ms))
        return false;
    if (!when_of(e, &w)) {
        promql_parse_fail(p, e->start,
                          "@ modifier must be preceded by an instant vector selector or range "
                          "vector selector or a subquery");
        return false;
    }
    if (*w.at != PROMQL_AT_NONE) {
        promql_parse_fail(p, e->start, "@ <timestamp> may not be set multiple times");
        return false;
    }
    *w.at = at;
    *w.at_ms = at_ms;
    e->end = p->last_end;
    return true;
}

/* anchored or smoothed behind e. */
static bool parse_extended(struct promql_parser *p, struct promql_expr *e)
{
    bool is_anchored = p->tok.type == TOK_ANCHORED;
    const char *word = is_anchored ? "anchored" : "smoothed";
    struct promql_selector *s;

    if (!p->opts.with_extended) {
        promql_parse_fail(p, e->start, "%s modifier is experimental and not enabled", word);
        return false;
    }
    if (e->kind != PROMQL_SELECTOR && e->kind != PROMQL_RANGE) {
        promql_parse_fail(p, e->start,
                          e->kind == PROMQL_SUBQUERY
                              ? "%s modifier is not supported for subqueries"
                              : "%s modifier can only be used with a selector",
                          word);
        return false;
    }
    s = e->kind == PROMQL_SELECTOR ? &e->u.selector : &e->u.range.selector->u.selector;
    *(is_anchored ? &s->is_anchored : &s->is_smoothed) = true;
    if (s->is_anchored && s->is_smoothed) {
        promql_parse_fail(p, e->start, "anchored and smoothed modifiers cannot be used together");
        return false;
    }
    if (!promql_parse_next(p))
        return false;
    e->end = p->last_end;
    return true;
}

/* [range] or [range:step] behind e. */
static struct promql_expr *parse_bracket(struct promql_parser *p, struct promql_expr *e)
{
    struct promql_duration *range, *step = NULL;
    size_t bracket = p->tok.start;
    struct promql_expr *ret;
    bool is_subquery;

    if (!promql_parse_next(p) ||
        !(range = promql_duration_positive(p, "subquery or range selector")))
        return NULL;
    is_subquery = p->tok.type == TOK_COLON;
    if (is_subquery &&
        (!promql_parse_next(p) || (p->tok.type != TOK_RBRACKET &&
                                   !(step = promql_duration_positive(p, "subquery selector")))))
        return NULL;
    if (p->tok.type != TOK_RBRACKET) {
        promql_parse_unexpected(p, is_subquery ? "subquery selector" : "subquery or range",
                                is_subquery ? "\"]\"" : "\":\" or \"]\"");
        return NULL;
    }
    if (!promql_parse_next(p))
        return NULL;
    ret = promql_parse_new(p, is_subquery ? PROMQL_SUBQUERY : PROMQL_RANGE, e->start);
    if (is_subquery) {
        struct promql_subquery *q = &ret->u.subquery;

        q->expr = e;
        q->range_ms = range->op == PROMQL_DUR_NUMBER ? promql_duration_ms(range->value) : 0;
        q->range_expr = range->op == PROMQL_DUR_NUMBER ? NULL : range;
        q->step_ms = step && step->op == PROMQL_DUR_NUMBER ? promql_duration_ms(step->value) : 0;
        q->step_expr = step && step->op != PROMQL_DUR_NUMBER ? step : NULL;
        return promql_parse_above(p, ret, e) ? ret : NULL;
    }
    if (e->kind != PROMQL_SELECTOR)
        promql_parse_fail(p, bracket, "ranges only allowed for vector selectors");
    else if (e->u.selector.has_offset || e->u.selector.offset_expr)
        promql_parse_fail(p, bracket, "no offset modifiers allowed before range");
    else if (e->u.selector.at != PROMQL_AT_NONE)
        promql_parse_fail(p, bracket, "no @ modifiers allowed before range");
    ret->u.range.selector = e;
    ret->u.range.range_ms = range->op == PROMQL_DUR_NUMBER ? promql_duration_ms(range->value) : 0;
    ret->u.range.range_expr = range->op == PROMQL_DUR_NUMBER ? NULL : range;
    return promql_parse_above(p, ret, e) ? ret : NULL;
}

struct promql_expr *promql_selector_suffixes(struct promql_parser *p, struct promql_expr *e)
{
    for (;;) {
        bool is_ok;

        switch (p->tok.type) {
        case TOK_LBRACKET:
            if (!(e = parse_bracket(p, e)))
                return NULL;
            continue;
        case TOK_OFFSET:
            is_ok = parse_offset(p, e);
            break;
        case TOK_AT:
            is_ok = parse_at(p, e);
            break;
        case TOK_ANCHORED:
        case TOK_SMOOTHED:
            is_ok = parse_extended(p, e);
            break;
        default:
            return e;
        }
        if (!is_ok)
            return NULL;
    }
}

/* {a="b", "metric name"} of a metric: like matchers, with = alone. */
static bool parse_label_pair(struct promql_parser *p, struct labels_builder *b)
{
    struct promql_token t = p->tok;
    struct slice name, value;

    if (t.type == TOK_STRING) {
        if (!promql_parse_unquote(p, t, &name))
            return false;
    } else if (t.type == TOK_IDENT) {
        name = promql_parse_text(p, t);
    } else {
        promql_parse_unexpected(p, "label set", "identifier or \"}\"");
        return false;
    }
    if (!promql_parse_next(p))
        return false;
    if (p->tok.type != TOK_EQL && t.type == TOK_STRING) {
        labels_builder_set(b, SLICE(LABEL_NAME), name);
        return true;
    }
    if (p->tok.type != TOK_EQL) {
        promql_parse_unexpected(p, "label set", "\"=\"");
        return false;
    }
    if (!promql_parse_next(p))
        return false;
    if (p->tok.type != TOK_STRING) {
        promql_parse_unexpected(p, "label set", "string");
        return false;
    }
    if (!promql_parse_unquote(p, p->tok, &value) || !promql_parse_next(p))
        return false;
    labels_builder_set(b, name, value);
    return true;
}

bool promql_selector_labels(struct promql_parser *p, struct labels *ret)
{
    struct promql_token name = p->tok;
    bool has_name = promql_selector_is_name(name.type, name.op);
    struct labels_builder b;

    labels_builder_init(&b, p->arena, (struct labels){0});
    /* In the series notation only a brace right behind the name belongs to it. */
    if (p->is_series && has_name && slice_find_byte(p->lex.src, '{', name.end) != name.end)
        p->last_end = name.end;
    else if (has_name && !promql_parse_next(p))
        return false;
    if (p->tok.type == TOK_LBRACE) {
        if (!promql_parse_next(p))
            return false;
        while (p->tok.type != TOK_RBRACE) {
            if (!parse_label_pair(p, &b))
                return false;
            if (p->tok.type == TOK_COMMA) {
                if (!promql_parse_next(p))
                    return false;
            } else if (p->tok.type != TOK_RBRACE) {
                promql_parse_unexpected(p, "label set", "\",\" or \"}\"");
                return false;
            }
        }
        /* The series notation goes on with another lexer from here. */
        p->last_end = p->tok.end;
        if (!p->is_series && !promql_parse_next(p))
            return false;
    }
    if (has_name)
        labels_builder_set(&b, SLICE(LABEL_NAME), promql_parse_text(p, name));
    *ret = labels_builder_labels(&b);
    return true;
}
