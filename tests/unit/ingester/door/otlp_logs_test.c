#include "ingester/door/otlp_logs.h"
#include "tests/unit/ingester/door/log_text.h"
#include "tests/unit/ingester/door/rw_build.h"

#define T0 1767225600000000000ull

struct input {
    struct slice body;
    bool is_json;
    struct jsonval_doc *doc;
};

static struct err *decode(struct log_builder *b, const void *arg)
{
    struct input *in = (struct input *)(uintptr_t)arg;

    return in->is_json ? otlp_logs_decode_json(b, in->body, &in->doc)
                       : otlp_logs_decode_proto(b, in->body);
}

static void check(struct slice body, bool is_json, const char *want)
{
    struct input in = {body, is_json, NULL};

    log_text_check(log_text(decode, &in, NULL), want);
    jsonval_free(in.doc);
}

/* ---- the same request twice ---- */

static void attr(struct buf *b, unsigned number, const char *key, const char *value)
{
    struct buf kv = {0}, v = {0};

    rw_build_text(&kv, 1, key);
    rw_build_text(&v, 1, value);
    rw_build_field(&kv, 2, &v);
    rw_build_field(b, number, &kv);
}

static struct buf proto(void)
{
    struct buf req = {0}, rl = {0}, sl = {0}, res = {0}, scope = {0}, rec = {0}, v = {0}, kv = {0},
               map = {0}, in = {0};

    attr(&res, 1, "service.name", "shop");
    attr(&res, 1, "host.name", "h");
    rw_build_varint(&res, 2, 3);
    rw_build_field(&rl, 1, &res);
    rw_build_text(&scope, 1, "lib");
    rw_build_text(&scope, 2, "v1");
    attr(&scope, 3, "s-a", "sv");
    rw_build_field(&sl, 1, &scope);
    rw_build_fixed64(&rec, 1, T0 + 5);
    rw_build_varint(&rec, 2, 9);
    rw_build_text(&rec, 3, "INFO");
    rw_build_text(&v, 1, "hello");
    rw_build_field(&rec, 5, &v);
    attr(&in, 1, "x", "y"); /* {"x": "y"} in a map */
    rw_build_field(&map, 6, &in);
    rw_build_text(&kv, 1, "nested");
    rw_build_field(&kv, 2, &map);
    rw_build_field(&rec, 6, &kv);
    rw_build_varint(&rec, 7, 2);
    buf_uvarint(&rec, 8 << 3 | 5);
    buf_u32le(&rec, 1);
    rw_build_slice(&rec, 9, SLICE("\1\2\3\4\5\6\7\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10"));
    rw_build_slice(&rec, 10, SLICE("\1\2\3\4\5\6\7\xff"));
    rw_build_fixed64(&rec, 11, T0 + 6);
    rw_build_field(&sl, 2, &rec);
    rw_build_fixed64(&rec, 11, T0 + 7);
    rw_build_field(&sl, 2, &rec);
    rw_build_fixed64(&rec, 1, T0 + 8);
    rw_build_text(&rec, 12, "deploy");
    rw_build_field(&sl, 2, &rec);
    rw_build_field(&rl, 2, &sl);
    rw_build_field(&req, 1, &rl);
    return req;
}

static const char *const text =
    "{\"resourceLogs\":[{\"resource\":{\"attributes\":[{\"key\":\"service.name\",\"value\":"
    "{\"stringValue\":\"shop\"}},{\"key\":\"host.name\",\"value\":{\"stringValue\":\"h\"}}],"
    "\"droppedAttributesCount\":3},\"scopeLogs\":[{\"scope\":{\"name\":\"lib\",\"version\":\"v1\","
    "\"attributes\":[{\"key\":\"s-a\",\"value\":{\"stringValue\":\"sv\"}}]},\"logRecords\":["
    "{\"timeUnixNano\":\"1767225600000000005\",\"severityNumber\":\"SEVERITY_NUMBER_INFO\","
    "\"severityText\":\"INFO\",\"body\":{\"stringValue\":\"hello\"},\"attributes\":[{\"key\":"
    "\"nested\",\"value\":{\"kvlistValue\":{\"values\":[{\"key\":\"x\",\"value\":{\"stringValue\":"
    "\"y\"}}]}}}],\"dropped_attributes_count\":2,\"flags\":1,\"traceId\":"
    "\"0102030405060708090a0b0c0d0e0f10\",\"spanId\":\"01020304050607FF\","
    "\"observedTimeUnixNano\":1767225600000000006},{\"observedTimeUnixNano\":"
    "\"1767225600000000007\"},{\"timeUnixNano\":\"1767225600000000008\",\"eventName\":\"deploy\"}"
    "]}]}]}";

