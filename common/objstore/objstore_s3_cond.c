#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/objstore/objstore_s3_internal.h"

#define STRIPE_SEED 0x73747269ull

/* ---- whether the server's conditions hold ---- */

static enum objstore_s3_trust trust_of(const struct objstore_s3 *s, enum objstore_cond cond)
{
    return cond == OBJSTORE_IF_ABSENT ? s->trust_absent : s->trust_match;
}

/* With the lock, which it lets go meanwhile. */
static struct err *probe_locked(struct objstore_s3 *s)
{
    enum objstore_s3_trust absent = S3_TRUST_UNKNOWN, match = S3_TRUST_UNKNOWN;
    enum objstore_s3_form form = S3_FORM_UNKNOWN;
    const char *why = "";
    struct err *e;

    s->is_probing = true;
    lock_release(&s->lock);
    e = objstore_s3_probe(s, &absent, &match, &form, &why);
    if (!e && absent == S3_TRUST_YES && match == S3_TRUST_YES)
        LOG_INFO(objstore, "conditional writes of the object store hold",
                 KV_STR("bucket", s->base.name));
    else if (!e)
        LOG_WARN(
            objstore,
            "conditional writes of the object store do not hold: what they guard must have one "
            "owner",
            KV_STR("bucket", s->base.name), KV_STR("reason", why));
    lock_take(&s->lock);
    s->is_probing = false;
    if (!e) {
        s->trust_absent = absent;
        s->trust_match = match;
        s->form = form;
    }
    (void)pthread_cond_broadcast(&s->changed);
    return e;
}

struct err *objstore_s3_trusts(struct objstore_s3 *s, enum objstore_cond cond, bool *ret)
{
    struct timespec until = objstore_s3_deadline(s);
    struct err *e = NULL;

    lock_take(&s->lock);
    while (!e && trust_of(s, cond) == S3_TRUST_UNKNOWN) {
        if (!s->is_probing)
            e = probe_locked(s);
        else if (!lock_wait_until(&s->lock, &s->changed, &until))
            e = err_new(ERR_TIMEOUT, "conditional writes are still being tried out");
    }
    *ret = trust_of(s, cond) == S3_TRUST_YES;
    lock_release(&s->lock);
    return e;
}

/* ---- by the server's condition ---- */

void objstore_s3_condition(struct s3wire_call *call, struct arena *a,
                           const struct objstore_put *opts, enum objstore_s3_form form)
{
    if (opts->cond == OBJSTORE_IF_ABSENT)
        s3wire_header(call, "if-none-match", SLICE("*"));
    else if (form == S3_FORM_BARE)
        s3wire_header(call, "if-match", slice_cstr(opts->etag));
    else
        s3wire_header(call, "if-match", slice_cstr(arena_printf(a, "\"%s\"", opts->etag)));
}

struct cond_put {
    struct objstore_s3 *s;
    struct slice key, content;
    const struct objstore_put *opts;
    struct arena *arena;
    enum objstore_s3_form form;
    char mark[OBJSTORE_S3_MARK_BYTES];
};

enum finding {
    WAS_DONE, /* the object bears our mark */
    WAS_REFUSED /* the condition does not hold: the error says so */,
    WAS_NOT_DONE /* the condition still holds */
};

/* Reads the object's version. until_ms: as in objstore_get. */
static struct err *look(struct cond_put *p, int64_t until_ms, enum finding *ret,
                        struct objstore_info *ret_info)
{
    char mark[OBJSTORE_S3_MARK_BYTES] = "";
    bool if_absent = p->opts->cond == OBJSTORE_IF_ABSENT, is_there;
    struct objstore_info info = {0};
    struct err *e = objstore_s3_head(p->s, p->key, until_ms, &info, mark);

    is_there = !e;
    if (e && !err_is(e, ERR_NOT_FOUND))
        return e;
    err_free(e);
    *ret = WAS_REFUSED;
    if (is_there && strcmp(mark, p->mark) == 0) {
        *ret = WAS_DONE;
        *ret_info = info;
        return NULL;
    }
    if (is_there && if_absent)
        return err_new(ERR_CONFLICT, "the object exists already");
    if (!is_there && !if_absent)
        return err_new(ERR_CONFLICT, "the object is gone");
    if (is_there && strcmp(info.etag, p->opts->etag) != 0)
        return err_new(ERR_CONFLICT, "the object has changed: etag %s, not %s", info.etag,
                       p->opts->etag);
    *ret = WAS_NOT_DONE;
    return NULL;
}

static void learn_form(struct cond_put *p, enum objstore_s3_form form)
{
    if (p->opts->cond != OBJSTORE_IF_MATCH)
        return;
    lock_take(&p->s->lock);
    p->s->form = form;
    lock_release(&p->s->lock);
}

