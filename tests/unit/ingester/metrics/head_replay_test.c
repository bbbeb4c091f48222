#include "tests/unit/ingester/metrics/head_fixture.h"

/* ---- restart ---- */

TEST(head_comes_back_from_the_log_alone)
{
    struct fixture f = {0};
    struct head_replay_stats st;

    fx_open(&f);
    fill(&f, 20, 0, 130, 15000);
    fx_crash(&f);
    fx_open(&f);
    head_replay_stats_get(f.head, &st);
    CHECK_INT(st.samples, 20 * 130);
    CHECK_INT(st.unknown_refs + st.broken_records, 0);
    check_filled(&f, 20, 130, 15000);
    fx_close(&f);
}

TEST(head_comes_back_from_a_checkpoint_and_the_log_behind_it)
{
    struct fixture f = {0};
    struct head_replay_stats st;

    fx_open(&f);
    fill(&f, 300, 0, 130, 15000);
    CHECK_OK(head_checkpoint(f.head));
    fill(&f, 300, 130, 140, 15000);
    fx_crash(&f);
    fx_open(&f);
    head_replay_stats_get(f.head, &st);
    CHECK_INT(st.series, 300);
    CHECK_INT(st.samples, 300 * 10);
    check_filled(&f, 300, 140, 15000);
    fill(&f, 300, 140, 260, 15000);
    fx_crash(&f);
    fx_open(&f);
    check_filled(&f, 300, 260, 15000);
    CHECK_OK(head_checkpoint(f.head));
    fx_crash(&f);
    fx_open(&f);
    head_replay_stats_get(f.head, &st);
    CHECK_INT(st.samples, 0);
    check_filled(&f, 300, 260, 15000);
    fx_close(&f);
    fx_open(&f);
    check_filled(&f, 300, 260, 15000);
    fx_close(&f);
}

TEST(head_puts_a_broken_checkpoint_aside_and_reads_what_the_log_has)
{
    struct fixture f = {.shards = 1};
    struct buf b = {0};
    const char *path;

    fx_open(&f);
    fill(&f, 5, 0, 10, 15000);
    CHECK_OK(head_checkpoint(f.head));
    fill(&f, 5, 10, 12, 15000);
    fx_crash(&f);
    path = tmp_path("data/head/0/checkpoint");
    CHECK_OK(fsx_read(path, 1 << 20, &b));
    b.ptr[b.len / 2] ^= 1;
    CHECK_OK(fsx_write_atomic(path, buf_slice(&b)));
    log_set_sink(NULL, NULL);
    fx_open(&f);
    CHECK(fsx_exists(tmp_path("data/head/0/checkpoint.bad")));
    push_one(&f, "a=1", T0, 1);
    fx_close(&f);
    buf_done(&b);
}

TEST(head_takes_batches_with_labels_while_it_replays)
{
    struct fixture f = {0};

    fx_open(&f);
    fill(&f, 50, 0, 200, 15000);
    fx_crash(&f);
    clock_fake_init(&f.clock, 1700000000ll * NS_PER_S);
    fx_open_only(&f); /* not waiting */
    for (int i = 0; i < 20; i++) {
        add(&f, "__name__=m,i=000", T0 + (200 + i) * 15000, (200 + i) * 1000, true);
        CHECK_OK(fx_push(&f, "t"));
        CHECK_INT(f.reply.accepted, 1);
    }
    fx_crash(&f); /* before or after they were applied */
    fx_open(&f);
    fill(&f, 50, 220, 221, 15000);
    fx_crash(&f);
    fx_open(&f);
    {
        struct arena *a = arena_new(0);
        struct buf out = {0}, want = {0};
        struct head_query q = query_of(a, (struct match_text[]){{MATCHER_EQ, "i", "000"}}, 1);

        select_text(&f, &q, &out);
        buf_str(&want, "m{i=\"000\"}");
        for (int k = 0; k < 221; k++)
            buf_printf(&want, " %lld:%g", (long long)(T0 + k * 15000), (double)(k * 1000));
        buf_byte(&want, '\n');
        CHECK_STR(buf_cstr(&out), buf_cstr(&want));
        matchers_done(q.matchers);
        arena_free(a);
        buf_done(&out);
        buf_done(&want);
    }
    fx_close(&f);
}

/* ---- failing disks ---- */

