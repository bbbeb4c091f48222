/* The flush thread over a real head and fake compactors. */
#include <unistd.h>

#include "common/base/fsx.h"
#include "common/block/catalogue.h"
#include "common/logblock/logblock.h"
#include "common/objstore/objstore_fs.h"
#include "ingester/flush.h"
#include "tests/unit/ingester/logs/loghead_fixture.h"
#include "tests/unit/test.h"

struct world {
    struct wal *wal;
    struct head *head;
    struct fixture logs;
    char *work_dir;
    struct objstore *store;
    struct flush *flush;
    _Atomic size_t compactors;
    _Atomic int hints, begun, sealed, left, published, done, refused;
    _Atomic size_t pending, cut;
    bool takes_at_once; /* a hint makes the segments go */
};

static void drop_all(struct world *w)
{
    struct head_segment *rows;
    size_t n;

    head_segments(w->head, &rows, &n);
    for (size_t i = 0; i < n; i++)
        err_free(
            head_segment_dropped(w->head, slice_cstr(rows[i].tenant), slice_cstr(rows[i].ulid), 1));
    mem_free(rows);
}

static void drop_all_logs(struct world *w)
{
    struct loghead_segment *rows;
    size_t n;

    loghead_segments(w->logs.head, &rows, &n);
    for (size_t i = 0; i < n; i++)
        CHECK_OK(loghead_segment_dropped(w->logs.head, slice_cstr(rows[i].tenant),
                                         slice_cstr(rows[i].ulid), 1));
    mem_free(rows);
}

static void on_hint(void *arg, struct slice tenant)
{
    struct world *w = arg;

    CHECK_SLICE(tenant, "t");
    w->hints++;
    if (w->takes_at_once) {
        drop_all(w);
        drop_all_logs(w);
    }
}

static size_t count_compactors(void *arg)
{
    return ((struct world *)arg)->compactors;
}

static void on_begin(void *arg)
{
    ((struct world *)arg)->begun++;
}

static void on_seal(void *arg)
{
    CHECK_INT(((struct world *)arg)->begun, 1);
    ((struct world *)arg)->sealed++;
}

static void on_end(void *arg)
{
    CHECK_INT(((struct world *)arg)->sealed, 1);
    ((struct world *)arg)->left++;
}

static struct catalogue_origin origin_of(void *arg, struct slice signal, int64_t from_ms)
{
    bool is_past = from_ms < clock_wall_ms(&clock_system) && signal.len;

    (void)arg;
    return (struct catalogue_origin){.zone = is_past ? SLICE("z") : SLICE_EMPTY};
}

static void on_published(void *arg, struct slice signal, struct slice tenant, uint64_t version)
{
    CHECK(slice_eq(signal, SLICE("metrics")) || slice_eq(signal, SLICE("logs")));
    CHECK_SLICE(tenant, "t");
    CHECK(version == 1);
    ((struct world *)arg)->published++;
}

static void on_done(void *arg, struct err *e, const struct flush_report *r)
{
    struct world *w = arg;

    w->pending = r->pending;
    w->cut = r->cut;
    w->refused += e != NULL;
    err_free(e);
    w->done++;
}

static void begin_without_thread(struct world *w, int64_t maintain_ms, int64_t upload_after_ms)
{
    *w = (struct world){0};
    CHECK_OK(wal_open(&(struct wal_opts){.dir = tmp_path("d")}, &w->wal));
    CHECK_OK(
        head_open(&(struct head_opts){.dir = tmp_path("d"), .wal = w->wal, .shards = 1}, &w->head));
    CHECK_OK(head_wait_ready(w->head));
    fx_open(&w->logs);
    w->work_dir = mem_strdup(tmp_path("upload"));
    CHECK_OK(objstore_fs_open(tmp_path("bucket"), NULL, &w->store));
    w->flush = flush_new(&(struct flush_opts){
        .head = w->head,
        .logs = w->logs.head,
        .work_dir = w->work_dir,
        .store = w->store,
        .ops = {on_hint, count_compactors, on_begin, on_seal, on_end, origin_of, on_published, w},
        .maintain_ms = maintain_ms,
        .leave_grace_ms = 1,
        .self_upload_after_ms = upload_after_ms,
        .visible_after_ms = 1});
}

