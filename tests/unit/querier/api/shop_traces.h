/* Traces for the tests of Jaeger's and Zipkin's APIs: front calls shop, Zipkin's way (one id), and shop the database. */
#pragma once
#include "tests/unit/querier/api/traces_rig.h"

#define SHOP_RANGE "start=1767225600000000&end=1767226600000000"
#define SHOP_ID "0a000000000000000000000000000001"
#define SHOP_N(n) "0a00000000000000000000000000000" #n

static inline struct otlp_member shop_int(const char *key, int64_t value)
{
    return (struct otlp_member){slice_cstr(key), {.kind = OTLP_VALUE_INT, .i = value}};
}

/* The trace 1: the call, with something of all that spans have. */
static inline void shop_call(struct rig *g)
{
    struct otlp_member front[] = {text_member("service.name", "front"),
                                  text_member("net.host.ip", "10.0.0.1"),
                                  shop_int("net.host.port", 80), shop_int("cpus", 8)};
    struct otlp_member shop[] = {text_member("service.name", "shop")};
    struct otlp_member warning[] = {text_member("", "clock skew")};
    struct otlp_member list[] = {shop_int("", 1), shop_int("", 2)};
    struct otlp_member call[] = {
        text_member("http.method", "GET"),
        shop_int("http.status_code", 500),
        {SLICE("ratio"), {.kind = OTLP_VALUE_DOUBLE, .d = 0.5}},
        {SLICE("hot"), {.kind = OTLP_VALUE_BOOL, .b = true}},
        {SLICE("raw"), {.kind = OTLP_VALUE_BYTES, .text = slice_of("\x01\xff", 2)}},
        {SLICE("list"), {.kind = OTLP_VALUE_LIST, .members = list, .n = 2}},
        shop_int("big", 9007199254740993),
        text_member("peer.service", "shop"),
        text_member("net.peer.ip", "::1"),
        {SLICE("@jaeger@warnings"), {.kind = OTLP_VALUE_LIST, .members = warning, .n = 1}}};
    struct otlp_member why[] = {text_member("why", "late")};
    struct otlp_member child_of[] = {text_member("opentracing.ref_type", "child_of")};
    struct tracepiece_event events[] = {
        {.t_ns = T0 + 2000, .name = SLICE("retry"), .attributes = {1, 0, why}},
        {.t_ns = T0 + 3000, .name = SLICE("bare")}};
    struct tracepiece_link links[] = {
        {.trace_id = {0xcc}, .span_id = 7, .state = SLICE(""), .attributes = {1, 0, child_of}},
        {.trace_id = {0xdd}, .span_id = 8, .state = SLICE("")}};
    struct tracepiece_resource resources[] = {{.attributes = {4, 0, front}},
                                              {.attributes = {1, 0, shop}}};
    struct tracepiece_scope scope = {.name = SLICE("lib"), .version = SLICE("1.2")};
    struct tracepiece_span spans[] = {{.span_id = 1,
                                       .kind = 3,
                                       .status = 2,
                                       .name = SLICE("pay"),
                                       .message = SLICE("boom"),
                                       .state = SLICE("a=b"),
                                       .start_ns = T0,
                                       .end_ns = T0 + 5000000,
                                       .attributes = {ORR_COUNT(call), 0, call},
                                       .n_events = 2,
                                       .events = events,
                                       .n_links = 2,
                                       .links = links},
                                      {.span_id = 1,
                                       .resource = 1,
                                       .kind = 2,
                                       .name = SLICE("POST /pay"),
                                       .start_ns = T0 + 1000,
                                       .end_ns = T0 + 500}, /* before it starts */
                                      {.span_id = 2,
                                       .parent_id = 1,
                                       .resource = 1,
                                       .kind = 1,
                                       .name = SLICE("count"),
                                       .start_ns = T0 + 2000,
                                       .end_ns = T0 + 2100}};
    struct tracepiece p = {.trace_id = {0x0a, [15] = 1},
                           .n_resources = 2,
                           .n_scopes = 1,
                           .n_spans = 3,
                           .resources = resources,
                           .scopes = &scope,
                           .spans = spans};

    add_piece(g, &p);
}

/* The traces from 2 on: n seconds later, of a service of their own, n ms long; of the last nobody says whose it is. */
static inline void shop_others(struct rig *g)
{
    for (unsigned n = 2; n < 5; n++) {
        struct otlp_member service = text_member("service.name", n == 2 ? "cron" : "batch");
        struct tracepiece_resource resource = {.attributes = {n < 4, 0, &service}};
        struct tracepiece_scope scope = {.name = SLICE("")};
        struct tracepiece_span span = {.span_id = n,
                                       .kind = 1,
                                       .name = SLICE("run"),
                                       .start_ns = T0 + n * NS_PER_S,
                                       .end_ns = T0 + n * NS_PER_S + n * 1000000};
        struct tracepiece p = {.trace_id = {0x0a, [15] = (uint8_t)n},
                               .n_resources = 1,
                               .n_scopes = 1,
                               .n_spans = 1,
                               .resources = &resource,
                               .scopes = &scope,
                               .spans = &span};

        add_piece(g, &p);
    }
}

static inline void shop_fill(struct rig *g)
{
    shop_call(g);
    shop_others(g);
}

/* All of an answer in JSON. */
static inline void is(struct rig *g, const char *path, const char *want)
{
    CHECK_STR(ask_as(g, path, NULL), want);
    CHECK_INT(g->status, 200);
    CHECK_STR(g->type, HTTP_JSON);
}

/* Which of the traces 1 to 4 come, as digits. before, after: what stands around the id of each. */
static inline void shop_finds(struct rig *g, const char *where, const char *query,
                              const char *before, const char *after, const char *want)
{
    static const char *const ids[] = {SHOP_N(1), SHOP_N(2), SHOP_N(3), SHOP_N(4)};
    char path[512], got[8] = "", text[128];
    const char *body;
    size_t n = 0;

    (void)snprintf(path, sizeof(path), "%s%s", where, query);
    body = ask_as(g, path, NULL);
    CHECK_INT(g->status, 200);
    for (size_t i = 0; i < ORR_COUNT(ids); i++) {
        (void)snprintf(text, sizeof(text), "%s%s%s", before, ids[i], after);
        if (strstr(body, text))
            got[n++] = (char)('1' + i);
    }
    CHECK_STR(got, want);
}
