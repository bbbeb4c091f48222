/* Traces of all shapes, as unions of pieces are: spans in order, resources and scopes as spans want them. */
#pragma once
#include <stdlib.h>

#include "common/base/rng.h"
#include "common/traceblock/traceblock.h"
#include "tests/unit/test.h"

#define FIXTURE_T0 1764400000123456789ll

struct fixture {
    struct arena *a;
    struct rng r;
    unsigned keys;        /* different ones of span attributes */
    struct tracepiece *t; /* by id */
    size_t n, spans;
};

static inline struct slice fixture_text(struct fixture *f, const char *stem, uint32_t n)
{
    return slice_cstr(arena_printf(f->a, "%s-%u", stem, n));
}

static inline struct otlp_value fixture_value(struct fixture *f, unsigned depth)
{
    struct otlp_value v = {.kind = (enum otlp_value_kind)rng_below(&f->r, depth ? 8 : 6)};

    switch (v.kind) {
    case OTLP_VALUE_TEXT:
    case OTLP_VALUE_BYTES:
        v.text =
            rng_chance(&f->r, 0.1) ? SLICE_EMPTY : fixture_text(f, "value", rng_u32(&f->r) % 5000);
        break;
    case OTLP_VALUE_BOOL:
        v.b = rng_chance(&f->r, 0.5);
        break;
    case OTLP_VALUE_INT:
        v.i = rng_chance(&f->r, 0.1) ? INT64_MIN : (int64_t)rng_below(&f->r, 1000);
        break;
    case OTLP_VALUE_DOUBLE:
        v.d = (double)rng_below(&f->r, 100) / 8.0;
        break;
    case OTLP_VALUE_LIST:
    case OTLP_VALUE_MAP:
        v.n = rng_below(&f->r, 4);
        v.members = arena_array(f->a, struct otlp_member, v.n);
        for (size_t i = 0; i < v.n; i++) {
            v.members[i].key =
                v.kind == OTLP_VALUE_MAP ? fixture_text(f, "m", (uint32_t)i) : SLICE_EMPTY;
            v.members[i].value = fixture_value(f, depth - 1);
        }
        break;
    default:
        break;
    }
    return v;
}

static inline struct tracepiece_attributes fixture_attributes(struct fixture *f, const char *stem,
                                                              unsigned keys, unsigned most)
{
    struct tracepiece_attributes a = {.n = (uint32_t)rng_below(&f->r, most + 1),
                                      .dropped = rng_chance(&f->r, 0.02) ? 3 : 0};

    a.ptr = arena_array(f->a, struct otlp_member, a.n);
    for (uint32_t i = 0; i < a.n; i++) { /* a key may come twice, and with another kind */
        a.ptr[i].key = fixture_text(f, stem, (uint32_t)rng_below(&f->r, keys));
        a.ptr[i].value = fixture_value(f, 2);
    }
    return a;
}

static inline struct tracepiece_resource fixture_resource(struct fixture *f, uint32_t i)
{
    struct tracepiece_resource r = {.schema_url = i % 3 ? SLICE_EMPTY : SLICE("https://schema")};

    if (i % 7 == 6)
        return r; /* a service without a name */
    r.attributes =
        (struct tracepiece_attributes){2, i % 2, arena_array(f->a, struct otlp_member, 2)};
    r.attributes.ptr[0] = (struct otlp_member){
        SLICE("service.name"), {.kind = OTLP_VALUE_TEXT, .text = fixture_text(f, "service", i)}};
    r.attributes.ptr[1] = (struct otlp_member){SLICE("pod"), {.kind = OTLP_VALUE_INT, .i = i}};
    return r;
}

