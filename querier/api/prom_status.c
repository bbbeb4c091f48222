/*
 * What Prometheus tells about itself, told about the tenant that asks: status/…, and the lists of a
 * scraper (targets, alertmanagers …), which are empty because Orrery scrapes nothing. Mimir's
 * user_limits and user_stats.
 *
 * A tenant is told its own limits as "config" and the settings its queries run under as "flags"; what
 * the process is configured with is the operator's and stands at /config.
 */
#include <stdlib.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/gotime.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/num.h"
#include "querier/api/prom_api_internal.h"

#define TOP_DEFAULT 10
#define TOP_MAX 10000

/* ---- fixed answers ---- */

/*
 * Grafana takes a data source without `features` for a plain Prometheus, and decides by `version`
 * what it may ask: so that says whose API this is, and ours stands beside it.
 */
void prom_status_buildinfo(struct http_request *r)
{
    prom_api_reply(r, SLICE("{\"version\":\"3.5.0\",\"revision\":\"orrery-" ORR_VERSION
                            "\",\"branch\":\"\",\"buildUser\":\"\",\"buildDate\":\"\","
                            "\"goVersion\":\"\",\"application\":\"Orrery\","
                            "\"orreryVersion\":\"" ORR_VERSION "\","
                            /* as Mimir says it: Grafana offers to edit rules then */
                            "\"features\":{\"ruler_config_api\":\"true\"}}"));
}

void prom_status_walreplay(struct http_request *r)
{
    prom_api_reply(r, SLICE("{\"min\":0,\"max\":0,\"current\":0}"));
}

void prom_status_targets(struct http_request *r)
{
    prom_api_reply(
        r, SLICE("{\"activeTargets\":[],\"droppedTargets\":[],\"droppedTargetCounts\":{}}"));
}

void prom_status_scrape_pools(struct http_request *r)
{
    prom_api_reply(r, SLICE("{\"scrapePools\":[]}"));
}

void prom_status_empty_list(struct http_request *r)
{
    prom_api_reply(r, SLICE("[]"));
}

void prom_status_alertmanagers(struct http_request *r)
{
    prom_api_reply(r, SLICE("{\"activeAlertmanagers\":[],\"droppedAlertmanagers\":[]}"));
}

void prom_status_features(struct http_request *r)
{
    const struct prom_tasks_opts *o = prom_tasks_opts(prom_api_of(r)->tasks);
    struct buf out = {0};

    buf_printf(&out,
               "{\"api\":{\"admin\":%s,\"exclude_alerts\":true,\"label_values_match\":true,"
               "\"query_stats\":true,\"query_warnings\":true,\"remote_write_receiver\":true,"
               "\"rule_group_paging\":true,\"time_range_labels\":true,\"time_range_series\":true},"
               "\"promql\":{\"anchored\":%s,\"at_modifier\":true,\"binop_fill\":%s,"
               "\"delayed_name_removal\":false,\"duration_expr\":%s,\"experimental_functions\":%s,"
               "\"negative_offset\":true,\"per_step_stats\":true,\"smoothed\":%s,"
               "\"subqueries\":true},"
               "\"storage\":{\"exemplars\":true,\"native_histograms\":true,\"remote_read\":true,"
               "\"remote_read_streamed_chunks\":true}}",
               o->admin.is_enabled ? "true" : "false", o->has_experimental ? "true" : "false",
               o->has_experimental ? "true" : "false", o->has_experimental ? "true" : "false",
               o->has_experimental ? "true" : "false", o->has_experimental ? "true" : "false");
    prom_api_reply(r, buf_slice(&out));
    buf_done(&out);
}

/* ---- limits, settings ---- */

static void put_number(struct buf *out, double v)
{
    num_format(out, v, 'f', -1);
}

/* X(kind, name, …) of limits.h: its value, durations in seconds. */
#define LIMIT_PUT_RATE(out, l, name) put_number((out), (l).name)
#define LIMIT_PUT_COUNT(out, l, name) put_number((out), (double)(l).name)
#define LIMIT_PUT_BYTES(out, l, name) put_number((out), (double)(l).name)
#define LIMIT_PUT_DURATION(out, l, name) put_number((out), (double)(l).name##_ns / NS_PER_S)
#define LIMIT_PUT_BOOL(out, l, name) buf_str((out), (l).name ? "true" : "false")

