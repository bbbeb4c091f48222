/* Log lines and events of a trace. */
#include "common/base/clock.h"
#include "common/base/gostr.h"
#include "common/model/event.h"
#include "querier/api/correlate_internal.h"
#include "querier/logs/logbytime.h"

/* How people name it in structured metadata; OTLP's records have the first. */
static const char *const names[] = {"trace_id", "traceid", "traceID", "traceId"};

void correlate_logs_filter(const struct correlate_run *r, struct buf *out)
{
    for (size_t i = 0; i < ORR_COUNT(names); i++) {
        buf_printf(out, "%s%s=\"%.*s\"", i ? " or " : "", names[i], SLICE_ARG(r->id));
        if (r->short_id.len)
            buf_printf(out, " or %s=\"%.*s\"", names[i], SLICE_ARG(r->short_id));
    }
}

/* Those that have the id in their text, and are not found by the filter. A short id is in the long one, too. */
static void by_text(const struct correlate_run *r, struct buf *out)
{
    struct slice id = r->short_id.len ? r->short_id : r->id;

    buf_printf(out, "{" EVENT_LABEL "=\"\"} |= \"%.*s\"", SLICE_ARG(id));
    for (size_t i = 0; i < ORR_COUNT(names); i++) {
        buf_printf(out, " | %s!=\"%.*s\"", names[i], SLICE_ARG(r->id));
        if (r->short_id.len)
            buf_printf(out, " | %s!=\"%.*s\"", names[i], SLICE_ARG(r->short_id));
    }
}

static void by_metadata(const struct correlate_run *r, const char *selector, struct buf *out)
{
    buf_printf(out, "%s | ", selector);
    correlate_logs_filter(r, out);
}

/* Lines take the longest: what they have found by then is no use when the answer comes too late. */
static int64_t deadline_of(const struct prom_task *t)
{
    int64_t now_ms = clock_mono_ms(&clock_system);

    return t->deadline_mono_ms ? now_ms + (t->deadline_mono_ms - now_ms) * 4 / 5 : 0;
}

static uint32_t limit_of(const struct correlate_run *r)
{
    int64_t max = r->t->limits.max_entries_limit_per_query;

    return max > 0 ? (uint32_t)ORR_MIN((int64_t)r->p->limit, max) : r->p->limit;
}

static struct err *run_query(struct correlate_run *r, struct slice expr, int64_t deadline_mono_ms,
                             struct logquery_result *ret)
{
    const struct loki_api *api = r->p->api->loki;
    struct logremote_range range = {.start_ns = r->range.start_ns, .end_ns = r->range.end_ns};
    struct logquery q = loki_api_query(api, r->t, range);
    struct logremote remote;
    struct err *e;

    q.expr = expr;
    q.step_ns = NS_PER_S;
    q.is_forward = true;
    q.lines_only = true;
    q.limit = limit_of(r);
    q.deadline_mono_ms = deadline_mono_ms;
    if ((e = loki_api_source(r->t, range, &remote)))
        return e;
    return logquery(api->engine, &q, &remote.source, r->t->arena, ret);
}

struct err *correlate_logs_find(struct correlate_run *r, struct correlate_lines *ret)
{
    int64_t deadline_mono_ms = deadline_of(r->t);
    struct logquery_result *res = arena_array(r->t->arena, struct logquery_result, 2);
    struct buf text = {0}, metadata = {0};
    struct err *e;

    by_text(r, &text);
    by_metadata(r, "{" EVENT_LABEL "=\"\"}", &metadata);
    if (!(e = run_query(r, buf_slice(&text), deadline_mono_ms, &res[0])))
        e = run_query(r, buf_slice(&metadata), deadline_mono_ms, &res[1]);
    buf_done(&text);
    buf_done(&metadata);
    if (e)
        return e;
    ret->n = logbytime(r->t->arena, res, 2, true, &ret->ptr);
    return NULL;
}

struct err *correlate_events_find(struct correlate_run *r, struct correlate_lines *ret)
{
    struct logquery_result *res = arena_new_of(r->t->arena, struct logquery_result);
    struct buf text = {0};
    struct err *e;

    by_metadata(r, "{" EVENT_LABEL "!=\"\"}", &text);
    e = run_query(r, buf_slice(&text), deadline_of(r->t), res);
    buf_done(&text);
    if (e)
        return e;
    ret->n = logbytime(r->t->arena, res, 1, true, &ret->ptr);
    return NULL;
}

/* ---- the answer ---- */

static void put_line(struct buf *out, const struct logbytime *l)
{
    buf_printf(out, "{\"timeUnixNano\":\"%lld\",\"line\":", (long long)l->line->ts_ns);
    buf_json_str(out, l->line->line);
    buf_str(out, ",\"labels\":");
    labels_json(out, l->stream->stream);
    buf_str(out, ",\"structuredMetadata\":");
    labels_json(out, l->stream->metadata);
    buf_byte(out, '}');
}

static void put_event(struct buf *out, const struct logbytime *l)
{
    loki_events_put(out, l->stream, l->line);
}

/* A query that has found as many as it may has left out others. */
static void put_lines(struct correlate_run *r, const struct correlate_lines *lines,
                      const char *what, void (*put)(struct buf *out, const struct logbytime *l),
                      struct buf *out)
{
    uint32_t limit = limit_of(r);
    size_t from = out->len, n = 0;

    buf_byte(out, '[');
    while (n < lines->n && n < limit && out->len - from < CORRELATE_MAX_BYTES) {
        buf_str(out, n ? "," : "");
        put(out, &lines->ptr[n++]);
    }
    buf_byte(out, ']');
    if (n < lines->n || n == limit)
        correlate_truncated(r, what);
}

void correlate_logs_put(struct correlate_run *r, const struct correlate_lines *lines,
                        struct buf *out)
{
    put_lines(r, lines, "logs", put_line, out);
}

void correlate_events_put(struct correlate_run *r, const struct correlate_lines *lines,
                          struct buf *out)
{
    put_lines(r, lines, "events", put_event, out);
}
