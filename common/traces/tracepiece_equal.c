/* What parts of pieces say, held against one another. */
#include "common/traces/tracepiece_parts.h"

static int compare_numbers(uint64_t x, uint64_t y)
{
    return (x > y) - (x < y);
}

static int compare_texts(struct slice x, struct slice y)
{
    return x.ptr == y.ptr && x.len == y.len ? 0 : slice_cmp(x, y);
}

static int compare_members(const struct otlp_member *x, size_t n_x, const struct otlp_member *y,
                           size_t n_y);

static uint64_t bits_of(double d)
{
    uint64_t bits;

    memcpy(&bits, &d, sizeof(bits));
    return bits;
}

static int compare_values(const struct otlp_value *x, const struct otlp_value *y)
{
    if (x->kind != y->kind)
        return x->kind < y->kind ? -1 : 1;
    switch (x->kind) {
    case OTLP_VALUE_TEXT:
    case OTLP_VALUE_BYTES:
        return compare_texts(x->text, y->text);
    case OTLP_VALUE_BOOL:
        return compare_numbers(x->b, y->b);
    case OTLP_VALUE_INT:
        return compare_numbers((uint64_t)x->i, (uint64_t)y->i);
    case OTLP_VALUE_DOUBLE:
        return compare_numbers(bits_of(x->d), bits_of(y->d));
    case OTLP_VALUE_LIST:
    case OTLP_VALUE_MAP:
        return compare_members(x->members, x->n, y->members, y->n);
    default:
        return 0;
    }
}

static int compare_members(const struct otlp_member *x, size_t n_x, const struct otlp_member *y,
                           size_t n_y)
{
    int c = compare_numbers(n_x, n_y);

    for (size_t i = 0; i < n_x && !c; i++) {
        c = compare_texts(x[i].key, y[i].key);
        c = c ? c : compare_values(&x[i].value, &y[i].value);
    }
    return c;
}

static int compare_attributes(const struct tracepiece_attributes *x,
                              const struct tracepiece_attributes *y)
{
    int c = compare_numbers(x->dropped, y->dropped);

    return c ? c : compare_members(x->ptr, x->n, y->ptr, y->n);
}

int tracepiece_resource_cmp(const struct tracepiece_resource *x,
                            const struct tracepiece_resource *y)
{
    int c = compare_texts(x->schema_url, y->schema_url);

    return c ? c : compare_attributes(&x->attributes, &y->attributes);
}

int tracepiece_scope_cmp(const struct tracepiece_scope *x, const struct tracepiece_scope *y)
{
    int c = compare_texts(x->name, y->name);

    c = c ? c : compare_texts(x->version, y->version);
    c = c ? c : compare_texts(x->schema_url, y->schema_url);
    return c ? c : compare_attributes(&x->attributes, &y->attributes);
}

static int compare_events(const struct tracepiece_event *x, const struct tracepiece_event *y)
{
    int c = compare_numbers(x->t_ns, y->t_ns);

    c = c ? c : compare_texts(x->name, y->name);
    return c ? c : compare_attributes(&x->attributes, &y->attributes);
}

static int compare_links(const struct tracepiece_link *x, const struct tracepiece_link *y)
{
    int c = memcmp(x->trace_id, y->trace_id, sizeof(x->trace_id));

    c = c ? c : compare_numbers(x->span_id, y->span_id);
    c = c ? c : compare_texts(x->state, y->state);
    c = c ? c : compare_numbers(x->flags, y->flags);
    return c ? c : compare_attributes(&x->attributes, &y->attributes);
}

static int compare_counts(const struct tracepiece_span *x, const struct tracepiece_span *y)
{
    int c = compare_numbers(x->parent_id, y->parent_id);

    c = c ? c : compare_numbers(x->status, y->status);
    c = c ? c : compare_numbers(x->flags, y->flags);
    c = c ? c : compare_numbers(x->n_events, y->n_events);
    c = c ? c : compare_numbers(x->dropped_events, y->dropped_events);
    c = c ? c : compare_numbers(x->n_links, y->n_links);
    return c ? c : compare_numbers(x->dropped_links, y->dropped_links);
}

int tracepiece_span_cmp(const struct tracepiece_span *x, const struct tracepiece_span *y)
{
    int c = compare_counts(x, y);

    c = c ? c : compare_texts(x->name, y->name);
    c = c ? c : compare_texts(x->message, y->message);
    c = c ? c : compare_texts(x->state, y->state);
    c = c ? c : compare_attributes(&x->attributes, &y->attributes);
    for (uint32_t i = 0; i < x->n_events && !c; i++)
        c = compare_events(&x->events[i], &y->events[i]);
    for (uint32_t i = 0; i < x->n_links && !c; i++)
        c = compare_links(&x->links[i], &y->links[i]);
    return c;
}

/* ---- hashes: of all that is compared, for tenants choose what is in it, and could make many that are not equal have one ---- */

static uint64_t hash_number(uint64_t n, uint64_t h)
{
    return hash_xxh64(slice_of(&n, sizeof(n)), h);
}

static uint64_t hash_members(const struct otlp_member *m, size_t n, uint64_t h);

static uint64_t hash_value(const struct otlp_value *v, uint64_t h)
{
    switch (v->kind) {
    case OTLP_VALUE_TEXT:
    case OTLP_VALUE_BYTES:
        return hash_xxh64(v->text, h + v->kind);
    case OTLP_VALUE_BOOL:
        return hash_number(v->b, h + v->kind);
    case OTLP_VALUE_INT:
        return hash_number((uint64_t)v->i, h + v->kind);
    case OTLP_VALUE_DOUBLE:
        return hash_number(bits_of(v->d), h + v->kind);
    case OTLP_VALUE_LIST:
    case OTLP_VALUE_MAP:
        return hash_members(v->members, v->n, hash_number(v->n, h + v->kind));
    default:
        return h + v->kind;
    }
}

static uint64_t hash_members(const struct otlp_member *m, size_t n, uint64_t h)
{
    for (size_t i = 0; i < n; i++)
        h = hash_value(&m[i].value, hash_xxh64(m[i].key, h));
    return h;
}

static uint64_t hash_attributes(const struct tracepiece_attributes *a, uint64_t h)
{
    return hash_members(a->ptr, a->n, a->dropped ? hash_number(a->dropped, h) : h);
}

uint64_t tracepiece_resource_hash(const struct tracepiece_resource *r)
{
    return hash_attributes(&r->attributes, hash_xxh64(r->schema_url, 0));
}

uint64_t tracepiece_scope_hash(const struct tracepiece_scope *s)
{
    return hash_attributes(
        &s->attributes, hash_xxh64(s->schema_url, hash_xxh64(s->name, hash_xxh64(s->version, 0))));
}

uint64_t tracepiece_span_hash(const struct tracepiece_span *s)
{
    uint64_t key[] = {s->span_id, s->kind};

    return hash_xxh64(slice_of(key, sizeof(key)), 0);
}
