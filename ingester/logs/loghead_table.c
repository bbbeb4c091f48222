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
    uint32_t ref = tb->free_refs.len ? vec_pop(&tb->free_refs) : (uint32_t)tb->streams.len;
    struct logstream *s = ref < tb->streams.len ? &tb->streams.ptr[ref] : vec_add(&tb->streams);

    *s = (struct logstream){.fp = fp, .is_used = true};
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

void logtable_place(struct logtable *tb, uint32_t ref, enum loghead_place place)
{
    struct logstream *s = &tb->streams.ptr[ref];

    if (s->place == place)
        return;
    if (place == LOGHEAD_AWAY)
        (void)atomic_fetch_add_explicit(&tb->tenant->away, 1, memory_order_relaxed);
    else if (s->place == LOGHEAD_AWAY)
        (void)atomic_fetch_sub_explicit(&tb->tenant->away, 1, memory_order_relaxed);
    s->place = (uint8_t)place;
}

void logtable_hold(struct logtable *tb, const uint32_t *refs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        tb->streams.ptr[refs[i]].frames++;
}

void logtable_let_go(struct logtable *tb, const uint32_t *refs, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        ORR_ASSERT(tb->streams.ptr[refs[i]].frames > 0);
        tb->streams.ptr[refs[i]].frames--;
    }
}

/* ---- forgetting ---- */

static void repack(struct logtable *tb)
{
    struct head_index old;

    head_index_repack_begin(&tb->index, &old);
    VEC_FOREACH (s, &tb->streams)
        if (s->is_used)
            s->labels = head_index_repack_move(&tb->index, &old, s->labels);
    head_index_repack_end(&old);
}

static void forget_one(struct logtable *tb, uint32_t ref, roaring_bitmap_t *affected)
{
    struct logstream *s = &tb->streams.ptr[ref];
    struct slice packed = head_index_packed(&tb->index, s->labels);
    struct reader r = reader_new(packed);
    uint32_t pair;

    (void)reader_uvarint(&r);
    while (head_packed_next(&r, &pair))
        roaring_bitmap_add(affected, pair);
    tb->index.dead_bytes += packed.len;
    head_slots_del(&tb->table, head_fp_tag(s->fp), ref);
    *s = (struct logstream){0};
    vec_push(&tb->free_refs, ref);
}

static void forget(struct logtable *tb, const uint32_t *refs, size_t n)
{
    roaring_bitmap_t *dead = roaring_bitmap_of_ptr(n, refs), *affected = roaring_bitmap_create();

    for (size_t i = 0; i < n; i++)
        forget_one(tb, refs[i], affected);
    head_index_remove(&tb->index, dead, affected);
    roaring_bitmap_free(dead);
    roaring_bitmap_free(affected);
    (void)atomic_fetch_sub_explicit(&tb->tenant->streams, n, memory_order_relaxed);
    tb->shard->m.streams -= (int64_t)n;
    tb->shard->m.forgotten += n;
    if (tb->index.dead_bytes > tb->index.used_bytes / 2 &&
        tb->index.dead_bytes > 4 * HEAD_LABEL_BLOCK)
        repack(tb);
}

/* Refs that somebody holds over turns are of streams with open lines, or of a capture. */
static bool may_be_forgotten(const struct logtable *tb, const struct logstream *s)
{
    return s->is_used && !s->is_active && !s->frames && s->last_gen < tb->min_gen && !tb->captures;
}

#define SWEEP_STREAMS 4096u

bool logtable_sweep(struct logtable *tb, uint32_t now_s)
{
    uint32_t idle_s = (uint32_t)(tb->shard->head->opts.idle_ms / 1000);
    uint32_t end = (uint32_t)ORR_MIN((size_t)tb->swept + SWEEP_STREAMS, tb->streams.len);
    VEC(uint32_t) dead = {0};

    for (; tb->swept < end; tb->swept++) {
        struct logstream *s = &tb->streams.ptr[tb->swept];

        if (s->is_active && now_s - s->used_s >= idle_s && s->used_s <= now_s) {
            logtable_place(tb, tb->swept, LOGHEAD_UNPLACED);
            s->is_active = false;
            tb->shard->m.active--;
            (void)atomic_fetch_sub_explicit(&tb->tenant->active, 1, memory_order_relaxed);
        }
        if (may_be_forgotten(tb, s))
            vec_push(&dead, tb->swept);
    }
    if (dead.len)
        forget(tb, dead.ptr, dead.len);
    vec_done(&dead);
    if (tb->swept < tb->streams.len)
        return false;
    tb->swept = 0;
    return true;
}

/* ---- matchers ---- */

static bool is_used(const void *arg, uint32_t ref)
{
    return ((const struct logtable *)arg)->streams.ptr[ref].is_used;
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
    vec_done(&tb->free_refs);
    head_slots_done(&tb->table);
    head_regexes_forget(&tb->shard->regexes, &tb->index);
    head_index_done(&tb->index);
    mem_free(tb);
}
