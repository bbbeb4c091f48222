/*
 * A span of Zipkin's (version 2), whatever encoding it came in, into trace_builder.h as the OpenTelemetry collector translates them:
 *
 *   resource     of each local endpoint: service.name, net.host.ip, net.host.port
 *   span         peer.service, net.peer.ip, net.peer.port of the remote one; tags as texts; error, otel.status_code
 *                and otel.status_description become the status; w3c.tracestate the state
 *   scope        of tags (scope_tags.h)
 *   events       annotations
 *   start        timestamp, or 0; end: start + duration
 *
 * What a client and its server share, one id, is two spans by their kind.
 *
 * Owner: one decoder.
 */
#pragma once
#include "ingester/door/scope_tags.h"

#define ZIPKIN_SPAN_MORE_ATTRIBUTES 3 /* beside its tags */

struct zipkin_spans { /* of one write */
    struct trace_builder *b;
    struct map resources; /* local endpoints -> number + 1 */
    struct buf key;
    struct scope_tags scopes;
};
struct zipkin_endpoint {
    struct slice service, ip;
    uint64_t port;
};
struct zipkin_span { /* under way */
    struct trace_in in;
    struct tracepiece_scope scope;
    struct zipkin_endpoint local, remote;
    uint64_t duration_us;
    bool has_code; /* otel.status_code, which is more than error */
};

void zipkin_spans_init(struct zipkin_spans *z, struct trace_builder *b);
void zipkin_spans_done(struct zipkin_spans *z);

/* The decoder gives room for all tags and ZIPKIN_SPAN_MORE_ATTRIBUTES, in attributes.ptr, and fills what has no function here. */
void zipkin_span_init(struct zipkin_span *s);
void zipkin_span_tag(struct zipkin_span *s, struct slice key, struct slice value);
/* Adds it to the builder. */
void zipkin_span_end(struct zipkin_spans *z, struct zipkin_span *s);
