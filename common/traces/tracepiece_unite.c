#include <stdlib.h>

#include "common/traces/tracepiece_internal.h"

/* ---- several pieces become one ---- */

struct uniter {
    struct arena *a;
    struct tracepiece_encoder *encoder;
    struct map resources, scopes; /* bytes -> number + 1 */
    struct buf scratch, other;
    struct tracepiece *out;
};

static uint32_t unite_resource(struct uniter *u, const struct tracepiece_resource *r)
{
    void **slot;

    buf_reset(&u->scratch);
    tracepiece_resource_bytes(u->encoder, r, &u->scratch);
    slot = map_slot(&u->resources, buf_slice(&u->scratch));
    if (!*slot) {
        u->out->resources = arena_more(u->a, u->out->resources, u->out->n_resources);
        u->out->resources[u->out->n_resources++] = *r;
        *slot = (void *)(uintptr_t)u->out->n_resources;
    }
    return (uint32_t)((uintptr_t)*slot - 1);
}

static uint32_t unite_scope(struct uniter *u, const struct tracepiece_scope *s)
{
    void **slot;

    buf_reset(&u->scratch);
    tracepiece_scope_bytes(u->encoder, s, &u->scratch);
    slot = map_slot(&u->scopes, buf_slice(&u->scratch));
    if (!*slot) {
        u->out->scopes = arena_more(u->a, u->out->scopes, u->out->n_scopes);
        u->out->scopes[u->out->n_scopes++] = *s;
        *slot = (void *)(uintptr_t)u->out->n_scopes;
    }
    return (uint32_t)((uintptr_t)*slot - 1);
}

/* Numbers of resources and scopes depend on the order of the pieces: so it is their texts that count. */
static struct slice whole_bytes(struct uniter *u, const struct tracepiece_span *s, struct buf *b)
{
    struct tracepiece_span alone = *s;

    buf_reset(b);
    tracepiece_resource_bytes(u->encoder, &u->out->resources[s->resource], b);
    tracepiece_scope_bytes(u->encoder, &u->out->scopes[s->scope], b);
    alone.resource = alone.scope = 0;
    tracepiece_span_bytes(u->encoder, &alone, b);
    return buf_slice(b);
}

static int compare_numbers(uint64_t x, uint64_t y)
{
    return (x > y) - (x < y);
}

static int compare_spans(const void *x, const void *y, void *arg)
{
    const struct tracepiece_span *a = x, *b = y;
    struct uniter *u = arg;
    int c = compare_numbers(a->span_id, b->span_id);

    c = c ? c : compare_numbers(a->kind, b->kind);
    c = c ? c : compare_numbers(a->start_ns, b->start_ns);
    c = c ? c : compare_numbers(a->end_ns, b->end_ns);
    return c ? c : slice_cmp(whole_bytes(u, a, &u->scratch), whole_bytes(u, b, &u->other));
}

static int compare_starts(const void *x, const void *y)
{
    const struct tracepiece_span *a = x, *b = y;
    int c = compare_numbers(a->start_ns, b->start_ns);

    c = c ? c : compare_numbers(a->span_id, b->span_id);
    return c ? c : compare_numbers(a->kind, b->kind);
}

static void keep_first(struct tracepiece *p)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < p->n_spans; i++)
        if (!n || p->spans[n - 1].span_id != p->spans[i].span_id ||
            p->spans[n - 1].kind != p->spans[i].kind)
            p->spans[n++] = p->spans[i];
    p->n_spans = n;
}

static void add_piece(struct uniter *u, const struct tracepiece *p)
{
    uint32_t *resources = arena_array(u->a, uint32_t, p->n_resources);
    uint32_t *scopes = arena_array(u->a, uint32_t, p->n_scopes);

    for (uint32_t i = 0; i < p->n_resources; i++)
        resources[i] = unite_resource(u, &p->resources[i]);
    for (uint32_t i = 0; i < p->n_scopes; i++)
        scopes[i] = unite_scope(u, &p->scopes[i]);
    for (uint32_t i = 0; i < p->n_spans; i++) {
        struct tracepiece_span *s = &u->out->spans[u->out->n_spans++];

        *s = p->spans[i];
        s->resource = resources[s->resource];
        s->scope = scopes[s->scope];
    }
}

