#include "common/base/reader.h"
#include "common/logs/jsonline.h"
#include "tests/unit/test.h"

struct got {
    struct buf text;
    size_t left; /* this many are enough */
};

static bool note(void *arg, struct slice key, struct slice value)
{
    struct got *g = arg;

    buf_printf(&g->text, "%.*s=[%.*s] ", SLICE_ARG(key), SLICE_ARG(value));
    return --g->left > 0;
}

static void check_some(struct slice line, size_t enough, const char *want)
{
    struct got g = {.left = enough};
    struct jsonline j = {0};

    if (!jsonline_each(&j, line, note, &g))
        buf_printf(&g.text, "!%s", j.error);
    CHECK_SLICE(buf_slice(&g.text), want);
    buf_done(&g.text);
    jsonline_done(&j);
}

static void check(const char *line, const char *want)
{
    check_some(slice_cstr(line), SIZE_MAX, want);
}

TEST(jsonline_flattens)
{
    check("{}", "");
    check(" {\"a\":{\"b c\":1.50, \"d\":{\"e\":-2}} , "
          "\"s\":\"x\",\"l\":[1,\"]\"],\"n\":null,\"t\":true}",
          "a_b_c=[1.50] a_d_e=[-2] s=[x] t=[true] ");
    check("{\"1a\":{\"2\":12345678901234567890},\"\xc3\xbc\":\"\\u00e9\\\"\"}",
          "_1a_2=[12345678901234567890] _=[\xc3\xa9\"] ");
}

TEST(jsonline_gives_what_comes_before_an_error)
{
    check("", "!no object");
    check("[1]", "!no object");
    check("{\"a\":1,\"b\":2", "a=[1] b=[2] !an object is not closed");
    check("{\"a\":1,\"b\":{\"c\":2", "a=[1] !an object is not closed");
    check("{\"a\":1,\"b\":\"x", "a=[1] !a string is not closed");
    check("{\"a\":1,\"b\":[\"x\"", "a=[1] !a list is not closed");
    check("{\"a\":1 \"b\":2}", "a=[1] !a comma is expected");
    check("{\"a\" 1}", "!a colon is expected");
    check("{\"a\":x}", "!a value that is none");
    check("{\"a\":1,}", "a=[1] !a name is expected");
}

TEST(jsonline_ends_when_it_is_enough)
{
    check_some(SLICE("{\"a\":1,\"b\":{\"c\":2,\"d\":3}} rest"), 2, "a=[1] b_c=[2] ");
}

TEST(jsonline_is_bounded)
{
    struct buf b = {0};

    for (int i = 0; i < 65; i++)
        buf_str(&b, "{\"a\":");
    buf_byte(&b, '1');
    buf_fill(&b, '}', 65);
    check(buf_cstr(&b), "!objects nest too deep");
    buf_done(&b);
}

TEST(jsonline_escapes)
{
    check("{\"a\":\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\\ud83d\\ude00\t\"}",
          "a=[\"\\/\b\f\n\r\t\xc3\xa9\xf0\x9f\x98\x80\t] ");
    check("{\"a\":\"x\\q\",\"b\":\"\\ud83dx\",\"c\":\"\\u12\",\"d\":\"\\ude00\\ud83d\",\"e\":1}",
          "a=[] b=[] c=[] d=[] e=[1] ");
    check("{\"\\u0061\":1,\"\\q\":2}", "a=[1] !a name has a malformed escape");
}

static bool note_path(void *arg, struct slice key, struct slice value)
{
    struct jsonline *j = arg;
    struct reader r = reader_new(buf_slice(&j->path));

    (void)value;
    if (slice_eq_cstr(key, "a_b_c__d")) {
        CHECK_SLICE(reader_lstr(&r), "a");
        CHECK_SLICE(reader_lstr(&r), "b.c");
        CHECK_SLICE(reader_lstr(&r), "\"d");
    } else {
        CHECK_SLICE(key, "e");
        CHECK_SLICE(reader_lstr(&r), "e");
    }
    CHECK_INT(reader_left(&r), 0);
    return true;
}

TEST(jsonline_keeps_the_path_where_asked_to)
{
    struct jsonline j = {.keeps_path = true};

    CHECK(jsonline_each(&j, SLICE("{\"a\":{\"b.c\":{\"\\\"d\":1}},\"e\":2}"), note_path, &j));
    CHECK(jsonline_each(&j, SLICE("{\"e\":2}"), note_path, &j));
    jsonline_done(&j);
}
