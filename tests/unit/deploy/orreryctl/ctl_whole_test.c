#include "common/base/fsx.h"
#include "common/block/aggr_build.h"
#include "common/block/block_summary.h"
#include "deploy/orreryctl/ctl_block.h"
#include "tests/unit/common/block/block_fixture.h"

static void damage(struct arena *a, const char *file, size_t from_end)
{
    char *path = arena_printf(a, "%s/%s", block_path(1), file);
    struct buf b = {0};

    CHECK_OK(fsx_read(path, 1 << 20, &b));
    b.ptr[b.len - from_end] ^= 1;
    CHECK_OK(fsx_write_atomic(path, buf_slice(&b)));
    buf_done(&b);
}

/* A summary that has not all pairs hides series from queries. */
TEST(ctl_whole_asks_the_summary_for_every_pair)
{
    struct arena *a = arena_new(0);
    struct chunk c = floats(a, FIXTURE_T0, 15000, 120, 1);
    struct block_writer_opts o = {.dir = tmp_path(""), .no_sync = true, .has_summary = true};
    const struct block_summary_pair other = {SLICE("a"), SLICE("2"), 0};
    char *path = arena_printf(a, "%s/" BLOCK_SUMMARY_FILE, block_path(1));
    struct block_writer *w;
    struct block_meta m;
    struct buf b = {0};

    o.meta.ulid = fixture_ulid(1);
    o.meta.level = 1;
    CHECK_OK(block_writer_open(&o, &w));
    CHECK_OK(block_writer_add(
        w, &(struct block_series){.labels = labels_from(a, "a=1"), .chunks = &c, .n_chunks = 1}));
    finish_writer(w, a, &m);
    CHECK_OK(ctl_whole_check(block_path(1), &m, (struct labels){0}));
    block_summary_build(fixture_ulid(1), &other, 1, 1, BLOCK_SUMMARY_MIN_BYTES,
                        &b); /* as long, and of other pairs */
    CHECK_OK(fsx_write_atomic(path, buf_slice(&b)));
    CHECK_ERR(ctl_whole_check(block_path(1), &m, (struct labels){0}), ERR_CORRUPT, "summary");
    CHECK_OK(ctl_whole_check(block_path(1), &m, labels_from(a, "a=3"))); /* it is not asked then */
    block_summary_build(fixture_ulid(2), &other, 1, 1, BLOCK_SUMMARY_MIN_BYTES, &b);
    CHECK_OK(fsx_write_atomic(path, buf_slice(&b)));
    CHECK_ERR(ctl_whole_check(block_path(1), &m, labels_from(a, "a=3")), ERR_CORRUPT,
              "it is of block");
    damage(a, BLOCK_SUMMARY_FILE, 1);
    CHECK_ERR(ctl_whole_check(block_path(1), &m, (struct labels){0}), ERR_CORRUPT, "summary");
    buf_done(&b);
    arena_free(a);
}

/* As Thanos' compactor makes them: chunks of aggregates, a resolution in meta.json. */
TEST(ctl_whole_reads_downsampled_blocks)
{
    struct arena *a = arena_new(0);
    struct chunk raw = floats(a, FIXTURE_T0, 15000, 120, 1);
    struct block_writer_opts o = {.dir = tmp_path(""), .no_sync = true};
    struct aggr_build b;
    struct block_writer *w;
    struct block_meta m;

    aggr_build_init(&b);
    aggr_build_begin(&b, a, 300000);
    CHECK_OK(aggr_build_chunk(&b, &raw));
    aggr_build_end(&b);
    o.meta.ulid = fixture_ulid(1);
    o.meta.level = 1;
    o.meta.resolution_ms = 300000;
    CHECK_OK(block_writer_open(&o, &w));
    CHECK_OK(block_writer_add(w, &(struct block_series){.labels = labels_from(a, "a=1"),
                                                        .chunks = b.out.chunks.ptr,
                                                        .n_chunks = b.out.chunks.len}));
    finish_writer(w, a, &m);
    aggr_build_done(&b);
    CHECK_OK(ctl_whole_check(block_path(1), &m, (struct labels){0}));
    damage(a, "chunks/000001", 9);
    CHECK_ERR(ctl_whole_check(block_path(1), &m, (struct labels){0}), ERR_CORRUPT, "chunks/000001");
    arena_free(a);
}
