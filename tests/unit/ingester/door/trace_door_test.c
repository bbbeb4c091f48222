/* The door of traces: what is counted while a write is under way, and how many spans were refused. */
#include "common/base/jsonval.h"
#include "common/base/metric.h"
#include "ingester/door/otlp_traces.h"
#include "ingester/door/trace_door.h"
#include "ingester/door/zipkin_json.h"
#include "tests/unit/test.h"

#define BODY_BYTES 10000

struct rig {
    struct limits *limits;
    struct conf *conf;
    struct loop *loop;
    struct trace_door *door;
    struct trace_sink sink;
    /* the sink's: what it says, at once or when it is asked to */
    struct err *says;
    uint64_t refuses;
    bool holds;
    trace_sink_done_fn *done;
    void *done_arg;
    /* of writes that ended */
    unsigned ended;
    struct trace_written written;
    enum err_code code;
    int64_t while_decoding;
};

static int64_t inflight(void)
{
    static const char name[] = "\norrery_trace_door_inflight_bytes ";
    struct buf b = {0};
    const char *at;
    int64_t ret;

    metric_write(&b, false);
    CHECK((at = strstr(buf_cstr(&b), name)) != NULL);
    CHECK(sscanf(at + strlen(name), "%ld", &ret) == 1);
    buf_done(&b);
    return ret;
}

static void sink_write(void *arg, struct loop *loop, struct trace_batch *batch,
                       trace_sink_done_fn *done, void *done_arg)
{
    struct rig *g = arg;
    struct err *e = g->says;

    (void)loop;
    (void)batch;
    g->says = NULL;
    if (!g->holds) {
        done(done_arg, e, g->refuses);
        return;
    }
    g->done = done;
    g->done_arg = done_arg;
}

static void rig_up(struct rig *g, size_t max_inflight)
{
    static const struct conf_section *const sections[] = {&limits_section};

    *g = (struct rig){.sink = {sink_write, g}};
    CHECK_OK(conf_load_text(&(struct conf_source){.sections = sections, .section_count = 1}, "test",
                            SLICE(""), &g->conf));
    CHECK_OK(limits_new(g->conf, "test", &g->limits));
    CHECK_OK(loop_new("door", &g->loop));
    g->door = trace_door_new(&(struct trace_door_opts){
        .limits = g->limits, .sink = &g->sink, .max_inflight_bytes = max_inflight});
}

static void rig_down(struct rig *g)
{
    CHECK_INT(inflight(), 0);
    trace_door_free(g->door);
    limits_stop(g->limits);
    limits_free(g->limits);
    conf_unref(g->conf);
    loop_free(g->loop);
}

/* Three spans of one trace, and one whose id is none. */
static struct err *decode(struct trace_builder *b, const void *arg)
{
    struct rig *g = (struct rig *)arg;
    struct tracepiece_resource resource = {.schema_url = SLICE("")};
    struct tracepiece_scope scope = {.name = SLICE("")};

    g->while_decoding = inflight();
    (void)trace_builder_resource(b, &resource);
    (void)trace_builder_scope(b, &scope);
    for (unsigned i = 0; i < 4; i++) {
        const uint8_t id[16] = {1, [7] = (uint8_t)i};

        trace_builder_span(
            b, &(struct trace_in){
                   .trace_id = slice_of(id, 16),
                   .span_id = slice_of(id, i < 3 ? 8 : 7),
                   .parent_id = SLICE_EMPTY,
                   .span = {.name = SLICE("op"), .message = SLICE_EMPTY, .state = SLICE_EMPTY}});
    }
    return trace_builder_end(b);
}

static void on_done(void *arg, struct err *e, const struct trace_written *written)
{
    struct rig *g = arg;

    g->ended++;
    g->written = *written;
    g->code = e ? err_code(e) : 0;
    err_free(e);
}

static void write_body(struct rig *g, size_t bytes)
{
    trace_door_write(
        g->door, g->loop, SLICE("t"),
        &(struct trace_decoder){.name = "x", .decode = decode, .arg = g, .body_bytes = bytes},
        on_done, g);
}

