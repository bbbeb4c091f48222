#include <math.h>
#include <stdlib.h>

#include "common/base/gostr.h"
#include "common/base/mem.h"
#include "common/base/num.h"
#include "common/base/promdur.h"
#include "common/lang/promql_internal.h"

#define NS_PER_MS 1000000

static void print_ms(struct buf *out, int64_t ms)
{
    if (ms < 0)
        buf_byte(out, '-');
    promdur_print(out, (ms < 0 ? -ms : ms) * NS_PER_MS);
}

static void print_number(struct buf *out, double v, bool is_duration)
{
    if (!is_duration) {
        buf_f64_text(out, v);
        return;
    }
    if (v < 0)
        buf_byte(out, '-');
    v = (v < 0 ? -v : v) * 1e9;
    promdur_print(out, v < 0x1p63 ? (int64_t)v : INT64_MAX);
}

void promql_print_duration(struct buf *out, const struct promql_duration *d)
{
    static const char *const op[] = {
        [PROMQL_DUR_ADD] = " + ", [PROMQL_DUR_SUB] = " - ", [PROMQL_DUR_MUL] = " * ",
        [PROMQL_DUR_DIV] = " / ", [PROMQL_DUR_MOD] = " % ", [PROMQL_DUR_POW] = " ^ "};

    if (d->is_wrapped)
        buf_byte(out, '(');
    switch (d->op) {
    case PROMQL_DUR_NUMBER:
        print_number(out, d->value, d->is_duration);
        break;
    case PROMQL_DUR_STEP:
        buf_str(out, "step()");
        break;
    case PROMQL_DUR_RANGE:
        buf_str(out, "range()");
        break;
    case PROMQL_DUR_NEG:
        buf_byte(out, '-');
        /* fall through */
    case PROMQL_DUR_POS:
        promql_print_duration(out, d->lhs);
        break;
    case PROMQL_DUR_MIN_OF:
    case PROMQL_DUR_MAX_OF:
        buf_str(out, d->op == PROMQL_DUR_MIN_OF ? "min_of(" : "max_of(");
        promql_print_duration(out, d->lhs);
        buf_str(out, ", ");
        promql_print_duration(out, d->rhs);
        buf_byte(out, ')');
        break;
    default:
        promql_print_duration(out, d->lhs);
        buf_str(out, op[d->op]);
        promql_print_duration(out, d->rhs);
    }
    if (d->is_wrapped)
        buf_byte(out, ')');
}

static void print_range(struct buf *out, int64_t ms, const struct promql_duration *expr)
{
    if (expr)
        promql_print_duration(out, expr);
    else
        print_ms(out, ms);
}

static void print_offset(struct buf *out, int64_t ms, const struct promql_duration *expr)
{
    if (!expr && !ms)
        return;
    buf_str(out, " offset ");
    print_range(out, ms, expr);
}

static void print_at(struct buf *out, enum promql_at at, int64_t ms)
{
    if (at == PROMQL_AT_START)
        buf_str(out, " @ start()");
    if (at == PROMQL_AT_END)
        buf_str(out, " @ end()");
    if (at == PROMQL_AT_TIME) {
        buf_str(out, " @ ");
        num_format(out, (double)ms / 1000, 'f', 3);
    }
}

