/*
 * Metric queries. What is above the range aggregations means the same in PromQL, so the query is
 * written as one, with a selector in the place of each range aggregation:
 *
 *     sum by (app) (rate({a="b"} |= "x" [5m])) > 0.5      ->      (sum by (app) (leaf0)) > (0.5)
 *
 * and the engine runs it over a storage whose series are the range aggregations' own, a sample at
 * each step. The lookback is a millisecond: a step sees its own sample and no other.
 *
 * Leaves that read alike are one. A sum that stands right above a leaf tells it which labels matter.
 *
 * Variants are their expressions joined by or, each with its number as the label __variant__, over leaves that have the common
 * stages in front of their own. Leaves are read one after the other, as they would be without.
 */
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/num.h"
#include "common/lang/promql.h"
#include "querier/logs/logquery_internal.h"

struct leaf_ref {
    const struct logql_range *range;
    const struct logql_grouping *sum;
    struct slice text;
    bool drops_empty; /* labels without a value: what is above makes label sets anew */
    bool is_done;
    struct logquery_series *series;
    size_t n;
};

struct metric {
    struct storage storage; /* first */
    struct logquery_run *run;
    struct logquery_grid grid;
    const struct logql_logs *common; /* of variants; NULL: there are none */
    struct leaf_ref *leaves;
    size_t n, cap;
    struct buf text;
};

/* ---- as PromQL ---- */

/* What a sum may look at instead of the leaf, as Loki decides it. */
static bool is_summable(enum logql_range_op op)
{
    return op == LOGQL_COUNT_OVER_TIME || op == LOGQL_RATE || op == LOGQL_BYTES_OVER_TIME ||
           op == LOGQL_BYTES_RATE || op == LOGQL_SUM_OVER_TIME;
}

/* A range aggregation of a variant. */
static const struct logql_range *joined(struct metric *m, const struct logql_range *range)
{
    struct arena *a = m->run->arena;
    struct logql_range *r = arena_new_of(a, struct logql_range);
    size_t n = m->common->n_stages, own = range->logs.n_stages;
    struct logql_stage *stages = arena_array(a, struct logql_stage, n + own);

    for (size_t i = 0; i < n + own; i++)
        stages[i] = i < n ? m->common->stages[i] : range->logs.stages[i - n];
    *r = *range;
    r->logs = (struct logql_logs){m->common->matchers, stages, n + own};
    return r;
}

static void put_leaf(struct metric *m, const struct logql_expr *e, const struct logql_expr *above,
                     bool drops_empty)
{
    const struct logql_range *range = &e->u.range;
    struct leaf_ref ref = {.range = m->common ? joined(m, range) : range,
                           .drops_empty = drops_empty};
    struct buf b = {0};
    size_t i;

    if (above && above->kind == LOGQL_VECTOR && above->u.vector.op == LOGQL_SUM &&
        is_summable(range->op) && !range->grouping.is_given)
        ref.sum = &above->u.vector.grouping;
    logql_print(&b, ref.sum ? above : e);
    ref.text = arena_dup(m->run->arena, buf_slice(&b));
    buf_done(&b);
    for (i = 0; i < m->n; i++)
        if (slice_eq(m->leaves[i].text, ref.text) && m->leaves[i].drops_empty == drops_empty)
            break;
    if (i == m->n) {
        if (m->n == m->cap) {
            size_t cap = m->cap ? m->cap * 2 : 8;

            m->leaves = arena_grow(m->run->arena, m->leaves, m->cap * sizeof(*m->leaves),
                                   cap * sizeof(*m->leaves));
            m->cap = cap;
        }
        m->leaves[m->n++] = ref;
    }
    buf_printf(&m->text, "leaf%zu", i);
}

static void put_expr(struct metric *m, const struct logql_expr *e, const struct logql_expr *above,
                     bool drops_empty);

/* Those that choose among series leave their labels as they are. */
static bool makes_labels(enum logql_vector_op op)
{
    return op < LOGQL_TOPK;
}

static void put_vector(struct metric *m, const struct logql_expr *e, bool drops_empty)
{
    const struct logql_vector *v = &e->u.vector;

    /* approx_topk counts with a sketch where there are too many groups to hold; here all are held. */
    buf_str(&m->text, v->op == LOGQL_APPROX_TOPK ? "topk" : logql_vector_op_name(v->op));
    if (v->grouping.is_given) {
        buf_str(&m->text, v->grouping.is_without ? " without " : " by ");
        promql_print_names(&m->text, v->grouping.labels);
    }
    buf_byte(&m->text, '(');
    if (v->has_count)
        buf_printf(&m->text, "%u, ", v->count);
    put_expr(m, v->expr, e, drops_empty || makes_labels(v->op));
    buf_byte(&m->text, ')');
}

