#include "common/base/fsx.h"
#include "common/block/aggr_build.h"
#include "common/block/block_store.h"
#include "common/objstore/objstore_fs.h"
#include "compactor/deletions.h"
#include "tests/unit/common/block/block_fixture.h"

#define TENANT SLICE("t")
#define SIGNAL SLICE("metrics")
#define NOW_MS (FIXTURE_T0 + 86400000)
#define AFTER_MS 3600000

/* Blocks 1 to 3: series a=1 and a=2, each with three samples 1000 apart from T0 + 100,000 i. */
struct fixture {
    struct arena *a;
    struct objstore *store;
    struct catalogue *c;
    struct tombstone_list *l;
    struct deletions *d;
    struct deletions_opts opts;
    unsigned asked; /* bits of blocks */
    unsigned bad;
    bool wanted, more;
    int64_t due_ms;
};

static bool wants(void *arg, const struct catalogue_block *b)
{
    struct fixture *f = arg;

    for (unsigned i = 1; i <= 3; i++)
        if (ulid_eq(b->ulid, fixture_ulid(i)))
            f->asked |= 1u << i;
    return f->wanted;
}

static void bad(void *arg, struct ulid block, const char *reason)
{
    struct fixture *f = arg;

    (void)block;
    CHECK(reason[0] != '\0');
    f->bad++;
}

static void make_block(struct fixture *f, unsigned i)
{
    struct block_writer *w = open_writer(i);
    struct catalogue_block cb;
    struct block_meta m;

    for (unsigned k = 1; k <= 2; k++) {
        struct chunk c = floats(f->a, FIXTURE_T0 + 100000 * i, 1000, 3, 1);
        const char *text = k == 1 ? "a=1" : "a=2";

        CHECK_OK(block_writer_add(w, &(struct block_series){.labels = labels_from(f->a, text),
                                                            .chunks = &c,
                                                            .n_chunks = 1}));
    }
    finish_writer(w, f->a, &m);
    CHECK_OK(block_store_upload(f->store, SIGNAL, TENANT, block_path(i), &m));
    CHECK_OK(fsx_remove_tree(block_path(i)));
    cb = catalogue_block_of_meta(&m);
    catalogue_add(f->c, &cb);
}

static void setup(struct fixture *f)
{
    static char bucket[512];

    *f = (struct fixture){.a = arena_new(0), .d = deletions_new(), .wanted = true};
    snprintf(bucket, sizeof(bucket), "%s", tmp_path("bucket"));
    CHECK_OK(fsx_remove_tree(bucket));
    CHECK_OK(objstore_fs_open(bucket, &(struct objstore_fs_opts){.no_sync = true}, &f->store));
    f->c = catalogue_new(SIGNAL, TENANT);
    f->l = tombstone_list_new(TENANT);
    for (unsigned i = 1; i <= 3; i++)
        make_block(f, i);
    f->opts = (struct deletions_opts){.signal = signal_of(SIGNAL_METRICS),
                                      .store = f->store,
                                      .rewrite_after_ms = AFTER_MS,
                                      .now_ms = NOW_MS,
                                      .max_looks = 64,
                                      .wants = wants,
                                      .bad = bad,
                                      .arg = f};
}

static void teardown(struct fixture *f)
{
    deletions_free(f->d);
    tombstone_list_unref(f->l);
    catalogue_free(f->c);
    objstore_close(f->store);
    arena_free(f->a);
}

static void add(struct fixture *f, unsigned i, const char *value, int64_t min_ms, int64_t max_ms,
                int64_t created_ms)
{
    struct matcher m = matcher_from(f->a, MATCHER_EQ, "a", value);
    struct tombstone t = {.ulid = fixture_ulid(i),
                          .created_ms = created_ms,
                          .min_ms = FIXTURE_T0 + min_ms,
                          .max_ms = FIXTURE_T0 + max_ms,
                          .matchers = {&m, 1}};

    CHECK_OK(tombstone_list_add(f->l, &t));
    matcher_done(&m);
}

static void look(struct fixture *f)
{
    f->asked = 0;
    CHECK_OK(deletions_look(f->d, &f->opts, f->c, f->l, &f->more, &f->due_ms));
}

static bool is_due(struct fixture *f, unsigned block)
{
    return deletions_due_ms(f->d, fixture_ulid(block)) != INT64_MAX;
}

static bool is_clean(struct fixture *f, size_t tombstone)
{
    size_t n;

    return deletions_is_clean(f->d, f->c, &tombstone_list_all(f->l, &n)[tombstone]);
}

