#include "common/base/clock.h"
#include "common/base/vec.h"
#include "common/objstore/objstore_s3_internal.h"

struct sweep {
    struct objstore_s3 *s;
    struct arena *arena;
    int64_t before_ms;
    size_t n;
};

/* ---- multipart uploads ---- */

/* A bucket without s3.prefix may be shared: only what can be ours is touched. */
static bool may_be_ours(const struct sweep *sw, struct slice key)
{
    static const char *const roots[] = {"metrics/", "logs/", "traces/", "profiles/"};
    struct slice prefix = slice_cstr(sw->s->opts->prefix);

    if (!slice_has_prefix(key, prefix))
        return false;
    key = slice_from(key, prefix.len);
    for (size_t i = 0; i < ORR_COUNT(roots); i++)
        if (slice_has_prefix(key, slice_cstr(roots[i])))
            return true;
    return false;
}

static struct err *abort_one(struct sweep *sw, const struct s3answer_upload *u)
{
    struct slice key = slice_from(u->key, strlen(sw->s->opts->prefix));
    struct s3wire_call call = {.op = S3WIRE_UPLOAD_ABORT, .method = "DELETE", .key = key};
    struct err *e;

    s3wire_query(&call, "uploadId", u->id);
    e = s3wire_run(sw->s->w, &call);
    s3wire_done(sw->s->w, &call);
    if (err_is(e, ERR_NOT_FOUND)) { /* another one was faster */
        err_free(e);
        return NULL;
    }
    sw->n += !e;
    return e;
}

static struct err *sweep_page(struct sweep *sw, struct slice *key, struct slice *id, bool *ret_more)
{
    struct s3wire_call call = {.op = S3WIRE_LIST, .method = "GET"};
    struct slice prefix = slice_cstr(sw->s->opts->prefix);
    struct s3answer_uploads up;
    struct err *e;

    s3wire_query(&call, "uploads", SLICE_EMPTY);
    s3wire_query(&call, "prefix", prefix);
    if (key->len)
        s3wire_query(&call, "key-marker", *key);
    if (id->len)
        s3wire_query(&call, "upload-id-marker", *id);
    e = s3wire_run(sw->s->w, &call);
    if (!e)
        e = s3answer_uploads(sw->arena, buf_slice(&call.reply.body), &up);
    s3wire_done(sw->s->w, &call);
    if (!e && up.is_truncated && slice_eq(up.next_key, *key) && slice_eq(up.next_id, *id))
        e = err_new(ERR_CORRUPT, "a listing that goes on where it began");
    for (size_t i = 0; !e && i < up.n; i++)
        if (may_be_ours(sw, up.ptr[i].key) && up.ptr[i].started_ms &&
            up.ptr[i].started_ms < sw->before_ms)
            e = abort_one(sw, &up.ptr[i]);
    if (!e) {
        *ret_more = up.is_truncated;
        *key = up.next_key;
        *id = up.next_id;
    }
    return e;
}

static struct err *sweep_uploads(struct sweep *sw)
{
    struct slice key = SLICE_EMPTY, id = SLICE_EMPTY;
    struct err *e;
    bool more;

    do
        e = sweep_page(sw, &key, &id, &more);
    while (!e && more);
    return e;
}

/* ---- scratch keys ---- */

static struct err *drop(struct sweep *sw, struct slice key)
{
    struct err *e = objstore_s3_del(sw->s, key);

    sw->n += !e;
    return e;
}

/* One page is enough: each probe leaves at most one, and the next sweep goes on. */
static struct err *sweep_scratch(struct sweep *sw)
{
    struct s3wire_call call = {.op = S3WIRE_LIST, .method = "GET"};
    size_t cut = strlen(sw->s->opts->prefix);
    struct s3answer_list l = {0};
    struct slice own =
        slice_cstr(arena_printf(sw->arena, "%s" OBJSTORE_S3_OWN "probe-", sw->s->opts->prefix));
    struct err *e;

    s3wire_query(&call, "list-type", SLICE("2"));
    s3wire_query(&call, "prefix", own);
    e = s3wire_run(sw->s->w, &call);
    if (!e)
        e = s3answer_list(sw->arena, buf_slice(&call.reply.body), &l);
    s3wire_done(sw->s->w, &call);
    for (size_t i = 0; !e && i < l.n; i++)
        if (slice_has_prefix(l.ptr[i].key, own) && l.ptr[i].modified_ms &&
            l.ptr[i].modified_ms < sw->before_ms)
            e = drop(sw, slice_from(l.ptr[i].key, cut));
    return e;
}

struct err *objstore_s3_sweep(struct objstore *base, int64_t older_ms, size_t *ret_n)
{
    struct sweep sw = {.s = objstore_s3_from(base),
                       .arena = arena_new(0),
                       .before_ms = clock_wall_ms(&clock_system) - older_ms};
    struct err *e = sweep_uploads(&sw);

    /* A server without ListMultipartUploads cannot tell what is left. */
    if (err_is(e, ERR_UNSUPPORTED)) {
        err_free(e);
        e = NULL;
    }
    if (!e)
        e = sweep_scratch(&sw);
    if (ret_n)
        *ret_n = sw.n;
    arena_free(sw.arena);
    return err_wrap(e, "sweep %s", base->name);
}