void prom_status_user_limits(struct http_request *r)
{
    struct tenant_limits l;
    struct slice tenant;
    struct buf out = {0};

    if (!prom_api_begin_single(r, &tenant))
        return;
    prom_tasks_limits(prom_api_of(r)->tasks, tenant, &l);
#define X(kind, name, key, def, help)                                                              \
    buf_str(&out, out.len ? ",\"" #name "\":" : "{\"" #name "\":");                                \
    LIMIT_PUT_##kind(&out, l, name);
    LIMITS(X)
#undef X
    buf_byte(&out, '}');
    http_reply_buf(r, 200, HTTP_JSON, &out);
}

void prom_status_config(struct http_request *r)
{
    struct buf yaml = {0}, out = {0};
    struct tenant_limits l;
    struct slice tenant;

    if (!prom_api_begin_single(r, &tenant))
        return;
    prom_tasks_limits(prom_api_of(r)->tasks, tenant, &l);
    buf_str(&yaml, "limits:\n");
#define X(kind, name, key, def, help)                                                              \
    buf_str(&yaml, "    " key ": ");                                                               \
    LIMIT_PUT_##kind(&yaml, l, name);                                                              \
    buf_byte(&yaml, '\n');
    LIMITS(X)
#undef X
    buf_str(&out, "{\"yaml\":");
    buf_json_str(&out, buf_slice(&yaml));
    buf_byte(&out, '}');
    prom_api_reply(r, buf_slice(&out));
    buf_done(&yaml);
    buf_done(&out);
}

void prom_status_flags(struct http_request *r)
{
    const struct prom_tasks_opts *o = prom_tasks_opts(prom_api_of(r)->tasks);
    struct tenant_limits l;
    struct slice tenant;
    struct buf out = {0};

    if (!prom_api_begin_single(r, &tenant))
        return;
    prom_tasks_limits(prom_api_of(r)->tasks, tenant, &l);
    buf_printf(&out,
               "{\"query.lookback-delta\":\"%llds\",\"query.max-concurrency\":\"%u\","
               "\"query.max-samples\":\"%lld\",\"query.timeout\":\"%lldms\","
               "\"storage.remote.read-sample-limit\":\"%lld\",\"web.enable-admin-api\":\"%s\","
               "\"enable-feature\":\"%s\"}",
               (long long)o->lookback_ms / 1000, o->max_concurrent,
               (long long)l.max_samples_per_query, (long long)o->timeout_ms,
               (long long)l.max_samples_per_query, o->admin.is_enabled ? "true" : "false",
               o->has_experimental ? "promql-experimental-functions" : "");
    prom_api_reply(r, buf_slice(&out));
    buf_done(&out);
}

static void put_time(struct buf *out, const char *key, int64_t unix_ms)
{
    struct gotime t = gotime_of_ms(unix_ms, NULL);

    buf_printf(out, "\"%s\":\"", key);
    gotime_format(out, &t, SLICE(GOTIME_RFC3339_NANO));
    buf_byte(out, '"');
}

void prom_status_runtimeinfo(struct http_request *r)
{
    const struct prom_api *api = prom_api_of(r);
    const struct prom_tasks_opts *o = prom_tasks_opts(api->tasks);
    char host[256] = "";
    struct buf out = {0};

    (void)gethostname(host, sizeof(host) - 1);
    buf_byte(&out, '{');
    put_time(&out, "startTime", api->started_ms);
    buf_str(&out, ",\"CWD\":\"\",\"hostname\":");
    buf_json_str(&out, slice_cstr(host));
    buf_byte(&out, ',');
    put_time(&out, "serverTime", clock_wall_ms(&clock_system));
    buf_str(&out, ",\"reloadConfigSuccess\":true,");
    put_time(&out, "lastConfigTime", api->started_ms);
    buf_printf(&out,
               ",\"corruptionCount\":0,\"goroutineCount\":%u,\"GOMAXPROCS\":%ld,"
               "\"GOMEMLIMIT\":%llu,\"GOGC\":\"\",\"GODEBUG\":\"\",\"storageRetention\":\"\"}",
               o->max_concurrent, sysconf(_SC_NPROCESSORS_ONLN),
               (unsigned long long)mem_limit_bytes());
    prom_api_reply(r, buf_slice(&out));
    buf_done(&out);
}

/* ---- status/tsdb ---- */

struct entry {
    struct slice name;
    uint64_t n;
};

static int most_first(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->n != y->n)
        return x->n < y->n ? 1 : -1;
    return slice_cmp(x->name, y->name);
}

static void put_top(struct buf *out, const char *key, struct entry *list, size_t n, size_t top)
{
    if (n > 1)
        qsort(list, n, sizeof(*list), most_first);
    buf_printf(out, ",\"%s\":[", key);
    for (size_t i = 0; i < n && i < top; i++) {
        buf_str(out, i ? ",{\"name\":" : "{\"name\":");
        buf_json_str(out, list[i].name);
        buf_printf(out, ",\"value\":%llu}", (unsigned long long)list[i].n);
    }
    buf_byte(out, ']');
}

