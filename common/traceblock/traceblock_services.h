/*
 * The services of a block's spans: what the index has, when it is written, and when it is held against the spans. Up to
 * TRACEBLOCK_MAX_SERVICES are told apart, those that come first. Within common/traceblock only.
 *
 * Owner: one thread.
 */
#pragma once
#include "common/base/map.h"

struct traceblock_service {
    uint64_t spans;
    int64_t start_ns, end_ns; /* first start, last end */
};
struct traceblock_services {
    struct map by_name; /* -> struct traceblock_service */
};

/* name empty: spans without one. Made when it is new. */
struct traceblock_service *traceblock_services_at(struct traceblock_services *s, struct slice name);
void traceblock_service_add(struct traceblock_service *s, int64_t start_ns, int64_t end_ns);
void traceblock_services_done(struct traceblock_services *s);
