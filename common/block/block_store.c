#include "common/block/block_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

#include "common/base/fault.h"
#include "common/base/fsx.h"
#include "common/base/mem.h"

#define STORE_MAX_FILE (64ull << 30)
#define STORE_RANGE_BYTES (8u << 20)
#define STORE_META_KEY(a, prefix)                                                                  \
    slice_cstr(arena_printf((a), "%.*s/" BLOCK_META_FILE, SLICE_ARG(prefix)))

struct slice block_store_prefix(struct arena *a, struct slice signal, struct slice tenant,
                                struct ulid ulid)
{
    return slice_cstr(
        arena_printf(a, "%.*s/%.*s/%s", SLICE_ARG(signal), SLICE_ARG(tenant), ulid_print(ulid).s));
}

struct slice block_store_dir(struct arena *a, const struct catalogue *c, struct ulid ulid,
                             struct slice dir)
{
    if (dir.len)
        return dir;
    return block_store_prefix(a, catalogue_signal(c), catalogue_tenant(c), ulid);
}

static struct slice key_of(struct arena *a, struct slice prefix, struct slice file)
{
    return slice_cstr(arena_printf(a, "%.*s/%.*s", SLICE_ARG(prefix), SLICE_ARG(file)));
}

static struct err *is_there(struct objstore *store, struct slice key, bool *ret)
{
    struct objstore_info info;
    struct err *e = objstore_stat(store, key, &info);

    *ret = e == NULL;
    if (!err_is(e, ERR_NOT_FOUND))
        return e;
    err_free(e);
    return NULL;
}

static struct err *check_file(struct objstore *store, struct slice key, uint64_t bytes)
{
    struct objstore_info info;
    struct err *e = objstore_stat(store, key, &info);

    if (!e && info.bytes != bytes)
        e = err_new(ERR_NOT_FOUND, "%.*s has %llu bytes, not %llu", SLICE_ARG(key),
                    (unsigned long long)info.bytes, (unsigned long long)bytes);
    return e;
}

static struct err *check_files(struct objstore *store, struct arena *a, struct slice prefix,
                               const struct block_meta *meta)
{
    struct err *e = NULL;

    for (size_t i = 0; i < meta->n_files && !e; i++)
        e = check_file(store, key_of(a, prefix, meta->files[i].path), meta->files[i].bytes);
    return e;
}

/* meta.json alone does not say so: it may have come back while the block was deleted, by an upload that was slower. */
static struct err *is_whole(struct objstore *store, struct arena *a, struct slice prefix,
                            const struct block_meta *meta, bool *ret)
{
    struct err *e = is_there(store, STORE_META_KEY(a, prefix), ret);

    if (e || !*ret)
        return e;
    e = check_files(store, a, prefix, meta);
    *ret = e == NULL;
    if (!err_is(e, ERR_NOT_FOUND))
        return e;
    err_free(e);
    return NULL;
}

static struct err *upload(struct objstore *store, struct arena *a, struct slice prefix,
                          const char *dir, const struct block_meta *meta)
{
    struct slice meta_key = STORE_META_KEY(a, prefix);
    struct err *e;
    bool done;

    if ((e = is_whole(store, a, prefix, meta, &done)) || done)
        return e;
    for (size_t i = 0; i < meta->n_files; i++) {
        struct slice file = meta->files[i].path;
        const char *path = arena_printf(a, "%s/%.*s", dir, SLICE_ARG(file));

        if ((e = objstore_put_file(store, key_of(a, prefix, file), path, NULL, NULL)))
            return e;
    }
    return objstore_put_file(store, meta_key, arena_printf(a, "%s/" BLOCK_META_FILE, dir),
                             &(struct objstore_put){.content_type = "application/json"}, NULL);
}

struct err *block_store_upload(struct objstore *store, struct slice signal, struct slice tenant,
                               const char *dir, const struct block_meta *meta)
{
    struct arena *a = arena_new(0);
    struct slice prefix = block_store_prefix(a, signal, tenant, meta->ulid);
    struct err *e =
        err_wrap(upload(store, a, prefix, dir, meta), "upload block %.*s", SLICE_ARG(prefix));

    arena_free(a);
    return e;
}

struct err *block_store_find(struct objstore *store, struct slice signal, struct slice tenant,
                             struct ulid ulid, struct arena *a, struct block_meta *ret,
                             bool *ret_found)
{
    struct slice key = STORE_META_KEY(a, block_store_prefix(a, signal, tenant, ulid));
    struct buf b = {0};
    struct err *bad,
        *e = objstore_get(store, key, &(struct objstore_get){.max_bytes = BLOCK_META_MAX_BYTES}, &b,
                          NULL);

    *ret_found = false;
    if (err_is(e, ERR_NOT_FOUND)) {
        err_free(e);
        e = NULL;
    } else if (!e) {
        bad = block_meta_parse(a, buf_slice(&b), ret);
        *ret_found = !bad && ulid_eq(ret->ulid, ulid) && slice_eq(ret->tenant, tenant);
        err_free(bad);
    }
    buf_done(&b);
    return e;
}

static struct err *write_range(int fd, const char *path, struct slice bytes)
{
    int errnum;

    if (fault_hit("block_store.write", &errnum))
        return err_errnum(ERR_IO, errnum, "write %s", path);
    return fsx_write_all(fd, path, bytes);
}

/* The whole object into fd, range by range; all of one version, or ERR_CONFLICT. */
static struct err *copy_object(struct objstore *store, struct slice key, int fd, const char *path)
{
    struct objstore_info info, now = {0};
    struct buf b = {0};
    struct err *e = objstore_stat(store, key, &info);

