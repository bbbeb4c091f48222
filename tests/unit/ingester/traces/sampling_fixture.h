/* What tests of sampling share: policies from YAML, and spans. */
#pragma once
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/model/tail_rule.h"
#include "common/traces/tracepiece.h"
#include "tests/unit/test.h"

struct sf_rules {
    struct arena *a;
    struct tail_rules r;
};

/* list: the policies */
static inline void sf_parse(struct sf_rules *t, const char *list)
{
    struct yaml_node *root = NULL;
    char *yaml = mem_printf("policies: [%s]", list);

    t->a = arena_new(0);
    CHECK_OK(yaml_load("t", slice_cstr(yaml), t->a, &root));
    CHECK_OK(tail_rules_parse("t", root, t->a, &t->r));
    t->r.id = hash_xxh64(slice_cstr(yaml), 0) | 1;
    mem_free(yaml);
}

static inline void sf_done(struct sf_rules *t)
{
    tail_rules_done(&t->r);
    arena_free(t->a);
}

/* A trace of one span, and of one resource. */
struct sf_span {
    struct tracepiece piece;
    struct tracepiece_resource resource;
    struct tracepiece_scope scope;
    struct tracepiece_span span;
    struct otlp_member attributes[2];
};

/* key: an attribute of the span with this value, in_resource: of the resource instead; NULL: none */
static inline struct tracepiece *sf_piece(struct sf_span *s, uint64_t start_ms, uint64_t long_ms,
                                          uint8_t status, const char *key, struct otlp_value value,
                                          bool in_resource)
{
    *s = (struct sf_span){.span = {.span_id = 1,
                                   .start_ns = start_ms * 1000000,
                                   .end_ns = (start_ms + long_ms) * 1000000,
                                   .status = status}};
    s->piece = (struct tracepiece){.n_resources = 1,
                                   .n_scopes = 1,
                                   .n_spans = 1,
                                   .resources = &s->resource,
                                   .scopes = &s->scope,
                                   .spans = &s->span};
    if (key) {
        struct tracepiece_attributes *a =
            in_resource ? &s->resource.attributes : &s->span.attributes;

        s->attributes[0] = (struct otlp_member){slice_cstr(key), value};
        *a = (struct tracepiece_attributes){.n = 1, .ptr = s->attributes};
    }
    return &s->piece;
}

static inline struct otlp_value sf_text(const char *s)
{
    return (struct otlp_value){.kind = OTLP_VALUE_TEXT, .text = slice_cstr(s)};
}

static inline struct otlp_value sf_int(int64_t i)
{
    return (struct otlp_value){.kind = OTLP_VALUE_INT, .i = i};
}

static inline void sf_id(uint8_t ret[16], uint64_t n)
{
    uint64_t mixed = n * 0x9e3779b97f4a7c15ull + 1;

    memcpy(ret, &mixed, 8);
    memcpy(ret + 8, &n, 8);
}
