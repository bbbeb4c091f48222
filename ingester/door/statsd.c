#include "ingester/door/statsd.h"

#include <stdlib.h>

#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/metric.h"
#include "common/base/rng.h"
#include "ingester/door/plain_name.h"
#include "ingester/door/statsd_line.h"

#define FIRST_VALUES 16

static const struct {
    double q;
    const char *text;
} quantiles[] = {{0.5, "0.5"}, {0.9, "0.9"}, {0.99, "0.99"}};

struct statsd_series {
    enum statsd_type type;
    bool is_new; /* its type was not told yet */
    char *name;
    struct labels tags; /* one heap block */
    int64_t used_ms;
    double value;      /* total of a counter, last of a gauge */
    double count, sum; /* totals of a summary */
    /* Of the period. */
    double *values; /* a uniform sample of `seen` values */
    uint64_t seen;
    uint64_t *elements; /* a set's hashes, open addressing; 0 is free */
    uint32_t n_values, n_elements, cap;
    size_t bytes; /* charged */
};

struct statsd {
    struct statsd_opts opts;
    char *instance_label, *instance;
    struct map by_key;
    VEC(struct statsd_series *) all;
    struct rng rng;
    struct arena *scratch; /* of one statsd_take() */
    struct buf key;
    struct statsd_metrics m;
    /* The flush under way. */
    size_t next;
    int64_t flush_ms;
    bool is_flushing;
};

static const struct metric_field statsd_fields[] = {
    METRIC_COUNTER(struct statsd_metrics, lines, "orrery_statsd_lines_total",
                   "StatsD lines taken in."),
    METRIC_COUNTER(struct statsd_metrics, bad, "orrery_statsd_malformed_lines_total",
                   "StatsD lines that could not be read."),
    METRIC_COUNTER(struct statsd_metrics, other, "orrery_statsd_skipped_lines_total",
                   "Events and service checks of DogStatsD, which are not kept."),
    METRIC_COUNTER(struct statsd_metrics, conflicts, "orrery_statsd_type_conflicts_total",
                   "StatsD lines dropped because their name is of another type."),
    METRIC_COUNTER(struct statsd_metrics, over_series, "orrery_statsd_series_limit_total",
                   "StatsD lines dropped because there are statsd-max-series series."),
    METRIC_COUNTER(struct statsd_metrics, over_bytes, "orrery_statsd_memory_limit_total",
                   "StatsD values dropped because statsd-max-bytes are in use."),
    METRIC_COUNTER(struct statsd_metrics, expired, "orrery_statsd_expired_series_total",
                   "StatsD series forgotten because nothing came for them."),
    METRIC_GAUGE(struct statsd_metrics, series, "orrery_statsd_series", "StatsD series held."),
    METRIC_GAUGE(struct statsd_metrics, bytes, "orrery_statsd_bytes",
                 "Memory of StatsD series and their values."),
};

struct statsd *statsd_new(const struct statsd_opts *opts)
{
    struct statsd *s = mem_new(struct statsd);

    s->opts = *opts;
    if (opts->instance_label && *opts->instance_label) {
        s->instance_label = mem_strdup(opts->instance_label);
        s->instance = mem_strdup(opts->instance);
    }
    rng_seed(&s->rng, opts->seed);
    s->scratch = arena_new(0);
    metric_register(&s->m, statsd_fields, ORR_COUNT(statsd_fields), NULL);
    return s;
}

static void series_free(struct statsd *s, struct statsd_series *x)
{
    s->m.bytes -= (int64_t)x->bytes;
    s->m.series--;
    mem_free(x->name);
    mem_free((void *)x->tags.ptr);
    mem_free(x->values);
    mem_free(x->elements);
    mem_free(x);
}

void statsd_free(struct statsd *s)
{
    if (!s)
        return;
    metric_unregister(&s->m);
    VEC_FOREACH (x, &s->all)
        series_free(s, *x);
    vec_done(&s->all);
    map_done(&s->by_key);
    arena_free(s->scratch);
    buf_done(&s->key);
    mem_free(s->instance_label);
    mem_free(s->instance);
    mem_free(s);
}

