/*
 * A process and the roles it hosts: the part of every main() that is the same.
 *
 *     static const struct process_role *const roles[] = {&ingester_role};
 *     int main(int argc, char **argv) { return process_main("orrery-ingester", roles, 1, argc, argv); }
 *
 * process_main() parses the command line and the configuration, then builds, in this order: log,
 * loops (one per core, "server.loops"), worker pool, HTTP server (not yet listening), RPC server
 * and peers, object store, membership, and opens each role, which registers its HTTP routes and
 * RPC handlers. Then it listens, gossips, starts the roles, waits until all are ready, asks for
 * ACTIVE, and serves until SIGTERM, SIGINT or POST /shutdown.
 *
 *   open ──▶ start ──▶ is_ready … ──▶ drain(done) ──▶ close
 *   main     main       any loop       main            main, after all loops have stopped
 *
 * Stopping: /ready says 503; a process of queriers, rulers and compactors alone leaves the ring (what
 * it did is others' at once); roles drain one after the other in reverse order (each may take as long
 * as it needs, bounded by server.shutdown-timeout); HTTP drains; loops stop; roles close.
 *
 * SIGHUP reloads the configuration: a refused one is logged and the old one stays.
 *
 * RPC methods are named "<role>.<verb>": "ingester.push". One RPC server, on loop 0, serves all
 * roles of the process; its address in the membership is "inproc://<instance>" when the process
 * hosts all five roles and listens for no peers, else host:port.
 *
 * Accessors: any thread unless they say otherwise; everything they return lives until the roles
 * have been closed.
 */
#pragma once
#include "common/base/conf.h"
#include "common/base/job.h"
#include "common/base/loop.h"
#include "common/net/grpc_server.h"
#include "common/net/http_client.h"
#include "common/net/http_server.h"
#include "common/objstore/objstore.h"
#include "common/ring/membership.h"
#include "common/rpc/rpc.h"

struct process;

typedef void process_done_fn(void *arg);

struct process_role {
    const char *name;                           /* "ingester" */
    uint32_t bit;                               /* MEMBER_INGESTER ... */
    const struct conf_section *const *sections; /* its own, NULL-terminated */
    /* Builds the role and registers its routes and handlers. */
    struct err *(*open)(struct process *p, void **ret);
    /* Threads, timers, replay: may return before the role is ready. */
    struct err *(*start)(void *role);
    /* Appends why not to ret when it is not. NULL: ready once started. */
    bool (*is_ready)(void *role, struct buf *ret);
    /* The configuration was read again: takes over what may change. Main thread. NULL: the role
     * looks at process_conf() by itself, or has nothing to change. */
    void (*reload)(void *role, const struct conf *c);
    /* Finishes work and hands over; calls done (any thread) once. NULL: nothing to do. */
    void (*drain)(void *role, process_done_fn *done, void *arg);
    /* Frees it. Also called when open succeeded and start did not. */
    void (*close)(void *role);
};

int process_main(const char *program, const struct process_role *const *roles, size_t n, int argc,
                 char **argv);

/* The current configuration: a reference, conf_unref() it. */
struct conf *process_conf(struct process *p);
const char *process_instance(const struct process *p);
const char *process_zone(const struct process *p);
unsigned process_rf(const struct process *p); /* on how many ingesters a series or stream is */
const char *process_data_dir(const struct process *p); /* "server.data-dir", exists */
uint32_t process_roles(const struct process *p);       /* bits of the roles hosted */
/* The role's object, for another part of the same role (never another role's); NULL if absent. */
void *process_role_object(struct process *p, const char *name);

struct loop *process_loop(struct process *p, size_t i); /* 0..process_loop_count()-1 */
size_t process_loop_count(const struct process *p);
struct job_pool *process_jobs(struct process *p);    /* short blocking work: files, object store */
struct http_server *process_http(struct process *p); /* routes: only from open() */
/* gRPC on the same port; methods: only from open(). Health is served: SERVING when /ready says so. */
struct grpc_server *process_grpc(struct process *p);
uint16_t process_http_port(const struct process *p); /* after listen */
/* One more HTTP server at another address (bound at once): same loops, TLS, limits and admission;
 * it listens, drains and ends with the first. name stands on its metrics. Only from open(). */
ORR_CHECKED struct err *process_http_more(struct process *p, const char *name, const char *addr,
                                          struct http_server **ret);
struct rpc_server *process_rpc(struct process *p); /* handlers: only from open() */
struct rpc_pool *process_peers(struct process *p);
struct membership *process_membership(struct process *p);
struct objstore *process_objstore(struct process *p);
/* For outgoing HTTP, served by loop 0. */
struct http_client *process_http_client(struct process *p);

/*
 * Sections every process has.
 *
 *   server:      instance, zone, data-dir, http-address, rpc-address, advertise-host, loops, workers,
 *                log-level, log-format, shutdown-timeout, http limits, tls-*
 *   auth:        mode (header | optional | token), default-tenant …      see common/auth/auth.h
 *   ring:        seeds, replication-factor, heartbeat and forget times, cluster-keys
 *   storage:     backend (filesystem | s3), path
 *   s3:          the bucket of backend s3                           see common/objstore/s3conf.h
 */
struct process_server_conf {
    char *instance, *zone, *data_dir, *http_address, *rpc_address, *advertise_host;
    char *tls_cert, *tls_key, *tls_client_ca, *cors_origin;
    char *log_level;
    int log_format;
    int64_t loops, workers;
    int64_t shutdown_timeout_ns, idle_timeout_ns, header_timeout_ns;
    int64_t max_body_bytes, max_inflight_body_bytes, max_connections;
    int64_t max_header_bytes, max_headers;
    int64_t max_h2_connections, max_streams, stream_window_bytes, conn_window_bytes;
};
struct process_ring_conf {
    struct conf_list seeds, cluster_keys;
    char *cluster;
    int64_t replication_factor, alertmanager_replication_factor, tokens;
    int64_t unhealthy_after_ns, forget_after_ns, join_wait_ns, announce_ns;
};
#define PROCESS_BACKENDS "filesystem|s3"
enum process_backend { PROCESS_FILESYSTEM, PROCESS_S3 };
struct process_storage_conf {
    int backend; /* enum process_backend */
    char *path;
};
