#include "querier/api/correlate.h"

#include "common/auth/auth.h"
#include "common/base/clock.h"
#include "common/base/hex.h"
#include "common/base/mem.h"
#include "querier/api/correlate_internal.h"
#include "querier/api/prom_api_internal.h"
#include "querier/logs/logbytime.h"

#define DEF_SINCE_NS (3600 * NS_PER_S)
#define TRIES 2 /* of a part: a replica may be back, or others may answer for it */

struct correlate *correlate_new(struct tempo_api *tempo, struct loki_api *loki)
{
    struct correlate *c = mem_new(struct correlate);

    *c = (struct correlate){tempo, loki};
    return c;
}

void correlate_free(struct correlate *c)
{
    mem_free(c);
}

/* ---- exemplars ---- */

/* trace_id, traceID, trace.id …: without regard to case and signs. */
static bool is_trace_label(struct slice name)
{
    static const char want[] = "traceid";
    size_t n = 0;

    for (size_t i = 0; i < name.len; i++) {
        uint8_t c = name.ptr[i];

        if (c == '_' || c == '.' || c == '-')
            continue;
        if (n == sizeof(want) - 1 || (c | 0x20) != want[n])
            return false;
        n++;
    }
    return n == sizeof(want) - 1;
}

static bool is_of_trace(void *arg, const struct exemplar *ex)
{
    const struct correlate_run *r = arg;

    for (size_t i = 0; i < ex->labels.n; i++) {
        const struct label *l = &ex->labels.ptr[i];
        uint8_t id[16];

        if (is_trace_label(l->name) && l->value.len && l->value.len <= 32 &&
            hex_id(l->value, id, sizeof(id)) < 0 && !memcmp(id, r->p->id, sizeof(id)))
            return true;
    }
    return false;
}

struct found_exemplars {
    struct rpc_exemplars *ptr;
    size_t n;
};

static struct err *find_exemplars(struct correlate_run *r, struct found_exemplars *ret)
{
    const struct store_exemplars_request req = {.sets = &(struct matchers){0},
                                                .n_sets = 1,
                                                .min_ms = clock_ms_of_ns(r->range.start_ns),
                                                .max_ms = clock_ms_of_ns(r->range.end_ns),
                                                .keep = is_of_trace,
                                                .arg = r};

    return store_exemplars(&r->t->data.queries[0], &req, &ret->ptr, &ret->n);
}

static void put_exemplars(struct correlate_run *r, struct found_exemplars *found, struct buf *out)
{
    size_t left = r->p->limit, n = 0;

    for (; n < found->n && left; n++) {
        struct rpc_exemplars *s = &found->ptr[n];

        if (s->n > left) {
            s->n = left;
            correlate_truncated(r, "exemplars");
        }
        left -= s->n;
    }
    if (n < found->n)
        correlate_truncated(r, "exemplars");
    prom_extra_exemplars_json(out, found->ptr, n);
}

/* ---- on a worker ---- */

void correlate_truncated(struct correlate_run *r, const char *what)
{
    for (size_t i = 0; i < r->n_truncated; i++)
        if (r->truncated[i] == what)
            return;
    if (r->n_truncated < ORR_COUNT(r->truncated))
        r->truncated[r->n_truncated++] = what;
}

/* Whether the part is all there; an error that leaves the others is kept. */
static bool keep_failure(struct correlate_run *r, const char *signal, struct err *e)
{
    if (!e)
        return true;
    ORR_ASSERT(r->n_failures < CORRELATE_MAX_FAILURES);
    r->failures[r->n_failures].signal = signal;
    r->failures[r->n_failures++].err = e;
    return false;
}

static int64_t within(int64_t ns)
{
    return ORR_MIN(ORR_MAX(ns, -LOGQUERY_MAX_NS + NS_PER_S), LOGQUERY_MAX_NS - NS_PER_S);
}

