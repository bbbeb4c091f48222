#include "alertmanager/notify.h"

#include "alertmanager/notify_render.h"
#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"

#define DRAINED_BYTES (64u << 20) /* of an answer; its beginning is looked at */
#define MAX_TOKENS 10000
#define TOKEN_EARLY_S 10 /* a token is renewed before it expires */

struct notifier {
    struct http_client *http;
    struct job_pool *jobs;
    struct loop *loop;
    struct slice external_url;
    notifier_done_fn *done;
    void *arg;
    VEC(struct sending *) sendings;
    struct map tokens; /* key → struct token */
    struct notifier_metrics metrics;
};

struct token {
    struct slice text;
    int64_t until_ns; /* mono */
};

struct sending {
    struct notifier *n;
    size_t at; /* in sendings */
    uint64_t id;
    struct slice tenant, group_key, receiver; /* heap */
    const char *kind;
    int64_t deadline_ns; /* mono; of all its requests */
    unsigned attempt;
    struct notify_render *render;
    const struct notify_request *request; /* of the render; NULL: all is said */
    struct http_client_call *call;
    struct buf answer; /* the beginning of it */
    struct err *failed;
    bool may_retry;
};

struct notifier *notifier_new(struct http_client *http, struct job_pool *jobs, struct loop *loop,
                              struct slice external_url, notifier_done_fn *done, void *arg)
{
    struct notifier *n = mem_new(struct notifier);

    n->http = http;
    n->jobs = jobs;
    n->loop = loop;
    n->external_url = slice_of(slice_dup(external_url), external_url.len);
    n->done = done;
    n->arg = arg;
    return n;
}

struct notifier_metrics *notifier_metrics(struct notifier *n)
{
    return &n->metrics;
}

bool notifier_busy(const struct notifier *n)
{
    return n->sendings.len > 0;
}

static void sending_free(struct sending *s)
{
    mem_free((void *)s->tenant.ptr);
    mem_free((void *)s->group_key.ptr);
    mem_free((void *)s->receiver.ptr);
    notify_render_free(s->render);
    buf_done(&s->answer);
    err_free(s->failed);
    mem_free(s);
}

static void token_free(struct token *t)
{
    mem_free((void *)t->text.ptr);
    mem_free(t);
}

static void forget_tokens(struct notifier *n)
{
    MAP_FOREACH (e, &n->tokens)
        token_free(e->value);
    map_done(&n->tokens);
    n->tokens = (struct map){0};
}

void notifier_free(struct notifier *n)
{
    if (!n)
        return;
    VEC_FOREACH (s, &n->sendings) {
        http_client_cancel((*s)->call);
        sending_free(*s);
    }
    vec_done(&n->sendings);
    forget_tokens(n);
    mem_free((void *)n->external_url.ptr);
    mem_free(n);
}

/* ---- tokens ---- */

static void give_token(struct sending *s)
{
    struct slice key = notify_render_token_key(s->render);
    const struct token *t = key.len ? map_get(&s->n->tokens, key) : NULL;

    if (t && t->until_ns > clock_mono_ns(&clock_system))
        notify_render_give_token(s->render, t->text);
}

static void drop_token(struct notifier *n, struct slice key)
{
    struct token *t = key.len ? map_del(&n->tokens, key) : NULL;

    if (t)
        token_free(t);
}

static void keep_token(struct sending *s)
{
    struct slice key = notify_render_token_key(s->render), text;
    struct notifier *n = s->n;
    int64_t lifetime_s;
    struct token *t;

    text = notify_render_fetched_token(s->render, &lifetime_s);
    if (!text.len || lifetime_s <= TOKEN_EARLY_S)
        return;
    if (n->tokens.len >= MAX_TOKENS)
        forget_tokens(n);
    drop_token(n, key);
    t = mem_new(struct token);
    t->text = slice_of(slice_dup(text), text.len);
    t->until_ns = clock_mono_ns(&clock_system) + (lifetime_s - TOKEN_EARLY_S) * NS_PER_S;
    (void)map_put(&n->tokens, key, t);
}

/* ---- the course of one ---- */

/* Takes e. */
static void end(struct sending *s, struct err *e, bool may_retry)
{
    struct notifier *n = s->n;

    if (e) {
        n->metrics.failed++;
        LOG_WARN(notify, "notification failed", KV_SLICE("tenant", s->tenant),
                 KV_SLICE("receiver", s->receiver), KV_STR("method", s->kind),
                 KV_SLICE("group", s->group_key), KV_U64("attempt", s->attempt), KV_ERR(e));
    } else {
        n->metrics.sent++;
        LOG_DEBUG(notify, "told", KV_SLICE("tenant", s->tenant), KV_SLICE("receiver", s->receiver),
                  KV_SLICE("group", s->group_key));
    }
    vec_remove_swap(&n->sendings, s->at);
    if (s->at < n->sendings.len)
        n->sendings.ptr[s->at]->at = s->at;
    n->done(n->arg, s->tenant, s->id, e, may_retry);
    err_free(e);
    sending_free(s);
}

