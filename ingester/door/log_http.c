#include "ingester/door/log_http.h"

#include "common/auth/auth.h"
#include "common/net/codec.h"
#include "common/process/elastic_page.h"
#include "ingester/door/elastic_bulk.h"
#include "ingester/door/event_json.h"
#include "ingester/door/gelf.h"
#include "ingester/door/line_request.h"
#include "ingester/door/log_request.h"
#include "ingester/door/otlp_answer.h"
#include "ingester/door/otlp_reply.h"

#define DEFAULT_FIELDS "service,service.name,app,host.name,kubernetes.namespace"

/* A request under way; in its arena. */
struct pushing {
    struct http_request *r;
    struct log_request q;
    struct elastic_bulk bulk;
    bool is_bulk;
};

/* ---- decoding ---- */

static struct err *decode(struct log_builder *b, const void *arg)
{
    struct pushing *p = (struct pushing *)(uintptr_t)arg; /* what is const is the pointer */

    if (!p->is_bulk)
        return log_request_decode(b, &p->q);
    log_batch_own(b->batch, &p->q.body);
    return elastic_bulk_decode(b, p->q.body, &p->bulk);
}

static struct slice param(struct http_request *r, const char *name)
{
    struct slice v = line_request_param(r, name);

    return v.ptr ? v : SLICE_EMPTY;
}

static struct pushing *pushing_new(struct http_request *r, enum log_request_kind kind)
{
    struct pushing *p = arena_new_of(r->arena, struct pushing);
    struct slice fields = param(r, "_stream_fields");

    p->r = r;
    p->q = (struct log_request){
        .kind = kind,
        .content_type = http_request_header(r, "Content-Type"),
        .content_encoding = http_request_header(r, "Content-Encoding"),
        .body = r->body,
        .max_body_bytes = r->max_body_bytes,
        .lines = {.stream_fields = fields.len ? fields : SLICE(DEFAULT_FIELDS),
                  .time_field = param(r, "_time_field"),
                  .job = SLICE("jsonline")},
    };
    return p;
}

static void push_with(struct http_request *r, struct pushing *p, const struct log_decoder *decoder,
                      log_door_done_fn *done)
{
    struct slice tenant;
    struct err *e = auth_single_tenant(r, &tenant);

    if (e) {
        done(p, e, &(struct log_written){0});
        return;
    }
    log_door_write(r->arg, r->loop, tenant, decoder, &(struct buf){0}, done, p);
}

static void push(struct http_request *r, struct pushing *p, const char *name,
                 log_door_done_fn *done)
{
    push_with(r, p, &(struct log_decoder){.name = name, .decode = decode, .arg = p}, done);
}

static struct err *on_headers(struct http_request *r)
{
    struct slice tenant, length = http_request_header(r, "Content-Length");
    uint64_t bytes = 0;
    struct err *e;

    if ((e = auth_single_tenant(r, &tenant)))
        return e;
    if (length.ptr)
        (void)slice_to_u64(length, &bytes);
    return log_door_admit(r->arg, tenant, bytes);
}

/* ---- Loki, JSON lines ---- */

static void on_pushed(void *arg, struct err *e, const struct log_written *written)
{
    struct pushing *p = arg;

    (void)written;
    if (e)
        http_reply_err(p->r, e);
    else
        http_reply(p->r, 204, NULL, SLICE_EMPTY);
}

static void handle_loki(struct http_request *r)
{
    push(r, pushing_new(r, LOG_REQUEST_LOKI), "loki", on_pushed);
}

static void handle_legacy(struct http_request *r)
{
    push(r, pushing_new(r, LOG_REQUEST_LEGACY), "loki_legacy", on_pushed);
}

static void handle_lines(struct http_request *r)
{
    push(r, pushing_new(r, LOG_REQUEST_LINES), "json_lines", on_pushed);
}

/* ---- events ---- */

static struct err *decode_events(struct log_builder *b, const void *arg)
{
    return event_json_decode(b, ((const struct pushing *)arg)->q.body);
}

static void handle_events(struct http_request *r)
{
    struct pushing *p = pushing_new(r, LOG_REQUEST_LINES);

    push_with(r, p, &(struct log_decoder){.name = "events", .decode = decode_events, .arg = p},
              on_pushed);
}

/* ---- GELF ---- */

/* gelf_add() knows gzip and zlib by their first bytes, which clients may call by any name (pygelf:
 * "gzip,deflate"); what else there is in Content-Encoding must be right. It copies what it keeps. */
static struct err *decode_gelf(struct log_builder *b, const void *arg)
{
    const struct log_request *q = &((const struct pushing *)arg)->q;
    struct slice name = q->content_encoding;
    enum codec c = CODEC_IDENTITY;
    struct buf out = {0};
    struct err *e;

