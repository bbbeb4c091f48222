/*
 * Pages of operators:
 *
 *   POST /ingester/flush[?tenant=T]   cuts everything and waits (ingester.flush-wait) until
 *                                     compactors have it: 204; 200 says what is still pending
 *   POST /ingester/leave              leaves the ring and ends the process; answered at once
 *   GET  /ingester/status             JSON
 *   GET  /ingester/ha_tracker         elected replicas of pairs; HTML, or JSON by Accept
 *   GET  /ingester/aggregation        what is added up here, by tenant and rule; JSON
 *   GET  /runtime_config              limits: defaults and overrides, YAML
 */
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/model/tenant.h"
#include "ingester/ingester_internal.h"
#include "ingester/logs/loghead.h"

/* ---- flush ---- */

static void on_flushed(void *arg, struct err *e, const struct flush_report *report)
{
    struct http_request *r = arg;
    struct buf out = {0};

    if (e) {
        http_reply_err(r, e);
        return;
    }
    if (report->pending == 0) {
        http_reply(r, 204, NULL, SLICE_EMPTY);
        return;
    }
    buf_printf(&out, "{\"cut\":%zu,\"pending\":%zu,\"why\":\"%s\"}\n", report->cut, report->pending,
               report->has_compactor ? "compactors have not taken the segments over yet"
                                     : "there is no active compactor");
    http_reply_buf(r, 200, HTTP_JSON, &out);
}

static void flush(struct http_request *r)
{
    struct ingester *ing = r->arg;
    struct slice tenant = http_param(r, "tenant");
    struct err *e = http_param_check(r);

    if (!e && tenant.ptr)
        e = tenant_check(tenant);
    if (!e && !head_is_ready(ing->head))
        e = err_new(ERR_UNAVAILABLE, "the write-ahead log is being replayed");
    if (e)
        http_reply_err(r, e);
    else
        flush_cut(ing->flush, tenant.ptr ? tenant : SLICE_EMPTY,
                  ing->conf.flush_wait_ns / NS_PER_MS, on_flushed, r);
}

/* ---- leave ---- */

/* LEFT has been told to a few members; the process has nothing left to do. */
static void on_left(void *arg, struct err *e, const struct flush_report *report)
{
    (void)arg;
    (void)report;
    if (e)
        LOG_WARN(flush, "leaving did not end", KV_ERR(e));
    else
        (void)kill(getpid(), SIGTERM);
    err_free(e);
}

static void leave(struct http_request *r)
{
    struct ingester *ing = r->arg;

    flush_leave(ing->flush, on_left, ing);
    http_reply(r, 202, HTTP_TEXT, SLICE("leaving: see /ingester/status\n"));
}

/* ---- status ---- */

static void write_segments(struct buf *out, struct head *h)
{
    struct head_segment *rows;
    size_t n;

    head_segments(h, &rows, &n);
    buf_str(out, ",\"segments\":[");
    for (size_t i = 0; i < n; i++) {
        buf_str(out, i ? ",{\"tenant\":" : "{\"tenant\":");
        buf_json_str(out, slice_cstr(rows[i].tenant));
        buf_printf(out,
                   ",\"ulid\":\"%s\",\"minTime\":%lld,\"maxTime\":%lld,\"series\":%llu,"
                   "\"samples\":%llu,\"bytes\":%llu,\"state\":\"%s\"}",
                   rows[i].ulid, (long long)rows[i].min_ms, (long long)rows[i].max_ms,
                   (unsigned long long)rows[i].series, (unsigned long long)rows[i].samples,
                   (unsigned long long)rows[i].bytes,
                   rows[i].state == HEAD_SEGMENT_READY ? "ready" : "dropped");
    }
    buf_str(out, "]");
    mem_free(rows);
}

