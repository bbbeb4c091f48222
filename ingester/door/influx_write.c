#include "ingester/door/influx_write.h"

#include "common/base/metric.h"
#include "ingester/door/influx_line.h"
#include "ingester/door/plain_name.h"

#define VERSION "1.8.10" /* what clients take for one that speaks both APIs */

/* Of all loops; registered once and for good. */
static struct influx_metrics {
    uint64_t strings;
} totals;
static const struct metric_field influx_metric_fields[] = {
    METRIC_COUNTER(struct influx_metrics, strings, "orrery_door_influx_strings_total",
                   "Fields of Influx points left out because they are texts."),
};

/* ---- decoding ---- */

/* measurement_field */
static struct slice series_name(struct arena *a, struct slice measurement, struct slice field)
{
    uint8_t *name, *p;

    if (slice_eq_cstr(field, "value"))
        return plain_name(a, measurement);
    p = name = arena_alloc(a, measurement.len + field.len + 2);
    plain_name_put(&p, measurement, true);
    *p++ = '_';
    plain_name_put(&p, field, false);
    return slice_of(name, (size_t)(p - name));
}

struct writing {
    struct push_builder *b;
    struct line_request *q;
    int64_t unit_ns;
    struct influx_write_result result;
    struct label *labels; /* the name, then the tags of the point */
    size_t cap;
};

static size_t point_labels(struct writing *w, const struct influx_line *p)
{
    struct arena *a = push_builder_arena(w->b);
    size_t n = 1;

    if (p->n_tags + 1 > w->cap) {
        w->cap = 2 * (p->n_tags + 1);
        w->labels = arena_array(a, struct label, w->cap);
    }
    for (size_t i = 0; i < p->n_tags; i++)
        if (!slice_eq_cstr(p->tags[i].name, LABEL_NAME))
            w->labels[n++] = (struct label){plain_name(a, p->tags[i].name), p->tags[i].value};
    return n;
}

static void bad_point(struct writing *w, size_t line, const char *why)
{
    if (w->result.bad++ == 0) {
        w->result.bad_line = line;
        w->result.bad_why = why;
    }
    push_builder_reject(w->b, DOOR_BAD_LINE, 1, SLICE_EMPTY);
}

static struct err *add_point(struct writing *w, const struct influx_line *p)
{
    struct sample s = {push_builder_now_ms(w->b), 0};
    struct err *e = NULL;
    size_t n;

    if (p->has_time && !influx_line_to_ms(p->time, w->unit_ns, &s.t_ms)) {
        bad_point(w, p->line, "a timestamp out of range");
        return NULL;
    }
    n = point_labels(w, p);
    w->result.points++;
    for (size_t i = 0; i < p->n_fields && !e; i++) {
        const struct influx_field *f = &p->fields[i];
        struct labels ls = {w->labels, n};

        if (f->kind == INFLUX_STRING) {
            w->result.strings++;
            continue;
        }
        s.v = f->value;
        w->labels[0] = (struct label){
            SLICE(LABEL_NAME), series_name(push_builder_arena(w->b), p->measurement, f->key)};
        if (w->q)
            ls = line_request_labels(w->q, ls);
        e = push_builder_add(
            w->b,
            &(struct push_in){.labels = ls.ptr, .n_labels = ls.n, .samples = &s, .n_samples = 1});
    }
    return e;
}

struct err *influx_write_decode(struct push_builder *b, const void *arg)
{
    const struct influx_write *x = arg;
    struct writing w = {.b = b, .q = x->q, .unit_ns = x->unit_ns};
    struct influx_line p;
    enum influx_item item;
    struct err *e = NULL;

    influx_line_init(&p, push_builder_arena(b), x->q ? x->q->body : push_builder_body(b));
    while (!e && (item = influx_line_next(&p)) != INFLUX_END)
        if (item == INFLUX_POINT)
            e = add_point(&w, &p);
        else
            bad_point(&w, p.line, p.error);
    METRIC_ADD(totals.strings, w.result.strings);
    if (x->result)
        *x->result = w.result;
    return e;
}

/* ---- HTTP ---- */

static bool is_v2(const struct http_request *r)
{
    return slice_find(r->path, SLICE("/api/v2/"), 0) >= 0;
}

/* Takes e. */
static void reply_error(struct http_request *r, struct err *e)
{
    struct buf b = {0};
    int status = err_code_http(err_code(e));

    if (status == 429 || status == 503)
        http_reply_header(r, "Retry-After", SLICE("1"));
    if (!is_v2(r)) {
        http_reply_header(r, "X-Influxdb-Error", slice_cstr(err_msg(e)));
        buf_str(&b, "{\"error\":");
    } else {
        buf_printf(&b, "{\"code\":\"%s\",\"message\":",
                   status == 401   ? "unauthorized"
                   : status == 429 ? "too many requests"
                   : status == 503 ? "unavailable"
                   : status == 413 ? "request too large"
                   : status >= 500 ? "internal error"
                                   : "invalid");
    }
    buf_json_str(&b, slice_cstr(err_msg(e)));
    buf_str(&b, "}");
    http_reply_buf(r, status, HTTP_JSON, &b);
    err_free(e);
}