struct span_key {
    uint64_t span_id;
    uint8_t kind;
};

static int compare_keys(const void *x, const void *y)
{
    const struct span_key *a = x, *b = y;
    int c = compare_numbers(a->span_id, b->span_id);

    return c ? c : compare_numbers(a->kind, b->kind);
}

static bool has_each_once(struct arena *a, const struct tracepiece *p)
{
    struct span_key *keys = arena_array(a, struct span_key, p->n_spans);

    for (uint32_t i = 0; i < p->n_spans; i++)
        keys[i] = (struct span_key){p->spans[i].span_id, p->spans[i].kind};
    if (p->n_spans)
        qsort(keys, p->n_spans, sizeof(*keys), compare_keys);
    for (uint32_t i = 1; i < p->n_spans; i++)
        if (!compare_keys(&keys[i - 1], &keys[i]))
            return false;
    return true;
}

void tracepiece_unite(struct arena *a, const struct tracepiece *pieces, size_t n,
                      struct tracepiece *ret)
{
    struct uniter u = {.a = a, .out = ret};
    size_t n_spans = 0;

    if (n == 1 && has_each_once(a, pieces)) {
        *ret = *pieces;
        return;
    }
    u.encoder = tracepiece_encoder_new();
    memset(ret, 0, sizeof(*ret));
    if (n)
        memcpy(ret->trace_id, pieces[0].trace_id, sizeof(ret->trace_id));
    for (size_t i = 0; i < n; i++)
        n_spans += pieces[i].n_spans;
    ret->spans = arena_array(a, struct tracepiece_span, n_spans);
    for (size_t i = 0; i < n; i++)
        add_piece(&u, &pieces[i]);
    if (ret->n_spans) {
        qsort_r(ret->spans, ret->n_spans, sizeof(*ret->spans), compare_spans, &u);
        keep_first(ret);
        qsort(ret->spans, ret->n_spans, sizeof(*ret->spans), compare_starts);
    }
    map_done(&u.resources);
    map_done(&u.scopes);
    buf_done(&u.scratch);
    buf_done(&u.other);
    tracepiece_encoder_free(u.encoder);
}

/* ---- pieces become columns ---- */

void tracepiece_rows_init(struct tracepiece_rows *r, struct tracebuild *build)
{
    *r = (struct tracepiece_rows){.build = build, .encoder = tracepiece_encoder_new()};
}

void tracepiece_rows_done(struct tracepiece_rows *r)
{
    map_done(&r->resources);
    map_done(&r->scopes);
    buf_done(&r->scratch);
    tracepiece_encoder_free(r->encoder);
}

static struct tracevalue value_of(struct arena *a, const struct otlp_value *v, bool in_list)
{
    struct tracevalue ret = {.type = TRACECELL_NONE};
    struct tracevalue *items;

    switch (v->kind) {
    case OTLP_VALUE_TEXT:
        ret.type = TRACECELL_STRING;
        ret.v.s = v->text;
        break;
    case OTLP_VALUE_BOOL:
        ret.type = TRACECELL_BOOL;
        ret.v.b = v->b;
        break;
    case OTLP_VALUE_INT:
        ret.type = TRACECELL_INT;
        ret.v.i = v->i;
        break;
    case OTLP_VALUE_DOUBLE:
        ret.type = TRACECELL_FLOAT;
        ret.v.f = v->d;
        break;
    case OTLP_VALUE_LIST:
        if (in_list)
            break;
        items = arena_array(a, struct tracevalue, v->n);
        for (size_t i = 0; i < v->n; i++)
            items[i] = value_of(a, &v->members[i].value, true);
        ret.type = TRACECELL_ARRAY;
        ret.v.array.ptr = items;
        ret.v.array.n = v->n;
        break;
    case OTLP_VALUE_EMPTY:
    case OTLP_VALUE_BYTES:
    case OTLP_VALUE_MAP:
        break;
    }
    return ret;
}

