#include "ingester/door/otlp_delta.h"

#include "common/base/lock.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/metric.h"
#include "ingester/door/rw_histogram.h"

#define SWEEP_EVERY_MS 60000
#define SWEEP_TENANTS 4096 /* from so many on, those without streams are looked for */

/* Counts of the buckets offset, offset + 1, …; on the heap. */
struct dense {
    int64_t offset;
    size_t n;
    uint64_t *counts;
};

struct stream {
    enum otlp_kind kind;
    int64_t used_ms;
    uint64_t start_ns, last_ns;
    double v;
    uint64_t count, zero_count;
    bool has_sum;
    int32_t scale;
    struct dense pos, neg; /* exponential; explicit ones have their counts in pos */
    double *bounds;        /* pos.n - 1 of them, or none */
    size_t n_bounds;
};

struct delta_tenant {
    struct map streams; /* by fingerprint: struct stream */
    int64_t swept_ms;
};

struct otlp_delta_metrics {
    uint64_t late, full, restarts;
    int64_t streams;
};
static const struct metric_field delta_fields[] = {
    METRIC_COUNTER(struct otlp_delta_metrics, late, "orrery_otlp_delta_late_total",
                   "Delta points left out: not later than the one before."),
    METRIC_COUNTER(struct otlp_delta_metrics, full, "orrery_otlp_delta_over_limit_total",
                   "Delta points left out: too many streams or buckets."),
    METRIC_COUNTER(struct otlp_delta_metrics, restarts, "orrery_otlp_delta_restarts_total",
                   "Histograms that began anew because their buckets differ."),
    METRIC_GAUGE(struct otlp_delta_metrics, streams, "orrery_otlp_delta_streams",
                 "Streams of deltas that are being added up."),
};

struct otlp_delta {
    struct lock lock;
    struct map tenants; /* guarded: struct delta_tenant */
    size_t sweep_at;
    struct otlp_delta_metrics m;
};

/* ---- life ---- */

static void stream_reset(struct stream *s)
{
    mem_free(s->pos.counts);
    mem_free(s->neg.counts);
    mem_free(s->bounds);
    *s = (struct stream){.kind = s->kind};
}

static void stream_free(struct stream *s)
{
    stream_reset(s);
    mem_free(s);
}

struct otlp_delta *otlp_delta_new(void)
{
    struct otlp_delta *d = mem_new(struct otlp_delta);

    d->sweep_at = SWEEP_TENANTS;
    lock_init(&d->lock, LOCK_LEAF_MODULE);
    metric_register(&d->m, delta_fields, ORR_COUNT(delta_fields), NULL);
    return d;
}

static void tenant_free(struct delta_tenant *t)
{
    MAP_FOREACH (en, &t->streams)
        stream_free(en->value);
    map_done(&t->streams);
    mem_free(t);
}

void otlp_delta_free(struct otlp_delta *d)
{
    if (!d)
        return;
    metric_unregister(&d->m);
    MAP_FOREACH (en, &d->tenants)
        tenant_free(en->value);
    map_done(&d->tenants);
    lock_done(&d->lock);
    mem_free(d);
}

/* Forgets the silent ones. */
static void sweep(struct otlp_delta *d, struct delta_tenant *t, int64_t now_ms)
{
    struct map kept = {0};

    t->swept_ms = now_ms;
    MAP_FOREACH (en, &t->streams) {
        struct stream *s = en->value;

        if (now_ms - s->used_ms <= OTLP_DELTA_SILENCE_MS) {
            (void)map_put(&kept, en->key, s);
            continue;
        }
        stream_free(s);
        METRIC_ADD(d->m.streams, -1);
    }
    map_done(&t->streams);
    t->streams = kept;
}

static void sweep_tenants(struct otlp_delta *d, int64_t now_ms)
{
    struct map kept = {0};

    MAP_FOREACH (en, &d->tenants) {
        struct delta_tenant *t = en->value;

        sweep(d, t, now_ms);
        if (t->streams.len)
            (void)map_put(&kept, en->key, t);
        else
            tenant_free(t);
    }
    map_done(&d->tenants);
    d->tenants = kept;
    d->sweep_at = ORR_MAX(2 * kept.len, (size_t)SWEEP_TENANTS);
}

static struct delta_tenant *tenant_of(struct otlp_delta *d, struct slice name, int64_t now_ms)
{
    struct delta_tenant *t = map_get(&d->tenants, name);

    if (t)
        return t;
    if (d->tenants.len >= d->sweep_at)
        sweep_tenants(d, now_ms);
    t = mem_new(struct delta_tenant);
    t->swept_ms = now_ms;
    (void)map_put(&d->tenants, name, t);
    return t;
}

