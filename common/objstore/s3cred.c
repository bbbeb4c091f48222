#include "common/objstore/s3cred.h"

#include <time.h>

#include "common/base/clock.h"
#include "common/base/lock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/objstore/s3cred_internal.h"

#define EARLY_MS (5 * 60 * 1000) /* before they expire, they are fetched again */
#define AGAIN_MS 5000
#define WAIT_S 30 /* for another one's fetching */

struct s3cred {
    const struct s3conf *conf;
    char **env;
    char *region;
    pthread_cond_t fetched; /* monotonic */
    struct lock lock;
    /* guarded: */
    const struct s3cred_source *source; /* NULL: not known yet */
    char *access, *secret, *token;      /* NULL: none yet */
    int64_t expires_ms;                 /* wall; 0: never */
    int64_t next_fetch_ms;              /* mono; not before */
    uint64_t generation;
    bool is_fetching, is_rejected, is_failing;
    struct err *failure; /* of the last fetch */
};

const char *s3cred_env(char **env, const char *name)
{
    size_t len = strlen(name);

    for (; env && *env; env++)
        if (strncmp(*env, name, len) == 0 && (*env)[len] == '=')
            return *env + len + 1;
    return "";
}

struct s3cred *s3cred_new(const struct s3conf *conf, char **env, const char *region)
{
    struct s3cred *c = mem_new(struct s3cred);

    c->conf = conf;
    c->env = env;
    c->region = mem_strdup(region);
    lock_init(&c->lock, LOCK_OBJSTORE);
    lock_cond_init(&c->fetched);
    return c;
}

static void forget(struct s3cred *c)
{
    mem_free(c->access);
    mem_free(c->secret);
    mem_free(c->token);
    c->access = c->secret = c->token = NULL;
}

void s3cred_free(struct s3cred *c)
{
    if (!c)
        return;
    forget(c);
    err_free(c->failure);
    (void)pthread_cond_destroy(&c->fetched);
    lock_done(&c->lock);
    mem_free(c->region);
    mem_free(c);
}

/* ---- fetching ---- */

/* The source named, or the first that is set up. */
static const struct s3cred_source *choose(const struct s3conf *conf, char **env)
{
    for (size_t i = 0; i < s3cred_source_count; i++) {
        const struct s3cred_source *s = &s3cred_sources[i];

        if (conf->credentials == S3CONF_AUTO
                ? s->is_there(conf, env)
                : s->kind == (enum s3conf_credentials)conf->credentials)
            return s;
    }
    return NULL;
}

/* A file or profile that is not there must not be taken for an object that is not there. */
static struct err *as_refusal(struct err *e)
{
    if (!e || err_is(e, ERR_NET) || err_is(e, ERR_TIMEOUT) || err_is(e, ERR_UNAVAILABLE))
        return e;
    return err_first(err_new(ERR_UNAUTHORIZED, "%s", err_msg(e)), e);
}

/* Without the lock. */
static struct err *fetch(struct s3cred *c, struct arena *a, const struct s3cred_source **ret_source,
                         struct s3answer_role *ret)
{
    *ret_source = choose(c->conf, c->env);
    if (!*ret_source)
        return err_new(ERR_UNAUTHORIZED, "no credentials for S3: none of " S3CONF_CREDENTIALS
                                         " (s3.credentials) is set up");
    return err_wrap(as_refusal((*ret_source)->fetch(c->conf, c->env, c->region, a, ret)),
                    "credentials for S3 from %s", (*ret_source)->name);
}

static void take_over(struct s3cred *c, const struct s3cred_source *source,
                      const struct s3answer_role *r)
{
    bool is_new = !c->access || !slice_eq_cstr(r->access, c->access) ||
                  !slice_eq_cstr(r->secret, c->secret) || !slice_eq_cstr(r->token, c->token);

    c->source = source;
    c->expires_ms = r->expires_ms;
    if (!is_new)
        return;
    forget(c);
    c->access = slice_dup(r->access);
    c->secret = slice_dup(r->secret);
    c->token = slice_dup(r->token);
    c->generation++;
}

/* Says it once when fetching begins to fail, and once when it is over. */
static void tell(bool was_failing, const struct s3cred_source *source, const struct err *e)
{
    const char *name = source ? source->name : "none";

    if (e && !was_failing)
        LOG_WARN(objstore, "credentials for S3 could not be fetched", KV_STR("source", name),
                 KV_ERR(e));
    else if (!e && was_failing)
        LOG_INFO(objstore, "credentials for S3 are here again", KV_STR("source", name));
}

/* With the lock, which it lets go meanwhile. */
static void fetch_locked(struct s3cred *c)
{
    const struct s3cred_source *source = NULL;
    struct s3answer_role role = {0};
    struct arena *a = arena_new(0);
    bool was_failing = c->is_failing;
    struct err *e;

    c->is_fetching = true;
    lock_release(&c->lock);
    e = fetch(c, a, &source, &role);
    tell(was_failing, source, e);
    lock_take(&c->lock);
    c->is_fetching = false;
    c->is_rejected = false;
    c->is_failing = e != NULL;
    c->next_fetch_ms = clock_mono_ms(&clock_system) + AGAIN_MS;
    err_free(c->failure);
    c->failure = e;
    if (!e)
        take_over(c, source, &role);
    (void)pthread_cond_broadcast(&c->fetched);
    arena_free(a);
}

/* ---- asking ---- */

/* Whether they hold for ms milliseconds more. */
static bool holds(const struct s3cred *c, int64_t ms)
{
    return c->access && (c->expires_ms == 0 || clock_wall_ms(&clock_system) + ms < c->expires_ms);
}

static struct err *ensure(struct s3cred *c)
{
    struct timespec until;

    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += WAIT_S;
    for (;;) {
        bool may_fetch = !c->is_fetching && clock_mono_ms(&clock_system) >= c->next_fetch_ms;

        if (holds(c, EARLY_MS) && !(c->is_rejected && may_fetch))
            return NULL;
        if (may_fetch) {
            fetch_locked(c);
            return holds(c, 0) ? NULL : err_copy(c->failure);
        }
        if (holds(c, 0))
            return NULL;
        if (!c->is_fetching)
            return err_copy(c->failure);
        if (!lock_wait_until(&c->lock, &c->fetched, &until))
            return err_new(ERR_TIMEOUT, "credentials for S3 are still being fetched");
    }
}

struct err *s3cred_get(struct s3cred *c, struct arena *a, struct s3cred_keys *ret)
{
    struct err *e;

    lock_take(&c->lock);
    e = ensure(c);
    if (!e && !c->access)
        e = err_new(ERR_UNAUTHORIZED, "no credentials for S3");
    if (!e) {
        ret->access = arena_dup(a, slice_cstr(c->access));
        ret->secret = arena_dup(a, slice_cstr(c->secret));
        ret->token = arena_dup(a, slice_cstr(c->token));
        ret->generation = c->generation;
    }
    lock_release(&c->lock);
    return e;
}

void s3cred_reject(struct s3cred *c, uint64_t generation)
{
    lock_take(&c->lock);
    if (c->generation == generation)
        c->is_rejected = true;
    lock_release(&c->lock);
}

const char *s3cred_source(struct s3cred *c)
{
    const char *name;

    lock_take(&c->lock);
    name = c->source ? c->source->name : "none";
    lock_release(&c->lock);
    return name;
}
