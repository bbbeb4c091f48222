#include "querier/store/block_wire.h"

#include "common/block/json_in.h"

#define FORMAT 3

void block_wire_ask_encode(struct buf *out, const struct block_wire_ask *ask)
{
    const struct catalogue_block *b = &ask->block;

    buf_byte(out, FORMAT);
    buf_slice_append(out, slice_of(b->ulid.bytes, sizeof(b->ulid.bytes)));
    buf_lstr(out, b->dir);
    buf_uvarint(out, b->labels.n);
    for (size_t i = 0; i < b->labels.n; i++) {
        buf_lstr(out, b->labels.ptr[i].name);
        buf_lstr(out, b->labels.ptr[i].value);
    }
    buf_uvarint(out, b->summary_bytes);
    buf_varint(out, b->min_t);
    buf_varint(out, b->max_t);
    buf_varint(out, b->resolution_ms);
    buf_uvarint(out, ask->n_together);
    rpc_select_encode(out, &ask->select);
}

static struct labels external_decode(struct arena *a, struct reader *r)
{
    size_t n = reader_count(r, 2);
    struct label *ls;

    if (n > METRICS_RPC_MAX_LABELS) {
        reader_fail(r);
        return (struct labels){0};
    }
    ls = arena_array(a, struct label, n);
    for (size_t i = 0; i < n; i++) {
        ls[i].name = reader_lstr(r);
        ls[i].value = reader_lstr(r);
        if (i && slice_cmp(ls[i - 1].name, ls[i].name) >= 0)
            reader_fail(r);
    }
    return (struct labels){ls, n};
}

struct err *block_wire_ask_decode(struct arena *a, struct slice bytes, struct block_wire_ask *ret)
{
    struct reader r = reader_new(bytes);
    struct block_wire_ask ask = {0};
    uint8_t format = reader_u8(&r);
    struct slice ulid = reader_bytes(&r, sizeof(ask.block.ulid.bytes));
    struct err *e;

    ask.block.dir = reader_lstr(&r);
    ask.block.labels = external_decode(a, &r);
    ask.block.summary_bytes = reader_uvarint(&r);
    ask.block.min_t = reader_varint(&r);
    ask.block.max_t = reader_varint(&r);
    ask.block.resolution_ms = reader_varint(&r);
    ask.n_together = reader_uvarint(&r);
    if (format != FORMAT || !reader_ok(&r) || !ask.n_together ||
        ask.n_together > CATALOGUE_MAX_BLOCKS ||
        (ask.block.dir.len && !json_in_is_path(ask.block.dir)))
        return err_new(ERR_INVALID, "malformed question for a block");
    memcpy(ask.block.ulid.bytes, ulid.ptr, sizeof(ask.block.ulid.bytes));
    if ((e = rpc_select_decode(a, reader_rest(&r), &ask.select)))
        return e;
    if (ask.select.kind != RPC_SELECT_CHUNKS && ask.select.kind != RPC_SELECT_LABELS) {
        matchers_done(ask.select.matchers);
        return err_new(ERR_INVALID, "malformed question for a block: its kind");
    }
    *ret = ask;
    return NULL;
}

void block_wire_series_encode(struct buf *out, const struct block_wire_series *s)
{
    rpc_series_encode(out, &s->series);
    buf_uvarint(out, s->n_deleted);
    for (size_t i = 0; i < s->n_deleted; i++) {
        buf_varint(out, s->deleted[i].min_t);
        buf_varint(out, s->deleted[i].max_t);
    }
}

bool block_wire_series_decode(struct arena *a, struct reader *frame, struct block_wire_series *ret)
{
    struct block_interval *deleted;
    size_t n;

    if (!rpc_series_decode(a, frame, &ret->series))
        return false;
    n = reader_count(frame, 2);
    deleted = arena_array(a, struct block_interval, n);
    for (size_t i = 0; i < n; i++) {
        deleted[i].min_t = reader_varint(frame);
        deleted[i].max_t = reader_varint(frame);
        if (deleted[i].max_t < deleted[i].min_t || (i && deleted[i].min_t <= deleted[i - 1].max_t))
            reader_fail(frame);
    }
    ret->deleted = deleted;
    ret->n_deleted = n;
    return reader_ok(frame);
}

void block_wire_end_encode(struct buf *out, const struct block_wire_end *end)
{
    buf_byte(out, BLOCK_WIRE_END);
    buf_uvarint(out, end->gets);
    buf_uvarint(out, end->bytes);
    buf_byte(out, end->is_skipped);
}

bool block_wire_end_decode(struct reader *frame, struct block_wire_end *ret)
{
    ret->gets = reader_uvarint(frame);
    ret->bytes = reader_uvarint(frame);
    ret->is_skipped = reader_u8(frame) != 0;
    return reader_ok(frame) && !reader_left(frame);
}
