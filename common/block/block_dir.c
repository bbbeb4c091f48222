#include "common/block/block_dir.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/fault.h"
#include "common/base/fsx.h"

struct err *block_dir_open(struct block_dir *d, const char *parent, struct ulid ulid, bool no_sync)
{
    struct err *e;

    *d = (struct block_dir){
        .parent = parent, .ulid = ulid, .arena = arena_new(0), .no_sync = no_sync};
    d->final = mem_printf("%s/%s", parent, ulid_print(ulid).s);
    d->tmp = mem_printf("%s.tmp", d->final);
    e = fsx_remove_tree(d->tmp);
    return e ? e : fsx_mkdirs(d->tmp);
}

char *block_dir_path(const struct block_dir *d, const char *name)
{
    return mem_printf("%s/%s", d->tmp, name);
}

struct err *block_dir_create(const struct block_dir *d, const char *name, struct block_out *ret)
{
    char *path = block_dir_path(d, name);
    struct err *e = block_out_open(ret, path);

    mem_free(path);
    return e;
}

struct err *block_dir_keep(struct block_dir *d, const char *name, struct block_out *o)
{
    block_dir_note(d, name, o->pos);
    return block_out_close(o, !d->no_sync);
}

struct err *block_dir_put(const struct block_dir *d, const char *name, struct slice content)
{
    struct block_out o = {.fd = -1};
    struct err *e = block_dir_create(d, name, &o);

    if (e)
        return e;
    block_out_put(&o, content);
    return block_out_close(&o, !d->no_sync);
}

void block_dir_note(struct block_dir *d, const char *name, uint64_t bytes)
{
    vec_push(&d->files, ((struct block_file){arena_dup(d->arena, slice_cstr(name)), bytes}));
}

uint64_t block_dir_bytes(const struct block_dir *d)
{
    uint64_t n = 0;

    VEC_FOREACH (f, &d->files)
        n += f->bytes;
    return n;
}

static int by_path(const void *a, const void *b)
{
    return slice_cmp(((const struct block_file *)a)->path, ((const struct block_file *)b)->path);
}

static struct err *put_meta(struct block_dir *d, struct block_meta *m)
{
    struct buf b = {0};
    struct err *e;

    if (m->n_sources == 0) {
        m->sources = arena_copy(d->arena, &m->ulid, 1);
        m->n_sources = 1;
    }
    if (d->files.len)
        qsort(d->files.ptr, d->files.len, sizeof(*d->files.ptr), by_path);
    m->files = d->files.ptr;
    m->n_files = d->files.len;
    block_meta_write(&b, m);
    e = block_dir_put(d, BLOCK_META_FILE, buf_slice(&b));
    buf_done(&b);
    return e;
}

struct err *block_dir_commit(struct block_dir *d, struct block_meta *m)
{
    struct err *e = put_meta(d, m);
    int errnum;

    if (!e && !d->no_sync)
        e = fsx_sync_dir(d->tmp);
    /* A block of this name is the same one, written before: the ids of outputs are derived. */
    if (e || (e = fsx_remove_tree(d->final)))
        return e;
    if (fault_hit("block_writer.rename", &errnum))
        return err_errnum(ERR_IO, errnum, "rename %s", d->tmp);
    if (rename(d->tmp, d->final) != 0)
        return err_errno(ERR_IO, "rename %s", d->tmp);
    d->is_committed = true;
    return d->no_sync ? NULL : fsx_sync_dir(d->parent);
}

void block_dir_done(struct block_dir *d)
{
    if (d->tmp && !d->is_committed)
        err_free(fsx_remove_tree(d->tmp)); /* what is left is removed by the next attempt */
    if (d->arena)
        arena_free(d->arena);
    vec_done(&d->files);
    mem_free(d->tmp);
    mem_free(d->final);
    *d = (struct block_dir){0};
}
