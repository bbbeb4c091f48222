#include "querier/plan/partial_wire.h"

#include "common/base/reader.h"

#define FORMAT 1
/* who does not know these has the part done by who asks */
#define FORMAT_MOMENTS 2
#define FORMAT_POINTS 3 /* max_resolution_ms is at the end; and 4: with moments, too */
#define FORMAT_POINTS_MOMENTS 4

void partial_wire_encode(struct buf *out, const struct engine_query *q,
                         const struct store_query_opts *opts)
{
    buf_byte(out, (uint8_t)((q->wants_moments ? FORMAT_MOMENTS : FORMAT) +
                            (q->max_resolution_ms ? FORMAT_POINTS - FORMAT : 0)));
    buf_lstr(out, q->expr);
    buf_varint(out, q->start_ms);
    buf_varint(out, q->end_ms);
    buf_uvarint(out, (uint64_t)q->step_ms);
    buf_uvarint(out, (uint64_t)q->lookback_ms);
    buf_uvarint(out, q->shard_index);
    buf_uvarint(out, q->shard_count);
    buf_uvarint(out, q->max_samples);
    buf_uvarint(out, q->max_points);
    buf_uvarint(out, opts->max_series);
    buf_uvarint(out, opts->max_bytes);
    buf_varint(out, opts->min_ms);
    buf_uvarint(out, opts->shard_size);
    if (q->max_resolution_ms)
        buf_uvarint(out, (uint64_t)q->max_resolution_ms);
}

struct err *partial_wire_decode(struct slice bytes, struct engine_query *ret_q,
                                struct store_query_opts *ret_opts)
{
    struct reader r = reader_new(bytes);
    struct store_query_opts o = {0};
    struct engine_query q = {0};
    uint64_t step, lookback, index, count, size;
    uint8_t format = reader_u8(&r);
    bool is_known = format >= FORMAT && format <= FORMAT_POINTS_MOMENTS;
    uint64_t resolution = 0;

    q.wants_moments = format == FORMAT_MOMENTS || format == FORMAT_POINTS_MOMENTS;
    q.expr = reader_lstr(&r);
    q.start_ms = reader_varint(&r);
    q.end_ms = reader_varint(&r);
    step = reader_uvarint(&r);
    lookback = reader_uvarint(&r);
    index = reader_uvarint(&r);
    count = reader_uvarint(&r);
    q.max_samples = reader_uvarint(&r);
    q.max_points = reader_uvarint(&r);
    o.max_series = reader_uvarint(&r);
    o.max_bytes = reader_uvarint(&r);
    o.min_ms = reader_varint(&r);
    size = reader_uvarint(&r);
    if (format >= FORMAT_POINTS)
        resolution = reader_uvarint(&r);
    if (!is_known || !reader_ok(&r) || reader_left(&r) || q.expr.len > PARTIAL_MAX_EXPR_BYTES ||
        step > INT64_MAX / 2 || lookback > INT64_MAX / 2 || count > PARTIAL_MAX_SHARDS ||
        index >= count || size > UINT32_MAX || resolution > INT64_MAX / 2)
        return err_new(ERR_INVALID, "malformed part of a query");
    /* times as the API has them: nothing computed from them overflows */
    if (q.start_ms > q.end_ms || q.start_ms < -(INT64_C(1) << 60) || q.end_ms > (INT64_C(1) << 60))
        return err_new(ERR_INVALID, "malformed part of a query: its times");
    q.step_ms = (int64_t)step;
    q.lookback_ms = (int64_t)lookback;
    q.max_resolution_ms = (int64_t)resolution;
    q.shard_index = (uint32_t)index;
    q.shard_count = (uint32_t)count;
    o.shard_size = (unsigned)size;
    *ret_q = q;
    *ret_opts = o;
    return NULL;
}