static void prepare(struct cond_put *p, struct s3wire_call *call)
{
    *call = (struct s3wire_call){.op = S3WIRE_PUT,
                                 .method = "PUT",
                                 .key = p->key,
                                 .body = p->content,
                                 .content_type = p->opts->content_type,
                                 .is_once = true,
                                 .until_ms = p->opts->until_ms};
    objstore_s3_put_headers(p->s, p->arena, p->key, call);
    s3wire_header(call, OBJSTORE_S3_MARK, slice_cstr(p->mark));
    objstore_s3_condition(call, p->arena, p->opts, p->form);
}

static bool is_open_question(const struct err *e, const struct s3wire_call *call)
{
    /* 404: Amazon's answer to If-Match on an object that is gone */
    return err_is(e, ERR_CONFLICT) || call->reply.status == 404 || call->is_unsure;
}

/* Neither done nor refused for all we know: never a conflict, which would say that it was not. */
static struct err *unknown(struct err *e, struct err *look_error)
{
    struct err *both =
        err_new(ERR_UNAVAILABLE, "it may have been written: %s; and then it could not be read: %s",
                err_msg(e), err_msg(look_error));

    err_free(e);
    err_free(look_error);
    return both;
}

/*
 * Whatever the answer was, save success and a plain refusal of the request, the object itself says
 * what has become of it: libcurl may have sent a put twice over a dying connection, and a 5xx may
 * come after the deed.
 */
static struct err *put_checked(struct cond_put *p, struct objstore_info *ret)
{
    struct s3wire_call call;
    enum finding found = WAS_NOT_DONE;
    bool is_other_form = false;
    struct err *e, *e2;

    prepare(p, &call);
    for (;;) {
        if (!(e = s3wire_run(p->s->w, &call))) {
            learn_form(p, p->form == S3_FORM_BARE ? S3_FORM_BARE : S3_FORM_QUOTED);
            if (!(e = objstore_s3_info(&call, ret))) {
                ret->bytes = p->content.len;
                ret->modified_ms = clock_wall_ms(&clock_system);
            }
            break;
        }
        if (!is_open_question(e, &call))
            break;
        if ((e2 = look(p, 0, &found, ret))) { /* nothing is sent that could change it */
            e = err_is(e2, ERR_CONFLICT) ? err_first(e2, e) : unknown(e, e2);
            break;
        }
        if (found == WAS_DONE) {
            err_free(e);
            e = NULL;
            break;
        }
        if (call.reply.status == 412 && p->form == S3_FORM_UNKNOWN && !is_other_form) {
            is_other_form = true;
            p->form = S3_FORM_BARE; /* the etag is right, so it is how it is written */
            err_free(e);
            s3wire_done(p->s->w, &call);
            prepare(p, &call);
            continue;
        }
        if (p->opts->until_ms || !s3wire_again(p->s->w, &call))
            break;
        err_free(e);
    }
    s3wire_done(p->s->w, &call);
    return e;
}

/* ---- by looking first ---- */

static struct err *enter(struct objstore_s3 *s, size_t stripe, int64_t until_ms)
{
    struct timespec until =
        until_ms ? (struct timespec){until_ms / MS_PER_S, until_ms % MS_PER_S * NS_PER_MS}
                 : objstore_s3_deadline(s);
    struct err *e = NULL;

    lock_take(&s->lock);
    while (!e && s->is_busy[stripe])
        if (!lock_wait_until(&s->lock, &s->changed, &until))
            e = err_new(ERR_TIMEOUT, "other conditional puts take too long");
    if (!e)
        s->is_busy[stripe] = true;
    lock_release(&s->lock);
    return e;
}

static void leave(struct objstore_s3 *s, size_t stripe)
{
    lock_take(&s->lock);
    s->is_busy[stripe] = false;
    (void)pthread_cond_broadcast(&s->changed);
    lock_release(&s->lock);
}

static struct err *put_looked_up(struct cond_put *p, struct objstore_info *ret)
{
    size_t stripe = hash_xxh64(p->key, STRIPE_SEED) % OBJSTORE_S3_STRIPES;
    enum finding found;
    struct err *e = enter(p->s, stripe, p->opts->until_ms);

    if (e)
        return e;
    if (!(e = look(p, p->opts->until_ms, &found, ret)))
        e = objstore_s3_put_one(p->s, p->key, p->content, p->opts, ret);
    leave(p->s, stripe);
    return e;
}

struct err *objstore_s3_put_if(struct objstore_s3 *s, struct slice key, struct slice content,
                               const struct objstore_put *opts, struct objstore_info *ret)
{
    struct cond_put p = {.s = s, .key = key, .content = content, .opts = opts};
    struct err *e;
    bool is_trusted;

    if ((e = objstore_s3_trusts(s, opts->cond, &is_trusted)))
        return err_wrap(e, "try out conditional writes");
    lock_take(&s->lock);
    p.form = s->form;
    lock_release(&s->lock);
    s3wire_nonce(s->w, p.mark);
    p.arena = arena_new(0);
    e = is_trusted ? put_checked(&p, ret) : put_looked_up(&p, ret);
    arena_free(p.arena);
    return e;
}
