#include "common/objstore/objstore.h"

#include <unistd.h>

#include "common/base/mem.h"
#include "common/base/metric.h"

#define ABSENT_LOOKS 2
#define ABSENT_PAUSE_MS 100

#define OBJSTORE_DEFAULT_MAX_BYTES (1ull << 30)
#define OBJSTORE_DELETE_PAGE 1000

static _Thread_local struct objstore_tally *tally;

struct objstore_tally *objstore_tally_set(struct objstore_tally *t)
{
    struct objstore_tally *before = tally;

    tally = t;
    return before;
}

struct objstore_tally *objstore_tally_get(void)
{
    return tally;
}

static void count_get(size_t bytes)
{
    if (!tally)
        return;
    METRIC_ADD(tally->gets, 1);
    METRIC_ADD(tally->bytes, bytes);
}

void objstore_tally_parts(uint64_t n)
{
    if (tally)
        METRIC_ADD(tally->gets, n);
}

static bool is_plain(struct slice key)
{
    for (size_t i = 0; i < key.len; i++)
        if (key.ptr[i] < 0x20 || key.ptr[i] == 0x7f || key.ptr[i] == '\\')
            return false;
    return true;
}

struct err *objstore_check_key(struct slice key)
{
    struct slice rest = key, part;
    bool is_first = true;

    if (key.len == 0 || key.len > OBJSTORE_MAX_KEY)
        return err_new(ERR_INVALID, "object key of %zu bytes", key.len);
    if (!is_plain(key))
        return err_new(ERR_INVALID, "object key with a control byte or backslash");
    while (slice_split(&rest, '/', &part)) {
        if (part.len == 0 || slice_eq(part, SLICE(".")) || slice_eq(part, SLICE("..")))
            return err_new(ERR_INVALID, "object key \"%.*s\": empty or relative segment",
                           SLICE_ARG(key));
        if (part.len > 255)
            return err_new(ERR_INVALID, "object key with a segment of %zu bytes", part.len);
        if (is_first && slice_eq(part, SLICE(".orrery")))
            return err_new(ERR_INVALID, "object key \"%.*s\": .orrery is reserved", SLICE_ARG(key));
        is_first = false;
    }
    return NULL;
}

/* Says which object of which store. */
static struct err *named(struct err *e, struct objstore *s, const char *verb, struct slice key)
{
    return err_wrap(e, "%s %.*s in %s", verb, SLICE_ARG(key), s->name);
}

struct err *objstore_get(struct objstore *s, struct slice key, const struct objstore_get *opts,
                         struct buf *ret, struct objstore_info *ret_info)
{
    struct objstore_get o = opts ? *opts : (struct objstore_get){0};
    struct objstore_info info;
    struct err *e;

    if (o.max_bytes == 0)
        o.max_bytes = OBJSTORE_DEFAULT_MAX_BYTES;
    if ((e = objstore_check_key(key)))
        return e;
    buf_reset(ret);
    e = s->ops->get(s, key, &o, ret, ret_info ? ret_info : &info);
    count_get(e ? 0 : ret->len);
    return named(e, s, "get", key);
}

static struct err *check_put(struct slice key, struct objstore_put *o)
{
    struct err *e = objstore_check_key(key);

    if (!e && o->cond == OBJSTORE_IF_MATCH && (!o->etag || !o->etag[0]))
        return err_new(ERR_INVALID, "conditional put without an etag");
    if (!o->content_type)
        o->content_type = "application/octet-stream";
    return e;
}

struct err *objstore_put(struct objstore *s, struct slice key, struct slice content,
                         const struct objstore_put *opts, struct objstore_info *ret_info)
{
    struct objstore_put o = opts ? *opts : (struct objstore_put){0};
    struct objstore_info info;
    struct err *e;

    if ((e = check_put(key, &o)))
        return e;
    return named(s->ops->put(s, key, content, &o, ret_info ? ret_info : &info), s, "put", key);
}

struct err *objstore_put_file(struct objstore *s, struct slice key, const char *path,
                              const struct objstore_put *opts, struct objstore_info *ret_info)
{
    struct objstore_put o = opts ? *opts : (struct objstore_put){0};
    struct objstore_info info;
    struct err *e;

    if ((e = check_put(key, &o)))
        return e;
    return named(s->ops->put_file(s, key, path, &o, ret_info ? ret_info : &info), s, "put", key);
}

struct err *objstore_list(struct objstore *s, struct arena *a, const struct objstore_list *opts,
                          struct objstore_listing *ret)
{
    struct objstore_list o = opts ? *opts : (struct objstore_list){0};

    if (o.prefix.len > OBJSTORE_MAX_KEY || !is_plain(o.prefix))
        return err_new(ERR_INVALID, "list prefix of %zu bytes, or with a control byte",
                       o.prefix.len);
    return named(s->ops->list(s, a, &o, ret), s, "list", o.prefix);
}

struct err *objstore_delete(struct objstore *s, struct slice key)
{
    struct err *e = objstore_check_key(key);

