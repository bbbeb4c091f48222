#include "common/net/http_server.h"

#include <errno.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "common/base/fault.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/vec.h"
#include "common/net/http_server_internal.h"

#define ACCEPTS_A_TURN 64
#define BACKLOG 4096

static const struct metric_field server_fields[] = {
    METRIC_GAUGE(struct http_server_metrics, connections, "orrery_http_connections",
                 "Open connections."),
    METRIC_GAUGE(struct http_server_metrics, inflight, "orrery_http_requests_inflight",
                 "Requests between their head and the end of their reply."),
    METRIC_GAUGE(struct http_server_metrics, body_bytes, "orrery_http_body_inflight_bytes",
                 "Bytes of request bodies held, encoded and decoded."),
    METRIC_GAUGE(struct http_server_metrics, h2_connections, "orrery_http2_connections",
                 "Open connections that speak HTTP/2."),
    METRIC_GAUGE(struct http_server_metrics, h2_streams, "orrery_http2_streams",
                 "Open streams of HTTP/2: requests from their first header to their last byte."),
    METRIC_GAUGE(struct http_server_metrics, h2_output_bytes, "orrery_http2_output_bytes",
                 "Bytes of replies that wait in streams for their client's window."),
    METRIC_GAUGE(struct http_server_metrics, websockets, "orrery_http_websockets",
                 "Open websockets."),
    METRIC_COUNTER(struct http_server_metrics, h2_accepted, "orrery_http2_connections_total",
                   "Connections that turned to HTTP/2."),
    METRIC_COUNTER(struct http_server_metrics, h2_resets, "orrery_http2_resets_total",
                   "Streams that clients reset."),
    METRIC_COUNTER(struct http_server_metrics, accepted, "orrery_http_connections_total",
                   "Connections accepted."),
    METRIC_COUNTER(struct http_server_metrics, received_bytes, "orrery_http_received_bytes_total",
                   "Bytes received from clients."),
    METRIC_COUNTER(struct http_server_metrics, sent_bytes, "orrery_http_sent_bytes_total",
                   "Bytes sent to clients."),
    METRIC_HIST(struct http_server_metrics, duration_s, "orrery_http_request_seconds",
                "Time from the head of a request to the end of its reply."),
};
static const struct metric_field class_fields[] = {
    {METRIC_T_COUNTER, 0, "orrery_http_requests_total",
     "Requests by class of status; \"gone\": the client did not wait."},
};
static const struct metric_field reject_fields[] = {
    {METRIC_T_COUNTER, 0, "orrery_http_rejected_total",
     "Requests and connections refused by the server itself, by reason."},
};
static const char *const class_names[HTTP_CLASSES] = {"gone", "1xx", "2xx", "3xx", "4xx", "5xx"};
static const char *const reject_names[REJECT_COUNT] = {
#define X(sym, name) name,
    HTTP_REJECTS(X)
#undef X
};

void server_reject(struct http_server *srv, enum http_reject reason)
{
    METRIC_ADD(srv->rejects[reason], 1);
}

static void metrics_register(struct http_server *s)
{
    struct buf labels = {0};

    buf_printf(&labels, "server=\"%s\"", s->opts.name);
    metric_register(&s->m, server_fields, ORR_COUNT(server_fields), buf_cstr(&labels));
    for (size_t i = 0; i < HTTP_CLASSES; i++) {
        buf_reset(&labels);
        buf_printf(&labels, "server=\"%s\",class=\"%s\"", s->opts.name, class_names[i]);
        metric_register(&s->classes[i], class_fields, 1, buf_cstr(&labels));
    }
    for (size_t i = 0; i < REJECT_COUNT; i++) {
        buf_reset(&labels);
        buf_printf(&labels, "server=\"%s\",reason=\"%s\"", s->opts.name, reject_names[i]);
        metric_register(&s->rejects[i], reject_fields, 1, buf_cstr(&labels));
    }
    buf_done(&labels);
}

static void metrics_unregister(struct http_server *s)
{
    metric_unregister(&s->m);
    for (size_t i = 0; i < HTTP_CLASSES; i++)
        metric_unregister(&s->classes[i]);
    for (size_t i = 0; i < REJECT_COUNT; i++)
        metric_unregister(&s->rejects[i]);
}

