/*
 * An S3 server in memory, on a thread of the test, that can be told to fail. It knows what the
 * client asks of one bucket, "bucket", and checks nothing that it is not told to.
 *
 * fake_start() … fake_stop(). Faults are armed before the request that meets them; the first that
 * fits is taken.
 */
#pragma once
#include <pthread.h>
#include <stdlib.h>

#include "common/base/loop.h"
#include "common/base/vec.h"
#include "common/net/http_server.h"
#include "common/objstore/sigv4.h"
#include "tests/unit/test.h"

enum fake_kind {
    FAKE_STATUS,    /* status and code instead of an answer */
    FAKE_STALL,     /* nothing, for ever */
    FAKE_TRUNCATE,  /* half of it, then the connection is cut */
    FAKE_DROP,      /* the connection is cut */
    FAKE_GARBAGE,   /* 200 and HTML */
    FAKE_LATE,      /* it is done, and then status and code */
    FAKE_LATE_DROP, /* it is done, and then the connection is cut */
    FAKE_FORGET,    /* a listing, whole, wherever it should have begun */
    FAKE_ENDLESS,   /* a listing goes on and on with its first key */
    FAKE_SWAP,      /* all objects are other ones before it is answered */
    FAKE_200_ERROR  /* 200 and an error in the body */
};
struct fake_fault {
    enum fake_kind kind;
    const char *method; /* NULL: any */
    const char *part;   /* in the target; NULL: any */
    int skip, times;    /* fitting requests left alone first; how many are met then */
    int status;
    const char *code;
};

enum fake_cond { FAKE_ATOMIC, FAKE_BARE, FAKE_501, FAKE_IGNORED, FAKE_RACY };

struct fake_object {
    char *key;
    struct buf body;
    char etag[48], mark[48];
};
struct fake_upload {
    char *key, *id, *mark;
    struct buf parts[16];
};

struct fake {
    struct loop *loop;
    struct http_server *srv;
    _Atomic int cond;                /* enum fake_cond */
    _Atomic bool is_missing;         /* there is no bucket */
    const char *_Atomic region;      /* the only one it takes; NULL: any */
    const char *_Atomic refused_key; /* access key of which the token has expired */
    _Atomic int64_t skew_s;          /* of its clock; requests of another hour are refused */
    pthread_mutex_t mutex;           /* of all that follows */
    struct fake_fault faults[8];
    size_t n_faults, n_requests, n_aborts;
    char last_headers[4096]; /* of the last PUT or POST: "name: value\n" */
    VEC(struct fake_object) objects;
    VEC(struct fake_upload) uploads;
    int next_id;
};

static struct fake *fake_of(struct http_request *r)
{
    return r->route->arg;
}

static void fake_arm(struct fake *f, struct fake_fault fault)
{
    (void)pthread_mutex_lock(&f->mutex);
    if (!fault.times)
        fault.times = 1;
    CHECK(f->n_faults < ORR_COUNT(f->faults));
    f->faults[f->n_faults++] = fault;
    (void)pthread_mutex_unlock(&f->mutex);
}

static void fake_calm(struct fake *f)
{
    (void)pthread_mutex_lock(&f->mutex);
    f->n_faults = 0;
    f->n_requests = 0;
    (void)pthread_mutex_unlock(&f->mutex);
}

/* One of its numbers, as a test may read it. */
static size_t fake_peek(struct fake *f, const size_t *n)
{
    size_t v;

    (void)pthread_mutex_lock(&f->mutex);
    v = *n;
    (void)pthread_mutex_unlock(&f->mutex);
    return v;
}

static size_t fake_requests(struct fake *f)
{
    return fake_peek(f, &f->n_requests);
}

/* ---- objects ---- */

static struct fake_object *fake_find(struct fake *f, struct slice key)
{
    VEC_FOREACH (o, &f->objects)
        if (slice_eq_cstr(key, o->key))
            return o;
    return NULL;
}

static struct fake_object *fake_store(struct fake *f, struct slice key, struct slice body,
                                      struct slice mark, size_t n_parts)
{
    struct fake_object *o = fake_find(f, key);
    char hash[SIGV4_HEX_BYTES];

