#include "common/logs/logfmt.h"
#include "tests/unit/test.h"

/* The pairs as k=[v], bad ones as !error@pos. */
static void check(const char *line, const char *want)
{
    struct logfmt it = logfmt_of(slice_cstr(line));
    struct buf scratch = {0}, got = {0};
    struct slice key, value;
    enum logfmt_what what;

    while ((what = logfmt_next(&it, &scratch, &key, &value)) != LOGFMT_END) {
        if (what == LOGFMT_BAD)
            buf_printf(&got, "!%s@%zu ", it.error, it.error_pos);
        else
            buf_printf(&got, "%.*s=[%.*s] ", SLICE_ARG(key), SLICE_ARG(value));
    }
    CHECK_SLICE(buf_slice(&got), want);
    buf_done(&scratch);
    buf_done(&got);
}

TEST(logfmt_pairs)
{
    check("", "");
    check(" \t\n", "");
    check("a=1 b=\"x y\" c d= e=\"\"", "a=[1] b=[x y] c=[] d=[] e=[] ");
    check("m=\"a \\\"q\\\" \\u00e9\\n\\ud83d\\ude00\" z=1",
          "m=[a \"q\" \xc3\xa9\n\xf0\x9f\x98\x80] z=[1] ");
    check("\xc3\xbc=1", "\xc3\xbc=[1] ");
    check("k=\"x\"y=2", "k=[x] y=[2] "); /* as there: a quoted value ends at its quote */
}

TEST(logfmt_goes_on_behind_what_is_bad)
{
    check("=1 a=2", "!unexpected '='@0 a=[2] ");
    check("a=b=c d=1", "!unexpected '='@3 d=[1] ");
    check("a\"b=1 d=1", "!unexpected '\"'@1 d=[1] ");
    check("a=b\"c d=1", "!unexpected '\"'@3 d=[1] ");
    check("a=\"x y", "!unterminated quoted value@2 ");
    check("a=\"x\\", "!unterminated quoted value@2 ");
    check("a=\"\\z\" b=1", "!invalid quoted value@2 b=[1] ");
    check("\xff=1 b=1", "!invalid key@0 b=[1] ");
}

TEST(logfmt_unquotes)
{
    struct buf b = {0};

    CHECK(logfmt_unquote(SLICE("\"\\ud83dx\xff\""), &b));
    CHECK_SLICE(buf_slice(&b), "\xef\xbf\xbdx\xef\xbf\xbd");
    CHECK(!logfmt_unquote(SLICE("\"\\u12\""), &b));
    CHECK(!logfmt_unquote(SLICE("\"a\"b\""), &b));
    CHECK(!logfmt_unquote(SLICE("\""), &b));
    buf_done(&b);
}
