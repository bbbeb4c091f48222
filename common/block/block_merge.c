#include "common/block/block_merge.h"

#include <stdlib.h>

#include "common/block/aggr_chunk.h"
#include "common/block/chunk_build.h"
#include "common/block/start_runs.h"

struct input {
    struct block_stream *stream;
    struct block_series series;
    bool more;
};

struct merge {
    const struct block_merge_opts *opts;
    struct block_writer *w;
    struct block_merge_stats stats;
    struct input *in;
    size_t n;
    struct arena *arena; /* of the current series */
    struct chunk_build build;
    VEC(struct chunk) chunks;          /* of all inputs that have the current series */
    VEC(struct chunk_columns) columns; /* of the chunks that overlap */
    struct start_set starts;           /* of all inputs that have the current series */
    struct buf starts_bytes;
};

/* ---- one series ---- */

static int by_time(const void *a, const void *b)
{
    const struct chunk *x = a, *y = b;

    if (x->min_t != y->min_t)
        return x->min_t < y->min_t ? -1 : 1;
    if (x->max_t != y->max_t)
        return x->max_t < y->max_t ? -1 : 1;
    if (x->encoding != y->encoding)
        return x->encoding < y->encoding ? -1 : 1;
    return slice_cmp(x->data, y->data);
}

/* Equal chunks stand next to each other once sorted. */
static void drop_copies(struct merge *m)
{
    size_t out = 0;

    qsort(m->chunks.ptr, m->chunks.len, sizeof(*m->chunks.ptr), by_time);
    for (size_t i = 0; i < m->chunks.len; i++) {
        if (out && by_time(&m->chunks.ptr[out - 1], &m->chunks.ptr[i]) == 0)
            m->stats.chunks_deduplicated++;
        else
            m->chunks.ptr[out++] = m->chunks.ptr[i];
    }
    m->chunks.len = out;
}

