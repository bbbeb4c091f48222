/*
 * The service graph: who calls whom, from the two spans of a call, as Tempo has it.
 *
 *   span of a client (or producer)    ──▶ half of edge (trace id, its span id)     ┐ both halves: an edge
 *   span of a server (or consumer)    ──▶ half of edge (trace id, parent's span id) ┘
 *
 *   a client with db.namespace, db.name or db.system    is an edge by itself, to the first of those that it has; connection_type "database"
 *   a server without a parent                           is one, too: from "user"; connection_type "virtual_node"
 *   a half that has waited for `wait`                   a client with one of peer_attributes: an edge to that, "virtual_node"; else it counts as
 *                                                       unpaired
 *   producer and consumer                               "messaging_system"
 *
 *   traces_service_graph_request_total, …_request_failed_total (either span has status error), …_request_server_seconds, …_request_client_seconds,
 *   …_request_messaging_system_seconds (from the producer's end to the consumer's start), by client, server, connection_type and dimensions;
 *   where one side has no span, its seconds are the other's
 *   traces_service_graph_unpaired_spans_total, …_dropped_spans_total (max_items wait) by client, server
 *
 * Which spans make halves is known at any door; pairing wants both halves in one place, the trace's owner (generator.h): so halves travel.
 *
 *   batch   u8 1, halves up to the end, each:
 *   half    16 trace id, u64 span id, u8 flags (1: of the server, 2: failed, 4: no parent, 8: messaging, 16: database), u64 start ns, u64 end ns,
 *           lstr service, lstr peer, uvarint n, n lstr values of the rules' dimensions
 *
 * Owner: whoever holds it. Nothing here locks. Memory: some 300 bytes and the texts a half that waits, max_items of them.
 */
#pragma once
#include "ingester/generator/spanmetrics.h"

#define SERVICEGRAPH_FORMAT 1

/* Appends the half of a span that makes one. False: it does not. a: for texts of attributes. */
bool servicegraph_half(const struct generator_rules *r, struct arena *a, const struct tracepiece *p,
                       const struct tracepiece_span *s, struct buf *out);

struct servicegraph_edge;
struct servicegraph {
    const struct generator_rules *rules; /* lent */
    struct slice *names[3]; /* labels of dimensions: plain, of clients, of servers; the arena's */
    struct map waiting;     /* 24 bytes -> struct servicegraph_edge */
    struct servicegraph_edge *oldest, *newest;
    uint64_t edges, unpaired, dropped;
};
void servicegraph_init(struct servicegraph *g, const struct generator_rules *rules,
                       struct arena *a);
void servicegraph_done(struct servicegraph *g);
/* Halves are hostile. ERR_INVALID: they are malformed; those before are taken. */
ORR_CHECKED struct err *servicegraph_take(struct servicegraph *g, struct gentable *t,
                                          struct slice batch, int64_t now_ms);
/* Those that have waited long enough; is_last: all. */
void servicegraph_expire(struct servicegraph *g, struct gentable *t, int64_t now_ms, bool is_last);
