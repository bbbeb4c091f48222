/* Messages over real sockets into a door of logs whose sink keeps text. */
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ingester/door/message_door.h"
#include "ingester/door/message_feed.h"
#include "ingester/door/syslog_line.h"
#include "tests/unit/ingester/door/log_text.h"

struct fixture {
    struct loop *loop;
    struct conf *conf;
    struct limits *limits;
    struct log_door *door;
    struct log_sink sink;
    struct message_door *md;
    struct message_feed_metrics m;
    struct line_metrics sockets;
    /* of the loop, which the test itself turns */
    struct buf stored, tried;
    int refusals; /* the next writes are refused with that */
    enum err_code refusal;
    bool is_drained;
};

static void sink_write(void *arg, struct loop *loop, struct log_batch *batch,
                       log_sink_done_fn *done, void *done_arg)
{
    struct fixture *f = arg;

    (void)loop;
    if (f->refusals > 0) {
        f->refusals--;
        log_text_print(&f->tried, batch);
        done(done_arg, err_new(f->refusal, "not now"));
        return;
    }
    buf_printf(&f->stored, "%.*s: ", SLICE_ARG(batch->tenant));
    log_text_print(&f->stored, batch);
    done(done_arg, NULL);
}

static void open_all(struct fixture *f, const char *yaml)
{
    static const struct conf_section *const sections[] = {&limits_section};

    *f = (struct fixture){.sink = {sink_write, f}, .refusal = ERR_UNAVAILABLE};
    CHECK_OK(conf_load_text(&(struct conf_source){.sections = sections, .section_count = 1}, "test",
                            slice_cstr(yaml), &f->conf));
    CHECK_OK(limits_new(f->conf, "test", &f->limits));
    CHECK_OK(loop_new("door", &f->loop));
    f->door = log_door_new(&(struct log_door_opts){.loops = &f->loop,
                                                   .n_loops = 1,
                                                   .limits = f->limits,
                                                   .sink = &f->sink,
                                                   .cache_bytes = 1 << 20,
                                                   .max_body_bytes = 1 << 20});
}

static void close_all(struct fixture *f)
{
    message_door_free(f->md);
    log_door_free(f->door);
    limits_stop(f->limits);
    limits_free(f->limits);
    conf_unref(f->conf);
    loop_free(f->loop);
    buf_done(&f->stored);
    buf_done(&f->tried);
}

static struct err *open_door(struct fixture *f, enum message_protocol p, const char *address)
{
    char *items[] = {(char *)(uintptr_t)address, (char *)(uintptr_t) "127.0.0.1:0"};
    struct message_door_conf c = {.tls_cert = items[1] + 11,
                                  .tls_key = items[1] + 11,
                                  .tls_client_ca = items[1] + 11,
                                  .max_bytes = 1000,
                                  .chunk_bytes = 1 << 20};