static void begin(struct world *w, int64_t maintain_ms, int64_t upload_after_ms)
{
    begin_without_thread(w, maintain_ms, upload_after_ms);
    CHECK_OK(flush_start(w->flush));
}

static void end(struct world *w)
{
    flush_free(w->flush);
    CHECK_OK(head_close(w->head));
    CHECK_OK(wal_close(w->wal));
    fx_close(&w->logs);
    mem_free(w->work_dir);
    objstore_close(w->store);
}

static void await(const _Atomic int *n, int want)
{
    for (int i = 0; *n < want; i++) {
        CHECK(i < 5000);
        (void)usleep(2000); /* the thread under test works on the system's clock */
    }
}

static void on_pushed(void *arg, struct err *e, struct batch_reply *reply)
{
    CHECK_OK(e);
    CHECK_INT(reply->accepted, 1);
    *(_Atomic int *)arg = 1;
}

static void put_sample_at(struct world *w, int64_t ms)
{
    struct label l = {SLICE(LABEL_NAME), SLICE("up")};
    struct buf canonical = {0}, bytes = {0};
    struct batch_writer b;
    _Atomic int done = 0;

    labels_canonical(&canonical, (struct labels){&l, 1});
    batch_writer_init(&b, ms);
    batch_series_begin(&b, labels_fingerprint_of_canonical(buf_slice(&canonical)));
    batch_series_labels(&b, buf_slice(&canonical));
    batch_series_sample(&b, ms, 1);
    batch_series_end(&b);
    batch_finish(&b, &bytes);
    batch_writer_done(&b);
    CHECK_OK(head_push(w->head, SLICE("t"), buf_slice(&bytes), &(struct head_limits){0}, on_pushed,
                       &done));
    await(&done, 1);
    buf_done(&canonical);
    buf_done(&bytes);
}

static void put_sample(struct world *w)
{
    put_sample_at(w, 1000);
}

TEST(flush_cut_reports_what_is_pending)
{
    struct world w;

    begin(&w, 3600000, 0);
    put_sample(&w);
    flush_cut(w.flush, SLICE("t"), 60000, on_done, &w); /* nobody to wait for */
    await(&w.done, 1);
    CHECK_INT(w.cut, 1);
    CHECK_INT(w.pending, 1);
    CHECK_INT(w.hints, 1);
    end(&w);
}

TEST(flush_cut_waits_until_compactors_have_it)
{
    struct world w;

    begin(&w, 3600000, 0);
    w.compactors = 1;
    put_sample(&w);
    flush_cut(w.flush, SLICE_EMPTY, 60000, on_done, &w);
    await(&w.hints, 1);
    CHECK_INT(w.done, 0);
    drop_all(&w);
    flush_wake(w.flush);
    await(&w.done, 1);
    CHECK_INT(w.pending, 0);
    end(&w);
}

TEST(flush_leave_ends_when_no_segment_is_left)
{
    struct world w;

    begin(&w, 3600000, 0);
    w.compactors = 1;
    w.takes_at_once = true;
    put_sample(&w);
    CHECK_OK(fx_push_one(&w.logs, "a", 1, "line"));
    CHECK(!flush_is_leaving(w.flush));
    flush_leave(w.flush, on_done, &w);
    flush_leave(w.flush, on_done, &w);
    await(&w.done, 2);
    CHECK_INT(w.left, 1);
    CHECK_INT(w.begun, 1);
    CHECK(flush_is_leaving(w.flush));
    flush_leave(w.flush, on_done, &w);
    await(&w.done, 3);
    end(&w);
}

