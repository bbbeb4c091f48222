#include "common/lang/logql.h"
#include "tests/unit/test.h"

static void check(const char *query, const char *text)
{
    struct arena *a = arena_new(0);
    struct buf b = {0};
    struct logql q;

    CHECK_OK(logql_parse(a, slice_cstr(query), &q));
    logql_print(&b, q.root);
    CHECK_SLICE(buf_slice(&b), text);
    logql_done(&q);
    buf_done(&b);
    arena_free(a);
}

static void refuse(const char *query, enum err_code code, const char *message)
{
    struct arena *a = arena_new(0);
    struct logql q;

    CHECK_ERR(logql_parse(a, slice_cstr(query), &q), code, message);
    arena_free(a);
}

TEST(logql_line_filters)
{
    check("{a=\"b\"}|=\"x\"!=`y`|~\"z\"or\"w\"", "{a=\"b\"} |= \"x\" != \"y\" |~ \"z\" or \"w\"");
    check("{a=\"b\"} != \"x\" or ip(\"::1\")", "{a=\"b\"} != \"x\" != ip(\"::1\")");
    check("{a=\"b\"} |> `<_> x` # and\n !> \"y\"", "{a=\"b\"} |> \"<_> x\" !> \"y\"");
    refuse("{a=\"b\"} |= x", ERR_INVALID, "1:12: parse error: unexpected \"x\", expected string");
}

TEST(logql_what_joins_label_filters)
{
    check("{a=\"b\"} | a=1 or b=2 and c=3", "{a=\"b\"} | ( a==1 or ( b==2 , c==3 ) )");
    check("{a=\"b\"} | a=1 and b=2 or c=3", "{a=\"b\"} | ( ( a==1 , b==2 ) or c==3 )");
    check("{a=\"b\"} | a=1, b=2 or c=3", "{a=\"b\"} | ( a==1 , ( b==2 or c==3 ) )");
    check("{a=\"b\"} | a=1 b!=2 c=~\"x\"", "{a=\"b\"} | ( a==1 , ( b!=2 , c=~\"x\" ) )");
}

TEST(logql_measures_of_label_filters)
{
    check("{a=\"b\"} | d >= 1h0.5m or s < 2.5KiB or n > -1",
          "{a=\"b\"} | ( ( d>=1h0m30s or s<2.6kB ) or n>-1 )");
    check("{a=\"b\"} | i = ip(\"10.0.0.0/8\")", "{a=\"b\"} | i=ip(\"10.0.0.0/8\")");
    check("{a=\"b\"} | v =~ `\\d+`", "{a=\"b\"} | v=~`\\d+`");
    check("{a=\"b\"} | v =~ `x|y.*`", "{a=\"b\"} | v=~\"x|y.*\"");
    refuse("{a=\"b\"} | n > 0x10", ERR_INVALID, "numbers are decimal");
    refuse("{a=\"b\"} | v =~ `(`", ERR_INVALID, "1:13: ");
}

TEST(logql_stages)
{
    check("{a=\"b\"}|json x,y=\"z[0]\"|logfmt --keep-empty --strict q|unpack|decolorize",
          "{a=\"b\"} | json x=\"x\",y=\"z[0]\" | logfmt --strict --keep-empty q=\"q\" | unpack | "
          "decolorize");
    check("{a=\"b\"} | label_format a=b, c=`{{.d}}` | drop x, y=\"1\" | keep z",
          "{a=\"b\"} | label_format a=b,c=\"{{.d}}\" | drop x,y=\"1\" | keep z");
    refuse("{a=\"b\"} | unwrap x", ERR_INVALID, "unwrap is for aggregations over time");
    refuse("{a=\"b\"} | rate", ERR_INVALID, "a comparison");
}

TEST(logql_where_the_window_may_stand)
{
    const char *want = "rate({a=\"b\"} |= \"x\" | unwrap y | z>1[5m] offset -1m0s)";

    check("rate({a=\"b\"} |= \"x\" | unwrap y | z>1 [5m] offset -1m)", want);
    check("rate({a=\"b\"}[5m] offset -1m |= \"x\" | unwrap y | z>1)", want);
    check("rate(({a=\"b\"} |= \"x\" | unwrap y | z>1)[5m] offset -1m)", want);
    check("rate((({a=\"b\"} |= \"x\" | unwrap y | z>1)[5m] offset -1m))", want);
    refuse("rate(({a=\"b\"}))", ERR_INVALID, "expected range");
    refuse("rate({a=\"b\"}[-5m])", ERR_INVALID, "not a valid duration");
}

TEST(logql_numbers_are_folded)
{
    check("1 + 2 * -3 ^ 2", "19");
    check("1 > bool 2 == 0", "1");
    check("1 -0", "1");
    check("vector(1) + 1 + 1", "((vector(1.000000) + 1) + 1)");
}

