#include "ingester/traces/tracehead.h"
#include "tests/unit/ingester/traces/tracehead_fixture.h"

static void idle(struct fixture *f)
{
    clock_fake_advance(&f->clock, 60ll * NS_PER_S);
    CHECK_OK(tracehead_maintain(f->head));
}

TEST(tracehead_gives_back_what_was_pushed_by_id)
{
    struct fixture f = {0};
    struct tracehead_query q = fx_all("t");

    fx_open(&f);
    CHECK_OK(fx_push(&f, "t", 100, (const uint32_t[][2]){{7, 1}, {3, 2}, {900, 3}}, 3));
    CHECK_INT(f.reply.accepted, 3);
    fx_push_one(&f, 3, 4);
    CHECK_OK(fx_push(&f, "other", 100, (const uint32_t[][2]){{3, 9}}, 1));
    fx_check(&f, "3:2,4 7:1 900:3");
    CHECK_INT(fx_stats(&f).live, 4);

    q.first[1] = 4; /* a range of ids */
    q.last[0] = 0;
    fx_check_query(&f, &q, "7:1");
    q = fx_all("other");
    fx_check_query(&f, &q, "3:9");
    q = fx_all("nobody");
    fx_check_query(&f, &q, "");
    fx_close(&f);
}

TEST(tracehead_gives_the_ids_asked_for_live_or_cut)
{
    const uint8_t ids[][16] = {{0, 1}, {0, 3}, {0, 5}, {1, 0}, {9, 9}};
    struct tracehead_query q = fx_all("t");
    struct fixture f = {0};

    fx_open(&f);
    CHECK_OK(fx_push(&f, "t", 100, (const uint32_t[][2]){{3, 1}, {4, 2}, {256, 3}}, 3));
    idle(&f);
    CHECK_OK(fx_push(&f, "t", 100, (const uint32_t[][2]){{3, 4}, {4, 5}, {5, 6}}, 3));
    q.has_ids = true;
    q.ids = ids;
    q.n_ids = ORR_COUNT(ids);
    fx_check_query(&f, &q, "3:1,4 5:6 256:3");
    q.ids_only = true;
    fx_check_query(&f, &q, "3: 5: 256:");
    q.n_ids = 0;
    fx_check_query(&f, &q, "");
    fx_close(&f);
}

TEST(tracehead_leaves_out_what_is_of_other_times)
{
    struct tracehead_query q = fx_all("t");
    struct fixture f = {0};

    fx_open(&f);
    CHECK_OK(fx_push(&f, "t", 1000, (const uint32_t[][2]){{1, 1}}, 1));
    CHECK_OK(fx_push(&f, "t", 2000, (const uint32_t[][2]){{2, 2}, {3, 3}}, 2));
    CHECK_OK(fx_push(&f, "t", 3000, (const uint32_t[][2]){{3, 4}}, 1));
    for (int i = 0; i < 2; i++) { /* live, then cut */
        q.start_ns = 1006;        /* the first ends at 1005 */
        q.end_ns = 2000;          /* exclusive */
        fx_check_query(&f, &q, "");
        q.end_ns = 2001;
        fx_check_query(&f, &q, "2:2 3:3,4"); /* whole, with what is later */
        q.start_ns = 1005;
        fx_check_query(&f, &q, "1:1 2:2 3:3,4");
        idle(&f);
    }
    fx_close(&f);
}

TEST(tracehead_leaves_out_what_is_deleted)
{
    struct tracehead_query q = fx_all("t");
    struct fixture f = {0};

    fx_open(&f);
    CHECK_OK(fx_push(&f, "t", 1000, (const uint32_t[][2]){{1, 1}, {3, 3}}, 2));
    CHECK_OK(fx_push(&f, "t", 2000, (const uint32_t[][2]){{2, 2}}, 1));
    CHECK_OK(fx_push(&f, "t", 3000, (const uint32_t[][2]){{3, 4}}, 1));
    for (int i = 0; i < 2; i++) { /* live, then cut */
        q.after_ns = 1000;
        fx_check_query(&f, &q, "1:1 2:2 3:3,4");
        q.after_ns = 1001; /* the third began before it, too */
        fx_check_query(&f, &q, "2:2");
        q.ids_only = true;
        q.after_ns = 2001;
        fx_check_query(&f, &q, "");
        q.ids_only = false;
        idle(&f);
    }
    fx_close(&f);
}