TEST(head_answers_errors_of_the_log_and_recovers_definitions)
{
    struct fixture f = {.shards = 1};

    fx_open(&f);
    fault_arm_point("head.checkpoint.write", 28);
    push_one(&f, "a=1", T0, 1);
    CHECK_ERR(head_checkpoint(f.head), ERR_IO, "checkpoint");
    fault_disarm();
    CHECK_OK(head_checkpoint(f.head));
    fx_crash(&f);
    fx_open(&f);
    check_all(&f, "{a=\"1\"} 1699999200000:1\n");
    fx_close(&f);
}

/* The definition of a series may be in the record that failed: it must be logged again, or the
 * samples acknowledged afterwards would name a ref that a replay does not know. */
TEST(head_logs_definitions_again_after_the_log_failed)
{
    struct fixture f = {.shards = 1};
    struct err *e = NULL;
    int tries = 0;

    fx_open(&f);
    push_one(&f, "a=1", T0, 1);
    fault_arm_point("wal.write", 28);
    add(&f, "a=2", T0, 2, true);
    CHECK_ERR(fx_push(&f, "t"), ERR_IO, "");
    add(&f, "a=1", T0 + 1, 2, true);
    CHECK_ERR(fx_push(&f, "t"), ERR_IO, "");
    fault_disarm();
    do { /* the log probes its disk once a second */
        err_free(e);
        add(&f, "a=2", T0, 2, false);
        e = fx_push(&f, "t");
    } while (e && tries++ < 50000000);
    CHECK_OK(e);
    CHECK_INT(f.reply.accepted, 1); /* a repeat: the sample is in memory since the first try */
    fx_crash(&f);
    fx_open(&f);
    check_all(&f, "{a=\"1\"} 1699999200000:1\n{a=\"2\"} 1699999200000:2\n");
    fx_close(&f);
}

TEST(head_keeps_closed_chunks_in_memory_when_the_disk_is_full)
{
    struct fixture f = {.shards = 1};

    fx_open(&f);
    fault_arm_point("head.chunks.create", 28);
    fill(&f, 2, 0, 130, 15000);
    check_filled(&f, 2, 130, 15000);
    CHECK_ERR(head_checkpoint(f.head), ERR_IO, "memory only");
    fault_disarm();
    fx_crash(&f);
    fx_open(&f);
    check_filled(&f, 2, 130, 15000);
    fx_close(&f);
}

TEST(head_moves_chunks_to_files_when_the_disk_has_room_again)
{
    struct fixture f = {.shards = 2};
    size_t segments;

    fx_open(&f);
    fault_arm_point("head.chunks.create", 28);
    fill(&f, 4, 0, 130, 15000);
    CHECK_ERR(head_maintain(f.head, T0), ERR_IO, "memory only");
    CHECK_ERR(head_cut(f.head, SLICE_EMPTY, T0, NULL), ERR_IO, "memory only");
    fault_disarm();
    CHECK_OK(head_checkpoint(f.head)); /* before anything is cut */
    check_filled(&f, 4, 130, 15000);
    fx_crash(&f);
    fx_open(&f);
    check_filled(&f, 4, 130, 15000);
    CHECK_OK(head_cut(f.head, SLICE_EMPTY, INT64_MAX, &segments));
    CHECK(segments > 0);
    check_filled(&f, 4, 130, 15000);
    fx_close(&f);
}

/* A reader that began before goes on with the memory. */
TEST(head_reads_on_while_chunks_move_to_files)
{
    struct fixture f = {.shards = 1};
    struct head_query q = {.tenant = SLICE("t"), .min_ms = INT64_MIN, .max_ms = INT64_MAX};
    struct head_series s;
    struct head_set *set;
    size_t samples = 0;

    fx_open(&f);
    fault_arm_point("head.chunks.create", 28);
    fill(&f, 1, 0, 130, 15000);
    CHECK_OK(head_select(f.head, &q, &set));
    fault_disarm();
    CHECK_OK(head_maintain(f.head, T0));
    CHECK_OK(head_checkpoint(f.head));
    while (head_set_next(set, &s))
        for (size_t i = 0; i < s.n_chunks; i++)
            samples += s.chunks[i].samples;
    CHECK_OK(head_set_close(set));
    CHECK_INT(samples, 130);
    fx_close(&f);
}

