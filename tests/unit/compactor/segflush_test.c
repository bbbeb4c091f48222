#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "common/base/fsx.h"
#include "common/base/log.h"
#include "common/block/block_store.h"
#include "common/block/sidecar.h"
#include "common/block/start_runs.h"
#include "common/block/tombstone_list.h"
#include "common/objstore/objstore_fs.h"
#include "compactor/segflush.h"
#include "tests/unit/common/block/block_fixture.h"

/* Segments are blocks in tmp_path(""), as block_fixture makes them; fetching copies one. */
struct fixture {
    struct objstore *store;
    struct segflush_metrics m;
    struct segflush_opts opts;
    struct arena *a;
    struct plan_input inputs[4];
    struct plan_job job;
    struct segflush_result res;
    unsigned gone;                        /* bits: fetches answer ERR_NOT_FOUND */
    unsigned down;                        /* bits: ERR_UNAVAILABLE */
    void (*meanwhile)(struct fixture *f); /* once, when a segment is fetched */
};

/* With stdio: these calls pass no fault point. */
static void copy_file(const char *from, const char *to)
{
    FILE *in = fopen(from, "rb"), *out = fopen(to, "wb");
    char bytes[4096];
    size_t n;

    CHECK(in && out);
    while ((n = fread(bytes, 1, sizeof(bytes), in)) > 0)
        CHECK_INT(fwrite(bytes, 1, n, out), n);
    CHECK_INT(fclose(in), 0);
    CHECK_INT(fclose(out), 0);
}

static void copy_if_there(const char *from, const char *to, const char *name)
{
    char *src = mem_printf("%s/%s", from, name), *dst = mem_printf("%s/%s", to, name);

    if (fsx_exists(src))
        copy_file(src, dst);
    mem_free(src);
    mem_free(dst);
}

static struct err *fetch(void *arg, struct slice tenant, const struct plan_input *in,
                         const char *dir, uint64_t *ret_bytes)
{
    static const char *const names[] = {"index",    "meta.json",  "chunks/000001", "exemplars",
                                        "metadata", "tombstones", "starts"};
    struct fixture *f = arg;
    const char *from = tmp_path(ulid_print(in->ulid).s);
    char *chunks = mem_printf("%s/chunks", dir);
    struct err *e;

    CHECK_SLICE(tenant, "t");
    if (f->meanwhile) {
        f->meanwhile(f);
        f->meanwhile = NULL;
    }
    if (f->gone & 1u << in->position) {
        mem_free(chunks);
        return err_new(ERR_NOT_FOUND, "gone");
    }
    if (f->down & 1u << in->position) {
        mem_free(chunks);
        return err_new(ERR_UNAVAILABLE, "down");
    }
    *ret_bytes = 1;
    if ((e = fsx_mkdirs(chunks))) {
        mem_free(chunks);
        return e;
    }
    for (size_t i = 0; i < ORR_COUNT(names); i++)
        copy_if_there(from, dir, names[i]);
    mem_free(chunks);
    return NULL;
}

/* Segment i: series a=1 with three samples and a start timestamp, the last one of its own, metadata that
 * all share. */
static void make_segment(unsigned i)
{
    struct sidecar_metadata md = {1, SLICE("m"), SLICE("help"), SLICE("")};
    struct arena *a = arena_new(0);
    struct chunk c[2] = {floats(a, FIXTURE_T0, 1000, 3, 1),
                         floats(a, FIXTURE_T0 + 10000 * i, 1000, 1, 9)};
    struct block_writer *w = open_writer(i);
    struct block_meta m;
    struct chunk starts;
    struct buf b = {0};

    CHECK(start_runs_chunk(a,
                           (struct start_run[]){{c[0].min_t, c[0].max_t, FIXTURE_T0 - 5},
                                                {c[1].min_t, c[1].max_t, c[1].min_t - i}},
                           2, &starts));
    CHECK_OK(block_writer_add(w, &(struct block_series){.labels = labels_from(a, "a=1"),
                                                        .chunks = c,
                                                        .n_chunks = 2,
                                                        .starts = starts.data}));
    sidecar_begin(&b, SIDECAR_METADATA);
    sidecar_put_metadata(&b, &md);
    sidecar_end(&b);
    CHECK_OK(block_writer_sidecar(w, "metadata", buf_slice(&b)));
    finish_writer(w, a, &m);
    buf_done(&b);
    arena_free(a);
}

