/* The door of logs over gRPC, with a sink that keeps what it is given as text. */
#include "common/auth/auth.h"
#include "common/net/codec.h"
#include "common/net/grpc_frame.h"
#include "ingester/door/log_grpc.h"
#include "tests/unit/common/net/h2_client.h"
#include "tests/unit/ingester/door/log_text.h"

#define PATH "/opentelemetry.proto.collector.logs.v1.LogsService/Export"
#define GRPC "content-type: application/grpc\nte: trailers\nx-scope-orgid: t\n"

/* A request of one line "yz" at 2026-01-01, and the same line once more at 1970. */
#define LINE_2026 "\x12\x0f\t\x00\x00\xfa\xedQr\x86\x18*\x04\n\x02yz"
#define LINE_1970 "\x12\x0f\t\x01\x00\x00\x00\x00\x00\x00\x00*\x04\n\x02yz"
#define ONE SLICE("\n\x13\x12\x11" LINE_2026)
#define OLD SLICE("\n\x13\x12\x11" LINE_1970)
#define BOTH SLICE("\n\x24\x12\x22" LINE_2026 LINE_1970)
#define STORED                                                                                     \
    "{service_name=\"unknown_service\"}\n  @1767225600000000000 yz "                               \
    "{detected_level=\"unknown\"}\n"

struct fixture {
    struct loop *loop;
    struct conf *conf;
    struct auth *auth;
    struct limits *limits;
    struct log_door *door;
    struct http_server *http;
    struct grpc_server *grpc;
    struct clock_fake clock;
    struct log_sink sink;
    struct buf stored;
    struct err *refusal; /* what the sink says next; NULL: it takes all */
    struct h2c *client;
};

static void sink_write(void *arg, struct loop *loop, struct log_batch *batch,
                       log_sink_done_fn *done, void *done_arg)
{
    struct fixture *f = arg;
    struct err *e = f->refusal;

    (void)loop;
    f->refusal = NULL;
    log_text_print(&f->stored, batch);
    done(done_arg, e);
}

static bool is_ready(void *arg)
{
    (void)arg;
    return true;
}

static void open_with(struct fixture *f, const char *yaml, bool has_sink)
{
    static const struct conf_section *const sections[] = {&auth_section, &limits_section};

    *f = (struct fixture){.sink = {sink_write, f}};
    clock_fake_init(&f->clock, LOG_TEXT_NOW_NS);
    CHECK_OK(conf_load_text(&(struct conf_source){.sections = sections, .section_count = 2}, "test",
                            slice_cstr(yaml), &f->conf));
    CHECK_OK(limits_new(f->conf, "test", &f->limits));
    CHECK_OK(loop_new("door", &f->loop));
    f->auth = auth_new(f->conf);
    f->door = log_door_new(&(struct log_door_opts){.loops = &f->loop,
                                                   .n_loops = 1,
                                                   .limits = f->limits,
                                                   .sink = has_sink ? &f->sink : NULL,
                                                   .clock = &f->clock.clock,
                                                   .cache_bytes = 1 << 20,
                                                   .max_body_bytes = 4096});
    CHECK_OK(http_server_new(&(struct http_server_opts){.addr = "127.0.0.1:0",
                                                        .on_admit = auth_admit,
                                                        .admit_arg = f->auth},
                             &f->loop, 1, &f->http));
    f->grpc = grpc_server_new(f->http, is_ready, NULL);
    log_grpc_methods(f->grpc, f->door);
    CHECK_OK(http_server_listen(f->http));
    f->client = h2c_new(f->loop, http_server_port(f->http));
}

static void close_all(struct fixture *f)
{
    int64_t until = clock_mono_ms(&clock_system) + 10000;

    h2c_free(f->client);
    while (http_server_connections(f->http) && clock_mono_ms(&clock_system) < until)
        loop_run_once(f->loop, 2);
    http_server_free(f->http);
    grpc_server_free(f->grpc);
    log_door_free(f->door);
    auth_free(f->auth);
    limits_stop(f->limits);
    limits_free(f->limits);
    conf_unref(f->conf);
    loop_free(f->loop);
    buf_done(&f->stored);
}

static struct h2c_reply *call_with(struct fixture *f, const char *headers, bool is_compressed,
                                   struct slice message)
{
    uint8_t head[GRPC_FRAME_HEAD_BYTES];
    struct h2c_reply *r;
    struct buf b = {0};

    grpc_frame_head(is_compressed, message.len, head);
    buf_append(&b, head, sizeof(head));
    buf_slice_append(&b, message);
    r = h2c_ask(f->client, "POST", PATH, headers, buf_slice(&b));
    CHECK_HAS(&r->head, "status: 200\n");
    buf_done(&b);
    return r;
}

