/*
 * GET /api/v1/rules and /api/v1/alerts, in Prometheus' format, for the tenant that asks.
 *
 * A ruler knows the groups it owns; so the one that is asked asks all (RPC "ruler.rules": empty →
 * a JSON list of groups, of the call's tenant), puts the answers together and filters them. A
 * ruler that does not answer is told in "warnings".
 */
#include <jansson.h>

#include "common/auth/auth.h"
#include "common/base/log.h"
#include "ruler/ruler_internal.h"

#define ASK_TIMEOUT_MS 5000

/* ---- what this ruler has; loop 0, where RPC handlers run ---- */

static void on_rules_call(void *arg, struct rpc_call *call)
{
    struct ruler *r = arg;
    struct slice tenant = rpc_call_tenant(call);
    struct buf out = {0};

    buf_byte(&out, '[');
    MAP_FOREACH (e, &r->groups) {
        const struct ruler_group *g = e->value;

        if (!slice_eq_cstr(tenant, g->tenant))
            continue;
        if (out.len > 1)
            buf_byte(&out, ',');
        buf_slice_append(&out, buf_slice(&g->view));
    }
    buf_byte(&out, ']');
    rpc_reply_buf(call, &out);
    buf_done(&out);
}

/* ---- one request, on its loop ---- */

struct question {
    struct http_request *request;
    bool wants_alerts; /* /api/v1/alerts */
    json_t *groups, *warnings;
    size_t pending;
};

struct asked {
    struct question *q;
    char *peer;
    struct buf reply;
};

static void reply_json(struct http_request *r, int status, json_t *root)
{
    char *text = json_dumps(root, JSON_COMPACT | JSON_REAL_PRECISION(15));

    http_reply(r, status, HTTP_JSON, slice_cstr(text ? text : "{}"));
    free(text);
    json_decref(root);
}

/* Takes e. */
static void reply_err(struct http_request *r, struct err *e)
{
    json_t *root =
        json_pack("{s:s, s:s, s:s}", "status", "error", "errorType",
                  err_code_http(err_code(e)) < 500 ? "bad_data" : "internal", "error", err_msg(e));

    reply_json(r, err_code_http(err_code(e)), root ? root : json_object());
    err_free(e);
}

/* True if name is not asked about, or the text of member key is among those asked for. */
static bool passes(struct http_request *r, const char *name, const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    struct slice want;
    size_t pos = 0;
    bool has_any = false;

    while (http_param_next(r, name, &pos, &want)) {
        has_any = true;
        if (text && slice_eq_cstr(want, text))
            return true;
    }
    return !has_any;
}

static bool is_true(struct slice s)
{
    return slice_eq_cstr(s, "true") || slice_eq_cstr(s, "1") || slice_eq_cstr(s, "t");
}

/* The rules of a group that are asked for. */
static void filter_rules(struct http_request *r, json_t *group)
{
    struct slice type = http_param(r, "type");
    bool drops_alerts = is_true(http_param(r, "exclude_alerts"));
    json_t *rules = json_object_get(group, "rules"), *kept = json_array(), *rule;
    size_t i;

    json_array_foreach(rules, i, rule)
    {
        const char *is = json_string_value(json_object_get(rule, "type"));
        bool is_alert = is && strcmp(is, "alerting") == 0;

        if ((slice_eq_cstr(type, "alert") && !is_alert) ||
            (slice_eq_cstr(type, "record") && is_alert) || !passes(r, "rule_name[]", rule, "name"))
            continue;
        if (drops_alerts && is_alert)
            (void)json_object_set_new(rule, "alerts", json_array());
        (void)json_array_append(kept, rule);
    }
    (void)json_object_set_new(group, "rules", kept);
}

static int cmp_groups(const void *pa, const void *pb)
{
    const json_t *a = *(json_t *const *)pa, *b = *(json_t *const *)pb;
    static const char *const keys[] = {"file", "name"};

    for (size_t i = 0; i < ORR_COUNT(keys); i++) {
        const char *x = json_string_value(json_object_get(a, keys[i]));
        const char *y = json_string_value(json_object_get(b, keys[i]));
        int c = strcmp(x ? x : "", y ? y : "");

        if (c)
            return c;
    }
    return 0;
}

/* Those asked for, sorted; a group that two rulers have for a moment comes once. */
static json_t *shape_groups(struct question *q)
{
    size_t n = json_array_size(q->groups);
    json_t **sorted = mem_new_array(json_t *, n + 1), *out = json_array();

    for (size_t i = 0; i < n; i++)
        sorted[i] = json_array_get(q->groups, i);
    qsort(sorted, n, sizeof(*sorted), cmp_groups);
    for (size_t i = 0; i < n; i++) {
        if ((i && cmp_groups(&sorted[i - 1], &sorted[i]) == 0) ||
            !passes(q->request, "rule_group[]", sorted[i], "name") ||
            !passes(q->request, "file[]", sorted[i], "file"))
            continue;
        filter_rules(q->request, sorted[i]);
        if (json_array_size(json_object_get(sorted[i], "rules")) > 0)
            (void)json_array_append(out, sorted[i]);
    }
    mem_free(sorted);
    return out;
}

