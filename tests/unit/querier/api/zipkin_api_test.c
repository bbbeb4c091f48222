/* Zipkin's API over a pool of pieces, by HTTP. */
#include "tests/unit/querier/api/shop_traces.h"

static void is(struct rig *g, const char *path, const char *want)
{
    CHECK_STR(ask_as(g, path, NULL), want);
    CHECK_INT(g->status, 200);
    CHECK_STR(g->type, HTTP_JSON);
}

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
    static const char *const ids[] = {SHOP_N(1), SHOP_N(2), SHOP_N(3), SHOP_N(4)};
    char path[512], got[8] = "", text[128];
    const char *body;
    size_t n = 0;

    (void)snprintf(path, sizeof(path), "/api/v2/traces?" WHEN "&%s", query);
    body = ask_as(g, path, NULL);
    CHECK_INT(g->status, 200);
    for (size_t i = 0; i < ORR_COUNT(ids); i++) {
        (void)snprintf(text, sizeof(text), "[{\"traceId\":\"%s\"", ids[i]);
        if (strstr(body, text))
            got[n++] = (char)('1' + i);
    }
    CHECK_STR(got, want);
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
