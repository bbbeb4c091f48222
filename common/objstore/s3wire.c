#include "common/objstore/s3wire.h"

#include <inttypes.h>
#include <stdio.h>
#include <time.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/objstore/s3wire_internal.h"

#define MAX_QUEUED 10000

const char *s3wire_name(const struct s3wire *w)
{
    return w->name;
}

bool s3wire_has_bucket(const struct s3wire *w)
{
    return METRIC_GET(w->has_bucket);
}

void s3wire_nonce(struct s3wire *w, char ret[static 33])
{
    uint64_t hi, lo;

    lock_take(&w->lock);
    hi = rng_u64(&w->rng);
    lo = rng_u64(&w->rng);
    lock_release(&w->lock);
    (void)snprintf(ret, 33, "%016" PRIx64 "%016" PRIx64, hi, lo);
}

void s3wire_query(struct s3wire_call *call, const char *name, struct slice value)
{
    ORR_ASSERT(call->n_query < S3WIRE_MAX_QUERY);
    call->query[call->n_query++] = (struct sigv4_pair){slice_cstr(name), value};
}

void s3wire_header(struct s3wire_call *call, const char *name, struct slice value)
{
    ORR_ASSERT(call->n_headers < S3WIRE_MAX_HEADERS);
    call->headers[call->n_headers++] = (struct sigv4_pair){slice_cstr(name), value};
}

/* ---- calls ---- */

static void forget_answer(struct s3wire_call *call)
{
    static const struct s3answer_error none = {SLICE_INIT(""), SLICE_INIT(""), SLICE_INIT(""), 0};

    http_client_reply_done(&call->reply);
    call->error = none;
}

void s3wire_begin(struct s3wire *w, struct s3wire_call *call)
{
    struct s3sign sign;

    ORR_ASSERT(!call->try && !call->failure);
    if (!call->arena)
        call->arena = arena_new(0);
    if (!call->attempts++)
        call->first_ms = clock_mono_ms(&clock_system);
    forget_answer(call);
    if (call->until_ms && clock_mono_ms(&clock_system) >= call->until_ms)
        call->failure = err_new(ERR_TIMEOUT, "it was not sent: its time is over");
    else
        call->failure = s3wire_sign(w, call, &sign);
    if (call->failure)
        return;
    call->try = s3wire_try_start(w, call, &sign);
}

static bool is_transport(const struct err *e)
{
    return err_is(e, ERR_NET) || err_is(e, ERR_TIMEOUT);
}

/* Waits for this attempt and says what came of it; *ret: whether it is worth another. */
static struct err *one(struct s3wire *w, struct s3wire_call *call, bool *ret)
{
    struct s3try *t = call->try;
    struct err *e = call->failure;

    *ret = false;
    call->failure = NULL;
    call->try = NULL;
    if (e)
        return e; /* no credentials: it was not sent */
    if ((e = s3wire_try_wait(t, &call->reply))) {
        *ret = is_transport(e);
        call->is_unsure = true;
        return e;
    }
    if (call->reply.status >= 300)
        s3answer_error(call->arena, buf_slice(&call->reply.body), &call->error);
    if (call->reply.status == 429 || call->reply.status == 503)
        METRIC_ADD(w->throttled, 1);
    if (call->reply.status >= 500 && call->reply.status != 501)
        call->is_unsure = true;
    e = s3wire_judge(call, ret);
    if (!e && call->max_bytes && call->reply.body.len > call->max_bytes)
        e = err_new(ERR_TOO_LARGE, "an answer of %zu bytes, more than %zu", call->reply.body.len,
                    call->max_bytes);
    if (call->key.ptr && (!e || slice_eq_cstr(call->error.code, "NoSuchKey")))
        METRIC_SET(w->has_bucket, true);
    return e;
}

/* What the server asks for, when it is more than we would wait. */
static int64_t retry_after_ms(const struct s3wire *w, const struct s3wire_call *call)
{
    uint64_t s;

    if (!slice_to_u64(http_client_reply_header(&call->reply, "retry-after"), &s))
        return 0;
    return ORR_MIN((int64_t)ORR_MIN(s, 3600u) * MS_PER_S, w->conf->max_backoff_ns / NS_PER_MS);
}

