/* The APIs of traces over a pool of pieces, by HTTP. */
#pragma once
#include "common/auth/auth.h"
#include "common/net/http_client.h"
#include "querier/api/correlate.h"
#include "querier/api/jaeger_api.h"
#include "querier/api/prom_api.h"
#include "querier/api/tempo_api.h"
#include "querier/api/zipkin_api.h"
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
    struct loki_api *loki;
    struct correlate *correlate;
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

static inline struct err *open_pool(void *arg, struct prom_task *t, int64_t start_ns,
                                    int64_t end_ns, struct tracesource *ret)
{
    struct rig *g = arg;

    (void)t;
    (void)start_ns;
    (void)end_ns;
    *ret = tracepool_source(g->pool);
    return NULL;
}

static inline struct otlp_member text_member(const char *key, const char *value)
{
    return (struct otlp_member){slice_cstr(key),
                                {.kind = OTLP_VALUE_TEXT, .text = slice_cstr(value)}};
}

static inline void add_piece(struct rig *g, const struct tracepiece *p)
{
    struct tracepiece_encoder *e = tracepiece_encoder_new();
    struct buf bytes = {0};

    tracepiece_encode(e, p, &bytes);
    CHECK_OK(tracepool_add(g->pool, buf_slice(&bytes)));
    buf_done(&bytes);
    tracepiece_encoder_free(e);
}

/* fill: gives the pool its pieces. */
static inline void rig_up(struct rig *g, void (*fill)(struct rig *g))
{
    static const struct conf_section *const sections[] = {&auth_section};
    struct conf_source src = {.sections = sections, .section_count = 1};

    *g = (struct rig){.arena = arena_new(0), .pool = tracepool_new()};
    fill(g);
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
    g->loki = loki_api_new(&(struct loki_api_opts){.tasks = prom_api_tasks(g->prom)});
    g->correlate = correlate_new(g->api, g->loki);
    CHECK_OK(conf_load_text(&src, "test", SLICE(""), &g->conf));
    g->auth = auth_new(g->conf);
    CHECK_OK(loop_new("http", &g->loop));
    CHECK_OK(http_server_new(&(struct http_server_opts){.addr = "127.0.0.1:0",
                                                        .on_admit = auth_admit,
                                                        .admit_arg = g->auth},
                             &g->loop, 1, &g->server));
    tempo_api_routes(g->api, g->server);
    jaeger_api_routes(g->api, g->server);
    zipkin_api_routes(g->api, g->server);
    correlate_routes(g->correlate, g->server);
    CHECK_OK(http_server_listen(g->server));
    CHECK_OK(loop_start(g->loop));
}

static inline void rig_down(struct rig *g)
{
    loop_join(g->loop);
    http_server_free(g->server);
    loki_api_stop(g->loki);
    prom_api_free(g->prom);
    correlate_free(g->correlate);
    loki_api_free(g->loki);
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

static inline void has(struct rig *g, const char *path, int status, const char *want)
{
    const char *got = ask_as(g, path, NULL);

    if (g->status != status || !strstr(got, want))
        test_fail(__FILE__, __LINE__, "%s: got %d %s, not %d %s", path, g->status, got, status,
                  want);
}

static inline void has_not(struct rig *g, const char *path, const char *unwanted)
{
    const char *got = ask_as(g, path, NULL);

    if (g->status != 200 || strstr(got, unwanted))
        test_fail(__FILE__, __LINE__, "%s: got %d %s, with %s", path, g->status, got, unwanted);
}
