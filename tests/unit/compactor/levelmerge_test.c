#include <stdlib.h>

#include "common/base/fsx.h"
#include "common/base/log.h"
#include "common/block/block_store.h"
#include "common/block/sidecar.h"
#include "common/block/start_runs.h"
#include "common/objstore/objstore_fs.h"
#include "compactor/levelmerge.h"
#include "tests/unit/common/block/block_fixture.h"

#define TENANT SLICE("t")
#define SIGNAL SLICE("metrics")
#define HOUR_MS 3600000ll
#define NOW_MS (FIXTURE_T0 + 10 * 24 * HOUR_MS)

/* Blocks in a bucket, one every ten seconds, that a job makes one of. */
struct fixture {
    struct objstore *store;
    struct levelmerge_metrics m;
    struct levelmerge_opts opts;
    struct arena *a;
    struct catalogue *c; /* lends the job's inputs */
    struct levels_job *jobs;
    size_t n_jobs;
    struct levelmerge_result res;
    unsigned more_series; /* of a block: b=00, b=01 … */
    uint32_t split_shards;
};

static struct err *put_in(void *arg, struct catalogue *c, bool *ret_changed)
{
    catalogue_add(c, arg);
    *ret_changed = true;
    return NULL;
}

static void put_exemplar(struct buf *out, struct sidecar_exemplar *x, struct labels ls)
{
    struct buf series = {0};

    labels_canonical(&series, ls);
    x->series = x->labels = buf_slice(&series);
    sidecar_put_exemplar(out, x);
    buf_done(&series);
}

/* Block i: series a=1 with three samples that all share and one of its own, with a start; an exemplar;
 * its only segment is named by the catalogue alone. */
static void make_block(struct fixture *f, unsigned i)
{
    struct chunk c[2] = {floats(f->a, FIXTURE_T0, 1000, 3, 1),
                         floats(f->a, FIXTURE_T0 + 10000 * i, 1000, 1, 9)};
    struct sidecar_exemplar x = {.series = SLICE(""), .t_ms = FIXTURE_T0 + i, .value = i};
    struct slice segment = slice_cstr(arena_strdup(f->a, ulid_print(fixture_ulid(100 + i)).s));
    struct block_writer *w = open_writer(i);
    struct buf b = {0};
    struct catalogue_block cb;
    struct labels ls = labels_from(f->a, "a=1");
    struct block_meta m;
    struct chunk starts;

    CHECK(start_runs_chunk(f->a, (struct start_run[]){{c[1].min_t, c[1].max_t, c[1].min_t - i}}, 1,
                           &starts));
    CHECK_OK(block_writer_add(
        w,
        &(struct block_series){.labels = ls, .chunks = c, .n_chunks = 2, .starts = starts.data}));
    sidecar_begin(&b, SIDECAR_EXEMPLARS);
    put_exemplar(&b, &x, ls);
    for (unsigned k = 0; k < f->more_series; k++) {
        ls = labels_from(f->a, arena_printf(f->a, "b=%02u", k));
        CHECK_OK(
            block_writer_add(w, &(struct block_series){.labels = ls, .chunks = c, .n_chunks = 2}));
        put_exemplar(&b, &x, ls);
    }
    sidecar_end(&b);
    CHECK_OK(block_writer_sidecar(w, "exemplars", buf_slice(&b)));
    finish_writer(w, f->a, &m);
    buf_done(&b);
    CHECK_OK(block_store_upload(f->store, SIGNAL, TENANT, block_path(i), &m));
    CHECK_OK(fsx_remove_tree(block_path(i)));
    m.segments = &segment;
    m.n_segments = 1;
    cb = catalogue_block_of_meta(&m);
    CHECK_OK(catalogue_update(f->store, SIGNAL, TENANT, put_in, &cb, NULL));
}

static void replan(struct fixture *f)
{
    struct levels_opts opts = {.ranges_ms = {2 * HOUR_MS},
                               .n_ranges = 1,
                               .max_inputs = 64,
                               .max_bytes = 1u << 30,
                               .split_shards = f->split_shards};
    int64_t due_ms;
    size_t n;
    const struct catalogue_block *b;

    catalogue_free(f->c);
    CHECK_OK(catalogue_load(f->store, SIGNAL, TENANT, &f->c));
    b = catalogue_blocks(f->c, &n);
    f->jobs = levels_plan(&opts, b, n, NOW_MS, NULL, NULL, f->a, &f->n_jobs, &due_ms);
}

