/*
 * Makes metrics of spans (common/model/generator_rule.h): span metrics and the service graph, as the tenant's own series.
 *
 *   a write of spans that was acknowledged ─▶ generator_take(), at the door that took it
 *        span metrics ─▶ the table of this ingester (gentable.h)
 *        halves of edges ─▶ the owner of the trace on the ring of ingesters (here, or by RPC ingester.push_edges) ─▶ generator_edges(): pairs
 *                           them (servicegraph.h) ─▶ the table of that ingester
 *   each collection_interval ─▶ ownfeed.h writes the table through the door: replicated, in the log, and found by queries as any series
 *
 * Why so. A span is counted where it was taken, before it becomes three copies, and when its write was acknowledged: so it is counted once whatever
 * replicas do, and whether tail sampling keeps it or not. A client that got no answer and sends again is counted again, if the first
 * write had been acknowledged. A trace's spans come through several doors: so halves of edges go to one place. Every table has one
 * writer, whose name is on its series (__metrics_gen_instance): what all ingesters counted is sum without (__metrics_gen_instance).
 *
 * Lost when an ingester dies: what it counted since the last collection, and halves that wait there. Its counters begin anew, which rate() sees.
 * Halves that cannot be sent are counted (orrery_generator_lost_halves_bytes_total).
 *
 * Threads: any. A tenant has a lock.
 */
#pragma once
#include "common/base/clock.h"
#include "common/ring/ring.h"
#include "ingester/door/ownfeed.h"

/* Of one write; what is beyond is lost: each half has the texts of its resource, so they may take many times what the write does. */
#define GENERATOR_MAX_HALVES_BYTES (64u << 20)

struct generator_ops {
    struct tenant_rules *(*rules)(void *arg, struct slice tenant); /* a reference */
    struct ring *(*ring)(void *arg, struct slice tenant); /* the tenant's, of traces; a reference */
    /* "ingester.push_edges"; does not wait; halves are lent for the call. to NULL: nobody owns the trace, or there are too many, they
     * are lost. */
    void (*send)(void *arg, const struct member *to, struct slice tenant, struct slice halves);
    void *arg;
};
struct generator_opts {
    const char *instance; /* our name in the ring */
    struct generator_ops ops;
    const struct clock *clock; /* NULL: the system's */
};

struct generator;
struct generator *generator_new(const struct generator_opts *opts);
void generator_free(struct generator *g); /* NULL is allowed */

/* Whether there is anything to be made of the tenant's spans. */
bool generator_wants(struct generator *g, struct slice tenant);
/* Pieces of traces, of one write. Takes time: for workers. */
void generator_take(struct generator *g, struct slice tenant, const struct slice *pieces, size_t n);
/* Halves of edges whose owner this is; bytes: servicegraph.h, hostile. ERR_INVALID. */
ORR_CHECKED struct err *generator_edges(struct generator *g, struct slice tenant,
                                        struct slice halves);

/* Writes what is due. */
ORR_CHECKED struct err *generator_feed(struct generator *g, struct loop *loop, struct door *door,
                                       struct ownfeed **ret);

/* ---- for tests: what it asks ---- */

/* ownfeed_due_fn; arg is the generator. Edges that have waited long enough are counted before. is_last: all tenants, and all edges. */
size_t generator_due(void *g, bool is_last, char ***ret);
/* push_decode_fn; arg is a struct ownfeed_flush of the generator. The next slice of a tenant's table. */
struct err *generator_decode(struct push_builder *b, const void *flush);

/* JSON: {"series":n,"refused":n,"edges":n,"unpaired":n,"dropped":n,"waiting":n} */
void generator_status(struct generator *g, struct slice tenant, struct buf *out);
