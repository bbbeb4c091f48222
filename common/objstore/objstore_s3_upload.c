#include <inttypes.h>
#include <stdio.h>

#include "common/base/base64.h"
#include "common/base/clock.h"
#include "common/base/fsx.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/objstore/objstore_s3_internal.h"
#include "common/objstore/s3xml.h"

#define MAX_PARTS 10000
#define MAX_PUT_BYTES (5ull << 30)
#define PART_ROUND (1u << 20)
#define END_TIMEOUT_MS (5 * 60 * 1000) /* a server may copy all parts to end an upload */

/* ---- headers ---- */

/* The tenant of "metrics/<tenant>/…", "" if the key is no such. */
static struct slice tenant_of(struct slice key)
{
    struct slice signal, tenant;

    if (slice_split(&key, '/', &signal) && slice_split(&key, '/', &tenant) && key.ptr)
        return tenant;
    return SLICE_EMPTY;
}

static struct slice base64_text(struct arena *a, struct slice s)
{
    struct buf b = {0};
    struct slice text;

    base64_encode(s, true, &b);
    text = arena_dup(a, buf_slice(&b));
    buf_done(&b);
    return text;
}

void objstore_s3_put_headers(struct objstore_s3 *s, struct arena *a, struct slice key,
                             struct s3wire_call *call)
{
    struct objstore_s3_sse sse = {(enum s3conf_sse)s->opts->sse, slice_cstr(s->opts->sse_kms_key),
                                  slice_cstr(s->opts->sse_kms_context)};
    struct slice tenant = tenant_of(key);

    if (s->sse && tenant.len)
        s->sse(s->sse_arg, tenant, a, &sse);
    if (s->opts->storage_class[0])
        s3wire_header(call, "x-amz-storage-class", slice_cstr(s->opts->storage_class));
    if (sse.sse == S3CONF_SSE_NONE)
        return;
    s3wire_header(call, "x-amz-server-side-encryption",
                  sse.sse == S3CONF_SSE_S3 ? SLICE("AES256") : SLICE("aws:kms"));
    if (sse.sse != S3CONF_SSE_KMS)
        return;
    if (sse.kms_key.len)
        s3wire_header(call, "x-amz-server-side-encryption-aws-kms-key-id", sse.kms_key);
    if (sse.kms_context.len)
        s3wire_header(call, "x-amz-server-side-encryption-context",
                      base64_text(a, sse.kms_context));
}

/* ---- in one request ---- */

struct err *objstore_s3_put_one(struct objstore_s3 *s, struct slice key, struct slice content,
                                const struct objstore_put *opts, struct objstore_info *ret)
{
    struct s3wire_call call = {.op = S3WIRE_PUT,
                               .method = "PUT",
                               .key = key,
                               .body = content,
                               .content_type = opts->content_type,
                               .until_ms = opts->until_ms};
    struct arena *a = arena_new(0);
    struct err *e;

    objstore_s3_put_headers(s, a, key, &call);
    e = s3wire_run(s->w, &call);
    if (!e && !(e = objstore_s3_info(&call, ret))) {
        ret->bytes = content.len;
        ret->modified_ms = clock_wall_ms(&clock_system);
    }
    s3wire_done(s->w, &call);
    arena_free(a);
    return e;
}

/* ---- in parts ---- */

struct upload {
    struct objstore_s3 *s;
    struct slice key, content;
    struct arena *arena;
    struct slice id;
    uint64_t part_bytes;
    size_t n_parts;
    struct slice *etags; /* as the server wrote them */
    char mark[OBJSTORE_S3_MARK_BYTES];
};

static struct slice text_of(struct arena *a, uint64_t n)
{
    return slice_cstr(arena_printf(a, "%" PRIu64, n));
}

static struct err *begin_upload(struct upload *u, const struct objstore_put *opts)
{
    struct s3wire_call call = {.op = S3WIRE_UPLOAD_BEGIN,
                               .method = "POST",
                               .key = u->key,
                               .content_type = opts->content_type};
    struct slice id;
    struct err *e;