static void setup_split(struct fixture *f, unsigned n, unsigned more_series, uint32_t split_shards)
{
    static char bucket[512], work[512];

    *f = (struct fixture){
        .a = arena_new(0), .more_series = more_series, .split_shards = split_shards};
    snprintf(bucket, sizeof(bucket), "%s", tmp_path("bucket"));
    snprintf(work, sizeof(work), "%s", tmp_path("work"));
    CHECK_OK(fsx_remove_tree(bucket));
    CHECK_OK(fsx_remove_tree(tmp_path("got")));
    CHECK_OK(objstore_fs_open(bucket, &(struct objstore_fs_opts){.no_sync = true}, &f->store));
    for (unsigned i = 1; i <= n; i++)
        make_block(f, i);
    f->opts = (struct levelmerge_opts){
        .signal = signal_of(SIGNAL_METRICS), .store = f->store, .work_dir = work, .metrics = &f->m};
    replan(f);
    CHECK_INT(f->n_jobs, n > 1); /* one alone is as it should be */
    if (n > 1)
        CHECK_INT(f->jobs[0].n, n);
}

static void setup(struct fixture *f, unsigned n)
{
    setup_split(f, n, 0, 0);
}

static void teardown(struct fixture *f)
{
    catalogue_free(f->c);
    objstore_close(f->store);
    arena_free(f->a);
}

static struct err *run(struct fixture *f)
{
    return levelmerge_run(&f->opts, TENANT, &f->jobs[0], NOW_MS, f->a, &f->res);
}

static struct block_reader *read_back(struct fixture *f, struct ulid id)
{
    struct block_reader *r;

    CHECK_OK(block_store_download(f->store, block_store_prefix(f->a, SIGNAL, TENANT, id), id,
                                  tmp_path("got")));
    CHECK_OK(block_reader_open_dir(tmp_path(arena_printf(f->a, "got/%s", ulid_print(id).s)), &r));
    return r;
}

static void check_samples(struct fixture *f, struct ulid id, const char *want)
{
    struct block_reader *r = read_back(f, id);
    struct block_refs refs;
    struct buf b = {0};

    CHECK_OK(block_reader_select(r, f->a, (struct matchers){0}, &refs));
    CHECK_INT(refs.n, 1);
    samples_text(r, f->a, refs.ptr[0], &b);
    CHECK_SLICE(buf_slice(&b), want);
    buf_done(&b);
    block_reader_close(r);
}

static bool is_in_bucket(struct fixture *f, struct ulid id)
{
    struct slice prefix = block_store_prefix(f->a, SIGNAL, TENANT, id);
    struct objstore_listing l;

    CHECK_OK(objstore_list(f->store, f->a, &(struct objstore_list){.prefix = prefix}, &l));
    return l.n != 0;
}

/* In the catalogue: live blocks and retired ones. */
static void check_catalogue(struct fixture *f, size_t live, size_t retired)
{
    size_t n;

    replan(f);
    (void)catalogue_blocks(f->c, &n);
    CHECK_INT(n, live);
    (void)catalogue_retired(f->c, &n);
    CHECK_INT(n, retired);
}

