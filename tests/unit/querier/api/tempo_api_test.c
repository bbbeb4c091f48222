/* Tempo's API over a pool of pieces, by HTTP. */
#include "querier/api/tempo_names.h"
#include "tests/unit/querier/api/traces_rig.h"

/* A root of "front" and below it a span of "shop" that failed, n seconds after T0. */
static void add_trace(struct rig *g, uint8_t id, unsigned n, uint64_t duration_ns)
{
    struct otlp_member front = text_member("service.name", "front");
    struct otlp_member shop = text_member("service.name", "shop");
    struct otlp_member method = text_member("http.method", "POST");
    struct tracepiece_resource resources[2] = {{.attributes = {1, 0, &front}},
                                               {.attributes = {1, 0, &shop}}};
    struct tracepiece_scope scope = {.name = SLICE("lib")};
    struct tracepiece_span spans[2] = {{.span_id = 1,
                                        .kind = 2,
                                        .name = SLICE("GET /"),
                                        .start_ns = T0 + n * NS_PER_S,
                                        .end_ns = T0 + n * NS_PER_S + duration_ns},
                                       {.span_id = 0xab,
                                        .parent_id = 1,
                                        .resource = 1,
                                        .status = 2,
                                        .name = SLICE("pay"),
                                        .start_ns = T0 + n * NS_PER_S + 1,
                                        .end_ns = T0 + n * NS_PER_S + 1001,
                                        .attributes = {1, 0, &method}}};
    struct tracepiece p = {.trace_id = {0x0a, [15] = id},
                           .n_resources = 2,
                           .n_scopes = 1,
                           .n_spans = 2,
                           .resources = resources,
                           .scopes = &scope,
                           .spans = spans};
    add_piece(g, &p);
}

static void fill_far(struct rig *g)
{
    struct tracepiece_resource resource = {.schema_url = SLICE("")};
    struct tracepiece_scope scope = {.name = SLICE("")};
    struct tracepiece_span span = {
        .span_id = 1, .name = SLICE("far"), .start_ns = (1ull << 63) + 5, .end_ns = 1ull << 63};
    struct tracepiece p = {.trace_id = {0x0a, [15] = 2},
                           .n_resources = 1,
                           .n_scopes = 1,
                           .n_spans = 1,
                           .resources = &resource,
                           .scopes = &scope,
                           .spans = &span};

    add_trace(g, 1, 0, 1000);
    add_piece(g, &p);
}

static void fill(struct rig *g)
{
    add_trace(g, 1, 0, 1000);
    add_trace(g, 2, 60, 5 * NS_PER_S);
    add_trace(g, 3, 120, 1000);
}

#define RANGE "start=1767225600&end=1767226600"
#define ID_1 "0a000000000000000000000000000001"
#define ID_2 "0a000000000000000000000000000002"

TEST(tempo_api_gives_a_trace)
{
    struct rig g;

    rig_up(&g, fill);
    has(&g, "/api/traces/" ID_2, 200,
        "{\"batches\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{"
        "\"stringValue\":\"front\"}}]},\"scopeSpans\":[{\"scope\":{\"name\":\"lib\"},\"spans\":[{"
        "\"traceId\":\"CgAAAAAAAAAAAAAAAAAAAg==\",\"spanId\":\"AAAAAAAAAAE=\",\"name\":\"GET /\"");
    has(&g, "/tempo/api/v2/traces/" ID_2, 200, "{\"trace\":{\"resourceSpans\":[{\"resource\"");
    (void)ask_as(&g, "/api/traces/" ID_2, "Accept: application/protobuf");
    CHECK(g.status == 200 && !strcmp(g.type, "application/protobuf") && g.body.ptr[0] == 0x0a);
    has(&g, "/api/traces/1234", 404, "trace not found");
    has(&g, "/api/traces/" ID_2 "?start=1&end=2", 404, "trace not found");
    has(&g, "/api/traces/12x4", 400, "can only contain hex characters");
    has(&g, "/api/traces/" ID_2 "0", 400, "1 to 32 hexadecimal digits");
    rig_down(&g);
}

