#include "common/base/clock.h"
#include "common/base/fsx.h"
#include "common/block/block_store.h"
#include "common/objstore/objstore_fs.h"
#include "compactor/sweep.h"
#include "tests/unit/common/block/block_fixture.h"

#define TENANT SLICE("t")
#define SIGNAL SLICE("metrics")
#define HOUR_MS 3600000ll

struct fixture {
    struct objstore *store;
    struct arena *a;
    struct sweep_opts opts;
    struct sweep_result res;
    int64_t now_ms;
    struct catalogue *c;
};

static struct err *put_in(void *arg, struct catalogue *c, bool *ret_changed)
{
    catalogue_add(c, arg);
    *ret_changed = true;
    return NULL;
}

/* A block of one sample at t in the bucket; in the catalogue too if it is live. tenant: what it says. */
static void make_block(struct fixture *f, unsigned i, int64_t t, bool is_live, struct slice tenant)
{
    struct block_writer_opts o = {.dir = tmp_path(""), .no_sync = true};
    struct chunk c = floats(f->a, t, 1000, 1, 1);
    struct catalogue_block cb;
    struct block_writer *w;
    struct block_meta m;

    o.meta.ulid = fixture_ulid(i);
    o.meta.level = 1;
    o.meta.tenant = tenant;
    CHECK_OK(block_writer_open(&o, &w));
    CHECK_OK(block_writer_add(
        w,
        &(struct block_series){.labels = labels_from(f->a, "a=1"), .chunks = &c, .n_chunks = 1}));
    finish_writer(w, f->a, &m);
    CHECK_OK(block_store_upload(f->store, SIGNAL, TENANT, block_path(i), &m));
    CHECK_OK(fsx_remove_tree(block_path(i)));
    cb = catalogue_block_of_meta(&m);
    if (is_live)
        CHECK_OK(catalogue_update(f->store, SIGNAL, TENANT, put_in, &cb, NULL));
}

static void setup(struct fixture *f)
{
    static char bucket[512];

    *f = (struct fixture){.a = arena_new(0), .now_ms = clock_wall_ms(&clock_system)};
    snprintf(bucket, sizeof(bucket), "%s", tmp_path("bucket"));
    CHECK_OK(fsx_remove_tree(bucket));
    CHECK_OK(objstore_fs_open(bucket, &(struct objstore_fs_opts){.no_sync = true}, &f->store));
    f->opts = (struct sweep_opts){.signal = signal_of(SIGNAL_METRICS),
                                  .store = f->store,
                                  .delay_ms = HOUR_MS,
                                  .orphan_age_ms = 24 * HOUR_MS};
}

static void teardown(struct fixture *f)
{
    catalogue_free(f->c);
    objstore_close(f->store);
    arena_free(f->a);
}

static void sweep(struct fixture *f)
{
    CHECK_OK(sweep_tenant(&f->opts, TENANT, f->now_ms, f->a, &f->res));
    catalogue_free(f->c);
    CHECK_OK(catalogue_load(f->store, SIGNAL, TENANT, &f->c));
}

static bool is_in_bucket(struct fixture *f, unsigned i)
{
    struct slice prefix = block_store_prefix(f->a, SIGNAL, TENANT, fixture_ulid(i));
    struct objstore_listing l;

    CHECK_OK(objstore_list(f->store, f->a, &(struct objstore_list){.prefix = prefix}, &l));
    return l.n != 0;
}

static void check_state(struct fixture *f, unsigned i, bool is_live, bool is_retired, bool is_there)
{
    CHECK_INT(catalogue_find(f->c, fixture_ulid(i)) != NULL, is_live);
    CHECK_INT(catalogue_is_retired(f->c, fixture_ulid(i)), is_retired);
    CHECK_INT(is_in_bucket(f, i), is_there);
}

TEST(sweep_keeps_all_without_a_retention)
{
    struct fixture f;

    setup(&f);
    make_block(&f, 1, 1000, true, TENANT);
    sweep(&f);
    check_state(&f, 1, true, false, true);
    CHECK_INT(f.res.version, 0);
    teardown(&f);
}

TEST(sweep_retires_what_is_wholly_older_and_deletes_it_after_the_delay)
{
    struct fixture f;

    setup(&f);
    f.opts.retention_ms = 30 * HOUR_MS;
    make_block(&f, 1, f.now_ms - 30 * HOUR_MS - 1, true, TENANT); /* ends at the bound */
    make_block(&f, 2, f.now_ms - 30 * HOUR_MS, true, TENANT);
    f.opts.is_dry = true;
    sweep(&f);
    CHECK_INT(f.res.expired.n, 1);
    check_state(&f, 1, true, false, true);
    f.opts.is_dry = false;
    sweep(&f);
    CHECK_INT(f.res.expired.n, 1);
    CHECK_INT(f.res.waiting, 1);
    CHECK_INT(f.res.version, 3);
    check_state(&f, 1, false, true, true);
    check_state(&f, 2, true, false, true);
    f.now_ms += HOUR_MS - 1;
    f.opts.retention_ms = 0;
    sweep(&f);
    check_state(&f, 1, false, true, true);
    f.now_ms += 1;
    f.opts.is_dry = true;
    sweep(&f);
    CHECK_INT(f.res.deleted.n, 1);
    check_state(&f, 1, false, true, true);
    f.opts.is_dry = false;
    sweep(&f);
    CHECK_INT(f.res.deleted.n, 1);
    check_state(&f, 1, false, false, false);
    check_state(&f, 2, true, false, true);
    teardown(&f);
}

