/* How what is in the bucket is changed. */
#include "common/base/log.h"
#include "ruler/rule_store.h"

#define TRIES 50

/* Empty, with etag "", when it is not there. */
static struct err *load_object(struct objstore *store, struct arena *a, struct slice key,
                               struct slice ns, struct rule_object *ret, struct objstore_info *info)
{
    struct buf bytes = {0};
    struct err *e = objstore_get(
        store, key, &(struct objstore_get){.max_bytes = RULE_OBJECT_MAX_BYTES}, &bytes, info);

    *ret = (struct rule_object){.ns = ns};
    if (err_is(e, ERR_NOT_FOUND)) {
        err_free(e);
        info->etag[0] = '\0';
        e = objstore_check_absent(store, key); /* taken for an empty one it would be lost */
    } else if (!e) {
        e = rule_object_parse(a, arena_dup(a, buf_slice(&bytes)), ret);
    }
    if (err_is(e, ERR_CORRUPT) || err_is(e, ERR_TOO_LARGE)) {
        LOG_WARN(ruler, "rules in the bucket are damaged", KV_SLICE("path", key), KV_ERR(e));
        err_free(e);
        e = objstore_etag(store, key, info->etag);
        *ret = (struct rule_object){.ns = ns, .is_damaged = true};
    }
    buf_done(&bytes);
    return e;
}

static struct err *put_object(struct objstore *store, struct slice key, const char *etag,
                              const struct rule_object *o)
{
    const struct objstore_put opts = {.cond = etag[0] ? OBJSTORE_IF_MATCH : OBJSTORE_IF_ABSENT,
                                      .etag = etag};
    struct buf bytes = {0};
    struct err *e = rule_object_write(&bytes, o);

    if (!e)
        e = objstore_put(store, key, buf_slice(&bytes), &opts, NULL);
    buf_done(&bytes);
    return e;
}

static struct err *try_change(struct objstore *store, struct arena *a, struct slice key,
                              struct slice ns, rule_store_edit_fn *edit, void *arg)
{
    struct rule_object o;
    struct objstore_info info = {.bytes = 0};
    bool is_changed = false;
    struct err *e = load_object(store, a, key, ns, &o, &info);

    if (!e)
        e = edit(arg, a, &o, &is_changed);
    if (!e && is_changed)
        e = put_object(store, key, info.etag, &o);
    return e;
}

struct err *rule_store_change(struct objstore *store, struct slice tenant, enum rule_lang lang,
                              struct slice ns, rule_store_edit_fn *edit, void *arg)
{
    struct err *e = NULL;

    for (int i = 0; i < TRIES; i++) {
        struct arena *a = arena_new(0); /* an object bounds it */

        err_free(e);
        e = try_change(store, a, rule_object_key(a, tenant, lang, ns), ns, edit, arg);
        arena_free(a);
        if (!err_is(e, ERR_CONFLICT))
            break;
    }
    return e;
}

bool rule_store_is_empty(const struct rule_store_entry *entry, int64_t now_ms)
{
    return !entry->is_bad && entry->is_settled && entry->ns->n == 0 &&
           now_ms - entry->modified_ms >= RULE_STORE_SWEEP_MS;
}

struct err *rule_store_sweep(struct objstore *store, struct slice key)
{
    struct arena *a = arena_new(0);
    struct objstore_info info = {.bytes = 0};
    struct rule_object o;
    struct err *e = load_object(store, a, key, SLICE_EMPTY, &o, &info);

    if (!e && o.n == 0 && !o.is_damaged && info.etag[0])
        e = objstore_delete(store, key);
    arena_free(a);
    return e;
}
