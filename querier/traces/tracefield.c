#include "common/base/mem.h"
#include "querier/traces/tracefield_internal.h"

/* Values of one attribute or expression of one span: none, one, or several. */
struct values {
    size_t n;
    struct traceql_static *ptr; /* the arena's */
};

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
    vec_push(&ctx->regexes, ((struct tracefield_regex){constant, re}));
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

struct traceql_static tracefield_cell(const struct tracecols *c, uint8_t type, uint64_t value)
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

const struct tracecol *tracefield_column(struct tracefield *ctx, const struct traceql_attribute *a,
                                         enum tracetable table)
{
    struct tracefield_found *f;

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
    const struct tracecol *col = tracefield_column(ctx, a, table);

    for (uint32_t row = first; col && row < end; row++) {
        uint32_t i;

        if (!find_cell(col, row, &i))
            continue;
        if (col->types[i] != TRACECELL_ARRAY) {
            add(ctx, vs, tracefield_cell(c, col->types[i], col->values[i]));
            continue;
        }
        for (uint32_t k = 0; k < c->arrays[col->values[i]].n; k++)
            add(ctx, vs,
                tracefield_cell(c, c->arrays[col->values[i]].types[k],
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

const enum tracetable tracefield_scopes[TRACE_TABLES] = {TRACE_SPANS, TRACE_RESOURCES, TRACE_EVENTS,
                                                         TRACE_LINKS, TRACE_LIBRARIES};

enum tracetable tracefield_table(enum traceql_scope scope)
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
        rows_of(ctx->cols, tracefield_table(a->scope), row, &first, &end);
        add_cells(ctx, &vs, a, tracefield_table(a->scope), first, end);
    } else {
        for (size_t i = 0; i < TRACE_TABLES && vs.n == 0; i++) {
            rows_of(ctx->cols, tracefield_scopes[i], row, &first, &end);
            add_cells(ctx, &vs, a, tracefield_scopes[i], first, end);
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

enum tracefield_verdict tracefield_judge(struct tracefield *ctx, enum traceql_op op,
                                         const struct traceql_static *l,
                                         const struct traceql_static *r,
                                         const struct traceql_field *rhs)
{
    struct traceql_static v;

    if (op == TRACEQL_RE || op == TRACEQL_NOT_RE) {
        const struct re *re;

        if (l->type != TRACEQL_STRING)
            return TRACEFIELD_NO_SAY;
        re = regex_of(ctx, rhs);
        return re && re_match(re, l->v.s) ? TRACEFIELD_YES : TRACEFIELD_NO;
    }
    if (!go_together(l->type, r->type) ||
        !traceql_apply(op == TRACEQL_NE ? TRACEQL_EQ : op, l, r, &v))
        return TRACEFIELD_NO_SAY;
    return v.v.b ? TRACEFIELD_YES : TRACEFIELD_NO;
}

bool tracefield_sum_up(enum traceql_op op, bool has_yes, bool has_no)
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
            enum tracefield_verdict v =
                tracefield_judge(ctx, f->u.binary.op, &l->ptr[i], &r->ptr[k], f->u.binary.rhs);

            has_yes = has_yes || v == TRACEFIELD_YES;
            has_no = has_no || v == TRACEFIELD_NO;
        }
    }
    return (struct traceql_static){TRACEQL_BOOL,
                                   {.b = tracefield_sum_up(f->u.binary.op, has_yes, has_no)}};
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

bool tracefield_is_true(struct tracefield *ctx, const struct traceql_field *f, uint32_t row)
{
    struct values vs;

    arena_reset(ctx->scratch);
    vs = values_of(ctx, f, row);
    return is_true(&vs);
}