    for (unsigned i = 0; i < MESSAGE_PROTOCOLS; i++)
        c.tenant[i] = items[1] + 4; /* "0.0.1:0" is none; the tests name theirs */
    c.addresses[p] = (struct conf_list){items, 1};
    return message_door_new(&(struct message_door_opts){.conf = &c,
                                                        .door = f->door,
                                                        .loops = &f->loop,
                                                        .n_loops = 1,
                                                        .max_connections = 10,
                                                        .idle_ms = 60000},
                            &f->md);
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

static bool has(const struct buf *b, const char *text)
{
    return b->len && slice_find(buf_slice(b), slice_cstr(text), 0) >= 0;
}

static void turn_until_stored(struct fixture *f, const char *text)
{
    int64_t until = clock_mono_ms(&clock_system) + 10000;

    while (!has(&f->stored, text) && clock_mono_ms(&clock_system) < until)
        loop_run_once(f->loop, 50);
    CHECK(has(&f->stored, text));
}

TEST(message_door_takes_syslog_for_the_address_s_tenant)
{
    struct fixture f;
    uint16_t port;
    int tcp, udp;

    open_all(&f, "");
    CHECK_OK(open_door(&f, MESSAGE_DOOR_SYSLOG, "127.0.0.1:0=team-a"));
    port = message_door_port(f.md, MESSAGE_DOOR_SYSLOG, 0);
    CHECK_INT(message_door_port(f.md, MESSAGE_DOOR_SYSLOG, 1), 0);
    tcp = connect_to(port, SOCK_STREAM);
    udp = connect_to(port, SOCK_DGRAM);
    put(tcp, "9 <13>a: x1<13>a: x2\n<13>a: no end");
    put(udp, "<13>a: udp");
    turn_until_stored(&f, " x1 ");
    turn_until_stored(&f, " udp ");
    CHECK(has(&f.stored, "team-a: {app=\"a\", facility=\"user\", job=\"syslog\", "));
    CHECK(has(&f.stored, " x2 ") && !has(&f.stored, "no end"));
    (void)close(tcp);
    turn_until_stored(&f, " no end ");
    (void)close(udp);
    close_all(&f);
}

TEST(message_door_takes_gelf)
{
    struct fixture f;
    uint16_t port;
    int tcp, udp;

    open_all(&f, "");
    CHECK_OK(open_door(&f, MESSAGE_DOOR_GELF, "127.0.0.1:0=g"));
    port = message_door_port(f.md, MESSAGE_DOOR_GELF, 0);
    tcp = connect_to(port, SOCK_STREAM);
    udp = connect_to(port, SOCK_DGRAM);
    CHECK(send(tcp, "{\"short_message\":\"one\"}\0{\"short_message\":\"two\"}", 48, 0) == 48);
    (void)close(tcp);
    CHECK(send(udp,
               "\x1e\x0f"
               "12345678\1\2"
               "\"halves\"}",
               21, 0) == 21);
    CHECK(send(udp,
               "\x1e\x0f"
               "12345678\0\2"
               "{\"short_message\":",
               29, 0) == 29);
    turn_until_stored(&f, " one ");
    turn_until_stored(&f, " two ");
    turn_until_stored(&f, " halves ");
    (void)close(udp);
    close_all(&f);
}

TEST(message_door_names_what_it_cannot_have)
{
    struct fixture f;

    open_all(&f, "");
    CHECK_ERR(open_door(&f, MESSAGE_DOOR_SYSLOG, "127.0.0.1"), ERR_INVALID,
              "ingester.syslog-address 127.0.0.1: ");
    CHECK_ERR(open_door(&f, MESSAGE_DOOR_GELF, "127.0.0.1:0=a/b"), ERR_INVALID,
              "ingester.gelf-address 127.0.0.1:0=a/b: ");
    CHECK_ERR(open_door(&f, MESSAGE_DOOR_SYSLOG_TLS, "127.0.0.1:0=t"), ERR_INVALID,
              "ingester.syslog-tls-address 127.0.0.1:0=t: it needs ingester.syslog-tls-cert");
    close_all(&f);
}

/* ---- a feed ---- */

static const struct message_cut_opts cut = {MESSAGE_SYSLOG, 1000, false};

static struct message_feed *open_feed(struct fixture *f, int64_t patience_ms, uint16_t *ret_port)
{
    struct message_feed *feed;
    struct net_addr addr;

