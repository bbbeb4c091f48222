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

/* A client's clock was wrong: the block is as old as its id. */
TEST(sweep_goes_by_the_id_where_times_are_what_clients_say)
{
    struct signal traces = *signal_of(SIGNAL_TRACES);
    struct catalogue_block b = {.level = 1, .min_t = 0, .max_t = 9214646400000};
    struct fixture f;
    size_t n;

    setup(&f);
    for (int i = 0; i < 2; i++) {
        b.ulid = ulid_make(f.now_ms - (i ? 20 : 60) * HOUR_MS, (const uint8_t[10]){(uint8_t)i});
        CHECK_OK(catalogue_update(f.store, SIGNAL, TENANT, put_in, &b, NULL));
    }
    f.opts.retention_ms = 30 * HOUR_MS;
    sweep(&f); /* samples say what time it is: none is over */
    (void)catalogue_blocks(f.c, &n);
    CHECK_INT(n, 2);
    traces.name = "metrics"; /* the fixture's bucket */
    f.opts.signal = &traces;
    sweep(&f);
    (void)catalogue_blocks(f.c, &n);
    CHECK_INT(n, 1);
    CHECK_INT(f.res.expired.n, 1);
    CHECK_INT(signal_end_ms(&traces, &b), f.now_ms + 6 * HOUR_MS);
    CHECK_INT(signal_blocks(&traces, &b, 1, f.a)->max_t, f.now_ms + 6 * HOUR_MS);
    CHECK_INT(signal_end_ms(signal_of(SIGNAL_LOGS), &b), b.max_t);
    teardown(&f);
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

/* ---- a bucket that is not what it should be ---- */

static const struct objstore_ops *honest_ops;
static struct objstore_ops odd_ops;
static char gone_key[256];

/* The fixture's store with some calls of another kind; teardown puts the honest ones back. */
static void be_odd(struct fixture *f)
{
    honest_ops = f->store->ops;
    odd_ops = *honest_ops;
    odd_ops.del_many = NULL; /* one after the other */
    f->store->ops = &odd_ops;
}

static void be_honest(struct fixture *f)
{
    f->store->ops = honest_ops;
}

static const char *key_in(struct fixture *f, unsigned i, const char *file)
{
    return arena_printf(f->a, "metrics/t/%s/%s", ulid_print(fixture_ulid(i)).s, file);
}

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
    struct fixture f;

    setup(&f);
    f.opts.retention_ms = 30 * HOUR_MS;
    make_block(&f, 1, 1000, true, TENANT);
    make_block(&f, 2, 1000, false, TENANT);
    snprintf(gone_key, sizeof(gone_key), "%s", key_in(&f, 2, "meta.json"));
    be_odd(&f);
    odd_ops.get = get_but_gone;
    f.now_ms += 24 * HOUR_MS + 60000;
    sweep(&f);
    check_state(&f, 1, false, true, true);
    check_state(&f, 2, false, false, true);
    f.now_ms += HOUR_MS;
    sweep(&f);
    check_state(&f, 1, false, false, false);
    be_honest(&f);
    sweep(&f);
    check_state(&f, 2, false, true, true);
    teardown(&f);
}

static struct err *get_forbidden(struct objstore *s, struct slice key,
                                 const struct objstore_get *opts, struct buf *ret,
                                 struct objstore_info *ret_info)
{
    return slice_eq_cstr(key, gone_key) ? err_new(ERR_FORBIDDEN, "not yours")
                                        : honest_ops->get(s, key, opts, ret, ret_info);
}

static struct err *del_forbidden(struct objstore *s, struct slice key)
{
    return slice_eq_cstr(key, gone_key) ? err_new(ERR_FORBIDDEN, "not yours")
                                        : honest_ops->del(s, key);
}

/* Blocks 1 to 3 are orphans, 4 and 5 have expired; wherever the sweep begins. */
static void sweep_beside_a_failure(struct fixture *f)
{
    err_free(sweep_tenant(&f->opts, TENANT, f->now_ms, f->a, &f->res));
    catalogue_free(f->c);
    CHECK_OK(catalogue_load(f->store, SIGNAL, TENANT, &f->c));
}

