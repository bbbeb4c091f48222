#include "querier/store/blockloss.h"

#include <time.h>

#include "common/base/log.h"
#include "common/base/metric.h"
#include "querier/store/store_internal.h"

static void put_time(struct buf *out, int64_t ms)
{
    time_t s = (time_t)(ms / MS_PER_S);
    char text[32];
    struct tm tm;

    if (gmtime_r(&s, &tm) && strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm))
        buf_str(out, text);
    else
        buf_printf(out, "%lld ms", (long long)ms);
}

static void warn(struct blockloss *loss, const struct catalogue_block *block)
{
    struct store_query *sq = loss->sq;
    struct buf b = {0};

    if (sq->lost.len > BLOCKLOSS_NAMED) {
        buf_str(&b,
                "more blocks cannot be read, and the answer is made of what other replicas have");
    } else {
        buf_printf(&b, "block %s (", ulid_print(block->ulid).s);
        put_time(&b, block->min_t);
        buf_str(&b, " to ");
        put_time(&b, block->max_t);
        buf_str(&b, ") cannot be read, and the answer is made of what other replicas have: what no "
                    "other has is missing, if there is anything");
    }
    store_query_warn(sq, buf_slice(&b));
    buf_done(&b);
    if (loss->set)
        store_query_lend_warnings(sq, loss->set);
}

/* The query meets it for the first time. */
static void note(struct blockloss *loss, const struct catalogue_block *block, const struct err *e)
{
    METRIC_ADD(loss->sq->store->lost_blocks, 1);
    LOG_ERROR(store, "a block cannot be read, the answer is made of what other replicas have",
              KV_SLICE("tenant", loss->sq->opts.tenant), KV_STR("block", ulid_print(block->ulid).s),
              KV_SLICE("zone", block->origin.zone), KV_SLICE("peer", block->origin.instance),
              KV_ERR(e));
    warn(loss, block);
}

bool blockloss_allows(void *arg, const struct catalogue_block *block, const struct err *e)
{
    struct blockloss *loss = arg;
    struct slice key = slice_of(block->ulid.bytes, sizeof(block->ulid.bytes));
    bool ok;
    char *what;

    if (!loss->f || (!block->origin.zone.len && !block->origin.instance.len))
        return false;
    if (map_has(&loss->known, key))
        return true;
    what = mem_printf("block %s: %s", ulid_print(block->ulid).s, err_msg(e));
    ok = fanout_lose(loss->f, block->origin.zone, block->origin.instance, what);
    mem_free(what);
    if (!ok)
        return false;
    (void)map_put(&loss->known, key, NULL);
    if (map_has(&loss->sq->lost, key))
        return true;
    (void)map_put(&loss->sq->lost, key, NULL);
    note(loss, block, e);
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