static void put_binary(struct metric *m, const struct logql_binary *b, bool drops_empty)
{
    const struct promql_matching *mt = &b->matching;
    bool is_between_vectors = b->lhs->kind != LOGQL_NUMBER && b->rhs->kind != LOGQL_NUMBER;

    drops_empty |= is_between_vectors && !promql_op_is_set(b->op);
    buf_byte(&m->text, '(');
    put_expr(m, b->lhs, NULL, drops_empty);
    buf_printf(&m->text, ") %s ", promql_op_text(b->op));
    if (b->is_bool)
        buf_str(&m->text, "bool ");
    if (is_between_vectors && (mt->is_on || mt->labels.n || mt->has_group)) {
        buf_str(&m->text, mt->is_on ? "on " : "ignoring ");
        promql_print_names(&m->text, mt->labels);
        if (mt->has_group) {
            buf_str(&m->text, mt->card == PROMQL_ONE_TO_MANY ? " group_right " : " group_left ");
            promql_print_names(&m->text, mt->include);
        }
        buf_byte(&m->text, ' ');
    }
    buf_byte(&m->text, '(');
    put_expr(m, b->rhs, NULL, drops_empty);
    buf_byte(&m->text, ')');
}

static void put_string(struct buf *out, struct slice s)
{
    static const char digits[] = "0123456789abcdef";

    buf_byte(out, '"');
    for (size_t i = 0; i < s.len; i++) {
        uint8_t c = s.ptr[i];

        if (c == '"' || c == '\\' || c < ' ' || c >= 0x7f) {
            buf_str(out, "\\x");
            buf_byte(out, digits[c >> 4]);
            buf_byte(out, digits[c & 15]);
        } else {
            buf_byte(out, c);
        }
    }
    buf_byte(out, '"');
}

static void put_label_replace(struct metric *m, const struct logql_label_replace *r)
{
    const struct slice texts[] = {r->dst, r->replacement, r->src, r->regex};

    buf_str(&m->text, "label_replace(");
    put_expr(m, r->expr, NULL, true);
    for (size_t i = 0; i < ORR_COUNT(texts); i++) {
        buf_str(&m->text, ", ");
        put_string(&m->text, texts[i]);
    }
    buf_byte(&m->text, ')');
}

static void put_variants(struct metric *m, const struct logql_variants *v)
{
    m->common = &v->common;
    for (size_t i = 0; i < v->n; i++) {
        buf_str(&m->text, i ? " or label_replace(" : "label_replace(");
        put_expr(m, v->exprs[i], NULL, true);
        buf_printf(&m->text, ", \"__variant__\", \"%zu\", \"\", \"\")", i);
    }
}

static void put_expr(struct metric *m, const struct logql_expr *e, const struct logql_expr *above,
                     bool drops_empty)
{
    switch (e->kind) {
    case LOGQL_RANGE:
        put_leaf(m, e, above, drops_empty);
        break;
    case LOGQL_VECTOR:
        put_vector(m, e, drops_empty);
        break;
    case LOGQL_BINARY:
        put_binary(m, &e->u.binary, drops_empty);
        break;
    case LOGQL_LABEL_REPLACE:
        put_label_replace(m, &e->u.label_replace);
        break;
    case LOGQL_CONSTANT:
        buf_str(&m->text, "vector(");
        num_format(&m->text, e->u.number, 'g', -1);
        buf_byte(&m->text, ')');
        break;
    case LOGQL_NUMBER:
        num_format(&m->text, e->u.number, 'g', -1);
        break;
    case LOGQL_VARIANTS:
        put_variants(m, &e->u.variants);
        break;
    case LOGQL_LOGS: /* the parser lets lines stand nowhere in a metric query */
        ORR_ASSERT(e->kind != LOGQL_LOGS);
    }
}

/* ---- the storage ---- */

struct leaf_set {
    struct series_set set; /* first */
    const struct metric *metric;
    const struct leaf_ref *leaf;
    size_t at;
    int64_t *t_ms;
    double *v;
};

