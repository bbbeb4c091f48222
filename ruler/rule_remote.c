#include "ruler/rule_remote.h"

#include <math.h>

#include "common/base/clock.h"
#include "common/base/gostr.h"
#include "common/base/log.h"
#include "common/base/metric.h"
#include "common/model/metrics_rpc.h"
#include "common/model/rw_encode.h"
#include "ruler/rule_answer.h"
#include "ruler/rule_remote_internal.h"

/* Ends of outages that are looked at one by one when state is restored. */
#define MAX_LAST_TIMES 16
#define LOOKBACK_MS (5 * 60 * 1000)

static struct err *ask(struct rule_remote *r, const char *tenant, enum rule_lang lang,
                       struct slice query, int64_t t_ms, struct buf *ret)
{
    struct rule_remote_shared *sh = r->shared;
    struct rpc_query q = {
        .expr = query, .time_ms = t_ms, .timeout_ms = sh->query_timeout_ms, .wants_exact = true};
    struct rpc_call_opts opts = {.method =
                                     lang == RULE_LOGQL ? "querier.query_logs" : "querier.query",
                                 .tenant = slice_cstr(tenant),
                                 .timeout_ms = sh->query_timeout_ms};
    struct buf payload = {0};
    struct err *e;

    rpc_query_encode(&payload, &q);
    METRIC_ADD(sh->queries, 1);
    e = rule_remote_call(sh, MEMBER_QUERIER, r->key, &opts, buf_slice(&payload), false, ret);
    if (e)
        METRIC_ADD(sh->query_failures, 1);
    buf_done(&payload);
    return e;
}

static struct err *ask_vector(struct rule_remote *r, struct arena *a, const char *tenant,
                              enum rule_lang lang, struct slice query, int64_t t_ms,
                              struct rule_vector *ret)
{
    struct buf json = {0};
    struct err *e = ask(r, tenant, lang, query, t_ms, &json);

    if (!e)
        e = rule_answer_vector(a, buf_slice(&json), ret);
    buf_done(&json);
    return e;
}

struct err *rule_remote_query(void *arg, struct arena *a, enum rule_lang lang, struct slice query,
                              int64_t t_ms, struct rule_vector *ret)
{
    struct rule_remote *r = arg;

    if (r->is_refused)
        return err_new(ERR_FORBIDDEN, "the group has source_tenants, and this ruler reads no data "
                                      "of other tenants (ruler.tenant-federation)");
    return ask_vector(r, a, r->sources ? r->sources : r->tenant, lang, query, t_ms, ret);
}

/* ---- writing ---- */

static void drop_pending(struct rule_remote *r, const struct err *why)
{
    METRIC_ADD(r->shared->dropped_samples, r->pending_samples);
    LOG_ERROR(ruler, "results of rules dropped", KV_STR("tenant", r->tenant),
              KV_U64("samples", r->pending_samples), KV_ERR(why));
    buf_reset(&r->pending);
    r->pending_samples = 0;
}

static void encode(struct buf *out, const struct rule_series *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (s[i].h)
            rw_encode_histogram(out, s[i].labels, s[i].t_ms, s[i].h);
        else
            rw_encode_sample(out, s[i].labels, (struct sample){s[i].t_ms, s[i].v});
    }
}

static struct err *send(struct rule_remote *r, const char *method, struct slice body)
{
    struct rule_remote_shared *sh = r->shared;
    struct rpc_call_opts opts = {
        .method = method, .tenant = slice_cstr(r->tenant), .timeout_ms = sh->write_timeout_ms};
    struct buf reply = {0};
    struct err *e = rule_remote_call(sh, MEMBER_INGESTER, r->key, &opts, body, true, &reply);

    METRIC_ADD(sh->writes, 1);
    if (e)
        METRIC_ADD(sh->write_failures, 1);
    buf_done(&reply);
    return e;
}

struct err *rule_remote_write(void *arg, const struct rule_series *s, size_t n)
{
    struct rule_remote *r = arg;
    struct err *e;

    encode(&r->pending, s, n);
    r->pending_samples += n;
    if (r->pending_samples == 0)
        return NULL;
    e = send(r, "ingester.write", buf_slice(&r->pending));
    if (!e) {
        buf_reset(&r->pending);
        r->pending_samples = 0;
        return NULL;
    }
    if (!rule_eval_is_passing(e) || r->pending.len > r->shared->max_pending_bytes)
        drop_pending(r, e);
    return e;
}

struct err *rule_remote_write_late(void *arg, const struct rule_series *s, size_t n)
{
    struct buf body = {0};
    struct err *e;

    encode(&body, s, n);
    e = send(arg, "ingester.write_late", buf_slice(&body));
    buf_done(&body);
    return e;
}

void rule_remote_done(struct rule_remote *r)
{
    buf_done(&r->pending);
}

/* ---- what was stored before a restart ---- */

static void put_selector(struct buf *out, const struct rule *r)
{
    buf_str(out, RULE_ALERTS_FOR_STATE "{alertname=");
    gostr_quote(out, r->name);
    buf_str(out, "}");
}

static struct labels without_name(struct arena *a, struct labels ls)
{
    struct labels_builder b;