TEST(flush_cuts_log_lines_as_well_and_waits_for_both)
{
    struct world w;

    begin(&w, 3600000, 0);
    w.compactors = 1;
    put_sample(&w);
    CHECK_OK(fx_push_one(&w.logs, "a", 1, "line"));
    flush_cut(w.flush, SLICE("t"), 60000, on_done, &w);
    await(&w.hints, 1); /* of both at once */
    drop_all(&w);
    flush_wake(w.flush);
    (void)usleep(20000);
    CHECK_INT(w.done, 0); /* the lines are not in a block yet */
    drop_all_logs(&w);
    flush_wake(w.flush);
    await(&w.done, 1);
    CHECK_INT(w.cut, 2);
    CHECK_INT(w.pending, 0);
    CHECK_INT(w.hints, 1);
    /* lines alone */
    CHECK_OK(fx_push_one(&w.logs, "a", 2, "line"));
    flush_cut(w.flush, SLICE_EMPTY, 0, on_done, &w);
    await(&w.done, 2);
    CHECK_INT(w.cut, 1);
    CHECK_INT(w.pending, 1);
    CHECK_INT(w.hints, 2);
    end(&w);
}

TEST(flush_cuts_log_lines_when_their_window_is_over_and_hints)
{
    struct world w;
    struct loghead_segment *rows;
    size_t n;

    begin_without_thread(&w, 20, 0);
    CHECK_OK(fx_push_one(&w.logs, "a", 1, "line"));
    CHECK_OK(loghead_seal(w.logs.head, SLICE_EMPTY));
    clock_fake_advance(&w.logs.clock, 2 * LOGHEAD_WINDOW_MS * NS_PER_MS);
    CHECK_OK(fx_push_one(&w.logs, "a", 2, "of a window that is not over"));
    CHECK_OK(loghead_seal(w.logs.head, SLICE_EMPTY));
    CHECK_OK(flush_start(w.flush));
    await(&w.hints, 2); /* at each look */
    loghead_segments(w.logs.head, &rows, &n);
    CHECK_INT(n, 1);
    CHECK_INT(rows[0].entries, 1);
    mem_free(rows);
    end(&w);
}

TEST(flush_to_stop_leaves_log_lines_as_they_are)
{
    struct world w;

    begin(&w, 3600000, 0);
    w.compactors = 1;
    put_sample(&w);
    CHECK_OK(fx_push_one(&w.logs, "a", 1, "line"));
    flush_cut_to_stop(w.flush, on_done, &w);
    await(&w.done, 1);
    CHECK_INT(w.cut, 1);
    CHECK_INT(w.pending, 1);
    end(&w);
}

/* Who else had it, and whether anybody, is not known. */
TEST(flush_says_of_nobody_that_an_old_block_is_theirs)
{
    struct world w;
    struct catalogue *c;
    size_t n;

    begin(&w, 100, 1);
    put_sample_at(&w, clock_wall_ms(&clock_system) - CATALOGUE_ORIGIN_MS);
    flush_cut(w.flush, SLICE_EMPTY, 0, on_done, &w);
    await(&w.published, 1);
    CHECK_OK(catalogue_load(w.store, SLICE("metrics"), SLICE("t"), &c));
    CHECK_INT(catalogue_blocks(c, &n)[0].origin.zone.len, 0);
    CHECK_INT(n, 1);
    catalogue_free(c);
    end(&w);
}

