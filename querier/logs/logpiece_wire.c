#include "querier/logs/logpiece_wire.h"

#include <stddef.h>

#define FORMAT 1
#define MAX_WARNINGS 100
#define MAX_STATS 1000

/* ---- the question ---- */

void logpiece_wire_ask_encode(struct buf *out, const struct logpiece_wire_ask *ask)
{
    buf_byte(out, FORMAT);
    buf_varint(out, ask->grace_ns);
    buf_uvarint(out, ask->max_streams);
    buf_varint(out, ask->min_ms);
    buf_uvarint(out, ask->shard_size);
    buf_lstr(out, ask->what);
}

struct err *logpiece_wire_ask_decode(struct slice bytes, struct logpiece_wire_ask *ret)
{
    struct reader r = reader_new(bytes);
    uint8_t format = reader_u8(&r);
    uint64_t shard_size;

    ret->grace_ns = reader_varint(&r);
    ret->max_streams = reader_uvarint(&r);
    ret->min_ms = reader_varint(&r);
    shard_size = reader_uvarint(&r);
    ret->what = reader_lstr(&r);
    if (format != FORMAT || !reader_ok(&r) || reader_left(&r) || shard_size > UINT32_MAX)
        return err_new(ERR_INVALID, "malformed piece of a query over log lines");
    ret->shard_size = (uint32_t)shard_size;
    return NULL;
}

void logpiece_wire_what_encode(struct buf *out, const struct logpiece_wire_what *w)
{
    const struct logquery *q = &w->q;

    buf_lstr(out, q->expr);
    buf_lstr(out, w->leaf);
    buf_varint(out, q->start_ns);
    buf_varint(out, q->end_ns);
    buf_uvarint(out, (uint64_t)q->step_ns);
    buf_uvarint(out, (uint64_t)q->interval_ns);
    buf_byte(out, q->is_forward);
    buf_uvarint(out, q->limit);
    buf_uvarint(out, q->max_bytes);
    buf_uvarint(out, q->max_series);
    buf_uvarint(out, q->max_samples);
    buf_varint(out, w->at.from_ns);
    buf_varint(out, w->at.to_ns);
    buf_u64le(out, w->at.fp_first);
    buf_u64le(out, w->at.fp_last);
    buf_uvarint(out, w->memory_bytes);
}

#define MAX_LENGTH_NS ((uint64_t)1 << 61) /* 73 years; with a range before and an offset it fits */

static bool is_moment(int64_t ns)
{
    return ns >= -LOGQUERY_MAX_NS && ns <= LOGQUERY_MAX_NS;
}

/* As the API has them, so that nothing computed from them overflows. A piece may begin a range and an offset before the first step, and
 * end as much behind the last. */
static bool are_times(const struct logpiece_wire_what *w)
{
    const struct logquery *q = &w->q;

    if (!is_moment(q->start_ns) || !is_moment(q->end_ns) || q->start_ns > q->end_ns ||
        (uint64_t)q->end_ns - (uint64_t)q->start_ns > MAX_LENGTH_NS || q->step_ns < 0 ||
        q->step_ns > LOGQUERY_MAX_NS || q->interval_ns < 0)
        return false;
    if (q->step_ns && (q->end_ns - q->start_ns) / q->step_ns >= LOGPIECE_WIRE_MAX_STEPS)
        return false;
    return w->at.from_ns >= q->start_ns - 2 * LOGQUERY_MAX_RANGE_NS && is_moment(w->at.from_ns) &&
           is_moment(w->at.to_ns) && w->at.to_ns <= q->end_ns + 2 * LOGQUERY_MAX_RANGE_NS &&
           w->at.from_ns <= w->at.to_ns && w->at.fp_first <= w->at.fp_last;
}

struct err *logpiece_wire_what_decode(struct slice bytes, struct logpiece_wire_what *ret)
{
    struct reader r = reader_new(bytes);
    struct logquery *q = &ret->q;
    uint64_t limit;
    uint8_t direction;

