/*
 * Span metrics: what each span adds to a tenant's table, as Tempo names it.
 *
 *   traces_spanmetrics_calls_total, traces_spanmetrics_size_total (bytes of the span in OTLP's protobuf: spansize.h), traces_spanmetrics_latency (seconds)
 *     by service, span_name, span_kind (SPAN_KIND_SERVER …), status_code (STATUS_CODE_ERROR …), status_message, and dimensions: attributes of
 *     the resource or, if it has none of that name, of the span
 *
 * A dimension's name becomes a label's: what is neither letter, digit nor _ becomes _; one that is that of an intrinsic dimension gets __ before it.
 *
 * Owner: whoever holds it. Nothing here locks.
 */
#pragma once
#include "common/traces/tracepiece.h"
#include "ingester/generator/gentable.h"

/* A sanitised label name, in the arena. */
struct slice spanmetrics_label(struct arena *a, struct slice attribute, const char *prefix);
/* Lists, maps and bytes of resources become texts, once: every span of the piece asks for them. Texts are the arena's. */
void spanmetrics_flatten(struct arena *a, struct tracepiece *p);
/* The text of an attribute of the resource or the span; empty: neither has it. */
struct slice spanmetrics_attribute(struct arena *a, const struct tracepiece *p,
                                   const struct tracepiece_span *s, struct slice key);
struct slice spanmetrics_service(struct arena *a, const struct tracepiece *p,
                                 const struct tracepiece_span *s);
/* 0 when the end is before the start: clocks differ. */
static inline double spanmetrics_seconds(uint64_t start_ns, uint64_t end_ns)
{
    return end_ns > start_ns ? (double)(end_ns - start_ns) / 1e9 : 0;
}

struct spanmetrics {
    const struct generator_rules *rules; /* lent */
    struct slice *names;                 /* labels of dimensions, then of mappings; the arena's */
};
void spanmetrics_init(struct spanmetrics *m, const struct generator_rules *rules, struct arena *a);
/* scratch: for texts of attributes, may be reset after. False: filters leave the span out. */
bool spanmetrics_take(struct spanmetrics *m, struct gentable *t, struct arena *scratch,
                      const struct tracepiece *p, const struct tracepiece_span *s, int64_t now_ms);
