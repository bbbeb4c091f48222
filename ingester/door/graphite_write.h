/*
 * Graphite into a push: plaintext (graphite_line.h) over TCP and UDP (line_feed.h) and over HTTP, and
 * the JSON that carbon-relay-ng and Grafana's Graphite proxy take.
 *
 *   POST /graphite/metrics[?extra_label=name=value]
 *     application/json   [{"name": "a.b", "value": 1.5, "time": UNIX_S, "tags": ["k=v"], ...}, ...]
 *                        interval, unit, mtype, org_id and the like are not used
 *     text/plain, application/x-www-form-urlencoded, none: plaintext
 *     anything else (rt-metric-binary): 415
 *   200 {"published": N, "invalid": N}; 400 with a text when points were refused (the others are
 *   stored) or the body cannot be read; the rest as for remote write
 *
 * Mapping, which is VictoriaMetrics': the path is the metric's name as it was sent, dots and all, and
 * tags are labels:  servers.web1.cpu;core=0 7 1700000000  →  {"servers.web1.cpu", core="0"} 7.
 * Nothing of the path is lost, so that Graphite's own queries can be answered from it.
 *
 * Decoders: any loop. Requests: theirs.
 */
#pragma once
#include "ingester/door/line_request.h"

/* arg may be NULL: plaintext of the push's body. */
struct graphite_write {
    struct line_request *q; /* NULL: the body of the push */
    bool is_json;
    uint64_t *published, *invalid; /* filled by the decoder when q is there */
};
/* push_decode_fn. What cannot be read is refused line by line; JSON that is none, whole. */
struct err *graphite_write_decode(struct push_builder *b, const void *arg);

void graphite_write_routes(struct http_server *s, struct door *d);
