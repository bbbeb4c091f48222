#include "ruler/alert_sender.h"

#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/metric.h"
#include "common/base/vec.h"
#include "common/model/tenant.h"

#define MAX_ATTEMPTS 5
#define RETRY_MS 500
#define MAX_REPLY_BYTES (1u << 20)
#define MAX_TARGETS 10000

/* One body, for several alertmanagers. */
struct message {
    unsigned refs;
    struct buf body;
    char *tenant;
};

/* One alertmanager. */
struct target {
    struct alert_sender *sender;
    char *url;
    VEC(struct message *) queue; /* the first is under way when call or timer is */
    struct http_client_call *call;
    struct loop_timer *timer;
    unsigned attempts;
};

struct alert_sender {
    struct loop *loop;
    struct http_client *client;
    struct membership *membership;
    char **urls;
    size_t n_urls;
    int64_t timeout_ms;
    size_t max_queued;
    struct map targets; /* url → struct target */
    bool is_stopped;
    struct alert_sender_metrics m;
};

static const struct metric_field fields[] = {
    METRIC_COUNTER(struct alert_sender_metrics, sent, "orrery_ruler_notifications_sent_total",
                   "Requests with alerts that an alertmanager took."),
    METRIC_COUNTER(struct alert_sender_metrics, failed, "orrery_ruler_notifications_failed_total",
                   "Requests with alerts that failed; most are repeated."),
    METRIC_COUNTER(struct alert_sender_metrics, dropped, "orrery_ruler_notifications_dropped_total",
                   "Requests with alerts given up: queue full, refused, or failed too often."),
    METRIC_GAUGE(struct alert_sender_metrics, queued, "orrery_ruler_notifications_queue_length",
                 "Requests with alerts that wait or are under way."),
};

static void message_unref(struct message *m)
{
    if (--m->refs)
        return;
    buf_done(&m->body);
    mem_free(m->tenant);
    mem_free(m);
}

static void send_first(struct target *t);

/* Takes the first off the queue. */
static void pop(struct target *t)
{
    struct message *m = t->queue.ptr[0];

    memmove(t->queue.ptr, t->queue.ptr + 1, (t->queue.len - 1) * sizeof(*t->queue.ptr));
    t->queue.len--;
    t->sender->m.queued--;
    t->attempts = 0;
    message_unref(m);
}

static void on_retry(void *arg)
{
    send_first(arg);
}

static void on_reply(void *arg, struct err *e, struct http_client_reply *r)
{
    struct target *t = arg;
    struct alert_sender *s = t->sender;
    bool may_retry = e || r->status >= 500 || r->status == 429;

    t->call = NULL;
    if (!e && r->status / 100 == 2) {
        s->m.sent++;
        pop(t);
        send_first(t);
        return;
    }
    s->m.failed++;
    LOG_WARN(ruler, "alertmanager did not take alerts", KV_STR("addr", t->url),
             KV_I64("status", r ? r->status : 0), KV_U64("attempt", t->attempts), KV_ERR(e));
    err_free(e);
    if (may_retry && t->attempts < MAX_ATTEMPTS && !s->is_stopped) {
        loop_timer_arm_ms(t->timer, RETRY_MS << t->attempts);
        return;
    }
    s->m.dropped++;
    pop(t);
    send_first(t);
}

static void send_first(struct target *t)
{
    struct alert_sender *s = t->sender;

    while (t->queue.len && !s->is_stopped) {
        struct message *m = t->queue.ptr[0];
        char *header = mem_printf(TENANT_HEADER ": %s", m->tenant);
        const char *headers[] = {header};
        struct http_client_req req = {.method = "POST",
                                      .url = t->url,
                                      .headers = headers,
                                      .header_count = 1,
                                      .body = buf_slice(&m->body),
                                      .content_type = "application/json",
                                      .timeout_ms = s->timeout_ms,
                                      .max_response_bytes = MAX_REPLY_BYTES};
        struct err *e = http_client_request(s->client, &req, on_reply, t, &t->call);

        mem_free(header);
        t->attempts++;
        if (!e)
            return;
        LOG_WARN(ruler, "cannot ask an alertmanager", KV_STR("addr", t->url), KV_ERR(e));
        err_free(e);
        s->m.failed++;
        s->m.dropped++;
        pop(t);
    }
}

static struct target *target_of(struct alert_sender *s, const char *base)
{
    char *url = mem_printf("%s/api/v2/alerts", base);
    void **slot;
    struct target *t;

