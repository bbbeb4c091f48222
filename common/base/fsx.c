#include "common/base/fsx.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fault.h"
#include "common/base/mem.h"
#include "common/base/vec.h"

struct err *fsx_mkdirs(const char *path)
{
    char *p = mem_strdup(path);
    struct err *e = NULL;

    for (char *s = p + 1; !e; s++) {
        char c = *s;

        if (c != '/' && c != 0)
            continue;
        *s = 0;
        if (mkdir(p, 0750) && errno != EEXIST)
            e = err_errno(ERR_IO, "create directory %s", p);
        *s = c;
        if (c == 0)
            break;
    }
    mem_free(p);
    return e;
}

static struct err *read_all(int fd, const char *path, size_t max_bytes, struct buf *ret)
{
    for (;;) {
        uint8_t *at = buf_reserve(ret, 65536);
        ssize_t n = read(fd, at, 65536);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(ERR_IO, "read %s", path);
        if (n == 0)
            return NULL;
        ret->len += (size_t)n;
        if (ret->len > max_bytes)
            return err_new(ERR_TOO_LARGE, "read %s: over %zu bytes", path, max_bytes);
    }
}

struct err *fsx_read(const char *path, size_t max_bytes, struct buf *ret)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct err *e;

    if (fd < 0)
        return err_errno(errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "open %s", path);
    buf_reset(ret);
    e = read_all(fd, path, max_bytes, ret);
    (void)close(fd);
    return e;
}

struct err *fsx_write_all(int fd, const char *path, struct slice content)
{
    while (content.len) {
        ssize_t n = write(fd, content.ptr, content.len);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return err_errno(ERR_IO, "write %s", path);
        content = slice_from(content, (size_t)n);
    }
    return NULL;
}

static struct err *write_and_sync(int fd, const char *path, struct slice s)
{
    struct err *e;
    int errnum;

    if (fault_hit("fsx.write", &errnum))
        return err_errnum(ERR_IO, errnum, "write %s", path);
    if ((e = fsx_write_all(fd, path, s)))
        return e;
    if (fault_hit("fsx.sync", &errnum))
        return err_errnum(ERR_IO, errnum, "sync %s", path);
    if (fsync(fd))
        return err_errno(ERR_IO, "sync %s", path);
    return NULL;
}

static struct err *sync_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *dir =
        slash ? mem_strndup(path, slash == path ? 1 : (size_t)(slash - path)) : mem_strdup(".");
    struct err *e = fsx_sync_dir(dir);

    mem_free(dir);
    return e;
}

struct err *fsx_write_atomic(const char *path, struct slice content)
{
    char *tmp = mem_printf("%s.tmp.XXXXXX", path);
    int fd = mkostemp(tmp, O_CLOEXEC);
    struct err *e = NULL;

    if (fd < 0) {
        e = err_errno(ERR_IO, "create %s", tmp);
        mem_free(tmp);
        return e;
    }
    e = write_and_sync(fd, tmp, content);
    if (close(fd) && !e)
        e = err_errno(ERR_IO, "close %s", tmp);
    if (!e && rename(tmp, path))
        e = err_errno(ERR_IO, "rename %s", path);
    if (e)
        (void)unlink(tmp);
    else
        e = sync_parent(path); /* or power loss can lose the name */
    mem_free(tmp);
    return e;
}

struct err *fsx_lock(const char *path, int *ret_fd)
{
    int fd = open(path, O_CREAT | O_RDWR | O_CLOEXEC, 0640), errnum;

    if (fd < 0)
        return err_errno(ERR_IO, "open %s", path);
    if (flock(fd, LOCK_EX | LOCK_NB)) {
        errnum = errno;
        (void)close(fd);
        if (errnum == EWOULDBLOCK)
            return err_new(ERR_CONFLICT, "%s is held by another process", path);
        return err_errnum(ERR_IO, errnum, "lock %s", path);
    }
    *ret_fd = fd;
    return NULL;
}

void fsx_unlock(int fd)
{
    if (fd >= 0)
        (void)close(fd);
}

struct err *fsx_sync_dir(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct err *e = NULL;

    if (fd < 0)
        return err_errno(ERR_IO, "open %s", path);
    if (fsync(fd))
        e = err_errno(ERR_IO, "sync %s", path);
    (void)close(fd);
    return e;
}

static int remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

struct err *fsx_remove_tree(const char *path)
{
    if (nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) && errno != ENOENT)
        return err_errno(ERR_IO, "remove %s", path);
    return NULL;
}

bool fsx_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

struct err *fsx_list(const char *path, char ***ret_names, size_t *ret_n)
{
    VEC(char *) names = {0};
    DIR *d = opendir(path);

    if (!d && errno != ENOENT)
        return err_errno(ERR_IO, "list %s", path);
    if (d) {
        for (struct dirent *e; (e = readdir(d));)
            if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
                vec_push(&names, mem_strdup(e->d_name));
        (void)closedir(d);
    }
    if (names.len)
        qsort(names.ptr, names.len, sizeof(char *), by_name);
    *ret_names = names.ptr;
    *ret_n = names.len;
    return NULL;
}

void fsx_names_free(char **names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        mem_free(names[i]);
    mem_free(names);
}

struct err *fsx_map(const char *path, struct slice *ret)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct err *e = NULL;
    struct stat st;
    void *p;

    if (fd < 0)
        return err_errno(errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "open %s", path);
    if (fstat(fd, &st)) {
        e = err_errno(ERR_IO, "stat %s", path);
    } else if (st.st_size == 0) {
        *ret = SLICE_EMPTY;
    } else {
        p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED)
            e = err_errno(ERR_IO, "map %s", path);
        else
            *ret = slice_of(p, (size_t)st.st_size);
    }
    (void)close(fd);
    return e;
}

void fsx_unmap(struct slice s)
{
    if (s.len)
        (void)munmap((void *)s.ptr, s.len);
}