    if (!o) {
        o = vec_add(&f->objects);
        o->key = slice_dup(key);
    }
    buf_reset(&o->body);
    buf_slice_append(&o->body, body);
    sigv4_sha256_hex(body, hash);
    (void)snprintf(o->etag, sizeof(o->etag), n_parts ? "%.32s-%zu" : "%.32s", hash, n_parts);
    (void)snprintf(o->mark, sizeof(o->mark), "%.*s", SLICE_ARG(mark));
    return o;
}

static void fake_remove(struct fake *f, struct slice key)
{
    for (size_t i = 0; i < f->objects.len; i++) {
        if (!slice_eq_cstr(key, f->objects.ptr[i].key))
            continue;
        mem_free(f->objects.ptr[i].key);
        buf_done(&f->objects.ptr[i].body);
        vec_remove_swap(&f->objects, i);
        return;
    }
}

static struct fake_upload *fake_upload_of(struct fake *f, struct slice id)
{
    VEC_FOREACH (u, &f->uploads)
        if (slice_eq_cstr(id, u->id))
            return u;
    return NULL;
}

static void fake_end_upload(struct fake *f, struct fake_upload *u)
{
    mem_free(u->key);
    mem_free(u->id);
    mem_free(u->mark);
    for (size_t i = 0; i < ORR_COUNT(u->parts); i++)
        buf_done(&u->parts[i]);
    vec_remove_swap(&f->uploads, (size_t)(u - f->uploads.ptr));
}

/* ---- answers ---- */

static void fake_error(struct http_request *r, int status, const char *code)
{
    struct fake *f = fake_of(r);
    time_t now = time(NULL) + (time_t)f->skew_s;
    char stamp[32], *xml;
    struct tm tm;

    (void)gmtime_r(&now, &tm);
    (void)strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%SZ", &tm);
    xml = mem_printf("<?xml version=\"1.0\"?><Error><Code>%s</Code><Message>no</Message>"
                     "<Region>%s</Region><ServerTime>%s</ServerTime></Error>",
                     code ? code : "InternalError", f->region ? f->region : "", stamp);

    http_reply(r, status, "application/xml", slice_cstr(xml));
    mem_free(xml);
}

/* What comes of a request that was carried out; fault may spoil it. */
static void fake_done(struct http_request *r, const struct fake_fault *fault, int status,
                      struct slice body)
{
    if (fault && fault->kind == FAKE_LATE) {
        fake_error(r, fault->status, fault->code);
    } else if (fault && fault->kind == FAKE_LATE_DROP) {
        http_reply_abort(r);
    } else if (fault && fault->kind == FAKE_TRUNCATE) {
        http_reply_start(r, status, NULL);
        (void)http_reply_chunk(r, slice_sub(body, 0, body.len / 2));
        http_reply_abort(r);
    } else {
        http_reply(r, status, "application/octet-stream", body);
    }
}

static void fake_quoted(struct http_request *r, const char *etag)
{
    char text[64];

    (void)snprintf(text, sizeof(text), "\"%s\"", etag);
    http_reply_header(r, "ETag", slice_cstr(text));
}

static struct slice fake_param(struct http_request *r, const char *name)
{
    struct http_params p = {0};

    CHECK(http_params_parse(r->arena, r->query, &p));
    for (size_t i = 0; i < p.len; i++)
        if (slice_eq_cstr(p.items[i].name, name))
            return p.items[i].value.ptr ? p.items[i].value : SLICE_EMPTY;
    return (struct slice){NULL, 0};
}

/* ---- operations; the mutex is held ---- */

