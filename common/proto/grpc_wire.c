#include "common/proto/grpc_wire.h"

#include "common/base/clock.h"
#include "common/proto/grpc.pb-c.h"

/* A Duration with its largest numbers, and the tags around it. */
#define RETRY_MAX_BYTES 64

static void *alloc_pb(void *arg, size_t bytes)
{
    return arena_alloc(arg, bytes);
}

static void free_pb(void *arg, void *p)
{
    (void)arg;
    (void)p;
}

static ProtobufCBinaryData to_pb(struct slice s)
{
    return (ProtobufCBinaryData){s.len, (uint8_t *)(uintptr_t)s.ptr};
}

void grpc_wire_retry(int code, struct slice message, int64_t retry_ms, struct buf *out)
{
    Grpc__Duration delay = GRPC__DURATION__INIT;
    Grpc__RetryInfo info = GRPC__RETRY_INFO__INIT;
    Grpc__Any any = GRPC__ANY__INIT, *details[] = {&any};
    Grpc__Status status = GRPC__STATUS__INIT;
    uint8_t packed[RETRY_MAX_BYTES], *p;

    delay.seconds = retry_ms / MS_PER_S;
    delay.nanos = (int32_t)(retry_ms % MS_PER_S * NS_PER_MS);
    info.retry_delay = &delay;
    ORR_ASSERT(grpc__retry_info__get_packed_size(&info) <= sizeof(packed));
    any.type_url = to_pb(SLICE("type.googleapis.com/google.rpc.RetryInfo"));
    any.value = to_pb(slice_of(packed, grpc__retry_info__pack(&info, packed)));
    status.code = code;
    status.message = to_pb(message);
    status.n_details = 1;
    status.details = details;
    if ((p = buf_reserve(out, grpc__status__get_packed_size(&status))))
        out->len += grpc__status__pack(&status, p);
}

bool grpc_wire_health_request(struct arena *a, struct slice bytes, struct slice *ret_service)
{
    ProtobufCAllocator allocator = {alloc_pb, free_pb, a};
    Grpc__HealthCheckRequest *pb;

    if (bytes.len > GRPC_HEALTH_MAX_BYTES)
        return false;
    pb = grpc__health_check_request__unpack(&allocator, bytes.len, bytes.ptr);
    if (!pb)
        return false;
    *ret_service = pb->service.len ? slice_of(pb->service.data, pb->service.len) : SLICE_EMPTY;
    return true;
}

void grpc_wire_health_reply(enum grpc_health status, struct buf *out)
{
    Grpc__HealthCheckResponse pb = GRPC__HEALTH_CHECK_RESPONSE__INIT;
    uint8_t *p;

    pb.status = status;
    if ((p = buf_reserve(out, grpc__health_check_response__get_packed_size(&pb))))
        out->len += grpc__health_check_response__pack(&pb, p);
}
