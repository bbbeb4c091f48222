#include "ingester/door/line_socket.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/metric.h"
#include "common/base/vec.h"

#define RECEIVE_BYTES 65536 /* a datagram has no more */
#define READS_PER_TURN 4    /* then the others have a turn */
#define ACCEPTS_PER_TURN 32
#define DATAGRAMS_PER_TURN 64
#define REAP_MS 1000
#define RECEIVE_BUFFER_BYTES (4 << 20) /* asked of the kernel, for bursts of datagrams */

static const struct metric_field line_fields[] = {
    METRIC_COUNTER(struct line_metrics, accepted, "orrery_line_connections_total",
                   "Connections accepted."),
    METRIC_COUNTER(struct line_metrics, refused, "orrery_line_connections_refused_total",
                   "Connections closed at once because there are line-max-connections."),
    METRIC_COUNTER(struct line_metrics, too_long, "orrery_line_too_long_total",
                   "Connections closed because a line had no end."),
    METRIC_COUNTER(struct line_metrics, idle, "orrery_line_idle_closed_total",
                   "Connections closed because nothing came."),
    METRIC_COUNTER(struct line_metrics, bytes, "orrery_line_received_bytes_total",
                   "Bytes received."),
    METRIC_COUNTER(struct line_metrics, datagrams, "orrery_line_datagrams_total",
                   "Datagrams received."),
    METRIC_GAUGE(struct line_metrics, connections, "orrery_line_connections", "Connections open."),
};

void line_metrics_register(const struct line_metrics *m, const char *protocol)
{
    char labels[64];

    (void)snprintf(labels, sizeof(labels), "protocol=\"%s\"", protocol);
    metric_register(m, line_fields, ORR_COUNT(line_fields), labels);
}

void line_metrics_unregister(const struct line_metrics *m)
{
    metric_unregister(m);
}

struct line_conn {
    struct line_socket *s;
    int fd;
    struct loop_io *io; /* NULL while reading is stopped */
    struct buf in;      /* a line so far */
    int64_t used_ms;
    size_t at; /* in s->conns */
};

struct line_socket {
    struct line_socket_opts opts;
    int tcp, udp;
    struct loop_io *tcp_io, *udp_io;
    struct loop_timer *reaper;
    VEC(struct line_conn *) conns;
    uint8_t *received; /* RECEIVE_BYTES and one, of whoever reads */
    bool is_stopped, is_paused;
    struct line_metrics *m;
};

/* ---- connections ---- */

static void conn_close(struct line_conn *c)
{
    struct line_socket *s = c->s;

    loop_io_free(c->io);
    (void)close(c->fd);
    vec_remove_swap(&s->conns, c->at);
    if (c->at < s->conns.len)
        s->conns.ptr[c->at]->at = c->at;
    METRIC_ADD(s->m->connections, -1);
    buf_done(&c->in);
    mem_free(c);
}

static void stop_reading(struct line_socket *s);

static void hand_over(struct line_socket *s, struct slice lines)
{
    if (lines.len && !s->opts.lines(s->opts.arg, lines) && !s->is_paused)
        stop_reading(s);
}

/* What was read goes on up to its last newline; only what is left is kept, so that a quiet
 * connection holds no buffer. False when that is too long for a line. */
static bool conn_read(struct line_conn *c, struct slice piece)
{
    const uint8_t *end = memrchr(piece.ptr, '\n', piece.len);
    size_t n = end ? (size_t)(end - piece.ptr) + 1 : 0;

    if (n && c->in.len) {
        buf_append(&c->in, piece.ptr, n);
        hand_over(c->s, buf_slice(&c->in));
        buf_done(&c->in);
    } else {
        hand_over(c->s, slice_of(piece.ptr, n));
    }
    if (n < piece.len)
        buf_slice_append(&c->in, slice_from(piece, n));
    return c->in.len <= c->s->opts.max_line_bytes;
}

static void conn_end(struct line_conn *c)
{
    hand_over(c->s, buf_slice(&c->in));
    conn_close(c);
}

static void on_conn(void *arg)
{
    struct line_conn *c = arg;
    struct line_socket *s = c->s;

    c->used_ms = loop_now_ms(s->opts.loop);
    for (int i = 0; i < READS_PER_TURN && !s->is_paused; i++) {
        ssize_t n = recv(c->fd, s->received, RECEIVE_BYTES, 0);

        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            conn_end(c);
            return;
        }
        METRIC_ADD(s->m->bytes, (uint64_t)n);
        if (!conn_read(c, slice_of(s->received, (size_t)n))) {
            METRIC_ADD(s->m->too_long, 1);
            conn_close(c);
            return;
        }
    }
}

