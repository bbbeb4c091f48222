#include "common/base/fsx.h"
#include "common/block/aggr_chunk.h"
#include "common/block/block_store.h"
#include "common/objstore/objstore_fs.h"
#include "compactor/deletions.h"
#include "compactor/levelmerge.h"
#include "compactor/tierplan.h"
#include "tests/unit/common/block/block_fixture.h"

#define TENANT SLICE("t")
#define SIGNAL SLICE("metrics")
#define DAY_MS 86400000ll
#define T0 (FIXTURE_T0 / DAY_MS * DAY_MS)
#define SAMPLES 5760 /* a day at 15 s */

/* One block of a day in a bucket: a counter that is reset every 1000 samples, and a series of three samples. */
struct fixture {
    struct objstore *store;
    struct levelmerge_metrics m;
    struct levelmerge_opts opts;
    struct arena *a;
    struct catalogue *c;
    struct levels_job *jobs;
    size_t n_jobs;
    struct levelmerge_result res;
    struct deletions *deletions; /* NULL: none are looked for */
    struct tombstone_list *tombs;
};

static struct err *put_in(void *arg, struct catalogue *c, bool *ret_changed)
{
    catalogue_add(c, arg);
    *ret_changed = true;
    return NULL;
}

static void make_block(struct fixture *f)
{
    struct chunk c[SAMPLES / 120];
    struct block_writer *w = open_writer(1);
    struct catalogue_block cb;
    struct block_meta m;

    for (size_t i = 0; i < SAMPLES / 120; i++) {
        int64_t t[120];
        double v[120];
        struct buf b = {0};

        for (size_t k = 0; k < 120; k++) {
            t[k] = T0 + (int64_t)(i * 120 + k) * 15000;
            v[k] = (double)((i * 120 + k) % 1000);
        }
        chunk_xor_encode(&b, t, v, 120);
        c[i] = (struct chunk){CHUNK_XOR, t[0], t[119], arena_dup(f->a, buf_slice(&b))};
        buf_done(&b);
    }
    CHECK_OK(block_writer_add(w, &(struct block_series){.labels = labels_from(f->a, "a=1"),
                                                        .chunks = c,
                                                        .n_chunks = SAMPLES / 120}));
    c[0] = floats(f->a, T0, 1000, 3, 5);
    CHECK_OK(block_writer_add(
        w, &(struct block_series){.labels = labels_from(f->a, "a=2"), .chunks = c, .n_chunks = 1}));
    finish_writer(w, f->a, &m);
    m.min_t = T0;
    m.max_t = T0 + DAY_MS;
    CHECK_OK(block_store_upload(f->store, SIGNAL, TENANT, block_path(1), &m));
    CHECK_OK(fsx_remove_tree(block_path(1)));
    cb = catalogue_block_of_meta(&m);
    CHECK_OK(catalogue_update(f->store, SIGNAL, TENANT, put_in, &cb, NULL));
}

static int64_t rewrite_due(void *arg, struct ulid block)
{
    return deletions_due_ms(arg, block);
}

static bool waits(void *arg, const struct catalogue_block *b)
{
    return deletions_cut(arg, b);
}

static void look_for_deletions(struct fixture *f, int64_t now_ms, struct tierplan_opts *io)
{
    const struct deletions_opts opts = {
        .signal = signal_of(SIGNAL_METRICS), .store = f->store, .now_ms = now_ms, .max_looks = 64};
    int64_t due_ms;
    bool more;

    tombstone_list_unref(f->tombs);
    CHECK_OK(tombstone_list_load(f->store, SIGNAL, TENANT, &f->tombs, NULL));
    CHECK_OK(deletions_look(f->deletions, &opts, f->c, f->tombs, &more, &due_ms));
    CHECK(!more);
    io->levels.rewrite = io->coarse.rewrite = rewrite_due;
    io->levels.rewrite_arg = io->coarse.rewrite_arg = f->deletions;
    io->waits = waits;
    io->waits_arg = f->deletions;
}

static void replan(struct fixture *f, int64_t now_ms)
{
    struct levels_opts levels = {
        .ranges_ms = {DAY_MS}, .n_ranges = 1, .max_inputs = 64, .max_bytes = 1u << 30};
    struct tierplan_opts opts = {.levels = levels, .coarse = levels, .is_on = true};
    const struct catalogue_block *b;
    int64_t due_ms;
    size_t n;

    catalogue_free(f->c);
    CHECK_OK(catalogue_load(f->store, SIGNAL, TENANT, &f->c));
    if (f->deletions)
        look_for_deletions(f, now_ms, &opts);
    b = catalogue_blocks(f->c, &n);
    f->jobs = tierplan(&opts, b, n, now_ms, NULL, NULL, f->a, &f->n_jobs, &due_ms);
}

