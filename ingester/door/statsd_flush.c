#include <stdlib.h>

#include "common/base/mem.h"
#include "ingester/door/statsd_internal.h"

static const struct {
    double q;
    const char *text;
} quantiles[] = {{0.5, "0.5"}, {0.9, "0.9"}, {0.99, "0.99"}};

struct showing {
    struct push_builder *b;
    int64_t now_ms;
    bool is_stale, has_histograms;
    struct label labels[STATSD_MAX_TAGS + 3]; /* name, tags and instance, quantile */
};

/* Fills f->labels; how many there are. */
static size_t name_it(struct showing *f, const struct statsd_series *x, const char *suffix,
                      const char *quantile)
{
    struct arena *a = push_builder_arena(f->b);
    size_t n = 1;

    f->labels[0] = (struct label){SLICE(LABEL_NAME),
                                  *suffix ? slice_cstr(arena_printf(a, "%s%s", x->name, suffix))
                                          : slice_cstr(x->name)};
    for (size_t i = 0; i < x->tags.n; i++)
        f->labels[n++] = x->tags.ptr[i];
    if (quantile)
        f->labels[n++] = (struct label){SLICE("quantile"), slice_cstr(quantile)};
    return n;
}

static struct err *show(struct showing *f, const struct statsd_series *x, const char *suffix,
                        const char *quantile, double v)
{
    struct sample sample = {f->now_ms, f->is_stale ? sample_from_bits(SAMPLE_STALE_BITS) : v};

    return push_builder_add(f->b, &(struct push_in){.labels = f->labels,
                                                    .n_labels = name_it(f, x, suffix, quantile),
                                                    .samples = &sample,
                                                    .n_samples = 1});
}

static struct err *show_histogram(struct showing *f, const struct statsd_series *x)
{
    struct push_histogram h = {f->now_ms,
                               expbuckets_histogram(&x->buckets, push_builder_arena(f->b))};

    if (f->is_stale)
        h.h = (struct histogram){.sum = sample_from_bits(SAMPLE_STALE_BITS)};
    return push_builder_add(f->b, &(struct push_in){.labels = f->labels,
                                                    .n_labels = name_it(f, x, "", NULL),
                                                    .histograms = &h,
                                                    .n_histograms = 1});
}

static int by_value(const void *a, const void *b)
{
    double x = ((const struct statsd_value *)a)->v, y = ((const struct statsd_value *)b)->v;

    return (x > y) - (x < y);
}

/* Nearest rank: the first of the sorted values up to which there is a share of q of all weight. */
static double quantile(const struct statsd_series *x, double q)
{
    double total = 0, sum = 0;

    for (uint32_t i = 0; i < x->n_values; i++)
        total += x->values[i].weight;
    for (uint32_t i = 0; i < x->n_values; i++) {
        sum += x->values[i].weight;
        if (sum >= q * total * (1 - 1e-9)) /* weights like 1/0.3 add up with errors */
            return x->values[i].v;
    }
    return x->n_values ? x->values[x->n_values - 1].v : 0;
}

static struct err *show_summary(struct showing *f, struct statsd_series *x)
{
    struct err *e = show(f, x, "_count", NULL, x->count);

    if (!e)
        e = show(f, x, "_sum", NULL, x->sum);
    if (x->n_values)
        qsort(x->values, x->n_values, sizeof(*x->values), by_value);
    for (size_t i = 0; !e && (x->n_values || f->is_stale) && i < ORR_COUNT(quantiles); i++)
        e = show(f, x, "", quantiles[i].text, quantile(x, quantiles[i].q));
    return e;
}

static void tell_type(struct showing *f, struct statsd_series *x)
{
    enum sample_metric_type type = x->type == STATSD_COUNTER     ? METRIC_COUNTER_TYPE
                                   : x->type != STATSD_HISTOGRAM ? METRIC_GAUGE_TYPE
                                   : f->has_histograms           ? METRIC_HISTOGRAM
                                                                 : METRIC_SUMMARY;

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
        return f->has_histograms ? show_histogram(f, x) : show_summary(f, x);
    case STATSD_SET:
        return show(f, x, "", NULL, x->n_elements);
    default:
        return show(f, x, "", NULL, x->value);
    }
}

/* The next period begins. */
static void begin_period(struct statsd *s, struct statsd_series *x)
{
    size_t bytes = x->cap * (x->elements ? sizeof(*x->elements) : sizeof(*x->values));

    x->seen = 0;
    /* What a burst took is given back once it is over. */
    if (x->cap > STATSD_FIRST_VALUES && 4 * (size_t)(x->n_values + x->n_elements) < x->cap) {
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
    statsd_series_free(s, x);
    s->m.expired++;
}

/* From the last to the first, so that one can be taken out, and new ones wait for the next flush. */
struct err *statsd_decode(struct push_builder *b, const void *arg)
{
    struct statsd *s = (struct statsd *)arg;
    struct showing f = {.b = b, .now_ms = s->flush_ms, .has_histograms = s->opts.has_histograms};
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
