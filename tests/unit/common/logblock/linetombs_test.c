#include "common/lang/logql.h"
#include "common/logblock/linetombs.h"
#include "tests/unit/test.h"

#define MS NS_PER_MS

struct rig {
    struct arena *a;
    struct tombstone_list *l;
    unsigned n;
};

static void setup(struct rig *g)
{
    *g = (struct rig){arena_new(0), tombstone_list_new(SLICE("t")), 0};
}

static void teardown(struct rig *g)
{
    tombstone_list_unref(g->l);
    arena_free(g->a);
}

static struct ulid id(unsigned i)
{
    uint8_t entropy[10] = {[9] = (uint8_t)i};

    return ulid_make(1700000000000, entropy);
}

/* The matchers are those of the selector; the query is kept if it says so, as orreryctl's have none. */
static void add(struct rig *g, const char *selector, const char *query, int64_t min_ms,
                int64_t max_ms)
{
    struct matchers ms;

    CHECK_OK(logql_parse_selector(g->a, slice_cstr(selector), &ms));
    CHECK_OK(tombstone_list_add(g->l, &(struct tombstone){.ulid = id(g->n++),
                                                          .min_ms = min_ms,
                                                          .max_ms = max_ms,
                                                          .matchers = ms,
                                                          .query = slice_cstr(query)}));
    matchers_done(ms);
}

static struct labels app(struct arena *a, const char *value)
{
    struct label *l = arena_new_of(a, struct label);

    *l = (struct label){SLICE("app"), slice_cstr(value)};
    return (struct labels){l, 1};
}

static bool has(struct linetombs *lt, int64_t ts_ns, const char *line)
{
    return linetombs_has(lt, ts_ns, slice_cstr(line), (struct labels){0});
}

TEST(linetombs_take_lines_of_the_time_that_the_pipeline_lets_through)
{
    struct rig g;
    struct linetombs *lt;
    bool any;

    setup(&g);
    add(&g, "{app=\"a\"}", "{app=\"a\"} |= \"secret\"", 10, 20);
    add(&g, "{app=~\"a|b\"}", "{app=~\"a|b\"} | logfmt | level=\"debug\" | line_format \"x\"", 15,
        30);
    add(&g, "{app=\"c\"}", "{app=\"c\"}", 5, 5);
    add(&g, "{app=\"c\"}", "", 6, 9);
    lt = linetombs_new(g.a, g.l, NULL, 0, 100 * MS);
    CHECK(lt && linetombs_count(lt) == 4);

    CHECK_OK(linetombs_stream(lt, app(g.a, "a"), &any));
    CHECK(any && linetombs_first(lt) == 0);
    CHECK(!has(lt, 10 * MS - 1, "a secret") && has(lt, 10 * MS, "a secret"));
    CHECK(has(lt, 21 * MS - 1, "a secret") && !has(lt, 21 * MS, "a secret"));
    CHECK(!has(lt, 10 * MS, "nothing"));
    CHECK(!has(lt, 14 * MS, "level=debug") && has(lt, 15 * MS, "level=debug"));
    CHECK(!has(lt, 15 * MS, "level=info"));
    CHECK(!linetombs_takes_all(lt, 10 * MS, 11 * MS)); /* some of it it does not */

    CHECK_OK(linetombs_stream(lt, app(g.a, "b"), &any));
    CHECK(any && linetombs_first(lt) == 1);
    CHECK(!has(lt, 15 * MS, "a secret") && has(lt, 15 * MS, "level=debug"));

    CHECK_OK(linetombs_stream(lt, app(g.a, "c"), &any));
    CHECK(any);
    CHECK(has(lt, 5 * MS, "") && has(lt, 10 * MS - 1, "x") && !has(lt, 10 * MS, "x"));
    CHECK(linetombs_takes_all(lt, 5 * MS, 10 * MS)); /* two that touch */
    CHECK(!linetombs_takes_all(lt, 5 * MS, 10 * MS + 1));
    CHECK(!linetombs_takes_all(lt, 5 * MS - 1, 10 * MS));

    CHECK_OK(linetombs_stream(lt, app(g.a, "d"), &any));
    CHECK(!any && !has(lt, 5 * MS, "x"));
    linetombs_free(lt);
    teardown(&g);
}

TEST(linetombs_see_structured_metadata_and_lines_that_do_not_parse)
{
    const struct label m[] = {{SLICE_INIT("user"), SLICE_INIT("7")}};
    struct rig g;
    struct linetombs *lt;
    bool any;

    setup(&g);
    add(&g, "{app=\"a\"}", "{app=\"a\"} | user=\"7\"", 0, 9);
    add(&g, "{app=\"b\"}", "{app=\"b\"} | json", 0, 9);
    lt = linetombs_new(g.a, g.l, NULL, 0, 100 * MS);
    CHECK_OK(linetombs_stream(lt, app(g.a, "a"), &any));
    CHECK(linetombs_has(lt, 0, SLICE("x"), (struct labels){m, 1}) && !has(lt, 0, "x"));
    CHECK_OK(linetombs_stream(lt, app(g.a, "b"), &any));
    CHECK(has(lt, 0, "no json"));
    linetombs_free(lt);
    teardown(&g);
}