    s3wire_query(&call, "uploads", SLICE_EMPTY);
    s3wire_nonce(u->s->w, u->mark);
    s3wire_header(&call, OBJSTORE_S3_MARK, slice_cstr(u->mark));
    objstore_s3_put_headers(u->s, u->arena, u->key, &call);
    e = s3wire_run(u->s->w, &call);
    if (!e)
        e = s3answer_upload_id(call.arena, buf_slice(&call.reply.body), &id);
    if (!e)
        u->id = arena_dup(u->arena, id);
    s3wire_done(u->s->w, &call);
    return err_wrap(e, "begin a multipart upload");
}

/* The wire tries it again as any request; what remains is taken off by objstore_s3_sweep(). */
static void abort_upload(struct upload *u)
{
    struct s3wire_call call = {.op = S3WIRE_UPLOAD_ABORT, .method = "DELETE", .key = u->key};
    struct err *e;

    s3wire_query(&call, "uploadId", u->id);
    e = s3wire_run(u->s->w, &call);
    if (e && !err_is(e, ERR_NOT_FOUND))
        LOG_WARN(objstore,
                 "a multipart upload could not be aborted; its parts stay until the sweep",
                 KV_STR("bucket", u->s->base.name), KV_ERR(e));
    err_free(e);
    s3wire_done(u->s->w, &call);
}

static struct slice part_of(const struct upload *u, size_t i)
{
    return slice_sub(u->content, i * u->part_bytes, u->part_bytes);
}

static void begin_part(struct upload *u, struct s3wire_call *call, size_t i)
{
    *call = (struct s3wire_call){
        .op = S3WIRE_UPLOAD_PART, .method = "PUT", .key = u->key, .body = part_of(u, i)};
    s3wire_query(call, "partNumber", text_of(u->arena, i + 1));
    s3wire_query(call, "uploadId", u->id);
    s3wire_begin(u->s->w, call);
}

static struct err *finish_part(struct upload *u, struct s3wire_call *call, size_t i)
{
    struct err *e = s3wire_finish(u->s->w, call);
    struct slice etag;

    if (e)
        return err_wrap(e, "part %zu of %zu", i + 1, u->n_parts);
    etag = http_client_reply_header(&call->reply, "etag");
    if (!etag.len || etag.len > OBJSTORE_ETAG_BYTES)
        return err_new(ERR_UNSUPPORTED, "the server gives a part an etag of %zu bytes", etag.len);
    u->etags[i] = arena_dup(u->arena, etag);
    s3wire_done(u->s->w, call);
    return NULL;
}

static struct err *send_parts(struct upload *u)
{
    size_t width = (size_t)u->s->opts->parallel, begun = 0, done = 0;
    struct s3wire_call *calls = mem_new_array(struct s3wire_call, width);
    struct err *e = NULL;

    while (!e && done < u->n_parts) {
        for (; begun < u->n_parts && begun - done < width; begun++)
            begin_part(u, &calls[begun % width], begun);
        e = finish_part(u, &calls[done % width], done);
        done++;
    }
    for (size_t i = 0; i < width; i++)
        s3wire_done(u->s->w, &calls[i]);
    mem_free(calls);
    return e;
}

static void completion(struct buf *out, const struct upload *u)
{
    buf_str(out, "<CompleteMultipartUpload xmlns=\"http://s3.amazonaws.com/doc/2006-03-01/\">");
    for (size_t i = 0; i < u->n_parts; i++) {
        buf_printf(out, "<Part><PartNumber>%zu</PartNumber><ETag>", i + 1);
        s3xml_escape(out, u->etags[i]);
        buf_str(out, "</ETag></Part>");
    }
    buf_str(out, "</CompleteMultipartUpload>");
}

/* An upload that is gone has been ended by an attempt of which we saw no end (libcurl repeats one
 * itself when an old connection dies): then the object bears its mark. */
static struct err *look_after(struct upload *u, struct err *e, struct objstore_info *ret)
{
    char mark[OBJSTORE_S3_MARK_BYTES] = "";
    struct objstore_info info;
    struct err *e2 = objstore_s3_head(u->s, u->key, 0, &info, mark);

    if (!e2 && strcmp(mark, u->mark) == 0) {
        err_free(e);
        *ret = info;
        return NULL;
    }
    err_free(e2);
    return e;
}

static struct err *end_once(struct upload *u, struct s3wire_call *call, struct slice *ret_etag)
{
    struct s3answer_error error;
    struct err *e = s3wire_run(u->s->w, call);