static void on_accept(void *arg)
{
    struct line_socket *s = arg;

    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(s->tcp, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        struct line_conn *c;

        if (fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM)) {
            loop_io_free(s->tcp_io); /* it would be called for ever: until the reaper's turn */
            s->tcp_io = NULL;
        }
        if (fd < 0)
            return;
        if (s->conns.len >= s->opts.max_connections) {
            METRIC_ADD(s->m->refused, 1);
            (void)close(fd);
            continue;
        }
        c = mem_new(struct line_conn);
        c->s = s;
        c->fd = fd;
        c->used_ms = loop_now_ms(s->opts.loop);
        c->at = s->conns.len;
        vec_push(&s->conns, c);
        c->io = s->is_paused ? NULL : loop_io_new(s->opts.loop, fd, on_conn, c);
        METRIC_ADD(s->m->accepted, 1);
        METRIC_ADD(s->m->connections, 1);
    }
}

/* ---- datagrams ---- */

static void on_datagram(void *arg)
{
    struct line_socket *s = arg;

    for (int i = 0; i < DATAGRAMS_PER_TURN && !s->is_paused; i++) {
        ssize_t n = recv(s->udp, s->received, RECEIVE_BYTES, 0);

        if (n < 0)
            return;
        METRIC_ADD(s->m->datagrams, 1);
        METRIC_ADD(s->m->bytes, (uint64_t)n);
        if (n && s->received[n - 1] != '\n')
            s->received[n++] = '\n';
        hand_over(s, slice_of(s->received, (size_t)n));
    }
}

/* ---- stopping and going on ---- */

/* May run within a callback of one of the watchers it frees: they allow that. */
static void stop_reading(struct line_socket *s)
{
    s->is_paused = true;
    loop_io_free(s->udp_io);
    s->udp_io = NULL;
    VEC_FOREACH (c, &s->conns) {
        loop_io_free((*c)->io);
        (*c)->io = NULL;
    }
}

void line_socket_resume(struct line_socket *s)
{
    if (!s->is_paused)
        return;
    s->is_paused = false;
    if (s->udp >= 0)
        s->udp_io = loop_io_new(s->opts.loop, s->udp, on_datagram, s);
    VEC_FOREACH (c, &s->conns)
        (*c)->io = loop_io_new(s->opts.loop, (*c)->fd, on_conn, *c);
}

static void close_listeners(struct line_socket *s)
{
    loop_io_free(s->tcp_io);
    loop_io_free(s->udp_io);
    s->tcp_io = s->udp_io = NULL;
    if (s->tcp >= 0)
        (void)close(s->tcp);
    if (s->udp >= 0)
        (void)close(s->udp);
    s->tcp = s->udp = -1;
}

void line_socket_stop(struct line_socket *s)
{
    if (s->is_stopped)
        return;
    s->is_stopped = true;
    close_listeners(s);
    while (s->conns.len)
        conn_end(vec_last(&s->conns));
    loop_timer_cancel(s->reaper);
}

static void on_reaper(void *arg)
{
    struct line_socket *s = arg;
    int64_t now = loop_now_ms(s->opts.loop);

    /* While reading is stopped silence is ours. */
    for (size_t i = s->conns.len; i-- > 0 && !s->is_paused;)
        if (now - s->conns.ptr[i]->used_ms > s->opts.idle_ms) {
            METRIC_ADD(s->m->idle, 1);
            conn_end(s->conns.ptr[i]);
        }
    if (!s->tcp_io)
        s->tcp_io = loop_io_new(s->opts.loop, s->tcp, on_accept, s);
    loop_timer_arm_ms(s->reaper, REAP_MS);
}

/* ---- making ---- */

static struct err *open_udp(const struct net_addr *addr, int *ret)
{
    int one = 1, bytes = RECEIVE_BUFFER_BYTES;
    int fd = socket(addr->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct err *e;

    if (fd < 0)
        return err_errno(ERR_NET, "socket");
    /* What the kernel grants is enough: it only makes bursts longer. */
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0 ||
        bind(fd, &addr->sa, addr->len) < 0) {
        e = err_errno(ERR_NET, "bind UDP");
        (void)close(fd);
        return e;
    }
    *ret = fd;
    return NULL;
}

struct err *line_socket_new(const struct line_socket_opts *opts, struct net_addr *addr,
                            struct line_socket **ret)
{
    struct line_socket *s = mem_new(struct line_socket);
    struct err *e;

    s->opts = *opts;
    s->m = opts->metrics;
    s->tcp = s->udp = -1;
    if ((e = net_addr_listen(addr, 128, &s->tcp)) || (e = open_udp(addr, &s->udp))) {
        line_socket_free(s);
        return e;
    }
    s->received = mem_alloc(RECEIVE_BYTES + 1);
    s->tcp_io = loop_io_new(opts->loop, s->tcp, on_accept, s);
    s->udp_io = loop_io_new(opts->loop, s->udp, on_datagram, s);
    s->reaper = loop_timer_new(opts->loop, on_reaper, s);
    loop_timer_arm_ms(s->reaper, REAP_MS);
    *ret = s;
    return NULL;
}

void line_socket_free(struct line_socket *s)
{
    if (!s)
        return;
    close_listeners(s);
    while (s->conns.len)
        conn_close(vec_last(&s->conns));
    vec_done(&s->conns);
    loop_timer_free(s->reaper);
    mem_free(s->received);
    mem_free(s);
}