bool s3wire_is_stopped(struct s3wire *w)
{
    bool is_stopped;

    lock_take(&w->lock);
    is_stopped = w->is_stopped;
    lock_release(&w->lock);
    return is_stopped;
}

/* Ends early when the process does. */
static void rest(struct s3wire *w, const struct s3wire_call *call)
{
    int64_t ms = ORR_MAX(s3wire_backoff_ms(w, call->attempts), retry_after_ms(w, call));
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += ms / MS_PER_S;
    until.tv_nsec += ms % MS_PER_S * NS_PER_MS;
    if (until.tv_nsec >= NS_PER_S) {
        until.tv_sec++;
        until.tv_nsec -= NS_PER_S;
    }
    lock_take(&w->lock);
    while (!w->is_stopped && lock_wait_until(&w->lock, &w->stopping, &until))
        ;
    lock_release(&w->lock);
}

static bool may_retry(struct s3wire *w, const struct s3wire_call *call)
{
    int64_t age_ms = clock_mono_ms(&clock_system) - call->first_ms;

    return !s3wire_is_stopped(w) && call->attempts < w->conf->max_attempts &&
           age_ms < w->conf->operation_timeout_ns / NS_PER_MS && s3wire_take_retry(w, call->op);
}

/* Refusals that are about us or the bucket, not about this object. */
static bool is_ailing(const struct s3wire_call *call, bool is_trouble, const struct err *e)
{
    return e && (is_trouble || err_is(e, ERR_FORBIDDEN) || err_is(e, ERR_UNAVAILABLE) ||
                 err_is(e, ERR_UNAUTHORIZED) || (call->reply.status == 0 && is_transport(e)));
}

static bool is_once(const struct s3wire_call *call)
{
    return call->is_once || call->until_ms;
}

struct err *s3wire_finish(struct s3wire *w, struct s3wire_call *call)
{
    bool is_trouble;
    struct err *e;

    for (;;) {
        e = one(w, call, &is_trouble);
        if (!is_trouble && e && s3wire_fix(w, call)) {
            err_free(e);
            s3wire_begin(w, call);
            continue;
        }
        is_trouble |= e && s3wire_is_new_bucket(call);
        if (!is_trouble || is_once(call) || !may_retry(w, call))
            break;
        rest(w, call);
        err_free(e);
        s3wire_begin(w, call);
    }
    if (!e)
        s3wire_give_back(w);
    /* a race on one key makes some servers fail: its caller looks after that itself */
    if (!is_once(call) && !s3wire_is_stopped(w))
        s3wire_health(w, is_ailing(call, is_trouble, e) ? e : NULL);
    if (e && call->attempts > 1 && is_trouble)
        e = err_wrap(e, "after %" PRId64 " attempts", call->attempts);
    return e;
}

bool s3wire_again(struct s3wire *w, struct s3wire_call *call)
{
    if (!may_retry(w, call))
        return false;
    rest(w, call);
    return true;
}

struct err *s3wire_run(struct s3wire *w, struct s3wire_call *call)
{
    s3wire_begin(w, call);
    return s3wire_finish(w, call);
}

void s3wire_done(struct s3wire *w, struct s3wire_call *call)
{
    (void)w;
    if (call->try)
        s3wire_try_cancel(call->try);
    err_free(call->failure);
    http_client_reply_done(&call->reply);
    arena_free(call->arena);
    *call = (struct s3wire_call){0};
}

/* ---- making and freeing ---- */

static bool is_amazon(struct slice host)
{
    return slice_has_suffix(host, SLICE(".amazonaws.com")) ||
           slice_has_suffix(host, SLICE(".amazonaws.com.cn"));
}

/* Splits "https://host:port" off; a path or a query behind it is refused. */
static struct err *split_endpoint(const char *endpoint, struct slice *ret_scheme,
                                  struct slice *ret_host)
{
    struct slice s = slice_cstr(endpoint);

    *ret_scheme = slice_has_prefix(s, SLICE("https://")) ? SLICE("https://") : SLICE("http://");
    s = slice_from(s, ret_scheme->len);
    if (s.len && s.ptr[s.len - 1] == '/')
        s.len--;
    for (size_t i = 0; i < s.len; i++)
        if (s.ptr[i] <= ' ' || s.ptr[i] >= 0x7f || strchr("/?#@\\%", s.ptr[i]))
            return err_new(ERR_INVALID, "s3.endpoint: \"%s\" is more than a scheme and a host",
                           endpoint);
    if (!s.len)
        return err_new(ERR_INVALID, "s3.endpoint: \"%s\" has no host", endpoint);
    *ret_host = s;
    return NULL;
}

