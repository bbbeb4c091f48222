/* A trace goes out as it came in: what traceout.h writes, the door's decoders read as the same piece. */
#include "common/base/base64.h"
#include "common/traces/traceout.h"
#include "ingester/door/otlp_traces.h"
#include "tests/unit/test.h"

static const char json[] =
    "{\"resourceSpans\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":{"
    "\"stringValue\":\"shop\"}}],\"droppedAttributesCount\":7},\"scopeSpans\":[{\"scope\":{"
    "\"name\":"
    "\"lib\",\"version\":\"v1\"},\"spans\":[{\"traceId\":\"ab000000000000000000000000000007\","
    "\"spanId\":\"1100000000000007\",\"traceState\":\"a=b\",\"parentSpanId\":\"1000000000000007\","
    "\"name\":\"GET \\\"/cart\\\"\",\"kind\":2,\"startTimeUnixNano\":\"1767225600000000000\","
    "\"endTimeUnixNano\":\"1767225600001500000\",\"attributes\":[{\"key\":\"n\",\"value\":{"
    "\"intValue\":\"-200\"}},{\"key\":\"ratio\",\"value\":{\"doubleValue\":0.5}},{\"key\":"
    "\"cached\","
    "\"value\":{\"boolValue\":false}},{\"key\":\"list\",\"value\":{\"arrayValue\":{\"values\":[{"
    "\"stringValue\":\"x\"},{\"intValue\":9},{\"kvlistValue\":{\"values\":[{\"key\":\"in\","
    "\"value\":{"
    "\"stringValue\":\"\"}}]}}]}}},{\"key\":\"raw\",\"value\":{\"bytesValue\":\"AP8=\"}},{\"key\":"
    "\"none\",\"value\":{}}],\"droppedAttributesCount\":3,\"events\":[{\"timeUnixNano\":"
    "\"1767225600000000005\",\"name\":\"exception\",\"attributes\":[{\"key\":\"m\",\"value\":{"
    "\"stringValue\":\"no such cart\"}}],\"droppedAttributesCount\":1}],\"droppedEventsCount\":4,"
    "\"links\":[{\"traceId\":\"cd000000000000000000000000000007\",\"spanId\":\"2200000000000007\","
    "\"traceState\":\"l=m\",\"flags\":1}],\"droppedLinksCount\":5,\"status\":{\"message\":\"boom\","
    "\"code\":2},\"flags\":257},{\"traceId\":\"ab000000000000000000000000000007\",\"spanId\":"
    "\"3300000000000007\"}],\"schemaUrl\":\"https://scope\"}],\"schemaUrl\":\"https://"
    "resource\"}]}";

static struct slice piece_of(struct arena *a, struct slice body, bool is_json)
{
    struct trace_batch *batch = trace_batch_new(SLICE("t"), &(struct tenant_limits){0});
    struct jsonval_doc *doc = NULL;
    struct trace_builder b;
    struct slice ret;

    trace_builder_init(&b, batch, a);
    CHECK_OK(is_json ? otlp_traces_decode_json(&b, body, &doc)
                     : otlp_traces_decode_proto(&b, body));
    CHECK_OK(trace_builder_end(&b));
    CHECK_INT(batch->traces.len, 1);
    ret = arena_dup(a, buf_slice(&batch->pieces));
    trace_builder_done(&b);
    jsonval_free(doc);
    trace_batch_free(batch);
    return ret;
}

TEST(traceout_proto_is_what_came_in)
{
    struct arena *a = arena_new(0);
    struct slice bytes = piece_of(a, slice_cstr(json), true);
    struct tracepiece p;
    struct buf out = {0};

    CHECK_OK(tracepiece_decode(a, bytes, &p));
    traceout_proto(&out, &p);
    CHECK(slice_eq(piece_of(a, buf_slice(&out), false), bytes));
    buf_done(&out);
    arena_free(a);
}

/* Ids are base64 there, in the door's JSON they are hexadecimal. */
TEST(traceout_json_is_what_came_in)
{
    struct arena *a = arena_new(0);
    struct slice bytes = piece_of(a, slice_cstr(json), true);
    struct tracepiece p;
    struct buf out = {0};
    const char *s;

    CHECK_OK(tracepiece_decode(a, bytes, &p));
    traceout_json(&out, &p);
    s = buf_cstr(&out);
    CHECK(strstr(s, "\"traceId\":\"qwAAAAAAAAAAAAAAAAAABw==\",\"spanId\":\"EQAAAAAAAAc=\""));
    CHECK(strstr(s, "\"name\":\"GET \\\"/cart\\\"\",\"kind\":\"SPAN_KIND_SERVER\""));
    CHECK(strstr(s, "\"startTimeUnixNano\":\"1767225600000000000\""));
    CHECK(strstr(s, "{\"key\":\"n\",\"value\":{\"intValue\":\"-200\"}}"));
    CHECK(strstr(s, "{\"key\":\"cached\",\"value\":{\"boolValue\":false}}"));
    CHECK(strstr(
        s, "{\"kvlistValue\":{\"values\":[{\"key\":\"in\",\"value\":{\"stringValue\":\"\"}}]}}"));
    CHECK(strstr(s, "\"status\":{\"message\":\"boom\",\"code\":\"STATUS_CODE_ERROR\"}"));
    CHECK(strstr(s,
                 "\"links\":[{\"traceId\":\"zQAAAAAAAAAAAAAAAAAABw==\",\"spanId\":\"IgAAAAAAAAc=\","
                 "\"traceState\":\"l=m\",\"flags\":1}]"));
    CHECK(strstr(s, "\"droppedEventsCount\":4") && strstr(s, "\"droppedLinksCount\":5"));
    CHECK(strstr(s, "\"schemaUrl\":\"https://resource\"}]"));
    buf_done(&out);
    arena_free(a);
}

#define GROUPS 20000

/* Each span of a resource and a scope of its own, the last first: the order of the groups is that of resources and scopes, and the
 * way to them is not as long as all of them, for each of them. */
TEST(traceout_many_groups)
{
    struct arena *a = arena_new(0);
    struct tracepiece p = {.n_resources = GROUPS, .n_scopes = GROUPS, .n_spans = GROUPS};
    struct buf out = {0};
    const char *at;

    p.resources = arena_array(a, struct tracepiece_resource, GROUPS);
    p.scopes = arena_array(a, struct tracepiece_scope, GROUPS);
    p.spans = arena_array(a, struct tracepiece_span, GROUPS);
    for (uint32_t i = 0; i < GROUPS; i++) {
        p.scopes[i].name = slice_cstr(arena_printf(a, "scope%u", i));
        p.spans[i] = (struct tracepiece_span){.span_id = i + 1,
                                              .resource = GROUPS - 1 - i,
                                              .scope = i,
                                              .name = slice_cstr(arena_printf(a, "span%u", i))};
    }
    traceout_json(&out, &p);
    at = buf_cstr(&out);
    for (uint32_t i = GROUPS; i > 0; i -= GROUPS / 10) {
        const char *scope, *span;

        scope = strstr(at, arena_printf(a, "\"scope%u\"", i - 1));
        span = strstr(at, arena_printf(a, "\"span%u\"", i - 1));
        CHECK(scope && span && scope < span);
        at = span;
    }
    buf_reset(&out);
    traceout_proto(&out, &p);
    CHECK(out.len > GROUPS * 20);
    buf_done(&out);
    arena_free(a);
}
