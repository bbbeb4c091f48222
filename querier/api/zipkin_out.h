/*
 * A trace as Zipkin's spans (version 2) in JSON: what the door made of Zipkin's (ingester/door/zipkin_span.h) turned back, and others as
 * OpenTelemetry's collector exports them.
 *
 *   traceId, parentId, id, kind, name, timestamp and duration (microseconds; at least 1), shared
 *   localEndpoint    service.name, net.host.ip, net.host.port of the resource
 *   remoteEndpoint   peer.service, net.peer.ip, net.peer.port of the span
 *   annotations      events: the name; with attributes name|{attributes in JSON}|how many were dropped
 *   tags             attributes of the span, and of its resource, as texts; error, otel.status_code, otel.status_description, otel.scope.…,
 *                    w3c.tracestate; links as otlp.link.n: trace id|span id|state|{attributes}|dropped
 *
 * Any thread.
 */
#pragma once
#include "common/traces/tracepiece.h"

/* Appends a list of spans. Sorts maps among the values of p. Scratch memory is a's. */
void zipkin_out(struct buf *out, struct arena *a, struct tracepiece *p);
