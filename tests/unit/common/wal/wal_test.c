#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fsx.h"
#include "common/wal/wal.h"
#include "common/wal/walseg.h"
#include "tests/unit/test.h"

/* Counts acknowledgements; the wal thread writes, the test reads after wal_close(). */
struct acks {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    size_t ok, failed;
};

#define ACKS_INIT                                                                                  \
    {                                                                                              \
        PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0                                  \
    }

static void on_done(void *arg, struct err *e)
{
    struct acks *a = arg;

    pthread_mutex_lock(&a->mutex);
    a->ok += e == NULL;
    a->failed += e != NULL;
    pthread_cond_broadcast(&a->cond);
    pthread_mutex_unlock(&a->mutex);
    err_free(e);
}

static void wait_acks(struct acks *a, size_t n)
{
    pthread_mutex_lock(&a->mutex);
    while (a->ok + a->failed < n)
        pthread_cond_wait(&a->cond, &a->mutex);
    pthread_mutex_unlock(&a->mutex);
}

static struct wal *open_wal(const char *dir, bool without_uring)
{
    struct wal *w;

    CHECK_OK(wal_open(&(struct wal_opts){.dir = dir,
                                         .segment_bytes = 64 << 10,
                                         .without_io_uring = without_uring},
                      &w));
    return w;
}

static uint64_t append_number(struct wal *w, struct acks *a, uint64_t number, size_t padding)
{
    struct buf payload = {0};
    uint64_t seq = 0;

    buf_u64le(&payload, number);
    buf_fill(&payload, 'x', padding);
    CHECK_OK(wal_append(w, 7, SLICE("tenant"), buf_slice(&payload), on_done, a, &seq));
    buf_done(&payload);
    return seq;
}

struct seen {
    uint64_t count, first, last_seq;
    bool in_order;
};

static struct err *see(void *arg, const struct wal_record *rec)
{
    struct seen *s = arg;
    uint64_t number;

    CHECK(rec->type == 7 && slice_eq_cstr(rec->tenant, "tenant"));
    memcpy(&number, rec->payload.ptr, sizeof(number));
    CHECK(number == rec->seq); /* the tests number payloads as the log numbers records */
    if (s->count == 0)
        s->first = rec->seq;
    s->in_order = s->count == 0 || (s->in_order && rec->seq > s->last_seq);
    s->last_seq = rec->seq;
    s->count++;
    return NULL;
}

static struct wal_replay_stats replay(struct wal *w, uint64_t from, struct seen *ret)
{
    struct wal_replay_stats stats;

    *ret = (struct seen){0};
    CHECK_OK(wal_replay(w, from, see, ret, &stats));
    return stats;
}

static void write_numbers(const char *dir, uint64_t from, size_t n, size_t padding, bool plain)
{
    struct acks acks = ACKS_INIT;
    struct wal *w = open_wal(dir, plain);

    for (uint64_t i = from; i < from + n; i++) {
        CHECK_INT(append_number(w, &acks, i, padding), i);
        if (i % 10 == 0)
            wait_acks(&acks, i - from + 1); /* several groups */
    }
    CHECK_OK(wal_close(w));
    CHECK_INT(acks.ok, n);
}

static void round_trip(const char *dir, bool plain)
{
    struct wal_replay_stats stats;
    struct seen seen;
    struct wal *w;

    write_numbers(dir, 1, 500, 700, plain); /* five segments and more */
    w = open_wal(dir, plain);
    CHECK_INT(wal_next_seq(w), 501);
    stats = replay(w, 1, &seen);
    CHECK(seen.count == 500 && seen.in_order && seen.first == 1);
    CHECK(stats.segments > 4 && stats.torn_bytes == 0 && stats.quarantined == 0);
    CHECK_OK(wal_truncate_before(w, 300));
    CHECK(wal_first_seq(w) > 1 && wal_first_seq(w) <= 300);
    CHECK_OK(wal_close(w));
    w = open_wal(dir, plain);
    (void)replay(w, 300, &seen);
    CHECK(seen.count == 201 && seen.first == 300);
    CHECK_OK(wal_close(w));
}

TEST(wal_reads_back_what_it_acknowledged_with_io_uring)
{
    round_trip(tmp_path("u"), false);
}

TEST(wal_reads_back_what_it_acknowledged_on_the_fallback)
{
    round_trip(tmp_path("t"), true);
    CHECK(fsx_exists(tmp_path("t/wal")));
}

