#include "common/process/process.h"

#include <arpa/inet.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fault.h"
#include "common/base/fsx.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/thread.h"
#include "common/objstore/s3conf.h"
#include "common/process/process_internal.h"
#include "common/ring/ring_pages.h"

#define READY_POLL_MS 20
#define LEFT_TELL_MS 500 /* for the gossip to go out */
#define HTTP_DRAIN_MS 10000

/* ---- accessors ---- */

struct conf *process_conf(struct process *p)
{
    return (struct conf *)snapshot_cell_get(&p->conf);
}

const char *process_instance(const struct process *p)
{
    return p->instance;
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
        .signals = MEMBER_METRICS,
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

static struct err *build(struct process *p, struct conf *c)
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

/* ---- serving ---- */

static struct err *start(struct process *p)
{
    struct err *e;

    rpc_server_start(p->rpc);
    membership_start(p->membership);
    for (; p->n_loops_running < p->n_loops; p->n_loops_running++)
        if ((e = loop_start(p->loops[p->n_loops_running])))
            return e;
    for (; p->n_started < p->n_roles; p->n_started++) {
        const struct process_role *r = p->roles[p->n_started];

        if (r->start && (e = r->start(p->objects[p->n_started])))
            return err_wrap(e, "%s", r->name);
    }
    return NULL;
}

static bool roles_ready(struct process *p, struct buf *ret)
{
    bool all = p->n_started == p->n_roles;

    for (size_t i = 0; i < p->n_started; i++) {
        struct buf why = {0};

        if (p->roles[i]->is_ready && !p->roles[i]->is_ready(p->objects[i], &why)) {
            buf_printf(ret, "%s: %.*s\n", p->roles[i]->name, SLICE_ARG(buf_slice(&why)));
            all = false;
        }
        buf_done(&why);
    }
    return all;
}

bool process_is_ready(struct process *p, struct buf *ret)
{
    enum member_state state = membership_self_state(p->membership);
    bool ready = roles_ready(p, ret);

    if (p->phase == PROCESS_STOPPING) {
        buf_str(ret, "stopping\n");
        return false;
    }
    if (state != MEMBER_ACTIVE) {
        buf_printf(ret, "ring: %s\n", member_state_name(state));
        return false;
    }
    return ready && p->phase == PROCESS_SERVING;
}

void process_stop(struct process *p)
{
    uint64_t one = 1;

    (void)!write(p->stop_fd, &one, sizeof(one));
}

/* One file may configure all five programs: each passes over the sections of the others. */
static const char *const all_sections[] = {"ingester", "querier",      "compactor", "ruler",
                                           "limits",   "alertmanager", "otlp",      NULL};

static struct conf_cli cli_of(const struct process *p)
{
    return (struct conf_cli){p->program, "Orrery: metrics, logs, traces and profiles in one store.",
                             p->sections, p->n_sections, all_sections};
}

struct err *process_reload(struct process *p)
{
    struct conf *now = process_conf(p), *next = NULL;
    struct conf_cli cli = cli_of(p);
    const struct process_server_conf *server;
    struct err *e = conf_cli_reload(&cli, p->argc, p->argv, now, &next);

    conf_unref(now);
    if (e)
        return e;
    server = conf_section(next, "server");
    e = log_set_level(server->log_level);
    for (size_t i = 0; i < p->n_roles; i++)
        if (p->roles[i]->reload)
            p->roles[i]->reload(p->objects[i], next);
    if (p->storage_limits)
        limits_set_defaults(p->storage_limits, next);
    snapshot_cell_set(&p->conf, (struct snapshot *)next);
    if (p->tls)
        e = err_first(e, net_tls_reload(p->tls));
    return e;
}

static void reload_and_log(struct process *p)
{
    struct err *e = process_reload(p);

    if (e)
        LOG_ERROR(main, "configuration not reloaded", KV_ERR(e));
    else
        LOG_INFO(main, "configuration reloaded");
    err_free(e);
}

/* Waits at most timeout_ms (-1: for ever). True when the process must stop. */
static bool wait_for_signal(struct process *p, int signal_fd, int timeout_ms)
{
    struct pollfd fds[2] = {{signal_fd, POLLIN, 0}, {p->stop_fd, POLLIN, 0}};
    struct signalfd_siginfo info;

    if (poll(fds, 2, timeout_ms) <= 0)
        return false;
    if (fds[1].revents)
        return true;
    if (read(signal_fd, &info, sizeof(info)) != (ssize_t)sizeof(info))
        return false;
    if (info.ssi_signo == SIGHUP) {
        reload_and_log(p);
        return false;
    }
    LOG_INFO(main, "stopping", KV_STR("signal", strsignal((int)info.ssi_signo)));
    return true;
}

static void set_active(void *arg)
{
    membership_set_active(arg);
}

/* Until ready, then until told to stop. */
static void serve(struct process *p, int signal_fd)
{
    int64_t start_ms = clock_mono_ms(&clock_system);
    struct buf why = {0};
    bool is_stopping = false, is_ready = false;

    while (!is_stopping && !is_ready) {
        buf_reset(&why);
        is_ready = roles_ready(p, &why);
        if (!is_ready)
            is_stopping = wait_for_signal(p, signal_fd, READY_POLL_MS);
    }
    buf_done(&why);
    if (is_ready) {
        p->phase = PROCESS_SERVING;
        loop_post(p->loops[0], set_active, p->membership);
        LOG_INFO(main, "serving", KV_STR("addr", p->http_advertised),
                 KV_STR("instance", p->instance), KV_STR("zone", p->zone),
                 KV_I64("duration_ms", clock_mono_ms(&clock_system) - start_ms));
    }
    while (!is_stopping)
        is_stopping = wait_for_signal(p, signal_fd, -1);
}

/* ---- stopping ---- */

struct waiter {
    int fd;
};

static void wake(void *arg)
{
    uint64_t one = 1;

    (void)!write(((struct waiter *)arg)->fd, &one, sizeof(one));
}

static bool wait_done(struct waiter *w, int64_t until_ms)
{
    struct pollfd fd = {w->fd, POLLIN, 0};
    int64_t left = until_ms - clock_mono_ms(&clock_system);

    uint64_t n;

    /* Reading it is what orders the waker's last look at *w before the end of *w. */
    return poll(&fd, 1, (int)ORR_MAX(left, 0)) == 1 && read(w->fd, &n, sizeof(n)) == sizeof(n);
}

/* False when something had not finished in time: it may still call back, so its waiter stays. */
static bool drain_one(const char *what, void (*begin)(void *, process_done_fn *, void *), void *obj,
                      int64_t until_ms)
{
    struct waiter *w = mem_new(struct waiter);

    w->fd = eventfd(0, EFD_CLOEXEC);
    begin(obj, wake, w);
    if (!wait_done(w, until_ms)) {
        LOG_ERROR(main, "did not finish in time", KV_STR("role", what));
        return false;
    }
    (void)close(w->fd);
    mem_free(w);
    return true;
}

static void drain_http(void *obj, process_done_fn *done, void *arg)
{
    http_server_drain(obj, HTTP_DRAIN_MS, done, arg);
}

/* Nothing in the cluster waits for this very instance to come back: no segments, no notification
 * log. It leaves the ring when it stops, so that others take over its share at once and not only
 * when it is found missing. */
static bool leaves_on_stop(const struct process *p)
{
    return !(process_roles(p) & (MEMBER_INGESTER | MEMBER_ALERTMANAGER)) &&
           p->n_started == p->n_roles;
}

static void leave(void *arg)
{
    membership_leave(arg);
}

static void left(void *arg)
{
    membership_left(arg);
}

static bool drain(struct process *p)
{
    struct conf *c = process_conf(p);
    const struct process_server_conf *server = conf_section(c, "server");
    int64_t until_ms = clock_mono_ms(&clock_system) + server->shutdown_timeout_ns / NS_PER_MS;
    bool all = true, leaves = leaves_on_stop(p);

    conf_unref(c);
    p->phase = PROCESS_STOPPING;
    if (leaves)
        loop_post(p->loops[0], leave, p->membership);
    for (size_t i = p->n_started; i-- > 0;)
        if (p->roles[i]->drain)
            all &= drain_one(p->roles[i]->name, p->roles[i]->drain, p->objects[i], until_ms);
    if (leaves) {
        loop_post(p->loops[0], left, p->membership);
        (void)poll(NULL, 0, LEFT_TELL_MS);
    }
    for (size_t i = 0; i < p->n_more_http; i++)
        all &= drain_one("http", drain_http, p->more_http[i], until_ms + HTTP_DRAIN_MS + 1000);
    all &= drain_one("http", drain_http, p->http, until_ms + HTTP_DRAIN_MS + 1000);
    return all;
}

static void stop_membership(void *arg)
{
    membership_stop(arg);
}

/* Ends what the loops work on; posted ends of jobs still run here, on main, which joined them. */
static void stop_loops(struct process *p)
{
    if (p->n_loops_running)
        loop_post(p->loops[0], stop_membership, p->membership);
    for (size_t i = 0; i < p->n_loops_running; i++)
        loop_join(p->loops[i]);
}

/*
 * First what may still call into the roles ends, while they are there: jobs (whose ends the loops
 * are run once more for), the calls of peers and the calls to peers. Then the roles, then what they
 * stood on. The pool is only stopped at first: the last turn of the loops may bring one more
 * request or timer that wants a job, and must find a pool that refuses it.
 */
static void tear_down(struct process *p)
{
    stop_loops(p);
    for (size_t i = 0; i < p->n_more_http; i++)
        http_server_free(p->more_http[i]);
    http_server_free(p->http);
    grpc_server_free(p->grpc);
    objstore_stop(p->objstore); /* else a job may wait for a server that is not there */
    if (p->jobs)
        job_pool_stop(p->jobs);
    for (size_t i = 0; i < p->n_loops; i++)
        loop_run_once(p->loops[i], 0);
    rpc_server_free(p->rpc);
    rpc_pool_free(p->peers);
    for (size_t i = p->n_opened; i-- > 0;)
        p->roles[i]->close(p->objects[i]);
    membership_free(p->membership);
    http_client_free(p->http_client);
    process_storage_close(p);
    job_pool_free(p->jobs);
    for (size_t i = 0; i < p->n_loops; i++)
        loop_free(p->loops[i]);
    mem_free(p->loops);
    seal_keyring_unref(p->keyring);
    net_tls_free(p->tls);
    process_cors_free(p->cors);
    auth_free(p->auth);
    mem_free(p->instance);
    mem_free(p->zone);
    mem_free(p->data_dir);
    fsx_unlock(p->lock_fd);
    mem_free(p->tokens_path);
    mem_free(p->members_path);
    mem_free(p->rpc_advertised);
    mem_free(p->http_advertised);
    snapshot_cell_done(&p->conf);
    (void)close(p->stop_fd);
}

/* ---- main ---- */

static void collect_sections(struct process *p)
{
    p->sections[p->n_sections++] = &process_server_section;
    p->sections[p->n_sections++] = &auth_section;
    p->sections[p->n_sections++] = &process_ring_section;
    p->sections[p->n_sections++] = &process_storage_section;
    p->sections[p->n_sections++] = &s3conf_section;
    p->sections[p->n_sections++] = &limits_section;
    for (size_t i = 0; i < p->n_roles; i++) {
        for (const struct conf_section *const *s = p->roles[i]->sections; *s; s++) {
            bool is_known = false;

            for (size_t k = 0; k < p->n_sections; k++)
                is_known = is_known || p->sections[k] == *s; /* roles may share one: limits */
            ORR_ASSERT(p->n_sections < PROCESS_MAX_SECTIONS);
            if (!is_known)
                p->sections[p->n_sections++] = *s;
        }
    }
}

/* Signals are main's, read from a descriptor; threads inherit the mask. */
static int block_signals(void)
{
    sigset_t set;

    (void)signal(SIGPIPE, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGHUP);
    (void)pthread_sigmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC);
}