/* Without the scheme's own port: so clients write it, and so it is signed. */
static struct slice plain_host(struct slice scheme, struct slice host)
{
    struct slice port = scheme.len == 8 ? SLICE(":443") : SLICE(":80");

    if (slice_has_suffix(host, port))
        host.len -= port.len;
    return host;
}

static struct err *set_address(struct s3wire *w)
{
    const struct s3conf *c = w->conf;
    char *amazon = mem_printf("https://s3.%s.amazonaws.com", w->region);
    struct slice scheme, host;
    struct err *e = split_endpoint(c->endpoint[0] ? c->endpoint : amazon, &scheme, &host);
    bool is_virtual;

    if (!e) {
        host = plain_host(scheme, host);
        is_virtual = c->style == S3CONF_STYLE_VIRTUAL ||
                     (c->style == S3CONF_STYLE_AUTO && is_amazon(host) && !strchr(c->bucket, '.'));
        w->host = mem_printf("%s%s%.*s", is_virtual ? c->bucket : "", is_virtual ? "." : "",
                             SLICE_ARG(host));
        w->base_url = mem_printf("%.*s%s", SLICE_ARG(scheme), w->host);
        w->bucket_path = is_virtual ? mem_strdup("") : mem_printf("/%s", c->bucket);
        w->name = mem_printf("s3:%.*s%.*s/%s", SLICE_ARG(scheme), SLICE_ARG(host), c->bucket);
    }
    mem_free(amazon);
    return e;
}

static void set_region(struct s3wire *w, char **env)
{
    const char *region = w->conf->region;

    w->has_region = region[0] != '\0';
    if (!region[0])
        region = s3cred_env(env, "AWS_REGION");
    if (!region[0])
        region = s3cred_env(env, "AWS_DEFAULT_REGION");
    (void)snprintf(w->region, sizeof(w->region), "%s", region[0] ? region : "us-east-1");
}

static struct err *start_loop(struct s3wire *w)
{
    struct http_client_opts opts = {.ca_path = w->conf->ca_file[0] ? w->conf->ca_file : NULL,
                                    .is_insecure = w->conf->tls_insecure,
                                    .max_per_host = (unsigned)w->conf->connections,
                                    .max_connections = (unsigned)w->conf->connections,
                                    .max_queued = MAX_QUEUED};
    struct err *e;

    if ((e = loop_new("s3", &w->loop)) || (e = http_client_new(w->loop, &opts, &w->http)))
        return e;
    return loop_start(w->loop);
}

struct err *s3wire_new(const struct s3conf *conf, char **env, struct s3wire **ret)
{
    struct s3wire *w;
    struct err *e = s3conf_check(conf);

    if (e)
        return e;
    w = mem_new(struct s3wire);
    w->conf = conf;
    lock_init(&w->lock, LOCK_OBJSTORE);
    lock_cond_init(&w->stopping);
    rng_seed_system(&w->rng);
    set_region(w, env);
    w->cred = s3cred_new(conf, env, w->region);
    s3wire_stats_start(w);
    if ((e = set_address(w)) || (e = start_loop(w))) {
        s3wire_free(w);
        return e;
    }
    *ret = w;
    return NULL;
}

void s3wire_stop(struct s3wire *w)
{
    lock_take(&w->lock);
    w->is_stopped = true;
    (void)pthread_cond_broadcast(&w->stopping);
    lock_release(&w->lock);
    s3wire_try_stop_all(w);
}

void s3wire_free(struct s3wire *w)
{
    if (!w)
        return;
    if (w->loop)
        loop_join(w->loop);
    http_client_free(w->http);
    loop_free(w->loop);
    s3wire_stats_stop(w);
    s3cred_free(w->cred);
    (void)pthread_cond_destroy(&w->stopping);
    lock_done(&w->lock);
    mem_free(w->host);
    mem_free(w->base_url);
    mem_free(w->bucket_path);
    mem_free(w->name);
    mem_free(w);
}
