#include "querier/traces/tracefield.h"

#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/re.h"
#include "common/base/vec.h"

/* Values of one attribute or expression of one span: none, one, or several. */
struct values {
    size_t n;
    struct traceql_static *ptr; /* the arena's */
};

struct regex {
    const struct traceql_field *of; /* the constant that it was compiled from */
    struct re *re;
};

/* The columns of an attribute of the query. */
struct found {
    const struct traceql_attribute *of;
    const struct tracecol *cols[TRACE_TABLES];
};

struct tracefield {
    const struct tracecols *cols;
    struct arena *scratch; /* of one span, or of one mask */
    VEC(struct regex) regexes;
    VEC(struct found) founds;
};

/* What one value says to a comparison: nothing, if its type does not go with the constant's. */
enum verdict { NO_SAY, NO, YES };

struct tracefield *tracefield_new(const struct tracecols *cols)
{
    struct tracefield *ctx = mem_new(struct tracefield);

    ctx->cols = cols;
    ctx->scratch = arena_new(0);
    return ctx;
}

void tracefield_free(struct tracefield *ctx)
{
    if (!ctx)
        return;
    VEC_FOREACH (r, &ctx->regexes)
        re_free(r->re);
    vec_done(&ctx->regexes);
    vec_done(&ctx->founds);
    arena_free(ctx->scratch);
    mem_free(ctx);
}

/* Compiled once; the parser has seen that it does. NULL: it does not, and matches nothing. */
static const struct re *regex_of(struct tracefield *ctx, const struct traceql_field *constant)
{
    struct re *re = NULL;

    VEC_FOREACH (r, &ctx->regexes)
        if (r->of == constant)
            return r->re;
    err_free(re_compile(constant->u.value.v.s, RE_ANCHORED, &re));
    vec_push(&ctx->regexes, ((struct regex){constant, re}));
    return re;
}

static struct traceql_static nil(void)
{
    return (struct traceql_static){.type = TRACEQL_NIL};
}

static struct traceql_static text_value(struct slice s)
{
    return (struct traceql_static){TRACEQL_STRING, {.s = s}};
}

static struct traceql_static int_value(enum traceql_type type, int64_t i)
{
    return (struct traceql_static){type, {.i = i}};
}

static struct traceql_static cell_value(const struct tracecols *c, uint8_t type, uint64_t value)
{
    struct traceql_static v = nil();

    switch (type) {
    case TRACECELL_INT:
        return int_value(TRACEQL_INT, (int64_t)value);
    case TRACECELL_FLOAT:
        v.type = TRACEQL_FLOAT;
        memcpy(&v.v.f, &value, sizeof(v.v.f));
        return v;
    case TRACECELL_STRING:
        return text_value(c->dict[value]);
    case TRACECELL_BOOL:
        return (struct traceql_static){TRACEQL_BOOL, {.b = value != 0}};
    default:
        return v;
    }
}

static void add(struct tracefield *ctx, struct values *vs, struct traceql_static v)
{
    vs->ptr = arena_more(ctx->scratch, vs->ptr, vs->n);
    vs->ptr[vs->n++] = v;
}

/* The cell of row in col; false if it has none. */
static bool find_cell(const struct tracecol *col, uint32_t row, uint32_t *ret)
{
    uint32_t lo = 0, hi = col->n;

    while (lo < hi) {
        uint32_t mid = lo + (hi - lo) / 2;

        if (col->rows[mid] < row)
            lo = mid + 1;
        else
            hi = mid;
    }
    *ret = lo;
    return lo < col->n && col->rows[lo] == row;
}

/* By name once for a query, not once for a span. */
static const struct tracecol *column_of(struct tracefield *ctx, const struct traceql_attribute *a,
                                        enum tracetable table)
{
    struct found *f;

    VEC_FOREACH (it, &ctx->founds)
        if (it->of == a)
            return it->cols[table];
    f = vec_add(&ctx->founds);
    f->of = a;
    for (size_t t = 0; t < TRACE_TABLES; t++)
        f->cols[t] = tracecols_find(ctx->cols, (enum tracetable)t, a->name);
    return f->cols[table];
}

static void add_cells(struct tracefield *ctx, struct values *vs, const struct traceql_attribute *a,
                      enum tracetable table, uint32_t first, uint32_t end)
{
    const struct tracecols *c = ctx->cols;
    const struct tracecol *col = column_of(ctx, a, table);

