#include "common/model/logs_rpc.h"

#define FORMAT 1
#define FORMAT_NEEDLES 2
#define FORMAT_BOUND 3

void rpc_logs_select_encode(struct buf *out, const struct rpc_logs_select *s)
{
    ORR_ASSERT(s->n_needles <= RPC_LOGS_MAX_NEEDLES);
    buf_byte(out, s->bound ? FORMAT_BOUND : s->n_needles ? FORMAT_NEEDLES : FORMAT);
    buf_byte(out, (uint8_t)s->kind);
    buf_varint(out, s->from_ns);
    buf_varint(out, s->to_ns);
    buf_lstr(out, s->name);
    buf_byte(out, s->is_backward);
    buf_uvarint(out, s->max_streams);
    buf_uvarint(out, s->limit);
    if (s->n_needles || s->bound)
        buf_uvarint(out, s->n_needles);
    for (size_t i = 0; i < s->n_needles; i++)
        buf_lstr(out, s->needles[i]);
    if (s->bound) {
        buf_byte(out, s->bound->is_logfmt);
        buf_lstr(out, s->bound->name);
        buf_f64le(out, s->bound->min);
        buf_f64le(out, s->bound->max);
    }
    matchers_encode(out, s->matchers);
}

static void take_needles(struct arena *a, struct reader *r, uint64_t least,
                         struct rpc_logs_select *s)
{
    uint64_t n = reader_uvarint(r);
    struct slice *needles;

    if (n < least || n > RPC_LOGS_MAX_NEEDLES) {
        reader_fail(r);
        return;
    }
    needles = arena_array(a, struct slice, n);
    for (size_t i = 0; i < n; i++)
        needles[i] = reader_lstr(r);
    s->needles = needles;
    s->n_needles = n;
}

static void take_bound(struct arena *a, struct reader *r, struct rpc_logs_select *s)
{
    struct rpc_logs_bound *b = arena_new_of(a, struct rpc_logs_bound);
    uint8_t is_logfmt = reader_u8(r);

    b->is_logfmt = is_logfmt;
    b->name = reader_lstr(r);
    b->min = reader_f64le(r);
    b->max = reader_f64le(r);
    if (is_logfmt > 1)
        reader_fail(r);
    s->bound = b;
}

struct err *rpc_logs_select_decode(struct arena *a, struct slice bytes, struct rpc_logs_select *ret)
{
    struct reader r = reader_new(bytes);
    struct rpc_logs_select s = {0};
    uint8_t format = reader_u8(&r), kind, backward;
    struct err *e;

    if (format < FORMAT || format > FORMAT_BOUND)
        return err_new(ERR_INVALID, "select of log lines: unknown format");
    kind = reader_u8(&r);
    s.from_ns = reader_varint(&r);
    s.to_ns = reader_varint(&r);
    s.name = reader_lstr(&r);
    backward = reader_u8(&r);
    s.max_streams = reader_uvarint(&r);
    s.limit = reader_uvarint(&r);
    if (format != FORMAT)
        take_needles(a, &r, format == FORMAT_NEEDLES, &s);
    if (format == FORMAT_BOUND)
        take_bound(a, &r, &s);
    if (!reader_ok(&r) || kind > RPC_LOGS_VALUES || backward > 1)
        return err_new(ERR_INVALID, "select of log lines: malformed");
    s.kind = (enum rpc_logs_kind)kind;
    s.is_backward = backward;
    if ((e = matchers_decode(a, reader_rest(&r), &s.matchers)))
        return e;
    *ret = s;
    return NULL;
}

void rpc_logs_item_encode(struct buf *out, const struct rpc_logs_item *item)
{
    buf_byte(out, (uint8_t)item->tag);
    if (item->tag == RPC_LOGS_STREAM) {
        buf_u64le(out, item->fp.lo);
        buf_u64le(out, item->fp.hi);
    } else if (item->tag == RPC_LOGS_ENTRY) {
        buf_varint(out, item->t_ns);
    }
    buf_lstr(out, item->text);
    if (item->tag == RPC_LOGS_STREAM) {
        buf_uvarint(out, item->entries);
        buf_uvarint(out, item->bytes);
    } else if (item->tag == RPC_LOGS_ENTRY) {
        buf_uvarint(out, item->metadata.n);
        for (size_t i = 0; i < item->metadata.n; i++) {
            buf_lstr(out, item->metadata.ptr[i].name);
            buf_lstr(out, item->metadata.ptr[i].value);
        }
    }
}

static void read_metadata(struct arena *a, struct reader *r, struct labels *ret)
{
    size_t n = reader_count(r, 2);
    struct label *ls;

    if (n > LOGS_RPC_MAX_PAIRS)
        reader_fail(r);
    if (!reader_ok(r) || !n)
        return;
    ls = arena_array(a, struct label, n);
    for (size_t i = 0; i < n; i++) {
        ls[i].name = reader_lstr(r);
        ls[i].value = reader_lstr(r);
        if (i > 0 && slice_cmp(ls[i - 1].name, ls[i].name) >= 0)
            reader_fail(r);
    }
    *ret = (struct labels){ls, n};
}

bool rpc_logs_item_decode(struct arena *a, struct reader *r, struct rpc_logs_item *ret)
{
    uint8_t tag;

    *ret = (struct rpc_logs_item){0};
    if (!reader_ok(r) || !reader_left(r))
        return false;
    tag = reader_u8(r);
    if (tag < RPC_LOGS_STREAM || tag > RPC_LOGS_NAME)
        reader_fail(r);
    ret->tag = (enum rpc_logs_tag)tag;
    if (tag == RPC_LOGS_STREAM) {
        ret->fp.lo = reader_u64le(r);
        ret->fp.hi = reader_u64le(r);
    } else if (tag == RPC_LOGS_ENTRY) {
        ret->t_ns = reader_varint(r);
    }
    ret->text = reader_lstr(r);
    if (tag == RPC_LOGS_STREAM) {
        ret->entries = reader_uvarint(r);
        ret->bytes = reader_uvarint(r);
    } else if (tag == RPC_LOGS_ENTRY) {
        read_metadata(a, r, &ret->metadata);
    }
    return reader_ok(r);
}