static void prepare(struct sending *s);

static void on_answer(void *arg, struct err *e, struct http_client_reply *reply)
{
    struct sending *s = arg;
    bool may_retry = true;

    s->call = NULL;
    if (!e) {
        struct notify_answer a = {reply->status, http_client_reply_header(reply, "Content-Type"),
                                  s->request->mail ? buf_slice(&reply->body)
                                                   : buf_slice(&s->answer)};

        if (!(e = notify_render_judge(s->render, &a, &may_retry)))
            keep_token(s);
        if (notify_render_token_is_bad(s->render))
            drop_token(s->n, notify_render_token_key(s->render));
    }
    if (e)
        end(s, e, may_retry);
    else
        prepare(s);
}

/* However much it is, who answers has been told. */
static bool keep_piece(void *arg, struct slice piece)
{
    struct sending *s = arg;

    buf_slice_append(&s->answer, slice_sub(piece, 0, NOTIFY_MAX_ANSWER - s->answer.len));
    return true;
}

static void post(struct sending *s, int64_t left_ms)
{
    const struct notify_request *q = s->request;
    char *url = slice_dup(q->mail ? SLICE_EMPTY : q->url);
    struct http_client_req req = {
        .method = q->method,
        .url = url,
        .headers = (const char *const *)q->headers,
        .header_count = q->n_headers,
        .body = q->body,
        .content_type = q->content_type,
        .timeout_ms = left_ms,
        .max_response_bytes = DRAINED_BYTES,
        .on_data = keep_piece,
        .is_url_secret = true,
        .user = q->user,
        .password = q->password,
        .max_redirects = q->max_redirects,
        .tls = q->tls,
        .proxy = q->proxy,
        .no_proxy = q->no_proxy,
        .proxy_headers = (const char *const *)q->proxy_headers,
        .proxy_header_count = q->n_proxy_headers,
    };
    struct err *e;

    buf_reset(&s->answer);
    if (q->mail) {
        struct mail_req mail = *q->mail;

        mail.timeout_ms = left_ms;
        e = mail_send(s->n->http, &mail, on_answer, s, &s->call);
    } else {
        e = http_client_request(s->n->http, &req, on_answer, s, &s->call);
    }
    mem_free(url);
    if (e)
        end(s, e, true);
}

static void begin(void *arg)
{
    struct sending *s = arg;
    int64_t left_ms = (s->deadline_ns - clock_mono_ns(&clock_system)) / NS_PER_MS;
    struct err *e = s->failed;

    s->failed = NULL;
    if (e)
        end(s, e, s->may_retry);
    else if (!s->request)
        end(s, NULL, false);
    else if (left_ms <= 0)
        end(s, err_new(ERR_TIMEOUT, "%s: no time is left", s->kind), true);
    else
        post(s, left_ms);
}

static void render(void *arg)
{
    struct sending *s = arg;

    s->failed = notify_render_next(s->render, &s->request, &s->may_retry);
}

static void prepare(struct sending *s)
{
    struct err *e = job_run(s->n->jobs, s->n->loop, render, begin, s);

    if (e) {
        s->failed = e;
        s->may_retry = true;
        loop_post(s->n->loop, begin, s);
    }
}

void notifier_send(struct notifier *n, struct slice tenant, const struct dispatch_note *note)
{
    const struct amconf_integration *in = note->integration;
    int64_t timeout = in->timeout_ms ? ORR_MIN(in->timeout_ms, note->left_ms) : note->left_ms;
    struct sending *s = mem_new(struct sending);

    s->n = n;
    s->id = note->id;
    s->tenant = slice_of(slice_dup(tenant), tenant.len);
    s->group_key = slice_of(slice_dup(note->group_key), note->group_key.len);
    s->receiver = slice_of(slice_dup(note->receiver), note->receiver.len);
    s->kind = in->kind;
    s->attempt = note->attempt;
    s->deadline_ns = clock_mono_ns(&clock_system) + timeout * NS_PER_MS;
    s->at = n->sendings.len;
    vec_push(&n->sendings, s);
    if (in->unsupported) {
        n->metrics.unsupported++;
        s->failed = err_new(ERR_UNSUPPORTED, "%s: %s: not supported", in->kind, in->unsupported);
        loop_post(n->loop, begin, s);
        return;
    }
    s->render = notify_render_new(note->conf, note, n->external_url, clock_wall_ns(&clock_system));
    give_token(s);
    prepare(s);
}
