/*
 * Graphite plaintext (graphite_line.h) into a push; it comes over TCP and UDP (line_feed.h).
 *
 * Mapping, which is VictoriaMetrics': the path is the metric's name as it was sent, dots and all, and
 * tags are labels:  servers.web1.cpu;core=0 7 1700000000  →  {"servers.web1.cpu", core="0"} 7.
 * Nothing of the path is lost, so that Graphite's own queries can be answered from it.
 *
 * Any loop.
 */
#pragma once
#include "ingester/door/push_builder.h"

/* push_decode_fn of the push's body; arg is not used. Lines that cannot be read are refused. */
struct err *graphite_write_decode(struct push_builder *b, const void *arg);
