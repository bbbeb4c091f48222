#include "querier/engine/cell.h"

#include <math.h>

bool cell_drops_name(enum promql_op op)
{
    return !promql_op_is_comparison(op) && !promql_op_is_set(op) && op != PROMQL_TRIM_UPPER &&
           op != PROMQL_TRIM_LOWER;
}

double ops_binary_f64(enum promql_op op, double l, double r)
{
    switch (op) {
    case PROMQL_ADD:
        return l + r;
    case PROMQL_SUB:
        return l - r;
    case PROMQL_MUL:
        return l * r;
    case PROMQL_DIV:
        return l / r;
    case PROMQL_MOD:
        return fmod(l, r);
    case PROMQL_POW:
        return pow(l, r);
    case PROMQL_ATAN2:
        return atan2(l, r);
    default:
        ORR_ASSERT(op <= PROMQL_ATAN2);
        return 0;
    }
}

bool ops_compare(enum promql_op op, double l, double r)
{
    switch (op) {
    case PROMQL_EQ:
        return l == r;
    case PROMQL_NE:
        return l != r;
    case PROMQL_GT:
        return l > r;
    case PROMQL_LT:
        return l < r;
    case PROMQL_GE:
        return l >= r;
    case PROMQL_LE:
        return l <= r;
    default:
        ORR_ASSERT(promql_op_is_comparison(op));
        return false;
    }
}

static void info_types(const struct cell_op *c, const struct cell *l, const struct cell *r)
{
    annot_add(&c->x->annots, ANNOT_INFO, c->pos,
              "incompatible sample types encountered for binary operator \"%s\": %s %s %s",
              promql_op_text(c->op), l->h ? "histogram" : "float", promql_op_text(c->op),
              r->h ? "histogram" : "float");
}

static void note(const struct cell_op *c, const struct fhist_notes *notes)
{
    const char *what = c->op == PROMQL_ADD ? "addition" : "subtraction";

    if (notes->has_reset_conflict)
        annot_add(&c->x->annots, ANNOT_WARNING, c->pos,
                  "conflicting counter resets during histogram %s", what);
    if (notes->has_reconciled)
        annot_add(&c->x->annots, ANNOT_INFO, c->pos,
                  "mismatched custom buckets were reconciled during %s", what);
}

static struct cell sum_of(const struct cell_op *c, const struct cell *l, const struct cell *r,
                          bool *ret_keep, bool *ret_is_bad)
{
    struct fhist_notes notes = {0};
    const struct fhist *h = c->op == PROMQL_ADD ? fhist_add(c->arena, l->h, r->h, &notes)
                                                : fhist_sub(c->arena, l->h, r->h, &notes);

    if (!h) {
        annot_add(&c->x->annots, ANNOT_WARNING, c->pos,
                  "incompatible bucket layout encountered for binary operator %s",
                  promql_op_text(c->op));
        *ret_keep = false;
        *ret_is_bad = true;
        return *l;
    }
    note(c, &notes);
    if (c->op == PROMQL_SUB)
        h = fhist_with_hint(c->arena, h, HISTOGRAM_GAUGE);
    return (struct cell){ROW_ABSENT, h};
}

static struct cell with_hists(const struct cell_op *c, struct cell l, struct cell r, bool *ret_keep,
                              bool *ret_is_bad)
{
    *ret_keep = true;
    if (l.h && r.h) {
        switch (c->op) {
        case PROMQL_ADD:
        case PROMQL_SUB:
            return sum_of(c, &l, &r, ret_keep, ret_is_bad);
        case PROMQL_EQ:
        case PROMQL_NE:
            *ret_keep = fhist_eq(l.h, r.h) == (c->op == PROMQL_EQ);
            return l;
        default:
            break;
        }
    } else if (c->op == PROMQL_MUL) {
        return (struct cell){ROW_ABSENT, fhist_mul(c->arena, l.h ? l.h : r.h, l.h ? r.v : l.v)};
    } else if (c->op == PROMQL_DIV && l.h) {
        return (struct cell){ROW_ABSENT, fhist_div(c->arena, l.h, r.v)};
    } else if ((c->op == PROMQL_TRIM_UPPER || c->op == PROMQL_TRIM_LOWER) && l.h) {
        return (struct cell){ROW_ABSENT,
                             fhist_trim(c->arena, l.h, r.v, c->op == PROMQL_TRIM_LOWER)};
    }
    info_types(c, &l, &r);
    *ret_keep = false;
    *ret_is_bad = true;
    return l;
}

struct cell cell_binary(const struct cell_op *c, struct cell l, struct cell r, bool *ret_keep,
                        bool *ret_is_bad)
{
    *ret_is_bad = false;
    if (l.h || r.h || c->op == PROMQL_TRIM_UPPER || c->op == PROMQL_TRIM_LOWER)
        return with_hists(c, l, r, ret_keep, ret_is_bad);
    if (promql_op_is_comparison(c->op)) {
        *ret_keep = ops_compare(c->op, l.v, r.v);
        return l;
    }
    *ret_keep = true;
    if (c->op == PROMQL_DIV)
        return (struct cell){ops_divide(c->x, l.v, r.v), NULL};
    return (struct cell){ops_binary_f64(c->op, l.v, r.v), NULL};
}