static struct h2c_reply *call(struct fixture *f, struct slice message)
{
    return call_with(f, GRPC, false, message);
}

static void check_stored(struct fixture *f, const char *want)
{
    CHECK_STR(buf_cstr(&f->stored), want);
    buf_reset(&f->stored);
}

/* The only message of a reply that ended well. */
static struct slice message_of(struct h2c_reply *r)
{
    struct slice in = buf_slice(&r->body), m = SLICE_EMPTY;
    bool is_compressed;

    CHECK_STR(buf_cstr(&r->trailers), "grpc-status: 0\n");
    CHECK(grpc_frame_take(&in, &is_compressed, &m) == GRPC_FRAME_OK);
    CHECK(in.len == 0 && !is_compressed);
    return m;
}

TEST(log_grpc_stores_what_it_answers_ok_to)
{
    struct fixture f;
    struct slice m;

    open_with(&f, "", true);
    CHECK_INT(message_of(call(&f, ONE)).len, 0);
    check_stored(&f, STORED);
    m = message_of(call(&f, BOTH));
    CHECK(m.len > 4 && m.ptr[0] == 0x0a && m.ptr[m.ptr[1] & 0x80 ? 3 : 2] == 0x08);
    CHECK(slice_find(m, SLICE("1 of 2 lines refused, the others are stored; timestamp is older"),
                     0) > 0);
    check_stored(&f, STORED);
    CHECK_INT(message_of(call(&f, SLICE(""))).len, 0);
    check_stored(&f, "");
    close_all(&f);
}

TEST(log_grpc_reads_compressed_messages)
{
    static const struct {
        enum codec codec;
        const char *headers;
    } ways[] = {{CODEC_GZIP, GRPC "grpc-encoding: gzip\n"},
                {CODEC_ZSTD, GRPC "grpc-encoding: zstd\n"}};
    struct buf packed = {0}, big = {0};
    struct fixture f;

    open_with(&f, "", true);
    buf_fill(&big, 0, 1 << 20);
    for (size_t i = 0; i < ORR_COUNT(ways); i++) {
        buf_reset(&packed);
        CHECK_OK(codec_encode(ways[i].codec, 0, ONE, &packed));
        CHECK_INT(message_of(call_with(&f, ways[i].headers, true, buf_slice(&packed))).len, 0);
        check_stored(&f, STORED);
        buf_reset(&packed);
        CHECK_OK(codec_encode(ways[i].codec, 0, buf_slice(&big), &packed));
        CHECK_HAS(&call_with(&f, ways[i].headers, true, buf_slice(&packed))->head,
                  "grpc-status: 8\n");
    }
    check_stored(&f, "");
    buf_done(&packed);
    buf_done(&big);
    close_all(&f);
}

TEST(log_grpc_maps_errors_to_codes)
{
    struct h2c_reply *r;
    struct fixture f;

    open_with(&f, "", true);
    CHECK_HAS(&call(&f, SLICE("\xff\xff"))->head, "grpc-status: 3\n");
    r = call(&f, OLD);
    CHECK_HAS(&r->head, "grpc-status: 3\n");
    CHECK_HAS(&r->head, "grpc-message: 1 of 1 lines refused");
    f.refusal = err_new(ERR_UNAVAILABLE, "no quorum");
    CHECK_HAS(&call(&f, ONE)->head, "grpc-status: 14\n");
    f.refusal = err_new(ERR_LIMIT, "too many streams");
    (void)message_of(call(&f, ONE)); /* the sink has refused some of it: a partial success */
    close_all(&f);
    open_with(&f, "limits: {ingestion-rate-mb: 0.000001, ingestion-burst-size-mb: 0.00001}", true);
    (void)message_of(call(&f, ONE));
    r = call(&f, ONE);
    CHECK_HAS(&r->head, "grpc-status: 8\n");
    CHECK_HAS(&r->head, "grpc-message: too many bytes of log lines");
    CHECK_HAS(&r->head, "grpc-status-details-bin: ");
    r = call_with(&f, "content-type: application/grpc\nte: trailers\nx-scope-orgid: a/../b\n",
                  false, ONE);
    CHECK_HAS(&r->head, "grpc-status: ");
    CHECK(!h2c_has(&r->head, "grpc-status: 0\n"));
    close_all(&f);
}

TEST(log_grpc_without_a_sink_says_so)
{
    struct fixture f;

    open_with(&f, "", false);
    CHECK_HAS(&call(&f, ONE)->head, "grpc-status: 12\n");
    close_all(&f);
}
