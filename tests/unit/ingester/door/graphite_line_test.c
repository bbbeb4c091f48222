#include "ingester/door/graphite_line.h"
#include "ingester/door/graphite_write.h"
#include "tests/unit/ingester/door/push_text.h"

static struct buf decode(const char *text)
{
    return push_text(graphite_write_decode, NULL, slice_cstr(text));
}

TEST(graphite_line_keeps_paths_and_takes_tags_for_labels)
{
    push_text_check(decode("servers.web1.cpu 1.5 1700000000\r\n"
                           "disk;rack=a b;host=x 1 2\n" /* a blank ends the name */
                           "disk;rack=a;host=x\t3\t1700000000.25\n\n"
                           "now 4 -1\nnow 5 N\nnow 6\nnone nan 1\n"),
                    "{\"servers.web1.cpu\"} 1.5 @1700000000000\n"
                    "disk{host=\"x\", rack=\"a\"} 3 @1700000000250\n"
                    "now 4 @1700000000000\nnow 5 @1700000000000\nnow 6 @1700000000000\n"
                    "refused malformed_line: 1\n");
}

TEST(graphite_line_refuses_what_it_cannot_read_and_goes_on)
{
    push_text_check(decode("a\na b 1\na 1 x\na 1 1 1\n;t=v 1 1\na;t 1 1\na;=v 1 1\nb 1 1"),
                    "b 1 @1000\nrefused malformed_line: 7\n");
}

static struct buf decode_json(const char *text)
{
    struct arena *a = arena_new(0);
    struct line_request q = {.arena = a, .body = slice_cstr(text)};
    uint64_t published, invalid;
    struct buf out =
        push_text(graphite_write_decode, &(struct graphite_write){&q, true, &published, &invalid},
                  SLICE_EMPTY);

    arena_free(a);
    return out;
}

TEST(graphite_line_points_come_as_json_too)
{
    push_text_check(decode_json("[{\"name\":\"a.b\",\"interval\":10,\"value\":1.5,"
                                "\"time\":1700000000,\"tags\":[\"k=v\",\"l=w=x\"]},"
                                "{\"name\":\"c\",\"value\":2,\"tags\":null}]"),
                    "{\"a.b\", k=\"v\", l=\"w=x\"} 1.5 @1700000000000\nc 2 @1700000000000\n");
    push_text_check(decode_json("[1,{\"value\":1},{\"name\":\"x\"},"
                                "{\"name\":\"x\",\"value\":1,\"tags\":[\"k\"]},"
                                "{\"name\":\"x\",\"value\":1,\"time\":\"now\"}]"),
                    "refused malformed_line: 5\n");
    push_text_check(decode_json("{}"), "error: a list of points was expected\n");
}

TEST(graphite_line_bounds_tags)
{
    struct buf text = {0};

    buf_str(&text, "a");
    for (int i = 0; i <= GRAPHITE_MAX_TAGS; i++)
        buf_printf(&text, ";t%d=v", i);
    buf_str(&text, " 1 1\n");
    push_text_check(decode(buf_cstr(&text)), "refused malformed_line: 1\n");
    buf_done(&text);
}
