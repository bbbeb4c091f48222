#include "common/logs/jsonpath.h"
#include "tests/unit/test.h"

static void note(void *arg, size_t path, struct slice value)
{
    buf_printf(arg, "%zu=[%.*s] ", path, SLICE_ARG(value));
}

static void check_many(const struct slice *paths, size_t n, const char *line, const char *want)
{
    struct arena *a = arena_new(0);
    struct jsonpaths *p;
    struct buf got = {0};
    size_t n_found;

    CHECK_OK(jsonpaths_make(a, paths, n, &p));
    n_found = jsonpaths_each(p, slice_cstr(line), note, &got);
    buf_printf(&got, "%zu", n_found);
    CHECK_SLICE(buf_slice(&got), want);
    buf_done(&got);
    arena_free(a);
}

static void check(const char *path, const char *line, const char *want)
{
    struct slice s = slice_cstr(path);

    check_many(&s, 1, line, want);
}

TEST(jsonpath_finds_members_and_elements)
{
    check("a", "{\"a\":1}", "0=[1] 1");
    check("a.b", " {\"x\":{\"b\":0}, \"a\" : {\"c\":[1,{}],\"b\":\"s\\\"t\"}}", "0=[s\\\"t] 1");
    check("a[1]", "{\"a\":[{\"b\":1},[2,3]]}", "0=[[2,3]] 1");
    check("a[0].b", "{\"a\":[{\"b\":1},[2,3]]}", "0=[1] 1");
    check("[\"b c\"].d", "{\"b c\":{\"d\":null}}", "0=[null] 1");
    check("a[\"x.y\"][2]", "{\"a\":{\"x.y\":[0,1,true]}}", "0=[true] 1");
    check("a", "{\"a\":{\"b\":[1, 2]}, \"c\":3}", "0=[{\"b\":[1, 2]}] 1");
    check("[1]", "[5,6]", "0=[6] 1");
    check("a.b", "{\"\\u0061\":{\"b\":7}}", "0=[7] 1");
}

TEST(jsonpath_takes_the_first_of_two)
{
    check("a", "{\"a\":1,\"a\":2}", "0=[1] 1");
    check("a.b", "{\"a\":{\"c\":1},\"a\":{\"b\":2}}", "0=[2] 1");
}

TEST(jsonpath_reads_once_for_all)
{
    struct slice paths[] = {SLICE("a.b"), SLICE("a"), SLICE("c[0]"), SLICE("z"), SLICE("a.b")};

    check_many(paths, 5, "{\"c\":[9],\"a\":{\"b\":1}}", "2=[9] 0=[1] 4=[1] 1=[{\"b\":1}] 4");
}

TEST(jsonpath_keeps_what_comes_before_an_error)
{
    struct slice paths[] = {SLICE("a"), SLICE("c")};

    check_many(paths, 2, "{\"a\":1,\"b\":", "0=[1] 1");
    check_many(paths, 2, "{\"a\":1 \"c\":2}", "0=[1] 1");
    check_many(paths, 2, "{\"a\":\"x", "0");
    check_many(paths, 2, "{\"b\":[1,{\"x\":\"}\"}],\"c\":2}", "1=[2] 1");
    check_many(paths, 2, "{\"a\"", "0");
    check_many(paths, 2, "", "0");
    check_many(paths, 2, "7", "0");
}

TEST(jsonpath_refuses)
{
    static const char *const bad[] = {"",     "a.",      ".a",    "a..b",      "a[",
                                      "a[x]", "a[0",     "a[-1]", "a b",       "1a",
                                      "a[\"", "a[\"x\"", "a]",    "a[\"\\q\"]"};
    struct arena *a = arena_new(0);
    struct slice long_path, many[JSONPATH_MAX_PATHS + 1];
    struct jsonpaths *p;
    struct buf b = {0};

    for (size_t i = 0; i < ORR_COUNT(bad); i++) {
        struct slice s = slice_cstr(bad[i]);

        CHECK_ERR(jsonpaths_make(a, &s, 1, &p), ERR_INVALID, "");
    }
    for (int i = 0; i <= JSONPATH_MAX_STEPS; i++)
        buf_str(&b, "[0]");
    long_path = buf_slice(&b);
    CHECK_ERR(jsonpaths_make(a, &long_path, 1, &p), ERR_INVALID, "");
    for (size_t i = 0; i < ORR_COUNT(many); i++)
        many[i] = SLICE("a");
    CHECK_ERR(jsonpaths_make(a, many, ORR_COUNT(many), &p), ERR_LIMIT, "");
    buf_done(&b);
    arena_free(a);
}