static struct err *run(struct process *p, struct conf *c, bool *ret_is_clean)
{
    const struct process_server_conf *server = conf_section(c, "server");
    int signal_fd = block_signals();
    struct err *e;

    log_set_format(server->log_format ? LOG_JSON : LOG_LOGFMT);
    if ((e = log_set_level(server->log_level)))
        return err_wrap(e, "server.log-level");
    p->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (!(e = build(p, c)) && !(e = start(p)))
        serve(p, signal_fd);
    *ret_is_clean = p->n_started == 0 || drain(p);
    (void)close(signal_fd);
    return e;
}

int process_main(const char *program, const struct process_role *const *roles, size_t n, int argc,
                 char **argv)
{
    struct process *p = mem_new(struct process);
    bool is_clean = false;
    struct conf_cli cli;
    struct conf *c;
    struct err *e;
    int status = 0;

    ORR_ASSERT(n <= PROCESS_MAX_ROLES);
    p->program = program;
    p->lock_fd = -1;
    p->roles = roles;
    p->n_roles = n;
    p->argc = argc;
    p->argv = argv;
    fault_arm_from_env();
    thread_take_short_turns();
    collect_sections(p);
    cli = cli_of(p);
    if (!conf_cli_run(&cli, argc, argv, &c, &status)) {
        mem_free(p);
        return status;
    }
    snapshot_cell_init(&p->conf, LOCK_CONF);
    snapshot_cell_set(&p->conf, (struct snapshot *)c);
    e = run(p, c, &is_clean);
    if (e)
        LOG_ERROR(main, "cannot run", KV_ERR(e));
    if (!is_clean)
        _exit(1); /* somebody is still at work on what tear_down() would free */
    tear_down(p);
    mem_free(p);
    if (!e)
        LOG_INFO(main, "stopped");
    status = e ? 1 : 0;
    err_free(e);
    return status;
}