static void fake_get(struct fake *f, struct http_request *r, struct slice key,
                     const struct fake_fault *fault)
{
    struct fake_object *o = fake_find(f, key);
    struct slice range = http_request_header(r, "range"), body, from, to;
    bool is_part = range.ptr;
    uint64_t a, b;
    char text[96];

    if (!o) {
        fake_error(r, 404, "NoSuchKey");
        return;
    }
    body = buf_slice(&o->body);
    if (is_part) {
        range = slice_from(range, strlen("bytes="));
        CHECK(slice_split(&range, '-', &from) && slice_split(&range, '-', &to));
        CHECK(slice_to_u64(from, &a) && slice_to_u64(to, &b));
        if (a >= body.len) {
            fake_error(r, 416, "InvalidRange");
            return;
        }
        b = ORR_MIN(b, body.len - 1);
        (void)snprintf(text, sizeof(text), "bytes %llu-%llu/%zu", (unsigned long long)a,
                       (unsigned long long)b, body.len);
        http_reply_header(r, "Content-Range", slice_cstr(text));
        body = slice_sub(body, a, b - a + 1);
    }
    fake_quoted(r, o->etag);
    http_reply_header(r, "Last-Modified", SLICE("Sat, 28 Nov 2026 05:41:07 GMT"));
    if (o->mark[0])
        http_reply_header(r, "x-amz-meta-orrery-put", slice_cstr(o->mark));
    fake_done(r, fault, is_part ? 206 : 200, body);
}

/* Whether the condition holds, by what this server thinks of conditions; else it has answered. */
static bool fake_check(struct fake *f, struct http_request *r, const struct fake_object *o)
{
    struct slice none = http_request_header(r, "if-none-match");
    struct slice match = http_request_header(r, "if-match");
    char want[64];

    if ((!none.ptr && !match.ptr) || f->cond == FAKE_IGNORED)
        return true;
    if (f->cond == FAKE_501) {
        fake_error(r, 501, "NotImplemented");
        return false;
    }
    (void)snprintf(want, sizeof(want), f->cond == FAKE_BARE ? "%s" : "\"%s\"", o ? o->etag : "");
    if (none.ptr ? !o : o && slice_eq_cstr(match, want))
        return true;
    if (match.ptr && !o)
        fake_error(r, 404, "NoSuchKey");
    else
        fake_error(r, 412, "PreconditionFailed");
    return false;
}

struct fake_later {
    struct fake *f;
    struct http_request *r;
    struct loop_timer *timer;
    char *key;
};

static void fake_write(struct fake *f, struct http_request *r, struct slice key,
                       const struct fake_fault *fault)
{
    struct fake_object *o =
        fake_store(f, key, r->body, http_request_header(r, "x-amz-meta-orrery-put"), 0);

    fake_quoted(r, o->etag);
    fake_done(r, fault, 200, SLICE_EMPTY);
}

static void fake_write_later(void *arg)
{
    struct fake_later *l = arg;

    (void)pthread_mutex_lock(&l->f->mutex);
    fake_write(l->f, l->r, slice_cstr(l->key), NULL);
    (void)pthread_mutex_unlock(&l->f->mutex);
    loop_timer_free(l->timer);
    mem_free(l->key);
    mem_free(l);
}

static void fake_put(struct fake *f, struct http_request *r, struct slice key,
                     const struct fake_fault *fault)
{
    struct slice part = fake_param(r, "partNumber");
    struct fake_upload *u;
    uint64_t n;

    if (part.ptr) {
        u = fake_upload_of(f, fake_param(r, "uploadId"));
        CHECK(slice_to_u64(part, &n) && n >= 1 && n <= ORR_COUNT(u->parts));
        if (!u) {
            fake_error(r, 404, "NoSuchUpload");
            return;
        }
        buf_reset(&u->parts[n - 1]);
        buf_slice_append(&u->parts[n - 1], r->body);
        http_reply_header(r, "ETag", SLICE("\"part\""));
        fake_done(r, fault, 200, SLICE_EMPTY);
        return;
    }
    if (!fake_check(f, r, fake_find(f, key)))
        return;
    if (f->cond == FAKE_RACY &&
        (http_request_header(r, "if-match").ptr || http_request_header(r, "if-none-match").ptr)) {
        struct fake_later *l = mem_new(struct fake_later);

        *l =
            (struct fake_later){f, r, loop_timer_new(f->loop, fake_write_later, l), slice_dup(key)};
        loop_timer_arm_ms(l->timer, 30);
        return;
    }
    fake_write(f, r, key, fault);
}

