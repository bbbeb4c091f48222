#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/base/rng.h"
#include "ingester/logs/loghead.h"
#include "ingester/logs/loghead_internal.h"
#include "tests/unit/ingester/logs/loghead_fixture.h"

#define ALL INT64_MIN + 1, INT64_MAX
#define W0 1699999200000ll /* begin of the window in which the fixture's clock starts */

/* ---- helpers ---- */

static size_t count_segments(struct fixture *f)
{
    struct loghead_segment *rows;
    size_t n;

    loghead_segments(f->head, &rows, &n);
    mem_free(rows);
    return n;
}

/* The i-th row. */
static struct loghead_segment row_at(struct fixture *f, size_t i)
{
    struct loghead_segment *rows, ret;
    size_t n;

    loghead_segments(f->head, &rows, &n);
    CHECK(i < n);
    ret = rows[i];
    mem_free(rows);
    return ret;
}

static struct err *drop_at(struct fixture *f, size_t i, uint64_t version)
{
    struct loghead_segment s = row_at(f, i);

    return loghead_segment_dropped(f->head, slice_cstr(s.tenant), slice_cstr(s.ulid), version);
}

/* Lines of a frame, one after the other, in the order of their streams. */
static void frame_lines(struct slice bytes, struct buf *out)
{
    struct logframe fr;
    struct arena *a = arena_new(0);

    CHECK_OK(logframe_open(bytes, &fr));
    for (uint32_t i = 0; i < fr.head.n_pages; i++) {
        struct logpage *lp;
        struct slice *lines;
        uint32_t n;

        CHECK_OK(logpage_open(a, logframe_page_bytes(&fr, i), &lp));
        n = logpage_n_entries(lp);
        lines = arena_array(a, struct slice, n);
        CHECK_OK(logpage_lines(lp, NULL, 0, n, lines));
        for (uint32_t k = 0; k < n; k++)
            buf_printf(out, "%.*s ", SLICE_ARG(lines[k]));
    }
    arena_free(a);
}

static void segment_lines(const struct loghead_segment *pinned, struct buf *out)
{
    struct slice bytes;
    uint32_t number, last = 0;

    for (size_t i = 0; loghead_segment_frame(pinned, i, &number, &bytes); i++) {
        CHECK(number > last);
        last = number;
        frame_lines(bytes, out);
    }
}

/* Bytes that the directory of frames takes on the disk; how many files. */
static uint64_t disk_bytes(unsigned *ret_files)
{
    char **names;
    uint64_t sum = 0;
    size_t n;

    CHECK_OK(fsx_list(tmp_path("logs/head/0"), &names, &n));
    for (size_t i = 0; i < n; i++) {
        char *path = mem_printf("%s/%s", tmp_path("logs/head/0"), names[i]);
        struct stat st;

        CHECK(stat(path, &st) == 0);
        sum += (uint64_t)st.st_blocks * 512;
        mem_free(path);
    }
    fsx_names_free(names, n);
    *ret_files = (unsigned)n;
    return sum;
}

static void push_big(struct fixture *f, int64_t t_ns, size_t bytes)
{
    struct buf line = {0};
    struct rng rng;

    rng_seed(&rng, (uint64_t)t_ns);
    for (size_t i = 0; i < bytes; i++)
        buf_byte(&line, (uint8_t)('!' + rng_below(&rng, 90)));
    CHECK_OK(fx_push_one(f, "big", t_ns, buf_cstr(&line)));
    buf_done(&line);
}

/* ---- cutting ---- */

TEST(loghead_segment_is_what_was_open_when_it_is_cut)
{
    struct fixture f = {0};
    struct loghead_segment s;
    struct buf lines = {0};
    size_t n;

    fx_open(&f);
    CHECK_OK(loghead_cut(f.head, SLICE_EMPTY, &n));
    CHECK_INT(n, 0);
    CHECK_OK(fx_push_one(&f, "a", 1, "one"));
    CHECK_OK(loghead_seal(f.head, SLICE_EMPTY));
    CHECK_OK(fx_push_one(&f, "a", 2, "two"));
    CHECK_INT(count_segments(&f), 0); /* it grows */
    CHECK_OK(loghead_cut(f.head, SLICE("other"), &n));
    CHECK_INT(n, 0);
    CHECK_OK(loghead_cut(f.head, SLICE("t"), &n));
    CHECK_INT(n, 1);
    CHECK_OK(loghead_cut(f.head, SLICE_EMPTY, &n));
    CHECK_INT(n, 0);
    CHECK_OK(fx_push_one(&f, "a", 3, "three"));
    s = row_at(&f, 0);
    CHECK_STR(s.tenant, "t");
    CHECK_INT(s.min_ms, W0);
    CHECK_INT(s.max_ms, W0 + LOGHEAD_WINDOW_MS);
    CHECK_INT(s.entries, 2);
    CHECK_INT(s.frames, 2);
    CHECK_OK(loghead_segment_pin(f.head, SLICE("t"), slice_cstr(s.ulid), &s));
    segment_lines(&s, &lines);
    CHECK_STR(buf_cstr(&lines), "one two ");
    loghead_segment_unpin(f.head, &s);
    fx_check(&f, ALL, false, "a: 1=one 2=two 3=three\n"); /* reads go on */
    CHECK_OK(loghead_cut(f.head, SLICE_EMPTY, &n));
    CHECK_INT(n, 1);
    CHECK_INT(count_segments(&f), 2);
    CHECK(strcmp(row_at(&f, 0).ulid, row_at(&f, 1).ulid) != 0);
    CHECK_ERR(loghead_segment_pin(f.head, SLICE("u"), slice_cstr(s.ulid), &s), ERR_NOT_FOUND,
              "no segment");
    CHECK_ERR(loghead_segment_pin(f.head, SLICE("t"), SLICE("no ulid"), &s), ERR_NOT_FOUND,
              "no segment");
    buf_done(&lines);
    fx_close(&f);
}

