/*
 * A whole ingester but for the network between processes: HTTP server with the door's routes on a
 * loop of its own thread, distribute, replica, head and log in a directory. For tests, the
 * conformance runner and the benchmark; everything is static, so include it once per program.
 */
#pragma once
#include <stdio.h>

#include "common/auth/auth.h"
#include "common/base/mem.h"
#include "common/net/http_client.h"
#include "common/wal/wal.h"
#include "ingester/door/expo_import.h"
#include "ingester/door/graphite_write.h"
#include "ingester/door/influx_write.h"
#include "ingester/door/otlp_http.h"
#include "ingester/door/remote_write.h"
#include "ingester/replica.h"

struct door_fixture {
    struct loop *loop;
    struct conf *conf;
    struct auth *auth;
    struct limits *limits;
    struct wal *wal;
    struct head *head;
    struct replica *replica;
    struct distribute *distribute;
    struct ha_tracker *ha;
    struct door *door;
    struct otlp_door *otlp;
    struct http_server *http;
    struct ring *ring;
};

static inline struct ring *door_fixture_ring(void *arg)
{
    return ring_ref(((struct door_fixture *)arg)->ring);
}

static inline struct err *door_fixture_local(void *arg, struct slice tenant, struct slice bytes,
                                             bool is_late, distribute_local_fn *done,
                                             void *done_arg)
{
    return replica_push(((struct door_fixture *)arg)->replica, tenant, bytes, is_late, done,
                        done_arg);
}

static inline void door_fixture_remote(void *arg, const struct member *to, struct slice tenant,
                                       struct slice bytes, bool is_late, int64_t timeout_ms,
                                       rpc_reply_fn *on_reply, void *reply_arg)
{
    struct err *e = err_new(ERR_NET, "there is nobody else");

    (void)arg;
    (void)to;
    (void)tenant;
    (void)bytes;
    (void)is_late;
    (void)timeout_ms;
    on_reply(reply_arg, SLICE_EMPTY, true, e);
    err_free(e);
}

/* The ring of this one instance. */
static inline struct ring *door_fixture_one(void)
{
    static const uint32_t tokens[] = {1u << 30, 3u << 30};
    struct member *m;
    struct err *e = member_new(&(struct member){.instance = "self",
                                                .zone = "",
                                                .rpc_addr = "inproc://self",
                                                .http_addr = "",
                                                .roles = MEMBER_INGESTER,
                                                .signals = MEMBER_METRICS,
                                                .state = MEMBER_ACTIVE,
                                                .incarnation = 1,
                                                .registered_ms = 1,
                                                .tokens = tokens,
                                                .n_tokens = 2},
                               &m);
    struct ring *r;

    ORR_ASSERT(e == NULL);
    r = ring_new(&(struct ring_input){m, true}, 1,
                 &(struct ring_opts){.role = MEMBER_INGESTER, .signal = MEMBER_METRICS, .rf = 1});
    member_unref(m);
    return r;
}

static inline struct err *door_fixture_store(struct door_fixture *f, const char *dir)
{
    struct err *e = wal_open(&(struct wal_opts){.dir = dir}, &f->wal);

    if (!e)
        e = head_open(&(struct head_opts){.dir = dir, .wal = f->wal, .shards = 1}, &f->head);
    return e ? e : head_wait_ready(f->head);
}

/* yaml: sections auth, limits and otlp. */
static inline struct err *door_fixture_open(struct door_fixture *f, const char *dir,
                                            const char *yaml)
{
    static const struct conf_section *const sections[] = {&auth_section, &limits_section,
                                                          &otlp_section};
    struct err *e;

    *f = (struct door_fixture){0};
    if ((e = conf_load_text(&(struct conf_source){.sections = sections, .section_count = 3}, "test",
                            slice_cstr(yaml), &f->conf)) ||
        (e = limits_new(f->conf, "test", &f->limits)) || (e = loop_new("door", &f->loop)) ||
        (e = door_fixture_store(f, dir)))
        return e;
    f->ring = door_fixture_one();
    f->auth = auth_new(f->conf);
    f->replica = replica_new(&(struct replica_opts){
        .head = f->head, .limits = f->limits, .ring = door_fixture_ring, .ring_arg = f});
    f->distribute = distribute_new(&(struct distribute_opts){
        .ops = {door_fixture_ring, door_fixture_local, door_fixture_remote, f, NULL},
        .instance = "self",
        .timeout_ms = 10000,
        .max_inflight_bytes = 256 << 20});
    f->ha = ha_tracker_new(&(struct ha_tracker_opts){.seed = 1});
    f->door = door_new(&(struct door_opts){.loops = &f->loop,
                                           .ha = f->ha,
                                           .n_loops = 1,
                                           .limits = f->limits,
                                           .distribute = f->distribute,
                                           .cache_bytes = 64 << 20,
                                           .max_body_bytes = 32 << 20});
    if ((e = otlp_door_new(f->door, f->limits, f->conf, &f->otlp)))
        return e;
    if ((e = http_server_new(&(struct http_server_opts){.addr = "127.0.0.1:0",
                                                        .on_admit = auth_admit,
                                                        .admit_arg = f->auth},
                             &f->loop, 1, &f->http)))
        return e;
    remote_write_routes(f->http, f->door);
    otlp_http_routes(f->http, f->otlp);
    expo_import_routes(f->http, f->door);
    influx_write_routes(f->http, f->door);
    graphite_write_routes(f->http, f->door);
    if ((e = http_server_listen(f->http)))
        return e;
    return loop_start(f->loop);
}

static inline void door_fixture_close(struct door_fixture *f)
{
    loop_join(f->loop);
    http_server_free(f->http);
    err_free(head_close(f->head));
    err_free(wal_close(f->wal));
    loop_run_once(f->loop, 0);
    distribute_free(f->distribute);
    otlp_door_free(f->otlp);
    door_free(f->door);
    ha_tracker_free(f->ha);
    replica_free(f->replica);
    auth_free(f->auth);
    limits_stop(f->limits);
    limits_free(f->limits);
    conf_unref(f->conf);
    ring_unref(f->ring);
    loop_free(f->loop);
}

/* headers: "Name: value". The caller ends *ret with http_client_reply_done(). */
static inline struct err *door_fixture_post(struct door_fixture *f, const char *path,
                                            const char *const *headers, size_t n, struct slice body,
                                            struct http_client_reply *ret)
{
    char url[128];

    (void)snprintf(url, sizeof(url), "http://127.0.0.1:%u%s", http_server_port(f->http), path);
    return http_client_blocking(
        NULL,
        &(struct http_client_req){
            .method = "POST", .url = url, .headers = headers, .header_count = n, .body = body},
        ret);
}
