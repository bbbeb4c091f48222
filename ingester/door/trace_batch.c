#include "ingester/door/trace_batch.h"

#include "common/base/hash.h"
#include "common/traces/tracepiece.h"

struct trace_batch *trace_batch_new(struct slice tenant, const struct tenant_limits *limits)
{
    struct trace_batch *b = mem_new(struct trace_batch);

    b->refs = 1;
    b->tenant = slice_cstr(slice_dup(tenant));
    b->limits = *limits;
    return b;
}

void trace_batch_ref(struct trace_batch *b)
{
    b->refs++;
}

void trace_batch_free(struct trace_batch *b)
{
    if (!b || --b->refs)
        return;
    mem_free((void *)(uintptr_t)b->tenant.ptr);
    vec_done(&b->traces);
    buf_done(&b->pieces);
    mem_free(b);
}

size_t trace_batch_memory(const struct trace_batch *b)
{
    return sizeof(*b) + b->pieces.cap + b->traces.cap * sizeof(*b->traces.ptr);
}

uint32_t trace_batch_token(struct slice tenant, const uint8_t id[16])
{
    return (uint32_t)(hash_xxh64(slice_of(id, 16), hash_xxh64(tenant, 0)) >> 32);
}

void trace_batch_encode(const struct trace_batch *b, const uint32_t *traces, size_t n,
                        struct buf *out)
{
    buf_byte(out, TRACE_BATCH_VERSION);
    for (size_t i = 0; i < n; i++) {
        const struct trace_batch_trace *t = &b->traces.ptr[traces ? traces[i] : i];

        buf_lstr(out, slice_of(b->pieces.ptr + t->at, t->len));
    }
}

void trace_batch_reader_init(struct trace_batch_reader *r, struct slice bytes)
{
    r->r = reader_new(bytes);
    if (reader_u8(&r->r) != TRACE_BATCH_VERSION)
        reader_fail(&r->r);
}

bool trace_batch_next(struct trace_batch_reader *r, struct trace_batch_item *ret)
{
    if (!reader_left(&r->r))
        return false;
    ret->piece = reader_lstr(&r->r);
    if (reader_ok(&r->r) && !tracepiece_id(ret->piece, &ret->id))
        reader_fail(&r->r);
    return reader_ok(&r->r);
}

struct err *trace_batch_reader_end(const struct trace_batch_reader *r)
{
    return reader_ok(&r->r) ? NULL : err_new(ERR_CORRUPT, "batch of spans: malformed");
}