TEST(loghead_segment_has_the_lines_that_came_in_its_window_and_is_cut_after_a_grace)
{
    struct fixture f = {.opts = {.grace_ms = 60000}};
    struct loghead_segment a, b;
    struct buf lines = {0};
    int64_t now_ms;

    fx_open(&f);
    now_ms = clock_wall_ms(&f.clock.clock);
    CHECK_OK(fx_push_one(&f, "a", 1, "first"));
    clock_fake_advance(&f.clock, (W0 + LOGHEAD_WINDOW_MS - 1 - now_ms) * NS_PER_MS);
    CHECK_OK(fx_push_one(&f, "b", 2, "last"));
    clock_fake_advance(&f.clock, NS_PER_MS);
    CHECK_OK(fx_push_one(&f, "a", 3, "next")); /* without upkeep between */
    CHECK_OK(loghead_seal(f.head, SLICE_EMPTY));
    CHECK_INT(loghead_cut_due(f.head), 0);
    clock_fake_advance(&f.clock, 60000 * NS_PER_MS);
    CHECK_INT(loghead_cut_due(f.head), 1);
    CHECK_INT(loghead_cut_due(f.head), 0);
    a = row_at(&f, 0);
    CHECK_INT(a.min_ms, W0);
    CHECK_INT(a.entries, 2);
    CHECK_OK(loghead_segment_pin(f.head, SLICE("t"), slice_cstr(a.ulid), &a));
    segment_lines(&a, &lines);
    CHECK(strstr(buf_cstr(&lines), "first ") && strstr(buf_cstr(&lines), "last "));
    loghead_segment_unpin(f.head, &a);
    CHECK_OK(loghead_cut(f.head, SLICE_EMPTY, NULL));
    b = row_at(&f, 1);
    CHECK_INT(b.min_ms, W0 + LOGHEAD_WINDOW_MS);
    CHECK_INT(b.entries, 1);
    buf_done(&lines);
    fx_close(&f);
}

TEST(loghead_segment_whose_window_is_over_waits_for_its_frames)
{
    struct fixture f = {0};

    fx_open(&f);
    CHECK_OK(fx_push_one(&f, "a", 1, "one"));
    fault_arm_point("logfile.sync", EIO);
    clock_fake_advance(&f.clock, 2 * LOGHEAD_WINDOW_MS * NS_PER_MS);
    CHECK_ERR(loghead_cut(f.head, SLICE_EMPTY, NULL), ERR_IO, "cut log lines");
    CHECK_INT(loghead_cut_due(f.head), 0);
    CHECK_INT(count_segments(&f), 0);
    fault_arm_point("logfile.sync", 0);
    CHECK_OK(loghead_seal(f.head, SLICE_EMPTY));
    CHECK_INT(loghead_cut_due(f.head), 1);
    CHECK_INT(row_at(&f, 0).entries, 1);
    CHECK_INT(row_at(&f, 0).min_ms, W0);
    fx_check(&f, ALL, false, "a: 1=one\n");
    fx_close(&f);
}

