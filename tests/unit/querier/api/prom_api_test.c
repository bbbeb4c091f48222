#include <unistd.h>

#include "common/auth/auth.h"
#include "common/block/tombstone_list.h"
#include "common/net/codec.h"
#include "common/net/http_client.h"
#include "common/objstore/objstore_fs.h"
#include "querier/api/prom_api.h"
#include "querier/engine/engine.h"
#include "querier/store/store.h"
#include "tests/unit/querier/store/peers_fixture.h"

struct rig {
    struct peers peers;
    struct store *store;
    struct engine *engine;
    struct prom_api *api;
    struct conf *conf;
    struct auth *auth;
    struct loop *loop;
    struct http_server *server;
    struct rpc_server *rpc;
    struct objstore *bucket; /* NULL: there is none */
    struct arena *arena;
    int status;
    struct buf body;
    char type[128]; /* of the last answer */
    _Atomic int told;
    _Atomic uint64_t told_version;
};

static void add_metadata(struct peers *ps)
{
    for (size_t i = 0; i < ps->n; i++) {
        struct buf *b = peer_frame(&ps->p[i].metadata);

        rpc_metadata_encode(b, &(struct rpc_metadata){SLICE("up"), SLICE("Is \"it\"?"), SLICE(""),
                                                      METRIC_GAUGE_TYPE});
        b = peer_frame(&ps->p[i].names);
        buf_lstr(b, SLICE("a"));
        buf_lstr(b, SLICE("b"));
        buf_lstr(b, SLICE("c"));
    }
}

static void add_series(struct rig *g)
{
    struct label one[] = {{SLICE("__name__"), SLICE("up")}, {SLICE("i"), SLICE("1")}};
    struct label two[] = {{SLICE("__name__"), SLICE("up")}, {SLICE("i"), SLICE("2")}};
    struct label id = {SLICE("trace_id"), SLICE("x")};
    struct exemplar ex = {{&id, 1}, 0.25, 1500};
    const int64_t t[] = {1000, 2000, 3000};
    const double v[] = {1, 2, 3.5};
    struct buf b = {0};
    struct chunk c;

    chunk_xor_encode(&b, t, v, 3);
    c = (struct chunk){CHUNK_XOR, 1000, 3000, buf_slice(&b)};
    for (size_t i = 0; i < g->peers.n; i++) {
        peer_add_series(&g->peers.p[i], (struct labels){one, 2}, &c, 1);
        peer_add_series(&g->peers.p[i], (struct labels){two, 2}, &c, 1);
        rpc_exemplars_encode(peer_frame(&g->peers.p[i].exemplars),
                             &(struct rpc_exemplars){{one, 2}, &ex, 1});
    }
    buf_done(&b);
}

static void http_up(struct rig *g)
{
    static const struct conf_section *const sections[] = {&auth_section};
    struct conf_source src = {.sections = sections, .section_count = 1};
    static int serial;
    char address[64];

    CHECK_OK(conf_load_text(&src, "test", SLICE(""), &g->conf));
    g->auth = auth_new(g->conf);
    CHECK_OK(loop_new("http", &g->loop));
    CHECK_OK(http_server_new(&(struct http_server_opts){.addr = "127.0.0.1:0",
                                                        .on_admit = auth_admit,
                                                        .admit_arg = g->auth},
                             &g->loop, 1, &g->server));
    prom_api_routes(g->api, g->server);
    CHECK_OK(http_server_listen(g->server));
    snprintf(address, sizeof(address), "inproc://prom-api-%d", ++serial);
    CHECK_OK(
        rpc_server_new(&(struct rpc_server_opts){.loop = g->loop, .address = address}, &g->rpc));
    prom_api_rpc(g->api, g->rpc);
    rpc_server_start(g->rpc);
    CHECK_OK(loop_start(g->loop));
}

static void on_told(void *arg, struct slice signal, struct slice tenant, uint64_t version)
{
    struct rig *g = arg;

    CHECK_SLICE(signal, "metrics");
    CHECK_SLICE(tenant, "t");
    g->told++;
    g->told_version = version;
}