const struct statsd_metrics *statsd_metrics(const struct statsd *s)
{
    return &s->m;
}

/* False, counted, when there is no room. */
static bool charge(struct statsd *s, struct statsd_series *x, size_t bytes)
{
    if (s->m.bytes + (int64_t)bytes > (int64_t)s->opts.max_bytes) {
        s->m.over_bytes++;
        return false;
    }
    s->m.bytes += (int64_t)bytes;
    x->bytes += bytes;
    return true;
}

/* ---- series ---- */

/* The line's tags as labels, in order, without empty ones. False: a name comes twice. */
static bool labels_of(struct statsd *s, const struct statsd_line *p, struct labels *ret)
{
    struct label *ls = arena_array(s->scratch, struct label, p->n_tags + 1);
    struct slice dup;
    size_t n = 0;
    bool has_instance = s->instance_label == NULL;

    for (size_t i = 0; i < p->n_tags; i++) {
        struct label l = {plain_name(s->scratch, p->tags[i].name), p->tags[i].value};

        has_instance |= !has_instance && slice_eq_cstr(l.name, s->instance_label);
        if (l.value.len && !slice_eq_cstr(l.name, LABEL_NAME))
            ls[n++] = l;
    }
    if (!has_instance)
        ls[n++] = (struct label){slice_cstr(s->instance_label), slice_cstr(s->instance)};
    *ret = (struct labels){ls, n};
    return labels_sort(ls, n, &dup);
}

static struct statsd_series *series_new(struct statsd *s, enum statsd_type type, struct slice name,
                                        struct labels tags)
{
    struct statsd_series *x;
    size_t bytes = sizeof(*x) + 2 * s->key.len + 3 * sizeof(struct label) * (tags.n + 1) + 64;

    if (s->all.len >= s->opts.max_series) {
        s->m.over_series++;
        return NULL;
    }
    x = mem_new(struct statsd_series);
    s->m.series++;
    if (!charge(s, x, bytes)) {
        series_free(s, x);
        return NULL;
    }
    x->type = type;
    x->is_new = true;
    x->name = slice_dup(name);
    x->tags = labels_dup_heap(tags);
    (void)map_put(&s->by_key, buf_slice(&s->key), x);
    vec_push(&s->all, x);
    return x;
}

/* NULL, counted, when the line cannot be taken. */
static struct statsd_series *series_of(struct statsd *s, const struct statsd_line *p)
{
    struct slice name = plain_name(s->scratch, p->name);
    enum statsd_type type = p->type == STATSD_TIMER_MS ? STATSD_HISTOGRAM : p->type;
    struct statsd_series *x;
    struct labels tags;

    if (!labels_of(s, p, &tags)) {
        s->m.bad++;
        return NULL;
    }
    buf_reset(&s->key);
    buf_lstr(&s->key, name);
    labels_canonical(&s->key, tags);
    x = map_get(&s->by_key, buf_slice(&s->key));
    if (!x)
        return series_new(s, type, name, tags);
    if (x->type != type) {
        s->m.conflicts++;
        return NULL;
    }
    return x;
}

/* ---- values ---- */

/* Room for one more. */
static bool more_values(struct statsd *s, struct statsd_series *x)
{
    uint32_t cap = x->cap ? 2 * x->cap : FIRST_VALUES;

    if (x->n_values < x->cap)
        return true;
    if (!charge(s, x, (cap - x->cap) * sizeof(*x->values)))
        return false;
    x->values = mem_reallocarray(x->values, cap, sizeof(*x->values));
    x->cap = cap;
    return true;
}

/* Vitter's algorithm R. */
static void sample(struct statsd *s, struct statsd_series *x, double v)
{
    uint64_t at;

    x->seen++;
    if (x->n_values < STATSD_SAMPLE) {
        if (more_values(s, x))
            x->values[x->n_values++] = v;
        return;
    }
    at = rng_below(&s->rng, x->seen);
    if (at < STATSD_SAMPLE)
        x->values[at] = v;
}

