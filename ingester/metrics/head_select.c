/* Reading series: what the shards hold and what segments hold, merged in label order. */
#include <stdlib.h>

#include "common/base/mem.h"
#include "ingester/metrics/head_part.h"
#include "ingester/metrics/head_segment.h"

#define SLICE_SERIES                                                                               \
    512u /* captured per turn on a shard's thread: some hundred microseconds, for others wait meanwhile */

/* ---- capturing, on the shards' threads ---- */

struct capture {
    const struct head_query *q;
    struct head_tenant *tenant;
    struct head_part *part;
    struct err *err;
    uint32_t *refs;
    size_t n, at;
    uint64_t epoch;
    int64_t match_ns; /* spent on regexes */
    bool has_matched;
};

static bool in_query_shard(const struct head_query *q, struct hash128 fp)
{
    return q->shard_count <= 1 || fp.hi % q->shard_count == q->shard_index;
}

static void match(struct capture *c, struct head_ts *ts)
{
    roaring_bitmap_t *b = head_match(ts, c->q->matchers);

    mem_free(c->refs);
    c->n = roaring_bitmap_get_cardinality(b);
    c->refs = mem_new_array(uint32_t, c->n + 1);
    roaring_bitmap_to_uint32_array(b, c->refs);
    roaring_bitmap_free(b);
    c->at = 0;
    c->epoch = ts->gc_epoch;
    c->has_matched = true;
    vec_clear(&c->part->rows);
    vec_reserve(&c->part->rows, c->n);
    buf_reset(&c->part->blob);
}

static bool is_over(struct capture *c)
{
    if (c->q->max_series && c->part->rows.len > c->q->max_series)
        c->err = err_new(ERR_LIMIT, "the query selects more than %llu series",
                         (unsigned long long)c->q->max_series);
    else if (c->q->max_bytes && c->part->blob.len > c->q->max_bytes)
        c->err = err_new(ERR_LIMIT, "the query reads more than %llu bytes",
                         (unsigned long long)c->q->max_bytes);
    return c->err != NULL;
}

static bool run_capture(struct head_shard *sh, void *arg)
{
    struct capture *c = arg;
    struct head_ts *ts = c->tenant->ts[sh->index];
    enum head_part_what what = c->q->without_chunks ? HEAD_PART_RANGES
                               : c->q->newest_only  ? HEAD_PART_NEWEST
                                                    : HEAD_PART_ALL;
    size_t end;

    if (!ts || ts->max_ms < c->q->min_ms)
        return false;
    /* refs given up between two turns may name other series now */
    if (!c->has_matched || c->epoch != ts->gc_epoch) {
        if (!head_match_prepare(ts, c->q->matchers, &c->match_ns)) {
            if (c->match_ns > HEAD_MATCH_MAX_NS)
                c->err = head_match_costly();
            return !c->err;
        }
        match(c, ts);
    }
    end = ORR_MIN(c->at + SLICE_SERIES, c->n);
    for (; c->at < end; c->at++) {
        if (c->at + 8 < c->n)
            __builtin_prefetch(head_series_at(ts, c->refs[c->at + 8]));
        if (in_query_shard(c->q, head_series_at(ts, c->refs[c->at])->fp))
            head_part_add(c->part, ts, c->refs[c->at], what);
    }
    if (is_over(c))
        return false;
    if (c->at < c->n)
        return true;
    head_part_freeze(c->part, ts);
    return false;
}

/* ---- the set ---- */

struct seg_source {
    struct head_seg *seg;
    struct arena *arena; /* of the current series */
    struct block_refs refs;
    struct arena *refs_arena;
    size_t at;
    struct block_reader_series cur;
    uint32_t cur_ref;
    struct hash128 cur_fp; /* if the query is keyed */
    bool has_cur;
};

