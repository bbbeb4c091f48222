#include "common/proto/envelope_wire.h"

#include "common/proto/envelope.pb-c.h"

static void *arena_alloc_pb(void *arg, size_t bytes)
{
    return arena_alloc(arg, bytes);
}

static void arena_free_pb(void *arg, void *p)
{
    (void)arg;
    (void)p;
}

static ProtobufCBinaryData to_pb(struct slice s)
{
    return (ProtobufCBinaryData){s.len, (uint8_t *)s.ptr};
}

static struct slice from_pb(ProtobufCBinaryData d)
{
    return d.len ? slice_of(d.data, d.len) : SLICE_EMPTY;
}

void envelope_encode(const struct envelope *e, struct buf *out)
{
    Orrery__Envelope pb = ORRERY__ENVELOPE__INIT;
    size_t n;
    uint8_t *p;

    ORR_ASSERT(e->method.len <= ENVELOPE_METHOD_MAX_BYTES &&
               e->tenant.len <= ENVELOPE_TENANT_MAX_BYTES &&
               e->trace.len <= ENVELOPE_TRACE_MAX_BYTES &&
               e->error_message.len <= ENVELOPE_MESSAGE_MAX_BYTES &&
               e->instance.len <= ENVELOPE_INSTANCE_MAX_BYTES);
    pb.kind = e->kind;
    pb.id = e->id;
    pb.flags = e->flags;
    pb.total_bytes = e->total_bytes;
    pb.method = to_pb(e->method);
    pb.tenant = to_pb(e->tenant);
    pb.timeout_ms = e->timeout_ms;
    pb.trace = to_pb(e->trace);
    pb.credits = e->credits;
    pb.error_code = e->error_code;
    pb.error_message = to_pb(e->error_message);
    pb.ack = e->ack;
    pb.instance = to_pb(e->instance);
    pb.incarnation = e->incarnation;
    pb.mark = e->mark;
    n = orrery__envelope__get_packed_size(&pb);
    ORR_ASSERT(n <= ENVELOPE_MAX_BYTES);
    if ((p = buf_reserve(out, n)))
        out->len += orrery__envelope__pack(&pb, p);
}

bool envelope_decode(struct arena *a, struct slice bytes, struct envelope *ret)
{
    ProtobufCAllocator allocator = {arena_alloc_pb, arena_free_pb, a};
    Orrery__Envelope *pb;

    if (bytes.len > ENVELOPE_MAX_BYTES)
        return false;
    pb = orrery__envelope__unpack(&allocator, bytes.len, bytes.ptr);
    if (!pb || pb->kind < ENVELOPE_HELLO || pb->kind > ENVELOPE_PONG ||
        pb->method.len > ENVELOPE_METHOD_MAX_BYTES || pb->tenant.len > ENVELOPE_TENANT_MAX_BYTES ||
        pb->trace.len > ENVELOPE_TRACE_MAX_BYTES ||
        pb->error_message.len > ENVELOPE_MESSAGE_MAX_BYTES ||
        pb->instance.len > ENVELOPE_INSTANCE_MAX_BYTES)
        return false;
    *ret = (struct envelope){
        .kind = (enum envelope_kind)pb->kind,
        .id = pb->id,
        .flags = pb->flags,
        .total_bytes = pb->total_bytes,
        .method = from_pb(pb->method),
        .tenant = from_pb(pb->tenant),
        .trace = from_pb(pb->trace),
        .timeout_ms = pb->timeout_ms,
        .credits = pb->credits,
        .error_code = pb->error_code,
        .error_message = from_pb(pb->error_message),
        .ack = pb->ack,
        .instance = from_pb(pb->instance),
        .incarnation = pb->incarnation,
        .mark = pb->mark,
    };
    return true;
}