TEST(loghead_segment_comes_back_and_grows_no_more)
{
    struct fixture f = {0};
    struct loghead_segment a, b;
    struct buf before = {0}, after = {0};

    fx_open(&f);
    for (int64_t i = 0; i < 5; i++) {
        char app[8];

        (void)snprintf(app, sizeof(app), "app%d", (int)i);
        CHECK_OK(fx_push_one(&f, app, i, app));
        CHECK_OK(loghead_seal(f.head, SLICE_EMPTY));
    }
    CHECK_OK(loghead_cut(f.head, SLICE_EMPTY, NULL));
    a = row_at(&f, 0);
    CHECK_OK(loghead_segment_pin(f.head, SLICE("t"), slice_cstr(a.ulid), &a));
    segment_lines(&a, &before);
    loghead_segment_unpin(f.head, &a);
    CHECK_OK(fx_push_one(&f, "a", 9, "open"));
    fx_reopen(&f);
    CHECK_INT(count_segments(&f), 0); /* in its time, or: */
    CHECK_OK(fx_push_one(&f, "a", 10, "later"));
    CHECK_OK(loghead_cut(f.head, SLICE_EMPTY, NULL));
    CHECK_INT(count_segments(&f), 2);
    b = row_at(&f, strcmp(row_at(&f, 0).ulid, a.ulid) == 0 ? 0 : 1);
    CHECK_STR(b.ulid, a.ulid);
    CHECK_INT(b.entries, a.entries);
    CHECK_INT(b.bytes, a.bytes);
    CHECK_OK(loghead_segment_pin(f.head, SLICE("t"), slice_cstr(b.ulid), &b));
    segment_lines(&b, &after); /* frames have the numbers that they had */
    loghead_segment_unpin(f.head, &b);
    CHECK_STR(buf_cstr(&after), buf_cstr(&before));
    fx_reopen(&f);
    clock_fake_advance(&f.clock, 2 * LOGHEAD_WINDOW_MS * NS_PER_MS);
    CHECK_INT(loghead_cut_due(f.head), 2);
    buf_done(&before);
    buf_done(&after);
    fx_close(&f);
}

TEST(loghead_segment_is_found_by_its_name_after_a_restart_before_it_is_listed)
{
    struct fixture f = {0};
    struct loghead_segment a, b;

    fx_open(&f);
    CHECK_OK(fx_push_one(&f, "a", 1, "one"));
    CHECK_OK(loghead_cut(f.head, SLICE_EMPTY, NULL));
    clock_fake_advance(&f.clock, NS_PER_MS);
    CHECK_OK(fx_push_one(&f, "a", 2, "two"));
    CHECK_OK(loghead_cut(f.head, SLICE_EMPTY, NULL));
    a = row_at(&f, 0);
    b = row_at(&f, 1);
    fx_reopen(&f);
    CHECK_INT(count_segments(&f), 0);
    CHECK_OK(loghead_segment_dropped(f.head, SLICE("t"), slice_cstr(a.ulid), 4));
    CHECK_INT(f.head->m.segments, 0);
    fx_check(&f, ALL, false, "a: 2=two\n");
    CHECK_OK(loghead_segment_pin(f.head, SLICE("t"), slice_cstr(b.ulid), &b));
    loghead_segment_unpin(f.head, &b);
    CHECK_INT(count_segments(&f), 1);
    fx_close(&f);
}

/* ---- dropping ---- */

TEST(loghead_segment_that_is_dropped_is_gone_and_stays_so)
{
    struct fixture f = {.opts = {.shards = 1}};
    struct loghead_replay_stats st;

    fx_open(&f);
    CHECK_OK(fx_push_one(&f, "a", 1, "one"));
    CHECK_OK(loghead_cut(f.head, SLICE_EMPTY, NULL));
    clock_fake_advance(&f.clock, NS_PER_MS); /* else it is chance which one is listed first */
    CHECK_OK(fx_push_one(&f, "a", 2, "two"));
    CHECK_OK(loghead_cut(f.head, SLICE_EMPTY, NULL));
    CHECK_OK(fx_push_one(&f, "a", 3, "three"));
    CHECK_INT(loghead_dropped_by(f.head, SLICE("t")), 0);
    CHECK_OK(drop_at(&f, 0, 7));
    CHECK_INT(loghead_dropped_by(f.head, SLICE("t")), 7);
    CHECK_INT(count_segments(&f), 1);
    CHECK_INT(f.head->m.segments, 1);
    CHECK_INT(f.head->m.segment_bytes, row_at(&f, 0).bytes);
    fx_check(&f, ALL, false, "a: 2=two 3=three\n");
    CHECK(wal_first_seq(f.wal) == 1); /* the log has all three */
    fx_reopen(&f);
    loghead_replay_stats_get(f.head, &st);
    CHECK_INT(st.frames, 1);
    CHECK_INT(st.dropped_frames, 1);
    CHECK_INT(st.skipped, 2);
    fx_check(&f, ALL, false, "a: 2=two 3=three\n");
    CHECK_INT(loghead_dropped_by(f.head, SLICE("t")), 7);
    CHECK_OK(loghead_cut(f.head, SLICE_EMPTY, NULL));
    CHECK_INT(count_segments(&f), 2);
    CHECK_OK(drop_at(&f, 0, 6)); /* an older version that comes late */
    CHECK_OK(drop_at(&f, 0, 0));
    CHECK_INT(loghead_dropped_by(f.head, SLICE("t")), 7);
    fx_check(&f, ALL, false, "");
    fx_reopen(&f);
    fx_check(&f, ALL, false, "");
    CHECK_ERR(loghead_segment_dropped(f.head, SLICE("t"), SLICE("01HF000000000000000000000A"), 9),
              ERR_NOT_FOUND, "no segment");
    CHECK_INT(loghead_dropped_by(f.head, SLICE("t")), 7);
    fx_close(&f);
}

