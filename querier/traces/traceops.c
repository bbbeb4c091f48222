#include "querier/traces/tracepipe_internal.h"

enum { IN_LHS = 1, IN_RHS = 2, HAS_IT = 4, IS_KNOWN = 8, IS_BELOW = 16 };

/* Flags and counts of each span of the trace, by row less base. */
struct state {
    const struct tracecols *cols;
    uint32_t base, n;
    uint8_t *flags;
    const struct traceset *lhs, *rhs;
};

/* A span that a root leads to; the others are in no relation to any. */
static bool is_connected(const struct state *s, uint32_t row)
{
    return s->cols->left[row] > 0;
}

static bool is_in(const struct state *s, uint32_t row, uint8_t flag)
{
    return s->flags[row - s->base] & flag;
}

/* What was learnt on one way through the trees. */
static void forget(struct state *s)
{
    for (uint32_t i = 0; i < s->n; i++)
        s->flags[i] &= (uint8_t) ~(IS_KNOWN | IS_BELOW);
}

static bool has_parent_in(const struct state *s, uint32_t row, uint8_t flag)
{
    uint32_t parent = s->cols->parent[row];

    return parent != UINT32_MAX && is_in(s, parent, flag);
}

/* Whether row has an ancestor with flag. What is learnt on the way up is kept at each step, so that
 * all of a trace's spans together look at each only twice, however deep it is. */
static bool has_ancestor_in(struct state *s, uint32_t row, uint8_t flag)
{
    uint32_t first = s->cols->parent[row], up = first;
    bool is_below;

    while (up != UINT32_MAX && !is_in(s, up, flag | IS_KNOWN))
        up = s->cols->parent[up];
    is_below = up != UINT32_MAX && (is_in(s, up, flag) || is_in(s, up, IS_BELOW));
    for (; first != up; first = s->cols->parent[first])
        s->flags[first - s->base] |= is_below ? IS_KNOWN | IS_BELOW : IS_KNOWN;
    return is_below;
}

/* Marks the rows of set that have an ancestor with flag; the parent alone if is_near. */
static void mark_below(struct state *s, const struct traceset *set, uint8_t flag, bool is_near)
{
    for (uint32_t i = 0; i < set->n; i++) {
        uint32_t row = set->rows[i];

        if (is_connected(s, row) &&
            (is_near ? has_parent_in(s, row, flag) : has_ancestor_in(s, row, flag)))
            s->flags[row - s->base] |= HAS_IT;
    }
    forget(s);
}

/* Marks what has flag and has a descendant in set; a child, if is_near. */
static void mark_above(struct state *s, const struct traceset *set, uint8_t flag, bool is_near)
{
    for (uint32_t i = 0; i < set->n; i++) {
        uint32_t row = set->rows[i];

        if (!is_connected(s, row))
            continue;
        for (uint32_t up = s->cols->parent[row]; up != UINT32_MAX && !is_in(s, up, IS_KNOWN);
             up = s->cols->parent[up]) {
            if (is_in(s, up, flag))
                s->flags[up - s->base] |= HAS_IT;
            s->flags[up - s->base] |= IS_KNOWN; /* so is all above it */
            if (is_near)
                break;
        }
    }
    forget(s);
}

/* Marks the rows of set that have a sibling with flag. Roots are no siblings. */
static void mark_siblings(struct arena *a, struct state *s, const struct traceset *set,
                          const struct traceset *others, uint8_t flag)
{
    uint32_t *n_children = arena_array(a, uint32_t, s->n); /* that are in others */

    for (uint32_t i = 0; i < others->n; i++) {
        uint32_t parent = s->cols->parent[others->rows[i]];

        if (parent != UINT32_MAX && is_connected(s, others->rows[i]))
            n_children[parent - s->base]++;
    }
    for (uint32_t i = 0; i < set->n; i++) {
        uint32_t row = set->rows[i], parent = s->cols->parent[row];

        if (parent != UINT32_MAX && is_connected(s, row) &&
            n_children[parent - s->base] > (uint32_t)is_in(s, row, flag))
            s->flags[row - s->base] |= HAS_IT;
    }
}

enum relation { CHILD, PARENT, DESCENDANT, ANCESTOR, SIBLING };

static enum relation relation_of(enum traceql_spanset_op op)
{
    switch (op) {
    case TRACEQL_CHILD:
    case TRACEQL_NOT_CHILD:
    case TRACEQL_UNION_CHILD:
        return CHILD;
    case TRACEQL_PARENT:
    case TRACEQL_NOT_PARENT:
    case TRACEQL_UNION_PARENT:
        return PARENT;
    case TRACEQL_DESCENDANT:
    case TRACEQL_NOT_DESCENDANT:
    case TRACEQL_UNION_DESCENDANT:
        return DESCENDANT;
    case TRACEQL_ANCESTOR:
    case TRACEQL_NOT_ANCESTOR:
    case TRACEQL_UNION_ANCESTOR:
        return ANCESTOR;
    default:
        return SIBLING;
    }
}

