#include "tests/sim/sim_waldisk.h"

#include <errno.h>
#include <stdlib.h>

#include "common/base/buf.h"
#include "common/base/mem.h"
#include "common/base/vec.h"
#include "common/wal/walseg.h"

#define SECTOR 512u

struct extent { /* written and not synced */
    uint64_t at;
    size_t len;
    bool is_lost_to_sync; /* a sync of it failed */
};

struct inode {
    struct buf now, disk; /* as processes see it; as the platters have it */
    VEC(struct extent) dirty;
};

struct name {
    char *path;
    struct inode *now, *disk; /* NULL: no such file */
};

struct sim_waldisk {
    struct walio io;
    struct sim *sim;
    struct sim_waldisk_opts opts;
    VEC(struct inode *) inodes;
    VEC(struct name) names;
    VEC(struct inode *) open; /* by descriptor */
    int64_t calls_left;       /* negative: power stays */
    bool is_off, is_full;
    uint64_t failures;
};

static struct sim_waldisk *disk_from(struct walio *io)
{
    return ORR_CONTAINER(io, struct sim_waldisk, io);
}

/* ---- failing ---- */

/* Counts a changing call: true when power fails in it. */
static bool power_fails(struct sim_waldisk *d)
{
    if (d->calls_left < 0 || d->calls_left-- > 0)
        return false;
    d->is_off = true;
    d->failures++;
    sim_note(d->sim, "power fails");
    return true;
}

static struct err *off(struct sim_waldisk *d, const char *what, const char *path)
{
    d->failures++;
    return err_errnum(ERR_IO, EIO, "%s %s", what, path);
}

static bool fails(struct sim_waldisk *d)
{
    if (d->is_off || sim_chance(d->sim, d->opts.fails)) {
        d->failures++;
        return true;
    }
    return false;
}

/* ---- names and inodes ---- */

static struct name *find(struct sim_waldisk *d, const char *path)
{
    VEC_FOREACH (n, &d->names)
        if (strcmp(n->path, path) == 0)
            return n;
    return NULL;
}

static struct name *find_or_add(struct sim_waldisk *d, const char *path)
{
    struct name *n = find(d, path);

    if (n)
        return n;
    n = vec_add(&d->names);
    n->path = mem_strdup(path);
    return n;
}

static struct inode *inode_new(struct sim_waldisk *d)
{
    struct inode *f = mem_new(struct inode);

    vec_push(&d->inodes, f);
    return f;
}

static void inode_free(struct inode *f)
{
    buf_done(&f->now);
    buf_done(&f->disk);
    vec_done(&f->dirty);
    mem_free(f);
}

static void resize(struct buf *b, size_t len)
{
    if (b->len < len)
        buf_fill(b, 0, len - b->len);
    b->len = len;
}

static void sync_inode(struct inode *f)
{
    size_t kept = 0;

    resize(&f->disk, f->now.len);
    VEC_FOREACH (x, &f->dirty) {
        if (x->is_lost_to_sync)
            f->dirty.ptr[kept++] = *x;
        else if (x->at + x->len <= f->now.len)
            memcpy(f->disk.ptr + x->at, f->now.ptr + x->at, x->len);
    }
    f->dirty.len = kept;
}

/* ---- what a power failure leaves ---- */

static void copy_range(struct inode *f, uint64_t from, uint64_t to)
{
    to = ORR_MIN(to, ORR_MIN(f->now.len, f->disk.len));
    if (from < to)
        memcpy(f->disk.ptr + from, f->now.ptr + from, to - from);
}

static void copy_sectors(struct sim_waldisk *d, struct inode *f, const struct extent *x)
{
    uint64_t end = x->at + x->len, next;

    for (uint64_t at = x->at; at < end; at = next) {
        next = ORR_MIN((at / SECTOR + 1) * SECTOR, end);
        if (sim_chance(d->sim, 0.5))
            copy_range(f, at, next);
    }
}

static void tear_extent(struct sim_waldisk *d, struct inode *f, const struct extent *x)
{
    size_t kept;

    switch (sim_between(d->sim, 0, 3)) {
    case 0:
        break;
    case 1:
        copy_range(f, x->at, x->at + x->len);
        break;
    case 2:
        copy_sectors(d, f, x);
        break;
    default:
        kept = (size_t)sim_between(d->sim, 0, (int64_t)x->len);
        copy_range(f, x->at, x->at + kept);
        for (size_t i = 0; i < ORR_MIN(kept, 16) && sim_chance(d->sim, 0.3); i++)
            if (x->at + kept - 1 - i < f->disk.len)
                f->disk.ptr[x->at + kept - 1 - i] = (uint8_t)rng_u32(sim_rng(d->sim));
    }
}

