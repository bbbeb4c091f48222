#include "ingester/door/statsd.h"

#include "common/base/mem.h"
#include "common/base/metric.h"
#include "ingester/door/plain_name.h"
#include "ingester/door/statsd_internal.h"

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

void statsd_series_free(struct statsd *s, struct statsd_series *x)
{
    s->m.bytes -= (int64_t)x->bytes;
    s->m.series--;
    mem_free(x->name);
    mem_free((void *)x->tags.ptr);
    expbuckets_done(&x->buckets);
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
        statsd_series_free(s, *x);
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
        statsd_series_free(s, x);
        return NULL;
    }
    x->type = type;
    x->is_new = true;
    expbuckets_init(&x->buckets);
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
    uint32_t cap = x->cap ? 2 * x->cap : STATSD_FIRST_VALUES;

    if (x->n_values < x->cap)
        return true;
    if (!charge(s, x, (cap - x->cap) * sizeof(*x->values)))
        return false;
    x->values = mem_reallocarray(x->values, cap, sizeof(*x->values));
    x->cap = cap;
    return true;
}

/* Vitter's algorithm R over the lines; each brings its weight along. */
static void sample(struct statsd *s, struct statsd_series *x, struct statsd_value v)
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

/* Buckets are made first and charged then: there must be room for all they may become. */
static void observe(struct statsd *s, struct statsd_series *x, double v, double weight)
{
    size_t before = expbuckets_bytes(&x->buckets);
    size_t most = EXPBUCKETS_MAX * sizeof(double);

    if (before < most && s->m.bytes + (int64_t)(2 * most) > (int64_t)s->opts.max_bytes) {
        s->m.over_bytes++;
        return;
    }
    expbuckets_add(&x->buckets, v, weight);
    (void)charge(s, x, expbuckets_bytes(&x->buckets) - before);
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
    uint32_t cap = x->cap ? 2 * x->cap : STATSD_FIRST_VALUES;
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
        if (s->opts.has_histograms) {
            observe(s, x, v, 1 / p->rate);
            break;
        }
        x->count += 1 / p->rate;
        x->sum += v / p->rate;
        sample(s, x, (struct statsd_value){v, 1 / p->rate});
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