TEST(levelmerge_replaces_blocks_by_one)
{
    const struct block_meta *m;
    struct block_reader *r;
    struct block_refs refs;
    struct fixture f;
    struct buf starts = {0};
    char *file;

    setup(&f, 3);
    CHECK_OK(run(&f));
    CHECK_INT(f.m.done, 1);
    CHECK_INT(f.m.inputs, 3);
    CHECK(ulid_is_zero(f.res.bad));
    CHECK_INT(f.res.version, 4);
    check_samples(&f, f.res.block, "0:1 1000:2 2000:3 10000:9 20000:9 30000:9");
    check_catalogue(&f, 1, 3);
    CHECK_INT(f.n_jobs, 0);
    for (unsigned i = 1; i <= 3;
         i++) { /* flushes still know them, readers still have their files */
        CHECK(catalogue_has_segment(f.c, slice_cstr(ulid_print(fixture_ulid(100 + i)).s)));
        CHECK(is_in_bucket(&f, fixture_ulid(i)));
    }
    r = read_back(&f, f.res.block);
    m = block_reader_meta(r);
    CHECK_INT(m->level, 2);
    CHECK_INT(m->n_sources, 3);
    CHECK_INT(m->n_parents, 3);
    CHECK(ulid_eq(m->parents[1].ulid, fixture_ulid(2)));
    CHECK_INT(m->n_segments, 3);
    CHECK_SLICE(m->tenant, "t");
    CHECK_OK(block_reader_select(r, f.a, (struct matchers){0}, &refs));
    starts_text(r, refs.ptr[0], &starts);
    CHECK_SLICE(buf_slice(&starts), "10000-10000@9999 20000-20000@19998 30000-30000@29997");
    buf_done(&starts);
    block_reader_close(r);
    file = arena_printf(f.a, "got/%s/exemplars", ulid_print(f.res.block).s);
    CHECK(fsx_exists(tmp_path(file)));
    CHECK(!fsx_exists(tmp_path(arena_printf(f.a, "work/%s", ulid_print(f.res.block).s))));
    teardown(&f);
}

/* As of a bucket of Thanos: what the catalogue says of all series of a block comes to stand on them. */
TEST(levelmerge_writes_external_labels_into_the_series)
{
    static const char *const regions[] = {"region=eu", "region=us"};
    struct fixture f;
    struct block_reader *r;
    struct block_refs refs;
    struct buf b = {0};

    setup(&f, 2);
    for (unsigned i = 0; i < 2; i++) {
        struct catalogue_block cb = *catalogue_find(f.c, fixture_ulid(i + 1));

        cb.labels = labels_from(f.a, regions[i]);
        CHECK_OK(catalogue_update(f.store, SIGNAL, TENANT, put_in, &cb, NULL));
    }
    replan(&f);
    CHECK_OK(run(&f));
    r = read_back(&f, f.res.block);
    CHECK_OK(block_reader_select(r, f.a, (struct matchers){0}, &refs));
    for (size_t i = 0; i < refs.n; i++) {
        struct block_reader_series s;

        CHECK_OK(block_reader_series(r, f.a, refs.ptr[i], &s));
        labels_text(&b, s.labels);
    }
    CHECK_SLICE(buf_slice(&b), "{a=\"1\", region=\"eu\"}{a=\"1\", region=\"us\"}");
    replan(&f);
    CHECK_INT(catalogue_find(f.c, f.res.block)->labels.n, 0);
    buf_done(&b);
    block_reader_close(r);
    teardown(&f);
}

/* What happens meanwhile: before the next block of a job is made. */
static struct {
    struct fixture *f;
    void (*what)(struct fixture *f);
} meanwhile;

static struct err *make_late(const struct blockmake_opts *o, struct arena *a,
                             struct block_meta *ret)
{
    void (*what)(struct fixture * f) = meanwhile.what;

    meanwhile.what = NULL;
    if (what)
        what(meanwhile.f);
    return blockmake(o, a, ret);
}

static struct err *run_while(struct fixture *f, void (*what)(struct fixture *f))
{
    struct levelmerge_opts opts = f->opts;
    struct signal late = *f->opts.signal;

    late.make = make_late;
    opts.signal = &late;
    meanwhile.f = f;
    meanwhile.what = what;
    return levelmerge_run(&opts, TENANT, &f->jobs[0], NOW_MS, f->a, &f->res);
}

TEST(levelmerge_repeated_does_nothing)
{
    struct ulid block;
    struct fixture f;

    setup(&f, 2);
    CHECK_OK(run(&f));
    block = f.res.block;
    CHECK_OK(run(&f)); /* with the plan of before, as another compactor would */
    CHECK(ulid_is_zero(f.res.block));
    CHECK_INT(f.m.done, 1);
    CHECK_INT(f.m.outdated, 1);
    CHECK_INT(f.m.inputs, 2); /* no more than the first has read */
    check_catalogue(&f, 1, 2);
    check_samples(&f, block, "0:1 1000:2 2000:3 10000:9 20000:9");
    teardown(&f);
}