/* Where lines and exemplars are looked for. */
static void set_range(struct correlate_run *r)
{
    const struct correlate_params *p = r->p;
    bool has_trace = r->trace.n_spans > 0;
    int64_t end_ns =
                has_trace ? within(r->times.end_ns) + p->margin_ns : clock_wall_ns(&clock_system),
            start_ns;

    if (p->has_end)
        end_ns = p->end_ns;
    start_ns = has_trace ? within(r->times.start_ns) - p->margin_ns : end_ns - DEF_SINCE_NS;
    if (p->has_start)
        start_ns = p->start_ns;
    else if (start_ns < end_ns - CORRELATE_MAX_SPAN_NS)
        start_ns = end_ns - CORRELATE_MAX_SPAN_NS;
    r->range.start_ns = within(start_ns);
    r->range.end_ns = ORR_MAX(within(end_ns), r->range.start_ns + 1);
}

struct found {
    struct found_exemplars exemplars;
    struct correlate_lines logs, events;
};

static struct err *find_trace(struct correlate_run *r, struct found *f)
{
    (void)f;
    return correlate_trace_find(r);
}

static struct err *find_ex(struct correlate_run *r, struct found *f)
{
    return find_exemplars(r, &f->exemplars);
}

static struct err *find_events(struct correlate_run *r, struct found *f)
{
    return correlate_events_find(r, &f->events);
}

static struct err *find_logs(struct correlate_run *r, struct found *f)
{
    return correlate_logs_find(r, &f->logs);
}

/* In this order: what takes longest is last. */
static const struct part {
    const char *signal;
    struct err *(*find)(struct correlate_run *r, struct found *f);
} parts[] = {
    {"traces", find_trace}, {"exemplars", find_ex}, {"events", find_events}, {"logs", find_logs}};
static_assert(ORR_COUNT(parts) <= CORRELATE_MAX_FAILURES, "each may fail");

/* NULL, or why there is nothing to answer. */
static struct err *find_all(struct correlate_run *r, struct found *f)
{
    size_t n_good = 0;

    for (size_t i = 0; i < ORR_COUNT(parts); i++) {
        struct err *e = NULL;

        for (int n = 0; n < TRIES && (!n || e); n++) {
            if (e && err_code(e) != ERR_UNAVAILABLE)
                break;
            err_free(e);
            e = parts[i].find(r, f);
        }
        if (e && err_code(e) == ERR_CANCELED)
            return e;
        n_good += keep_failure(r, parts[i].signal, e);
        if (!i)
            set_range(r);
    }
    if (n_good)
        return NULL;
    r->n_failures--;
    for (size_t i = 1; i <= r->n_failures; i++)
        err_free(r->failures[i].err);
    r->n_failures = 0;
    return r->failures[0].err;
}

static void put_end(struct correlate_run *r, struct buf *out)
{
    buf_str(out, ",\"truncated\":[");
    for (size_t i = 0; i < r->n_truncated; i++)
        buf_printf(out, "%s\"%s\"", i ? "," : "", r->truncated[i]);
    buf_str(out, "],\"partial\":[");
    for (size_t i = 0; i < r->n_failures; i++) {
        buf_printf(out, "%s{\"signal\":\"%s\",\"error\":", i ? "," : "", r->failures[i].signal);
        buf_json_str(out, slice_cstr(err_msg(r->failures[i].err)));
        buf_byte(out, '}');
    }
    buf_str(out, "]}");
}

static void put_all(struct correlate_run *r, struct found *f)
{
    struct buf *out = &r->t->out;

    buf_printf(out,
               "{\"traceID\":\"%.*s\",\"startTimeUnixNano\":\"%lld\",\"endTimeUnixNano\":\"%lld\","
               "\"trace\":",
               SLICE_ARG(r->id), (long long)r->range.start_ns, (long long)r->range.end_ns);
    correlate_trace_put(r, out);
    buf_str(out, ",\"exemplars\":");
    put_exemplars(r, &f->exemplars, out);
    buf_str(out, ",\"logs\":");
    correlate_logs_put(r, &f->logs, out);
    buf_str(out, ",\"events\":");
    correlate_events_put(r, &f->events, out);
    buf_str(out, ",\"profiles\":[],\"links\":");
    correlate_links_put(r, out);
    put_end(r, out);
}

