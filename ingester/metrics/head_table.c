#include "common/base/mem.h"
#include "ingester/metrics/head_internal.h"

uint32_t head_table_find(const struct head_ts *ts, struct hash128 fp)
{
    uint32_t tag = head_fp_tag(fp), ref;

    for (uint32_t at = tag; head_slots_next(&ts->table, tag, &at, &ref);)
        if (hash128_eq(head_series_at(ts, ref)->fp, fp))
            return ref;
    return HEAD_NO_REF;
}

/* Only the last slab may be small. Growing moves its series: nobody keeps pointers over an add. */
static void grow_slab(struct head_ts *ts, size_t i, uint32_t want)
{
    struct head_slab *slab = ts->slabs.ptr[i];
    uint32_t cap = slab->cap ? slab->cap : i ? HEAD_SLAB : 8;
    struct head_live *s;

    while (cap < want)
        cap *= 2;
    if (cap == slab->cap)
        return;
    s = mem_aligned(64, cap * sizeof(*s));
    if (slab->cap)
        memcpy(s, ts->series.ptr[i], slab->cap * sizeof(*s));
    memset(s + slab->cap, 0, (cap - slab->cap) * sizeof(*s));
    mem_free(ts->series.ptr[i]);
    ts->series.ptr[i] = s;
    slab->cap = cap;
}

static void reserve_refs(struct head_ts *ts, uint32_t n)
{
    while ((uint64_t)ts->slabs.len * HEAD_SLAB < n) {
        if (ts->slabs.len)
            grow_slab(ts, ts->slabs.len - 1, HEAD_SLAB);
        vec_push(&ts->slabs, mem_new(struct head_slab));
        vec_push(&ts->series, NULL);
    }
    if (n)
        grow_slab(ts, (n - 1) / HEAD_SLAB, (n - 1) % HEAD_SLAB + 1);
}

static uint32_t take_ref(struct head_ts *ts)
{
    uint32_t ref;

    if (ts->free_refs.len)
        return vec_pop(&ts->free_refs);
    ref = ts->n_refs++;
    reserve_refs(ts, ts->n_refs);
    return ref;
}

static void count_series(struct head_ts *ts, int64_t by)
{
    ts->n_series = (uint64_t)((int64_t)ts->n_series + by);
    ts->shard->m.series += by;
    (void)atomic_fetch_add_explicit(&ts->tenant->series, (uint64_t)by, memory_order_relaxed);
}

static void occupy(struct head_ts *ts, uint32_t ref, struct hash128 fp)
{
    struct head_live *s = head_series_at(ts, ref);

    *s = (struct head_live){.fp = fp};
    s->app.t = HEAD_NO_TIME;
    *head_flags_at(ts, ref) = HEAD_USED;
    head_slots_add(&ts->table, head_fp_tag(fp), ref);
    count_series(ts, 1);
}

uint32_t head_table_add(struct head_ts *ts, struct hash128 fp, struct slice canonical)
{
    uint32_t ref = take_ref(ts);

    occupy(ts, ref, fp);
    head_series_at(ts, ref)->labels = head_index_add(&ts->index, ref, canonical);
    ts->shard->m.series_created++;
    return ref;
}

/* Makes ref one that was handed out; those between become free. */
static void extend_to(struct head_ts *ts, uint32_t ref)
{
    while (ts->n_refs <= ref) {
        if (ts->n_refs < ref)
            vec_push(&ts->free_refs, ts->n_refs);
        ts->n_refs++;
    }
    reserve_refs(ts, ts->n_refs);
}

bool head_table_add_at(struct head_ts *ts, uint32_t ref, struct hash128 fp, struct slice canonical)
{
    uint32_t old = head_table_find(ts, fp);

    /* a ref far beyond what is there means broken bytes, not that many series */
    if (ref > (1u << 30) || ref > ts->n_refs + (1u << 24))
        return false;
    if (old == ref)
        return true;
    if (old != HEAD_NO_REF)
        head_table_remove(ts, &old, 1);
    if (head_ref_is_used(ts, ref))
        head_table_remove(ts, &ref, 1);
    if (ref >= ts->n_refs) {
        extend_to(ts, ref);
    } else {
        for (size_t i = ts->free_refs.len; i-- > 0;) {
            if (ts->free_refs.ptr[i] == ref) {
                vec_remove_swap(&ts->free_refs, i);
                break;
            }
        }
    }
    occupy(ts, ref, fp);
    head_series_at(ts, ref)->labels = head_index_add(&ts->index, ref, canonical);
    *head_flags_at(ts, ref) |= HEAD_LOGGED;
    return true;
}

bool head_table_load(struct head_ts *ts, uint32_t ref, struct hash128 fp, struct slice packed,
                     struct head_live **ret)
{
    uint32_t offset;