TEST(sweep_leaves_a_block_that_cannot_be_read_and_takes_the_others)
{
    struct err *e;

    for (unsigned k = 0; k < 8; k++) {
        struct fixture f;

        setup(&f);
        f.opts.retention_ms = 30 * HOUR_MS;
        for (unsigned i = 1; i <= 5; i++)
            make_block(&f, i, 1000, i > 3, TENANT);
        snprintf(gone_key, sizeof(gone_key), "%s", key_in(&f, 2, "meta.json"));
        be_odd(&f);
        odd_ops.get = get_forbidden;
        f.now_ms += 24 * HOUR_MS + 60000 + k * 1000;
        e = sweep_tenant(&f.opts, TENANT, f.now_ms, f.a, &f.res);
        CHECK_ERR(e, ERR_FORBIDDEN, ulid_print(fixture_ulid(2)).s);
        CHECK_INT(f.res.failed, 1);
        CHECK_INT(f.res.orphans.n, 2);
        CHECK_INT(f.res.expired.n, 2);
        f.now_ms += HOUR_MS;
        sweep_beside_a_failure(&f);
        CHECK_INT(f.res.deleted.n, 4);
        check_state(&f, 2, false, false, true);
        be_honest(&f);
        sweep(&f);
        check_state(&f, 2, false, true, true);
        teardown(&f);
    }
}

TEST(sweep_leaves_a_block_that_cannot_be_deleted_and_takes_the_others)
{
    for (unsigned k = 0; k < 8; k++) {
        struct fixture f;

        setup(&f);
        f.opts.retention_ms = 30 * HOUR_MS;
        f.opts.delay_ms = 0;
        for (unsigned i = 1; i <= 5; i++)
            make_block(&f, i, 1000, true, TENANT);
        snprintf(gone_key, sizeof(gone_key), "%s", key_in(&f, 3, "index"));
        be_odd(&f);
        odd_ops.del = del_forbidden;
        f.now_ms += 24 * HOUR_MS + 60000 + k * 1000;
        sweep_beside_a_failure(&f);
        CHECK_INT(f.res.failed, 1);
        CHECK_INT(f.res.deleted.n, 4);
        for (unsigned i = 1; i <= 5; i++)
            check_state(&f, i, false, i == 3, i == 3);
        be_honest(&f);
        sweep(&f);
        check_state(&f, 3, false, false, false);
        teardown(&f);
    }
}

static unsigned n_tried;

static struct err *get_nothing(struct objstore *s, struct slice key,
                               const struct objstore_get *opts, struct buf *ret,
                               struct objstore_info *ret_info)
{
    if (slice_find(key, SLICE("meta.json"), 0) < 0)
        return honest_ops->get(s, key, opts, ret, ret_info);
    n_tried++;
    return err_new(ERR_UNAVAILABLE, "slow down");
}

/* A bucket that is in trouble is not asked about each of a thousand blocks, and another sweep asks about others. */
TEST(sweep_gives_up_when_many_blocks_in_a_row_fail)
{
    struct fixture f;

    setup(&f);
    for (unsigned i = 1; i <= SWEEP_MAX_FAILURES + 5; i++)
        make_block(&f, i, 1000, false, TENANT);
    be_odd(&f);
    odd_ops.get = get_nothing;
    f.now_ms += 24 * HOUR_MS + 60000;
    n_tried = 0;
    sweep_beside_a_failure(&f);
    CHECK_INT(n_tried, SWEEP_MAX_FAILURES);
    CHECK_INT(f.res.failed, SWEEP_MAX_FAILURES);
    be_honest(&f);
    teardown(&f);
}

/* ---- stopped after each object ---- */

static int deletions_left;   /* then the process is no more; -1: it lives on */
static const char *late_key; /* a file that a slow upload puts at that moment instead; NULL: none */
static struct slice late_content;

static struct err *dead(void)
{
    return err_new(ERR_CANCELED, "killed");
}

static struct err *del_counted(struct objstore *s, struct slice key)
{
    struct objstore_info info;
    struct err *e;

    if (deletions_left == 0 && !late_key)
        return dead();
    e = honest_ops->del(s, key);
    if (deletions_left > 0 && --deletions_left == 0 && late_key) {
        CHECK_OK(honest_ops->put(s, slice_cstr(late_key), late_content,
                                 &(struct objstore_put){.cond = OBJSTORE_ALWAYS}, &info));
        deletions_left = -1;
    }
    return e;
}

