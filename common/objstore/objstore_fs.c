#include "common/objstore/objstore_fs.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fault.h"
#include "common/base/fsx.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/base/rng.h"
#include "common/objstore/objstore_fs_internal.h"

#define FS_HASHED_BYTES (1u << 20) /* up to here the etag is a hash of the content */
#define FS_COPY_BYTES (1u << 20)
#define FS_ETAG_SEED 0x65746167ull

static struct objstore_fs *fs_from(struct objstore *s)
{
    return (struct objstore_fs *)s;
}

static char *path_of(const struct objstore_fs *fs, struct slice key)
{
    return mem_printf("%s/%.*s", fs->root, SLICE_ARG(key));
}

static struct err *fault(const char *point, const char *path)
{
    int errnum;

    if (fault_hit(point, &errnum))
        return err_errnum(ERR_IO, errnum, "%s", path);
    return NULL;
}

/* ---- reading ---- */

static struct err *read_at(int fd, uint64_t off, size_t len, struct buf *out)
{
    uint8_t *p = buf_reserve(out, len);

    if (!p && len)
        return err_new(ERR_TOO_LARGE, "%zu bytes are over the buffer's bound", len);
    while (len) {
        ssize_t n = pread(fd, out->ptr + out->len, len, (off_t)off);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(ERR_IO, "read");
        if (n == 0)
            return err_new(ERR_IO, "file ended early");
        out->len += (size_t)n;
        off += (size_t)n;
        len -= (size_t)n;
    }
    return NULL;
}

/* content: the whole object if it is at hand, else it is read when its hash is needed. */
static struct err *fill_info(int fd, const struct stat *st, const struct slice *content,
                             struct objstore_info *ret)
{
    struct buf whole = {0};
    struct slice bytes;
    struct hash128 h;
    struct err *e;

    ret->bytes = (uint64_t)st->st_size;
    ret->modified_ms = (int64_t)st->st_mtim.tv_sec * 1000 + st->st_mtim.tv_nsec / 1000000;
    if (st->st_size > FS_HASHED_BYTES) {
        (void)snprintf(ret->etag, sizeof(ret->etag), "%" PRIx64 "-%" PRIx64 "-%" PRIx64 ".%lx",
                       (uint64_t)st->st_ino, (uint64_t)st->st_size, (uint64_t)st->st_mtim.tv_sec,
                       st->st_mtim.tv_nsec);
        return NULL;
    }
    if (!content) {
        if ((e = read_at(fd, 0, (size_t)st->st_size, &whole))) {
            buf_done(&whole);
            return e;
        }
        bytes = buf_slice(&whole);
        content = &bytes;
    }
    h = hash_xxh128(*content, FS_ETAG_SEED);
    (void)snprintf(ret->etag, sizeof(ret->etag), "%016" PRIx64 "%016" PRIx64, h.hi, h.lo);
    buf_done(&whole);
    return NULL;
}

/* An open file, or ERR_NOT_FOUND. */
static struct err *open_object(const char *path, int *ret_fd, struct stat *ret_st)
{
    struct err *e = fault("objstore.open", path);
    int fd;

    if (e)
        return e;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 && (errno == ENOENT || errno == ENOTDIR))
        return err_new(ERR_NOT_FOUND, "no such object");
    if (fd < 0 || fstat(fd, ret_st) != 0) {
        e = err_errno(ERR_IO, "open %s", path);
        if (fd >= 0)
            (void)close(fd);
        return e;
    }
    if (!S_ISREG(ret_st->st_mode)) {
        (void)close(fd);
        return err_new(ERR_NOT_FOUND, "no such object");
    }
    *ret_fd = fd;
    return NULL;
}

static struct err *read_range(int fd, const struct stat *st, const struct objstore_get *opts,
                              struct buf *ret)
{
    uint64_t size = (uint64_t)st->st_size, len;

    if (opts->off > size || (opts->off == size && size > 0))
        return err_new(ERR_INVALID, "offset %" PRIu64 " is past the end (%" PRIu64 " bytes)",
                       opts->off, size);
    len = size - opts->off;
    if (opts->len && opts->len < len)
        len = opts->len;
    if (len > opts->max_bytes)
        return err_new(ERR_TOO_LARGE, "%" PRIu64 " bytes, more than %zu", len, opts->max_bytes);
    return read_at(fd, opts->off, (size_t)len, ret);
}