    for (uint32_t row = first; col && row < end; row++) {
        uint32_t i;

        if (!find_cell(col, row, &i))
            continue;
        if (col->types[i] != TRACECELL_ARRAY) {
            add(ctx, vs, cell_value(c, col->types[i], col->values[i]));
            continue;
        }
        for (uint32_t k = 0; k < c->arrays[col->values[i]].n; k++)
            add(ctx, vs,
                cell_value(c, c->arrays[col->values[i]].types[k],
                           c->arrays[col->values[i]].values[k]));
    }
}

/* The rows of a table that belong to a span. */
static void rows_of(const struct tracecols *c, enum tracetable table, uint32_t span,
                    uint32_t *ret_first, uint32_t *ret_end)
{
    switch (table) {
    case TRACE_RESOURCES:
        *ret_first = c->resource[span];
        break;
    case TRACE_LIBRARIES:
        *ret_first = c->library[span];
        break;
    case TRACE_SPANS:
        *ret_first = span;
        break;
    case TRACE_EVENTS:
        *ret_first = c->event_first[span];
        *ret_end = c->event_first[span + 1];
        return;
    default:
        *ret_first = c->link_first[span];
        *ret_end = c->link_first[span + 1];
        return;
    }
    *ret_end = *ret_first + 1;
}

/* Where an attribute without a scope is looked for, first to last. */
static const enum tracetable any_scope[] = {TRACE_SPANS, TRACE_RESOURCES, TRACE_EVENTS, TRACE_LINKS,
                                            TRACE_LIBRARIES};

static enum tracetable table_of(enum traceql_scope scope)
{
    switch (scope) {
    case TRACEQL_SCOPE_RESOURCE:
        return TRACE_RESOURCES;
    case TRACEQL_SCOPE_EVENT:
        return TRACE_EVENTS;
    case TRACEQL_SCOPE_LINK:
        return TRACE_LINKS;
    case TRACEQL_SCOPE_INSTRUMENTATION:
        return TRACE_LIBRARIES;
    default:
        return TRACE_SPANS;
    }
}

static struct traceql_static hex_value(struct tracefield *ctx, const uint8_t *bytes, size_t n)
{
    static const char digits[] = "0123456789abcdef";
    char *text = arena_alloc(ctx->scratch, 2 * n);

    for (size_t i = 0; i < n; i++) {
        text[2 * i] = digits[bytes[i] >> 4];
        text[2 * i + 1] = digits[bytes[i] & 15];
    }
    return text_value(slice_of(text, 2 * n));
}

static struct traceql_static id_value(struct tracefield *ctx, uint64_t id)
{
    uint8_t bytes[8];

    if (id == 0)
        return text_value(SLICE(""));
    for (int i = 7; i >= 0; i--, id >>= 8)
        bytes[i] = (uint8_t)id;
    return hex_value(ctx, bytes, sizeof(bytes));
}

static const struct tracecols_trace *trace_of(const struct tracecols *c, uint32_t row)
{
    return &c->traces[c->trace[row]];
}

static void add_event_or_link(struct tracefield *ctx, struct values *vs,
                              enum traceql_intrinsic intrinsic, uint32_t row)
{
    const struct tracecols *c = ctx->cols;
    bool is_event = intrinsic == TRACEQL_EVENT_NAME || intrinsic == TRACEQL_EVENT_TIME;
    uint32_t first, end;

    rows_of(c, is_event ? TRACE_EVENTS : TRACE_LINKS, row, &first, &end);
    for (uint32_t i = first; i < end; i++) {
        if (intrinsic == TRACEQL_EVENT_NAME)
            add(ctx, vs, text_value(c->dict[c->event_name[i]]));
        else if (intrinsic == TRACEQL_EVENT_TIME)
            add(ctx, vs, int_value(TRACEQL_DURATION, c->event_ns[i] - c->start_ns[row]));
        else if (intrinsic == TRACEQL_LINK_TRACE_ID)
            add(ctx, vs, hex_value(ctx, c->link_trace[i], 16));
        else
            add(ctx, vs, id_value(ctx, c->link_span[i]));
    }
}

static void add_root(struct tracefield *ctx, struct values *vs, uint32_t row, bool is_service)
{
    const struct tracecols *c = ctx->cols;
    uint32_t root = trace_of(c, row)->root;

    if (root != UINT32_MAX)
        add(ctx, vs, text_value(c->dict[is_service ? c->service[root] : c->name[root]]));
    else
        add(ctx, vs, text_value(SLICE("")));
}

static void add_intrinsic(struct tracefield *ctx, struct values *vs,
                          enum traceql_intrinsic intrinsic, uint32_t row)
{
    const struct tracecols *c = ctx->cols;
    const struct tracecols_trace *t = trace_of(c, row);