/* ---- drain ---- */

static void stop_accepting(struct server_loop *sl)
{
    if (sl->is_accepting)
        (void)event_del(&sl->ev_accept);
    sl->is_accepting = false;
    if (sl->listen_fd >= 0)
        (void)close(sl->listen_fd);
    sl->listen_fd = -1;
}

static void check_drained(struct server_loop *sl)
{
    struct http_server *s = sl->srv;

    if (!sl->is_draining || sl->has_drained || sl->conn_count > 0)
        return;
    sl->has_drained = true;
    if (__atomic_sub_fetch(&s->drains_left, 1, __ATOMIC_ACQ_REL) == 0 && s->drain_done)
        loop_post(s->loops[0].loop, s->drain_done, s->drain_arg);
}

void server_loop_conn_gone(struct server_loop *sl)
{
    sl->conn_count--;
    METRIC_ADD(sl->srv->m.connections, -1);
    check_drained(sl);
}

/* Every connection of a loop, held, so that closing one while looking at another is safe. */
typedef VEC(struct conn *) conn_vec;

static conn_vec hold_list(const struct conn_list *l)
{
    conn_vec v = {0};

    for (struct conn *c = l->first; c; c = c->next) {
        conn_hold(c);
        vec_push(&v, c);
    }
    return v;
}

static void close_list(const struct conn_list *l)
{
    conn_vec v = hold_list(l);

    VEC_FOREACH (c, &v) {
        conn_close(*c);
        conn_release(*c);
    }
    vec_done(&v);
}

static void drain_list(const struct conn_list *l)
{
    conn_vec v = hold_list(l);

    VEC_FOREACH (c, &v) {
        if (!(*c)->is_dead)
            conn_drain(*c);
        conn_release(*c);
    }
    vec_done(&v);
}

static void on_drain_over(void *arg)
{
    struct server_loop *sl = arg;

    if (sl->conn_count)
        LOG_WARN(net, "requests cut off while draining", KV_U64("count", sl->conn_count));
    close_list(&sl->idle);
    close_list(&sl->active);
}

static void drain_loop(void *arg)
{
    struct server_loop *sl = arg;

    sl->is_draining = true;
    stop_accepting(sl);
    drain_list(&sl->idle);
    drain_list(&sl->active);
    if (sl->conn_count) {
        sl->drain_timer = loop_timer_new(sl->loop, on_drain_over, sl);
        loop_timer_arm_ms(sl->drain_timer, sl->srv->drain_grace_ms);
    }
    check_drained(sl);
}

void http_server_drain(struct http_server *s, int64_t grace_ms, loop_fn *done, void *arg)
{
    s->drain_done = done;
    s->drain_arg = arg;
    s->drain_grace_ms = grace_ms;
    __atomic_store_n(&s->drains_left, s->loop_count, __ATOMIC_RELEASE);
    for (size_t i = 0; i < s->loop_count; i++)
        loop_post(s->loops[i].loop, drain_loop, &s->loops[i]);
}

/* ---- accept ---- */

/* Over the limit: a word of why, and out. What is not sent at once is not sent. */
static void refuse_connection(struct http_server *s, int fd)
{
    static const char busy[] = "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n"
                               "Retry-After: 1\r\nContent-Type: text/plain; charset=utf-8\r\n"
                               "Content-Length: 21\r\n\r\ntoo many connections\n";

    char request[4096];

    server_reject(s, REJECT_CONNECTIONS);
    if (!s->opts.tls)
        (void)send(fd, busy, sizeof(busy) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)shutdown(fd, SHUT_WR);
    /* A close over unread input resets the connection, and the word is lost. */
    (void)recv(fd, request, sizeof(request), MSG_DONTWAIT);
    (void)close(fd);
}

static bool take_connection_slot(struct http_server *s)
{
    int64_t n = __atomic_add_fetch(&s->m.connections, 1, __ATOMIC_RELAXED);

    if (n <= (int64_t)s->opts.max_connections)
        return true;
    METRIC_ADD(s->m.connections, -1);
    return false;
}

