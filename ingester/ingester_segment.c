/* RPC methods about segments, for compactors: see common/model/metrics_rpc.h. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "common/model/metrics_rpc.h"
#include "common/model/tenant.h"
#include "ingester/ingester_internal.h"

#define READ_BYTES (512u << 10)

/* ---- ingester.segments ---- */

struct listing {
    struct head *head;
    char *tenant; /* "": all */
    struct head_segment *rows;
    size_t n, at;
};

static struct err *listing_open(void *src)
{
    struct listing *l = src;

    head_segments(l->head, &l->rows, &l->n);
    return NULL;
}

static struct err *listing_next(void *src, struct buf *frame, bool *ret_more)
{
    struct listing *l = src;

    for (; l->at < l->n && frame->len < METRICS_RPC_FRAME_BYTES; l->at++) {
        const struct head_segment *s = &l->rows[l->at];

        if (s->state != HEAD_SEGMENT_READY || (l->tenant[0] && strcmp(l->tenant, s->tenant) != 0))
            continue;
        rpc_segment_encode(frame, &(struct rpc_segment){slice_cstr(s->tenant), slice_cstr(s->ulid),
                                                        s->min_ms, s->max_ms, s->series, s->samples,
                                                        s->bytes});
    }
    *ret_more = l->at < l->n;
    return NULL;
}

static void listing_close(void *src)
{
    struct listing *l = src;

    mem_free(l->rows);
    mem_free(l->tenant);
    mem_free(l);
}

static void on_segments(void *arg, struct rpc_call *call)
{
    static const struct feed_ops ops = {listing_open, listing_next, listing_close};
    struct ingester *ing = arg;
    struct listing *l = mem_new(struct listing);

    l->head = ing->head;
    l->tenant = slice_dup(rpc_call_tenant(call));
    feed_start(ing->feeds, call, &ops, l);
}

/* ---- ingester.segment_read ---- */

struct reading {
    struct head *head;
    char *tenant, *ulid, *file;
    uint64_t offset, left;
    struct head_segment row;
    bool is_pinned;
    int fd;
    struct buf list; /* the answer when no file is named */
};

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

static struct err *open_file(struct reading *r)
{
    char *path;
    struct stat st;
    struct err *e = NULL;

    if (!is_good_file(r->file))
        return err_new(ERR_INVALID, "\"%s\" is no file of a segment", r->file);
    path = mem_printf("%s/%s", r->row.path, r->file);
    r->fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (r->fd < 0)
        e = err_errno(errno == ENOENT ? ERR_NOT_FOUND : ERR_IO, "open %s", path);
    else if (fstat(r->fd, &st))
        e = err_errno(ERR_IO, "stat %s", path);
    else if (r->offset > (uint64_t)st.st_size)
        e = err_new(ERR_INVALID, "offset %llu lies behind the end of %s",
                    (unsigned long long)r->offset, r->file);
    else if (r->left == 0 || r->left > (uint64_t)st.st_size - r->offset)
        r->left = (uint64_t)st.st_size - r->offset;
    mem_free(path);
    return e;
}

static struct err *reading_open(void *src)
{
    struct reading *r = src;
    struct err *e = head_segment_pin(r->head, slice_cstr(r->tenant), slice_cstr(r->ulid), &r->row);

    if (e)
        return e;
    r->is_pinned = true;
    return r->file[0] ? open_file(r) : list_dir(&r->list, r->row.path, "", true);
}

static struct err *reading_next(void *src, struct buf *frame, bool *ret_more)
{
    struct reading *r = src;
    size_t want = (size_t)ORR_MIN(r->left, (uint64_t)READ_BYTES);
    ssize_t n;

    if (!r->file[0]) {
        buf_slice_append(frame, buf_slice(&r->list));
        *ret_more = false;
        return NULL;
    }
    if (want) {
        n = pread(r->fd, buf_reserve(frame, want), want, (off_t)r->offset);
        if (n < 0)
            return err_errno(ERR_IO, "read %s of segment %s", r->file, r->ulid);
        if (n == 0)
            return err_new(ERR_IO, "%s of segment %s ends early", r->file, r->ulid);
        frame->len += (size_t)n;
        r->offset += (uint64_t)n;
        r->left -= (uint64_t)n;
    }
    *ret_more = r->left > 0;
    return NULL;
}

static void reading_close(void *src)
{
    struct reading *r = src;

    if (r->fd >= 0)
        (void)close(r->fd);
    if (r->is_pinned)
        head_segment_unpin(r->head, &r->row);
    buf_done(&r->list);
    mem_free(r->tenant);
    mem_free(r->ulid);
    mem_free(r->file);
    mem_free(r);
}

static void on_segment_read(void *arg, struct rpc_call *call)
{
    static const struct feed_ops ops = {reading_open, reading_next, reading_close};
    struct ingester *ing = arg;
    struct rpc_segment_read req;
    struct reading *r;
    struct err *e;

    if ((e = tenant_check(rpc_call_tenant(call))) ||
        (e = rpc_segment_read_decode(rpc_call_payload(call), &req))) {
        rpc_reply_err(call, e);
        return;
    }
    r = mem_new(struct reading);
    r->head = ing->head;
    r->fd = -1;
    r->tenant = slice_dup(rpc_call_tenant(call));
    r->ulid = slice_dup(req.ulid);
    r->file = slice_dup(req.file);
    r->offset = req.offset;
    r->left = req.len;
    feed_start(ing->feeds, call, &ops, r);
}

/* ---- ingester.segment_dropped ---- */

struct dropping {
    struct ingester *ing;
    char *tenant, *ulid;
    uint64_t version;
};

static struct err *dropping_open(void *src)
{
    struct dropping *d = src;
    struct err *e =
        head_segment_dropped(d->ing->head, slice_cstr(d->tenant), slice_cstr(d->ulid), d->version);

    flush_wake(d->ing->flush);
    return e;
}

static struct err *dropping_next(void *src, struct buf *frame, bool *ret_more)
{
    (void)src;
    (void)frame;
    *ret_more = false;
    return NULL;
}

static void dropping_close(void *src)
{
    struct dropping *d = src;

    mem_free(d->tenant);
    mem_free(d->ulid);
    mem_free(d);
}

static void on_segment_dropped(void *arg, struct rpc_call *call)
{
    static const struct feed_ops ops = {dropping_open, dropping_next, dropping_close};
    struct ingester *ing = arg;
    struct rpc_segment_read req;
    struct dropping *d;
    struct err *e;

    if ((e = tenant_check(rpc_call_tenant(call))) ||
        (e = rpc_segment_read_decode(rpc_call_payload(call), &req))) {
        rpc_reply_err(call, e);
        return;
    }
    d = mem_new(struct dropping);
    d->ing = ing;
    d->tenant = slice_dup(rpc_call_tenant(call));
    d->ulid = slice_dup(req.ulid);
    d->version = req.version;
    feed_start(ing->feeds, call, &ops, d);
}

void ingester_segment_handle(struct ingester *ing)
{
    struct rpc_server *s = process_rpc(ing->process);

    rpc_server_handle(s, "ingester.segments", on_segments, ing);
    rpc_server_handle(s, "ingester.segment_read", on_segment_read, ing);
    rpc_server_handle(s, "ingester.segment_dropped", on_segment_dropped, ing);
}
