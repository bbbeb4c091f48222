#include "common/wal/wal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/thread.h"
#include "common/wal/wal_internal.h"
#include "common/wal/walseg.h"

#define DEFAULT_SEGMENT_BYTES (128 << 20)
#define DEFAULT_GROUP_BYTES (64 << 20)
#define PROBE_MS 1000
#define KEEP_GROUP_BYTES (4u << 20) /* a buffer that a burst grew beyond this is given back */

static const struct metric_field wal_fields[] = {
    METRIC_COUNTER(struct wal_metrics, records, "orrery_wal_records_total", "Records appended."),
    METRIC_COUNTER(struct wal_metrics, bytes, "orrery_wal_written_bytes_total", "Bytes written."),
    METRIC_COUNTER(struct wal_metrics, groups, "orrery_wal_groups_total",
                   "Groups written and synced."),
    METRIC_COUNTER(struct wal_metrics, failures, "orrery_wal_failures_total",
                   "Writes or syncs that failed."),
    METRIC_COUNTER(struct wal_metrics, replayed_records, "orrery_wal_replayed_records_total",
                   "Records read back at start."),
    METRIC_COUNTER(struct wal_metrics, torn_bytes, "orrery_wal_torn_bytes_total",
                   "Bytes of interrupted writes cut off at start."),
    METRIC_COUNTER(struct wal_metrics, quarantined, "orrery_wal_quarantined_total",
                   "Broken places found at start and put aside."),
    METRIC_COUNTER(struct wal_metrics, quarantined_bytes, "orrery_wal_quarantined_bytes_total",
                   "Bytes in broken places."),
    METRIC_GAUGE(struct wal_metrics, is_healthy, "orrery_wal_healthy",
                 "1 while records can be made durable."),
    METRIC_GAUGE(struct wal_metrics, is_uring, "orrery_wal_io_uring",
                 "1 if io_uring is used, 0 for the fallback on a thread."),
    METRIC_GAUGE(struct wal_metrics, segments, "orrery_wal_segments", "Segment files on disk."),
    METRIC_HIST(struct wal_metrics, sync_s, "orrery_wal_sync_seconds",
                "Time to write and sync a group."),
};

static struct wal_group *group_new(void)
{
    struct wal_group *g = mem_new(struct wal_group);

    buf_fill(&g->bytes, 0, WALSEG_GROUP_BYTES);
    return g;
}

static void group_reset(struct wal_group *g)
{
    if (g->bytes.cap > KEEP_GROUP_BYTES)
        buf_done(&g->bytes);
    buf_reset(&g->bytes);
    buf_fill(&g->bytes, 0, WALSEG_GROUP_BYTES);
    vec_clear(&g->waiters);
    g->records = 0;
}

static void group_free(struct wal_group *g)
{
    if (!g)
        return;
    buf_done(&g->bytes);
    vec_done(&g->waiters);
    mem_free(g);
}

/* Ends the wait of everybody in the group; e is copied for each. */
static void group_finish(struct wal_group *g, const struct err *e)
{
    VEC_FOREACH (waiter, &g->waiters)
        waiter->done(waiter->arg, err_copy(e));
}

/* ---- the wal thread ---- */

static struct err *segment_create(struct wal *w, uint64_t first_seq)
{
    char *path = mem_printf("%s/%016" PRIx64 ".wal", w->dir, first_seq);
    uint8_t header[WALSEG_HEADER_BYTES];
    int errnum, fd;
    struct err *e = w->io->ops->create(w->io, path, w->segment_bytes, &fd);

    if (e) {
        mem_free(path);
        return e;
    }
    walseg_header(header, first_seq, clock_wall_ns(w->clock));
    if ((errnum = w->io->ops->write(w->io, fd, 0, slice_of(header, sizeof(header)), true)))
        e = err_errnum(ERR_IO, errnum, "create %s", path);
    else
        e = w->io->ops->sync_dir(w->io, w->dir); /* or power loss can lose the name */
    if (e) {
        (void)w->io->ops->close(w->io, fd, WALIO_KEEP_SIZE);
        err_free(w->io->ops->remove(w->io, path));
        mem_free(path);
        return e;
    }
    lock_take(&w->lock);
    vec_push(&w->files, ((struct wal_file){path, first_seq}));
    w->m.segments = (int64_t)w->files.len;
    lock_release(&w->lock);
    w->fd = fd;
    w->offset = WALSEG_HEADER_BYTES;
    wal_remove_empty(w);
    return NULL;
}