TEST(deletions_find_the_blocks_that_hold_samples)
{
    struct fixture f;

    setup(&f);
    add(&f, 10, "1", 0, 150000, NOW_MS - 2 * AFTER_MS);      /* in block 1 */
    add(&f, 11, "3", 0, 500000, NOW_MS - 2 * AFTER_MS);      /* no such series */
    add(&f, 12, "2", 200100, 200900, NOW_MS - 2 * AFTER_MS); /* between two samples of a chunk */
    add(&f, 13, "2", 300500, 301500, NOW_MS - 3 * AFTER_MS); /* inside of one, where a sample is */
    look(&f);
    CHECK_INT(f.due_ms, INT64_MAX);
    CHECK(is_due(&f, 1) && !is_due(&f, 2) && is_due(&f, 3));
    CHECK_INT(deletions_due_ms(f.d, fixture_ulid(1)), NOW_MS - AFTER_MS);
    CHECK_INT(deletions_due_ms(f.d, fixture_ulid(3)), NOW_MS - 2 * AFTER_MS);
    CHECK_INT(deletions_blocks(f.d), 2);
    /* what else is in a block that waits to be rewritten is of no interest */
    CHECK(!is_clean(&f, 0) && !is_clean(&f, 1) && is_clean(&f, 2) && !is_clean(&f, 3));
    look(&f); /* nothing new: nothing is read */
    CHECK_INT(f.asked, 0);
    CHECK(catalogue_retire(f.c, fixture_ulid(1), NOW_MS));
    CHECK(catalogue_retire(f.c, fixture_ulid(3), NOW_MS));
    look(&f);
    CHECK_INT(deletions_blocks(f.d), 0);
    CHECK(is_clean(&f, 0) && is_clean(&f, 1) && is_clean(&f, 3));
    teardown(&f);
}

TEST(deletions_wait_until_they_are_due)
{
    struct fixture f;

    setup(&f);
    add(&f, 10, "1", 0, 150000, NOW_MS - AFTER_MS + 5);
    look(&f);
    CHECK_INT(f.due_ms, NOW_MS + 5);
    CHECK_INT(f.asked, 0);
    CHECK(!is_due(&f, 1) && !is_clean(&f, 0));
    f.opts.now_ms = f.due_ms;
    look(&f);
    CHECK(is_due(&f, 1) && f.due_ms == INT64_MAX);
    add(&f, 11, "2", 0, 250000, NOW_MS - AFTER_MS); /* a newer one: only what it reaches */
    look(&f);
    CHECK(is_due(&f, 2) && !is_due(&f, 3));
    CHECK_INT(f.asked, 1u << 2);
    teardown(&f);
}

TEST(deletions_look_again_at_what_was_left)
{
    struct fixture f;

    setup(&f);
    add(&f, 10, "9", 0, 500000, NOW_MS - 2 * AFTER_MS);
    f.wanted = false;
    look(&f);
    CHECK(f.due_ms == INT64_MIN && !f.more && !is_clean(&f, 0));
    f.wanted = true;
    f.opts.max_looks = 2;
    look(&f);
    CHECK(f.more && !is_clean(&f, 0));
    look(&f);
    CHECK(!f.more && is_clean(&f, 0));
    CHECK_INT(f.asked, 1u << 3);
    teardown(&f);
}

TEST(deletions_name_a_block_that_is_corrupt)
{
    struct fixture f;
    char *path;
    struct buf b = {0};

    setup(&f);
    path = arena_printf(f.a, "%s/metrics/t/%s/index", f.store->name + 11,
                        ulid_print(fixture_ulid(2)).s);
    CHECK_OK(fsx_read(path, 1 << 20, &b));
    b.ptr[b.len - 20] ^= 0x40;
    CHECK_OK(fsx_write_atomic(path, buf_slice(&b)));
    buf_done(&b);
    add(&f, 10, "1", 0, 500000, NOW_MS - 2 * AFTER_MS);
    look(&f);
    CHECK_INT(f.bad, 1);
    CHECK(is_due(&f, 1) && !is_due(&f, 2) && is_due(&f, 3) && !is_clean(&f, 0));
    teardown(&f);
}

