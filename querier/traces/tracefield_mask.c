/* Filters over all spans, column by column. */
#include "common/base/mem.h"
#include "querier/traces/tracefield_internal.h"

/* A comparison with a constant, over columns. */
struct leaf {
    struct tracefield *ctx;
    enum traceql_op op;
    const struct traceql_static *value;
    const struct traceql_field *constant;
    uint8_t *codes; /* verdict + 1 of each entry of the dict, 0: not looked at; NULL: no text yet */
};

static enum tracefield_verdict judge_code(struct leaf *l, uint64_t code)
{
    const struct tracecols *c = l->ctx->cols;
    struct traceql_static v;

    if (l->value->type != TRACEQL_STRING)
        return TRACEFIELD_NO_SAY;
    if (!l->codes)
        l->codes = arena_zalloc(l->ctx->scratch, c->n_dict);
    if (l->codes[code] == 0) {
        v = (struct traceql_static){TRACEQL_STRING, {.s = c->dict[code]}};
        l->codes[code] = (uint8_t)(1 + tracefield_judge(l->ctx, l->op, &v, l->value, l->constant));
    }
    return (enum tracefield_verdict)(l->codes[code] - 1);
}

static enum tracefield_verdict judge_scalar(struct leaf *l, uint8_t type, uint64_t value)
{
    struct traceql_static v;

    if (type == TRACECELL_STRING)
        return judge_code(l, value);
    v = tracefield_cell(l->ctx->cols, type, value);
    /* as in Tempo: an integer is never like a float, and integers are compared with integers only */
    if ((v.type == TRACEQL_INT && l->value->type == TRACEQL_FLOAT) ||
        (v.type == TRACEQL_FLOAT && l->value->type == TRACEQL_INT &&
         (l->op == TRACEQL_EQ || l->op == TRACEQL_NE)))
        return TRACEFIELD_NO_SAY;
    return tracefield_judge(l->ctx, l->op, &v, l->value, l->constant);
}

static void judge_cell(struct leaf *l, uint8_t type, uint64_t value, bool *has_yes, bool *has_no)
{
    enum tracefield_verdict v;

    if (type == TRACECELL_ARRAY) {
        const struct tracearray *a = &l->ctx->cols->arrays[value];

        for (uint32_t i = 0; i < a->n; i++)
            judge_cell(l, a->types[i], a->values[i], has_yes, has_no);
        return;
    }
    v = judge_scalar(l, type, value);
    *has_yes = *has_yes || v == TRACEFIELD_YES;
    *has_no = *has_no || v == TRACEFIELD_NO;
}

#define IS_ABSENT 2 /* in a mask: the attribute is not there */

/* Of the spans' own attribute: those without one stay as they are. */
static void mask_spans(struct leaf *l, const struct tracecol *col, uint8_t *mask)
{
    for (uint32_t i = 0; i < col->n; i++) {
        bool has_yes = false, has_no = false;

        judge_cell(l, col->types[i], col->values[i], &has_yes, &has_no);
        mask[col->rows[i]] = tracefield_sum_up(l->op, has_yes, has_no);
    }
}

/* Of what many spans share; owner[span] is its row. */
static void mask_shared(struct leaf *l, const struct tracecol *col, uint32_t n_rows,
                        const uint32_t *owner, uint8_t *mask)
{
    uint8_t *rows = arena_alloc(l->ctx->scratch, n_rows);

    memset(rows, IS_ABSENT, n_rows);
    mask_spans(l, col, rows);
    for (uint32_t i = 0; i < l->ctx->cols->n_spans; i++)
        if (rows[owner[i]] != IS_ABSENT)
            mask[i] = rows[owner[i]];
}

/* Of what a span has several of: first[span] … first[span + 1]. */
static void mask_several(struct leaf *l, const struct tracecol *col, const uint32_t *first,
                         uint8_t *mask)
{
    uint32_t i = 0;

    for (uint32_t span = 0; span < l->ctx->cols->n_spans; span++) {
        bool has_yes = false, has_no = false, is_there = false;

        for (; i < col->n && col->rows[i] < first[span + 1]; i++) {
            judge_cell(l, col->types[i], col->values[i], &has_yes, &has_no);
            is_there = true;
        }
        if (is_there)
            mask[span] = tracefield_sum_up(l->op, has_yes, has_no);
    }
}

