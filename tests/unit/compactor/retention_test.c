#include "compactor/retention.h"
#include "tests/unit/test.h"

#define DAY 86400000ll
#define NOW (1700000000000ll + 100 * DAY)

struct fixture {
    struct arena *a;
    struct retention_rules rules;
    struct retention r;
};

static void setup(struct fixture *f, const char *yaml, int64_t default_ms)
{
    struct yaml_node *root = NULL;

    *f = (struct fixture){.a = arena_new(0)};
    CHECK_OK(yaml_load("t", slice_cstr(yaml), f->a, &root));
    CHECK_OK(retention_rules_parse("t", "retention_stream", root, f->a, &f->rules));
    f->r = (struct retention){&f->rules, default_ms, NOW};
}

static void teardown(struct fixture *f)
{
    retention_rules_done(&f->rules);
    arena_free(f->a);
}

/* {env="<value>"}. */
static struct labels env(struct arena *a, const char *value)
{
    struct label *l = arena_new_of(a, struct label);

    *l = (struct label){SLICE("env"), slice_cstr(value)};
    return (struct labels){l, 1};
}

static bool drops(struct fixture *f, const char *value, int64_t age_ms)
{
    return retention_drops(&f->r, env(f->a, value), NOW - age_ms, NULL);
}

TEST(retention_takes_series_by_the_age_of_their_block)
{
    struct fixture f;
    int64_t since_ms;

    setup(&f,
          "- {selector: '{env=\"dev\"}', period: 7d}\n- {selector: '{env=\"keep\"}', period: 60d}",
          30 * DAY);
    CHECK(drops(&f, "dev", 7 * DAY) && !drops(&f, "dev", 7 * DAY - 1));
    CHECK(!drops(&f, "keep", 59 * DAY) && drops(&f, "keep", 60 * DAY));
    CHECK(drops(&f, "prod", 30 * DAY) && !drops(&f, "prod", 29 * DAY));
    CHECK(retention_drops(&f.r, env(f.a, "dev"), NOW - 10 * DAY, &since_ms));
    CHECK_INT(since_ms, NOW - 3 * DAY);
    CHECK_INT(retention_longest(&f.r), 60 * DAY);
    CHECK_INT(retention_next_ms(&f.r, NOW - DAY), NOW + 6 * DAY);
    CHECK_INT(retention_next_ms(&f.r, NOW - 7 * DAY), NOW + 23 * DAY);
    CHECK_INT(retention_next_ms(&f.r, NOW - 60 * DAY), INT64_MAX);
    teardown(&f);
    setup(&f, "- {selector: '{env=\"dev\"}', period: 7d}", 0);
    CHECK_INT(retention_longest(&f.r), 0);
    CHECK(!drops(&f, "prod", 5000 * DAY));
    teardown(&f);
    setup(&f, "- {selector: '{env=\"keep\"}', period: 0s}", DAY);
    CHECK_INT(retention_longest(&f.r), 0);
    teardown(&f);
    setup(&f, "", DAY); /* the tenant's own: whole blocks only */
    CHECK_INT(retention_longest(&f.r), DAY);
    CHECK_INT(retention_next_ms(&f.r, NOW), INT64_MAX);
    CHECK(retention_hash(&f.r, NOW - 2 * DAY) == 0);
    teardown(&f);
}

TEST(retention_hash_changes_when_more_is_over)
{
    struct fixture f, other;

    setup(&f, "- {selector: '{env=\"dev\"}', period: 7d}\n- {selector: '{env=\"x\"}', period: 9d}",
          0);
    setup(&other,
          "- {selector: '{env=\"dev\"}', period: 6d}\n- {selector: '{env=\"x\"}', period: 9d}", 0);
    CHECK(retention_hash(NULL, NOW - 8 * DAY) == 0);
    CHECK(retention_hash(&f.r, NOW - 6 * DAY) == 0);
    CHECK(retention_hash(&f.r, NOW - 7 * DAY) != 0);
    CHECK(retention_hash(&f.r, NOW - 7 * DAY) == retention_hash(&f.r, NOW - 8 * DAY));
    CHECK(retention_hash(&f.r, NOW - 7 * DAY) != retention_hash(&f.r, NOW - 9 * DAY));
    CHECK(retention_hash(&f.r, NOW - 8 * DAY) != retention_hash(&other.r, NOW - 8 * DAY));
    teardown(&f);
    teardown(&other);
}

TEST(retention_keeps_blocks_that_do_not_leave_as_a_whole)
{
    struct catalogue_block blocks[4] = {{.max_t = NOW - 60 * DAY},
                                        {.max_t = NOW - 30 * DAY},
                                        {.max_t = NOW - 61 * DAY},
                                        {.max_t = NOW}};
    const struct catalogue_block *kept;
    struct fixture f;
    size_t n;

    setup(&f, "- {selector: '{env=\"keep\"}', period: 60d}", 30 * DAY);
    kept = retention_kept(&f.r, blocks, 4, f.a, &n);
    CHECK_INT(n, 2); /* though the others of the second are over */
    CHECK_INT(kept[0].max_t, NOW - 30 * DAY);
    CHECK_INT(kept[1].max_t, NOW);
    f.r.default_ms = 0;
    (void)retention_kept(&f.r, blocks, 4, f.a, &n);
    CHECK_INT(n, 4);
    teardown(&f);
}