TEST(loghead_segment_lends_what_it_has_while_it_is_dropped)
{
    struct fixture f = {.opts = {.shards = 1}};
    struct loghead_query q = {.tenant = SLICE("t"), .from_ns = 0, .to_ns = 100};
    struct loghead_segment s;
    struct loghead_stream st;
    struct loghead_entry en;
    struct loghead_set *set;
    struct buf lines = {0};

    fx_open(&f);
    push_big(&f, 1, 100000);
    CHECK_OK(fx_push_one(&f, "a", 2, "two"));
    CHECK_OK(loghead_cut(f.head, SLICE_EMPTY, NULL));
    s = row_at(&f, 0);
    CHECK_OK(loghead_select(f.head, &q, &set));
    CHECK_OK(loghead_segment_pin(f.head, SLICE("t"), slice_cstr(s.ulid), &s));
    CHECK_OK(drop_at(&f, 0, 1));
    fx_check(&f, ALL, false, "");
    segment_lines(&s, &lines);
    CHECK(lines.len > 100000);
    loghead_segment_unpin(f.head, &s);
    while (loghead_set_stream(set, &st))
        while (loghead_set_entry(set, &en))
            CHECK(en.line.len == 100000 || slice_eq(en.line, SLICE("two")));
    CHECK_OK(loghead_set_close(set));
    buf_done(&lines);
    fx_close(&f);
}

TEST(loghead_segment_gives_its_disk_back)
{
    struct fixture f = {.opts = {.shards = 1}};
    unsigned files;
    uint64_t full;

    fx_open(&f);
    push_big(&f, 1, 400000);
    CHECK_OK(loghead_cut(f.head, SLICE_EMPTY, NULL));
    full = disk_bytes(&files);
    CHECK(full > 200000);
    CHECK_INT(files, 1);
    CHECK_OK(drop_at(&f, 0, 1));
    CHECK_INT(METRIC_GET(f.head->shards[0].m.file_bytes), 0);
    printf("of %llu bytes on disk %llu are left while the log is needed\n",
           (unsigned long long)full, (unsigned long long)disk_bytes(&files));
    CHECK(disk_bytes(&files) <= 8192);
    CHECK_INT(files, 1); /* it says what of the log it covers */
    fx_reopen(&f);
    CHECK_INT(disk_bytes(&files), disk_bytes(&files));
    CHECK_INT(files, 1);
    CHECK_OK(fx_push_one(&f, "a", 2, "two")); /* sealed: then the log is cut behind the first */
    CHECK_OK(loghead_cut(f.head, SLICE_EMPTY, NULL));
    CHECK_OK(loghead_maintain(f.head));
    CHECK_INT(f.head->shards[0].m.files_deleted, 1);
    (void)disk_bytes(&files);
    CHECK_INT(files, 1); /* that of the second */
    fx_check(&f, ALL, false, "a: 2=two\n");
    /* the next window has a file of its own, and the one that is left can go while the process lives */
    CHECK_OK(drop_at(&f, 0, 2));
    clock_fake_advance(&f.clock, LOGHEAD_WINDOW_MS * NS_PER_MS);
    for (int64_t i = 0; i < 8; i++)
        push_big(&f, 10 + i, 400000); /* segments of the log are 1 MiB */
    CHECK_OK(loghead_cut(f.head, SLICE_EMPTY, NULL));
    CHECK_OK(loghead_maintain(f.head));
    CHECK_INT(f.head->shards[0].m.files_deleted, 2);
    (void)disk_bytes(&files);
    CHECK_INT(files, 1);
    fx_close(&f);
}

TEST(loghead_segment_stays_when_it_cannot_be_dropped)
{
    static const char *const points[] = {"logfile.mark", "logfile.mark_sync"};
    struct fixture f = {0};

    fx_open(&f);
    for (int64_t i = 0; i < 4; i++) {
        CHECK_OK(fx_push_one(&f, "a", i, "x"));
        CHECK_OK(loghead_seal(f.head, SLICE_EMPTY));
    }
    CHECK_OK(loghead_cut(f.head, SLICE_EMPTY, NULL));
    for (size_t i = 0; i < ORR_COUNT(points); i++) {
        fault_arm_point(points[i], EIO);
        CHECK_ERR(drop_at(&f, 0, 1 + i), ERR_IO, "stays");
        fault_arm_point(points[i], 0);
        CHECK_INT(count_segments(&f), 1);
        fx_check(&f, ALL, false, "a: 0=x 1=x 2=x 3=x\n");
    }
    CHECK_INT(f.head->m.drop_failures, 2);
    CHECK_INT(loghead_dropped_by(f.head, SLICE("t")), 2); /* too high is sound */
    CHECK_OK(drop_at(&f, 0, 3));
    fx_check(&f, ALL, false, "");
    fx_close(&f);
}

