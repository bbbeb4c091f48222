#include <stdio.h>

#include "common/base/clock.h"
#include "common/base/log.h"
#include "common/objstore/s3wire_internal.h"

#define SKEW_MIN_S 60 /* a clock less wrong than this is not why a request was refused */

/* What has been set right for a call already; each once. */
enum { FIXED_REGION = 1, FIXED_CLOCK = 2, FIXED_KEYS = 4, FIXED_BUCKET = 8 };

/* ---- the meaning of an answer ---- */

static bool has_code(const struct s3wire_call *call, const char *code)
{
    return slice_eq_cstr(call->error.code, code);
}

static struct err *say(const struct s3wire_call *call, enum err_code code, const char *what)
{
    return err_new(code, "%s: status %d%s%.*s%s%.*s", what, call->reply.status,
                   call->error.code.len ? " " : "", SLICE_ARG(call->error.code),
                   call->error.message.len ? ": " : "",
                   SLICE_ARG(slice_sub(call->error.message, 0, 300)));
}

static bool has_one_of(const struct s3wire_call *call, const char *const *codes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (has_code(call, codes[i]))
            return true;
    return false;
}

static bool is_broken_body(const struct s3wire_call *call)
{
    static const char *const codes[] = {"BadDigest", "XAmzContentSHA256Mismatch", "IncompleteBody",
                                        "RequestTimeout"};

    return has_one_of(call, codes, ORR_COUNT(codes));
}

static bool is_conditional(const struct s3wire_call *call)
{
    for (size_t i = 0; i < call->n_headers; i++)
        if (slice_eq_cstr(call->headers[i].name, "if-match") ||
            slice_eq_cstr(call->headers[i].name, "if-none-match"))
            return true;
    return false;
}

/* Only what the object store itself says is absent is: a proxy that has lost it answers 404, too.
 * Of a HEAD there is no more to see; objstore_s3_head() asks on. */
static struct err *judge_404(const struct s3wire_call *call, bool *ret_is_trouble)
{
    if (has_code(call, "NoSuchBucket"))
        return say(call, ERR_UNAVAILABLE, "the bucket is not there");
    if (has_code(call, "NoSuchUpload"))
        return err_new(ERR_NOT_FOUND, "no such upload");
    if (has_code(call, "NoSuchKey") || call->op == S3WIRE_HEAD)
        return err_new(ERR_NOT_FOUND, "no such object");
    *ret_is_trouble = true;
    return say(call, ERR_UNAVAILABLE, "an answer that is not the object store's");
}

static struct err *judge_4xx(const struct s3wire_call *call, bool *ret_is_trouble)
{
    switch (call->reply.status) {
    case 400:
        if (!is_broken_body(call))
            return say(call, ERR_INVALID, "refused");
        *ret_is_trouble = true;
        return say(call, ERR_UNAVAILABLE, "the body did not arrive as it was sent");
    case 401:
    case 403:
        return say(call, ERR_FORBIDDEN, "not allowed");
    case 404:
        return judge_404(call, ret_is_trouble);
    case 409:
        if (has_code(call, "OperationAborted")) {
            *ret_is_trouble = true;
            return say(call, ERR_UNAVAILABLE, "another operation is under way");
        }
        return say(call, is_conditional(call) ? ERR_CONFLICT : ERR_INVALID, "conflict");
    case 412:
        return say(call, ERR_CONFLICT, "the condition does not hold");
    case 416:
        return err_new(ERR_INVALID, "the offset is past the end");
    case 429:
        *ret_is_trouble = true;
        return say(call, ERR_UNAVAILABLE, "too many requests");
    default:
        return say(call, ERR_INVALID, "refused");
    }
}

struct err *s3wire_judge(const struct s3wire_call *call, bool *ret_is_trouble)
{
    int status = call->reply.status;

    *ret_is_trouble = false;
    if (status >= 200 && status < 300)
        return NULL;
    if (status == 501)
        return say(call, ERR_UNSUPPORTED, "the server cannot do that");
    if (status >= 500) {
        *ret_is_trouble = true;
        return say(call, ERR_UNAVAILABLE, "the server fails");
    }
    if (status >= 400)
        return judge_4xx(call, ret_is_trouble);
    return say(call, ERR_INVALID, "redirected: s3.endpoint or s3.region is not the bucket's");
}

/* ---- setting right ---- */

