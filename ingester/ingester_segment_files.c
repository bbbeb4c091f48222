/* Segments of metrics for the RPC methods: directories of files. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "common/model/metrics_rpc.h"
#include "ingester/ingester_internal.h"

struct pinned {
    struct head *head;
    struct head_segment row;
    char *file;
    int fd;
};

static void *list_rows(struct ingester *ing, size_t *ret_n)
{
    struct head_segment *rows;

    head_segments(ing->head, &rows, ret_n);
    return rows;
}

static bool row_at(const void *rows, size_t i, struct rpc_segment *ret)
{
    const struct head_segment *s = (const struct head_segment *)rows + i;

    *ret = (struct rpc_segment){slice_cstr(s->tenant),
                                slice_cstr(s->ulid),
                                s->min_ms,
                                s->max_ms,
                                s->series,
                                s->samples,
                                s->bytes};
    return s->state == HEAD_SEGMENT_READY;
}

static struct err *pin(struct ingester *ing, struct slice tenant, struct slice ulid, void **ret)
{
    struct pinned *p = mem_new(struct pinned);
    struct err *e = head_segment_pin(ing->head, tenant, ulid, &p->row);

    if (e) {
        mem_free(p);
        return e;
    }
    p->head = ing->head;
    p->fd = -1;
    *ret = p;
    return NULL;
}

static void unpin(void *pinned)
{
    struct pinned *p = pinned;

    if (p->fd >= 0)
        (void)close(p->fd);
    head_segment_unpin(p->head, &p->row);
    mem_free(p->file);
    mem_free(p);
}

/* A file of the segment's directory or of one directory in it. */
static bool is_good_file(const char *name)
{
    unsigned slashes = 0;

    if (!name[0] || name[0] == '/' || strstr(name, "..") || strstr(name, "//"))
        return false;
    for (const char *p = name; *p; p++)
        slashes += *p == '/';
    return slashes <= 1 && name[strlen(name) - 1] != '/';
}

static struct err *list_dir(struct buf *out, const char *dir, const char *prefix, bool is_top)
{
    char **names;
    size_t n;
    struct err *e = fsx_list(dir, &names, &n);

    if (e)
        return e;
    for (size_t i = 0; !e && i < n; i++) {
        char *path = mem_printf("%s/%s", dir, names[i]);
        char *name = mem_printf("%s%s", prefix, names[i]);
        struct stat st;

        if (lstat(path, &st)) {
            e = err_errno(ERR_IO, "stat %s", path);
        } else if (S_ISREG(st.st_mode)) {
            buf_lstr(out, slice_cstr(name));
            buf_uvarint(out, (uint64_t)st.st_size);
        } else if (S_ISDIR(st.st_mode) && is_top) {
            char *sub = mem_printf("%s/", name);

            e = list_dir(out, path, sub, false);
            mem_free(sub);
        }
        mem_free(path);
        mem_free(name);
    }
    fsx_names_free(names, n);
    return e;
}

static struct err *list_files(void *pinned, struct buf *out)
{
    struct pinned *p = pinned;

    return list_dir(out, p->row.path, "", true);
}

static struct err *open_file(void *pinned, const char *file, uint64_t *ret_bytes)
{
    struct pinned *p = pinned;
    char *path;
    struct stat st;
    struct err *e = NULL;

    if (!is_good_file(file))
        return err_new(ERR_INVALID, "\"%s\" is no file of a segment", file);
    path = mem_printf("%s/%s", p->row.path, file);
    p->file = mem_strdup(file);
    p->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (p->fd < 0)
        e = err_errno(errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "open %s", path);
    else if (fstat(p->fd, &st))
        e = err_errno(ERR_IO, "stat %s", path);
    else
        *ret_bytes = (uint64_t)st.st_size;
    mem_free(path);
    return e;
}

static struct err *read_file(void *pinned, uint64_t offset, size_t n, struct buf *out)
{
    struct pinned *p = pinned;
    ssize_t got = pread(p->fd, buf_reserve(out, n), n, (off_t)offset);

    if (got < 0)
        return err_errno(ERR_IO, "read %s of segment %s", p->file, p->row.ulid);
    if (got == 0)
        return err_new(ERR_IO, "%s of segment %s ends early", p->file, p->row.ulid);
    out->len += (size_t)got;
    return NULL;
}

static struct err *dropped(struct ingester *ing, struct slice tenant, struct slice ulid,
                           uint64_t version)
{
    return head_segment_dropped(ing->head, tenant, ulid, version);
}

const struct ingester_segment_ops ingester_segment_files = {
    list_rows, row_at, pin, unpin, list_files, open_file, read_file, dropped};
