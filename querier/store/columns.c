#include "querier/store/columns.h"

#include <stdlib.h>

#include "common/base/mem.h"
#include "querier/store/columns_internal.h"

struct columns *columns_new(void)
{
    return mem_new(struct columns);
}

void columns_free(struct columns *c)
{
    if (!c)
        return;
    mem_free(c->t);
    mem_free(c->v);
    mem_free((void *)c->h);
    mem_free(c->tmp_t);
    mem_free(c->tmp_v);
    mem_free((void *)c->tmp_h);
    mem_free(c->p);
    mem_free(c->tmp_p);
    vec_done(&c->ends);
    start_set_done(&c->starts);
    mem_free(c->st);
    mem_free(c);
}

void columns_set_view(struct columns *c, const struct columns_view *view)
{
    c->view = *view;
}

void columns_reserve(struct columns *c, size_t more)
{
    size_t cap = c->cap ? c->cap : 256;

    if (c->n + more <= c->cap)
        return;
    while (cap < c->n + more)
        cap *= 2;
    c->t = mem_reallocarray(c->t, cap, sizeof(*c->t));
    c->v = mem_reallocarray(c->v, cap, sizeof(*c->v));
    c->h = mem_reallocarray((void *)c->h, cap, sizeof(*c->h));
    if (c->has_points)
        c->p = mem_reallocarray(c->p, cap, sizeof(*c->p));
    c->cap = cap;
}

void columns_begin_hist(struct columns *c)
{
    if (c->has_hist)
        return;
    c->has_hist = true;
    memset((void *)c->h, 0, c->n * sizeof(*c->h));
}

static void put_measured(struct storage_point *p, size_t n)
{
    for (size_t i = 0; i < n; i++)
        p[i] = (struct storage_point){.samples = 1};
}

void columns_begin_points(struct columns *c)
{
    if (c->has_points)
        return;
    c->has_points = true;
    c->p = mem_reallocarray(c->p, c->cap, sizeof(*c->p));
    put_measured(c->p, c->n);
}

/* The span that t lies in; NULL if there is none. */
static const struct tier_span *span_at(const struct columns_view *v, int64_t t)
{
    size_t lo = 0, n = v->n_spans;

    while (lo < n) {
        size_t mid = lo + (n - lo) / 2;

        if (v->spans[mid].max_ms < t)
            lo = mid + 1;
        else
            n = mid;
    }
    return lo < v->n_spans && v->spans[lo].min_ms <= t ? &v->spans[lo] : NULL;
}

bool columns_is_read(const struct columns *c, unsigned tier, int64_t t)
{
    const struct tier_span *s;

    if (c->view.n_spans == 0)
        return tier == 0;
    s = span_at(&c->view, t);
    return s && s->tier == tier;
}

bool columns_is_read_whole(const struct columns *c, unsigned tier, const struct chunk *chunk)
{
    const struct tier_span *s;

    if (c->view.n_spans == 0)
        return tier == 0;
    s = span_at(&c->view, chunk->min_t);
    return s && s->tier == tier && chunk->max_t <= s->max_ms;
}

static void reserve_tmp(struct columns *c, size_t n)
{
    if (c->has_points)
        c->tmp_p = mem_reallocarray(c->tmp_p, ORR_MAX(n, c->tmp_cap) * 2, sizeof(*c->tmp_p));
    if (n <= c->tmp_cap)
        return;
    c->tmp_cap = n * 2;
    c->tmp_t = mem_reallocarray(c->tmp_t, c->tmp_cap, sizeof(*c->tmp_t));
    c->tmp_v = mem_reallocarray(c->tmp_v, c->tmp_cap, sizeof(*c->tmp_v));
    c->tmp_h = mem_reallocarray((void *)c->tmp_h, c->tmp_cap, sizeof(*c->tmp_h));
}

/* ---- start timestamps ---- */

/* Takes them from among the chunks, of which *io_n are left. */
static struct err *take_starts(struct columns *c, struct columns_chunk *chunks, size_t *io_n)
{
    size_t out = 0;

    start_set_clear(&c->starts);
    for (size_t i = 0; i < *io_n; i++) {
        struct err *e;

        if (ORR_LIKELY(chunks[i].chunk.encoding != CHUNK_STARTS)) {
            if (ORR_UNLIKELY(out != i))
                chunks[out] = chunks[i];
            out++;
        } else if ((e = start_set_add(&c->starts, chunks[i].chunk.data))) {
            return e;
        }
    }
    *io_n = out;
    return NULL;
}