/* Also one whose times are none: an id is enough. */
TEST(tempo_api_finds_a_trace_whenever_it_was)
{
    struct rig g;

    rig_up(&g, fill_far);
    has(&g, "/api/traces/" ID_2, 200, "\"startTimeUnixNano\":\"9223372036854775813\"");
    has(&g, "/api/traces/" ID_2 "?start=1767225600", 404, "trace not found");
    has(&g, "/api/traces/" ID_1 "?end=1767226600", 200, "GET /");
    has(&g, "/api/traces/" ID_1 "?start=1767225600", 200, "GET /");
    has(&g, "/api/traces/" ID_1 "?start=1767225700", 404, "trace not found");
    has(&g, "/api/traces/" ID_1 "?start=5&end=5", 400, "start must be before end");
    rig_down(&g);
}

TEST(tempo_api_searches)
{
    struct rig g;
    const char *all;

    rig_up(&g, fill);
    has(&g, "/api/search?" RANGE "&q=%7B+duration+%3E+4s+%7D", 200,
        "{\"traces\":[{\"traceID\":\"" ID_2 "\",\"rootServiceName\":\"front\",\"rootTraceName\":"
        "\"GET /\",\"startTimeUnixNano\":\"1767225660000000000\",\"durationMs\":5000,\"spanSet\":{"
        "\"spans\":[{\"spanID\":\"0000000000000001\",\"name\":\"GET /\",\"startTimeUnixNano\":"
        "\"1767225660000000000\",\"durationNanos\":\"5000000000\"}],\"matched\":1},");
    has(&g,
        "/api/search?" RANGE "&q=%7B+status+%3D+error+%26%26+.http.method+%21%3D+nil+%7D&limit=1",
        200,
        "\"attributes\":[{\"key\":\"status\",\"value\":{\"stringValue\":\"error\"}},{\"key\":"
        "\"http.method\",\"value\":{\"stringValue\":\"POST\"}}]");
    has(&g, "/api/search?" RANGE "&q=%7B%7D", 200,
        "\"serviceStats\":{\"front\":{\"spanCount\":1},\"shop\":{\"spanCount\":1,\"errorCount\":1}"
        "}");
    all = ask_as(&g, "/api/search?" RANGE, NULL);
    /* newest first */
    CHECK(strstr(all, "0a000000000000000000000000000003") < strstr(all, ID_2));
    CHECK(strstr(all, ID_2) < strstr(all, "0a000000000000000000000000000001"));
    has(&g, "/api/search?" RANGE "&limit=0", 200, "{\"traces\":[],");
    has(&g, "/api/search?" RANGE "&tags=service.name%3Dshop+error%3Dtrue&maxDuration=1s", 200,
        "{\"traces\":[{\"traceID\":\"0a000000000000000000000000000003\"");
    has(&g, "/api/search?" RANGE "&tags=service.name%3Dnone", 200, "{\"traces\":[],");
    /* a part of it, in capitals or not */
    has(&g, "/api/search?" RANGE "&limit=1&tags=service.name%3DHO+http.method%3Dpos+name%3DPA", 200,
        "\"matched\":1}");
    has(&g, "/api/search?" RANGE "&tags=service.name%3Ds.op", 200, "{\"traces\":[],");
    has(&g, "/api/search?" RANGE "&minDuration=2s", 200, "{\"traces\":[{\"traceID\":\"" ID_2);
    has(&g, "/api/search?start=1767225719&end=1767225800&q=%7B%7D", 200,
        "{\"traces\":[{\"traceID\":\"0a000000000000000000000000000003\"");
    has(&g, "/api/search?" RANGE "&q=%7B", 400, "parse error");
    has(&g, "/api/search?" RANGE "&q=%7B%7D&tags=a%3Db", 400, "can't specify tags and q");
    has(&g, "/api/search?" RANGE "&q=%7B%7D|rate()", 400, "/api/metrics/query_range");
    has(&g, "/api/search?" RANGE "&limit=x", 400, "invalid limit");
    has(&g, "/api/search?start=5&end=2", 400, "start must be before end");
    has(&g, "/api/search?" RANGE "&tags=%3D", 400, "invalid tags");
    has(&g, "/api/search?" RANGE "&minDuration=-1s", 400, "invalid minDuration");
    rig_down(&g);
}

