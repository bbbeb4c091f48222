#include "ingester/door/door_answer.h"

#include <stdlib.h>

#include "common/base/mem.h"
#include "ingester/door/series_labels.h"

#define EXAMPLE_LABELS_BYTES 512
#define MAX_EXAMPLES 3

static const struct {
    const char *name, *text;
} reasons[] = {
#define X(sym, name, text) {name, text},
    DOOR_REASONS(X)
#undef X
};

const char *door_reason_name(enum door_reason reason)
{
    return reasons[reason].name;
}

/* "out of order sample: 3, such as up{a="b"} at 1000; ..." */
static void write_reason(struct buf *out, uint64_t count, const char *text)
{
    buf_printf(out, "%s%s: %llu", out->len ? "; " : "", text, (unsigned long long)count);
}

static void write_example(struct buf *out, struct slice labels, const int64_t *t_ms)
{
    if (labels.len == 0)
        return;
    buf_str(out, ", such as ");
    series_labels_text(out, labels, EXAMPLE_LABELS_BYTES);
    if (t_ms)
        buf_printf(out, " at %lld", (long long)*t_ms);
}

static uint64_t door_part(const struct door_answer_input *in, struct buf *out)
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < DOOR_REASON_COUNT; i++) {
        uint64_t count = in->rejects->samples[i];

        if (!count)
            continue;
        sum += count;
        write_reason(out, count, reasons[i].text);
        write_example(out, in->rejects->example[i], NULL);
        if (in->rejects->detail[i])
            buf_printf(out, " (%s)", in->rejects->detail[i]);
    }
    return sum;
}

static uint64_t replica_part(const struct door_answer_input *in, struct buf *out,
                             uint64_t *ret_over_limit)
{
    const struct distribute_result *r = in->result;
    const struct push *p = in->push;
    uint64_t sum = 0;

    for (unsigned i = 0; i < BATCH_REASON_COUNT; i++) {
        uint64_t count = r->rejected[i];

        if (!count || (i == BATCH_EXEMPLAR && !in->is_strict) || i == BATCH_METADATA_LIMIT)
            continue; /* these do not fail a write, as in Prometheus */
        sum += count;
        if (i == BATCH_MAX_SERIES_LIMIT)
            *ret_over_limit += count;
        write_reason(out, count, batch_reason_text((enum batch_reason)i));
        if (i == BATCH_MAX_SERIES_LIMIT)
            buf_str(out, " over limit max_global_series_per_user");
        for (size_t k = 0, shown = 0; k < r->n_examples && shown < MAX_EXAMPLES; k++)
            if (r->examples[k].reason == i) {
                write_example(out, p->series.ptr[r->examples[k].series].labels,
                              &r->examples[k].t_ms);
                shown++;
            }
    }
    return sum;
}

/* ---- what was written ---- */

#define LOOK_AT_HISTOGRAMS 64 /* of an entry that has samples, too */

static bool is_histogram(const struct push_series *s, int64_t t_ms)
{
    const struct push_extra *x = s->extra;

    if (!x || !x->n_histograms)
        return false;
    for (uint32_t i = 0; x->n_samples && i < ORR_MIN(x->n_histograms, LOOK_AT_HISTOGRAMS); i++)
        if (x->histograms[i].t_ms == t_ms)
            return true;
    return x->n_samples == 0;
}

/* Samples and histograms that were not written. */
struct unwritten {
    uint64_t samples, histograms;
};

/*
 * In remote write 2.0, what is refused only because the same write has something as new of its series
 * before it counts as written: Prometheus finds that out after it has counted, and the conformance cases
 * have its numbers. So an element is asked for what was stored of its series before it in the write.
 */
struct own_order {
    const struct push *p;
    const struct distribute_refusal *refusals; /* by series, then time */
    size_t n;
    uint64_t *stored; /* elements of the time of a refusal that were stored, and come first */
    struct unwritten sum;
    int64_t newest_ms; /* stored so far of the series at hand */
};

static int by_place(const void *a, const void *b)
{
    const struct distribute_example *x = &((const struct distribute_refusal *)a)->what;
    const struct distribute_example *y = &((const struct distribute_refusal *)b)->what;

    if (x->series != y->series)
        return x->series < y->series ? -1 : 1;
    return (x->t_ms > y->t_ms) - (x->t_ms < y->t_ms);
}

static const struct distribute_refusal *refusal_of(const struct own_order *o, uint32_t series,
                                                   int64_t t_ms)
{
    struct distribute_refusal key = {.what = {.series = series, .t_ms = t_ms}};

    return bsearch(&key, o->refusals, o->n, sizeof(key), by_place);
}

static void count_element(struct own_order *o, uint32_t series, int64_t t_ms, bool is_hist)
{
    const struct distribute_refusal *r = refusal_of(o, series, t_ms);

    (void)is_hist;
    if (r)
        o->stored[r - o->refusals]++;
}