/* Those of the samples of *io. */
static void fill_starts(struct columns *c, struct storage_series *io)
{
    if (ORR_LIKELY(!c->starts.runs.len) || !io->n)
        return;
    if (c->st_cap < io->n) {
        c->st_cap = 2 * io->n;
        mem_free(c->st);
        c->st = mem_new_array(int64_t, c->st_cap);
    }
    start_set_flatten(&c->starts);
    if (start_set_fill(&c->starts, io->t_ms, io->n, c->st))
        io->st_ms = c->st;
}

/* ---- which chunks ---- */

static int by_time(const void *a, const void *b)
{
    const struct chunk *x = &((const struct columns_chunk *)a)->chunk;
    const struct chunk *y = &((const struct columns_chunk *)b)->chunk;

    if (x->min_t != y->min_t)
        return x->min_t < y->min_t ? -1 : 1;
    if (x->max_t != y->max_t)
        return x->max_t < y->max_t ? -1 : 1;
    if (x->encoding != y->encoding)
        return x->encoding < y->encoding ? -1 : 1;
    return slice_cmp(x->data, y->data);
}

/* By time alone and without two of the same, which is how chunks of one source come. */
static bool follow_one_another(const struct columns_chunk *chunks, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (chunks[i].chunk.min_t <= chunks[i - 1].chunk.min_t)
            return false;
    return true;
}

/* Leaves out chunks outside the range and copies; returns how many stay, sorted. */
static size_t select_chunks(struct columns_chunk *chunks, size_t n, int64_t min_ms, int64_t max_ms)
{
    size_t in = 0, out = 0;

    for (size_t i = 0; i < n; i++)
        if (chunks[i].chunk.max_t >= min_ms && chunks[i].chunk.min_t <= max_ms)
            chunks[in++] = chunks[i];
    if (follow_one_another(chunks, in))
        return in;
    qsort(chunks, in, sizeof(*chunks), by_time);
    for (size_t i = 0; i < in; i++) {
        const struct columns_chunk *last = out ? &chunks[out - 1] : NULL;

        /* A copy whose samples are deleted elsewhere is not the same. */
        if (last && by_time(last, &chunks[i]) == 0 && last->deleted == chunks[i].deleted &&
            last->tier == chunks[i].tier)
            continue;
        chunks[out++] = chunks[i];
    }
    return out;
}

/* ---- decoding behind the last sample ---- */

static struct err *check_order(const int64_t *t, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (t[i] <= t[i - 1])
            return err_new(ERR_CORRUPT, "times in a chunk do not increase");
    return NULL;
}

static struct err *decode_floats(struct columns *c, struct slice data, size_t *ret_n)
{
    size_t room = chunk_samples(data);
    struct err *e;

    columns_reserve(c, room + 1);
    if ((e = chunk_xor_decode(data, room, c->t + c->n, c->v + c->n, ret_n)))
        return e;
    if (c->has_hist)
        memset((void *)(c->h + c->n), 0, *ret_n * sizeof(*c->h));
    return check_order(c->t + c->n, *ret_n);
}

static struct err *decode_any(struct columns *c, struct arena *a, const struct columns_chunk *ch,
                              size_t *ret_n)
{
    const struct chunk *chunk = &ch->chunk;
    struct chunk_columns cols;
    struct err *e;

    if (chunk->encoding == CHUNK_AGGR)
        return columns_decode_aggregates(c, a, ch, ret_n);
    if (chunk->encoding == CHUNK_XOR)
        return decode_floats(c, chunk->data, ret_n);
    if ((e = chunk_decode(a, chunk->encoding, chunk->data, &cols)))
        return e;
    columns_reserve(c, cols.n + 1);
    if (cols.h)
        columns_begin_hist(c);
    for (size_t i = 0; i < cols.n; i++) {
        c->t[c->n + i] = cols.t[i];
        c->v[c->n + i] = cols.h ? cols.h[i].sum : cols.v[i];
        if (c->has_hist)
            c->h[c->n + i] = cols.h ? &cols.h[i] : NULL;
    }
    *ret_n = cols.n;
    return NULL;
}

/* Takes samples that are deleted, or not read, out of the n that stand behind the last one. */
static size_t drop_some(struct columns *c, size_t n, const struct columns_chunk *ch)
{
    size_t out = c->n, d = 0;
    bool is_whole = ch->chunk.encoding == CHUNK_AGGR || columns_is_read_whole(c, 0, &ch->chunk);

    if (!ch->n_deleted && is_whole)
        return n;
    for (size_t i = c->n; i < c->n + n; i++) {
        while (d < ch->n_deleted && ch->deleted[d].max_t < c->t[i])
            d++;
        if (d < ch->n_deleted && ch->deleted[d].min_t <= c->t[i])
            continue;
        if (!is_whole && !columns_is_read(c, 0, c->t[i]))
            continue;
        c->t[out] = c->t[i];
        c->v[out] = c->v[i];
        if (c->has_hist)
            c->h[out] = c->h[i];
        if (c->has_points)
            c->p[out] = c->p[i];
        out++;
    }
    return out - c->n;
}