TEST(wal_appends_to_a_fresh_segment_while_the_old_ones_are_replayed)
{
    const char *dir = tmp_path("w");
    struct acks acks = ACKS_INIT;
    struct seen seen;
    struct wal *w;

    write_numbers(dir, 1, 50, 10, false);
    w = open_wal(dir, false);
    CHECK_INT(append_number(w, &acks, 51, 10), 51);
    wait_acks(&acks, 1);
    (void)replay(w, 1, &seen);
    CHECK_INT(seen.count, 50); /* not the one appended after the open */
    CHECK_OK(wal_close(w));
    w = open_wal(dir, false);
    (void)replay(w, 1, &seen);
    CHECK_INT(seen.count, 51);
    CHECK_OK(wal_close(w));
}

static char *last_segment(const char *dir)
{
    char *wal_dir = mem_printf("%s/wal", dir);
    char **names, *path = NULL;
    size_t n;

    CHECK_OK(fsx_list(wal_dir, &names, &n));
    for (size_t i = 0; i < n; i++)
        if (strstr(names[i], ".wal")) {
            mem_free(path);
            path = mem_printf("%s/%s", wal_dir, names[i]);
        }
    fsx_names_free(names, n);
    mem_free(wal_dir);
    return path;
}

TEST(wal_cuts_a_torn_tail_wherever_the_tear_is)
{
    for (size_t cut = 1; cut < 400; cut += 13) {
        char *dir = mem_printf("%s/%zu", tmp_path(""), cut);
        struct wal_replay_stats stats;
        struct seen seen;
        struct stat st;
        struct wal *w;
        char *path;

        write_numbers(dir, 1, 20, 30, false);
        path = last_segment(dir);
        CHECK(stat(path, &st) == 0 && truncate(path, st.st_size - (off_t)cut) == 0);
        w = open_wal(dir, false);
        stats = replay(w, 1, &seen);
        CHECK(seen.in_order && seen.count < 21 && seen.count >= 20 - cut / 20 - 1);
        CHECK_INT(stats.quarantined, 0);
        CHECK(wal_next_seq(w) > seen.last_seq);
        CHECK_OK(wal_close(w));
        w = open_wal(dir, false); /* the cut tail is no damage the next time either */
        CHECK_INT(replay(w, 1, &seen).quarantined, 0);
        CHECK_OK(wal_close(w));
        mem_free(path);
        mem_free(dir);
    }
}

/* Of the first group not even the header is whole: the new segment must not take the file's name, or
 * truncating the log removes what is being written. */
TEST(wal_keeps_what_follows_a_file_cut_to_its_header)
{
    const char *dir = tmp_path("w");
    struct acks acks = ACKS_INIT;
    struct wal_replay_stats stats;
    struct seen seen;
    struct wal *w;
    uint64_t seq;
    char *path;

    write_numbers(dir, 1, 1, 10, false);
    path = last_segment(dir);
    CHECK(truncate(path, WALSEG_HEADER_BYTES + 10) == 0);
    w = open_wal(dir, false);
    CHECK(replay(w, 1, &seen).torn_bytes > 0 && seen.count == 0);
    seq = append_number(w, &acks, wal_next_seq(w), 10);
    wait_acks(&acks, 1);
    CHECK_OK(wal_truncate_before(w, seq));
    CHECK_OK(wal_close(w));
    w = open_wal(dir, false);
    stats = replay(w, 1, &seen);
    CHECK(seen.count == 1 && seen.first == seq && stats.quarantined == 0);
    CHECK_OK(wal_close(w));
    mem_free(path);
}

TEST(wal_puts_flipped_bits_aside_and_reads_the_rest)
{
    for (size_t at = 0; at < 1900; at += 37) {
        char *dir = mem_printf("%s/%zu", tmp_path(""), at);
        struct wal_replay_stats stats;
        struct seen seen;
        struct wal *w;
        uint8_t byte;
        char *path;
        int fd;

        write_numbers(dir, 1, 60, 30, false);
        path = last_segment(dir);
        fd = open(path, O_RDWR | O_CLOEXEC);
        CHECK(fd >= 0 && pread(fd, &byte, 1, (off_t)at) == 1);
        byte ^= 0x10;
        CHECK(pwrite(fd, &byte, 1, (off_t)at) == 1);
        close(fd);
        w = open_wal(dir, false);
        stats = replay(w, 1, &seen);
        if (at < 28) {
            CHECK(seen.count == 0 && stats.quarantined == 1); /* the file's own header */
        } else if (at >= 32) {
            /* never more than one group of eleven; padding may hide the flip */
            CHECK(seen.in_order && seen.count >= 49 && seen.count <= 60);
            CHECK(seen.count == 60 || stats.quarantined == 1);
            CHECK(seen.count == 60 || stats.skipped_to_seq > 0);
        }
        CHECK(wal_next_seq(w) > 60);
        CHECK_OK(wal_close(w));
        mem_free(path);
        mem_free(dir);
    }
}