TEST(tempo_api_offers_names_and_values)
{
    struct rig g;

    rig_up(&g, fill);
    has(&g, "/api/search/tags?" RANGE, 200, "{\"tagNames\":[\"service.name\",\"http.method\"]");
    has(&g, "/api/v2/search/tags?" RANGE, 200,
        "{\"scopes\":[{\"name\":\"resource\",\"tags\":[\"service.name\"]},{\"name\":\"span\","
        "\"tags\":["
        "\"http.method\"]}");
    has(&g, "/api/v2/search/tags?" RANGE "&scope=span", 200,
        "{\"scopes\":[{\"name\":\"span\",\"tags\":[\"http.method\"]}],");
    has(&g, "/api/v2/search/tags?" RANGE "&scope=intrinsic", 200, "\"rootServiceName\"");
    has(&g, "/api/v2/search/tags?" RANGE "&scope=x", 400, "invalid scope: x");
    has(&g, "/api/search/tag/service.name/values?" RANGE, 200,
        "{\"tagValues\":[\"front\",\"shop\"]");
    has(&g, "/api/v2/search/tag/resource.service.name/values?" RANGE, 200,
        "{\"tagValues\":[{\"type\":\"string\",\"value\":\"front\"},{\"type\":\"string\",\"value\":"
        "\"shop\"}]");
    has(&g, "/api/v2/search/tag/span.service.name/values?" RANGE, 200, "{\"tagValues\":[]");
    has(&g, "/api/v2/search/tag/status/values?" RANGE, 200,
        "{\"tagValues\":[{\"type\":\"keyword\",\"value\":\"unset\"},{\"type\":\"keyword\","
        "\"value\":"
        "\"error\"}]");
    has(&g, "/api/v2/search/tag/.http.method/values?" RANGE "&limit=1", 200, "\"POST\"");
    /* no more than that, wherever they come from */
    has(&g, "/api/search/tags?" RANGE "&limit=1", 200, "{\"tagNames\":[\"service.name\"],");
    has(&g, "/api/search/tags?" RANGE "&limit=2&scope=intrinsic", 200,
        "{\"tagNames\":[\"duration\",\"event:name\"],");
    has(&g, "/api/search/tag/service.name/values?" RANGE "&limit=1", 200,
        "{\"tagValues\":[\"front\"],");
    has(&g, "/api/v2/search/tag/)%7C%7B%7D/values", 400, "invalid tag");
    rig_down(&g);
}

/* q of tags and values: only spans that match. */
TEST(tempo_api_offers_names_and_values_of_spans_that_match)
{
    struct rig g;

    rig_up(&g, fill);
    has(&g, "/api/v2/search/tag/name/values?" RANGE "&q=%7Bstatus%3Derror%7D", 200,
        "{\"tagValues\":[{\"type\":\"string\",\"value\":\"pay\"}],");
    has(&g, "/api/v2/search/tag/name/values?" RANGE "&q=%7B%7D", 200, "\"GET /\"");
    has(&g, "/api/v2/search/tag/resource.service.name/values?" RANGE "&q=%7Bname%3D%22pay%22%7D",
        200, "{\"tagValues\":[{\"type\":\"string\",\"value\":\"shop\"}],");
    has(&g, "/api/v2/search/tag/rootName/values?" RANGE "&q=%7Bname%3D%22pay%22%7D", 200,
        "{\"tagValues\":[{\"type\":\"string\",\"value\":\"GET /\"}],");
    has(&g, "/api/v2/search/tag/.http.method/values?" RANGE "&q=%7Bname%3D%22GET+/%22%7D", 200,
        "{\"tagValues\":[],");
    has(&g, "/api/v2/search/tags?" RANGE "&q=%7Bname%3D%22GET+/%22%7D", 200,
        "{\"scopes\":[{\"name\":\"resource\",\"tags\":[\"service.name\"]},{\"name\":\"span\","
        "\"tags\":[]}");
    has(&g, "/api/v2/search/tags?" RANGE "&scope=span&q=%7Bstatus%3Derror%7D", 200,
        "{\"scopes\":[{\"name\":\"span\",\"tags\":[\"http.method\"]}],");
    has(&g, "/api/v2/search/tag/kind/values?" RANGE "&q=%7Bstatus%3Derror%7D", 200,
        "{\"tagValues\":[{\"type\":\"keyword\",\"value\":\"unspecified\"}],");
    has(&g, "/api/v2/search/tag/instrumentation:name/values?" RANGE "&q=%7Bstatus%3Derror%7D", 200,
        "\"lib\"");
    /* what is not finished */
    has(&g, "/api/v2/search/tag/name/values?" RANGE "&q=%7Bstatus%3Derror+%26%26+.x%3D%7D", 200,
        "{\"tagValues\":[{\"type\":\"string\",\"value\":\"pay\"}],");
    has(&g, "/api/v2/search/tag/name/values?" RANGE "&q=%7B", 200, "\"GET /\"");
    rig_down(&g);
}

