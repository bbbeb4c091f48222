#include <sys/stat.h>

#include "tests/unit/ingester/metrics/head_fixture.h"

/* ---- cutting ---- */

TEST(head_cuts_windows_into_segments_and_reads_across_the_seam)
{
    struct fixture f = {0};
    struct head_segment *segs;
    size_t n;

    fx_open(&f);
    fill(&f, 30, 0, 600, 15000);
    CHECK_OK(head_cut(f.head, SLICE("t"), T0 + HEAD_WINDOW_MS, &n));
    CHECK_INT(n, 1);
    head_segments(f.head, &segs, &n);
    CHECK_INT(n, 1);
    CHECK_INT(segs[0].series, 30);
    CHECK_INT(segs[0].samples, 30 * 480);
    CHECK_INT(segs[0].min_ms, T0);
    CHECK_INT(segs[0].max_ms, T0 + HEAD_WINDOW_MS);
    CHECK_STR(segs[0].tenant, "t");
    check_filled(&f, 30, 600, 15000);
    fx_crash(&f);
    fx_open(&f);
    check_filled(&f, 30, 600, 15000);
    CHECK_OK(head_cut(f.head, SLICE_EMPTY, INT64_MAX, &n));
    CHECK_INT(n, 1);
    check_filled(&f, 30, 600, 15000);
    fill(&f, 30, 600, 610, 15000);
    check_filled(&f, 30, 610, 15000);
    CHECK_OK(head_segment_dropped(f.head, SLICE("t"), slice_cstr(segs[0].ulid), 1));
    CHECK_ERR(head_segment_dropped(f.head, SLICE("t"), slice_cstr(segs[0].ulid), 1), ERR_NOT_FOUND,
              "");
    CHECK(!fsx_exists(segs[0].path));
    mem_free(segs);
    head_segments(f.head, &segs, &n);
    CHECK_INT(n, 1);
    CHECK_INT(segs[0].samples, 30 * 120);
    mem_free(segs);
    fx_close(&f);
}

/* Cuts all and drops the one segment that is there, by this version. */
static struct err *cut_and_drop(struct fixture *f, uint64_t version)
{
    struct head_segment *segs;
    struct err *e;
    size_t n;

    CHECK_OK(head_cut(f->head, SLICE_EMPTY, INT64_MAX, NULL));
    head_segments(f->head, &segs, &n);
    CHECK_INT(n, 1);
    e = head_segment_dropped(f->head, SLICE("t"), slice_cstr(segs[0].ulid), version);
    mem_free(segs);
    return e;
}

TEST(head_knows_by_which_catalogue_it_dropped_whatever_happens)
{
    const char *path = tmp_path("data/dropped-by/t");
    struct fixture f = {0};
    struct head_segment *segs;
    size_t n;

    fx_open(&f);
    CHECK_INT(head_dropped_by(f.head, SLICE("t")), 0);
    push_one(&f, "__name__=a", T0, 1);
    CHECK_OK(cut_and_drop(&f, 17));
    CHECK_INT(head_dropped_by(f.head, SLICE("t")), 17);
    CHECK_INT(head_dropped_by(f.head, SLICE("u")), 0);
    fx_crash(&f);
    fx_open(&f);
    CHECK_INT(head_dropped_by(f.head, SLICE("t")), 17);
    /* an older one that comes late, and one from a compactor that does not say */
    push_one(&f, "__name__=a", T0 + 1, 1);
    CHECK_OK(cut_and_drop(&f, 9));
    push_one(&f, "__name__=a", T0 + 2, 1);
    CHECK_OK(cut_and_drop(&f, 0));
    CHECK_INT(head_dropped_by(f.head, SLICE("t")), 17);
    push_one(&f, "__name__=a", T0 + 3, 1);
    CHECK_OK(cut_and_drop(&f, UINT64_MAX));
    fx_crash(&f);
    fx_open(&f);
    CHECK(head_dropped_by(f.head, SLICE("t")) == UINT64_MAX);
    /* not to be written: then the segment stays */
    push_one(&f, "__name__=a", T0 + 4, 1);
    CHECK(unlink(path) == 0 && mkdir(path, 0700) == 0);
    fx_crash(&f);
    fx_open(&f);
    CHECK_INT(head_dropped_by(f.head, SLICE("t")), 0);
    CHECK_ERR(cut_and_drop(&f, 18), ERR_IO, "stays");
    head_segments(f.head, &segs, &n);
    CHECK_INT(n, 1);
    CHECK_INT(head_dropped_by(f.head, SLICE("t")), 0);
    CHECK(rmdir(path) == 0);
    CHECK_OK(head_segment_dropped(f.head, SLICE("t"), slice_cstr(segs[0].ulid), 18));
    CHECK_INT(head_dropped_by(f.head, SLICE("t")), 18);
    mem_free(segs);
    fx_close(&f);
}

