#include "common/wal/walio.h"

#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <unistd.h>

#include "common/base/fault.h"
#include "common/base/fsx.h"
#include "common/base/mem.h"

struct waldisk {
    struct walio io;
    struct io_uring ring;
};

/* ---- writing and syncing ---- */

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
static int reap(struct waldisk *io, unsigned n, int results[2])
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

static int uring_write(struct waldisk *io, int fd, uint64_t offset, struct slice s, bool sync)
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

static int disk_write(struct walio *base, int fd, uint64_t offset, struct slice s, bool sync)
{
    struct waldisk *io = ORR_CONTAINER(base, struct waldisk, io);
    int errnum;

    if (fault_hit("wal.write", &errnum))
        return errnum;
    if (sync && fault_hit("wal.sync", &errnum))
        return errnum;
    if (base->is_uring && s.len <= UINT32_MAX / 2)
        return uring_write(io, fd, offset, s, sync);
    errnum = plain_write(fd, offset, s);
    return errnum || !sync ? errnum : plain_sync(fd);
}

/* ---- files ---- */

static struct err *disk_mkdirs(struct walio *io, const char *path)
{
    (void)io;
    return fsx_mkdirs(path);
}

static struct err *disk_list(struct walio *io, const char *dir, char ***ret_names, size_t *ret_n)
{
    (void)io;
    return fsx_list(dir, ret_names, ret_n);
}

static struct err *disk_create(struct walio *io, const char *path, int64_t bytes, int *ret_fd)
{
    int errnum = 0, fd;

    (void)io;
    (void)unlink(path);
    fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0640);
    if (fd < 0)
        return err_errno(ERR_IO, "create %s", path);
    if (fault_hit("wal.create", &errnum) || (errnum = posix_fallocate(fd, 0, (off_t)bytes))) {
        (void)close(fd);
        (void)unlink(path);
        return err_errnum(ERR_IO, errnum, "create %s", path);
    }
    *ret_fd = fd;
    return NULL;
}

static int disk_close(struct walio *io, int fd, uint64_t size)
{
    int errnum = size != WALIO_KEEP_SIZE && ftruncate(fd, (off_t)size) ? errno : 0;

    (void)io;
    (void)close(fd);
    return errnum;
}

static struct err *disk_sync_dir(struct walio *io, const char *dir)
{
    (void)io;
    return fsx_sync_dir(dir);
}

static struct err *disk_truncate(struct walio *io, const char *path, uint64_t size)
{
    (void)io;
    return truncate(path, (off_t)size) ? err_errno(ERR_IO, "truncate %s", path) : NULL;
}

static struct err *disk_remove(struct walio *io, const char *path)
{
    (void)io;
    return unlink(path) && errno != ENOENT ? err_errno(ERR_IO, "remove %s", path) : NULL;
}

static struct err *disk_map(struct walio *io, const char *path, struct slice *ret)
{
    (void)io;
    return fsx_map(path, ret);
}

static void disk_unmap(struct walio *io, struct slice s)
{
    (void)io;
    fsx_unmap(s);
}

static struct err *disk_put(struct walio *io, const char *path, struct slice s)
{
    (void)io;
    return fsx_write_atomic(path, s);
}

static void disk_free(struct walio *base)
{
    struct waldisk *io = ORR_CONTAINER(base, struct waldisk, io);

    if (base->is_uring)
        io_uring_queue_exit(&io->ring);
    mem_free(io);
}

static const struct walio_ops disk_ops = {
    disk_mkdirs,   disk_list,   disk_create, disk_write, disk_close, disk_sync_dir,
    disk_truncate, disk_remove, disk_map,    disk_unmap, disk_put,   disk_free,
};

struct walio *walio_disk(bool without_io_uring)
{
    struct waldisk *io = mem_new(struct waldisk);

    io->io.ops = &disk_ops;
    io->io.is_uring = !without_io_uring && io_uring_queue_init(8, &io->ring, 0) == 0;
    return &io->io;
}
