#include "ingester/door/zipkin_json.h"
#include "tests/unit/test.h"

struct decoded {
    struct err *e;
    struct trace_batch *batch;
    struct trace_builder b;
    struct arena *a;
};

static struct decoded decode(const char *json)
{
    struct decoded d = {.a = arena_new(0),
                        .batch = trace_batch_new(SLICE("t"), &(struct tenant_limits){0})};
    struct jsonval_doc *doc;

    trace_builder_init(&d.b, d.batch, d.a);
    if (!(d.e = zipkin_json_decode(&d.b, slice_cstr(json), &doc)))
        d.e = trace_builder_end(&d.b);
    jsonval_free(doc);
    return d;
}

static void decoded_done(struct decoded *d)
{
    trace_builder_done(&d->b);
    trace_batch_free(d->batch);
    arena_free(d->a);
    err_free(d->e);
}

static void piece_of(struct decoded *d, uint32_t trace, struct tracepiece *ret)
{
    const struct trace_batch_trace *t = &d->batch->traces.ptr[trace];

    CHECK_OK(tracepiece_decode(d->a, slice_of(d->batch->pieces.ptr + t->at, t->len), ret));
}

/* As its attributes, in one line. */
static const char *text_of(struct decoded *d, const struct tracepiece_attributes *a)
{
    struct buf b = {0};
    const char *ret;

    for (uint32_t i = 0; i < a->n; i++) {
        struct slice v = otlp_value_text(d->a, &a->ptr[i].value);

        buf_printf(&b, "%s%.*s=%.*s", i ? " " : "", SLICE_ARG(a->ptr[i].key), SLICE_ARG(v));
    }
    ret = arena_cstr(d->a, buf_slice(&b));
    buf_done(&b);
    return ret;
}

TEST(zipkin_spans_become_what_the_collector_makes_of_them)
{
    struct decoded d = decode(
        "[{\"traceId\":\"5982fe77008310cc80f1da5e10147517\",\"id\":\"be2d01e33cc78d97\","
        "\"parentId\":"
        "\"bd7a977555f6b982\",\"name\":\"get /cart\",\"kind\":\"CLIENT\",\"timestamp\":"
        "1458702548786000,\"duration\":13000,\"localEndpoint\":{\"serviceName\":\"front\",\"ipv4\":"
        "\"172.17.0.13\",\"port\":9000},\"remoteEndpoint\":{\"serviceName\":\"shop\",\"ipv6\":\"::"
        "1\","
        "\"port\":9001},\"annotations\":[{\"timestamp\":1458702548786001,\"value\":\"foo\"}],"
        "\"tags\":{"
        "\"http.path\":\"/cart\",\"error\":\"timed out\",\"otel.library.name\":\"lib\","
        "\"w3c.tracestate\":\"a=b\"}},{\"traceId\":\"5982fe77008310cc80f1da5e10147517\",\"id\":"
        "\"be2d01e33cc78d97\",\"kind\":\"SERVER\",\"shared\":true,\"localEndpoint\":{"
        "\"serviceName\":"
        "\"shop\"},\"tags\":{\"error\":\"false\"}},{\"traceId\":\"1\",\"id\":\"2\",\"tags\":{"
        "\"error\":\"true\",\"otel.status_code\":\"OK\"}}]");
    struct tracepiece p;
    const struct tracepiece_span *s;

    CHECK_OK(d.e);
    CHECK(d.batch->spans == 3 && d.batch->traces.len == 2);
    piece_of(&d, 0, &p);
    CHECK(p.n_spans == 2 && p.n_resources == 2);
    s = &p.spans[0];
    CHECK(s->span_id == 0xbe2d01e33cc78d97 && s->parent_id == 0xbd7a977555f6b982 && s->kind == 3);
    CHECK(s->start_ns == 1458702548786000000 && s->end_ns == 1458702548799000000);
    CHECK(s->status == 2);
    CHECK_SLICE(s->message, "timed out");
    CHECK_SLICE(s->state, "a=b");
    CHECK_STR(text_of(&d, &s->attributes),
              "http.path=/cart peer.service=shop net.peer.ip=::1 net.peer.port=9001");
    CHECK_STR(text_of(&d, &p.resources[s->resource].attributes),
              "service.name=front net.host.ip=172.17.0.13 net.host.port=9000");
    CHECK_SLICE(p.scopes[s->scope].name, "lib");
    CHECK(s->n_events == 1 && s->events->t_ns == 1458702548786001000);
    CHECK_SLICE(s->events->name, "foo");
    s = &p.spans[1];
    CHECK(s->span_id == 0xbe2d01e33cc78d97 && s->kind == 2 && s->status == 0);
    CHECK_STR(text_of(&d, &s->attributes), "error=false");
    CHECK_STR(text_of(&d, &p.resources[s->resource].attributes), "service.name=shop");
    piece_of(&d, 1, &p);
    CHECK(p.trace_id[15] == 1 && p.trace_id[0] == 0 && p.spans->span_id == 2);
    CHECK_INT(p.spans->status, 1);
    decoded_done(&d);
}

