#include "common/net/http_client.h"

#include <curl/curl.h>
#include <event2/event.h>
#include <event2/event_struct.h>

#include "common/base/fault.h"
#include "common/base/mem.h"
#include "common/net/http_client_internal.h"

#define MAGIC 0x636c6e74u

/* One socket of libcurl's that the loop watches. */
struct watch {
    struct http_client *client;
    struct event ev;
    curl_socket_t fd;
    struct watch *prev, *next;
};

struct http_client {
    uint32_t magic;
    struct loop *loop;
    struct http_client_opts opts; /* strings owned */
    CURLM *multi;
    struct loop_timer *timer, *reaper;
    struct http_client_call *calls;
    struct watch *watches;
    size_t call_count;
    bool is_freeing;
};

/* ---- libcurl's sockets and timer on our loop ---- */

static void reap(struct http_client *c);

static void on_socket(evutil_socket_t fd, short what, void *arg)
{
    struct watch *w = arg;
    struct http_client *c = w->client; /* w may go inside */
    int flags = (what & EV_READ ? CURL_CSELECT_IN : 0) | (what & EV_WRITE ? CURL_CSELECT_OUT : 0);
    int running;

    (void)curl_multi_socket_action(c->multi, fd, flags, &running);
    reap(c);
}

static void on_timer(void *arg)
{
    struct http_client *c = arg;
    int running;

    (void)curl_multi_socket_action(c->multi, CURL_SOCKET_TIMEOUT, 0, &running);
    reap(c);
}

static void watch_free(struct watch *w)
{
    (void)event_del(&w->ev);
    *(w->prev ? &w->prev->next : &w->client->watches) = w->next;
    if (w->next)
        w->next->prev = w->prev;
    mem_free(w);
}

static struct watch *watch_new(struct http_client *c, curl_socket_t fd)
{
    struct watch *w = mem_new(struct watch);

    w->client = c;
    w->fd = fd;
    w->next = c->watches;
    if (w->next)
        w->next->prev = w;
    c->watches = w;
    (void)event_assign(&w->ev, loop_base(c->loop), fd, 0, on_socket, w);
    return w;
}

static int on_curl_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *socket_arg)
{
    struct http_client *c = arg;
    struct watch *w = socket_arg;
    short events = EV_PERSIST;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        if (w)
            watch_free(w);
        (void)curl_multi_assign(c->multi, fd, NULL);
        return 0;
    }
    if (!w) {
        w = watch_new(c, fd);
        (void)curl_multi_assign(c->multi, fd, w);
    }
    if (what == CURL_POLL_IN || what == CURL_POLL_INOUT)
        events |= EV_READ;
    if (what == CURL_POLL_OUT || what == CURL_POLL_INOUT)
        events |= EV_WRITE;
    (void)event_del(&w->ev);
    (void)event_assign(&w->ev, loop_base(c->loop), fd, events, on_socket, w);
    return event_add(&w->ev, NULL);
}

static int on_curl_timer(CURLM *multi, long timeout_ms, void *arg)
{
    struct http_client *c = arg;

    (void)multi;
    if (timeout_ms < 0)
        loop_timer_cancel(c->timer);
    else
        loop_timer_arm_ms(c->timer, timeout_ms);
    return 0;
}

/* ---- calls ---- */

static void call_unlink(struct http_client_call *call)
{
    struct http_client *c = call->client;

    (void)curl_multi_remove_handle(c->multi, call->easy);
    *(call->prev ? &call->prev->next : &c->calls) = call->next;
    if (call->next)
        call->next->prev = call->prev;
    c->call_count--;
}

static void call_finish(struct http_client_call *call, struct err *e)
{
    call_unlink(call);
    if (!e)
        http_client_parse_head(call);
    call->done(call->arg, e, e ? NULL : &call->reply);
    http_client_call_free(call);
}

static void reap(struct http_client *c)
{
    CURLMsg *m;
    int left;

    if (c->is_freeing)
        return;
    while ((m = curl_multi_info_read(c->multi, &left))) {
        struct http_client_call *call = NULL;
        CURLcode rc = m->data.result;

        if (m->msg != CURLMSG_DONE)
            continue;
        (void)curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, &call);
        call_finish(call, http_client_result(call, rc));
    }
}

