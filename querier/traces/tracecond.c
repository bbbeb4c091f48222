#include "querier/traces/tracecond.h"

#include "common/base/mem.h"
#include "querier/traces/tracefield.h"

/* A list that is made; is_any: any trace may match, whatever is in it. */
struct conds {
    struct arena *a;
    const struct traceql_field **ptr;
    size_t n;
    bool is_any;
};

static bool is_of_trace(enum traceql_intrinsic i)
{
    switch (i) {
    case TRACEQL_CHILD_COUNT:
    case TRACEQL_ROOT_NAME:
    case TRACEQL_ROOT_SERVICE:
    case TRACEQL_TRACE_DURATION:
    case TRACEQL_NESTED_LEFT:
    case TRACEQL_NESTED_RIGHT:
    case TRACEQL_NESTED_PARENT:
        return true;
    default:
        return false;
    }
}

static bool asks_others(const struct traceql_field *f)
{
    switch (f->kind) {
    case TRACEQL_ATTRIBUTE:
        return is_of_trace(f->u.attribute.intrinsic);
    case TRACEQL_UNARY:
        return asks_others(f->u.unary.operand);
    case TRACEQL_BINARY:
        return asks_others(f->u.binary.lhs) || asks_others(f->u.binary.rhs);
    default:
        return false;
    }
}

static bool is_true(const struct traceql_field *f)
{
    return f->kind == TRACEQL_STATIC && f->u.value.type == TRACEQL_BOOL && f->u.value.v.b;
}

/* f with what others say taken as true; NULL: nothing is left that could be false. */
static const struct traceql_field *weaken(struct arena *a, const struct traceql_field *f)
{
    const struct traceql_field *l, *r;
    struct traceql_field *out;

    if (is_true(f))
        return NULL;
    if (!asks_others(f))
        return f;
    if (f->kind != TRACEQL_BINARY ||
        (f->u.binary.op != TRACEQL_AND && f->u.binary.op != TRACEQL_OR))
        return NULL;
    l = weaken(a, f->u.binary.lhs);
    r = weaken(a, f->u.binary.rhs);
    if (f->u.binary.op == TRACEQL_OR ? !l || !r : !l && !r)
        return NULL;
    if (!l || !r)
        return l ? l : r;
    out = arena_new_of(a, struct traceql_field);
    *out = *f;
    out->u.binary.lhs = (struct traceql_field *)(uintptr_t)l;
    out->u.binary.rhs = (struct traceql_field *)(uintptr_t)r;
    return out;
}

static void add_filter(struct conds *c, const struct traceql_field *f)
{
    if (!(f = weaken(c->a, f))) {
        c->is_any = true;
        return;
    }
    c->ptr = arena_more(c->a, c->ptr, c->n);
    c->ptr[c->n++] = f;
}

static void add_pipeline(struct conds *c, const struct traceql_pipeline *p);

static void add_spanset(struct conds *c, const struct traceql_spanset *s)
{
    switch (s->kind) {
    case TRACEQL_FILTER:
        add_filter(c, s->u.filter);
        break;
    case TRACEQL_SPANSET_PIPELINE:
        add_pipeline(c, s->u.pipeline);
        break;
    default:
        if (s->u.operation.op == TRACEQL_SPANSET_UNION)
            add_spanset(c, s->u.operation.lhs);
        add_spanset(c, s->u.operation.rhs);
    }
}

/* The first spansets are what all later elements work on. */
static void add_pipeline(struct conds *c, const struct traceql_pipeline *p)
{
    if (p->n && p->ptr[0].kind == TRACEQL_SPANSET)
        add_spanset(c, p->ptr[0].u.spanset);
    else
        c->is_any = true;
}

static void add_math(struct conds *c, const struct traceql_math *m)
{
    if (m->kind == TRACEQL_LEAF) {
        add_pipeline(c, &m->leaf.pipeline);
    } else if (m->kind == TRACEQL_MATH) {
        add_math(c, m->lhs);
        add_math(c, m->rhs);
    }
}

struct tracecond tracecond_of(struct arena *a, const struct traceql *q)
{
    struct conds c = {.a = a};

    if (q->metrics)
        add_math(&c, q->metrics);
    else
        add_pipeline(&c, &q->pipeline);
    return c.is_any ? (struct tracecond){0} : (struct tracecond){c.ptr, c.n};
}

bool tracecond_may(const struct traceql_field *const *filters, size_t n,
                   const struct tracecols *cols)
{
    struct tracefield *ctx;
    uint8_t *mask;
    bool found = n == 0;

    if (found || !cols->n_spans)
        return found;
    ctx = tracefield_new(cols);
    mask = mem_alloc(cols->n_spans);
    for (size_t i = 0; i < n && !found; i++) {
        tracefield_mask(ctx, filters[i], mask);
        found = memchr(mask, 1, cols->n_spans) != NULL;
    }
    mem_free(mask);
    tracefield_free(ctx);
    return found;
}
