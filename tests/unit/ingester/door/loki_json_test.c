#include "ingester/door/loki_json.h"
#include "tests/unit/ingester/door/log_text.h"

struct input {
    const char *text;
    bool is_legacy;
    struct jsonval_doc *doc;
};

static struct err *decode(struct log_builder *b, const void *arg)
{
    struct input *in = (struct input *)(uintptr_t)arg;

    return in->is_legacy ? loki_json_decode_legacy(b, slice_cstr(in->text), &in->doc)
                         : loki_json_decode(b, slice_cstr(in->text), &in->doc);
}

static void check(const char *text, bool is_legacy, const char *want)
{
    struct input in = {text, is_legacy, NULL};

    log_text_check(log_text(decode, &in, NULL), want);
    jsonval_free(in.doc);
}

TEST(loki_json_reads_streams)
{
    check("{\"x\":1,\"streams\":[{\"stream\":{\"app\":\"shop\",\"n\":5,\"b\":true},\"values\":["
          "[\"1767225600000000001\",\"li\\nne\",{\"k\":\"v\"},9],[\"7\"]]},{\"stream\":{\"a\":"
          "\"b\"}},{}]}",
          false,
          "{app=\"shop\", b=\"true\", n=\"5\"}\n"
          "  @1767225600000000001 li\nne {k=\"v\"}\n"
          "  @7 \n");
    check("{}", false, "");
    check("null", false, "");
    check("{\"streams\":null}", false, "");
}

TEST(loki_json_reads_the_first_form)
{
    check("{\"streams\":[{\"labels\":\"{app=\\\"shop\\\"}\",\"entries\":["
          "{\"ts\":\"2026-01-01T02:00:00.5+02:00\",\"line\":\"x\"},{\"line\":\"y\"}]}]}",
          true, "{app=\"shop\"}\n  @1767225600500000000 x\n  @0 y\n");
}

TEST(loki_json_refuses_what_loki_does)
{
    static const char *const bad[] = {
        "",
        "[]",
        "{\"streams\":[",
        "{\"streams\":{}}",
        "{\"streams\":[7]}",
        "{\"streams\":[{\"stream\":\"{a=1}\",\"values\":[[\"1\",\"x\"]]}]}",
        "{\"streams\":[{\"stream\":null,\"values\":[[\"1\",\"x\"]]}]}",
        "{\"streams\":[{\"stream\":{\"bad-name\":\"x\"},\"values\":[[\"1\",\"x\"]]}]}",
        "{\"streams\":[{\"stream\":{\"a\":{}},\"values\":[[\"1\",\"x\"]]}]}",
        "{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[1,\"x\"]]}]}",
        "{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[\"\",\"x\"]]}]}",
        "{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[\"1\",null]]}]}",
        "{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[\"1\",\"x\",\"y\"]]}]}",
        "{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[\"1\",\"x\",{\"n\":5}]]}]}",
        "{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[7]}]}",
        "{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":{}}]}",
    };

    for (size_t i = 0; i < ORR_COUNT(bad); i++) {
        struct input in = {bad[i], false, NULL};
        struct buf got = log_text(decode, &in, NULL);

        CHECK(slice_find(buf_slice(&got), SLICE("error: "), 0) >= 0);
        CHECK(in.doc == NULL);
        buf_done(&got);
    }
    check("{\"streams\":[{\"labels\":\"{a=\\\"b\\\"}\",\"entries\":[{\"ts\":\"2026\",\"line\":"
          "\"x\"}]}]}",
          true,
          "error: entries: parsing time \"2026\" as \"2006-01-02T15:04:05Z07:00\": cannot parse "
          "\"\"\n");
}