TEST(tracehead_bounds_an_answer)
{
    struct tracehead_query q = fx_all("t");
    struct fixture f = {0};
    struct buf out = {0};

    fx_open(&f);
    CHECK_OK(fx_push(&f, "t", 100, (const uint32_t[][2]){{1, 1}, {2, 2}}, 2));
    q.max_bytes = 100;
    CHECK_ERR(fx_read_query(&f, &q, &out), ERR_LIMIT, "100 bytes");
    CHECK_STR(buf_cstr(&out), "1:1");
    buf_done(&out);
    fx_close(&f);
}

TEST(tracehead_cuts_what_is_idle_and_takes_late_spans)
{
    struct fixture f = {0};
    struct tracehead_segment *rows;
    size_t n;

    f.opts.cut_period_ms = 1;
    fx_open(&f);
    fx_push_one(&f, 1, 1);
    clock_fake_advance(&f.clock, 8ll * NS_PER_S);
    fx_push_one(&f, 2, 2);
    clock_fake_advance(&f.clock, 3ll * NS_PER_S);
    CHECK_OK(tracehead_maintain(f.head));
    CHECK_INT(fx_stats(&f).live, 1); /* the first is idle for 11 s */
    fx_push_one(&f, 1, 3);
    CHECK_INT(fx_stats(&f).live, 2);
    fx_check(&f, "1:1,3 2:2");
    idle(&f);
    CHECK_INT(fx_stats(&f).live, 0);
    CHECK_INT(fx_stats(&f).live_bytes, 0);
    fx_check(&f, "1:1,3 2:2");
    tracehead_segments(f.head, &rows, &n);
    CHECK_INT(n, 0); /* it grows */
    mem_free(rows);
    fx_close(&f);
}

/* Spans that go on and on do not keep a trace alive for ever. */
TEST(tracehead_cuts_a_trace_that_does_not_end)
{
    struct fixture f = {0};

    f.opts.cut_period_ms = 1;
    fx_open(&f);
    for (uint32_t i = 0; i < 9; i++) {
        fx_push_one(&f, 1, 1 + i);
        clock_fake_advance(&f.clock, 5ll * NS_PER_S);
        CHECK_OK(tracehead_maintain(f.head));
        CHECK_INT(fx_stats(&f).live, i < 6); /* last counted at 25 s, idle at 35 */
        if (i == 6)
            break;
    }
    fx_check(&f, "1:1,2,3,4,5,6,7");
    fx_close(&f);
}

TEST(tracehead_has_it_all_after_a_kill)
{
    struct fixture f = {0};

    fx_open(&f);
    fx_push_one(&f, 1, 1);
    fx_push_one(&f, 2, 2);
    fx_reopen(&f);
    CHECK_INT(fx_stats(&f).replayed, 2);
    fx_check(&f, "1:1 2:2");
    idle(&f);
    fx_push_one(&f, 1, 3);
    fx_push_one(&f, 5, 4);
    fx_reopen(&f);
    CHECK_INT(fx_stats(&f).replayed, 2); /* not what was cut */
    fx_check(&f, "1:1,3 2:2 5:4");
    fx_close(&f);
}

/* The log need not be read from further back than the oldest live trace. */
TEST(tracehead_cuts_the_log_behind_what_is_in_segments)
{
    struct fixture f = {0};
    struct buf b = {0};

    fx_open(&f);
    for (uint32_t i = 0; i < 20; i++) {
        buf_byte(&b, TRACE_BATCH_VERSION);
        for (uint32_t k = 0; k < 2000; k++)
            fx_piece(&b, i * 2000 + k, 1 + i, 100);
        CHECK_OK(fx_push_bytes(&f, "t", buf_slice(&b)));
        buf_reset(&b);
    }
    buf_done(&b);
    CHECK_INT(wal_first_seq(f.wal), 1);
    CHECK_INT(fx_stats(&f).live, 40000);
    idle(&f);
    CHECK_INT(fx_stats(&f).live, 0);
    CHECK_INT(fx_stats(&f).floor, 21);
    CHECK(wal_first_seq(f.wal) > 1);
    fx_reopen(&f);
    CHECK_INT(fx_stats(&f).replayed, 0);
    CHECK_INT(fx_stats(&f).floor, 21);
    fx_close(&f);
}

