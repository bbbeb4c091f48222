#include "common/process/rules_page.h"

#include <jansson.h>
#include <stdlib.h>

#include "common/auth/auth.h"
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/lang/promql.h"
#include "common/process/rules_config.h"

#define ASK_TIMEOUT_MS 5000
#define MAX_ANSWER_BYTES (64u << 20) /* of one ruler */

/* ---- one request, on its loop ---- */

struct question {
    struct http_request *request;
    bool wants_alerts;      /* /api/v1/alerts */
    bool excludes_alerts;   /* exclude_alerts of /api/v1/rules */
    struct matchers *match; /* sets of match[], in the request's arena */
    size_t n_match;
    uint64_t group_limit; /* 0: all */
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

/* Whether any set of match[] accepts the rule's labels; labels that are templates are not known. */
static bool matches(const struct question *q, const json_t *rule)
{
    json_t *labels = json_object_get(rule, "labels"), *value;
    struct label *ls = arena_array(q->request->arena, struct label, json_object_size(labels) + 1);
    struct slice dup;
    const char *name;
    size_t n = 0;

    json_object_foreach(labels, name, value)
    {
        const char *text = json_string_value(value);

        if (text && !strstr(text, "{{"))
            ls[n++] = (struct label){slice_cstr(name), slice_cstr(text)};
    }
    (void)labels_sort(ls, n, &dup);
    for (size_t i = 0; i < q->n_match; i++)
        if (matchers_match(q->match[i], (struct labels){ls, n}))
            return true;
    return q->n_match == 0;
}

/* The rules of a group that are asked for. */
static void filter_rules(const struct question *q, json_t *group)
{
    struct http_request *r = q->request;
    struct slice type = http_param(r, "type");
    json_t *rules = json_object_get(group, "rules"), *kept = json_array(), *rule;
    size_t i;

    json_array_foreach(rules, i, rule)
    {
        const char *is = json_string_value(json_object_get(rule, "type"));
        bool is_alert = is && strcmp(is, "alerting") == 0;

        if ((slice_eq_cstr(type, "alert") && !is_alert) ||
            (slice_eq_cstr(type, "record") && is_alert) ||
            !passes(r, "rule_name[]", rule, "name") || !matches(q, rule))
            continue;
        if (q->excludes_alerts && !q->wants_alerts && is_alert)
            (void)json_object_set_new(rule, "alerts", json_array());
        (void)json_array_append(kept, rule);
    }
    (void)json_object_set_new(group, "rules", kept);
}

static int cmp_groups(const void *pa, const void *pb)
{
    const json_t *a = *(json_t *const *)pa, *b = *(json_t *const *)pb;
    static const char *const keys[] = {"file", "name", "language"};

    for (size_t i = 0; i < ORR_COUNT(keys); i++) {
        const char *x = json_string_value(json_object_get(a, keys[i]));
        const char *y = json_string_value(json_object_get(b, keys[i]));
        int c = strcmp(x ? x : "", y ? y : "");

        if (c)
            return c;
    }
    return 0;
}

/* Names the group to go on with; nothing is to be read from it. */
static void put_token(struct buf *out, const json_t *group)
{
    const char *file = json_string_value(json_object_get(group, "file"));
    const char *name = json_string_value(json_object_get(group, "name"));
    const char *language = json_string_value(json_object_get(group, "language"));
    struct buf key = {0};

    buf_lstr(&key, slice_cstr(file ? file : ""));
    buf_lstr(&key, slice_cstr(name ? name : ""));
    buf_lstr(&key, slice_cstr(language ? language : ""));
    buf_printf(out, "%016llx%016llx", (unsigned long long)hash_xxh64(buf_slice(&key), 1),
               (unsigned long long)hash_xxh64(buf_slice(&key), 2));
    buf_done(&key);
}

static bool is_token(struct slice want, const json_t *group)
{
    struct buf token = {0};
    bool same;

    put_token(&token, group);
    same = slice_eq(buf_slice(&token), want);
    buf_done(&token);
    return same;
}

static json_t **sorted_groups(const struct question *q, size_t *ret_n)
{
    size_t n = json_array_size(q->groups), out = 0;
    json_t **sorted = mem_new_array(json_t *, n + 1);

    for (size_t i = 0; i < n; i++)
        sorted[i] = json_array_get(q->groups, i);
    qsort(sorted, n, sizeof(*sorted), cmp_groups);
    for (size_t i = 0; i < n; i++)
        if (!out || cmp_groups(&sorted[out - 1], &sorted[i]) != 0)
            sorted[out++] = sorted[i];
    *ret_n = out;
    return sorted;
}

/* Those asked for, sorted; a group that two rulers have for a moment comes once. *ret_next: where the
 * next page begins, "" at the end. */
static struct err *shape_groups(struct question *q, json_t **ret, struct buf *ret_next)
{
    struct slice token = http_param(q->request, "group_next_token");
    bool has_begun = !token.len;
    json_t *out = json_array();
    size_t n;
    json_t **sorted = sorted_groups(q, &n);

