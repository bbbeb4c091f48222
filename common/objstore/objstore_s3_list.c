#include <stdio.h>

#include "common/base/vec.h"
#include "common/objstore/objstore_s3_internal.h"

#define MAX_BARREN                                                                                 \
    1000 /* pages in a row: of one prefix with many keys, or of a server that never ends */

struct listing {
    struct objstore_s3 *s;
    struct arena *arena;
    const struct objstore_list *opts;
    struct slice prefix, start_after; /* with s3.prefix */
    struct slice token;
    VEC(struct objstore_entry) out;
    unsigned barren; /* pages since the latest one that told something new */
    bool is_truncated;
};

/* Keys that the interface does not know are not shown by it. */
static bool is_ours(struct slice key, bool is_prefix)
{
    struct err *e;

    if (is_prefix)
        key.len -= key.len && key.ptr[key.len - 1] == '/';
    e = objstore_check_key(key);
    err_free(e);
    return !e;
}

/* In the order of keys over all pages, or what is not would be passed over. */
static struct err *emit(struct listing *l, const struct s3answer_object *o)
{
    size_t cut = strlen(l->s->opts->prefix);
    struct slice key = slice_from(o->key, cut);
    int order = 1;

    if (o->key.len <= cut || !slice_has_prefix(o->key, l->prefix) || !is_ours(key, o->is_prefix))
        return NULL;
    if (l->opts->start_after.len && slice_cmp(key, l->opts->start_after) <= 0)
        return NULL;
    if (l->out.len)
        order = slice_cmp(key, vec_last(&l->out).key);
    if (order < 0)
        return err_new(ERR_CORRUPT,
                       "a listing out of order: \"%.*s\" comes on a page after \"%.*s\"",
                       SLICE_ARG(key), SLICE_ARG(vec_last(&l->out).key));
    if (!order)
        return NULL; /* a prefix that goes on over two pages */
    if (l->opts->limit && l->out.len == l->opts->limit) {
        l->is_truncated = true;
        return NULL;
    }
    vec_push(&l->out, ((struct objstore_entry){.key = arena_dup(l->arena, key),
                                               .is_prefix = o->is_prefix,
                                               .bytes = o->bytes,
                                               .modified_ms = o->modified_ms}));
    return NULL;
}

static struct err *page(struct listing *l, bool *ret_more)
{
    size_t left = l->opts->limit ? l->opts->limit - l->out.len : l->s->list_page, before;
    struct s3wire_call call = {.op = S3WIRE_LIST, .method = "GET", .is_hedged = true};
    struct s3answer_list answer;
    char max_keys[24];
    struct err *e;

    (void)snprintf(max_keys, sizeof(max_keys), "%zu", ORR_MIN(left + 2, l->s->list_page));
    s3wire_query(&call, "list-type", SLICE("2"));
    s3wire_query(&call, "max-keys", slice_cstr(max_keys));
    s3wire_query(&call, "prefix", l->prefix);
    if (l->opts->by_directory)
        s3wire_query(&call, "delimiter", SLICE("/"));
    if (l->token.len)
        s3wire_query(&call, "continuation-token", l->token);
    else if (l->opts->start_after.len)
        s3wire_query(&call, "start-after", l->start_after);
    e = s3wire_run(l->s->w, &call);
    if (!e)
        e = s3answer_list(call.arena, buf_slice(&call.reply.body), &answer);
    if (!e && answer.is_truncated && slice_eq(answer.next, l->token))
        e = err_new(ERR_CORRUPT, "a listing that goes on where it began");
    if (!e) {
        before = l->out.len;
        for (size_t i = 0; !e && i < answer.n; i++)
            e = emit(l, &answer.ptr[i]);
        l->barren = l->out.len == before ? l->barren + 1 : 0;
        if (!e && l->barren > MAX_BARREN)
            e = err_new(ERR_CORRUPT, "a listing of which %u pages in a row tell nothing new",
                        l->barren);
        *ret_more = answer.is_truncated && !l->is_truncated;
        l->token = arena_dup(l->arena, answer.next);
    }
    s3wire_done(l->s->w, &call);
    if (!e && arena_over(l->arena))
        e = err_new(ERR_LIMIT, "a listing of more than %zu bytes", arena_limit(l->arena));
    return e;
}

static struct slice with_prefix(const struct listing *l, struct slice key)
{
    return slice_cstr(arena_printf(l->arena, "%s%.*s", l->s->opts->prefix, SLICE_ARG(key)));
}

struct err *objstore_s3_list(struct objstore *base, struct arena *a,
                             const struct objstore_list *opts, struct objstore_listing *ret)
{
    struct listing l = {.s = objstore_s3_from(base), .arena = a, .opts = opts};
    struct err *e;
    bool more;

    l.prefix = with_prefix(&l, opts->prefix);
    l.start_after = with_prefix(&l, opts->start_after);
    l.token = SLICE_EMPTY;
    do
        e = page(&l, &more);
    while (!e && more);
    if (!e)
        *ret = (struct objstore_listing){.ptr = arena_copy(a, l.out.ptr, l.out.len),
                                         .n = l.out.len,
                                         .is_truncated = l.is_truncated};
    vec_done(&l.out);
    return e;
}