TEST(tracehead_keeps_to_limits)
{
    struct fixture f = {.limits = {.max_traces = 2}};

    fx_open(&f);
    CHECK_OK(fx_push(&f, "t", 100, (const uint32_t[][2]){{1, 1}, {2, 2}, {3, 3}}, 3));
    CHECK_INT(f.reply.accepted, 2);
    CHECK_INT(f.reply.rejected[BATCH_MAX_TRACES_LIMIT], 1);
    CHECK_INT(f.reply.refusals.ptr[0].series, 2);
    fx_push_one(&f, 1, 4); /* no new one */
    CHECK_INT(f.reply.accepted, 1);
    CHECK_OK(fx_push(&f, "other", 100, (const uint32_t[][2]){{3, 3}}, 1));
    CHECK_INT(f.reply.accepted, 1);
    f.limits = (struct tracehead_limits){.max_trace_bytes = 80};
    fx_push_one(&f, 2, 5);
    CHECK_INT(f.reply.rejected[BATCH_TRACE_TOO_LARGE], 1);
    f.limits = (struct tracehead_limits){.max_traces = 3};
    idle(&f);
    CHECK_OK(fx_push(&f, "t", 100, (const uint32_t[][2]){{4, 1}, {5, 2}, {6, 3}}, 3));
    CHECK_INT(f.reply.accepted, 3); /* what is cut does not count */
    fx_check(&f, "1:1,4 2:2 4:1 5:2 6:3");
    fx_reopen(&f); /* what was refused is not in the log */
    fx_check(&f, "1:1,4 2:2 4:1 5:2 6:3");
    fx_close(&f);
}

TEST(tracehead_refuses_what_is_no_batch)
{
    struct fixture f = {0};
    struct buf b = {0};

    fx_open(&f);
    CHECK_ERR(fx_push_bytes(&f, "t", SLICE("nonsense")), ERR_INVALID, "malformed");
    buf_byte(&b, TRACE_BATCH_VERSION);
    fx_piece(&b, 1, 1, 100);
    buf_byte(&b, 77);
    CHECK_ERR(fx_push_bytes(&f, "t", buf_slice(&b)), ERR_INVALID, "malformed");
    fx_check(&f, "");
    f.opts.max_live = 1;
    fx_reopen(&f);
    fx_push_one(&f, 1, 1);
    CHECK_ERR(fx_push(&f, "t", 1, (const uint32_t[][2]){{2, 2}}, 1), ERR_UNAVAILABLE,
              "1 live traces");
    buf_done(&b);
    fx_close(&f);
}

/* ---- segments ---- */

static struct tracehead_segment only_segment(struct fixture *f)
{
    struct tracehead_segment *rows, ret;
    size_t n;

    tracehead_segments(f->head, &rows, &n);
    CHECK_INT(n, 1);
    ret = rows[0];
    mem_free(rows);
    return ret;
}

TEST(tracehead_segment_is_there_until_it_is_dropped)
{
    struct fixture f = {0};
    struct tracehead_segment row, pinned;
    struct tracehead_set *set;
    struct tracehead_trace t;
    struct tracehead_query q = fx_all("t");
    struct slice bytes;
    uint32_t number;
    size_t n;

    fx_open(&f);
    CHECK_OK(fx_push(&f, "t", 100, (const uint32_t[][2]){{1, 1}, {2, 2}}, 2));
    CHECK_OK(tracehead_cut(f.head, SLICE("nobody"), &n));
    CHECK_INT(n, 0);
    CHECK_OK(tracehead_cut(f.head, SLICE("t"), &n));
    CHECK_INT(n, 1);
    row = only_segment(&f);
    CHECK_STR(row.tenant, "t");
    CHECK(row.traces == 2 && row.spans == 2 && row.files == 1);
    CHECK(row.min_ms % TRACEHEAD_WINDOW_MS == 0 && row.max_ms == row.min_ms + TRACEHEAD_WINDOW_MS);
    fx_push_one(&f, 3, 3); /* into another segment */
    fx_reopen(&f);
    CHECK_STR(only_segment(&f).ulid, row.ulid);
    fx_check(&f, "1:1 2:2 3:3");

    CHECK_ERR(tracehead_segment_pin(f.head, SLICE("t"), SLICE("no"), &pinned), ERR_NOT_FOUND, "no");
    CHECK_OK(tracehead_segment_pin(f.head, SLICE("t"), slice_cstr(row.ulid), &pinned));
    CHECK_OK(tracehead_select(f.head, &q, &set));
    CHECK_INT(tracehead_dropped_by(f.head, SLICE("t")), 0);
    CHECK_OK(tracehead_segment_dropped(f.head, SLICE("t"), slice_cstr(row.ulid), 42));
    CHECK_INT(tracehead_dropped_by(f.head, SLICE("t")), 42);
    CHECK_ERR(tracehead_segment_dropped(f.head, SLICE("t"), slice_cstr(row.ulid), 42),
              ERR_NOT_FOUND, row.ulid);
    fx_check(&f, "3:3");
    CHECK(tracehead_set_next(set, &t) && t.id[1] == 1 && t.n == 1); /* who had it has it */
    CHECK_OK(tracehead_set_close(set));
    CHECK(tracehead_segment_file(&pinned, 0, &number, &bytes) && number == 1 && bytes.len > 100);
    CHECK(!tracehead_segment_file(&pinned, 1, &number, &bytes));
    tracehead_segment_unpin(f.head, &pinned);
    fx_reopen(&f);
    fx_check(&f, "3:3");
    CHECK_INT(tracehead_dropped_by(f.head, SLICE("t")), 42);
    fx_close(&f);
}