static uint64_t streams_of(struct fixture *f)
{
    struct loghead_tenant_stats st;

    loghead_tenant_stats_get(f->head, SLICE("t"), &st);
    return st.streams;
}

TEST(loghead_forgets_streams_of_which_nothing_is_left)
{
    struct fixture f = {.opts = {.idle_ms = 60000}};
    struct log_batch *b = fx_batch();
    struct buf out = {0};
    struct arena *a = arena_new(0);
    struct loghead_names names;
    struct loghead_query q = {.tenant = SLICE("t"), .from_ns = 0, .to_ns = 100000};

    fx_open(&f);
    for (unsigned round = 0; round < 3; round++) { /* refs are used again */
        for (unsigned i = 0; i < 5000; i++) {
            char app[32];

            (void)snprintf(app, sizeof(app), "app-%u-%u", round, i);
            fx_line(b, app, i, SLICE("x"), (struct labels){0});
        }
        CHECK_OK(fx_push(&f, "t", b, true));
        b = fx_batch();
        CHECK_OK(loghead_cut(f.head, SLICE_EMPTY, NULL));
        CHECK_OK(fx_push_one(&f, "stays", 7, "open"));
        clock_fake_advance(&f.clock, 120000ll * NS_PER_MS);
        CHECK_OK(fx_push_one(&f, "active", 8, "open"));
        CHECK_OK(loghead_maintain(f.head));
        CHECK_INT(streams_of(&f), 5002); /* a frame has them */
        CHECK_OK(drop_at(&f, 0, 1));
        CHECK_OK(loghead_maintain(f.head));
        CHECK_INT(streams_of(&f), 2);
        CHECK_OK(loghead_label_values(f.head, &q, SLICE("app"), a, &names));
        CHECK_INT(names.n, 2);
        fx_check(&f, ALL, false, "active: 8=open\nstays: 7=open\n");
        fx_line(b, "app-0-1", 1, SLICE("x"), (struct labels){0});
        CHECK_OK(fx_push(&f, "t", b, false)); /* asked for with its labels again */
        CHECK_INT(f.reply.unknown.len, 1);
        b = fx_batch();
        if (round == 1)
            fx_reopen(&f);
    }
    CHECK_INT(f.head->shards[0].tables.ptr[0]->streams.len +
                      f.head->shards[1].tables.ptr[0]->streams.len <
                  5500,
              true);
    log_batch_free(b);
    buf_done(&out);
    arena_free(a);
    fx_close(&f);
}

/* As a kill between two marks leaves it: some frames are gone, the others are listed, and no line comes back by the log. */
TEST(loghead_segment_that_is_half_dropped_goes_on_to_be_dropped)
{
    for (uint64_t nth = 0; nth < 4; nth++) {
        struct fixture f = {.opts = {.shards = 1}};
        struct loghead_replay_stats st;

        fx_open(&f);
        for (int64_t i = 0; i < 4; i++) {
            CHECK_OK(fx_push_one(&f, "a", i, "x"));
            CHECK_OK(loghead_seal(f.head, SLICE_EMPTY));
        }
        CHECK_OK(loghead_cut(f.head, SLICE_EMPTY, NULL));
        {
            struct loghead_segment s = row_at(&f, 0);
            struct slice bytes;
            uint32_t number;

            CHECK_OK(loghead_segment_pin(f.head, SLICE("t"), slice_cstr(s.ulid), &s));
            for (size_t i = 0; i < nth; i++) {
                const uint8_t mark = LOGFRAME_DROPPED;
                struct logfile *file = f.head->shards[0].files.ptr[0];

                CHECK(loghead_segment_frame(&s, i, &number, &bytes));
                CHECK(pwrite(file->fd, &mark, 1,
                             (off_t)(bytes.ptr - file->map) + LOGFRAME_DROPPED_AT) == 1);
            }
            loghead_segment_unpin(f.head, &s);
        }
        fx_reopen(&f);
        loghead_replay_stats_get(f.head, &st);
        CHECK_INT(st.dropped_frames, nth);
        CHECK_INT(st.entries, 0);
        CHECK_OK(loghead_cut(f.head, SLICE_EMPTY, NULL));
        CHECK_INT(row_at(&f, 0).frames, 4 - nth);
        CHECK_OK(drop_at(&f, 0, 1));
        fx_check(&f, ALL, false, "");
        fx_reopen(&f);
        fx_check(&f, ALL, false, "");
        fx_close(&f);
        CHECK_OK(fsx_remove_tree(tmp_path("logs")));
    }
}