TEST(tempo_names_take_what_can_be_read_of_a_query)
{
    struct arena *a = arena_new(0);

    CHECK_SLICE(tempo_names_filter(a, SLICE("{ .a = 1 || .b = 2 }")), "{ .a = 1 || .b = 2 }");
    CHECK_SLICE(tempo_names_filter(a, SLICE("{ .a = \"x && }\" && .b = && (.c = 1 || .d = 2) }")),
                "{ ( .a = \"x && }\" ) && ( (.c = 1 || .d = 2) ) }");
    CHECK_SLICE(tempo_names_filter(a, SLICE("{ .a = 1 && .b =")), "{ ( .a = 1 ) }");
    CHECK_INT(tempo_names_filter(a, SLICE("{ .a = 1 || .b = }")).len, 0);
    CHECK_INT(tempo_names_filter(a, SLICE("{ .a = 1 } && { .b = 1 }")).len, 0);
    CHECK_INT(tempo_names_filter(a, SLICE("{ .a = 1 } | rate()")).len, 0);
    CHECK_INT(tempo_names_filter(a, SLICE("{ .a = 1 } with(most_recent=true)")).len, 0);
    CHECK_INT(tempo_names_filter(a, SLICE("{}")).len, 0);
    CHECK_INT(tempo_names_filter(a, SLICE("{ true }")).len, 0);
    CHECK_INT(tempo_names_filter(a, SLICE("")).len, 0);
    CHECK_INT(tempo_names_filter(a, SLICE("}{")).len, 0);
    CHECK_INT(tempo_names_filter(a, SLICE("{ .a = \"")).len, 0);
    CHECK_INT(tempo_names_filter(a, SLICE("nothing")).len, 0);
    arena_free(a);
}

/* A source in columns, which remembers what it was asked for and has nothing. */
static struct err *note_want(void *src, struct arena *a, const struct tracesource_request *req,
                             struct tracesource_columns *c)
{
    (void)a;
    (void)req;
    *(unsigned *)src |= c->want->fields;
    return NULL;
}

static struct err *say_broad(void *src, struct arena *a, const struct tracesource_request *req,
                             bool *ret)
{
    (void)src;
    (void)a;
    (void)req;
    *ret = true;
    return NULL;
}

/* Columns that nobody wants are NULL. */
TEST(tempo_names_want_the_column_they_are_of_behind_a_comment_too)
{
    static const struct tracesource_ops ops = {.columns = note_want, .is_broad = say_broad};
    struct arena *a = arena_new(0);
    unsigned fields = 0;
    struct tracesource source = {.ops = &ops, .src = &fields, .has_filters = true};
    struct tracescan_opts scan = {.source = &source, .req = {.end_ns = INT64_MAX}, .arena = a};
    struct tempo_names_ask ask = {.req = {.intrinsic = TRACEQL_NAME}};
    struct slice filter = tempo_names_filter(a, SLICE("{ .a = 1 } // b"));

    CHECK(filter.len > 0);
    CHECK_OK(tempo_names_ask(&scan, filter, SLICE("name"), &ask, 1));
    CHECK(fields & TRACEGROUP_NAME);
    arena_free(a);
}

