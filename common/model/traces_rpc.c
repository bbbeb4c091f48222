#include "common/model/traces_rpc.h"

#define FORMAT 1
#define F_IDS_ONLY 1
#define F_HAS_IDS 2
#define F_HAS_AFTER 4
#define ID_BYTES 16

void rpc_traces_select_encode(struct buf *out, const struct rpc_traces_select *s)
{
    ORR_ASSERT(s->n_ids <= TRACES_RPC_MAX_IDS && (s->has_ids || !s->n_ids));
    buf_byte(out, FORMAT);
    buf_varint(out, s->start_ns);
    buf_varint(out, s->end_ns);
    buf_append(out, s->first, ID_BYTES);
    buf_append(out, s->last, ID_BYTES);
    buf_byte(out, (uint8_t)((s->ids_only ? F_IDS_ONLY : 0) | (s->has_ids ? F_HAS_IDS : 0) |
                            (s->after_ns ? F_HAS_AFTER : 0)));
    buf_uvarint(out, s->max_bytes);
    if (s->after_ns)
        buf_varint(out, s->after_ns);
    if (!s->has_ids)
        return;
    buf_uvarint(out, s->n_ids);
    if (s->n_ids)
        buf_append(out, s->ids, s->n_ids * ID_BYTES);
}

static void take_id(struct reader *r, uint8_t ret[ID_BYTES])
{
    struct slice id = reader_bytes(r, ID_BYTES);

    if (reader_ok(r))
        memcpy(ret, id.ptr, ID_BYTES);
}

static void take_ids(struct reader *r, struct rpc_traces_select *s)
{
    s->n_ids = reader_count(r, ID_BYTES);
    s->ids = (const uint8_t(*)[ID_BYTES])reader_bytes(r, s->n_ids * ID_BYTES).ptr;
    if (!reader_ok(r) || s->n_ids > TRACES_RPC_MAX_IDS) {
        reader_fail(r);
        return;
    }
    for (size_t i = 1; i < s->n_ids; i++)
        if (memcmp(s->ids[i - 1], s->ids[i], ID_BYTES) >= 0) {
            reader_fail(r);
            return;
        }
}

struct err *rpc_traces_select_decode(struct slice bytes, struct rpc_traces_select *ret)
{
    struct reader r = reader_new(bytes);
    struct rpc_traces_select s = {0};
    uint8_t flags;

    if (reader_u8(&r) != FORMAT)
        return err_new(ERR_INVALID, "select of traces: unknown format");
    s.start_ns = reader_varint(&r);
    s.end_ns = reader_varint(&r);
    take_id(&r, s.first);
    take_id(&r, s.last);
    flags = reader_u8(&r);
    s.max_bytes = reader_uvarint(&r);
    if (flags & F_HAS_AFTER)
        s.after_ns = reader_varint(&r);
    s.ids_only = flags & F_IDS_ONLY;
    s.has_ids = flags & F_HAS_IDS;
    if (s.has_ids)
        take_ids(&r, &s);
    if (!reader_ok(&r) || reader_left(&r) || flags > (F_IDS_ONLY | F_HAS_IDS | F_HAS_AFTER))
        return err_new(ERR_INVALID, "select of traces: malformed");
    *ret = s;
    return NULL;
}

void rpc_traces_item_encode(struct buf *out, const struct rpc_traces_item *item)
{
    buf_append(out, item->id, ID_BYTES);
    buf_uvarint(out, item->n);
    for (uint32_t i = 0; i < item->n; i++)
        buf_lstr(out, item->pieces[i]);
}

bool rpc_traces_item_decode(struct arena *a, struct reader *r, struct rpc_traces_item *ret)
{
    struct slice *pieces;
    const uint8_t *id;
    size_t n;

    if (!reader_left(r))
        return false;
    id = reader_bytes(r, ID_BYTES).ptr;
    n = reader_count(r, 1);
    if (!reader_ok(r) || n > UINT32_MAX) {
        reader_fail(r);
        return false;
    }
    pieces = arena_array(a, struct slice, n);
    for (size_t i = 0; i < n; i++)
        pieces[i] = reader_lstr(r);
    if (!reader_ok(r))
        return false;
    *ret = (struct rpc_traces_item){id, pieces, (uint32_t)n};
    return true;
}

void rpc_traces_names_encode(struct buf *out, const struct rpc_traces_names *n)
{
    buf_byte(out, FORMAT);
    buf_varint(out, n->start_ns);
    buf_varint(out, n->end_ns);
    buf_byte(out, n->table);
    buf_byte(out, n->intrinsic);
    buf_lstr(out, n->attribute);
    buf_uvarint(out, n->max);
}

struct err *rpc_traces_names_decode(struct slice bytes, struct rpc_traces_names *ret)
{
    struct reader r = reader_new(bytes);
    struct rpc_traces_names n = {0};

    if (reader_u8(&r) != FORMAT)
        return err_new(ERR_INVALID, "names of traces: unknown format");
    n.start_ns = reader_varint(&r);
    n.end_ns = reader_varint(&r);
    n.table = reader_u8(&r);
    n.intrinsic = reader_u8(&r);
    n.attribute = reader_lstr(&r);
    n.max = reader_uvarint(&r);
    if (!reader_ok(&r) || reader_left(&r))
        return err_new(ERR_INVALID, "names of traces: malformed");
    *ret = n;
    return NULL;
}

void rpc_traces_name_encode(struct buf *out, const struct rpc_traces_name *n)
{
    buf_byte(out, n->type);
    buf_lstr(out, n->text);
}

bool rpc_traces_name_decode(struct reader *r, struct rpc_traces_name *ret)
{
    if (!reader_left(r))
        return false;
    ret->type = reader_u8(r);
    ret->text = reader_lstr(r);
    return reader_ok(r);
}
