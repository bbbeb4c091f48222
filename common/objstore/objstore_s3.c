#include "common/objstore/objstore_s3.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/objstore/objstore_s3_internal.h"
#include "common/objstore/s3xml.h"

#define DELETE_BATCH                                                                               \
    250 /* S3 takes 1000; some servers delete one after the other and then answer */
#define LIST_PAGE 1000
#define DELETE_TIMEOUT_MS 60000

/* ---- what answers say of an object ---- */

/* "bytes 0-9/1234" */
static bool total_of(struct slice range, uint64_t *ret)
{
    ptrdiff_t slash = slice_find_byte(range, '/', 0);

    return slash >= 0 && slice_to_u64(slice_from(range, (size_t)slash + 1), ret);
}

struct err *objstore_s3_info(const struct s3wire_call *call, struct objstore_info *ret)
{
    const struct http_client_reply *r = &call->reply;
    struct slice etag = s3answer_etag(http_client_reply_header(r, "etag"));
    struct slice range = http_client_reply_header(r, "content-range");
    uint64_t bytes = r->body.len;

    if (!etag.len || etag.len >= sizeof(ret->etag))
        return err_new(ERR_UNSUPPORTED, "the server gives an etag of %zu bytes", etag.len);
    if (range.len && !total_of(range, &bytes))
        return err_new(ERR_UNSUPPORTED, "the server does not say how long the object is");
    if (!range.len && call->op == S3WIRE_HEAD &&
        !slice_to_u64(http_client_reply_header(r, "content-length"), &bytes))
        return err_new(ERR_UNSUPPORTED, "the server does not say how long the object is");
    *ret = (struct objstore_info){
        .bytes = bytes,
        .modified_ms = s3answer_date_ms(http_client_reply_header(r, "last-modified"))};
    memcpy(ret->etag, etag.ptr, etag.len);
    return NULL;
}

static void mark_of(const struct s3wire_call *call, char ret[OBJSTORE_S3_MARK_BYTES])
{
    struct slice mark = http_client_reply_header(&call->reply, OBJSTORE_S3_MARK);

    (void)snprintf(ret, OBJSTORE_S3_MARK_BYTES, "%.*s", SLICE_ARG(mark));
}

/* A GET of one byte: unlike HEAD, its refusal says why. */
static struct err *stat_by_get(struct objstore_s3 *s, struct slice key, int64_t until_ms,
                               struct objstore_info *ret, char ret_mark[OBJSTORE_S3_MARK_BYTES])
{
    struct s3wire_call call = {.op = S3WIRE_GET,
                               .method = "GET",
                               .key = key,
                               .max_bytes = 1u << 20,
                               .is_hedged = true,
                               .until_ms = until_ms};
    struct err *e;

    s3wire_header(&call, "range", SLICE("bytes=0-0"));
    e = s3wire_run(s->w, &call);
    if (e && call.reply.status == 416) { /* an empty object has no first byte */
        err_free(e);
        s3wire_done(s->w, &call);
        call = (struct s3wire_call){
            .op = S3WIRE_GET, .method = "GET", .key = key, .until_ms = until_ms};
        e = s3wire_run(s->w, &call);
    }
    if (!e && !(e = objstore_s3_info(&call, ret)) && ret_mark)
        mark_of(&call, ret_mark);
    s3wire_done(s->w, &call);
    return e;
}

struct err *objstore_s3_head(struct objstore_s3 *s, struct slice key, int64_t until_ms,
                             struct objstore_info *ret, char ret_mark[OBJSTORE_S3_MARK_BYTES])
{
    struct s3wire_call call = {
        .op = S3WIRE_HEAD, .method = "HEAD", .key = key, .is_hedged = true, .until_ms = until_ms};
    struct err *e = s3wire_run(s->w, &call);
    int status = call.reply.status;
    /* a proxy's 404 has no such header, and before the bucket was seen it may be what is absent */
    bool is_sure =
        s3wire_has_bucket(s->w) && http_client_reply_header(&call.reply, "x-amz-request-id").len;

    if (!e && !(e = objstore_s3_info(&call, ret)) && ret_mark)
        mark_of(&call, ret_mark);
    s3wire_done(s->w, &call);
    if (e && ((status == 404 && !is_sure) || status == 400 || status == 403 ||
              (status >= 300 && status < 400))) {
        err_free(e);
        return stat_by_get(s, key, until_ms, ret, ret_mark);
    }
    return e;
}

static struct err *s3_stat(struct objstore *base, struct slice key, struct objstore_info *ret)
{
    return objstore_s3_head(objstore_s3_from(base), key, 0, ret, NULL);
}

/* ---- deleting ---- */

struct err *objstore_s3_del(struct objstore_s3 *s, struct slice key)
{
    struct s3wire_call call = {.op = S3WIRE_DELETE, .method = "DELETE", .key = key};
    struct err *e = s3wire_run(s->w, &call);

    s3wire_done(s->w, &call);
    if (err_is(e, ERR_NOT_FOUND)) {
        err_free(e);
        return NULL;
    }
    return e;
}

static struct err *s3_del(struct objstore *base, struct slice key)
{
    return objstore_s3_del(objstore_s3_from(base), key);
}