static void another_does_it(struct fixture *f)
{
    struct levelmerge_opts opts = f->opts;
    struct levelmerge_result res;

    opts.work_dir = tmp_path("work-of-another");
    CHECK_OK(levelmerge_run(&opts, TENANT, &f->jobs[0], NOW_MS, f->a, &res));
}

TEST(levelmerge_beside_another_that_makes_the_same_block)
{
    struct fixture f;

    setup(&f, 2);
    CHECK_OK(run_while(&f, another_does_it));
    CHECK_INT(f.m.done, 1);
    CHECK_INT(f.m.repeated, 1);
    CHECK_INT(f.m.waste.twice, 1);
    check_catalogue(&f, 1, 2);
    check_samples(&f, f.res.block, "0:1 1000:2 2000:3 10000:9 20000:9");
    teardown(&f);
}

static void damage_catalogue(struct fixture *f)
{
    CHECK_OK(objstore_put(f->store, SLICE("metrics/t/catalogue"), SLICE("?"), NULL, NULL));
}

/* What has come to nothing at its last step is not made again. */
TEST(levelmerge_names_a_block_that_it_could_not_name_before)
{
    struct buf whole = {0};
    struct fixture f;

    setup(&f, 2);
    CHECK_OK(objstore_get(f.store, SLICE("metrics/t/catalogue"), NULL, &whole, NULL));
    CHECK_ERR(run_while(&f, damage_catalogue), ERR_CORRUPT, "catalogue");
    CHECK_INT(f.m.waste.failed, 1);
    CHECK_OK(objstore_put(f.store, SLICE("metrics/t/catalogue"), buf_slice(&whole), NULL, NULL));
    CHECK_OK(run_while(&f, damage_catalogue)); /* nothing is made, so it does not come to that */
    CHECK_INT(f.m.taken_up, 1);
    CHECK_INT(f.m.waste.failed, 1);
    CHECK_INT(f.m.done, 1);
    check_catalogue(&f, 1, 2);
    check_samples(&f, f.res.block, "0:1 1000:2 2000:3 10000:9 20000:9");
    buf_done(&whole);
    teardown(&f);
}

static struct err *retire_first(void *arg, struct catalogue *c, bool *ret_changed)
{
    (void)arg;
    *ret_changed = catalogue_retire(c, fixture_ulid(1), 1);
    return NULL;
}

static void another_takes_an_input(struct fixture *f)
{
    CHECK_OK(catalogue_update(f->store, SIGNAL, TENANT, retire_first, NULL, NULL));
}

TEST(levelmerge_takes_back_what_an_input_was_lost_to_another_for)
{
    struct fixture f;
    struct ulid id;

    setup(&f, 3);
    id = levels_block_id(TENANT, &f.jobs[0]);
    CHECK_OK(run_while(&f, another_takes_an_input));
    CHECK_INT(f.m.outdated, 1);
    CHECK_INT(f.m.waste.outdated, 1);
    CHECK(ulid_is_zero(f.res.block) && ulid_is_zero(f.res.bad));
    CHECK(!is_in_bucket(&f, id));
    check_catalogue(&f, 2, 1);
    teardown(&f);
    setup(&f, 2); /* and when its files are gone too */
    CHECK_OK(catalogue_update(f.store, SIGNAL, TENANT, retire_first, NULL, NULL));
    CHECK_OK(block_store_delete(f.store, block_store_prefix(f.a, SIGNAL, TENANT, fixture_ulid(1))));
    CHECK_OK(run(&f));
    CHECK_INT(f.m.outdated, 1);
    CHECK_INT(f.m.bad_blocks, 0);
    teardown(&f);
}

static struct err *retire_output(void *arg, struct catalogue *c, bool *ret_changed)
{
    *ret_changed = catalogue_retire_orphan(c, *(struct ulid *)arg, 1);
    return NULL;
}

