/* Files of frames: DIR/head/<shard>/frames-<n, 8 hex digits>, mapped; written by the sealer alone. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/base/fault.h"
#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "ingester/logs/loghead_internal.h"

struct logfile {
    _Atomic uint32_t refs;
    char *path;
    int fd;
    uint64_t used, cap; /* the map is as long as cap, the file as used */
    uint8_t *map;
};

void logfile_unref(struct logfile *f)
{
    if (!f || atomic_fetch_sub_explicit(&f->refs, 1, memory_order_acq_rel) > 1)
        return;
    if (f->map)
        (void)munmap(f->map, f->cap);
    if (f->fd >= 0)
        (void)close(f->fd);
    mem_free(f->path);
    mem_free(f);
}

void logsealed_unref(struct logsealed *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) > 1)
        return;
    logfile_unref(s->file);
    mem_free(s);
}

static struct err *map_file(struct logfile *f)
{
    void *p = mmap(NULL, f->cap, PROT_READ, MAP_SHARED, f->fd, 0);

    if (p == MAP_FAILED)
        return err_errno(ERR_IO, "map %s", f->path);
    f->map = p;
    return NULL;
}

static char *shard_dir(const struct logshard *sh)
{
    return mem_printf("%s/head/%u", sh->head->dir, sh->index);
}

static struct logsealed *sealed_new(struct logfile *f, const struct logframe *frame)
{
    struct logsealed *s = mem_new(struct logsealed);

    *s = (struct logsealed){.refs = 1, .file = f, .frame = *frame};
    (void)atomic_fetch_add(&f->refs, 1);
    return s;
}

/* ---- reading back ---- */

static struct err *add_streams(struct logtable *tb, const struct logframe *f)
{
    struct buf labels = {0};
    struct err *e = logframe_labels(f, &labels);
    struct reader r = reader_new(buf_slice(&labels));

    for (uint32_t i = 0; i < f->head.n_streams && !e; i++) {
        struct slice ls = reader_lstr(&r);
        struct hash128 fp = logframe_stream_at(f, i).fp;

        if (!reader_ok(&r) || !logtable_labels_fit(ls, fp))
            e = err_new(ERR_CORRUPT, "labels of a stream");
        else if (logtable_find(tb, fp) == LOGHEAD_NO_REF)
            (void)logtable_add(tb, fp, ls);
    }
    buf_done(&labels);
    return e;
}

static void note_covered(struct logtable *tb, const struct logframe_head *h)
{
    if (h->epoch != tb->shard->head->epoch)
        return;
    tb->through = ORR_MAX(tb->through, h->through);
    if (h->live_to)
        vec_push(&tb->live, ((struct loglive){h->live_from, h->live_to}));
}

static struct err *load_frame(struct logshard *sh, struct logfile *f, const struct logframe *frame)
{
    struct logtable *tb = loghead_table_get(sh, loghead_tenant_get(sh->head, frame->tenant));
    struct err *e = add_streams(tb, frame);

    if (e)
        return e;
    vec_push(&tb->frames, sealed_new(f, frame));
    note_covered(tb, &frame->head);
    sh->replay.frames++;
    sh->m.frames++;
    return NULL;
}

static struct err *load_file(struct logshard *sh, const char *path)
{
    struct logfile *f = mem_new(struct logfile);
    struct err *e = NULL;
    off_t size;

    *f = (struct logfile){.refs = 1, .path = mem_strdup(path)};
    f->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (f->fd < 0 || (size = lseek(f->fd, 0, SEEK_END)) < 0) {
        e = err_errno(ERR_IO, "open %s", path);
    } else if (size > 0) {
        f->used = f->cap = (uint64_t)size;
        e = map_file(f);
    }
    for (uint64_t at = 0; !e && at < f->used;) {
        struct logframe frame;

        if ((e = logframe_open(slice_of(f->map + at, f->used - at), &frame)) ||
            (e = load_frame(sh, f, &frame))) {
            /* Nothing behind it can be found; what it held is in the log still, if it was the last. */
            LOG_WARN(head, "frame of log lines left out", KV_STR("path", path),
                     KV_U64("offset", at), KV_ERR(e));
            sh->replay.torn_frames++;
            err_free(e);
            e = NULL;
            break;
        }
        at += frame.bytes.len;
    }
    METRIC_ADD(sh->m.file_bytes, (int64_t)f->used);
    logfile_unref(f);
    return e;
}

struct err *logfile_load(struct logshard *sh)
{
    char *dir = shard_dir(sh), **names;
    size_t n;
    struct err *e;

    if ((e = fsx_mkdirs(dir)) || (e = fsx_list(dir, &names, &n))) {
        mem_free(dir);
        return e;
    }
    for (size_t i = 0; i < n && !e; i++) {
        char *path = mem_printf("%s/%s", dir, names[i]);
        uint32_t number;

        if (sscanf(names[i], "frames-%8" SCNx32, &number) == 1) {
            sh->next_file = ORR_MAX(sh->next_file, number + 1);
            e = load_file(sh, path);
        }
        mem_free(path);
    }
    fsx_names_free(names, n);
    mem_free(dir);
    return e;
}

/* ---- writing ---- */

static struct err *create_file(struct logshard *sh, uint64_t cap, struct logfile **ret)
{
    struct logfile *f = mem_new(struct logfile);
    char *dir = shard_dir(sh);
    struct err *e = NULL;

    *f = (struct logfile){.refs = 1, .cap = cap};
    f->path = mem_printf("%s/frames-%08" PRIx32, dir, sh->next_file++);
    f->fd = fault_hit("logfile.create", &errno)
                ? -1
                : open(f->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0640);
    if (f->fd < 0)
        e = err_errno(ERR_IO, "create %s", f->path);
    if (!e)
        e = map_file(f);
    if (!e)
        e = fsx_sync_dir(dir);
    mem_free(dir);
    if (e) {
        logfile_unref(f);
        return e;
    }
    *ret = f;
    return NULL;
}

struct err *logfile_append(struct logshard *sh, struct slice frame, struct logsealed **ret)
{
    struct logfile *f = sh->file;
    struct logframe opened;
    struct err *e = NULL;

    if (f && f->used && f->used + frame.len > f->cap) {
        logfile_unref(f);
        f = sh->file = NULL;
    }
    if (!f) {
        if ((e = create_file(sh, ORR_MAX(LOGHEAD_FILE_BYTES, (uint64_t)frame.len), &f)))
            return e;
        sh->file = f;
    }
    if (lseek(f->fd, (off_t)f->used, SEEK_SET) < 0)
        e = err_errno(ERR_IO, "seek %s", f->path);
    if (!e)
        e = fsx_write_all(f->fd, f->path, frame);
    if (!e && (fault_hit("logfile.sync", &errno) || fdatasync(f->fd)))
        e = err_errno(ERR_IO, "sync %s", f->path);
    if (!e)
        e = logframe_open(slice_of(f->map + f->used, frame.len), &opened);
    if (e) {
        /* After a failed sync nobody knows what is in it: the next one goes into a fresh file. */
        (void)ftruncate(f->fd, (off_t)f->used);
        logfile_unref(f);
        sh->file = NULL;
        return e;
    }
    f->used += frame.len;
    METRIC_ADD(sh->m.file_bytes, (int64_t)frame.len);
    *ret = sealed_new(f, &opened);
    return NULL;
}
