#include "common/model/matcher.h"
#include "tests/unit/test.h"

static bool matches(enum matcher_op op, const char *pattern, const char *value)
{
    struct arena *a = arena_new(0);
    struct matcher m;
    bool is_match;

    CHECK_OK(matcher_init(a, op, SLICE("x"), slice_cstr(pattern), &m));
    is_match = matcher_matches(&m, slice_cstr(value));
    matcher_done(&m);
    arena_free(a);
    return is_match;
}

TEST(matcher_operators)
{
    CHECK(matches(MATCHER_EQ, "a", "a"));
    CHECK(!matches(MATCHER_EQ, "a", "b"));
    CHECK(matches(MATCHER_NE, "a", ""));
    CHECK(matches(MATCHER_RE, "a.c", "abc"));
    CHECK(!matches(MATCHER_RE, "b", "abc"));
    CHECK(matches(MATCHER_RE, ".*", ""));
    CHECK(!matches(MATCHER_RE, ".+", ""));
    CHECK(matches(MATCHER_NRE, "a|b", "c"));
    CHECK(!matches(MATCHER_NRE, "a|b", "b"));
    CHECK(matches(MATCHER_RE, "a.b", "a\nb"));
}

/* What is found out about a pattern must not change what it matches. */
TEST(matcher_shortcuts_agree_with_the_regex)
{
    static const char *const patterns[] = {
        "a|b|c",     "(a|b)", "(?:a|b)c", "foo.*",   "foob?", "fo{2}",   "a\\.b",
        "(a)(b)",    "a|b*",  "(?i)a",    "(?i:ab)", "x|",    "",        "\\Qa|b\\E",
        "\xc3\xa9+", "a$",    "^a",       "[ab]|c",  "a||b",  "(a|b)|c", "foo\\d"};
    static const char *const values[] = {
        "",    "a",   "b",   "c",   "ab",   "ac",       "bc",
        "A",   "AB",  "fo",  "foo", "foob", "foobar",   "foo1",
        "a.b", "axb", "a|b", "x",   "bb",   "\xc3\xa9", "\xc3\xa9\xc3\xa9",
        "\xc3"};

    for (size_t i = 0; i < ORR_COUNT(patterns); i++) {
        struct re *re;

        CHECK_OK(re_compile(slice_cstr(patterns[i]), RE_ANCHORED, &re));
        for (size_t j = 0; j < ORR_COUNT(values); j++)
            if (matches(MATCHER_RE, patterns[i], values[j]) != re_match(re, slice_cstr(values[j])))
                test_fail(__FILE__, __LINE__, "%s on %s", patterns[i], values[j]);
        re_free(re);
    }
}

TEST(matcher_finds_sets_and_prefixes)
{
    struct arena *a = arena_new(0);
    struct matcher m;

    CHECK_OK(matcher_init(a, MATCHER_RE, SLICE("x"), SLICE("b|a\\.c"), &m));
    CHECK_INT(m.set_n, 2);
    CHECK_SLICE(m.set[0], "a.c");
    matcher_done(&m);
    CHECK_OK(matcher_init(a, MATCHER_RE, SLICE("x"), SLICE("foob*"), &m));
    CHECK(m.set == NULL);
    CHECK_SLICE(m.prefix, "foo");
    matcher_done(&m);
    arena_free(a);
}

/* What a dashboard makes of "all": longer than any other regex may be. */
TEST(matcher_takes_a_list_of_literals_of_any_length)
{
    struct arena *a = arena_new(0);
    struct buf b = {0};
    struct matcher m;

    for (int i = 0; i < 50000; i++)
        buf_printf(&b, "%s10\\.0\\.0\\.%d:9100", i ? "|" : "(", i / 2);
    buf_byte(&b, ')');
    CHECK(b.len > 10 * (size_t)MATCHER_MAX_REGEX_BYTES);
    CHECK_OK(matcher_init(a, MATCHER_RE, SLICE("x"), buf_slice(&b), &m));
    CHECK_INT(m.set_n, 25000); /* each once */
    CHECK(matcher_matches(&m, SLICE("10.0.0.0:9100")));
    CHECK(matcher_matches(&m, SLICE("10.0.0.24999:9100")));
    CHECK(!matcher_matches(&m, SLICE("10.0.0.25000:9100")));
    CHECK(!matcher_matches(&m, SLICE("10.0.0.1")));
    CHECK(arena_used(a) < 10 * b.len);
    matcher_done(&m);
    buf_reset(&b);
    for (int i = 0; i < 5000; i++)
        buf_printf(&b, "|pod-%d.*", i);
    CHECK_ERR(matcher_init(a, MATCHER_RE, SLICE("x"), buf_slice(&b), &m), ERR_INVALID,
              "at most 32768, unless it is a list of literals");
    CHECK_ERR(matcher_init(a, MATCHER_RE, SLICE("x"), SLICE("a|\xff"), &m), ERR_INVALID, "UTF-8");
    buf_done(&b);
    arena_free(a);
}

