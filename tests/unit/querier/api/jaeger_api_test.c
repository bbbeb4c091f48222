/* Jaeger's API over a pool of pieces, by HTTP. */
#include "tests/unit/querier/api/shop_traces.h"

#define FRAME(n) ",\"total\":" #n ",\"limit\":0,\"offset\":0,\"errors\":null}"

TEST(jaeger_api_gives_a_trace_as_its_ui_reads_it)
{
    struct rig g;

    rig_up(&g, shop_fill);
    is(&g, "/jaeger/api/traces/" SHOP_ID,
       "{\"data\":[{\"traceID\":\"" SHOP_ID "\",\"spans\":["
       "{\"traceID\":\"" SHOP_ID "\",\"spanID\":\"0000000000000001\",\"flags\":1,"
       "\"operationName\":\"pay\",\"references\":["
       "{\"refType\":\"CHILD_OF\",\"traceID\":\"cc000000000000000000000000000000\","
       "\"spanID\":\"0000000000000007\"},"
       "{\"refType\":\"FOLLOWS_FROM\",\"traceID\":\"dd000000000000000000000000000000\","
       "\"spanID\":\"0000000000000008\"}],"
       "\"startTime\":1767225600000000,\"duration\":5000,\"tags\":["
       "{\"key\":\"http.method\",\"type\":\"string\",\"value\":\"GET\"},"
       "{\"key\":\"http.status_code\",\"type\":\"int64\",\"value\":500},"
       "{\"key\":\"ratio\",\"type\":\"float64\",\"value\":0.5},"
       "{\"key\":\"hot\",\"type\":\"bool\",\"value\":true},"
       "{\"key\":\"raw\",\"type\":\"binary\",\"value\":\"Af8=\"},"
       "{\"key\":\"list\",\"type\":\"string\",\"value\":\"[1,2]\"},"
       "{\"key\":\"big\",\"type\":\"int64\",\"value\":\"9007199254740993\"},"
       "{\"key\":\"peer.service\",\"type\":\"string\",\"value\":\"shop\"},"
       "{\"key\":\"net.peer.ip\",\"type\":\"string\",\"value\":\"::1\"},"
       "{\"key\":\"span.kind\",\"type\":\"string\",\"value\":\"client\"},"
       "{\"key\":\"otel.scope.name\",\"type\":\"string\",\"value\":\"lib\"},"
       "{\"key\":\"otel.scope.version\",\"type\":\"string\",\"value\":\"1.2\"},"
       "{\"key\":\"otel.status_code\",\"type\":\"string\",\"value\":\"ERROR\"},"
       "{\"key\":\"otel.status_description\",\"type\":\"string\",\"value\":\"boom\"},"
       "{\"key\":\"error\",\"type\":\"bool\",\"value\":true},"
       "{\"key\":\"w3c.tracestate\",\"type\":\"string\",\"value\":\"a=b\"}],"
       "\"logs\":[{\"timestamp\":1767225600000002,\"fields\":["
       "{\"key\":\"event\",\"type\":\"string\",\"value\":\"retry\"},"
       "{\"key\":\"why\",\"type\":\"string\",\"value\":\"late\"}]},"
       "{\"timestamp\":1767225600000003,\"fields\":["
       "{\"key\":\"event\",\"type\":\"string\",\"value\":\"bare\"}]}],"
       "\"processID\":\"p1\",\"warnings\":[\"clock skew\"]},"
       "{\"traceID\":\"" SHOP_ID "\",\"spanID\":\"0000000000000001\",\"flags\":1,"
       "\"operationName\":\"POST /pay\",\"references\":[],\"startTime\":1767225600000001,"
       "\"duration\":0,\"tags\":["
       "{\"key\":\"span.kind\",\"type\":\"string\",\"value\":\"server\"},"
       "{\"key\":\"otel.scope.name\",\"type\":\"string\",\"value\":\"lib\"},"
       "{\"key\":\"otel.scope.version\",\"type\":\"string\",\"value\":\"1.2\"}],\"logs\":[],"
       "\"processID\":\"p2\",\"warnings\":[\"the span ends 0 us before it starts\"]},"
       "{\"traceID\":\"" SHOP_ID "\",\"spanID\":\"0000000000000002\",\"flags\":1,"
       "\"operationName\":\"count\",\"references\":[{\"refType\":\"CHILD_OF\","
       "\"traceID\":\"" SHOP_ID "\",\"spanID\":\"0000000000000001\"}],"
       "\"startTime\":1767225600000002,\"duration\":0,\"tags\":["
       "{\"key\":\"span.kind\",\"type\":\"string\",\"value\":\"internal\"},"
       "{\"key\":\"otel.scope.name\",\"type\":\"string\",\"value\":\"lib\"},"
       "{\"key\":\"otel.scope.version\",\"type\":\"string\",\"value\":\"1.2\"}],\"logs\":[],"
       "\"processID\":\"p2\",\"warnings\":null}],"
       "\"processes\":{\"p1\":{\"serviceName\":\"front\",\"tags\":["
       "{\"key\":\"net.host.ip\",\"type\":\"string\",\"value\":\"10.0.0.1\"},"
       "{\"key\":\"net.host.port\",\"type\":\"int64\",\"value\":80},"
       "{\"key\":\"cpus\",\"type\":\"int64\",\"value\":8}]},"
       "\"p2\":{\"serviceName\":\"shop\",\"tags\":[]}},\"warnings\":null}]" FRAME(1));
    has(&g, "/jaeger/api/traces/a000000000000000000000000000004", 200,
        "{\"p1\":{\"serviceName\":\"OTLPResourceNoServiceName\",\"tags\":[]}}");
    has(&g, "/jaeger/api/traces/1234", 404,
        "{\"data\":null,\"total\":0,\"limit\":0,\"offset\":0,\"errors\":[{\"code\":404,\"msg\":"
        "\"trace not found\"}]}");
    has(&g, "/jaeger/api/traces/12x4", 400, "malformed trace ID");
    rig_down(&g);
}

