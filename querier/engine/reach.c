#include "querier/engine/reach.h"

#include "querier/engine/engine_internal.h"
#include "querier/engine/ops.h"

#define FAR_MS (INT64_C(1) << 60) /* further than any time of a query */

/* Times at which something is evaluated: those of the steps and so much around them, or fixed ones. */
struct around {
    bool is_fixed;
    int64_t lo, hi;
};

struct walk {
    struct reach *out;
    int64_t lookback_ms;
    bool is_stepwise;
};

static int64_t add(int64_t a, int64_t b)
{
    int64_t sum;

    if (__builtin_add_overflow(a, b, &sum))
        return a < 0 ? -FAR_MS : FAR_MS;
    return ORR_MAX(-FAR_MS, ORR_MIN(FAR_MS, sum));
}

static bool names_range(const struct promql_duration *d)
{
    return d && (d->op == PROMQL_DUR_RANGE || names_range(d->lhs) || names_range(d->rhs));
}

/* Moved by @ and offset. */
static struct around moved(struct walk *w, struct around at, enum promql_at kind, int64_t at_ms,
                           int64_t offset_ms)
{
    if (kind == PROMQL_AT_START || kind == PROMQL_AT_END)
        w->is_stepwise = false;
    if (kind == PROMQL_AT_TIME)
        at = (struct around){true, at_ms, at_ms};
    at.lo = add(at.lo, -offset_ms);
    at.hi = add(at.hi, -offset_ms);
    return at;
}

static void note(struct reach *out, struct around at)
{
    if (!at.is_fixed) {
        out->back_ms = ORR_MAX(out->back_ms, -at.lo);
        out->ahead_ms = ORR_MAX(out->ahead_ms, at.hi);
        return;
    }
    out->fixed_min_ms = out->has_fixed ? ORR_MIN(out->fixed_min_ms, at.lo) : at.lo;
    out->fixed_max_ms = out->has_fixed ? ORR_MAX(out->fixed_max_ms, at.hi) : at.hi;
    out->has_fixed = true;
}

static void look_at_selector(struct walk *w, const struct promql_selector *s, int64_t range_ms,
                             struct around at)
{
    at = moved(w, at, s->at, s->at_ms, s->offset_ms);
    w->is_stepwise &= !names_range(s->offset_expr);
    at.lo = add(at.lo, -range_ms);
    if (s->is_anchored || s->is_smoothed)
        at.lo = add(at.lo, -w->lookback_ms);
    if (s->is_smoothed)
        at.hi = add(at.hi, w->lookback_ms);
    note(w->out, at);
}

static void look_at(struct walk *w, const struct promql_expr *e, struct around at);

/* Whether series that coincide are put together here or below: where such a one stands in the order of
 * series hangs on which of them appears first. */
static bool merges(const struct promql_expr *e, bool with_top)
{
    const struct promql_expr *parts[2] = {NULL, NULL};
    struct promql_expr *const *args = (struct promql_expr *const *)parts;
    size_t n = 0;

    e = promql_unwrap(e);
    if (e->kind == PROMQL_CALL) {
        if (with_top && (e->u.call.func->id == PROMQL_FN_LABEL_REPLACE ||
                         e->u.call.func->id == PROMQL_FN_LABEL_JOIN))
            return true;
        args = e->u.call.args;
        n = e->u.call.n_args;
    } else if (e->kind == PROMQL_BINARY) {
        parts[n++] = e->u.binary.lhs;
        parts[n++] = e->u.binary.rhs;
    } else if (e->kind == PROMQL_UNARY) {
        parts[n++] = e->u.unary.expr;
    }
    for (size_t i = 0; i < n; i++)
        if (args[i]->type == PROMQL_VECTOR &&
            ((with_top && build_has_many_names(args[i])) || merges(args[i], true)))
            return true;
    return false;
}

/* What hangs on the order of the series it is given: sums round by it, ranks take the first of equals. Sums take
 * rows of series right below as they come, before they are put together. */
