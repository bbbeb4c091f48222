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

/* An entry of the write, and the newest of its series in the entries before it. */
struct place {
    struct hash128 fp;
    uint32_t series;
    uint32_t newest_count; /* how often newest_ms occurs in the entry */
    int64_t newest_ms, before_ms;
};

static void see_time(struct place *p, int64_t t_ms)
{
    if (t_ms > p->newest_ms)
        p->newest_count = 0;
    p->newest_ms = ORR_MAX(p->newest_ms, t_ms);
    p->newest_count += t_ms == p->newest_ms;
}

static struct place place_of(const struct push *p, uint32_t i)
{
    const struct push_series *s = &p->series.ptr[i];
    struct place ret = {.fp = s->fp, .series = i, .newest_ms = INT64_MIN, .before_ms = INT64_MIN};

    if (!s->extra)
        see_time(&ret, s->sample.t_ms);
    for (uint32_t k = 0; s->extra && k < s->extra->n_samples; k++)
        see_time(&ret, s->extra->samples[k].t_ms);
    for (uint32_t k = 0; s->extra && k < s->extra->n_histograms; k++)
        see_time(&ret, s->extra->histograms[k].t_ms);
    return ret;
}

static int by_series(const void *a, const void *b)
{
    const struct place *x = a, *y = b;

    if (x->fp.lo != y->fp.lo)
        return x->fp.lo < y->fp.lo ? -1 : 1;
    if (x->fp.hi != y->fp.hi)
        return x->fp.hi < y->fp.hi ? -1 : 1;
    return (x->series > y->series) - (x->series < y->series);
}

/* Of all entries, sorted; to be freed. */
static struct place *places_of(const struct push *p)
{
    struct place *ret = mem_new_array(struct place, p->series.len);

    for (uint32_t i = 0; i < p->series.len; i++)
        ret[i] = place_of(p, i);
    qsort(ret, p->series.len, sizeof(*ret), by_series);
    for (size_t i = 1; i < p->series.len; i++)
        if (hash128_eq(ret[i - 1].fp, ret[i].fp))
            ret[i].before_ms = ORR_MAX(ret[i - 1].before_ms, ret[i - 1].newest_ms);
    return ret;
}

/* Refused only because of what the same write has of its series before it, or beside it. Prometheus
 * finds that out after it has counted, so its senders are told that such a one was written. */
static bool is_own_disorder(const struct push *p, const struct place *places,
                            const struct distribute_example *what)
{
    struct place key = {.fp = p->series.ptr[what->series].fp, .series = what->series};
    const struct place *at = bsearch(&key, places, p->series.len, sizeof(*places), by_series);

    if (what->reason != BATCH_OUT_OF_ORDER && what->reason != BATCH_DUPLICATE &&
        what->reason != BATCH_TOO_OLD)
        return false;
    return at && (at->before_ms >= what->t_ms || at->newest_ms > what->t_ms ||
                  (at->newest_ms == what->t_ms && at->newest_count > 1));
}

/* What the headers of remote write 2.0 say. */
static void count_written(const struct door_answer_input *in, struct door_written *ret)
{
    const struct distribute_result *r = in->result;
    const struct push *p = in->push;
    struct place *places = in->is_strict && r->n_refusals ? places_of(p) : NULL;
    uint64_t samples = 0, histograms = 0;

    for (size_t i = 0; i < r->n_refusals; i++) {
        const struct distribute_example *what = &r->refusals[i].what;

        if (places && is_own_disorder(p, places, what))
            continue;
        if (is_histogram(&p->series.ptr[what->series], what->t_ms))
            histograms += r->refusals[i].n;
        else
            samples += r->refusals[i].n;
    }
    mem_free(places);
    ret->samples = p->samples - ORR_MIN(p->samples, samples);
    ret->histograms = p->histograms - ORR_MIN(p->histograms, histograms);
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