TEST(loghead_keeps_a_file_that_has_more_than_it_can_read)
{
    struct fixture f = {.opts = {.shards = 1}};
    const char *path = tmp_path("logs/head/0/frames-00000000");
    struct loghead_replay_stats st;
    struct buf file = {0};

    fx_open(&f);
    for (int64_t i = 0; i < 3; i++) {
        CHECK_OK(fx_push_one(&f, "a", i, "x"));
        CHECK_OK(loghead_seal(f.head, SLICE_EMPTY));
    }
    fx_close(&f);
    CHECK_OK(fsx_read(path, 1 << 20, &file));
    file.ptr[20] ^= 1; /* the first's front: where the others are is not known any more */
    CHECK_OK(fsx_write_atomic(path, buf_slice(&file)));
    CHECK_OK(fsx_remove_tree(tmp_path("logs/wal")));
    fx_open_only(&f);
    CHECK_OK(loghead_wait_ready(f.head));
    loghead_replay_stats_get(f.head, &st);
    CHECK_INT(st.torn_frames, 1);
    CHECK(fsx_exists(path));
    fx_close(&f);
    file.ptr[20] ^= 1;
    file.ptr[LOGFRAME_HEADER_BYTES + 3] ^= 1; /* its tables: the others are read */
    CHECK_OK(fsx_write_atomic(path, buf_slice(&file)));
    fx_open_only(&f);
    CHECK_OK(loghead_wait_ready(f.head));
    loghead_replay_stats_get(f.head, &st);
    CHECK_INT(st.torn_frames, 1);
    fx_check(&f, ALL, false, "a: 1=x 2=x\n");
    buf_done(&file);
    fx_close(&f);
}

/* ---- kill -9 ---- */

/* What a process that is killed has told: 'p' line: it was acknowledged; 'd' line: its segment begins to be dropped; 'D': it
 * was dropped. */
struct note {
    char what;
    uint32_t line;
};
#define LINES 4096
static char states[LINES]; /* 0, 'p', 'd', 'D' */

static void tell(int fd, char what, uint32_t line)
{
    struct note n = {what, line};

    if (write(fd, &n, sizeof(n)) != (ssize_t)sizeof(n))
        _exit(4);
}

static void tell_lines(int fd, char what, const struct buf *lines)
{
    struct slice rest = buf_slice(lines), word;
    uint64_t line;

    while (slice_split(&rest, ' ', &word))
        if (word.len) {
            CHECK(slice_to_u64(word, &line));
            tell(fd, what, (uint32_t)line);
        }
}

static void drop_one(struct fixture *f, int fd, uint64_t version)
{
    struct loghead_segment s = row_at(f, 0);
    struct buf lines = {0};

    CHECK_OK(loghead_segment_pin(f->head, SLICE("t"), slice_cstr(s.ulid), &s));
    segment_lines(&s, &lines);
    loghead_segment_unpin(f->head, &s);
    tell_lines(fd, 'd', &lines);
    CHECK_OK(loghead_segment_dropped(f->head, SLICE("t"), slice_cstr(s.ulid), version));
    tell_lines(fd, 'D', &lines);
    buf_done(&lines);
}

static void live_until_killed(int fd, uint64_t seed, uint32_t line)
{
    struct fixture f = {.opts = {.shards = 2}};
    struct rng rng;

    rng_seed(&rng, seed);
    clock_fake_init(&f.clock, (1700000000ll + (int64_t)seed * 3600) * NS_PER_S);
    fx_open_only(&f);
    CHECK_OK(loghead_wait_ready(f.head));
    for (uint64_t version = seed * 1000;; version++) {
        uint64_t what = rng_below(&rng, 10);
        char app[8], text[12];

        if (what < 6 && line < LINES) {
            (void)snprintf(app, sizeof(app), "app%u", (unsigned)rng_below(&rng, 7));
            (void)snprintf(text, sizeof(text), "%u", line);
            CHECK_OK(fx_push_one(&f, app, line, text));
            tell(fd, 'p', line++);
        } else if (what < 7) {
            CHECK_OK(loghead_seal(f.head, SLICE_EMPTY));
        } else if (what < 9) {
            CHECK_OK(loghead_cut(f.head, SLICE_EMPTY, NULL));
        } else if (count_segments(&f)) {
            drop_one(&f, fd, version);
        }
    }
}

/* Up to max notes, or all. Returns the next line that nobody has tried to write. */
static uint32_t hear(int fd, uint64_t max, uint32_t line)
{
    struct note n;

    for (; max && read(fd, &n, sizeof(n)) == (ssize_t)sizeof(n); max--) {
        CHECK(n.line < LINES);
        states[n.line] = n.what;
        line = ORR_MAX(line, n.line + 1);
    }
    return line;
}

