#include <inttypes.h>
#include <stdio.h>

#include "common/base/mem.h"
#include "common/objstore/objstore_s3_internal.h"

#define VERSION_TRIES 3 /* an object replaced this often while it is read is not read */

struct read {
    struct objstore_s3 *s;
    struct slice key;
    uint64_t off, len; /* of the whole read; len is known after the first part */
    int64_t until_ms;
    struct objstore_info info;
    bool has_changed; /* a part was of another version than the first */
};

/* ---- one part ---- */

static void part_init(const struct read *r, struct s3wire_call *call, struct arena *a, uint64_t off,
                      uint64_t len)
{
    *call = (struct s3wire_call){.op = S3WIRE_GET,
                                 .method = "GET",
                                 .key = r->key,
                                 .max_bytes = len,
                                 .expect_bytes = len,
                                 .is_hedged = true,
                                 .until_ms = r->until_ms};
    s3wire_header(call, "range",
                  slice_cstr(arena_printf(a, "bytes=%" PRIu64 "-%" PRIu64, off, off + (len - 1))));
}

/* Whether the answer is the range that was asked for. */
static struct err *check_range(const struct s3wire_call *call, uint64_t off, uint64_t len)
{
    struct slice range = http_client_reply_header(&call->reply, "content-range");
    char want[64];

    (void)snprintf(want, sizeof(want), "bytes %" PRIu64 "-%" PRIu64 "/", off, off + (len - 1));
    if (call->reply.status != 206 || !slice_has_prefix(range, slice_cstr(want)) ||
        call->reply.body.len != len)
        return err_new(ERR_IO,
                       "status %d, range \"%.*s\" and %zu bytes where %" PRIu64 " from %" PRIu64
                       " on were due",
                       call->reply.status, SLICE_ARG(slice_sub(range, 0, 80)), call->reply.body.len,
                       len, off);
    return NULL;
}

/* ---- the rest, in parallel ---- */

static uint64_t part_len(const struct read *r, uint64_t done)
{
    return ORR_MIN(r->len - done, (uint64_t)r->s->opts->read_part_bytes);
}

static struct err *take_part(struct read *r, struct s3wire_call *call, uint64_t done,
                             struct buf *ret)
{
    struct objstore_info info;
    struct err *e = s3wire_finish(r->s->w, call);

    if (e)
        return e;
    if ((e = objstore_s3_info(call, &info)))
        return e;
    if (strcmp(info.etag, r->info.etag) != 0) {
        r->has_changed = true;
        return err_new(ERR_IO, "the object was replaced while it was read");
    }
    if ((e = check_range(call, r->off + done, part_len(r, done))))
        return e;
    buf_slice_append(ret, buf_slice(&call->reply.body));
    s3wire_done(r->s->w, call);
    return NULL;
}

/* A ring of calls under way: the oldest is waited for, a new one takes its place. */
static struct err *read_rest(struct read *r, uint64_t done, struct buf *ret)
{
    size_t width = (size_t)r->s->opts->parallel, first = 0, n = 0;
    struct s3wire_call *calls = mem_new_array(struct s3wire_call, width);
    struct arena *a = arena_new(0);
    uint64_t asked = done;
    struct err *e = NULL;

    while (!e && done < r->len) {
        while (n < width && asked < r->len) {
            struct s3wire_call *call = &calls[(first + n++) % width];

            objstore_tally_parts(1);
            part_init(r, call, a, r->off + asked, part_len(r, asked));
            asked += part_len(r, asked);
            s3wire_begin(r->s->w, call);
        }
        if (!(e = take_part(r, &calls[first], done, ret)))
            done += part_len(r, done);
        first = (first + 1) % width;
        n--;
    }
    for (size_t i = 0; i < width; i++)
        s3wire_done(r->s->w, &calls[i]);
    mem_free(calls);
    arena_free(a);
    return e;
}

/* ---- the whole ---- */

static struct err *over(uint64_t bytes, uint64_t max)
{
    return err_new(ERR_TOO_LARGE, "%" PRIu64 " bytes, more than %" PRIu64, bytes, max);
}