static void fake_complete(struct fake *f, struct http_request *r, const struct fake_fault *fault)
{
    struct fake_upload *u = fake_upload_of(f, fake_param(r, "uploadId"));
    struct buf whole = {0};
    size_t n = 0;
    char *xml;

    if (!u) {
        fake_error(r, 404, "NoSuchUpload");
        return;
    }
    if (fault && fault->kind == FAKE_200_ERROR) {
        fake_error(r, 200, "InternalError");
        return;
    }
    for (; n < ORR_COUNT(u->parts) && u->parts[n].len; n++)
        buf_slice_append(&whole, buf_slice(&u->parts[n]));
    xml = mem_printf(
        "<CompleteMultipartUploadResult><ETag>\"%s\"</ETag>"
        "</CompleteMultipartUploadResult>",
        fake_store(f, slice_cstr(u->key), buf_slice(&whole), slice_cstr(u->mark), n)->etag);
    fake_end_upload(f, u);
    fake_done(r, fault, 200, slice_cstr(xml));
    mem_free(xml);
    buf_done(&whole);
}

static void fake_post(struct fake *f, struct http_request *r, struct slice key,
                      const struct fake_fault *fault)
{
    struct fake_upload *u;
    char *xml;

    if (!fake_param(r, "uploads").ptr) {
        fake_complete(f, r, fault);
        return;
    }
    u = vec_add(&f->uploads);
    u->key = slice_dup(key);
    u->id = mem_printf("upload-%d", ++f->next_id);
    u->mark = slice_dup(http_request_header(r, "x-amz-meta-orrery-put"));
    xml = mem_printf("<InitiateMultipartUploadResult><UploadId>%s</UploadId>"
                     "</InitiateMultipartUploadResult>",
                     u->id);
    fake_done(r, fault, 200, slice_cstr(xml));
    mem_free(xml);
}

static void fake_delete(struct fake *f, struct http_request *r, struct slice key)
{
    struct slice id = fake_param(r, "uploadId");
    struct fake_upload *u;

    if (!id.ptr) {
        fake_remove(f, key);
    } else if ((u = fake_upload_of(f, id))) {
        f->n_aborts++;
        fake_end_upload(f, u);
    }
    http_reply(r, 204, NULL, SLICE_EMPTY);
}

static int fake_by_key(const void *a, const void *b)
{
    return strcmp(((const struct fake_object *)a)->key, ((const struct fake_object *)b)->key);
}

static void fake_list(struct fake *f, struct http_request *r, const struct fake_fault *fault)
{
    struct slice prefix = fake_param(r, "prefix"), after = fake_param(r, "start-after");
    struct slice token = fake_param(r, "continuation-token"), last = SLICE_EMPTY,
                 folded = SLICE_EMPTY;
    bool folds = fake_param(r, "delimiter").ptr, is_cut = false;
    struct buf xml = {0};
    uint64_t max = 1000, n = 0;

    (void)slice_to_u64(fake_param(r, "max-keys"), &max);
    if (token.ptr)
        after = token;
    if (fault && fault->kind == FAKE_FORGET)
        after = SLICE_EMPTY, max = 1000;
    if (fault && fault->kind == FAKE_ENDLESS)
        after = SLICE_EMPTY, max = 1;
    buf_str(&xml, "<ListBucketResult>");
    if (f->objects.len)
        qsort(f->objects.ptr, f->objects.len, sizeof(*f->objects.ptr), fake_by_key);
    VEC_FOREACH (o, &f->objects) {
        struct slice key = slice_cstr(o->key);
        ptrdiff_t slash = folds ? slice_find_byte(key, '/', prefix.len) : -1;

        if (!slice_has_prefix(key, prefix) || (after.len && slice_cmp(key, after) <= 0))
            continue;
        if (slash >= 0 && folded.len && slice_has_prefix(key, folded))
            continue;
        if (n == max) {
            is_cut = true;
            break;
        }
        n++;
        last = key;
        if (slash >= 0) {
            folded = slice_sub(key, 0, (size_t)slash + 1);
            buf_printf(&xml, "<CommonPrefixes><Prefix>%.*s</Prefix></CommonPrefixes>",
                       SLICE_ARG(folded));
        } else {
            buf_printf(&xml,
                       "<Contents><Key>%s</Key><Size>%zu</Size>"
                       "<LastModified>2020-01-01T00:00:00Z</LastModified></Contents>",
                       o->key, o->body.len);
        }
    }
    buf_printf(&xml, "<IsTruncated>%s</IsTruncated>", is_cut ? "true" : "false");
    if (is_cut)
        buf_printf(&xml, "<NextContinuationToken>%.*s%.*d</NextContinuationToken>", SLICE_ARG(last),
                   fault && fault->kind == FAKE_ENDLESS ? 6 : 0,
                   fault && fault->kind == FAKE_ENDLESS ? fault->times : 0);
    buf_str(&xml, "</ListBucketResult>");
    fake_done(r, fault, 200, buf_slice(&xml));
    buf_done(&xml);
}

