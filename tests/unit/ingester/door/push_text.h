/*
 * A push as text, for tests of decoders: a line per sample
 *
 *     name{a="b"} VALUE @ms           a float; " # {labels} value @ms" behind it: an exemplar
 *     name histogram COUNT SUM @ms
 *
 * the family lines first ("TYPE family help unit"), the refusals last.
 */
#pragma once
#include "ingester/door/push_builder.h"
#include "ingester/door/series_labels.h"
#include "tests/unit/test.h"

#define PUSH_TEXT_NOW 1700000000000

static const char *const push_text_types[] = {
#define X(sym, name) name,
    SAMPLE_METRIC_TYPES(X)
#undef X
};

static const char *const push_text_reasons[] = {
#define X(sym, name, text) name,
    DOOR_REASONS(X)
#undef X
};

static inline void push_text_extra(struct buf *out, const struct push_extra *x)
{
    for (size_t i = 0; i < x->n_histograms; i++)
        buf_printf(out, " histogram %g %g @%lld", x->histograms[i].h.count, x->histograms[i].h.sum,
                   (long long)x->histograms[i].t_ms);
    for (size_t i = 0; i < x->n_exemplars; i++) {
        buf_str(out, " # ");
        series_labels_text(out, x->exemplars[i].labels, 256);
        buf_printf(out, " %g @%lld", x->exemplars[i].v, (long long)x->exemplars[i].t_ms);
    }
}

static inline void push_text_print(struct buf *out, const struct push *p)
{
    VEC_FOREACH (m, &p->metadata)
        buf_printf(out, "%s %.*s \"%.*s\" %.*s\n", push_text_types[m->type], SLICE_ARG(m->family),
                   SLICE_ARG(m->help), SLICE_ARG(m->unit));
    VEC_FOREACH (s, &p->series) {
        series_labels_text(out, s->labels, 4096);
        if (!s->extra || s->extra->n_samples)
            buf_printf(out, " %g @%lld", s->sample.v, (long long)s->sample.t_ms);
        if (s->extra)
            push_text_extra(out, s->extra);
        buf_byte(out, '\n');
    }
}

/* What decode makes of body, or "error: ...". body is copied into the push. Ends with buf_done(). */
static inline struct buf push_text(push_decode_fn *decode, const void *arg, struct slice body)
{
    struct tenant_limits limits = {.generation = 1, .max_metadata_length = 100};
    struct push *p = push_new(SLICE("t"), &limits);
    struct fp_cache known;
    struct push_builder b;
    struct buf out = {0};
    struct err *e;

    fp_cache_init(&known, 1 << 20);
    buf_slice_append(&p->body, body);
    push_builder_init(&b, p, &known, PUSH_TEXT_NOW);
    if ((e = decode(&b, arg)))
        buf_printf(&out, "error: %s\n", err_msg(e));
    else
        push_text_print(&out, p);
    for (unsigned i = 0; i < DOOR_REASON_COUNT; i++)
        if (b.rejects.samples[i])
            buf_printf(&out, "refused %s: %llu\n", push_text_reasons[i],
                       (unsigned long long)b.rejects.samples[i]);
    err_free(e);
    push_free(p);
    fp_cache_done(&known);
    return out;
}

static inline void push_text_check(struct buf got, const char *want)
{
    CHECK_STR(buf_cstr(&got), want);
    buf_done(&got);
}
