#include "common/base/fsx.h"
#include "common/block/block_store.h"
#include "common/objstore/objstore_fs.h"
#include "tests/unit/common/block/block_fixture.h"

static struct objstore *open_store(void)
{
    struct objstore *s;

    CHECK_OK(objstore_fs_open(tmp_path("bucket"), &(struct objstore_fs_opts){.no_sync = true}, &s));
    return s;
}

static void write_block(struct arena *a, struct block_meta *m)
{
    struct block_writer *w = open_writer(1);

    for (int i = 0; i < 20; i++) {
        struct chunk c[3] = {floats(a, FIXTURE_T0, 1000, 100, i),
                             floats(a, FIXTURE_T0 + 100000, 777, 120, i),
                             floats(a, FIXTURE_T0 + 1000000, 10, 1, i)};
        char text[16];

        (void)snprintf(text, sizeof(text), "a=%02d", i);
        CHECK_OK(block_writer_add(
            w, &(struct block_series){.labels = labels_from(a, text), .chunks = c, .n_chunks = 3}));
    }
    finish_writer(w, a, m);
}

TEST(block_store_reads_a_block_where_it_lies_in_the_bucket)
{
    struct objstore *s = open_store();
    struct arena *a = arena_new(0);
    struct block_meta m;
    struct block_reader *near, *far;
    struct block_refs refs;
    struct buf x = {0}, y = {0};

    write_block(a, &m);
    CHECK_OK(block_store_upload(s, SLICE("metrics"), SLICE("t"), block_path(1), &m));
    CHECK_OK(block_store_upload(s, SLICE("metrics"), SLICE("t"), block_path(1), &m));
    near = open_reader(1);
    CHECK_OK(block_reader_open(
        block_source_objstore(s, block_store_prefix(a, SLICE("metrics"), SLICE("t"), m.ulid)),
        &(struct block_reader_opts){.verify_all = true}, &far));
    CHECK_OK(block_reader_select(far, a, (struct matchers){0}, &refs));
    CHECK_INT(refs.n, 20);
    for (size_t i = 0; i < refs.n; i++) {
        samples_text(near, a, refs.ptr[i], &x);
        samples_text(far, a, refs.ptr[i], &y);
        CHECK(slice_eq(buf_slice(&x), buf_slice(&y)));
    }
    block_reader_close(near);
    block_reader_close(far);
    CHECK_OK(block_store_delete(s, block_store_prefix(a, SLICE("metrics"), SLICE("t"), m.ulid)));
    CHECK_ERR(block_store_download(s, block_store_prefix(a, SLICE("metrics"), SLICE("t"), m.ulid),
                                   m.ulid, tmp_path("down")),
              ERR_NOT_FOUND, "meta.json");
    buf_done(&x);
    buf_done(&y);
    objstore_close(s);
    arena_free(a);
}

TEST(block_store_uploads_and_downloads)
{
    struct objstore *s = open_store();
    struct arena *a = arena_new(0);
    struct block_meta m;
    struct block_reader *r;
    char *path;

    write_block(a, &m);
    CHECK_OK(block_store_upload(s, SLICE("metrics"), SLICE("t"), block_path(1), &m));
    CHECK_OK(block_store_download(s, block_store_prefix(a, SLICE("metrics"), SLICE("t"), m.ulid),
                                  m.ulid, tmp_path("down")));
    path = mem_printf("%s/%s", tmp_path("down"), ulid_print(m.ulid).s);
    CHECK_OK(block_reader_open_dir(path, &r));
    CHECK_INT(block_reader_meta(r)->stats.series, 20);
    block_reader_close(r);
    mem_free(path);
    objstore_close(s);
    arena_free(a);
}

/* Larger than the ranges it is downloaded in; the last is a short one. */
TEST(block_store_downloads_large_files_range_by_range)
{
    size_t n = (20u << 20) + 12345;
    struct objstore *s = open_store();
    struct arena *a = arena_new(0);
    struct block_writer *w = open_writer(7);
    struct chunk c = floats(a, FIXTURE_T0, 1000, 3, 1);
    struct buf content = {0}, got = {0};
    struct block_meta m;
    char *path;

    for (size_t i = 0; i < n; i++)
        buf_byte(&content, (uint8_t)(i * 2654435761u >> 24));
    CHECK_OK(block_writer_add(
        w, &(struct block_series){.labels = labels_from(a, "a=1"), .chunks = &c, .n_chunks = 1}));
    CHECK_OK(block_writer_sidecar(w, "exemplars", buf_slice(&content)));
    finish_writer(w, a, &m);
    CHECK_OK(block_store_upload(s, SLICE("metrics"), SLICE("t"), block_path(7), &m));
    CHECK_OK(block_store_download(s, block_store_prefix(a, SLICE("metrics"), SLICE("t"), m.ulid),
                                  m.ulid, tmp_path("down")));
    path = mem_printf("%s/%s/exemplars", tmp_path("down"), ulid_print(m.ulid).s);
    CHECK_OK(fsx_read(path, 64u << 20, &got));
    CHECK(slice_eq(buf_slice(&got), buf_slice(&content)));
    buf_done(&content);
    buf_done(&got);
    mem_free(path);
    objstore_close(s);
    arena_free(a);
}