    if (e)
        return e;
    if ((e = s3answer_complete(call->arena, buf_slice(&call->reply.body), ret_etag, &error)))
        return e;
    if (error.code.len)
        return err_new(ERR_UNAVAILABLE, "the server began to end the upload and failed: %.*s",
                       SLICE_ARG(error.code));
    return NULL;
}

static struct err *end_upload(struct upload *u, struct objstore_info *ret)
{
    struct s3wire_call call = {.op = S3WIRE_UPLOAD_END,
                               .method = "POST",
                               .key = u->key,
                               .content_type = "application/xml",
                               .more_timeout_ms = END_TIMEOUT_MS};
    struct slice etag = SLICE_EMPTY;
    struct buf body = {0};
    struct err *e;

    completion(&body, u);
    call.body = buf_slice(&body);
    s3wire_query(&call, "uploadId", u->id);
    for (;;) {
        e = end_once(u, &call, &etag);
        if (!err_is(e, ERR_UNAVAILABLE) || call.reply.status != 200)
            break;
        call.is_unsure = true;
        if (!s3wire_again(u->s->w, &call))
            break;
        err_free(e);
    }
    if (!e && etag.len && etag.len < sizeof(ret->etag)) {
        *ret = (struct objstore_info){.bytes = u->content.len,
                                      .modified_ms = clock_wall_ms(&clock_system)};
        memcpy(ret->etag, etag.ptr, etag.len);
    } else if (!e) {
        e = objstore_s3_head(u->s, u->key, 0, ret, NULL); /* Ceph leaves it out */
    } else if (call.is_unsure || err_is(e, ERR_NOT_FOUND)) {
        e = look_after(u, e, ret);
    }
    s3wire_done(u->s->w, &call);
    buf_done(&body);
    return err_wrap(e, "end a multipart upload");
}

static struct err *put_parts(struct objstore_s3 *s, struct slice key, struct slice content,
                             const struct objstore_put *opts, struct objstore_info *ret)
{
    uint64_t least = (content.len / MAX_PARTS / PART_ROUND + 1) * PART_ROUND;
    struct upload u = {.s = s,
                       .key = key,
                       .content = content,
                       .arena = arena_new(0),
                       .part_bytes = ORR_MAX((uint64_t)s->opts->part_bytes, least)};
    struct err *e;

    u.n_parts = (size_t)((content.len + u.part_bytes - 1) / u.part_bytes);
    u.etags = arena_array(u.arena, struct slice, u.n_parts);
    if (!(e = begin_upload(&u, opts))) {
        if (!(e = send_parts(&u)))
            e = end_upload(&u, ret);
        if (e)
            abort_upload(&u);
    }
    arena_free(u.arena);
    if (err_is(e, ERR_NOT_FOUND)) /* the upload, not an object */
        e = err_first(err_new(ERR_IO, "%s", err_msg(e)), e);
    return e;
}

/* ---- the interface ---- */

struct err *objstore_s3_put(struct objstore *base, struct slice key, struct slice content,
                            const struct objstore_put *opts, struct objstore_info *ret_info)
{
    struct objstore_s3 *s = objstore_s3_from(base);

    if (opts->cond != OBJSTORE_ALWAYS) {
        if (content.len > MAX_PUT_BYTES)
            return err_new(ERR_TOO_LARGE, "a conditional put of %zu bytes, more than %llu",
                           content.len, MAX_PUT_BYTES);
        return objstore_s3_put_if(s, key, content, opts, ret_info);
    }
    if (content.len > (uint64_t)s->opts->part_bytes && !opts->until_ms)
        return put_parts(s, key, content, opts, ret_info);
    return objstore_s3_put_one(s, key, content, opts, ret_info);
}

/* From the mapped file: its bytes are copied by nobody but the kernel. It must not shrink meanwhile:
 * the files of a block or segment, which are never changed. */
struct err *objstore_s3_put_file(struct objstore *base, struct slice key, const char *path,
                                 const struct objstore_put *opts, struct objstore_info *ret_info)
{
    struct slice content;
    struct err *e = fsx_map(path, &content);

    if (err_is(e, ERR_NOT_FOUND)) /* the object is not what is missing */
        return err_first(err_new(ERR_IO, "%s", err_msg(e)), e);
    if (e)
        return e;
    e = objstore_s3_put(base, key, content, opts, ret_info);
    fsx_unmap(content);
    return e;
}