static struct err *fs_get(struct objstore *s, struct slice key, const struct objstore_get *opts,
                          struct buf *ret, struct objstore_info *ret_info)
{
    char *path = path_of(fs_from(s), key);
    struct slice content;
    struct err *e;
    struct stat st;
    int fd;

    e = open_object(path, &fd, &st);
    mem_free(path);
    if (e)
        return e;
    if (!(e = read_range(fd, &st, opts, ret))) {
        content = buf_slice(ret);
        e = fill_info(fd, &st, content.len == (size_t)st.st_size ? &content : NULL, ret_info);
    }
    (void)close(fd);
    return e;
}

static struct err *fs_stat(struct objstore *s, struct slice key, struct objstore_info *ret)
{
    char *path = path_of(fs_from(s), key);
    struct err *e;
    struct stat st;
    int fd;

    e = open_object(path, &fd, &st);
    mem_free(path);
    if (e)
        return e;
    e = fill_info(fd, &st, NULL, ret);
    (void)close(fd);
    return e;
}

/* ---- writing ---- */

static struct err *write_piece(int fd, struct slice s, const char *path)
{
    struct err *e = fault("objstore.write", path);

    return e ? e : fsx_write_all(fd, path, s);
}

static struct err *copy_all(int fd, const char *from, const char *path)
{
    struct buf b = {0};
    struct err *e = fault("objstore.copy", from);
    int in;

    if (e)
        return e;
    in = open(from, O_RDONLY | O_CLOEXEC);
    if (in < 0)
        return err_errno(ERR_IO, "open %s", from);
    (void)buf_reserve(&b, FS_COPY_BYTES);
    while (!e) {
        ssize_t n = read(in, b.ptr, FS_COPY_BYTES);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            e = err_errno(ERR_IO, "read %s", from);
        if (n <= 0)
            break;
        e = write_piece(fd, slice_of(b.ptr, (size_t)n), path);
    }
    buf_done(&b);
    (void)close(in);
    return e;
}

static bool is_ours(int fd)
{
    struct stat st;

    if (flock(fd, LOCK_EX | LOCK_NB) != 0)
        return errno != EWOULDBLOCK; /* without locks here, nobody takes it for left either */
    return fstat(fd, &st) == 0 && st.st_nlink > 0;
}

/* A new file in tmp, locked for as long as it is open: so a file that nobody has locked was left by a
 * crash. False when one that opens the store has taken it for such in between. */
static bool create_tmp(struct objstore_fs *fs, char **ret_path, int *ret_fd, struct err **ret_err)
{
    char *path = mem_printf("%s/" OBJSTORE_FS_OWN "/tmp/%016" PRIx64 "-%" PRIu64, fs->root,
                            fs->nonce, atomic_fetch_add(&fs->next_tmp, 1));
    int fd = -1;

    if (!(*ret_err = fault("objstore.create", path)) &&
        (fd = open(path, O_CREAT | O_EXCL | O_RDWR | O_CLOEXEC, 0640)) < 0)
        *ret_err = err_errno(ERR_IO, "create %s", path);
    if (!*ret_err && !is_ours(fd)) {
        (void)close(fd);
        (void)unlink(path);
        mem_free(path);
        return false;
    }
    *ret_path = path;
    *ret_fd = fd;
    return true;
}

/* The content (or that of the file from), on disk. */
static struct err *fill_tmp(struct objstore_fs *fs, int fd, const char *path,
                            const struct slice *content, const char *from,
                            struct objstore_info *ret_info)
{
    struct err *e = content ? write_piece(fd, *content, path) : copy_all(fd, from, path);
    struct stat st;

    if (!e && !(e = fault("objstore.sync", path)) && !fs->no_sync && fsync(fd) != 0)
        e = err_errno(ERR_IO, "sync %s", path);
    if (!e && fstat(fd, &st) != 0)
        e = err_errno(ERR_IO, "stat %s", path);
    return e ? e : fill_info(fd, &st, content, ret_info);
}