static void setup(struct fixture *f)
{
    static char bucket[512], work[512];

    *f = (struct fixture){.a = arena_new(0)};
    snprintf(bucket, sizeof(bucket), "%s", tmp_path("bucket"));
    snprintf(work, sizeof(work), "%s", tmp_path("work"));
    CHECK_OK(fsx_remove_tree(bucket));
    CHECK_OK(objstore_fs_open(bucket, &(struct objstore_fs_opts){.no_sync = true}, &f->store));
    make_block(f);
    f->opts = (struct levelmerge_opts){
        .signal = signal_of(SIGNAL_METRICS), .store = f->store, .work_dir = work, .metrics = &f->m};
    replan(f, T0 + 3 * DAY_MS);
}

static void teardown(struct fixture *f)
{
    deletions_free(f->deletions);
    tombstone_list_unref(f->tombs);
    catalogue_free(f->c);
    objstore_close(f->store);
    arena_free(f->a);
}

static struct err *run(struct fixture *f)
{
    return levelmerge_run(&f->opts, TENANT, &f->jobs[0], T0 + 3 * DAY_MS, f->a, &f->res);
}

/* What the first series of the block that was made says: points, samples, increase. */
static void check_made(struct fixture *f, int64_t resolution_ms, size_t points)
{
    struct aggr_counter counter = {0};
    struct block_reader_series s;
    struct block_reader *r;
    struct block_refs refs;
    double samples = 0;
    struct chunk *c;
    size_t n = 0;

    CHECK_OK(fsx_remove_tree(tmp_path("got")));
    CHECK_OK(block_store_download(f->store, block_store_prefix(f->a, SIGNAL, TENANT, f->res.block),
                                  f->res.block, tmp_path("got")));
    CHECK_OK(block_reader_open_dir(
        tmp_path(arena_printf(f->a, "got/%s", ulid_print(f->res.block).s)), &r));
    CHECK_INT(block_reader_meta(r)->resolution_ms, resolution_ms);
    CHECK_INT(block_reader_meta(r)->level, 1);
    CHECK_OK(block_reader_select(r, f->a, (struct matchers){0}, &refs));
    CHECK_INT(refs.n, 2);
    CHECK_OK(block_reader_series(r, f->a, refs.ptr[0], &s));
    c = arena_array(f->a, struct chunk, s.n_chunks);
    CHECK_OK(block_reader_chunks(r, f->a, s.chunks, s.n_chunks, c));
    for (size_t i = 0; i < s.n_chunks; i++) {
        struct aggr_columns cols;

        CHECK_OK(aggr_chunk_decode(f->a, c[i].data, AGGR_ALL, &cols));
        n += cols.n;
        for (size_t k = 0; k < cols.n; k++)
            samples += cols.count[k];
        for (size_t k = 0; k < cols.n_counter; k++)
            (void)aggr_counter_add(&counter, cols.counter[k]);
        aggr_counter_end(&counter, cols.last);
    }
    CHECK_INT(n, points);
    CHECK(samples == SAMPLES);
    CHECK(counter.total == 999 * 5 + 759);
    block_reader_close(r);
}

static void check_live(struct fixture *f, size_t live)
{
    size_t n;

    (void)catalogue_blocks(f->c, &n);
    CHECK_INT(n, live);
    (void)catalogue_retired(f->c, &n);
    CHECK_INT(n, 0);
}

TEST(downsample_puts_a_block_of_each_tier_beside_the_measured_one)
{
    struct fixture f;
    struct ulid block;

    setup(&f);
    CHECK_INT(f.n_jobs, 1);
    CHECK_OK(run(&f));
    CHECK_INT(f.m.done, 1);
    check_made(&f, AGGR_5M_MS, 288);
    block = f.res.block;
    CHECK_OK(run(&f)); /* as another compactor would */
    CHECK_INT(f.m.repeated, 1);
    CHECK(ulid_eq(f.res.block, block));
    replan(&f, T0 + 3 * DAY_MS);
    check_live(&f, 2);
    CHECK_INT(f.n_jobs, 1);
    CHECK_OK(run(&f));
    check_made(&f, AGGR_1H_MS, 24);
    replan(&f, T0 + 3 * DAY_MS);
    check_live(&f, 3);
    CHECK_INT(f.n_jobs, 0);
    teardown(&f);
}

