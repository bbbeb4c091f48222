/* What uploading from here asks of a signal: metrics' segments are blocks already, those of log lines and traces become blocks. */
#include <stdio.h>

#include "common/base/fsx.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/block/block_store.h"
#include "common/logblock/logblock.h"
#include "common/logblock/logframe.h"
#include "common/traceblock/traceblock.h"
#include "common/traces/tracesegment.h"
#include "ingester/flush_internal.h"

static void put_waiting(struct flush_waiting *w, const char *tenant, const char *ulid,
                        int64_t since_ms)
{
    (void)snprintf(w->tenant, sizeof(w->tenant), "%s", tenant);
    (void)snprintf(w->ulid, sizeof(w->ulid), "%s", ulid);
    w->since_ms = since_ms;
}

/* ---- metrics ---- */

static size_t list_metrics(const struct flush_opts *o, struct flush_waiting **ret)
{
    struct head_segment *rows;
    struct ulid id;
    size_t n, out = 0;

    head_segments(o->head, &rows, &n);
    *ret = mem_new_array(struct flush_waiting, n + 1);
    for (size_t i = 0; i < n; i++)
        if (rows[i].state == HEAD_SEGMENT_READY && ulid_parse(slice_cstr(rows[i].ulid), &id))
            put_waiting(&(*ret)[out++], rows[i].tenant, rows[i].ulid, ulid_time_ms(id));
    mem_free(rows);
    return out;
}

static struct err *read_meta(struct arena *a, const struct head_segment *seg,
                             struct block_meta *ret)
{
    char *path = mem_printf("%s/%s", seg->path, BLOCK_META_FILE);
    struct buf text = {0};
    struct err *e = fsx_read(path, BLOCK_META_MAX_BYTES, &text);

    if (!e)
        e = block_meta_parse(a, arena_dup(a, buf_slice(&text)), ret);
    buf_done(&text);
    mem_free(path);
    return e;
}

static struct err *open_metrics(const struct flush_opts *o, struct arena *a,
                                const struct flush_waiting *w, const atomic_bool *stop,
                                struct flush_block *ret)
{
    struct err *e =
        head_segment_pin(o->head, slice_cstr(w->tenant), slice_cstr(w->ulid), &ret->row);

    (void)stop;
    if (e)
        return e;
    if ((e = read_meta(a, &ret->row, &ret->meta))) {
        head_segment_unpin(o->head, &ret->row);
        return e;
    }
    ret->dir = ret->row.path;
    return NULL;
}

static void close_metrics(const struct flush_opts *o, struct flush_block *b)
{
    head_segment_unpin(o->head, &b->row);
}

static struct err *drop_metrics(const struct flush_opts *o, struct slice tenant, struct slice ulid,
                                uint64_t version)
{
    return head_segment_dropped(o->head, tenant, ulid, version);
}

const struct flush_signal flush_signal_metrics = {"metrics", list_metrics, open_metrics,
                                                  close_metrics, drop_metrics};

/* ---- logs ---- */

static size_t list_logs(const struct flush_opts *o, struct flush_waiting **ret)
{
    struct loghead_segment *rows;
    size_t n = 0;

    *ret = NULL;
    if (!o->logs)
        return 0;
    loghead_segments(o->logs, &rows, &n);
    *ret = mem_new_array(struct flush_waiting, n + 1);
    for (size_t i = 0; i < n; i++)
        put_waiting(&(*ret)[i], rows[i].tenant, rows[i].ulid, rows[i].cut_ms);
    mem_free(rows);
    return n;
}

