/* Streams of a tenant in a shard. */
#include "common/base/mem.h"
#include "ingester/logs/loghead_internal.h"

uint32_t logtable_find(const struct logtable *tb, struct hash128 fp)
{
    uint32_t tag = head_fp_tag(fp), ref;

    for (uint32_t at = tag; head_slots_next(&tb->table, tag, &at, &ref);)
        if (hash128_eq(tb->streams.ptr[ref].fp, fp))
            return ref;
    return LOGHEAD_NO_REF;
}

bool logtable_labels_fit(struct slice canonical, struct hash128 fp)
{
    return batch_labels_valid(canonical) &&
           hash128_eq(labels_fingerprint_of_canonical(canonical), fp);
}

uint32_t logtable_add(struct logtable *tb, struct hash128 fp, struct slice canonical)
{
    uint32_t ref = (uint32_t)tb->streams.len;
    struct logstream *s = vec_add(&tb->streams);

    s->fp = fp;
    s->labels = head_index_add(&tb->index, ref, canonical);
    head_slots_add(&tb->table, head_fp_tag(fp), ref);
    (void)atomic_fetch_add_explicit(&tb->tenant->streams, 1, memory_order_relaxed);
    tb->shard->m.created++;
    tb->shard->m.streams++;
    return ref;
}

void logtable_canonical(const struct logtable *tb, uint32_t ref, struct buf *out)
{
    head_index_canonical(&tb->index, head_index_packed(&tb->index, tb->streams.ptr[ref].labels),
                         out);
}

void logtable_touch(struct logtable *tb, uint32_t ref)
{
    struct logstream *s = &tb->streams.ptr[ref];

    s->used_s = (uint32_t)(clock_wall_ms(tb->shard->head->opts.clock) / 1000);
    if (s->is_active)
        return;
    s->is_active = true;
    tb->shard->m.active++;
    (void)atomic_fetch_add_explicit(&tb->tenant->active, 1, memory_order_relaxed);
}

#define SWEEP_STREAMS 4096u

bool logtable_sweep(struct logtable *tb, uint32_t now_s)
{
    uint32_t idle_s = (uint32_t)(tb->shard->head->opts.idle_ms / 1000);
    uint32_t end = (uint32_t)ORR_MIN((size_t)tb->swept + SWEEP_STREAMS, tb->streams.len);

    for (; tb->swept < end; tb->swept++) {
        struct logstream *s = &tb->streams.ptr[tb->swept];

        if (!s->is_active || now_s - s->used_s < idle_s || s->used_s > now_s)
            continue;
        s->is_active = false;
        tb->shard->m.active--;
        (void)atomic_fetch_sub_explicit(&tb->tenant->active, 1, memory_order_relaxed);
    }
    if (tb->swept < tb->streams.len)
        return false;
    tb->swept = 0;
    return true;
}

/* ---- matchers ---- */

static bool is_used(const void *arg, uint32_t ref)
{
    (void)arg;
    (void)ref;
    return true; /* streams stay */
}

static uint32_t labels_of(const void *arg, uint32_t ref)
{
    return ((const struct logtable *)arg)->streams.ptr[ref].labels;
}

struct head_matching logtable_matching(struct logtable *tb)
{
    return (struct head_matching){.index = &tb->index,
                                  .regexes = &tb->shard->regexes,
                                  .n_refs = (uint32_t)tb->streams.len,
                                  .is_used = is_used,
                                  .labels = labels_of,
                                  .arg = tb};
}

void logtable_free(struct logtable *tb)
{
    VEC_FOREACH (g, &tb->gens)
        loggen_unref(*g);
    VEC_FOREACH (f, &tb->frames)
        logsealed_unref(*f);
    vec_done(&tb->gens);
    vec_done(&tb->frames);
    vec_done(&tb->live);
    vec_done(&tb->streams);
    head_slots_done(&tb->table);
    head_regexes_forget(&tb->shard->regexes, &tb->index);
    head_index_done(&tb->index);
    mem_free(tb);
}
