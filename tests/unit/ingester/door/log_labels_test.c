#include "ingester/door/log_labels.h"
#include "tests/unit/test.h"

/* "name=value;…", or "error" */
static void check(const char *text, const char *want)
{
    struct arena *a = arena_new(0);
    struct labels ls;
    struct buf got = {0};
    struct err *e = log_labels_parse(a, slice_cstr(text), &ls);

    if (e)
        buf_str(&got, "error");
    else
        for (size_t i = 0; i < ls.n; i++)
            buf_printf(&got, "%.*s=%.*s;", SLICE_ARG(ls.ptr[i].name), SLICE_ARG(ls.ptr[i].value));
    CHECK_STR(buf_cstr(&got), want);
    CHECK(!e || err_is(e, ERR_INVALID));
    err_free(e);
    buf_done(&got);
    arena_free(a);
}

TEST(log_labels_reads_what_clients_write)
{
    check("{app=\"shop\", env=\"prod\"}", "app=shop;env=prod;");
    check("{ app = \"a\" ,\tb=\"\" }", "app=a;b=;");
    check("{a=\"x\",}", "a=x;");
    check("{a=`raw`}", "a=raw;");
    check("{a='x'}", "a=x;");
    check("{foo=\"q\\\"uo\\\\te\"}", "foo=q\"uo\\te;");
    check("{a=\"1\",b=\"2\",c=\"3\",d=\"4\",e=\"5\",f=\"6\",g=\"7\",h=\"8\",i=\"9\",j=\"10\"}",
          "a=1;b=2;c=3;d=4;e=5;f=6;g=7;h=8;i=9;j=10;");
    check("{}", "");
    check("", "");
}

TEST(log_labels_refuses_what_is_not)
{
    static const char *const bad[] = {
        "app=\"a\"",         "{app=\"a\"", "{app=\"a}",   "{app=a}",     "{bad-name=\"a\"}",
        "{a=~\"x\"}",        "{a==\"x\"}", "{a.b=\"c\"}", "{a=\"x\"} 1", "{a=\"x\"}x",
        "{a=\"x\" b=\"y\"}", "{=\"x\"}",   "{9a=\"x\"}",  "{a=\"x\n\"}"};

    for (size_t i = 0; i < ORR_COUNT(bad); i++)
        check(bad[i], "error");
}