/* Gives back what was preallocated and not used. */
static void segment_finish(struct wal *w)
{
    int errnum;

    if (w->fd < 0)
        return;
    if ((errnum = w->io->ops->close(w->io, w->fd, w->offset)))
        LOG_WARN(wal, "cannot give back unused space", KV_I64("value", errnum));
    w->fd = -1;
}

static void segment_abandon(struct wal *w)
{
    if (w->fd >= 0)
        (void)w->io->ops->close(w->io, w->fd, WALIO_KEEP_SIZE);
    w->fd = -1;
}

static struct err *group_write(struct wal *w, struct wal_group *g)
{
    size_t padded = (g->bytes.len + 7) & ~(size_t)7;
    int64_t start = clock_mono_ns(w->clock);
    struct err *e;
    int errnum;

    buf_fill(&g->bytes, 0, padded - g->bytes.len);
    if (w->fd >= 0 && w->offset + padded > (uint64_t)w->segment_bytes &&
        w->offset > WALSEG_HEADER_BYTES)
        segment_finish(w);
    if (w->fd < 0 && (e = segment_create(w, g->first_seq)))
        return e;
    walseg_group_header(g->bytes.ptr, padded - WALSEG_GROUP_BYTES, g->first_seq, g->records);
    errnum = w->io->ops->write(w->io, w->fd, w->offset, buf_slice(&g->bytes), w->is_sync);
    if (errnum)
        return err_errnum(ERR_IO, errnum, "write to the log in %s", w->dir);
    w->offset += padded;
    METRIC_ADD(w->m.groups, 1u);
    METRIC_ADD(w->m.bytes, padded);
    metric_hist_observe(&w->m.sync_s, (double)(clock_mono_ns(w->clock) - start) / (double)NS_PER_S);
    return NULL;
}

/* After a failure nothing is known about the pages of this file: it is left as it is. */
static void become_unhealthy(struct wal *w, struct err *e)
{
    struct wal_group *g;

    LOG_ERROR(wal, "the log cannot be written; writes are refused until it can",
              KV_STR("path", w->dir), KV_ERR(e));
    METRIC_ADD(w->m.failures, 1u);
    err_free(w->failure);
    w->failure = e;
    segment_abandon(w);
    lock_take(&w->lock);
    w->is_healthy = false;
    w->m.is_healthy = 0;
    g = w->open;
    w->open = w->spare;
    group_reset(w->open);
    w->open->first_seq = w->next_seq;
    w->spare = g;
    lock_release(&w->lock);
    group_finish(g, e); /* who waited in the group behind the failed one */
    group_reset(g);
}

/* A group of no records, written and synced, shows that the disk is back. */
static void probe(struct wal *w)
{
    uint64_t seq;
    struct err *e;

    lock_take(&w->lock);
    seq = w->next_seq++; /* the failed segment may be named after the same number */
    w->open->first_seq = w->next_seq;
    lock_release(&w->lock);
    if ((e = segment_create(w, seq))) {
        err_free(w->failure);
        w->failure = e;
        return;
    }
    LOG_INFO(wal, "the log can be written again", KV_STR("path", w->dir));
    lock_take(&w->lock);
    w->is_healthy = true;
    w->m.is_healthy = 1;
    lock_release(&w->lock);
}

/* With the lock held: the group to write next, or NULL to look again. */
static struct wal_group *next_group(struct wal *w)
{
    struct wal_group *g = w->open;

    if (g->records == 0 && g->waiters.len == 0)
        return NULL;
    w->open = w->spare;
    w->spare = NULL;
    w->open->first_seq = w->next_seq;
    w->syncing_bytes = g->bytes.len;
    return g;
}

static void flush_group(struct wal *w, struct wal_group *g)
{
    struct err *e = g->records ? group_write(w, g) : NULL;

    lock_take(&w->lock);
    w->syncing_bytes = 0;
    lock_release(&w->lock);
    group_finish(g, e);
    group_reset(g);
    w->spare = g;
    if (e)
        become_unhealthy(w, e);
}

