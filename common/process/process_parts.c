/* What a process is built of, and how roles get at it. */
#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/fsx.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/objstore/s3conf.h"
#include "common/process/process_internal.h"
#include "common/ring/ring_pages.h"

/* ---- accessors ---- */

struct conf *process_conf(struct process *p)
{
    return (struct conf *)snapshot_cell_get(&p->conf);
}

const char *process_instance(const struct process *p)
{
    return p->instance;
}

unsigned process_rf(const struct process *p)
{
    return p->rf;
}

const char *process_zone(const struct process *p)
{
    return p->zone;
}

const char *process_data_dir(const struct process *p)
{
    return p->data_dir;
}

uint32_t process_roles(const struct process *p)
{
    uint32_t bits = 0;

    for (size_t i = 0; i < p->n_roles; i++)
        bits |= p->roles[i]->bit;
    return bits;
}

void *process_role_object(struct process *p, const char *name)
{
    for (size_t i = 0; i < p->n_opened; i++)
        if (strcmp(p->roles[i]->name, name) == 0)
            return p->objects[i];
    return NULL;
}

struct loop *process_loop(struct process *p, size_t i)
{
    return p->loops[i];
}

size_t process_loop_count(const struct process *p)
{
    return p->n_loops;
}

struct job_pool *process_jobs(struct process *p)
{
    return p->jobs;
}

struct http_server *process_http(struct process *p)
{
    return p->http;
}

struct grpc_server *process_grpc(struct process *p)
{
    return p->grpc;
}

uint16_t process_http_port(const struct process *p)
{
    return http_server_port(p->http);
}

struct rpc_server *process_rpc(struct process *p)
{
    return p->rpc;
}

struct rpc_pool *process_peers(struct process *p)
{
    return p->peers;
}

struct membership *process_membership(struct process *p)
{
    return p->membership;
}

struct objstore *process_objstore(struct process *p)
{
    return p->objstore;
}

struct http_client *process_http_client(struct process *p)
{
    return p->http_client;
}

/* ---- building ---- */

static char *host_name(void)
{
    char name[256] = "";

    if (gethostname(name, sizeof(name) - 1) || !name[0])
        return mem_strdup("localhost");
    return mem_strdup(name);
}

static bool is_wildcard(struct slice host)
{
    return host.len == 0 || slice_eq_cstr(host, "*") || slice_eq_cstr(host, "0.0.0.0") ||
           slice_eq_cstr(host, "[::]");
}

/* host of "host:port"; IPv6 keeps its brackets */
static struct slice host_of(const char *addr)
{
    const char *colon = strrchr(addr, ':');

    return slice_of(addr, colon ? (size_t)(colon - addr) : strlen(addr));
}

static struct slice port_of(const char *addr)
{
    const char *colon = strrchr(addr, ':');

    return slice_cstr(colon ? colon + 1 : "");
}

/* This host's first IPv4 address that others can use; its loopback address if it has none. A name
 * would have to be known to everybody's resolver. */
static char *first_address(void)
{
    struct ifaddrs *list = NULL;
    char text[INET_ADDRSTRLEN] = "127.0.0.1";

    if (getifaddrs(&list))
        return mem_strdup(text);
    for (struct ifaddrs *i = list; i; i = i->ifa_next) {
        struct sockaddr_in in;

        if (!i->ifa_addr || i->ifa_addr->sa_family != AF_INET || (i->ifa_flags & IFF_LOOPBACK) ||
            !(i->ifa_flags & IFF_UP))
            continue;
        memcpy(&in, i->ifa_addr, sizeof(in));
        (void)inet_ntop(AF_INET, &in.sin_addr, text, sizeof(text));
        break;
    }
    freeifaddrs(list);
    return mem_strdup(text);
}

/* Where others reach what is bound to addr with this port. */
static char *advertised(const struct process_server_conf *conf, const char *addr, struct slice port)
{
    struct slice host = host_of(addr);
    char *name = NULL, *ret;

    if (conf->advertise_host[0]) {
        host = slice_cstr(conf->advertise_host);
    } else if (is_wildcard(host)) {
        name = first_address();
        host = slice_cstr(name);
    }
    ret = mem_printf("%.*s:%.*s", SLICE_ARG(host), SLICE_ARG(port));
    mem_free(name);
    return ret;
}