static int slice_order(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

void promql_print_sorted(struct buf *out, struct matchers ms, promql_print_matcher_fn *fn,
                         const char *sep)
{
    struct slice *texts = mem_new_array(struct slice, ms.n + 1);
    struct buf all = {0};
    size_t *ends = mem_new_array(size_t, ms.n + 1);

    for (size_t i = 0; i < ms.n; i++) {
        fn(&all, &ms.ptr[i]);
        ends[i + 1] = all.len;
    }
    for (size_t i = 0; i < ms.n; i++)
        texts[i] = slice_of(all.ptr + ends[i], ends[i + 1] - ends[i]);
    qsort(texts, ms.n, sizeof(*texts), slice_order);
    for (size_t i = 0; i < ms.n; i++) {
        if (i)
            buf_str(out, sep);
        buf_slice_append(out, texts[i]);
    }
    buf_done(&all);
    mem_free(ends);
    mem_free(texts);
}

static void print_series(struct buf *out, const struct promql_selector *s)
{
    struct matchers ms = s->matchers;

    buf_slice_append(out, s->name);
    if (s->name.len)
        ms.n--; /* the name before the braces is the last matcher */
    if (ms.n == 0 && s->name.len)
        return;
    buf_byte(out, '{');
    promql_print_sorted(out, ms, matcher_text, ",");
    buf_byte(out, '}');
}

static void print_extended(struct buf *out, const struct promql_selector *s)
{
    if (s->is_anchored)
        buf_str(out, " anchored");
    else if (s->is_smoothed)
        buf_str(out, " smoothed");
}

void promql_print_names(struct buf *out, struct promql_names names)
{
    buf_byte(out, '(');
    for (size_t i = 0; i < names.n; i++) {
        if (i)
            buf_str(out, ", ");
        if (labels_is_legacy_name(names.ptr[i]))
            buf_slice_append(out, names.ptr[i]);
        else
            gostr_quote(out, names.ptr[i]);
    }
    buf_byte(out, ')');
}

static void print_fill(struct buf *out, const char *word, double v)
{
    buf_printf(out, " %s (", word);
    num_format_v(out, v);
    buf_byte(out, ')');
}

static void print_matching(struct buf *out, const struct promql_matching *m)
{
    if (m->labels.n || m->is_on || m->has_group) {
        buf_str(out, m->is_on ? " on " : " ignoring ");
        promql_print_names(out, m->labels);
    }
    if (m->has_group) {
        buf_str(out, m->card == PROMQL_MANY_TO_ONE ? " group_left " : " group_right ");
        promql_print_names(out, m->include);
    }
    if (m->has_fill_left && m->has_fill_right && m->fill_left == m->fill_right) {
        print_fill(out, "fill", m->fill_left);
        return;
    }
    if (m->has_fill_left)
        print_fill(out, "fill_left", m->fill_left);
    if (m->has_fill_right)
        print_fill(out, "fill_right", m->fill_right);
}

/* "+Inf ^ x" would be read as +(Inf ^ x): the sign binds less than the power. */
static void print_lhs(struct buf *out, const struct promql_binary *b)
{
    if (b->op == PROMQL_POW && b->lhs->kind == PROMQL_NUMBER &&
        b->lhs->u.number.value == (double)INFINITY)
        buf_str(out, "Inf");
    else
        promql_print(out, b->lhs);
}

void promql_print_operator(struct buf *out, const struct promql_binary *b)
{
    buf_str(out, promql_op_text(b->op));
    if (b->is_bool)
        buf_str(out, " bool");
    if (b->has_matching)
        print_matching(out, &b->matching);
}

static void print_binary(struct buf *out, const struct promql_binary *b)
{
    print_lhs(out, b);
    buf_byte(out, ' ');
    promql_print_operator(out, b);
    buf_byte(out, ' ');
    promql_print(out, b->rhs);
}

void promql_print_aggregate_head(struct buf *out, const struct promql_aggregate *a)
{
    buf_str(out, promql_agg_name(a->op));
    if (a->is_without || a->grouping.n) {
        buf_str(out, a->is_without ? " without " : " by ");
        promql_print_names(out, a->grouping);
        buf_byte(out, ' ');
    }
}

static void print_aggregate(struct buf *out, const struct promql_aggregate *a)
{
    promql_print_aggregate_head(out, a);
    buf_byte(out, '(');
    if (a->param) {
        promql_print(out, a->param);
        buf_str(out, ", ");
    }
    promql_print(out, a->expr);
    buf_byte(out, ')');
}

static void print_call(struct buf *out, const struct promql_call *c)
{
    buf_printf(out, "%s(", c->func->name);
    for (size_t i = 0; i < c->n_args; i++) {
        if (i)
            buf_str(out, ", ");
        promql_print(out, c->args[i]);
    }
    buf_byte(out, ')');
}

static void print_range_selector(struct buf *out, const struct promql_range *r)
{
    const struct promql_selector *s = &r->selector->u.selector;

    print_series(out, s);
    buf_byte(out, '[');
    print_range(out, r->range_ms, r->range_expr);
    buf_byte(out, ']');
    print_extended(out, s);
    print_at(out, s->at, s->at_ms);
    print_offset(out, s->offset_ms, s->offset_expr);
}

void promql_print_subquery_suffix(struct buf *out, const struct promql_subquery *q)
{
    buf_byte(out, '[');
    print_range(out, q->range_ms, q->range_expr);
    buf_byte(out, ':');
    if (q->step_expr || q->step_ms)
        print_range(out, q->step_ms, q->step_expr);
    buf_byte(out, ']');
    print_at(out, q->at, q->at_ms);
    print_offset(out, q->offset_ms, q->offset_expr);
}

static void print_subquery(struct buf *out, const struct promql_subquery *q)
{
    promql_print(out, q->expr);
    promql_print_subquery_suffix(out, q);
}

void promql_print(struct buf *out, const struct promql_expr *e)
{
    switch (e->kind) {
    case PROMQL_NUMBER:
        print_number(out, e->u.number.value, e->u.number.is_duration);
        break;
    case PROMQL_TEXT:
        gostr_quote(out, e->u.text);
        break;
    case PROMQL_SELECTOR:
        print_series(out, &e->u.selector);
        print_at(out, e->u.selector.at, e->u.selector.at_ms);
        print_extended(out, &e->u.selector);
        print_offset(out, e->u.selector.offset_ms, e->u.selector.offset_expr);
        break;
    case PROMQL_RANGE:
        print_range_selector(out, &e->u.range);
        break;
    case PROMQL_SUBQUERY:
        print_subquery(out, &e->u.subquery);
        break;
    case PROMQL_CALL:
        print_call(out, &e->u.call);
        break;
    case PROMQL_AGGREGATE:
        print_aggregate(out, &e->u.aggregate);
        break;
    case PROMQL_BINARY:
        print_binary(out, &e->u.binary);
        break;
    case PROMQL_UNARY:
        buf_byte(out, e->u.unary.is_minus ? '-' : '+');
        promql_print(out, e->u.unary.expr);
        break;
    case PROMQL_PAREN:
        buf_byte(out, '(');
        promql_print(out, e->u.paren);
        buf_byte(out, ')');
        break;
    }
}

const struct promql_expr *promql_unwrap(const struct promql_expr *e)
{
    while (e->kind == PROMQL_PAREN)
        e = e->u.paren;
    return e;
}