TEST(head_forgets_idle_series_and_takes_them_up_again)
{
    struct fixture f = {0};
    struct arena *a = arena_new(0);
    struct head_query q = query_of(a, NULL, 0);
    struct head_names names;
    struct head_segment *segs;
    size_t n;

    fx_open(&f);
    push_one(&f, "__name__=old,pod=x", T0, 1);
    push_one(&f, "__name__=new,pod=y", T0 + 2 * HEAD_WINDOW_MS, 1);
    CHECK_INT(head_series_count(f.head), 2);
    CHECK_OK(head_cut(f.head, SLICE_EMPTY, T0 + HEAD_WINDOW_MS, &n));
    CHECK_INT(head_series_count(f.head), 1);
    head_segments(f.head, &segs, &n);
    CHECK_INT(n, 1);
    CHECK_OK(head_segment_dropped(f.head, SLICE("t"), slice_cstr(segs[0].ulid), 1));
    CHECK_OK(head_label_values(f.head, &q, SLICE("pod"), a, &names));
    CHECK_INT(names.n, 1);
    add(&f, "__name__=old,pod=x", T0 + 2 * HEAD_WINDOW_MS, 2, false);
    CHECK_OK(fx_push(&f, "t"));
    CHECK_INT(f.reply.unknown.len, 1);
    push_one(&f, "__name__=old,pod=x", T0 + 2 * HEAD_WINDOW_MS, 2);
    fx_crash(&f);
    fx_open(&f);
    check_all(&f, "new{pod=\"y\"} 1700013600000:1\nold{pod=\"x\"} 1700013600000:2\n");
    mem_free(segs);
    arena_free(a);
    fx_close(&f);
}

TEST(head_cut_merges_out_of_order_chunks)
{
    struct fixture f = {.limits = {.ooo_window_ms = 3600000}};
    struct buf want = {0};
    size_t n;

    fx_open(&f);
    for (int i = 0; i < 300; i += 2)
        push_one(&f, "a=1", T0 + i * 1000, i);
    for (int i = 1; i < 300; i += 2)
        push_one(&f, "a=1", T0 + i * 1000, i);
    buf_str(&want, "{a=\"1\"}");
    for (int i = 0; i < 299; i++)
        buf_printf(&want, " %lld:%d", T0 + i * 1000, i);
    buf_printf(&want, " %lld:%d\n", T0 + 299 * 1000, 299);
    check_all(&f, buf_cstr(&want));
    CHECK_OK(head_cut(f.head, SLICE_EMPTY, INT64_MAX, &n));
    CHECK_INT(n, 1);
    check_all(&f, buf_cstr(&want));
    buf_done(&want);
    fx_close(&f);
}

TEST(head_cuts_more_windows_than_it_writes_at_once)
{
    struct fixture f = {0};
    struct buf want = {0};
    struct head_segment *segs, pinned;
    size_t n;

    fx_open(&f);
    buf_str(&want, "{a=\"1\"}");
    for (int i = 0; i < 150; i++) {
        push_one(&f, "a=1", T0 + i * HEAD_WINDOW_MS, i);
        buf_printf(&want, " %lld:%d", T0 + i * HEAD_WINDOW_MS, i);
    }
    buf_byte(&want, '\n');
    CHECK_OK(head_cut(f.head, SLICE_EMPTY, INT64_MAX, &n));
    CHECK_INT(n, 150);
    check_all(&f, buf_cstr(&want));
    head_segments(f.head, &segs, &n);
    CHECK_INT(n, 150);
    for (size_t i = 0; i < n; i++)
        CHECK_INT(segs[i].min_ms, T0 + (int64_t)i * HEAD_WINDOW_MS);
    /* a pinned segment leaves the list at once and the disk with its pin */
    CHECK_OK(head_segment_pin(f.head, SLICE("t"), slice_cstr(segs[0].ulid), &pinned));
    CHECK_OK(head_segment_dropped(f.head, SLICE("t"), slice_cstr(segs[0].ulid), 1));
    CHECK(fsx_exists(pinned.path));
    CHECK_ERR(head_segment_pin(f.head, SLICE("t"), slice_cstr(segs[0].ulid), &pinned),
              ERR_NOT_FOUND, "no segment");
    head_segment_unpin(f.head, &pinned);
    CHECK(!fsx_exists(segs[0].path));
    mem_free(segs);
    buf_done(&want);
    fx_close(&f);
}

TEST(head_maintain_cuts_when_window_grace_and_ooo_window_are_past)
{
    struct fixture f = {.limits = {.ooo_window_ms = 30 * 60000}};
    struct head_segment *segs;
    size_t n;

    fx_open(&f);
    push_one(&f, "a=1", T0 + 5, 1);
    push_one(&f, "a=1", T0 + HEAD_WINDOW_MS + 5, 1);
    CHECK_OK(head_maintain(f.head, T0 + HEAD_WINDOW_MS + 29 * 60000));
    head_segments(f.head, &segs, &n);
    CHECK_INT(n, 0);
    mem_free(segs);
    CHECK_OK(head_maintain(f.head, T0 + HEAD_WINDOW_MS + 31 * 60000));
    CHECK_OK(head_maintain(f.head, T0 + HEAD_WINDOW_MS + 32 * 60000));
    head_segments(f.head, &segs, &n);
    CHECK_INT(n, 1);
    CHECK_INT(segs[0].samples, 1);
    mem_free(segs);
    check_all(&f, "{a=\"1\"} 1699999200005:1 1700006400005:1\n");
    fx_close(&f);
}
