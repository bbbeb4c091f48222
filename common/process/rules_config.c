#include "common/process/rules_config.h"

#include "common/auth/auth.h"
#include "common/base/mem.h"
#include "common/base/vec.h"
#include "common/model/metrics_rpc.h"

#define ASK_TIMEOUT_MS 5000
#define MAX_ANSWER_BYTES (64u << 20)
#define YAML_TYPE "application/yaml"

/* One request, on its loop. */
struct config_question {
    struct http_request *request;
    struct process *process;
    struct slice tenant; /* the request's */
    struct buf payload, reply;
    VEC(char *) peers; /* that may be asked yet, the last one first */
};

static void question_free(struct config_question *q)
{
    VEC_FOREACH (p, &q->peers)
        mem_free(*p);
    vec_done(&q->peers);
    buf_done(&q->payload);
    buf_done(&q->reply);
    mem_free(q);
}

static void reply_err(struct http_request *r, struct err *e)
{
    http_reply(r, err_code_http(err_code(e)), HTTP_TEXT, slice_cstr(err_msg(e)));
    err_free(e);
}

static bool may_ask_another(const struct err *e)
{
    return !err_is(e, ERR_NOT_FOUND) && !err_is(e, ERR_INVALID);
}

static void on_config(void *arg, struct slice payload, bool is_last, const struct err *e);

static void ask_next(struct config_question *q)
{
    struct rpc_call_opts opts = {
        .method = "ruler.config", .tenant = q->tenant, .timeout_ms = ASK_TIMEOUT_MS};
    char *addr = q->peers.ptr[--q->peers.len];

    buf_reset(&q->reply);
    rpc_call(rpc_pool_peer(process_peers(q->process), addr), &opts, buf_slice(&q->payload),
             on_config, q, NULL);
    mem_free(addr);
}

static void on_config(void *arg, struct slice payload, bool is_last, const struct err *e)
{
    struct config_question *q = arg;

    if (q->reply.len + payload.len <= MAX_ANSWER_BYTES)
        buf_slice_append(&q->reply, payload);
    if (!is_last)
        return;
    if (e && may_ask_another(e) && q->peers.len) {
        ask_next(q);
        return;
    }
    if (e)
        reply_err(q->request, err_copy(e));
    else
        http_reply_buf(q->request, 200, YAML_TYPE, &q->reply);
    question_free(q);
}

static void ask(struct http_request *r, struct slice tenant, const struct rpc_rules *what)
{
    struct config_question *q = mem_new(struct config_question);
    struct process *p = r->arg;
    struct ring *ring = membership_ring(process_membership(p), MEMBER_RULER, 0);

    q->request = r;
    q->process = p;
    q->tenant = tenant;
    rpc_rules_encode(&q->payload, what);
    for (size_t i = 0; i < ring_size(ring); i++)
        if (ring_is_healthy(ring, i))
            vec_push(&q->peers, mem_strdup(ring_member(ring, i)->rpc_addr));
    ring_unref(ring);
    if (q->peers.len) {
        ask_next(q);
        return;
    }
    question_free(q);
    reply_err(r, err_new(ERR_UNAVAILABLE, "no ruler is up"));
}

static struct slice segment(const struct http_request *r, const char *name)
{
    struct slice s = http_request_segment(r, name);

    return s.ptr ? s : SLICE_EMPTY;
}

static void on_get(struct http_request *r)
{
    struct rpc_rules what = {
        .language = SLICE("logql"), .ns = segment(r, "namespace"), .group = segment(r, "group")};
    struct slice tenant;
    struct err *e = auth_single_tenant(r, &tenant);

    if (e)
        reply_err(r, e);
    else
        ask(r, tenant, &what);
}

static void on_change(struct http_request *r)
{
    http_reply(
        r, 501, HTTP_TEXT,
        SLICE("rules are not changed by this API: they are files of the rulers', "
              "DIR/<tenant>/logs/*.yml below ruler.rule-path, read again when they change\n"));
}

void rules_config_routes(struct process *p)
{
    static const struct {
        unsigned methods;
        const char *pattern;
        void (*handler)(struct http_request *r);
    } routes[] = {
        {HTTP_GET, "", on_get},
        {HTTP_GET, "/{namespace}", on_get},
        {HTTP_GET, "/{namespace}/{group}", on_get},
        {HTTP_POST | HTTP_DELETE, "/{namespace}", on_change},
        {HTTP_DELETE, "/{namespace}/{group}", on_change},
    };
    static const char *const prefixes[] = {"/loki/api/v1/rules", "/api/prom/rules"};

    for (size_t i = 0; i < ORR_COUNT(routes) * ORR_COUNT(prefixes); i++) {
        char *pattern = mem_printf("%s%s", prefixes[i % ORR_COUNT(prefixes)],
                                   routes[i / ORR_COUNT(prefixes)].pattern);

        http_server_route(process_http(p),
                          &(struct http_route){.methods = routes[i / ORR_COUNT(prefixes)].methods,
                                               .pattern = pattern,
                                               .handler = routes[i / ORR_COUNT(prefixes)].handler,
                                               .reply_err = reply_err,
                                               .arg = p});
        mem_free(pattern);
    }
}
