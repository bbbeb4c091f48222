#include "common/wal/walio.h"

#include <errno.h>
#include <liburing.h>
#include <unistd.h>

#include "common/base/fault.h"
#include "common/base/mem.h"

struct walio {
    struct io_uring ring;
    bool is_uring;
};

struct walio *walio_new(bool without_io_uring)
{
    struct walio *io = mem_new(struct walio);

    io->is_uring = !without_io_uring && io_uring_queue_init(8, &io->ring, 0) == 0;
    return io;
}

void walio_free(struct walio *io)
{
    if (io && io->is_uring)
        io_uring_queue_exit(&io->ring);
    mem_free(io);
}

bool walio_is_uring(const struct walio *io)
{
    return io->is_uring;
}

static int plain_write(int fd, uint64_t offset, struct slice s)
{
    while (s.len) {
        ssize_t n = pwrite(fd, s.ptr, s.len, (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno;
        s = slice_from(s, (size_t)n);
        offset += (uint64_t)n;
    }
    return 0;
}

static int plain_sync(int fd)
{
    return fdatasync(fd) ? errno : 0;
}

/* Waits for n completions; results by user data. */
static int reap(struct walio *io, unsigned n, int results[2])
{
    while (n--) {
        struct io_uring_cqe *cqe;
        int r;

        do
            r = io_uring_wait_cqe(&io->ring, &cqe);
        while (r == -EINTR);
        if (r < 0)
            return -r;
        results[io_uring_cqe_get_data64(cqe)] = cqe->res;
        io_uring_cqe_seen(&io->ring, cqe);
    }
    return 0;
}

static int uring_write(struct walio *io, int fd, uint64_t offset, struct slice s, bool sync)
{
    int results[2] = {0, 0};
    struct io_uring_sqe *sqe = io_uring_get_sqe(&io->ring);
    int errnum;

    io_uring_prep_write(sqe, fd, s.ptr, (unsigned)s.len, offset);
    io_uring_sqe_set_data64(sqe, 0);
    if (sync) {
        sqe->flags |= IOSQE_IO_LINK;
        sqe = io_uring_get_sqe(&io->ring);
        io_uring_prep_fsync(sqe, fd, IORING_FSYNC_DATASYNC);
        io_uring_sqe_set_data64(sqe, 1);
    }
    errnum = io_uring_submit(&io->ring);
    if (errnum < 0)
        return -errnum;
    if ((errnum = reap(io, sync ? 2 : 1, results)))
        return errnum;
    if (results[0] < 0)
        return -results[0];
    if ((size_t)results[0] < s.len) {
        /* A short write breaks the link (the sync was cancelled): do the rest the plain way. */
        errnum = plain_write(fd, offset + (uint64_t)results[0], slice_from(s, (size_t)results[0]));
        return errnum || !sync ? errnum : plain_sync(fd);
    }
    return results[1] < 0 ? -results[1] : 0;
}

int walio_write(struct walio *io, int fd, uint64_t offset, struct slice s, bool sync)
{
    int errnum;

    if (fault_hit("wal.write", &errnum))
        return errnum;
    if (sync && fault_hit("wal.sync", &errnum))
        return errnum;
    if (io->is_uring && s.len <= UINT32_MAX / 2)
        return uring_write(io, fd, offset, s, sync);
    errnum = plain_write(fd, offset, s);
    return errnum || !sync ? errnum : plain_sync(fd);
}
