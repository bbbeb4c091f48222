#include "common/block/block_heads.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fsx.h"
#include "common/base/hash.h"
#include "common/base/lock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/vec.h"

#define SUFFIX ".head"
#define DISK_BLOCK 512         /* of st_blocks */
#define MAX_SIZE (64ull << 30) /* what refs of 32 bits reach; a length beyond it is a lie */

struct block_heads {
    char *dir;
    uint64_t max_bytes;
    struct lock lock; /* held over changes of the directory */
    uint64_t n_tmp;
    struct block_heads_stats stats;
};

static char *path_of(const struct block_heads *h, const char *block)
{
    struct hash128 x = hash_xxh128(slice_cstr(block), 0);

    return mem_printf("%s/%016" PRIx64 "%016" PRIx64 SUFFIX, h->dir, x.hi, x.lo);
}

/* With the lock. */
static void failed(struct block_heads *h, struct err *e)
{
    if (!e)
        return;
    h->stats.failures++;
    LOG_WARN(block, "index headers cannot be kept on the disk", KV_STR("path", h->dir), KV_ERR(e));
    err_free(e);
}

/* ---- what is there ---- */

struct head {
    char *path;
    struct timespec used_at;
    uint64_t bytes;
};
struct heads {
    VEC(struct head) v;
};

static int by_use(const void *a, const void *b)
{
    const struct timespec *x = &((const struct head *)a)->used_at;
    const struct timespec *y = &((const struct head *)b)->used_at;

    if (x->tv_sec != y->tv_sec)
        return x->tv_sec < y->tv_sec ? -1 : 1;
    return (x->tv_nsec > y->tv_nsec) - (x->tv_nsec < y->tv_nsec);
}

static void heads_done(struct heads *l)
{
    VEC_FOREACH (f, &l->v)
        mem_free(f->path);
    vec_done(&l->v);
}

/* With the lock: all headers, the least recently used first. What a crash left half written goes. */
static struct heads list_heads(struct block_heads *h)
{
    struct heads l = {0};
    char **names = NULL;
    size_t n = 0;
    struct err *e = fsx_list(h->dir, &names, &n);

    failed(h, e);
    h->stats.bytes = h->stats.files = 0;
    for (size_t i = 0; !e && i < n; i++) {
        struct head f = {.path = mem_printf("%s/%s", h->dir, names[i])};
        struct stat st;

        if (!slice_has_suffix(slice_cstr(names[i]), SLICE(SUFFIX))) {
            (void)unlink(f.path);
            mem_free(f.path);
        } else if (stat(f.path, &st)) {
            mem_free(f.path);
        } else {
            f.used_at = st.st_mtim;
            f.bytes = (uint64_t)st.st_blocks * DISK_BLOCK;
            h->stats.bytes += f.bytes;
            h->stats.files++;
            vec_push(&l.v, f);
        }
    }
    fsx_names_free(names, n);
    if (l.v.len > 1)
        qsort(l.v.ptr, l.v.len, sizeof(*l.v.ptr), by_use);
    return l;
}

/* With the lock. */
static void make_room(struct block_heads *h)
{
    struct heads l = list_heads(h);

    for (size_t i = 0; i < l.v.len && h->stats.bytes > h->max_bytes; i++) {
        if (unlink(l.v.ptr[i].path) && errno != ENOENT) {
            failed(h, err_errno(ERR_IO, "unlink %s", l.v.ptr[i].path));
            continue;
        }
        h->stats.bytes -= l.v.ptr[i].bytes;
        h->stats.files--;
        h->stats.evictions++;
    }
    heads_done(&l);
}

/* ---- the calls ---- */

struct block_heads *block_heads_new(const char *dir, uint64_t max_bytes)
{
    struct block_heads *h = mem_new(struct block_heads);

    h->dir = mem_strdup(dir);
    h->max_bytes = h->stats.max_bytes = max_bytes;
    lock_init(&h->lock, LOCK_LEAF_MODULE);
    failed(h, fsx_mkdirs(dir));
    make_room(h);
    return h;
}

void block_heads_free(struct block_heads *h)
{
    if (!h)
        return;
    lock_done(&h->lock);
    mem_free(h->dir);
    mem_free(h);
}

bool block_heads_find(struct block_heads *h, const char *block, uint64_t size, struct slice *ret)
{
    char *path = path_of(h, block);
    struct slice map;
    struct stat st;
    bool found = false;

    if (stat(path, &st) == 0 && (uint64_t)st.st_size == size) {
        struct err *e = fsx_map(path, &map); /* between the two it may have gone */

        found = !e && map.len == size;
        if (!e && !found)
            fsx_unmap(map);
        err_free(e);
    }
    if (found) {
        (void)utimensat(AT_FDCWD, path, NULL, 0); /* when it was last used */
        *ret = map;
    }
    mem_free(path);
    return found;
}

static struct err *write_at(int fd, const char *path, uint64_t off, struct slice s)
{
    if (lseek(fd, (off_t)off, SEEK_SET) < 0)
        return err_errno(ERR_IO, "seek %s", path);
    return fsx_write_all(fd, path, s);
}

/* No sync: after a crash of the machine the checksums tell. */
static struct err *write_head(const char *path, uint64_t size, struct slice begin, struct slice end)
{
    int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0640);
    struct err *e = NULL;

    if (fd < 0)
        return err_errno(ERR_IO, "create %s", path);
    if (ftruncate(fd, (off_t)size))
        e = err_errno(ERR_IO, "truncate %s", path);
    if (!e && !(e = write_at(fd, path, 0, begin)))
        e = write_at(fd, path, size - end.len, end);
    if (close(fd) && !e)
        e = err_errno(ERR_IO, "close %s", path);
    return e;
}

void block_heads_put(struct block_heads *h, const char *block, uint64_t size, struct slice begin,
                     struct slice end)
{
    char *path, *tmp;
    struct err *e;

    if (size > MAX_SIZE || begin.len + end.len > size)
        return;
    path = path_of(h, block);
    lock_take(&h->lock);
    tmp = mem_printf("%s.%" PRIu64 ".tmp", path, h->n_tmp++);
    e = write_head(tmp, size, begin, end);
    if (!e && rename(tmp, path))
        e = err_errno(ERR_IO, "rename %s", tmp);
    if (e)
        (void)unlink(tmp);
    else
        h->stats.built++;
    failed(h, e);
    make_room(h);
    lock_release(&h->lock);
    mem_free(tmp);
    mem_free(path);
}

void block_heads_drop(struct block_heads *h, const char *block, struct err *e)
{
    char *path = path_of(h, block);

    LOG_WARN(block, "an index header on the disk is broken and is made anew", KV_STR("path", path),
             KV_ERR(e));
    err_free(e);
    lock_take(&h->lock);
    h->stats.corrupt++;
    (void)unlink(path);
    make_room(h);
    lock_release(&h->lock);
    mem_free(path);
}

void block_heads_stats_get(struct block_heads *h, struct block_heads_stats *ret)
{
    lock_take(&h->lock);
    *ret = h->stats;
    lock_release(&h->lock);
}