/* A file in tmp, to be renamed and then closed. */
static struct err *write_tmp(struct objstore_fs *fs, const struct slice *content, const char *from,
                             char **ret_path, int *ret_fd, struct objstore_info *ret_info)
{
    struct err *e = NULL;
    char *path = NULL;
    int fd = -1;

    while (!create_tmp(fs, &path, &fd, &e))
        continue;
    if (!e)
        e = fill_tmp(fs, fd, path, content, from, ret_info);
    if (!e) {
        *ret_path = path;
        *ret_fd = fd;
        return NULL;
    }
    if (fd >= 0) {
        (void)unlink(path);
        (void)close(fd);
    }
    mem_free(path);
    return e;
}

/* The lock that makes "look, then change" one step between processes. Released by close. */
static struct err *lock_names(struct objstore_fs *fs, int *ret_fd)
{
    char *path = mem_printf("%s/" OBJSTORE_FS_OWN "/lock", fs->root);
    struct err *e = NULL;
    int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0640), rc;

    if (fd < 0) {
        e = err_errno(ERR_IO, "open %s", path);
    } else {
        do
            rc = flock(fd, LOCK_EX);
        while (rc != 0 && errno == EINTR);
        if (rc != 0) {
            e = err_errno(ERR_IO, "lock %s", path);
            (void)close(fd);
        }
    }
    mem_free(path);
    if (!e)
        *ret_fd = fd;
    return e;
}

static struct err *check_cond(struct objstore *s, struct slice key, const struct objstore_put *opts)
{
    struct objstore_info now;
    struct err *e;

    if (opts->cond == OBJSTORE_ALWAYS)
        return NULL;
    e = fs_stat(s, key, &now);
    if (e && !err_is(e, ERR_NOT_FOUND))
        return e;
    if (opts->cond == OBJSTORE_IF_ABSENT) {
        if (e) {
            err_free(e);
            return NULL;
        }
        return err_new(ERR_CONFLICT, "the object exists already");
    }
    if (e) {
        err_free(e);
        return err_new(ERR_CONFLICT, "the object is gone");
    }
    if (strcmp(now.etag, opts->etag) != 0)
        return err_new(ERR_CONFLICT, "the object has changed: etag %s, not %s", now.etag,
                       opts->etag);
    return NULL;
}

/* Makes the directories above key, each synced into its parent, so that power loss cannot take a
 * name away from under a synced file. */
static struct err *make_parents(struct objstore_fs *fs, struct slice key)
{
    struct err *e = NULL;

    for (size_t i = 0; !e && i < key.len; i++) {
        char *path;

        if (key.ptr[i] != '/')
            continue;
        path = path_of(fs, slice_sub(key, 0, i));
        if (mkdir(path, 0750) == 0) {
            char *slash = strrchr(path, '/');

            *slash = '\0';
            if (!fs->no_sync)
                e = fsx_sync_dir(path);
        } else if (errno != EEXIST) {
            e = errno == ENOTDIR
                    ? err_new(ERR_INVALID, "%.*s is an object, so it cannot be a directory too",
                              SLICE_ARG(slice_sub(key, 0, i)))
                    : err_errno(ERR_IO, "make directory %s", path);
        }
        mem_free(path);
    }
    return e;
}

static struct err *sync_parent(struct objstore_fs *fs, const char *path)
{
    char *dir = mem_strdup(path);
    struct err *e = NULL;

    *strrchr(dir, '/') = '\0';
    if (!fs->no_sync)
        e = fsx_sync_dir(dir);
    mem_free(dir);
    return e;
}

static struct err *move_into_place(struct objstore_fs *fs, const char *tmp, struct slice key)
{
    char *path = path_of(fs, key);
    struct err *e = make_parents(fs, key);

    if (!e && !(e = fault("objstore.rename", path)) && rename(tmp, path) != 0) {
        if (errno == EISDIR || errno == ENOTEMPTY || errno == EEXIST)
            e = err_new(ERR_INVALID, "there are objects below this key");
        else if (errno == ENOTDIR)
            e = err_new(ERR_INVALID, "a part of this key is an object");
        else
            e = err_errno(ERR_IO, "rename to %s", path);
    }
    if (!e)
        e = sync_parent(fs, path);
    mem_free(path);
    return e;
}

