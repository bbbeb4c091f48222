#include "alertmanager/notify.h"

#include "common/base/fsx.h"
#include "common/base/log.h"
#include "common/base/mem.h"

#define SECRET_MAX_BYTES 65536
#define ANSWER_MAX_BYTES 65536
#define MAX_REDIRECTS 10

struct notifier {
    struct http_client *http;
    struct job_pool *jobs;
    struct loop *loop;
    struct slice external_url;
    notifier_done_fn *done;
    void *arg;
    VEC(struct sending *) sendings;
    struct notifier_metrics metrics;
};

struct sending {
    struct notifier *n;
    size_t at; /* in sendings */
    uint64_t id;
    struct slice tenant, group_key, receiver; /* heap */
    const char *kind;
    char *url, *user, *password, *auth_type, *credentials;
    char *url_file, *password_file, *credentials_file;
    bool follows_redirects;
    struct buf body;
    int64_t timeout_ms;
    unsigned attempt;
    struct http_client_call *call;
    struct err *failed; /* of the job, or what is not supported */
    bool is_final;
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
    char *texts[] = {s->url,         s->user,     s->password,      s->auth_type,
                     s->credentials, s->url_file, s->password_file, s->credentials_file};

    for (size_t i = 0; i < ORR_COUNT(texts); i++)
        mem_free(texts[i]);
    mem_free((void *)s->tenant.ptr);
    mem_free((void *)s->group_key.ptr);
    mem_free((void *)s->receiver.ptr);
    buf_done(&s->body);
    err_free(s->failed);
    mem_free(s);
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
    mem_free((void *)n->external_url.ptr);
    mem_free(n);
}

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

static void on_answer(void *arg, struct err *e, struct http_client_reply *r)
{
    struct sending *s = arg;
    bool may_retry = true;

    s->call = NULL;
    if (!e && r->status / 100 != 2) {
        may_retry = r->status / 100 == 5 || r->status == 429;
        e = err_new(ERR_NET, "%s answered %d", s->kind, r->status);
    }
    end(s, e, may_retry);
}

static void post(struct sending *s)
{
    char *auth = s->credentials ? mem_printf("Authorization: %s %s",
                                             s->auth_type ? s->auth_type : "Bearer", s->credentials)
                                : NULL;
    const char *headers[] = {auth};
    struct http_client_req req = {
        .method = "POST",
        .url = s->url,
        .headers = headers,
        .header_count = auth ? 1 : 0,
        .body = buf_slice(&s->body),
        .content_type = "application/json",
        .timeout_ms = s->timeout_ms,
        .max_response_bytes = ANSWER_MAX_BYTES,
        .user = s->user,
        .password = s->password ? s->password : "",
        .max_redirects = s->follows_redirects ? MAX_REDIRECTS : 0,
    };
    struct err *e = http_client_request(s->n->http, &req, on_answer, s, &s->call);

    mem_free(auth);
    if (e)
        end(s, e, true);
}

/* ---- secrets in files ---- */

static struct err *read_secret(const char *path, char **ret)
{
    struct buf b = {0};
    struct err *e;

    if (!path)
        return NULL;
    if (!(e = fsx_read(path, SECRET_MAX_BYTES, &b))) {
        mem_free(*ret);
        *ret = slice_dup(slice_trim(buf_slice(&b)));
    }
    buf_done(&b);
    return e;
}

static void read_files(void *arg)
{
    struct sending *s = arg;

    if (s->failed)
        return;
    s->failed = read_secret(s->url_file, &s->url);
    if (!s->failed)
        s->failed = read_secret(s->password_file, &s->password);
    if (!s->failed)
        s->failed = read_secret(s->credentials_file, &s->credentials);
}

static void begin(void *arg)
{
    struct sending *s = arg;
    struct err *e = s->failed;

    s->failed = NULL;
    if (e)
        end(s, e, !s->is_final);
    else
        post(s);
}

void notifier_send(struct notifier *n, struct slice tenant, const struct dispatch_note *note)
{
    const struct amconf_integration *in = note->integration;
    struct sending *s = mem_new(struct sending);
    int64_t timeout = in->timeout_ms ? ORR_MIN(in->timeout_ms, note->left_ms) : note->left_ms;
    struct err *e = NULL;

    s->n = n;
    s->id = note->id;
    s->tenant = slice_of(slice_dup(tenant), tenant.len);
    s->group_key = slice_of(slice_dup(note->group_key), note->group_key.len);
    s->receiver = slice_of(slice_dup(note->receiver), note->receiver.len);
    s->kind = in->kind;
    s->attempt = note->attempt;
    s->timeout_ms = timeout;
    s->at = n->sendings.len;
    vec_push(&n->sendings, s);
    if (in->unsupported) {
        n->metrics.unsupported++;
        s->is_final = true;
        s->failed = err_new(ERR_UNSUPPORTED, "%s: %s: not supported", in->kind, in->unsupported);
        loop_post(n->loop, begin, s);
        return;
    }
    s->url = mem_strdup(in->url);
    s->user = mem_strdup(in->user);
    s->password = mem_strdup(in->password);
    s->auth_type = mem_strdup(in->auth_type);
    s->credentials = mem_strdup(in->credentials);
    s->url_file = mem_strdup(in->url_file);
    s->password_file = mem_strdup(in->password_file);
    s->credentials_file = mem_strdup(in->credentials_file);
    s->follows_redirects = in->follows_redirects;
    notify_webhook(&s->body, note, n->external_url);
    if (!s->url_file && !s->password_file && !s->credentials_file)
        loop_post(n->loop, begin, s);
    else if ((e = job_run(n->jobs, n->loop, read_files, begin, s))) {
        s->failed = e;
        loop_post(n->loop, begin, s);
    }
}
