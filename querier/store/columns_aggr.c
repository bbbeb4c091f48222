/* Chunks of aggregates as samples: one for each point, of the value that is asked for. */
#include <math.h>

#include "common/base/mem.h"
#include "common/block/block_merge.h"
#include "common/model/fhist.h"
#include "querier/store/columns_internal.h"

/* ---- those that overlap ---- */

static bool overlaps(const struct columns_chunk *chunks, size_t n, unsigned tier)
{
    int64_t max_t = INT64_MIN;

    for (size_t i = 0; i < n; i++) {
        const struct columns_chunk *ch = &chunks[i];

        if (ch->chunk.encoding != CHUNK_AGGR || ch->tier != tier)
            continue;
        if (ch->chunk.min_t <= max_t)
            return true;
        max_t = ch->chunk.max_t;
    }
    return false;
}

static bool is_among(const struct chunk *picked, size_t n, const struct chunk *c)
{
    for (size_t i = 0; i < n; i++)
        if (picked[i].data.ptr == c->data.ptr)
            return true;
    return false;
}

static struct err *pick_of_tier(struct arena *a, struct columns_chunk *chunks, size_t *io_n,
                                unsigned tier)
{
    struct chunk *picked = arena_array(a, struct chunk, *io_n);
    size_t n = 0, out = 0;
    struct err *e;

    for (size_t i = 0; i < *io_n; i++)
        if (chunks[i].chunk.encoding == CHUNK_AGGR && chunks[i].tier == tier)
            picked[n++] = chunks[i].chunk;
    if ((e = block_merge_pick_aggregates(a, picked, n, &n)))
        return e;
    for (size_t i = 0; i < *io_n; i++)
        if (chunks[i].chunk.encoding != CHUNK_AGGR || chunks[i].tier != tier ||
            is_among(picked, n, &chunks[i].chunk))
            chunks[out++] = chunks[i];
    *io_n = out;
    return NULL;
}

struct err *columns_pick_aggregates(struct arena *a, struct columns_chunk *chunks, size_t n,
                                    size_t *ret_n)
{
    for (unsigned tier = 1; tier < TIERS; tier++) {
        struct err *e;

        if (overlaps(chunks, n, tier) && (e = pick_of_tier(a, chunks, &n, tier)))
            return e;
    }
    *ret_n = n;
    return NULL;
}

/* ---- points ---- */

struct decoding {
    struct columns *c;
    struct arena *arena;
    const struct columns_chunk *ch;
    struct aggr_columns in;
    bool is_whole; /* all of it is read */
    size_t n;      /* samples put behind the last one so far */
};

static void put(struct decoding *d, int64_t t, double v, double samples)
{
    size_t at = d->c->n + d->n;

    if (!d->is_whole && !columns_is_read(d->c, d->ch->tier, t))
        return;
    d->c->t[at] = t;
    d->c->v[at] = v;
    if (d->c->has_hist)
        d->c->h[at] = NULL;
    d->c->p[at] = (struct storage_point){samples, tier_resolution_ms(d->ch->tier)};
    d->n++;
}

/* Times and values of n samples are where they belong: the rest of them, if each stands for one. */
static void put_rest(struct columns *c, unsigned tier, size_t n)
{
    const struct storage_point point = {1, tier_resolution_ms(tier)};

    if (c->has_hist)
        memset((void *)(c->h + c->n), 0, n * sizeof(*c->h));
    for (size_t i = 0; i < n; i++)
        c->p[c->n + i] = point;
}

/* Of a chunk that is read whole, and of whose points each stands for one sample. */
static void put_all(struct decoding *d, const int64_t *t, const double *v, size_t n)
{
    memcpy(d->c->t + d->c->n, t, n * sizeof(*t));
    memcpy(d->c->v + d->c->n, v, n * sizeof(*v));
    put_rest(d->c, d->ch->tier, n);
    d->n = n;
}

static void put_hist(struct decoding *d, int64_t t, const struct histogram *h, double samples)
{
    size_t before = d->n;

    put(d, t, h->sum, samples);
    if (d->n > before)
        d->c->h[d->c->n + before] = h;
}

/* What has to be decoded. How many samples a point stands for is asked for with averages alone. */
static unsigned parts_of(enum columns_value value)
{
    switch (value) {
    case COLUMNS_SUM:
        return AGGR_BIT(AGGR_SUM);
    case COLUMNS_MIN:
        return AGGR_BIT(AGGR_MIN);
    case COLUMNS_MAX:
        return AGGR_BIT(AGGR_MAX);
    case COLUMNS_COUNTER:
        return AGGR_BIT(AGGR_COUNTER);
    case COLUMNS_AVERAGE:
        break;
    }
    return AGGR_BIT(AGGR_SUM) | AGGR_BIT(AGGR_COUNT);
}