TEST(logql_checks)
{
    refuse("{a=~\".*\"}", ERR_INVALID, "matches it");
    refuse("{orrery_event=~\".*\"}", ERR_INVALID, "matches it");
    check("{orrery_event=\"\"} |= \"x\"", "{orrery_event=\"\"} |= \"x\""); /* all but events */
    refuse("{}", ERR_INVALID, "matches it");
    refuse("sum_over_time({a=\"b\"}[5m])", ERR_INVALID, "needs unwrap");
    refuse("count_over_time({a=\"b\"} | unwrap x [5m])", ERR_INVALID, "without unwrap");
    refuse("topk(0, rate({a=\"b\"}[5m]))", ERR_INVALID, "whole number above 0");
    refuse("rate({a=\"b\"}[5m]) or 1", ERR_INVALID, "its right side is a number");
    refuse("{a=\"b\"} + 1", ERR_INVALID, "its left side is lines");
    refuse("sum({a=\"b\"})", ERR_INVALID, "lines where samples");
    refuse("label_replace(vector(1), \"a\", \"b\", \"c\", \"(\")", ERR_INVALID, "label_replace");
}

TEST(logql_variants)
{
    check("VARIANTS(count_over_time({a=\"b\"}[1m]), sum by (x) (rate({a=\"b\"}|json[5m]))) of "
          "(({a=\"b\"}|=`y`)[2m])",
          "variants(count_over_time({a=\"b\"}[1m]), sum by (x)(rate({a=\"b\"} | json[5m]))) of "
          "({a=\"b\"} |= \"y\"[2m])");
    check("{of=\"x\", variants=\"y\"} | of = `z`", "{of=\"x\", variants=\"y\"} | of=\"z\"");
    check("sum by (of, variants) (rate({a=\"b\"}[1m]))",
          "sum by (of,variants)(rate({a=\"b\"}[1m]))");
    refuse("variants() of ({a=\"b\"}[1m])", ERR_INVALID, "unexpected");
    refuse("variants(vector(1))", ERR_INVALID, "expected of");
    refuse("variants(1) of ({a=\"b\"}[1m])", ERR_INVALID, "a number where a variant");
    refuse("variants({a=\"b\"}) of ({a=\"b\"}[1m])", ERR_INVALID, "lines where samples");
    refuse("variants(vector(1)) of ({a=\"b\"})", ERR_INVALID, "expected range");
    refuse("variants(vector(1)) of ({a=~\".*\"}[1m])", ERR_INVALID, "matches it");
    refuse("variants(vector(1)) of ({a=\"b\"}[1m] offset 1h)", ERR_INVALID, "offset is for");
    refuse("variants(vector(1)) of ({a=\"b\"} | unwrap x [1m])", ERR_INVALID, "unwrap is for");
    refuse("variants(vector(1)) of ({a=\"b\"}[1m]) + 1", ERR_INVALID, "unexpected");
    refuse("1 + variants(vector(1)) of ({a=\"b\"}[1m])", ERR_INVALID, "unexpected");
}

TEST(logql_is_bounded)
{
    struct buf b = {0};

    buf_fill(&b, '(', 501);
    refuse(buf_cstr(&b), ERR_LIMIT, "deeper than 500");
    buf_reset(&b);
    buf_str(&b, "vector(1)");
    for (int i = 0; i < 2001; i++)
        buf_str(&b, "+vector(1)");
    refuse(buf_cstr(&b), ERR_LIMIT, "chains more than 2000");
    buf_reset(&b);
    buf_str(&b, "{a=\"b\"}");
    for (int i = 0; i < 1001; i++)
        buf_str(&b, "|json");
    refuse(buf_cstr(&b), ERR_LIMIT, "more than 1000 stages");
    buf_reset(&b);
    buf_str(&b, "variants(vector(1)");
    for (int i = 0; i < LOGQL_MAX_VARIANTS; i++)
        buf_str(&b, ", vector(1)");
    refuse(buf_cstr(&b), ERR_LIMIT, "more than 32 variants");
    buf_done(&b);
}

TEST(logql_pretty)
{
    struct arena *a = arena_new(0);
    struct buf b = {0};
    struct logql q;

    CHECK_OK(logql_parse(
        a,
        SLICE("sum by (a) (quantile_over_time(0.9, {app=\"a-longer-name\"} |= \"error\" | json "
              "| level=\"error\" | unwrap duration(took) [5m])) / 2"),
        &q));
    logql_print_pretty(&b, q.root);
    CHECK_SLICE(buf_slice(&b), "(\n"
                               "  sum by (a) (\n"
                               "    quantile_over_time(\n"
                               "      0.9,\n"
                               "      {app=\"a-longer-name\"}\n"
                               "        |= \"error\"\n"
                               "        | json\n"
                               "        | level=\"error\"\n"
                               "        | unwrap duration(took) [5m]\n"
                               "    )\n"
                               "  )\n"
                               "/\n"
                               "  2\n"
                               ")");
    logql_done(&q);
    buf_reset(&b);
    CHECK_OK(logql_parse(a,
                         SLICE("variants(count_over_time({app=\"a-longer-name\"}[1m]), rate({app="
                               "\"a-longer-name\"}[1m])) of ({app=\"a-longer-name\"} | json [1m])"),
                         &q));
    logql_print_pretty(&b, q.root);
    CHECK_SLICE(buf_slice(&b), "variants(\n"
                               "  count_over_time({app=\"a-longer-name\"}[1m]),\n"
                               "  rate({app=\"a-longer-name\"}[1m])\n"
                               ") of (\n"
                               "  {app=\"a-longer-name\"}\n"
                               "    | json [1m]\n"
                               ")");
    logql_done(&q);
    buf_done(&b);
    arena_free(a);
}
