#include "common/lang/promql.h"
#include "tests/unit/test.h"

/* Parses with everything on, and compares the canonical text and, unless NULL, the tree. */
static void check(const char *query, const char *text, const char *tree)
{
    struct arena *a = arena_new(0);
    struct buf b = {0};
    struct promql q;

    CHECK_OK(promql_parse(a, slice_cstr(query), &PROMQL_EVERYTHING, &q));
    promql_print(&b, q.root);
    CHECK_SLICE(buf_slice(&b), text);
    if (tree) {
        buf_reset(&b);
        promql_print_tree(&b, q.root);
        CHECK_SLICE(buf_slice(&b), tree);
    }
    promql_done(&q);
    buf_done(&b);
    arena_free(a);
}

static void refuse(const char *query, enum err_code code, const char *message)
{
    struct arena *a = arena_new(0);
    struct promql q;

    CHECK_ERR(promql_parse(a, slice_cstr(query), &PROMQL_EVERYTHING, &q), code, message);
    arena_free(a);
}

TEST(promql_numbers)
{
    check("0x1F + 017 + 1_000 + .5e1 + 5m", "31 + 15 + 1000 + 5 + 5m", NULL);
    check("-Inf", "-Inf", "(num -Inf)");
    check("nan", "NaN", "(num NaN)");
    refuse("1..2", ERR_INVALID, "1:1: parse error: bad number or duration syntax");
    refuse("1__0", ERR_INVALID, "bad number");
    refuse("5m1m", ERR_INVALID, "not a valid duration string");
}

TEST(promql_precedence)
{
    check("1 + 2 * 3 ^ 4 ^ 5", "1 + 2 * 3 ^ 4 ^ 5",
          "(binop + (num 1) (binop * (num 2) (binop ^ (num 3) (binop ^ (num 4) (num 5)))))");
    check("inf ^ a ^ inf", "Inf ^ a ^ +Inf", NULL); /* "+Inf ^ a" would be +(Inf ^ a) */
    check("+inf ^ a", "+Inf ^ a",
          "(unary + (binop ^ (num +Inf) (selector [\"__name__\" = \"a\"])))");
    check("-a ^ 2 * b", "-a ^ 2 * b",
          "(binop * card=one-to-one ignoring=[] (unary - (binop ^ (selector [\"__name__\" = "
          "\"a\"]) (num 2))) (selector [\"__name__\" = \"b\"]))");
    check("a or b and c unless d", "a or b and c unless d",
          "(binop or card=many-to-many ignoring=[] (selector [\"__name__\" = \"a\"]) (binop unless "
          "card=many-to-many ignoring=[] (binop and card=many-to-many ignoring=[] (selector "
          "[\"__name__\" = \"b\"]) (selector [\"__name__\" = \"c\"])) (selector [\"__name__\" = "
          "\"d\"])))");
    check("a == bool 1 + 1", "a == bool 1 + 1",
          "(binop == bool (selector [\"__name__\" = \"a\"]) (binop + (num 1) (num 1)))");
    check("h </ 2 + 1", "h </ 2 + 1",
          "(binop </ (selector [\"__name__\" = \"h\"]) (binop + (num 2) (num 1)))");
    check("1 - 2 - 3", "1 - 2 - 3", "(binop - (binop - (num 1) (num 2)) (num 3))");
    check("-a offset 5m", "-a offset 5m",
          "(unary - (selector [\"__name__\" = \"a\"] offset=300000ms))");
}

TEST(promql_selectors)
{
    check("{\"foo.bar\", a=~'b\\'', \"c d\"!='`'}",
          "{\"c d\"!=\"`\",__name__=\"foo.bar\",a=~\"b'\"}", NULL);
    check("foo{a=`\\n`,}[5m] @ end() offset -1m30s", "foo{a=\"\\\\n\"}[5m] @ end() offset -1m30s",
          "(matrix (selector [\"__name__\" = \"foo\"] [\"a\" = \"\\\\n\"] offset=-90000ms at=end) "
          "range=300000ms)");
    check("foo @ 1.5", "foo @ 1.500", "(selector [\"__name__\" = \"foo\"] at=1500ms)");
    check("sum # a comment\n", "sum", "(selector [\"__name__\" = \"sum\"])");
    check("foo[1h:] offset 1w", "foo[1h:] offset 1w",
          "(subquery (selector [\"__name__\" = \"foo\"]) range=3600000ms step=0ms "
          "offset=604800000ms)");
    refuse("foo[5m] offset 1m offset 1m", ERR_INVALID, "offset may not be set multiple times");
    refuse("foo offset 1m[5m]", ERR_INVALID, "no offset modifiers allowed before range");
    refuse("(foo)[5m]", ERR_INVALID, "ranges only allowed for vector selectors");
    refuse("{a=~'.*'}", ERR_INVALID, "at least one non-empty matcher");
    refuse("foo{__name__='bar'}", ERR_INVALID, "metric name must not be set twice");
    refuse("foo{a=~'('}", ERR_INVALID, "1:5: parse error");
    refuse("foo @ Inf", ERR_INVALID, "out of bounds");
    refuse("\"\xff\"", ERR_INVALID, "invalid UTF-8");
}