    if (ref > (1u << 30) || ref < ts->n_refs) /* ascending in the file */
        return false;
    if (head_table_find(ts, fp) != HEAD_NO_REF ||
        !head_index_add_packed(&ts->index, ref, packed, &offset))
        return false;
    ts->n_refs = ref + 1;
    reserve_refs(ts, ts->n_refs);
    occupy(ts, ref, fp);
    *head_flags_at(ts, ref) |= HEAD_LOGGED;
    *ret = head_series_at(ts, ref);
    (*ret)->labels = offset;
    return true;
}

void head_table_finish_load(struct head_ts *ts)
{
    for (uint32_t ref = ts->n_refs; ref-- > 0;)
        if (!head_ref_is_used(ts, ref))
            vec_push(&ts->free_refs, ref);
}

static void repack(struct head_ts *ts)
{
    struct head_index old;

    head_index_repack_begin(&ts->index, &old);
    for (uint32_t ref = 0; ref < ts->n_refs; ref++)
        if (head_ref_is_used(ts, ref)) {
            struct head_live *s = head_series_at(ts, ref);

            s->labels = head_index_repack_move(&ts->index, &old, s->labels);
        }
    head_index_repack_end(&old);
}

static void remove_one(struct head_ts *ts, uint32_t ref, roaring_bitmap_t *affected)
{
    struct head_live *s = head_series_at(ts, ref);
    struct slice packed = head_index_packed(&ts->index, s->labels);
    struct reader r = reader_new(packed);
    uint32_t pair;

    (void)reader_uvarint(&r);
    while (head_packed_next(&r, &pair))
        roaring_bitmap_add(affected, pair);
    ts->index.dead_bytes += packed.len;
    head_series_drop_open(ts, ref);
    head_slots_del(&ts->table, head_fp_tag(s->fp), ref);
    *s = (struct head_live){0};
    *head_flags_at(ts, ref) = 0;
    vec_push(&ts->free_refs, ref);
    count_series(ts, -1);
    ts->shard->m.series_removed++;
}

void head_table_remove(struct head_ts *ts, const uint32_t *refs, size_t n)
{
    roaring_bitmap_t *dead, *affected;

    if (!n)
        return;
    dead = roaring_bitmap_of_ptr(n, refs);
    affected = roaring_bitmap_create();
    for (size_t i = 0; i < n; i++)
        remove_one(ts, refs[i], affected);
    head_index_remove(&ts->index, dead, affected);
    roaring_bitmap_free(dead);
    roaring_bitmap_free(affected);
    head_ring_forget(ts);
    if (ts->index.dead_bytes > ts->index.used_bytes / 2 &&
        ts->index.dead_bytes > 4 * HEAD_LABEL_BLOCK)
        repack(ts);
}

void head_ts_free(struct head_ts *ts)
{
    if (!ts)
        return;
    for (uint32_t ref = 0; ref < ts->n_refs; ref++)
        if (head_ref_is_used(ts, ref))
            head_series_drop_open(ts, ref);
    head_ring_free(ts);
    head_meta_free(ts);
    map_done(&ts->ooo);
    map_done(&ts->starts);
    VEC_FOREACH (s, &ts->series)
        mem_free(*s);
    VEC_FOREACH (slab, &ts->slabs)
        mem_free(*slab);
    vec_done(&ts->series);
    vec_done(&ts->slabs);
    vec_done(&ts->free_refs);
    vec_done(&ts->cuts);
    head_windows_forget(ts);
    head_slots_done(&ts->table);
    head_regexes_forget(&ts->shard->regexes, &ts->index);
    head_index_done(&ts->index);
    mem_free(ts);
}

/* ---- matchers ---- */

static bool ref_is_used(const void *arg, uint32_t ref)
{
    return head_ref_is_used(arg, ref);
}

static uint32_t labels_of_ref(const void *arg, uint32_t ref)
{
    return head_series_at(arg, ref)->labels;
}

static struct head_matching matching_of(struct head_ts *ts)
{
    return (struct head_matching){.index = &ts->index,
                                  .regexes = &ts->shard->regexes,
                                  .n_refs = ts->n_refs,
                                  .is_used = ref_is_used,
                                  .labels = labels_of_ref,
                                  .arg = ts};
}

bool head_match_prepare(struct head_ts *ts, struct matchers ms, int64_t *io_spent_ns)
{
    struct head_matching hm = matching_of(ts);

    return head_matching_prepare(&hm, ms, io_spent_ns);
}

roaring_bitmap_t *head_match(struct head_ts *ts, struct matchers ms)
{
    struct head_matching hm = matching_of(ts);

    return head_matching_refs(&hm, ms);
}