static void check_states(uint64_t round)
{
    struct fixture f = {0};
    static bool is_there[LINES];
    struct loghead_query q = {.tenant = SLICE("t"), .from_ns = 0, .to_ns = LINES};
    struct loghead_stream st;
    struct loghead_entry en;
    struct loghead_set *set;

    memset(is_there, 0, sizeof(is_there));
    fx_open(&f);
    CHECK_OK(loghead_select(f.head, &q, &set));
    while (loghead_set_stream(set, &st))
        while (loghead_set_entry(set, &en))
            is_there[en.t_ns] = true;
    CHECK_OK(loghead_set_close(set));
    for (uint32_t i = 0; i < LINES; i++) {
        if (states[i] == 'p' && !is_there[i])
            printf("round %u: line %u is lost\n", (unsigned)round, i);
        if (states[i] == 'D' && is_there[i])
            printf("round %u: line %u is back\n", (unsigned)round, i);
        CHECK(states[i] != 'p' || is_there[i]);
        CHECK(states[i] != 'D' || !is_there[i]);
    }
    fx_close(&f);
}

TEST(loghead_segment_kill_neither_loses_a_line_nor_brings_one_back)
{
    struct rng rng;
    uint32_t line = 0;
    unsigned dropped = 0, pushed = 0;

    rng_seed(&rng, 11);
    (void)tmp_path("logs"); /* the directory is made at the first call: not in a child */
    for (uint64_t round = 1; round <= 24; round++) {
        int fds[2], status;
        pid_t pid;

        CHECK(pipe(fds) == 0);
        (void)fflush(NULL);
        CHECK((pid = fork()) >= 0);
        if (!pid) {
            (void)close(fds[0]);
            live_until_killed(fds[1], round, line);
        }
        (void)close(fds[1]);
        line = hear(fds[0], 1 + rng_below(&rng, 60), line);
        (void)usleep((useconds_t)rng_below(&rng, 3000));
        CHECK(kill(pid, SIGKILL) == 0);
        /* the one after the last may be on disk without having been told of */
        line = hear(fds[0], UINT64_MAX, line) + 1;
        (void)close(fds[0]);
        CHECK(waitpid(pid, &status, 0) == pid);
        CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        check_states(round);
    }
    for (uint32_t i = 0; i < LINES; i++) {
        dropped += states[i] == 'D';
        pushed += states[i] != 0;
    }
    printf("24 kills: %u lines acknowledged, %u of them dropped\n", pushed, dropped);
    CHECK(pushed > 50 && dropped > 10);
}

/* ---- all at once ---- */

#define BUSY_LINES 1500
struct busy {
    struct fixture f;
    _Atomic uint32_t pushed; /* lines below it are acknowledged */
    /* By line: the version by which it was dropped, before it begins and when it is over; 0: not yet. */
    _Atomic uint64_t drops[BUSY_LINES], dropped[BUSY_LINES];
    atomic_bool is_over;
};

static void *push_lines(void *arg)
{
    struct busy *b = arg;

    for (uint32_t i = 0; i < BUSY_LINES; i++) {
        char app[8], text[12];

        (void)snprintf(app, sizeof(app), "app%u", i % 9);
        (void)snprintf(text, sizeof(text), "%u", i);
        CHECK_OK(fx_push_one(&b->f, app, i, text));
        atomic_store(&b->pushed, i + 1);
    }
    atomic_store(&b->is_over, true);
    return NULL;
}

static void note_lines(_Atomic uint64_t *at, const struct buf *lines, uint64_t version)
{
    struct slice rest = buf_slice(lines), word;
    uint64_t line;

    while (slice_split(&rest, ' ', &word))
        if (word.len && slice_to_u64(word, &line))
            atomic_store(&at[line], version);
}

static void *cut_and_drop(void *arg)
{
    struct busy *b = arg;

    for (uint64_t version = 1; !atomic_load(&b->is_over); version++) {
        struct buf lines = {0};
        struct loghead_segment s;

        CHECK_OK(loghead_cut(b->f.head, SLICE_EMPTY, NULL));
        if (count_segments(&b->f) < 3)
            continue;
        s = row_at(&b->f, 0);
        CHECK_OK(loghead_segment_pin(b->f.head, SLICE("t"), slice_cstr(s.ulid), &s));
        segment_lines(&s, &lines);
        note_lines(b->drops, &lines, version);
        CHECK_OK(loghead_segment_dropped(b->f.head, SLICE("t"), slice_cstr(s.ulid), version));
        note_lines(b->dropped, &lines, version);
        loghead_segment_unpin(b->f.head, &s);
        buf_done(&lines);
    }
    return NULL;
}