TEST(block_store_says_what_may_be_added)
{
    struct objstore *s = open_store();
    struct catalogue *c = catalogue_new(SLICE("metrics"), SLICE("t"));
    struct arena *a = arena_new(0);
    struct block_meta m;
    char *index;

    write_block(a, &m);
    CHECK_ERR(block_store_addable(s, c, &m), ERR_NOT_FOUND, "");
    CHECK_OK(block_store_upload(s, SLICE("metrics"), SLICE("t"), block_path(1), &m));
    CHECK_OK(block_store_addable(s, c, &m));
    CHECK(catalogue_retire_orphan(c, m.ulid, 1) && !catalogue_retire_orphan(c, m.ulid, 1));
    CHECK_ERR(block_store_addable(s, c, &m), ERR_UNAVAILABLE, "being deleted");
    CHECK(catalogue_forget(c, m.ulid));
    index = arena_printf(a, "metrics/t/%s/index", ulid_print(m.ulid).s);
    CHECK_OK(objstore_put(s, slice_cstr(index), SLICE("short"), NULL, NULL));
    CHECK_ERR(block_store_addable(s, c, &m), ERR_NOT_FOUND, "index");
    CHECK_OK(objstore_delete(s, slice_cstr(index)));
    CHECK_ERR(block_store_addable(s, c, &m), ERR_NOT_FOUND, "index");
    catalogue_free(c);
    objstore_close(s);
    arena_free(a);
}

TEST(block_store_finds_what_was_uploaded_of_this_tenant)
{
    struct objstore *s = open_store();
    struct arena *a = arena_new(0);
    struct block_meta m, got;
    bool found;
    char *key;

    write_block(a, &m);
    CHECK_OK(block_store_find(s, SLICE("metrics"), m.tenant, m.ulid, a, &got, &found));
    CHECK(!found);
    CHECK_OK(block_store_upload(s, SLICE("metrics"), m.tenant, block_path(1), &m));
    CHECK_OK(block_store_find(s, SLICE("metrics"), m.tenant, m.ulid, a, &got, &found));
    CHECK(found && ulid_eq(got.ulid, m.ulid));
    CHECK_INT(got.stats.samples, m.stats.samples);
    CHECK_INT(got.n_files, m.n_files);
    CHECK_OK(block_store_upload(s, SLICE("metrics"), SLICE("other"), block_path(1), &m));
    CHECK_OK(block_store_find(s, SLICE("metrics"), SLICE("other"), m.ulid, a, &got, &found));
    CHECK(!found); /* it says that it is another's */
    key = arena_printf(a, "metrics/%.*s/%s/meta.json", SLICE_ARG(m.tenant), ulid_print(m.ulid).s);
    CHECK_OK(objstore_put(s, slice_cstr(key), SLICE("{}"), NULL, NULL));
    CHECK_OK(block_store_find(s, SLICE("metrics"), m.tenant, m.ulid, a, &got, &found));
    CHECK(!found);
    objstore_close(s);
    arena_free(a);
}

/* A deletion and an upload at a time: meta.json came when the deletion had listed the block, and is all that is left. */
TEST(block_store_uploads_again_what_has_lost_a_file)
{
    struct objstore *s = open_store();
    struct catalogue *c = catalogue_new(SLICE("metrics"), SLICE("t"));
    struct arena *a = arena_new(0);
    struct block_meta m;

    write_block(a, &m);
    for (size_t i = 0; i < m.n_files; i++) {
        CHECK_OK(block_store_upload(s, SLICE("metrics"), SLICE("t"), block_path(1), &m));
        CHECK_OK(
            objstore_delete(s, slice_cstr(arena_printf(a, "metrics/t/%s/%.*s", ulid_print(m.ulid).s,
                                                       SLICE_ARG(m.files[i].path)))));
        CHECK_OK(block_store_upload(s, SLICE("metrics"), SLICE("t"), block_path(1), &m));
        CHECK_OK(block_store_addable(s, c, &m));
    }
    catalogue_free(c);
    objstore_close(s);
    arena_free(a);
}

/* Whatever fails, a block whose meta.json is in the bucket is whole. */
TEST(block_store_upload_commits_with_meta_json)
{
    struct arena *a = arena_new(0);
    struct block_meta m;

    fault_disarm();
    write_block(a, &m);
    FAULT_SWEEP (n) {
        struct objstore *s;
        struct err *e;
        struct block_reader *r = NULL;

        fault_disarm();
        CHECK_OK(fsx_remove_tree(tmp_path("bucket")));
        s = open_store();
        fault_arm_nth(n);
        e = block_store_upload(s, SLICE("metrics"), SLICE("t"), block_path(1), &m);
        fault_disarm();
        err_free(e);
        e = block_reader_open(
            block_source_objstore(s, block_store_prefix(a, SLICE("metrics"), SLICE("t"), m.ulid)),
            &(struct block_reader_opts){.verify_all = true}, &r);
        CHECK(!e || err_is(e, ERR_NOT_FOUND));
        err_free(e);
        block_reader_close(r);
        objstore_close(s);
    }
    arena_free(a);
}