static json_t *alerts_of(const json_t *groups)
{
    json_t *out = json_array();
    json_t *group, *rule;
    size_t i, k;

    json_array_foreach(groups, i, group)
    {
        json_array_foreach(json_object_get(group, "rules"), k, rule)
        {
            json_t *alerts = json_object_get(rule, "alerts");

            if (alerts)
                (void)json_array_extend(out, alerts);
        }
    }
    return out;
}

static void finish(struct question *q)
{
    json_t *root = json_object(), *data = json_object(), *groups = shape_groups(q);

    if (q->wants_alerts) {
        (void)json_object_set_new(data, "alerts", alerts_of(groups));
        json_decref(groups);
    } else {
        (void)json_object_set_new(data, "groups", groups);
    }
    (void)json_object_set_new(root, "status", json_string("success"));
    (void)json_object_set_new(root, "data", data);
    if (json_array_size(q->warnings))
        (void)json_object_set(root, "warnings", q->warnings);
    reply_json(q->request, 200, root);
    json_decref(q->groups);
    json_decref(q->warnings);
    mem_free(q);
}

static void on_groups(void *arg, struct slice payload, bool is_last, const struct err *e)
{
    struct asked *a = arg;
    struct question *q = a->q;
    json_t *list;

    buf_slice_append(&a->reply, payload);
    if (!is_last)
        return;
    list = e ? NULL : json_loadb((const char *)a->reply.ptr, a->reply.len, 0, NULL);
    if (json_is_array(list)) {
        (void)json_array_extend(q->groups, list);
    } else {
        char *text =
            mem_printf("ruler %s did not answer: %s", a->peer, e ? err_msg(e) : "malformed");

        (void)json_array_append_new(q->warnings, json_string(text));
        mem_free(text);
    }
    json_decref(list);
    buf_done(&a->reply);
    mem_free(a->peer);
    mem_free(a);
    if (--q->pending == 0)
        finish(q);
}

static void ask_all(struct ruler *r, struct question *q, struct slice tenant)
{
    struct ring *ring = membership_ring(process_membership(r->process), MEMBER_RULER, 0);
    struct rpc_call_opts opts = {
        .method = "ruler.rules", .tenant = tenant, .timeout_ms = ASK_TIMEOUT_MS};

    q->pending = 1; /* ours, so that the last answer does not come before the last call */
    for (size_t i = 0; i < ring_size(ring); i++) {
        const struct member *m = ring_member(ring, i);
        struct asked *a;

        if (m->state == MEMBER_PENDING || !ring_is_healthy(ring, i))
            continue;
        a = mem_new(struct asked);
        a->q = q;
        a->peer = mem_strdup(m->instance);
        q->pending++;
        rpc_call(rpc_pool_peer(process_peers(r->process), m->rpc_addr), &opts, SLICE_EMPTY,
                 on_groups, a, NULL);
    }
    ring_unref(ring);
    if (--q->pending == 0)
        finish(q);
}

static void handle(struct http_request *req, bool wants_alerts)
{
    struct slice tenant, type = http_param(req, "type");
    struct question *q;
    struct err *e = auth_single_tenant(req, &tenant);

    if (!e)
        e = http_param_check(req);
    if (!e && type.len && !slice_eq_cstr(type, "alert") && !slice_eq_cstr(type, "record"))
        e = err_new(ERR_INVALID, "not supported value \"%.*s\" of type", SLICE_ARG(type));
    if (!e && (http_param_has(req, "match[]") || http_param_has(req, "group_limit") ||
               http_param_has(req, "group_next_token")))
        e = err_new(ERR_UNSUPPORTED, "match[], group_limit and group_next_token are not supported "
                                     "yet");
    if (e) {
        reply_err(req, e);
        return;
    }
    q = mem_new(struct question);
    q->request = req;
    q->wants_alerts = wants_alerts;
    q->groups = json_array();
    q->warnings = json_array();
    ask_all(req->arg, q, tenant);
}

static void on_rules(struct http_request *r)
{
    handle(r, false);
}

static void on_alerts(struct http_request *r)
{
    handle(r, true);
}

void ruler_api_open(struct ruler *r)
{
    static const struct {
        const char *pattern;
        void (*handler)(struct http_request *r);
    } routes[] = {
        {"/api/v1/rules", on_rules},
        {"/api/v1/alerts", on_alerts},
        {"/prometheus/api/v1/rules", on_rules},
        {"/prometheus/api/v1/alerts", on_alerts},
    };

    for (size_t i = 0; i < ORR_COUNT(routes); i++)
        http_server_route(process_http(r->process),
                          &(struct http_route){.methods = HTTP_GET,
                                               .pattern = routes[i].pattern,
                                               .handler = routes[i].handler,
                                               .arg = r});
    rpc_server_handle(process_rpc(r->process), "ruler.rules", on_rules_call, r);
}