    *ret = (struct logpiece_wire_what){0};
    q->expr = reader_lstr(&r);
    ret->leaf = reader_lstr(&r);
    q->start_ns = reader_varint(&r);
    q->end_ns = reader_varint(&r);
    q->step_ns = (int64_t)reader_uvarint(&r);
    q->interval_ns = (int64_t)reader_uvarint(&r);
    direction = reader_u8(&r);
    limit = reader_uvarint(&r);
    q->max_bytes = reader_uvarint(&r);
    q->max_series = reader_uvarint(&r);
    q->max_samples = reader_uvarint(&r);
    ret->at.from_ns = reader_varint(&r);
    ret->at.to_ns = reader_varint(&r);
    ret->at.fp_first = reader_u64le(&r);
    ret->at.fp_last = reader_u64le(&r);
    ret->memory_bytes = reader_uvarint(&r);
    if (!reader_ok(&r) || reader_left(&r) || direction > 1 || limit > UINT32_MAX || !are_times(ret))
        return err_new(ERR_INVALID, "malformed piece of a query over log lines");
    q->is_forward = direction;
    q->limit = (uint32_t)limit;
    return NULL;
}

/* ---- the answer ---- */

void logpiece_wire_end_encode(struct buf *out, const struct logpiece_wire_end *end)
{
    size_t n = ORR_MIN(end->n_warnings, (size_t)MAX_WARNINGS);

    buf_byte(out, LOGPIECE_WIRE_END);
    buf_uvarint(out, end->gets);
    buf_uvarint(out, end->bytes);
    buf_uvarint(out, end->mark);
    buf_uvarint(out, end->failed_streams);
    buf_uvarint(out, n);
    for (size_t i = 0; i < n; i++)
        buf_lstr(out, end->warnings[i]);
}

bool logpiece_wire_end_decode(struct arena *a, struct reader *frame, struct logpiece_wire_end *ret)
{
    struct slice *warnings;

    ret->gets = reader_uvarint(frame);
    ret->bytes = reader_uvarint(frame);
    ret->mark = reader_uvarint(frame);
    ret->failed_streams = reader_uvarint(frame);
    ret->n_warnings = reader_count(frame, 1);
    if (ret->n_warnings > MAX_WARNINGS)
        reader_fail(frame);
    if (!reader_ok(frame))
        return false;
    warnings = arena_array(a, struct slice, ret->n_warnings);
    for (size_t i = 0; i < ret->n_warnings; i++)
        warnings[i] = reader_lstr(frame);
    ret->warnings = warnings;
    return reader_ok(frame) && !reader_left(frame);
}

#define OF(member) offsetof(struct logquery_stats, member)
/* A new one comes last. */
static const size_t stats[] = {
    OF(bytes),
    OF(lines),
    OF(lines_kept),
    OF(streams),
    OF(source.ingesters),
    OF(source.blocks),
    OF(source.pages),
    OF(source.pages_skipped),
    OF(source.page_bytes),
    OF(source.filter_bytes),
    OF(source.block_lines),
    OF(source.block_bytes),
    OF(source.ingester_lines),
    OF(source.duplicates),
    OF(source.ahead),
    OF(source.deleted),
};

void logpiece_wire_stats_encode(struct buf *out, const struct logquery_stats *s)
{
    buf_uvarint(out, ORR_COUNT(stats));
    for (size_t i = 0; i < ORR_COUNT(stats); i++) {
        uint64_t v;

        memcpy(&v, (const char *)s + stats[i], sizeof(v));
        buf_uvarint(out, v);
    }
}

bool logpiece_wire_stats_decode(struct reader *r, struct logquery_stats *ret)
{
    size_t n = reader_count(r, 1);

    if (n > MAX_STATS)
        reader_fail(r);
    for (size_t i = 0; i < n && reader_ok(r); i++) {
        uint64_t v = reader_uvarint(r);

        if (i < ORR_COUNT(stats))
            memcpy((char *)ret + stats[i], &v, sizeof(v));
    }
    return reader_ok(r);
}