static void mask_table(struct leaf *l, const struct traceql_attribute *a, enum tracetable table,
                       uint8_t *mask)
{
    const struct tracecols *c = l->ctx->cols;
    const struct tracecol *col = tracefield_column(l->ctx, a, table);

    if (!col)
        return;
    if (table == TRACE_SPANS)
        mask_spans(l, col, mask);
    else if (table == TRACE_RESOURCES)
        mask_shared(l, col, c->n_rows[table], c->resource, mask);
    else if (table == TRACE_LIBRARIES)
        mask_shared(l, col, c->n_rows[table], c->library, mask);
    else
        mask_several(l, col, table == TRACE_EVENTS ? c->event_first : c->link_first, mask);
}

static void mask_attribute(struct leaf *l, const struct traceql_attribute *a, uint8_t *mask)
{
    memset(mask, 0, l->ctx->cols->n_spans);
    if (a->scope != TRACEQL_SCOPE_ANY) {
        mask_table(l, a, tracefield_table(a->scope), mask);
        return;
    }
    for (size_t i = TRACE_TABLES; i-- > 0;) /* what comes first has the last word */
        mask_table(l, a, tracefield_scopes[i], mask);
}

static void mask_codes(struct leaf *l, const uint32_t *codes, uint8_t *mask)
{
    for (uint32_t i = 0; i < l->ctx->cols->n_spans; i++) {
        enum tracefield_verdict v = judge_code(l, codes[i]);

        mask[i] = tracefield_sum_up(l->op, v == TRACEFIELD_YES, v == TRACEFIELD_NO);
    }
}

/* Whole numbers of both sides: what all filters by duration are. False: it is another comparison. */
static bool mask_whole_durations(const struct leaf *l, uint8_t *mask)
{
    const struct tracecols *c = l->ctx->cols;
    const int64_t *start = c->start_ns, *end = c->end_ns;
    int64_t v = l->value->v.i;

    if (l->value->type != TRACEQL_DURATION && l->value->type != TRACEQL_INT)
        return false;
#define EACH(op)                                                                                   \
    for (uint32_t i = 0; i < c->n_spans; i++)                                                      \
        mask[i] = end[i] - start[i] op v;                                                          \
    return true
    switch (l->op) {
    case TRACEQL_EQ:
        EACH(==);
    case TRACEQL_NE:
        EACH(!=);
    case TRACEQL_GT:
        EACH(>);
    case TRACEQL_GE:
        EACH(>=);
    case TRACEQL_LT:
        EACH(<);
    case TRACEQL_LE:
        EACH(<=);
    default:
        return false;
    }
#undef EACH
}

static void mask_durations(struct leaf *l, uint8_t *mask)
{
    const struct tracecols *c = l->ctx->cols;

    if (mask_whole_durations(l, mask))
        return;
    for (uint32_t i = 0; i < c->n_spans; i++) {
        struct traceql_static v = {TRACEQL_DURATION, {.i = c->end_ns[i] - c->start_ns[i]}};
        enum tracefield_verdict said = tracefield_judge(l->ctx, l->op, &v, l->value, l->constant);

        mask[i] = tracefield_sum_up(l->op, said == TRACEFIELD_YES, said == TRACEFIELD_NO);
    }
}

static void mask_bytes(struct leaf *l, const uint8_t *bytes, bool is_status, uint8_t *mask)
{
    uint8_t by_byte[256];

    for (unsigned b = 0; b < 256; b++) {
        struct traceql_static v = {is_status ? TRACEQL_STATUS : TRACEQL_SPAN_KIND, {.i = b}};
        enum tracefield_verdict said = tracefield_judge(l->ctx, l->op, &v, l->value, l->constant);

        by_byte[b] = tracefield_sum_up(l->op, said == TRACEFIELD_YES, said == TRACEFIELD_NO);
    }
    for (uint32_t i = 0; i < l->ctx->cols->n_spans; i++)
        mask[i] = by_byte[bytes[i]];
}

