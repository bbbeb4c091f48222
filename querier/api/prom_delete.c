/*
 * POST or PUT admin/tsdb/delete_series (match[], start, end) and clean_tombstones, off unless
 * querier.enable-admin-api is on, as in Prometheus.
 *
 * A deletion is a tombstone in the bucket (common/block/tombstone_list.h): when the answer 204 is given
 * it is durable, and the queriers that could be reached filter by it. An end in the future is cut to
 * now, so that what is written later with later times stays. What is written later with times that
 * the tombstone has is hidden by it, too, until it is off the list (Prometheus shows it).
 *
 * GET admin/tsdb/tombstones is that list, newest first, Orrery's own:
 *   [{"id":"01…","created":ms,"start":ms,"end":ms,"matchers":"{__name__=\"up\"}"}]
 *
 * clean_tombstones takes off the tombstones of which nothing is left in heads, segments and blocks, as
 * every ingester has said: one that is away may come back with samples that are to stay deleted.
 * Others stay: what they hide goes when the blocks that hold it are written anew.
 */
#include "common/base/clock.h"
#include "common/base/log.h"
#include "querier/api/prom_api_internal.h"
#include "querier/api/tomb_change.h"

#define SIGNAL SLICE("metrics")

struct deletion {
    const struct slice *match;
    size_t n_match;
    int64_t start_ms, end_ms;
    /* the worker's */
    struct tombstone *tombs;
    size_t n;
};

/* ---- on a worker ---- */

static struct err *parse_all(struct prom_task *t, struct deletion *d)
{
    int64_t now_ms = clock_wall_ms(&clock_system);

    d->tombs = arena_array(t->arena, struct tombstone, d->n_match + 1);
    d->n = 0;
    for (size_t i = 0; i < d->n_match; i++) {
        struct tombstone *tomb = &d->tombs[d->n];
        struct err *e = prom_param_match(t->arena, d->match[i], &tomb->matchers);

        if (e)
            return e;
        tomb->ulid = tomb_change_id(now_ms);
        tomb->created_ms = now_ms;
        tomb->min_ms = d->start_ms;
        tomb->max_ms = ORR_MIN(d->end_ms, now_ms);
        d->n++;
    }
    return NULL;
}

static struct err *add_all(struct prom_task *t, const struct deletion *d, uint64_t *ret_version)
{
    struct tombstone_list *add = tombstone_list_new(t->tenant);
    struct err *e = NULL;

    for (size_t i = 0; i < d->n && !e; i++)
        if (d->tombs[i].min_ms <= d->tombs[i].max_ms) /* else all of it lies in the future */
            e = tombstone_list_add(add, &d->tombs[i]);
    if (!e)
        e = tomb_change_make(t, SIGNAL, &(struct tombstone_change){.add = add}, ret_version);
    tombstone_list_unref(add);
    return e;
}

static struct err *run_delete(struct prom_task *t)
{
    struct deletion *d = t->params;
    uint64_t version = 0;
    struct err *e = parse_all(t, d);

    if (!e && !(e = add_all(t, d, &version)))
        LOG_INFO(querier, "series deleted", KV_SLICE("tenant", t->tenant), KV_U64("count", d->n),
                 KV_U64("version", version));
    for (size_t i = 0; i < d->n; i++)
        matchers_done(d->tombs[i].matchers);
    t->success_status = 204;
    return e;
}

/* ---- cleaning ---- */

struct cleaning {
    struct ulid *gone;
    size_t n;
};

static struct err *find_gone(struct prom_task *t, const struct tombstone_list *l,
                             struct cleaning *ret)
{
    size_t n;
    const struct tombstone *all = tombstone_list_all(l, &n);
    struct err *e = NULL;

    ret->gone = arena_array(t->arena, struct ulid, n + 1);
    for (size_t i = 0; i < n && !e; i++) {
        bool has_any = true, is_sure = false;

        e = store_has_samples(&t->data.queries[0], all[i].matchers, all[i].min_ms, all[i].max_ms,
                              &has_any, &is_sure);
        if (!e && !has_any && is_sure)
            ret->gone[ret->n++] = all[i].ulid;
    }
    return e;
}

static struct err *run_clean(struct prom_task *t)
{
    struct cleaning c = {0};
    struct tombstone_list *l = NULL;
    struct err *e = tomb_change_list(t, SIGNAL, &l);

    if (!e)
        e = find_gone(t, l, &c);
    if (!e && c.n)
        e = tomb_change_make(t, SIGNAL, &(struct tombstone_change){.gone = c.gone, .n_gone = c.n},
                             NULL);
    tombstone_list_unref(l);
    t->success_status = 204;
    return e;
}

/* ---- the list ---- */

static void put_tombstone(struct buf *out, const struct tombstone *tomb)
{
    struct buf text = {0};

    matchers_text(&text, tomb->matchers);
    buf_printf(out, "{\"id\":\"%s\",\"created\":%lld,\"start\":%lld,\"end\":%lld,\"matchers\":",
               ulid_print(tomb->ulid).s, (long long)tomb->created_ms, (long long)tomb->min_ms,
               (long long)tomb->max_ms);
    buf_json_str(out, buf_slice(&text));
    buf_byte(out, '}');
    buf_done(&text);
}

static struct err *run_list(struct prom_task *t)
{
    struct tombstone_list *l = NULL;
    struct err *e = tomb_change_list(t, SIGNAL, &l);
    const struct tombstone *all;
    size_t n;

    if (e)
        return e;
    all = tombstone_list_all(l, &n);
    buf_byte(&t->out, '[');
    for (size_t i = n; i-- > 0;) {
        put_tombstone(&t->out, &all[i]);
        buf_str(&t->out, i ? "," : "");
    }
    buf_byte(&t->out, ']');
    tombstone_list_unref(l);
    return NULL;
}

/* ---- on a loop ---- */

static bool begin(struct http_request *r, struct slice *ret_tenant)
{
    const struct prom_admin_opts *admin = &prom_tasks_opts(prom_api_of(r)->tasks)->admin;

    if (!prom_api_begin_single(r, ret_tenant))
        return false;
    return !prom_api_failed(r, admin->is_enabled && admin->objstore
                                   ? NULL
                                   : err_new(ERR_UNAVAILABLE, "admin APIs disabled"));
}

void prom_delete_series(struct http_request *r)
{
    struct deletion *d = arena_new_of(r->arena, struct deletion);
    struct slice tenant, *match;
    struct err *e = NULL;

    if (!begin(r, &tenant))
        return;
    d->n_match = prom_api_values(r, "match[]", &match);
    d->match = match;
    if (!d->n_match)
        e = err_new(ERR_INVALID, "no match[] parameter provided");
    if (!e)
        e = prom_param_time("start", http_param(r, "start"), -PROM_TIME_MAX_MS, &d->start_ms);
    if (!e)
        e = prom_param_time("end", http_param(r, "end"), PROM_TIME_MAX_MS, &d->end_ms);
    if (!e && d->end_ms < d->start_ms)
        e = err_new(ERR_INVALID, "invalid parameter \"end\": it is before start");
    if (!prom_api_failed(r, e))
        prom_task_http(prom_api_of(r)->tasks, r, tenant, 0, run_delete, d);
}

void prom_delete_clean(struct http_request *r)
{
    struct slice tenant;

    if (begin(r, &tenant))
        prom_task_http(prom_api_of(r)->tasks, r, tenant, 0, run_clean, NULL);
}

void prom_delete_list(struct http_request *r)
{
    struct slice tenant;

    if (begin(r, &tenant))
        prom_task_http(prom_api_of(r)->tasks, r, tenant, 0, run_list, NULL);
}
