#include "common/block/block_source.h"

#include <stdio.h>

#include "common/base/fsx.h"
#include "common/base/vec.h"
#include "common/block/block_files.h"
#include "common/block/block_format.h"
#include "common/block/block_meta.h"

#define SOURCE_MAX_FILE (8ull << 30) /* an index fetched whole */

struct file {
    char *name;
    struct slice bytes;
};

/* ---- a directory: everything is mapped when it is opened, so reading needs no lock ---- */

struct dir_source {
    struct block_source base;
    VEC(struct file) files;
};

static const struct file *dir_find(const struct dir_source *d, const char *name)
{
    for (size_t i = 0; i < d->files.len; i++)
        if (strcmp(d->files.ptr[i].name, name) == 0)
            return &d->files.ptr[i];
    return NULL;
}

static struct err *dir_file(struct block_source *s, const char *name, struct slice *ret)
{
    const struct file *f = dir_find((struct dir_source *)s, name);

    if (!f)
        return err_new(ERR_NOT_FOUND, "%s/%s", s->name, name);
    *ret = f->bytes;
    return NULL;
}

static struct err *dir_range(struct block_source *s, const char *name, uint64_t off, size_t len,
                             struct buf *scratch, struct slice *ret)
{
    const struct file *f = dir_find((struct dir_source *)s, name);

    (void)scratch;
    if (!f)
        return err_new(ERR_NOT_FOUND, "%s/%s", s->name, name);
    *ret = off > f->bytes.len ? slice_of(f->bytes.ptr, 0) : slice_sub(f->bytes, (size_t)off, len);
    return NULL;
}

static void dir_close(struct block_source *s)
{
    struct dir_source *d = (struct dir_source *)s;

    VEC_FOREACH (f, &d->files) {
        fsx_unmap(f->bytes);
        mem_free(f->name);
    }
    vec_done(&d->files);
    mem_free(d->base.name);
    mem_free(d);
}

static const struct block_source_ops dir_ops = {
    .file = dir_file, .range = dir_range, .close = dir_close};

/* Takes name over. */
static struct err *dir_map(struct dir_source *d, char *name)
{
    char *path = mem_printf("%s/%s", d->base.name, name);
    struct file f = {.name = name};
    struct err *e = fsx_map(path, &f.bytes);

    mem_free(path);
    if (e)
        mem_free(name);
    else
        vec_push(&d->files, f);
    return e;
}

static struct err *dir_map_chunks(struct dir_source *d)
{
    char *path = mem_printf("%s/" BLOCK_CHUNKS_DIR, d->base.name);
    struct err *e;
    char **names;
    size_t n;

    e = fsx_list(path, &names, &n);
    mem_free(path);
    if (e)
        return e;
    for (size_t i = 0; !e && i < n; i++)
        e = dir_map(d, mem_printf(BLOCK_CHUNKS_DIR "/%s", names[i]));
    fsx_names_free(names, n);
    return e;
}

static struct err *dir_map_one(struct dir_source *d, const char *name)
{
    char *path = mem_printf("%s/%s", d->base.name, name);
    bool is_there = fsx_exists(path);

    mem_free(path);
    return is_there ? dir_map(d, mem_strdup(name)) : NULL;
}

/* Of a block of log lines (common/logblock/logblock.h) or of traces (common/traceblock/traceblock.h). */
static struct err *dir_map_own(struct dir_source *d)
{
    static const char *const names[] = {"pages", "directory", "filter", "front", "back", "ids"};
    struct err *e = NULL;

    for (size_t i = 0; !e && i < ORR_COUNT(names); i++)
        e = dir_map_one(d, names[i]);
    return e;
}

struct err *block_source_dir(const char *path, struct block_source **ret)
{
    struct dir_source *d = mem_new(struct dir_source);
    struct err *e;

    d->base.ops = &dir_ops;
    d->base.name = mem_strdup(path);
    if ((e = dir_map_one(d, "meta.json")) || (e = dir_map_one(d, BLOCK_INDEX_FILE)) ||
        (e = dir_map_one(d, BLOCK_TOMBSTONES_FILE)) || (e = dir_map_one(d, BLOCK_STARTS_FILE)) ||
        (e = dir_map_own(d)) || (e = dir_map_chunks(d))) {
        dir_close(&d->base);
        return e;
    }
    *ret = &d->base;
    return NULL;
}

/* ---- an object store: whole files are kept, ranges are fetched ---- */

struct store_source {
    struct block_source base;
    struct objstore *store;
    struct block_files files;
};

static struct slice store_key(struct store_source *s, struct arena *a, const char *name)
{
    return slice_cstr(arena_printf(a, "%s/%s", s->base.name, name));
}

static struct err *store_file(struct block_source *base, const char *name, struct slice *ret)
{
    struct store_source *s = (struct store_source *)base;
    struct arena *a;
    struct buf b = {0};
    struct err *e;

    if (block_files_find(&s->files, name, ret))
        return NULL;
    a = arena_new(0);
    e = objstore_get(s->store, store_key(s, a, name),
                     &(struct objstore_get){.max_bytes = SOURCE_MAX_FILE}, &b, NULL);
    arena_free(a);
    if (e) {
        buf_done(&b);
        return e;
    }
    *ret = block_files_keep(&s->files, name, &b);
    return NULL;
}

static struct err *store_range(struct block_source *base, const char *name, uint64_t off,
                               size_t len, struct buf *scratch, struct slice *ret)
{
    struct store_source *s = (struct store_source *)base;
    struct arena *a;
    struct err *e;

    if (block_files_find(&s->files, name, ret)) {
        *ret = off > ret->len ? slice_of(ret->ptr, 0) : slice_sub(*ret, (size_t)off, len);
        return NULL;
    }
    a = arena_new(0);
    e = objstore_get(s->store, store_key(s, a, name),
                     &(struct objstore_get){.off = off, .len = len}, scratch, NULL);
    arena_free(a);
    if (e)
        return e;
    *ret = buf_slice(scratch);
    return NULL;
}

static void store_close(struct block_source *base)
{
    struct store_source *s = (struct store_source *)base;

    block_files_done(&s->files);
    mem_free(s->base.name);
    mem_free(s);
}

static const struct block_source_ops store_ops = {
    .file = store_file, .range = store_range, .close = store_close};

struct block_source *block_source_objstore(struct objstore *store, struct slice prefix)
{
    struct store_source *s = mem_new(struct store_source);

    s->base.ops = &store_ops;
    s->base.name = slice_dup(prefix);
    s->store = store;
    block_files_init(&s->files);
    return &s->base;
}

struct err *block_source_hold(struct block_source *s, const struct block_source_range *ranges,
                              size_t n, struct objpages_hold **ret)
{
    *ret = NULL;
    return s->ops->hold && n ? s->ops->hold(s, ranges, n, ret) : NULL;
}

void block_source_unhold(struct block_source *s, struct objpages_hold *h)
{
    if (h)
        s->ops->unhold(s, h);
}

void block_source_close(struct block_source *s)
{
    if (s)
        s->ops->close(s);
}