bool wal_step(struct wal *w)
{
    struct wal_group *g;
    bool must_probe;

    lock_take(&w->lock);
    g = next_group(w);
    must_probe = !g && !w->is_healthy && !w->is_stopping;
    lock_release(&w->lock);
    if (g)
        flush_group(w, g);
    else if (must_probe)
        probe(w);
    return g || must_probe;
}

/* Until there is something for wal_step(). False: the log is closing and all is written. */
static bool wait_for_work(struct wal *w)
{
    struct timespec until;
    bool has_work, is_running;

    lock_take(&w->lock);
    has_work = w->open->records || w->open->waiters.len;
    if (!has_work && !w->is_stopping && w->is_healthy) {
        lock_wait(&w->lock, &w->wake);
    } else if (!has_work && !w->is_stopping) {
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += PROBE_MS / 1000;
        lock_wait_until(&w->lock, &w->wake, &until);
    }
    is_running = !w->is_stopping || w->open->records || w->open->waiters.len;
    lock_release(&w->lock);
    return is_running;
}

static void *wal_main(void *arg)
{
    struct wal *w = arg;

    while (wait_for_work(w))
        (void)wal_step(w);
    return NULL;
}

/* ---- callers ---- */

struct err *wal_append(struct wal *w, uint8_t type, struct slice tenant, struct slice payload,
                       wal_done_fn *done, void *arg, uint64_t *ret_seq)
{
    struct err *e = NULL;
    struct wal_group *g;
    uint32_t crc;

    if (payload.len > WALSEG_MAX_RECORD_BYTES || tenant.len > UINT8_MAX)
        return err_new(ERR_TOO_LARGE, "a log record of %zu bytes", payload.len);
    crc = walseg_record_crc(type, tenant, payload); /* outside the lock */
    lock_take(&w->lock);
    g = w->open;
    if (!w->is_healthy || w->is_stopping) {
        e = err_new(w->is_stopping ? ERR_UNAVAILABLE : ERR_IO, "the log in %s cannot be written",
                    w->dir);
    } else if (g->bytes.len + w->syncing_bytes + payload.len > (size_t)w->max_group_bytes &&
               g->records) {
        e = err_new(ERR_UNAVAILABLE, "the log's disk is %zu bytes behind",
                    g->bytes.len + w->syncing_bytes);
    } else {
        walseg_append_record(&g->bytes, crc, type, tenant, payload);
        vec_push(&g->waiters, ((struct wal_waiter){done, arg}));
        g->records++;
        if (ret_seq)
            *ret_seq = w->next_seq;
        w->next_seq++;
        METRIC_ADD(w->m.records, 1u);
        if (g->records == 1)
            (void)pthread_cond_signal(&w->wake);
    }
    lock_release(&w->lock);
    return e;
}

void wal_barrier(struct wal *w, wal_done_fn *done, void *arg)
{
    struct err *e = NULL;

    lock_take(&w->lock);
    if (w->is_healthy && !w->is_stopping) {
        vec_push(&w->open->waiters, ((struct wal_waiter){done, arg}));
        (void)pthread_cond_signal(&w->wake);
        done = NULL;
    } else {
        e = err_new(ERR_IO, "the log in %s cannot be written", w->dir);
    }
    lock_release(&w->lock);
    if (done)
        done(arg, e);
}

uint64_t wal_next_seq(const struct wal *w)
{
    struct wal *mine = (struct wal *)w;
    uint64_t seq;

    lock_take(&mine->lock);
    seq = w->next_seq;
    lock_release(&mine->lock);
    return seq;
}

uint64_t wal_first_seq(const struct wal *w)
{
    struct wal *mine = (struct wal *)w;
    uint64_t seq;

    lock_take(&mine->lock);
    seq = w->files.len ? w->files.ptr[0].first_seq : w->next_seq;
    lock_release(&mine->lock);
    return seq;
}

bool wal_is_healthy(const struct wal *w)
{
    struct wal *mine = (struct wal *)w;
    bool is_healthy;

    lock_take(&mine->lock);
    is_healthy = w->is_healthy;
    lock_release(&mine->lock);
    return is_healthy;
}

const char *wal_backend(const struct wal *w)
{
    return w->io->is_uring ? "io_uring" : "thread";
}

struct err *wal_truncate_before(struct wal *w, uint64_t seq)
{
    struct err *e = NULL;
    size_t removed = 0;

