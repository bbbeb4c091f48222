#include "common/base/fsx.h"
#include "common/block/block_store.h"
#include "common/objstore/objstore_fs.h"
#include "deploy/orreryctl/ctl_block.h"
#include "tests/unit/common/block/block_fixture.h"

/* A bucket of tenant t, and a call of orreryctl on it. */
struct fixture {
    struct ctl c;
    const char *args[1];
    struct catalogue *cat;
};

static void setup(struct fixture *f)
{
    static char bucket[512];

    *f = (struct fixture){.args = {"t"}};
    snprintf(bucket, sizeof(bucket), "%s", tmp_path("bucket"));
    CHECK_OK(fsx_remove_tree(bucket));
    f->c = (struct ctl){.args = f->args, .n_args = 1, .arena = arena_new(0), .root = bucket};
    CHECK_OK(objstore_fs_open(bucket, &(struct objstore_fs_opts){.no_sync = true}, &f->c.store));
}

static void teardown(struct fixture *f)
{
    catalogue_free(f->cat);
    objstore_close(f->c.store);
    arena_free(f->c.arena);
}

/* Block i made of the n parents, as shard of shards. */
static void put_block(struct fixture *f, unsigned i, const unsigned *parents, size_t n,
                      uint32_t shard, uint32_t shards)
{
    struct arena *a = f->c.arena;
    struct block_parent *p = arena_array(a, struct block_parent, n);
    struct ulid *sources = arena_array(a, struct ulid, n);
    struct chunk chunk = floats(a, FIXTURE_T0, 1000, 3, i);
    struct block_writer_opts o = {.dir = tmp_path(""), .no_sync = true};
    struct block_writer *w;
    struct block_meta m;

    for (size_t k = 0; k < n; k++) {
        sources[k] = fixture_ulid(parents[k]);
        p[k] = (struct block_parent){sources[k], FIXTURE_T0, FIXTURE_T0 + 2001};
    }
    o.meta = (struct block_meta){.ulid = fixture_ulid(i),
                                 .level = n ? 2 : 1,
                                 .tenant = SLICE("t"),
                                 .origin = SLICE("compactor"),
                                 .sources = sources,
                                 .n_sources = n,
                                 .parents = p,
                                 .n_parents = n,
                                 .shard = shard,
                                 .shards = shards};
    CHECK_OK(block_writer_open(&o, &w));
    CHECK_OK(block_writer_add(
        w,
        &(struct block_series){.labels = labels_from(a, "a=1"), .chunks = &chunk, .n_chunks = 1}));
    finish_writer(w, a, &m);
    CHECK_OK(block_store_upload(f->c.store, CTL_SIGNAL, SLICE("t"), block_path(i), &m));
    CHECK_OK(fsx_remove_tree(block_path(i)));
}

static void rebuild(struct fixture *f)
{
    CHECK_OK(ctl_bucket_rebuild(&f->c));
    catalogue_free(f->cat);
    CHECK_OK(catalogue_load(f->c.store, CTL_SIGNAL, SLICE("t"), &f->cat));
}

static bool is_live(const struct fixture *f, unsigned i)
{
    return catalogue_find(f->cat, fixture_ulid(i)) != NULL;
}

static void lose(struct fixture *f)
{
    CHECK_OK(objstore_delete(f->c.store, SLICE("metrics/t/catalogue")));
}

TEST(ctl_rebuild_leaves_inputs_out)
{
    struct fixture f;

    setup(&f);
    put_block(&f, 1, NULL, 0, 0, 0);
    put_block(&f, 2, NULL, 0, 0, 0);
    put_block(&f, 3, NULL, 0, 0, 0);
    put_block(&f, 4, (const unsigned[]){1, 2}, 2, 0, 0);
    rebuild(&f);
    CHECK(!is_live(&f, 1) && !is_live(&f, 2) && is_live(&f, 3) && is_live(&f, 4));
    CHECK(catalogue_is_retired(f.cat, fixture_ulid(1)));
    CHECK(!catalogue_is_retired(f.cat, fixture_ulid(3)));
    CHECK_INT(f.c.wrong, 0);
    teardown(&f);
}