TEST(head_refuses_pushes_while_too_much_is_in_memory)
{
    struct fixture f = {.shards = 1, .memory_chunk_bytes = 100};
    struct err *e = NULL;
    unsigned tries = 0;

    fx_open(&f);
    fault_arm_point("head.chunks.create", 28);
    for (; !e && tries < 200; tries++) {
        add(&f, "a=1", T0 + tries * 15000, 1, true);
        e = fx_push(&f, "t");
    }
    CHECK(tries > 30); /* the first closed chunk is in memory */
    CHECK_ERR(e, ERR_UNAVAILABLE, "no file can be made for closed chunks");
    CHECK_ERR(head_is_stuck(f.head), ERR_UNAVAILABLE, "No space left");
    fault_disarm();
    e = NULL;
    tries = 0;
    do { /* tried again once a second, by pushes alone */
        err_free(e);
        usleep(10000);
        add(&f, "a=2", T0, 2, true);
        e = fx_push(&f, "t");
    } while (e && tries++ < 1000);
    CHECK_OK(e);
    CHECK_OK(head_is_stuck(f.head));
    CHECK_OK(head_checkpoint(f.head));
    fx_close(&f);
}

/* ---- broken logs ---- */

static char *newest_wal_file(size_t back)
{
    const char *dir = tmp_path("data/wal");
    char **names, *path = NULL;
    size_t n, seen = 0;

    CHECK_OK(fsx_list(dir, &names, &n));
    for (size_t i = n; i-- > 0 && !path;)
        if (slice_has_suffix(slice_cstr(names[i]), SLICE(".wal")) && seen++ == back)
            path = mem_printf("%s/%s", dir, names[i]);
    fsx_names_free(names, n);
    CHECK(path);
    return path;
}

TEST(head_survives_a_log_whose_tail_is_torn)
{
    struct fixture f = {.shards = 1};
    struct buf b = {0};
    struct buf out = {0};
    struct head_query q = {.tenant = SLICE("t"), .min_ms = INT64_MIN, .max_ms = INT64_MAX};
    size_t end;
    char *path;

    fx_open(&f);
    fill(&f, 3, 0, 50, 15000);
    fx_crash(&f);
    path = newest_wal_file(0);
    CHECK_OK(fsx_read(path, 64 << 20, &b));
    for (end = b.len; end && !b.ptr[end - 1]; end--)
        ;
    memset(b.ptr + end - 10, 0, 10); /* the last record lost its end */
    CHECK_OK(fsx_write_atomic(path, buf_slice(&b)));
    fx_open(&f);
    select_text(&f, &q, &out);
    CHECK(slice_find(buf_slice(&out), SLICE("m{i=\"002\"} 1699999200000:2"), 0) >= 0);
    CHECK(slice_find(buf_slice(&out), SLICE(":48002\n"), 0) >= 0); /* all but the torn one */
    CHECK(slice_find(buf_slice(&out), SLICE(":49002"), 0) < 0);
    fill(&f, 3, 50, 52, 15000);
    fx_close(&f);
    mem_free(path);
    buf_done(&b);
    buf_done(&out);
}

/* ---- refs used again, over restarts ---- */

TEST(head_replays_refs_that_were_given_to_other_series)
{
    struct fixture f = {.shards = 1};
    char text[64];

    fx_open(&f);
    for (int round = 0; round < 4; round++) {
        int64_t t = T0 + round * HEAD_WINDOW_MS * 2;

        for (int i = 0; i < 300; i++) {
            (void)snprintf(text, sizeof(text), "__name__=churn,round=%d,i=%03d", round, i);
            add(&f, text, t + i, i, true);
        }
        CHECK_OK(fx_push(&f, "t"));
        CHECK_INT(f.reply.accepted, 300);
        CHECK_OK(head_cut(f.head, SLICE_EMPTY, t, NULL));
        CHECK_INT(head_series_count(f.head), 300);
        fx_crash(&f);
        fx_open(&f);
        CHECK_INT(head_series_count(f.head), 300);
    }
    {
        struct arena *a = arena_new(0);
        struct buf out = {0};
        struct head_query q = query_of(a, (struct match_text[]){{MATCHER_EQ, "i", "299"}}, 1);

        select_text(&f, &q, &out);
        CHECK_STR(buf_cstr(&out), "churn{i=\"299\", round=\"0\"} 1699999200299:299\n"
                                  "churn{i=\"299\", round=\"1\"} 1700013600299:299\n"
                                  "churn{i=\"299\", round=\"2\"} 1700028000299:299\n"
                                  "churn{i=\"299\", round=\"3\"} 1700042400299:299\n");
        matchers_done(q.matchers);
        arena_free(a);
        buf_done(&out);
    }
    fx_close(&f);
}