static bool is_order(enum batch_reason reason)
{
    return reason == BATCH_OUT_OF_ORDER || reason == BATCH_DUPLICATE || reason == BATCH_TOO_OLD;
}

static void judge_element(struct own_order *o, uint32_t series, int64_t t_ms, bool is_hist)
{
    const struct distribute_refusal *r = refusal_of(o, series, t_ms);

    if (!r || o->stored[r - o->refusals]) {
        o->newest_ms = ORR_MAX(o->newest_ms, t_ms);
        if (r)
            o->stored[r - o->refusals]--;
    } else if (!is_order(r->what.reason) || o->newest_ms < t_ms) {
        *(is_hist ? &o->sum.histograms : &o->sum.samples) += 1;
    }
}

typedef void element_fn(struct own_order *o, uint32_t series, int64_t t_ms, bool is_hist);

static void each_element(struct own_order *o, uint32_t series, element_fn *fn)
{
    const struct push_series *s = &o->p->series.ptr[series];
    const struct push_extra *x = s->extra;

    if (!x)
        fn(o, series, s->sample.t_ms, false);
    for (uint32_t k = 0; x && k < x->n_samples; k++)
        fn(o, series, x->samples[k].t_ms, false);
    for (uint32_t k = 0; x && k < x->n_histograms; k++)
        fn(o, series, x->histograms[k].t_ms, true);
}

struct place {
    struct hash128 fp;
    uint32_t series;
};

static int by_series(const void *a, const void *b)
{
    const struct place *x = a, *y = b;

    if (x->fp.lo != y->fp.lo)
        return x->fp.lo < y->fp.lo ? -1 : 1;
    if (x->fp.hi != y->fp.hi)
        return x->fp.hi < y->fp.hi ? -1 : 1;
    return (x->series > y->series) - (x->series < y->series);
}

static struct unwritten unwritten_strict(const struct push *p, const struct distribute_result *r)
{
    struct own_order o = {.p = p, .refusals = r->refusals, .n = r->n_refusals};
    struct place *places = mem_new_array(struct place, p->series.len);

    o.stored = mem_new_array(uint64_t, r->n_refusals);
    for (uint32_t i = 0; i < p->series.len; i++) {
        places[i] = (struct place){p->series.ptr[i].fp, i};
        each_element(&o, i, count_element);
    }
    for (size_t i = 0; i < r->n_refusals; i++)
        o.stored[i] -= ORR_MIN(o.stored[i], r->refusals[i].n);
    qsort(places, p->series.len, sizeof(*places), by_series);
    for (size_t i = 0; i < p->series.len; i++) {
        if (i == 0 || !hash128_eq(places[i - 1].fp, places[i].fp))
            o.newest_ms = INT64_MIN;
        each_element(&o, places[i].series, judge_element);
    }
    mem_free(places);
    mem_free(o.stored);
    return o.sum;
}

static struct unwritten unwritten_plain(const struct push *p, const struct distribute_result *r)
{
    struct unwritten sum = {0};

    for (size_t i = 0; i < r->n_refusals; i++) {
        const struct distribute_example *what = &r->refusals[i].what;

        if (is_histogram(&p->series.ptr[what->series], what->t_ms))
            sum.histograms += r->refusals[i].n;
        else
            sum.samples += r->refusals[i].n;
    }
    return sum;
}

/* What the headers of remote write 2.0 say. */
static void count_written(const struct door_answer_input *in, struct door_written *ret)
{
    const struct distribute_result *r = in->result;
    const struct push *p = in->push;
    struct unwritten not =
        in->is_strict && r->n_refusals ? unwritten_strict(p, r) : unwritten_plain(p, r);

    ret->samples = p->samples - ORR_MIN(p->samples, not .samples);
    ret->histograms = p->histograms - ORR_MIN(p->histograms, not .histograms);
    ret->exemplars = p->exemplars - ORR_MIN(p->exemplars, r->rejected[BATCH_EXEMPLAR]) +
                     (in->is_strict ? in->rejects->exemplars_behind : 0);
}

struct err *door_answer(const struct door_answer_input *in, struct door_written *written)
{
    const struct push *p = in->push;
    struct buf text = {0};
    uint64_t received = p->samples + p->histograms + in->aggregated, door, replicas, over_limit = 0;
    struct err *e = NULL;

    door = door_part(in, &text);
    replicas = replica_part(in, &text, &over_limit);
    if (door + replicas)
        e = err_new(over_limit == door + replicas ? ERR_LIMIT : ERR_INVALID,
                    "%llu of %llu samples refused: %s", (unsigned long long)(door + replicas),
                    (unsigned long long)(received + door), buf_cstr(&text));
    buf_done(&text);
    count_written(in, written);
    return e;
}