static struct err *put_while_alive(struct objstore *s, struct slice key, struct slice content,
                                   const struct objstore_put *opts, struct objstore_info *ret_info)
{
    return deletions_left == 0 && !late_key ? dead()
                                            : honest_ops->put(s, key, content, opts, ret_info);
}

static struct err *list_while_alive(struct objstore *s, struct arena *a,
                                    const struct objstore_list *opts, struct objstore_listing *ret)
{
    return deletions_left == 0 && !late_key ? dead() : honest_ops->list(s, a, opts, ret);
}

/* A live block that has expired, and an orphan, both due; 3 is live and stays. */
static void setup_due(struct fixture *f)
{
    setup(f);
    f->opts.retention_ms = 30 * HOUR_MS;
    f->opts.delay_ms = 0;
    make_block(f, 1, 1000, true, TENANT);
    make_block(f, 2, 1000, false, TENANT);
    make_block(f, 3, f->now_ms + 24 * HOUR_MS, true, TENANT);
    f->now_ms += 24 * HOUR_MS + 60000;
    be_odd(f);
    odd_ops.del = del_counted;
    odd_ops.put = put_while_alive;
    odd_ops.list = list_while_alive;
}

static size_t files_left(struct fixture *f, unsigned i, bool *ret_has_meta)
{
    struct objstore_listing l;

    CHECK_OK(objstore_list(f->store, f->a,
                           &(struct objstore_list){.prefix = slice_cstr(key_in(f, i, ""))}, &l));
    *ret_has_meta = false;
    for (size_t k = 0; k < l.n; k++)
        *ret_has_meta |= slice_eq_cstr(l.ptr[k].key, key_in(f, i, "meta.json"));
    return l.n;
}

static void check_left(struct fixture *f, unsigned i, size_t whole)
{
    bool has_meta;
    size_t n = files_left(f, i, &has_meta);

    CHECK(n == 0 || catalogue_is_retired(f->c, fixture_ulid(i)));
    CHECK(n == whole || !has_meta);
}

/* However far a deletion came, what is left is either whole or has no meta.json; it is not forgotten, and the next sweep ends it. */
TEST(sweep_that_is_killed_after_each_object_is_ended_by_the_next)
{
    bool was_killed = true, has_meta;
    int n = 1;

    late_key = NULL;
    for (; was_killed; n++) {
        struct fixture f;
        size_t whole;

        deletions_left = -1;
        setup_due(&f);
        whole = files_left(&f, 1, &has_meta);
        deletions_left = n;
        err_free(sweep_tenant(&f.opts, TENANT, f.now_ms, f.a, &f.res));
        was_killed = deletions_left == 0;
        deletions_left = -1;
        be_honest(&f);
        CHECK_OK(catalogue_load(f.store, SIGNAL, TENANT, &f.c));
        for (unsigned i = 1; i <= 2; i++)
            check_left(&f, i, whole);
        sweep(&f);
        check_state(&f, 1, false, false, false);
        check_state(&f, 2, false, false, false);
        check_state(&f, 3, true, false, true);
        teardown(&f);
    }
    CHECK(n > 6); /* two blocks of three files */
}

/* An upload that was begun before puts one file more after each object that is deleted: the block is gone in the end. */
TEST(sweep_ends_what_a_slow_upload_adds_to_while_it_is_deleted)
{
    static const char *const files[] = {"index", "chunks/000001", "meta.json"};
    bool was_late = true;

    for (int n = 1; was_late; n++) {
        for (size_t k = 0; k < ORR_COUNT(files); k++) {
            struct buf content = {0};
            struct fixture f;

            deletions_left = -1;
            setup_due(&f);
            late_key = key_in(&f, 2, files[k]);
            CHECK_OK(objstore_get(f.store, slice_cstr(late_key), NULL, &content, NULL));
            late_content = buf_slice(&content);
            deletions_left = n;
            sweep(&f);
            was_late = deletions_left < 0;
            late_key = NULL;
            deletions_left = -1;
            for (int again = 0; again < 3; again++) {
                f.now_ms += 24 * HOUR_MS + 60000;
                f.opts.retention_ms = 0; /* 3 stays */
                sweep(&f);
            }
            be_honest(&f);
            check_state(&f, 1, false, false, false);
            check_state(&f, 2, false, false, false);
            check_state(&f, 3, true, false, true);
            buf_done(&content);
            teardown(&f);
        }
    }
}

