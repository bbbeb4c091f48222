#include "common/objstore/objstore_fs.h"
#include "querier/store/tombset.h"
#include "tests/unit/test.h"

#define TENANT SLICE("t")

static struct err *add_one(void *arg, struct tombstone_list *l, bool *ret_changed)
{
    struct arena *a = arena_new(0);
    struct matcher m;
    struct tombstone t = {.max_ms = 1, .matchers = {&m, 1}};
    struct err *e;

    t.ulid.bytes[0] = *(uint8_t *)arg;
    CHECK_OK(matcher_init(a, MATCHER_EQ, SLICE("a"), SLICE("b"), &m));
    e = tombstone_list_add(l, &t);
    *ret_changed = true;
    arena_free(a);
    return e;
}

static void add(struct objstore *bucket, uint8_t i)
{
    CHECK_OK(tombstone_list_update(bucket, SLICE("metrics"), TENANT, add_one, &i, NULL));
}

static size_t known(struct tombset *ts, bool *ret_is_stale)
{
    struct tombstone_list *l;
    size_t n;

    CHECK_OK(tombset_get(ts, TENANT, &l, ret_is_stale));
    (void)tombstone_list_all(l, &n);
    tombstone_list_unref(l);
    return n;
}

TEST(tombset_looks_again_when_told_or_when_it_is_time)
{
    struct objstore *bucket;
    struct tombset *ts;
    struct tombset_stats st;
    bool is_stale;

    CHECK_OK(
        objstore_fs_open(tmp_path("bucket"), &(struct objstore_fs_opts){.no_sync = true}, &bucket));
    ts = tombset_new(bucket, SLICE("metrics"), 3600000, true);
    CHECK_INT(known(ts, &is_stale), 0);
    add(bucket, 1);
    CHECK_INT(known(ts, &is_stale), 0); /* an hour old is good enough */
    tombset_hint(ts, TENANT, 1);
    CHECK_INT(known(ts, &is_stale), 1);
    tombset_hint(ts, TENANT, 99); /* about something that is gone: the bucket decides */
    CHECK_INT(known(ts, &is_stale), 1);
    CHECK(!is_stale);
    tombset_stats_get(ts, &st);
    CHECK_INT(st.lists, 1);
    CHECK_INT(st.tombstones, 1);
    CHECK_INT(st.loads, 2);
    tombset_free(ts);
    ts = tombset_new(bucket, SLICE("metrics"), 0, true);
    CHECK_INT(known(ts, &is_stale), 1);
    add(bucket, 2);
    CHECK_INT(known(ts, &is_stale), 2);
    tombset_free(ts);
    objstore_close(bucket);
}

/* A store that does not answer. */
static struct err *down_stat(struct objstore *s, struct slice key, struct objstore_info *ret)
{
    (void)s;
    (void)key;
    (void)ret;
    return err_new(ERR_UNAVAILABLE, "the bucket is down");
}

TEST(tombset_goes_on_with_the_last_known_while_nothing_newer_is_known_of)
{
    const struct objstore_ops *well;
    struct objstore_ops down;
    struct tombstone_list *l;
    struct objstore *bucket;
    struct tombset *ts, *fresh;
    bool is_stale;

    CHECK_OK(
        objstore_fs_open(tmp_path("bucket"), &(struct objstore_fs_opts){.no_sync = true}, &bucket));
    add(bucket, 1);
    ts = tombset_new(bucket, SLICE("metrics"), 0, true);
    fresh = tombset_new(bucket, SLICE("metrics"), 0, true);
    CHECK_INT(known(ts, &is_stale), 1);
    well = bucket->ops;
    down = *well;
    down.stat = down_stat;
    bucket->ops = &down;
    CHECK_INT(known(ts, &is_stale), 1);
    CHECK(is_stale);
    CHECK_ERR(tombset_get(fresh, TENANT, &l, &is_stale), ERR_UNAVAILABLE, "tombstones of tenant t");
    tombset_hint(ts, TENANT, 2);
    CHECK_ERR(tombset_get(ts, TENANT, &l, &is_stale), ERR_UNAVAILABLE, "the bucket is down");
    bucket->ops = well;
    CHECK_INT(known(ts, &is_stale), 1);
    CHECK(!is_stale);
    tombset_free(ts);
    tombset_free(fresh);
    objstore_close(bucket);
}

/* While it is looked at, another querier tells of a newer version. */
static struct tombset *told;
static const struct objstore_ops *told_well;
static uint64_t told_version;
static bool is_told_ever_more;

static struct err *telling_stat(struct objstore *s, struct slice key, struct objstore_info *ret)
{
    struct err *e = told_well->stat(s, key, ret);

    tombset_hint(told, TENANT, told_version);
    told_version += is_told_ever_more;
    return e;
}

TEST(tombset_keeps_news_that_come_while_it_looks)
{
    struct objstore_ops telling, down;
    struct tombstone_list *l;
    struct objstore *bucket;
    bool is_stale;

    CHECK_OK(
        objstore_fs_open(tmp_path("bucket"), &(struct objstore_fs_opts){.no_sync = true}, &bucket));
    add(bucket, 1);
    told = tombset_new(bucket, SLICE("metrics"), 0, true);
    CHECK_INT(known(told, &is_stale), 1);
    told_well = bucket->ops;
    telling = down = *told_well;
    telling.stat = telling_stat;
    down.stat = down_stat;
    bucket->ops = &telling;
    told_version = 2; /* of something that is gone: another look shows it */
    CHECK_INT(known(told, &is_stale), 1);
    CHECK(!is_stale);
    is_told_ever_more = true;
    CHECK_ERR(tombset_get(told, TENANT, &l, &is_stale), ERR_UNAVAILABLE, "older than announced");
    bucket->ops = &down; /* what is held is not the newest, and that is still known */
    CHECK_ERR(tombset_get(told, TENANT, &l, &is_stale), ERR_UNAVAILABLE, "the bucket is down");
    bucket->ops = told_well;
    tombset_free(told);
    objstore_close(bucket);
}

TEST(tombset_keeps_so_many_and_no_more)
{
    struct objstore *bucket;
    struct tombset *ts;
    struct tombset_stats st;

    CHECK_OK(
        objstore_fs_open(tmp_path("bucket"), &(struct objstore_fs_opts){.no_sync = true}, &bucket));
    ts = tombset_new(bucket, SLICE("metrics"), 3600000, true);
    for (int i = 0; i < TOMBSET_TENANTS + 10; i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "tenant-%d", i);
        tombset_hint(ts, slice_cstr(name), 0);
    }
    tombset_stats_get(ts, &st);
    CHECK(st.lists <= TOMBSET_TENANTS);
    tombset_free(ts);
    objstore_close(bucket);
}