    labels_builder_init(&b, a, ls);
    labels_builder_del(&b, SLICE(LABEL_NAME));
    return labels_builder_labels(&b);
}

/*
 * Range queries leave stale markers out, so the last sample does not say whether the alert ended
 * or the ruler did. An instant query a little after the next evaluation was due does: it finds the
 * sample, unless a marker is behind it.
 */
static struct err *find_stale(struct rule_remote *r, struct arena *a, const struct rule *rule,
                              int64_t last_ms, int64_t interval_ms, struct rule_stored *stored,
                              size_t n)
{
    int64_t at_ms = last_ms + ORR_MIN(interval_ms + interval_ms / 2, LOOKBACK_MS - 1000);
    struct rule_vector v = {0};
    struct buf q = {0};
    struct err *e;

    put_selector(&q, rule);
    e = ask_vector(r, a, r->tenant, RULE_PROMQL, buf_slice(&q), at_ms, &v);
    buf_done(&q);
    for (size_t i = 0; i < n && !e; i++) {
        bool is_there = false;

        if (stored[i].t_ms != last_ms)
            continue;
        for (size_t k = 0; k < v.n && !is_there; k++)
            is_there = labels_eq(without_name(a, v.ptr[k].labels), stored[i].labels);
        stored[i].is_stale = !is_there;
    }
    return e;
}

struct err *rule_remote_stored(void *arg, struct arena *a, const struct rule *rule, int64_t from_ms,
                               int64_t ts_ms, int64_t interval_ms, struct rule_stored **ret,
                               size_t *ret_n)
{
    struct rule_remote *r = arg;
    struct rule_points *points = NULL;
    struct rule_stored *out;
    int64_t seen[MAX_LAST_TIMES];
    size_t n = 0, n_out = 0, n_seen = 0;
    struct buf q = {0}, json = {0};
    struct err *e;

    put_selector(&q, rule);
    buf_printf(&q, "[%llds]", (long long)((ts_ms - from_ms) / MS_PER_S));
    e = ask(r, r->tenant, RULE_PROMQL, buf_slice(&q), ts_ms, &json);
    if (!e)
        e = rule_answer_matrix(a, buf_slice(&json), &points, &n);
    buf_done(&q);
    buf_done(&json);
    if (e)
        return e;
    out = arena_array(a, struct rule_stored, n + 1);
    for (size_t i = 0; i < n; i++)
        if (points[i].n) {
            struct sample last = points[i].ptr[points[i].n - 1];

            out[n_out++] =
                (struct rule_stored){without_name(a, points[i].labels), last.t_ms, last.v, false};
        }
    for (size_t i = 0; i < n_out && !e; i++) {
        bool is_seen = false;

        for (size_t k = 0; k < n_seen && !is_seen; k++)
            is_seen = seen[k] == out[i].t_ms;
        if (is_seen || n_seen == MAX_LAST_TIMES)
            continue;
        seen[n_seen++] = out[i].t_ms;
        e = find_stale(r, a, rule, out[i].t_ms, interval_ms, out, n_out);
    }
    *ret = out;
    *ret_n = n_out;
    return e;
}

/* ---- when a recording rule was evaluated last ---- */

static void put_recorded(struct buf *out, const struct rule *r)
{
    buf_str(out, "timestamp({" LABEL_NAME "=");
    gostr_quote(out, r->name);
    for (size_t i = 0; i < r->labels.n; i++) {
        buf_byte(out, ',');
        gostr_quote(out, r->labels.ptr[i].name);
        buf_byte(out, '=');
        gostr_quote(out, r->labels.ptr[i].value);
    }
    buf_str(out, "})");
}

/* RULE_NEVER: the answer is empty. */
static struct err *ask_time(struct rule_remote *r, struct arena *a, struct slice query,
                            int64_t at_ms, int64_t *ret_ms)
{
    struct rule_vector v = {0};
    struct err *e = ask_vector(r, a, r->tenant, RULE_PROMQL, query, at_ms, &v);

    *ret_ms = RULE_NEVER;
    if (!e && v.n && v.ptr[0].v > 0 && v.ptr[0].v < 9e15)
        *ret_ms = llround(v.ptr[0].v * (double)MS_PER_S);
    return e;
}

/* What queries look back to is found at once; what is older by steps that are not longer. */
struct err *rule_remote_last(void *arg, struct arena *a, const struct rule *rule, int64_t at_ms,
                             int64_t window_ms, int64_t *ret_ms)
{
    struct buf times = {0}, q = {0};
    struct err *e;

    put_recorded(&times, rule);
    buf_printf(&q, "max(%s)", buf_cstr(&times));
    e = ask_time(arg, a, buf_slice(&q), at_ms, ret_ms);
    if (!e && *ret_ms == RULE_NEVER) {
        buf_reset(&q);
        buf_printf(&q, "max(max_over_time(%s[%llds:60s]))", buf_cstr(&times),
                   (long long)(window_ms / MS_PER_S));
        e = ask_time(arg, a, buf_slice(&q), at_ms, ret_ms);
    }
    buf_done(&times);
    buf_done(&q);
    return e;
}