/* An ingester may hold it yet: it is not made into a block again, which would go at once, again and again. */
TEST(sweep_leaves_the_segments_of_what_has_expired_named_for_a_time)
{
    struct slice segment = SLICE("01HF7YAT00000000000000000S");
    struct catalogue_block b = {
        .ulid = fixture_ulid(1), .max_t = 1, .segments = &segment, .n_segments = 1};
    struct fixture f;

    setup(&f);
    f.opts.retention_ms = HOUR_MS;
    f.opts.delay_ms = 0;
    CHECK_OK(catalogue_update(f.store, SIGNAL, TENANT, put_in, &b, NULL));
    sweep(&f);
    CHECK_INT(f.res.deleted.n, 1);
    check_state(&f, 1, false, false, false);
    CHECK(catalogue_has_segment(f.c, segment));
    f.now_ms += SWEEP_EXPIRED_MS;
    sweep(&f);
    CHECK_INT(f.res.version, 0);
    CHECK(catalogue_has_segment(f.c, segment));
    f.now_ms++;
    sweep(&f);
    CHECK(!catalogue_has_segment(f.c, segment));
    sweep(&f);
    CHECK_INT(f.res.version, 0);
    teardown(&f);
}

TEST(sweep_takes_orphans_that_are_ours_and_old)
{
    struct fixture f;

    setup(&f);
    make_block(&f, 1, 1000, true, TENANT);
    make_block(&f, 2, 1000, false, TENANT);
    make_block(&f, 3, 1000, false, SLICE_EMPTY);    /* not adopted */
    make_block(&f, 4, 1000, false, SLICE("other")); /* says it is another's */
    CHECK_OK(objstore_put(
        f.store, slice_cstr(arena_printf(f.a, "metrics/t/%s/index", ulid_print(fixture_ulid(5)).s)),
        SLICE("part of an upload"), NULL, NULL));
    CHECK_OK(objstore_put(f.store, SLICE("metrics/t/rules/mine"), SLICE("x"), NULL, NULL));
    sweep(&f);
    CHECK_INT(f.res.orphans.n, 0);
    f.now_ms += 24 * HOUR_MS + 60000;
    sweep(&f);
    CHECK_INT(f.res.orphans.n, 2);
    CHECK_INT(f.res.foreign, 2);
    check_state(&f, 2, false, true, true);
    check_state(&f, 5, false, true, true);
    f.now_ms += HOUR_MS;
    sweep(&f);
    CHECK_INT(f.res.deleted.n, 2);
    check_state(&f, 1, true, false, true);
    check_state(&f, 2, false, false, false);
    check_state(&f, 3, false, false, true);
    check_state(&f, 4, false, false, true);
    check_state(&f, 5, false, false, false);
    CHECK(fsx_exists(tmp_path("bucket/metrics/t/rules/mine")));
    sweep(&f);
    CHECK_INT(f.res.version, 0);
    teardown(&f);
}

/* Whatever fails: a live block keeps its files, and the next sweeps come to the same end. */
TEST(sweep_survives_a_failure_at_every_step)
{
    FAULT_SWEEP (n) {
        struct fixture f;

        fault_disarm();
        setup(&f);
        f.opts.retention_ms = 30 * HOUR_MS;
        f.opts.delay_ms = 0;
        make_block(&f, 1, 1000, true, TENANT);
        make_block(&f, 2, f.now_ms + 24 * HOUR_MS, true, TENANT);
        make_block(&f, 3, 1000, false, TENANT);
        f.now_ms += 24 * HOUR_MS + 60000;
        fault_arm_nth(n);
        err_free(sweep_tenant(&f.opts, TENANT, f.now_ms, f.a, &f.res));
        fault_disarm();
        sweep(&f);
        sweep(&f);
        check_state(&f, 1, false, false, false);
        check_state(&f, 2, true, false, true);
        check_state(&f, 3, false, false, false);
        teardown(&f);
    }
}

static const struct objstore_ops *honest_ops;
static char gone_key[256];

static struct err *get_but_gone(struct objstore *s, struct slice key,
                                const struct objstore_get *opts, struct buf *ret,
                                struct objstore_info *ret_info)
{
    return slice_eq_cstr(key, gone_key) ? err_new(ERR_NOT_FOUND, "no such object")
                                        : honest_ops->get(s, key, opts, ret, ret_info);
}

/* A listing still has what was deleted: the tenant's other blocks expire and go all the same. */
TEST(sweep_goes_on_beside_a_stale_listing)
{
    struct objstore_ops stale;
    struct fixture f;

    setup(&f);
    f.opts.retention_ms = 30 * HOUR_MS;
    make_block(&f, 1, 1000, true, TENANT);
    make_block(&f, 2, 1000, false, TENANT);
    snprintf(gone_key, sizeof(gone_key), "metrics/t/%s/meta.json", ulid_print(fixture_ulid(2)).s);
    honest_ops = f.store->ops;
    stale = *honest_ops;
    stale.get = get_but_gone;
    f.store->ops = &stale;
    f.now_ms += 24 * HOUR_MS + 60000;
    sweep(&f);
    check_state(&f, 1, false, true, true);
    check_state(&f, 2, false, false, true);
    f.now_ms += HOUR_MS;
    sweep(&f);
    check_state(&f, 1, false, false, false);
    f.store->ops = honest_ops;
    sweep(&f);
    check_state(&f, 2, false, true, true);
    teardown(&f);
}