static void put_element(uint64_t *elements, uint32_t cap, uint64_t h)
{
    uint32_t i = (uint32_t)(h >> 32) & (cap - 1);

    while (elements[i] && elements[i] != h)
        i = (i + 1) & (cap - 1);
    elements[i] = h;
}

static bool has_element(const struct statsd_series *x, uint64_t h)
{
    uint32_t i;

    if (x->cap == 0)
        return false;
    for (i = (uint32_t)(h >> 32) & (x->cap - 1); x->elements[i]; i = (i + 1) & (x->cap - 1))
        if (x->elements[i] == h)
            return true;
    return false;
}

static void element(struct statsd *s, struct statsd_series *x, struct slice text)
{
    uint64_t h = hash_xxh64(text, 0) | 1; /* 0 is free */
    uint32_t cap = x->cap ? 2 * x->cap : FIRST_VALUES;
    uint64_t *larger;

    if (has_element(x, h))
        return;
    if (2 * (x->n_elements + 1) > x->cap) {
        if (!charge(s, x, (cap - x->cap) * sizeof(*larger)))
            return;
        larger = mem_calloc(cap, sizeof(*larger));
        for (uint32_t i = 0; i < x->cap; i++)
            if (x->elements[i])
                put_element(larger, cap, x->elements[i]);
        mem_free(x->elements);
        x->elements = larger;
        x->cap = cap;
    }
    put_element(x->elements, x->cap, h);
    x->n_elements++;
}

static void take_value(struct statsd *s, struct statsd_series *x, const struct statsd_line *p,
                       double v, bool is_change, struct slice text)
{
    switch (x->type) {
    case STATSD_COUNTER:
        x->value += v / p->rate;
        break;
    case STATSD_GAUGE:
        x->value = is_change ? x->value + v : v;
        break;
    case STATSD_SET:
        element(s, x, text);
        break;
    default:
        v = p->type == STATSD_TIMER_MS ? v / 1000 : v;
        x->count += 1 / p->rate;
        x->sum += v / p->rate;
        sample(s, x, v);
    }
}

static void take_line(struct statsd *s, const struct statsd_line *p, int64_t now_ms)
{
    struct statsd_series *x = series_of(s, p);
    struct slice values = p->values, text;
    bool is_change;
    double v;

    if (!x)
        return;
    x->used_ms = now_ms;
    while (statsd_line_value(p, &values, &text, &v, &is_change))
        take_value(s, x, p, v, is_change, text);
}

void statsd_take(struct statsd *s, struct slice lines, int64_t now_ms)
{
    struct statsd_line p;
    enum statsd_item item;

    statsd_line_init(&p, lines);
    while ((item = statsd_line_next(&p)) != STATSD_END) {
        s->m.lines++;
        if (item == STATSD_METRIC)
            take_line(s, &p, now_ms);
        else if (item == STATSD_OTHER)
            s->m.other++;
        else
            s->m.bad++;
        if (arena_used(s->scratch) > 64 << 10)
            arena_reset(s->scratch);
    }
    arena_reset(s->scratch);
}

/* ---- flush ---- */

struct showing {
    struct push_builder *b;
    int64_t now_ms;
    bool is_stale;
    struct label labels[STATSD_MAX_TAGS + 3]; /* name, tags and instance, quantile */
};

