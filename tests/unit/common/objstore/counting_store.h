/*
 * An object store that counts what is read of another, and fails reads when it is told to.
 */
#pragma once
#include "common/base/metric.h"
#include "common/objstore/objstore_fs.h"
#include "tests/unit/test.h"

struct counting_store {
    struct objstore base;
    struct objstore *below;
    uint64_t gets, bytes, stats;
    int failing;        /* so many of the next gets fail */
    int hiding;         /* so many of the next gets and stats say that the object is not there */
    unsigned hide_mask; /* the same, of those whose bit is set, lowest first; before hiding */
    const char *hides;  /* part of the keys of which hiding and hide_mask are; NULL: all */
    bool is_plain;      /* it has no conditional puts */
};

static bool counting_hides(struct counting_store *s, struct slice key)
{
    unsigned mask = METRIC_GET(s->hide_mask);

    if (s->hides && slice_find(key, slice_cstr(s->hides), 0) < 0)
        return false;
    if (mask) {
        __atomic_store_n(&s->hide_mask, mask >> 1, __ATOMIC_RELAXED);
        return mask & 1;
    }
    return METRIC_GET(s->hiding) > 0 && __atomic_fetch_sub(&s->hiding, 1, __ATOMIC_RELAXED) > 0;
}

static struct err *counting_get(struct objstore *base, struct slice key,
                                const struct objstore_get *opts, struct buf *ret,
                                struct objstore_info *ret_info)
{
    struct counting_store *s = (struct counting_store *)base;
    struct err *e;

    METRIC_ADD(s->gets, 1);
    if (METRIC_GET(s->failing) > 0) {
        (void)__atomic_fetch_sub(&s->failing, 1, __ATOMIC_RELAXED);
        return err_new(ERR_UNAVAILABLE, "told to fail");
    }
    if (counting_hides(s, key))
        return err_new(ERR_NOT_FOUND, "told to hide it");
    e = s->below->ops->get(s->below, key, opts, ret, ret_info); /* one get, not two */
    METRIC_ADD(s->bytes, ret->len);
    return e;
}

static struct err *counting_put(struct objstore *base, struct slice key, struct slice content,
                                const struct objstore_put *opts, struct objstore_info *ret_info)
{
    struct counting_store *s = (struct counting_store *)base;

    return objstore_put(s->below, key, content, s->is_plain ? NULL : opts, ret_info);
}

static struct err *counting_put_file(struct objstore *base, struct slice key, const char *path,
                                     const struct objstore_put *opts,
                                     struct objstore_info *ret_info)
{
    return objstore_put_file(((struct counting_store *)base)->below, key, path, opts, ret_info);
}

static struct err *counting_stat(struct objstore *base, struct slice key, struct objstore_info *ret)
{
    struct counting_store *s = (struct counting_store *)base;

    METRIC_ADD(s->stats, 1);
    if (counting_hides(s, key))
        return err_new(ERR_NOT_FOUND, "told to hide it");
    return objstore_stat(s->below, key, ret);
}

static struct err *counting_list(struct objstore *base, struct arena *a,
                                 const struct objstore_list *opts, struct objstore_listing *ret)
{
    return objstore_list(((struct counting_store *)base)->below, a, opts, ret);
}

static struct err *counting_del(struct objstore *base, struct slice key)
{
    return objstore_delete(((struct counting_store *)base)->below, key);
}

static struct err *counting_is_atomic(struct objstore *base, bool *ret)
{
    *ret = !((struct counting_store *)base)->is_plain;
    return NULL;
}

static const struct objstore_ops counting_ops = {.is_atomic = counting_is_atomic,
                                                 .get = counting_get,
                                                 .put = counting_put,
                                                 .put_file = counting_put_file,
                                                 .list = counting_list,
                                                 .del = counting_del,
                                                 .stat = counting_stat};

/* Over a directory below the test's own. */
static void counting_store_open(struct counting_store *s)
{
    *s = (struct counting_store){.base = {&counting_ops, (char *)"counting"}};
    CHECK_OK(objstore_fs_open(tmp_path("bucket"), &(struct objstore_fs_opts){.no_sync = true},
                              &s->below));
}

static void counting_store_close(struct counting_store *s)
{
    objstore_close(s->below);
}
