#include "ingester/door/door_answer.h"

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

static bool is_histogram(const struct push_series *s, int64_t t_ms)
{
    for (size_t i = 0; s->extra && i < s->extra->n_histograms; i++)
        if (s->extra->histograms[i].t_ms == t_ms)
            return true;
    return s->extra && s->extra->n_samples == 0;
}

/* Whether s has a sample or histogram that is not older; of the entry that the refused one is in
 * itself: another than that. */
static bool has_newer(const struct push_series *s, int64_t t_ms, bool is_same_entry)
{
    const struct push_extra *x = s->extra;
    uint32_t n = 0;

    if (!x)
        return !is_same_entry && s->sample.t_ms >= t_ms;
    for (uint32_t i = 0; i < x->n_samples; i++)
        n += x->samples[i].t_ms >= t_ms;
    for (uint32_t i = 0; i < x->n_histograms; i++)
        n += x->histograms[i].t_ms >= t_ms;
    return n > is_same_entry;
}

/* Refused only because of what the same write has of its series before it. Prometheus finds that
 * out after it has counted, so its senders are told that such a one was written. */
static bool is_own_disorder(const struct push *p, const struct distribute_example *ex)
{
    const struct push_series *s = &p->series.ptr[ex->series];

    if (ex->reason != BATCH_OUT_OF_ORDER && ex->reason != BATCH_DUPLICATE &&
        ex->reason != BATCH_TOO_OLD)
        return false;
    for (uint32_t i = 0; i < ex->series; i++)
        if (hash128_eq(p->series.ptr[i].fp, s->fp) && has_newer(&p->series.ptr[i], ex->t_ms, false))
            return true;
    return has_newer(s, ex->t_ms, true);
}

/*
 * What the headers of remote write 2.0 say of a push of which replicas refused so many samples and
 * histograms. Replicas say how many of each reason and give some examples: these tell the kind
 * exactly as long as all refusals are among them; of more than that, the rest is taken off the
 * samples first.
 */
static void count_written(const struct door_answer_input *in, uint64_t refused,
                          struct door_written *ret)
{
    const struct distribute_result *r = in->result;
    const struct push *p = in->push;
    uint64_t histograms = 0, told = 0, spared = 0;

    for (size_t i = 0; i < r->n_examples && told < refused; i++) {
        const struct distribute_example *ex = &r->examples[i];

        if (ex->reason == BATCH_EXEMPLAR || ex->reason == BATCH_METADATA_LIMIT)
            continue;
        told++;
        if (in->is_strict && is_own_disorder(p, ex))
            spared++;
        else
            histograms += is_histogram(&p->series.ptr[ex->series], ex->t_ms);
    }
    refused -= spared;
    histograms = ORR_MIN(histograms, p->histograms);
    if (refused - histograms > p->samples)
        histograms = ORR_MIN(refused - p->samples, p->histograms);
    ret->histograms = p->histograms - histograms;
    ret->samples = p->samples - ORR_MIN(p->samples, refused - histograms);
    ret->exemplars = p->exemplars - ORR_MIN(p->exemplars, r->rejected[BATCH_EXEMPLAR]) +
                     (in->is_strict ? in->rejects->exemplars_behind : 0);
}

struct err *door_answer(const struct door_answer_input *in, struct door_written *written)
{
    const struct distribute_result *r = in->result;
    const struct push *p = in->push;
    struct buf text = {0};
    uint64_t received = p->samples + p->histograms, door, replicas, over_limit = 0;
    struct err *e = NULL;

    door = door_part(in, &text);
    replicas = replica_part(in, &text, &over_limit);
    if (door + replicas)
        e = err_new(over_limit == door + replicas ? ERR_LIMIT : ERR_INVALID,
                    "%llu of %llu samples refused: %s", (unsigned long long)(door + replicas),
                    (unsigned long long)(received + door), buf_cstr(&text));
    buf_done(&text);
    if (in->is_strict)
        replicas -= ORR_MIN(replicas, r->rejected[BATCH_EXEMPLAR]);
    count_written(in, replicas, written);
    return e;
}