static struct slice hex_of(struct arena *a, const uint8_t *id, size_t n)
{
    struct buf text = {0};
    struct slice s;

    buf_hex(&text, id, n);
    s = arena_dup(a, buf_slice(&text));
    buf_done(&text);
    return s;
}

static struct err *run(struct prom_task *t)
{
    static const uint8_t none[8];
    struct correlate_run r = {.t = t, .p = t->params};
    struct found found = {0};
    struct err *e;

    r.id = hex_of(t->arena, r.p->id, 16);
    r.short_id = memcmp(r.p->id, none, 8) ? SLICE_EMPTY : slice_from(r.id, 16);
    if (!(e = find_all(&r, &found)))
        put_all(&r, &found);
    for (size_t i = 0; i < r.n_failures; i++)
        err_free(r.failures[i].err);
    return e;
}

/* ---- on a loop ---- */

static struct err *read_id(struct slice text, uint8_t ret[16])
{
    static const uint8_t none[16];

    if (!text.len)
        return err_new(ERR_INVALID, "trace_id is missing: which trace?");
    if (text.len > 32 || hex_id(text, ret, 16) >= 0)
        return err_new(ERR_INVALID, "trace_id must be 1 to 32 hexadecimal digits");
    return memcmp(ret, none, sizeof(none))
               ? NULL
               : err_new(ERR_INVALID, "trace_id is all zeros, which no trace has");
}

static struct err *read_params(struct http_request *r, struct correlate_params *p)
{
    struct err *e;

    p->api = r->arg;
    p->has_start = http_param(r, "start").len > 0;
    p->has_end = http_param(r, "end").len > 0;
    if ((e = read_id(http_param(r, "trace_id"), p->id)) ||
        (e = loki_param_time("start", http_param(r, "start"), INT64_MIN, &p->start_ns)) ||
        (e = loki_param_time("end", http_param(r, "end"), INT64_MAX, &p->end_ns)) ||
        (e = loki_param_duration("margin", http_param(r, "margin"), CORRELATE_MARGIN_NS,
                                 &p->margin_ns)) ||
        (e = loki_param_limit(http_param(r, "limit"), CORRELATE_LIMIT, &p->limit)))
        return e;
    if (p->end_ns <= p->start_ns)
        return err_new(ERR_INVALID, "start must be before end");
    if (p->margin_ns < 0 || p->margin_ns > CORRELATE_MAX_MARGIN_NS)
        return err_new(ERR_INVALID, "margin must be between 0 and 1h");
    if (p->limit > CORRELATE_MAX_LIMIT)
        return err_new(ERR_INVALID, "limit is more than %d", CORRELATE_MAX_LIMIT);
    return NULL;
}

static void correlate(struct http_request *r)
{
    struct correlate_params *p = arena_new_of(r->arena, struct correlate_params);
    const struct correlate *c = r->arg;
    struct slice tenant;
    struct err *e;

    if (!(e = http_param_check(r)) && !(e = auth_single_tenant(r, &tenant)))
        e = read_params(r, p);
    if (e)
        prom_reply_err(r, e);
    else
        prom_task_http(c->loki->tasks, r, tenant, 0, run, p);
}

void correlate_routes(struct correlate *c, struct http_server *server)
{
    http_server_route(server, &(struct http_route){.methods = HTTP_GET,
                                                   .pattern = "/api/correlate",
                                                   .handler = correlate,
                                                   .reply_err = prom_reply_err,
                                                   .arg = c});
}
