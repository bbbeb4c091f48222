#include "common/objstore/s3answer.h"

#include <curl/curl.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/gotime.h"
#include "common/base/jsonval.h"
#include "common/base/mem.h"
#include "common/base/vec.h"
#include "common/net/http.h"
#include "common/objstore/s3xml.h"

struct slice s3answer_etag(struct slice text)
{
    text = slice_trim(text);
    if (slice_has_prefix(text, SLICE("W/")))
        text = slice_from(text, 2);
    if (text.len >= 2 && text.ptr[0] == '"' && text.ptr[text.len - 1] == '"')
        text = slice_sub(text, 1, text.len - 2);
    return text;
}

int64_t s3answer_date_ms(struct slice text)
{
    char *s = slice_dup(text);
    time_t t = text.len ? curl_getdate(s, NULL) : -1;

    mem_free(s);
    return t < 0 ? 0 : (int64_t)t * MS_PER_S;
}

/* 0 when it is no time. */
static int64_t time_ms(struct slice text)
{
    struct gotime t;
    struct err *e = gotime_parse(SLICE(GOTIME_RFC3339_NANO), slice_trim(text), NULL, &t);

    if (e) {
        err_free(e);
        return 0;
    }
    return gotime_ms(t);
}

static bool is_true(struct slice text)
{
    return slice_eq_nocase(slice_trim(text), SLICE("true"));
}

/* Walks doc, whose root must have this name. */
struct named_root {
    s3xml_fn *fn;
    void *arg;
    const char *name;
    bool was_other;
};

static struct err *on_any(void *arg, const struct slice *path, size_t depth, struct slice text)
{
    struct named_root *r = arg;

    if (!slice_eq_cstr(path[0], r->name)) {
        r->was_other = true;
        return err_new(ERR_CORRUPT, "<%.*s> where <%s> was expected",
                       SLICE_ARG(slice_sub(path[0], 0, 64)), r->name);
    }
    return r->fn(r->arg, path, depth, text);
}

static struct err *walk(struct arena *a, struct slice doc, const char *root, s3xml_fn *fn,
                        void *arg)
{
    struct named_root r = {.fn = fn, .arg = arg, .name = root};

    return s3xml_walk(a, doc, on_any, &r);
}

/* ---- errors ---- */

static struct err *on_error(void *arg, const struct slice *path, size_t depth, struct slice text)
{
    struct s3answer_error *ret = arg;

    if (s3xml_at(path, depth, "Error", "Code"))
        ret->code = slice_trim(text);
    else if (s3xml_at(path, depth, "Error", "Message"))
        ret->message = slice_trim(text);
    else if (s3xml_at(path, depth, "Error", "Region"))
        ret->region = slice_trim(text);
    else if (s3xml_at(path, depth, "Error", "ServerTime"))
        ret->server_time_ms = time_ms(text);
    return NULL;
}

void s3answer_error(struct arena *a, struct slice doc, struct s3answer_error *ret)
{
    static const struct s3answer_error none = {SLICE_INIT(""), SLICE_INIT(""), SLICE_INIT(""), 0};
    struct err *e;

    *ret = none;
    e = s3xml_walk(a, doc, on_error, ret);
    if (e)
        *ret = none;
    err_free(e);
}

/* ---- listings ---- */

struct listing {
    VEC(struct s3answer_object) objects;
    struct s3answer_object now;
    bool is_truncated, is_encoded;
    struct slice next;
};

static struct err *on_list(void *arg, const struct slice *path, size_t depth, struct slice text)
{
    struct listing *l = arg;
    struct s3answer_object *o = &l->now;

    if (s3xml_at(path, depth, "Contents", "Key")) {
        o->key = text;
    } else if (s3xml_at(path, depth, "Contents", "Size")) {
        if (!slice_to_u64(slice_trim(text), &o->bytes))
            return err_new(ERR_CORRUPT, "the size of an object is no number");
    } else if (s3xml_at(path, depth, "Contents", "LastModified")) {
        o->modified_ms = time_ms(text);
    } else if (s3xml_at(path, depth, "CommonPrefixes", "Prefix")) {
        *o = (struct s3answer_object){.key = text, .is_prefix = true};
    } else if (s3xml_at(path, depth, "ListBucketResult", "Contents") ||
               s3xml_at(path, depth, "ListBucketResult", "CommonPrefixes")) {
        if (o->key.len)
            vec_push(&l->objects, *o);
        *o = (struct s3answer_object){0};
    } else if (s3xml_at(path, depth, "ListBucketResult", "IsTruncated")) {
        l->is_truncated = is_true(text);
    } else if (s3xml_at(path, depth, "ListBucketResult", "NextContinuationToken")) {
        l->next = text;
    } else if (s3xml_at(path, depth, "ListBucketResult", "EncodingType")) {
        l->is_encoded = slice_eq_nocase(slice_trim(text), SLICE("url"));
    }
    return NULL;
}

