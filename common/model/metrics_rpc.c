#include "common/model/metrics_rpc.h"

#define FORMAT 1u

static struct err *malformed(const char *what)
{
    return err_new(ERR_INVALID, "malformed %s message", what);
}

/* Reads the format byte; false if it is not ours. */
static bool open_message(struct slice bytes, struct reader *ret)
{
    *ret = reader_new(bytes);
    return reader_u8(ret) == FORMAT;
}

void rpc_select_encode(struct buf *out, const struct rpc_select *s)
{
    buf_byte(out, FORMAT);
    buf_uvarint(out, (uint64_t)s->kind | (s->is_keyed ? RPC_SELECT_KEYED : 0) |
                         (s->newest_only ? RPC_SELECT_NEWEST : 0));
    buf_varint(out, s->min_ms);
    buf_varint(out, s->max_ms);
    buf_lstr(out, s->name);
    buf_uvarint(out, s->shard_index);
    buf_uvarint(out, s->shard_count);
    buf_uvarint(out, s->max_series);
    buf_uvarint(out, s->max_bytes);
    buf_uvarint(out, s->limit);
    if (s->is_keyed) {
        buf_uvarint(out, s->n_names);
        for (size_t i = 0; i < s->n_names; i++)
            buf_lstr(out, s->names[i]);
    }
    matchers_encode(out, s->matchers);
}

static void names_decode(struct arena *a, struct reader *r, struct rpc_select *ret)
{
    uint64_t n = reader_uvarint(r);
    struct slice *names;

    if (n > METRICS_RPC_MAX_LABELS || n > reader_left(r)) {
        reader_fail(r);
        return;
    }
    ret->names = names = arena_array(a, struct slice, n);
    for (ret->n_names = 0; ret->n_names < n; ret->n_names++)
        names[ret->n_names] = reader_lstr(r);
}

struct err *rpc_select_decode(struct arena *a, struct slice bytes, struct rpc_select *ret)
{
    struct rpc_select s = {0};
    struct reader r;
    uint64_t kind;

    if (!open_message(bytes, &r))
        return malformed("select");
    kind = reader_uvarint(&r);
    s.is_keyed = kind & RPC_SELECT_KEYED;
    s.newest_only = kind & RPC_SELECT_NEWEST;
    kind &= ~(uint64_t)(RPC_SELECT_KEYED | RPC_SELECT_NEWEST);
    s.kind = (enum rpc_select_kind)kind;
    s.min_ms = reader_varint(&r);
    s.max_ms = reader_varint(&r);
    s.name = reader_lstr(&r);
    s.shard_index = (uint32_t)reader_uvarint(&r);
    s.shard_count = (uint32_t)reader_uvarint(&r);
    s.max_series = reader_uvarint(&r);
    s.max_bytes = reader_uvarint(&r);
    s.limit = reader_uvarint(&r);
    if (s.is_keyed)
        names_decode(a, &r, &s);
    if (!reader_ok(&r) || kind > RPC_SELECT_VALUES ||
        (s.shard_count && s.shard_index >= s.shard_count))
        return malformed("select");
    *ret = s;
    return matchers_decode(a, reader_rest(&r), &ret->matchers);
}

static void labels_encode(struct buf *out, struct labels ls)
{
    buf_uvarint(out, ls.n);
    for (size_t i = 0; i < ls.n; i++) {
        buf_lstr(out, ls.ptr[i].name);
        buf_lstr(out, ls.ptr[i].value);
    }
}

static bool labels_decode(struct arena *a, struct reader *r, struct labels *ret)
{
    uint64_t n = reader_uvarint(r);
    struct label *ptr;

    if (n > METRICS_RPC_MAX_LABELS || n * 2 > reader_left(r)) {
        reader_fail(r);
        return false;
    }
    ptr = arena_alloc(a, n * sizeof(*ptr));
    for (uint64_t i = 0; i < n; i++) {
        ptr[i].name = reader_lstr(r);
        ptr[i].value = reader_lstr(r);
    }
    *ret = (struct labels){ptr, n};
    return reader_ok(r);
}

void rpc_series_encode(struct buf *out, const struct rpc_series *s)
{
    if (s->is_keyed) {
        buf_u64le(out, s->fp.lo);
        buf_u64le(out, s->fp.hi);
    }
    labels_encode(out, s->labels);
    buf_uvarint(out, s->n_chunks);
    for (size_t i = 0; i < s->n_chunks; i++) {
        const struct rpc_chunk *c = &s->chunks[i];

        buf_varint(out, c->min_ms);
        buf_uvarint(out, (uint64_t)c->max_ms - (uint64_t)c->min_ms);
        buf_byte(out, c->encoding);
        buf_lstr(out, c->data);
    }
}

