#include "common/block/aggr_build.h"

#include <math.h>

#include "common/block/tiers.h"

void aggr_build_init(struct aggr_build *b)
{
    *b = (struct aggr_build){.tmp = arena_new(0)};
    chunk_build_init(&b->out);
}

void aggr_build_done(struct aggr_build *b)
{
    chunk_build_done(&b->out);
    vec_done(&b->rows);
    arena_free(b->tmp);
}

static void open_chunk(struct aggr_build *b, enum chunk_hist_fit why)
{
    vec_clear(&b->rows);
    arena_reset(b->tmp);
    b->counter = (struct aggr_counter){0};
    b->has_first = false;
    b->first_h = b->last_h = NULL;
    b->why = why;
}

void aggr_build_begin(struct aggr_build *b, struct arena *a, int64_t resolution_ms)
{
    chunk_build_begin(&b->out, a);
    b->arena = a;
    b->resolution_ms = resolution_ms;
    open_chunk(b, CHUNK_HIST_ADDED);
}

/* ---- a chunk comes to its end ---- */

struct columns_out {
    int64_t *t, *counter_t;
    double *count, *sum, *min, *max, *counter;
    struct histogram *sum_h, *counter_h;
};

static void put_row(struct aggr_build *b, struct columns_out *o, size_t i)
{
    const struct aggr_row *r = &b->rows.ptr[i];

    o->t[i] = r->t;
    o->count[i] = r->count;
    if (b->is_hist) {
        o->sum_h[i] = *fhist_to(b->tmp, r->sum_h);
        return;
    }
    o->sum[i] = r->sum;
    o->min[i] = r->min;
    o->max[i] = r->max;
}

/* Histograms have no second sample at one time, so a first one that is the first point's own is left out. */
static size_t put_counters(struct aggr_build *b, struct columns_out *o)
{
    size_t n = 0;

    if (b->has_first && !(b->is_hist && b->first_t >= b->rows.ptr[0].t)) {
        o->counter_t[n] = b->first_t;
        if (b->is_hist)
            o->counter_h[n] = *fhist_to(b->tmp, b->first_h);
        else
            o->counter[n] = b->first;
        n++;
    }
    for (size_t i = 0; i < b->rows.len; i++, n++) {
        o->counter_t[n] = b->rows.ptr[i].t;
        if (b->is_hist)
            o->counter_h[n] = *fhist_to(b->tmp, b->rows.ptr[i].counter_h);
        else
            o->counter[n] = b->rows.ptr[i].counter;
    }
    return n;
}

static void encode(struct aggr_build *b)
{
    size_t n = b->rows.len;
    struct columns_out o = {.t = arena_array(b->tmp, int64_t, n),
                            .counter_t = arena_array(b->tmp, int64_t, n + 1),
                            .count = arena_array(b->tmp, double, n),
                            .sum = arena_array(b->tmp, double, n),
                            .min = arena_array(b->tmp, double, n),
                            .max = arena_array(b->tmp, double, n),
                            .counter = arena_array(b->tmp, double, n + 1)};
    struct aggr_columns c;

    if (b->is_hist) {
        o.sum_h = arena_array(b->tmp, struct histogram, n);
        o.counter_h = arena_array(b->tmp, struct histogram, n + 1);
    }
    for (size_t i = 0; i < n; i++)
        put_row(b, &o, i);
    c = (struct aggr_columns){.n = n,
                              .t = o.t,
                              .count = o.count,
                              .sum = o.sum,
                              .min = o.min,
                              .max = o.max,
                              .sum_h = o.sum_h,
                              .n_counter = put_counters(b, &o),
                              .counter_t = o.counter_t,
                              .counter = o.counter,
                              .counter_h = o.counter_h,
                              .last = b->counter.last};
    aggr_chunk_encode(b->arena, &c, b->why, &b->out);
}

/* The next one begins because of why. */
static void close_chunk(struct aggr_build *b, enum chunk_hist_fit why)
{
    if (b->rows.len) {
        struct aggr_row *last = &b->rows.ptr[b->rows.len - 1];

        last->t = ORR_MIN(last->t, b->last_t);
        encode(b);
    }
    open_chunk(b, why);
}

void aggr_build_end(struct aggr_build *b)
{
    close_chunk(b, CHUNK_HIST_ADDED);
}

/* Ends the chunk at hand if a sample at t of this kind is not of it. */
static void make_room(struct aggr_build *b, int64_t t, bool is_hist)
{
    int64_t span_ms = AGGR_CHUNK_POINTS * b->resolution_ms;

    if (b->rows.len && (is_hist != b->is_hist ||
                        tier_window(t, span_ms) != tier_window(b->rows.ptr[0].t, span_ms)))
        close_chunk(b, CHUNK_HIST_ADDED);
    b->is_hist = is_hist;
}

/* ---- floats ---- */

static void add_counter(struct aggr_build *b, int64_t t, double v)
{
    if (!b->has_first) {
        b->has_first = true;
        b->first_t = t;
        b->first = v;
    }
    (void)aggr_counter_add(&b->counter, v);
}

/* What the row sums up grows by a point; the counter was told of it before. */
static void add_point(struct aggr_build *b, const struct aggr_row *p)
{
    int64_t end = tier_window(p->t, b->resolution_ms) + b->resolution_ms - 1;
    struct aggr_row *r = b->rows.len ? &b->rows.ptr[b->rows.len - 1] : NULL;

    b->last_t = p->t;
    if (!r || r->t < p->t) {
        vec_push(&b->rows, *p);
        r = &b->rows.ptr[b->rows.len - 1];
        r->t = end;
    } else {
        r->count += p->count;
        r->sum += p->sum;
        r->min = ORR_MIN(r->min, p->min);
        r->max = ORR_MAX(r->max, p->max);
    }
    r->counter = b->counter.total;
}