TEST(linetombs_are_none_where_nothing_is_deleted)
{
    struct matchers ms;
    struct linetombs *lt;
    struct rig g;

    setup(&g);
    CHECK(!linetombs_new(g.a, g.l, NULL, INT64_MIN, INT64_MAX));
    add(&g, "{app=\"a\"}", "", 10, 20);
    CHECK(!linetombs_new(g.a, g.l, NULL, 0, 10 * MS));
    CHECK(!linetombs_new(g.a, g.l, NULL, 21 * MS, INT64_MAX));
    CHECK_OK(logql_parse_selector(g.a, SLICE("{app=\"b\"}"), &ms));
    CHECK(!linetombs_new(g.a, g.l, &ms, 0, 100 * MS));
    matchers_done(ms);
    CHECK_OK(logql_parse_selector(g.a, SLICE("{app=~\"a.*\"}"), &ms));
    lt = linetombs_new(g.a, g.l, &ms, 0, 10 * MS + 1);
    CHECK(lt);
    linetombs_free(lt);
    matchers_done(ms);
    CHECK(tombstone_list_advance(g.l, id(0), TOMBSTONE_BEGUN, 0));
    lt = linetombs_new(g.a, g.l, NULL, 0, 100 * MS);
    CHECK(lt);
    linetombs_free(lt);
    CHECK(tombstone_list_advance(g.l, id(0), TOMBSTONE_PROCESSED, 5));
    CHECK(!linetombs_new(g.a, g.l, NULL, 0, 100 * MS));
    teardown(&g);
}

TEST(linetombs_say_what_to_look_for)
{
    struct slice needles[4];
    struct linetombs *lt;
    struct rig g;
    bool is_whole;
    size_t n;

    setup(&g);
    add(&g, "{app=\"a\"}", "{app=\"a\"} |= \"secret\" |~ \"a.*xyz\"", 0, 9);
    add(&g, "{app=\"a\"}", "{app=\"a\"}", 0, 9);
    lt = linetombs_new(g.a, g.l, NULL, 0, 100 * MS);
    CHECK_OK(linetombs_needles(lt, 0, g.a, needles, 4, &n));
    CHECK(n >= 1);
    CHECK_SLICE(needles[0], "secret");
    CHECK_OK(linetombs_is_whole(lt, 0, &is_whole));
    CHECK(!is_whole);
    CHECK_OK(linetombs_needles(lt, 1, g.a, needles, 4, &n));
    CHECK_INT(n, 0);
    CHECK_OK(linetombs_is_whole(lt, 1, &is_whole));
    CHECK(is_whole);
    linetombs_free(lt);
    teardown(&g);
}

TEST(linetombs_refuse_what_does_not_compile)
{
    static const char *const bad[] = {"{app=\"a\"} |~ \"(\"", "{app=", "{app=\"a\"} | regexp \"x\"",
                                      "rate({app=\"a\"}[1m])"};
    bool any;

    for (size_t i = 0; i < ORR_COUNT(bad); i++) {
        struct linetombs *lt;
        struct rig g;

        setup(&g);
        add(&g, "{app=\"a\"}", bad[i], 0, 9);
        lt = linetombs_new(g.a, g.l, NULL, 0, 100 * MS);
        CHECK_OK(linetombs_stream(lt, app(g.a, "b"), &any)); /* whom it does not concern */
        CHECK_ERR(linetombs_stream(lt, app(g.a, "a"), &any), ERR_INTERNAL, "the query of deletion");
        CHECK_ERR(linetombs_stream(lt, app(g.a, "a"), &any), ERR_INTERNAL, "the query of deletion");
        linetombs_free(lt);
        teardown(&g);
    }
}

/* Whoever asks may have used up its memory before the first stream of a deletion comes. */
TEST(linetombs_without_memory_are_the_limit_of_who_asks)
{
    struct linetombs *lt;
    struct arena *small = arena_new(4096);
    struct rig g;
    bool any;

    setup(&g);
    add(&g, "{app=\"a\"}", "{app=\"a\"} |= \"secret\"", 0, 9);
    lt = linetombs_new(small, g.l, NULL, 0, 100 * MS);
    (void)arena_alloc(small, 1u << 20);
    CHECK_ERR(linetombs_stream(lt, app(g.a, "a"), &any), ERR_LIMIT, "memory");
    linetombs_free(lt);
    teardown(&g);
    arena_free(small);
}