TEST(levelmerge_does_not_wait_for_a_name_that_is_being_deleted)
{
    struct fixture f;
    struct ulid id;

    setup(&f, 2);
    id = levels_block_id(TENANT, &f.jobs[0]);
    CHECK_OK(catalogue_update(f.store, SIGNAL, TENANT, retire_output, &id, NULL));
    CHECK_OK(run(&f));
    CHECK(!ulid_eq(f.res.block, id));
    check_catalogue(&f, 1, 3);
    CHECK(catalogue_is_retired(f.c, id));
    teardown(&f);
}

static void damage(struct fixture *f, unsigned i, const char *file)
{
    char *path = arena_printf(f->a, "%s/metrics/t/%s/%s", f->store->name + 11,
                              ulid_print(fixture_ulid(i)).s, file);
    struct buf b = {0};

    CHECK_OK(fsx_read(path, 1 << 20, &b));
    b.ptr[b.len / 2] ^= 0x40;
    CHECK_OK(fsx_write_atomic(path, buf_slice(&b)));
    buf_done(&b);
}

TEST(levelmerge_reports_a_block_that_does_not_verify)
{
    static const char *const files[] = {"index", "chunks/000001", "meta.json"};
    static const char *const named[] = {"index: postings", "chunk at 8", "meta.json: line"};

    for (size_t i = 0; i < ORR_COUNT(files); i++) {
        struct fixture f;

        setup(&f, 3);
        damage(&f, 2, files[i]);
        CHECK_OK(run(&f));
        CHECK(ulid_eq(f.res.bad, fixture_ulid(2)));
        CHECK(strstr(f.res.bad_reason, named[i]) != NULL);
        CHECK(strstr(f.res.bad_reason, ulid_print(fixture_ulid(2)).s) != NULL);
        CHECK_INT(f.m.bad_blocks, 1);
        CHECK_INT(f.res.version, 0);
        check_catalogue(&f, 3, 0);
        CHECK_OK(
            block_store_delete(f.store, block_store_prefix(f.a, SIGNAL, TENANT, fixture_ulid(2))));
        CHECK_OK(run(&f)); /* the same for one that is not there */
        CHECK(ulid_eq(f.res.bad, fixture_ulid(2)));
        teardown(&f);
    }
}

TEST(levelmerge_keeps_the_samples_beside_a_corrupt_sidecar)
{
    struct fixture f;

    setup(&f, 2);
    damage(&f, 1, "exemplars");
    CHECK_OK(run(&f));
    CHECK_INT(f.m.make.bad_sidecars, 1);
    check_samples(&f, f.res.block, "0:1 1000:2 2000:3 10000:9 20000:9");
    teardown(&f);
}

TEST(levelmerge_survives_a_failure_at_every_step)
{
    FAULT_SWEEP (n) {
        struct fixture f;
        struct err *e;
        size_t blocks;

        fault_disarm();
        setup(&f, 2);
        fault_arm_nth(n);
        e = run(&f);
        fault_disarm();
        CHECK(ulid_is_zero(f.res.bad));
        replan(&f);
        (void)catalogue_blocks(f.c, &blocks);
        CHECK(blocks == 1 || (e && blocks == 2));
        if (f.n_jobs)
            CHECK_OK(run(&f));
        err_free(e);
        check_catalogue(&f, 1, 2);
        check_samples(&f, catalogue_blocks(f.c, &blocks)->ulid,
                      "0:1 1000:2 2000:3 10000:9 20000:9");
        teardown(&f);
    }
}

TEST(levelmerge_writes_blocks_that_promtool_reads)
{
    struct fixture f;
    char cmd[2048];

    if (system("command -v promtool >/dev/null 2>&1") != 0) {
        skip();
        return;
    }
    setup(&f, 3);
    CHECK_OK(run(&f));
    snprintf(cmd, sizeof(cmd), "promtool tsdb analyze %s/metrics/t %s >%s 2>&1",
             f.opts.store->name + 11, ulid_print(f.res.block).s, tmp_path("out"));
    CHECK_INT(system(cmd), 0);
    teardown(&f);
}

/* ---- rewrites ---- */

static struct err *add_tombstone(void *arg, struct tombstone_list *l, bool *ret_changed)
{
    *ret_changed = true;
    return tombstone_list_add(l, arg);
}