static void setup(struct fixture *f, unsigned n)
{
    static char bucket[512], work[512];

    *f = (struct fixture){.a = arena_new(0)};
    snprintf(bucket, sizeof(bucket), "%s", tmp_path("bucket"));
    snprintf(work, sizeof(work), "%s", tmp_path("work"));
    CHECK_OK(objstore_fs_open(bucket, &(struct objstore_fs_opts){.no_sync = true}, &f->store));
    for (unsigned i = 0; i < n; i++) {
        make_segment(i + 1);
        f->inputs[i] = (struct plan_input){.ulid = fixture_ulid(i + 1), .position = i};
    }
    f->job = (struct plan_job){SLICE("t"), 0, f->inputs, n};
    f->opts = (struct segflush_opts){.signal = signal_of(SIGNAL_METRICS),
                                     .store = f->store,
                                     .work_dir = work,
                                     .fetch = fetch,
                                     .arg = f,
                                     .metrics = &f->m};
}

static void teardown(struct fixture *f)
{
    objstore_close(f->store);
    arena_free(f->a);
}

static struct err *flush(struct fixture *f)
{
    return segflush_run(&f->opts, &f->job, f->a, &f->res);
}

static size_t blocks_of(struct fixture *f, const char *named)
{
    struct catalogue *c;
    size_t n;

    CHECK_OK(catalogue_load(f->store, SLICE("metrics"), SLICE("t"), &c));
    (void)catalogue_blocks(c, &n);
    if (named)
        CHECK(catalogue_has_segment(c, slice_cstr(named)));
    catalogue_free(c);
    return n;
}

static bool has_segment(struct fixture *f, unsigned i)
{
    struct catalogue *c;
    bool has;

    CHECK_OK(catalogue_load(f->store, SLICE("metrics"), SLICE("t"), &c));
    has = catalogue_has_segment(c, slice_cstr(ulid_print(fixture_ulid(i)).s));
    catalogue_free(c);
    return has;
}

/* The samples of the bucket's block, as samples_text(). */
static void check_block(struct fixture *f, struct ulid id, const char *want)
{
    struct block_reader *r;
    struct block_refs refs;
    struct buf b = {0};

    CHECK_OK(block_store_download(
        f->store, block_store_prefix(f->a, SLICE("metrics"), SLICE("t"), id), id, tmp_path("got")));
    CHECK_OK(block_reader_open_dir(tmp_path(arena_printf(f->a, "got/%s", ulid_print(id).s)), &r));
    CHECK_OK(block_reader_select(r, f->a, (struct matchers){0}, &refs));
    CHECK_INT(refs.n, 1);
    samples_text(r, f->a, refs.ptr[0], &b);
    CHECK_SLICE(buf_slice(&b), want);
    buf_done(&b);
    block_reader_close(r);
}

static void check_starts_of(struct fixture *f, const struct block_reader *r, const char *want)
{
    struct block_refs refs;
    struct buf b = {0};

    CHECK_OK(block_reader_select(r, f->a, (struct matchers){0}, &refs));
    starts_text(r, refs.ptr[0], &b);
    CHECK_SLICE(buf_slice(&b), want);
    buf_done(&b);
}

static void damage(struct fixture *f, unsigned i, const char *file, size_t at)
{
    const char *path = tmp_path(arena_printf(f->a, "%s/%s", ulid_print(fixture_ulid(i)).s, file));
    struct buf b = {0};

    CHECK_OK(fsx_read(path, 1 << 20, &b));
    CHECK(at < b.len);
    b.ptr[at] ^= 0x40;
    CHECK_OK(fsx_write_atomic(path, buf_slice(&b)));
    buf_done(&b);
}

