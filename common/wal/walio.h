/*
 * The disk below the log, as an interface: wal.c and wal_replay.c reach files through it alone, so
 * that the simulator runs them, unchanged, on a disk that loses, tears and fails (tests/sim).
 *
 * walio_disk() is the real one. A group reaches it by one write linked to one fdatasync through
 * io_uring, or by pwrite and fdatasync where the kernel or the container's seccomp profile forbids
 * io_uring. Buffers are not registered with the ring: a group's buffer grows with the load, and
 * pinning the largest it may become would cost every idle process that memory. One kernel copy into
 * the page cache dominates either way.
 *
 * create, write and close belong to the wal thread (and to wal_open() before it runs); the others
 * may be called by any one thread at a time.
 */
#pragma once
#include "common/base/err.h"
#include "common/base/slice.h"

struct walio;

#define WALIO_KEEP_SIZE UINT64_MAX

struct walio_ops {
    struct err *(*mkdirs)(struct walio *io, const char *path);
    /* As fsx_list(); an absent directory has no names. Free with fsx_names_free(). */
    struct err *(*list)(struct walio *io, const char *dir, char ***ret_names, size_t *ret_n);
    /* A new file of so many zeros, all allocated, in place of one of that name. Neither it nor its
     * name is durable yet. */
    struct err *(*create)(struct walio *io, const char *path, int64_t bytes, int *ret_fd);
    /* Writes all of s at offset and, if sync, returns once it is durable. 0 or an errno. */
    int (*write)(struct walio *io, int fd, uint64_t offset, struct slice s, bool sync);
    /* Closes, and cuts the file to size bytes before (WALIO_KEEP_SIZE: not). 0 or an errno of the
     * cut, which is not durable. */
    int (*close)(struct walio *io, int fd, uint64_t size);
    struct err *(*sync_dir)(struct walio *io, const char *dir);
    struct err *(*truncate)(struct walio *io, const char *path, uint64_t size);
    struct err *(*remove)(struct walio *io, const char *path); /* absent is success */
    struct err *(*map)(struct walio *io, const char *path, struct slice *ret); /* as fsx_map() */
    void (*unmap)(struct walio *io, struct slice s);
    /* A whole file, durable and in one piece: as fsx_write_atomic(). */
    struct err *(*put)(struct walio *io, const char *path, struct slice s);
    void (*free)(struct walio *io);
};

struct walio { /* embedded in what implements it */
    const struct walio_ops *ops;
    bool is_uring;
};

/* The real disk. Never fails: falls back. Pair with io->ops->free(). */
struct walio *walio_disk(bool without_io_uring);
