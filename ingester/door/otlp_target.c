#include "ingester/door/otlp_target.h"

#include <stdlib.h>

#include "common/base/clock.h"

#define MAX_SAMPLES (1 << 20) /* of one series in a request */

void otlp_target_see(struct otlp_target_times *times, const struct otlp_metric *m)
{
    for (size_t i = 0; i < m->n_points; i++) {
        times->first_ns = ORR_MIN(times->first_ns, m->points[i].time_ns);
        times->last_ns = ORR_MAX(times->last_ns, m->points[i].time_ns);
    }
}

static struct slice name_of(struct arena *a, const struct otlp_config *config)
{
    return slice_cstr(config->prefix[0] ? arena_printf(a, "%s_target_info", config->prefix)
                                        : "target_info");
}

struct err *otlp_target_add(struct otlp_targets *ts, struct otlp_labels *l, struct otlp_attrs attrs,
                            const struct otlp_target_times *times)
{
    struct labels ls;
    struct label *copy;
    struct err *e;

    if (times->first_ns == UINT64_MAX) /* no point at all */
        return NULL;
    if ((e = otlp_labels_target(l, attrs, name_of(l->a, l->config), &ls)) || !ls.n)
        return e;
    if (ts->n == ts->cap) {
        size_t cap = ts->cap ? 2 * ts->cap : 8;

        ts->ptr = arena_grow(l->a, ts->ptr, ts->cap * sizeof(*ts->ptr), cap * sizeof(*ts->ptr));
        ts->cap = cap;
    }
    copy = arena_array(l->a, struct label, ls.n);
    memcpy(copy, ls.ptr, ls.n * sizeof(*copy));
    ls.ptr = copy;
    ts->ptr[ts->n++] = (struct otlp_target){labels_fingerprint(ls), ls, *times};
    return NULL;
}

static int by_fingerprint(const void *a, const void *b)
{
    const struct otlp_target *x = a, *y = b;

    if (x->fp.hi != y->fp.hi)
        return x->fp.hi < y->fp.hi ? -1 : 1;
    return (x->fp.lo > y->fp.lo) - (x->fp.lo < y->fp.lo);
}

static int by_time(const void *a, const void *b)
{
    const struct sample *x = a, *y = b;

    return (x->t_ms > y->t_ms) - (x->t_ms < y->t_ms);
}

static size_t count(const struct otlp_target_times *t)
{
    uint64_t steps = (t->last_ns - t->first_ns) / ((uint64_t)OTLP_TARGET_EVERY_MS * NS_PER_MS);

    return (size_t)ORR_MIN(steps, (uint64_t)OTLP_TARGET_SAMPLES - 2) + 2;
}

/* Fills out, which has room for count(); how many there are. */
static size_t fill(const struct otlp_target_times *t, struct sample *out)
{
    const uint64_t every = (uint64_t)OTLP_TARGET_EVERY_MS * NS_PER_MS;
    uint64_t longest = (OTLP_TARGET_SAMPLES - 2) * every, at = t->first_ns;
    size_t n = 0;

    if (t->last_ns - at > longest)
        at = t->last_ns - longest;
    for (uint64_t i = 0, steps = (t->last_ns - at + every - 1) / every; i < steps; i++)
        out[n++] = (struct sample){(int64_t)(at + i * every) / NS_PER_MS, 1};
    out[n++] = (struct sample){(int64_t)t->last_ns / NS_PER_MS, 1};
    return n;
}

/* The n entries of one series. */
static struct err *push_one(const struct otlp_target *ts, size_t n, struct push_builder *b,
                            struct arena *tmp)
{
    struct sample *samples;
    size_t room = 0, found = 0, kept = 0;

    for (size_t i = 0; i < n; i++)
        room += count(&ts[i].times);
    if (room > MAX_SAMPLES)
        return err_new(ERR_LIMIT, "target_info of one resource with more than %d samples",
                       MAX_SAMPLES);
    samples = arena_array(tmp, struct sample, room);
    for (size_t i = 0; i < n; i++)
        found += fill(&ts[i].times, samples + found);
    qsort(samples, found, sizeof(*samples), by_time);
    for (size_t i = 0; i < found; i++)
        if (i == 0 || samples[i].t_ms != samples[kept - 1].t_ms)
            samples[kept++] = samples[i];
    return push_builder_add(b, &(struct push_in){.labels = ts->labels.ptr,
                                                 .n_labels = ts->labels.n,
                                                 .samples = samples,
                                                 .n_samples = kept});
}

struct err *otlp_target_push(struct otlp_targets *ts, const struct otlp_config *config,
                             struct push_builder *b, struct arena *tmp)
{
    struct err *e = NULL;
    size_t n;

    if (!ts->n)
        return NULL;
    qsort(ts->ptr, ts->n, sizeof(*ts->ptr), by_fingerprint);
    for (size_t i = 0; !e && i < ts->n; i += n) {
        for (n = 1; i + n < ts->n && hash128_eq(ts->ptr[i].fp, ts->ptr[i + n].fp); n++)
            ;
        e = push_one(&ts->ptr[i], n, b, tmp);
    }
    push_builder_metadata(b,
                          &(struct push_metadata){.family = name_of(push_builder_arena(b), config),
                                                  .help = SLICE("Target metadata"),
                                                  .unit = SLICE_EMPTY,
                                                  .type = METRIC_GAUGE_TYPE});
    return e;
}