static void delete_a1(struct fixture *f, unsigned i, int64_t min_ms, int64_t max_ms)
{
    struct matcher m;
    struct tombstone t = {.ulid = fixture_ulid(i),
                          .created_ms = NOW_MS,
                          .min_ms = min_ms,
                          .max_ms = max_ms,
                          .matchers = {&m, 1}};

    CHECK_OK(matcher_init(f->a, MATCHER_EQ, SLICE("a"), SLICE("1"), &m));
    CHECK_OK(tombstone_list_update(f->store, SIGNAL, TENANT, add_tombstone, &t, NULL));
    matchers_done(t.matchers);
}

static int64_t always(void *arg, struct ulid block)
{
    (void)arg;
    (void)block;
    return 0;
}

static void plan_rewrite(struct fixture *f)
{
    struct levels_opts opts = {.ranges_ms = {2 * HOUR_MS},
                               .n_ranges = 1,
                               .max_inputs = 64,
                               .max_bytes = 1u << 30,
                               .rewrite = always};
    int64_t due_ms;
    size_t n;
    const struct catalogue_block *b;

    catalogue_free(f->c);
    CHECK_OK(catalogue_load(f->store, SIGNAL, TENANT, &f->c));
    b = catalogue_blocks(f->c, &n);
    f->jobs = levels_plan(&opts, b, n, NOW_MS, NULL, NULL, f->a, &f->n_jobs, &due_ms);
    CHECK_INT(f->n_jobs, 1);
    CHECK_INT(f->jobs[0].kind, LEVELS_REWRITE);
}

TEST(levelmerge_rewrites_one_block_without_what_is_deleted)
{
    const struct catalogue_block *b;
    struct fixture f;
    size_t n;

    setup(&f, 2);
    CHECK_OK(run(&f));
    plan_rewrite(&f);
    CHECK_OK(run(&f)); /* nothing is deleted: nothing is to be done */
    CHECK_INT(f.m.outdated, 1);
    CHECK_INT(f.res.version, 0);
    delete_a1(&f, 50, FIXTURE_T0 + 1000, FIXTURE_T0 + 10000);
    CHECK_OK(run(&f));
    CHECK_INT(f.m.rewritten, 1);
    CHECK_INT(f.m.make.deleted_samples, 3);
    check_samples(&f, f.res.block, "0:1 20000:9");
    check_catalogue(&f, 1, 3);
    b = catalogue_blocks(f.c, &n);
    CHECK_INT(b->level, 2); /* it is where it was */
    CHECK_INT(b->n_segments, 2);
    plan_rewrite(&f);
    delete_a1(&f, 51, 0, NOW_MS); /* all of it: a block of nothing, that names the segments */
    CHECK_OK(run(&f));
    CHECK_INT(f.res.series, 0);
    check_catalogue(&f, 1, 4);
    CHECK_INT(catalogue_blocks(f.c, &n)->n_segments, 2);
    teardown(&f);
}

static struct err *pin_all(void *arg, struct catalogue *c, bool *ret_changed)
{
    struct catalogue_block b;
    size_t n;

    (void)arg;
    (void)catalogue_blocks(c, &n);
    for (size_t i = 0; i < n; i++) {
        b = catalogue_blocks(c, &n)[i];
        b.is_pinned = true;
        catalogue_add(c, &b);
    }
    *ret_changed = true;
    return NULL;
}

TEST(levelmerge_rewrites_a_pinned_block_as_one_that_is_pinned)
{
    const struct catalogue_block *b;
    struct fixture f;
    size_t n;

    setup(&f, 2);
    CHECK_OK(run(&f));
    CHECK_OK(catalogue_update(f.store, SIGNAL, TENANT, pin_all, NULL, NULL));
    delete_a1(&f, 50, FIXTURE_T0 + 1000, FIXTURE_T0 + 10000);
    plan_rewrite(&f);
    CHECK(f.jobs[0].inputs[0]->is_pinned);
    CHECK_OK(run(&f));
    CHECK_INT(f.m.rewritten, 1);
    check_catalogue(&f, 1, 3);
    b = catalogue_blocks(f.c, &n);
    CHECK(b->is_pinned && ulid_eq(b->ulid, f.res.block));
    teardown(&f);
}

