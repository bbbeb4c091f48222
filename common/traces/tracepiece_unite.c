#include <stdlib.h>

#include "common/base/mem.h"
#include "common/traces/tracepiece_known.h"
#include "common/traces/tracepiece_parts.h"

/* ---- several pieces become one ---- */

/* Things that are equal are one: hashes lead to numbers of what is there already. */
struct numbers {
    uint32_t *slots; /* number + 1; 0: free */
    size_t mask;
};

struct uniter {
    struct arena *a;
    struct numbers resources, scopes, spans;
    struct tracepiece *out;
};

static struct numbers numbers_new(struct arena *a, size_t most)
{
    struct numbers n = {.mask = 15};

    while (n.mask < 2 * most)
        n.mask = n.mask << 1 | 1;
    n.slots = arena_array(a, uint32_t, n.mask + 1);
    return n;
}

static uint32_t unite_resource(struct uniter *u, const struct tracepiece_resource *r)
{
    struct tracepiece *out = u->out;
    size_t at = tracepiece_resource_hash(r) & u->resources.mask;
    uint32_t *slots = u->resources.slots;

    while (slots[at] && tracepiece_resource_cmp(&out->resources[slots[at] - 1], r))
        at = (at + 1) & u->resources.mask;
    if (!slots[at]) {
        out->resources[out->n_resources++] = *r;
        slots[at] = out->n_resources;
    }
    return slots[at] - 1;
}

static uint32_t unite_scope(struct uniter *u, const struct tracepiece_scope *s)
{
    struct tracepiece *out = u->out;
    size_t at = tracepiece_scope_hash(s) & u->scopes.mask;
    uint32_t *slots = u->scopes.slots;

    while (slots[at] && tracepiece_scope_cmp(&out->scopes[slots[at] - 1], s))
        at = (at + 1) & u->scopes.mask;
    if (!slots[at]) {
        out->scopes[out->n_scopes++] = *s;
        slots[at] = out->n_scopes;
    }
    return slots[at] - 1;
}

static int compare_numbers(uint64_t x, uint64_t y)
{
    return (x > y) - (x < y);
}

/* Of spans with the same id and kind. Numbers of resources and scopes depend on the order of the pieces: so it is what they say that
 * counts. */
static int compare_spans(const struct tracepiece *p, const struct tracepiece_span *a,
                         const struct tracepiece_span *b)
{
    int c = compare_numbers(a->start_ns, b->start_ns);

    c = c ? c : compare_numbers(a->end_ns, b->end_ns);
    if (!c && a->resource != b->resource)
        c = tracepiece_resource_cmp(&p->resources[a->resource], &p->resources[b->resource]);
    if (!c && a->scope != b->scope)
        c = tracepiece_scope_cmp(&p->scopes[a->scope], &p->scopes[b->scope]);
    return c ? c : tracepiece_span_cmp(a, b);
}

static int compare_starts(const void *x, const void *y)
{
    const struct tracepiece_span *a = x, *b = y;
    int c = compare_numbers(a->start_ns, b->start_ns);

    c = c ? c : compare_numbers(a->span_id, b->span_id);
    return c ? c : compare_numbers(a->kind, b->kind);
}

static void unite_span(struct uniter *u, const struct tracepiece_span *s)
{
    struct tracepiece *out = u->out;
    uint32_t *slots = u->spans.slots;
    struct tracepiece_span *known;
    size_t at = tracepiece_span_hash(s) & u->spans.mask;

    for (; slots[at]; at = (at + 1) & u->spans.mask) {
        known = &out->spans[slots[at] - 1];
        if (known->span_id == s->span_id && known->kind == s->kind) {
            if (compare_spans(out, s, known) < 0)
                *known = *s;
            return;
        }
    }
    out->spans[out->n_spans++] = *s;
    slots[at] = out->n_spans;
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
        struct tracepiece_span s = p->spans[i];

        s.resource = resources[s.resource];
        s.scope = scopes[s.scope];
        unite_span(u, &s);
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
    size_t n_spans = 0, n_resources = 0, n_scopes = 0;

    if (n == 1 && has_each_once(a, pieces)) {
        *ret = *pieces;
        return;
    }
    memset(ret, 0, sizeof(*ret));
    if (n)
        memcpy(ret->trace_id, pieces[0].trace_id, sizeof(ret->trace_id));
    for (size_t i = 0; i < n; i++) {
        n_spans += pieces[i].n_spans;
        n_resources += pieces[i].n_resources;
        n_scopes += pieces[i].n_scopes;
    }
    ret->spans = arena_array(a, struct tracepiece_span, n_spans);
    ret->resources = arena_array(a, struct tracepiece_resource, n_resources);
    ret->scopes = arena_array(a, struct tracepiece_scope, n_scopes);
    u.spans = numbers_new(a, n_spans);
    u.resources = numbers_new(a, n_resources);
    u.scopes = numbers_new(a, n_scopes);
    for (size_t i = 0; i < n; i++)
        add_piece(&u, &pieces[i]);
    if (ret->n_spans)
        qsort(ret->spans, ret->n_spans, sizeof(*ret->spans), compare_starts);
}

/* ---- pieces become columns ---- */

void tracepiece_rows_init(struct tracepiece_rows *r, struct tracebuild *build)
{
    *r = (struct tracepiece_rows){build, mem_new(struct tracepiece_known)};
}

void tracepiece_rows_done(struct tracepiece_rows *r)
{
    tracepiece_known_done(r->known);
    mem_free(r->known);
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
    bool is_new;
    uint32_t row = tracepiece_known_resource(r->known, res, &is_new);

    if (is_new) {
        (void)tracebuild_resource(r->build);
        build_attributes(r, a, TRACE_RESOURCES, &res->attributes);
    }
    return row;
}

static uint32_t build_scope(struct tracepiece_rows *r, struct arena *a,
                            const struct tracepiece_scope *s)
{
    bool is_new;
    uint32_t row = tracepiece_known_scope(r->known, s, &is_new);

    if (is_new) {
        (void)tracebuild_library(r->build, s->name, s->version);
        build_attributes(r, a, TRACE_LIBRARIES, &s->attributes);
    }
    return row;
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