TEST(deletions_remember_since_when_nothing_is_held)
{
    struct fixture f;

    setup(&f);
    add(&f, 10, "9", 0, 500000, NOW_MS - 2 * AFTER_MS);
    CHECK_INT(deletions_note_clean(f.d, fixture_ulid(10), true, 5), INT64_MAX); /* not due */
    look(&f);
    CHECK_INT(deletions_note_clean(f.d, fixture_ulid(10), true, 5), 5);
    CHECK_INT(deletions_note_clean(f.d, fixture_ulid(10), true, 9), 5);
    CHECK_INT(deletions_note_clean(f.d, fixture_ulid(10), false, 10), INT64_MAX);
    CHECK_INT(deletions_note_clean(f.d, fixture_ulid(10), true, 11), 11);
    CHECK(tombstone_list_remove(f.l, fixture_ulid(10)));
    look(&f);
    CHECK_INT(deletions_note_clean(f.d, fixture_ulid(10), true, 12), INT64_MAX);
    teardown(&f);
}

TEST(deletions_show_what_was_rewritten)
{
    struct fixture f;
    struct buf b = {0};
    char want[512];

    setup(&f);
    add(&f, 10, "1", 0, 150000, NOW_MS - 2 * AFTER_MS);
    look(&f);
    deletions_rewritten(f.d, fixture_ulid(1), fixture_ulid(20));
    deletions_rewritten(f.d, fixture_ulid(2), fixture_ulid(21)); /* held nothing */
    deletions_forgotten(f.d, fixture_ulid(10), 77);
    deletions_put(&b, f.d, 5);
    snprintf(want, sizeof(want),
             "[{\"tombstone\":\"%s\",\"rewritten\":1,\"blocks\":[{\"from\":\"%s\",\"to\":\"%s\"}],"
             "\"forgotten\":77}]",
             ulid_print(fixture_ulid(10)).s, ulid_print(fixture_ulid(1)).s,
             ulid_print(fixture_ulid(20)).s);
    CHECK_SLICE(buf_slice(&b), want);
    buf_done(&b);
    teardown(&f);
}

TEST(deletions_find_series_whose_retention_is_over)
{
    struct retention r = {.rules = &(struct retention_rules){0}};
    struct retention_rules rules;
    struct yaml_node *root = NULL;
    struct fixture f;

    setup(&f);
    CHECK_OK(yaml_load(
        "t", SLICE("[{selector: '{a=\"1\"}', period: 10h}, {selector: '{a=\"7\"}', period: 1h}]"),
        f.a, &root));
    CHECK_OK(retention_rules_parse("t", "retention_stream", root, f.a, &rules));
    r = (struct retention){&rules, 0, FIXTURE_T0 + 3600000 + 102001};
    f.opts.retention = &r;
    look(&f); /* a rule is over for block 1, and none of its series is meant */
    CHECK_INT(f.asked, 1u << 1);
    CHECK_INT(deletions_blocks(f.d), 0);
    CHECK_INT(f.due_ms, FIXTURE_T0 + 3600000 + 202001);
    look(&f);
    CHECK_INT(f.asked, 0);
    r.now_ms = FIXTURE_T0 + 36000000 + 202001;
    look(&f);
    CHECK_INT(f.asked, 1u << 1 | 1u << 2 | 1u << 3);
    CHECK(is_due(&f, 1) && is_due(&f, 2) && !is_due(&f, 3));
    CHECK_INT(deletions_due_ms(f.d, fixture_ulid(2)), FIXTURE_T0 + 36000000 + 202001);
    deletions_settled(f.d, fixture_ulid(2));
    look(&f);
    CHECK_INT(f.asked, 0);
    CHECK(!is_due(&f, 2));
    retention_rules_done(&rules);
    teardown(&f);
}

/* As Thanos' labels are: of the block, not in its index. */
static void give_labels(struct fixture *f, unsigned i, const char *text)
{
    struct catalogue_block b = *catalogue_find(f->c, fixture_ulid(i));

    b.labels = labels_from(f->a, text);
    catalogue_add(f->c, &b);
}

TEST(deletions_see_the_labels_that_a_block_gives_its_series)
{
    struct retention_rules rules;
    struct retention r;
    struct yaml_node *root = NULL;
    struct fixture f;
    struct matcher m;

    setup(&f);
    give_labels(&f, 1, "cluster=eu");
    give_labels(&f, 2, "cluster=us");
    m = matcher_from(f.a, MATCHER_EQ, "cluster", "eu");
    CHECK_OK(tombstone_list_add(f.l, &(struct tombstone){.ulid = fixture_ulid(10),
                                                         .created_ms = NOW_MS - 2 * AFTER_MS,
                                                         .min_ms = FIXTURE_T0,
                                                         .max_ms = FIXTURE_T0 + 500000,
                                                         .matchers = {&m, 1}}));
    matcher_done(&m);
    look(&f);
    CHECK(is_due(&f, 1) && !is_due(&f, 2) && !is_due(&f, 3));
    CHECK(!is_clean(&f, 0));

    CHECK_OK(yaml_load("t", SLICE("[{selector: '{cluster=\"us\"}', period: 1h}]"), f.a, &root));
    CHECK_OK(retention_rules_parse("t", "retention_stream", root, f.a, &rules));
    r = (struct retention){&rules, 0, NOW_MS};
    f.opts.retention = &r;
    look(&f);
    CHECK(is_due(&f, 1) && is_due(&f, 2) && !is_due(&f, 3));
    retention_rules_done(&rules);
    teardown(&f);
}

