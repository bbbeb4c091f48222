/*
 * The metrics of demo_shop.h's services, as OTLP's JSON, cumulative since its start:
 *
 *   http.server.request.duration      exponential histogram (a native one, here), by route and status, with exemplars
 *   db.client.operation.duration      histogram with bounds, by database
 *   shop.orders, cache.requests       counters
 *   shop.stock                        a gauge of each of DEMO_METRICS_ITEMS items
 *   checkout.sessions                 a counter with a label of its own for each session: the one that explodes
 *
 * Pure. Owner: one thread.
 */
#pragma once
#include "common/base/buf.h"

#define DEMO_METRICS_ITEMS 24

struct demo_metrics;

struct demo_metrics *demo_metrics_new(int64_t from_s);
void demo_metrics_free(struct demo_metrics *m); /* NULL is allowed */

/* An answer of a server. Names are string constants. */
struct demo_seen {
    const char *service, *route;
    int status;
    double seconds;
    int64_t t_ns;
    uint64_t trace_hi, trace_lo, span;
};
void demo_metrics_served(struct demo_metrics *m, const struct demo_seen *seen);
void demo_metrics_queried(struct demo_metrics *m, const char *service, const char *database,
                          double seconds);
void demo_metrics_cached(struct demo_metrics *m, bool is_hit);
void demo_metrics_ordered(struct demo_metrics *m);
/* Some are kept until the next demo_metrics_put(). */
void demo_metrics_session(struct demo_metrics *m, uint64_t id);
void demo_metrics_end(struct demo_metrics *m, int64_t t_s); /* what follows is as of it */
void demo_metrics_put(struct demo_metrics *m, struct buf *out);