static void on_acceptable(evutil_socket_t listen_fd, short what, void *arg)
{
    struct server_loop *sl = arg;

    (void)what;
    for (int i = 0; i < ACCEPTS_A_TURN; i++) {
        struct net_addr remote = {.len = sizeof(remote.in6)};
        int fd = accept4(listen_fd, &remote.sa, &remote.len, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
            continue;
        if (fd < 0 && (errno == EAGAIN || errno == EWOULDBLOCK))
            return;
        if (fd < 0) {
            /* No descriptors or memory: trying again at once would only spin. The sweep resumes. */
            LOG_WARN(net, "cannot accept", KV_STR("reason", strerror(errno)));
            (void)event_del(&sl->ev_accept);
            sl->is_accepting = false;
            return;
        }
        METRIC_ADD(sl->srv->m.accepted, 1);
        if (take_connection_slot(sl->srv))
            conn_accept(sl, fd, &remote);
        else
            refuse_connection(sl->srv, fd);
    }
}

/* ---- time ---- */

const char *server_loop_date(struct server_loop *sl)
{
    int64_t now_s = clock_wall_ms(&clock_system) / MS_PER_S;
    time_t t = (time_t)now_s;
    struct tm tm;

    if (now_s != sl->date_s && gmtime_r(&t, &tm)) {
        (void)strftime(sl->date, sizeof(sl->date), "Date: %a, %d %b %Y %H:%M:%S GMT\r\n", &tm);
        sl->date_s = now_s;
    }
    return sl->date;
}

static void on_sweep(void *arg)
{
    struct server_loop *sl = arg;
    int64_t now_ms = loop_now_ms(sl->loop);
    conn_vec v = hold_list(&sl->active);

    VEC_FOREACH (c, &v) {
        if (!(*c)->is_dead)
            conn_check_time(*c, now_ms);
        conn_release(*c);
    }
    vec_done(&v);
    while (sl->idle.first && now_ms - sl->idle.first->since_ms > sl->srv->opts.idle_timeout_ms)
        conn_close_idle(sl->idle.first);
    if (sl->listen_fd >= 0 && !sl->is_accepting) {
        sl->is_accepting = true;
        (void)event_add(&sl->ev_accept, NULL);
    }
    loop_timer_arm_ms(sl->sweep, sl->srv->sweep_ms);
}

/* ---- making and freeing ---- */

static void opts_defaults(struct http_server_opts *o)
{
#define DEFAULT(field, value) o->field = o->field ? o->field : (value)
    o->name = mem_strdup(o->name ? o->name : "http");
    o->addr = mem_strdup(o->addr);
    DEFAULT(max_header_bytes, 64 * 1024);
    DEFAULT(max_headers, 128);
    DEFAULT(max_body_bytes, 16u << 20);
    DEFAULT(max_inflight_body_bytes, 1u << 30);
    DEFAULT(max_connections, 20000);
    DEFAULT(compress_min_bytes, 1024);
    DEFAULT(output_high_bytes, 256 * 1024);
    DEFAULT(max_h2_connections, 5000);
    DEFAULT(max_streams, 100);
    DEFAULT(stream_window_bytes, 256 * 1024);
    DEFAULT(conn_window_bytes, 1u << 20);
    DEFAULT(body_min_rate, 1024);
    DEFAULT(idle_timeout_ms, 120000);
    DEFAULT(header_timeout_ms, 10000);
    DEFAULT(body_grace_ms, 10000);
    DEFAULT(write_timeout_ms, 30000);
    DEFAULT(request_timeout_ms, 120000);
    DEFAULT(linger_ms, 2000);
#undef DEFAULT
}

static int64_t sweep_every_ms(const struct http_server_opts *o)
{
    int64_t shortest = ORR_MIN(ORR_MIN(o->idle_timeout_ms, o->header_timeout_ms),
                               ORR_MIN(o->body_grace_ms, o->write_timeout_ms));

    shortest = ORR_MIN(shortest, o->linger_ms);
    return ORR_MAX((int64_t)5, ORR_MIN((int64_t)500, shortest / 4));
}

struct err *http_server_new(const struct http_server_opts *opts, struct loop **loops, size_t n,
                            struct http_server **ret)
{
    struct http_server *s = mem_new(struct http_server);
    struct err *e;

    ORR_ASSERT(n > 0);
    /* Writing to a peer that has gone is an error to handle, not a signal to die of. */
    (void)signal(SIGPIPE, SIG_IGN);
    s->opts = *opts;
    opts_defaults(&s->opts);
    s->sweep_ms = sweep_every_ms(&s->opts);
    s->routes = http_route_table_new();
    s->loops = mem_new_array(struct server_loop, n);
    s->loop_count = n;
    for (size_t i = 0; i < n; i++) {
        s->loops[i].srv = s;
        s->loops[i].loop = loops[i];
        s->loops[i].listen_fd = -1;
    }
    metrics_register(s);
    e = s->opts.addr ? net_addr_resolve(s->opts.addr, &s->addr)
                     : err_new(ERR_INVALID, "no address to listen on");
    if (e) {
        http_server_free(s);
        return err_wrap(e, "http server");
    }
    *ret = s;
    return NULL;
}

void http_server_route(struct http_server *s, const struct http_route *route)
{
    http_route_table_add(s->routes, route);
}

static void start_loop(void *arg)
{
    struct server_loop *sl = arg;

    if (sl->listen_fd < 0)
        return; /* drained before it began */
    sl->scratch = mem_alloc(SCRATCH_BYTES);
    (void)event_assign(&sl->ev_accept, loop_base(sl->loop), sl->listen_fd, EV_READ | EV_PERSIST,
                       on_acceptable, sl);
    (void)event_add(&sl->ev_accept, NULL);
    sl->is_accepting = true;
    sl->sweep = loop_timer_new(sl->loop, on_sweep, sl);
    loop_timer_arm_ms(sl->sweep, sl->srv->sweep_ms);
}

void http_server_on_no_route(struct http_server *s,
                             bool (*reply)(struct http_request *r, struct err *e, void *arg),
                             void *arg)
{
    s->reply_no_route = reply;
    s->no_route_arg = arg;
}

struct err *http_server_bind(struct http_server *s)
{
    struct err *e = net_addr_check_free(&s->addr);

    if (e)
        return err_wrap(e, "http server");
    /* The first bind picks the port when none was asked for; the others join it. */
    for (size_t i = 0; i < s->loop_count; i++)
        if ((e = net_addr_listen(&s->addr, BACKLOG, &s->loops[i].listen_fd)))
            return err_wrap(e, "http server");
    return NULL;
}

struct err *http_server_listen(struct http_server *s)
{
    char text[NET_ADDR_TEXT_BYTES];
    struct err *e;

    if (s->loops[0].listen_fd < 0 && (e = http_server_bind(s)))
        return e;
    for (size_t i = 0; i < s->loop_count; i++) {
        if (loop_is_mine(s->loops[i].loop))
            start_loop(&s->loops[i]);
        else
            loop_post(s->loops[i].loop, start_loop, &s->loops[i]);
    }
    LOG_INFO(net, "listening", KV_STR("addr", net_addr_text(&s->addr, text)));
    return NULL;
}

uint16_t http_server_port(const struct http_server *s)
{
    return net_addr_port(&s->addr);
}

static void loop_done(struct server_loop *sl)
{
    sl->is_draining = false; /* nobody is told any more */
    stop_accepting(sl);
    close_list(&sl->idle);
    close_list(&sl->active);
    while (sl->exchanges) /* handlers that will not reply any more */
        exchange_free(sl->exchanges);
    loop_timer_free(sl->sweep);
    loop_timer_free(sl->drain_timer);
    mem_free(sl->scratch);
}

void http_server_free(struct http_server *s)
{
    if (!s)
        return;
    for (size_t i = 0; i < s->loop_count; i++)
        loop_done(&s->loops[i]);
    metrics_unregister(s);
    http_route_table_free(s->routes);
    mem_free(s->loops);
    mem_free((void *)(uintptr_t)s->opts.addr);
    mem_free((void *)(uintptr_t)s->opts.name);
    mem_free(s);
}

size_t http_server_connections(const struct http_server *s)
{
    return (size_t)__atomic_load_n(&s->m.connections, __ATOMIC_RELAXED);
}

size_t http_server_inflight(const struct http_server *s)
{
    return (size_t)__atomic_load_n(&s->m.inflight, __ATOMIC_RELAXED);
}