TEST(trace_door_counts_the_spans_that_it_and_the_sink_refuse)
{
    struct rig g;

    rig_up(&g, 0);
    write_body(&g, BODY_BYTES);
    CHECK(g.ended == 1 && g.code == ERR_INVALID);
    CHECK(g.written.spans == 3 && g.written.refused == 1);
    g.says = err_new(ERR_LIMIT, "too large");
    g.refuses = 3;
    write_body(&g, BODY_BYTES);
    CHECK(g.ended == 2 && g.code == ERR_LIMIT);
    CHECK(g.written.spans == 3 && g.written.refused == 4);
    rig_down(&g);
}

TEST(trace_door_counts_what_decoding_takes)
{
    struct rig g;
    int64_t held;

    rig_up(&g, TRACE_DOOR_DECODE_FACTOR * BODY_BYTES + 100);
    g.holds = true;
    write_body(&g, 100 * BODY_BYTES); /* alone: however large */
    CHECK_INT(g.while_decoding, TRACE_DOOR_DECODE_FACTOR * 100 * BODY_BYTES);
    held = inflight();
    CHECK(held > 100 && held < BODY_BYTES); /* the batch */
    CHECK_ERR(trace_door_admit(g.door, SLICE("t"), TRACE_DOOR_DECODE_FACTOR * BODY_BYTES),
              ERR_UNAVAILABLE, "too many writes are in flight");
    CHECK_OK(trace_door_admit(g.door, SLICE("t"), BODY_BYTES));
    write_body(&g, BODY_BYTES); /* which would take more than its bytes */
    CHECK(g.ended == 1 && g.code == ERR_UNAVAILABLE && !g.written.is_decoded);
    CHECK_INT(inflight(), held);
    g.done(g.done_arg, NULL, 0);
    CHECK_INT(g.ended, 2);
    rig_down(&g);
}

/* ---- bodies whose decoding takes many times their bytes ---- */

/* A resource of OTLP with very many attributes of two bytes. */
static void tiny_things(struct buf *out, size_t n)
{
    struct buf resource = {0}, spans = {0};

    for (size_t i = 0; i < n; i++)
        buf_append(&resource, "\x0a\x00", 2);
    buf_byte(&spans, 0x0a);
    buf_lstr(&spans, buf_slice(&resource));
    buf_byte(out, 0x0a);
    buf_lstr(out, buf_slice(&spans));
    buf_done(&resource);
    buf_done(&spans);
}

static struct err *decode_otlp(struct trace_builder *b, const void *arg)
{
    struct err *e = otlp_traces_decode_proto(b, buf_slice(arg));

    return e ? e : trace_builder_end(b);
}

static struct err *decode_zipkin(struct trace_builder *b, const void *arg)
{
    struct jsonval_doc *doc = NULL;
    struct err *e = zipkin_json_decode(b, buf_slice(arg), &doc);

    if (!e)
        e = trace_builder_end(b);
    jsonval_free(doc);
    return e;
}

static void write_real(struct rig *g, trace_decode_fn *fn, const struct buf *body)
{
    trace_door_write(
        g->door, g->loop, SLICE("t"),
        &(struct trace_decoder){.name = "x", .decode = fn, .arg = body, .body_bytes = body->len},
        on_done, g);
}

/* Takes more than 10 and less than 128 times its bytes. */
static void check_bounded(trace_decode_fn *fn, struct buf *body)
{
    struct rig g;

    rig_up(&g, body->len * 10); /* alone, it is let in */
    write_real(&g, fn, body);
    CHECK(g.ended == 1 && g.code == ERR_TOO_LARGE && !g.written.is_decoded);
    rig_down(&g);
    rig_up(&g, body->len * 128);
    write_real(&g, fn, body);
    CHECK(g.ended == 1 && g.written.is_decoded);
    rig_down(&g);
    buf_done(body);
}

TEST(trace_door_charges_decoders_as_they_go)
{
    struct buf body = {0};

    tiny_things(&body, 100000);
    check_bounded(decode_otlp, &body);
    buf_byte(&body, '[');
    for (unsigned i = 0; i < 20000; i++)
        buf_str(&body, i ? ",{\"tags\":{}}" : "{\"tags\":{}}");
    buf_byte(&body, ']');
    check_bounded(decode_zipkin, &body);
    buf_str(&body, "[{\"traceId\":\"1\",\"id\":\"1\",\"annotations\":[{}");
    for (unsigned i = 0; i < 50000; i++)
        buf_str(&body, ",{}");
    buf_str(&body, "]}]");
    check_bounded(decode_zipkin, &body);
}

