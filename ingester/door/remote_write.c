#include "ingester/door/remote_write.h"

#include "common/auth/auth.h"
#include "common/net/codec.h"
#include "ingester/door/rw_wire.h"
#include "ingester/door/write_request.h"

#define PROTOBUF "application/x-protobuf"
#define V1 "prometheus.WriteRequest"
#define V2 "io.prometheus.write.v2.Request"
#define V2_SERIES_TAG 0x2a /* field 5: timeseries */

enum remote_write_version { REMOTE_WRITE_1, REMOTE_WRITE_2 };

static struct err *check_proto(struct slice proto, enum remote_write_version *ret)
{
    if (slice_eq_cstr(proto, V1))
        *ret = REMOTE_WRITE_1;
    else if (slice_eq_cstr(proto, V2))
        *ret = REMOTE_WRITE_2;
    else
        return err_new(ERR_MEDIA_TYPE,
                       "unknown type for remote write protobuf message %.*s, supported: " V1,
                       SLICE_ARG(proto));
    return NULL;
}

static struct err *check_type(struct slice type, enum remote_write_version *ret)
{
    struct slice rest = slice_trim(type), part, key;

    *ret = REMOTE_WRITE_1;
    if (rest.len == 0)
        return NULL;
    if (!slice_split(&rest, ';', &part) || !slice_eq_cstr(part, PROTOBUF))
        return err_new(ERR_MEDIA_TYPE,
                       "expected " PROTOBUF " as the first (media) part, got %.*s content-type",
                       SLICE_ARG(type));
    while (slice_split(&rest, ';', &part)) {
        struct slice value = slice_trim(part);

        if (!slice_split(&value, '=', &key) || !value.ptr || slice_find_byte(value, '=', 0) >= 0)
            return err_new(ERR_MEDIA_TYPE, "expected parameters to be key=value, got %.*s",
                           SLICE_ARG(part));
        if (slice_eq_cstr(key, "proto"))
            return check_proto(value, ret);
    }
    return NULL;
}

static struct err *check_encoding(struct slice encoding)
{
    if (encoding.len == 0 || slice_eq_cstr(encoding, "snappy"))
        return NULL;
    return err_new(ERR_MEDIA_TYPE,
                   "%.*s encoding (compression) is not accepted by this server; only snappy is "
                   "acceptable",
                   SLICE_ARG(encoding));
}

static struct err *on_headers(struct http_request *r)
{
    struct slice tenant, length = http_request_header(r, "Content-Length");
    enum remote_write_version version;
    uint64_t bytes = 0;
    struct err *e;

    if ((e = auth_single_tenant(r, &tenant)) ||
        (e = check_type(http_request_header(r, "Content-Type"), &version)) ||
        (e = check_encoding(http_request_header(r, "Content-Encoding"))))
        return e;
    if (length.ptr)
        (void)slice_to_u64(length, &bytes);
    return door_admit(r->arg, tenant, bytes);
}

static void on_done(void *arg, struct err *e, const struct door_written *written)
{
    struct http_request *r = arg;

    (void)written;
    if (e)
        http_reply_err(r, e);
    else
        http_reply(r, 204, NULL, SLICE_EMPTY);
}

/* Remote write 2.0 that holds no series; anything else is refused. */
static void reply_v2(struct http_request *r, struct slice body)
{
    const uint8_t *p = body.ptr, *end = body.ptr + body.len;
    uint32_t tag = 0;

    while (p && p < end && (p = rw_wire_tag(p, end, &tag)) && tag != V2_SERIES_TAG)
        p = rw_wire_skip(p, end, tag);
    if (!p) {
        http_reply_err(r, err_new(ERR_INVALID, "proto: Request: malformed"));
    } else if (p < end || tag == V2_SERIES_TAG) {
        http_reply_err(
            r, err_new(ERR_MEDIA_TYPE, "remote write 2.0 is not supported, send " V1 " instead"));
    } else {
        http_reply_header(r, "X-Prometheus-Remote-Write-Samples-Written", SLICE("0"));
        http_reply_header(r, "X-Prometheus-Remote-Write-Histograms-Written", SLICE("0"));
        http_reply_header(r, "X-Prometheus-Remote-Write-Exemplars-Written", SLICE("0"));
        http_reply(r, 204, NULL, SLICE_EMPTY);
    }
}

static void handle(struct http_request *r)
{
    struct door *d = r->arg;
    enum remote_write_version version = REMOTE_WRITE_1;
    struct slice tenant;
    struct buf body = {0};
    struct err *e;

    if ((e = auth_single_tenant(r, &tenant)) ||
        (e = check_type(http_request_header(r, "Content-Type"), &version)) ||
        (e = codec_decode(CODEC_SNAPPY, r->body, door_max_body_bytes(d), &body))) {
        buf_done(&body);
        http_reply_err(r, e);
    } else if (version == REMOTE_WRITE_2) {
        reply_v2(r, buf_slice(&body));
        buf_done(&body);
    } else {
        door_write(d, r->loop, tenant, &write_request_decoder, &body, on_done, r);
    }
}

void remote_write_routes(struct http_server *s, struct door *d)
{
    static const char *const patterns[] = {"/api/v1/push", "/api/v1/write"};

    for (size_t i = 0; i < ORR_COUNT(patterns); i++)
        http_server_route(s, &(struct http_route){.methods = HTTP_POST,
                                                  .pattern = patterns[i],
                                                  .flags = HTTP_ROUTE_RAW_BODY,
                                                  .max_body_bytes = door_max_body_bytes(d),
                                                  .on_headers = on_headers,
                                                  .handler = handle,
                                                  .arg = d});
}