static void on_reap(void *arg)
{
    reap(arg);
}

struct err *http_client_admit(const struct http_client *c, const char *url)
{
    int errnum;

    ORR_ASSERT(c->magic == MAGIC && loop_is_mine(c->loop));
    if (c->call_count >= c->opts.max_queued)
        return err_new(ERR_UNAVAILABLE, "http client: %zu calls are under way already",
                       c->call_count);
    if (fault_hit("http_client.request", &errnum))
        return err_errnum(ERR_NET, errnum, "%s", url);
    return NULL;
}

struct err *http_client_start(struct http_client *c, struct http_client_call *call,
                              http_client_fn *done, void *arg, struct http_client_call **ret_call)
{
    call->client = c;
    call->done = done;
    call->arg = arg;
    call->next = c->calls;
    if (call->next)
        call->next->prev = call;
    c->calls = call;
    c->call_count++;
    /* Starts with the timer that libcurl now arms, so done is never called from in here. */
    if (curl_multi_add_handle(c->multi, call->easy) != CURLM_OK) {
        call_unlink(call);
        http_client_call_free(call);
        return err_new(ERR_INTERNAL, "http client: libcurl refuses the call");
    }
    if (ret_call)
        *ret_call = call;
    return NULL;
}

struct err *http_client_request(struct http_client *c, const struct http_client_req *req,
                                http_client_fn *done, void *arg, struct http_client_call **ret_call)
{
    struct http_client_call *call;
    struct err *e;

    if ((e = http_client_admit(c, req->url)) || (e = http_client_call_new(&c->opts, req, &call)))
        return e;
    return http_client_start(c, call, done, arg, ret_call);
}

void http_client_cancel(struct http_client_call *call)
{
    struct http_client *c;

    if (!call)
        return;
    c = call->client;
    ORR_ASSERT(loop_is_mine(c->loop));
    call_unlink(call);
    http_client_call_free(call);
    /* libcurl may have read the end of others meanwhile */
    loop_timer_arm_ms(c->reaper, 0);
}

size_t http_client_inflight(const struct http_client *c)
{
    return c->call_count;
}

/* ---- making and freeing ---- */

struct err *http_client_new(struct loop *l, const struct http_client_opts *opts,
                            struct http_client **ret)
{
    static const struct http_client_opts defaults = {0};
    struct http_client *c = mem_new(struct http_client);

    http_client_library_init();
    c->magic = MAGIC;
    c->loop = l;
    http_client_opts_copy(opts ? opts : &defaults, &c->opts);
    c->multi = curl_multi_init();
    ORR_ASSERT(c->multi);
    c->timer = loop_timer_new(l, on_timer, c);
    c->reaper = loop_timer_new(l, on_reap, c);
    (void)curl_multi_setopt(c->multi, CURLMOPT_SOCKETFUNCTION, on_curl_socket);
    (void)curl_multi_setopt(c->multi, CURLMOPT_SOCKETDATA, c);
    (void)curl_multi_setopt(c->multi, CURLMOPT_TIMERFUNCTION, on_curl_timer);
    (void)curl_multi_setopt(c->multi, CURLMOPT_TIMERDATA, c);
    (void)curl_multi_setopt(c->multi, CURLMOPT_MAX_HOST_CONNECTIONS, (long)c->opts.max_per_host);
    (void)curl_multi_setopt(c->multi, CURLMOPT_MAXCONNECTS, (long)c->opts.max_connections);
    *ret = c;
    return NULL;
}

void http_client_free(struct http_client *c)
{
    if (!c)
        return;
    c->is_freeing = true;
    while (c->calls)
        call_finish(c->calls, err_new(ERR_CANCELED, "the HTTP client is closing"));
    (void)curl_multi_cleanup(c->multi);
    while (c->watches) /* those that libcurl did not take back itself */
        watch_free(c->watches);
    loop_timer_free(c->timer);
    loop_timer_free(c->reaper);
    http_client_opts_done(&c->opts);
    c->magic = 0;
    mem_free(c);
}
