#include "common/lang/logql.h"
#include "common/lang/logql_re.h"
#include "common/logs/iprange.h"
#include "common/logs/linefilter.h"
#include "common/logs/linepattern.h"
#include "common/logs/pipeline.h"
#include "common/logs/textfind.h"
#include "tests/unit/test.h"

static bool keeps(const char *filters, const char *line)
{
    struct arena *a = arena_new(0);
    char *query = arena_printf(a, "{a=\"b\"} %s", filters);
    struct linefilter *f = NULL;
    struct logql q;
    bool ret;

    CHECK_OK(logql_parse(a, slice_cstr(query), &q));
    CHECK_OK(linefilter_make(a, q.root->u.logs.stages, q.root->u.logs.n_stages, &f));
    ret = linefilter_keeps(f, slice_cstr(line));
    linefilter_done(f);
    logql_done(&q);
    arena_free(a);
    return ret;
}

TEST(textfind_agrees_with_memmem)
{
    char hay[200], needle[40];
    unsigned x = 1;

    for (int round = 0; round < 20000; round++) {
        size_t n = (x = x * 1103515245 + 12345) >> 16 & 127, m = (x >> 8) % 20, from = x % 7;
        struct slice s, t;
        struct textfind f;

        for (size_t i = 0; i < n; i++)
            hay[i] = "ab{E"[(x = x * 1103515245 + 12345) >> 20 & 3];
        for (size_t i = 0; i < m; i++)
            needle[i] = "ab{E"[(x = x * 1103515245 + 12345) >> 20 & 3];
        s = slice_of(hay, n);
        t = slice_of(needle, m);
        f = textfind_of(t);
        if (from <= n)
            CHECK(textfind_in(&f, s, from) == (m ? slice_find(s, t, from) : (ptrdiff_t)from));
    }
}

TEST(textfind_without_case)
{
    struct textfind f = textfind_of_nocase(SLICE("err[or]"));

    CHECK_INT(textfind_in(&f, SLICE("xx ERr[Or] and then some more of it"), 0), 3);
    CHECK_INT(textfind_in(&f, SLICE("ERR{OR} ERR;OR] and then some more of it"), 0), -1);
}

TEST(linefilter_texts_and_regexes)
{
    CHECK(keeps("|= `err` != `debug`", "an err"));
    CHECK(!keeps("|= `err` != `debug`", "an err in debug"));
    CHECK(keeps("|= `x` or `y`", "a y"));
    CHECK(!keeps("!= `x` or `y`", "a y"));
    CHECK(keeps("|~ `GET|POST`", "a POST"));
    CHECK(keeps("|~ `(?i)error`", "an ERROR"));
    CHECK(keeps("|~ `(?i)kelvin`", "\xe2\x84\xaa"
                                   "elvin"));
    CHECK(keeps("|~ `status=5\\d\\d`", "status=503"));
    CHECK(!keeps("|~ `status=5\\d\\d`", "status=5x3"));
    CHECK(!keeps("!~ `status=5.*`", "status=503"));
    CHECK(keeps("|~ `a{0}bc|x`", "x"));
    CHECK(keeps("|= ``", ""));
}

TEST(linefilter_long_texts)
{
    struct arena *a = arena_new(0);
    struct buf x = {0};

    buf_fill(&x, 'x', 100);
    CHECK(keeps(arena_printf(a, "|= `%s`", buf_cstr(&x)), arena_printf(a, "a%sb", buf_cstr(&x))));
    CHECK(keeps(arena_printf(a, "|~ `(?i)%s`", buf_cstr(&x)),
                arena_printf(a, "%.50sXX%.50s", buf_cstr(&x), buf_cstr(&x))));
    CHECK(!keeps(arena_printf(a, "|= `%sy`", buf_cstr(&x)), buf_cstr(&x)));
    buf_done(&x);
    arena_free(a);
}

TEST(linefilter_patterns)
{
    CHECK(keeps("|> `<_> done in <_>ms`", "step done in 5ms"));
    CHECK(!keeps("|> `<_> done in <_>ms`", "step done in 5ms."));
    CHECK(!keeps("|> `<_> done in <_>ms`", " done in 5ms"));
    CHECK(keeps("!> `<_> done`", "done"));
    CHECK(keeps("|> `done in <_>`", "step done in 5ms")); /* its front is not the line's */
    CHECK(!keeps("|> `<_>done`", "step done in 5ms"));
    CHECK(keeps("|> ``", ""));
}

TEST(linefilter_addresses)
{
    CHECK(keeps("|= ip(`10.0.0.0/8`)", "from 10.1.2.3:80"));
    CHECK(!keeps("|= ip(`10.0.0.0/8`)", "from 11.1.2.3"));
    CHECK(keeps("|= ip(`10.1.2.0-10.1.2.255`)", "[10.1.2.200]"));
    CHECK(keeps("|= ip(`2001:db8::/33`)", "at 2001:db8:7fff::1 now"));
    CHECK(!keeps("|= ip(`2001:db8::/33`)", "at 2001:db8:8000::1 now"));
    CHECK(keeps("!= ip(`::1`)", "127.0.0.1"));
    CHECK(keeps("|= ip(`10.1.2.3`)", "10.1.2.3"));
    CHECK(keeps("|= ip(`10.1.2.3`)", "a.b:c.d:e 1:2 (10.1.2.3)"));
    CHECK(!keeps("|= ip(`10.1.2.3`)", "a 110.1.2.3 10.1.2.33 10.1.2."));
    CHECK(keeps("|= ip(`::1`)", "0123456789abcdef0123456789 [::1]:80"));
    CHECK(!keeps("|= ip(`10.1.2.3`)", "no address in this line of more than sixteen bytes"));
}