static void refused(const char *json, const char *why)
{
    struct decoded d = decode(json);

    CHECK_ERR(d.e, ERR_INVALID, why);
    d.e = NULL;
    decoded_done(&d);
}

TEST(zipkin_spans_that_cannot_be_read)
{
    struct decoded d;

    refused("{}", "spans: not a list");
    refused("[1]", "span: not an object");
    refused("[{\"traceId\":\"xyz\",\"id\":\"1\"}]", "traceId: not hexadecimal");
    refused("[{\"traceId\":7}]", "traceId: not a text");
    refused("[{\"timestamp\":-5}]", "timestamp: not a number of 0 or more");
    refused("[{\"tags\":[]}]", "tags: not an object");
    refused("[{\"tags\":{\"a\":1}}]", "tags: not a text");
    refused("[{\"annotations\":{}}]", "annotations: not a list");
    refused("[{\"localEndpoint\":\"x\"}]", "localEndpoint: not an object");
    d = decode(
        "[{\"traceId\":\"00\",\"id\":\"1\"},{\"id\":\"1\"},{\"traceId\":\"1\"},{\"traceId\":\"1\","
        "\"id\":\"1\",\"timestamp\":null,\"duration\":1.5,\"tags\":null}]");
    CHECK_OK(d.e);
    CHECK(d.batch->spans == 1 && d.b.refused[TRACE_BAD_TRACE_ID] == 2 &&
          d.b.refused[TRACE_BAD_SPAN_ID] == 1);
    decoded_done(&d);
    d = decode("[{\"traceId\":\"1\",\"id\":\"1\",\"parentId\":\"12345678901234567\"}]");
    CHECK_OK(d.e);
    CHECK(d.batch->spans == 0 && d.b.refused[TRACE_BAD_PARENT_ID] == 1);
    decoded_done(&d);
}

/* JSON may have a member twice. */
TEST(zipkin_members_that_come_twice)
{
    struct decoded d = decode(
        "[{\"traceId\":\"1\",\"id\":\"2\",\"annotations\":[{\"value\":\"a\"},{\"value\":\"b\"}],"
        "\"annotations\":[{\"value\":\"c\"}],\"tags\":{\"x\":\"1\"},\"tags\":{\"y\":\"2\"}},{"
        "\"traceId\":"
        "\"3\",\"id\":\"4\",\"annotations\":[{\"value\":\"a\"}],\"annotations\":[]}]");
    struct tracepiece p;

    CHECK_OK(d.e);
    piece_of(&d, 0, &p);
    CHECK_INT(p.spans->n_events, 1);
    CHECK_SLICE(p.spans->events->name, "c");
    CHECK_STR(text_of(&d, &p.spans->attributes), "x=1 y=2");
    piece_of(&d, 1, &p);
    CHECK_INT(p.spans->n_events, 0);
    decoded_done(&d);
}