    CHECK_OK(net_addr_resolve("127.0.0.1:0", &addr));
    CHECK_OK(message_feed_new(&(struct message_feed_opts){.door = f->door,
                                                          .tenant = "t",
                                                          .protocol = "syslog_test",
                                                          .add = syslog_line_add,
                                                          .patience_ms = patience_ms,
                                                          .metrics = &f->m,
                                                          .socket = {.loop = f->loop,
                                                                     .metrics = &f->sockets,
                                                                     .max_connections = 10,
                                                                     .idle_ms = 60000,
                                                                     .messages = &cut,
                                                                     .drops_datagrams = true}},
                              &addr, &feed));
    *ret_port = net_addr_port(&addr);
    return feed;
}

static void turn_until(struct fixture *f, const uint64_t *counter, uint64_t n)
{
    int64_t until = clock_mono_ms(&clock_system) + 10000;

    while (*counter < n && clock_mono_ms(&clock_system) < until)
        loop_run_once(f->loop, 50);
    CHECK(*counter >= n);
}

TEST(message_feed_tries_again_with_the_same_lines)
{
    struct message_feed *feed;
    struct fixture f;
    uint16_t port;
    int fd;

    open_all(&f, "");
    feed = open_feed(&f, 0, &port);
    f.refusals = 2;
    fd = connect_to(port, SOCK_STREAM);
    put(fd, "<13>a: same\n<13>a: same\n");
    turn_until_stored(&f, " same ");
    CHECK_INT(f.m.retries, 2);
    CHECK_INT(f.m.messages, 2);
    CHECK_INT(f.m.failed, 0);
    /* both times as it was stored, and twice "same" are two lines: of different nanoseconds */
    buf_str(&f.tried, "");
    CHECK(slice_has_prefix(buf_slice(&f.tried), slice_from(buf_slice(&f.stored), 3)));
    (void)close(fd);
    message_feed_free(feed);
    close_all(&f);
}

TEST(message_feed_loses_what_has_waited_too_long_and_says_why)
{
    struct message_feed *feed;
    struct fixture f;
    uint16_t port;
    int fd;

    open_all(&f, "");
    feed = open_feed(&f, 1, &port);
    fd = connect_to(port, SOCK_DGRAM);
    f.refusals = 100;
    put(fd, "<13>a: first");
    turn_until(&f, &f.m.lost[MESSAGE_LOST_UNAVAILABLE].n, 1);
    f.refusals = 0;
    put(fd, "<13>a: second");
    turn_until_stored(&f, " second ");
    CHECK(!has(&f.stored, "first"));
    CHECK_INT(f.m.failed, 1);
    (void)close(fd);
    message_feed_free(feed);
    close_all(&f);
    open_all(&f, "limits: {ingestion-rate-mb: 0.000001, ingestion-burst-size-mb: 0.000001}");
    feed = open_feed(&f, 1, &port);
    fd = connect_to(port, SOCK_STREAM);
    put(fd, "<13>a: first\n");
    turn_until_stored(&f, " first ");
    put(fd, "<13>a: second\n<13>a: third\n");
    turn_until(&f, &f.m.lost[MESSAGE_LOST_RATE].n, 2);
    CHECK_INT(f.m.failed, 1);
    (void)close(fd);
    message_feed_free(feed);
    close_all(&f);
}

static void on_drained(void *arg)
{
    ((struct fixture *)arg)->is_drained = true;
}

TEST(message_feed_does_not_try_refusals_again_and_drains)
{
    struct message_feed *feed;
    struct fixture f;
    uint16_t port;
    int fd;

    open_all(&f, "");
    feed = open_feed(&f, 0, &port);
    fd = connect_to(port, SOCK_STREAM);
    f.refusals = 1;
    f.refusal = ERR_RATE; /* too many streams, says the store */
    put(fd, "<13>a: refused\n");
    turn_until(&f, &f.m.failed, 1);
    CHECK_INT(f.m.retries, 0);
    CHECK_INT(f.m.lost[MESSAGE_LOST_RATE].n, 0);
    put(fd, "<13>a: last\n<13>a: without an end");
    while (f.sockets.bytes < 47)
        loop_run_once(f.loop, 50);
    message_feed_drain(feed, on_drained, &f);
    CHECK(f.is_drained);
    CHECK(has(&f.stored, " last ") && has(&f.stored, " without an end "));
    (void)close(fd);
    message_feed_free(feed);
    close_all(&f);
}