static void settle_inode(struct sim_waldisk *d, struct inode *f)
{
    if (sim_chance(d->sim, 0.5))
        resize(&f->disk, f->now.len); /* the new length got there */
    VEC_FOREACH (x, &f->dirty)
        tear_extent(d, f, x);
    vec_clear(&f->dirty);
    buf_reset(&f->now);
    buf_slice_append(&f->now, buf_slice(&f->disk));
}

static bool is_named(const struct sim_waldisk *d, const struct inode *f)
{
    VEC_FOREACH (n, &d->names)
        if (n->now == f || n->disk == f)
            return true;
    return false;
}

void sim_waldisk_restart(struct sim_waldisk *d, bool has_lost_power)
{
    size_t kept = 0;

    vec_clear(&d->open);
    d->is_off = d->is_full = false;
    d->calls_left = -1;
    d->failures = 0;
    if (!has_lost_power)
        return;
    VEC_FOREACH (n, &d->names) {
        if (n->now != n->disk && sim_chance(d->sim, 0.5))
            n->disk = n->now;
        n->now = n->disk;
    }
    VEC_FOREACH (f, &d->inodes) {
        if (!is_named(d, *f)) {
            inode_free(*f);
            continue;
        }
        settle_inode(d, *f);
        d->inodes.ptr[kept++] = *f;
    }
    d->inodes.len = kept;
}

/* ---- the calls ---- */

static struct err *io_mkdirs(struct walio *io, const char *path)
{
    struct sim_waldisk *d = disk_from(io);

    return d->is_off ? off(d, "create directory", path) : NULL;
}

static int by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static struct err *io_list(struct walio *io, const char *dir, char ***ret_names, size_t *ret_n)
{
    struct sim_waldisk *d = disk_from(io);
    size_t len = strlen(dir);
    VEC(char *) out = {0};

    if (d->is_off)
        return off(d, "list", dir);
    VEC_FOREACH (n, &d->names)
        if (n->now && strncmp(n->path, dir, len) == 0 && n->path[len] == '/' &&
            !strchr(n->path + len + 1, '/'))
            vec_push(&out, mem_strdup(n->path + len + 1));
    if (out.len)
        qsort(out.ptr, out.len, sizeof(char *), by_text);
    *ret_names = out.ptr;
    *ret_n = out.len;
    return NULL;
}

static struct err *io_create(struct walio *io, const char *path, int64_t bytes, int *ret_fd)
{
    struct sim_waldisk *d = disk_from(io);
    struct inode *f;

    if (d->is_off || power_fails(d))
        return off(d, "create", path);
    if (d->is_full) {
        d->failures++;
        return err_errnum(ERR_IO, ENOSPC, "create %s", path);
    }
    f = inode_new(d);
    resize(&f->now, (size_t)bytes);
    find_or_add(d, path)->now = f;
    *ret_fd = (int)d->open.len;
    vec_push(&d->open, f);
    return NULL;
}

static void put_bytes(struct inode *f, uint64_t offset, struct slice s)
{
    if (f->now.len < offset + s.len)
        resize(&f->now, offset + s.len);
    memcpy(f->now.ptr + offset, s.ptr, s.len);
    vec_push(&f->dirty, ((struct extent){offset, s.len, false}));
}

/* Some of what was to be synced may have got there. */
static void fail_sync(struct sim_waldisk *d, struct inode *f)
{
    if (sim_chance(d->sim, 0.5))
        return sync_inode(f);
    VEC_FOREACH (x, &f->dirty)
        x->is_lost_to_sync = true;
}

static int io_write(struct walio *io, int fd, uint64_t offset, struct slice s, bool sync)
{
    struct sim_waldisk *d = disk_from(io);
    struct inode *f;

    if (d->is_off)
        return EIO;
    f = d->open.ptr[fd];
    if (power_fails(d) || fails(d)) {
        put_bytes(f, offset, slice_sub(s, 0, (size_t)sim_between(d->sim, 0, (int64_t)s.len)));
        return EIO;
    }
    put_bytes(f, offset, s);
    if (!sync || d->opts.syncs_nothing)
        return 0;
    if (power_fails(d))
        return EIO;
    if (fails(d)) {
        fail_sync(d, f);
        return EIO;
    }
    sync_inode(f);
    return 0;
}

static int io_close(struct walio *io, int fd, uint64_t size)
{
    struct sim_waldisk *d = disk_from(io);

    if (d->is_off || (size != WALIO_KEEP_SIZE && power_fails(d)))
        return EIO;
    if (size != WALIO_KEEP_SIZE)
        resize(&d->open.ptr[fd]->now, (size_t)size);
    return 0;
}

static struct err *io_sync_dir(struct walio *io, const char *dir)
{
    struct sim_waldisk *d = disk_from(io);
    size_t len = strlen(dir);

