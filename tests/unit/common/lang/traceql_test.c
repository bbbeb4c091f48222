#include <math.h>

#include "common/lang/traceql.h"
#include "tests/unit/test.h"

static void check(const char *query, const char *text)
{
    struct arena *a = arena_new(0);
    struct buf b = {0};
    struct traceql q;

    CHECK_OK(traceql_parse(a, slice_cstr(query), &q));
    traceql_print(&b, &q);
    CHECK_SLICE(buf_slice(&b), text);
    buf_done(&b);
    arena_free(a);
}

static void refuse(const char *query, enum err_code code, const char *message)
{
    struct arena *a = arena_new(0);
    struct traceql q;

    CHECK_ERR(traceql_parse(a, slice_cstr(query), &q), code, message);
    arena_free(a);
}

TEST(traceql_precedence)
{
    check("{ .a = 1 || .b = 2 && .c = 3 }", "{ ((.a = 1) || (.b = 2)) && (.c = 3) }");
    check("{ -.a * 2 ^ 3 ^ .b - 1 > .c && !.d * .e }",
          "{ (((-(.a * (2 ^ (3 ^ .b)))) - 1) > .c) && (!(.d * .e)) }");
    check("{.a} > {.b} && {.c} >> {.d}", "(({ .a }) > ({ .b })) && (({ .c }) >> ({ .d }))");
}

TEST(traceql_constants_are_folded)
{
    check("{ 1 + 2 * 3 = 7 && 5 / 0 = 1 }", "{ true && ((5 / 0) = 1) }");
    check("{ .a > 1s * 2 }", "{ .a > 2e+09 }");
    check("{ maxInt + 1 = minInt && minInt / -1 = minInt }", "{ true }");
    check("{ \"abc\" =~ \"a.\" || nil = nil }", "{ true }");
    check("{ \"abc\" =~ \"a.\" || 1h = nil }", "{ false }");
}

TEST(traceql_names)
{
    check("{ .a.b-c/d*%e && span.\"x y\\\"z\".\"q\" && ."
          "\"3\" }",
          "{ (.a.b-c/d*%e && span.\"x y\\\"z.q\") && .\"3\" }");
    check("{ trace:rootService = span:name }", "{ rootServiceName = name }");
    check("{ event.a = 1 && link.b = 2 && instrumentation.c = 3 && resource.d = 4 }",
          "{ (((event.a = 1) && (link.b = 2)) && (instrumentation.c = 3)) && (resource.d = 4) }");
    refuse("{ . a }", ERR_INVALID, "1:4: parse error: an attribute needs a name");
    refuse("{ span:rootName = \"a\" }", ERR_INVALID, "no such intrinsic");
    refuse("{ .\"a }", ERR_INVALID, "1:4: parse error: a quoted name that does not end");
    refuse("{ parent.a = 1 }", ERR_INVALID, "parent is not supported yet");
}

TEST(traceql_pipelines)
{
    check("{} | by(.a + 1) | select(.b,name) | coalesce() | max(.c) >= 1h",
          "{ true }|by(.a + 1)|select(.b, name)|coalesce()|(max(.c)) >= 1h0m0s");
    check("({.a} | count() > 1) && ({.b})", "({ .a }|(count()) > 1) && ({ .b })");
    refuse("({.a} | {.b}) && {.c}", ERR_INVALID, "1:15: parse error: both sides of this operator");
    refuse("({.a} | count()) > ({.b} | count())", ERR_INVALID, "not supported yet");
    refuse("{} | count()", ERR_INVALID, "1:13: parse error: unexpected end of input");
    refuse("coalesce()", ERR_INVALID, "1:1: parse error: unexpected \"coalesce\"");
}

TEST(traceql_metrics_and_stages)
{
    check("({} | rate() > 6) * 100 > 5s | topk(3)", "({ true } | rate() > 6) * 100 > 5 | topk(3)");
    check("(({} | rate()) + ({} | rate())) / 2", "(({ true } | rate()) + ({ true } | rate())) / 2");
    check("({} | rate() | topk(2)) < 1", "{ true } | rate() | topk(2) < 1");
    refuse("{} | rate() + 5", ERR_INVALID, "1:13: ");
    refuse("({} | rate()) * 1s", ERR_INVALID, "no arithmetic with durations");
    refuse("({} | rate()) * (1 / 0)", ERR_INVALID, "a division by zero");
    refuse("({} | compare({})) * 2", ERR_INVALID, "compare() stands alone");
    refuse("{} | rate() | topk(0)", ERR_INVALID, "a number above 0");
    refuse("{} | compare({}, 3, 5, 4)", ERR_INVALID, "ends before it starts");
}

TEST(traceql_types)
{
    refuse("{ 1 = name }", ERR_INVALID, "integer and string do not go together");
    refuse("{ status > ok }", ERR_INVALID, "an operator that is not for these types");
    refuse("{ status = nil }", ERR_INVALID, "status is never nil");
    refuse("{ duration }", ERR_INVALID, "a filter is true or false, and this is a duration");
    refuse("{ .a =~ .b }", ERR_INVALID, "right of =~ stands a text, not .b");
    refuse("{ .a =~ \"(\" }", ERR_INVALID, "an invalid regular expression");
    refuse("{} | by(1)", ERR_INVALID, "this says nothing of the span");
}

static void repeat(struct buf *b, const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        buf_str(b, text);
}

TEST(traceql_cmp_orders_all_floats)
{
    const double in_order[] = {NAN, -INFINITY, -1, 0, 1, INFINITY};

    for (size_t i = 0; i < ORR_COUNT(in_order); i++)
        for (size_t k = 0; k < ORR_COUNT(in_order); k++) {
            struct traceql_static l = {TRACEQL_FLOAT, {.f = in_order[i]}};
            struct traceql_static r = {TRACEQL_FLOAT, {.f = in_order[k]}};

            CHECK_INT(traceql_cmp(&l, &r), i < k ? -1 : i > k);
        }
}

TEST(traceql_prints_kinds_that_have_no_name)
{
    const int64_t kinds[] = {5, 200, -1};
    struct buf b = {0};

    for (size_t i = 0; i < ORR_COUNT(kinds); i++) {
        struct traceql_static v = {TRACEQL_SPAN_KIND, {.i = kinds[i]}};

        buf_str(&b, i ? " " : "");
        traceql_print_static(&b, &v);
    }
    CHECK_SLICE(buf_slice(&b), "consumer kind(200) kind(-1)");
    buf_done(&b);
}

TEST(traceql_bounds)
{
    struct buf b = {0};

    repeat(&b, "(", 600);
    refuse(buf_cstr(&b), ERR_LIMIT, "nests deeper than 500 levels");
    buf_reset(&b);
    buf_str(&b, "{ .a");
    repeat(&b, " || .a", 2100);
    refuse(buf_cstr(&b), ERR_LIMIT, "chains more than 2000 operations");
    buf_reset(&b);
    buf_str(&b, "{ ");
    repeat(&b, "!", 600);
    refuse(buf_cstr(&b), ERR_LIMIT, "nests deeper than 500 levels");
    buf_reset(&b);
    buf_str(&b, "{} | select(.a");
    repeat(&b, ",.a", 4100);
    refuse(buf_cstr(&b), ERR_LIMIT, "a list of more than 4096 items");
    buf_done(&b);
}