struct head_set {
    struct head *head;
    struct head_query q;
    struct head_part parts[HEAD_MAX_SHARDS];
    uint32_t n_parts;
    struct seg_source *segs;
    size_t n_segs;
    struct arena *heads; /* labels of the parts' current rows */
    struct labels cur[HEAD_MAX_SHARDS];
    bool has_cur[HEAD_MAX_SHARDS];
    struct arena *out;
    struct head_chunk_list chunks;
    uint64_t bytes, series;
    struct err *err;
};

static void advance_part(struct head_set *s, uint32_t i)
{
    struct head_part *p = &s->parts[i];

    s->has_cur[i] = p->next < p->rows.len;
    if (s->has_cur[i] && s->q.is_keyed) {
        p->next++;
    } else if (s->has_cur[i]) {
        /* texts live in the part; only the array is the arena's, which is emptied now and then */
        s->cur[i] = head_row_labels(p, &p->rows.ptr[p->next], s->heads);
        p->next++;
    }
}

static void advance_seg(struct head_set *s, struct seg_source *src)
{
    struct err *e;

    arena_reset(src->arena);
    src->has_cur = src->at < src->refs.n;
    if (!src->has_cur)
        return;
    src->cur_ref = src->refs.ptr[src->at++];
    e = block_reader_series(src->seg->reader, src->arena, src->cur_ref, &src->cur);
    if (e) {
        src->has_cur = false;
        s->err = err_first(s->err, err_wrap(e, "segment %s", src->seg->row.ulid));
        return;
    }
    if (s->q.is_keyed)
        src->cur_fp = labels_fingerprint(src->cur.labels);
}

struct fp_ref {
    struct hash128 fp;
    uint32_t ref;
};

static int cmp_fp_ref(const void *a, const void *b)
{
    return hash128_cmp(((const struct fp_ref *)a)->fp, ((const struct fp_ref *)b)->fp);
}

/* The segment's refs by their series' fingerprints. */
static struct err *sort_refs(struct seg_source *src)
{
    struct fp_ref *all = arena_array(src->refs_arena, struct fp_ref, src->refs.n);
    uint32_t *refs = arena_array(src->refs_arena, uint32_t, src->refs.n);

    for (size_t i = 0; i < src->refs.n; i++) {
        struct block_reader_series series;
        struct err *e =
            block_reader_series(src->seg->reader, src->arena, src->refs.ptr[i], &series);

        if (e)
            return e;
        all[i] = (struct fp_ref){labels_fingerprint(series.labels), src->refs.ptr[i]};
        arena_reset(src->arena);
    }
    if (src->refs.n > 1)
        qsort(all, src->refs.n, sizeof(*all), cmp_fp_ref);
    for (size_t i = 0; i < src->refs.n; i++)
        refs[i] = all[i].ref;
    src->refs.ptr = refs;
    return NULL;
}

static bool is_sharded_out(const struct head_query *q, struct labels ls)
{
    return q->shard_count > 1 && !in_query_shard(q, labels_fingerprint(ls));
}

static void open_seg(struct head_set *s, struct seg_source *src, struct head_seg *seg)
{
    struct err *e;

    src->seg = seg;
    src->arena = arena_new(0);
    src->refs_arena = arena_new(0);
    e = block_reader_select_range(seg->reader, src->refs_arena, s->q.matchers, s->q.min_ms,
                                  s->q.max_ms, &src->refs);
    if (!e && s->q.is_keyed)
        e = sort_refs(src);
    if (e) {
        s->err = err_first(s->err, err_wrap(e, "segment %s", seg->row.ulid));
        return;
    }
    advance_seg(s, src);
}

static void open_segs(struct head_set *s)
{
    struct head_seg **list =
        head_registry_find(s->head, s->q.tenant, s->q.min_ms, s->q.max_ms, &s->n_segs);

    s->segs = mem_new_array(struct seg_source, s->n_segs + 1);
    for (size_t i = 0; i < s->n_segs; i++)
        open_seg(s, &s->segs[i], list[i]);
    mem_free(list);
}