TEST(segflush_makes_one_block_of_three_replicas)
{
    struct fixture f;
    struct block_reader *r;
    const struct block_meta *m;

    setup(&f, 3);
    CHECK_OK(flush(&f));
    CHECK_INT(f.res.version, 1);
    CHECK_INT(f.m.flushes, 1);
    CHECK_INT(blocks_of(&f, ulid_print(fixture_ulid(2)).s), 1);
    for (unsigned i = 1; i <= 3; i++)
        CHECK(has_segment(&f, i));
    check_block(&f, f.res.block, "0:1 1000:2 2000:3 10000:9 20000:9 30000:9");
    CHECK_OK(block_reader_open_dir(tmp_path(arena_printf(f.a, "got/%s", ulid_print(f.res.block).s)),
                                   &r));
    check_starts_of(&f, r, "0-2000@-5 10000-10000@9999 20000-20000@19998 30000-30000@29997");
    m = block_reader_meta(r);
    CHECK_INT(m->n_segments, 3);
    CHECK_SLICE(m->origin, "compactor");
    CHECK_INT(m->n_sidecars, 3);
    CHECK(block_meta_has_sidecar(m, "metadata") && block_meta_has_sidecar(m, "starts") &&
          block_meta_has_sidecar(m, "summary"));
    block_reader_close(r);
    CHECK(!fsx_exists(tmp_path(arena_printf(f.a, "work/%s", ulid_print(f.res.block).s))));
    teardown(&f);
}

TEST(segflush_repeated_does_nothing)
{
    struct fixture f;
    struct ulid block;

    setup(&f, 2);
    CHECK_OK(flush(&f));
    block = f.res.block;
    CHECK_OK(flush(&f));
    CHECK(ulid_is_zero(f.res.block));
    CHECK_INT(f.res.version, 1);
    CHECK_INT(f.m.segments, 2); /* no more than the first has fetched */
    f.job.n = 1;                /* somebody planned before it knew of the second */
    CHECK_OK(flush(&f));
    CHECK_INT(f.m.segments, 2);
    CHECK_INT(f.m.flushes, 1);
    CHECK_INT(f.m.repeated, 2);
    CHECK_INT(blocks_of(&f, NULL), 1);
    check_block(&f, block, "0:1 1000:2 2000:3 10000:9 20000:9");
    teardown(&f);
}

static struct err *name_both(void *arg, struct catalogue *c, bool *ret_changed)
{
    struct slice texts[2];
    struct ulid_text ids[2];
    struct catalogue_block b = {
        .ulid = fixture_ulid(9), .max_t = 1, .segments = texts, .n_segments = 2};

    (void)arg;
    for (unsigned i = 0; i < 2; i++) {
        ids[i] = ulid_print(fixture_ulid(i + 1));
        texts[i] = slice_cstr(ids[i].s);
    }
    catalogue_add(c, &b);
    *ret_changed = true;
    return NULL;
}

static void edit(struct fixture *f, catalogue_edit_fn *fn)
{
    CHECK_OK(catalogue_update(f->store, SLICE("metrics"), SLICE("t"), fn, NULL, NULL));
}

static void others_name_both(struct fixture *f)
{
    edit(f, name_both);
}

TEST(segflush_takes_back_a_block_whose_segments_others_come_to_hold)
{
    struct fixture f;
    struct objstore_info info;
    struct slice key;

    setup(&f, 2);
    f.meanwhile = others_name_both;
    CHECK_OK(flush(&f));
    CHECK_INT(f.m.repeated, 1);
    CHECK_INT(f.m.waste.outdated, 1);
    CHECK_INT(f.res.version, 1);
    CHECK_INT(blocks_of(&f, NULL), 1);
    key = block_store_prefix(f.a, SLICE("metrics"), SLICE("t"), f.res.block);
    CHECK_ERR(objstore_stat(f.store,
                            slice_cstr(arena_printf(f.a, "%.*s/meta.json", SLICE_ARG(key))), &info),
              ERR_NOT_FOUND, "");
    teardown(&f);
}

static void same_block(struct fixture *f)
{
    f->meanwhile = NULL;
    CHECK_OK(flush(f));
}

TEST(segflush_beside_another_that_makes_the_same_block)
{
    struct fixture f;

    setup(&f, 2);
    f.meanwhile = same_block;
    CHECK_OK(flush(&f));
    CHECK_INT(f.m.flushes, 1);
    CHECK_INT(f.m.repeated, 1);
    CHECK_INT(f.m.taken_up, 0);
    CHECK_INT(blocks_of(&f, ulid_print(fixture_ulid(2)).s), 1);
    teardown(&f);
}

static void damage_catalogue(struct fixture *f)
{
    CHECK_OK(objstore_put(f->store, SLICE("metrics/t/catalogue"), SLICE("?"), NULL, NULL));
}

