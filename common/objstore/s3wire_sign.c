#include <openssl/evp.h>

#include "common/base/base64.h"
#include "common/base/clock.h"
#include "common/objstore/s3wire_internal.h"

#define CHUNK_BYTES (1u << 20)
#define MD5_BYTES 16

struct pairs {
    struct sigv4_pair v[SIGV4_MAX_PAIRS];
    size_t n;
};

static void add(struct pairs *p, const char *name, struct slice value)
{
    ORR_ASSERT(p->n < SIGV4_MAX_PAIRS);
    p->v[p->n++] = (struct sigv4_pair){slice_cstr(name), value};
}

static const char *path_of(const struct s3wire *w, const struct s3wire_call *call)
{
    struct buf b = {0};
    char *path;

    buf_str(&b, w->bucket_path);
    if (call->key.ptr) {
        buf_byte(&b, '/');
        sigv4_encode(&b, slice_cstr(w->conf->prefix));
        sigv4_encode(&b, call->key);
    } else if (!b.len) {
        buf_byte(&b, '/');
    }
    path = arena_cstr(call->arena, buf_slice(&b));
    buf_done(&b);
    return path;
}

static struct err *content_md5(struct arena *a, struct slice body, struct slice *ret)
{
    uint8_t sum[MD5_BYTES];
    struct buf b = {0};

    if (EVP_Digest(body.ptr, body.len, sum, NULL, EVP_md5(), NULL) != 1)
        return err_new(ERR_UNSUPPORTED, "S3 needs MD5, and this machine's OpenSSL has none");
    base64_encode(slice_of(sum, sizeof(sum)), true, &b);
    *ret = arena_dup(a, buf_slice(&b));
    buf_done(&b);
    return NULL;
}

/* The hash of the body is computed once, not for each attempt. */
static struct err *vouch(const struct s3wire *w, struct s3wire_call *call, struct pairs *p)
{
    bool is_unsigned = w->conf->payload == S3CONF_PAYLOAD_UNSIGNED && call->body.len;
    bool is_chunked = w->conf->payload == S3CONF_PAYLOAD_CHUNKED && call->body.len &&
                      (call->op == S3WIRE_PUT || call->op == S3WIRE_UPLOAD_PART);
    struct slice md5;
    struct err *e;

    if (!call->payload_hash[0]) {
        if (is_chunked)
            (void)snprintf(call->payload_hash, sizeof(call->payload_hash), SIGV4_STREAMING);
        else if (is_unsigned)
            (void)snprintf(call->payload_hash, sizeof(call->payload_hash), SIGV4_UNSIGNED);
        else
            sigv4_sha256_hex(call->body.len ? call->body : SLICE_EMPTY, call->payload_hash);
    }
    if (is_unsigned || call->needs_md5) {
        if ((e = content_md5(call->arena, call->body, &md5)))
            return e;
        add(p, "content-md5", md5);
    }
    if (is_chunked) {
        add(p, "content-encoding", SLICE("aws-chunked"));
        add(p, "x-amz-decoded-content-length",
            slice_cstr(arena_printf(call->arena, "%zu", call->body.len)));
    }
    add(p, "x-amz-content-sha256", slice_cstr(call->payload_hash));
    return NULL;
}

void s3wire_region(struct s3wire *w, char ret[static S3WIRE_REGION_BYTES])
{
    lock_take(&w->lock);
    memcpy(ret, w->region, S3WIRE_REGION_BYTES);
    lock_release(&w->lock);
}

static void fill_headers(struct s3wire_call *call, const struct pairs *p, struct s3sign *ret)
{
    for (size_t i = 0; i < p->n; i++) {
        if (slice_eq_cstr(p->v[i].name, "content-type"))
            continue; /* the client has its own way for it */
        ORR_ASSERT(ret->n_headers < ORR_COUNT(ret->headers));
        ret->headers[ret->n_headers++] = arena_printf(
            call->arena, "%.*s: %.*s", SLICE_ARG(p->v[i].name), SLICE_ARG(p->v[i].value));
    }
}

struct err *s3wire_sign(struct s3wire *w, struct s3wire_call *call, struct s3sign *ret)
{
    const char *path = path_of(w, call);
    char date[SIGV4_DATE_BYTES], region[S3WIRE_REGION_BYTES];
    struct buf text = {0}, query = {0};
    struct sigv4_signed done;
    struct s3cred_keys keys;
    struct sigv4_request req;
    struct sigv4_key key;
    struct pairs p = {0};
    struct err *e = s3cred_get(w->cred, call->arena, &keys);

    *ret = (struct s3sign){.content_type = call->content_type, .body = call->body};
    if (e || (e = vouch(w, call, &p)))
        return e;
    call->keys_generation = keys.generation;
    s3wire_region(w, region);
    sigv4_date(clock_wall_ms(&clock_system) / MS_PER_S + METRIC_GET(w->skew_s), date);
    add(&p, "host", slice_cstr(w->host));
    add(&p, "x-amz-date", slice_cstr(date));
    if (keys.token.len)
        add(&p, "x-amz-security-token", keys.token);
    if (call->content_type)
        add(&p, "content-type", slice_cstr(call->content_type));
    for (size_t i = 0; i < call->n_headers; i++)
        add(&p, (const char *)call->headers[i].name.ptr, call->headers[i].value);

    key = (struct sigv4_key){keys.access, keys.secret, slice_cstr(region), SLICE("s3")};
    req = (struct sigv4_request){.method = call->method,
                                 .path = slice_cstr(path),
                                 .query = call->query,
                                 .n_query = call->n_query,
                                 .headers = p.v,
                                 .n_headers = p.n,
                                 .payload_hash = slice_cstr(call->payload_hash)};
    sigv4_sign(&key, &req, date, &text, &done);
    add(&p, "authorization", buf_slice(&text));
    fill_headers(call, &p, ret);
    sigv4_query(&query, call->query, call->n_query);
    ret->url = arena_printf(call->arena, "%s%s%s%.*s", w->base_url, path, call->n_query ? "?" : "",
                            SLICE_ARG(buf_slice(&query)));
    if (strcmp(call->payload_hash, SIGV4_STREAMING) == 0) {
        (void)buf_reserve(&ret->chunked, sigv4_chunked_bytes(call->body.len, CHUNK_BYTES));
        sigv4_chunk_body(&key, &done, date, call->body, CHUNK_BYTES, &ret->chunked);
        ret->body = buf_slice(&ret->chunked);
    }
    buf_done(&text);
    buf_done(&query);
    return NULL;
}