TEST(promql_matching)
{
    check("a * ON(x, `y z`) GROUP_LEFT(q) b", "a * on (x, \"y z\") group_left (q) b", NULL);
    check("a + fill_right(1) fill_left(-2) b", "a + fill_left (-2) fill_right (1) b", NULL);
    check("fill + fill_left", "fill + fill_left", NULL);
    check("a + fill(1e30) b", "a + fill (1e+30) b", NULL);
    refuse("a and on(x) group_left b", ERR_INVALID, "no grouping allowed");
    refuse("1 + on(x) b", ERR_INVALID, "only allowed between instant vectors");
    refuse("1 or a", ERR_INVALID, "not allowed in binary scalar");
    refuse("1 == 1", ERR_INVALID, "1:3: parse error: comparisons between scalars must use BOOL");
    refuse("a * on(x) group_left(x) b", ERR_INVALID, "must not occur in ON and GROUP");
    refuse("a + bool b", ERR_INVALID, "bool modifier");
}

TEST(promql_aggregations_and_calls)
{
    check("sum(a) by (b,)", "sum by (b) (a)", NULL);
    check("topk without() (3, a)", "topk without () (3, a)",
          "(aggr topk without=[] param=(num 3) (selector [\"__name__\" = \"a\"]))");
    check("round(a, 5) + time()", "round(a, 5) + time()", NULL);
    check("info(a, {b=~'.*'})", "info(a, {b=~\".*\"})", NULL);
    check("start() + step", "start() + step", NULL);
    refuse("sum(a, b)", ERR_INVALID, "expected 1, got 2");
    refuse("sum()", ERR_INVALID, "no arguments");
    refuse("topk(a, a)", ERR_INVALID, "expected type scalar in aggregation parameter");
    refuse("rate(a)", ERR_INVALID,
           "1:6: parse error: expected type range vector in call to "
           "function \"rate\", got instant vector");
    refuse("abs()", ERR_INVALID, "expected 1 argument(s)");
    refuse("nosuch(a)", ERR_INVALID, "unknown function with name \"nosuch\"");
    refuse("abs(a,)", ERR_INVALID, "trailing commas");
}

TEST(promql_experimental_syntax_is_off_by_default)
{
    static const char *const queries[] = {"foo[step()]",         "foo[1m + 1m]",  "foo[(1m)]",
                                          "foo smoothed",        "a + fill(1) b", "limitk(1, a)",
                                          "mad_over_time(a[5m])"};
    struct arena *a = arena_new(0);
    struct promql q;

    for (size_t i = 0; i < ORR_COUNT(queries); i++) {
        CHECK_ERR(promql_parse(a, slice_cstr(queries[i]), NULL, &q), ERR_INVALID, "enabled");
        CHECK_OK(promql_parse(a, slice_cstr(queries[i]), &PROMQL_EVERYTHING, &q));
        promql_done(&q);
    }
    arena_free(a);
}

TEST(promql_durations_resolve)
{
    struct arena *a = arena_new(0);
    struct promql q;

    CHECK_OK(promql_parse(a, SLICE("foo[step() * 2 + 1] offset -max_of(1m, range() / 2)"),
                          &PROMQL_EVERYTHING, &q));
    CHECK_OK(promql_resolve_durations(q.root, 15000, 3600000));
    CHECK_INT(q.root->u.range.range_ms, 31000);
    CHECK_INT(q.root->u.range.selector->u.selector.offset_ms, -1800000);
    CHECK_ERR(promql_resolve_durations(q.root, -15000, 0), ERR_EXEC, "greater than 0");
    promql_done(&q);
    CHECK_OK(promql_parse(a, SLICE("foo[1 / step()]"), &PROMQL_EVERYTHING, &q));
    CHECK_ERR(promql_resolve_durations(q.root, 0, 0), ERR_EXEC, "division by zero");
    promql_done(&q);
    arena_free(a);
}