TEST(linefilter_refuses)
{
    static const char *const bad[] = {
        "|~ `(`",       "|> `<a><b>`",          "|= ip(`1.2.3`)",
        "|~ ip(`::1`)", "|= ip(`10.0.0.0/33`)", "|= ip(`10.0.0.2-10.0.0.1`)"};

    for (size_t i = 0; i < ORR_COUNT(bad); i++) {
        struct arena *a = arena_new(0);
        char *query = arena_printf(a, "{a=\"b\"} |~ `x.y` %s", bad[i]);
        struct linefilter *f;
        struct logql q;

        CHECK_OK(logql_parse(a, slice_cstr(query), &q));
        CHECK_ERR(linefilter_make(a, q.root->u.logs.stages, q.root->u.logs.n_stages, &f),
                  ERR_INVALID, "");
        logql_done(&q);
        arena_free(a);
    }
}

TEST(linefilter_what_a_regex_needs)
{
    static const struct {
        const char *regex, *text;
    } cases[] = {{"status=5\\d\\d", "status=5"},
                 {"ab*cd?e", "a"},
                 {"a+b", "a"},
                 {"(x|y)long", "long"},
                 {"[a-z]+foo[.]", "foo"},
                 {"a|b", ""},
                 {"\\x41bc", ""},
                 {"(?i)abc", ""},
                 {"fo\\.o(", ""},
                 {"h\xc3\xa9?x", "h"},
                 {"a{2}bcd", "bcd"},
                 {"x[]a]yy", "yy"}};
    struct arena *a = arena_new(0);

    for (size_t i = 0; i < ORR_COUNT(cases); i++)
        CHECK_SLICE(logql_re_required(a, slice_cstr(cases[i].regex)), cases[i].text);
    arena_free(a);
}

TEST(linepattern_takes_captures)
{
    struct arena *a = arena_new(0);
    struct linepattern p;
    struct slice got[4];

    CHECK_OK(linepattern_parse(a, SLICE("[<ip>] <_> \"<method> <path>\"<rest>"), &p));
    CHECK_INT(p.n_names, 4);
    CHECK_INT(linepattern_take(&p, SLICE("[::1] - \"GET /a b\""), got), 4);
    CHECK_SLICE(got[0], "::1");
    CHECK_SLICE(got[1], "GET");
    CHECK_SLICE(got[2], "/a b");
    CHECK_SLICE(got[3], "");
    CHECK_INT(linepattern_take(&p, SLICE("[::1] - \"GET"), got), 2);
    CHECK_INT(linepattern_take(&p, SLICE("::1] - \"GET"), got), 0);
    arena_free(a);
}

/* The needles of a query's first line filters, with commas between. */
static const char *needles_of(struct arena *a, const char *pipeline, size_t max)
{
    char *query = arena_printf(a, "{a=\"b\"} %s", pipeline);
    struct slice needles[8];
    struct buf out = {0};
    struct logql q;
    char *ret;
    size_t n;

    CHECK_OK(logql_parse(a, slice_cstr(query), &q));
    n = pipeline_needles(a, &q.root->u.logs, needles, max);
    for (size_t i = 0; i < n; i++)
        buf_printf(&out, "%s%.*s", i ? "," : "", SLICE_ARG(needles[i]));
    ret = arena_cstr(a, buf_slice(&out));
    buf_done(&out);
    logql_done(&q);
    return ret;
}

TEST(linefilter_needles_are_in_every_line_that_is_kept)
{
    static const struct {
        const char *pipeline, *needles;
    } cases[] = {
        {"|= \"one\" |= \"two\"", "one,two"},
        {"|= \"one\" or \"two\"", ""}, /* neither has to be there */
        {"!= \"one\" !~ \"two\"", ""},
        {"|= \"\"", ""},
        {"|= ip(\"10.0.0.1\")", ""},
        {"|~ \".*some text.*\"", "some text"},
        {"|~ \"one|two\"", ""},
        {"|~ \"(?i)one\"", ""},
        {"|~ \"id=[0-9]+ failed\"", " failed"},
        {"|> \"<_>took <ms> ms\"", "took , ms"},
        {"!> \"<_>took <ms> ms\"", ""},
        {"| json | level=\"x\" |= \"one\"", "one"}, /* the line is still what it was */
        {"|= \"one\" | line_format \"{{.x}}\" |= \"two\"", "one"},
        {"| decolorize |= \"one\"", ""},
        {"| unpack |= \"one\"", ""},
    };
    struct arena *a = arena_new(0);

    for (size_t i = 0; i < ORR_COUNT(cases); i++)
        CHECK_STR(needles_of(a, cases[i].pipeline, 8), cases[i].needles);
    CHECK_STR(needles_of(a, "|= \"one\" |> \"<_>took <ms> ms\"", 2), "one,took ");
    arena_free(a);
}
