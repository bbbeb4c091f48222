#include "querier/store/blockloss.h"

#include "common/base/log.h"
#include "common/base/metric.h"

bool blockloss_allows(void *arg, const struct catalogue_block *block, const struct err *e)
{
    struct blockloss *loss = arg;
    struct slice key = slice_of(block->ulid.bytes, sizeof(block->ulid.bytes));
    struct ulid_text id = ulid_print(block->ulid);
    bool ok;
    char *what;

    if (!loss->f || (!block->origin.zone.len && !block->origin.instance.len))
        return false;
    if (map_has(&loss->known, key))
        return true;
    what = mem_printf("block %s: %s", id.s, err_msg(e));
    ok = fanout_lose(loss->f, block->origin.zone, block->origin.instance, what);
    mem_free(what);
    if (!ok)
        return false;
    METRIC_ADD(*loss->lost, 1);
    (void)map_put(&loss->known, key, NULL);
    LOG_ERROR(store, "a block cannot be read, other replicas have what is in it",
              KV_SLICE("tenant", loss->tenant), KV_STR("block", id.s),
              KV_SLICE("zone", block->origin.zone), KV_SLICE("peer", block->origin.instance),
              KV_ERR(e));
    return true;
}

void blockloss_done(struct blockloss *loss)
{
    map_done(&loss->known);
}

bool blockloss_is_of_block(const struct err *e)
{
    return err_is(e, ERR_CORRUPT) || err_is(e, ERR_NOT_FOUND) || err_is(e, ERR_UNAVAILABLE) ||
           err_is(e, ERR_IO);
}

struct lossy_source {
    struct series_source base;
    struct blockloss *loss;
    const struct catalogue_block *block;
    struct series_source *src;
    bool is_over;
};

static struct err *lossy_next(struct series_source *base, struct source_series *ret, bool *ret_more)
{
    struct lossy_source *s = (struct lossy_source *)base;
    struct err *e;

    *ret_more = false;
    if (s->is_over)
        return NULL;
    e = s->src->ops->next(s->src, ret, ret_more);
    if (!blockloss_is_of_block(e) || !blockloss_allows(s->loss, s->block, e))
        return e;
    err_free(e);
    s->is_over = true;
    *ret_more = false;
    return NULL;
}

static void lossy_close(struct series_source *base)
{
    struct lossy_source *s = (struct lossy_source *)base;

    s->src->ops->close(s->src);
    mem_free(s);
}

struct series_source *blockloss_source(struct blockloss *loss, const struct catalogue_block *block,
                                       struct series_source *src)
{
    static const struct series_source_ops ops = {lossy_next, lossy_close};
    struct lossy_source *s = mem_new(struct lossy_source);

    *s = (struct lossy_source){{&ops}, loss, block, src, false};
    return &s->base;
}
