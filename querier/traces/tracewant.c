#include "querier/traces/tracewant.h"

#include "common/lang/traceql.h"
#include "querier/traces/tracefield_internal.h"

/* ---- columns ---- */

struct columns {
    struct arena *a;
    unsigned fields;
    struct tracegroup_key *keys;
    size_t n;
};

static void add_key(struct columns *c, enum tracetable table, struct slice key)
{
    for (size_t i = 0; i < c->n; i++)
        if (c->keys[i].table == table && slice_eq(c->keys[i].key, key))
            return;
    c->keys = arena_more(c->a, c->keys, c->n);
    c->keys[c->n++] = (struct tracegroup_key){table, key};
}

unsigned tracewant_fields(enum traceql_intrinsic i)
{
    switch (i) {
    case TRACEQL_NAME:
        return TRACEGROUP_NAME;
    case TRACEQL_SPAN_STATUS:
    case TRACEQL_KIND:
        return TRACEGROUP_KIND;
    case TRACEQL_STATUS_MESSAGE:
        return TRACEGROUP_MESSAGE;
    case TRACEQL_SPAN_ID:
    case TRACEQL_PARENT_ID:
        return TRACEGROUP_IDS;
    case TRACEQL_EVENT_NAME:
    case TRACEQL_EVENT_TIME:
        return TRACEGROUP_EVENTS;
    case TRACEQL_LINK_TRACE_ID:
    case TRACEQL_LINK_SPAN_ID:
        return TRACEGROUP_LINKS;
    case TRACEQL_LIBRARY_NAME:
    case TRACEQL_LIBRARY_VERSION:
        return TRACEGROUP_LIBRARY;
    case TRACEQL_ROOT_NAME:
        return TRACEGROUP_NAME | TRACEGROUP_TREE;
    case TRACEQL_ROOT_SERVICE:
    case TRACEQL_CHILD_COUNT:
    case TRACEQL_NESTED_LEFT:
    case TRACEQL_NESTED_RIGHT:
    case TRACEQL_NESTED_PARENT:
        return TRACEGROUP_TREE;
    default:
        return 0;
    }
}

static void add_attribute(struct columns *c, const struct traceql_attribute *at)
{
    if (at->intrinsic != TRACEQL_NO_INTRINSIC)
        c->fields |= tracewant_fields(at->intrinsic);
    else if (at->scope != TRACEQL_SCOPE_ANY)
        add_key(c, tracefield_table(at->scope), at->name);
    else
        for (size_t i = 0; i < TRACE_TABLES; i++)
            add_key(c, tracefield_scopes[i], at->name);
}

static void add_columns(struct columns *c, const struct traceql_field *f)
{
    switch (f->kind) {
    case TRACEQL_ATTRIBUTE:
        add_attribute(c, &f->u.attribute);
        break;
    case TRACEQL_UNARY:
        add_columns(c, f->u.unary.operand);
        break;
    case TRACEQL_BINARY:
        add_columns(c, f->u.binary.lhs);
        add_columns(c, f->u.binary.rhs);
        break;
    default:
        break;
    }
}

/* ---- columns of a whole query ---- */

static void add_pipeline(struct columns *c, const struct traceql_pipeline *p);

static void add_spanset(struct columns *c, const struct traceql_spanset *s)
{
    switch (s->kind) {
    case TRACEQL_FILTER:
        add_columns(c, s->u.filter);
        break;
    case TRACEQL_SPANSET_PIPELINE:
        add_pipeline(c, s->u.pipeline);
        break;
    case TRACEQL_OPERATION:
        if (s->u.operation.op != TRACEQL_SPANSET_AND && s->u.operation.op != TRACEQL_SPANSET_UNION)
            c->fields |= TRACEGROUP_TREE;
        add_spanset(c, s->u.operation.lhs);
        add_spanset(c, s->u.operation.rhs);
        break;
    }
}

static void add_attributes(struct columns *c, const struct traceql_attributes *list)
{
    for (size_t i = 0; i < list->n; i++)
        add_attribute(c, &list->ptr[i]);
}

static void add_pipeline(struct columns *c, const struct traceql_pipeline *p)
{
    for (size_t i = 0; i < p->n; i++) {
        const struct traceql_element *el = &p->ptr[i];

        switch (el->kind) {
        case TRACEQL_SPANSET:
            add_spanset(c, el->u.spanset);
            break;
        case TRACEQL_SCALAR_FILTER:
            if (el->u.scalar.argument)
                add_columns(c, el->u.scalar.argument);
            break;
        case TRACEQL_GROUP:
            add_columns(c, el->u.group);
            break;
        case TRACEQL_SELECT:
            add_attributes(c, &el->u.select);
            break;
        case TRACEQL_COALESCE:
            break;
        }
    }
}

