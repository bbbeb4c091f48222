#include "ingester/late_news.h"

#include "common/base/lock.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/model/late_writes.h"

struct late_news {
    struct membership *ms;
    struct lock lock;
    struct map told; /* tenant: the round told last, as a pointer */
};

struct late_news *late_news_new(struct membership *ms)
{
    struct late_news *n = mem_new(struct late_news);

    n->ms = ms;
    lock_init(&n->lock, LOCK_LEAF_MODULE);
    return n;
}

void late_news_free(struct late_news *n)
{
    if (!n)
        return;
    map_done(&n->told);
    lock_done(&n->lock);
    mem_free(n);
}

static bool is_late(const struct push_series *s, int64_t before_ms)
{
    if (!s->extra)
        return s->sample.t_ms < before_ms;
    if (s->extra->created_ms && s->extra->created_ms < before_ms)
        return true; /* a zero there, of which the door tells once */
    for (uint32_t i = 0; i < s->extra->n_samples; i++)
        if (s->extra->samples[i].t_ms < before_ms)
            return true;
    for (uint32_t i = 0; i < s->extra->n_histograms; i++)
        if (s->extra->histograms[i].t_ms < before_ms)
            return true;
    return false;
}

static bool has_late(const struct push *p, int64_t now_ms)
{
    int64_t before_ms = late_writes_before_ms(&p->limits, now_ms);

    VEC_FOREACH (s, &p->series)
        if (is_late(s, before_ms))
            return true;
    return false;
}

void late_news_look(struct late_news *n, const struct push *p)
{
    int64_t now_ms = clock_wall_ms(&clock_system);
    uint64_t version = late_writes_version(now_ms);
    bool is_new;
    char *key;

    if (!has_late(p, now_ms))
        return;
    lock_take(&n->lock);
    if (n->told.len >= LATE_NEWS_TENANTS)
        map_done(&n->told);
    is_new = map_put(&n->told, p->tenant, (void *)(uintptr_t)version) != (void *)(uintptr_t)version;
    lock_release(&n->lock);
    if (!is_new)
        return;
    key = mem_printf("%s%.*s", LATE_WRITES_PREFIX, SLICE_ARG(p->tenant));
    membership_kv_post(n->ms, slice_cstr(key), version, SLICE_EMPTY);
    mem_free(key);
}
