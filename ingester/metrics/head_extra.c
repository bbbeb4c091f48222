/* What a shard keeps beside samples: exemplars and metadata. */
#include "common/base/mem.h"
#include "common/model/exemplar_order.h"
#include "ingester/metrics/head_internal.h"

static uint32_t ring_limit(const struct head_ts *ts)
{
    uint32_t n = ts->shard->head->opts.exemplars_per_tenant / ts->shard->head->n_shards;

    return n ? n : 1;
}

/* Doubles the ring up to its limit; it is not full yet, so it starts at 0. */
static void grow_ring(struct head_ts *ts)
{
    uint32_t cap = ts->ring_cap ? ts->ring_cap * 2 : 16;

    cap = ORR_MIN(cap, ring_limit(ts));
    ts->ring = mem_reallocarray(ts->ring, cap, sizeof(*ts->ring));
    memset(ts->ring + ts->ring_cap, 0, (cap - ts->ring_cap) * sizeof(*ts->ring));
    ts->ring_cap = cap;
}

static char *labels_blob(struct slice labels)
{
    struct buf b = {0};
    size_t n;

    buf_lstr(&b, labels);
    return (char *)buf_take(&b, &n);
}

static struct slice blob_text(const char *blob)
{
    return head_value_text((const uint8_t *)blob);
}

bool head_ring_add(struct head_ts *ts, uint32_t ref, int64_t t_ms, double v, struct slice labels)
{
    struct slice key = slice_of(&ref, sizeof(ref));
    size_t last = (uintptr_t)map_get(&ts->ring_last, key);
    struct head_ring_exemplar *ex;

    if (last && ts->ring[last - 1].labels && ts->ring[last - 1].ref == ref) {
        struct exemplar_order next = {t_ms, v, labels}, before;

        ex = &ts->ring[last - 1];
        before = (struct exemplar_order){ex->t_ms, ex->v, blob_text(ex->labels)};
        switch (exemplar_order_place(&before, &next)) {
        case EXEMPLAR_BEHIND:
            return false;
        case EXEMPLAR_SAME: /* sent again */
            return true;
        case EXEMPLAR_AFTER:
            break;
        }
    }
    if (ts->ring_len == ts->ring_cap && ts->ring_cap < ring_limit(ts)) {
        ts->ring_next = ts->ring_len;
        grow_ring(ts);
    }
    ex = &ts->ring[ts->ring_next];
    if (ex->labels && map_get(&ts->ring_last, slice_of(&ex->ref, sizeof(ex->ref))) ==
                          (void *)(uintptr_t)(ts->ring_next + 1))
        (void)map_del(&ts->ring_last, slice_of(&ex->ref, sizeof(ex->ref)));
    mem_free(ex->labels);
    *ex = (struct head_ring_exemplar){ref, t_ms, v, labels_blob(labels)};
    map_put(&ts->ring_last, key, (void *)(uintptr_t)(ts->ring_next + 1));
    ts->ring_next = (ts->ring_next + 1) % ts->ring_cap;
    if (ts->ring_len < ts->ring_cap)
        ts->ring_len++;
    return true;
}

void head_ring_forget(struct head_ts *ts)
{
    for (uint32_t i = 0; i < ts->ring_len; i++) {
        struct head_ring_exemplar *ex = &ts->ring[i];

        if (ex->labels && !head_ref_is_used(ts, ex->ref)) {
            (void)map_del(&ts->ring_last, slice_of(&ex->ref, sizeof(ex->ref)));
            mem_free(ex->labels);
            ex->labels = NULL;
        }
    }
}

void head_ring_free(struct head_ts *ts)
{
    for (uint32_t i = 0; i < ts->ring_len; i++)
        mem_free(ts->ring[i].labels);
    mem_free(ts->ring);
    map_done(&ts->ring_last);
}

uint32_t head_meta_shard(const struct head *h, struct slice family)
{
    return (uint32_t)hash_xxh64(family, 0) & (h->n_shards - 1);
}

bool head_meta_put(struct head_ts *ts, const struct batch_meta *m)
{
    struct head_meta **slot = (struct head_meta **)map_slot(&ts->metadata, m->family);
    struct head_meta *meta = *slot;
    uint8_t *text;

    if (meta && meta->type == m->type && slice_eq(meta->help, m->help) &&
        slice_eq(meta->unit, m->unit))
        return false;
    if (!meta) {
        meta = *slot = mem_new(struct head_meta);
        (void)atomic_fetch_add_explicit(&ts->tenant->metadata, 1, memory_order_relaxed);
    }
    mem_free((void *)meta->help.ptr);
    text = mem_alloc(m->help.len + m->unit.len);
    memcpy(text, m->help.ptr, m->help.len);
    memcpy(text + m->help.len, m->unit.ptr, m->unit.len);
    meta->type = m->type;
    meta->help = slice_of(text, m->help.len);
    meta->unit = slice_of(text + m->help.len, m->unit.len);
    return true;
}

void head_meta_free(struct head_ts *ts)
{
    MAP_FOREACH (en, &ts->metadata) {
        struct head_meta *m = en->value;

        mem_free((void *)m->help.ptr);
        mem_free(m);
    }
    map_done(&ts->metadata);
}