/* The answer's bytes without a copy where ret lets us. */
static struct err *hand_over(struct s3wire_call *call, struct buf *ret)
{
    if (!ret->max_bytes) {
        buf_done(ret);
        *ret = call->reply.body;
        call->reply.body = (struct buf){0};
        return NULL;
    }
    buf_slice_append(ret, buf_slice(&call->reply.body));
    return buf_ok(ret) ? NULL : over(call->reply.body.len, ret->max_bytes);
}

/* Of an empty object there is no range; and of a server that knows none, all of it comes. */
static struct err *get_whole(struct read *r, const struct objstore_get *opts, struct buf *ret)
{
    struct s3wire_call call = {.op = S3WIRE_GET,
                               .method = "GET",
                               .key = r->key,
                               .max_bytes = opts->max_bytes,
                               .is_hedged = true,
                               .until_ms = r->until_ms};
    struct err *e = s3wire_run(r->s->w, &call);

    if (!e && !(e = objstore_s3_info(&call, &r->info)))
        e = hand_over(&call, ret);
    s3wire_done(r->s->w, &call);
    if (e || (opts->off == 0 && opts->len == 0))
        return e;
    if (opts->off > ret->len || (opts->off == ret->len && ret->len))
        return err_new(ERR_INVALID, "offset %" PRIu64 " is past the end (%zu bytes)", opts->off,
                       ret->len);
    buf_consume(ret, opts->off);
    if (opts->len && ret->len > opts->len)
        ret->len = opts->len;
    return NULL;
}

/* What the first part says of the whole. */
static struct err *learn(struct read *r, const struct s3wire_call *call,
                         const struct objstore_get *opts)
{
    struct err *e = objstore_s3_info(call, &r->info);

    if (e)
        return e;
    if (r->off >= r->info.bytes)
        return err_new(ERR_IO, "a range of an object that ends before it");
    r->len = r->info.bytes - r->off;
    if (opts->len)
        r->len = ORR_MIN(r->len, opts->len);
    return r->len > opts->max_bytes ? over(r->len, opts->max_bytes) : NULL;
}

static struct err *read_once(struct read *r, const struct objstore_get *opts, struct buf *ret)
{
    uint64_t part = opts->is_single ? UINT64_MAX : (uint64_t)r->s->opts->read_part_bytes;
    uint64_t most = ORR_MIN(part, opts->max_bytes), first;
    struct arena *a = arena_new(0);
    struct s3wire_call call;
    struct err *e;
    int status;

    r->off = opts->off;
    if (opts->off > INT64_MAX) {
        arena_free(a);
        return err_new(ERR_INVALID, "offset %" PRIu64 " is past the end", opts->off);
    }
    part_init(r, &call, a, opts->off, opts->len ? ORR_MIN(opts->len, most) : most);
    if (!opts->len)
        call.expect_bytes = 0; /* most objects that are read whole are small */
    e = s3wire_run(r->s->w, &call);
    status = call.reply.status;
    if (!e && status == 206 && !(e = learn(r, &call, opts))) {
        first = ORR_MIN(r->len, most);
        if (!(e = check_range(&call, r->off, first)) && first == r->len) {
            e = hand_over(&call, ret);
        } else if (!e) {
            if (!buf_reserve(ret, r->len))
                e = over(r->len, ret->max_bytes);
            buf_slice_append(ret, buf_slice(&call.reply.body));
            s3wire_done(r->s->w, &call);
            if (!e)
                e = read_rest(r, first, ret);
        }
    }
    s3wire_done(r->s->w, &call);
    arena_free(a);
    if ((!e && status == 200) || (e && status == 416 && opts->off == 0) ||
        (err_is(e, ERR_TOO_LARGE) && status != 206)) {
        err_free(e);
        return get_whole(r, opts, ret);
    }
    return e;
}

struct err *objstore_s3_get(struct objstore *base, struct slice key,
                            const struct objstore_get *opts, struct buf *ret,
                            struct objstore_info *ret_info)
{
    struct read r = {.s = objstore_s3_from(base), .key = key, .until_ms = opts->until_ms};
    struct err *e = NULL;

    for (int i = 0; i < VERSION_TRIES; i++) {
        err_free(e);
        buf_reset(ret);
        r.has_changed = false;
        e = read_once(&r, opts, ret);
        if (!e || !r.has_changed)
            break;
    }
    if (!e)
        *ret_info = r.info;
    return e;
}