static struct err *build_loops(struct process *p, const struct process_server_conf *conf)
{
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    size_t workers = conf->workers ? (size_t)conf->workers : (size_t)ORR_MAX(4, 2 * cores);
    size_t n = conf->loops ? (size_t)conf->loops : (size_t)ORR_MAX(1, cores);

    p->loops = mem_new_array(struct loop *, n);
    for (size_t i = 0; i < n; i++) {
        char name[16];
        struct err *e;

        snprintf(name, sizeof(name), "loop-%u", (unsigned)i % 1000);
        if ((e = loop_new(name, &p->loops[i])))
            return e;
        p->n_loops++;
    }
    p->jobs = job_pool_new("worker", (unsigned)workers, 100000);
    return NULL;
}

static struct http_server_opts http_opts(const struct process *p,
                                         const struct process_server_conf *conf, const char *addr)
{
    return (struct http_server_opts){
        .addr = addr,
        .tls = p->tls,
        .on_begin = process_cors_begin,
        .begin_arg = p->cors,
        .on_admit = auth_admit,
        .admit_arg = p->auth,
        .max_body_bytes = (size_t)conf->max_body_bytes,
        .max_inflight_body_bytes = (size_t)conf->max_inflight_body_bytes,
        .max_connections = (size_t)conf->max_connections,
        .max_header_bytes = (size_t)conf->max_header_bytes,
        .max_headers = (size_t)conf->max_headers,
        .max_h2_connections = (size_t)conf->max_h2_connections,
        .max_streams = (size_t)conf->max_streams,
        .stream_window_bytes = (size_t)conf->stream_window_bytes,
        .conn_window_bytes = (size_t)conf->conn_window_bytes,
        .idle_timeout_ms = conf->idle_timeout_ns / NS_PER_MS,
        .header_timeout_ms = conf->header_timeout_ns / NS_PER_MS,
    };
}

struct err *process_http_more(struct process *p, const char *name, const char *addr,
                              struct http_server **ret)
{
    struct conf *c = process_conf(p);
    struct http_server_opts opts = http_opts(p, conf_section(c, "server"), addr);
    struct http_server *s;
    struct err *e;

    ORR_ASSERT(p->n_more_http < PROCESS_MAX_HTTP);
    opts.name = name;
    e = http_server_new(&opts, p->loops, p->n_loops, &s);
    conf_unref(c);
    if (e)
        return e;
    p->more_http[p->n_more_http++] = *ret = s;
    return http_server_bind(s);
}

/* What a gRPC health check asks. */
static bool is_serving(void *arg)
{
    struct buf why = {0};
    bool is_ready = process_is_ready(arg, &why);

    buf_done(&why);
    return is_ready;
}

static struct err *build_http(struct process *p, const struct process_server_conf *conf)
{
    struct http_server_opts opts;
    struct err *e;

    if (conf->tls_cert[0]) {
        struct net_tls_opts tls = {
            .cert_path = conf->tls_cert,
            .key_path = conf->tls_key,
            .client_ca_path = conf->tls_client_ca[0] ? conf->tls_client_ca : NULL,
        };

        if ((e = net_tls_new(&tls, &p->tls)))
            return e;
    }
    if ((e = process_cors_new(conf->cors_origin, &p->cors)))
        return e;
    opts = http_opts(p, conf, conf->http_address);
    if ((e = http_server_new(&opts, p->loops, p->n_loops, &p->http)))
        return e;
    p->grpc = grpc_server_new(p->http, is_serving, p);
    return http_client_new(p->loops[0], &(struct http_client_opts){0}, &p->http_client);
}

static struct err *build_rpc(struct process *p, const struct process_server_conf *server,
                             const struct process_ring_conf *ring)
{
    bool is_auto = strcmp(server->rpc_address, "auto") == 0;
    const char *wanted = is_auto ? "0.0.0.0:7946" : server->rpc_address;
    char *inproc = mem_printf("inproc://%s", p->instance);
    struct rpc_server_opts opts = {.loop = p->loops[0]};
    struct rpc_pool_opts peers = {.loop = p->loops[0], .name = p->instance};
    struct err *e = NULL;

    if (ring->cluster_keys.n)
        e = seal_keyring_new((const char *const *)ring->cluster_keys.items, ring->cluster_keys.n,
                             &p->keyring);
    opts.keyring = peers.keyring = p->keyring;
    opts.address = is_auto && p->is_alone ? inproc : wanted;
    if (!e)
        e = rpc_server_new(&opts, &p->rpc);
    if (!e)
        e = rpc_pool_new(&peers, &p->peers);
    if (!e) {
        const char *bound = rpc_server_address(p->rpc);

        p->rpc_advertised = slice_has_prefix(slice_cstr(bound), SLICE("inproc:"))
                                ? mem_strdup(bound)
                                : advertised(server, wanted, port_of(bound));
    }
    mem_free(inproc);
    return e;
}