/* Resources of four bytes each are the builder's. */
TEST(trace_door_charges_what_the_builder_keeps)
{
    struct buf body = {0};

    for (unsigned i = 0; i < 100000; i++)
        buf_append(&body, "\x0a\x02\x0a\x00", 4);
    check_bounded(decode_otlp, &body);
}

static struct err *decode_many(struct trace_builder *b, const void *arg)
{
    struct tracepiece_resource resource = {.schema_url = SLICE("")};
    struct tracepiece_scope scope = {.name = SLICE("")};

    (void)arg;
    (void)trace_builder_resource(b, &resource);
    (void)trace_builder_scope(b, &scope);
    for (uint32_t i = 1; i <= 12000; i++) {
        uint8_t id[16] = {1};

        memcpy(id + 4, &i, sizeof(i));
        trace_builder_span(
            b, &(struct trace_in){
                   .trace_id = slice_of((const uint8_t[16]){1}, 16),
                   .span_id = slice_of(id, 8),
                   .parent_id = SLICE_EMPTY,
                   .span = {.name = SLICE("op"), .message = SLICE_EMPTY, .state = SLICE_EMPTY}});
    }
    return trace_builder_end(b);
}

/* What others have is not there for it. */
TEST(trace_door_makes_decoders_wait_for_others)
{
    struct buf body = {0};
    struct rig g;

    tiny_things(&body, 10000);
    rig_up(&g, 40 * body.len);
    g.holds = true;
    trace_door_write(
        g.door, g.loop, SLICE("t"),
        &(struct trace_decoder){.name = "x", .decode = decode_many, .body_bytes = 10 << 20},
        on_done, &g);
    CHECK(inflight() > 15 * (int64_t)body.len && inflight() < 36 * (int64_t)body.len);
    write_real(&g, decode_otlp, &body);
    CHECK(g.ended == 1 && g.code == ERR_UNAVAILABLE && !g.written.is_decoded);
    g.done(g.done_arg, NULL, 0);
    CHECK_INT(g.ended, 2);
    write_real(&g, decode_otlp, &body);
    CHECK(g.ended == 3 && g.written.is_decoded);
    rig_down(&g);
    buf_done(&body);
}

/* 5000 traces, each with the 20,000 bytes of their resource. */
static struct err *decode_large_resource(struct trace_builder *b, const void *arg)
{
    struct tracepiece_resource resource = {.schema_url = SLICE("")};
    struct tracepiece_scope scope = {.name = SLICE("")};

    resource.attributes.n = 10;
    resource.attributes.ptr = arena_array(b->arena, struct otlp_member, 10);
    for (unsigned i = 0; i < 10; i++)
        resource.attributes.ptr[i] =
            (struct otlp_member){slice_cstr(arena_printf(b->arena, "k%u", i)),
                                 {.kind = OTLP_VALUE_TEXT, .text = slice_of(arg, 2000)}};
    (void)trace_builder_resource(b, &resource);
    (void)trace_builder_scope(b, &scope);
    for (uint32_t i = 1; i <= 5000; i++) {
        uint8_t id[16] = {1};

        memcpy(id + 4, &i, sizeof(i));
        trace_builder_span(
            b, &(struct trace_in){
                   .trace_id = slice_of(id, 16),
                   .span_id = slice_of(id, 8),
                   .parent_id = SLICE_EMPTY,
                   .span = {.name = SLICE("op"), .message = SLICE_EMPTY, .state = SLICE_EMPTY}});
    }
    return trace_builder_end(b);
}

TEST(trace_door_charges_pieces_as_they_are_made)
{
    static const uint8_t text[2000] = {'x'};
    const struct trace_decoder d = {
        .name = "x", .decode = decode_large_resource, .arg = text, .body_bytes = 300000};
    struct rig g;

    rig_up(&g, 5 << 20);
    trace_door_write(g.door, g.loop, SLICE("t"), &d, on_done, &g);
    CHECK(g.ended == 1 && g.code == ERR_TOO_LARGE && !g.written.is_decoded);
    rig_down(&g);
    rig_up(&g, 256 << 20);
    trace_door_write(g.door, g.loop, SLICE("t"), &d, on_done, &g);
    CHECK(g.ended == 1 && g.written.spans == 5000);
    rig_down(&g);
}