/* Block 4: an hour of a=1 in points of 5 minutes, whose times go to ret. */
static void make_coarse(struct fixture *f, struct aggr_columns *ret)
{
    struct block_writer_opts o = {.dir = tmp_path(""), .no_sync = true};
    struct chunk raw = floats(f->a, FIXTURE_T0, 60000, 60, 1);
    struct catalogue_block cb;
    struct block_writer *w;
    struct aggr_build b;
    struct block_meta m;

    o.meta = (struct block_meta){.ulid = fixture_ulid(4),
                                 .level = 1,
                                 .tenant = TENANT,
                                 .origin = SLICE("compactor"),
                                 .resolution_ms = AGGR_5M_MS};
    CHECK_OK(block_writer_open(&o, &w));
    aggr_build_init(&b);
    aggr_build_begin(&b, f->a, AGGR_5M_MS);
    CHECK_OK(aggr_build_chunk(&b, &raw));
    aggr_build_end(&b);
    CHECK_INT(b.out.chunks.len, 1);
    CHECK_OK(aggr_chunk_decode(f->a, b.out.chunks.ptr[0].data, AGGR_ALL, ret));
    CHECK_OK(block_writer_add(w, &(struct block_series){.labels = labels_from(f->a, "a=1"),
                                                        .chunks = b.out.chunks.ptr,
                                                        .n_chunks = 1}));
    aggr_build_done(&b);
    finish_writer(w, f->a, &m);
    CHECK_OK(block_store_upload(f->store, SIGNAL, TENANT, block_path(4), &m));
    CHECK_OK(fsx_remove_tree(block_path(4)));
    cb = catalogue_block_of_meta(&m);
    catalogue_add(f->c, &cb);
}

TEST(deletions_go_by_the_windows_of_aggregates)
{
    struct aggr_columns points;
    struct fixture f;

    setup(&f);
    make_coarse(&f, &points);
    CHECK(points.n > 10);
    /* an hour from T0 on, which is no bound of a window: the first and the last one are there in part */
    add(&f, 10, "1", -3600000, points.t[0] - FIXTURE_T0 - AGGR_5M_MS, NOW_MS - 2 * AFTER_MS);
    add(&f, 11, "1", points.t[points.n - 2] - FIXTURE_T0 + 1 + AGGR_5M_MS, 7200000,
        NOW_MS - 2 * AFTER_MS);
    for (unsigned i = 1; i <= 3; i++)
        CHECK(catalogue_retire(f.c, fixture_ulid(i), NOW_MS));
    look(&f);
    CHECK(!is_due(&f, 4) && is_clean(&f, 0) && is_clean(&f, 1) && f.bad == 0);
    /* a sample within a window */
    add(&f, 12, "1", points.t[3] - FIXTURE_T0 + 60000, points.t[3] - FIXTURE_T0 + 60000,
        NOW_MS - 2 * AFTER_MS);
    look(&f);
    CHECK(is_due(&f, 4) && f.bad == 0);
    teardown(&f);
}

TEST(deletions_cut_blocks_where_one_begins_or_ends_within_a_window)
{
    const int64_t hour = FIXTURE_T0 / 3600000 * 3600000 - FIXTURE_T0 + 3600000; /* the next */
    struct catalogue_block b = {.min_t = FIXTURE_T0, .max_t = FIXTURE_T0 + 4 * 3600000};
    struct fixture f;

    setup(&f);
    add(&f, 10, "1", hour, hour + 3600000 - 1, NOW_MS);
    add(&f, 11, "1", -5000, 5 * 3600000, NOW_MS);
    look(&f);
    CHECK(!deletions_cut(f.d, &b));
    add(&f, 12, "1", hour, hour + 60000, NOW_MS); /* not due: it counts all the same */
    look(&f);
    CHECK(deletions_cut(f.d, &b));
    b.min_t += hour + 60001;
    CHECK(!deletions_cut(f.d, &b));
    CHECK(tombstone_list_remove(f.l, fixture_ulid(12)));
    b.min_t = FIXTURE_T0;
    look(&f);
    CHECK(!deletions_cut(f.d, &b));
    teardown(&f);
}
