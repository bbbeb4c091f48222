#include "common/process/process.h"

#include <errno.h>
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

#define READY_POLL_MS 20
#define LEFT_TELL_MS 500 /* for the gossip to go out */
#define HTTP_DRAIN_MS 10000

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
    if (!(e = process_build(p, c)) && !(e = start(p)))
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
