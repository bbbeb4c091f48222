/* Tempo's API over a pool of pieces, by HTTP. */
#include "common/auth/auth.h"
#include "common/net/http_client.h"
#include "querier/api/prom_api.h"
#include "querier/api/tempo_api.h"
#include "querier/api/tempo_api_internal.h"
#include "querier/engine/engine.h"
#include "querier/store/store.h"
#include "querier/traces/tracepool.h"
#include "tests/unit/querier/store/peers_fixture.h"

#define T0 1767225600000000000ull

struct rig {
    struct peers peers;
    struct store *store;
    struct engine *engine;
    struct prom_api *prom;
    struct tempo_api *api;
    struct tracepool *pool;
    struct conf *conf;
    struct auth *auth;
    struct loop *loop;
    struct http_server *server;
    struct arena *arena;
    int status;
    struct buf body;
    char type[128];
};

static struct err *open_pool(void *arg, struct prom_task *t, int64_t start_ns, int64_t end_ns,
                             struct tracesource *ret)
{
    struct rig *g = arg;

    (void)t;
    (void)start_ns;
    (void)end_ns;
    *ret = tracepool_source(g->pool);
    return NULL;
}

static struct otlp_member *text_attribute(struct rig *g, const char *key, const char *value)
{
    struct otlp_member *m = arena_new_of(g->arena, struct otlp_member);

    *m =
        (struct otlp_member){slice_cstr(key), {.kind = OTLP_VALUE_TEXT, .text = slice_cstr(value)}};
    return m;
}

/* A root of "front" and below it a span of "shop" that failed, n seconds after T0. */
static void add_trace(struct rig *g, uint8_t id, unsigned n, uint64_t duration_ns)
{
    struct tracepiece_resource resources[2] = {
        {.attributes = {1, 0, text_attribute(g, "service.name", "front")}},
        {.attributes = {1, 0, text_attribute(g, "service.name", "shop")}}};
    struct tracepiece_scope scope = {.name = SLICE("lib")};
    struct tracepiece_span spans[2] = {
        {.span_id = 1,
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
         .attributes = {1, 0, text_attribute(g, "http.method", "POST")}}};
    struct tracepiece p = {.trace_id = {0x0a, [15] = id},
                           .n_resources = 2,
                           .n_scopes = 1,
                           .n_spans = 2,
                           .resources = resources,
                           .scopes = &scope,
                           .spans = spans};
    struct tracepiece_encoder *e = tracepiece_encoder_new();
    struct buf bytes = {0};

    tracepiece_encode(e, &p, &bytes);
    CHECK_OK(tracepool_add(g->pool, buf_slice(&bytes)));
    buf_done(&bytes);
    tracepiece_encoder_free(e);
}

static void rig_up(struct rig *g)
{
    static const struct conf_section *const sections[] = {&auth_section};
    struct conf_source src = {.sections = sections, .section_count = 1};

    *g = (struct rig){.arena = arena_new(0), .pool = tracepool_new()};
    add_trace(g, 1, 0, 1000);
    add_trace(g, 2, 60, 5 * NS_PER_S);
    add_trace(g, 3, 120, 1000);
    tracepool_end(g->pool);
    peers_up(&g->peers, "abc", 3);
    g->store = store_new(&(struct store_opts){.pool = g->peers.pool,
                                              .loop = g->peers.loop,
                                              .ring = peers_ring,
                                              .ring_arg = &g->peers,
                                              .straggler_ms = 100,
                                              .ingester_lookback_ms = 3600000});
    g->engine = engine_new(NULL);
    g->prom = prom_api_new(&(struct prom_tasks_opts){.store = g->store,
                                                     .engine = g->engine,
                                                     .max_concurrent = 2,
                                                     .max_queued = 2,
                                                     .timeout_ms = 10000,
                                                     .max_memory_bytes = 64u << 20,
                                                     .max_response_bytes = 1u << 20,
                                                     .max_tenants = 1});
    g->api = tempo_api_new(
        &(struct tempo_api_opts){.tasks = prom_api_tasks(g->prom), .open = open_pool, .arg = g});
    CHECK_OK(conf_load_text(&src, "test", SLICE(""), &g->conf));
    g->auth = auth_new(g->conf);
    CHECK_OK(loop_new("http", &g->loop));
    CHECK_OK(http_server_new(&(struct http_server_opts){.addr = "127.0.0.1:0",
                                                        .on_admit = auth_admit,
                                                        .admit_arg = g->auth},
                             &g->loop, 1, &g->server));
    tempo_api_routes(g->api, g->server);
    CHECK_OK(http_server_listen(g->server));
    CHECK_OK(loop_start(g->loop));
}

static void rig_down(struct rig *g)
{
    loop_join(g->loop);
    http_server_free(g->server);
    prom_api_free(g->prom);
    tempo_api_free(g->api);
    loop_free(g->loop);
    auth_free(g->auth);
    conf_unref(g->conf);
    peers_down(&g->peers);
    store_free(g->store);
    engine_free(g->engine);
    tracepool_free(g->pool);
    arena_free(g->arena);
    buf_done(&g->body);
}

static const char *ask_as(struct rig *g, const char *path, const char *accept)
{
    const char *headers[] = {"X-Scope-OrgID: t", accept};
    struct http_client_reply reply = {0};
    char url[512];

    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", http_server_port(g->server), path);
    CHECK_OK(http_client_blocking(
        NULL,
        &(struct http_client_req){
            .method = "GET", .url = url, .headers = headers, .header_count = accept ? 2 : 1},
        &reply));
    g->status = reply.status;
    (void)snprintf(g->type, sizeof(g->type), "%.*s",
                   SLICE_ARG(http_client_reply_header(&reply, "Content-Type")));
    buf_reset(&g->body);
    buf_slice_append(&g->body, buf_slice(&reply.body));
    http_client_reply_done(&reply);
    return buf_cstr(&g->body);
}

static void has(struct rig *g, const char *path, int status, const char *want)
{
    const char *got = ask_as(g, path, NULL);

    if (g->status != status || !strstr(got, want))
        test_fail(__FILE__, __LINE__, "%s: got %d %s, not %d %s", path, g->status, got, status,
                  want);
}

#define RANGE "start=1767225600&end=1767226600"
#define ID_2 "0a000000000000000000000000000002"

TEST(tempo_api_gives_a_trace)
{
    struct rig g;

    rig_up(&g);
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

TEST(tempo_api_searches)
{
    struct rig g;
    const char *all;

    rig_up(&g);
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

    rig_up(&g);
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
    has(&g, "/api/v2/search/tag/name/values?q=%7Bstatus%3Derror%7D", 422, "not supported");
    rig_down(&g);
}

TEST(tempo_api_computes_metrics)
{
    struct rig g;

    rig_up(&g);
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

TEST(tempo_api_tags_become_a_query)
{
    struct arena *a = arena_new(0);
    struct slice q;

    CHECK_OK(tempo_tags_query(a, SLICE(""), &q));
    CHECK_SLICE(q, "{ }");
    CHECK_OK(tempo_tags_query(a, SLICE("a=b name=\"x \\\"y\" status.code=error"), &q));
    CHECK_SLICE(q, "{ .\"a\" = \"b\" && name = \"x \\\"y\" && status = error}");
    arena_free(a);
}