static bool hangs_on_merge(const struct promql_aggregate *g)
{
    switch (g->op) {
    case PROMQL_AGG_TOPK:
    case PROMQL_AGG_BOTTOMK:
    case PROMQL_AGG_LIMITK:
        return merges(g->expr, true);
    case PROMQL_AGG_SUM:
    case PROMQL_AGG_AVG:
    case PROMQL_AGG_STDDEV:
    case PROMQL_AGG_STDVAR:
        return merges(g->expr, false);
    default:
        return false;
    }
}

static void look_at_call(struct walk *w, const struct promql_call *c, struct around at)
{
    switch (c->func->id) {
    case PROMQL_FN_START:
    case PROMQL_FN_END:
    case PROMQL_FN_RANGE:
    case PROMQL_FN_INFO:
        w->is_stepwise = false;
        break;
    default:
        break;
    }
    for (size_t i = 0; i < c->n_args; i++) {
        const struct promql_expr *arg = c->args[i];

        if (arg->type == PROMQL_MATRIX && c->func->id != PROMQL_FN_LAST_OVER_TIME &&
            c->func->id != PROMQL_FN_FIRST_OVER_TIME && build_has_many_names(arg))
            w->is_stepwise = false;
        look_at(w, arg, at);
    }
}

static void look_at_subquery(struct walk *w, const struct promql_subquery *s, struct around at)
{
    w->is_stepwise &=
        !names_range(s->range_expr) && !names_range(s->step_expr) && !names_range(s->offset_expr);
    at = moved(w, at, s->at, s->at_ms, s->offset_ms);
    at.lo = add(at.lo, -s->range_ms);
    look_at(w, s->expr, at);
}

static void look_at(struct walk *w, const struct promql_expr *e, struct around at)
{
    switch (e->kind) {
    case PROMQL_NUMBER:
    case PROMQL_TEXT:
        return;
    case PROMQL_SELECTOR:
        look_at_selector(w, &e->u.selector, w->lookback_ms, at);
        return;
    case PROMQL_RANGE:
        w->is_stepwise &= !names_range(e->u.range.range_expr);
        look_at_selector(w, &promql_unwrap(e->u.range.selector)->u.selector, e->u.range.range_ms,
                         at);
        return;
    case PROMQL_SUBQUERY:
        look_at_subquery(w, &e->u.subquery, at);
        return;
    case PROMQL_CALL:
        look_at_call(w, &e->u.call, at);
        return;
    case PROMQL_AGGREGATE:
        w->is_stepwise &= !hangs_on_merge(&e->u.aggregate);
        look_at(w, e->u.aggregate.expr, at);
        if (e->u.aggregate.param)
            look_at(w, e->u.aggregate.param, at);
        return;
    case PROMQL_BINARY:
        look_at(w, e->u.binary.lhs, at);
        look_at(w, e->u.binary.rhs, at);
        return;
    case PROMQL_UNARY:
        look_at(w, e->u.unary.expr, at);
        return;
    case PROMQL_PAREN:
        look_at(w, e->u.paren, at);
        return;
    }
}

struct err *reach_of(const struct engine *eng, const struct engine_query *q, struct arena *a,
                     struct reach *ret)
{
    const struct promql_options everything = PROMQL_EVERYTHING;
    struct reach out = {0};
    struct walk w = {&out, q->lookback_ms ? q->lookback_ms : eng->opts.lookback_ms, true};
    struct promql parsed = {0};
    struct buf text = {0};
    struct err *e =
        promql_parse(a, q->expr, eng->opts.has_experimental ? &everything : NULL, &parsed);

    if (e)
        return e;
    promql_print(&text, parsed.root); /* before durations are filled in for these times */
    if (!(e = promql_resolve_durations(parsed.root, q->step_ms, q->end_ms - q->start_ms))) {
        look_at(&w, parsed.root, (struct around){false, 0, 0});
        out.is_stepwise = w.is_stepwise;
        out.text = arena_dup(a, buf_slice(&text));
        *ret = out;
    }
    buf_done(&text);
    promql_done(&parsed);
    return e;
}
