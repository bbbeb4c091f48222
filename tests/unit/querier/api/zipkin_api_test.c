/* Zipkin's API over a pool of pieces, by HTTP. */
#include "querier/api/zipkin_out.h"
#include "tests/unit/querier/api/shop_traces.h"

#define WHEN "endTs=1767226600000&lookback=3600000"

TEST(zipkin_api_gives_a_trace)
{
    struct rig g;

    rig_up(&g, shop_fill);
    is(&g, "/zipkin/api/v2/trace/" SHOP_ID,
       "[{\"traceId\":\"" SHOP_ID "\",\"id\":\"0000000000000001\",\"kind\":\"CLIENT\","
       "\"name\":\"pay\",\"timestamp\":1767225600000000,\"duration\":5000,"
       "\"localEndpoint\":{\"serviceName\":\"front\",\"ipv4\":\"10.0.0.1\",\"port\":80},"
       "\"remoteEndpoint\":{\"serviceName\":\"shop\",\"ipv6\":\"::1\"},"
       "\"annotations\":[{\"timestamp\":1767225600000002,"
       "\"value\":\"retry|{\\\"why\\\":\\\"late\\\"}|0\"},"
       "{\"timestamp\":1767225600000003,\"value\":\"bare\"}],"
       "\"tags\":{\"cpus\":\"8\",\"http.method\":\"GET\",\"http.status_code\":\"500\","
       "\"ratio\":\"0.5\",\"hot\":\"true\",\"raw\":\"Af8=\",\"list\":\"[1,2]\","
       "\"big\":\"9007199254740993\",\"@jaeger@warnings\":\"[\\\"clock skew\\\"]\","
       "\"otlp.link.0\":\"cc000000000000000000000000000000|0000000000000007||"
       "{\\\"opentracing.ref_type\\\":\\\"child_of\\\"}|0\","
       "\"otlp.link.1\":\"dd000000000000000000000000000000|0000000000000008||{}|0\","
       "\"otel.scope.name\":\"lib\",\"otel.scope.version\":\"1.2\",\"w3c.tracestate\":\"a=b\","
       "\"error\":\"boom\",\"otel.status_code\":\"ERROR\",\"otel.status_description\":\"boom\"}},"
       "{\"traceId\":\"" SHOP_ID "\",\"id\":\"0000000000000001\",\"kind\":\"SERVER\","
       "\"name\":\"POST /pay\",\"timestamp\":1767225600000001,"
       "\"localEndpoint\":{\"serviceName\":\"shop\"},"
       "\"tags\":{\"otel.scope.name\":\"lib\",\"otel.scope.version\":\"1.2\"},\"shared\":true},"
       "{\"traceId\":\"" SHOP_ID "\",\"parentId\":\"0000000000000001\","
       "\"id\":\"0000000000000002\",\"name\":\"count\",\"timestamp\":1767225600000002,"
       "\"duration\":1,\"localEndpoint\":{\"serviceName\":\"shop\"},"
       "\"tags\":{\"otel.scope.name\":\"lib\",\"otel.scope.version\":\"1.2\"}}]");
    has(&g, "/api/v2/trace/1234", 404, "trace not found");
    has(&g, "/api/v2/trace/x", 400, "1 to 32 hexadecimal digits");
    has(&g, "/api/v2/traceMany?traceIds=" SHOP_N(2) "," SHOP_N(3), 200,
        "[[{\"traceId\":\"" SHOP_N(2) "\"");
    has(&g, "/api/v2/traceMany?traceIds=" SHOP_N(2) "," SHOP_N(3), 200,
        "],[{\"traceId\":\"" SHOP_N(3) "\"");
    is(&g, "/api/v2/traceMany?traceIds=77", "[]");
    has(&g, "/api/v2/traceMany", 400, "parameter traceIds is required");
    rig_down(&g);
}