static void fake_list_uploads(struct fake *f, struct http_request *r)
{
    struct buf xml = {0};

    buf_str(&xml, "<ListMultipartUploadsResult>");
    VEC_FOREACH (u, &f->uploads)
        buf_printf(&xml,
                   "<Upload><Key>%s</Key><UploadId>%s</UploadId>"
                   "<Initiated>2020-01-01T00:00:00Z</Initiated></Upload>",
                   u->key, u->id);
    buf_str(&xml, "</ListMultipartUploadsResult>");
    http_reply(r, 200, NULL, buf_slice(&xml));
    buf_done(&xml);
}

static void fake_delete_many(struct fake *f, struct http_request *r)
{
    struct slice rest = r->body;
    ptrdiff_t at, end;

    CHECK(http_request_header(r, "content-md5").len == 24);
    while ((at = slice_find(rest, SLICE("<Key>"), 0)) >= 0) {
        end = slice_find(rest, SLICE("</Key>"), 0);
        fake_remove(f, slice_sub(rest, (size_t)at + 5, (size_t)(end - at) - 5));
        rest = slice_from(rest, (size_t)end + 6);
    }
    http_reply(r, 200, NULL, SLICE("<DeleteResult/>"));
}

/* ---- requests ---- */

static bool fake_fits(const struct fake_fault *x, struct http_request *r)
{
    return (!x->method || strcmp(x->method, http_method_name(r->method)) == 0) &&
           (!x->part || slice_find(r->target, slice_cstr(x->part), 0) >= 0);
}

static bool fake_take_fault(struct fake *f, struct http_request *r, struct fake_fault *ret)
{
    for (size_t i = 0; i < f->n_faults; i++) {
        struct fake_fault *x = &f->faults[i];

        if (!x->times || !fake_fits(x, r))
            continue;
        if (x->skip) {
            x->skip--;
            return false;
        }
        x->times--;
        *ret = *x;
        return true;
    }
    return false;
}

static void fake_gone(struct http_request *r)
{
    http_reply_abort(r);
}

/* True when the fault is all there is. */
static bool fake_spoil(struct fake *f, struct http_request *r, const struct fake_fault *x)
{
    switch (x->kind) {
    case FAKE_STATUS:
        fake_error(r, x->status, x->code);
        return true;
    case FAKE_STALL:
        r->on_cancel = fake_gone;
        return true;
    case FAKE_DROP:
        http_reply_abort(r);
        return true;
    case FAKE_GARBAGE:
        http_reply(r, 200, HTTP_HTML, SLICE("<html><body>welcome<br></body></html>"));
        return true;
    case FAKE_SWAP:
        VEC_FOREACH (o, &f->objects) {
            struct buf other = {0};

            buf_fill(&other, 'z', o->body.len);
            (void)fake_store(f, slice_cstr(o->key), buf_slice(&other), SLICE_EMPTY, 0);
            buf_done(&other);
        }
        return false;
    default:
        return false;
    }
}

