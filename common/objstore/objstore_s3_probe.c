#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/objstore/objstore_s3_internal.h"

/*
 * Asking twice in a row is not enough: servers answer 412 to the second and still let several through
 * that come at once. So writers race, again and again, on a key that nobody else uses.
 */
#define RACERS 6
#define ROUNDS 8
#define KEY_BYTES 80

struct probe {
    struct objstore_s3 *s;
    struct arena *arena;
    char key[KEY_BYTES];
    enum objstore_s3_form form;
    const char *why; /* the condition does not hold: a constant text; NULL: it does so far */
};

enum outcome { WON, LOST, UNSURE, REFUSED };

static struct slice key_of(const struct probe *p)
{
    return slice_cstr(p->key);
}

static void prepare(struct probe *p, struct s3wire_call *call, const struct objstore_put *opts,
                    struct slice content)
{
    *call = (struct s3wire_call){.op = S3WIRE_PUT,
                                 .method = "PUT",
                                 .key = key_of(p),
                                 .body = content,
                                 .content_type = "text/plain",
                                 .is_once = true};
    objstore_s3_put_headers(p->s, p->arena, key_of(p), call);
    if (opts->cond != OBJSTORE_ALWAYS)
        objstore_s3_condition(call, p->arena, opts, p->form);
}

/* An error: the server could not be asked; nothing is known then. */
static struct err *finish(struct probe *p, struct s3wire_call *call, enum outcome *ret)
{
    struct err *e = s3wire_finish(p->s->w, call);
    int status = call->reply.status;

    *ret = WON;
    if (!e)
        return NULL;
    if (status == 412 || status == 409 || status == 404)
        *ret = LOST;
    else if (status == 501 || status == 400)
        *ret = REFUSED;
    else if (status >= 500)
        *ret = UNSURE;
    else
        return e;
    err_free(e);
    return NULL;
}

static struct err *put(struct probe *p, const struct objstore_put *opts, enum outcome *ret)
{
    struct s3wire_call call;
    struct err *e;

    prepare(p, &call, opts, SLICE("probe"));
    s3wire_begin(p->s->w, &call);
    e = finish(p, &call, ret);
    s3wire_done(p->s->w, &call);
    return e;
}

static struct err *plain_put(struct probe *p, struct slice content, struct objstore_info *ret)
{
    struct objstore_put opts = {.content_type = "text/plain"};

    return objstore_s3_put_one(p->s, key_of(p), content, &opts, ret);
}

/* ---- a race ---- */

/* Whose text is the object now? -1: nobody's of the race. */
static struct err *holder(struct probe *p, int *ret)
{
    struct objstore_get opts = {.max_bytes = 1024};
    struct objstore_info info;
    struct buf b = {0};
    struct err *e = objstore_s3_get(&p->s->base, key_of(p), &opts, &b, &info);

    *ret = -1;
    if (err_is(e, ERR_NOT_FOUND)) {
        err_free(e);
        e = NULL;
    } else if (!e && b.len == 1 && b.ptr[0] >= '0' && b.ptr[0] < '0' + RACERS) {
        *ret = b.ptr[0] - '0';
    }
    buf_done(&b);
    return e;
}

static struct err *judge(struct probe *p, const enum outcome *outcomes)
{
    int n_won = 0, winner = -1, held_by;
    bool has_unsure = false;
    struct err *e;

    for (int i = 0; i < RACERS; i++) {
        if (outcomes[i] == WON) {
            n_won++;
            winner = i;
        }
        has_unsure |= outcomes[i] == UNSURE;
        if (outcomes[i] == REFUSED)
            p->why = "refused when several write at once";
    }
    if (p->why)
        return NULL;
    if ((e = holder(p, &held_by)))
        return e;
    if (n_won > 1)
        p->why = "several of those that raced were told they won";
    else if (held_by < 0 || (n_won == 0 && !has_unsure))
        p->why = "none of those that raced won";
    else if (held_by != winner && outcomes[held_by] != UNSURE)
        p->why = "the object is not the winner's";
    else if (n_won == 1 && held_by != winner)
        p->why = "one that raced was told it won and another's was kept";
    return NULL;
}

