/*
 * Zipkin's spans, version 2 in JSON: a list of
 *
 *   traceId (16 or 32 hexadecimal digits), id, parentId, name, kind (CLIENT SERVER PRODUCER CONSUMER), timestamp and duration
 *   (microseconds), localEndpoint, remoteEndpoint {serviceName ipv4 ipv6 port}, annotations [{timestamp value}], tags {}, debug, shared
 *
 * A trace id of 64 bits has zeros in front. What becomes of a span: zipkin_span.h.
 *
 * Any thread.
 */
#pragma once
#include "common/base/jsonval.h"
#include "ingester/door/trace_builder.h"

#define ZIPKIN_JSON_MAX_BYTES (16u << 20)

/* ERR_INVALID: it cannot be read. ERR_TOO_LARGE: more than ZIPKIN_JSON_MAX_BYTES. ERR_LIMIT: no memory for it as JSON. Texts lie in the document,
 * which the caller frees after trace_builder_end(); *ret_doc is NULL when this failed. */
ORR_CHECKED struct err *zipkin_json_decode(struct trace_builder *b, struct slice body,
                                           struct jsonval_doc **ret_doc);