static struct err *retire_input(void *arg, struct catalogue *c, bool *ret_changed)
{
    (void)arg;
    *ret_changed = catalogue_retire(c, fixture_ulid(1), 1);
    return NULL;
}

TEST(downsample_of_a_block_that_is_gone_makes_nothing)
{
    struct fixture f;

    setup(&f);
    CHECK_OK(catalogue_update(f.store, SIGNAL, TENANT, retire_input, NULL, NULL));
    CHECK_OK(run(&f));
    CHECK_INT(f.m.outdated, 1);
    CHECK(ulid_is_zero(f.res.block));
    teardown(&f);
}

/* Whatever fails, the measured block stays and another try succeeds. */
TEST(downsample_is_whole_or_absent_whichever_call_fails)
{
    FAULT_SWEEP (n) {
        struct fixture f;
        struct err *e;
        size_t live;

        fault_disarm();
        setup(&f);
        fault_arm_nth(n);
        e = run(&f);
        fault_disarm();
        replan(&f, T0 + 3 * DAY_MS);
        (void)catalogue_blocks(f.c, &live);
        CHECK(catalogue_find(f.c, fixture_ulid(1)));
        CHECK(live == 2 || e);
        err_free(e);
        if (live == 1)
            CHECK_OK(run(&f));
        teardown(&f);
    }
}

/* ---- deletions ---- */

static struct err *add_tombstone(void *arg, struct tombstone_list *l, bool *ret_changed)
{
    *ret_changed = true;
    return tombstone_list_add(l, arg);
}

static struct err *remove_tombstone(void *arg, struct tombstone_list *l, bool *ret_changed)
{
    *ret_changed = tombstone_list_remove(l, *(const struct ulid *)arg);
    return NULL;
}

/* Of a=1, both ends inclusive. */
static void delete_a1(struct fixture *f, int64_t min_ms, int64_t max_ms)
{
    struct matcher m = matcher_from(f->a, MATCHER_EQ, "a", "1");
    struct tombstone t = {.ulid = fixture_ulid(9),
                          .created_ms = T0 + 2 * DAY_MS,
                          .min_ms = T0 + min_ms,
                          .max_ms = T0 + max_ms,
                          .matchers = {&m, 1}};

    CHECK_OK(tombstone_list_update(f->store, SIGNAL, TENANT, add_tombstone, &t, NULL));
    matcher_done(&m);
}

/* Jobs till there are none. */
static void do_all(struct fixture *f)
{
    int n = 0;

    for (replan(f, T0 + 3 * DAY_MS); f->n_jobs; replan(f, T0 + 3 * DAY_MS)) {
        CHECK(++n < 20);
        CHECK_OK(run(f));
        CHECK(f->res.version != 0);
    }
}

/* Over the live blocks of a resolution: points of a=1, and the samples they stand for. */
static void check_tier(struct fixture *f, int64_t resolution_ms, size_t blocks, size_t points,
                       double samples)
{
    size_t n, n_blocks = 0, n_points = 0;
    const struct catalogue_block *b = catalogue_blocks(f->c, &n);
    double n_samples = 0;

    for (size_t i = 0; i < n; i++) {
        struct slice dir = block_store_prefix(f->a, SIGNAL, TENANT, b[i].ulid);
        struct block_reader_series s;
        struct block_reader *r;
        struct block_refs refs;

        if (b[i].resolution_ms != resolution_ms)
            continue;
        n_blocks++;
        CHECK_OK(block_reader_open(block_source_objstore(f->store, dir), NULL, &r));
        CHECK_OK(block_reader_select(r, f->a, (struct matchers){0}, &refs));
        CHECK_OK(block_reader_series(r, f->a, refs.ptr[0], &s));
        for (size_t k = 0; k < s.n_chunks; k++) {
            struct chunk_extent in = {.n = 0};
            struct aggr_columns cols;
            struct chunk c;

            CHECK_OK(block_reader_chunks(r, f->a, &s.chunks[k], 1, &c));
            if (c.encoding != CHUNK_AGGR) {
                CHECK_OK(chunk_check(f->a, c.encoding, c.data, &in));
                n_points += in.n;
                n_samples += (double)in.n;
                continue;
            }
            CHECK_OK(aggr_chunk_decode(f->a, c.data, AGGR_ALL, &cols));
            n_points += cols.n;
            for (size_t j = 0; j < cols.n; j++)
                n_samples += cols.count[j];
        }
        block_reader_close(r);
    }
    CHECK_INT(n_blocks, blocks);
    CHECK_INT(n_points, points);
    CHECK(n_samples == samples);
}

