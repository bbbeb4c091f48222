#include "ingester/door/line_socket.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
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
    METRIC_COUNTER(struct line_metrics, messages_dropped, "orrery_line_messages_dropped_total",
                   "Messages passed over because they are too long, or were cut short."),
    METRIC_COUNTER(struct line_metrics, messages_cut, "orrery_line_messages_cut_total",
                   "Messages that are too long, and of which the beginning was taken."),
    METRIC_COUNTER(struct line_metrics, tls_failed, "orrery_line_tls_failures_total",
                   "Connections that failed in their TLS handshake."),
    METRIC_COUNTER(struct line_metrics, datagrams_busy, "orrery_line_datagrams_busy_total",
                   "Datagrams dropped because what came before was not yet taken."),
    METRIC_COUNTER(struct line_metrics, datagrams_kernel, "orrery_line_datagrams_kernel_total",
                   "Datagrams that the kernel dropped because they were not read in time."),
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
    SSL *ssl;               /* NULL: plain */
    struct loop_io *io;     /* NULL while reading is stopped */
    struct buf in;          /* a line so far */
    struct message_cut cut; /* instead, of messages */
    int64_t used_ms;
    bool wants_write; /* TLS: the reaper tries again */
    size_t at;        /* in s->conns */
};

struct line_socket {
    struct line_socket_opts opts;
    int tcp, udp;
    struct loop_io *tcp_io, *udp_io;
    struct loop_timer *reaper;
    VEC(struct line_conn *) conns;
    uint8_t *received; /* RECEIVE_BYTES and one, of whoever reads */
    bool is_stopped, is_paused;
    uint32_t kernel_lost; /* datagrams so far, as the kernel counts */
    struct line_metrics *m;
};

/* ---- connections ---- */

static void conn_close(struct line_conn *c)
{
    struct line_socket *s = c->s;

    loop_io_free(c->io);
    if (c->ssl) {
        ERR_clear_error();
        if (SSL_is_init_finished(c->ssl))
            (void)SSL_shutdown(c->ssl); /* says goodbye; we do not wait for theirs */
        SSL_free(c->ssl);
    }
    (void)close(c->fd);
    vec_remove_swap(&s->conns, c->at);
    if (c->at < s->conns.len)
        s->conns.ptr[c->at]->at = c->at;
    METRIC_ADD(s->m->connections, -1);
    buf_done(&c->in);
    message_cut_done(&c->cut);
    mem_free(c);
}

static void stop_reading(struct line_socket *s);

static void hand_over(struct line_socket *s, struct slice lines)
{
    if (lines.len && !s->opts.lines(s->opts.arg, lines) && !s->is_paused)
        stop_reading(s);
}

static void on_message(void *arg, struct slice message)
{
    hand_over(arg, message);
}

static void count_cut(struct line_conn *c)
{
    METRIC_ADD(c->s->m->messages_dropped, c->cut.dropped);
    METRIC_ADD(c->s->m->messages_cut, c->cut.cut);
    c->cut.dropped = c->cut.cut = 0;
}

/* What was read goes on up to its last newline; only what is left is kept, so that a quiet
 * connection holds no buffer. False when that is too long for a line. */
static bool conn_read(struct line_conn *c, struct slice piece)
{
    const uint8_t *end = memrchr(piece.ptr, '\n', piece.len);
    size_t n = end ? (size_t)(end - piece.ptr) + 1 : 0;

    if (c->s->opts.messages) {
        message_cut_put(&c->cut, piece, on_message, c->s);
        count_cut(c);
        return true;
    }
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
    if (c->s->opts.messages) {
        message_cut_end(&c->cut, on_message, c->s);
        count_cut(c);
    } else {
        hand_over(c->s, buf_slice(&c->in));
    }
    conn_close(c);
}

/* As recv(): 0 is the end, also a bad one. */
static ssize_t conn_recv(struct line_conn *c)
{
    struct line_socket *s = c->s;
    bool was_open;
    int n, why;

    if (!c->ssl)
        return recv(c->fd, s->received, RECEIVE_BYTES, 0);
    /* The error queue is the thread's: what another connection left there would be taken for ours. */
    ERR_clear_error();
    c->wants_write = false;
    was_open = SSL_is_init_finished(c->ssl);
    n = SSL_read(c->ssl, s->received, RECEIVE_BYTES);
    if (n > 0)
        return n;
    why = SSL_get_error(c->ssl, n);
    if (why == SSL_ERROR_WANT_READ || why == SSL_ERROR_WANT_WRITE) {
        c->wants_write = why == SSL_ERROR_WANT_WRITE;
        errno = EAGAIN;
        return -1;
    }
    if (!was_open && !SSL_is_init_finished(c->ssl))
        METRIC_ADD(s->m->tls_failed, 1);
    return 0;
}

