#include "common/process/rules_config.h"

#include "common/auth/auth.h"
#include "common/base/mem.h"
#include "common/base/vec.h"
#include "common/base/yaml.h"
#include "common/model/metrics_rpc.h"

#define READ_TIMEOUT_MS 30000
#define CHANGE_TIMEOUT_MS 60000
#define MAX_ANSWER_BYTES (64u << 20)
#define MAX_PEERS 8
/* Mimir's. */
#define OVERRIDE_HEADER "X-Mimir-Ruler-Override-Namespace-Protection"
#define YAML_TYPE "application/yaml"
/* As Mimir and Loki answer a change that is made. */
#define ACCEPTED "{\"status\":\"success\",\"data\":null,\"errorType\":\"\",\"error\":\"\"}"

/* One request, on its loop. */
struct config_question {
    struct http_request *request;
    struct process *process;
    struct slice tenant; /* the request's */
    const char *method;  /* of RPC */
    bool is_change, is_repeated;
    struct buf payload, reply;
    VEC(char *) peers; /* that may be asked yet, the last one first */
    char *asked;       /* the one that is asked */
};

static void question_free(struct config_question *q)
{
    mem_free(q->asked);
    VEC_FOREACH (p, &q->peers)
        mem_free(*p);
    vec_done(&q->peers);
    buf_done(&q->payload);
    buf_done(&q->reply);
    mem_free(q);
}

static void reply_err(struct http_request *r, struct err *e)
{
    struct buf text = {0};

    buf_printf(&text, "%s\n", err_msg(e));
    http_reply(r, err_code_http(err_code(e)), HTTP_TEXT, buf_slice(&text));
    buf_done(&text);
    err_free(e);
}

/* Another ruler may know better. A change that may have been made is made again: it leaves the same behind. */
static bool may_ask_another(const struct config_question *q, const struct err *e)
{
    if (!q->peers.len)
        return false;
    if (q->is_change)
        return err_is(e, ERR_UNAVAILABLE) || err_is(e, ERR_NET);
    return !err_is(e, ERR_NOT_FOUND) && !err_is(e, ERR_INVALID);
}

static void on_answer(void *arg, struct slice payload, bool is_last, const struct err *e);

static void ask_next(struct config_question *q)
{
    struct rpc_call_opts opts = {.method = q->method,
                                 .tenant = q->tenant,
                                 .timeout_ms = q->is_change ? CHANGE_TIMEOUT_MS : READ_TIMEOUT_MS};

    mem_free(q->asked);
    q->asked = q->peers.ptr[--q->peers.len];
    buf_reset(&q->reply);
    rpc_call(rpc_pool_peer(process_peers(q->process), q->asked), &opts, buf_slice(&q->payload),
             on_answer, q, NULL);
}

/* What the ruler said, without who it was: clients look for the texts. */
static struct err *words_of(const struct config_question *q, const struct err *e)
{
    struct slice text = slice_cstr(err_msg(e)), who = slice_cstr(q->asked);

    if (slice_has_prefix(text, who) && slice_has_prefix(slice_from(text, who.len), SLICE(": ")))
        text = slice_from(text, who.len + 2);
    return err_new(err_code(e), "%.*s", SLICE_ARG(text));
}

static void on_answer(void *arg, struct slice payload, bool is_last, const struct err *e)
{
    struct config_question *q = arg;

    if (q->reply.len + payload.len <= MAX_ANSWER_BYTES)
        buf_slice_append(&q->reply, payload);
    if (!is_last)
        return;
    if (e && may_ask_another(q, e)) {
        q->is_repeated = true;
        ask_next(q);
        return;
    }
    if (q->is_change && q->is_repeated && err_is(e, ERR_NOT_FOUND))
        e = NULL; /* who was asked first has deleted it, or it was not there: it is not there */
    if (e)
        reply_err(q->request, words_of(q, e));
    else if (q->is_change)
        http_reply(q->request, 202, HTTP_JSON, SLICE(ACCEPTED));
    else
        http_reply_buf(q->request, 200, YAML_TYPE, &q->reply);
    question_free(q);
}