    switch (intrinsic) {
    case TRACEQL_SPAN_DURATION:
        add(ctx, vs, int_value(TRACEQL_DURATION, c->end_ns[row] - c->start_ns[row]));
        break;
    case TRACEQL_NAME:
        add(ctx, vs, text_value(c->dict[c->name[row]]));
        break;
    case TRACEQL_SPAN_STATUS:
        add(ctx, vs, int_value(TRACEQL_STATUS, c->status[row]));
        break;
    case TRACEQL_STATUS_MESSAGE:
        add(ctx, vs, text_value(c->dict[c->message[row]]));
        break;
    case TRACEQL_KIND:
        add(ctx, vs, int_value(TRACEQL_SPAN_KIND, c->kind[row]));
        break;
    case TRACEQL_CHILD_COUNT:
        add(ctx, vs, int_value(TRACEQL_INT, c->n_children[row]));
        break;
    case TRACEQL_SPAN_ID:
        add(ctx, vs, id_value(ctx, c->span_id[row]));
        break;
    case TRACEQL_PARENT_ID:
        add(ctx, vs, id_value(ctx, c->parent_id[row]));
        break;
    case TRACEQL_ROOT_NAME:
        add_root(ctx, vs, row, false);
        break;
    case TRACEQL_ROOT_SERVICE:
        add_root(ctx, vs, row, true);
        break;
    case TRACEQL_TRACE_DURATION:
        add(ctx, vs, int_value(TRACEQL_DURATION, t->end_ns - t->start_ns));
        break;
    case TRACEQL_TRACE_ID:
        add(ctx, vs, hex_value(ctx, t->id, sizeof(t->id)));
        break;
    case TRACEQL_LIBRARY_NAME:
        add(ctx, vs, text_value(c->dict[c->library_name[c->library[row]]]));
        break;
    case TRACEQL_LIBRARY_VERSION:
        add(ctx, vs, text_value(c->dict[c->library_version[c->library[row]]]));
        break;
    case TRACEQL_NESTED_LEFT:
        add(ctx, vs, int_value(TRACEQL_INT, c->left[row]));
        break;
    case TRACEQL_NESTED_RIGHT:
        add(ctx, vs, int_value(TRACEQL_INT, c->right[row]));
        break;
    case TRACEQL_NESTED_PARENT:
        add(ctx, vs, int_value(TRACEQL_INT, c->set_parent[row]));
        break;
    default:
        add_event_or_link(ctx, vs, intrinsic, row);
    }
}

static struct values attribute_values(struct tracefield *ctx, const struct traceql_attribute *a,
                                      uint32_t row)
{
    struct values vs = {0};
    uint32_t first, end;

    if (a->intrinsic != TRACEQL_NO_INTRINSIC) {
        add_intrinsic(ctx, &vs, a->intrinsic, row);
    } else if (a->scope != TRACEQL_SCOPE_ANY) {
        rows_of(ctx->cols, table_of(a->scope), row, &first, &end);
        add_cells(ctx, &vs, a, table_of(a->scope), first, end);
    } else {
        for (size_t i = 0; i < ORR_COUNT(any_scope) && vs.n == 0; i++) {
            rows_of(ctx->cols, any_scope[i], row, &first, &end);
            add_cells(ctx, &vs, a, any_scope[i], first, end);
        }
    }
    return vs;
}

static bool go_together(enum traceql_type l, enum traceql_type r)
{
    return l == r || (traceql_is_numeric(l) && traceql_is_numeric(r));
}

static bool is_negative(enum traceql_op op)
{
    return op == TRACEQL_NE || op == TRACEQL_NOT_RE;
}

/* The verdict of the positive form of op: of = for !=, of =~ for !~. */
static enum verdict judge(struct tracefield *ctx, enum traceql_op op,
                          const struct traceql_static *l, const struct traceql_static *r,
                          const struct traceql_field *rhs)
{
    struct traceql_static v;

    if (op == TRACEQL_RE || op == TRACEQL_NOT_RE) {
        const struct re *re;

        if (l->type != TRACEQL_STRING)
            return NO_SAY;
        re = regex_of(ctx, rhs);
        return re && re_match(re, l->v.s) ? YES : NO;
    }
    if (!go_together(l->type, r->type) ||
        !traceql_apply(op == TRACEQL_NE ? TRACEQL_EQ : op, l, r, &v))
        return NO_SAY;
    return v.v.b ? YES : NO;
}