/* add (may be NULL) gives the fakes more to answer, before anybody can ask. */
static void rig_up_with(struct rig *g, const char *zones, unsigned rf, size_t max_response,
                        bool has_more, void (*add)(struct rig *g))
{
    *g = (struct rig){0};
    g->arena = arena_new(0);
    peers_up(&g->peers, zones, rf);
    add_series(g);
    add_metadata(&g->peers);
    if (add)
        add(g);
    if (has_more)
        CHECK_OK(objstore_fs_open(tmp_path("bucket"), &(struct objstore_fs_opts){.no_sync = true},
                                  &g->bucket));
    g->store = store_new(&(struct store_opts){.pool = g->peers.pool,
                                              .loop = g->peers.loop,
                                              .ring = peers_ring,
                                              .ring_arg = &g->peers,
                                              .objstore = g->bucket,
                                              .straggler_ms = 100,
                                              .ingester_lookback_ms = 3600000});
    g->engine = engine_new(NULL);
    g->api = prom_api_new(&(struct prom_tasks_opts){.store = g->store,
                                                    .engine = g->engine,
                                                    .max_concurrent = 2,
                                                    .max_queued = 2,
                                                    .timeout_ms = 10000,
                                                    .max_memory_bytes = 64u << 20,
                                                    .max_response_bytes = max_response,
                                                    .max_tenants = has_more ? 2 : 1,
                                                    .has_experimental = has_more,
                                                    .admin = {has_more, g->bucket, on_told, g}});
    http_up(g);
}

static void rig_up(struct rig *g, const char *zones, unsigned rf, size_t max_response)
{
    rig_up_with(g, zones, rf, max_response, false, NULL);
}

static void rig_down(struct rig *g)
{
    loop_join(g->loop);
    http_server_free(g->server);
    prom_api_free(g->api);
    rpc_server_free(g->rpc);
    loop_free(g->loop);
    auth_free(g->auth);
    conf_unref(g->conf);
    peers_down(&g->peers);
    store_free(g->store);
    objstore_close(g->bucket);
    engine_free(g->engine);
    arena_free(g->arena);
    buf_done(&g->body);
}

static const char *ask_with(struct rig *g, const char *path, const char *form, const char *header)
{
    struct http_client_reply reply;
    struct http_client_req req = {
        .url = arena_printf(g->arena, "http://127.0.0.1:%u%s", http_server_port(g->server), path),
        .headers = &header,
        .header_count = header ? 1 : 0};

    if (form) {
        req.body = slice_cstr(form);
        req.content_type = "application/x-www-form-urlencoded";
    }
    CHECK_OK(http_client_blocking(NULL, &req, &reply));
    g->status = reply.status;
    (void)snprintf(g->type, sizeof(g->type), "%.*s",
                   SLICE_ARG(http_client_reply_header(&reply, "Content-Type")));
    buf_reset(&g->body);
    buf_slice_append(&g->body, buf_slice(&reply.body));
    http_client_reply_done(&reply);
    return buf_cstr(&g->body);
}

static const char *ask(struct rig *g, const char *path)
{
    return ask_with(g, path, NULL, "X-Scope-OrgID: t");
}

#define CHECK_ASK(g, path, code, want)                                                             \
    do {                                                                                           \
        CHECK_STR(ask((g), (path)), (want));                                                       \
        CHECK_INT((g)->status, (code));                                                            \
    } while (0)
#define CHECK_ASK_HAS(g, path, code, want)                                                         \
    do {                                                                                           \
        const char *got_ = ask((g), (path));                                                       \
        if (!strstr(got_, (want)) || (g)->status != (code))                                        \
            test_fail(__FILE__, __LINE__, "%s: got %d %s", (path), (g)->status, got_);             \
    } while (0)