/* The resource's k is the span's, too, and comes first. */
static void fill_twice(struct rig *g)
{
    struct otlp_member k = text_member("k", "v");
    struct otlp_member members[2] = {text_member("k", "v"), text_member("later", "v")};
    struct tracepiece_resource resource = {.attributes = {1, 0, &k}};
    struct tracepiece_scope scope = {.name = SLICE("")};
    struct tracepiece_span span = {
        .span_id = 1, .start_ns = T0, .end_ns = T0 + 1, .attributes = {2, 0, members}};
    struct tracepiece p = {.trace_id = {1},
                           .n_resources = 1,
                           .n_scopes = 1,
                           .n_spans = 1,
                           .resources = &resource,
                           .scopes = &scope,
                           .spans = &span};

    add_piece(g, &p);
}

TEST(tempo_api_stops_at_stale_values)
{
    struct rig g;

    rig_up(&g, fill_twice);
    has(&g, "/api/search/tags?" RANGE "&maxStaleValues=1", 200, "{\"tagNames\":[\"k\"],");
    has(&g, "/api/search/tags?" RANGE "&maxStaleValues=2", 200, "{\"tagNames\":[\"k\",\"later\"],");
    has(&g, "/api/search/tags?" RANGE, 200, "{\"tagNames\":[\"k\",\"later\"],");
    has(&g, "/api/search/tags?" RANGE "&maxStaleValues=x", 400, "invalid maxStaleValues");
    rig_down(&g);
}

TEST(tempo_api_computes_metrics)
{
    struct rig g;

    rig_up(&g, fill);
    has(&g,
        "/api/metrics/query_range?" RANGE
        "&step=100&q=%7B%7D|count_over_time()by(resource.service.name)",
        200,
        "{\"labels\":[{\"key\":\"resource.service.name\",\"value\":{\"stringValue\":\"shop\"}}],"
        "\"promLabels\":\"{resource.service.name=\\\"shop\\\"}\",\"samples\":[{\"timestampMs\":"
        "\"1767225700000\",\"value\":2},{\"timestampMs\":\"1767225800000\",\"value\":1}");
    has(&g, "/api/metrics/query?" RANGE "&q=%7Bstatus%3Derror%7D|count_over_time()", 200,
        "\"promLabels\":\"{__name__=\\\"count_over_time\\\"}\",\"value\":3}]");
    has(&g, "/api/metrics/query_range?" RANGE "&q=%7B%7D", 400, "not a metrics query");
    has(&g, "/api/metrics/query_range?" RANGE, 400, "parameter q is missing");
    has(&g, "/api/echo", 200, "echo");
    has(&g, "/tempo/api/status/buildinfo", 200, "\"version\"");
    rig_down(&g);
}

TEST(tempo_api_shows_exemplars)
{
    struct rig g;

    rig_up(&g, fill);
    has(&g,
        "/api/metrics/query_range?" RANGE
        "&step=1000&exemplars=5&q=%7Bduration%3E4s%7D|max_over_time(duration)",
        200,
        ",\"exemplars\":[{\"labels\":[{\"key\":\"trace:id\",\"value\":{\"stringValue\":\"" ID_2
        "\"}},{\"key\":\"span:id\",\"value\":{\"stringValue\":\"0000000000000001\"}},{\"key\":"
        "\"resource.service.name\",\"value\":{\"stringValue\":\"front\"}},{\"key\":\"name\","
        "\"value\":{\"stringValue\":\"GET /\"}}],\"value\":5,\"timestampMs\":\"1767225660000\"}]}");
    /* of what is only counted: where the series is */
    has(&g,
        "/api/metrics/query_range?" RANGE
        "&step=1000&q=%7Bstatus%3Derror%7D|count_over_time()with(exemplars%3Dtrue)",
        200, "],\"value\":3,\"timestampMs\":");
    has_not(&g,
            "/api/metrics/query_range?" RANGE
            "&exemplars=5&q=%7B%7D|count_over_time()with(exemplars%3Dfalse)",
            "exemplars");
    has_not(&g, "/api/metrics/query_range?" RANGE "&q=%7B%7D|count_over_time()", "exemplars");
    has_not(&g, "/api/metrics/query?" RANGE "&exemplars=5&q=%7B%7D|count_over_time()", "exemplars");
    has(&g, "/api/metrics/query_range?" RANGE "&exemplars=x&q=%7B%7D|rate()", 400,
        "invalid exemplars");
    rig_down(&g);
}