TEST(promql_is_bounded)
{
    struct arena *a = arena_new(0);
    struct buf b = {0};
    struct promql q;

    buf_fill(&b, '(', 100000);
    CHECK_ERR(promql_parse(a, buf_slice(&b), NULL, &q), ERR_LIMIT, "nests deeper than 500");
    buf_reset(&b);
    buf_fill(&b, '-', 100000);
    buf_str(&b, "a");
    CHECK_ERR(promql_parse(a, buf_slice(&b), NULL, &q), ERR_LIMIT, "nests deeper");
    buf_reset(&b);
    buf_str(&b, "1");
    for (int i = 0; i < 100000; i++)
        buf_str(&b, "+1");
    CHECK_ERR(promql_parse(a, buf_slice(&b), NULL, &q), ERR_LIMIT, "chains more than");
    buf_reset(&b);
    buf_str(&b, "a");
    for (int i = 0; i < 10000; i++)
        buf_str(&b, "[5m:1m]");
    CHECK_ERR(promql_parse(a, buf_slice(&b), NULL, &q), ERR_LIMIT, "chains more than");
    buf_reset(&b);
    buf_str(&b, "a[1");
    for (int i = 0; i < 10000; i++)
        buf_str(&b, "+1");
    CHECK_ERR(promql_parse(a, buf_slice(&b), &PROMQL_EVERYTHING, &q), ERR_LIMIT, "terms");
    buf_reset(&b);
    buf_fill(&b, 'a', PROMQL_MAX_BYTES + 1);
    CHECK_ERR(promql_parse(a, buf_slice(&b), NULL, &q), ERR_LIMIT, "bytes long");
    buf_done(&b);
    arena_free(a);
}

TEST(promql_says_when_its_arena_is_over)
{
    struct arena *a = arena_new(200);
    struct promql q;

    CHECK_ERR(promql_parse(a, SLICE("sum(rate(foo{a=~'b.*'}[5m])) by (x)"), NULL, &q), ERR_LIMIT,
              "memory");
    arena_free(a);
}

TEST(promql_selectors_for_match)
{
    struct arena *a = arena_new(0);
    struct matchers ms;

    CHECK_OK(promql_parse_selector(a, SLICE("up{job=\"a\"}"), &ms));
    CHECK_INT(ms.n, 2);
    CHECK(!promql_selects_all(ms));
    matchers_done(ms);
    CHECK_OK(promql_parse_selector(a, SLICE("{}"), &ms));
    CHECK(promql_selects_all(ms));
    matchers_done(ms);
    CHECK_ERR(promql_parse_selector(a, SLICE("up[5m]"), &ms), ERR_INVALID, "1:3");
    CHECK_ERR(promql_parse_selector(a, SLICE("up{a=~'x'} offset 5m"), &ms), ERR_INVALID, "offset");
    CHECK_ERR(promql_parse_selector(a, SLICE("sum(up)"), &ms), ERR_INVALID, "");
    arena_free(a);
}

TEST(promql_metrics)
{
    struct arena *a = arena_new(0);
    struct buf b = {0};
    struct labels ls;

    CHECK_OK(promql_parse_metric(a, SLICE("up{job=\"a\",'x.y'='z'}"), &ls));
    labels_text(&b, ls);
    CHECK_SLICE(buf_slice(&b), "up{job=\"a\", \"x.y\"=\"z\"}");
    CHECK_ERR(promql_parse_metric(a, SLICE("up{job!=\"a\"}"), &ls), ERR_INVALID, "expected \"=\"");
    buf_done(&b);
    arena_free(a);
}

TEST(promql_functions_are_all_found)
{
    for (int i = 0; i < PROMQL_FN_COUNT; i++) {
        const struct promql_func *f = promql_func_of((enum promql_fn)i);

        CHECK_INT(f->id, i);
        CHECK(promql_func_find(slice_cstr(f->name)) == f);
        for (const char *p = f->args; *p; p++)
            CHECK(promql_func_type(*p) != PROMQL_NONE);
    }
    CHECK(promql_func_find(SLICE("RATE")) == NULL);
}