bool rpc_series_decode(struct arena *a, struct reader *frame, struct rpc_series *ret)
{
    struct rpc_chunk *chunks;
    size_t n;

    if (reader_left(frame) == 0)
        return false;
    if (ret->is_keyed) {
        ret->fp.lo = reader_u64le(frame);
        ret->fp.hi = reader_u64le(frame);
    }
    if (!labels_decode(a, frame, &ret->labels))
        return false;
    n = reader_count(frame, 4);
    chunks = arena_array(a, struct rpc_chunk, n);
    for (size_t i = 0; i < n; i++) {
        chunks[i].min_ms = reader_varint(frame);
        chunks[i].max_ms = (int64_t)((uint64_t)chunks[i].min_ms + reader_uvarint(frame));
        chunks[i].encoding = reader_u8(frame);
        chunks[i].data = reader_lstr(frame);
    }
    ret->chunks = chunks;
    ret->n_chunks = n;
    return reader_ok(frame);
}

void rpc_metadata_encode(struct buf *out, const struct rpc_metadata *m)
{
    buf_byte(out, (uint8_t)m->type);
    buf_lstr(out, m->family);
    buf_lstr(out, m->help);
    buf_lstr(out, m->unit);
}

bool rpc_metadata_decode(struct reader *frame, struct rpc_metadata *ret)
{
    uint8_t type;

    if (reader_left(frame) == 0)
        return false;
    type = reader_u8(frame);
    if (type > METRIC_STATESET)
        reader_fail(frame);
    ret->type = (enum sample_metric_type)type;
    ret->family = reader_lstr(frame);
    ret->help = reader_lstr(frame);
    ret->unit = reader_lstr(frame);
    return reader_ok(frame);
}

void rpc_exemplars_encode(struct buf *out, const struct rpc_exemplars *e)
{
    labels_encode(out, e->labels);
    buf_uvarint(out, e->n);
    for (size_t i = 0; i < e->n; i++) {
        labels_encode(out, e->ptr[i].labels);
        buf_f64le(out, e->ptr[i].value);
        buf_varint(out, e->ptr[i].t_ms);
    }
}

bool rpc_exemplars_decode(struct arena *a, struct reader *frame, struct rpc_exemplars *ret)
{
    struct exemplar *ptr;
    size_t n;

    if (reader_left(frame) == 0)
        return false;
    if (!labels_decode(a, frame, &ret->labels))
        return false;
    n = reader_count(frame, 10);
    ptr = arena_array(a, struct exemplar, n);
    for (size_t i = 0; i < n; i++) {
        if (!labels_decode(a, frame, &ptr[i].labels))
            return false;
        ptr[i].value = reader_f64le(frame);
        ptr[i].t_ms = reader_varint(frame);
    }
    ret->ptr = ptr;
    ret->n = n;
    return reader_ok(frame);
}

void rpc_segment_encode(struct buf *out, const struct rpc_segment *s)
{
    buf_lstr(out, s->tenant);
    buf_lstr(out, s->ulid);
    buf_varint(out, s->min_ms);
    buf_varint(out, s->max_ms);
    buf_uvarint(out, s->series);
    buf_uvarint(out, s->samples);
    buf_uvarint(out, s->bytes);
}

bool rpc_segment_decode(struct reader *frame, struct rpc_segment *ret)
{
    if (reader_left(frame) == 0)
        return false;
    ret->tenant = reader_lstr(frame);
    ret->ulid = reader_lstr(frame);
    ret->min_ms = reader_varint(frame);
    ret->max_ms = reader_varint(frame);
    ret->series = reader_uvarint(frame);
    ret->samples = reader_uvarint(frame);
    ret->bytes = reader_uvarint(frame);
    return reader_ok(frame);
}

void rpc_segment_read_encode(struct buf *out, const struct rpc_segment_read *r)
{
    buf_byte(out, FORMAT);
    buf_lstr(out, r->ulid);
    buf_lstr(out, r->file);
    buf_uvarint(out, r->offset);
    buf_uvarint(out, r->len);
    if (r->version)
        buf_uvarint(out, r->version);
}

struct err *rpc_segment_read_decode(struct slice bytes, struct rpc_segment_read *ret)
{
    struct reader r;

