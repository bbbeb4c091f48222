/*
 * What an ingester adds up for aggregation_rules (common/model/agg_rule.h), as the owner of a group
 * of inputs that become the same series.
 *
 *   any door ──samples by key (agg_send.h)──▶ agg_pool_take()
 *   ownfeed.h, every second ──▶ agg_pool_look() ──▶ agg_pool_decode(): what is due, into a write
 *
 * There is one owner of a group in the cluster: that of its place on the ring of ingesters. So the
 * sum is over what all doors took in, and there is one output series. An ingester that is not the
 * owner by its own ring, or has not read the rule yet, refuses (ERR_UNAVAILABLE): the client sends
 * again, and what was counted before is known by its time and counted once.
 *
 * A group that is new here may have been another ingester's just before. So it is silent for a whole
 * interval (in which the other one notices, or its inputs all come in), and begins a total with a
 * zero, what came meanwhile following after it: rate() sees the restart of a counter, and loses
 * nothing. The same happens to all groups of an ingester that may have been replaced without having
 * noticed: it stood still for AGG_POOL_PAUSE_MS, or saw only half of the others and sees more now.
 *
 *   ring says another owner now    its last values at once, then it is forgotten
 *   rule gone, inputs all silent   stale markers, then it is forgotten
 *
 * What is lost when an owner dies: the growth of its inputs since its last output, and between its
 * last and the new owner's first sample of each. Nothing is written to the log for inputs that are
 * dropped: an acknowledgement means that the owner has counted them.
 *
 * Bounds: inputs and output series of a tenant, by its limits; a native histogram counts as one.
 *
 * Any thread; one lock. An input costs about 100 bytes, its labels are not kept.
 */
#pragma once
#include "common/model/agg_rule.h"
#include "common/ring/ring.h"
#include "ingester/door/ownfeed.h"
#include "ingester/metrics/batch.h"

#define AGG_POOL_PAUSE_MS 5000
#define AGG_POOL_SLICE_INPUTS 50000 /* walked in one decode: then the loop is left */
#define AGG_POOL_SLICE_SERIES 4096

struct agg_pool;
struct agg_pool *agg_pool_new(void);
void agg_pool_free(struct agg_pool *pool); /* NULL is allowed */

/* Everything lent. */
struct agg_pool_call {
    struct slice tenant;
    const struct tenant_limits *limits;
    const struct agg_rules *rules;
    const struct ring *ring; /* the tenant's, for writes */
    int self;                /* our number in it; -1: we are not there */
    int64_t now_ms;          /* wall */
};

/*
 * A batch of samples by agg_rule_key(), with the inputs' labels where it carries any. Samples that are
 * not later than the last one of their input are counted and forgotten, as is what cannot be added
 * up. *ret: unknown (to be sent with labels), rejected (over a limit); batch_reply_done() in either
 * case. ERR_UNAVAILABLE: some of it is not ours; the rest has been counted. ERR_INVALID.
 */
ORR_CHECKED struct err *agg_pool_take(struct agg_pool *pool, const struct agg_pool_call *c,
                                      struct slice batch, struct batch_reply *ret);
/* From now on everything is refused; what is there can still be written. */
void agg_pool_seal(struct agg_pool *pool);

/* Tenants that have groups, NUL-terminated, each and all to be freed. */
size_t agg_pool_tenants(struct agg_pool *pool, char ***ret);
/* Follows ring and rules. True: there is something to be written now. */
bool agg_pool_look(struct agg_pool *pool, const struct agg_pool_call *c);

/* push_decode_fn; arg is a struct ownfeed_flush of the pool. The next slice of what is due. */
struct err *agg_pool_decode(struct push_builder *b, const void *flush);

struct agg_pool_row {
    char *tenant;
    uint64_t rule;
    uint64_t groups, inputs;
    int64_t last_ms; /* last output of any; 0: none yet */
};
/* Per tenant and rule, in no order; to be freed by the other. */
size_t agg_pool_list(struct agg_pool *pool, struct agg_pool_row **ret);
void agg_pool_list_free(struct agg_pool_row *rows, size_t n);