/* Marks what of the right side is so related to something of the left side. */
static void mark_right(struct arena *a, struct state *s, enum relation r)
{
    bool is_near = r == CHILD || r == PARENT;

    if (r == SIBLING)
        mark_siblings(a, s, s->rhs, s->lhs, IN_LHS);
    else if (r == CHILD || r == DESCENDANT)
        mark_below(s, s->rhs, IN_LHS, is_near);
    else
        mark_above(s, s->lhs, IN_RHS, is_near);
}

/* Marks what of the left side something of the right side is so related to. */
static void mark_left(struct arena *a, struct state *s, enum relation r)
{
    bool is_near = r == CHILD || r == PARENT;

    if (r == SIBLING)
        mark_siblings(a, s, s->lhs, s->rhs, IN_RHS);
    else if (r == CHILD || r == DESCENDANT)
        mark_above(s, s->rhs, IN_LHS, is_near);
    else
        mark_below(s, s->lhs, IN_RHS, is_near);
}

static void collect(const struct state *s, struct arena *a, uint8_t wanted, uint8_t value,
                    struct traceset *out)
{
    uint32_t *rows = arena_array(a, uint32_t, s->n);

    out->n = 0;
    for (uint32_t i = 0; i < s->n; i++)
        if ((s->flags[i] & wanted) == value)
            rows[out->n++] = s->base + i;
    out->rows = rows;
}

/* Rows that either side has. */
static void collect_both(const struct state *s, struct arena *a, struct traceset *out)
{
    uint32_t *rows = arena_array(a, uint32_t, s->n);

    out->n = 0;
    for (uint32_t i = 0; i < s->n; i++)
        if (s->flags[i] & (IN_LHS | IN_RHS))
            rows[out->n++] = s->base + i;
    out->rows = rows;
}

static void mark_sides(struct state *s, struct arena *a)
{
    const struct tracecols *c = s->cols;
    uint32_t any = s->lhs->n ? s->lhs->rows[0] : s->rhs->rows[0];
    const struct tracecols_trace *t = &c->traces[c->trace[any]];

    s->base = t->first;
    s->n = t->n;
    s->flags = arena_zalloc(a, t->n);
    for (uint32_t i = 0; i < s->lhs->n; i++)
        s->flags[s->lhs->rows[i] - s->base] |= IN_LHS;
    for (uint32_t i = 0; i < s->rhs->n; i++)
        s->flags[s->rhs->rows[i] - s->base] |= IN_RHS;
}

void tracepipe_operate(struct arena *a, const struct tracecols *cols, enum traceql_spanset_op op,
                       const struct traceset *lhs, const struct traceset *rhs, struct traceset *out)
{
    struct state s = {.cols = cols, .lhs = lhs, .rhs = rhs};
    bool is_negated = op >= TRACEQL_NOT_CHILD && op <= TRACEQL_NOT_SIBLING;
    bool is_union = op >= TRACEQL_UNION_CHILD;

    out->n = 0;
    if (lhs->n + rhs->n == 0)
        return;
    mark_sides(&s, a);
    if (op == TRACEQL_SPANSET_AND || op == TRACEQL_SPANSET_UNION) {
        if (op == TRACEQL_SPANSET_UNION || (lhs->n && rhs->n))
            collect_both(&s, a, out);
        return;
    }
    mark_right(a, &s, relation_of(op));
    if (is_negated) {
        collect(&s, a, IN_RHS | HAS_IT, IN_RHS, out);
        return;
    }
    if (is_union)
        mark_left(a, &s, relation_of(op));
    collect(&s, a, HAS_IT, HAS_IT, out);
}

void tracepipe_add(struct traceql_static *sum, const struct traceql_static *v)
{
    if (sum->type == TRACEQL_DURATION && v->type == TRACEQL_DURATION)
        sum->v.i = (int64_t)((uint64_t)sum->v.i + (uint64_t)v->v.i);
    else
        (void)traceql_apply(TRACEQL_ADD, sum, v, sum);
}

void tracepipe_divide(struct traceql_static *sum, uint32_t n)
{
    if (sum->type == TRACEQL_DURATION)
        sum->v.i /= n;
    else
        *sum = (struct traceql_static){TRACEQL_FLOAT, {.f = traceql_number(sum) / n}};
}