/* Rulers in the order of the tenant's name on their ring, the first one last. */
static void list_peers(struct config_question *q)
{
    struct ring *ring = membership_ring(process_membership(q->process), MEMBER_RULER, 0);
    uint16_t order[MAX_PEERS];
    size_t n = ring_order(ring, ring_key(q->tenant), order, MAX_PEERS);

    while (n--)
        vec_push(&q->peers, mem_strdup(ring_member(ring, order[n])->rpc_addr));
    ring_unref(ring);
}

/* Takes the question. */
static void ask(struct config_question *q)
{
    struct http_request *r = q->request;

    list_peers(q);
    if (q->peers.len) {
        ask_next(q);
        return;
    }
    question_free(q);
    reply_err(r, err_new(ERR_UNAVAILABLE, "no ruler is up"));
}

/* NULL: the request is answered already. */
static struct config_question *question_new(struct http_request *r)
{
    struct config_question *q;
    struct slice tenant;
    struct err *e = auth_single_tenant(r, &tenant);

    if (e) {
        reply_err(r, e);
        return NULL;
    }
    q = mem_new(struct config_question);
    q->request = r;
    q->process = r->arg;
    q->tenant = tenant;
    return q;
}

static struct slice segment(const struct http_request *r, const char *name)
{
    struct slice s = http_request_segment(r, name);

    return s.ptr ? s : SLICE_EMPTY;
}

/* Of rules: Loki's paths are of LogQL. */
static struct slice language_of(const struct http_request *r)
{
    return slice_has_prefix(r->path, SLICE("/loki/")) || slice_has_prefix(r->path, SLICE("/api/"))
               ? SLICE("logql")
               : SLICE("promql");
}

static void on_get(struct http_request *r)
{
    struct rpc_rules what = {
        .language = language_of(r), .ns = segment(r, "namespace"), .group = segment(r, "group")};
    struct config_question *q = question_new(r);

    if (!q)
        return;
    q->method = "ruler.config";
    rpc_rules_encode(&q->payload, &what);
    ask(q);
}

static void change(struct http_request *r, enum rpc_rules_op op)
{
    struct rpc_rules_change what = {.op = op,
                                    .language = language_of(r),
                                    .ns = segment(r, "namespace"),
                                    .group = segment(r, "group"),
                                    .yaml = op == RPC_RULES_SET ? r->body : SLICE_EMPTY,
                                    .overridden = http_request_header(r, OVERRIDE_HEADER)};
    struct config_question *q = question_new(r);

    if (!q)
        return;
    q->method = "ruler.change";
    q->is_change = true;
    rpc_rules_change_encode(&q->payload, &what);
    ask(q);
}

static void on_set(struct http_request *r)
{
    change(r, RPC_RULES_SET);
}

static void on_delete(struct http_request *r)
{
    change(r, RPC_RULES_DELETE);
}

static void on_delete_namespace(struct http_request *r)
{
    change(r, RPC_RULES_DELETE_NAMESPACE);
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
        {HTTP_POST, "/{namespace}", on_set},
        {HTTP_DELETE, "/{namespace}/{group}", on_delete},
        {HTTP_DELETE, "/{namespace}", on_delete_namespace},
    };
    static const char *const prefixes[] = {"/prometheus/config/v1/rules", "/config/v1/rules",
                                           "/loki/api/v1/rules", "/api/prom/rules"};

    for (size_t i = 0; i < ORR_COUNT(routes) * ORR_COUNT(prefixes); i++) {
        char *pattern = mem_printf("%s%s", prefixes[i % ORR_COUNT(prefixes)],
                                   routes[i / ORR_COUNT(prefixes)].pattern);

        http_server_route(process_http(p),
                          &(struct http_route){.methods = routes[i / ORR_COUNT(prefixes)].methods,
                                               .pattern = pattern,
                                               .max_body_bytes = YAML_MAX_BYTES,
                                               .handler = routes[i / ORR_COUNT(prefixes)].handler,
                                               .reply_err = reply_err,
                                               .arg = p});
        mem_free(pattern);
    }
}