static struct err *race(struct probe *p, const struct objstore_put *opts)
{
    static const char texts[] = "0123456789";
    struct s3wire_call calls[RACERS];
    enum outcome outcomes[RACERS];
    struct err *e = NULL;

    for (size_t i = 0; i < RACERS; i++) {
        prepare(p, &calls[i], opts, slice_of(texts + i, 1));
        s3wire_begin(p->s->w, &calls[i]);
    }
    for (size_t i = 0; i < RACERS; i++) {
        if (!e)
            e = finish(p, &calls[i], &outcomes[i]);
        s3wire_done(p->s->w, &calls[i]);
    }
    return e ? e : judge(p, outcomes);
}

/* ---- If-None-Match ---- */

static struct err *try_absent(struct probe *p)
{
    struct objstore_put opts = {.cond = OBJSTORE_IF_ABSENT};
    struct objstore_info info;
    enum outcome o;
    struct err *e;

    if ((e = plain_put(p, SLICE("x"), &info)) || (e = put(p, &opts, &o)))
        return e;
    if (o != LOST)
        p->why = o == WON ? "If-None-Match is not looked at" : "If-None-Match is refused";
    for (int i = 0; i < ROUNDS && !p->why; i++)
        if ((e = objstore_s3_del(p->s, key_of(p))) || (e = race(p, &opts)))
            return e;
    return NULL;
}

/* ---- If-Match ---- */

/* Finds out how the server wants etags written. */
static struct err *try_form(struct probe *p)
{
    static const enum objstore_s3_form forms[] = {S3_FORM_QUOTED, S3_FORM_BARE};
    struct objstore_put opts = {.cond = OBJSTORE_IF_MATCH};
    struct objstore_info info;
    enum outcome o = LOST;
    struct err *e;

    if ((e = plain_put(p, SLICE("x"), &info)))
        return e;
    opts.etag = info.etag;
    for (size_t i = 0; i < ORR_COUNT(forms) && o == LOST; i++) {
        p->form = forms[i];
        if ((e = put(p, &opts, &o)))
            return e;
    }
    if (o != WON)
        p->why = o == LOST ? "If-Match fails on the right etag" : "If-Match is refused";
    return NULL;
}

static struct err *try_match(struct probe *p)
{
    struct objstore_put opts = {.cond = OBJSTORE_IF_MATCH};
    struct objstore_info stale, info;
    enum outcome o;
    struct err *e;

    if ((e = try_form(p)) || p->why)
        return e;
    if ((e = plain_put(p, SLICE("old"), &stale)) || (e = plain_put(p, SLICE("new"), &info)))
        return e;
    opts.etag = stale.etag;
    if ((e = put(p, &opts, &o)))
        return e;
    if (o != LOST)
        p->why = "If-Match is not looked at";
    for (int i = 0; i < ROUNDS && !p->why; i++) {
        if ((e = plain_put(p, i % 2 ? SLICE("odd") : SLICE("even"), &info)))
            return e;
        opts.etag = info.etag;
        if ((e = race(p, &opts)))
            return e;
    }
    return NULL;
}

/* ---- both ---- */

struct err *objstore_s3_probe(struct objstore_s3 *s, enum objstore_s3_trust *ret_absent,
                              enum objstore_s3_trust *ret_match, enum objstore_s3_form *ret_form,
                              const char **ret_why)
{
    struct probe p = {.s = s, .arena = arena_new(0)};
    char nonce[33];
    struct err *e;

    s3wire_nonce(s->w, nonce);
    (void)snprintf(p.key, sizeof(p.key), OBJSTORE_S3_OWN "probe-%s", nonce);
    if (!(e = try_absent(&p))) {
        *ret_absent = p.why ? S3_TRUST_NO : S3_TRUST_YES;
        *ret_why = p.why;
        p.why = NULL;
        e = try_match(&p);
    }
    if (!e) {
        *ret_match = p.why ? S3_TRUST_NO : S3_TRUST_YES;
        *ret_form = p.form;
        if (!*ret_why)
            *ret_why = p.why;
    }
    err_free(objstore_s3_del(s, key_of(&p))); /* else the sweep does it */
    arena_free(p.arena);
    return e;
}