static void put_floats(struct decoding *d)
{
    const struct aggr_columns *in = &d->in;
    enum columns_value value = d->c->view.value;
    const double *v = value == COLUMNS_MIN ? in->min : value == COLUMNS_MAX ? in->max : in->sum;

    if (value != COLUMNS_AVERAGE && d->is_whole) {
        put_all(d, in->t, v, in->n);
        return;
    }
    for (size_t i = 0; i < in->n; i++) {
        if (value == COLUMNS_AVERAGE)
            put(d, in->t[i], v[i] / in->count[i], in->count[i]);
        else
            put(d, in->t[i], v[i], 1);
    }
}

/*
 * Behind the last sample of the chunk that is read the counter was what the chunk says if that is its last one; if the rest is
 * read otherwise, it had grown less by what came after, unless it was reset there.
 */
static void put_part_of_counter(struct decoding *d)
{
    const struct aggr_columns *in = &d->in;
    double at_end = in->counter[in->n_counter - 1], at_last = at_end;
    struct columns_end end = {.t = INT64_MIN};

    for (size_t i = 0; i < in->n_counter; i++) {
        size_t before = d->n;

        put(d, in->counter_t[i], in->counter[i], 1);
        if (d->n > before) {
            end.t = in->counter_t[i];
            at_last = in->counter[i];
        }
    }
    if (d->n == 0)
        return;
    end.last = in->last - (at_end - at_last);
    if (!(end.last >= 0))
        end.last = at_last;
    vec_push(&d->c->ends, end);
}

static void put_counter_hist(struct decoding *d)
{
    const struct aggr_columns *in = &d->in;

    for (size_t i = 0, k = 0; i < in->n_counter; i++) {
        while (k + 1 < in->n && in->t[k] < in->counter_t[i])
            k++;
        put_hist(d, in->counter_t[i], &in->counter_h[i], in->count[k]);
    }
}

static const struct histogram *average(struct arena *a, const struct histogram *sum, double count)
{
    return fhist_to(a, fhist_div(a, fhist_from(a, sum), count));
}

static void put_histograms(struct decoding *d)
{
    const struct aggr_columns *in = &d->in;

    for (size_t i = 0; i < in->n; i++)
        put_hist(d, in->t[i],
                 d->c->view.value == COLUMNS_SUM ? &in->sum_h[i]
                                                 : average(d->arena, &in->sum_h[i], in->count[i]),
                 in->count[i]);
}

/* Of histograms there are neither least nor greatest: their sums make averages. */
static unsigned parts_for(const struct columns *c, const struct aggr_chunk *split)
{
    unsigned parts = parts_of(c->view.value);

    if (split->parts[AGGR_SUM].encoding > CHUNK_XOR && !(parts & AGGR_BIT(AGGR_COUNTER)))
        parts = AGGR_BIT(AGGR_SUM);
    return parts;
}

/* The usual case of long ranges: a counter of floats, all of it, decoded where it belongs. */
static struct err *decode_whole_counter(struct columns *c, unsigned tier,
                                        const struct aggr_chunk *split, size_t *ret_n)
{
    struct columns_end end;
    struct err *e;
    size_t n;

    columns_reserve(c, aggr_chunk_counter_room(split) + 1);
    columns_begin_points(c);
    if ((e = aggr_chunk_counter(split, c->t + c->n, c->v + c->n, &n, &end.last)))
        return e;
    put_rest(c, tier, n);
    end.t = c->t[c->n + n - 1];
    if (!(end.last >= 0))
        end.last = c->v[c->n + n - 1];
    vec_push(&c->ends, end);
    *ret_n = n;
    return NULL;
}

struct err *columns_decode_aggregates(struct columns *c, struct arena *a,
                                      const struct columns_chunk *ch, size_t *ret_n)
{
    struct decoding d = {
        .c = c, .arena = a, .ch = ch, .is_whole = columns_is_read_whole(c, ch->tier, &ch->chunk)};
    struct aggr_chunk split;
    struct err *e = aggr_chunk_split(ch->chunk.data, &split);

    if (e)
        return e;
    if (d.is_whole && c->view.value == COLUMNS_COUNTER &&
        split.parts[AGGR_SUM].encoding <= CHUNK_XOR)
        return decode_whole_counter(c, ch->tier, &split, ret_n);
    if ((e = aggr_chunk_decode_split(a, &split, parts_for(c, &split), &d.in)))
        return e;
    columns_reserve(c, d.in.n + d.in.n_counter + 1);
    columns_begin_points(c);
    if (d.in.is_hist)
        columns_begin_hist(c);
    if (d.in.counter_h)
        put_counter_hist(&d);
    else if (d.in.counter)
        put_part_of_counter(&d);
    else if (d.in.is_hist)
        put_histograms(&d);
    else
        put_floats(&d);
    *ret_n = d.n;
    return NULL;
}

/* ---- a counter without resets ---- */

/* Samples so far of a counter of histograms. */
struct hist_counter {
    struct arena *arena;
    const struct fhist *total, *last;
};

