/*
 * The clock of aggregation: every second it has the pool follow ring and rules, and writes what is
 * due through the door, like any client; the rules do not apply to it again, nor does the rate.
 *
 * One write of a tenant at a time. What a write could not place is counted and logged: the next output
 * of a total brings it, those of gauges have a gap.
 *
 * Owner: the loop given.
 */
#pragma once
#include "ingester/door/agg_send.h"
#include "ingester/door/door.h"

#define AGG_FEED_PERIOD_MS 1000

struct agg_feed_opts {
    struct loop *loop;
    struct agg_pool *pool;
    struct agg_sender *sender;
    struct door *door;
    const struct clock *clock; /* NULL: the system's */
};
struct agg_feed;
/* Before the loop runs. */
ORR_CHECKED struct err *agg_feed_new(const struct agg_feed_opts *opts, struct agg_feed **ret);
void agg_feed_free(struct agg_feed *f); /* when the loop does not run; NULL is allowed */
/* Takes no more inputs, and writes the last outputs of all groups. Not on the loop; false: it took too
 * long. */
bool agg_feed_drain(struct agg_feed *f, int64_t timeout_ms);