static const char *const want =
    "{service_name=\"shop\"}\n"
    "  @1767225600000000005 hello {dropped_attributes_count=\"2\", flags=\"1\", host_name=\"h\", "
    "nested_x=\"y\", observed_timestamp=\"1767225600000000006\", "
    "resource_dropped_attributes_count=\"3\", s_a=\"sv\", scope_name=\"lib\", "
    "scope_version=\"v1\", severity_number=\"9\", severity_text=\"INFO\", "
    "span_id=\"01020304050607ff\", trace_id=\"0102030405060708090a0b0c0d0e0f10\"}\n"
    "  @1767225600000000007  {host_name=\"h\", resource_dropped_attributes_count=\"3\", "
    "s_a=\"sv\", scope_name=\"lib\", scope_version=\"v1\"}\n"
    "{orrery_event=\"deploy\"}\n"
    "  @1767225600000000008  {event_name=\"deploy\", host_name=\"h\", "
    "resource_dropped_attributes_count=\"3\", s_a=\"sv\", scope_name=\"lib\", "
    "scope_version=\"v1\", service_name=\"shop\"}\n";

TEST(otlp_logs_reads_both_encodings_alike)
{
    struct buf req = proto();

    check(buf_slice(&req), false, want);
    check(slice_cstr(text), true, want);
    buf_done(&req);
}

TEST(otlp_logs_refuses_malformed_bytes)
{
    struct buf req = proto();
    size_t errors = 0;

    for (size_t n = 1; n < req.len; n++) {
        struct input in = {slice_of(req.ptr, n), false, NULL};
        struct buf got = log_text(decode, &in, NULL);

        errors += slice_find(buf_slice(&got), SLICE("error: proto: "), 0) >= 0;
        buf_done(&got);
    }
    CHECK_INT(errors, req.len - 1);
    buf_done(&req);
}

TEST(otlp_logs_refuses_json_that_is_something_else)
{
    static const char *const bad[] = {
        "[]",
        "{\"resourceLogs\":{}}",
        "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"timeUnixNano\":\"-1\"}]}]}]}",
        ("{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"severityNumber\":"
         "\"SEVERITY_NUMBER_INFO5\"}]}]}]}"),
        "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"flags\":4294967296}]}]}]}",
        "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"traceId\":\"xyz\"}]}]}]}",
        "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":\"text\"}]}]}]}",
    };

    for (size_t i = 0; i < ORR_COUNT(bad); i++) {
        struct input in = {slice_cstr(bad[i]), true, NULL};
        struct buf got = log_text(decode, &in, NULL);

        CHECK(slice_has_prefix(buf_slice(&got), SLICE("error: JSON: ")));
        CHECK(in.doc == NULL);
        buf_done(&got);
    }
}

TEST(otlp_logs_names_and_times)
{
    check(SLICE("{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"traceId\":"
                "\"00000000000000000000000000000000\",\"spanId\":\"01\",\"attributes\":[{\"key\":"
                "\"9a\","
                "\"value\":{\"intValue\":\"7\"}},{\"key\":\"\xc3\xbc.b\",\"value\":{\"boolValue\":"
                "true}},"
                "{\"key\":\"m\",\"value\":{\"kvlistValue\":{}}}]}]}]}]}"),
          true, "{}\n  @1767225600000000000  {__b=\"true\", key_9a=\"7\"}\n");
}