/* AWS encodes keys as forms are: a "+" is a space. */
static struct slice url_decode(struct arena *a, struct slice s)
{
    struct slice decoded;

    return http_unescape_arena(a, s, true, &decoded) ? decoded : s;
}

static int by_key(const void *a, const void *b)
{
    return slice_cmp(((const struct s3answer_object *)a)->key,
                     ((const struct s3answer_object *)b)->key);
}

struct err *s3answer_list(struct arena *a, struct slice doc, struct s3answer_list *ret)
{
    struct listing l = {.next = SLICE_EMPTY};
    struct err *e = walk(a, doc, "ListBucketResult", on_list, &l);

    if (!e && l.is_truncated && !l.next.len)
        e = err_new(ERR_CORRUPT, "a truncated listing that does not say where it goes on");
    if (!e) {
        *ret = (struct s3answer_list){.ptr = arena_copy(a, l.objects.ptr, l.objects.len),
                                      .n = l.objects.len,
                                      .is_truncated = l.is_truncated,
                                      .next = l.next};
        for (size_t i = 0; l.is_encoded && i < ret->n; i++)
            ret->ptr[i].key = url_decode(a, ret->ptr[i].key);
        if (ret->n)
            qsort(ret->ptr, ret->n, sizeof(*ret->ptr), by_key);
    }
    vec_done(&l.objects);
    return e;
}

/* ---- multipart uploads ---- */

static struct err *on_upload_id(void *arg, const struct slice *path, size_t depth,
                                struct slice text)
{
    if (s3xml_at(path, depth, "InitiateMultipartUploadResult", "UploadId"))
        *(struct slice *)arg = slice_trim(text);
    return NULL;
}

struct err *s3answer_upload_id(struct arena *a, struct slice doc, struct slice *ret)
{
    struct err *e;

    *ret = SLICE_EMPTY;
    e = walk(a, doc, "InitiateMultipartUploadResult", on_upload_id, ret);
    if (!e && !ret->len)
        e = err_new(ERR_CORRUPT, "a multipart upload without an id");
    return e;
}

static struct err *on_complete(void *arg, const struct slice *path, size_t depth, struct slice text)
{
    if (s3xml_at(path, depth, "CompleteMultipartUploadResult", "ETag"))
        *(struct slice *)arg = s3answer_etag(text);
    return NULL;
}

struct err *s3answer_complete(struct arena *a, struct slice doc, struct slice *ret_etag,
                              struct s3answer_error *ret_error)
{
    *ret_etag = SLICE_EMPTY;
    s3answer_error(a, doc, ret_error);
    if (ret_error->code.len)
        return NULL;
    return walk(a, doc, "CompleteMultipartUploadResult", on_complete, ret_etag);
}

struct upload_list {
    VEC(struct s3answer_upload) uploads;
    struct s3answer_upload now;
    struct s3answer_uploads *ret;
    bool is_encoded;
};

static struct err *on_uploads(void *arg, const struct slice *path, size_t depth, struct slice text)
{
    static const char root[] = "ListMultipartUploadsResult";
    struct upload_list *l = arg;

    if (s3xml_at(path, depth, "Upload", "Key")) {
        l->now.key = text;
    } else if (s3xml_at(path, depth, "Upload", "UploadId")) {
        l->now.id = slice_trim(text);
    } else if (s3xml_at(path, depth, "Upload", "Initiated")) {
        l->now.started_ms = time_ms(text);
    } else if (s3xml_at(path, depth, root, "Upload")) {
        if (l->now.key.len && l->now.id.len)
            vec_push(&l->uploads, l->now);
        l->now = (struct s3answer_upload){0};
    } else if (s3xml_at(path, depth, root, "IsTruncated")) {
        l->ret->is_truncated = is_true(text);
    } else if (s3xml_at(path, depth, root, "NextKeyMarker")) {
        l->ret->next_key = text;
    } else if (s3xml_at(path, depth, root, "NextUploadIdMarker")) {
        l->ret->next_id = text;
    } else if (s3xml_at(path, depth, root, "EncodingType")) {
        l->is_encoded = slice_eq_nocase(slice_trim(text), SLICE("url"));
    }
    return NULL;
}

struct err *s3answer_uploads(struct arena *a, struct slice doc, struct s3answer_uploads *ret)
{
    struct upload_list l = {.ret = ret};
    struct err *e;

