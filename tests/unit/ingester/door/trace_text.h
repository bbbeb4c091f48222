/* A decoder of spans run on bytes, and what came out of it as text: a line for each span. */
#pragma once
#include "ingester/door/trace_builder.h"
#include "tests/unit/test.h"

typedef struct err *trace_text_fn(struct trace_builder *b, struct slice body);

static inline void trace_text_attributes(struct buf *out, struct arena *a, const char *name,
                                         const struct tracepiece_attributes *of)
{
    static const char *const types[] = {"-", "s", "b", "i", "d", "x", "l", "m"};

    if (of->n)
        buf_printf(out, " %s{", name);
    for (uint32_t i = 0; i < of->n; i++)
        buf_printf(out, "%s%.*s=%s:%.*s", i ? " " : "", SLICE_ARG(of->ptr[i].key),
                   types[of->ptr[i].value.kind], SLICE_ARG(otlp_value_text(a, &of->ptr[i].value)));
    if (of->n)
        buf_byte(out, '}');
}

/* What is empty or 0 is left out. */
static inline void trace_text_span(struct buf *out, struct arena *a, const struct tracepiece *p,
                                   const struct tracepiece_span *s)
{
    for (unsigned i = 0; i < 16; i++)
        buf_printf(out, "%02x", p->trace_id[i]);
    buf_printf(out, " %llx<%llx '%.*s' %llu+%lld", (unsigned long long)s->span_id,
               (unsigned long long)s->parent_id, SLICE_ARG(s->name),
               (unsigned long long)s->start_ns, (long long)(s->end_ns - s->start_ns));
    if (s->kind)
        buf_printf(out, " kind=%u", s->kind);
    if (s->status || s->message.len)
        buf_printf(out, " status=%u'%.*s'", s->status, SLICE_ARG(s->message));
    if (s->state.len)
        buf_printf(out, " state=%.*s", SLICE_ARG(s->state));
    if (p->scopes[s->scope].name.len)
        buf_printf(out, " scope=%.*s/%.*s", SLICE_ARG(p->scopes[s->scope].name),
                   SLICE_ARG(p->scopes[s->scope].version));
    trace_text_attributes(out, a, "of", &p->resources[s->resource].attributes);
    trace_text_attributes(out, a, "with", &s->attributes);
    for (uint32_t i = 0; i < s->n_events; i++) {
        buf_printf(out, " at %llu '%.*s'", (unsigned long long)s->events[i].t_ns,
                   SLICE_ARG(s->events[i].name));
        trace_text_attributes(out, a, "", &s->events[i].attributes);
    }
    for (uint32_t i = 0; i < s->n_links; i++) {
        buf_printf(out, " to %02x…%02x/%llx", s->links[i].trace_id[0], s->links[i].trace_id[15],
                   (unsigned long long)s->links[i].span_id);
        trace_text_attributes(out, a, "", &s->links[i].attributes);
    }
    if (s->dropped_links)
        buf_printf(out, " dropped-links=%u", s->dropped_links);
    buf_byte(out, '\n');
}

/* "error: …" when it failed; behind the spans how many were refused, if any. */
static inline const char *trace_text_of(trace_text_fn *fn, struct slice body)
{
    static struct buf out;
    struct trace_batch *batch = trace_batch_new(SLICE("t"), &(struct tenant_limits){0});
    struct arena *a = arena_new(0);
    struct trace_builder b;
    struct tracepiece p;
    struct err *e;

    buf_reset(&out);
    trace_builder_init(&b, batch, a);
    if (!(e = fn(&b, body)))
        e = trace_builder_end(&b);
    if (e)
        buf_printf(&out, "error: %s", err_msg(e));
    err_free(e);
    for (size_t i = 0; !e && i < batch->traces.len; i++) {
        CHECK_OK(tracepiece_decode(
            a, slice_of(batch->pieces.ptr + batch->traces.ptr[i].at, batch->traces.ptr[i].len),
            &p));
        for (uint32_t k = 0; k < p.n_spans; k++)
            trace_text_span(&out, a, &p, &p.spans[k]);
    }
    for (unsigned i = 0; !e && i < TRACE_REASON_COUNT; i++)
        if (b.refused[i])
            buf_printf(&out, "%llu %s\n", (unsigned long long)b.refused[i],
                       trace_reason_name((enum trace_reason)i));
    trace_builder_done(&b);
    trace_batch_free(batch);
    arena_free(a);
    return buf_cstr(&out);
}

/* No prefix of a good body may be read beyond its end; whether it is good is the decoder's to say. */
static inline void trace_text_prefixes(trace_text_fn *fn, struct slice body)
{
    for (size_t n = 0; n < body.len; n++) {
        uint8_t *exact = mem_alloc(n ? n : 1);

        memcpy(exact, body.ptr, n);
        (void)trace_text_of(fn, slice_of(exact, n));
        mem_free(exact);
    }
}