/* What has come to nothing at its last step is not made again. */
TEST(segflush_names_a_block_that_it_could_not_name_before)
{
    struct fixture f;

    setup(&f, 2);
    f.meanwhile = damage_catalogue;
    CHECK_ERR(flush(&f), ERR_CORRUPT, "catalogue");
    CHECK_INT(f.m.waste.failed, 1);
    CHECK_OK(objstore_delete(f.store, SLICE("metrics/t/catalogue")));
    CHECK_OK(flush(&f));
    CHECK_INT(f.m.taken_up, 1);
    CHECK_INT(f.m.flushes, 1);
    CHECK_INT(f.res.version, 1);
    CHECK_INT(f.res.samples, 5);
    CHECK_INT(f.m.waste.failed, 1);
    CHECK(has_segment(&f, 1) && has_segment(&f, 2));
    check_block(&f, f.res.block, "0:1 1000:2 2000:3 10000:9 20000:9");
    teardown(&f);
}

static struct err *retire_name(void *arg, struct catalogue *c, bool *ret_changed)
{
    struct ulid ids[2] = {fixture_ulid(1), fixture_ulid(2)};

    (void)arg;
    *ret_changed = catalogue_retire_orphan(c, segflush_block_id(SLICE("t"), ids, 2), 1);
    return NULL;
}

TEST(segflush_does_not_wait_for_a_name_that_is_being_deleted)
{
    struct fixture f;

    setup(&f, 2);
    edit(&f, retire_name);
    CHECK_OK(flush(&f));
    CHECK_INT(f.res.version, 2);
    CHECK_INT(blocks_of(&f, ulid_print(fixture_ulid(2)).s), 1);
    check_block(&f, f.res.block, "0:1 1000:2 2000:3 10000:9 20000:9");
    teardown(&f);
}

static struct err *expire_all(void *arg, struct catalogue *c, bool *ret_changed)
{
    size_t n;
    const struct catalogue_block *b = catalogue_blocks(c, &n);

    (void)arg;
    *ret_changed = n != 0;
    for (; n; b = catalogue_blocks(c, &n))
        (void)catalogue_expire(c, b->ulid, 1);
    return NULL;
}

TEST(segflush_makes_nothing_of_what_has_expired_from_the_catalogue)
{
    struct fixture f;

    setup(&f, 2);
    CHECK_OK(flush(&f));
    edit(&f, expire_all);
    CHECK_OK(flush(&f));
    CHECK_INT(f.res.version, 2); /* they may be dropped */
    CHECK_INT(f.m.flushes, 1);
    CHECK_INT(f.m.segments, 2);
    CHECK_INT(blocks_of(&f, NULL), 0);
    teardown(&f);
}

TEST(segflush_adds_a_late_replica_as_an_overlapping_block)
{
    struct fixture f;

    setup(&f, 3);
    f.job.n = 2;
    CHECK_OK(flush(&f));
    f.job = (struct plan_job){SLICE("t"), 0, f.inputs + 2, 1};
    CHECK_OK(flush(&f));
    CHECK_INT(f.res.version, 2);
    CHECK_INT(blocks_of(&f, NULL), 2);
    check_block(&f, f.res.block, "0:1 1000:2 2000:3 30000:9");
    teardown(&f);
}

TEST(segflush_leaves_a_corrupt_segment_out)
{
    static const struct {
        const char *file;
        size_t at;
    } places[] = {{"index", 0}, {"index", 40}, {"chunks/000001", 12}, {"meta.json", 0}};

    for (size_t i = 0; i < ORR_COUNT(places); i++) {
        struct fixture f;

        CHECK_OK(fsx_remove_tree(tmp_path("bucket")));
        setup(&f, 3);
        damage(&f, 2, places[i].file, places[i].at);
        CHECK_OK(flush(&f));
        CHECK_INT(f.res.n_bad, 1);
        CHECK(ulid_eq(f.res.bad[0], fixture_ulid(2)));
        CHECK_INT(f.m.bad_segments, 1);
        CHECK(has_segment(&f, 1));
        CHECK(!has_segment(&f, 2));
        CHECK(has_segment(&f, 3));
        teardown(&f);
    }
}

TEST(segflush_keeps_the_samples_beside_a_corrupt_sidecar)
{
    struct fixture f;

    setup(&f, 2);
    damage(&f, 1, "metadata", 10);
    CHECK_OK(flush(&f));
    CHECK_INT(f.res.n_bad, 0);
    CHECK_INT(f.m.make.bad_sidecars, 1);
    CHECK(has_segment(&f, 1));
    teardown(&f);
}