/* What the verdicts on all values come to. */
static bool sum_up(enum traceql_op op, bool has_yes, bool has_no)
{
    return is_negative(op) ? has_no && !has_yes : has_yes;
}

static struct values values_of(struct tracefield *ctx, const struct traceql_field *f, uint32_t row);

static struct traceql_static compare_values(struct tracefield *ctx, const struct traceql_field *f,
                                            const struct values *l, const struct values *r)
{
    bool has_yes = false, has_no = false;

    for (size_t i = 0; i < l->n; i++) {
        for (size_t k = 0; k < r->n; k++) {
            enum verdict v = judge(ctx, f->u.binary.op, &l->ptr[i], &r->ptr[k], f->u.binary.rhs);

            has_yes = has_yes || v == YES;
            has_no = has_no || v == NO;
        }
    }
    return (struct traceql_static){TRACEQL_BOOL, {.b = sum_up(f->u.binary.op, has_yes, has_no)}};
}

static bool is_true(const struct values *vs)
{
    for (size_t i = 0; i < vs->n; i++)
        if (vs->ptr[i].type == TRACEQL_BOOL && vs->ptr[i].v.b)
            return true;
    return false;
}

static struct traceql_static binary_value(struct tracefield *ctx, const struct traceql_field *f,
                                          uint32_t row)
{
    enum traceql_op op = f->u.binary.op;
    struct values l = values_of(ctx, f->u.binary.lhs, row), r;
    struct traceql_static v = {.type = TRACEQL_BOOL};

    if (op == TRACEQL_AND || op == TRACEQL_OR) {
        v.v.b = is_true(&l);
        if (v.v.b == (op == TRACEQL_AND)) {
            r = values_of(ctx, f->u.binary.rhs, row);
            v.v.b = is_true(&r);
        }
        return v;
    }
    r = values_of(ctx, f->u.binary.rhs, row);
    if (op >= TRACEQL_EQ && op <= TRACEQL_LE)
        return compare_values(ctx, f, &l, &r);
    if (l.n != 1 || r.n != 1 || !traceql_is_numeric(l.ptr->type) ||
        !traceql_is_numeric(r.ptr->type) || !traceql_apply(op, l.ptr, r.ptr, &v))
        return nil();
    return v;
}

static struct traceql_static unary_value(struct tracefield *ctx, const struct traceql_field *f,
                                         uint32_t row)
{
    struct values vs = values_of(ctx, f->u.unary.operand, row);
    struct traceql_static v = {.type = TRACEQL_BOOL};

    switch (f->u.unary.op) {
    case TRACEQL_EXISTS:
    case TRACEQL_NOT_EXISTS:
        v.v.b = (vs.n > 0) == (f->u.unary.op == TRACEQL_EXISTS);
        return v;
    case TRACEQL_NOT:
        v.v.b = vs.n > 0 && vs.ptr->type == TRACEQL_BOOL && !is_true(&vs);
        return v;
    default:
        if (vs.n != 1 || !traceql_is_numeric(vs.ptr->type))
            return nil();
        v = *vs.ptr;
        if (v.type == TRACEQL_FLOAT)
            v.v.f = -v.v.f;
        else
            v.v.i = (int64_t)(0 - (uint64_t)v.v.i);
        return v;
    }
}

static struct values values_of(struct tracefield *ctx, const struct traceql_field *f, uint32_t row)
{
    struct values vs = {0};
    struct traceql_static v;

    if (f->kind == TRACEQL_ATTRIBUTE)
        return attribute_values(ctx, &f->u.attribute, row);
    if (f->kind == TRACEQL_STATIC)
        v = f->u.value;
    else
        v = f->kind == TRACEQL_UNARY ? unary_value(ctx, f, row) : binary_value(ctx, f, row);
    if (v.type != TRACEQL_NIL)
        add(ctx, &vs, v);
    return vs;
}

struct traceql_static tracefield_value(struct tracefield *ctx, const struct traceql_field *f,
                                       uint32_t row)
{
    struct values vs;

    arena_reset(ctx->scratch);
    vs = values_of(ctx, f, row);
    return vs.n ? vs.ptr[0] : nil();
}

struct traceql_static tracefield_attribute(struct tracefield *ctx,
                                           const struct traceql_attribute *a, uint32_t row)
{
    struct values vs;

    arena_reset(ctx->scratch);
    vs = attribute_values(ctx, a, row);
    return vs.n ? vs.ptr[0] : nil();
}