static struct err *capture_all(struct head_set *s)
{
    struct capture cs[HEAD_MAX_SHARDS];
    void *args[HEAD_MAX_SHARDS];
    struct head_tenant *t = head_tenant_find(s->head, s->q.tenant);
    struct err *e = NULL;
    uint64_t rows = 0;

    if (!t)
        return NULL;
    s->n_parts = s->head->n_shards;
    for (uint32_t i = 0; i < s->n_parts; i++) {
        s->parts[i].newest_ms = s->q.max_ms;
        s->parts[i].is_unlabelled = s->q.is_keyed && !s->q.n_names;
        cs[i] = (struct capture){.q = &s->q, .tenant = t, .part = &s->parts[i]};
        args[i] = &cs[i];
    }
    head_call_all(s->head, run_capture, args);
    for (uint32_t i = 0; i < s->n_parts; i++) {
        e = err_first(e, cs[i].err);
        mem_free(cs[i].refs);
        rows += s->parts[i].rows.len;
        s->bytes += s->parts[i].blob.len;
    }
    if (!e && s->q.max_series && rows > s->q.max_series)
        e = err_new(ERR_LIMIT, "the query selects more than %llu series",
                    (unsigned long long)s->q.max_series);
    return e;
}

struct err *head_select(struct head *h, const struct head_query *q, struct head_set **ret)
{
    struct head_set *s;
    struct err *e;

    if (!head_is_ready(h))
        return err_new(ERR_UNAVAILABLE, "the metrics head is still reading back");
    s = mem_new(struct head_set);
    s->head = h;
    s->q = *q;
    s->heads = arena_new(0);
    s->out = arena_new(0);
    /* Shards first: what a cut takes out of them after this is in a segment that is listed by then;
     * the other way round it could be in neither. */
    if ((e = capture_all(s))) {
        err_free(head_set_close(s));
        return e;
    }
    for (uint32_t i = 0; i < s->n_parts; i++) {
        if (s->q.is_keyed)
            head_part_sort_keyed(&s->parts[i], s->q.names, s->q.n_names);
        else
            head_part_sort(&s->parts[i]);
        advance_part(s, i);
    }
    open_segs(s);
    if (s->err)
        return head_set_close(s);
    *ret = s;
    return NULL;
}

struct err *head_set_close(struct head_set *s)
{
    struct err *e;

    if (!s)
        return NULL;
    e = s->err;
    for (uint32_t i = 0; i < s->n_parts; i++)
        head_part_done(&s->parts[i]);
    for (size_t i = 0; i < s->n_segs; i++) {
        arena_free(s->segs[i].arena);
        arena_free(s->segs[i].refs_arena);
        if (s->segs[i].seg)
            head_registry_unref(s->head, s->segs[i].seg);
    }
    mem_free(s->segs);
    arena_free(s->heads);
    arena_free(s->out);
    vec_done(&s->chunks);
    mem_free(s);
    return e;
}

/* ---- iterating ---- */

static const struct labels *smallest(const struct head_set *s)
{
    const struct labels *min = NULL;

    for (uint32_t i = 0; i < s->n_parts; i++)
        if (s->has_cur[i] && (!min || labels_cmp(s->cur[i], *min) < 0))
            min = &s->cur[i];
    for (size_t i = 0; i < s->n_segs; i++)
        if (s->segs[i].has_cur && (!min || labels_cmp(s->segs[i].cur.labels, *min) < 0))
            min = &s->segs[i].cur.labels;
    return min;
}