TEST(segflush_leaves_broken_start_timestamps_out_and_keeps_the_samples)
{
    struct fixture f;

    setup(&f, 2);
    damage(&f, 1, "starts", 12);
    CHECK_OK(flush(&f));
    CHECK_INT(f.res.n_bad, 0);
    CHECK_INT(f.m.make.bad_sidecars, 1);
    check_block(&f, f.res.block, "0:1 1000:2 2000:3 10000:9 20000:9");
    teardown(&f);
}

TEST(segflush_refuses_a_segment_that_is_another)
{
    struct fixture f;

    setup(&f, 2);
    f.inputs[0].ulid = fixture_ulid(9);
    CHECK_OK(fsx_mkdirs(tmp_path(ulid_print(fixture_ulid(9)).s)));
    copy_if_there(block_path(1), tmp_path(ulid_print(fixture_ulid(9)).s), "index");
    copy_if_there(block_path(1), tmp_path(ulid_print(fixture_ulid(9)).s), "meta.json");
    CHECK_OK(flush(&f));
    CHECK_INT(f.res.n_bad, 1);
    CHECK(!has_segment(&f, 9));
    teardown(&f);
}

TEST(segflush_leaves_a_gone_segment_out_and_stops_for_one_out_of_reach)
{
    struct fixture f;

    setup(&f, 2);
    f.down = 1;
    CHECK_ERR(flush(&f), ERR_UNAVAILABLE, "down");
    CHECK_INT(blocks_of(&f, NULL), 0);
    f.down = 0;
    f.gone = 1;
    CHECK_OK(flush(&f));
    CHECK_INT(f.m.gone_segments, 1);
    CHECK(!has_segment(&f, 1));
    CHECK(has_segment(&f, 2));
    f.gone = 3;
    CHECK_OK(flush(&f));
    CHECK_INT(f.res.version, 0);
    CHECK_INT(f.m.empty, 1);
    teardown(&f);
}

/* The bytes depend on the segments alone, whatever order they come in. */
TEST(segflush_names_a_block_by_its_segments)
{
    struct ulid ids[2] = {fixture_ulid(1), fixture_ulid(2)};

    CHECK(ulid_eq(segflush_block_id(SLICE("t"), ids, 2), segflush_block_id(SLICE("t"), ids, 2)));
    CHECK(!ulid_eq(segflush_block_id(SLICE("t"), ids, 1), segflush_block_id(SLICE("t"), ids, 2)));
    CHECK(!ulid_eq(segflush_block_id(SLICE("u"), ids, 2), segflush_block_id(SLICE("t"), ids, 2)));
    CHECK_INT(ulid_time_ms(segflush_block_id(SLICE("t"), ids, 2)), FIXTURE_T0);
}

static struct ulid only_block(struct fixture *f)
{
    struct ulid block;
    struct catalogue *c;
    size_t n;

    CHECK_OK(catalogue_load(f->store, SLICE("metrics"), SLICE("t"), &c));
    block = catalogue_blocks(c, &n)->ulid;
    CHECK_INT(n, 1);
    catalogue_free(c);
    return block;
}

/* A failure anywhere leaves either nothing in the catalogue or all, and the next attempt makes it
 * whole. */
TEST(segflush_survives_a_failure_at_every_step)
{
    FAULT_SWEEP (n) {
        struct fixture f;
        struct err *e;
        size_t blocks;

        fault_disarm();
        CHECK_OK(fsx_remove_tree(tmp_path("bucket")));
        setup(&f, 2);
        fault_arm_nth(n);
        e = flush(&f);
        fault_disarm();
        blocks = blocks_of(&f, NULL);
        CHECK(e || blocks == 1);
        err_free(e);
        CHECK_OK(flush(&f));
        CHECK_INT(f.res.n_bad, 0);
        CHECK_INT(blocks_of(&f, NULL), 1);
        CHECK_INT(f.m.flushes, 1);
        check_block(&f, only_block(&f), "0:1 1000:2 2000:3 10000:9 20000:9");
        CHECK_OK(fsx_remove_tree(tmp_path("got")));
        teardown(&f);
    }
}

struct tomb_edit {
    const char *value;
    int64_t min_ms, max_ms;
};

