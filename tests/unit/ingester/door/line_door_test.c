/* Lines over real sockets into a real head. */
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/base/metric.h"
#include "ingester/door/line_door.h"
#include "tests/unit/ingester/door_fixture.h"
#include "tests/unit/test.h"

struct lines_fixture {
    struct door_fixture door;
    struct line_door *lines;
};

/* The fixture's loop runs already: what is made on it is posted there. */
struct making {
    struct lines_fixture *f;
    struct line_door_conf conf;
    struct err *e;
    int done_fd[2];
};

static void make(void *arg)
{
    struct making *m = arg;

    m->e = line_door_new(&(struct line_door_opts){.conf = &m->conf,
                                                  .door = m->f->door.door,
                                                  .loops = &m->f->door.loop,
                                                  .n_loops = 1,
                                                  .instance = "i1"},
                         &m->f->lines);
    CHECK(write(m->done_fd[1], "", 1) == 1);
}

static void open_limited(struct lines_fixture *f, struct line_door_conf conf, const char *yaml)
{
    struct making m = {.f = f, .conf = conf};
    char done;

    CHECK_OK(door_fixture_open(&f->door, tmp_path(""), yaml));
    CHECK(pipe(m.done_fd) == 0);
    loop_post(f->door.loop, make, &m);
    CHECK(read(m.done_fd[0], &done, 1) == 1);
    (void)close(m.done_fd[0]);
    (void)close(m.done_fd[1]);
    CHECK_OK(m.e);
}

static void open_lines(struct lines_fixture *f, struct line_door_conf conf)
{
    open_limited(f, conf, "");
}

/* Drains, so all that was sent is stored or counted afterwards. */
static void drain_lines(struct lines_fixture *f)
{
    CHECK(line_door_drain(f->lines, 10000));
}

static void close_lines(struct lines_fixture *f)
{
    loop_join(f->door.loop);
    line_door_free(f->lines);
    door_fixture_close(&f->door);
}

static struct line_door_conf conf_of(enum line_protocol p)
{
    struct line_door_conf c = {.statsd_instance_label = (char *)"instance",
                               .statsd_period_ns = 3600 * NS_PER_S,
                               .statsd_expiry_ns = 3600 * NS_PER_S,
                               .statsd_max_series = 100,
                               .statsd_max_bytes = 1 << 20,
                               .max_connections = 2,
                               .max_line_bytes = 256,
                               .idle_ns = 60 * NS_PER_S};