TEST(levelmerge_rewrites_once_whichever_step_fails)
{
    FAULT_SWEEP (n) {
        struct fixture f;
        struct err *e;
        size_t blocks;

        fault_disarm();
        setup(&f, 2);
        CHECK_OK(run(&f));
        delete_a1(&f, 50, FIXTURE_T0 + 1000, FIXTURE_T0 + 10000);
        plan_rewrite(&f);
        fault_arm_nth(n);
        e = run(&f);
        fault_disarm();
        CHECK(ulid_is_zero(f.res.bad));
        CHECK_OK(run(&f)); /* as who comes after would */
        CHECK_INT(f.m.rewritten, 1);
        check_catalogue(&f, 1, 3);
        CHECK(e || f.m.outdated == 1);
        check_samples(&f, catalogue_blocks(f.c, &blocks)->ulid, "0:1 20000:9");
        err_free(e);
        teardown(&f);
    }
}

/* ---- shards ---- */

static size_t count_exemplars(struct fixture *f, struct ulid block)
{
    char *path = arena_printf(f->a, "got/%s/exemplars", ulid_print(block).s);
    struct sidecar_exemplar x;
    struct buf b = {0};
    struct reader r;
    size_t n = 0;

    if (fsx_exists(tmp_path(path))) {
        CHECK_OK(fsx_read(tmp_path(path), 1 << 20, &b));
        CHECK_OK(sidecar_open(SIDECAR_EXEMPLARS, buf_slice(&b), &r));
        while (sidecar_next_exemplar(&r, &x))
            n++;
    }
    buf_done(&b);
    return n;
}

/* Each of the live blocks has the series of its shard, whole, and its exemplars. Returns how many series there are. */
static size_t check_shards(struct fixture *f, uint32_t shards, size_t n_segments)
{
    size_t n, series = 0;
    const struct catalogue_block *b = catalogue_blocks(f->c, &n);

    for (size_t i = 0; i < n; i++) {
        struct block_reader *r = read_back(f, b[i].ulid);
        struct block_refs refs;
        struct buf text = {0};

        CHECK_INT(b[i].shards, shards);
        CHECK_INT(b[i].n_segments, n_segments);
        CHECK_INT(block_reader_meta(r)->shard, b[i].shard);
        CHECK_OK(block_reader_select(r, f->a, (struct matchers){0}, &refs));
        CHECK(refs.n > 0);
        for (size_t k = 0; k < refs.n; k++) {
            struct block_reader_series s;

            CHECK_OK(block_reader_series(r, f->a, refs.ptr[k], &s));
            CHECK_INT(labels_hash_prometheus(s.labels) % shards, b[i].shard);
            samples_text(r, f->a, refs.ptr[k], &text);
            CHECK_SLICE(buf_slice(&text), "0:1 1000:2 2000:3 10000:9 20000:9");
        }
        CHECK_INT(count_exemplars(f, b[i].ulid), 2 * refs.n);
        series += refs.n;
        buf_done(&text);
        block_reader_close(r);
    }
    return series;
}

TEST(levelmerge_splits_into_a_block_for_each_shard)
{
    struct fixture f;
    size_t n;

    setup_split(&f, 2, 40, 3);
    CHECK_INT(f.jobs[0].shards, 3);
    CHECK_OK(run(&f));
    CHECK_INT(f.res.blocks, 3);
    CHECK_INT(f.res.series, 41);
    CHECK_INT(f.m.split, 1);
    CHECK_INT(f.res.version, 3); /* one change of the catalogue */
    check_catalogue(&f, 3, 2);
    CHECK_INT(f.n_jobs, 0);
    CHECK_INT(check_shards(&f, 3, 2), 41);
    teardown(&f);
    setup_split(&f, 2, 0, 5); /* one series: the other shards have no block */
    CHECK_OK(run(&f));
    CHECK_INT(f.res.blocks, 1);
    check_catalogue(&f, 1, 2);
    CHECK_INT(check_shards(&f, 5, 2), 1);
    teardown(&f);
    setup_split(&f, 2, 0, 5); /* no series: one block, that names the segments */
    delete_a1(&f, 50, 0, NOW_MS);
    CHECK_OK(run(&f));
    CHECK_INT(f.res.blocks, 1);
    check_catalogue(&f, 1, 2);
    CHECK_INT(catalogue_blocks(f.c, &n)->n_segments, 2);
    teardown(&f);
}