    lock_take(&w->lock);
    while (w->files.len > removed + 1 && w->files.ptr[removed + 1].first_seq <= seq && !e) {
        struct wal_file *f = &w->files.ptr[removed];

        if (!(e = w->io->ops->remove(w->io, f->path))) {
            mem_free(f->path);
            removed++;
        }
    }
    if (removed)
        memmove(w->files.ptr, w->files.ptr + removed,
                (w->files.len - removed) * sizeof(*w->files.ptr));
    w->files.len -= removed;
    w->old_files -= ORR_MIN(removed, w->old_files);
    w->m.segments = (int64_t)w->files.len;
    lock_release(&w->lock);
    return e;
}

static void wal_free(struct wal *w)
{
    if (!w)
        return;
    VEC_FOREACH (f, &w->files)
        mem_free(f->path);
    VEC_FOREACH (f, &w->empty)
        mem_free(f->path);
    vec_done(&w->files);
    vec_done(&w->empty);
    group_free(w->open);
    group_free(w->spare);
    w->io->ops->free(w->io);
    err_free(w->failure);
    (void)pthread_cond_destroy(&w->wake);
    lock_done(&w->lock);
    mem_free(w->dir);
    mem_free(w);
}

/* A full disk must not keep a process from starting: what it has can be read, and room comes back.
 * Takes e when it is that. Before the thread runs: nothing to lock. */
static bool start_unhealthy(struct wal *w, struct err *e)
{
    int errnum = err_errnum_of(e);

    if (errnum != ENOSPC && errnum != EDQUOT)
        return false;
    LOG_ERROR(wal, "the log cannot be written; writes are refused until it can",
              KV_STR("path", w->dir), KV_ERR(e));
    METRIC_ADD(w->m.failures, 1u);
    w->failure = e;
    w->is_healthy = false;
    w->m.is_healthy = 0;
    return true;
}

struct err *wal_open(const struct wal_opts *opts, struct wal **ret)
{
    struct wal *w = mem_new(struct wal);
    struct err *e;

    w->dir = mem_printf("%s/wal", opts->dir);
    w->segment_bytes = opts->segment_bytes ? opts->segment_bytes : DEFAULT_SEGMENT_BYTES;
    w->max_group_bytes = opts->max_group_bytes ? opts->max_group_bytes : DEFAULT_GROUP_BYTES;
    w->is_sync = !opts->without_sync;
    w->clock = opts->clock ? opts->clock : &clock_system;
    w->fd = -1;
    w->is_healthy = true;
    w->m.is_healthy = 1;
    lock_init(&w->lock, LOCK_WAL);
    lock_cond_init(&w->wake);
    w->io = opts->io ? opts->io : walio_disk(opts->without_io_uring);
    w->m.is_uring = w->io->is_uring;
    if (!opts->io && !w->m.is_uring && !opts->without_io_uring)
        LOG_INFO(wal, "io_uring is not available; the log is written by a thread");
    if ((e = w->io->ops->mkdirs(w->io, w->dir)) || (e = wal_scan_dir(w, &w->next_seq)))
        goto fail;
    w->old_files = w->files.len;
    w->open = group_new();
    w->open->first_seq = w->next_seq;
    w->spare = group_new();
    if ((e = segment_create(w, w->next_seq)) && !start_unhealthy(w, e))
        goto fail;
    w->has_thread = !opts->without_thread;
    if (w->has_thread && (e = thread_start("wal", wal_main, w, &w->thread)))
        goto fail;
    metric_register(&w->m, wal_fields, ORR_COUNT(wal_fields), opts->labels);
    *ret = w;
    return NULL;
fail:
    segment_abandon(w);
    wal_free(w);
    return err_wrap(e, "open the log");
}

struct err *wal_close(struct wal *w)
{
    struct err *e;

    if (!w)
        return NULL;
    lock_take(&w->lock);
    w->is_stopping = true;
    (void)pthread_cond_signal(&w->wake);
    lock_release(&w->lock);
    if (w->has_thread)
        (void)pthread_join(w->thread, NULL);
    else
        while (wal_step(w))
            ;
    segment_finish(w);
    metric_unregister(&w->m);
    e = err_copy(w->is_healthy ? NULL : w->failure);
    wal_free(w);
    return e;
}

void wal_abandon(struct wal *w)
{
    if (!w)
        return;
    ORR_ASSERT(!w->has_thread);
    metric_unregister(&w->m);
    segment_abandon(w);
    wal_free(w);
}
