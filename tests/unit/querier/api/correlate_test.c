/* /api/correlate over a pool of pieces and fake ingesters, by HTTP. The rig has no ring of log lines, so those are a part that fails. */
#include "tests/unit/querier/api/traces_rig.h"

#define ID "0a000000000000000000000000000001"

/* A span whose clock is out of all bounds, and one of a resource without a service. */
static void fill(struct rig *g)
{
    struct tracepiece_resource resources[2] = {{.schema_url = SLICE("")},
                                               {.schema_url = SLICE("x")}};
    struct otlp_member service = text_member("service.name", "a\"b");
    struct tracepiece_scope scope = {.name = SLICE("")};
    struct tracepiece_span spans[3] = {{.span_id = 2,
                                        .parent_id = 1,
                                        .name = SLICE("far"),
                                        .start_ns = (1ull << 63) + 5,
                                        .end_ns = 7},
                                       {.span_id = 1,
                                        .kind = 2,
                                        .status = 2,
                                        .name = SLICE("\"root\""),
                                        .start_ns = T0,
                                        .end_ns = T0 + 9},
                                       {.span_id = 3,
                                        .parent_id = 77,
                                        .kind = 9,
                                        .status = 9,
                                        .resource = 1,
                                        .start_ns = T0 + 3,
                                        .end_ns = T0}};
    struct tracepiece p = {.trace_id = {0x0a, [15] = 1},
                           .n_resources = 2,
                           .n_scopes = 1,
                           .n_spans = 3,
                           .resources = resources,
                           .scopes = &scope,
                           .spans = spans};

    resources[0].attributes = (struct tracepiece_attributes){1, 0, &service};
    add_piece(g, &p);
}

static void fill_nothing(struct rig *g)
{
    (void)g;
}

static void put_exemplars(struct rig *g, const struct rpc_exemplars *ex)
{
    for (size_t i = 0; i < g->peers.n; i++) {
        rpc_exemplars_encode(peer_frame(&g->peers.p[i].exemplars), ex);
        peer_frames_are_there(&g->peers.p[i]);
    }
}

TEST(correlate_shows_spans_whatever_their_times)
{
    struct rig g;

    rig_up(&g, fill);
    has(&g, "/api/correlate?trace_id=" ID, 200,
        "{\"rootSpanID\":\"0000000000000001\",\"rootServiceName\":\"a\\\"b\",\"rootTraceName\":"
        "\"\\\"root\\\"\",\"startTimeUnixNano\":\"-9223372036854775803\",");
    has(&g, "/api/correlate?trace_id=" ID, 200,
        "\"spanCount\":3,\"errorCount\":1,\"serviceStats\":{\"\":{\"spanCount\":1,\"errorCount\":0}"
        ",\"a\\\"b\":{\"spanCount\":2,\"errorCount\":1}}");
    has(&g, "/api/correlate?trace_id=" ID, 200,
        "{\"spanID\":\"0000000000000003\",\"parentSpanID\":\"000000000000004d\",\"serviceName\":"
        "\"\","
        "\"name\":\"\",\"startTimeUnixNano\":\"1767225600000000003\",\"durationNanos\":\"0\"}");
    has(&g, "/api/correlate?trace_id=" ID, 200, "\"query\":\"{service_name=\\\"a\\\\\\\"b\\\"}\"");
    has(&g, "/api/correlate?trace_id=" ID, 200, "\"profiles\":[],\"links\":[{\"to\":\"traces\"");
    has(&g, "/api/correlate?trace_id=" ID, 200,
        "\"truncated\":[],\"partial\":[{\"signal\":\"events\",\"error\":\"");
    has(&g, "/api/correlate?trace_id=" ID "&start=1&end=2", 200, "\"trace\":null");
    rig_down(&g);
}

TEST(correlate_takes_the_exemplars_of_the_trace)
{
    struct label names[2] = {{SLICE("__name__"), SLICE("m")}, {SLICE("x"), SLICE("y")}};
    struct label ids[5] = {{SLICE("trace_id"), SLICE(ID)},
                           {SLICE("TraceID"), SLICE("0A000000000000000000000000000001")},
                           {SLICE("trace.id"), SLICE("0a000000000000000000000000000002")},
                           {SLICE("trace_ids"), SLICE(ID)},
                           {SLICE("traceid"), SLICE("no digits")}};
    struct exemplar list[5];
    struct rig g;

    rig_up(&g, fill_nothing);
    for (size_t i = 0; i < 5; i++)
        list[i] = (struct exemplar){{&ids[i], 1}, (double)i, 1767225600000 + (int64_t)i};
    put_exemplars(&g, &(struct rpc_exemplars){{names, 2}, list, 5});
    has(&g, "/api/correlate?trace_id=" ID "&start=1767225500&end=1767225700", 200,
        "\"exemplars\":[{\"seriesLabels\":{\"__name__\":\"m\",\"x\":\"y\"},\"exemplars\":[{"
        "\"labels\":"
        "{\"trace_id\":\"" ID "\"},\"value\":\"0\",\"timestamp\":1767225600},{\"labels\":{"
        "\"TraceID\":\"0A000000000000000000000000000001\"},\"value\":\"1\",\"timestamp\":"
        "1767225600."
        "001}]}],\"logs\":[]");
    has(&g, "/api/correlate?trace_id=" ID "&start=1767225500&end=1767225700&limit=1", 200,
        "\"truncated\":[\"exemplars\"]");
    has(&g, "/api/correlate?trace_id=" ID "&start=1767225600.002&end=1767225700", 200,
        "\"exemplars\":[]");
    rig_down(&g);
}

TEST(correlate_says_which_part_failed)
{
    struct rig g;

    rig_up(&g, fill);
    for (size_t i = 0; i < g.peers.n; i++)
        g.peers.p[i].mood = PEER_REFUSES;
    has(&g, "/api/correlate?trace_id=" ID, 200,
        "\"partial\":[{\"signal\":\"exemplars\",\"error\":\"");
    CHECK(strstr(buf_cstr(&g.body), "replaying") != NULL);
    CHECK_INT(g.peers.p[0].asked, 2); /* once more, in case it was back */
    rig_down(&g);
}

#define MANY_SPANS 300000

/* One piece of it takes less than a query may, but all that is made of it does not. */
static void fill_too_much(struct rig *g)
{
    struct tracepiece_span *spans = mem_new_array(struct tracepiece_span, MANY_SPANS);
    struct tracepiece_resource resource = {.schema_url = SLICE("")};
    struct tracepiece_scope scope = {.name = SLICE("")};
    struct tracepiece p = {.trace_id = {0x0a, [15] = 1},
                           .n_resources = 1,
                           .n_scopes = 1,
                           .n_spans = MANY_SPANS,
                           .resources = &resource,
                           .scopes = &scope,
                           .spans = spans};

    for (uint32_t i = 0; i < MANY_SPANS; i++)
        spans[i] = (struct tracepiece_span){.span_id = i + 1, .start_ns = T0 + i, .end_ns = T0 + i};
    add_piece(g, &p);
    add_piece(g, &p);
    mem_free(spans);
}

TEST(correlate_shows_nothing_of_a_trace_that_takes_too_much_memory)
{
    struct rig g;

    rig_up(&g, fill_too_much);
    has(&g, "/api/correlate?trace_id=" ID, 200,
        "\"partial\":[{\"signal\":\"traces\",\"error\":\"the trace takes more than");
    CHECK(strstr(buf_cstr(&g.body), "\"trace\":null,\"exemplars\":[]") != NULL);
    rig_down(&g);
}