static void deletion(struct buf *out, const struct objstore_s3 *s, const struct slice *keys,
                     size_t n)
{
    buf_str(out, "<Delete xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\"><Quiet>true</Quiet>");
    for (size_t i = 0; i < n; i++) {
        buf_str(out, "<Object><Key>");
        s3xml_escape(out, slice_cstr(s->opts->prefix));
        s3xml_escape(out, keys[i]);
        buf_str(out, "</Key></Object>");
    }
    buf_str(out, "</Delete>");
}

static struct err *delete_batch(struct objstore_s3 *s, const struct slice *keys, size_t n)
{
    struct s3wire_call call = {.op = S3WIRE_DELETE_MANY,
                               .method = "POST",
                               .content_type = "application/xml",
                               .needs_md5 = true,
                               .more_timeout_ms = DELETE_TIMEOUT_MS};
    struct s3answer_deleted deleted;
    struct buf body = {0};
    struct err *e;

    deletion(&body, s, keys, n);
    call.body = buf_slice(&body);
    s3wire_query(&call, "delete", SLICE_EMPTY);
    e = s3wire_run(s->w, &call);
    if (!e)
        e = s3answer_deleted(call.arena, buf_slice(&call.reply.body), &deleted);
    if (!e && deleted.n_failed)
        e = err_new(ERR_UNAVAILABLE, "%zu of %zu were not deleted, %.*s among them: %.*s %.*s",
                    deleted.n_failed, n, SLICE_ARG(deleted.key), SLICE_ARG(deleted.code),
                    SLICE_ARG(slice_sub(deleted.message, 0, 300)));
    s3wire_done(s->w, &call);
    buf_done(&body);
    return e;
}

/* Servers without DeleteObjects get single ones. */
static struct err *s3_del_many(struct objstore *base, const struct slice *keys, size_t n)
{
    struct objstore_s3 *s = objstore_s3_from(base);
    struct err *e = NULL;

    for (size_t i = 0; !e && i < n; i += DELETE_BATCH)
        e = delete_batch(s, keys + i, ORR_MIN(n - i, (size_t)DELETE_BATCH));
    if (err_is(e, ERR_UNSUPPORTED)) {
        err_free(e);
        e = NULL;
        for (size_t i = 0; !e && i < n; i++)
            e = objstore_s3_del(s, keys[i]);
    }
    return e;
}

/* ---- waiting for one's turn ---- */

struct timespec objstore_s3_deadline(const struct objstore_s3 *s)
{
    struct timespec t;

    (void)clock_gettime(CLOCK_MONOTONIC, &t);
    t.tv_sec += s->opts->operation_timeout_ns / NS_PER_S + 1;
    return t;
}

/* ---- opening ---- */

static struct err *s3_is_atomic(struct objstore *base, bool *ret)
{
    struct objstore_s3 *s = objstore_s3_from(base);
    struct err *e = objstore_s3_trusts(s, OBJSTORE_IF_ABSENT, ret);

    return e || !*ret ? e : objstore_s3_trusts(s, OBJSTORE_IF_MATCH, ret);
}

static struct err *s3_needs_one_writer(struct objstore *base, bool *ret)
{
    bool is_atomic = true;
    struct err *e = NULL;

    if (objstore_s3_from(base)->opts->one_writer)
        e = s3_is_atomic(base, &is_atomic);
    *ret = !is_atomic;
    return e;
}

static void s3_stop(struct objstore *base)
{
    s3wire_stop(objstore_s3_from(base)->w);
}

static void s3_close(struct objstore *base)
{
    struct objstore_s3 *s = objstore_s3_from(base);

    s3wire_free(s->w);
    (void)pthread_cond_destroy(&s->changed);
    lock_done(&s->lock);
    conf_unref(s->conf);
    mem_free(s->base.name);
    mem_free(s);
}

static const struct objstore_ops s3_ops = {.get = objstore_s3_get,
                                           .put = objstore_s3_put,
                                           .put_file = objstore_s3_put_file,
                                           .list = objstore_s3_list,
                                           .del = s3_del,
                                           .stat = s3_stat,
                                           .del_many = s3_del_many,
                                           .is_atomic = s3_is_atomic,
                                           .needs_one_writer = s3_needs_one_writer,
                                           .stop = s3_stop,
                                           .close = s3_close};

struct err *objstore_s3_open(struct conf *conf, const struct objstore_s3_opts *opts,
                             struct objstore **ret)
{
    const struct s3conf *c = conf_section(conf, "s3");
    struct objstore_s3 *s;
    struct s3wire *w;
    struct err *e = s3wire_new(c, opts && opts->env ? opts->env : environ, &w);

    if (e)
        return err_wrap(e, "open the S3 bucket \"%s\"", c->bucket);
    s = mem_new(struct objstore_s3);
    s->base.ops = &s3_ops;
    s->base.name = mem_strdup(s3wire_name(w));
    s->conf = conf_ref(conf);
    s->opts = c;
    s->w = w;
    if (opts) {
        s->sse = opts->sse;
        s->sse_arg = opts->sse_arg;
        s->list_page = opts->list_page;
    }
    if (!s->list_page)
        s->list_page = LIST_PAGE;
    if (c->conditional != S3CONF_COND_AUTO)
        s->trust_absent = s->trust_match =
            c->conditional == S3CONF_COND_ON ? S3_TRUST_YES : S3_TRUST_NO;
    lock_init(&s->lock, LOCK_OBJSTORE);
    lock_cond_init(&s->changed);
    *ret = &s->base;
    return NULL;
}