TEST(tracehead_segment_is_of_one_window)
{
    struct fixture f = {0};
    struct tracehead_segment *rows;
    size_t n;

    fx_open(&f);
    fx_push_one(&f, 1, 1);
    idle(&f);
    clock_fake_advance(&f.clock, (TRACEHEAD_WINDOW_MS - 800 * 1000) * NS_PER_MS);
    fx_push_one(&f, 2, 2);
    idle(&f);
    CHECK_INT(tracehead_cut_due(f.head), 0); /* the grace */
    clock_fake_advance(&f.clock, 1800ll * NS_PER_S);
    CHECK_INT(tracehead_cut_due(f.head), 1);
    CHECK_INT(tracehead_cut_due(f.head), 0);
    CHECK_OK(tracehead_cut(f.head, SLICE_EMPTY, &n));
    CHECK_INT(n, 1);
    tracehead_segments(f.head, &rows, &n);
    CHECK(n == 2 && rows[0].max_ms == rows[1].min_ms);
    mem_free(rows);
    fx_check(&f, "1:1 2:2");
    fx_close(&f);
}

/* One that was torn was not synced: the log has what is in it. */
TEST(tracehead_leaves_out_a_torn_file)
{
    struct fixture f = {0};
    char *path;

    fx_open(&f);
    fx_push_one(&f, 1, 1);
    CHECK_OK(tracehead_cut(f.head, SLICE("t"), NULL));
    path = mem_printf("%s/segments/t/%lld-%s/000002.pieces", tmp_path("traces"),
                      (long long)only_segment(&f).min_ms, only_segment(&f).ulid);
    CHECK_OK(fsx_write_atomic(path, SLICE("ORRTSG")));
    fx_reopen(&f);
    fx_check(&f, "1:1");
    mem_free(path);
    fx_close(&f);
}

/* ---- everything at once ---- */

struct pusher {
    pthread_t thread;
    struct fixture *f;
    uint32_t first;
};

static void *push_many(void *arg)
{
    struct pusher *p = arg;
    struct fixture f = {.head = p->f->head};

    for (uint32_t i = 0; i < 200; i++)
        fx_push_one(&f, p->first + i % 50, 1 + i);
    batch_reply_done(&f.reply);
    return NULL;
}

TEST(tracehead_loses_nothing_while_it_is_cut_and_read)
{
    struct pusher p[3];
    struct fixture f = {0};
    struct tracehead_trace t;
    struct tracehead_set *s;
    struct tracehead_query q = fx_all("t");
    size_t pieces = 0;

    fx_open(&f);
    for (uint32_t i = 0; i < ORR_COUNT(p); i++) {
        p[i] = (struct pusher){.f = &f, .first = i * 100};
        CHECK(!pthread_create(&p[i].thread, NULL, push_many, &p[i]));
    }
    for (int i = 0; i < 10; i++) {
        CHECK_OK(tracehead_cut(f.head, SLICE("t"), NULL));
        CHECK_OK(tracehead_select(f.head, &q, &s));
        while (tracehead_set_next(s, &t))
            CHECK(t.n > 0);
        CHECK_OK(tracehead_set_close(s));
    }
    for (uint32_t i = 0; i < ORR_COUNT(p); i++)
        (void)pthread_join(p[i].thread, NULL);
    CHECK_OK(tracehead_select(f.head, &q, &s));
    while (tracehead_set_next(s, &t))
        pieces += t.n;
    CHECK_OK(tracehead_set_close(s));
    CHECK_INT(pieces, 600); /* each once, as nothing was replayed */
    fx_close(&f);
}
