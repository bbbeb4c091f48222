#include "deploy/orreryctl/ctl_block.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "common/base/fsx.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/block/block_store.h"

#define DELETION_MARK "deletion-mark.json"
#define NO_COMPACT_MARK "no-compact-mark.json"
#define NO_DOWNSAMPLE_MARK "no-downsample-mark.json"

/* ---- in the bucket ---- */

struct err *ctl_signal(struct ctl *c, struct slice *ret)
{
    static const char *const signals[] = {"metrics", "logs", "traces"};
    const char *asked = c->opts.signal ? c->opts.signal : signals[0];

    for (size_t i = 0; i < ORR_COUNT(signals); i++)
        if (strcmp(asked, signals[i]) == 0) {
            *ret = slice_cstr(signals[i]);
            return NULL;
        }
    return ctl_usage(c, "--signal is metrics, logs or traces");
}

struct err *ctl_block_dirs(struct ctl *c, struct arena *a, struct slice parent, struct slice **ret,
                           size_t *ret_n)
{
    struct slice prefix =
        parent.len ? slice_cstr(arena_printf(a, "%.*s/", SLICE_ARG(parent))) : SLICE_EMPTY;
    struct objstore_listing l;
    struct ulid ulid;
    struct err *e = objstore_list(
        c->store, a, &(struct objstore_list){.prefix = prefix, .by_directory = true}, &l);

    *ret_n = 0;
    if (e)
        return e;
    *ret = arena_array(a, struct slice, l.n);
    for (size_t i = 0; i < l.n; i++) {
        struct slice dir = slice_sub(l.ptr[i].key, 0, l.ptr[i].key.len - l.ptr[i].is_prefix);

        if (l.ptr[i].is_prefix && ulid_parse(slice_from(dir, prefix.len), &ulid))
            (*ret)[(*ret_n)++] = dir;
    }
    return NULL;
}

static struct err *list_files(struct ctl *c, struct arena *a, struct ctl_block *b)
{
    struct slice prefix = slice_cstr(arena_printf(a, "%.*s/", SLICE_ARG(b->dir)));
    struct objstore_listing l;
    struct err *e = objstore_list(c->store, a, &(struct objstore_list){.prefix = prefix}, &l);

    if (e)
        return e;
    b->files = arena_array(a, struct block_file, l.n);
    for (size_t i = 0; i < l.n; i++) {
        struct slice file = slice_from(l.ptr[i].key, prefix.len);

        b->is_deleted |= slice_eq_cstr(file, DELETION_MARK);
        b->is_no_compact |= slice_eq_cstr(file, NO_COMPACT_MARK);
        if (slice_eq_cstr(file, DELETION_MARK) || slice_eq_cstr(file, NO_COMPACT_MARK) ||
            slice_eq_cstr(file, NO_DOWNSAMPLE_MARK) || slice_eq_cstr(file, BLOCK_META_FILE))
            continue;
        b->files[b->n_files++] = (struct block_file){file, l.ptr[i].bytes};
        b->bytes += l.ptr[i].bytes;
    }
    return NULL;
}

static struct err *read_meta(struct ctl *c, struct arena *a, struct ctl_block *b)
{
    char *key = arena_printf(a, "%.*s/" BLOCK_META_FILE, SLICE_ARG(b->dir));
    struct buf bytes = {0};
    struct err *e =
        objstore_get(c->store, slice_cstr(key),
                     &(struct objstore_get){.max_bytes = BLOCK_META_MAX_BYTES}, &bytes, NULL);

    if (!e)
        e = block_meta_parse(a, buf_slice(&bytes), &b->meta);
    buf_done(&bytes);
    if (e && !err_is(e, ERR_INVALID))
        return e;
    if (!e && ulid_eq(b->meta.ulid, b->ulid))
        return NULL;
    if (!e)
        return err_new(ERR_CORRUPT, BLOCK_META_FILE ": it says it is %s",
                       ulid_print(b->meta.ulid).s);
    err_free(e);
    return err_new(ERR_CORRUPT, BLOCK_META_FILE ": it is no JSON");
}