TEST(prom_api_queries_as_prometheus_answers)
{
    struct rig g;

    rig_up(&g, "abc", 3, 1u << 20);
    CHECK_ASK(&g, "/api/v1/query?query=1%2B1&time=4", 200,
              "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[4,\"2\"]}}");
    CHECK_ASK(
        &g, "/api/v1/query?query=up&time=2.5", 200,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{"
        "\"__name__\":\"up\",\"i\":\"1\"},\"value\":[2.500,\"2\"]},{\"metric\":{\"__name__\":"
        "\"up\",\"i\":\"2\"},\"value\":[2.500,\"2\"]}]}}");
    CHECK_ASK(
        &g, "/prometheus/api/v1/query_range?query=sum(up)&start=1&end=3&step=1", 200,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[{\"metric\":{"
        "},\"values\":[[1,\"2\"],[2,\"4\"],[3,\"7\"]]}]}}");
    CHECK_STR(
        ask_with(&g, "/api/v1/query", "query=up%7Bi%3D%221%22%7D&time=1", "X-Scope-OrgID: t"),
        "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{"
        "\"__name__\":\"up\",\"i\":\"1\"},\"value\":[1,\"1\"]},{\"metric\":{\"__name__\":"
        "\"up\",\"i\":\"2\"},\"value\":[1,\"1\"]}]}}"); /* fakes do not filter */
    CHECK_ASK_HAS(&g, "/api/v1/query?query=up&time=2&limit=1", 200,
                  "]}]},\"warnings\":[\"results truncated due to limit\"]}");
    CHECK_ASK_HAS(&g, "/api/v1/query?query=up&time=2&stats=all", 200, "\"totalQueryableSamples\":");
    CHECK_ASK(&g, "/api/v1/format_query?query=sum%20by(a)(up)", 200,
              "{\"status\":\"success\",\"data\":\"sum by (a) (up)\"}");
    CHECK_ASK_HAS(&g, "/api/v1/status/buildinfo", 200, "\"version\":\"3.");
    rig_down(&g);
}

TEST(prom_api_errors_as_prometheus_answers)
{
    static const char bad[] = "\"status\":\"error\",\"errorType\":\"bad_data\"";
    struct rig g;

    rig_up(&g, "abc", 3, 120);
    CHECK_ASK_HAS(&g, "/api/v1/query?query=up%5B", 400, bad);
    CHECK_ASK_HAS(&g, "/api/v1/query?query=up%5B", 400,
                  "\"error\":\"invalid parameter \\\"query\\\": 1:");
    CHECK_ASK_HAS(&g, "/api/v1/query", 400, bad);
    CHECK_ASK_HAS(&g, "/api/v1/query?query=1&time=x", 400, "valid timestamp");
    CHECK_ASK_HAS(&g, "/api/v1/query?query=1&timeout=x", 400, "valid duration");
    CHECK_ASK_HAS(&g, "/api/v1/query_range?query=1&start=1&end=0&step=1", 400, "before start");
    CHECK_ASK_HAS(&g, "/api/v1/query_range?query=1&start=0&end=1", 400, "\\\"step\\\"");
    CHECK_ASK_HAS(&g, "/api/v1/query_range?query=1&end=1&step=1", 400, "\\\"start\\\"");
    CHECK_ASK_HAS(&g, "/api/v1/query_range?query=1&start=0&end=11001&step=1", 400, "11,000");
    CHECK_ASK_HAS(&g, "/api/v1/series", 400, "no match[] parameter provided");
    CHECK_ASK_HAS(&g, "/api/v1/series?match[]=%7Ba%3D~%22.*%22%7D", 400, "non-empty matcher");
    CHECK_ASK_HAS(&g, "/api/v1/labels?match[]=up%7B", 400, "\"error\":\"1:4: parse error");
    CHECK_ASK_HAS(&g, "/api/v1/label/%FF/values", 400, "invalid label name");
    CHECK_ASK_HAS(&g, "/api/v1/query?query=label_replace(up,%22a%22,%22%22,%22b%22,%22(%22)&time=2",
                  422, "\"errorType\":\"execution\"");
    CHECK_ASK_HAS(&g, "/api/v1/query?query=up&time=2", 422, "querier.max-response");
    ask_with(&g, "/api/v1/query?query=1", NULL, NULL);
    CHECK_INT(g.status, 401);
    CHECK(strstr(buf_cstr(&g.body), "X-Scope-OrgID"));
    ask_with(&g, "/api/v1/query?query=1", NULL, "X-Scope-OrgID: a|b");
    CHECK_INT(g.status, 400);
    g.peers.p[0].mood = g.peers.p[1].mood = PEER_REFUSES;
    CHECK_ASK_HAS(&g, "/api/v1/query?query=up&time=2", 503, "\"errorType\":\"unavailable\"");
    CHECK_ASK_HAS(&g, "/api/v1/labels", 503, "ingester-1 (zone b)");
    g.peers.p[0].mood = g.peers.p[1].mood = PEER_HANGS;
    CHECK_ASK_HAS(&g, "/api/v1/query?query=up&time=2&timeout=200ms", 503,
                  "\"errorType\":\"timeout\"");
    rig_down(&g);
}

TEST(prom_api_answers_beside_samples)
{
    struct rig g;

    rig_up(&g, "abc", 3, 1u << 20);
    CHECK_ASK(&g, "/api/v1/labels", 200, "{\"status\":\"success\",\"data\":[\"a\",\"b\",\"c\"]}");
    CHECK_ASK(
        &g, "/api/v1/label/__name__/values?limit=2", 200,
        "{\"status\":\"success\",\"data\":[\"a\",\"b\"],\"warnings\":[\"results truncated due "
        "to limit\"]}");
    CHECK_ASK(&g, "/api/v1/series?match[]=up&match[]=down", 200,
              "{\"status\":\"success\",\"data\":[{\"__name__\":\"up\",\"i\":\"1\"},{\"__name__\":"
              "\"up\",\"i\":\"2\"}]}");
    CHECK_ASK(&g, "/api/v1/series?match[]=up&limit=1", 200,
              "{\"status\":\"success\",\"data\":[{\"__name__\":\"up\",\"i\":\"1\"}],\"warnings\":["
              "\"results truncated due to limit\"]}");
    CHECK_ASK(&g, "/api/v1/metadata", 200,
              "{\"status\":\"success\",\"data\":{\"up\":[{\"type\":\"gauge\",\"help\":\"Is "
              "\\\"it\\\"?\",\"unit\":\"\"}]}}");
    CHECK_ASK(&g, "/api/v1/metadata?metric=nosuch", 200, "{\"status\":\"success\",\"data\":{}}");
    CHECK_ASK(
        &g, "/api/v1/query_exemplars?query=rate(up[5m])&start=0&end=2", 200,
        "{\"status\":\"success\",\"data\":[{\"seriesLabels\":{\"__name__\":\"up\",\"i\":\"1\"}"
        ",\"exemplars\":[{\"labels\":{\"trace_id\":\"x\"},\"value\":\"0.25\",\"timestamp\":1.500}"
        "]}]}");
    CHECK_ASK(&g, "/api/v1/query_exemplars?query=rate(up[5m])&start=2&end=3", 200,
              "{\"status\":\"success\",\"data\":[]}");
    rig_down(&g);
}

struct got {
    _Atomic bool done;
    bool failed;
    char text[512];
};

static void on_got(void *arg, struct slice payload, bool is_last, const struct err *e)
{
    struct got *got = arg;

    got->failed = e != NULL;
    snprintf(got->text, sizeof(got->text), "%.*s", (int)ORR_MIN(payload.len, 500),
             e ? err_msg(e) : (const char *)payload.ptr);
    got->done = is_last;
}

static void call(struct rig *g, struct slice tenant, struct slice expr, struct got *got)
{
    struct loop *mine;
    struct rpc_pool *pool;
    struct buf b = {0};

    *got = (struct got){0};
    CHECK_OK(loop_new("caller", &mine));
    CHECK_OK(rpc_pool_new(&(struct rpc_pool_opts){.loop = mine, .name = "ruler"}, &pool));
    rpc_query_encode(&b, &(struct rpc_query){.expr = expr, .time_ms = 2000});
    rpc_call(rpc_pool_peer(pool, rpc_server_address(g->rpc)),
             &(struct rpc_call_opts){.method = "querier.query", .tenant = tenant}, buf_slice(&b),
             on_got, got, NULL);
    while (!got->done)
        loop_run_once(mine, 20);
    buf_done(&b);
    rpc_pool_free(pool);
    loop_free(mine);
}

TEST(prom_api_answers_rulers)
{
    struct got got;
    struct rig g;

    rig_up(&g, "abc", 3, 1u << 20);
    call(&g, SLICE("t"), SLICE("sum(up)"), &got);
    CHECK(!got.failed);
    CHECK_STR(got.text, "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{"
                        "\"metric\":{},\"value\":[2,\"4\"]}]}}");
    call(&g, SLICE("t"), SLICE("sum("), &got);
    CHECK(!got.failed && strstr(got.text, "bad_data"));
    call(&g, SLICE(""), SLICE("up"), &got);
    CHECK(got.failed);
    rig_down(&g);
}

TEST(prom_api_ends_what_runs_when_it_is_freed)
{
    struct got got = {0};
    struct buf b = {0};
    struct rig g;

    rig_up(&g, "a", 1, 1u << 20);
    g.peers.p[0].mood = PEER_HANGS;
    rpc_query_encode(&b, &(struct rpc_query){.expr = SLICE("up"), .time_ms = 2000});
    rpc_call(rpc_pool_peer(g.peers.pool, rpc_server_address(g.rpc)),
             &(struct rpc_call_opts){.method = "querier.query", .tenant = SLICE("t")},
             buf_slice(&b), on_got, &got, NULL);
    while (!g.peers.p[0].asked)
        (void)usleep(1000);
    buf_done(&b);
    rig_down(&g);
}

/* ---- more endpoints ---- */

static void add_counts(struct rig *g)
{
    for (size_t i = 0; i < g->peers.n; i++) {
        struct buf *b = peer_frame(&g->peers.p[i].pairs);

        rpc_pair_encode(b, &(struct rpc_pair){SLICE(""), SLICE(""), 2});
        rpc_pair_encode(b, &(struct rpc_pair){SLICE("__name__"), SLICE("up"), 2});
        rpc_pair_encode(b, &(struct rpc_pair){SLICE("i"), SLICE("1"), 1});
        rpc_pair_encode(b, &(struct rpc_pair){SLICE("i"), SLICE("2"), 1});
        rpc_head_encode(peer_frame(&g->peers.p[i].head),
                        &(struct rpc_head){2, 3, 4, 6, 1500, 1000, 3000});
    }
}

TEST(prom_api_tells_about_itself)
{
    static const char list[] = "{\"status\":\"success\",\"data\":[]}";
    struct rig g;

    rig_up_with(&g, "abc", 3, 1u << 20, false, add_counts);
    CHECK_ASK(&g, "/api/v1/status/walreplay", 200,
              "{\"status\":\"success\",\"data\":{\"min\":0,\"max\":0,\"current\":0}}");
    CHECK_ASK_HAS(&g, "/api/v1/status/config", 200, "max-samples-per-query: 0");
    CHECK_ASK_HAS(&g, "/api/v1/status/flags", 200, "\"query.lookback-delta\":\"300s\"");
    CHECK_ASK_HAS(&g, "/api/v1/status/flags", 200, "\"web.enable-admin-api\":\"false\"");
    CHECK_ASK_HAS(&g, "/prometheus/api/v1/status/runtimeinfo", 200, "\"startTime\":\"20");
    CHECK_ASK(
        &g, "/api/v1/status/tsdb", 200,
        "{\"status\":\"success\",\"data\":{\"headStats\":{\"numSeries\":2,\"numLabelPairs\":3,"
        "\"chunkCount\":4,\"minTime\":1000,\"maxTime\":3000},\"seriesCountByMetricName\":[{"
        "\"name\":\"up\",\"value\":2}],\"labelValueCountByLabelName\":[{\"name\":\"i\","
        "\"value\":2},{\"name\":\"__name__\",\"value\":1}],\"memoryInBytesByLabelName\":[{"
        "\"name\":\"__name__\",\"value\":2},{\"name\":\"i\",\"value\":2}],"
        "\"seriesCountByLabelValuePair\":[{\"name\":\"__name__=up\",\"value\":2},{\"name\":"
        "\"i=1\",\"value\":1},{\"name\":\"i=2\",\"value\":1}]}}");
    CHECK_ASK_HAS(&g, "/api/v1/status/tsdb?limit=1", 200,
                  "\"seriesCountByLabelValuePair\":[{\"name\":\"__name__=up\",\"value\":2}]");
    CHECK_ASK_HAS(&g, "/api/v1/status/tsdb?limit=0", 400, "positive");
    CHECK_ASK_HAS(&g, "/api/v1/status/tsdb?limit=10001", 400, "10000");
    CHECK_ASK_HAS(&g, "/api/v1/status/tsdb/blocks", 200, "\"blocks\":[]");
    CHECK_ASK(&g, "/api/v1/targets/metadata", 200, list);
    CHECK_ASK(&g, "/api/v1/notifications", 200, list);
    CHECK_ASK_HAS(&g, "/api/v1/targets", 200, "\"activeTargets\":[]");
    CHECK_ASK_HAS(&g, "/api/v1/scrape_pools", 200, "\"scrapePools\":[]");
    CHECK_ASK_HAS(&g, "/api/v1/alertmanagers", 200, "\"activeAlertmanagers\":[]");
    CHECK_ASK_HAS(&g, "/api/v1/features", 200, "\"remote_read\":true");
    CHECK_ASK_HAS(&g, "/api/v1/user_limits", 200, "\"max_samples_per_query\":0");
    CHECK_ASK(&g, "/api/v1/user_stats", 200,
              "{\"ingestionRate\":1.5,\"numSeries\":2,\"APIIngestionRate\":1.5,"
              "\"RuleIngestionRate\":0}");
    CHECK_ASK_HAS(&g, "/api/v1/parse_query?query=1", 200,
                  "{\"type\":\"numberLiteral\",\"val\":\"1\"}");
    CHECK_ASK_HAS(&g, "/api/v1/parse_query?query=up[", 400, "\"errorType\":\"bad_data\"");
    CHECK_ASK_HAS(&g, "/api/v1/parse_query?query=mad_over_time(up[5m])", 400, "not enabled");
    rig_down(&g);
}

TEST(prom_api_counts_cardinality_as_mimir_does)
{
    struct rig g;

    rig_up_with(&g, "abc", 3, 1u << 20, false, add_counts);
    CHECK_ASK(&g, "/api/v1/cardinality/label_names?limit=1", 200,
              "{\"label_values_count_total\":3,\"label_names_count\":2,\"cardinality\":[{"
              "\"label_name\":\"i\",\"label_values_count\":2}]}");
    CHECK_STR(g.type, "application/json");
    CHECK_ASK(
        &g, "/prometheus/api/v1/cardinality/label_values?label_names[]=__name__", 200,
        "{\"series_count_total\":2,\"labels\":[{\"label_name\":\"__name__\","
        "\"label_values_count\":3,\"series_count\":4,\"cardinality\":[{\"label_value\":\"up\","
        "\"series_count\":2},{\"label_value\":\"1\",\"series_count\":1},{\"label_value\":"
        "\"2\",\"series_count\":1}]}]}"); /* fakes do not choose the label */
    CHECK_ASK(&g, "/api/v1/cardinality/label_names?count_method=active", 200,
              "{\"label_values_count_total\":3,\"label_names_count\":2,\"cardinality\":[{"
              "\"label_name\":\"i\",\"label_values_count\":2},{\"label_name\":\"__name__\","
              "\"label_values_count\":1}]}");
    CHECK_ASK(&g, "/api/v1/cardinality/active_series?selector=up", 200,
              "{\"data\":[{\"__name__\":\"up\",\"i\":\"1\"},{\"__name__\":\"up\",\"i\":\"2\"}]}");
    CHECK_ASK(&g, "/api/v1/cardinality/active_native_histogram_metrics?selector=up", 200,
              "{\"data\":[]}");
    CHECK_ASK_HAS(&g, "/api/v1/cardinality/active_series", 400, "missing 'selector' param");
    CHECK_STR(g.type, "text/plain; charset=utf-8");
    CHECK_ASK_HAS(&g, "/api/v1/cardinality/label_values", 400, "'label_names[]' param is required");
    CHECK_ASK_HAS(&g, "/api/v1/cardinality/label_names?limit=501", 400, "greater than '500'");
    CHECK_ASK_HAS(&g, "/api/v1/cardinality/label_names?limit=-1", 400, "less than '0'");
    CHECK_ASK_HAS(&g, "/api/v1/cardinality/label_names?limit=x", 400, "invalid 'limit'");
    CHECK_ASK_HAS(&g, "/api/v1/cardinality/label_names?count_method=x", 400, "inmemory,active");
    CHECK_ASK_HAS(&g, "/api/v1/cardinality/label_names?selector=a&selector=b", 400, "multiple");
    CHECK_ASK_HAS(&g, "/api/v1/cardinality/label_names?selector=%7B", 400, "parse error");
    rig_down(&g);
}

/* The samples of add_series() are from 1970: federate looks at now, where nothing is. */
TEST(prom_api_federates_text)
{
    struct rig g;

    rig_up(&g, "abc", 3, 1u << 20);
    CHECK_ASK(&g, "/federate?match[]=up", 200, "");
    CHECK_STR(g.type, "text/plain; version=0.0.4; charset=utf-8");
    CHECK_ASK_HAS(&g, "/prometheus/federate?match[]=up%7B", 400, "parse error");
    CHECK_STR(g.type, "text/plain; charset=utf-8");
    ask_with(&g, "/federate?match[]=up", NULL, NULL);
    CHECK_INT(g.status, 401);
    rig_down(&g);
}

static const char *read_remotely(struct rig *g, struct slice request)
{
    const char *headers[] = {"X-Scope-OrgID: t", "Content-Encoding: snappy"};
    struct http_client_reply reply;
    struct http_client_req req = {.url = arena_printf(g->arena, "http://127.0.0.1:%u/api/v1/read",
                                                      http_server_port(g->server)),
                                  .headers = headers,
                                  .header_count = 2,
                                  .content_type = "application/x-protobuf"};
    struct buf packed = {0};

    CHECK_OK(codec_encode(CODEC_SNAPPY, 0, request, &packed));
    req.body = buf_slice(&packed);
    CHECK_OK(http_client_blocking(NULL, &req, &reply));
    g->status = reply.status;
    (void)snprintf(g->type, sizeof(g->type), "%.*s",
                   SLICE_ARG(http_client_reply_header(&reply, "Content-Type")));
    buf_reset(&g->body);
    buf_slice_append(&g->body, buf_slice(&reply.body));
    http_client_reply_done(&reply);
    buf_done(&packed);
    return buf_cstr(&g->body);
}

#define READ_UP "\x0a\x13\x10\x88\x27\x1a\x0e\x12\x08__name__\x1a\x02up" /* 0..5000 */

TEST(prom_api_answers_remote_reads)
{
    struct rig g;

    rig_up(&g, "abc", 3, 1u << 20);
    (void)read_remotely(&g, SLICE(READ_UP));
    CHECK_INT(g.status, 200);
    CHECK_STR(g.type, "application/x-protobuf");
    CHECK(g.body.len > 40);
    (void)read_remotely(&g, SLICE(READ_UP "\x12\x01\x01"));
    CHECK_STR(g.type, "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse");
    CHECK(slice_find(buf_slice(&g.body), SLICE("__name__\x12\x02up"), 0) > 0);
    CHECK(strstr(read_remotely(&g, SLICE("\xff")), "ReadRequest"));
    CHECK_INT(g.status, 400);
    CHECK_STR(g.type, "text/plain; charset=utf-8");
    CHECK(strstr(read_remotely(&g, SLICE(READ_UP "\x12\x01\x09")), "response types"));
    CHECK_INT(g.status, 400);
    g.peers.p[0].mood = g.peers.p[1].mood = PEER_REFUSES;
    (void)read_remotely(&g, SLICE(READ_UP));
    CHECK_INT(g.status, 503);
    rig_down(&g);
}

TEST(prom_api_joins_tenants_where_it_may)
{
    struct rig g;

    rig_up_with(&g, "abc", 3, 1u << 20, true, NULL);
    CHECK_STR(
        ask_with(&g, "/api/v1/query?query=count(up)by(__tenant_id__)&time=2", NULL,
                 "X-Scope-OrgID: b|a|b"),
        "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{"
        "\"__tenant_id__\":\"a\"},\"value\":[2,\"2\"]},{\"metric\":{\"__tenant_id__\":\"b\"},"
        "\"value\":[2,\"2\"]}]}}");
    CHECK(strstr(ask_with(&g, "/api/v1/label/__tenant_id__/values", NULL, "X-Scope-OrgID: a|b"),
                 "[\"a\",\"b\"]"));
    CHECK(strstr(ask_with(&g, "/api/v1/query?query=1", NULL, "X-Scope-OrgID: a|b|c"),
                 "querier.tenant-federation-max-tenants"));
    CHECK_INT(g.status, 400);
    CHECK(strstr(ask_with(&g, "/api/v1/status/tsdb", NULL, "X-Scope-OrgID: a|b"), "one tenant"));
    CHECK_INT(g.status, 400);
    ask_with(&g, "/api/v1/query?query=1", NULL, "X-Scope-OrgID: a|a"); /* one */
    CHECK_INT(g.status, 200);
    rig_down(&g);
}

static void post(struct rig *g, const char *path, const char *form)
{
    ask_with(g, path, form, "X-Scope-OrgID: t");
}

TEST(prom_api_deletes_series)
{
    static const char del[] = "/api/v1/admin/tsdb/delete_series";
    struct tombstone_list *l;
    const struct tombstone *all;
    struct rig g;
    size_t n;

    rig_up(&g, "abc", 3, 1u << 20);
    post(&g, del, "match[]=up");
    CHECK_INT(g.status, 503);
    CHECK(strstr(buf_cstr(&g.body), "admin APIs disabled"));
    rig_down(&g);

    rig_up_with(&g, "abc", 3, 1u << 20, true, NULL);
    post(&g, del, "start=1");
    CHECK_INT(g.status, 400);
    post(&g, del, "match[]=up{i=\"1\"}&end=99999999999");
    CHECK_INT(g.status, 204);
    CHECK_INT(g.body.len, 0);
    CHECK_INT(g.told, 1);
    CHECK_INT(g.told_version, 1);
    CHECK_OK(tombstone_list_load(g.bucket, SLICE("metrics"), SLICE("t"), &l, NULL));
    all = tombstone_list_all(l, &n);
    CHECK_INT(n, 1);
    CHECK(all[0].max_ms <= clock_wall_ms(&clock_system)); /* not what is still to come */
    tombstone_list_unref(l);
    CHECK_ASK(
        &g, "/api/v1/query?query=up&time=2.5", 200,
        "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[{\"metric\":{"
        "\"__name__\":\"up\",\"i\":\"2\"},\"value\":[2.500,\"2\"]}]}}");
    CHECK_ASK(&g, "/api/v1/series?match[]=up", 200,
              "{\"status\":\"success\",\"data\":[{\"__name__\":\"up\",\"i\":\"2\"}]}");
    post(&g, "/api/v1/admin/tsdb/clean_tombstones", "x=1");
    CHECK_INT(g.status, 204);
    CHECK_INT(g.told, 1);                      /* its samples are still there */
    post(&g, del, "match[]=up&start=5&end=6"); /* where there is nothing */
    CHECK_INT(g.told, 2);
    g.peers.p[1].mood = PEER_REFUSES; /* who knows what it has */
    post(&g, "/api/v1/admin/tsdb/clean_tombstones", "x=1");
    CHECK_INT(g.told, 2);
    g.peers.p[1].mood = PEER_WELL;
    post(&g, "/api/v1/admin/tsdb/clean_tombstones", "x=1");
    CHECK_INT(g.told, 3);
    CHECK_OK(tombstone_list_load(g.bucket, SLICE("metrics"), SLICE("t"), &l, NULL));
    all = tombstone_list_all(l, &n);
    CHECK_INT(n, 1);
    CHECK(all[0].min_ms < 0);
    tombstone_list_unref(l);
    rig_down(&g);
}

/* More than a piece, so that it goes out while it is made. */
#define MANY 30000
static void add_many(struct rig *g)
{
    for (size_t i = 0; i < g->peers.n; i++) {
        struct buf *b = peer_frame(&g->peers.p[i].names);

        for (unsigned k = 0; k < MANY; k++) {
            char text[32];

            buf_lstr(b, slice_of(text, (size_t)snprintf(text, sizeof(text), "value-%08u", k)));
        }
    }
}

TEST(prom_api_streams_lists_and_ends_them_at_the_bound)
{
    struct rig g;

    rig_up_with(&g, "a", 1, 1u << 20, false, add_many);
    CHECK(strstr(ask(&g, "/api/v1/label/x/values"), "\"value-00029999\"]}"));
    CHECK_INT(g.status, 200);
    CHECK_INT(g.body.len, MANY * 17 + 3 * 4 + 29); /* with a, b and c, and the frame */
    rig_down(&g);

    rig_up_with(&g, "a", 1, 400000, false, add_many);
    CHECK(strstr(ask(&g, "/api/v1/label/x/values"),
                 "\"],\"warnings\":[\"results truncated due to querier.max-response\"]}"));
    CHECK_INT(g.status, 200);
    CHECK(g.body.len > 390000 && g.body.len < 410000);
    rig_down(&g);
}
