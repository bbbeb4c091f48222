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

#define DISK_BLOCK 4096u /* a hole begins and ends at one */

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

void logsealed_ref(struct logsealed *s)
{
    (void)atomic_fetch_add_explicit(&s->refs, 1, memory_order_relaxed);
}

/* Gives what is behind the front back to the disk. Where the file system cannot, it waits for the file's end. */
static void punch(const struct logfile *f, uint64_t at, const struct logframe *frame)
{
    uint64_t from = at + logframe_front_bytes(frame), to = at + frame->bytes.len;

    from = (from + DISK_BLOCK - 1) / DISK_BLOCK * DISK_BLOCK;
    to = to / DISK_BLOCK * DISK_BLOCK;
    if (from < to && !fault_hit("logfile.punch", &errno))
        (void)fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from,
                        (off_t)(to - from));
}

void logsealed_unref(struct logsealed *s)
{
    if (!s || atomic_fetch_sub_explicit(&s->refs, 1, memory_order_acq_rel) > 1)
        return;
    if (atomic_load(&s->is_dropped))
        punch(s->file, s->at, &s->frame);
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

static struct logsealed *sealed_new(struct logfile *f, uint64_t at, const struct logframe *frame)
{
    struct logsealed *s = mem_new(struct logsealed);

    *s = (struct logsealed){.refs = 1, .file = f, .at = at, .frame = *frame};
    (void)atomic_fetch_add(&f->refs, 1);
    return s;
}

/* ---- what a file is needed for: on the shard's thread ---- */

static void note_needed(struct logshard *sh, struct logfile *f, const struct logframe_head *h)
{
    f->frames++;
    if (h->epoch == sh->head->epoch)
        f->needed_seq = ORR_MAX(f->needed_seq, ORR_MAX(h->through, h->live_to));
}

void logfile_count(struct logshard *sh, struct logsealed *s)
{
    struct logfile *f = s->file;

    if (!f->frames) {
        (void)atomic_fetch_add(&f->refs, 1);
        vec_push(&sh->files, f);
    }
    note_needed(sh, f, &s->frame.head);
    sh->m.frames++;
    METRIC_ADD(sh->m.file_bytes, (int64_t)s->frame.bytes.len);
}

void logfile_count_dropped(struct logshard *sh, struct logsealed *s)
{
    s->file->dropped++;
    sh->m.frames--;
    sh->m.dropped_frames++;
    METRIC_ADD(sh->m.file_bytes, -(int64_t)s->frame.bytes.len);
}

static bool is_needed(const struct logshard *sh, const struct logfile *f)
{
    return f == sh->file || f->is_kept || f->dropped < f->frames ||
           f->needed_seq >= wal_first_seq(sh->head->opts.wal);
}

/* What the log has deleted is deleted first: else, after a power loss, it had records that nothing says are covered. */
static struct err *sync_log(const struct loghead *h)
{
    char *dir = mem_printf("%s/wal", h->dir);
    struct err *e = fsx_sync_dir(dir);

    mem_free(dir);
    return e;
}

void logfile_reap(struct logshard *sh)
{
    bool is_synced = false;

    for (size_t i = sh->files.len; i-- > 0;) {
        struct logfile *f = sh->files.ptr[i];
        struct err *e = NULL;

        if (is_needed(sh, f))
            continue;
        if (!is_synced)
            e = sync_log(sh->head);
        is_synced = !e;
        if (!e && (fault_hit("logfile.unlink", &errno) || (unlink(f->path) && errno != ENOENT)))
            e = err_errno(ERR_IO, "delete %s", f->path);
        if (e) {
            LOG_WARN(head, "file of dropped frames not deleted, it will be tried again",
                     KV_STR("path", f->path), KV_ERR(e));
            err_free(e);
            return;
        }
        sh->m.files_deleted++;
        logfile_unref(f);
        vec_remove_swap(&sh->files, i);
    }
}

/* ---- dropping: any thread ---- */

static struct err *mark(const struct logsealed *s)
{
    const uint8_t dropped = LOGFRAME_DROPPED;

    if (fault_hit("logfile.mark", &errno) ||
        pwrite(s->file->fd, &dropped, 1, (off_t)(s->at + LOGFRAME_DROPPED_AT)) != 1)
        return err_errno(ERR_IO, "mark a frame in %s as dropped", s->file->path);
    return NULL;
}

struct err *logfile_mark_dropped(struct logsealed *const *s, size_t n)
{
    VEC(struct logfile *) files = {0};
    struct err *e = NULL;

    for (size_t i = 0; i < n && !e; i++) {
        bool is_new = true;

        e = mark(s[i]);
        for (size_t k = files.len; k-- > 0 && is_new;)
            is_new = files.ptr[k] != s[i]->file;
        if (is_new)
            vec_push(&files, s[i]->file);
    }
    for (size_t i = 0; i < files.len && !e; i++)
        if (fault_hit("logfile.mark_sync", &errno) || fdatasync(files.ptr[i]->fd))
            e = err_errno(ERR_IO, "sync %s", files.ptr[i]->path);
    vec_done(&files);
    return e;
}

/* ---- reading back ---- */

static struct err *add_streams(struct logtable *tb, const struct logframe *f)
{
    VEC(uint32_t) refs = {0};
    struct buf labels = {0};
    struct err *e = logframe_labels(f, &labels);
    struct reader r = reader_new(buf_slice(&labels));

    for (uint32_t i = 0; i < f->head.n_streams && !e; i++) {
        struct slice ls = reader_lstr(&r);
        struct hash128 fp = logframe_stream_at(f, i).fp;
        uint32_t ref = logtable_find(tb, fp);

        if (!reader_ok(&r) || !logtable_labels_fit(ls, fp)) {
            e = err_new(ERR_CORRUPT, "labels of a stream");
            break;
        }
        vec_push(&refs, ref == LOGHEAD_NO_REF ? logtable_add(tb, fp, ls) : ref);
    }
    if (!e)
        logtable_hold(tb, refs.ptr, refs.len);
    vec_done(&refs);
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

/* Of one that is dropped counts what it covers. Its bytes may still be there, if it was dropped just before the end. */
static void load_dropped(struct logshard *sh, struct logfile *f, uint64_t at,
                         const struct logframe *frame)
{
    note_covered(loghead_table_get(sh, loghead_tenant_get(sh->head, frame->tenant)), &frame->head);
    note_needed(sh, f, &frame->head);
    f->dropped++;
    punch(f, at, frame);
    sh->replay.dropped_frames++;
}

static struct err *load_frame(struct logshard *sh, struct logfile *f, uint64_t at,
                              uint64_t *ret_bytes)
{
    struct slice bytes = slice_of(f->map + at, f->used - at);
    struct logframe frame;
    struct logtable *tb;
    struct logsealed *s;
    struct err *e = logframe_open_front(bytes, &frame);

    if (e)
        return e;
    *ret_bytes = frame.bytes.len;
    if (frame.is_dropped) {
        load_dropped(sh, f, at, &frame);
        return NULL;
    }
    if ((e = logframe_open(bytes, &frame)))
        return e;
    tb = loghead_table_get(sh, loghead_tenant_get(sh->head, frame.tenant));
    if ((e = add_streams(tb, &frame)))
        return e;
    s = sealed_new(f, at, &frame);
    vec_push(&tb->frames, s);
    note_covered(tb, &frame.head);
    note_needed(sh, f, &frame.head);
    logsegment_found(sh->head, tb->tenant, s);
    sh->m.frames++;
    METRIC_ADD(sh->m.file_bytes, (int64_t)frame.bytes.len);
    sh->replay.frames++;
    return NULL;
}

/*
 * Whether what begins at a broken place is more than the torn end of what was being written at the end of the process: then
 * the file stays for whoever looks into it. Nothing is read from there: anybody's bytes may look like a frame.
 */
static bool has_more(const struct logfile *f, uint64_t at, const struct err *why)
{
    if (err_is(why, ERR_UNSUPPORTED))
        return true;
    for (at += 8; at + LOGFRAME_HEADER_BYTES <= f->used; at += 8) {
        struct logframe frame;
        struct err *e = NULL;

        if (f->map[at] == 'O' && f->map[at + 1] == 'R') {
            e = logframe_open_front(slice_of(f->map + at, f->used - at), &frame);
            if (!e)
                return true;
            err_free(e);
        }
    }
    return false;
}

static struct err *load_file(struct logshard *sh, const char *path)
{
    struct logfile *f = mem_new(struct logfile);
    struct err *e = NULL;
    uint64_t bytes;
    off_t size;

    *f = (struct logfile){.refs = 1, .path = mem_strdup(path)};
    f->fd = open(path, O_RDWR | O_CLOEXEC);
    if (f->fd < 0 || (size = lseek(f->fd, 0, SEEK_END)) < 0) {
        e = err_errno(ERR_IO, "open %s", path);
    } else if (size > 0) {
        f->used = f->cap = (uint64_t)size;
        e = map_file(f);
    }
    for (uint64_t at = 0; !e && at < f->used; at += bytes) {
        bytes = 0;
        if (!(e = load_frame(sh, f, at, &bytes)))
            continue;
        LOG_WARN(head, "frame of log lines left out", KV_STR("path", path), KV_U64("offset", at),
                 KV_ERR(e));
        sh->replay.torn_frames++;
        f->is_kept = f->is_kept || bytes || has_more(f, at, e);
        err_free(e);
        e = NULL;
        if (!bytes) /* nothing behind it can be found; if it was the last, the log has it still */
            break;
    }
    if (e)
        logfile_unref(f);
    else
        vec_push(&sh->files, f); /* also without a frame: to be deleted */
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
    if (!e)
        logfile_reap(sh);
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

/* One that is left when it is full, and with its window: what is dropped together lies together. */
static struct err *file_for(struct logshard *sh, size_t bytes, int64_t window_ms)
{
    struct logfile *f = sh->file;
    struct err *e;

    if (f && f->used && (f->used + bytes > f->cap || window_ms > f->window_ms)) {
        logfile_unref(f);
        f = sh->file = NULL;
    }
    if (f)
        return NULL;
    if ((e = create_file(sh, ORR_MAX(LOGHEAD_FILE_BYTES, (uint64_t)bytes), &f)))
        return e;
    f->window_ms = window_ms;
    sh->file = f;
    return NULL;
}

struct err *logfile_append(struct logshard *sh, struct slice frame, int64_t window_ms,
                           struct logsealed **ret)
{
    struct err *e = file_for(sh, frame.len, window_ms);
    struct logfile *f = sh->file;
    struct logframe opened;

    if (e)
        return e;
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
    *ret = sealed_new(f, f->used, &opened);
    f->used += frame.len;
    return NULL;
}
