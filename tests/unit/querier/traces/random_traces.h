/* Random traces, and what a random query (random_query.h) finds in a source of them. */
#pragma once
#include <stdlib.h>

#include "common/base/mem.h"
#include "common/base/vec.h"
#include "querier/traces/tracecond.h"
#include "querier/traces/tracepipe.h"
#include "querier/traces/tracepool.h"
#include "querier/traces/tracescan.h"
#include "querier/traces/tracewant.h"
#include "tests/unit/querier/traces/random_query.h"
#include "tests/unit/test.h"

static inline struct otlp_value random_value(struct rng *r)
{
    switch (rng_below(r, 4)) {
    case 0:
        return (struct otlp_value){.kind = OTLP_VALUE_INT, .i = (int64_t)rng_below(r, 5) - 1};
    case 1:
        return (struct otlp_value){.kind = OTLP_VALUE_DOUBLE, .d = (double)rng_below(r, 8) / 2};
    case 2:
        return (struct otlp_value){.kind = OTLP_VALUE_BOOL, .b = rng_chance(r, 0.5)};
    default:
        return (struct otlp_value){.kind = OTLP_VALUE_TEXT,
                                   .text = slice_cstr(texts[rng_below(r, ORR_COUNT(texts))])};
    }
}

static inline struct tracepiece_attributes random_attributes(struct arena *a, struct rng *r)
{
    static const char *const keys[] = {"x", "y", "z"};
    struct tracepiece_attributes ret = {.ptr = arena_array(a, struct otlp_member, 3)};

    for (size_t i = 0; i < ORR_COUNT(keys); i++)
        if (rng_chance(r, 0.4))
            ret.ptr[ret.n++] = (struct otlp_member){slice_cstr(keys[i]), random_value(r)};
    return ret;
}

/* Some of each, with attributes. */
static inline void random_events(struct arena *a, struct rng *r, struct tracepiece_span *s)
{
    static const char *const events[] = {"retry", "a", "ab"};

    s->n_events = (uint32_t)rng_below(r, 3);
    s->events = arena_array(a, struct tracepiece_event, s->n_events);
    for (uint32_t i = 0; i < s->n_events; i++)
        s->events[i] =
            (struct tracepiece_event){.t_ns = s->start_ns + rng_below(r, 60),
                                      .name = slice_cstr(events[rng_below(r, ORR_COUNT(events))]),
                                      .attributes = random_attributes(a, r)};
    s->n_links = (uint32_t)rng_below(r, 2);
    s->links = arena_array(a, struct tracepiece_link, s->n_links);
    for (uint32_t i = 0; i < s->n_links; i++)
        s->links[i] = (struct tracepiece_link){
            .trace_id = {7}, .span_id = 1 + rng_below(r, 3), .attributes = random_attributes(a, r)};
}

static inline struct tracepiece random_trace(struct arena *a, struct rng *r, uint8_t id)
{
    uint32_t n = 1 + (uint32_t)rng_below(r, 10);
    struct tracepiece p = {.trace_id = {(uint8_t)(id * 37), id}, .n_resources = 2, .n_scopes = 1};

    p.resources = arena_array(a, struct tracepiece_resource, 2);
    p.resources[0].attributes = random_attributes(a, r);
    p.resources[1].attributes = random_attributes(a, r);
    p.scopes = arena_array(a, struct tracepiece_scope, 1);
    p.n_spans = n;
    p.spans = arena_array(a, struct tracepiece_span, n);
    for (uint32_t i = 0; i < n; i++) {
        struct tracepiece_span *s = &p.spans[i];

        s->span_id = i + 1;
        s->parent_id = i ? 1 + rng_below(r, n) : 0;
        s->resource = (uint32_t)rng_below(r, 2);
        s->kind = (uint8_t)rng_below(r, 6);
        s->status = (uint8_t)rng_below(r, 3);
        s->name = slice_cstr(names[rng_below(r, ORR_COUNT(names))]);
        s->start_ns = 1000 + i; /* so that the order of united spans is that of the trace */
        s->end_ns = s->start_ns + rng_below(r, 100);
        s->attributes = random_attributes(a, r);
        random_events(a, r, s);
    }
    return p;
}

static inline void add(struct tracepool *t, const struct tracepiece *p)
{
    struct tracepiece_encoder *e = tracepiece_encoder_new();
    struct buf bytes = {0};

    tracepiece_encode(e, p, &bytes);
    CHECK_OK(tracepool_add(t, buf_slice(&bytes)));
    buf_done(&bytes);
    tracepiece_encoder_free(e);
}

struct finding {
    const struct traceql_pipeline *pipeline;
    struct buf *out;
};

static inline struct err *find(void *arg, const struct tracecols *cols, bool *ret_stop)
{
    struct finding *f = arg;
    struct tracepipe *pipe = tracepipe_new(f->pipeline, cols);

    (void)ret_stop;
    for (uint32_t t = 0; t < cols->n_traces; t++) {
        struct tracesets sets = tracepipe_run(pipe, t);

        for (size_t i = 0; i < sets.n; i++) {
            buf_printf(f->out, "%02x%02x:", cols->traces[t].id[0], cols->traces[t].id[1]);
            for (uint32_t k = 0; k < sets.ptr[i].n; k++)
                buf_printf(f->out, " %llu", (unsigned long long)cols->span_id[sets.ptr[i].rows[k]]);
            buf_byte(f->out, '\n');
        }
    }
    tracepipe_free(pipe);
    return NULL;
}

/* in_columns: what sources have in columns is taken as such. */
static inline struct buf search_as(const struct tracesource *source, const struct traceql *q,
                                   struct tracecond cond, unsigned ranges, bool in_columns)
{
    struct arena *a = arena_new(0);
    struct tracescan_stats stats = {0};
    struct buf out = {0};
    struct tracegroup_want want = tracewant_of_query(a, q, true);
    struct tracescan_opts opts = {
        .source = source,
        .req = {.end_ns = INT64_MAX, .filters = cond.ptr, .n_filters = cond.n},
        .want = in_columns ? &want : NULL,
        .few = 1,
        .ranges = ranges,
        .arena = a};

    CHECK_OK(tracescan(&opts, find, &(struct finding){&q->pipeline, &out}, &stats));
    arena_free(a);
    return out;
}

static inline struct buf search(const struct tracesource *source, const struct traceql *q,
                                struct tracecond cond, unsigned ranges)
{
    return search_as(source, q, cond, ranges, false);
}

static inline int compare_lines(const void *x, const void *y)
{
    return slice_cmp(*(const struct slice *)x, *(const struct slice *)y);
}

/* Lines in an order that does not follow from where they were found. */
static inline void sort_lines(struct buf *b)
{
    struct slice rest = buf_slice(b), line;
    struct buf out = {0};
    VEC(struct slice) lines = {0};

    while (rest.len && slice_split(&rest, '\n', &line))
        vec_push(&lines, line);
    if (lines.len)
        qsort(lines.ptr, lines.len, sizeof(*lines.ptr), compare_lines);
    VEC_FOREACH (l, &lines) {
        buf_slice_append(&out, *l);
        buf_byte(&out, '\n');
    }
    vec_done(&lines);
    buf_done(b);
    *b = out;
}
