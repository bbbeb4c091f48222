#include "ingester/door/event_json.h"
#include "tests/unit/ingester/door/log_text.h"

static struct err *decode(struct log_builder *b, const void *arg)
{
    return event_json_decode(b, slice_cstr(arg));
}

TEST(event_json_makes_streams_of_their_own_kind)
{
    log_text_check(
        log_text(
            decode,
            "[{\"kind\":\"deployment\",\"title\":\"shop 1.2\",\"time\":\"2026-01-01T00:00:01Z\","
            "\"end\":1767225602,\"service\":\"shop\",\"attributes\":{\"git.sha\":\"ab\",\"n\":7}},"
            "{\"kind\":\"flag\",\"title\":\"on\"}]",
            NULL),
        "{orrery_event=\"deployment\"}\n"
        "  @1767225601000000000 shop 1.2 {event_end=\"1767225602000000000\", git_sha=\"ab\", "
        "n=\"7\", service_name=\"shop\"}\n"
        "{orrery_event=\"flag\"}\n"
        "  @1767225600000000000 on\n");
    log_text_check(log_text(decode, "{\"kind\":\"a\",\"title\":\"b\"}", NULL),
                   "{orrery_event=\"a\"}\n  @1767225600000000000 b\n");
}

TEST(event_json_names_what_is_wrong)
{
    static const char *const cases[][2] = {
        {"", "events: "},
        {"7", "event 1: an object is expected"},
        {"{}", "kind and title must be there"},
        {"[{\"kind\":\"a\",\"title\":\"b\"},{\"kind\":\"a\"}]", "event 2: kind and title"},
        {"{\"kind\":\"a b\",\"title\":\"b\"}", "kind must be of letters"},
        {"{\"kind\":\"a\",\"title\":\"b\",\"x\":1}", "no member [x]"},
        {"{\"kind\":\"a\",\"title\":\"\"}", "title must be a text"},
        {"{\"kind\":\"a\",\"title\":\"b\",\"time\":\"soon\"}", "time must be a time"},
        {"{\"kind\":\"a\",\"title\":\"b\",\"time\":5,\"end\":4}", "end is before time"},
        {"{\"kind\":\"a\",\"title\":\"b\",\"attributes\":{\"x\":[1]}}", "attributes must be texts"},
        {"[[[[[[]]]]]]", "events: "},
    };

    for (size_t i = 0; i < ORR_COUNT(cases); i++) {
        struct buf got = log_text(decode, cases[i][0], NULL);

        if (slice_find(buf_slice(&got), slice_cstr(cases[i][1]), 0) < 0 ||
            slice_find(buf_slice(&got), SLICE("orrery_event"), 0) >= 0)
            test_fail(__FILE__, __LINE__, "%s: %s", cases[i][0], buf_cstr(&got));
        buf_done(&got);
    }
}

TEST(event_json_bounds_their_number)
{
    struct buf b = {0}, got;

    buf_byte(&b, '[');
    for (int i = 0; i <= EVENT_JSON_MAX; i++)
        buf_str(&b, i ? ",{}" : "{}");
    buf_byte(&b, ']');
    got = log_text(decode, buf_cstr(&b), NULL);
    CHECK(slice_find(buf_slice(&got), SLICE("more than 1000"), 0) >= 0);
    buf_done(&got);
    buf_done(&b);
}
