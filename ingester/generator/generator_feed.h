/*
 * The clock of the generator: every second it looks which tenants are due, and writes their tables through the door like any client, but
 * for rules and rate. One write of a tenant at a time. What a write could not place is counted and logged: counters bring it with the
 * next one.
 *
 * Owner: the loop given.
 */
#pragma once
#include "ingester/door/door.h"
#include "ingester/generator/generator.h"

#define GENERATOR_FEED_PERIOD_MS 1000

struct generator_feed_opts {
    struct loop *loop;
    struct generator *generator;
    struct door *door;
    const struct clock *clock; /* NULL: the system's */
};
struct generator_feed;
/* Before the loop runs. */
ORR_CHECKED struct err *generator_feed_new(const struct generator_feed_opts *opts,
                                           struct generator_feed **ret);
void generator_feed_free(
    struct generator_feed *f); /* when the loop does not run; NULL is allowed */
/* Writes all tables a last time. Not on the loop; false: it took too long. */
bool generator_feed_drain(struct generator_feed *f, int64_t timeout_ms);