/* The stream, a new one if there is none (*ret_is_new); NULL: too many. */
static struct stream *find(struct otlp_delta *d, struct slice tenant,
                           const struct otlp_delta_opts *opts, struct hash128 id, bool *ret_is_new)
{
    struct delta_tenant *t = tenant_of(d, tenant, opts->now_ms);
    struct slice key = slice_of(&id, sizeof(id));
    struct stream *s;

    if (opts->now_ms - t->swept_ms > SWEEP_EVERY_MS)
        sweep(d, t, opts->now_ms);
    s = map_get(&t->streams, key);
    *ret_is_new = !s;
    if (s || (opts->max_streams && t->streams.len >= opts->max_streams))
        return s;
    s = mem_new(struct stream);
    (void)map_put(&t->streams, key, s);
    METRIC_ADD(d->m.streams, 1);
    return s;
}

/* ---- buckets ---- */

/* Where bucket i lies when 2^by become one; by may be anything that a sender's scale makes it. */
static int64_t coarse(int64_t i, int by)
{
    return i >> ORR_MIN(by, 62);
}

static int64_t end_of(const struct dense *x)
{
    return x->offset + (int64_t)x->n;
}

static struct dense dense_new(int64_t offset, size_t n)
{
    return (struct dense){offset, n, n ? mem_new_array(uint64_t, n) : NULL};
}

/* 2^by buckets become one. */
static void coarsen(struct dense *x, int by)
{
    struct dense out;

    if (!x->n || !by)
        return;
    out = dense_new(coarse(x->offset, by),
                    (size_t)(coarse(end_of(x) - 1, by) - coarse(x->offset, by) + 1));
    for (size_t i = 0; i < x->n; i++)
        out.counts[coarse(x->offset + (int64_t)i, by) - out.offset] += x->counts[i];
    mem_free(x->counts);
    *x = out;
}

/* The buckets that b takes once coarser. */
static void range_of(const struct otlp_buckets *b, int by, int64_t *ret_from, int64_t *ret_to)
{
    *ret_from = coarse(b->offset, by);
    *ret_to = b->counts.n ? coarse(b->offset + (int64_t)b->counts.n - 1, by) + 1 : *ret_from;
}

/* How many buckets both take when each is made coarser by its own. */
static size_t width(const struct dense *x, int by_x, const struct otlp_buckets *b, int by_b)
{
    int64_t from, to;

    range_of(b, by_b, &from, &to);
    if (x->n) {
        int64_t first = coarse(x->offset, by_x), last = coarse(end_of(x) - 1, by_x);

        from = b->counts.n ? ORR_MIN(from, first) : first;
        to = b->counts.n ? ORR_MAX(to, last + 1) : last + 1;
    }
    return (size_t)(to - from);
}

static void add_buckets(struct dense *x, const struct otlp_buckets *b, int by)
{
    int64_t from, to;

    range_of(b, by, &from, &to);
    if (from == to)
        return;
    if (!x->n) {
        mem_free(x->counts);
        *x = dense_new(from, (size_t)(to - from));
    } else if (from < x->offset || to > end_of(x)) {
        int64_t first = ORR_MIN(from, x->offset);
        struct dense out = dense_new(first, (size_t)(ORR_MAX(to, end_of(x)) - first));

        memcpy(out.counts + (x->offset - first), x->counts, x->n * sizeof(*x->counts));
        mem_free(x->counts);
        *x = out;
    }
    for (size_t i = 0; i < b->counts.n; i++)
        x->counts[coarse(b->offset + (int64_t)i, by) - x->offset] += b->counts.ptr[i];
}

/* ---- adding ---- */

/* False: there is no scale that fits both. */
static bool add_exponential(struct stream *s, const struct otlp_point *p, size_t max)
{
    int scale = ORR_MIN(p->scale, RW_HISTOGRAM_MAX_SCHEMA);

    if (s->pos.n || s->neg.n)
        scale = ORR_MIN(scale, s->scale);
    else
        s->scale = scale;
    while (max && width(&s->pos, s->scale - scale, &p->exponential.pos, p->scale - scale) +
                          width(&s->neg, s->scale - scale, &p->exponential.neg, p->scale - scale) >
                      max)
        if (--scale < RW_HISTOGRAM_MIN_SCHEMA)
            return false;
    coarsen(&s->pos, s->scale - scale);
    coarsen(&s->neg, s->scale - scale);
    s->scale = scale;
    add_buckets(&s->pos, &p->exponential.pos, p->scale - scale);
    add_buckets(&s->neg, &p->exponential.neg, p->scale - scale);
    s->zero_count += p->exponential.zero_count;
    return true;
}