/* The block of no more shards than that goes into four, of which it has series of two. */
static void split_on(struct fixture *f, uint32_t shards)
{
    const struct catalogue_block *input = NULL;
    struct levels_job job = {.kind = LEVELS_SPLIT, .inputs = &input, .n = 1, .shards = 4};
    size_t n;
    const struct catalogue_block *b = catalogue_blocks(f->c, &n);

    for (size_t i = 0; i < n; i++)
        if (b[i].shards == shards)
            input = &b[i];
    CHECK(input);
    job.min_ms = input->min_t;
    job.max_ms = input->max_t;
    f->jobs = &job;
    CHECK_OK(run(f));
    CHECK_INT(f->res.blocks, 2);
    replan(f);
}

TEST(levelmerge_splits_blocks_of_a_shard_on)
{
    struct fixture f;

    setup_split(&f, 2, 40, 2);
    CHECK_OK(run(&f));
    replan(&f);
    CHECK_INT(check_shards(&f, 2, 2), 41);
    split_on(&f, 2);
    split_on(&f, 2);
    CHECK_OK(fsx_remove_tree(tmp_path("got")));
    CHECK_INT(f.n_jobs, 0);
    CHECK_INT(check_shards(&f, 4, 2), 41);
    teardown(&f);
}

TEST(levelmerge_adds_all_shards_or_none_whichever_step_fails)
{
    FAULT_SWEEP (n) {
        struct fixture f;
        struct err *e;
        size_t blocks;

        fault_disarm();
        setup_split(&f, 2, 20, 3);
        fault_arm_nth(n);
        e = run(&f);
        fault_disarm();
        replan(&f);
        (void)catalogue_blocks(f.c, &blocks);
        CHECK(blocks == 3 || (e && blocks == 2));
        if (f.n_jobs)
            CHECK_OK(run(&f));
        err_free(e);
        check_catalogue(&f, 3, 2);
        CHECK_INT(check_shards(&f, 3, 2), 21);
        CHECK_OK(fsx_remove_tree(tmp_path("got")));
        teardown(&f);
    }
}

TEST(levelmerge_takes_all_shards_back_when_an_input_is_lost)
{
    struct fixture f;
    struct objstore_listing l;

    setup_split(&f, 2, 20, 3);
    CHECK_OK(run_while(&f, another_takes_an_input));
    CHECK_INT(f.m.outdated, 1);
    CHECK_INT(f.m.waste.outdated, 3);
    CHECK_OK(objstore_list(
        f.store, f.a, &(struct objstore_list){.prefix = SLICE("metrics/t/"), .by_directory = true},
        &l));
    CHECK_INT(l.n, 3); /* the inputs, and the catalogue */
    teardown(&f);
}

TEST(levelmerge_leaves_out_series_whose_retention_is_over)
{
    struct retention r = {.default_ms = 0, .now_ms = NOW_MS};
    struct retention_rules rules;
    struct yaml_node *root = NULL;
    struct fixture f;

    setup_split(&f, 2, 3, 0);
    CHECK_OK(yaml_load("t", SLICE("[{selector: '{a=\"1\"}', period: 100d}]"), f.a, &root));
    CHECK_OK(retention_rules_parse("t", "retention_stream", root, f.a, &rules));
    r.rules = &rules;
    f.opts.retention = &r;
    CHECK_OK(run(&f)); /* not over yet: the name is that of the inputs alone */
    CHECK(ulid_eq(f.res.block, levels_block_id(TENANT, &f.jobs[0])));
    plan_rewrite(&f);
    r.now_ms += 100 * 24 * HOUR_MS;
    CHECK_OK(run(&f));
    CHECK_INT(f.m.rewritten, 1);
    CHECK_INT(f.m.make.expired_series, 1);
    CHECK_INT(f.res.series, 3);
    check_catalogue(&f, 1, 3);
    block_reader_close(read_back(&f, f.res.block));
    CHECK_INT(count_exemplars(&f, f.res.block), 2 * 3);
    retention_rules_done(&rules);
    teardown(&f);
}