static void take_seg_chunks(struct head_set *s, struct seg_source *src)
{
    struct block_chunk_meta *metas =
        arena_array(s->out, struct block_chunk_meta, src->cur.n_chunks);
    struct chunk *chunks, starts;
    size_t n = 0;
    struct err *e;

    for (size_t i = 0; i < src->cur.n_chunks; i++)
        if (src->cur.chunks[i].max_t >= s->q.min_ms && src->cur.chunks[i].min_t <= s->q.max_ms)
            metas[n++] = src->cur.chunks[i];
    if (!n)
        return;
    if (s->q.without_chunks) { /* enough to know that there is something */
        vec_push(&s->chunks, ((struct head_chunk){.min_ms = metas[0].min_t}));
        return;
    }
    chunks = arena_array(s->out, struct chunk, n);
    if ((e = block_reader_chunks(src->seg->reader, s->out, metas, n, chunks))) {
        s->err = err_first(s->err, err_wrap(e, "segment %s", src->seg->row.ulid));
        return;
    }
    for (size_t i = 0; i < n; i++)
        vec_push(&s->chunks,
                 ((struct head_chunk){.min_ms = metas[i].min_t,
                                      .max_ms = metas[i].max_t,
                                      .encoding = chunks[i].encoding,
                                      .samples = (uint16_t)chunk_samples(chunks[i].data),
                                      .data = chunks[i].data}));
    if (ORR_UNLIKELY(block_reader_starts(src->seg->reader, src->cur_ref, &starts)))
        vec_push(&s->chunks, ((struct head_chunk){.min_ms = starts.min_t,
                                                  .max_ms = starts.max_t,
                                                  .encoding = starts.encoding,
                                                  .data = starts.data}));
}

static int cmp_chunk(const void *a, const void *b)
{
    const struct head_chunk *x = a, *y = b;

    if (x->min_ms != y->min_ms)
        return x->min_ms < y->min_ms ? -1 : 1;
    return (x->max_ms > y->max_ms) - (x->max_ms < y->max_ms);
}

/* Collects the chunks of all sources that stand at these labels and moves those on. */
static void gather(struct head_set *s, struct labels ls, struct head_series *ret)
{
    bool has_fp = false;

    vec_clear(&s->chunks);
    for (uint32_t i = 0; i < s->n_parts; i++) {
        struct head_part *p = &s->parts[i];
        const struct head_row *row;

        if (!s->has_cur[i] || !labels_eq(s->cur[i], ls))
            continue;
        row = head_part_row(p, p->next - 1);
        ret->fp = row->fp;
        has_fp = true;
        head_row_chunks(p, row, s->q.min_ms, s->q.max_ms, s->out, &s->chunks);
        s->bytes += row->labels_len;
        advance_part(s, i);
    }
    for (size_t i = 0; i < s->n_segs; i++) {
        struct seg_source *src = &s->segs[i];

        if (!src->has_cur || !labels_eq(src->cur.labels, ls))
            continue;
        if (!is_sharded_out(&s->q, ls))
            take_seg_chunks(s, src);
        advance_seg(s, src);
    }
    if (!has_fp)
        ret->fp = labels_fingerprint(ls);
}

static bool is_over_bytes(struct head_set *s, const struct head_series *ser)
{
    for (size_t i = 0; i < ser->n_chunks; i++)
        s->bytes += ser->chunks[i].data.len;
    s->series++;
    if (s->q.max_bytes && s->bytes > s->q.max_bytes)
        s->err = err_new(ERR_LIMIT, "the query reads more than %llu bytes",
                         (unsigned long long)s->q.max_bytes);
    else if (s->q.max_series && s->series > s->q.max_series)
        s->err = err_new(ERR_LIMIT, "the query selects more than %llu series",
                         (unsigned long long)s->q.max_series);
    return s->err != NULL;
}

/* The arena of the parts' current labels grows by a few hundred bytes a series. */
static void renew_heads(struct head_set *s)
{
    struct arena *old = s->heads;

    if (arena_used(old) < (4u << 20))
        return;
    s->heads = arena_new(0);
    for (uint32_t i = 0; i < s->n_parts; i++)
        if (s->has_cur[i])
            s->cur[i] = head_row_labels(&s->parts[i], &s->parts[i].rows.ptr[s->parts[i].next - 1],
                                        s->heads);
    arena_free(old);
}

static struct hash128 part_fp(const struct head_set *s, uint32_t i)
{
    return head_part_row(&s->parts[i], s->parts[i].next - 1)->fp;
}

