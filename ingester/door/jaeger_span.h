/*
 * A span of Jaeger's, whatever encoding it came in, into trace_builder.h as the OpenTelemetry collector translates them:
 *
 *   resource     the process: its service as service.name, unless it is OTLPResourceNoServiceName, which stands for none; its tags:
 *                hostname becomes host.name, jaeger.version opencensus.exporterversion
 *   parent       the one given; else the first reference of this trace that is CHILD_OF, else FOLLOWS_FROM
 *   links        the other references, with opentracing.ref_type (child_of, follows_from); those without ids are counted as dropped
 *   kind         tag span.kind
 *   status       tag error (true, or "true"), or else otel.status_code, or else what http.status_code says to the kind; its
 *                message otel.status_description or http.status_message
 *   state        tag w3c.tracestate
 *   scope        of tags (scope_tags.h)
 *   events       logs; the field event is the name
 *   attributes   all other tags with their types; warnings as a list, @jaeger@warnings, as Jaeger keeps them
 *
 * Flags are not kept.
 *
 * Owner: one decoder.
 */
#pragma once
#include "ingester/door/scope_tags.h"

#define JAEGER_SPAN_MORE_ATTRIBUTES 1 /* beside its tags */

struct jaeger_spans { /* of one write */
    struct trace_builder *b;
    struct scope_tags scopes;
};
struct jaeger_ref {
    struct slice trace_id, span_id;
    bool is_follows;
};
struct jaeger_span { /* under way */
    struct trace_in in;
    struct jaeger_ref *refs;
    size_t n_refs;
    struct otlp_member *warnings; /* without keys */
    size_t n_warnings;
};

void jaeger_spans_init(struct jaeger_spans *j, struct trace_builder *b);
void jaeger_spans_done(struct jaeger_spans *j);
/* tags: with room for one more. */
uint32_t jaeger_spans_process(struct jaeger_spans *j, struct slice service,
                              struct tracepiece_attributes tags);

/*
 * The decoder fills in: ids, name, times, resource; attributes with all tags and room for JAEGER_SPAN_MORE_ATTRIBUTES; events with fields as attributes;
 * refs, and room for as many links; warnings.
 */
void jaeger_span_init(struct jaeger_span *s);
/* Adds it to the builder. Changes attributes and events in place. */
void jaeger_span_end(struct jaeger_spans *j, struct jaeger_span *s);
