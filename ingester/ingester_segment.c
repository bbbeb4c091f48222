/*
 * RPC methods about segments, for compactors: see common/model/metrics_rpc.h, logs_rpc.h and traces_rpc.h. What a segment is
 * is told by struct ingester_segment_ops.
 */
#include "common/base/mem.h"
#include "common/model/metrics_rpc.h"
#include "common/model/tenant.h"
#include "ingester/ingester_internal.h"

#define READ_BYTES (512u << 10)

/* ---- ingester.segments ---- */

struct listing {
    const struct ingester_segment_side *side;
    char *tenant; /* "": all */
    void *rows;
    size_t n, at;
};

static struct err *listing_open(void *src)
{
    struct listing *l = src;

    l->rows = l->side->ops->list(l->side->ing, &l->n);
    return NULL;
}

static struct err *listing_next(void *src, struct buf *frame, bool *ret_more)
{
    struct listing *l = src;
    struct rpc_segment row;

    for (; l->at < l->n && frame->len < METRICS_RPC_FRAME_BYTES; l->at++)
        if (l->side->ops->row(l->rows, l->at, &row) &&
            (!l->tenant[0] || slice_eq_cstr(row.tenant, l->tenant)))
            rpc_segment_encode(frame, &row);
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
    const struct ingester_segment_side *side = arg;
    struct listing *l = mem_new(struct listing);

    l->side = side;
    l->tenant = slice_dup(rpc_call_tenant(call));
    feed_start(side->ing->feeds, call, &ops, l);
}

/* ---- ingester.segment_read ---- */

struct reading {
    const struct ingester_segment_side *side;
    char *tenant, *ulid, *file;
    uint64_t offset, left;
    void *pin;       /* NULL: not yet */
    struct buf list; /* the answer when no file is named */
};

static struct err *open_file(struct reading *r)
{
    uint64_t bytes;
    struct err *e = r->side->ops->open(r->pin, r->file, &bytes);

    if (e)
        return e;
    if (r->offset > bytes)
        return err_new(ERR_INVALID, "offset %llu lies behind the end of %s",
                       (unsigned long long)r->offset, r->file);
    if (r->left == 0 || r->left > bytes - r->offset)
        r->left = bytes - r->offset;
    return NULL;
}

static struct err *reading_open(void *src)
{
    struct reading *r = src;
    const struct ingester_segment_ops *ops = r->side->ops;
    struct err *e = ops->pin(r->side->ing, slice_cstr(r->tenant), slice_cstr(r->ulid), &r->pin);

    if (e)
        return e;
    return r->file[0] ? open_file(r) : ops->files(r->pin, &r->list);
}

static struct err *reading_next(void *src, struct buf *frame, bool *ret_more)
{
    struct reading *r = src;
    size_t want = (size_t)ORR_MIN(r->left, (uint64_t)READ_BYTES), before = frame->len;
    struct err *e;

    if (!r->file[0]) {
        buf_slice_append(frame, buf_slice(&r->list));
        *ret_more = false;
        return NULL;
    }
    if (want) {
        if ((e = r->side->ops->read(r->pin, r->offset, want, frame)))
            return e;
        r->offset += frame->len - before;
        r->left -= frame->len - before;
    }
    *ret_more = r->left > 0;
    return NULL;
}

static void reading_close(void *src)
{
    struct reading *r = src;

    if (r->pin)
        r->side->ops->unpin(r->pin);
    buf_done(&r->list);
    mem_free(r->tenant);
    mem_free(r->ulid);
    mem_free(r->file);
    mem_free(r);
}

static void on_segment_read(void *arg, struct rpc_call *call)
{
    static const struct feed_ops ops = {reading_open, reading_next, reading_close};
    const struct ingester_segment_side *side = arg;
    struct rpc_segment_read req;
    struct reading *r;
    struct err *e;

    if ((e = tenant_check(rpc_call_tenant(call))) ||
        (e = rpc_segment_read_decode(rpc_call_payload(call), &req))) {
        rpc_reply_err(call, e);
        return;
    }
    r = mem_new(struct reading);
    r->side = side;
    r->tenant = slice_dup(rpc_call_tenant(call));
    r->ulid = slice_dup(req.ulid);
    r->file = slice_dup(req.file);
    r->offset = req.offset;
    r->left = req.len;
    feed_start(side->ing->feeds, call, &ops, r);
}

/* ---- ingester.segment_dropped ---- */

struct dropping {
    const struct ingester_segment_side *side;
    char *tenant, *ulid;
    uint64_t version;
};

static struct err *dropping_open(void *src)
{
    struct dropping *d = src;
    struct err *e =
        d->side->ops->dropped(d->side->ing, slice_cstr(d->tenant), slice_cstr(d->ulid), d->version);

    flush_wake(d->side->ing->flush);
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
    const struct ingester_segment_side *side = arg;
    struct rpc_segment_read req;
    struct dropping *d;
    struct err *e;

    if ((e = tenant_check(rpc_call_tenant(call))) ||
        (e = rpc_segment_read_decode(rpc_call_payload(call), &req))) {
        rpc_reply_err(call, e);
        return;
    }
    d = mem_new(struct dropping);
    d->side = side;
    d->tenant = slice_dup(rpc_call_tenant(call));
    d->ulid = slice_dup(req.ulid);
    d->version = req.version;
    feed_start(side->ing->feeds, call, &ops, d);
}

void ingester_segment_handle(struct ingester *ing)
{
    struct rpc_server *s = process_rpc(ing->process);
    struct ingester_segment_side *metrics = &ing->metrics_segments, *logs = &ing->logs_segments,
                                 *traces = &ing->traces_segments;

    *metrics = (struct ingester_segment_side){ing, &ingester_segment_files};
    *logs = (struct ingester_segment_side){ing, &ingester_segment_frames};
    *traces = (struct ingester_segment_side){ing, &ingester_segment_pieces};
    rpc_server_handle(s, "ingester.segments", on_segments, metrics);
    rpc_server_handle(s, "ingester.segment_read", on_segment_read, metrics);
    rpc_server_handle(s, "ingester.segment_dropped", on_segment_dropped, metrics);
    rpc_server_handle(s, "ingester.segments_logs", on_segments, logs);
    rpc_server_handle(s, "ingester.segment_read_logs", on_segment_read, logs);
    rpc_server_handle(s, "ingester.segment_dropped_logs", on_segment_dropped, logs);
    rpc_server_handle(s, "ingester.segments_traces", on_segments, traces);
    rpc_server_handle(s, "ingester.segment_read_traces", on_segment_read, traces);
    rpc_server_handle(s, "ingester.segment_dropped_traces", on_segment_dropped, traces);
}