static bool smallest_fp(const struct head_set *s, struct hash128 *ret)
{
    bool has_any = false;

    for (uint32_t i = 0; i < s->n_parts; i++) {
        if (s->has_cur[i] && (!has_any || hash128_cmp(part_fp(s, i), *ret) < 0)) {
            *ret = part_fp(s, i);
            has_any = true;
        }
    }
    for (size_t i = 0; i < s->n_segs; i++) {
        if (s->segs[i].has_cur && (!has_any || hash128_cmp(s->segs[i].cur_fp, *ret) < 0)) {
            *ret = s->segs[i].cur_fp;
            has_any = true;
        }
    }
    return has_any;
}

/* A segment's labels, those that are asked for. Copied. */
static struct labels kept_labels(const struct head_set *s, struct labels ls)
{
    struct label *out = arena_array(s->out, struct label, ls.n);
    size_t n = 0;

    for (size_t i = 0; i < ls.n; i++)
        for (size_t k = 0; k < s->q.n_names; k++)
            if (slice_eq(ls.ptr[i].name, s->q.names[k])) {
                out[n++] = ls.ptr[i];
                break;
            }
    return labels_dup(s->out, (struct labels){out, n});
}

/* As gather(), for series by fingerprint. */
static void gather_keyed(struct head_set *s, struct head_series *ret)
{
    bool has_labels = false;

    vec_clear(&s->chunks);
    for (uint32_t i = 0; i < s->n_parts; i++) {
        struct head_part *p = &s->parts[i];
        const struct head_row *row;

        if (!s->has_cur[i] || hash128_cmp(part_fp(s, i), ret->fp) != 0)
            continue;
        row = head_part_row(p, p->next - 1);
        ret->labels = head_row_labels(p, row, s->out);
        has_labels = true;
        head_row_chunks(p, row, s->q.min_ms, s->q.max_ms, s->out, &s->chunks);
        s->bytes += row->labels_len;
        advance_part(s, i);
    }
    for (size_t i = 0; i < s->n_segs; i++) {
        struct seg_source *src = &s->segs[i];

        if (!src->has_cur || hash128_cmp(src->cur_fp, ret->fp) != 0)
            continue;
        if (!has_labels)
            ret->labels = kept_labels(s, src->cur.labels);
        has_labels = true;
        if (s->q.shard_count <= 1 || in_query_shard(&s->q, ret->fp))
            take_seg_chunks(s, src);
        advance_seg(s, src);
    }
}

/* Moves to the next series, with or without chunks; false at the end. */
static bool step(struct head_set *s, struct head_series *ret)
{
    const struct labels *min;

    *ret = (struct head_series){0};
    if (s->q.is_keyed) {
        if (!smallest_fp(s, &ret->fp))
            return false;
        arena_reset(s->out);
        gather_keyed(s, ret);
        return true;
    }
    if (!smallest(s))
        return false;
    arena_reset(s->out);
    renew_heads(s);
    min = smallest(s);
    /* a segment's texts live in an arena that moving on empties */
    ret->labels = labels_dup(s->out, *min);
    gather(s, ret->labels, ret);
    return true;
}

/* Start timestamps alone are no reason to show a series. */
static bool has_samples(const struct head_set *s)
{
    VEC_FOREACH (c, &s->chunks)
        if (c->encoding != CHUNK_STARTS)
            return true;
    return false;
}

bool head_set_next(struct head_set *s, struct head_series *ret)
{
    while (!s->err && step(s, ret)) {
        if (!s->chunks.len)
            continue;
        if (s->chunks.len > 1)
            qsort(s->chunks.ptr, s->chunks.len, sizeof(*s->chunks.ptr), cmp_chunk);
        if (ORR_UNLIKELY(s->chunks.ptr[0].encoding == CHUNK_STARTS) && !has_samples(s))
            continue;
        if (!s->q.without_chunks) {
            ret->chunks = s->chunks.ptr;
            ret->n_chunks = s->chunks.len;
        }
        if (is_over_bytes(s, ret))
            return false;
        return !s->err;
    }
    return false;
}
