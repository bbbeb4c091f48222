#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/objstore/s3wire_internal.h"

#define BYTES_PER_MS 64 /* what a slow link is allowed: 64 KiB a second */
#define ERROR_BYTES (64u << 10)
#define HEDGE_MILLI 1000
#define HEDGE_CREDIT_MAX (10 * HEDGE_MILLI)

/* One of up to two transfers of the same request. */
struct leg {
    struct s3try *try;
    struct http_client_call *call; /* NULL: not under way */
    struct buf body;
};

/* Loop thread, save where it says otherwise. */
struct s3try {
    struct s3wire *w;
    struct s3try *prev, *next;
    enum s3wire_op op;
    struct http_client_req req;
    struct s3sign sign;
    size_t expect_bytes;
    bool is_hedged;
    int64_t until_ms; /* as in s3wire_call */
    int64_t started_ms;
    struct leg legs[2];
    struct loop_timer *hedge_timer;
    struct err *e;
    struct http_client_reply reply;

    struct lock lock;
    pthread_cond_t settled;
    /* guarded: */
    bool is_settled, is_cancelled;
};

/* ---- settling ---- */

static void stop_legs(struct s3try *t)
{
    for (size_t i = 0; i < ORR_COUNT(t->legs); i++) {
        http_client_cancel(t->legs[i].call);
        t->legs[i].call = NULL;
        buf_done(&t->legs[i].body);
    }
    loop_timer_free(t->hedge_timer);
    t->hedge_timer = NULL;
}

static void link_try(struct s3try *t)
{
    t->next = t->w->tries;
    if (t->next)
        t->next->prev = t;
    t->w->tries = t;
}

static void unlink_try(struct s3try *t)
{
    if (t->prev)
        t->prev->next = t->next;
    else if (t->w->tries == t)
        t->w->tries = t->next;
    if (t->next)
        t->next->prev = t->prev;
    t->prev = t->next = NULL;
}

/* The waiter may free t as soon as the lock is let go. */
static void settle(struct s3try *t)
{
    unlink_try(t);
    stop_legs(t);
    lock_take(&t->lock);
    t->is_settled = true;
    (void)pthread_cond_signal(&t->settled);
    lock_release(&t->lock);
}

static bool is_good(const struct err *e, const struct http_client_reply *r)
{
    return !e && r->status < 500 && r->status != 429;
}

static void count(struct s3try *t, bool is_bad)
{
    struct s3wire_metrics *m = &t->w->ops[t->op];
    double seconds = (double)(loop_now_ms(t->w->loop) - t->started_ms) / 1000.0;

    metric_hist_observe(&m->seconds, seconds);
    METRIC_ADD(m->received_bytes, t->reply.body.len);
    if (is_bad)
        METRIC_ADD(m->errors, 1);
}

static void on_done(void *arg, struct err *e, struct http_client_reply *r)
{
    struct leg *leg = arg, *other;
    struct s3try *t = leg->try;

    other = leg == &t->legs[0] ? &t->legs[1] : &t->legs[0];
    leg->call = NULL;
    if (other->call && !is_good(e, r)) {
        err_free(e); /* the other one may do better */
        buf_done(&leg->body);
        return;
    }
    if (leg == &t->legs[1] && other->call)
        METRIC_ADD(t->w->ops[t->op].hedges_won, 1);
    t->e = e;
    if (!e) {
        t->reply = *r;
        *r = (struct http_client_reply){0};
        t->reply.body = leg->body;
        leg->body = (struct buf){0};
    }
    count(t, !is_good(e, &t->reply));
    settle(t);
}

/* ---- transfers ---- */

static bool on_data(void *arg, struct slice piece)
{
    struct leg *leg = arg;

    /* Only from the second piece on: most errors are one. */
    if (leg->body.len && leg->body.cap < leg->try->expect_bytes)
        (void)buf_reserve(&leg->body, leg->try->expect_bytes - leg->body.len);
    buf_slice_append(&leg->body, piece);
    return true;
}

static struct err *start_leg(struct s3try *t, struct leg *leg)
{
    struct s3wire_metrics *m = &t->w->ops[t->op];

    leg->try = t;
    METRIC_ADD(m->requests, 1);
    METRIC_ADD(m->sent_bytes, t->req.body.len);
    return http_client_request(t->w->http, &t->req, on_done, leg, &leg->call);
}

/* The first transfer has shown nothing: the same once more, if the share of hedges allows. */
static void on_hedge(void *arg)
{
    struct s3try *t = arg;
    struct err *e;

    if (t->legs[0].body.len || t->w->hedge_credit < HEDGE_MILLI)
        return;
    t->w->hedge_credit -= HEDGE_MILLI;
    METRIC_ADD(t->w->ops[t->op].hedges, 1);
    if ((e = start_leg(t, &t->legs[1]))) {
        t->legs[1].call = NULL;
        err_free(e); /* the first goes on */
    }
}

