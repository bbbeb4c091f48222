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
    int failing; /* so many of the next gets fail */
};

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
    e = s->below->ops->get(s->below, key, opts, ret, ret_info); /* one get, not two */
    METRIC_ADD(s->bytes, ret->len);
    return e;
}

static struct err *counting_put(struct objstore *base, struct slice key, struct slice content,
                                const struct objstore_put *opts, struct objstore_info *ret_info)
{
    return objstore_put(((struct counting_store *)base)->below, key, content, opts, ret_info);
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

static const struct objstore_ops counting_ops = {.get = counting_get,
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