static void put_tops(struct prom_task *t, const struct store_pair *pairs, size_t n, size_t top)
{
    struct arena *a = t->arena;
    struct entry *metrics = arena_array(a, struct entry, n + 1);
    struct entry *values = arena_array(a, struct entry, n + 1);
    struct entry *bytes = arena_array(a, struct entry, n + 1);
    struct entry *by_pair = arena_array(a, struct entry, n + 1);
    size_t n_metrics = 0, n_names = 0;

    for (size_t i = 0; i < n; i++) {
        const struct store_pair *p = &pairs[i];

        if (i == 0 || !slice_eq(p->name, p[-1].name)) {
            values[n_names].name = bytes[n_names].name = p->name;
            n_names++;
        }
        values[n_names - 1].n++;
        bytes[n_names - 1].n += p->value.len; /* each text is kept once */
        if (slice_eq_cstr(p->name, LABEL_NAME))
            metrics[n_metrics++] = (struct entry){p->value, p->series};
        by_pair[i].n = p->series;
        by_pair[i].name =
            slice_cstr(arena_printf(a, "%.*s=%.*s", SLICE_ARG(p->name), SLICE_ARG(p->value)));
    }
    put_top(&t->out, "seriesCountByMetricName", metrics, n_metrics, top);
    put_top(&t->out, "labelValueCountByLabelName", values, n_names, top);
    put_top(&t->out, "memoryInBytesByLabelName", bytes, n_names, top);
    put_top(&t->out, "seriesCountByLabelValuePair", by_pair, n, top);
}

static struct err *run_tsdb(struct prom_task *t)
{
    const uint64_t *limit = t->params;
    struct store_query *sq = &t->data.queries[0];
    struct store_pair *pairs = NULL;
    struct rpc_head h;
    uint64_t series;
    size_t n = 0;
    struct err *e;

    if ((e = store_head(sq, &h)) ||
        (e = store_pairs(sq, (struct matchers){0}, (struct slice){0}, &pairs, &n, &series)))
        return e;
    buf_printf(&t->out,
               "{\"headStats\":{\"numSeries\":%llu,\"numLabelPairs\":%zu,\"chunkCount\":%llu,"
               "\"minTime\":%lld,\"maxTime\":%lld}",
               (unsigned long long)series, n, (unsigned long long)h.chunks, (long long)h.min_ms,
               (long long)h.max_ms);
    put_tops(t, pairs, n, *limit);
    buf_byte(&t->out, '}');
    return NULL;
}

void prom_status_tsdb(struct http_request *r)
{
    uint64_t *limit = arena_new_of(r->arena, uint64_t);
    struct slice text = http_param(r, "limit"), tenant;
    struct err *e = NULL;

    if (!prom_api_begin_single(r, &tenant))
        return;
    *limit = TOP_DEFAULT;
    if (text.len && (!slice_to_u64(text, limit) || *limit == 0))
        e = err_new(ERR_INVALID, "limit must be a positive number");
    else if (*limit > TOP_MAX)
        e = err_new(ERR_INVALID, "limit must not exceed %d", TOP_MAX);
    if (!prom_api_failed(r, e))
        prom_task_http(prom_api_of(r)->tasks, r, tenant, 0, run_tsdb, limit);
}

/* ---- status/tsdb/blocks ---- */

static void put_block(struct buf *out, const struct block_meta *m)
{
    buf_printf(out,
               "{\"ulid\":\"%s\",\"minTime\":%lld,\"maxTime\":%lld,\"stats\":{\"numSamples\":%llu,"
               "\"numSeries\":%llu,\"numChunks\":%llu},\"compaction\":{\"level\":%d,\"sources\":[",
               ulid_print(m->ulid).s, (long long)m->min_t, (long long)m->max_t,
               (unsigned long long)m->stats.samples, (unsigned long long)m->stats.series,
               (unsigned long long)m->stats.chunks, m->level);
    for (size_t i = 0; i < m->n_sources; i++)
        buf_printf(out, "%s\"%s\"", i ? "," : "", ulid_print(m->sources[i]).s);
    buf_str(out, "]},\"version\":1}");
}

static struct err *run_blocks(struct prom_task *t)
{
    struct block_meta *metas;
    size_t n;
    struct err *e = store_blocks(&t->data.queries[0], &metas, &n);

    if (e)
        return e;
    buf_str(&t->out, "{\"blocks\":[");
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_byte(&t->out, ',');
        put_block(&t->out, &metas[i]);
    }
    buf_str(&t->out, "]}");
    return NULL;
}

void prom_status_blocks(struct http_request *r)
{
    struct slice tenant;

    if (prom_api_begin_single(r, &tenant))
        prom_task_http(prom_api_of(r)->tasks, r, tenant, 0, run_blocks, NULL);
}

/* ---- user_stats ---- */

static struct err *run_user_stats(struct prom_task *t)
{
    struct rpc_head h;
    struct err *e = store_head(&t->data.queries[0], &h);
    double rate;

    t->content_type = HTTP_JSON;
    if (e)
        return e;
    rate = (double)h.rate_milli / 1000;
    buf_str(&t->out, "{\"ingestionRate\":");
    put_number(&t->out, rate);
    buf_printf(&t->out, ",\"numSeries\":%llu,\"APIIngestionRate\":", (unsigned long long)h.series);
    put_number(&t->out, rate);
    buf_str(&t->out, ",\"RuleIngestionRate\":0}");
    return NULL;
}

void prom_status_user_stats(struct http_request *r)
{
    struct slice tenant;
    struct err *e = http_param_check(r);

    if (!e)
        e = prom_api_single_tenant(r, &tenant);
    if (e)
        prom_reply_text_err(r, e);
    else
        prom_task_raw(prom_api_of(r)->tasks, r, tenant, 0, run_user_stats, NULL);
}
