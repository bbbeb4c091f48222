/*
 * The real disk below the log: a group's callback comes after the sync of its bytes was asked for and
 * is through, on both back ends. The system's calls are traced by functions of the same names here.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/wal/wal.h"
#include "common/wal/walio.h"
#include "tests/unit/test.h"

/* Bytes of one descriptor, which the test's only log writes in order. */
static struct {
    uint64_t written, synced; /* highest end of a write; the same when a sync of it was through */
    _Atomic int failing;      /* syncs that shall fail with EIO */
    unsigned syncs;
    /* io_uring */
    struct io_uring *ring;
    uint64_t submitted;  /* entries */
    uint64_t sync_entry; /* number of the newest sync among them, from 1 */
    uint64_t sync_covers;
    bool is_link_missing;
} trace;

static void trace_reset(void)
{
    memset(&trace, 0, sizeof(trace));
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t offset);
ssize_t pwrite(int fd, const void *p, size_t n, off_t offset)
{
    ssize_t done = syscall(SYS_pwrite64, fd, p, n, offset);

    if (done > 0 && (uint64_t)offset + (uint64_t)done > trace.written)
        trace.written = (uint64_t)offset + (uint64_t)done;
    return done;
}

int fdatasync(int fd)
{
    uint64_t covers = trace.written;

    trace.syncs++;
    if (trace.failing) {
        trace.failing--;
        errno = EIO;
        return -1;
    }
    if (syscall(SYS_fdatasync, fd))
        return -1;
    trace.synced = covers;
    return 0;
}

static void trace_entry(struct io_uring_sqe *e, const struct io_uring_sqe *before)
{
    trace.submitted++;
    if (e->opcode == IORING_OP_WRITE && e->off + e->len > trace.written)
        trace.written = e->off + e->len;
    if (e->opcode != IORING_OP_FSYNC)
        return;
    trace.syncs++;
    trace.is_link_missing |= !before || !(before->flags & IOSQE_IO_LINK) || before->fd != e->fd ||
                             !(e->fsync_flags & IORING_FSYNC_DATASYNC);
    if (trace.failing) {
        trace.failing--;
        e->fd = -1; /* EBADF */
        return;
    }
    trace.sync_entry = trace.submitted;
    trace.sync_covers = trace.written;
}

int io_uring_submit(struct io_uring *ring)
{
    int (*real)(struct io_uring *) = (int (*)(struct io_uring *))dlsym(RTLD_NEXT, __func__);
    struct io_uring_sq *sq = &ring->sq;
    struct io_uring_sqe *before = NULL;

    trace.ring = ring;
    for (unsigned i = sq->sqe_head; i != sq->sqe_tail; i++) {
        struct io_uring_sqe *e = &sq->sqes[i & *sq->kring_mask];

        trace_entry(e, before);
        before = e;
    }
    return real(ring);
}

/* On the wal thread: is all that was written durable? */
static bool is_all_synced(void)
{
    if (trace.ring && trace.sync_entry && *trace.ring->cq.khead >= trace.sync_entry)
        trace.synced = ORR_MAX(trace.synced, trace.sync_covers); /* its completion was taken */
    return trace.written && trace.synced >= trace.written;
}

struct acks {
    pthread_mutex_t mutex;
    pthread_cond_t cond;
    unsigned ok, failed, early;
};

#define ACKS_INIT                                                                                  \
    {                                                                                              \
        PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0, 0                               \
    }

static void on_done(void *arg, struct err *e)
{
    struct acks *a = arg;

    pthread_mutex_lock(&a->mutex);
    a->early += !e && !is_all_synced();
    a->ok += !e;
    a->failed += e != NULL;
    pthread_cond_signal(&a->cond);
    pthread_mutex_unlock(&a->mutex);
    err_free(e);
}

static void wait_acks(struct acks *a, unsigned n)
{
    pthread_mutex_lock(&a->mutex);
    while (a->ok + a->failed < n)
        pthread_cond_wait(&a->cond, &a->mutex);
    pthread_mutex_unlock(&a->mutex);
}

static void append(struct wal *w, struct acks *a, size_t bytes)
{
    struct buf payload = {0};

    buf_fill(&payload, 'x', bytes);
    CHECK_OK(wal_append(w, 1, SLICE("t"), buf_slice(&payload), on_done, a, NULL));
    buf_done(&payload);
}

/* False: this kernel or container has no io_uring. */
static bool open_traced(bool without_uring, struct wal **ret)
{
    trace_reset();
    CHECK_OK(wal_open(&(struct wal_opts){.dir = tmp_path("w"),
                                         .segment_bytes = 16 << 20,
                                         .without_io_uring = without_uring},
                      ret));
    if (without_uring == (strcmp(wal_backend(*ret), "thread") == 0))
        return true;
    CHECK_OK(wal_close(*ret));
    print_message("io_uring is not allowed here: not tested\n");
    return false;
}

static void acknowledge_after_sync(bool without_uring)
{
    struct acks acks = ACKS_INIT;
    struct wal *w;
    unsigned syncs;

    if (!open_traced(without_uring, &w))
        return;
    syncs = trace.syncs; /* of the segment's header; the log's thread sleeps */
    CHECK(syncs > 0);
    for (unsigned i = 1; i <= 40; i++) {
        append(w, &acks, i * 5000);
        wait_acks(&acks, i);
    }
    CHECK_OK(wal_close(w));
    CHECK_INT(acks.ok, 40);
    CHECK_INT(acks.early, 0);
    CHECK(trace.syncs >= syncs + 40 && !trace.is_link_missing);
    CHECK(trace.written > 40 * 5000);
}

TEST(walio_acknowledges_after_fdatasync_on_the_thread)
{
    acknowledge_after_sync(true);
}

TEST(walio_acknowledges_after_the_linked_fsync_with_io_uring)
{
    acknowledge_after_sync(false);
}

static void fail_with_the_sync(bool without_uring)
{
    struct acks acks = ACKS_INIT;
    struct wal *w;

    if (!open_traced(without_uring, &w))
        return;
    append(w, &acks, 100);
    wait_acks(&acks, 1);
    CHECK_INT(acks.ok, 1);
    trace.failing = 1;
    append(w, &acks, 100);
    wait_acks(&acks, 2);
    CHECK(acks.ok == 1 && acks.failed == 1 && acks.early == 0);
    while (wal_is_healthy(w))
        usleep(1000); /* told just after the acknowledgements */
    while (!wal_is_healthy(w))
        usleep(10000);
    CHECK_OK(wal_close(w));
}

TEST(walio_fails_the_group_when_fdatasync_fails_on_the_thread)
{
    fail_with_the_sync(true);
}

TEST(walio_fails_the_group_when_the_fsync_fails_with_io_uring)
{
    fail_with_the_sync(false);
}
