/*
 * Traffic of a generated shop as its services' SDKs would send it: about twenty spans a trace, with the attributes that OpenTelemetry's
 * conventions name for HTTP, databases and messages. Ids, addresses, customers and orders are as random as they are in life; texts of
 * statements, routes and resources repeat.
 *
 *   gateway ─▶ checkout ─▶ orders ─▶ database, queue ┄▶ shipping
 *                       ├▶ inventory ─▶ database, cache
 *                       └▶ payments ─▶ database; one in a hundred fails, with an exception
 *
 * The same seed gives the same traces. Owner: one thread.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/rng.h"
#include "common/traces/tracepiece.h"

#define SPANGEN_SERVICES 7

struct spangen {
    struct rng r;
    struct arena *a; /* of the trace that was made last */
    uint64_t start_ns, step_ns;
    struct arena *kept;
    struct tracepiece_resource resources[SPANGEN_SERVICES * 3]; /* three instances of each */
    struct tracepiece_scope scopes[SPANGEN_SERVICES];
    struct tracepiece p;
    uint32_t room;
};

/* Traces begin one behind the other from start_ns on, so far apart on average. */
void spangen_init(struct spangen *g, uint64_t seed, uint64_t start_ns, uint64_t step_ns);
void spangen_done(struct spangen *g);
/* The next trace; lent until the next call. Its id is random. Spans are in order of their starts. */
const struct tracepiece *spangen_trace(struct spangen *g);