/* All of its frames, to be merged. On an error none is left open. */
static struct err *open_frames(const struct loghead_segment *pinned, struct logblock_source **ret,
                               size_t *ret_n)
{
    struct logblock_source *all = mem_new_array(struct logblock_source, pinned->frames + 1);
    struct slice bytes;
    struct err *e = NULL;
    uint32_t number;
    size_t n = 0;

    for (; !e && loghead_segment_frame(pinned, n, &number, &bytes); n += !e) {
        struct logframe f;

        if (!(e = logframe_open(bytes, &f)))
            all[n] = logblock_source_frame(&f);
        e = err_wrap(e, "frame %u", number);
    }
    if (e) {
        while (n-- > 0)
            all[n].close(all[n].arg);
        mem_free(all);
        return e;
    }
    *ret = all;
    *ret_n = n;
    return NULL;
}

/* segment: its id as a text; lent. */
static struct block_meta meta_of(struct ulid id, const char *tenant, const struct slice *segment)
{
    return (struct block_meta){.ulid = id,
                               .level = 1,
                               .origin = SLICE("ingester"),
                               .tenant = slice_cstr(tenant),
                               .segments = segment,
                               .n_segments = 1};
}

static struct err *write_block(const struct loghead_segment *pinned, const char *dir,
                               struct arena *a, struct ulid id, const atomic_bool *stop,
                               struct block_meta *ret)
{
    char *work = mem_printf("%s/merge", dir);
    struct slice segment = slice_cstr(pinned->ulid);
    struct logblock_writer_opts opts = {.dir = dir, .has_summary = true};
    struct logblock_writer *w = NULL;
    struct logblock_source *sources;
    size_t n;
    struct err *e;

    opts.meta = meta_of(id, pinned->tenant, &segment);
    if ((e = fsx_mkdirs(work)) || (e = logblock_writer_open(&opts, &w)))
        goto out;
    if (!(e = open_frames(pinned, &sources, &n))) {
        e = logblock_merge(sources, n, NULL, NULL, work, stop, w, NULL);
        mem_free(sources);
    }
    if (!e)
        e = logblock_writer_finish(w, a, ret);
out:
    logblock_writer_close(w);
    mem_free(work);
    return e;
}

/* Only one at a time is made, of logs or traces, in a directory that is cleared before and after. */
static struct err *begin_work(const struct flush_opts *o, const struct flush_waiting *w,
                              struct ulid *ret)
{
    struct err *e;

    if (!ulid_parse(slice_cstr(w->ulid), ret))
        return err_new(ERR_INTERNAL, "\"%s\" is no id of a segment", w->ulid);
    return (e = fsx_remove_tree(o->work_dir)) ? e : fsx_mkdirs(o->work_dir);
}

static void end_work(const struct flush_opts *o)
{
    struct err *e = fsx_remove_tree(o->work_dir);

    if (e)
        LOG_WARN(flush, "copy of a block that was uploaded is not removed, the next one will do it",
                 KV_STR("path", o->work_dir), KV_ERR(e));
    err_free(e);
}

static struct err *open_logs(const struct flush_opts *o, struct arena *a,
                             const struct flush_waiting *w, const atomic_bool *stop,
                             struct flush_block *ret)
{
    struct ulid id;
    struct err *e =
        loghead_segment_pin(o->logs, slice_cstr(w->tenant), slice_cstr(w->ulid), &ret->log_row);

    if (e)
        return e;
    if ((e = begin_work(o, w, &id)) ||
        (e = write_block(&ret->log_row, o->work_dir, a, id, stop, &ret->meta))) {
        err_free(fsx_remove_tree(o->work_dir));
        loghead_segment_unpin(o->logs, &ret->log_row);
        return e;
    }
    ret->dir = arena_printf(a, "%s/%s", o->work_dir, w->ulid);
    return NULL;
}

static void close_logs(const struct flush_opts *o, struct flush_block *b)
{
    end_work(o);
    loghead_segment_unpin(o->logs, &b->log_row);
}

static struct err *drop_logs(const struct flush_opts *o, struct slice tenant, struct slice ulid,
                             uint64_t version)
{
    return loghead_segment_dropped(o->logs, tenant, ulid, version);
}

const struct flush_signal flush_signal_logs = {"logs", list_logs, open_logs, close_logs, drop_logs};