static void add_floats(struct aggr_build *b, const struct chunk_columns *c)
{
    for (size_t i = 0; i < c->n; i++) {
        double v = c->v[i];

        if (isnan(v))
            continue;
        make_room(b, c->t[i], false);
        add_counter(b, c->t[i], v);
        add_point(b, &(struct aggr_row){.t = c->t[i], .count = 1, .sum = v, .min = v, .max = v});
    }
}

/* ---- histograms ---- */

/* True if cur does not go on from what the chunk has. */
static bool is_reset(struct aggr_build *b, const struct fhist *cur)
{
    if (!b->last_h || cur->hint == HISTOGRAM_GAUGE)
        return false;
    return fhist_is_reset(b->tmp, cur, b->last_h);
}

/* cur: in memory that outlives the chunk at hand. */
static void add_counter_hist(struct aggr_build *b, int64_t t, const struct fhist *cur)
{
    if (is_reset(b, cur))
        close_chunk(b, CHUNK_HIST_RESET);
    cur = fhist_dup(b->tmp, cur);
    if (!b->has_first) {
        b->has_first = true;
        b->first_t = t;
        b->first_h = cur;
    }
    b->last_h = cur;
}

static const struct fhist *as_gauge(struct aggr_build *b, const struct fhist *h)
{
    return fhist_with_hint(b->tmp, h, HISTOGRAM_GAUGE);
}

static void add_point_hist(struct aggr_build *b, int64_t t, double count, const struct fhist *sum)
{
    struct fhist_notes notes = {0};
    struct aggr_row *r = b->rows.len ? &b->rows.ptr[b->rows.len - 1] : NULL;
    const struct fhist *both = NULL;

    if (r && r->t >= t && !(both = fhist_add(b->tmp, r->sum_h, as_gauge(b, sum), &notes))) {
        const struct fhist *last =
            b->last_h; /* buckets of another kind: it stands in a chunk of its own */
        struct arena *keep = arena_new(0);

        last = fhist_dup(keep, last);
        sum = fhist_dup(keep, sum);
        close_chunk(b, CHUNK_HIST_ADDED);
        add_counter_hist(b, t, last);
        add_point_hist(b, t, count, sum);
        arena_free(keep);
        return;
    }
    b->last_t = t;
    if (both) {
        r->sum_h = fhist_dup(b->tmp, both); /* parts of it may be sum's */
        r->count += count;
    } else {
        vec_push(&b->rows, ((struct aggr_row){
                               .t = tier_window(t, b->resolution_ms) + b->resolution_ms - 1,
                               .count = count,
                               .sum_h = as_gauge(b, fhist_dup(b->tmp, sum)),
                           }));
        r = &b->rows.ptr[b->rows.len - 1];
    }
    r->counter_h = b->last_h;
}

static void add_histograms(struct aggr_build *b, struct arena *a, const struct chunk_columns *c)
{
    for (size_t i = 0; i < c->n; i++) {
        const struct fhist *h;

        if (sample_is_stale(c->h[i].sum)) /* a sum that is NaN otherwise has counts */
            continue;
        h = fhist_from(a, &c->h[i]);
        make_room(b, c->t[i], true);
        add_counter_hist(b, c->t[i], h);
        add_point_hist(b, c->t[i], 1, h);
    }
}

/* ---- chunks of aggregates ---- */

static void add_aggr_floats(struct aggr_build *b, const struct aggr_columns *c)
{
    size_t at = 0;

    for (size_t i = 0; i < c->n; i++) {
        make_room(b, c->t[i], false);
        for (; at < c->n_counter && c->counter_t[at] <= c->t[i]; at++)
            add_counter(b, c->counter_t[at], c->counter[at]);
        add_point(b, &(struct aggr_row){.t = c->t[i],
                                        .count = c->count[i],
                                        .sum = c->sum[i],
                                        .min = c->min[i],
                                        .max = c->max[i]});
    }
    aggr_counter_end(&b->counter, c->last);
}

static void add_aggr_histograms(struct aggr_build *b, struct arena *a, const struct aggr_columns *c)
{
    size_t at = 0;

    for (size_t i = 0; i < c->n; i++) {
        make_room(b, c->t[i], true);
        for (; at < c->n_counter && c->counter_t[at] <= c->t[i]; at++)
            add_counter_hist(b, c->counter_t[at], fhist_from(a, &c->counter_h[at]));
        add_point_hist(b, c->t[i], c->count[i], fhist_from(a, &c->sum_h[i]));
    }
}

static struct err *add_aggregates(struct aggr_build *b, struct arena *a, struct slice data)
{
    struct aggr_columns c;
    struct err *e = aggr_chunk_decode(a, data, AGGR_ALL, &c);

    if (e)
        return e;
    if (c.sum_h)
        add_aggr_histograms(b, a, &c);
    else
        add_aggr_floats(b, &c);
    return NULL;
}

struct err *aggr_build_chunk(struct aggr_build *b, const struct chunk *c)
{
    struct arena *a = arena_new(0);
    struct chunk_columns cols;
    struct err *e = NULL;

    if (c->encoding == CHUNK_AGGR) {
        e = add_aggregates(b, a, c->data);
    } else if (!(e = chunk_decode(a, c->encoding, c->data, &cols))) {
        if (cols.v)
            add_floats(b, &cols);
        else
            add_histograms(b, a, &cols);
    }
    arena_free(a);
    return e;
}