    return e ? e : named(s->ops->del(s, key), s, "delete", key);
}

struct err *objstore_delete_many(struct objstore *s, const struct slice *keys, size_t n)
{
    struct err *e = NULL;

    for (size_t i = 0; i < n; i++)
        if ((e = objstore_check_key(keys[i])))
            return e;
    if (n && s->ops->del_many)
        return err_wrap(s->ops->del_many(s, keys, n), "delete %zu objects in %s", n, s->name);
    for (size_t i = 0; !e && i < n; i++)
        e = objstore_delete(s, keys[i]);
    return e;
}

struct err *objstore_etag(struct objstore *s, struct slice key, char *ret_etag)
{
    struct objstore_info info = {0};
    struct err *e = objstore_stat(s, key, &info);

    if (err_is(e, ERR_NOT_FOUND)) {
        err_free(e);
        e = NULL;
        info.etag[0] = '\0';
    }
    if (!e)
        memcpy(ret_etag, info.etag, sizeof(info.etag));
    return e;
}

struct err *objstore_is_atomic(struct objstore *s, bool *ret)
{
    if (s->ops->is_atomic)
        return err_wrap(s->ops->is_atomic(s, ret), "conditional puts in %s", s->name);
    *ret = true;
    return NULL;
}

struct err *objstore_stays_absent(struct objstore *s, struct slice key, bool *ret)
{
    char etag[OBJSTORE_ETAG_BYTES] = "";
    struct err *e = NULL;

    for (int i = 0; !e && !etag[0] && i < ABSENT_LOOKS; i++) {
        (void)usleep(ABSENT_PAUSE_MS * 1000);
        e = objstore_etag(s, key, etag);
    }
    *ret = !etag[0];
    return e;
}

struct err *objstore_check_absent(struct objstore *s, struct slice key)
{
    bool finds_out, is_absent;
    struct err *e;

    if ((e = objstore_is_atomic(s, &finds_out)) || finds_out ||
        (e = objstore_stays_absent(s, key, &is_absent)) || is_absent)
        return e;
    return err_new(ERR_CONFLICT, "%.*s in %s was not there for a moment", SLICE_ARG(key), s->name);
}

struct err *objstore_needs_one_writer(struct objstore *s, bool *ret)
{
    *ret = false;
    if (s->ops->needs_one_writer)
        return err_wrap(s->ops->needs_one_writer(s, ret), "conditional puts in %s", s->name);
    return NULL;
}

struct err *objstore_stat(struct objstore *s, struct slice key, struct objstore_info *ret)
{
    struct err *e = objstore_check_key(key);

    return e ? e : named(s->ops->stat(s, key, ret), s, "stat", key);
}

void objstore_stop(struct objstore *s)
{
    if (s && s->ops->stop)
        s->ops->stop(s);
}

void objstore_close(struct objstore *s)
{
    if (s)
        s->ops->close(s);
}

/* One page of keys behind *io_after deleted; *ret_n of them. */
static struct err *delete_page(struct objstore *s, struct slice prefix, struct buf *io_after,
                               size_t *ret_n, bool *ret_more)
{
    struct arena *a = arena_new(0);
    struct objstore_listing l = {0};
    struct err *e = objstore_list(s, a,
                                  &(struct objstore_list){.prefix = prefix,
                                                          .start_after = buf_slice(io_after),
                                                          .limit = OBJSTORE_DELETE_PAGE},
                                  &l);
    struct slice *keys = arena_array(a, struct slice, l.n);

    for (size_t i = 0; i < l.n; i++)
        keys[i] = l.ptr[i].key;
    if (!e)
        e = objstore_delete_many(s, keys, l.n);
    buf_reset(io_after);
    if (l.n)
        buf_slice_append(io_after, keys[l.n - 1]);
    *ret_n = l.n;
    *ret_more = l.is_truncated;
    arena_free(a);
    return e;
}

/* All that a listing has, page after page; *ret_n of them. */
static struct err *delete_listed(struct objstore *s, struct slice prefix, size_t *ret_n)
{
    struct buf after = {0};
    struct err *e = NULL;
    bool more = true;
    size_t n;

    *ret_n = 0;
    while (!e && more) {
        e = delete_page(s, prefix, &after, &n, &more);
        *ret_n += n;
    }
    buf_done(&after);
    return e;
}

struct err *objstore_delete_prefix(struct objstore *s, struct slice prefix)
{
    struct err *e = NULL;
    size_t n = 1;

    if (prefix.len == 0)
        return err_new(ERR_INVALID, "delete of an empty prefix");
    if (prefix.ptr[prefix.len - 1] == '/') {
        char *meta = mem_printf("%.*smeta.json", SLICE_ARG(prefix));

        e = objstore_delete(s, slice_cstr(meta));
        mem_free(meta);
    }
    for (int look = 0; !e && n && look < OBJSTORE_DELETE_LOOKS; look++)
        e = delete_listed(s, prefix, &n);
    return e;
}