static struct err *build_membership(struct process *p, const struct process_ring_conf *conf)
{
    unsigned rf =
        conf->replication_factor ? (unsigned)conf->replication_factor : (p->is_alone ? 1u : 3u);
    struct membership_opts opts = {
        .loop = p->loops[0],
        .jobs = p->jobs,
        .server = p->rpc,
        .pool = p->peers,
        .instance = p->instance,
        .zone = p->zone,
        .rpc_addr = p->rpc_advertised,
        .http_addr = p->http_advertised,
        .roles = process_roles(p),
        .signals = MEMBER_METRICS | MEMBER_LOGS | MEMBER_TRACES,
        .seeds = (const char *const *)conf->seeds.items,
        .n_seeds = conf->seeds.n,
        .tokens_path = p->tokens_path,
        .members_path = p->members_path,
        .needs_zones = p->zone[0] != 0,
        .n_tokens = (size_t)conf->tokens,
        .rf = rf,
        .alertmanager_rf = conf->alertmanager_replication_factor
                               ? (unsigned)conf->alertmanager_replication_factor
                               : rf,
        .join_wait_ns = conf->join_wait_ns,
        .announce_ns = p->is_alone ? 1 : conf->announce_ns,
        .gossip = {.cluster = conf->cluster,
                   .unhealthy_after_ns = conf->unhealthy_after_ns,
                   .forget_after_ns = conf->forget_after_ns},
    };

    p->rf = rf;
    return membership_new(&opts, &p->membership);
}

static struct err *open_roles(struct process *p)
{
    for (size_t i = 0; i < p->n_roles; i++) {
        struct err *e = p->roles[i]->open(p, &p->objects[i]);

        if (e)
            return err_wrap(e, "%s", p->roles[i]->name);
        p->n_opened++;
    }
    return NULL;
}

/* Two processes on one directory would write each other's series under the same numbers. */
static struct err *lock_data_dir(struct process *p)
{
    char *path = mem_printf("%s/lock", p->data_dir);
    struct err *e = fsx_lock(path, &p->lock_fd);

    mem_free(path);
    return err_wrap(e, "server.data-dir");
}

static char *advertised_http(const struct process *p, const struct process_server_conf *server)
{
    char port[8];

    snprintf(port, sizeof(port), "%u", http_server_port(p->http));
    return advertised(server, server->http_address, slice_cstr(port));
}

struct err *process_build(struct process *p, struct conf *c)
{
    const struct process_server_conf *server = conf_section(c, "server");
    const struct process_ring_conf *ring = conf_section(c, "ring");
    struct err *e;

    p->instance = server->instance[0] ? mem_strdup(server->instance) : host_name();
    p->zone = mem_strdup(server->zone);
    p->data_dir = mem_strdup(server->data_dir);
    p->tokens_path = mem_printf("%s/tokens", p->data_dir);
    p->members_path = mem_printf("%s/members", p->data_dir);
    p->is_alone = process_roles(p) == MEMBER_ALL_ROLES && ring->seeds.n == 0;
    p->auth = auth_new(c);
    if ((e = fsx_mkdirs(p->data_dir)) || (e = lock_data_dir(p)) || (e = build_loops(p, server)) ||
        (e = build_http(p, server)) || (e = build_rpc(p, server, ring)) ||
        (e = process_storage_open(p, c)))
        return e;
    /* The port must be known before the membership can say it: bound now, served later. */
    if ((e = http_server_bind(p->http)))
        return e;
    p->http_advertised = advertised_http(p, server);
    if ((e = build_membership(p, ring)))
        return e;
    process_admin_routes(p);
    ring_pages_routes(p->membership, p->http);
    if ((e = open_roles(p)))
        return e;
    for (size_t i = 0; i < p->n_more_http; i++)
        if ((e = http_server_listen(p->more_http[i])))
            return e;
    return http_server_listen(p->http);
}