static struct err *add_tombstone(void *arg, struct tombstone_list *l, bool *ret_changed)
{
    const struct tomb_edit *edit = arg;
    struct arena *a = arena_new(0);
    struct matcher m;
    struct tombstone t = {.ulid = fixture_ulid(77),
                          .min_ms = edit->min_ms,
                          .max_ms = edit->max_ms,
                          .matchers = {&m, 1}};
    struct err *e;

    CHECK_OK(matcher_init(a, MATCHER_EQ, SLICE("a"), slice_cstr(edit->value), &m));
    e = tombstone_list_add(l, &t);
    *ret_changed = true;
    arena_free(a);
    return e;
}

TEST(segflush_leaves_out_what_is_deleted)
{
    struct tomb_edit other = {"2", FIXTURE_T0, FIXTURE_T0 + 100000};
    struct tomb_edit some = {"1", FIXTURE_T0 + 1000, FIXTURE_T0 + 2000};
    struct ulid plain;
    struct fixture f;

    setup(&f, 3);
    CHECK_OK(flush(&f));
    plain = f.res.block;
    teardown(&f);

    CHECK_OK(fsx_remove_tree(tmp_path("bucket")));
    setup(&f, 3);
    CHECK_OK(
        tombstone_list_update(f.store, SLICE("metrics"), SLICE("t"), add_tombstone, &some, NULL));
    CHECK_OK(flush(&f));
    CHECK(!ulid_eq(f.res.block, plain));
    check_block(&f, f.res.block, "0:1 10000:9 20000:9 30000:9");
    CHECK_INT(f.m.make.deleted_samples, 6); /* of three replicas */
    CHECK(has_segment(&f, 1));
    teardown(&f);

    CHECK_OK(fsx_remove_tree(tmp_path("bucket")));
    CHECK_OK(fsx_remove_tree(tmp_path("got")));
    setup(&f, 3);
    CHECK_OK(
        tombstone_list_update(f.store, SLICE("metrics"), SLICE("t"), add_tombstone, &other, NULL));
    CHECK_OK(flush(&f));
    check_block(&f, f.res.block, "0:1 1000:2 2000:3 10000:9 20000:9 30000:9");
    teardown(&f);
}

TEST(segflush_makes_an_empty_block_of_what_is_all_deleted)
{
    struct tomb_edit all = {"1", INT64_MIN, INT64_MAX};
    struct block_reader *r;
    struct block_refs refs;
    struct fixture f;

    setup(&f, 2);
    CHECK_OK(
        tombstone_list_update(f.store, SLICE("metrics"), SLICE("t"), add_tombstone, &all, NULL));
    CHECK_OK(flush(&f));
    CHECK(has_segment(&f, 1) && has_segment(&f, 2)); /* so they can be dropped */
    CHECK_OK(block_store_download(
        f.store, block_store_prefix(f.a, SLICE("metrics"), SLICE("t"), f.res.block), f.res.block,
        tmp_path("got")));
    CHECK_OK(block_reader_open_dir(tmp_path(arena_printf(f.a, "got/%s", ulid_print(f.res.block).s)),
                                   &r));
    CHECK_OK(block_reader_select(r, f.a, (struct matchers){0}, &refs));
    CHECK_INT(refs.n, 0);
    block_reader_close(r);
    teardown(&f);
}

TEST(segflush_writes_blocks_that_promtool_reads)
{
    struct fixture f;
    char cmd[2048];

    if (system("command -v promtool >/dev/null 2>&1") != 0) {
        skip();
        return;
    }
    setup(&f, 3);
    CHECK_OK(flush(&f));
    snprintf(cmd, sizeof(cmd), "promtool tsdb list %s/metrics/t >%s 2>&1", f.opts.store->name + 11,
             tmp_path("out"));
    CHECK_INT(system(cmd), 0);
    snprintf(cmd, sizeof(cmd), "grep -q %s %s", ulid_print(f.res.block).s, tmp_path("out"));
    CHECK_INT(system(cmd), 0);
    snprintf(cmd, sizeof(cmd), "promtool tsdb analyze %s/metrics/t %s >%s 2>&1",
             f.opts.store->name + 11, ulid_print(f.res.block).s, tmp_path("out"));
    CHECK_INT(system(cmd), 0);
    teardown(&f);
}