    if (!map_has(&s->targets, slice_cstr(url)) && s->targets.len >= MAX_TARGETS) {
        mem_free(url);
        return NULL;
    }
    slot = map_slot(&s->targets, slice_cstr(url));
    if (!*slot) {
        t = mem_new(struct target);
        t->sender = s;
        t->url = url;
        t->timer = loop_timer_new(s->loop, on_retry, t);
        *slot = t;
        return t;
    }
    mem_free(url);
    return *slot;
}

static void enqueue(struct alert_sender *s, const char *base, struct message *m)
{
    struct target *t = target_of(s, base);
    bool is_idle;

    if (!t || (t->queue.len >= s->max_queued && t->queue.len < 2)) {
        s->m.dropped++;
        return;
    }
    if (t->queue.len >= s->max_queued) { /* the oldest that is not under way */
        message_unref(t->queue.ptr[1]);
        memmove(t->queue.ptr + 1, t->queue.ptr + 2, (t->queue.len - 2) * sizeof(*t->queue.ptr));
        t->queue.len--;
        s->m.queued--;
        s->m.dropped++;
    }
    is_idle = t->queue.len == 0;
    m->refs++;
    vec_push(&t->queue, m);
    s->m.queued++;
    if (is_idle)
        send_first(t);
}

static void post_to_ring(struct alert_sender *s, struct message *m)
{
    struct ring *ring = membership_ring(s->membership, MEMBER_ALERTMANAGER, 0);
    struct ring_set set = ring_replicas(ring, ring_key(slice_cstr(m->tenant)));

    for (unsigned i = 0; i < set.n; i++) {
        char *base = mem_printf("http://%s", ring_member(ring, set.instances[i])->http_addr);

        enqueue(s, base, m);
        mem_free(base);
    }
    if (set.n == 0 && s->n_urls == 0)
        s->m.dropped++;
    ring_unref(ring);
}

struct posted {
    struct alert_sender *sender;
    struct message *message;
};

static void on_post(void *arg)
{
    struct posted *p = arg;
    struct alert_sender *s = p->sender;

    if (!s->is_stopped) {
        for (size_t i = 0; i < s->n_urls; i++)
            enqueue(s, s->urls[i], p->message);
        if (s->membership)
            post_to_ring(s, p->message);
    }
    message_unref(p->message);
    mem_free(p);
}

void alert_sender_post(struct alert_sender *s, const char *tenant, struct buf *body)
{
    struct posted *p = mem_new(struct posted);

    p->sender = s;
    p->message = mem_new(struct message);
    p->message->refs = 1;
    p->message->tenant = mem_strdup(tenant);
    p->message->body = *body;
    *body = (struct buf){0};
    loop_post(s->loop, on_post, p);
}

struct alert_sender *alert_sender_new(const struct alert_sender_opts *opts)
{
    struct alert_sender *s = mem_new(struct alert_sender);

    s->loop = opts->loop;
    s->client = opts->client;
    s->membership = opts->membership;
    s->timeout_ms = opts->timeout_ms;
    s->max_queued = opts->max_queued;
    s->n_urls = opts->n_urls;
    s->urls = mem_new_array(char *, opts->n_urls + 1);
    for (size_t i = 0; i < opts->n_urls; i++) {
        s->urls[i] = mem_strdup(opts->urls[i]);
        while (s->urls[i][0] && s->urls[i][strlen(s->urls[i]) - 1] == '/')
            s->urls[i][strlen(s->urls[i]) - 1] = '\0';
    }
    metric_register(&s->m, fields, ORR_COUNT(fields), NULL);
    return s;
}

void alert_sender_stop(struct alert_sender *s)
{
    s->is_stopped = true;
    MAP_FOREACH (e, &s->targets) {
        struct target *t = e->value;

        http_client_cancel(t->call);
        t->call = NULL;
        loop_timer_cancel(t->timer);
        while (t->queue.len)
            pop(t);
    }
}

size_t alert_sender_pending(const struct alert_sender *s)
{
    return (size_t)s->m.queued;
}

void alert_sender_free(struct alert_sender *s)
{
    if (!s)
        return;
    metric_unregister(&s->m);
    MAP_FOREACH (e, &s->targets) {
        struct target *t = e->value;

        http_client_cancel(t->call);
        t->call = NULL;
        while (t->queue.len)
            pop(t);
        vec_done(&t->queue);
        loop_timer_free(t->timer);
        mem_free(t->url);
        mem_free(t);
    }
    map_done(&s->targets);
    for (size_t i = 0; i < s->n_urls; i++)
        mem_free(s->urls[i]);
    mem_free(s->urls);
    mem_free(s);
}