static void on_conn(void *arg)
{
    struct line_conn *c = arg;
    struct line_socket *s = c->s;

    c->used_ms = loop_now_ms(s->opts.loop);
    for (int i = 0; i < READS_PER_TURN && !s->is_paused; i++) {
        ssize_t n = conn_recv(c);

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

static void add_conn(struct line_socket *s, int fd)
{
    SSL *ssl = s->opts.tls ? net_tls_accept(s->opts.tls, fd) : NULL;
    struct line_conn *c;

    METRIC_ADD(s->m->accepted, 1);
    if (s->opts.tls && !ssl) {
        METRIC_ADD(s->m->tls_failed, 1);
        (void)close(fd);
        return;
    }
    /* Who only sends never reads tickets, and its close() would then be a reset that takes with it what
     * we have not read yet. */
    if (ssl)
        (void)SSL_set_num_tickets(ssl, 0);
    c = mem_new(struct line_conn);
    c->s = s;
    c->fd = fd;
    c->ssl = ssl;
    c->used_ms = loop_now_ms(s->opts.loop);
    c->at = s->conns.len;
    if (s->opts.messages)
        message_cut_init(&c->cut, s->opts.messages);
    vec_push(&s->conns, c);
    c->io = s->is_paused ? NULL : loop_io_new(s->opts.loop, fd, on_conn, c);
    METRIC_ADD(s->m->connections, 1);
}

static void on_accept(void *arg)
{
    struct line_socket *s = arg;

    for (int i = 0; i < ACCEPTS_PER_TURN; i++) {
        int fd = accept4(s->tcp, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

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
        add_conn(s, fd);
    }
}

/* ---- datagrams ---- */

/* One datagram into s->received; < 0: there is none. */
static ssize_t receive(struct line_socket *s)
{
    union {
        struct cmsghdr head;
        char room[CMSG_SPACE(sizeof(uint32_t))];
    } control;
    struct iovec v = {s->received, RECEIVE_BYTES};
    struct msghdr h = {
        .msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    ssize_t n = recvmsg(s->udp, &h, 0);
    uint32_t lost;

    for (struct cmsghdr *c = n < 0 ? NULL : CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c))
        if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_RXQ_OVFL) {
            memcpy(&lost, CMSG_DATA(c), sizeof(lost));
            METRIC_ADD(s->m->datagrams_kernel, lost - s->kernel_lost);
            s->kernel_lost = lost;
        }
    return n;
}

static void take_datagram(struct line_socket *s, size_t n)
{
    const struct message_cut_opts *o = s->opts.messages;

    if (!o) {
        if (n && s->received[n - 1] != '\n')
            s->received[n++] = '\n';
    } else if (n > o->max_bytes) {
        METRIC_ADD(*(o->truncates ? &s->m->messages_cut : &s->m->messages_dropped), 1);
        n = o->truncates ? o->max_bytes : 0;
    }
    hand_over(s, slice_of(s->received, n));
}

static void on_datagram(void *arg)
{
    struct line_socket *s = arg;

    for (int i = 0; i < DATAGRAMS_PER_TURN && (!s->is_paused || s->opts.drops_datagrams); i++) {
        ssize_t n = receive(s);

        if (n < 0)
            return;
        METRIC_ADD(s->m->datagrams, 1);
        METRIC_ADD(s->m->bytes, (uint64_t)n);
        if (s->is_paused)
            METRIC_ADD(s->m->datagrams_busy, 1);
        else
            take_datagram(s, (size_t)n);
    }
}

/* ---- stopping and going on ---- */

/* May run within a callback of one of the watchers it frees: they allow that. */
static void stop_reading(struct line_socket *s)
{
    s->is_paused = true;
    if (!s->opts.drops_datagrams) {
        loop_io_free(s->udp_io);
        s->udp_io = NULL;
    }
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
    if (s->udp >= 0 && !s->udp_io)
        s->udp_io = loop_io_new(s->opts.loop, s->udp, on_datagram, s);
    VEC_FOREACH (c, &s->conns) {
        (*c)->io = loop_io_new(s->opts.loop, (*c)->fd, on_conn, *c);
        (*c)->used_ms = loop_now_ms(s->opts.loop); /* the silence until now was ours */
    }
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
    for (size_t i = s->conns.len; i-- > 0 && !s->is_paused;) {
        struct line_conn *c = s->conns.ptr[i];

        if (now - c->used_ms > s->opts.idle_ms) {
            METRIC_ADD(s->m->idle, 1);
            conn_end(c);
        } else if (c->wants_write) {
            on_conn(c);
        }
    }
    if (!s->tcp_io && s->tcp >= 0)
        s->tcp_io = loop_io_new(s->opts.loop, s->tcp, on_accept, s);
    loop_timer_arm_ms(s->reaper, REAP_MS);
}

/* ---- making ---- */

static struct err *open_udp(struct net_addr *addr, int *ret)
{
    int one = 1, bytes = RECEIVE_BUFFER_BYTES;
    int fd = socket(addr->sa.sa_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct err *e;

    if (fd < 0)
        return err_errno(ERR_NET, "socket");
    /* What the kernel grants is enough: it only makes bursts longer. */
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    (void)setsockopt(fd, SOL_SOCKET, SO_RXQ_OVFL, &one, sizeof(one));
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)) < 0 ||
        bind(fd, &addr->sa, addr->len) < 0 || getsockname(fd, &addr->sa, &addr->len) < 0) {
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
    struct err *e = NULL;

    s->opts = *opts;
    s->m = opts->metrics;
    s->tcp = s->udp = -1;
    if (!opts->has_no_tcp)
        e = net_addr_listen(addr, 128, &s->tcp);
    if (!e && !opts->has_no_udp)
        e = open_udp(addr, &s->udp);
    if (e) {
        line_socket_free(s);
        return e;
    }
    s->received = mem_alloc(RECEIVE_BYTES + 1);
    if (s->tcp >= 0)
        s->tcp_io = loop_io_new(opts->loop, s->tcp, on_accept, s);
    if (s->udp >= 0)
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
