/*
 * Brings what agg_match.h took out of a write to the owners of its groups, and is such an owner.
 *
 *   load ──place's token──▶ owner on the ring of ingesters ──▶ one batch per owner
 *        this process: agg_pool_take()    another: RPC ingester.aggregate, the same bytes
 *   replies ──▶ done, when all are there
 *
 * An owner that does not know an input says so, and gets it again with labels: they cross the wire
 * once. Nothing is replicated here: the output is, like every other write.
 *
 * agg_send() is called on any loop, done on the same one, possibly before it returns. The rest: any
 * thread.
 */
#pragma once
#include "common/base/loop.h"
#include "ingester/distribute.h"
#include "ingester/door/agg_match.h"
#include "ingester/door/agg_pool.h"

struct agg_sender;

struct agg_send_opts {
    struct agg_pool *pool;
    struct limits *limits;
    const char *instance; /* our name in the ring */
    int64_t timeout_ms;
    const struct clock *clock;       /* NULL: the system's */
    struct ring *(*ring)(void *arg); /* as of struct distribute_ops */
    /* As rpc_call() of "ingester.aggregate"; on_reply comes on the calling loop. */
    void (*remote)(void *arg, const struct member *to, struct slice tenant, struct slice bytes,
                   int64_t timeout_ms, rpc_reply_fn *on_reply, void *reply_arg);
    void *arg;
};
struct agg_sender *agg_sender_new(const struct agg_send_opts *opts);
void agg_sender_free(struct agg_sender *s); /* nothing under way; NULL is allowed */

/* e: ERR_UNAVAILABLE, some of it may have been counted; takes it. rejected: over limits, lent. */
typedef void agg_send_fn(void *arg, struct err *e, const uint64_t rejected[BATCH_REASON_COUNT]);
/* p and l are lent until done. */
void agg_send(struct agg_sender *s, struct loop *loop, const struct push *p,
              const struct agg_load *l, agg_send_fn *done, void *arg);

/* As the owner: agg_pool_take() with the ring and rules of now. */
ORR_CHECKED struct err *agg_send_take(struct agg_sender *s, struct slice tenant, struct slice batch,
                                      struct batch_reply *ret);
/* Writes what is due of the pool: each second it follows ring and rules. Its last outputs are those of when it is drained: seal the pool before. */
ORR_CHECKED struct err *agg_send_feed(struct agg_sender *s, struct loop *loop, struct door *door,
                                      struct ownfeed **ret);