TEST(flush_uploads_what_no_compactor_takes)
{
    struct world w;
    struct catalogue *c;
    size_t n;

    begin(&w, 100, 1);
    put_sample_at(&w, clock_wall_ms(&clock_system) - CATALOGUE_ORIGIN_MS + 4 * 3600000);
    flush_cut(w.flush, SLICE_EMPTY, 0, on_done, &w);
    await(&w.published, 1);
    CHECK_OK(catalogue_load(w.store, SLICE("metrics"), SLICE("t"), &c));
    CHECK_INT(catalogue_version(c), 1);
    CHECK_INT(catalogue_blocks(c, &n)[0].samples, 1);
    CHECK_SLICE(catalogue_blocks(c, &n)[0].origin.zone, "z"); /* the others have it, too */
    CHECK_INT(n, 1);
    catalogue_free(c);
    for (int i = 0; i < 1000; i++) { /* then it is dropped here */
        struct head_segment *rows;

        head_segments(w.head, &rows, &n);
        mem_free(rows);
        if (!n)
            break;
        (void)usleep(5000);
    }
    CHECK_INT(n, 0);
    end(&w);
}

static bool are_logs_dropped(struct world *w)
{
    struct loghead_segment *rows;
    size_t n;

    loghead_segments(w->logs.head, &rows, &n);
    mem_free(rows);
    return n == 0;
}

/* A segment is no longer listed a moment before its lines are gone from answers: then both have them, which is no harm. */
static bool has_no_lines(struct world *w)
{
    struct buf out = {0};
    bool is_empty;

    CHECK_OK(fx_read(&w->logs, "t", 0, 100, false, &out));
    is_empty = out.len == 0;
    buf_done(&out);
    return is_empty;
}

static void check_block(struct ulid_text id)
{
    char *path = mem_printf("%s/logs/t/%s", tmp_path("bucket"), id.s);
    struct block_reader *streams;
    struct logblock *block;

    CHECK_OK(block_reader_open_dir(path, &streams));
    CHECK_INT(block_reader_meta(streams)->n_segments, 1);
    CHECK(slice_eq_cstr(block_reader_meta(streams)->segments[0], id.s));
    CHECK_OK(logblock_open(streams, &block));
    CHECK_OK(logblock_verify(block));
    logblock_close(block);
    block_reader_close(streams);
    mem_free(path);
}

TEST(flush_makes_a_block_of_log_lines_that_no_compactor_takes)
{
    struct world w;
    struct catalogue *c;
    const struct catalogue_block *b;
    struct buf line = {0};
    size_t n;

    begin(&w, 50, 1);
    for (int64_t i = 0; i < 70; i++) { /* more frames than are merged in one go */
        buf_reset(&line);
        buf_printf(&line, "line %d", (int)i);
        CHECK_OK(fx_push_one(&w.logs, i % 2 ? "odd" : "even", i, buf_cstr(&line)));
        CHECK_OK(loghead_seal(w.logs.head, SLICE_EMPTY));
    }
    flush_cut(w.flush, SLICE_EMPTY, 0, on_done, &w);
    await(&w.published, 1);
    CHECK_OK(catalogue_load(w.store, SLICE("logs"), SLICE("t"), &c));
    b = catalogue_blocks(c, &n);
    CHECK_INT(n, 1);
    CHECK_INT(b[0].samples, 70);
    CHECK_INT(b[0].series, 2);
    check_block(ulid_print(b[0].ulid));
    catalogue_free(c);
    for (int i = 0; i < 1000 && !(are_logs_dropped(&w) && has_no_lines(&w)); i++)
        (void)usleep(5000);
    CHECK(are_logs_dropped(&w) && has_no_lines(&w));
    CHECK_INT(loghead_dropped_by(w.logs.head, SLICE("t")), 1);
    CHECK(!fsx_exists(w.work_dir));
    buf_done(&line);
    end(&w);
}

TEST(flush_stop_answers_those_who_wait)
{
    struct world w;

    begin(&w, 3600000, 0);
    w.compactors = 1;
    put_sample(&w);
    flush_cut(w.flush, SLICE_EMPTY, 60000, on_done, &w);
    await(&w.hints, 1);
    flush_stop(w.flush);
    await(&w.done, 1);
    CHECK_INT(w.refused, 1);
    flush_cut(w.flush, SLICE_EMPTY, 60000, on_done, &w);
    await(&w.done, 2);
    CHECK_INT(w.refused, 2);
    end(&w);
}
