#include "ingester/door/elastic_bulk.h"
#include "tests/unit/ingester/door/log_text.h"

struct input {
    const char *text;
    struct elastic_bulk bulk;
    struct buf answer;
};

static struct err *decode(struct log_builder *b, const void *arg)
{
    struct input *in = (struct input *)(uintptr_t)arg;
    struct err *e = elastic_bulk_decode(b, slice_cstr(in->text), &in->bulk);

    if (!e)
        elastic_bulk_answer(&in->answer, &in->bulk, "why");
    return e;
}

TEST(elastic_bulk_answers_each_document)
{
    struct input in = {"{\"create\":{\"_index\":\"logs\"}}\n{\"@timestamp\":\"2026-01-01T00:00:"
                       "00Z\",\"app\":\"a\"}\n\n"
                       "{\"index\":{}}\r\n{\"app\":\"b\"}\r\n"
                       "{\"delete\":{\"_id\":\"1\"}}\n"
                       "{\"update\":{\"_id\":\"1\"}}\n{\"doc\":{}}\n"
                       "{\"index\":{}}\nnot json\n",
                       {.lines = {.stream_fields = SLICE("app")}, .index = SLICE("other")},
                       {0}};

    log_text_check(
        log_text(decode, &in, NULL),
        "{app=\"a\", index=\"logs\"}\n"
        "  @1767225600000000000 {\"@timestamp\":\"2026-01-01T00:00:00Z\",\"app\":\"a\"}\n"
        "{app=\"b\", index=\"other\"}\n"
        "  @1767225600000000000 {\"app\":\"b\"}\n"
        "refused malformed_record: 3\n");
    CHECK_STR(buf_cstr(&in.answer),
              "{\"took\":0,\"errors\":true,\"items\":["
              "{\"create\":{\"status\":201,\"result\":\"created\"}},"
              "{\"index\":{\"status\":201,\"result\":\"created\"}},"
              "{\"delete\":{\"status\":400,\"error\":{\"type\":\"illegal_argument_exception\","
              "\"reason\":\"why\"}}},"
              "{\"update\":{\"status\":400,\"error\":{\"type\":\"illegal_argument_exception\","
              "\"reason\":\"why\"}}},"
              "{\"index\":{\"status\":400,\"error\":{\"type\":\"illegal_argument_exception\","
              "\"reason\":\"why\"}}}]}");
    buf_done(&in.answer);
}

TEST(elastic_bulk_refuses_what_has_no_actions)
{
    static const char *const bad[] = {"{\"x\":{}}\n{}\n", "{}\n{}\n", "[]\n", "nonsense\n",
                                      "{\"index\":{}}\n"};

    for (size_t i = 0; i < ORR_COUNT(bad); i++) {
        struct input in = {bad[i], {.n = 0}, {0}};
        struct buf got = log_text(decode, &in, NULL);

        CHECK(slice_has_prefix(buf_slice(&got), SLICE("error: _bulk: item 0: ")));
        buf_done(&got);
        buf_done(&in.answer);
    }
}