TEST(zipkin_api_names)
{
    struct rig g;

    rig_up(&g, shop_fill);
    is(&g, "/api/v2/services?" WHEN, "[\"batch\",\"cron\",\"front\",\"shop\"]");
    is(&g, "/zipkin/api/v2/spans?serviceName=shop&" WHEN, "[\"POST /pay\",\"count\"]");
    is(&g, "/api/v2/remoteServices?serviceName=front&" WHEN, "[\"shop\"]");
    is(&g, "/api/v2/dependencies?" WHEN,
       "[{\"parent\":\"front\",\"child\":\"shop\",\"callCount\":1}]");
    has(&g, "/api/v2/autocompleteKeys?" WHEN, 200, "\"http.method\"");
    is(&g, "/api/v2/autocompleteValues?key=http.method&" WHEN, "[\"GET\"]");
    has(&g, "/api/v2/spans", 400, "parameter serviceName is required");
    has(&g, "/api/v2/autocompleteValues", 400, "parameter key is required");
    rig_down(&g);
}

static void finds(struct rig *g, const char *query, const char *want)
{
    shop_finds(g, "/api/v2/traces?" WHEN "&", query, "[{\"traceId\":\"", "\"", want);
}

TEST(zipkin_api_searches)
{
    struct rig g;

    rig_up(&g, shop_fill);
    finds(&g, "serviceName=shop&spanName=all", "1");
    finds(&g, "", "1234");
    finds(&g, "limit=1", "4");
    finds(&g, "serviceName=front&remoteServiceName=shop&spanName=pay", "1");
    finds(&g, "minDuration=3000&maxDuration=4500", "34");
    finds(&g, "annotationQuery=error+and+http.status_code%3D500", "1");
    finds(&g, "annotationQuery=retry", "1");
    finds(&g, "annotationQuery=http.method", "1");
    finds(&g, "annotationQuery=http.method%3DPOST", "");
    has(&g, "/api/v2/traces?limit=0", 400, "limit: it is 0");
    has(&g, "/api/v2/traces?endTs=x", 400, "endTs: \"x\" is not a number of 0 or more");
    has(&g, "/api/v2/traces?lookback=0", 400, "nothing is between the end and the start");
    is(&g, "/api/v2/traces?serviceName=%22+%7C%7C+true+%23", "[]");
    rig_down(&g);
}

#define MANY 1000

/* What it takes of the arena to write MANY spans of a resource with a list of MANY numbers. */
static size_t scratch_of(size_t max_bytes, size_t *ret_len)
{
    static struct otlp_member numbers[MANY];
    static struct tracepiece_span spans[MANY];
    struct otlp_member list = {SLICE("list"),
                               {.kind = OTLP_VALUE_LIST, .members = numbers, .n = MANY}};
    struct tracepiece_event event = {.name = SLICE("e"), .attributes = {1, 0, &list}};
    struct tracepiece_resource res = {.attributes = {1, 0, &list}};
    struct tracepiece_scope scope = {.name = SLICE_EMPTY, .version = SLICE_EMPTY};
    struct tracepiece p = {.n_resources = 1,
                           .n_scopes = 1,
                           .n_spans = MANY,
                           .resources = &res,
                           .scopes = &scope,
                           .spans = spans};
    struct arena *a = arena_new(0);
    struct buf out = {.max_bytes = max_bytes};
    size_t used;

    for (size_t i = 0; i < MANY; i++) {
        numbers[i].value = (struct otlp_value){.kind = OTLP_VALUE_INT, .i = 1};
        spans[i] = (struct tracepiece_span){.span_id = i + 1,
                                            .name = SLICE_EMPTY,
                                            .message = SLICE_EMPTY,
                                            .state = SLICE_EMPTY,
                                            .events = &event,
                                            .n_events = max_bytes != 0};
    }
    zipkin_out(&out, a, &p);
    *ret_len = out.len;
    used = arena_used(a);
    buf_done(&out);
    arena_free(a);
    return used;
}

TEST(zipkin_out_makes_texts_of_a_resource_once)
{
    size_t len;

    CHECK(scratch_of(0, &len) < 100000);
    CHECK(len > MANY * MANY * 2);
    CHECK(scratch_of(20000, &len) < 100000); /* it stops when there is no room */
    CHECK(len <= 20000);
}