static void read_once(struct busy *b, uint64_t *io_missing)
{
    static bool was_dropped[BUSY_LINES], is_there[BUSY_LINES];
    struct loghead_query q = {.tenant = SLICE("t"), .from_ns = 0, .to_ns = BUSY_LINES};
    uint32_t pushed = atomic_load(&b->pushed);
    struct loghead_stream st;
    struct loghead_entry en;
    struct loghead_set *set;
    uint64_t mark;

    memset(is_there, 0, sizeof(is_there));
    for (uint32_t i = 0; i < pushed; i++)
        was_dropped[i] = atomic_load(&b->dropped[i]) != 0;
    CHECK_OK(loghead_select(b->f.head, &q, &set));
    mark = loghead_dropped_by(b->f.head, SLICE("t"));
    while (loghead_set_stream(set, &st))
        while (loghead_set_entry(set, &en))
            is_there[en.t_ns] = true;
    CHECK_OK(loghead_set_close(set));
    for (uint32_t i = 0; i < pushed; i++) {
        CHECK(!was_dropped[i] || !is_there[i]);
        if (is_there[i])
            continue;
        ++*io_missing;
        CHECK(atomic_load(&b->drops[i]) != 0);
        CHECK(atomic_load(&b->drops[i]) <= mark); /* the reader is told where to look */
    }
}

TEST(loghead_segment_goes_while_pushes_and_reads_go_on)
{
    struct busy *b = mem_new(struct busy);
    pthread_t pusher, cutter;
    uint64_t missing = 0;
    unsigned reads = 0;

    b->f.opts.seal_bytes = 4096;
    fx_open(&b->f);
    CHECK(pthread_create(&pusher, NULL, push_lines, b) == 0);
    CHECK(pthread_create(&cutter, NULL, cut_and_drop, b) == 0);
    for (; !atomic_load(&b->is_over); reads++)
        read_once(b, &missing);
    CHECK(pthread_join(pusher, NULL) == 0);
    CHECK(pthread_join(cutter, NULL) == 0);
    read_once(b, &missing);
    printf("%u reads, in which lines were missing %llu times\n", reads,
           (unsigned long long)missing);
    fx_close(&b->f);
    mem_free(b);
}

/* ---- against a model ---- */

TEST(loghead_segment_drops_as_a_model_does_over_restarts)
{
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct fixture f = {0};
        struct buf want = {0};
        struct rng rng;
        bool is_there[400] = {0};
        uint32_t next = 0;

        rng_seed(&rng, seed);
        fx_open(&f);
        for (unsigned step = 0; step < 250 && next < 400; step++) {
            uint64_t what = rng_below(&rng, 20);
            char text[12];

            if (what < 10) {
                (void)snprintf(text, sizeof(text), "%u", next);
                CHECK_OK(fx_push_one(&f, "a", next, text));
                is_there[next++] = true;
            } else if (what < 12) {
                CHECK_OK(loghead_seal(f.head, SLICE_EMPTY));
            } else if (what < 14) {
                CHECK_OK(loghead_cut(f.head, SLICE_EMPTY, NULL));
            } else if (what < 15) {
                clock_fake_advance(&f.clock, LOGHEAD_WINDOW_MS / 2 * NS_PER_MS);
                CHECK_OK(loghead_maintain(f.head));
                (void)loghead_cut_due(f.head);
            } else if (what < 17 && count_segments(&f)) {
                struct loghead_segment s = row_at(&f, (size_t)rng_below(&rng, count_segments(&f)));
                struct buf lines = {0};
                struct slice rest, word;
                uint64_t line;

                CHECK_OK(loghead_segment_pin(f.head, SLICE("t"), slice_cstr(s.ulid), &s));
                segment_lines(&s, &lines);
                loghead_segment_unpin(f.head, &s);
                CHECK_OK(loghead_segment_dropped(f.head, SLICE("t"), slice_cstr(s.ulid), step + 1));
                rest = buf_slice(&lines);
                while (slice_split(&rest, ' ', &word))
                    if (word.len && slice_to_u64(word, &line))
                        is_there[line] = false;
                buf_done(&lines);
            } else if (what == 19) {
                fx_close(&f);
                fx_open_only(&f);
                CHECK_OK(loghead_wait_ready(f.head));
            }
            buf_reset(&want);
            for (uint32_t i = 0; i < next; i++)
                if (is_there[i])
                    buf_printf(&want, "%s %u=%u", want.len ? "" : "a:", i, i);
            if (want.len)
                buf_byte(&want, '\n');
            fx_check(&f, ALL, false, buf_cstr(&want));
        }
        buf_done(&want);
        fx_close(&f);
        CHECK_OK(fsx_remove_tree(tmp_path("logs")));
    }
}