/* False: there is no column for it. */
static bool mask_intrinsic(struct leaf *l, enum traceql_intrinsic intrinsic, uint8_t *mask)
{
    const struct tracecols *c = l->ctx->cols;

    switch (intrinsic) {
    case TRACEQL_NAME:
        mask_codes(l, c->name, mask);
        return true;
    case TRACEQL_STATUS_MESSAGE:
        mask_codes(l, c->message, mask);
        return true;
    case TRACEQL_SPAN_DURATION:
        mask_durations(l, mask);
        return true;
    case TRACEQL_SPAN_STATUS:
        mask_bytes(l, c->status, true, mask);
        return true;
    case TRACEQL_KIND:
        mask_bytes(l, c->kind, false, mask);
        return true;
    default:
        return false;
    }
}

/* The operator with its sides changed. */
static enum traceql_op mirrored(enum traceql_op op)
{
    switch (op) {
    case TRACEQL_GT:
        return TRACEQL_LT;
    case TRACEQL_GE:
        return TRACEQL_LE;
    case TRACEQL_LT:
        return TRACEQL_GT;
    case TRACEQL_LE:
        return TRACEQL_GE;
    default:
        return op;
    }
}

/* False: it is no comparison of an attribute with a constant, or of one without a column. */
static bool mask_leaf(struct tracefield *ctx, const struct traceql_field *f, uint8_t *mask)
{
    const struct traceql_field *attribute = f->u.binary.lhs, *constant = f->u.binary.rhs;
    struct leaf l = {.ctx = ctx, .op = f->u.binary.op};

    if (attribute->kind == TRACEQL_STATIC) {
        attribute = f->u.binary.rhs;
        constant = f->u.binary.lhs;
        l.op = mirrored(l.op);
    }
    if (attribute->kind != TRACEQL_ATTRIBUTE || constant->kind != TRACEQL_STATIC)
        return false;
    l.constant = constant;
    l.value = &constant->u.value;
    if (attribute->u.attribute.intrinsic != TRACEQL_NO_INTRINSIC)
        return mask_intrinsic(&l, attribute->u.attribute.intrinsic, mask);
    mask_attribute(&l, &attribute->u.attribute, mask);
    return true;
}

static void mask_each(struct tracefield *ctx, const struct traceql_field *f, uint8_t *mask)
{
    for (uint32_t row = 0; row < ctx->cols->n_spans; row++) {
        mask[row] = tracefield_is_true(ctx, f, row);
    }
}

static bool is_boolean(const struct traceql_field *f)
{
    return traceql_type_of(f) == TRACEQL_BOOL;
}

static void mask_logical(struct tracefield *ctx, const struct traceql_field *f, uint8_t *mask)
{
    uint32_t n = ctx->cols->n_spans;
    bool is_and = f->u.binary.op == TRACEQL_AND;
    uint8_t *other;

    tracefield_mask(ctx, f->u.binary.lhs,
                    mask); /* chains lean to the left: one other mask for all */
    if (is_and && !memchr(mask, 1, n))
        return;
    other = mem_alloc(n);
    tracefield_mask(ctx, f->u.binary.rhs, other);
    for (uint32_t i = 0; i < n; i++)
        mask[i] = is_and ? mask[i] & other[i] : mask[i] | other[i];
    mem_free(other);
}

void tracefield_mask(struct tracefield *ctx, const struct traceql_field *f, uint8_t *mask)
{
    arena_reset(ctx->scratch);
    if (f->kind == TRACEQL_STATIC) {
        memset(mask, f->u.value.type == TRACEQL_BOOL && f->u.value.v.b, ctx->cols->n_spans);
    } else if (f->kind == TRACEQL_UNARY && f->u.unary.op == TRACEQL_NOT &&
               is_boolean(f->u.unary.operand)) {
        tracefield_mask(ctx, f->u.unary.operand, mask);
        for (uint32_t i = 0; i < ctx->cols->n_spans; i++)
            mask[i] ^= 1;
    } else if (f->kind != TRACEQL_BINARY) {
        mask_each(ctx, f, mask);
    } else if (f->u.binary.op == TRACEQL_AND || f->u.binary.op == TRACEQL_OR) {
        mask_logical(ctx, f, mask);
    } else if (f->u.binary.op > TRACEQL_LE || !mask_leaf(ctx, f, mask)) {
        mask_each(ctx, f, mask);
    }
}