TEST(matcher_charges_its_regex)
{
    struct arena *a = arena_new(1 << 20);
    struct err *e = NULL;
    struct matcher m;
    int n = 0;

    for (; !e && n < 1000; n++)
        if (!(e = matcher_init(a, MATCHER_RE, SLICE("x"), SLICE("\\pL{50}"), &m)))
            matcher_done(&m);
    CHECK(n < 1000);
    CHECK_ERR(e, ERR_LIMIT, "regexes need more memory than the limit of 1048576 bytes");
    arena_free(a);
}

TEST(matchers_are_counted)
{
    static struct matcher ms[MATCHERS_MAX + 1];
    struct arena *a = arena_new(0);
    struct matchers got;
    struct buf b = {0};

    for (size_t i = 0; i < ORR_COUNT(ms); i++)
        CHECK_OK(matcher_init(a, MATCHER_NE, SLICE("x"), SLICE("1"), &ms[i]));
    CHECK_OK(matchers_check_count((struct matchers){ms, MATCHERS_MAX}));
    matchers_encode(&b, (struct matchers){ms, MATCHERS_MAX});
    CHECK_OK(matchers_decode(a, buf_slice(&b), &got));
    CHECK_INT(got.n, MATCHERS_MAX);
    CHECK_ERR(matchers_check_count((struct matchers){ms, MATCHERS_MAX + 1}), ERR_LIMIT,
              "may have 4096 matchers");
    for (size_t i = 0; i <= MATCHERS_MAX_REGEXES; i++)
        CHECK_OK(matcher_init(a, MATCHER_RE, SLICE("x"), SLICE("a+"), &ms[i]));
    CHECK_OK(matchers_check_count((struct matchers){ms, MATCHERS_MAX_REGEXES}));
    buf_reset(&b);
    matchers_encode(&b, (struct matchers){ms, MATCHERS_MAX_REGEXES + 1});
    CHECK_ERR(matchers_decode(a, buf_slice(&b), &got), ERR_LIMIT, "may have 256 regexes");
    matchers_done((struct matchers){ms, MATCHERS_MAX_REGEXES + 1});
    buf_done(&b);
    arena_free(a);
}

TEST(matcher_refuses_a_bad_regex)
{
    struct arena *a = arena_new(0);
    struct matcher m;

    CHECK_ERR(matcher_init(a, MATCHER_RE, SLICE("x"), SLICE("a("), &m), ERR_INVALID, "");
    arena_free(a);
}

TEST(matchers_survive_their_wire_form)
{
    struct arena *a = arena_new(0);
    struct matcher ms[2];
    struct matchers got;
    struct buf b = {0}, text = {0};

    CHECK_OK(matcher_init(a, MATCHER_EQ, SLICE("x"), SLICE("1"), &ms[0]));
    CHECK_OK(matcher_init(a, MATCHER_NRE, SLICE("y.z"), SLICE("a.*"), &ms[1]));
    matchers_encode(&b, (struct matchers){ms, 2});
    CHECK_OK(matchers_decode(a, buf_slice(&b), &got));
    CHECK_INT(got.n, 2);
    matcher_text(&text, &got.ptr[0]);
    matcher_text(&text, &got.ptr[1]);
    CHECK_SLICE(buf_slice(&text), "x=\"1\"\"y.z\"!~\"a.*\"");
    matchers_done(got);
    for (size_t n = 0; n < b.len; n++)
        CHECK_ERR(matchers_decode(a, slice_sub(buf_slice(&b), 0, n), &got), ERR_INVALID, "");
    buf_byte(&b, 0);
    CHECK_ERR(matchers_decode(a, buf_slice(&b), &got), ERR_INVALID, "too many");
    matchers_done((struct matchers){ms, 2});
    buf_done(&b);
    buf_done(&text);
    arena_free(a);
}

TEST(matchers_match_absent_labels_as_empty)
{
    static const struct label ls[] = {{SLICE_INIT("a"), SLICE_INIT("1")}};
    struct arena *a = arena_new(0);
    struct matcher ms[2];

    CHECK_OK(matcher_init(a, MATCHER_EQ, SLICE("a"), SLICE("1"), &ms[0]));
    CHECK_OK(matcher_init(a, MATCHER_NE, SLICE("b"), SLICE("2"), &ms[1]));
    CHECK(matchers_match((struct matchers){ms, 2}, (struct labels){ls, 1}));
    CHECK(!matchers_match((struct matchers){ms, 1}, (struct labels){0}));
    CHECK(matcher_matches_empty(&ms[1]));
    arena_free(a);
}
