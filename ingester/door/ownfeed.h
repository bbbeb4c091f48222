/*
 * The clock of series that are made in here (aggregation, metrics of spans): every second it asks which tenants are due, and writes what there is
 * of them through the door, slice by slice, like any client; the tenant's rules do not apply to it again, nor does the rate.
 *
 * One write of a tenant at a time. What a write could not place is counted and logged: the next one of a counter brings it, gauges have a gap.
 *
 * Owner: the loop given.
 */
#pragma once
#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/base/metric.h"
#include "ingester/door/push_builder.h"

#define OWNFEED_PERIOD_MS 1000

struct door;

/* What is written of a tenant: the arg of the push_decode_fn, which brings the next slice of it with each call. */
struct ownfeed_flush {
    void *of; /* opts.of */
    struct slice tenant;
    int64_t now_ms;
    bool is_last; /* all of it, due or not */
    size_t next;  /* the decoder's; SIZE_MAX at first */
    bool is_done; /* set by the decoder */
};

/* Tenants of which something is to be written now, NUL-terminated, each and all to be freed. */
typedef size_t ownfeed_due_fn(void *arg, bool is_last, char ***ret);

struct ownfeed_metrics {
    uint64_t writes, failed;
};
struct ownfeed_opts {
    struct loop *loop;
    struct door *door;
    const char *name; /* of the decoder; static */
    const struct metric_field *fields;
    size_t n_fields; /* of struct ownfeed_metrics */
    ownfeed_due_fn *due;
    void *due_arg;
    push_decode_fn *decode;
    void *of;
    const struct clock *clock; /* NULL: the system's */
};

struct ownfeed;
/* Before the loop runs. */
ORR_CHECKED struct err *ownfeed_new(const struct ownfeed_opts *opts, struct ownfeed **ret);
void ownfeed_free(struct ownfeed *f); /* when the loop does not run; NULL is allowed */
/* Writes all a last time, tenants under way after that. Not on the loop; false: it took too long. */
bool ownfeed_drain(struct ownfeed *f, int64_t timeout_ms);