/* Half of the series are in the shard that is there: the inputs must stay. */
TEST(ctl_rebuild_waits_for_all_shards)
{
    struct fixture f;

    setup(&f);
    put_block(&f, 1, NULL, 0, 0, 0);
    put_block(&f, 2, NULL, 0, 0, 0);
    put_block(&f, 3, (const unsigned[]){1, 2}, 2, 0, 2);
    rebuild(&f);
    CHECK(is_live(&f, 1) && is_live(&f, 2) && is_live(&f, 3));
    put_block(&f, 4, (const unsigned[]){1, 2}, 2, 1, 2);
    lose(&f);
    rebuild(&f);
    CHECK(!is_live(&f, 1) && !is_live(&f, 2) && is_live(&f, 3) && is_live(&f, 4));
    teardown(&f);
}

/* Of the size that it should have, so that only reading it tells. */
TEST(ctl_rebuild_keeps_the_inputs_of_a_broken_output)
{
    struct fixture f;
    struct slice key;
    struct buf b = {0};

    setup(&f);
    put_block(&f, 1, NULL, 0, 0, 0);
    put_block(&f, 2, (const unsigned[]){1}, 1, 0, 0);
    key = slice_cstr(
        arena_printf(f.c.arena, "metrics/t/%s/chunks/000001", ulid_print(fixture_ulid(2)).s));
    CHECK_OK(objstore_get(f.c.store, key, NULL, &b, NULL));
    b.ptr[b.len - 1] ^= 1;
    CHECK_OK(objstore_put(f.c.store, key, buf_slice(&b), NULL, NULL));
    rebuild(&f);
    CHECK(is_live(&f, 1) && !is_live(&f, 2));
    CHECK(!catalogue_is_retired(f.cat, fixture_ulid(1)));
    CHECK_INT(f.c.wrong, 1);
    buf_done(&b);
    teardown(&f);
}

TEST(ctl_rebuild_goes_above_a_version_that_can_be_made_out)
{
    static const char text[] = "{\"format\":1,\"version\":99999999999,\"signal\":\"metr";
    struct fixture f;

    setup(&f);
    put_block(&f, 1, NULL, 0, 0, 0);
    rebuild(&f); /* there was none: above any number of changes */
    CHECK(catalogue_version(f.cat) > 1700000000u);
    CHECK_OK(objstore_put(f.c.store, SLICE("metrics/t/catalogue"), slice_cstr(text), NULL, NULL));
    rebuild(&f);
    CHECK_INT(catalogue_version(f.cat), 100000000000);
    rebuild(&f); /* of one that can be read it is the next */
    CHECK_INT(catalogue_version(f.cat), 100000000001);
    /* so many nobody has written: it is the number that is damaged */
    CHECK_OK(objstore_put(f.c.store, SLICE("metrics/t/catalogue"),
                          SLICE("{\"format\":1,\"version\":9223372036854775807,\"sig"), NULL,
                          NULL));
    rebuild(&f);
    CHECK(catalogue_version(f.cat) > 1700000000u && catalogue_version(f.cat) < 1u << 31);
    teardown(&f);
}

/* Each says that it was made of the other: neither may be what the other is left out for. */
TEST(ctl_rebuild_keeps_blocks_that_are_made_of_one_another)
{
    struct fixture f;

    setup(&f);
    put_block(&f, 1, (unsigned[]){3}, 1, 0, 0);
    put_block(&f, 2, (unsigned[]){1}, 1, 0, 0);
    put_block(&f, 3, (unsigned[]){2}, 1, 0, 0);
    rebuild(&f);
    for (unsigned i = 1; i <= 3; i++)
        CHECK(catalogue_find(f.cat, fixture_ulid(i)));
    /* beside one that is kept they are inputs as any others */
    put_block(&f, 4, (unsigned[]){1}, 1, 0, 0);
    rebuild(&f);
    CHECK(catalogue_find(f.cat, fixture_ulid(4)) && !catalogue_find(f.cat, fixture_ulid(1)));
    teardown(&f);
}

TEST(ctl_rebuild_names_what_is_broken_and_what_is_gone)
{
    struct slice index;
    struct fixture f;

    setup(&f);
    put_block(&f, 1, NULL, 0, 0, 0);
    put_block(&f, 2, NULL, 0, 0, 0);
    rebuild(&f);
    index =
        slice_cstr(arena_printf(f.c.arena, "metrics/t/%s/index", ulid_print(fixture_ulid(2)).s));
    CHECK_OK(objstore_put(f.c.store, index, SLICE("short"), NULL, NULL));
    rebuild(&f);
    CHECK(is_live(&f, 1) && !is_live(&f, 2));
    CHECK_INT(f.c.wrong, 2); /* its size, and that it was live */
    teardown(&f);
}
