#include "ingester/metrics/dropped_by.h"

#include <inttypes.h>

#include "common/base/fsx.h"
#include "common/base/lock.h"
#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/mem.h"

#define FILE_MAX_BYTES 64

struct dropped_by {
    char *dir;
    struct lock lock;    /* rank LEAF_MODULE */
    struct map versions; /* as pointers, by tenant: not below what is on disk */
    struct lock writing; /* rank HEAD_DROPS: one file at a time, held over file work */
};

static char *path_of(const struct dropped_by *d, struct slice tenant)
{
    return mem_printf("%s/%.*s", d->dir, SLICE_ARG(tenant));
}

static void put(struct dropped_by *d, struct slice tenant, uint64_t version)
{
    void **slot;

    lock_take(&d->lock);
    slot = map_slot(&d->versions, tenant);
    if ((uintptr_t)*slot < version)
        *slot = (void *)(uintptr_t)version;
    lock_release(&d->lock);
}

static struct err *parse(struct slice text, uint64_t *ret)
{
    uint64_t version;

    if (!slice_has_suffix(text, SLICE("\n")) ||
        !slice_to_u64(slice_sub(text, 0, text.len - 1), &version) || version > UINTPTR_MAX)
        return err_new(ERR_CORRUPT, "not a version");
    *ret = version;
    return NULL;
}

static void load(struct dropped_by *d, struct slice tenant)
{
    char *path = path_of(d, tenant);
    struct buf text = {0};
    uint64_t version;
    struct err *e = fsx_read(path, FILE_MAX_BYTES, &text);

    if (!e && !(e = parse(buf_slice(&text), &version)))
        put(d, tenant, version);
    if (e)
        LOG_ERROR(head, "by which catalogue segments were dropped is not known any more",
                  KV_STR("path", path), KV_ERR(e));
    err_free(e);
    buf_done(&text);
    mem_free(path);
}

struct err *dropped_by_open(const char *dir, struct dropped_by **ret)
{
    struct dropped_by *d = mem_new(struct dropped_by);
    char **names;
    size_t n;
    struct err *e;

    d->dir = mem_strdup(dir);
    lock_init(&d->lock, LOCK_LEAF_MODULE);
    lock_init(&d->writing, LOCK_HEAD_DROPS);
    if ((e = fsx_mkdirs(dir)) || (e = fsx_list(dir, &names, &n))) {
        dropped_by_close(d);
        return e;
    }
    for (size_t i = 0; i < n; i++)
        load(d, slice_cstr(names[i]));
    fsx_names_free(names, n);
    *ret = d;
    return NULL;
}

void dropped_by_close(struct dropped_by *d)
{
    if (!d)
        return;
    map_done(&d->versions);
    lock_done(&d->writing);
    lock_done(&d->lock);
    mem_free(d->dir);
    mem_free(d);
}

uint64_t dropped_by_get(struct dropped_by *d, struct slice tenant)
{
    uint64_t ret;

    lock_take(&d->lock);
    ret = (uintptr_t)map_get(&d->versions, tenant);
    lock_release(&d->lock);
    return ret;
}

struct err *dropped_by_raise(struct dropped_by *d, struct slice tenant, uint64_t version)
{
    char *path = path_of(d, tenant), *text = mem_printf("%" PRIu64 "\n", version);
    struct err *e = NULL;

    lock_take(&d->writing);
    if (dropped_by_get(d, tenant) < version && !(e = fsx_write_atomic(path, slice_cstr(text))))
        put(d, tenant, version);
    lock_release(&d->writing);
    mem_free(text);
    mem_free(path);
    return e;
}
