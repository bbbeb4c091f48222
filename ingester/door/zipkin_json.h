/*
 * Zipkin's spans, version 2 in JSON: a list of
 *
 *   traceId (16 or 32 hexadecimal digits), id, parentId, name, kind (CLIENT SERVER PRODUCER CONSUMER), timestamp and duration
 *   (microseconds), localEndpoint, remoteEndpoint {serviceName ipv4 ipv6 port}, annotations [{timestamp value}], tags {}, debug, shared
 *
 * into trace_builder.h, as the OpenTelemetry collector translates them:
 *
 *   resource     of each local endpoint: service.name, net.host.ip, net.host.port
 *   span         peer.service, net.peer.ip, net.peer.port of the remote one; tags as texts; error, otel.status_code
 *                and otel.status_description become the status; w3c.tracestate the state
 *   scope        otel.library.name, otel.library.version (or otel.scope.…)
 *   events       annotations
 *   start        timestamp, or 0; end: start + duration
 *
 * A trace id of 64 bits has zeros in front. What a client and its server share, one id, is two spans by their kind.
 *
 * Any thread.
 */
#pragma once
#include "common/base/jsonval.h"
#include "ingester/door/trace_builder.h"

#define ZIPKIN_JSON_MAX_BYTES (16u << 20)

/* ERR_INVALID: it cannot be read. ERR_LIMIT, ERR_TOO_LARGE. Texts lie in the document, which the caller frees after
 * trace_builder_end(); *ret_doc is NULL when this failed. */
ORR_CHECKED struct err *zipkin_json_decode(struct trace_builder *b, struct slice body,
                                           struct jsonval_doc **ret_doc);
