#include "querier/api/reply_pipe.h"

#include "common/base/clock.h"
#include "common/base/lock.h"
#include "common/base/vec.h"

#define LOOK_EVERY_MS 50 /* at the cancel flag, while the worker waits */

struct reply_pipe {
    struct http_request *request;
    struct loop *loop;
    const atomic_bool *cancel;
    int64_t deadline_mono_ms;
    void (*on_drain)(struct http_request *r);
    struct lock lock;
    pthread_cond_t room;
    VEC(struct buf) pieces;
    size_t bytes; /* in pieces */
    bool is_full; /* the connection holds what it may */
    bool is_gone, is_posted;
    const char *content_type;
    _Atomic bool has_begun;
    bool is_started; /* the loop's */
};

struct reply_pipe *reply_pipe_new(struct http_request *r, const atomic_bool *cancel,
                                  int64_t deadline_mono_ms, void (*on_drain)(struct http_request *))
{
    struct reply_pipe *p = mem_new(struct reply_pipe);

    p->request = r;
    p->loop = r->loop;
    p->cancel = cancel;
    p->deadline_mono_ms = deadline_mono_ms;
    p->on_drain = on_drain;
    lock_init(&p->lock, LOCK_LEAF_MODULE);
    lock_cond_init(&p->room);
    return p;
}

bool reply_pipe_has_begun(const struct reply_pipe *p)
{
    return atomic_load(&p->has_begun);
}

/* ---- the worker ---- */

struct err *reply_pipe_wait(struct reply_pipe *p)
{
    struct err *e = NULL;

    lock_take(&p->lock);
    while (!e && !p->is_gone && (p->is_full || p->bytes > REPLY_PIPE_BYTES)) {
        struct timespec until;

        if (atomic_load(p->cancel))
            e = err_new(ERR_CANCELED, "query canceled");
        else if (clock_mono_ms(&clock_system) >= p->deadline_mono_ms)
            e = err_new(ERR_TIMEOUT, "the client did not read the answer in time");
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += LOOK_EVERY_MS * NS_PER_MS;
        if (until.tv_nsec >= NS_PER_S) {
            until.tv_nsec -= NS_PER_S;
            until.tv_sec++;
        }
        if (!e)
            lock_wait_until(&p->lock, &p->room, &until);
    }
    if (!e && p->is_gone)
        e = err_new(ERR_CANCELED, "query canceled");
    lock_release(&p->lock);
    return e;
}

static void send_pieces(struct reply_pipe *p)
{
    VEC(struct buf) taken;
    bool is_gone;

    lock_take(&p->lock);
    memcpy(&taken, &p->pieces, sizeof(taken));
    memset(&p->pieces, 0, sizeof(p->pieces));
    p->bytes = 0;
    p->is_posted = false;
    is_gone = p->is_gone;
    lock_release(&p->lock);
    if (!is_gone && !p->is_started && taken.len) {
        p->is_started = true;
        http_reply_on_drain(p->request, p->on_drain);
        http_reply_start(p->request, 200, p->content_type);
    }
    VEC_FOREACH (b, &taken) {
        if (!is_gone && !http_reply_chunk_buf(p->request, b)) {
            lock_take(&p->lock);
            p->is_full = true;
            lock_release(&p->lock);
        }
        buf_done(b);
    }
    vec_done(&taken);
    (void)pthread_cond_signal(&p->room);
}

static void on_pieces(void *arg)
{
    send_pieces(arg);
}

void reply_pipe_put(struct reply_pipe *p, const char *content_type, struct buf *bytes)
{
    bool must_post;

    lock_take(&p->lock);
    p->content_type = content_type;
    p->bytes += bytes->len;
    bytes->max_bytes = 0;
    vec_push(&p->pieces, *bytes);
    *bytes = (struct buf){0};
    must_post = !p->is_posted;
    p->is_posted = true;
    atomic_store(&p->has_begun, true);
    lock_release(&p->lock);
    if (must_post)
        loop_post(p->loop, on_pieces, p);
}

/* ---- the loop ---- */

void reply_pipe_drained(struct reply_pipe *p)
{
    lock_take(&p->lock);
    p->is_full = false;
    lock_release(&p->lock);
    (void)pthread_cond_signal(&p->room);
}

void reply_pipe_gone(struct reply_pipe *p)
{
    lock_take(&p->lock);
    p->is_gone = true;
    lock_release(&p->lock);
    (void)pthread_cond_signal(&p->room);
}

void reply_pipe_free(struct reply_pipe *p)
{
    if (!p)
        return;
    VEC_FOREACH (b, &p->pieces)
        buf_done(b);
    vec_done(&p->pieces);
    (void)pthread_cond_destroy(&p->room);
    lock_done(&p->lock);
    mem_free(p);
}

void reply_pipe_end(struct reply_pipe *p, struct slice rest, bool is_whole)
{
    struct http_request *r = p->request;
    bool is_started;

    send_pieces(p);
    is_started = p->is_started;
    if (is_started && is_whole)
        (void)http_reply_chunk(r, rest);
    reply_pipe_free(p);
    if (is_started && is_whole)
        http_reply_end(r);
    else
        http_reply_abort(r); /* not started: the client had gone before the first piece */
}
