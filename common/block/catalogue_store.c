#include "common/base/hash.h"
#include "common/base/lock.h"
#include "common/base/mem.h"
#include "common/block/catalogue.h"
#include "common/block/catalogue_internal.h"

#define CATALOGUE_OBJECT "catalogue"
#define CATALOGUE_TRIES 50

/* Threads of this process change a catalogue one after the other. Racing by puts, each would load it again for every other that
 * is faster; and after CATALOGUE_TRIES lost races a block has been made in vain. Catalogues share locks. */
static struct lock turns[64];
static pthread_once_t turns_once = PTHREAD_ONCE_INIT;

static void init_turns(void)
{
    for (size_t i = 0; i < ORR_COUNT(turns); i++)
        lock_init(&turns[i], LOCK_CATALOGUE);
}

static struct lock *turn_of(const char *key)
{
    (void)pthread_once(&turns_once, init_turns);
    return &turns[hash_xxh64(slice_cstr(key), 0) % ORR_COUNT(turns)];
}

char *catalogue_key(struct slice signal, struct slice tenant)
{
    return mem_printf("%.*s/%.*s/" CATALOGUE_OBJECT, SLICE_ARG(signal), SLICE_ARG(tenant));
}

static struct err *load_there(struct objstore *store, struct slice key, struct catalogue **ret,
                              struct objstore_info *ret_info)
{
    struct buf b = {0};
    struct err *e = objstore_get(
        store, key, &(struct objstore_get){.max_bytes = CATALOGUE_MAX_BYTES}, &b, ret_info);

    if (!e)
        e = err_wrap(catalogue_parse(buf_slice(&b), ret), "%.*s", SLICE_ARG(key));
    buf_done(&b);
    return e;
}

struct err *catalogue_load_at(struct objstore *store, struct slice key, struct catalogue **ret)
{
    struct objstore_info info;

    return load_there(store, key, ret, &info);
}

/* ret_info->etag is "" when there is none. */
static struct err *load(struct objstore *store, const char *key, struct slice signal,
                        struct slice tenant, struct catalogue **ret, struct objstore_info *ret_info)
{
    struct err *e = load_there(store, slice_cstr(key), ret, ret_info);

    if (!err_is(e, ERR_NOT_FOUND))
        return e;
    err_free(e);
    *ret_info = (struct objstore_info){0};
    *ret = catalogue_new(signal, tenant);
    return NULL;
}

struct err *catalogue_load(struct objstore *store, struct slice signal, struct slice tenant,
                           struct catalogue **ret)
{
    char *key = catalogue_key(signal, tenant);
    struct objstore_info info;
    struct err *e = load(store, key, signal, tenant, ret, &info);

    mem_free(key);
    return e;
}

struct err *catalogue_stat(struct objstore *store, struct slice signal, struct slice tenant,
                           char *ret_etag)
{
    char *key = catalogue_key(signal, tenant);
    struct err *e = objstore_etag(store, slice_cstr(key), ret_etag);

    mem_free(key);
    return e;
}

/* What nobody could read again, for whatever reason, must not take the place of what can be. */
static struct err *check_readable(struct slice bytes)
{
    struct catalogue *c = NULL;
    struct err *e = catalogue_parse(bytes, &c), *ret = NULL;

    if (e)
        ret = err_new(ERR_INVALID, "it would not be readable: %s", err_msg(e));
    err_free(e);
    catalogue_free(c);
    return ret;
}

/* The next version, in the place of the one with the etag. */
static struct err *put(struct objstore *store, const char *key, const char *etag,
                       struct catalogue *c)
{
    const struct objstore_put opts = {.cond = etag[0] ? OBJSTORE_IF_MATCH : OBJSTORE_IF_ABSENT,
                                      .etag = etag,
                                      .content_type = "application/json"};
    struct buf b = {0};
    struct err *e;

    catalogue_bump(c);
    catalogue_write(&b, c);
    e = b.len > CATALOGUE_MAX_BYTES
            ? err_new(ERR_LIMIT, "catalogue of %zu bytes, more than %u", b.len, CATALOGUE_MAX_BYTES)
            : check_readable(buf_slice(&b));
    if (!e)
        e = objstore_put(store, slice_cstr(key), buf_slice(&b), &opts, NULL);
    buf_done(&b);
    return e;
}

struct err *catalogue_replace(struct objstore *store, const char *etag, struct catalogue *c)
{
    char *key = catalogue_key(catalogue_signal(c), catalogue_tenant(c));
    struct err *e = put(store, key, etag, c);

    mem_free(key);
    return e;
}

/* One round: load, edit, put. ERR_CONFLICT when another was faster. */
static struct err *try_update(struct objstore *store, const char *key, struct slice signal,
                              struct slice tenant, catalogue_edit_fn *edit, void *arg,
                              struct catalogue **ret)
{
    struct catalogue *c = NULL;
    struct objstore_info info;
    bool changed = false;
    struct err *e;

    if ((e = load(store, key, signal, tenant, &c, &info)))
        return e;
    if (!info.etag[0]) /* taken for an empty one it would be lost */
        e = objstore_check_absent(store, slice_cstr(key));
    if (!e)
        e = edit(arg, c, &changed);
    if (!e && changed)
        e = put(store, key, info.etag, c);
    if (e)
        catalogue_free(c);
    else
        *ret = c;
    return e;
}

struct err *catalogue_update(struct objstore *store, struct slice signal, struct slice tenant,
                             catalogue_edit_fn *edit, void *arg, struct catalogue **ret)
{
    char *key = catalogue_key(signal, tenant);
    struct lock *turn = turn_of(key);
    struct catalogue *c = NULL;
    struct err *e = NULL;

    lock_take(turn);
    for (int i = 0; i < CATALOGUE_TRIES; i++) {
        err_free(e);
        e = try_update(store, key, signal, tenant, edit, arg, &c);
        if (!err_is(e, ERR_CONFLICT))
            break;
    }
    lock_release(turn);
    mem_free(key);
    if (e)
        return err_wrap(e, "update the catalogue of %.*s", SLICE_ARG(tenant));
    if (ret)
        *ret = c;
    else
        catalogue_free(c);
    return NULL;
}

struct err *catalogue_tenants(struct objstore *store, struct arena *a, struct slice signal,
                              struct slice **ret, size_t *ret_n)
{
    struct slice prefix = slice_cstr(arena_printf(a, "%.*s/", SLICE_ARG(signal)));
    struct objstore_listing l;
    struct err *e = objstore_list(
        store, a, &(struct objstore_list){.prefix = prefix, .by_directory = true}, &l);
    size_t n = 0;

    if (e)
        return e;
    *ret = arena_array(a, struct slice, l.n);
    for (size_t i = 0; i < l.n; i++)
        if (l.ptr[i].is_prefix)
            (*ret)[n++] = slice_sub(l.ptr[i].key, prefix.len, l.ptr[i].key.len - prefix.len - 1);
    *ret_n = n;
    return NULL;
}
