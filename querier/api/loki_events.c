/*
 * GET /api/v1/events: events (common/model/event.h), newest first.
 *
 *   start, end, since, limit, direction   as of query_range; 24 hours, if nothing is said
 *   kind, service                         those alone
 *
 *   {"status":"success","data":[{"time":"…","kind":"…","title":"…","service":"…","end":"…","attributes":{…}}]}
 */
#include "common/base/clock.h"
#include "common/base/gotime.h"
#include "common/model/event.h"
#include "querier/api/loki_api_internal.h"
#include "querier/logs/logbytime.h"

#define DEF_SINCE_NS (24 * 3600 * NS_PER_S)
#define MAX_TEXT 4096

struct events_params {
    struct loki_api *api;
    struct logremote_range range;
    uint32_t limit;
    bool is_forward;
    struct slice expr;
};

/* ---- the answer ---- */

static void put_time(struct buf *out, const char *name, int64_t ns)
{
    struct gotime t = gotime_of_ns(ns, NULL);

    buf_printf(out, "\"%s\":\"", name);
    gotime_format(out, &t, SLICE(GOTIME_RFC3339_NANO));
    buf_byte(out, '"');
}

static void put_text(struct buf *out, const char *name, struct slice text)
{
    buf_printf(out, ",\"%s\":", name);
    buf_json_str(out, text);
}

static bool is_own(struct slice name)
{
    return slice_eq_cstr(name, EVENT_SERVICE) || slice_eq_cstr(name, EVENT_END) ||
           slice_eq_cstr(name, EVENT_NAME) || slice_eq_cstr(name, "detected_level");
}

void loki_events_put(struct buf *out, const struct logquery_stream *s,
                     const struct logquery_line *line)
{
    struct slice kind = labels_get(s->stream, SLICE(EVENT_LABEL));
    struct slice service = labels_get(s->metadata, SLICE(EVENT_SERVICE));
    struct slice end = labels_get(s->metadata, SLICE(EVENT_END));
    bool is_first = true;
    int64_t end_ns;

    buf_byte(out, '{');
    put_time(out, "time", line->ts_ns);
    put_text(out, "kind", kind);
    put_text(out, "title", line->line.len ? line->line : kind);
    if (service.len)
        put_text(out, "service", service);
    if (slice_to_i64(end, &end_ns)) {
        buf_byte(out, ',');
        put_time(out, "end", end_ns);
    }
    buf_str(out, ",\"attributes\":{");
    for (size_t i = 0; i < s->metadata.n; i++) {
        if (is_own(s->metadata.ptr[i].name))
            continue;
        buf_str(out, is_first ? "" : ",");
        buf_json_str(out, s->metadata.ptr[i].name);
        buf_byte(out, ':');
        buf_json_str(out, s->metadata.ptr[i].value);
        is_first = false;
    }
    buf_str(out, "}}");
}

/* Nearly every event is a stream of its own; events are wanted by time. */
static void put_events(struct arena *a, struct buf *out, const struct logquery_result *res)
{
    struct logbytime *all;
    size_t n = logbytime(a, res, 1, res->is_forward, &all);

    for (size_t i = 0; i < n; i++) {
        buf_str(out, i ? "," : "");
        loki_events_put(out, all[i].stream, all[i].line);
    }
}

static struct err *run_events(struct prom_task *t)
{
    const struct events_params *p = t->params;
    struct logquery q = loki_api_query(p->api, t, p->range);
    struct logquery_result res = {.is_forward = p->is_forward};
    struct logremote remote;
    struct err *e;

    q.expr = p->expr;
    q.step_ns = NS_PER_S;
    q.is_forward = p->is_forward;
    q.lines_only = true;
    q.limit = p->limit;
    if ((e = loki_api_source(t, p->range, &remote)) ||
        (e = logquery(p->api->engine, &q, &remote.source, t->arena, &res)))
        return e;
    buf_str(&t->out, "{\"status\":\"success\",\"data\":[");
    put_events(t->arena, &t->out, &res);
    buf_byte(&t->out, ']');
    loki_api_end(t);
    return NULL;
}

/* ---- on a loop ---- */

/* "text" in LogQL, whose strings are Go's; JSON's are such. */
static struct err *put_value(struct buf *out, const char *name, struct slice text)
{
    if (text.len > MAX_TEXT || !slice_is_utf8(text))
        return err_new(ERR_INVALID, "%s must be UTF-8 of at most %d bytes", name, MAX_TEXT);
    buf_json_str(out, text);
    return NULL;
}

static struct err *make_query(struct http_request *r, struct events_params *p)
{
    struct slice kind = http_param(r, "kind"), service = http_param(r, "service");
    struct buf b = {0};
    struct err *e = NULL;

    buf_str(&b, "{" EVENT_LABEL);
    buf_str(&b, kind.len ? "=" : "!=");
    e = put_value(&b, "kind", kind.len ? kind : SLICE_EMPTY);
    buf_byte(&b, '}');
    if (!e && service.len) {
        buf_str(&b, " | " EVENT_SERVICE "=");
        e = put_value(&b, "service", service);
    }
    p->expr = arena_dup(r->arena, buf_slice(&b));
    buf_done(&b);
    return e;
}

void loki_events(struct http_request *r)
{
    struct events_params *p = arena_new_of(r->arena, struct events_params);
    struct slice tenant;
    struct err *e;

    if (!loki_api_begin(r, &tenant))
        return;
    p->api = r->arg;
    if (!(e = loki_api_range(r, DEF_SINCE_NS, &p->range)) &&
        !(e = loki_param_limit(http_param(r, "limit"), LOGQUERY_LIMIT, &p->limit)) &&
        !(e = loki_param_direction(http_param(r, "direction"), &p->is_forward)))
        e = make_query(r, p);
    if (!loki_api_failed(r, e))
        loki_api_task(r, tenant, run_events, p);
}