static struct err *show(struct showing *f, const struct statsd_series *x, const char *suffix,
                        const char *quantile, double v)
{
    struct arena *a = push_builder_arena(f->b);
    struct sample sample = {f->now_ms, f->is_stale ? sample_from_bits(SAMPLE_STALE_BITS) : v};
    size_t n = x->tags.n + 1;

    f->labels[0] = (struct label){SLICE(LABEL_NAME),
                                  *suffix ? slice_cstr(arena_printf(a, "%s%s", x->name, suffix))
                                          : slice_cstr(x->name)};
    for (size_t i = 0; i < x->tags.n; i++)
        f->labels[i + 1] = x->tags.ptr[i];
    if (quantile)
        f->labels[n++] = (struct label){SLICE("quantile"), slice_cstr(quantile)};
    return push_builder_add(
        f->b,
        &(struct push_in){.labels = f->labels, .n_labels = n, .samples = &sample, .n_samples = 1});
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static struct err *show_summary(struct showing *f, struct statsd_series *x)
{
    struct err *e = show(f, x, "_count", NULL, x->count);

    if (!e)
        e = show(f, x, "_sum", NULL, x->sum);
    if (x->n_values)
        qsort(x->values, x->n_values, sizeof(*x->values), by_value);
    for (size_t i = 0; !e && (x->n_values || f->is_stale) && i < ORR_COUNT(quantiles); i++) {
        /* nearest rank */
        size_t at = (size_t)(quantiles[i].q * x->n_values + 0.9999999);

        e = show(f, x, "", quantiles[i].text,
                 x->n_values ? x->values[ORR_MIN(ORR_MAX(at, 1u), x->n_values) - 1] : 0);
    }
    return e;
}

static void tell_type(struct showing *f, struct statsd_series *x)
{
    enum sample_metric_type type = x->type == STATSD_COUNTER     ? METRIC_COUNTER_TYPE
                                   : x->type == STATSD_HISTOGRAM ? METRIC_SUMMARY
                                                                 : METRIC_GAUGE_TYPE;

    x->is_new = false;
    push_builder_metadata(
        f->b, &(struct push_metadata){arena_dup(push_builder_arena(f->b), slice_cstr(x->name)),
                                      SLICE_EMPTY, SLICE_EMPTY, type});
}

static struct err *show_series(struct showing *f, struct statsd_series *x)
{
    if (x->is_new)
        tell_type(f, x);
    switch (x->type) {
    case STATSD_HISTOGRAM:
        return show_summary(f, x);
    case STATSD_SET:
        return show(f, x, "", NULL, x->n_elements);
    default:
        return show(f, x, "", NULL, x->value);
    }
}

/* The next period begins. */
static void begin_period(struct statsd *s, struct statsd_series *x)
{
    size_t bytes = x->cap * sizeof(*x->values);

    x->seen = 0;
    /* What a burst took is given back once it is over. */
    if (x->cap > FIRST_VALUES && 4 * (size_t)(x->n_values + x->n_elements) < x->cap) {
        mem_free(x->values);
        mem_free(x->elements);
        x->values = NULL;
        x->elements = NULL;
        x->cap = 0;
        x->bytes -= bytes;
        s->m.bytes -= (int64_t)bytes;
    } else if (x->elements) {
        memset(x->elements, 0, bytes);
    }
    x->n_values = x->n_elements = 0;
}

void statsd_flush(struct statsd *s, int64_t now_ms)
{
    s->next = s->all.len;
    s->flush_ms = now_ms;
    s->is_flushing = s->all.len > 0;
}

void statsd_flush_end(struct statsd *s)
{
    s->is_flushing = false;
}

bool statsd_flush_is_done(const struct statsd *s)
{
    return !s->is_flushing;
}

static void forget(struct statsd *s, size_t i)
{
    struct statsd_series *x = s->all.ptr[i];

    buf_reset(&s->key);
    buf_lstr(&s->key, slice_cstr(x->name));
    labels_canonical(&s->key, x->tags);
    (void)map_del(&s->by_key, buf_slice(&s->key));
    vec_remove_swap(&s->all, i);
    series_free(s, x);
    s->m.expired++;
}

/* From the last to the first, so that one can be taken out, and new ones wait for the next flush. */
struct err *statsd_decode(struct push_builder *b, const void *arg)
{
    struct statsd *s = (struct statsd *)arg;
    struct showing f = {.b = b, .now_ms = s->flush_ms};
    struct err *e = NULL;

    for (size_t n = 0; !e && s->next > 0 && n < STATSD_SLICE_SERIES; n++) {
        size_t i = --s->next;
        struct statsd_series *x = s->all.ptr[i];

        f.is_stale = s->flush_ms - x->used_ms >= s->opts.expiry_ms;
        e = show_series(&f, x);
        begin_period(s, x);
        if (f.is_stale)
            forget(s, i);
    }
    s->is_flushing = s->next > 0;
    return e;
}