static const struct histogram *add_hist(struct hist_counter *c, const struct histogram *h)
{
    struct fhist_notes notes = {0};
    const struct fhist *cur = fhist_from(c->arena, h), *more = cur, *total = NULL;
    bool is_first = !c->total;

    if (c->last && !fhist_is_reset(c->arena, cur, c->last))
        more = fhist_sub(c->arena, cur, c->last, &notes);
    if (c->total && more)
        total = fhist_add(c->arena, c->total, more, &notes);
    is_first = is_first || !total; /* buckets of another kind: it begins anew */
    c->total = total ? total : cur;
    c->last = cur;
    return fhist_to(c->arena, fhist_with_hint(c->arena, c->total,
                                              is_first ? HISTOGRAM_UNKNOWN : HISTOGRAM_NOT_RESET));
}

/* Value i of a counter, or its histogram, without the resets before it. io_end: of c->ends, those before t[i] are done. */
static void take_reset_out(struct columns *c, size_t i, struct aggr_counter *counter,
                           struct hist_counter *hists, size_t *io_end)
{
    const struct histogram **h = c->has_hist ? &c->h[i] : NULL;

    if (h && *h ? sample_is_stale(c->v[i]) : isnan(c->v[i]))
        return;
    if (h && *h) {
        if ((*h)->hint != HISTOGRAM_GAUGE)
            *h = add_hist(hists, *h);
        c->v[i] = (*h)->sum;
        return;
    }
    c->v[i] = aggr_counter_add(counter, c->v[i]);
    while (*io_end < c->ends.len && c->ends.ptr[*io_end].t < c->t[i])
        ++*io_end;
    if (*io_end < c->ends.len && c->ends.ptr[*io_end].t == c->t[i])
        aggr_counter_end(counter, c->ends.ptr[*io_end].last);
}

static bool is_of_window_of_next(const struct columns *c, size_t i)
{
    int64_t span_ms = c->p[i].span_ms;

    /* Most are further apart, and the divisions are what takes time here. */
    return span_ms && i + 1 < c->n && c->t[i + 1] - c->t[i] < span_ms &&
           c->p[i + 1].span_ms == span_ms && c->t[i] / span_ms == c->t[i + 1] / span_ms;
}

/* Up to where samples from i on are floats of one chunk of aggregates, or of samples between such. */
static size_t run_end(const struct columns *c, size_t i, size_t end)
{
    size_t lo = i, n = c->n;

    while (end < c->ends.len && lo < n) {
        size_t mid = lo + (n - lo) / 2;

        if (c->t[mid] <= c->ends.ptr[end].t)
            lo = mid + 1;
        else
            n = mid;
    }
    return end < c->ends.len ? lo : c->n;
}

/* Of floats that never fall only the first can be less than the one before it. False: there is another, or a NaN. */
static bool raise_run(double *v, size_t n, struct aggr_counter *counter)
{
    bool never_falls = !isnan(v[0]);
    double offset;

    for (size_t i = 1; i < n; i++)
        never_falls &= v[i] >= v[i - 1];
    if (!never_falls)
        return false;
    (void)aggr_counter_add(counter, v[0]);
    counter->last = v[n - 1];
    offset = counter->offset;
    for (size_t i = 0; i < n; i++)
        v[i] += offset;
    counter->total = v[n - 1];
    return true;
}

/* As take_reset_out() of each; columns of floats, where most of a chunk is one addition to all its values. */
static void take_resets_out(struct columns *c, struct arena *a)
{
    struct aggr_counter counter = {0};
    struct hist_counter hists = {.arena = a};
    size_t end = 0, to;

    for (size_t i = 0; i < c->n; i = to) {
        while (end < c->ends.len && c->ends.ptr[end].t < c->t[i])
            end++;
        to = c->has_hist ? i + 1 : run_end(c, i, end);
        if (c->has_hist || !raise_run(c->v + i, to - i, &counter))
            for (size_t k = i; k < to; k++)
                take_reset_out(c, k, &counter, &hists, &end);
        else if (end < c->ends.len && c->ends.ptr[end].t == c->t[to - 1])
            aggr_counter_end(&counter, c->ends.ptr[end].last);
    }
}

/* Moves the samples [from, to) to out; returns what is behind them then. */
static size_t move_run(struct columns *c, size_t from, size_t to, size_t out)
{
    size_t n = to - from;

    if (from == out)
        return to;
    memmove(c->t + out, c->t + from, n * sizeof(*c->t));
    memmove(c->v + out, c->v + from, n * sizeof(*c->v));
    memmove(c->p + out, c->p + from, n * sizeof(*c->p));
    if (c->has_hist)
        memmove((void *)(c->h + out), (void *)(c->h + from), n * sizeof(*c->h));
    return out + n;
}

/* One point for each window, so that they are evenly spaced: rate() judges by that how far it may go beyond them. The very
 * first sample stays. */
void columns_even_counter(struct columns *c, struct arena *a)
{
    size_t out = 0, from = 0;

    take_resets_out(c, a);
    for (size_t i = 1; i < c->n; i++) {
        if (!is_of_window_of_next(c, i))
            continue;
        out = move_run(c, from, i, out);
        from = i + 1;
    }
    c->n = move_run(c, from, c->n, out);
}