static void arm_hedge(struct s3try *t)
{
    int64_t after_ms = t->w->conf->hedge_after_ns / NS_PER_MS;

    t->w->hedge_credit = ORR_MIN(
        t->w->hedge_credit + (int64_t)(t->w->conf->hedge_share * HEDGE_MILLI), HEDGE_CREDIT_MAX);
    if (!t->w->conf->hedge_after_ns)
        return;
    t->hedge_timer = loop_timer_new(t->w->loop, on_hedge, t);
    loop_timer_arm_ms(t->hedge_timer, after_ms);
}

static struct err *stopped(void)
{
    return err_new(ERR_UNAVAILABLE, "the process is being stopped");
}

/* The last look at the clock before it is sent: from when it was asked for to here the process may have been stopped. */
static bool is_too_late(struct s3try *t)
{
    int64_t left_ms = t->until_ms - clock_mono_ms(&clock_system);

    if (!t->until_ms)
        return false;
    t->req.timeout_ms = ORR_MIN(t->req.timeout_ms, left_ms);
    return left_ms <= 0;
}

static void on_start(void *arg)
{
    struct s3try *t = arg;

    t->started_ms = loop_now_ms(t->w->loop);
    link_try(t);
    if (s3wire_is_stopped(t->w)) {
        t->e = stopped();
        settle(t);
    } else if (is_too_late(t)) {
        t->e = err_new(ERR_TIMEOUT, "it was not sent: its time is over");
        settle(t);
    } else if ((t->e = start_leg(t, &t->legs[0]))) {
        t->legs[0].call = NULL;
        count(t, true);
        settle(t);
    } else if (t->is_hedged) {
        arm_hedge(t);
    }
}

/* ---- the caller's side ---- */

struct s3try *s3wire_try_start(struct s3wire *w, struct s3wire_call *call, struct s3sign *sign)
{
    const struct s3conf *c = w->conf;
    struct s3try *t = mem_new(struct s3try);
    size_t max = call->max_bytes ? call->max_bytes : 16u << 20;
    size_t moved = sign->body.len + call->expect_bytes;
    int64_t timeout_ms =
        c->request_timeout_ns / NS_PER_MS + call->more_timeout_ms + (int64_t)(moved / BYTES_PER_MS);

    t->w = w;
    t->op = call->op;
    t->sign = *sign;
    *sign = (struct s3sign){0};
    t->expect_bytes = ORR_MIN(call->expect_bytes, max);
    t->is_hedged = call->is_hedged && !call->until_ms;
    t->until_ms = call->until_ms;
    t->req = (struct http_client_req){.method = call->method,
                                      .url = t->sign.url,
                                      .headers = t->sign.headers,
                                      .header_count = t->sign.n_headers,
                                      .body = t->sign.body,
                                      .is_body_lent = true,
                                      .content_type = t->sign.content_type,
                                      .timeout_ms = timeout_ms,
                                      .is_sole = call->until_ms && call->op == S3WIRE_PUT,
                                      .connect_timeout_ms = c->connect_timeout_ns / NS_PER_MS,
                                      .stall_timeout_ms =
                                          c->stall_timeout_ns / NS_PER_MS + call->more_timeout_ms,
                                      .max_response_bytes = ORR_MAX(max, (size_t)ERROR_BYTES),
                                      .on_data = on_data};
    lock_init(&t->lock, LOCK_OBJSTORE);
    (void)pthread_cond_init(&t->settled, NULL);
    loop_post(w->loop, on_start, t);
    return t;
}

static void try_free(struct s3try *t)
{
    err_free(t->e);
    http_client_reply_done(&t->reply);
    buf_done(&t->sign.chunked);
    (void)pthread_cond_destroy(&t->settled);
    lock_done(&t->lock);
    mem_free(t);
}

/* Ends: every transfer has its time-outs. */
static void wait(struct s3try *t)
{
    lock_take(&t->lock);
    while (!t->is_settled)
        lock_wait(&t->lock, &t->settled);
    lock_release(&t->lock);
}

struct err *s3wire_try_wait(struct s3try *t, struct http_client_reply *ret)
{
    struct err *e;

    wait(t);
    e = t->e;
    t->e = NULL;
    *ret = t->reply;
    t->reply = (struct http_client_reply){0};
    try_free(t);
    return e;
}

static void on_cancel(void *arg)
{
    struct s3try *t = arg;

    unlink_try(t);
    stop_legs(t);
    lock_take(&t->lock);
    t->is_cancelled = true;
    (void)pthread_cond_signal(&t->settled);
    lock_release(&t->lock);
}

/* Waits for on_cancel() itself, which would otherwise find t freed. */
void s3wire_try_cancel(struct s3try *t)
{
    loop_post(t->w->loop, on_cancel, t);
    lock_take(&t->lock);
    while (!t->is_cancelled)
        lock_wait(&t->lock, &t->settled);
    lock_release(&t->lock);
    try_free(t);
}

static void on_stop_all(void *arg)
{
    struct s3wire *w = arg;

    while (w->tries) {
        w->tries->e = stopped();
        settle(w->tries);
    }
}

void s3wire_try_stop_all(struct s3wire *w)
{
    loop_post(w->loop, on_stop_all, w);
}
