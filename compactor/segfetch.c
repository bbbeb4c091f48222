#include "compactor/segfetch.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/base/fault.h"
#include "common/base/fsx.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/reader.h"
#include "common/base/vec.h"
#include "common/model/metrics_rpc.h"

#define LIST_MAX_BYTES (8u << 20)
#define DIGITS 6 /* of numbered files */

/* ---- the list ---- */

static bool is_numbered_file(const struct signal *sig, struct slice name)
{
    size_t dir_len = strlen(sig->numbered_dir);
    struct slice digits = slice_from(name, dir_len + 1);

    if (!slice_has_prefix(name, slice_cstr(sig->numbered_dir)) || digits.len != DIGITS ||
        name.ptr[dir_len] != '/')
        return false;
    for (size_t i = 0; i < digits.len; i++)
        if (digits.ptr[i] < '0' || digits.ptr[i] > '9')
            return false;
    return true;
}

struct listing {
    const struct signal *sig;
    uint64_t left, max_bytes;
    struct map names;
    VEC(struct segfetch_file) files;
};

static struct err *take_file(struct listing *l, const struct segfetch_file *f)
{
    void **slot;

    if (!l->sig->has_file(f->name) && !is_numbered_file(l->sig, f->name))
        return err_new(ERR_INVALID, "a segment of %s has no file \"%.*s\"", l->sig->name,
                       (int)ORR_MIN(f->name.len, (size_t)100), (const char *)f->name.ptr);
    slot = map_slot(&l->names, f->name);
    if (*slot)
        return err_new(ERR_INVALID, "file %.*s is listed twice", SLICE_ARG(f->name));
    *slot = l;
    if (l->files.len == l->sig->max_files)
        return err_new(ERR_LIMIT, "more than %zu files", l->sig->max_files);
    if (f->bytes > l->left)
        return err_new(ERR_LIMIT, "more than %llu bytes", (unsigned long long)l->max_bytes);
    l->left -= f->bytes;
    vec_push(&l->files, *f);
    return NULL;
}

struct err *segfetch_parse_list(const struct signal *sig, struct slice bytes, struct arena *a,
                                uint64_t max_bytes, struct segfetch_file **ret, size_t *ret_n)
{
    struct listing l = {.sig = sig, .left = max_bytes, .max_bytes = max_bytes};
    struct reader r = reader_new(bytes);
    struct err *e = NULL;

    while (reader_left(&r) && !e) {
        struct segfetch_file f = {.name = reader_lstr(&r)};

        f.bytes = reader_uvarint(&r);
        e = reader_ok(&r) ? take_file(&l, &f) : err_new(ERR_INVALID, "malformed list of files");
    }
    if (!e) {
        *ret = arena_copy(a, l.files.ptr, l.files.len);
        *ret_n = l.files.len;
    }
    map_done(&l.names);
    vec_done(&l.files);
    return e;
}

/* ---- the files ---- */

struct fetching {
    const struct segfetch_opts *opts;
    struct slice tenant, ulid;
    const char *dir;
    struct buf answer, request;
};

static struct err *ask(struct fetching *f, struct slice file, uint64_t offset, uint64_t len,
                       size_t max_bytes)
{
    const struct peercall_opts call = {.pool = f->opts->pool,
                                       .loop = f->opts->loop,
                                       .address = f->opts->address,
                                       .method = f->opts->signal->read_method,
                                       .tenant = f->tenant,
                                       .timeout_ms = f->opts->timeout_ms,
                                       .max_bytes = max_bytes,
                                       .stop = f->opts->stop};

    buf_reset(&f->request);
    rpc_segment_read_encode(
        &f->request,
        &(struct rpc_segment_read){.ulid = f->ulid, .file = file, .offset = offset, .len = len});
    return peercall_run(&call, buf_slice(&f->request), &f->answer);
}

static struct err *write_range(int fd, const char *path, struct slice bytes)
{
    int errnum;

    if (fault_hit("segfetch.write", &errnum))
        return err_errnum(ERR_IO, errnum, "write %s", path);
    return fsx_write_all(fd, path, bytes);
}

static struct err *fetch_ranges(struct fetching *f, int fd, const char *path,
                                const struct segfetch_file *file)
{
    struct err *e = NULL;

    for (uint64_t at = 0; !e && at < file->bytes; at += f->answer.len) {
        uint64_t len = ORR_MIN(file->bytes - at, (uint64_t)SEGFETCH_RANGE_BYTES);

        if ((e = ask(f, file->name, at, len, SEGFETCH_RANGE_BYTES)))
            break;
        if (f->answer.len != len)
            return err_new(ERR_CORRUPT, "%.*s: %zu bytes at %llu, not the %llu listed",
                           SLICE_ARG(file->name), f->answer.len, (unsigned long long)at,
                           (unsigned long long)len);
        e = write_range(fd, path, buf_slice(&f->answer));
    }
    return e;
}

static bool is_appended(const struct signal *sig, struct slice name)
{
    return sig->is_joined && is_numbered_file(sig, name);
}

static struct err *fetch_file(struct fetching *f, const struct segfetch_file *file)
{
    const struct signal *sig = f->opts->signal;
    bool appends = is_appended(sig, file->name);
    struct slice name = appends ? slice_cstr(sig->numbered_dir) : file->name;
    char *path = mem_printf("%s/%.*s", f->dir, SLICE_ARG(name));
    int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC | (appends ? O_APPEND : O_EXCL), 0640);
    struct err *e;

    if (fd < 0) {
        e = err_errno(ERR_IO, "create %s", path);
    } else {
        e = fetch_ranges(f, fd, path, file);
        if (close(fd) != 0)
            e = err_first(e, err_errno(ERR_IO, "close %s", path));
    }
    mem_free(path);
    return e;
}

static struct err *make_dirs(const struct fetching *f, struct arena *a)
{
    const struct signal *sig = f->opts->signal;

    return fsx_mkdirs(sig->is_joined ? f->dir
                                     : arena_printf(a, "%s/%s", f->dir, sig->numbered_dir));
}

static struct err *fetch_all(struct fetching *f, struct arena *a, uint64_t *ret_bytes)
{
    struct segfetch_file *files;
    uint64_t bytes = 0;
    struct err *e;
    size_t n;

    if ((e = make_dirs(f, a)) || (e = ask(f, SLICE_EMPTY, 0, 0, LIST_MAX_BYTES)) ||
        (e = segfetch_parse_list(f->opts->signal, arena_dup(a, buf_slice(&f->answer)), a,
                                 f->opts->max_bytes, &files, &n)))
        return e;
    for (size_t i = 0; i < n && !e; i++) {
        e = fetch_file(f, &files[i]);
        bytes += files[i].bytes;
    }
    *ret_bytes = bytes;
    return e;
}

struct err *segfetch(const struct segfetch_opts *opts, struct slice tenant, struct ulid segment,
                     const char *dir, uint64_t *ret_bytes)
{
    struct ulid_text text = ulid_print(segment);
    struct fetching f = {opts, tenant, slice_cstr(text.s), dir, {0}, {0}};
    struct arena *a = arena_new(0);
    struct err *e = fetch_all(&f, a, ret_bytes);

    buf_done(&f.answer);
    buf_done(&f.request);
    arena_free(a);
    return err_wrap(e, "fetch segment %s", text.s);
}