    if (!name.ptr || !codec_from_name(slice_trim(name), &c) ||
        (c != CODEC_ZSTD && c != CODEC_SNAPPY))
        return gelf_add(b, q->body);
    if (!(e = codec_decode(c, q->body, q->max_body_bytes, &out)))
        e = gelf_add(b, buf_slice(&out));
    buf_done(&out);
    return e;
}

static void on_gelf(void *arg, struct err *e, const struct log_written *written)
{
    struct pushing *p = arg;

    (void)written;
    if (e)
        http_reply_err(p->r, e);
    else
        http_reply(p->r, 202, NULL, SLICE_EMPTY); /* as Graylog answers */
}

static void handle_gelf(struct http_request *r)
{
    struct pushing *p = pushing_new(r, LOG_REQUEST_LINES);

    push_with(r, p, &(struct log_decoder){.name = "gelf_http", .decode = decode_gelf, .arg = p},
              on_gelf);
}

/* ---- OpenTelemetry ---- */

static void on_exported(void *arg, struct err *e, const struct log_written *written)
{
    struct pushing *p = arg;
    bool is_json = log_request_is_json(&p->q);
    struct buf body = {0};

    if (e && !log_written_is_partial(written, e)) {
        otlp_answer_err(p->r, e);
        return;
    }
    otlp_reply_logs_response(&body, is_json, e ? ORR_MAX(written->refused, (uint64_t)1) : 0,
                             e ? err_msg(e) : NULL);
    err_free(e);
    otlp_answer(p->r, 200, &body, is_json);
}

static void handle_otlp(struct http_request *r)
{
    push(r, pushing_new(r, LOG_REQUEST_OTLP), "otlp_logs", on_exported);
}

/* ---- Elasticsearch ---- */

static void on_bulk(void *arg, struct err *e, const struct log_written *written)
{
    struct pushing *p = arg;
    struct buf b = {0};

    /* Refused documents have their own status; anything else is the whole request's. */
    if (e && !(written->is_decoded && p->bulk.has_errors && err_is(e, ERR_INVALID))) {
        elastic_page_error(p->r, e);
        return;
    }
    elastic_bulk_answer(&b, &p->bulk, e ? err_msg(e) : NULL);
    err_free(e);
    elastic_page_header(p->r);
    http_reply_buf(p->r, 200, HTTP_JSON, &b);
}

static void handle_bulk(struct http_request *r)
{
    struct pushing *p = pushing_new(r, LOG_REQUEST_LINES);
    struct slice index = http_request_segment(r, "index");

    p->is_bulk = true;
    p->bulk.lines = p->q.lines;
    p->bulk.index = index.ptr ? index : SLICE_EMPTY;
    push(r, p, "elastic_bulk", on_bulk);
}

/* ---- routes ---- */

static void add(struct http_server *s, struct log_door *d, const char *pattern,
                void (*handler)(struct http_request *r), unsigned flags,
                void (*reply)(struct http_request *r, struct err *e))
{
    http_server_route(s, &(struct http_route){.methods = HTTP_POST | HTTP_PUT,
                                              .pattern = pattern,
                                              .flags = flags,
                                              .max_body_bytes = log_door_max_body_bytes(d),
                                              .on_headers = on_headers,
                                              .handler = handler,
                                              .reply_err = reply,
                                              .arg = d});
}

void log_http_routes(struct http_server *s, struct log_door *d)
{
    static const char *const bulks[] = {"/_bulk", "/elasticsearch/_bulk",
                                        "/elasticsearch/{index}/_bulk"};

    add(s, d, "/loki/api/v1/push", handle_loki, HTTP_ROUTE_RAW_BODY, NULL);
    add(s, d, "/api/prom/push", handle_legacy, HTTP_ROUTE_RAW_BODY, NULL);
    add(s, d, "/loki/api/v1/raw", handle_lines, HTTP_ROUTE_RAW_BODY, NULL);
    add(s, d, "/insert/jsonline", handle_lines, HTTP_ROUTE_RAW_BODY, NULL);
    add(s, d, "/gelf", handle_gelf, HTTP_ROUTE_RAW_BODY, NULL);
    add(s, d, "/api/v1/events", handle_events, 0, NULL);
    add(s, d, "/otlp/v1/logs", handle_otlp, HTTP_ROUTE_RAW_BODY, otlp_answer_err);
    add(s, d, "/v1/logs", handle_otlp, HTTP_ROUTE_RAW_BODY, otlp_answer_err);
    for (size_t i = 0; i < ORR_COUNT(bulks); i++)
        add(s, d, bulks[i], handle_bulk, 0, elastic_page_error);
    elastic_page_routes(s);
}