static bool stand_for_it(struct fixture *f, unsigned tier)
{
    size_t n;
    const struct catalogue_block *b = catalogue_blocks(f->c, &n);
    struct tier_names *names = tier_names_new(b, n);
    bool ret = true;

    for (size_t i = 0; i < n; i++)
        if (b[i].resolution_ms == 0)
            ret = ret && tier_names_have(names, tier, &b[i]);
    tier_names_free(names);
    return ret;
}

/* 24 of the samples at 15 s, from 10:04 to 10:10: of two windows of 5m the one has 4 left, the other none. */
TEST(downsample_makes_windows_anew_that_were_deleted_in_part)
{
    struct ulid tombstone = fixture_ulid(9);
    struct fixture f;
    uint64_t done;

    setup(&f);
    f.deletions = deletions_new();
    do_all(&f);
    check_tier(&f, AGGR_5M_MS, 1, 288, SAMPLES);
    check_tier(&f, AGGR_1H_MS, 1, 24, SAMPLES);
    CHECK(stand_for_it(&f, 1) && stand_for_it(&f, 2));
    delete_a1(&f, 10 * 3600000 + 4 * 60000, 10 * 3600000 + 10 * 60000 - 1);
    do_all(&f); /* three rewrites */
    CHECK_INT(f.m.rewritten, 3);
    check_tier(&f, 0, 1, SAMPLES - 24, SAMPLES - 24);
    check_tier(&f, AGGR_5M_MS, 1, 286, SAMPLES - 40);
    check_tier(&f, AGGR_1H_MS, 1, 23, SAMPLES - 240);
    CHECK(!stand_for_it(&f, 1) && !stand_for_it(&f, 2)); /* so samples are read */
    {
        size_t n;
        const struct tombstone *t = tombstone_list_all(f.tombs, &n);

        CHECK_INT(n, 1);
        CHECK(deletions_is_clean(f.deletions, f.c, t));
    }
    CHECK_OK(tombstone_list_update(f.store, SIGNAL, TENANT, remove_tombstone, &tombstone, NULL));
    do_all(&f);
    check_tier(&f, 0, 1, SAMPLES - 24, SAMPLES - 24);
    check_tier(&f, AGGR_5M_MS, 1, 287, SAMPLES - 24);
    check_tier(&f, AGGR_1H_MS, 1, 24, SAMPLES - 24);
    CHECK(stand_for_it(&f, 1) && stand_for_it(&f, 2));
    done = f.m.done;
    do_all(&f);
    CHECK_INT(f.m.done, done);
    teardown(&f);
}

TEST(downsample_leaves_out_windows_whose_samples_are_gone)
{
    struct fixture f;

    setup(&f);
    f.deletions = deletions_new();
    do_all(&f);
    CHECK_OK(catalogue_update(f.store, SIGNAL, TENANT, retire_input, NULL, NULL));
    delete_a1(&f, 10 * 3600000 + 4 * 60000, 11 * 3600000 - 1);
    do_all(&f);
    check_tier(&f, AGGR_5M_MS, 1, 276, SAMPLES - 240);
    check_tier(&f, AGGR_1H_MS, 1, 23, SAMPLES - 240);
    teardown(&f);
}

TEST(downsample_keeps_its_names_when_whole_windows_are_deleted)
{
    struct fixture f;

    setup(&f);
    f.deletions = deletions_new();
    do_all(&f);
    delete_a1(&f, 10 * 3600000, 12 * 3600000 - 1);
    do_all(&f);
    CHECK_INT(f.m.rewritten, 3);
    check_tier(&f, 0, 1, SAMPLES - 480, SAMPLES - 480);
    check_tier(&f, AGGR_5M_MS, 1, 264, SAMPLES - 480);
    check_tier(&f, AGGR_1H_MS, 1, 22, SAMPLES - 480);
    CHECK(stand_for_it(&f, 1) && stand_for_it(&f, 2));
    teardown(&f);
}
