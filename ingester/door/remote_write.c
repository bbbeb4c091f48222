#include "ingester/door/remote_write.h"

#include <stdio.h>

#include "common/auth/auth.h"
#include "common/net/codec.h"
#include "ingester/door/rw2_request.h"
#include "ingester/door/write_request.h"

#define PROTOBUF "application/x-protobuf"
#define V1 "prometheus.WriteRequest"
#define V2 "io.prometheus.write.v2.Request"

enum remote_write_version { REMOTE_WRITE_1, REMOTE_WRITE_2 };

static struct err *check_proto(struct slice proto, enum remote_write_version *ret)
{
    if (slice_eq_cstr(proto, V1))
        *ret = REMOTE_WRITE_1;
    else if (slice_eq_cstr(proto, V2))
        *ret = REMOTE_WRITE_2;
    else
        return err_new(ERR_MEDIA_TYPE,
                       "unknown type for remote write protobuf message %.*s, supported: " V1
                       ", " V2,
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

    if (e)
        http_reply_err(r, e);
    else if (written->deduplicated && !(written->samples | written->histograms))
        http_reply(r, 202, NULL, SLICE_EMPTY);
    else
        http_reply(r, 204, NULL, SLICE_EMPTY);
}

static void say_written(struct http_request *r, const char *what, uint64_t n)
{
    char name[64], value[24];

    (void)snprintf(name, sizeof(name), "X-Prometheus-Remote-Write-%s-Written", what);
    (void)snprintf(value, sizeof(value), "%llu", (unsigned long long)n);
    http_reply_header(r, name, slice_cstr(value));
}

static void on_done_2(void *arg, struct err *e, const struct door_written *written)
{
    struct http_request *r = arg;

    say_written(r, "Samples", written->samples);
    say_written(r, "Histograms", written->histograms);
    say_written(r, "Exemplars", written->exemplars);
    on_done(arg, e, written);
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
        door_write(d, r->loop, tenant, &rw2_request_decoder, &body, on_done_2, r);
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
