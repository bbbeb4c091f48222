/*
 * A trace as Jaeger's UI reads it, in JSON: what the door made of Jaeger's spans (ingester/door/jaeger_span.h) turned back, and others as
 * OpenTelemetry's collector exports them.
 *
 *   {traceID, spans: [{traceID, spanID, flags, operationName, references, startTime, duration, tags, logs, processID, warnings}],
 *    processes: {p1: {serviceName, tags}}, warnings}
 *
 *   service     service.name of the resource, or OTLPResourceNoServiceName, as OpenTelemetry's exporters say that there is none
 *   references  parent as CHILD_OF, links as FOLLOWS_FROM unless opentracing.ref_type says child_of; times in microseconds
 *   tags        attributes, span.kind, otel.scope.…, otel.status_code, otel.status_description, error, w3c.tracestate; lists and maps
 *               as JSON in a text
 *   logs        events; event is the name
 *   warnings    @jaeger@warnings; that a span ends before it starts, and lasts 0 here
 *
 * Any thread.
 */
#pragma once
#include "common/traces/tracepiece.h"

/* Resources of p are different ones (tracepiece_unite()). Sorts maps among its values. Scratch memory is a's. */
void jaeger_out(struct buf *out, struct arena *a, struct tracepiece *p);