static bool leaf_next(struct series_set *ss, struct storage_series *ret)
{
    struct leaf_set *set = (struct leaf_set *)ss;
    const struct logquery_grid *g = &set->metric->grid;
    const struct logquery_series *s;
    size_t n = 0;

    if (set->at == set->leaf->n)
        return false;
    s = &set->leaf->series[set->at++];
    for (size_t i = 0; i < g->n; i++) {
        if (!s->has[i])
            continue;
        set->t_ms[n] = (g->start_ns / NS_PER_MS) + (int64_t)i * (g->step_ns / NS_PER_MS);
        set->v[n++] = s->v[i];
    }
    *ret = (struct storage_series){.labels = s->labels, .n = n, .t_ms = set->t_ms, .v = set->v};
    return true;
}

static struct err *leaf_close(struct series_set *ss)
{
    (void)ss; /* the arena's */
    return NULL;
}

static struct labels without_empty(struct arena *a, struct labels ls)
{
    struct label *out = arena_array(a, struct label, ls.n);
    size_t n = 0;

    for (size_t i = 0; i < ls.n; i++)
        if (ls.ptr[i].value.len)
            out[n++] = ls.ptr[i];
    return (struct labels){out, n};
}

static struct err *evaluate(struct metric *m, struct leaf_ref *leaf)
{
    struct err *e = logquery_leaf(m->run, leaf->range, leaf->sum, leaf->text, &m->grid,
                                  &leaf->series, &leaf->n);

    if (e)
        return e;
    leaf->is_done = true;
    if (!leaf->drops_empty || leaf->n == 0)
        return NULL;
    for (size_t i = 0; i < leaf->n; i++)
        leaf->series[i].labels = without_empty(m->run->arena, leaf->series[i].labels);
    qsort(leaf->series, leaf->n, sizeof(*leaf->series), logquery_by_labels);
    return NULL;
}

static struct err *leaf_select(struct storage *st, struct arena *arena,
                               const struct storage_request *req, struct series_set **ret)
{
    static const struct series_set_ops ops = {leaf_next, leaf_close};
    struct metric *m = (struct metric *)st;
    struct leaf_set *set = arena_new_of(arena, struct leaf_set);
    struct leaf_ref *leaf;
    struct err *e;
    uint64_t i;

    ORR_ASSERT(req->matchers.n == 1 &&
               slice_to_u64(slice_from(req->matchers.ptr[0].value, 4), &i) && i < m->n);
    leaf = &m->leaves[i];
    if (!leaf->is_done && (e = evaluate(m, leaf)))
        return e;
    set->set.ops = &ops;
    set->metric = m;
    set->leaf = leaf;
    set->t_ms = arena_array(arena, int64_t, m->grid.n);
    set->v = arena_array(arena, double, m->grid.n);
    *ret = &set->set;
    return NULL;
}

static uint64_t points_of(const struct engine_result *r)
{
    uint64_t n = 0;

    for (size_t i = 0; i < r->n_series; i++)
        n += r->series[i].n;
    return n;
}

/* Who asks has cut the query in the same way: or it is of a version that does so in another. */
static struct err *piece_of_leaf(struct metric *m, const struct logquery_only *only)
{
    for (size_t i = 0; i < m->n; i++) {
        struct leaf_ref *leaf = &m->leaves[i];

        if (slice_eq(leaf->text, only->leaf))
            return logquery_leaf(m->run, leaf->range, leaf->sum, leaf->text, &m->grid,
                                 &leaf->series, &leaf->n);
    }
    return err_new(ERR_INVALID, "the query has no such range aggregation");
}

struct err *logquery_metric(struct logquery_run *r, const struct engine *eng,
                            const struct logql_expr *root, struct logquery_result *ret)
{
    static const struct storage_ops ops = {leaf_select};
    const struct logquery *q = r->q;
    struct metric m = {.storage.ops = &ops, .run = r};
    struct engine_query eq = {.start_ms = q->start_ns / NS_PER_MS,
                              .end_ms = q->end_ns / NS_PER_MS,
                              .step_ms = q->step_ns / NS_PER_MS,
                              .lookback_ms = 1,
                              .max_samples = q->max_samples,
                              .max_points = q->max_points,
                              .deadline_mono_ms = q->deadline_mono_ms,
                              .cancel = q->cancel};
    struct err *e;

    m.grid = (struct logquery_grid){q->start_ns, q->step_ns, 1};
    if (eq.step_ms > 0)
        m.grid.n = (size_t)((eq.end_ms - eq.start_ms) / eq.step_ms) + 1;
    put_expr(&m, root, NULL, false);
    eq.expr = arena_dup(r->arena, buf_slice(&m.text));
    buf_done(&m.text);
    if (r->only)
        return piece_of_leaf(&m, r->only);
    e = engine_query(eng, &eq, &m.storage, r->arena, &ret->metric);
    if (!e)
        ret->stats.entries = points_of(&ret->metric);
    return e;
}