    c.address[p] = (char *)"127.0.0.1:0";
    c.tenant[p] = (char *)"t";
    return c;
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

/* The other side has read all and closed. */
static void finish(int fd)
{
    char c;

    CHECK(shutdown(fd, SHUT_WR) == 0);
    CHECK(recv(fd, &c, 1, 0) == 0);
    (void)close(fd);
}

static void wait_for_metric(const char *line)
{
    struct buf b = {0};

    for (int i = 0; i < 1000 && !strstr(buf_cstr(&b), line); i++) {
        buf_reset(&b);
        metric_write(&b, false);
        (void)usleep(10000);
    }
    CHECK(strstr(buf_cstr(&b), line));
    buf_done(&b);
}

static void check_series(struct lines_fixture *f, const char *want)
{
    struct head_query q = {.tenant = SLICE("t"), .min_ms = INT64_MIN, .max_ms = INT64_MAX};
    struct head_series s;
    struct head_set *set;
    struct buf got = {0};

    CHECK_OK(head_select(f->door.head, &q, &set));
    while (head_set_next(set, &s)) {
        labels_text(&got, s.labels);
        buf_byte(&got, '\n');
    }
    CHECK_OK(head_set_close(set));
    CHECK_STR(buf_cstr(&got), want);
    buf_done(&got);
}

TEST(line_door_takes_graphite_over_tcp_in_pieces)
{
    struct lines_fixture f = {0};
    uint16_t port;
    int fd;

    open_lines(&f, conf_of(LINE_GRAPHITE));
    port = line_door_port(f.lines, LINE_GRAPHITE);
    fd = connect_to(port, SOCK_STREAM);
    put(fd, "a.b 1 1700000000\nc;t=");
    put(fd, "v 2 1700000000\nbad\nlast 3 1700000000"); /* without a newline */
    finish(fd);
    drain_lines(&f);
    check_series(&f, "{\"a.b\"}\nc{t=\"v\"}\nlast\n");
    close_lines(&f);
}

TEST(line_door_takes_influx_lines_over_tcp)
{
    struct lines_fixture f = {0};
    int fd;

    open_lines(&f, conf_of(LINE_INFLUX));
    fd = connect_to(line_door_port(f.lines, LINE_INFLUX), SOCK_STREAM);
    put(fd, "cpu,host=a load=1 1700000000000000000\n");
    finish(fd);
    drain_lines(&f);
    check_series(&f, "cpu_load{host=\"a\"}\n");
    close_lines(&f);
}

TEST(line_door_flushes_statsd_at_the_end)
{
    struct lines_fixture f = {0};
    int fd;

    open_lines(&f, conf_of(LINE_STATSD));
    fd = connect_to(line_door_port(f.lines, LINE_STATSD), SOCK_STREAM);
    put(fd, "api.hits:1|c|#a:b\napi.hits:1|c|#a:b");
    finish(fd);
    drain_lines(&f);
    check_series(&f, "api_hits{a=\"b\", instance=\"i1\"}\n");
    close_lines(&f);
}

TEST(line_door_closes_a_connection_whose_line_does_not_end)
{
    struct lines_fixture f = {0};
    char text[20000], c;
    int fd;

    open_lines(&f, conf_of(LINE_GRAPHITE));
    fd = connect_to(line_door_port(f.lines, LINE_GRAPHITE), SOCK_STREAM);
    memset(text, 'x', sizeof(text) - 1);
    text[sizeof(text) - 1] = 0;
    put(fd, text);
    CHECK(recv(fd, &c, 1, 0) <= 0);
    (void)close(fd);
    drain_lines(&f);
    check_series(&f, "");
    close_lines(&f);
}

TEST(line_door_closes_connections_above_the_bound_at_once)
{
    struct lines_fixture f = {0};
    uint16_t port;
    int fd[3];
    char c;

    open_lines(&f, conf_of(LINE_GRAPHITE));
    port = line_door_port(f.lines, LINE_GRAPHITE);
    for (int i = 0; i < 3; i++)
        fd[i] = connect_to(port, SOCK_STREAM);
    CHECK(recv(fd[2], &c, 1, 0) == 0);
    put(fd[0], "a 1 1700000000\n");
    finish(fd[0]);
    (void)close(fd[1]);
    (void)close(fd[2]);
    drain_lines(&f);
    check_series(&f, "a\n");
    close_lines(&f);
}

TEST(line_door_counts_what_the_door_does_not_want)
{
    struct lines_fixture f = {0};
    struct buf metrics = {0};
    int fd;

    open_limited(&f, conf_of(LINE_GRAPHITE),
                 "limits: {request-rate: 0.001, request-burst-size: 1}\n");
    fd = connect_to(line_door_port(f.lines, LINE_GRAPHITE), SOCK_STREAM);
    put(fd, "a 1 1700000000\n");
    wait_for_metric("orrery_line_writes_total{protocol=\"graphite\"} 1");
    put(fd, "b 1 1700000000\n");
    finish(fd);
    drain_lines(&f); /* there is no time left to wait in */
    metric_write(&metrics, false);
    CHECK(strstr(buf_cstr(&metrics), "orrery_line_lost_bytes_total{protocol=\"graphite\"} 15\n"));
    check_series(&f, "a\n");
    buf_done(&metrics);
    close_lines(&f);
}

TEST(line_door_names_the_address_it_cannot_have)
{
    struct line_door_conf c = conf_of(LINE_STATSD);
    struct lines_fixture f = {0};
    struct line_door *ld;

    CHECK_OK(door_fixture_open(&f.door, tmp_path(""), ""));
    loop_join(f.door.loop);
    c.address[LINE_STATSD] = (char *)"127.0.0.1";
    CHECK_ERR(line_door_new(&(struct line_door_opts){.conf = &c,
                                                     .door = f.door.door,
                                                     .loops = &f.door.loop,
                                                     .n_loops = 1,
                                                     .instance = "i"},
                            &ld),
              ERR_INVALID, "ingester.statsd-address 127.0.0.1: ");
    door_fixture_close(&f.door);
}