TEST(tempo_api_compares)
{
    struct rig g;

    rig_up(&g, fill);
    has(&g, "/api/metrics/query?" RANGE "&q=%7B%7D|compare(%7Bstatus%3Derror%7D)", 200,
        "{\"labels\":[{\"key\":\"__meta_type\",\"value\":{\"stringValue\":\"selection\"}},{\"key\":"
        "\"span.http.method\",\"value\":{\"stringValue\":\"POST\"}}],\"promLabels\":\"{__meta_type="
        "\\\"selection\\\", span.http.method=\\\"POST\\\"}\",\"value\":3}");
    has(&g, "/api/metrics/query?" RANGE "&q=%7B%7D|compare(%7Bstatus%3Derror%7D)", 200,
        "{\"labels\":[{\"key\":\"__meta_type\",\"value\":{\"stringValue\":\"baseline_total\"}},{"
        "\"key\":"
        "\"resource.service.name\",\"value\":{\"stringValue\":\"nil\"}}],\"promLabels\":\"{__meta_"
        "type="
        "\\\"baseline_total\\\", resource.service.name=\\\"<nil>\\\"}\",\"value\":2}");
    has(&g, "/api/metrics/query?" RANGE "&q=%7B%7D|compare(%7Bname%3D%22x%22%7D,1)", 200,
        "{\"labels\":[{\"key\":\"__meta_error\",\"value\":{\"stringValue\":\"__too_many_values__\"}"
        "}");
    has_not(&g, "/api/metrics/query?" RANGE "&q=%7B%7D|compare(%7Bname%3D%22x%22%7D,2)",
            "__too_many_values__");
    rig_down(&g);
}

/* A span that starts at the very end counts; one at the very start does not. */
TEST(tempo_api_counts_what_starts_at_the_end)
{
    struct rig g;

    rig_up(&g, fill);
    has(&g,
        "/api/metrics/query_range?start=1767225600&end=1767225660&step=60&q=%7Bname%3D%22GET+%2F"
        "%22%7D|count_over_time()",
        200, "\"samples\":[{\"timestampMs\":\"1767225660000\",\"value\":1}]");
    rig_down(&g);
}

TEST(tempo_api_heeds_or_refuses_hints)
{
    struct rig g;

    rig_up(&g, fill);
    has(&g, "/api/search?" RANGE "&limit=1&q=%7B%7Dwith(most_recent%3Dtrue)", 200,
        "{\"traces\":[{\"traceID\":\"0a000000000000000000000000000003\"");
    has(&g, "/api/search?" RANGE "&q=%7B%7Dwith(job_size%3D1)", 400, "the hint job_size");
    has(&g, "/api/metrics/query?" RANGE "&q=%7B%7D|count_over_time()with(sample%3D0.1)", 200,
        "\"value\":5}");
    has(&g, "/api/metrics/query?" RANGE "&q=%7B%7D|rate()with(debug%3Dtrue)", 400,
        "the hint debug");
    rig_down(&g);
}

TEST(tempo_api_tags_become_a_query)
{
    struct arena *a = arena_new(0);
    struct slice q;

    CHECK_OK(tempo_tags_query(a, SLICE(""), &q));
    CHECK_SLICE(q, "{ }");
    CHECK_OK(tempo_tags_query(a, SLICE("a=b name=\"x \\\"y\" status.code=error"), &q));
    CHECK_SLICE(
        q, "{ (.\"a\" =~ \"(?is).*b.*\") && (name =~ \"(?is).*x \\\"y.*\") && status = error}");
    CHECK_OK(tempo_tags_query(a, SLICE("a.b=5.0 error=true"), &q));
    CHECK_SLICE(q, "{ (.\"a.b\" =~ \"(?is).*5\\\\.0.*\" || .\"a.b\" = 5.0) && status = error}");
    arena_free(a);
}