TEST(jaeger_api_names)
{
    struct rig g;

    rig_up(&g, shop_fill);
    is(&g, "/jaeger/api/services?" SHOP_RANGE,
       "{\"data\":[\"batch\",\"cron\",\"front\",\"shop\"]" FRAME(4));
    is(&g, "/jaeger/api/services/shop/operations?" SHOP_RANGE,
       "{\"data\":[\"POST /pay\",\"count\"]" FRAME(2));
    is(&g, "/jaeger/api/services/nobody/operations?" SHOP_RANGE, "{\"data\":[]" FRAME(0));
    is(&g, "/jaeger/api/operations?service=shop&" SHOP_RANGE,
       "{\"data\":[{\"name\":\"POST /pay\",\"spanKind\":\"server\"},{\"name\":\"count\","
       "\"spanKind\":\"internal\"}]" FRAME(2));
    is(&g, "/jaeger/api/operations?service=shop&spanKind=server&" SHOP_RANGE,
       "{\"data\":[{\"name\":\"POST /pay\",\"spanKind\":\"server\"}]" FRAME(1));
    has(&g, "/jaeger/api/operations?" SHOP_RANGE, 400, "parameter 'service' is required");
    is(&g, "/jaeger/api/dependencies?endTs=1767226600000&lookback=3600000",
       "{\"data\":[{\"parent\":\"front\",\"child\":\"shop\",\"callCount\":1}]" FRAME(1));
    is(&g, "/jaeger/api/dependencies?endTs=1000000", "{\"data\":[]" FRAME(0));
    rig_down(&g);
}

static void finds(struct rig *g, const char *query, const char *want)
{
    shop_finds(g, "/jaeger/api/traces?" SHOP_RANGE "&", query, "{\"traceID\":\"", "\",\"spans\":[",
               want);
}

TEST(jaeger_api_searches)
{
    struct rig g;

    rig_up(&g, shop_fill);
    finds(&g, "service=shop", "1");
    finds(&g, "", "1234");
    finds(&g, "limit=2", "34"); /* the newest */
    finds(&g, "operation=run&service=cron", "2");
    finds(&g, "minDuration=3ms&maxDuration=4500us", "34");
    finds(&g, "tag=http.status_code:500", "1");
    finds(&g, "tag=http.status_code:501", "");
    finds(&g, "tag=hot:true&tag=ratio:0.5", "1");
    finds(&g, "tags=%7B%22http.method%22%3A%22GET%22%2C%22error%22%3A%22true%22%7D", "1");
    finds(&g, "tag=why:late", "1"); /* of a log */
    finds(&g, "tag=cpus:8", "1");   /* of the process */
    finds(&g, "tag=span.kind:client", "1");
    finds(&g, "service=shop&tag=http.method:GET", ""); /* front's span has it */
    finds(&g,
          "traceID=a000000000000000000000000000002&traceID=" SHOP_ID "&traceID=" SHOP_ID
          "&traceID=77",
          "12");
    has(&g, "/jaeger/api/traces?service=shop&end=1767226600000000&lookback=1h", 200, SHOP_ID);
    is(&g, "/jaeger/api/traces?service=shop&end=1767226600000000&lookback=1m",
       "{\"data\":[]" FRAME(0));
    is(&g, "/jaeger/api/traces?service=shop&lookback=custom", "{\"data\":[]" FRAME(0));
    has(&g, "/jaeger/api/traces?tag=x", 400, "expecting key:value, received: x");
    has(&g, "/jaeger/api/traces?tags=%7B%22k%22%3A1%7D", 400, "a value that is not a text");
    has(&g, "/jaeger/api/traces?tags=%5B%5D", 400, "not an object");
    has(&g, "/jaeger/api/traces?tags=%7B", 400, "malformed 'tags' parameter");
    has(&g, "/jaeger/api/traces?minDuration=x", 400, "minDuration");
    has(&g, "/jaeger/api/traces?start=x", 400, "unable to parse param 'start'");
    has(&g, "/jaeger/api/traces?start=2&end=1", 400, "the end is not behind the start");
    has(&g, "/jaeger/api/traces?limit=99999", 400, "more than 10000");
    has(&g, "/jaeger/api/traces?lookback=x", 400, "lookback");
    rig_down(&g);
}