static struct err *put_any(struct objstore *s, struct slice key, const struct slice *content,
                           const char *from, const struct objstore_put *opts,
                           struct objstore_info *ret_info)
{
    struct objstore_fs *fs = fs_from(s);
    struct objstore_info info;
    struct err *e;
    int lock_fd, fd;
    char *tmp;

    if ((e = write_tmp(fs, content, from, &tmp, &fd, &info)))
        return e;
    if (!(e = lock_names(fs, &lock_fd))) {
        if (!(e = check_cond(s, key, opts)))
            e = move_into_place(fs, tmp, key);
        (void)close(lock_fd);
    }
    if (e)
        (void)unlink(tmp);
    else
        *ret_info = info;
    (void)close(fd);
    mem_free(tmp);
    return e;
}

static struct err *fs_put(struct objstore *s, struct slice key, struct slice content,
                          const struct objstore_put *opts, struct objstore_info *ret_info)
{
    return put_any(s, key, &content, NULL, opts, ret_info);
}

static struct err *fs_put_file(struct objstore *s, struct slice key, const char *path,
                               const struct objstore_put *opts, struct objstore_info *ret_info)
{
    return put_any(s, key, NULL, path, opts, ret_info);
}

/* Removes directories that are empty now, from the deepest up. */
static void prune(struct objstore_fs *fs, struct slice key)
{
    for (size_t i = key.len; i-- > 0;) {
        char *path;
        int rc;

        if (key.ptr[i] != '/')
            continue;
        path = path_of(fs, slice_sub(key, 0, i));
        rc = rmdir(path);
        mem_free(path);
        if (rc != 0)
            return;
    }
}

static struct err *fs_del(struct objstore *s, struct slice key)
{
    struct objstore_fs *fs = fs_from(s);
    char *path = path_of(fs, key);
    struct err *e;
    int lock_fd;

    if (!(e = lock_names(fs, &lock_fd))) {
        if (!(e = fault("objstore.unlink", path))) {
            if (unlink(path) == 0) {
                e = sync_parent(fs, path);
                prune(fs, key);
            } else if (errno != ENOENT && errno != ENOTDIR && errno != EISDIR) {
                e = err_errno(ERR_IO, "unlink %s", path);
            }
        }
        (void)close(lock_fd);
    }
    mem_free(path);
    return e;
}

/* ---- opening ---- */

/* Writes that a crash cut short: those that nobody has locked. */
static struct err *remove_stale(const char *tmp)
{
    struct err *e;
    char **names;
    size_t n;

    if ((e = fsx_list(tmp, &names, &n)))
        return e;
    for (size_t i = 0; i < n; i++) {
        char *path = mem_printf("%s/%s", tmp, names[i]);
        int fd = open(path, O_RDWR | O_CLOEXEC);

        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0)
            (void)unlink(path);
        if (fd >= 0)
            (void)close(fd);
        mem_free(path);
    }
    fsx_names_free(names, n);
    return NULL;
}

static void fs_close(struct objstore *s)
{
    struct objstore_fs *fs = fs_from(s);

    mem_free(fs->root);
    mem_free(fs->base.name);
    mem_free(fs);
}

static const struct objstore_ops fs_ops = {.get = fs_get,
                                           .put = fs_put,
                                           .put_file = fs_put_file,
                                           .list = objstore_fs_list,
                                           .del = fs_del,
                                           .stat = fs_stat,
                                           .close = fs_close};

struct err *objstore_fs_open(const char *root, const struct objstore_fs_opts *opts,
                             struct objstore **ret)
{
    char *tmp = mem_printf("%s/" OBJSTORE_FS_OWN "/tmp", root);
    struct objstore_fs *fs;
    struct rng rng;
    struct err *e;

    if (!(e = fsx_mkdirs(tmp)))
        e = remove_stale(tmp);
    mem_free(tmp);
    if (e)
        return err_wrap(e, "open object store %s", root);
    fs = mem_new(struct objstore_fs);
    fs->base.ops = &fs_ops;
    fs->base.name = mem_printf("filesystem:%s", root);
    rng_seed_system(&rng);
    fs->nonce = rng_u64(&rng);
    fs->root = mem_strdup(root);
    fs->no_sync = opts && opts->no_sync;
    *ret = &fs->base;
    return NULL;
}