/* False: other bounds. */
static bool add_explicit(struct stream *s, const struct otlp_point *p, bool is_first)
{
    const struct otlp_f64s *bounds = &p->histogram.bounds;
    struct otlp_buckets counts = {.counts = p->histogram.counts};

    if (is_first) {
        s->n_bounds = bounds->n;
        s->bounds = bounds->n ? mem_new_array(double, bounds->n) : NULL;
        if (bounds->n)
            memcpy(s->bounds, bounds->ptr, bounds->n * sizeof(double));
    } else if (s->n_bounds != bounds->n ||
               (bounds->n && memcmp(s->bounds, bounds->ptr, bounds->n * sizeof(double)) != 0)) {
        return false;
    }
    add_buckets(&s->pos, &counts, 0);
    return true;
}

static bool add(struct stream *s, const struct otlp_point *p, size_t max_buckets, bool is_first)
{
    if (s->kind == OTLP_EXPONENTIAL && !add_exponential(s, p, max_buckets))
        return false;
    if (s->kind == OTLP_HISTOGRAM && !add_explicit(s, p, is_first))
        return false;
    if (is_first)
        s->start_ns = p->start_ns;
    s->has_sum = (is_first || s->has_sum) && p->has_sum;
    s->v += p->v;
    s->count += p->count;
    s->last_ns = p->time_ns;
    return true;
}

static struct otlp_buckets buckets_of(struct arena *a, const struct dense *x)
{
    uint64_t *copy = arena_array(a, uint64_t, x->n);

    if (x->n)
        memcpy(copy, x->counts, x->n * sizeof(*copy));
    return (struct otlp_buckets){(int32_t)x->offset, {copy, x->n}};
}

/* p with the sums in place of what it says. */
static void tell(const struct stream *s, const struct otlp_point *p, struct arena *a,
                 struct otlp_point *ret)
{
    *ret = *p;
    ret->start_ns = s->start_ns;
    ret->v = s->v;
    ret->count = s->count;
    ret->has_sum = s->has_sum;
    if (s->kind == OTLP_HISTOGRAM) {
        ret->histogram.counts = buckets_of(a, &s->pos).counts;
    } else if (s->kind == OTLP_EXPONENTIAL) {
        ret->scale = s->scale;
        ret->exponential.zero_count = s->zero_count;
        ret->exponential.pos = buckets_of(a, &s->pos);
        ret->exponential.neg = buckets_of(a, &s->neg);
    }
}

static enum otlp_delta_result add_to(struct otlp_delta *d, struct slice tenant,
                                     const struct otlp_delta_opts *opts, struct hash128 id,
                                     enum otlp_kind kind, const struct otlp_point *p,
                                     struct arena *a, struct otlp_point *ret)
{
    bool is_new = false;
    struct stream *s = find(d, tenant, opts, id, &is_new);

    if (!s)
        return OTLP_DELTA_FULL;
    s->kind = kind;
    if (!is_new && p->time_ns <= s->last_ns)
        return OTLP_DELTA_LATE;
    s->used_ms = opts->now_ms;
    if (!add(s, p, opts->max_buckets, is_new)) {
        METRIC_ADD(d->m.restarts, 1);
        stream_reset(s);
        s->used_ms = opts->now_ms;
        if (!add(s, p, opts->max_buckets, true)) {
            s->last_ns = p->time_ns; /* empty, to begin anew with the next */
            return OTLP_DELTA_BUCKETS;
        }
    }
    tell(s, p, a, ret);
    return OTLP_DELTA_TAKEN;
}

enum otlp_delta_result otlp_delta_add(struct otlp_delta *d, struct slice tenant,
                                      const struct otlp_delta_opts *opts, struct hash128 stream,
                                      enum otlp_kind kind, const struct otlp_point *p,
                                      struct arena *a, struct otlp_point *ret)
{
    enum otlp_delta_result result;

    if ((kind == OTLP_HISTOGRAM && opts->max_buckets &&
         ORR_MAX(p->histogram.counts.n, p->histogram.bounds.n) > opts->max_buckets) ||
        (kind == OTLP_EXPONENTIAL && p->scale < RW_HISTOGRAM_MIN_SCHEMA)) {
        METRIC_ADD(d->m.full, 1);
        return OTLP_DELTA_BUCKETS;
    }
    stream.lo ^= (uint64_t)kind; /* a name that changes its kind is another stream */
    lock_take(&d->lock);
    result = add_to(d, tenant, opts, stream, kind, p, a, ret);
    lock_release(&d->lock);
    if (result == OTLP_DELTA_LATE)
        METRIC_ADD(d->m.late, 1);
    else if (result != OTLP_DELTA_TAKEN)
        METRIC_ADD(d->m.full, 1);
    return result;
}