/* A comparison with a constant, over columns. */
struct leaf {
    struct tracefield *ctx;
    enum traceql_op op;
    const struct traceql_static *value;
    const struct traceql_field *constant;
    uint8_t *codes; /* verdict + 1 of each entry of the dict, 0: not looked at; NULL: no text yet */
};

static enum verdict judge_code(struct leaf *l, uint64_t code)
{
    const struct tracecols *c = l->ctx->cols;
    struct traceql_static v;

    if (l->value->type != TRACEQL_STRING)
        return NO_SAY;
    if (!l->codes)
        l->codes = arena_zalloc(l->ctx->scratch, c->n_dict);
    if (l->codes[code] == 0) {
        v = text_value(c->dict[code]);
        l->codes[code] = (uint8_t)(1 + judge(l->ctx, l->op, &v, l->value, l->constant));
    }
    return (enum verdict)(l->codes[code] - 1);
}

static enum verdict judge_scalar(struct leaf *l, uint8_t type, uint64_t value)
{
    struct traceql_static v;

    if (type == TRACECELL_STRING)
        return judge_code(l, value);
    v = cell_value(l->ctx->cols, type, value);
    /* as in Tempo: an integer is never like a float, and integers are compared with integers only */
    if ((v.type == TRACEQL_INT && l->value->type == TRACEQL_FLOAT) ||
        (v.type == TRACEQL_FLOAT && l->value->type == TRACEQL_INT &&
         (l->op == TRACEQL_EQ || l->op == TRACEQL_NE)))
        return NO_SAY;
    return judge(l->ctx, l->op, &v, l->value, l->constant);
}

static void judge_cell(struct leaf *l, uint8_t type, uint64_t value, bool *has_yes, bool *has_no)
{
    enum verdict v;

    if (type == TRACECELL_ARRAY) {
        const struct tracearray *a = &l->ctx->cols->arrays[value];

        for (uint32_t i = 0; i < a->n; i++)
            judge_cell(l, a->types[i], a->values[i], has_yes, has_no);
        return;
    }
    v = judge_scalar(l, type, value);
    *has_yes = *has_yes || v == YES;
    *has_no = *has_no || v == NO;
}

#define IS_ABSENT 2 /* in a mask: the attribute is not there */

/* Of the spans' own attribute: those without one stay as they are. */
static void mask_spans(struct leaf *l, const struct tracecol *col, uint8_t *mask)
{
    for (uint32_t i = 0; i < col->n; i++) {
        bool has_yes = false, has_no = false;

        judge_cell(l, col->types[i], col->values[i], &has_yes, &has_no);
        mask[col->rows[i]] = sum_up(l->op, has_yes, has_no);
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
            mask[span] = sum_up(l->op, has_yes, has_no);
    }
}

static void mask_table(struct leaf *l, const struct traceql_attribute *a, enum tracetable table,
                       uint8_t *mask)
{
    const struct tracecols *c = l->ctx->cols;
    const struct tracecol *col = column_of(l->ctx, a, table);

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
        mask_table(l, a, table_of(a->scope), mask);
        return;
    }
    for (size_t i = ORR_COUNT(any_scope); i-- > 0;) /* what comes first has the last word */
        mask_table(l, a, any_scope[i], mask);
}

static void mask_codes(struct leaf *l, const uint32_t *codes, uint8_t *mask)
{
    for (uint32_t i = 0; i < l->ctx->cols->n_spans; i++) {
        enum verdict v = judge_code(l, codes[i]);

        mask[i] = sum_up(l->op, v == YES, v == NO);
    }
}

static void mask_durations(struct leaf *l, uint8_t *mask)
{
    const struct tracecols *c = l->ctx->cols;

    for (uint32_t i = 0; i < c->n_spans; i++) {
        struct traceql_static v = int_value(TRACEQL_DURATION, c->end_ns[i] - c->start_ns[i]);
        enum verdict said = judge(l->ctx, l->op, &v, l->value, l->constant);

        mask[i] = sum_up(l->op, said == YES, said == NO);
    }
}

static void mask_bytes(struct leaf *l, const uint8_t *bytes, bool is_status, uint8_t *mask)
{
    uint8_t by_byte[256];

    for (unsigned b = 0; b < 256; b++) {
        struct traceql_static v = int_value(is_status ? TRACEQL_STATUS : TRACEQL_SPAN_KIND, b);
        enum verdict said = judge(l->ctx, l->op, &v, l->value, l->constant);

        by_byte[b] = sum_up(l->op, said == YES, said == NO);
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
        struct values vs;

        arena_reset(ctx->scratch);
        vs = values_of(ctx, f, row);
        mask[row] = is_true(&vs);
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