static bool fix_region(struct s3wire *w, struct s3wire_call *call)
{
    struct slice region = call->error.region;
    bool is_new;

    if (!region.len)
        region = http_client_reply_header(&call->reply, "x-amz-bucket-region");
    if (w->has_region || !region.len || region.len >= S3WIRE_REGION_BYTES)
        return false;
    for (size_t i = 0; i < region.len; i++)
        if (region.ptr[i] <= ' ' || region.ptr[i] >= 0x7f || region.ptr[i] == '/')
            return false;
    lock_take(&w->lock);
    is_new = !slice_eq_cstr(region, w->region);
    if (is_new) {
        memcpy(w->region, region.ptr, region.len);
        w->region[region.len] = '\0';
    }
    lock_release(&w->lock);
    if (is_new)
        LOG_INFO(objstore, "the server names another region", KV_STR("bucket", w->name),
                 KV_SLICE("region", region));
    return true;
}

/* What the server's clock says: 0 if it does not. */
static int64_t server_time_s(const struct s3wire_call *call)
{
    int64_t ms = call->error.server_time_ms;

    return (ms ? ms : s3answer_date_ms(http_client_reply_header(&call->reply, "date"))) / MS_PER_S;
}

static bool fix_clock(struct s3wire *w, const struct s3wire_call *call)
{
    int64_t theirs = server_time_s(call), skew_s;

    if (!theirs)
        return false;
    skew_s = theirs - clock_wall_ms(&clock_system) / MS_PER_S;
    if (skew_s > -SKEW_MIN_S && skew_s < SKEW_MIN_S)
        return false;
    METRIC_SET(w->skew_s, skew_s);
    LOG_WARN(objstore, "this machine's clock and the object store's differ",
             KV_STR("bucket", w->name), KV_I64("duration_ms", skew_s * MS_PER_S));
    return true;
}

static struct err *make_bucket(struct s3wire *w)
{
    struct s3wire_call call = {.op = S3WIRE_BUCKET, .method = "PUT", .fixes = FIXED_BUCKET};
    char region[S3WIRE_REGION_BYTES], body[256];
    struct err *e;

    s3wire_region(w, region);
    if (strcmp(region, "us-east-1") != 0) {
        (void)snprintf(body, sizeof(body),
                       "<CreateBucketConfiguration><LocationConstraint>%s</LocationConstraint>"
                       "</CreateBucketConfiguration>",
                       region);
        call.body = slice_cstr(body);
        call.content_type = "application/xml";
    }
    e = s3wire_run(w, &call);
    if (err_is(e, ERR_CONFLICT) &&
        (has_code(&call, "BucketAlreadyOwnedByYou") || has_code(&call, "BucketAlreadyExists"))) {
        err_free(e);
        e = NULL;
    }
    s3wire_done(w, &call);
    if (!e)
        LOG_INFO(objstore, "made the bucket", KV_STR("bucket", w->name));
    return e;
}

static bool is_about_keys(const struct s3wire_call *call)
{
    static const char *const codes[] = {"ExpiredToken", "InvalidToken", "TokenRefreshRequired",
                                        "InvalidAccessKeyId", "SignatureDoesNotMatch"};

    return has_one_of(call, codes, ORR_COUNT(codes));
}

/* Once for each cause and call. */
static bool fix_once(struct s3wire_call *call, unsigned which)
{
    bool is_first = !(call->fixes & which);

    call->fixes |= which;
    return is_first;
}

bool s3wire_is_new_bucket(const struct s3wire_call *call)
{
    return call->op != S3WIRE_BUCKET && (call->fixes & FIXED_BUCKET) && call->reply.status == 404 &&
           has_code(call, "NoSuchBucket");
}

bool s3wire_fix(struct s3wire *w, struct s3wire_call *call)
{
    int status = call->reply.status;
    struct err *e;

    if ((status == 400 || status == 403 || (status >= 300 && status < 400)) &&
        (has_code(call, "AuthorizationHeaderMalformed") || status < 400 || !call->error.code.len) &&
        fix_once(call, FIXED_REGION) && fix_region(w, call))
        return true;
    if (status == 403 && has_code(call, "RequestTimeTooSkewed"))
        return fix_once(call, FIXED_CLOCK) && fix_clock(w, call);
    if ((status == 400 || status == 403) && is_about_keys(call) && fix_once(call, FIXED_KEYS)) {
        s3cred_reject(w->cred, call->keys_generation);
        return true;
    }
    if (status == 404 && has_code(call, "NoSuchBucket") && w->conf->create_bucket &&
        fix_once(call, FIXED_BUCKET)) {
        e = make_bucket(w);
        err_free(e); /* what the next attempt finds says it */
        return !e;
    }
    return false;
}
