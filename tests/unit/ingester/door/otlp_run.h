/* An export request in JSON all the way into a push, and the push as text: for tests. */
#pragma once
#include <stdlib.h>

#include "ingester/door/otlp_json.h"
#include "ingester/door/otlp_translate.h"
#include "ingester/door/series_labels.h"
#include "tests/unit/test.h"

#define OTLP_RUN_NOW 1767225600000

/* Whether start timestamps are to be stored, and zeros where counters began. */
static bool otlp_run_has_starts;

static inline struct otlp_config otlp_run_defaults(void)
{
    static char none[] = "";

    return (struct otlp_config){.prefix = none, .has_key_prefix = true, .keeps_underscores = true};
}

static inline int otlp_run_by_text(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static inline void otlp_run_buckets(struct buf *out, const char *name,
                                    const struct histogram_span *spans, size_t n_spans,
                                    const double *buckets)
{
    size_t k = 0;

    for (size_t i = 0; i < n_spans; i++) {
        buf_printf(out, " %s%+d[", name, spans[i].offset);
        for (uint32_t j = 0; j < spans[i].length; j++)
            buf_printf(out, "%s%g", j ? "," : "", buckets[k++]);
        buf_byte(out, ']');
    }
}

static inline void otlp_run_series(struct buf *out, const struct push_series *s)
{
    const struct push_extra *x = s->extra;
    struct push_extra one = {.samples = &s->sample, .n_samples = 1};

    if (!x)
        x = &one;
    series_labels_text(out, s->labels, 4096);
    for (uint32_t i = 0; i < x->n_samples; i++)
        if (sample_is_stale(x->samples[i].v))
            buf_printf(out, " stale@%+lld", (long long)(x->samples[i].t_ms - OTLP_RUN_NOW));
        else
            buf_printf(out, " %g@%+lld", x->samples[i].v,
                       (long long)(x->samples[i].t_ms - OTLP_RUN_NOW));
    for (uint32_t i = 0; i < x->n_histograms; i++) {
        const struct histogram *h = &x->histograms[i].h;

        buf_printf(out, " h(%d%s z%g c%g s%g", h->schema,
                   h->hint == HISTOGRAM_GAUGE ? " gauge" : "", h->zero_count, h->count, h->sum);
        otlp_run_buckets(out, "p", h->pos_spans, h->n_pos_spans, h->pos_buckets);
        otlp_run_buckets(out, "n", h->neg_spans, h->n_neg_spans, h->neg_buckets);
        for (size_t k = 0; k < h->n_custom_bounds; k++)
            buf_printf(out, " <%g", h->custom_bounds[k]);
        buf_byte(out, ')');
    }
    for (uint32_t i = 0; i < x->n_exemplars; i++) {
        buf_str(out, " # ");
        series_labels_text(out, x->exemplars[i].labels, 4096);
        buf_printf(out, " %g", x->exemplars[i].v);
    }
    if (x->start_ms)
        buf_printf(out, " since %+lld", (long long)(x->start_ms - OTLP_RUN_NOW));
    if (x->created_ms)
        buf_printf(out, " zero %+lld", (long long)(x->created_ms - OTLP_RUN_NOW));
    buf_byte(out, '\n');
}

/* Lines of series, in order of their text; metadata behind, as "family type unit help". */
static inline void otlp_run_text(const struct push *p, struct buf *out)
{
    char **lines = mem_new_array(char *, p->series.len + 1);
    struct buf line = {0};

    for (size_t i = 0; i < p->series.len; i++) {
        buf_reset(&line);
        otlp_run_series(&line, &p->series.ptr[i]);
        lines[i] = mem_strdup(buf_cstr(&line));
    }
    qsort(lines, p->series.len, sizeof(*lines), otlp_run_by_text);
    for (size_t i = 0; i < p->series.len; i++) {
        buf_str(out, lines[i]);
        mem_free(lines[i]);
    }
    VEC_FOREACH (m, &p->metadata)
        buf_printf(out, "%.*s %d %.*s %.*s\n", SLICE_ARG(m->family), (int)m->type,
                   SLICE_ARG(m->unit), SLICE_ARG(m->help));
    mem_free(lines);
    buf_done(&line);
}

/* metrics is what stands in the list of the one scope's metrics, resource in the list of
 * attributes; appends to out. Rejected samples are told as "rejected REASON N", and the details. */
static inline struct err *otlp_run(const struct otlp_config *config, struct otlp_delta *delta,
                                   const char *resource, const char *metrics, struct buf *out)
{
    struct tenant_limits limits = {.start_timestamp_storage = otlp_run_has_starts,
                                   .created_timestamp_zero_ingestion = otlp_run_has_starts,
                                   .max_native_histogram_buckets = 100,
                                   .max_otel_delta_streams_per_user = 3,
                                   .generation = 1};
    struct push *p = push_new(SLICE("t"), &limits);
    struct arena *a = arena_new(0);
    struct jsonval_doc *doc = NULL;
    struct push_builder b;
    struct fp_cache known;
    struct otlp_metrics m;
    struct err *e;
    char *body = arena_printf(
        a,
        "{\"resourceMetrics\":[{\"resource\":{\"attributes\":[%s]},\"scopeMetrics\":[{\"scope\":"
        "{\"name\":\"lib\",\"version\":\"1\",\"attributes\":[{\"key\":\"s.a\",\"value\":"
        "{\"stringValue\":\"x\"}}]},\"metrics\":[%s]}]}]}",
        resource, metrics);

    fp_cache_init(&known, 1 << 20);
    push_builder_init(&b, p, &known, OTLP_RUN_NOW);
    e = otlp_json_decode(a, slice_cstr(body), &doc, &m);
    if (!e)
        e = otlp_translate(&b, &m, config, delta, a);
    if (!e)
        otlp_run_text(p, out);
    for (int i = 0; i < DOOR_REASON_COUNT; i++)
        if (b.rejects.samples[i])
            buf_printf(out, "rejected %d %llu%s%s\n", i, (unsigned long long)b.rejects.samples[i],
                       b.rejects.detail[i] ? " " : "",
                       b.rejects.detail[i] ? b.rejects.detail[i] : "");
    jsonval_free(doc);
    arena_free(a);
    push_free(p);
    fp_cache_done(&known);
    return e;
}