/* ---- merging ---- */

static int cmp_u64(uint64_t a, uint64_t b)
{
    return (a > b) - (a < b);
}

/* The order of samples at one time (block_merge.h); positive when the first wins. Histograms that
 * agree in count and sum count as equal: then the one of the chunk with the lesser bytes stays. */
static int cmp_samples(double va, const struct histogram *ha, double vb, const struct histogram *hb)
{
    int c = (int)sample_is_stale(vb) - (int)sample_is_stale(va);

    if (!c)
        c = (int)(ha != NULL) - (int)(hb != NULL);
    if (!c && ha)
        c = cmp_u64(sample_bits(ha->count), sample_bits(hb->count));
    return c ? c : cmp_u64(sample_bits(va), sample_bits(vb));
}

static size_t lower_bound(const int64_t *t, size_t n, int64_t at)
{
    size_t lo = 0;

    while (lo < n) {
        size_t mid = lo + (n - lo) / 2;

        if (t[mid] < at)
            lo = mid + 1;
        else
            n = mid;
    }
    return lo;
}

/* Merges the samples from..n with the more that stand behind them. */
static void merge_tail(struct columns *c, size_t from, size_t more)
{
    size_t i = from, k = c->n, end = c->n + more, out = 0;

    reserve_tmp(c, end - from);
    while (i < c->n || k < end) {
        size_t pick;

        if (i < c->n && k < end && c->t[i] == c->t[k]) {
            const struct histogram *hi = c->has_hist ? c->h[i] : NULL;
            const struct histogram *hk = c->has_hist ? c->h[k] : NULL;

            pick = cmp_samples(c->v[i], hi, c->v[k], hk) >= 0 ? i : k;
            i++;
            k++;
        } else {
            pick = k >= end || (i < c->n && c->t[i] < c->t[k]) ? i++ : k++;
        }
        c->tmp_t[out] = c->t[pick];
        c->tmp_v[out] = c->v[pick];
        c->tmp_h[out] = c->has_hist ? c->h[pick] : NULL;
        if (c->has_points)
            c->tmp_p[out] = c->p[pick];
        out++;
    }
    memcpy(c->t + from, c->tmp_t, out * sizeof(*c->t));
    memcpy(c->v + from, c->tmp_v, out * sizeof(*c->v));
    if (c->has_hist)
        memcpy((void *)(c->h + from), (void *)c->tmp_h, out * sizeof(*c->h));
    if (c->has_points)
        memcpy(c->p + from, c->tmp_p, out * sizeof(*c->p));
    c->n = from + out;
}

static struct err *add_chunk(struct columns *c, struct arena *a, const struct columns_chunk *ch)
{
    size_t n = 0;
    struct err *e = decode_any(c, a, ch, &n);

    if (e)
        return e;
    if (c->has_points && ch->chunk.encoding != CHUNK_AGGR)
        put_measured(c->p + c->n, n);
    n = drop_some(c, n, ch);
    if (n && c->n && c->t[c->n] <= c->t[c->n - 1])
        merge_tail(c, lower_bound(c->t, c->n, c->t[c->n]), n);
    else
        c->n += n;
    return NULL;
}

struct err *columns_fill(struct columns *c, struct arena *a, struct columns_chunk *chunks, size_t n,
                         int64_t min_ms, int64_t max_ms, struct storage_series *ret)
{
    struct err *e;
    size_t lo, hi;

    c->n = 0;
    c->has_hist = c->has_points = false;
    vec_clear(&c->ends);
    if ((e = take_starts(c, chunks, &n)))
        return e;
    n = select_chunks(chunks, n, min_ms, max_ms);
    if (c->view.n_spans && (e = columns_pick_aggregates(a, chunks, n, &n)))
        return e;
    for (size_t i = 0; i < n; i++)
        if ((e = add_chunk(c, a, &chunks[i])))
            return e;
    if (c->has_points && c->view.value == COLUMNS_COUNTER)
        columns_even_counter(c, a);
    lo = lower_bound(c->t, c->n, min_ms);
    hi = max_ms == INT64_MAX ? c->n : lower_bound(c->t, c->n, max_ms + 1);
    ret->n = hi > lo ? hi - lo : 0;
    ret->t_ms = c->t + lo;
    ret->v = c->v + lo;
    ret->h = c->has_hist ? c->h + lo : NULL;
    ret->st_ms = NULL;
    ret->points = c->has_points ? c->p + lo : NULL;
    if (!c->has_points) /* starts are of samples, and a counter without resets has none */
        fill_starts(c, ret);
    return NULL;
}