    if (!e && info.bytes > STORE_MAX_FILE)
        e = err_new(ERR_TOO_LARGE, "%.*s: %llu bytes", SLICE_ARG(key),
                    (unsigned long long)info.bytes);
    for (uint64_t off = 0; !e && off < info.bytes; off += b.len) {
        e = objstore_get(store, key, &(struct objstore_get){.off = off, .len = STORE_RANGE_BYTES},
                         &b, &now);
        if (!e && (b.len == 0 || now.bytes != info.bytes || strcmp(now.etag, info.etag) != 0))
            e = err_new(ERR_CONFLICT, "%.*s changed while it was read", SLICE_ARG(key));
        if (!e)
            e = write_range(fd, path, buf_slice(&b));
    }
    buf_done(&b);
    return e;
}

static struct err *fetch(struct objstore *store, struct arena *a, struct slice prefix,
                         const char *dir, struct slice file)
{
    char *path = arena_printf(a, "%s/%.*s", dir, SLICE_ARG(file));
    char *slash = strrchr(path, '/');
    struct err *e;
    int fd;

    *slash = '\0';
    e = fsx_mkdirs(path);
    *slash = '/';
    if (e)
        return e;
    fd = open(path, O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0640);
    if (fd < 0)
        return err_errno(ERR_IO, "create %s", path);
    e = copy_object(store, key_of(a, prefix, file), fd, path);
    if (close(fd) != 0 && !e)
        e = err_errno(ERR_IO, "close %s", path);
    return e;
}

/* The files of a block: those its meta names, or, in blocks of other systems, those that are there. */
static struct err *files_of(struct objstore *store, struct arena *a, struct slice prefix,
                            const struct block_meta *m, struct slice **ret, size_t *ret_n)
{
    struct slice dir = slice_cstr(arena_printf(a, "%.*s/", SLICE_ARG(prefix)));
    struct objstore_listing l;
    struct slice *out;
    struct err *e;
    size_t n = 0;

    if (m->n_files) {
        *ret = out = arena_array(a, struct slice, m->n_files);
        *ret_n = m->n_files;
        for (size_t i = 0; i < m->n_files; i++)
            out[i] = m->files[i].path;
        return NULL;
    }
    if ((e = objstore_list(store, a, &(struct objstore_list){.prefix = dir}, &l)))
        return e;
    *ret = out = arena_array(a, struct slice, l.n);
    for (size_t i = 0; i < l.n; i++) {
        struct slice file = slice_from(l.ptr[i].key, dir.len);

        if (!slice_eq_cstr(file, BLOCK_META_FILE))
            out[n++] = file;
    }
    *ret_n = n;
    return NULL;
}

static struct err *download(struct objstore *store, struct arena *a, struct slice prefix,
                            struct ulid ulid, const char *dir)
{
    const char *final = arena_printf(a, "%s/%s", dir, ulid_print(ulid).s);
    const char *tmp = arena_printf(a, "%s.tmp", final);
    struct buf meta = {0};
    struct slice *files;
    struct block_meta m;
    struct err *e;
    size_t n;

    e = objstore_get(store, STORE_META_KEY(a, prefix),
                     &(struct objstore_get){.max_bytes = BLOCK_META_MAX_BYTES}, &meta, NULL);
    if (!e && !(e = block_meta_parse(a, buf_slice(&meta), &m)) && !(e = fsx_remove_tree(tmp)) &&
        !(e = fsx_mkdirs(tmp)) && !(e = files_of(store, a, prefix, &m, &files, &n))) {
        for (size_t i = 0; !e && i < n; i++)
            e = fetch(store, a, prefix, tmp, files[i]);
        if (!e)
            e = fsx_write_atomic(arena_printf(a, "%s/" BLOCK_META_FILE, tmp), buf_slice(&meta));
        if (!e && !(e = fsx_remove_tree(final)) && rename(tmp, final) != 0)
            e = err_errno(ERR_IO, "rename %s", tmp);
    }
    buf_done(&meta);
    return e;
}

struct err *block_store_download(struct objstore *store, struct slice prefix, struct ulid ulid,
                                 const char *dir)
{
    struct arena *a = arena_new(0);
    struct err *e =
        err_wrap(download(store, a, prefix, ulid, dir), "download block %.*s", SLICE_ARG(prefix));

    arena_free(a);
    return e;
}

struct err *block_store_addable(struct objstore *store, const struct catalogue *c,
                                const struct block_meta *meta)
{
    return block_store_addable_in(store, c, meta, SLICE_EMPTY);
}

struct err *block_store_addable_in(struct objstore *store, const struct catalogue *c,
                                   const struct block_meta *meta, struct slice dir)
{
    struct objstore_info info;
    struct slice prefix;
    struct arena *a;
    struct err *e;

    if (catalogue_is_retired(c, meta->ulid))
        return err_new(ERR_UNAVAILABLE, "block %s is being deleted, it can be written anew then",
                       ulid_print(meta->ulid).s);
    a = arena_new(0);
    prefix = block_store_dir(a, c, meta->ulid, dir);
    e = objstore_stat(store, STORE_META_KEY(a, prefix), &info);
    if (!e)
        e = check_files(store, a, prefix, meta);
    arena_free(a);
    return e;
}

struct err *block_store_delete(struct objstore *store, struct slice prefix)
{
    struct arena *a = arena_new(0);
    struct err *e =
        objstore_delete_prefix(store, slice_cstr(arena_printf(a, "%.*s/", SLICE_ARG(prefix))));

    arena_free(a);
    return e;
}