static void on_done(void *arg, struct err *e, const struct door_written *written)
{
    struct http_request *r = arg;
    const struct influx_write *x = r->user;

    (void)written;
    if (e && x && x->result->bad)
        e = err_wrap(e, "%sunable to parse line %zu: %s (%llu of %llu points)",
                     x->result->points ? "partial write: " : "", x->result->bad_line,
                     x->result->bad_why, (unsigned long long)x->result->bad,
                     (unsigned long long)(x->result->points + x->result->bad));
    if (e)
        reply_error(r, e);
    else
        http_reply(r, 204, NULL, SLICE_EMPTY);
}

static struct err *read_request(struct http_request *r, struct influx_write *x)
{
    struct slice precision = line_request_param(r, "precision");
    struct err *e = line_request_init(r, x->q);

    if (!e && precision.ptr && !influx_line_precision(precision, &x->unit_ns))
        e = err_new(ERR_INVALID, "invalid precision \"%.*s\" (use ns, us, ms, s, m or h)",
                    SLICE_ARG(slice_sub(precision, 0, 64)));
    return e;
}

static void handle_write(struct http_request *r)
{
    struct influx_write *x = arena_new_of(r->arena, struct influx_write);
    struct push_decoder decoder = {.name = "influx", .decode = influx_write_decode, .arg = x};
    struct err *e;

    x->q = arena_new_of(r->arena, struct line_request);
    x->result = arena_new_of(r->arena, struct influx_write_result);
    x->unit_ns = 1;
    r->user = x;
    if ((e = read_request(r, x)))
        reply_error(r, e);
    else
        line_request_write(r, &decoder, on_done, r);
}

static void handle_ping(struct http_request *r)
{
    http_reply_header(r, "X-Influxdb-Version", SLICE(VERSION));
    http_reply(r, 204, NULL, SLICE_EMPTY);
}

static bool starts_with_words(struct slice s, const char *first, const char *second)
{
    struct slice rest = slice_trim(s);
    size_t n = strlen(first), m = strlen(second);

    if (!slice_eq_nocase(slice_sub(rest, 0, n), slice_cstr(first)))
        return false;
    rest = slice_trim(slice_from(rest, n));
    return slice_eq_nocase(slice_sub(rest, 0, m), slice_cstr(second));
}

static void handle_query(struct http_request *r)
{
    struct slice q = http_param(r, "q"), db = http_param(r, "db");
    struct buf b = {0};

    if (starts_with_words(q, "create", "database")) {
        buf_str(&b, "{\"results\":[{\"statement_id\":0}]}");
    } else if (starts_with_words(q, "show", "databases")) {
        buf_str(&b, "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"databases\","
                    "\"columns\":[\"name\"],\"values\":[");
        if (db.len) {
            buf_byte(&b, '[');
            buf_json_str(&b, db);
            buf_byte(&b, ']');
        }
        buf_str(&b, "]}]}]}");
    } else {
        reply_error(r, err_new(ERR_INVALID, "InfluxQL is not supported: ask with PromQL, at "
                                            "/api/v1/query; only CREATE DATABASE and SHOW "
                                            "DATABASES are answered here"));
        return;
    }
    http_reply_buf(r, 200, HTTP_JSON, &b);
}

void influx_write_routes(struct http_server *s, struct door *d)
{
    static const char *const writes[] = {"/write",
                                         "/api/v2/write",
                                         "/influx/write",
                                         "/influx/api/v2/write",
                                         "/api/v1/push/influx/write",
                                         "/api/v1/push/influx/api/v2/write"};
    static const char *const pings[] = {"/ping", "/influx/ping", "/api/v1/push/influx/ping"};
    static const char *const queries[] = {"/query", "/influx/query", "/api/v1/push/influx/query"};

    static bool is_registered;

    if (!is_registered)
        metric_register(&totals, influx_metric_fields, ORR_COUNT(influx_metric_fields), NULL);
    is_registered = true;
    for (size_t i = 0; i < ORR_COUNT(writes); i++)
        http_server_route(s, &(struct http_route){.methods = HTTP_POST,
                                                  .pattern = writes[i],
                                                  .max_body_bytes = door_max_body_bytes(d),
                                                  .on_headers = line_request_admit,
                                                  .reply_err = reply_error,
                                                  .handler = handle_write,
                                                  .arg = d});
    for (size_t i = 0; i < ORR_COUNT(pings); i++)
        http_server_route(s, &(struct http_route){
                                 .methods = HTTP_GET, .pattern = pings[i], .handler = handle_ping});
    for (size_t i = 0; i < ORR_COUNT(queries); i++)
        http_server_route(s, &(struct http_route){.methods = HTTP_GET | HTTP_POST,
                                                  .pattern = queries[i],
                                                  .max_body_bytes = 1 << 20,
                                                  .handler = handle_query});
}