/* ---- traces ---- */

static size_t list_traces(const struct flush_opts *o, struct flush_waiting **ret)
{
    struct tracehead_segment *rows;
    size_t n = 0;

    *ret = NULL;
    if (!o->traces)
        return 0;
    tracehead_segments(o->traces, &rows, &n);
    *ret = mem_new_array(struct flush_waiting, n + 1);
    for (size_t i = 0; i < n; i++)
        put_waiting(&(*ret)[i], rows[i].tenant, rows[i].ulid, rows[i].cut_ms);
    mem_free(rows);
    return n;
}

/* All of its files, to be merged. *ret is the caller's to free. */
static struct err *open_pieces(const struct tracehead_segment *pinned, struct tracesegment **ret,
                               size_t *ret_n)
{
    struct tracesegment *all = mem_new_array(struct tracesegment, pinned->files + 1);
    struct slice bytes;
    uint32_t number;
    size_t n = 0;

    for (; n < pinned->files && tracehead_segment_file(pinned, n, &number, &bytes); n++) {
        struct err *e = tracesegment_open(bytes, &all[n]);

        if (e) {
            mem_free(all);
            return err_wrap(e, "file %u", number);
        }
    }
    *ret = all;
    *ret_n = n;
    return NULL;
}

static struct err *merge_pieces(const struct tracehead_segment *pinned, const atomic_bool *stop,
                                struct traceblock_writer *w)
{
    struct traceblock_source *sources;
    struct tracesegment *files = NULL;
    size_t n = 0;
    struct err *e = open_pieces(pinned, &files, &n);

    if (e)
        return e;
    sources = mem_new_array(struct traceblock_source, n + 1);
    for (size_t i = 0; i < n; i++)
        sources[i] = traceblock_source_segment(&files[i]);
    e = traceblock_merge(sources, n, 0, stop, w, NULL);
    mem_free(files);
    mem_free(sources);
    return e;
}

static struct err *write_traces(const struct tracehead_segment *pinned, const char *dir,
                                struct arena *a, struct ulid id, const atomic_bool *stop,
                                struct block_meta *ret)
{
    struct slice segment = slice_cstr(pinned->ulid);
    struct traceblock_writer_opts opts = {
        .dir = dir, .meta = meta_of(id, pinned->tenant, &segment), .has_summary = true};
    struct traceblock_writer *w = NULL;
    struct err *e;

    if (!(e = traceblock_writer_open(&opts, &w)) && !(e = merge_pieces(pinned, stop, w)))
        e = traceblock_writer_finish(w, a, ret);
    traceblock_writer_close(w);
    return e;
}

static struct err *open_traces(const struct flush_opts *o, struct arena *a,
                               const struct flush_waiting *w, const atomic_bool *stop,
                               struct flush_block *ret)
{
    struct ulid id;
    struct err *e = tracehead_segment_pin(o->traces, slice_cstr(w->tenant), slice_cstr(w->ulid),
                                          &ret->trace_row);

    if (e)
        return e;
    if ((e = begin_work(o, w, &id)) ||
        (e = write_traces(&ret->trace_row, o->work_dir, a, id, stop, &ret->meta))) {
        err_free(fsx_remove_tree(o->work_dir));
        tracehead_segment_unpin(o->traces, &ret->trace_row);
        return e;
    }
    ret->dir = arena_printf(a, "%s/%s", o->work_dir, w->ulid);
    return NULL;
}

static void close_traces(const struct flush_opts *o, struct flush_block *b)
{
    end_work(o);
    tracehead_segment_unpin(o->traces, &b->trace_row);
}

static struct err *drop_traces(const struct flush_opts *o, struct slice tenant, struct slice ulid,
                               uint64_t version)
{
    return tracehead_segment_dropped(o->traces, tenant, ulid, version);
}

const struct flush_signal flush_signal_traces = {"traces", list_traces, open_traces, close_traces,
                                                 drop_traces};