static void write_logs_segments(struct buf *out, struct loghead *h)
{
    struct loghead_segment *rows;
    size_t n;

    loghead_segments(h, &rows, &n);
    buf_str(out, ",\"logSegments\":[");
    for (size_t i = 0; i < n; i++) {
        buf_str(out, i ? ",{\"tenant\":" : "{\"tenant\":");
        buf_json_str(out, slice_cstr(rows[i].tenant));
        buf_printf(out,
                   ",\"ulid\":\"%s\",\"minTime\":%lld,\"maxTime\":%lld,\"streams\":%llu,"
                   "\"lines\":%llu,\"bytes\":%llu,\"frames\":%u}",
                   rows[i].ulid, (long long)rows[i].min_ms, (long long)rows[i].max_ms,
                   (unsigned long long)rows[i].streams, (unsigned long long)rows[i].entries,
                   (unsigned long long)rows[i].bytes, rows[i].frames);
    }
    buf_str(out, "]");
    mem_free(rows);
}

static void write_replay(struct buf *out, struct head *h)
{
    struct head_replay_stats s;

    head_replay_stats_get(h, &s);
    buf_printf(out,
               ",\"replay\":{\"series\":%llu,\"samples\":%llu,\"records\":%llu,"
               "\"brokenRecords\":%llu,\"checkpointMs\":%lld,\"replayMs\":%lld,"
               "\"tornBytes\":%llu,\"quarantined\":%llu,\"quarantinedBytes\":%llu}",
               (unsigned long long)s.series, (unsigned long long)s.samples,
               (unsigned long long)s.records, (unsigned long long)s.broken_records,
               (long long)s.checkpoint_ms, (long long)s.replay_ms,
               (unsigned long long)s.wal.torn_bytes, (unsigned long long)s.wal.quarantined,
               (unsigned long long)s.wal.quarantined_bytes);
}

static void status(struct http_request *r)
{
    struct ingester *ing = r->arg;
    struct buf out = {0};

    buf_str(&out, "{\"instance\":");
    buf_json_str(&out, slice_cstr(process_instance(ing->process)));
    buf_str(&out, ",\"zone\":");
    buf_json_str(&out, slice_cstr(process_zone(ing->process)));
    buf_printf(&out,
               ",\"state\":\"%s\",\"leaving\":%s,\"ready\":%s,\"series\":%llu,"
               "\"wal\":{\"backend\":\"%s\",\"healthy\":%s,\"firstSeq\":%llu,\"nextSeq\":%llu},"
               "\"inflightPushes\":%zu",
               member_state_name(membership_self_state(process_membership(ing->process))),
               flush_is_leaving(ing->flush) ? "true" : "false",
               head_is_ready(ing->head) ? "true" : "false",
               (unsigned long long)head_series_count(ing->head), wal_backend(ing->wal),
               wal_is_healthy(ing->wal) ? "true" : "false",
               (unsigned long long)wal_first_seq(ing->wal),
               (unsigned long long)wal_next_seq(ing->wal), distribute_inflight(ing->distribute));
    write_replay(&out, ing->head);
    write_segments(&out, ing->head);
    write_logs_segments(&out, ingester_logs_head(ing));
    buf_str(&out, "}\n");
    http_reply_buf(r, 200, HTTP_JSON, &out);
}

/* ---- elected replicas ---- */