TEST(wal_never_acknowledges_what_it_could_not_sync_and_recovers)
{
    const char *dir = tmp_path("w");
    struct acks good = ACKS_INIT, bad = ACKS_INIT;
    struct wal *w = open_wal(dir, false);
    struct seen seen;
    struct err *e;

    (void)append_number(w, &good, 1, 10);
    wait_acks(&good, 1);
    fault_arm_point("wal.sync", ENOSPC);
    fault_arm_point("wal.create", ENOSPC);
    (void)append_number(w, &bad, 2, 10);
    wait_acks(&bad, 1);
    CHECK_INT(bad.failed, 1);
    while (wal_is_healthy(w))
        usleep(1000); /* told just after the acknowledgements */
    e = wal_append(w, 7, SLICE("tenant"), SLICE("12345678"), on_done, &bad, NULL);
    CHECK_ERR(e, ERR_IO, "cannot be written");
    fault_disarm();
    while (!wal_is_healthy(w))
        usleep(10000);
    (void)append_number(w, &good, wal_next_seq(w), 10);
    wait_acks(&good, 2);
    CHECK_OK(wal_close(w));
    w = open_wal(dir, false);
    (void)replay(w, 1, &seen);
    CHECK(seen.count >= 2 && seen.in_order && seen.first == 1);
    CHECK_OK(wal_close(w));
}

TEST(wal_opens_on_a_full_disk_reads_and_recovers)
{
    const char *dir = tmp_path("w");
    struct acks acks = ACKS_INIT;
    struct wal *w = open_wal(dir, false);
    struct seen seen;

    (void)append_number(w, &acks, 1, 10);
    wait_acks(&acks, 1);
    CHECK_OK(wal_close(w));
    fault_arm_point("wal.create", ENOSPC);
    w = open_wal(dir, false);
    CHECK(!wal_is_healthy(w));
    CHECK_ERR(wal_append(w, 7, SLICE("tenant"), SLICE("12345678"), on_done, &acks, NULL), ERR_IO,
              "cannot be written");
    (void)replay(w, 1, &seen);
    CHECK(seen.count == 1 && seen.first == 1);
    fault_disarm();
    while (!wal_is_healthy(w))
        usleep(10000);
    (void)append_number(w, &acks, 2, 10);
    wait_acks(&acks, 2);
    CHECK_OK(wal_close(w));
}

TEST(wal_refuses_more_than_its_buffer)
{
    struct acks acks = ACKS_INIT;
    struct buf big = {0};
    struct err *e = NULL;
    struct wal *w;
    size_t n = 0;

    CHECK_OK(wal_open(&(struct wal_opts){.dir = tmp_path("w"), .max_group_bytes = 1 << 20}, &w));
    buf_fill(&big, 0, 1 << 19);
    while (!e && n < 10000) {
        e = wal_append(w, 7, SLICE("t"), buf_slice(&big), on_done, &acks, NULL);
        n += e == NULL;
    }
    CHECK_ERR(e, ERR_UNAVAILABLE, "behind");
    CHECK_OK(wal_close(w));
    CHECK_INT(acks.ok, n);
    buf_done(&big);
}

struct appender {
    struct wal *w;
    struct acks *acks;
    size_t n;
};

static void *append_many(void *arg)
{
    struct appender *a = arg;

    for (size_t i = 0; i < a->n; i++)
        CHECK_OK(wal_append(a->w, 1, SLICE("t"), SLICE("payload"), on_done, a->acks, NULL));
    return NULL;
}

TEST(wal_serves_many_threads)
{
    struct acks acks = ACKS_INIT;
    struct appender a = {open_wal(tmp_path("w"), false), &acks, 500};
    pthread_t threads[4];

    for (size_t i = 0; i < ORR_COUNT(threads); i++)
        CHECK(pthread_create(&threads[i], NULL, append_many, &a) == 0);
    for (size_t i = 0; i < ORR_COUNT(threads); i++)
        (void)pthread_join(threads[i], NULL);
    wait_acks(&acks, 2000);
    wal_barrier(a.w, on_done, &acks);
    wait_acks(&acks, 2001);
    CHECK_OK(wal_close(a.w));
    CHECK_INT(acks.ok, 2001);
}