    if (d->is_off || power_fails(d) || fails(d))
        return off(d, "sync", dir);
    VEC_FOREACH (n, &d->names)
        if (!d->opts.syncs_no_names && strncmp(n->path, dir, len) == 0 && n->path[len] == '/')
            n->disk = n->now;
    return NULL;
}

static struct err *io_truncate(struct walio *io, const char *path, uint64_t size)
{
    struct sim_waldisk *d = disk_from(io);
    struct name *n = find(d, path);

    if (d->is_off || power_fails(d) || !n || !n->now)
        return off(d, "truncate", path);
    resize(&n->now->now, (size_t)size);
    return NULL;
}

static struct err *io_remove(struct walio *io, const char *path)
{
    struct sim_waldisk *d = disk_from(io);
    struct name *n = find(d, path);

    if (d->is_off || power_fails(d))
        return off(d, "remove", path);
    if (n)
        n->now = NULL;
    return NULL;
}

static struct err *io_map(struct walio *io, const char *path, struct slice *ret)
{
    struct sim_waldisk *d = disk_from(io);
    struct name *n = find(d, path);

    if (d->is_off || !n || !n->now)
        return off(d, "open", path);
    *ret = buf_slice(&n->now->now);
    return NULL;
}

static void io_unmap(struct walio *io, struct slice s)
{
    (void)io;
    (void)s;
}

static struct err *io_put(struct walio *io, const char *path, struct slice s)
{
    struct sim_waldisk *d = disk_from(io);
    struct inode *f;
    struct name *n;

    if (d->is_off || power_fails(d))
        return off(d, "write", path);
    f = inode_new(d);
    buf_slice_append(&f->now, s);
    sync_inode(f);
    buf_reset(&f->disk);
    buf_slice_append(&f->disk, s);
    n = find_or_add(d, path);
    n->now = n->disk = f;
    return NULL;
}

static void io_free(struct walio *io)
{
    (void)io; /* the disk outlives the log */
}

static const struct walio_ops sim_waldisk_ops = {
    io_mkdirs,   io_list,   io_create, io_write, io_close, io_sync_dir,
    io_truncate, io_remove, io_map,    io_unmap, io_put,   io_free,
};

/* ---- the disk ---- */

struct sim_waldisk *sim_waldisk_new(struct sim *s, const struct sim_waldisk_opts *opts)
{
    struct sim_waldisk *d = mem_new(struct sim_waldisk);

    d->io.ops = &sim_waldisk_ops;
    d->sim = s;
    d->opts = *opts;
    d->calls_left = -1;
    return d;
}

void sim_waldisk_free(struct sim_waldisk *d)
{
    if (!d)
        return;
    VEC_FOREACH (f, &d->inodes)
        inode_free(*f);
    VEC_FOREACH (n, &d->names)
        mem_free(n->path);
    vec_done(&d->inodes);
    vec_done(&d->names);
    vec_done(&d->open);
    mem_free(d);
}

struct walio *sim_waldisk_io(struct sim_waldisk *d)
{
    return &d->io;
}

void sim_waldisk_set_full(struct sim_waldisk *d, bool is_full)
{
    d->is_full = is_full;
}

void sim_waldisk_power_off_after(struct sim_waldisk *d, int64_t n)
{
    d->calls_left = n;
}

bool sim_waldisk_is_off(const struct sim_waldisk *d)
{
    return d->is_off;
}

uint64_t sim_waldisk_failures(const struct sim_waldisk *d)
{
    return d->failures;
}

bool sim_waldisk_flip_bit(struct sim_waldisk *d)
{
    VEC(struct name *) files = {0};
    struct inode *f;
    size_t at, used;

    VEC_FOREACH (n, &d->names) {
        size_t len = strlen(n->path);

        if (n->now && n->now->now.len > WALSEG_HEADER_BYTES + WALSEG_GROUP_BYTES && len > 4 &&
            strcmp(n->path + len - 4, ".wal") == 0)
            vec_push(&files, n);
    }
    if (!files.len)
        return false;
    f = files.ptr[sim_between(d->sim, 0, (int64_t)files.len - 1)]->now;
    vec_done(&files);
    for (used = f->now.len; used > WALSEG_HEADER_BYTES && !f->now.ptr[used - 1];)
        used--;
    if (used == WALSEG_HEADER_BYTES)
        return false;
    at = (size_t)sim_between(d->sim, WALSEG_HEADER_BYTES, (int64_t)used - 1);
    f->now.ptr[at] ^= (uint8_t)(1u << sim_between(d->sim, 0, 7));
    resize(&f->disk, f->now.len);
    f->disk.ptr[at] = f->now.ptr[at];
    return true;
}