static void build_attributes(struct tracepiece_rows *r, struct arena *a, enum tracetable table,
                             const struct tracepiece_attributes *attributes)
{
    for (uint32_t i = 0; i < attributes->n; i++) {
        struct tracevalue v = value_of(a, &attributes->ptr[i].value, false);

        tracebuild_attribute(r->build, table, attributes->ptr[i].key, &v);
    }
}

static uint32_t build_resource(struct tracepiece_rows *r, struct arena *a,
                               const struct tracepiece_resource *res)
{
    void **slot;

    buf_reset(&r->scratch);
    tracepiece_resource_bytes(r->encoder, res, &r->scratch);
    slot = map_slot(&r->resources, buf_slice(&r->scratch));
    if (!*slot) {
        *slot = (void *)(uintptr_t)(tracebuild_resource(r->build) + 1);
        build_attributes(r, a, TRACE_RESOURCES, &res->attributes);
    }
    return (uint32_t)((uintptr_t)*slot - 1);
}

static uint32_t build_scope(struct tracepiece_rows *r, struct arena *a,
                            const struct tracepiece_scope *s)
{
    void **slot;

    buf_reset(&r->scratch);
    tracepiece_scope_bytes(r->encoder, s, &r->scratch);
    slot = map_slot(&r->scopes, buf_slice(&r->scratch));
    if (!*slot) {
        *slot = (void *)(uintptr_t)(tracebuild_library(r->build, s->name, s->version) + 1);
        build_attributes(r, a, TRACE_LIBRARIES, &s->attributes);
    }
    return (uint32_t)((uintptr_t)*slot - 1);
}

static void build_span(struct tracepiece_rows *r, struct arena *a, const struct tracepiece_span *s,
                       uint32_t resource, uint32_t scope)
{
    tracebuild_span(r->build, &(struct tracebuild_span){.span_id = s->span_id,
                                                        .parent_id = s->parent_id,
                                                        .name = s->name,
                                                        .message = s->message,
                                                        .kind = s->kind,
                                                        .status = s->status,
                                                        .start_ns = (int64_t)s->start_ns,
                                                        .end_ns = (int64_t)s->end_ns,
                                                        .resource = resource,
                                                        .library = scope});
    build_attributes(r, a, TRACE_SPANS, &s->attributes);
    for (uint32_t i = 0; i < s->n_events; i++) {
        tracebuild_event(r->build, s->events[i].name, (int64_t)s->events[i].t_ns);
        build_attributes(r, a, TRACE_EVENTS, &s->events[i].attributes);
    }
    for (uint32_t i = 0; i < s->n_links; i++) {
        tracebuild_link(r->build, s->links[i].trace_id, s->links[i].span_id);
        build_attributes(r, a, TRACE_LINKS, &s->links[i].attributes);
    }
}

void tracepiece_build(struct tracepiece_rows *r, struct arena *a, const struct tracepiece *p)
{
    uint32_t *resources = arena_array(a, uint32_t, p->n_resources);
    uint32_t *scopes = arena_array(a, uint32_t, p->n_scopes);

    for (uint32_t i = 0; i < p->n_resources; i++)
        resources[i] = build_resource(r, a, &p->resources[i]);
    for (uint32_t i = 0; i < p->n_scopes; i++)
        scopes[i] = build_scope(r, a, &p->scopes[i]);
    tracebuild_trace(r->build, p->trace_id);
    for (uint32_t i = 0; i < p->n_spans; i++)
        build_span(r, a, &p->spans[i], resources[p->spans[i].resource], scopes[p->spans[i].scope]);
}
