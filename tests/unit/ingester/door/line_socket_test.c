/* Sockets of one loop that the test itself turns. */
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "ingester/door/line_socket.h"
#include "tests/unit/test.h"

struct taking {
    struct loop *loop;
    struct line_socket *socket;
    struct line_metrics m;
    struct buf got;
    bool is_full;
    uint16_t port;
};

static bool take(void *arg, struct slice lines)
{
    struct taking *t = arg;

    buf_slice_append(&t->got, lines);
    return !t->is_full;
}

static void open_taking_as(struct taking *t, int64_t idle_ms, const struct message_cut_opts *o)
{
    struct net_addr addr;

    *t = (struct taking){0};
    CHECK_OK(net_addr_resolve("127.0.0.1:0", &addr));
    CHECK_OK(loop_new("lines", &t->loop));
    CHECK_OK(line_socket_new(&(struct line_socket_opts){.loop = t->loop,
                                                        .metrics = &t->m,
                                                        .max_connections = 10,
                                                        .max_line_bytes = 100000,
                                                        .idle_ms = idle_ms,
                                                        .messages = o,
                                                        .drops_datagrams = o != NULL,
                                                        .lines = take,
                                                        .arg = t},
                             &addr, &t->socket));
    t->port = net_addr_port(&addr);
}

static void open_taking(struct taking *t, int64_t idle_ms)
{
    open_taking_as(t, idle_ms, NULL);
}

static void close_taking(struct taking *t)
{
    line_socket_free(t->socket);
    loop_free(t->loop);
    buf_done(&t->got);
}

static int connect_to(uint16_t port, int type)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    int fd = socket(AF_INET, type, 0);

    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    CHECK(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof(to)) == 0);
    return fd;
}

static void put(int fd, const char *text)
{
    CHECK(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
}

/* Turns the loop until n bytes of lines are there. */
static void turn_until(struct taking *t, size_t n)
{
    int64_t until = clock_mono_ms(&clock_system) + 10000;

    while (t->got.len < n && clock_mono_ms(&clock_system) < until)
        loop_run_once(t->loop, 100);
    CHECK_INT(t->got.len, n);
}

TEST(line_socket_hands_over_whole_lines)
{
    struct taking t;
    int a, b;

    open_taking(&t, 60000);
    a = connect_to(t.port, SOCK_STREAM);
    b = connect_to(t.port, SOCK_DGRAM);
    put(a, "one\ntw");
    turn_until(&t, 4);
    put(b, "udp"); /* a datagram is whole */
    turn_until(&t, 8);
    put(a, "o\nthree");
    turn_until(&t, 12);
    (void)close(a); /* what is left is a line, too */
    turn_until(&t, 17);
    CHECK_STR(buf_cstr(&t.got), "one\nudp\ntwo\nthree");
    CHECK_INT(t.m.accepted, 1);
    CHECK_INT(t.m.connections, 0);
    CHECK_INT(t.m.datagrams, 1);
    CHECK_INT(t.m.bytes, 4 + 2 + 3 + 7);
    (void)close(b);
    close_taking(&t);
}

TEST(line_socket_reads_nothing_while_its_taker_is_full)
{
    struct taking t;
    int a, b, u;

    open_taking(&t, 60000);
    a = connect_to(t.port, SOCK_STREAM);
    b = connect_to(t.port, SOCK_STREAM);
    u = connect_to(t.port, SOCK_DGRAM);
    put(b, "b\n");
    turn_until(&t, 2);
    t.is_full = true;
    put(a, "a1\n");
    turn_until(&t, 5);
    put(a, "a2\n");
    put(b, "b2\n");
    put(u, "u1\n");
    (void)close(connect_to(t.port, SOCK_STREAM)); /* still accepted */
    for (int i = 0; i < 5; i++)
        loop_run_once(t.loop, 20);
    CHECK_STR(buf_cstr(&t.got), "b\na1\n");
    t.is_full = false;
    line_socket_resume(t.socket);
    turn_until(&t, 14);
    (void)close(a);
    (void)close(b);
    (void)close(u);
    close_taking(&t);
}

TEST(line_socket_stops_with_what_its_connections_hold)
{
    struct taking t;
    int a;

    open_taking(&t, 60000);
    a = connect_to(t.port, SOCK_STREAM);
    put(a, "x\nrest");
    turn_until(&t, 2);
    line_socket_stop(t.socket);
    CHECK_STR(buf_cstr(&t.got), "x\nrest");
    CHECK_INT(t.m.connections, 0);
    line_socket_stop(t.socket);
    (void)close(a);
    close_taking(&t);
}

TEST(line_socket_closes_what_is_silent)
{
    struct taking t;
    int64_t until = clock_mono_ms(&clock_system) + 20000;
    char c;
    int a;

    open_taking(&t, 1);
    a = connect_to(t.port, SOCK_STREAM);
    while (t.m.idle == 0 && clock_mono_ms(&clock_system) < until)
        loop_run_once(t.loop, 100);
    CHECK_INT(t.m.idle, 1);
    CHECK(recv(a, &c, 1, 0) == 0);
    (void)close(a);
    close_taking(&t);
}

TEST(line_socket_hands_over_messages)
{
    static const struct message_cut_opts o = {MESSAGE_SYSLOG, 8, true};
    struct taking t;
    int a, b;

    open_taking_as(&t, 60000, &o);
    a = connect_to(t.port, SOCK_STREAM);
    b = connect_to(t.port, SOCK_DGRAM);
    put(a, "4 <1>a");
    turn_until(&t, 4);
    put(b, "<1>a datagram");
    turn_until(&t, 12);
    put(a, "<1>too long\n12 <1>cut short");
    turn_until(&t, 28);
    (void)close(a);
    while (t.m.connections)
        loop_run_once(t.loop, 100);
    CHECK_STR(buf_cstr(&t.got), "<1>a<1>a dat<1>too l<1>cut s");
    CHECK_INT(t.m.messages_cut, 3);
    (void)close(b);
    close_taking(&t);
}

TEST(line_socket_drops_datagrams_while_its_taker_is_full)
{
    static const struct message_cut_opts o = {MESSAGE_SYSLOG, 8, false};
    struct taking t;
    int u;

    open_taking_as(&t, 60000, &o);
    u = connect_to(t.port, SOCK_DGRAM);
    t.is_full = true;
    put(u, "one");
    turn_until(&t, 3);
    put(u, "two");
    put(u, "much too long");
    while (t.m.datagrams < 3)
        loop_run_once(t.loop, 100);
    CHECK_INT(t.m.datagrams_busy, 2);
    t.is_full = false;
    line_socket_resume(t.socket);
    put(u, "much too long");
    put(u, "three");
    turn_until(&t, 8);
    CHECK_STR(buf_cstr(&t.got), "onethree");
    CHECK_INT(t.m.messages_dropped, 1);
    (void)close(u);
    close_taking(&t);
}
