#include "compactor/segfetch.h"

#include <fcntl.h>
#include <unistd.h>

#include "common/base/fault.h"
#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "common/base/reader.h"
#include "common/model/metrics_rpc.h"

#define LIST_MAX_BYTES (1u << 20)
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

struct err *segfetch_parse_list(const struct signal *sig, struct slice bytes, struct arena *a,
                                uint64_t max_bytes, struct segfetch_file **ret, size_t *ret_n)
{
    struct segfetch_file *files = arena_array(a, struct segfetch_file, SEGFETCH_MAX_FILES);
    struct reader r = reader_new(bytes);
    uint64_t left = max_bytes;
    size_t n = 0;

    while (reader_left(&r)) {
        struct segfetch_file f = {.name = reader_lstr(&r)};

        f.bytes = reader_uvarint(&r);
        if (!reader_ok(&r))
            return err_new(ERR_INVALID, "malformed list of files");
        if (!sig->has_file(f.name) && !is_numbered_file(sig, f.name))
            return err_new(ERR_INVALID, "a segment has no file \"%.*s\"",
                           (int)ORR_MIN(f.name.len, (size_t)100), (const char *)f.name.ptr);
        for (size_t i = 0; i < n; i++)
            if (slice_eq(files[i].name, f.name))
                return err_new(ERR_INVALID, "file %.*s is listed twice", SLICE_ARG(f.name));
        if (n == SEGFETCH_MAX_FILES)
            return err_new(ERR_LIMIT, "more than %d files", SEGFETCH_MAX_FILES);
        if (f.bytes > left)
            return err_new(ERR_LIMIT, "more than %llu bytes", (unsigned long long)max_bytes);
        left -= f.bytes;
        files[n++] = f;
    }
    *ret = files;
    *ret_n = n;
    return NULL;
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

static struct err *fetch_file(struct fetching *f, const struct segfetch_file *file)
{
    char *path = mem_printf("%s/%.*s", f->dir, SLICE_ARG(file->name));
    int fd = open(path, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0640);
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

static struct err *fetch_all(struct fetching *f, struct arena *a, uint64_t *ret_bytes)
{
    char *numbered = arena_printf(a, "%s/%s", f->dir, f->opts->signal->numbered_dir);
    struct segfetch_file *files;
    uint64_t bytes = 0;
    struct err *e;
    size_t n;

    if ((e = fsx_mkdirs(numbered)) || (e = ask(f, SLICE_EMPTY, 0, 0, LIST_MAX_BYTES)) ||
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
