#include "ingester/generator/spansize.h"

#define ID_BYTES (2 + 8)
#define TRACE_ID_BYTES (2 + 16)

static size_t varint(uint64_t v)
{
    size_t n = 1;

    while (v >>= 7)
        n++;
    return n;
}

/* A field with n bytes in it; numbers of fields are below 16 where tag is 1. */
static size_t field(size_t tag, size_t n)
{
    return tag + varint(n) + n;
}

static size_t text(struct slice s)
{
    return s.len ? field(1, s.len) : 0;
}

static size_t number(uint64_t v)
{
    return v ? 1 + varint(v) : 0;
}

static size_t value(const struct otlp_value *v);

static size_t member(const struct otlp_member *m)
{
    return text(m->key) + field(1, value(&m->value));
}

/* Of the fields of an AnyValue. Depth is bounded where values are read. */
static size_t value(const struct otlp_value *v)
{
    size_t n = 0;

    switch (v->kind) {
    case OTLP_VALUE_EMPTY:
        return 0;
    case OTLP_VALUE_TEXT:
    case OTLP_VALUE_BYTES:
        return field(1, v->text.len);
    case OTLP_VALUE_BOOL:
        return 2;
    case OTLP_VALUE_INT:
        return 1 + varint((uint64_t)v->i);
    case OTLP_VALUE_DOUBLE:
        return 9;
    case OTLP_VALUE_LIST:
    case OTLP_VALUE_MAP:
        for (size_t i = 0; i < v->n; i++)
            n += field(1, v->kind == OTLP_VALUE_MAP ? member(&v->members[i])
                                                    : value(&v->members[i].value));
        return field(1, n);
    }
    return 0;
}

static size_t attributes(const struct tracepiece_attributes *a)
{
    size_t n = number(a->dropped);

    for (uint32_t i = 0; i < a->n; i++)
        n += field(1, member(&a->ptr[i]));
    return n;
}

static size_t event(const struct tracepiece_event *ev)
{
    return (ev->t_ns ? 9 : 0) + text(ev->name) + attributes(&ev->attributes);
}

static size_t link_bytes(const struct tracepiece_link *l)
{
    return TRACE_ID_BYTES + ID_BYTES + text(l->state) + attributes(&l->attributes) +
           (l->flags ? 5 : 0);
}

size_t spansize_proto(const struct tracepiece_span *s)
{
    size_t status = text(s->message) + number(s->status);
    size_t n = TRACE_ID_BYTES + ID_BYTES + (s->parent_id ? ID_BYTES : 0) + text(s->state) +
               text(s->name) + number(s->kind) + (s->start_ns ? 9 : 0) + (s->end_ns ? 9 : 0) +
               attributes(&s->attributes) + number(s->dropped_events) + number(s->dropped_links);

    for (uint32_t i = 0; i < s->n_events; i++)
        n += field(1, event(&s->events[i]));
    for (uint32_t i = 0; i < s->n_links; i++)
        n += field(1, link_bytes(&s->links[i]));
    return n + (status ? field(1, status) : 0) + (s->flags ? 6 : 0);
}