    *ret = (struct s3answer_uploads){.next_key = SLICE_EMPTY, .next_id = SLICE_EMPTY};
    e = walk(a, doc, "ListMultipartUploadsResult", on_uploads, &l);
    if (!e) {
        ret->n = l.uploads.len;
        ret->ptr = arena_copy(a, l.uploads.ptr, ret->n);
        for (size_t i = 0; l.is_encoded && i < ret->n; i++)
            ret->ptr[i].key = url_decode(a, ret->ptr[i].key);
        if (l.is_encoded)
            ret->next_key = url_decode(a, ret->next_key);
        if (ret->is_truncated && !ret->next_key.len)
            e = err_new(ERR_CORRUPT, "a truncated listing that does not say where it goes on");
    }
    vec_done(&l.uploads);
    return e;
}

/* ---- deletions ---- */

struct deletion {
    struct s3answer_deleted *ret;
    struct slice key, code, message;
};

static struct err *on_deleted(void *arg, const struct slice *path, size_t depth, struct slice text)
{
    struct deletion *d = arg;

    if (s3xml_at(path, depth, "Error", "Key")) {
        d->key = text;
    } else if (s3xml_at(path, depth, "Error", "Code")) {
        d->code = slice_trim(text);
    } else if (s3xml_at(path, depth, "Error", "Message")) {
        d->message = slice_trim(text);
    } else if (s3xml_at(path, depth, "DeleteResult", "Error")) {
        if (!slice_eq_cstr(d->code, "NoSuchKey") && d->ret->n_failed++ == 0) {
            d->ret->key = d->key;
            d->ret->code = d->code;
            d->ret->message = d->message;
        }
        d->key = d->code = d->message = SLICE_EMPTY;
    }
    return NULL;
}

struct err *s3answer_deleted(struct arena *a, struct slice doc, struct s3answer_deleted *ret)
{
    struct deletion d = {
        .ret = ret, .key = SLICE_EMPTY, .code = SLICE_EMPTY, .message = SLICE_EMPTY};

    *ret = (struct s3answer_deleted){0, SLICE_EMPTY, SLICE_EMPTY, SLICE_EMPTY};
    return walk(a, doc, "DeleteResult", on_deleted, &d);
}

/* ---- roles ---- */

static struct err *on_role(void *arg, const struct slice *path, size_t depth, struct slice text)
{
    struct s3answer_role *ret = arg;

    text = slice_trim(text);
    if (s3xml_at(path, depth, "Credentials", "AccessKeyId"))
        ret->access = text;
    else if (s3xml_at(path, depth, "Credentials", "SecretAccessKey"))
        ret->secret = text;
    else if (s3xml_at(path, depth, "Credentials", "SessionToken"))
        ret->token = text;
    else if (s3xml_at(path, depth, "Credentials", "Expiration"))
        ret->expires_ms = time_ms(text);
    return NULL;
}

struct err *s3answer_role(struct arena *a, struct slice doc, struct s3answer_role *ret)
{
    struct err *e;

    *ret = (struct s3answer_role){SLICE_EMPTY, SLICE_EMPTY, SLICE_EMPTY, 0};
    e = walk(a, doc, "AssumeRoleWithWebIdentityResponse", on_role, ret);
    if (!e && (!ret->access.len || !ret->secret.len || !ret->token.len || !ret->expires_ms))
        e = err_new(ERR_CORRUPT, "credentials of a role that are not whole");
    return e;
}

#define METADATA_MAX_BYTES (64u << 10)

struct err *s3answer_metadata(struct arena *a, struct slice doc, struct s3answer_role *ret)
{
    struct jsonval_doc *json;
    struct jsonval root, v;
    struct jsonval_iter it;
    struct slice key;
    struct err *e;

    *ret = (struct s3answer_role){SLICE_EMPTY, SLICE_EMPTY, SLICE_EMPTY, 0};
    if (doc.len > METADATA_MAX_BYTES)
        return err_new(ERR_TOO_LARGE, "credentials of %zu bytes", doc.len);
    if ((e = jsonval_parse(doc, 8, &json, &root)))
        return e;
    for (it = jsonval_iter(root); jsonval_next(&it, &key, &v);) {
        if (jsonval_kind(v) != JSONVAL_TEXT)
            continue;
        if (slice_eq_cstr(key, "AccessKeyId"))
            ret->access = arena_dup(a, jsonval_text(v));
        else if (slice_eq_cstr(key, "SecretAccessKey"))
            ret->secret = arena_dup(a, jsonval_text(v));
        else if (slice_eq_cstr(key, "Token"))
            ret->token = arena_dup(a, jsonval_text(v));
        else if (slice_eq_cstr(key, "Expiration"))
            ret->expires_ms = time_ms(jsonval_text(v));
    }
    jsonval_free(json);
    if (!ret->access.len || !ret->secret.len || !ret->expires_ms)
        return err_new(ERR_CORRUPT, "credentials that are not whole");
    return NULL;
}
