/* Which series have samples in a range of time, on the shard's thread. */
#include "common/base/mem.h"
#include "ingester/metrics/head_internal.h"

#define TURN_SERIES 4096u

static bool chunk_is_in(const struct head_ts *ts, uint64_t pos,
                        const struct head_chunks_record *rec, const struct head_query *q)
{
    return rec->encoding != CHUNK_STARTS && rec->max_ms >= q->min_ms && rec->min_ms <= q->max_ms &&
           !head_cut_hides(ts->cuts.ptr, ts->cuts.len, pos, rec->max_ms);
}

/* Newest first, so what asks about the recent past ends at the first chunk. */
static bool has_samples(const struct head_ts *ts, uint32_t ref, const struct head_query *q)
{
    const struct head_chunks *files = &ts->shard->chunks;
    const struct head_ooo *o = head_ooo_find(ts, ref);
    struct head_chunks_record rec;
    int64_t min_ms, max_ms;
    bool is_broken = false;

    if (head_series_open_range(ts, ref, &min_ms, &max_ms) && max_ms >= q->min_ms &&
        min_ms <= q->max_ms)
        return true;
    for (uint32_t i = 0; o && i < o->n; i++)
        if (o->s[i].t_ms >= q->min_ms && o->s[i].t_ms <= q->max_ms)
            return true;
    for (uint64_t pos = head_chunks_widen(files, head_series_at(ts, ref)->sealed);
         head_chunks_read_own(files, pos, &rec, &is_broken); pos = rec.prev)
        if (chunk_is_in(ts, pos, &rec, q))
            return true;
    return false;
}

uint64_t head_range_chunks(const struct head_ts *ts, uint32_t ref)
{
    const struct head_chunks *files = &ts->shard->chunks;
    const struct head_query all = {.min_ms = INT64_MIN, .max_ms = INT64_MAX};
    struct head_chunks_record rec;
    int64_t min_ms, max_ms;
    bool is_broken = false;
    uint64_t n = head_series_open_range(ts, ref, &min_ms, &max_ms);

    for (uint64_t pos = head_chunks_widen(files, head_series_at(ts, ref)->sealed);
         head_chunks_read_own(files, pos, &rec, &is_broken); pos = rec.prev)
        n += chunk_is_in(ts, pos, &rec, &all);
    return n;
}

static void begin(struct head_range *r, struct head_ts *ts, const struct head_query *q)
{
    roaring_bitmap_t *all = head_match(ts, q->matchers);

    mem_free(r->refs);
    r->n = roaring_bitmap_get_cardinality(all);
    r->refs = mem_new_array(uint32_t, r->n + 1);
    roaring_bitmap_to_uint32_array(all, r->refs);
    roaring_bitmap_free(all);
    if (r->found)
        roaring_bitmap_free(r->found);
    r->found = roaring_bitmap_create();
    r->at = 0;
    r->epoch = ts->gc_epoch;
    r->has_begun = true;
}

bool head_range_step(struct head_range *r, struct head_ts *ts, const struct head_query *q)
{
    size_t end;

    /* unsigned, for the ends of a range may be anything */
    if (q->max_ms >= ts->max_ms || (uint64_t)ts->max_ms - (uint64_t)q->max_ms < HEAD_RANGE_SLACK_MS)
        return false;
    if (!r->has_begun || r->epoch != ts->gc_epoch)
        begin(r, ts, q);
    end = ORR_MIN(r->at + TURN_SERIES, r->n);
    for (; r->at < end; r->at++)
        if (has_samples(ts, r->refs[r->at], q))
            roaring_bitmap_add(r->found, r->refs[r->at]);
    if (r->at < r->n)
        return true;
    mem_free(r->refs);
    r->refs = NULL;
    return false;
}