static int cmp_u64(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

static int cmp_doubles(const double *a, size_t na, const double *b, size_t nb)
{
    int c = cmp_u64(na, nb);

    for (size_t i = 0; c == 0 && i < na; i++)
        c = cmp_u64(sample_bits(a[i]), sample_bits(b[i]));
    return c;
}

static int cmp_spans(const struct histogram_span *a, size_t na, const struct histogram_span *b,
                     size_t nb)
{
    int c = cmp_u64(na, nb);

    for (size_t i = 0; c == 0 && i < na; i++) {
        c = (a[i].offset > b[i].offset) - (a[i].offset < b[i].offset);
        if (c == 0)
            c = cmp_u64(a[i].length, b[i].length);
    }
    return c;
}

static int cmp_histograms(const struct histogram *a, const struct histogram *b)
{
    int c = cmp_u64(sample_bits(a->count), sample_bits(b->count));

    if (c == 0)
        c = cmp_u64(sample_bits(a->sum), sample_bits(b->sum));
    if (c == 0)
        c = (a->schema > b->schema) - (a->schema < b->schema);
    if (c == 0)
        c = cmp_u64(a->is_int, b->is_int);
    if (c == 0)
        c = cmp_u64(sample_bits(a->zero_threshold), sample_bits(b->zero_threshold));
    if (c == 0)
        c = cmp_u64(sample_bits(a->zero_count), sample_bits(b->zero_count));
    if (c == 0)
        c = cmp_doubles(a->pos_buckets, a->n_pos_buckets, b->pos_buckets, b->n_pos_buckets);
    if (c == 0)
        c = cmp_doubles(a->neg_buckets, a->n_neg_buckets, b->neg_buckets, b->n_neg_buckets);
    if (c == 0)
        c = cmp_spans(a->pos_spans, a->n_pos_spans, b->pos_spans, b->n_pos_spans);
    if (c == 0)
        c = cmp_spans(a->neg_spans, a->n_neg_spans, b->neg_spans, b->n_neg_spans);
    if (c == 0)
        c = cmp_doubles(a->custom_bounds, a->n_custom_bounds, b->custom_bounds, b->n_custom_bounds);
    return c;
}

int block_merge_cmp(double va, const struct histogram *ha, double vb, const struct histogram *hb)
{
    int c = (int)sample_is_stale(hb ? hb->sum : vb) - (int)sample_is_stale(ha ? ha->sum : va);

    if (c == 0)
        c = (int)(ha != NULL) - (int)(hb != NULL);
    if (c != 0)
        return c;
    return ha ? cmp_histograms(ha, hb) : cmp_u64(sample_bits(va), sample_bits(vb));
}

static int cmp_samples(const struct chunk_columns *a, size_t i, const struct chunk_columns *b,
                       size_t k)
{
    return block_merge_cmp(a->v ? a->v[i] : 0, a->h ? &a->h[i] : NULL, b->v ? b->v[k] : 0,
                           b->h ? &b->h[k] : NULL);
}

static void put_sample(struct merge *m, const struct chunk_columns *c, size_t i)
{
    const struct block_merge_opts *o = m->opts;

    if ((o->min_t || o->max_t) && (c->t[i] < o->min_t || c->t[i] >= o->max_t)) {
        m->stats.samples_dropped++;
        return;
    }
    if (c->v)
        chunk_build_float(&m->build, c->t[i], c->v[i]);
    else
        chunk_build_histogram(&m->build, c->t[i], &c->h[i]);
}

/* Merges m->columns, of which each is in time order. Few overlap at once, so a scan finds the next. */
static void merge_columns(struct merge *m)
{
    size_t *at = arena_array(m->arena, size_t, m->columns.len);

    for (;;) {
        struct chunk_columns *best = NULL;
        size_t which = 0;

        for (size_t i = 0; i < m->columns.len; i++) {
            struct chunk_columns *c = &m->columns.ptr[i];

            if (at[i] == c->n)
                continue;
            if (!best || c->t[at[i]] < best->t[at[which]] ||
                (c->t[at[i]] == best->t[at[which]] && cmp_samples(c, at[i], best, at[which]) > 0)) {
                best = c;
                which = i;
            }
        }
        if (!best)
            return;
        put_sample(m, best, at[which]);
        for (size_t i = 0; i < m->columns.len; i++) {
            struct chunk_columns *c = &m->columns.ptr[i];

            if (i != which && at[i] < c->n && c->t[at[i]] == best->t[at[which]]) {
                at[i]++;
                m->stats.samples_dropped++;
            }
        }
        at[which]++;
    }
}

static struct err *merge_decoded(struct merge *m, const struct chunk *c, size_t n)
{
    vec_clear(&m->columns);
    for (size_t i = 0; i < n; i++) {
        struct chunk_columns cols;
        struct err *e = chunk_decode(m->arena, c[i].encoding, c[i].data, &cols);

        if (e)
            return e;
        m->stats.chunks_decoded++;
        m->stats.samples_merged += cols.n;
        vec_push(&m->columns, cols);
    }
    merge_columns(m);
    return NULL;
}

/* ---- chunks of aggregates ---- */

struct weighed {
    struct chunk c;
    double samples;
};

static int by_weight(const void *a, const void *b)
{
    const struct weighed *x = a, *y = b;

    if (x->samples != y->samples)
        return x->samples > y->samples ? -1 : 1;
    return by_time(&x->c, &y->c);
}

static struct err *weigh(struct arena *a, const struct chunk *c, struct weighed *ret)
{
    struct aggr_columns cols;
    struct err *e = aggr_chunk_decode(a, c->data, AGGR_BIT(AGGR_COUNT), &cols);

    if (e)
        return e;
    *ret = (struct weighed){.c = *c};
    for (size_t i = 0; i < cols.n; i++)
        ret->samples += cols.count[i];
    return NULL;
}

struct err *block_merge_pick_aggregates(struct arena *a, struct chunk *chunks, size_t n,
                                        size_t *ret_kept)
{
    struct weighed *w = arena_array(a, struct weighed, n);
    size_t kept = 0;

    for (size_t i = 0; i < n; i++) {
        struct err *e = weigh(a, &chunks[i], &w[i]);

        if (e)
            return e;
    }
    qsort(w, n, sizeof(*w), by_weight);
    for (size_t i = 0; i < n; i++) {
        bool is_free = true;

        for (size_t k = 0; k < kept && is_free; k++)
            is_free = w[i].c.max_t < chunks[k].min_t || w[i].c.min_t > chunks[k].max_t;
        if (is_free)
            chunks[kept++] = w[i].c;
    }
    qsort(chunks, kept, sizeof(*chunks), by_time);
    *ret_kept = kept;
    return NULL;
}

static bool has_aggregates(const struct chunk *c, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (c[i].encoding == CHUNK_AGGR)
            return true;
    return false;
}

static struct err *merge_aggregates(struct merge *m, struct chunk *c, size_t n)
{
    size_t kept;
    struct err *e;

    for (size_t i = 0; i < n; i++)
        if (c[i].encoding != CHUNK_AGGR)
            return err_new(ERR_CORRUPT, "samples among aggregates");
    if ((e = block_merge_pick_aggregates(m->arena, c, n, &kept)))
        return e;
    for (size_t i = 0; i < kept; i++)
        chunk_build_copy(&m->build, &c[i]);
    m->stats.chunks_copied += kept;
    m->stats.aggregates_dropped += n - kept;
    return NULL;
}

static bool is_inside(const struct merge *m, const struct chunk *c)
{
    const struct block_merge_opts *o = m->opts;

    return (o->min_t == 0 && o->max_t == 0) || (c->min_t >= o->min_t && c->max_t < o->max_t);
}

static bool is_outside(const struct merge *m, const struct chunk *c)
{
    const struct block_merge_opts *o = m->opts;

    return (o->min_t || o->max_t) && (c->max_t < o->min_t || c->min_t >= o->max_t);
}

/* Chunks that overlap, directly or through others, are one group. */
static size_t group_end(const struct merge *m, size_t first)
{
    int64_t max_t = m->chunks.ptr[first].max_t;
    size_t i = first + 1;

    for (; i < m->chunks.len && m->chunks.ptr[i].min_t <= max_t; i++)
        max_t = ORR_MAX(max_t, m->chunks.ptr[i].max_t);
    return i;
}

/* Chunks of floats from first on, none of which overlaps another, that fit into one chunk together. */
static size_t join_end(const struct merge *m, size_t first)
{
    size_t i = first, samples = 0;

    for (; i < m->chunks.len && group_end(m, i) == i + 1; i++) {
        const struct chunk *c = &m->chunks.ptr[i];

        if (c->encoding != CHUNK_XOR || !is_inside(m, c) ||
            (samples += chunk_samples(c->data)) > CHUNK_SAMPLES)
            break;
    }
    return ORR_MAX(i, first + 1);
}

/* Bytes of what the inputs know; of no length if nothing. */
static struct slice merge_starts(struct merge *m)
{
    const struct block_merge_opts *o = m->opts;

    buf_reset(&m->starts_bytes);
    if (!m->starts.runs.len)
        return SLICE_EMPTY;
    if (o->min_t || o->max_t)
        start_set_clip(&m->starts, o->min_t, o->max_t - 1);
    start_set_flatten(&m->starts);
    if (m->starts.runs.len)
        start_runs_encode(&m->starts_bytes, m->starts.runs.ptr, m->starts.runs.len);
    return buf_slice(&m->starts_bytes);
}

static struct err *merge_series(struct merge *m, struct labels labels)
{
    struct block_series out = {.labels = labels};
    struct err *e = NULL;

    drop_copies(m);
    chunk_build_begin(&m->build, m->arena);
    for (size_t i = 0, end; !e && i < m->chunks.len; i = end) {
        struct chunk *c = &m->chunks.ptr[i];

        end = group_end(m, i);
        if (end == i + 1 && is_outside(m, c))
            continue;
        if (end > i + 1 && has_aggregates(c, end - i)) {
            e = merge_aggregates(m, c, end - i);
            continue;
        }
        if (end == i + 1)
            end = join_end(m, i);
        if (end == i + 1 && is_inside(m, c)) {
            chunk_build_copy(&m->build, c);
            m->stats.chunks_copied++;
        } else {
            e = merge_decoded(m, c, end - i);
        }
    }
    chunk_build_end(&m->build);
    if (e || m->build.chunks.len == 0)
        return e;
    out.starts = merge_starts(m);
    out.chunks = m->build.chunks.ptr;
    out.n_chunks = m->build.chunks.len;
    m->stats.series++;
    m->stats.chunks_written += out.n_chunks;
    return block_writer_add(m->w, &out);
}

/* ---- all series ---- */

static struct err *advance(struct input *in)
{
    return in->stream->ops->next(in->stream, &in->series, &in->more);
}

/* The least labels at hand; NULL at the end. */
static const struct input *least(const struct merge *m)
{
    const struct input *best = NULL;

    for (size_t i = 0; i < m->n; i++)
        if (m->in[i].more && (!best || labels_cmp(m->in[i].series.labels, best->series.labels) < 0))
            best = &m->in[i];
    return best;
}

static bool is_of_shard(const struct merge *m, struct labels ls)
{
    return m->opts->shards <= 1 || labels_hash_prometheus(ls) % m->opts->shards == m->opts->shard;
}

/* Takes the series with these labels off every input that has it. */
static struct err *take(struct merge *m, struct labels labels, bool is_wanted)
{
    struct err *e = NULL;

    vec_clear(&m->chunks);
    start_set_clear(&m->starts);
    for (size_t i = 0; !e && i < m->n; i++) {
        struct input *in = &m->in[i];

        if (!in->more || labels_cmp(in->series.labels, labels) != 0)
            continue;
        for (size_t k = 0; is_wanted && k < in->series.n_chunks; k++) {
            struct chunk c = in->series.chunks[k];

            c.data = arena_dup(m->arena, c.data); /* the input forgets it when it goes on */
            vec_push(&m->chunks, c);
        }
        if (ORR_UNLIKELY(is_wanted && in->series.starts.len))
            e = start_set_add(&m->starts, in->series.starts);
        if (!e)
            e = advance(in);
    }
    return e;
}

static struct err *merge_next(struct merge *m, bool *ret_more)
{
    const struct input *first = least(m);
    struct labels labels;
    bool is_wanted;
    struct err *e;

    *ret_more = first != NULL;
    if (!first)
        return NULL;
    if (m->opts->is_canceled && m->opts->is_canceled(m->opts->arg))
        return err_new(ERR_CANCELED, "merge was canceled");
    arena_reset(m->arena);
    labels = labels_dup(m->arena, first->series.labels);
    is_wanted = is_of_shard(m, labels);
    if ((e = take(m, labels, is_wanted)) || !is_wanted)
        return e;
    return merge_series(m, labels);
}

struct err *block_merge(struct block_stream **streams, size_t n,
                        const struct block_merge_opts *opts, struct block_writer *w,
                        struct block_merge_stats *ret_stats)
{
    static const struct block_merge_opts none;
    struct merge m = {.opts = opts ? opts : &none, .w = w, .n = n};
    struct err *e = NULL;
    bool more = true;

    m.in = mem_new_array(struct input, n + 1);
    m.arena = arena_new(0);
    chunk_build_init(&m.build);
    for (size_t i = 0; !e && i < n; i++) {
        m.in[i].stream = streams[i];
        e = advance(&m.in[i]);
    }
    while (!e && more)
        e = merge_next(&m, &more);
    chunk_build_done(&m.build);
    vec_done(&m.chunks);
    vec_done(&m.columns);
    start_set_done(&m.starts);
    buf_done(&m.starts_bytes);
    arena_free(m.arena);
    mem_free(m.in);
    if (!e && ret_stats)
        *ret_stats = m.stats;
    return e;
}