static void add_math(struct columns *c, const struct traceql_math *m)
{
    const struct traceql_aggregation *a = &m->leaf.aggregation;

    if (m->kind == TRACEQL_MATH) {
        add_math(c, m->lhs);
        add_math(c, m->rhs);
    } else if (m->kind == TRACEQL_LEAF) {
        add_pipeline(c, &m->leaf.pipeline);
        if (traceql_metric_has_attribute(a->op))
            add_attribute(c, &a->attribute);
        add_attributes(c, &a->by);
        if (a->selection)
            add_columns(c, a->selection);
    }
}

struct tracegroup_want tracewant_of_query(struct arena *a, const struct traceql *q, bool is_search)
{
    struct columns c = {.a = a};

    if (q->metrics)
        add_math(&c, q->metrics);
    else
        add_pipeline(&c, &q->pipeline);
    if (is_search)
        c.fields |= TRACEGROUP_NAME | TRACEGROUP_KIND | TRACEGROUP_IDS | TRACEGROUP_TREE;
    return (struct tracegroup_want){.fields = c.fields, .keys = c.keys, .n_keys = c.n};
}

/* ---- services ---- */

struct services {
    struct arena *a;
    struct slice *ptr;
    size_t n;
};

static void add_service(struct services *s, struct slice name)
{
    for (size_t i = 0; i < s->n; i++)
        if (slice_eq(s->ptr[i], name))
            return;
    s->ptr = arena_more(s->a, s->ptr, s->n);
    s->ptr[s->n++] = name;
}

/* resource.service.name = "x", either way round: x. */
static bool is_service(const struct traceql_field *attribute, const struct traceql_field *value,
                       struct slice *ret)
{
    if (attribute->kind != TRACEQL_ATTRIBUTE || value->kind != TRACEQL_STATIC ||
        attribute->u.attribute.intrinsic != TRACEQL_NO_INTRINSIC ||
        attribute->u.attribute.scope != TRACEQL_SCOPE_RESOURCE ||
        !slice_eq_cstr(attribute->u.attribute.name, TRACEBLOCK_SERVICE) ||
        value->u.value.type != TRACEQL_STRING)
        return false;
    *ret = value->u.value.v.s;
    return true;
}

/* Whether f is true of spans of some services only, which are added then. */
static bool add_services(struct services *s, const struct traceql_field *f)
{
    const struct traceql_field *l, *r;
    size_t before = s->n;
    struct slice name;

    if (f->kind != TRACEQL_BINARY)
        return false;
    l = f->u.binary.lhs;
    r = f->u.binary.rhs;
    switch (f->u.binary.op) {
    case TRACEQL_EQ:
        if (!is_service(l, r, &name) && !is_service(r, l, &name))
            return false;
        add_service(s, name);
        return true;
    case TRACEQL_AND:
        if (add_services(s, l))
            return true;
        s->n = before;
        return add_services(s, r);
    case TRACEQL_OR:
        return add_services(s, l) && add_services(s, r);
    default:
        return false;
    }
}

/* ---- all of it ---- */

void tracewant_init(struct tracewant *w, struct arena *a,
                    const struct traceql_field *const *filters, size_t n_filters)
{
    struct columns c = {.a = a};
    struct services s = {.a = a};
    bool is_bounded = n_filters > 0;

    for (size_t i = 0; i < n_filters; i++) {
        add_columns(&c, filters[i]);
        is_bounded = is_bounded && add_services(&s, filters[i]);
    }
    if (is_bounded)
        add_service(&s, SLICE(TRACEBLOCK_NO_SERVICE));
    *w = (struct tracewant){.filters = filters,
                            .n_filters = n_filters,
                            .columns = {.fields = c.fields, .keys = c.keys, .n_keys = c.n},
                            .services = is_bounded ? s.ptr : NULL,
                            .n_services = is_bounded ? s.n : 0};
}

struct err *tracewant_match(void *arg, struct arena *scratch, const struct tracecols *cols,
                            uint8_t *want)
{
    const struct tracewant *w = arg;
    struct tracefield *ctx = tracefield_new(cols);
    uint8_t *mask = arena_alloc(scratch, cols->n_spans);

    for (size_t i = 0; i < w->n_filters; i++) {
        tracefield_mask(ctx, w->filters[i], mask);
        for (uint32_t s = 0; s < cols->n_spans; s++)
            want[cols->trace[s]] |= mask[s];
    }
    tracefield_free(ctx);
    return NULL;
}
