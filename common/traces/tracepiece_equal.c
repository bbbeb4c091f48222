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

/* ---- hashes: of what tells things apart, mostly ---- */

static uint64_t hash_texts(const struct tracepiece_attributes *a, uint64_t h)
{
    for (uint32_t i = 0; i < a->n; i++) {
        const struct otlp_value *v = &a->ptr[i].value;

        h = hash_xxh64(a->ptr[i].key, h);
        if (v->kind == OTLP_VALUE_TEXT || v->kind == OTLP_VALUE_BYTES)
            h = hash_xxh64(v->text, h);
        else if (v->kind == OTLP_VALUE_INT)
            h = (h ^ (uint64_t)v->i) * 0x9e3779b97f4a7c15ull;
    }
    return h;
}

uint64_t tracepiece_resource_hash(const struct tracepiece_resource *r)
{
    return hash_texts(&r->attributes, 0);
}

uint64_t tracepiece_scope_hash(const struct tracepiece_scope *s)
{
    return hash_texts(&s->attributes, hash_xxh64(s->name, hash_xxh64(s->version, 0)));
}
