/* A server on its own thread and a pool on the test's loop, for the tests of common/rpc. */
#pragma once
#include <stdatomic.h>

#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/base/mem.h"
#include "common/base/vec.h"
#include "common/rpc/rpc.h"
#include "common/rpc/rpc_metric.h"
#include "tests/unit/test.h"

#define KEY_A "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"
#define KEY_B "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f"
#define PATIENCE_MS 20000 /* nothing takes that long; then the test fails */

struct rig {
    struct loop *server_loop, *loop;
    struct rpc_server *server;
    struct rpc_pool *pool;
    struct rpc_peer *peer;
    char address[160];
    /* what handlers leave behind */
    struct rpc_call *parked;
    _Atomic int handled, canceled;
    int64_t to_send;
    _Atomic int64_t sent; /* by the server's loop, looked at by the test */
    struct slice chunk;
    uint64_t mark; /* of answers to "stream" and "fail" */
};

/* What came back. */
struct got {
    struct rpc_request *request; /* set: its mark is looked at */
    uint64_t mark;
    int calls, last;
    size_t bytes;
    enum err_code code; /* 0: success */
    char text[256];
};

static inline void on_got(void *arg, struct slice payload, bool is_last, const struct err *e)
{
    struct got *g = arg;

    g->calls++;
    g->last += is_last;
    if (g->request)
        g->mark = rpc_request_mark(g->request);
    g->bytes += payload.len;
    if (e) {
        g->code = err_code(e);
        snprintf(g->text, sizeof(g->text), "%s", err_msg(e));
    } else {
        snprintf(g->text, sizeof(g->text), "%.*s", (int)ORR_MIN(payload.len, sizeof(g->text) - 1),
                 (const char *)payload.ptr);
    }
}

#define WAIT_FOR(loop, cond)                                                                       \
    do {                                                                                           \
        int64_t until_ = clock_mono_ms(&clock_system) + PATIENCE_MS;                               \
        while (!(cond)) {                                                                          \
            if (clock_mono_ms(&clock_system) > until_)                                             \
                test_fail(__FILE__, __LINE__, "never: %s", #cond);                                 \
            loop_run_once(loop, 20);                                                               \
        }                                                                                          \
    } while (0)

static inline void handle_echo(void *arg, struct rpc_call *call)
{
    struct rig *rig = arg;

    rig->handled++;
    rpc_reply(call, rpc_call_payload(call));
}

static inline void handle_fail(void *arg, struct rpc_call *call)
{
    struct rig *rig = arg;

    rig->handled++;
    rpc_call_mark(call, rig->mark);
    rpc_reply_err(call, err_new(ERR_LIMIT, "tenant %.*s is over its limit",
                                SLICE_ARG(rpc_call_tenant(call))));
}

struct park {
    struct rig *rig;
    struct rpc_call *call;
};

static inline void parked_canceled(void *arg)
{
    struct park *park = arg;

    rpc_reply(park->call, SLICE("nobody hears this"));
    park->rig->canceled++;
    mem_free(park);
}

/* Answered only when nobody waits any more. */
static inline void handle_park(void *arg, struct rpc_call *call)
{
    struct park *park = mem_new(struct park);

    *park = (struct park){arg, call};
    rpc_call_on_cancel(call, parked_canceled, park);
    park->rig->handled++;
}

static inline void stream_more(void *arg)
{
    struct rig *rig = arg;
    struct rpc_call *call = rig->parked;

    if (!call)
        return;
    while (rig->sent < rig->to_send) {
        if (rpc_call_is_canceled(call)) {
            rig->canceled++;
            break;
        }
        if (!rpc_stream_send(call, rig->chunk))
            return;
        rig->sent++;
    }
    rig->parked = NULL;
    rpc_stream_end(call);
}

static inline void handle_stream(void *arg, struct rpc_call *call)
{
    struct rig *rig = arg;

    rpc_call_mark(call, rig->mark);
    rig->parked = call;
    rig->sent = 0;
    rig->handled++;
    rpc_stream_on_writable(call, stream_more, rig);
    stream_more(rig);
}

static inline struct seal_keyring *keyring_of(const char *first, const char *second)
{
    const char *keys[] = {first, second};
    struct seal_keyring *k;

    if (!first)
        return NULL;
    CHECK_OK(seal_keyring_new(keys, second ? 2 : 1, &k));
    return k;
}

static inline void server_up_with(struct rig *rig, const char *address, struct seal_keyring *k,
                                  size_t max_calls)
{
    CHECK_OK(loop_new("server", &rig->server_loop));
    CHECK_OK(rpc_server_new(&(struct rpc_server_opts){.loop = rig->server_loop,
                                                      .address = address,
                                                      .keyring = k,
                                                      .max_inflight_calls = max_calls},
                            &rig->server));
    seal_keyring_unref(k);
    rpc_server_handle(rig->server, "echo", handle_echo, rig);
    rpc_server_handle(rig->server, "fail", handle_fail, rig);
    rpc_server_handle(rig->server, "park", handle_park, rig);
    rpc_server_handle(rig->server, "stream", handle_stream, rig);
    snprintf(rig->address, sizeof(rig->address), "%s", rpc_server_address(rig->server));
    rpc_server_start(rig->server);
    CHECK_OK(loop_start(rig->server_loop));
}

static inline void pool_up_with(struct rig *rig, struct seal_keyring *k, struct rpc_pool_opts opts)
{
    CHECK_OK(loop_new("client", &rig->loop));
    opts.loop = rig->loop;
    opts.keyring = k;
    opts.name = "tester";
    CHECK_OK(rpc_pool_new(&opts, &rig->pool));
    seal_keyring_unref(k);
    rig->peer = rpc_pool_peer(rig->pool, rig->address);
}

static inline void server_down(struct rig *rig)
{
    loop_join(rig->server_loop);
    rpc_server_free(rig->server);
    loop_free(rig->server_loop);
    rig->server = NULL;
}

static inline void pool_down(struct rig *rig)
{
    rpc_pool_free(rig->pool);
    loop_free(rig->loop);
}

static inline void rig_up(struct rig *rig, const char *address, const char *key)
{
    *rig = (struct rig){0};
    server_up_with(rig, address, keyring_of(key, NULL), 0);
    pool_up_with(rig, keyring_of(key, NULL), (struct rpc_pool_opts){0});
}

static inline void rig_down(struct rig *rig)
{
    pool_down(rig);
    server_down(rig);
}

static inline struct got call_and_wait(struct rig *rig, const char *method, struct slice payload)
{
    struct got g = {0};

    rpc_call(
        rig->peer,
        &(struct rpc_call_opts){.method = method, .tenant = SLICE("t1"), .timeout_ms = PATIENCE_MS},
        payload, on_got, &g, NULL);
    WAIT_FOR(rig->loop, g.last);
    return g;
}