static struct objstore_entry stale_entry;

static struct err *list_as_it_was(struct objstore *s, struct arena *a,
                                  const struct objstore_list *opts, struct objstore_listing *ret)
{
    struct err *e = honest_ops->list(s, a, opts, ret);

    if (!e && ret->n == 0 && slice_has_prefix(stale_entry.key, opts->prefix) &&
        slice_cmp(stale_entry.key, opts->start_after) > 0) {
        ret->ptr = &stale_entry;
        ret->n = 1;
    }
    return e;
}

/* Swift's listing may name an object for good that is gone, where the update of its container was lost: the sweep comes to an end. */
TEST(sweep_ends_though_a_listing_goes_on_naming_what_is_gone)
{
    struct fixture f;

    setup_due(&f);
    odd_ops.list = list_as_it_was;
    stale_entry = (struct objstore_entry){.key = slice_cstr(key_in(&f, 1, "index")), .bytes = 1};
    sweep(&f);
    CHECK_INT(f.res.deleted.n, 2);
    CHECK(!catalogue_is_retired(f.c, fixture_ulid(1)));
    be_honest(&f);
    check_state(&f, 1, false, false, false);
    check_state(&f, 2, false, false, false);
    teardown(&f);
}

static bool may_not(void *arg, struct slice tenant)
{
    bool *may = arg;

    CHECK_SLICE(tenant, "t");
    return *may;
}

/* The lease is new: what is old is retired all the same, and the next holder finds it on the list. */
TEST(sweep_retires_orphans_but_deletes_nothing_while_another_may_be_deleting)
{
    struct fixture f;
    bool may = false;

    setup_due(&f);
    be_honest(&f);
    f.opts.may_delete = may_not;
    f.opts.arg = &may;
    sweep(&f);
    check_state(&f, 1, false, true, true);
    check_state(&f, 2, false, true, true);
    CHECK_INT(f.res.waiting, 2);
    may = true;
    sweep(&f);
    CHECK_INT(f.res.deleted.n, 2);
    check_state(&f, 1, false, false, false);
    check_state(&f, 2, false, false, false);
    teardown(&f);
}

/* Another sweep ends both, and block 1 is written anew, while this one is about to delete. */
struct faster {
    struct fixture *f;
    bool is_retired_again, is_done;
};

static struct err *end_and_add(void *arg, struct catalogue *c, bool *ret_changed)
{
    struct catalogue_block b = {.level = 1, .ulid = fixture_ulid(1)};
    struct faster *x = arg;

    CHECK(catalogue_forget(c, fixture_ulid(1)));
    CHECK(catalogue_forget(c, fixture_ulid(2)));
    catalogue_add(c, &b);
    if (x->is_retired_again)
        CHECK(catalogue_retire(c, fixture_ulid(1), x->f->now_ms));
    *ret_changed = true;
    return NULL;
}

static bool others_are_faster(void *arg, struct slice tenant)
{
    struct faster *x = arg;

    if (!x->is_done)
        CHECK_OK(catalogue_update(x->f->store, SIGNAL, tenant, end_and_add, x, NULL));
    x->is_done = true;
    return true;
}

TEST(sweep_does_not_delete_what_another_has_ended_meanwhile)
{
    for (int is_retired = 0; is_retired < 2; is_retired++) {
        struct fixture f;
        struct faster x = {&f, is_retired, false};

        setup_due(&f);
        be_honest(&f);
        f.opts.delay_ms = HOUR_MS;
        sweep(&f);
        CHECK_INT(f.res.waiting, 2);
        f.now_ms += HOUR_MS;
        f.opts.may_delete = others_are_faster;
        f.opts.arg = &x;
        sweep(&f);
        CHECK_INT(f.res.deleted.n, 0);
        CHECK_INT(f.res.failed, 0);
        check_state(&f, 1, !is_retired, is_retired, true);
        check_state(&f, 2, false, false, true);
        teardown(&f);
    }
}