/* Wrong bucket, region, key or clock: as Amazon answers them. */
static bool fake_refuse(struct fake *f, struct http_request *r)
{
    struct slice auth = http_request_header(r, "authorization");
    time_t now = time(NULL) + (time_t)f->skew_s;
    char date[SIGV4_DATE_BYTES], scope[64];

    sigv4_date(now, date);
    (void)snprintf(scope, sizeof(scope), "/%s/s3/", f->region ? f->region : "");
    if (f->refused_key && slice_find(auth, slice_cstr(f->refused_key), 0) >= 0)
        fake_error(r, 403, "ExpiredToken");
    else if (f->region && slice_find(auth, slice_cstr(scope), 0) < 0)
        fake_error(r, 400, "AuthorizationHeaderMalformed");
    else if (f->skew_s && memcmp(http_request_header(r, "x-amz-date").ptr, date, 11) != 0)
        fake_error(r, 403, "RequestTimeTooSkewed");
    else if (f->is_missing && !(r->method == HTTP_PUT && slice_eq_cstr(r->path, "/bucket")))
        fake_error(r, 404, "NoSuchBucket");
    else
        return false;
    return true;
}

static void fake_keep_headers(struct fake *f, struct http_request *r)
{
    struct buf b = {0};

    if (r->method != HTTP_PUT && r->method != HTTP_POST)
        return;
    for (size_t i = 0; i < r->header_count; i++)
        buf_printf(&b, "%.*s: %.*s\n", SLICE_ARG(r->headers[i].name),
                   SLICE_ARG(r->headers[i].value));
    (void)snprintf(f->last_headers, sizeof(f->last_headers), "%s", buf_cstr(&b));
    buf_done(&b);
}

static void fake_bucket(struct fake *f, struct http_request *r, const struct fake_fault *fault)
{
    if (r->method == HTTP_PUT) {
        f->is_missing = false;
        http_reply(r, 200, NULL, SLICE_EMPTY);
    } else if (r->method == HTTP_POST) {
        fake_delete_many(f, r);
    } else if (fake_param(r, "uploads").ptr) {
        fake_list_uploads(f, r);
    } else {
        fake_list(f, r, fault);
    }
}

static void fake_handle(struct http_request *r)
{
    struct slice key = slice_from(r->path, strlen("/bucket/"));
    struct fake *f = fake_of(r);
    struct fake_fault taken = {0}, *fault = NULL;

    (void)pthread_mutex_lock(&f->mutex);
    f->n_requests++;
    if (fake_take_fault(f, r, &taken))
        fault = &taken;
    fake_keep_headers(f, r);
    if ((fault && fake_spoil(f, r, fault)) || fake_refuse(f, r))
        ;
    else if (!key.len)
        fake_bucket(f, r, fault);
    else if (r->method == HTTP_PUT)
        fake_put(f, r, key, fault);
    else if (r->method == HTTP_POST)
        fake_post(f, r, key, fault);
    else if (r->method == HTTP_DELETE)
        fake_delete(f, r, key);
    else
        fake_get(f, r, key, fault);
    (void)pthread_mutex_unlock(&f->mutex);
}

/* ---- life ---- */

static void fake_start(struct fake *f)
{
    static const char *const patterns[] = {"/bucket", "/bucket/*"};

    *f = (struct fake){0};
    (void)pthread_mutex_init(&f->mutex, NULL);
    CHECK_OK(loop_new("fake", &f->loop));
    CHECK_OK(http_server_new(
        &(struct http_server_opts){.addr = "127.0.0.1:0", .max_body_bytes = 64u << 20}, &f->loop, 1,
        &f->srv));
    for (size_t i = 0; i < ORR_COUNT(patterns); i++)
        http_server_route(
            f->srv, &(struct http_route){.methods = HTTP_GET | HTTP_PUT | HTTP_POST | HTTP_DELETE,
                                         .pattern = patterns[i],
                                         .flags = HTTP_ROUTE_NO_COMPRESS | HTTP_ROUTE_RAW_BODY,
                                         .handler = fake_handle,
                                         .arg = f});
    CHECK_OK(http_server_listen(f->srv));
    CHECK_OK(loop_start(f->loop));
}

static void fake_stop(struct fake *f)
{
    if (!f->loop)
        return;
    loop_join(f->loop);
    http_server_free(f->srv);
    loop_free(f->loop);
    while (f->objects.len)
        fake_remove(f, slice_cstr(f->objects.ptr[0].key));
    while (f->uploads.len)
        fake_end_upload(f, &f->uploads.ptr[0]);
    vec_done(&f->objects);
    vec_done(&f->uploads);
    (void)pthread_mutex_destroy(&f->mutex);
    *f = (struct fake){0};
}