    if (!open_message(bytes, &r))
        return malformed("segment read");
    ret->ulid = reader_lstr(&r);
    ret->file = reader_lstr(&r);
    ret->offset = reader_uvarint(&r);
    ret->len = reader_uvarint(&r);
    ret->version = reader_left(&r) ? reader_uvarint(&r) : 0;
    return reader_ok(&r) ? NULL : malformed("segment read");
}

void rpc_query_encode(struct buf *out, const struct rpc_query *q)
{
    buf_byte(out, FORMAT);
    buf_lstr(out, q->expr);
    buf_varint(out, q->time_ms);
    buf_varint(out, q->timeout_ms);
    buf_byte(out, q->wants_exact);
}

struct err *rpc_query_decode(struct slice bytes, struct rpc_query *ret)
{
    struct reader r;

    if (!open_message(bytes, &r))
        return malformed("query");
    ret->expr = reader_lstr(&r);
    ret->time_ms = reader_varint(&r);
    ret->timeout_ms = reader_varint(&r);
    ret->wants_exact = reader_left(&r) && reader_u8(&r); /* older rulers end before */
    return reader_ok(&r) ? NULL : malformed("query");
}

void rpc_rules_encode(struct buf *out, const struct rpc_rules *r)
{
    buf_byte(out, FORMAT);
    buf_lstr(out, r->language);
    buf_lstr(out, r->ns);
    buf_lstr(out, r->group);
}

struct err *rpc_rules_decode(struct slice bytes, struct rpc_rules *ret)
{
    struct reader r;

    if (!open_message(bytes, &r))
        return malformed("question about rules");
    ret->language = reader_lstr(&r);
    ret->ns = reader_lstr(&r);
    ret->group = reader_lstr(&r);
    return reader_ok(&r) ? NULL : malformed("question about rules");
}

void rpc_rules_change_encode(struct buf *out, const struct rpc_rules_change *c)
{
    buf_byte(out, FORMAT);
    buf_byte(out, (uint8_t)c->op);
    buf_lstr(out, c->language);
    buf_lstr(out, c->ns);
    buf_lstr(out, c->group);
    buf_lstr(out, c->yaml);
    if (c->overridden.len)
        buf_lstr(out, c->overridden);
}

struct err *rpc_rules_change_decode(struct slice bytes, struct rpc_rules_change *ret)
{
    struct reader r;
    uint8_t op;

    if (!open_message(bytes, &r))
        return malformed("change of rules");
    op = reader_u8(&r);
    ret->op = (enum rpc_rules_op)op;
    ret->language = reader_lstr(&r);
    ret->ns = reader_lstr(&r);
    ret->group = reader_lstr(&r);
    ret->yaml = reader_lstr(&r);
    ret->overridden = reader_left(&r) ? reader_lstr(&r) : SLICE_EMPTY;
    return reader_ok(&r) && op < RPC_RULES_OP_COUNT ? NULL : malformed("change of rules");
}

void rpc_pair_encode(struct buf *out, const struct rpc_pair *p)
{
    buf_lstr(out, p->name);
    buf_lstr(out, p->value);
    buf_uvarint(out, p->series);
}

bool rpc_pair_decode(struct reader *frame, struct rpc_pair *ret)
{
    if (reader_left(frame) == 0)
        return false;
    ret->name = reader_lstr(frame);
    ret->value = reader_lstr(frame);
    ret->series = reader_uvarint(frame);
    return reader_ok(frame);
}

void rpc_head_encode(struct buf *out, const struct rpc_head *h)
{
    buf_byte(out, FORMAT);
    buf_uvarint(out, h->series);
    buf_uvarint(out, h->pairs);
    buf_uvarint(out, h->chunks);
    buf_uvarint(out, h->appended);
    buf_uvarint(out, h->rate_milli);
    buf_varint(out, h->min_ms);
    buf_varint(out, h->max_ms);
}

struct err *rpc_head_decode(struct slice bytes, struct rpc_head *ret)
{
    struct reader r;

    if (!open_message(bytes, &r))
        return malformed("head");
    ret->series = reader_uvarint(&r);
    ret->pairs = reader_uvarint(&r);
    ret->chunks = reader_uvarint(&r);
    ret->appended = reader_uvarint(&r);
    ret->rate_milli = reader_uvarint(&r);
    ret->min_ms = reader_varint(&r);
    ret->max_ms = reader_varint(&r);
    return reader_ok(&r) ? NULL : malformed("head");
}