static void write_time(struct buf *out, int64_t ms)
{
    time_t seconds = (time_t)(ms / MS_PER_S);
    char text[40];
    struct tm tm;

    if (gmtime_r(&seconds, &tm) && strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
        buf_str(out, text);
}

static void write_elected_html(struct buf *out, const struct ha_tracker_row *row)
{
    buf_str(out, "<tr><td>");
    buf_html(out, slice_cstr(row->tenant));
    buf_str(out, "</td><td>");
    buf_html(out, slice_cstr(row->cluster));
    buf_str(out, "</td><td>");
    buf_html(out, slice_cstr(row->replica));
    buf_str(out, "</td><td>");
    write_time(out, row->elected_ms);
    buf_str(out, "</td><td>");
    write_time(out, row->received_ms);
    buf_printf(out, "</td><td>%llu</td></tr>\n", (unsigned long long)row->elections);
}

static void write_elected_json(struct buf *out, const struct ha_tracker_row *row)
{
    buf_str(out, "{\"userID\":");
    buf_json_str(out, slice_cstr(row->tenant));
    buf_str(out, ",\"cluster\":");
    buf_json_str(out, slice_cstr(row->cluster));
    buf_str(out, ",\"replica\":");
    buf_json_str(out, slice_cstr(row->replica));
    buf_str(out, ",\"electedAt\":\"");
    write_time(out, row->elected_ms);
    buf_str(out, "\",\"receivedAt\":\"");
    write_time(out, row->received_ms);
    buf_printf(out, "\",\"elections\":%llu}", (unsigned long long)row->elections);
}

static void ha_page(struct http_request *r)
{
    struct ingester *ing = r->arg;
    bool is_json = slice_find(http_request_header(r, "Accept"), SLICE("application/json"), 0) >= 0;
    struct ha_tracker_row *rows;
    struct buf out = {0};
    size_t n;

    ha_tracker_list(ing->ha, &rows, &n);
    buf_str(&out, is_json ? "{\"elected\":["
                          : "<!DOCTYPE html><html lang=\"en\"><head><meta charset=\"utf-8\">"
                            "<title>HA tracker</title></head><body><h1>HA tracker</h1>\n<table>"
                            "<tr><th>tenant</th><th>cluster</th><th>replica</th><th>elected</th>"
                            "<th>last sample</th><th>elections</th></tr>\n");
    for (size_t i = 0; i < n; i++) {
        if (is_json && i)
            buf_byte(&out, ',');
        if (is_json)
            write_elected_json(&out, &rows[i]);
        else
            write_elected_html(&out, &rows[i]);
    }
    buf_str(&out, is_json ? "]}\n" : "</table></body></html>\n");
    ha_tracker_list_free(rows, n);
    http_reply_buf(r, 200, is_json ? HTTP_JSON : HTTP_HTML, &out);
}

/* ---- aggregation ---- */

/* Number of a rule in the tenant's list, from 0; -1: it is not there any more. */
static int rule_index(struct ingester *ing, const struct agg_pool_row *row)
{
    struct tenant_rules *rules = limits_rules(ing->limits, slice_cstr(row->tenant));
    const struct agg_rule *r = agg_rules_by_id(&rules->aggregation, row->rule);
    int ret = r ? (int)(r - rules->aggregation.ptr) : -1;

    tenant_rules_unref(rules);
    return ret;
}

static void aggregation_page(struct http_request *r)
{
    struct ingester *ing = r->arg;
    struct agg_pool_row *rows;
    size_t n = agg_pool_list(ing->agg_pool, &rows);
    struct buf out = {0};

    buf_str(&out, "{\"aggregation\":[");
    for (size_t i = 0; i < n; i++) {
        buf_str(&out, i ? ",{\"userID\":" : "{\"userID\":");
        buf_json_str(&out, slice_cstr(rows[i].tenant));
        buf_printf(&out, ",\"rule\":%d,\"groups\":%llu,\"inputs\":%llu,\"lastOutputAt\":\"",
                   rule_index(ing, &rows[i]), (unsigned long long)rows[i].groups,
                   (unsigned long long)rows[i].inputs);
        if (rows[i].last_ms)
            write_time(&out, rows[i].last_ms);
        buf_str(&out, "\"}");
    }
    buf_str(&out, "]}\n");
    agg_pool_list_free(rows, n);
    http_reply_buf(r, 200, HTTP_JSON, &out);
}

static void runtime_config(struct http_request *r)
{
    struct ingester *ing = r->arg;
    struct buf out = {0};

    limits_print(ing->limits, &out);
    http_reply_buf(r, 200, "text/yaml; charset=utf-8", &out);
}

void ingester_pages_routes(struct ingester *ing)
{
    const struct http_route routes[] = {
        {.methods = HTTP_POST, .pattern = "/ingester/flush", .handler = flush, .arg = ing},
        {.methods = HTTP_POST, .pattern = "/ingester/leave", .handler = leave, .arg = ing},
        {.methods = HTTP_GET, .pattern = "/ingester/status", .handler = status, .arg = ing},
        {.methods = HTTP_GET, .pattern = "/ingester/ha_tracker", .handler = ha_page, .arg = ing},
        {.methods = HTTP_GET,
         .pattern = "/ingester/aggregation",
         .handler = aggregation_page,
         .arg = ing},
        {.methods = HTTP_GET, .pattern = "/runtime_config", .handler = runtime_config, .arg = ing},
    };

    for (size_t i = 0; i < ORR_COUNT(routes); i++)
        http_server_route(process_http(ing->process), &routes[i]);
}