static inline void fixture_span(struct fixture *f, struct tracepiece *p, uint32_t i)
{
    struct tracepiece_span *s = &p->spans[i];

    *s = (struct tracepiece_span){
        .span_id = rng_u64(&f->r) | 1,
        .kind = (uint8_t)rng_below(&f->r, 6),
        .status = (uint8_t)rng_below(&f->r, 3),
        .flags = rng_chance(&f->r, 0.9) ? 0x101 : 0,
        .name = fixture_text(f, "GET /route", (uint32_t)rng_below(&f->r, 30)),
        .message = rng_chance(&f->r, 0.05) ? SLICE("it failed") : SLICE_EMPTY,
        .state = rng_chance(&f->r, 0.01) ? SLICE("k=v") : SLICE_EMPTY,
        .attributes = fixture_attributes(f, "key", f->keys, 8),
        .n_events = rng_chance(&f->r, 0.1) ? (uint32_t)rng_below(&f->r, 3) : 0,
        .n_links = rng_chance(&f->r, 0.05) ? 1 : 0,
        .dropped_events = rng_chance(&f->r, 0.01) ? 7 : 0,
    };
    s->start_ns = (i ? p->spans[i - 1].start_ns : FIXTURE_T0 + rng_below(&f->r, 1ull << 36)) +
                  rng_below(&f->r, 1000000);
    /* some end before they begin */
    s->end_ns = s->start_ns + rng_below(&f->r, 50000000) - (rng_chance(&f->r, 0.01) ? 10000 : 0);
    if (i)
        s->parent_id =
            rng_chance(&f->r, 0.02) ? rng_u64(&f->r) : p->spans[rng_below(&f->r, i)].span_id;
    s->events = arena_array(f->a, struct tracepiece_event, s->n_events);
    for (uint32_t k = 0; k < s->n_events; k++)
        s->events[k] = (struct tracepiece_event){s->start_ns + k * 1000 - 500, SLICE("exception"),
                                                 fixture_attributes(f, "event", 3, 2)};
    s->links = arena_array(f->a, struct tracepiece_link, s->n_links);
    for (uint32_t k = 0; k < s->n_links; k++)
        s->links[k] = (struct tracepiece_link){
            {1, 2, 3}, rng_u64(&f->r), SLICE("s=t"), 1, fixture_attributes(f, "link", 3, 2)};
}

static inline int fixture_cmp(const void *a, const void *b)
{
    return memcmp(((const struct tracepiece *)a)->trace_id,
                  ((const struct tracepiece *)b)->trace_id, 16);
}

static inline void fixture_trace(struct fixture *f, struct tracepiece *p)
{
    uint32_t seen[9] = {0}, resources = 1 + (uint32_t)rng_below(&f->r, 3);

    for (size_t i = 0; i < 16; i++)
        p->trace_id[i] = (uint8_t)rng_u32(&f->r);
    p->n_spans = 1 + (uint32_t)rng_below(&f->r, rng_chance(&f->r, 0.05) ? 60 : 12);
    p->spans = arena_array(f->a, struct tracepiece_span, p->n_spans);
    p->resources = arena_array(f->a, struct tracepiece_resource, 9);
    p->scopes = arena_array(f->a, struct tracepiece_scope, 1);
    p->n_scopes = 1;
    *p->scopes = (struct tracepiece_scope){
        fixture_text(f, "lib", p->trace_id[0] % 3), SLICE("1.2"), SLICE_EMPTY, {0}};
    for (uint32_t i = 0; i < p->n_spans; i++) {
        uint32_t which = (p->trace_id[1] + (uint32_t)rng_below(&f->r, resources)) % 9;

        fixture_span(f, p, i);
        if (!seen[which]) {
            p->resources[p->n_resources++] = fixture_resource(f, which);
            seen[which] = p->n_resources;
        }
        p->spans[i].resource = seen[which] - 1;
    }
    f->spans += p->n_spans;
}

static inline struct fixture fixture_make(uint64_t seed, size_t n, unsigned keys)
{
    struct fixture f = {.a = arena_new(0), .keys = keys, .n = n};

    rng_seed(&f.r, seed);
    f.t = arena_array(f.a, struct tracepiece, n);
    for (size_t i = 0; i < n; i++)
        fixture_trace(&f, &f.t[i]);
    qsort(f.t, n, sizeof(*f.t), fixture_cmp);
    return f;
}

/* Its bytes, which are equal if traces are. */
static inline struct slice fixture_bytes(struct arena *a, const struct tracepiece *p)
{
    struct tracepiece_encoder *e = tracepiece_encoder_new();
    struct buf out = {0};
    struct slice ret;

    tracepiece_encode(e, p, &out);
    ret = arena_dup(a, buf_slice(&out));
    buf_done(&out);
    tracepiece_encoder_free(e);
    return ret;
}

static inline bool fixture_eq(const struct tracepiece *l, const struct tracepiece *r)
{
    struct arena *a = arena_new(0);
    bool is_eq = slice_eq(fixture_bytes(a, l), fixture_bytes(a, r));

    arena_free(a);
    return is_eq;
}