    for (size_t i = 0; i < n; i++) {
        has_begun = has_begun || is_token(token, sorted[i]);
        if (!has_begun || !passes(q->request, "rule_group[]", sorted[i], "name") ||
            !passes(q->request, "file[]", sorted[i], "file"))
            continue;
        filter_rules(q, sorted[i]);
        if (json_array_size(json_object_get(sorted[i], "rules")) == 0)
            continue;
        if (q->group_limit && json_array_size(out) == q->group_limit) {
            put_token(ret_next, sorted[i]);
            break;
        }
        (void)json_array_append(out, sorted[i]);
    }
    mem_free(sorted);
    *ret = out;
    if (has_begun || n == 0)
        return NULL;
    return err_new(ERR_INVALID, "invalid group_next_token '%.*s'. were rule groups changed?",
                   (int)ORR_MIN(token.len, 64u), (const char *)token.ptr);
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

static void question_free(struct question *q)
{
    for (size_t i = 0; i < q->n_match; i++)
        matchers_done(q->match[i]);
    json_decref(q->groups);
    json_decref(q->warnings);
    mem_free(q);
}

static void finish(struct question *q)
{
    json_t *root = json_object(), *data = json_object(), *groups = NULL;
    struct http_request *r = q->request;
    struct buf next = {0};
    struct err *e = shape_groups(q, &groups, &next);

    if (q->wants_alerts)
        (void)json_object_set_new(data, "alerts", alerts_of(groups));
    else
        (void)json_object_set(data, "groups", groups);
    json_decref(groups);
    if (next.len)
        (void)json_object_set_new(data, "groupNextToken", json_string(buf_cstr(&next)));
    (void)json_object_set_new(root, "status", json_string("success"));
    (void)json_object_set_new(root, "data", data);
    if (json_array_size(q->warnings))
        (void)json_object_set(root, "warnings", q->warnings);
    buf_done(&next);
    question_free(q);
    if (!e) {
        reply_json(r, 200, root);
        return;
    }
    json_decref(root);
    reply_err(r, e);
}

static void on_groups(void *arg, struct slice payload, bool is_last, const struct err *e)
{
    struct asked *a = arg;
    struct question *q = a->q;
    json_t *list;

    if (a->reply.len + payload.len <= MAX_ANSWER_BYTES)
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

static void ask_all(struct process *p, struct question *q, struct slice tenant)
{
    struct ring *ring = membership_ring(process_membership(p), MEMBER_RULER, 0);
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
        rpc_call(rpc_pool_peer(process_peers(p), m->rpc_addr), &opts, SLICE_EMPTY, on_groups, a,
                 NULL);
    }
    ring_unref(ring);
    if (--q->pending == 0)
        finish(q);
}

static struct err *read_match(struct question *q)
{
    struct http_request *r = q->request;
    struct slice text;
    size_t pos = 0, n;
    struct err *e;

    (void)http_param_all(r, &n);
    q->match = arena_array(r->arena, struct matchers, n + 1);
    while (http_param_next(r, "match[]", &pos, &text)) {
        if ((e = promql_parse_selector(r->arena, text, &q->match[q->n_match])))
            return err_wrap(e, "invalid parameter \"match[]\"");
        q->n_match++;
    }
    return NULL;
}

/* Of any case; absent: false. */
static struct err *read_truth(const char *name, struct slice text, bool *ret)
{
    static const char *const yes[] = {"1", "t", "true"}, *const no[] = {"", "0", "f", "false"};

    for (size_t i = 0; i < ORR_COUNT(yes); i++)
        if (slice_eq_nocase(text, slice_cstr(yes[i]))) {
            *ret = true;
            return NULL;
        }
    for (size_t i = 0; i < ORR_COUNT(no); i++)
        if (slice_eq_nocase(text, slice_cstr(no[i]))) {
            *ret = false;
            return NULL;
        }
    return err_new(ERR_INVALID,
                   "invalid parameter \"%s\": error converting %s: strconv.ParseBool: parsing "
                   "\"%.*s\": invalid syntax",
                   name, name, (int)ORR_MIN(text.len, 64u), (const char *)text.ptr);
}

static struct err *read_params(struct question *q)
{
    struct err *e;
    struct http_request *r = q->request;
    struct slice type = http_param(r, "type"), limit = http_param(r, "group_limit");

    if (type.len && !slice_eq_cstr(type, "alert") && !slice_eq_cstr(type, "record"))
        return err_new(ERR_INVALID, "invalid parameter \"type\": not supported value \"%.*s\"",
                       (int)ORR_MIN(type.len, 64u), (const char *)type.ptr);
    if (limit.len && !slice_to_u64(limit, &q->group_limit))
        return err_new(ERR_INVALID, "group_limit needs to be a valid number");
    if (limit.len && q->group_limit == 0)
        return err_new(ERR_INVALID, "group_limit needs to be greater than 0");
    if (http_param(r, "group_next_token").len && !q->group_limit)
        return err_new(ERR_INVALID,
                       "group_limit needs to be present in order to paginate over the groups");
    if ((e = read_truth("exclude_alerts", http_param(r, "exclude_alerts"), &q->excludes_alerts)))
        return e;
    return read_match(q);
}

static void handle(struct http_request *req, bool wants_alerts)
{
    struct question *q;
    struct slice tenant;
    struct err *e = auth_single_tenant(req, &tenant);

    if (!e)
        e = http_param_check(req);
    if (e) {
        reply_err(req, e);
        return;
    }
    q = mem_new(struct question);
    q->request = req;
    q->wants_alerts = wants_alerts;
    q->groups = json_array();
    q->warnings = json_array();
    if ((e = read_params(q))) {
        question_free(q);
        reply_err(req, e);
        return;
    }
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

void rules_page_routes(struct process *p)
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
        http_server_route(process_http(p), &(struct http_route){.methods = HTTP_GET,
                                                                .pattern = routes[i].pattern,
                                                                .handler = routes[i].handler,
                                                                .reply_err = reply_err,
                                                                .arg = p});
    rules_config_routes(p);
}