struct err *ctl_block_load(struct ctl *c, struct arena *a, struct slice dir, struct ctl_block *ret)
{
    struct ctl_block b = {.dir = dir};
    struct err *e;

    if (!ulid_parse(slice_from(dir, dir.len - ORR_MIN(dir.len, (size_t)ULID_TEXT_LEN)), &b.ulid))
        return err_new(ERR_INVALID, "%.*s is not named by a ULID", SLICE_ARG(dir));
    e = list_files(c, a, &b);
    if (!e)
        e = read_meta(c, a, &b);
    *ret = b;
    return e;
}

static const struct block_file *file_named(const struct block_file *files, size_t n,
                                           struct slice path)
{
    for (size_t i = 0; i < n; i++)
        if (slice_eq(files[i].path, path))
            return &files[i];
    return NULL;
}

static struct err *check_files(const struct block_meta *m, const struct block_file *files, size_t n,
                               bool has_no_chunks)
{
    if (!file_named(files, n, SLICE("index")))
        return err_new(ERR_CORRUPT, "index: it is not there");
    if (!has_no_chunks && m->stats.chunks && !file_named(files, n, SLICE("chunks/000001")))
        return err_new(ERR_CORRUPT, "chunks/000001: it is not there");
    for (size_t i = 0; i < m->n_files; i++) {
        const struct block_file *f = file_named(files, n, m->files[i].path);

        if (!f)
            return err_new(ERR_CORRUPT, "%.*s: meta.json names it and it is not there",
                           SLICE_ARG(m->files[i].path));
        if (m->files[i].bytes && f->bytes != m->files[i].bytes)
            return err_new(ERR_CORRUPT, "%.*s: %llu bytes, and meta.json says %llu",
                           SLICE_ARG(f->path), (unsigned long long)f->bytes,
                           (unsigned long long)m->files[i].bytes);
    }
    return m->min_t < m->max_t ? NULL
                               : err_new(ERR_CORRUPT, BLOCK_META_FILE ": its time range is empty");
}

struct err *ctl_block_check(const struct ctl_block *b)
{
    return check_files(&b->meta, b->files, b->n_files, b->has_no_chunks);
}

struct err *ctl_block_open(struct ctl *c, struct slice dir, struct labels labels,
                           struct block_reader **ret)
{
    const struct block_reader_opts opts = {.external = labels};
    struct block_source *src;
    struct err *e;
    char *path;

    if (!c->root)
        return block_reader_open(block_source_objstore(c->store, dir), &opts, ret);
    path = mem_printf("%s/%.*s", c->root, SLICE_ARG(dir));
    e = block_source_dir(path, &src);
    mem_free(path);
    return e ? e : block_reader_open(src, &opts, ret);
}

/* ---- on disk ---- */

struct err *ctl_copy_make(struct ctl *c, struct slice dir, struct ulid ulid, struct ctl_copy *ret)
{
    const char *tmp = c->opts.temp_dir ? c->opts.temp_dir : getenv("TMPDIR");
    struct ctl_copy k = {.path = NULL};
    struct err *e;

    if (c->root) {
        *ret = (struct ctl_copy){.path = mem_printf("%s/%.*s", c->root, SLICE_ARG(dir))};
        return NULL;
    }
    k.made = mem_printf("%s/orreryctl-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(k.made)) {
        e = err_errno(ERR_IO, "make %s", k.made);
        mem_free(k.made);
        return e;
    }
    k.path = mem_printf("%s/%s", k.made, ulid_print(ulid).s);
    if ((e = block_store_download(c->store, dir, ulid, k.made))) {
        ctl_copy_done(&k);
        return e;
    }
    *ret = k;
    return NULL;
}

void ctl_copy_done(struct ctl_copy *k)
{
    struct err *e = k->made ? fsx_remove_tree(k->made) : NULL;

    if (e)
        LOG_WARN(block, "copy of a block not removed", KV_STR("path", k->made), KV_ERR(e));
    err_free(e);
    mem_free(k->path);
    mem_free(k->made);
    *k = (struct ctl_copy){0};
}
