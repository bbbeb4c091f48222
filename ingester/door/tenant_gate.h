/*
 * How fast each tenant may come in: token buckets of samples, of bytes of log lines, of requests.
 *
 * A bucket fills at the tenant's rate up to its burst. Something is let in when the bucket holds
 * what it costs, or is full (so that one write larger than the burst is not refused for ever); it
 * may then go below zero, and what follows waits until that is paid back.
 *
 * Limits count for the whole cluster: each ingester takes its share (rate / share).
 *
 * Any thread.
 */
#pragma once
#include "common/base/clock.h"
#include "common/base/err.h"
#include "common/model/limits.h"

struct tenant_gate;

#define TENANT_GATE_MIN_BURST 10000 /* samples */

struct tenant_gate *tenant_gate_new(const struct clock *clock);
void tenant_gate_free(struct tenant_gate *g);
/* ERR_RATE naming the limit. share: ingesters among which the cluster's rate is divided. */
ORR_CHECKED struct err *tenant_gate_request(struct tenant_gate *g, struct slice tenant,
                                            const struct tenant_limits *limits, size_t share);
ORR_CHECKED struct err *tenant_gate_samples(struct tenant_gate *g, struct slice tenant,
                                            const struct tenant_limits *limits, size_t share,
                                            uint64_t n);
/* bytes of so many log lines. */
ORR_CHECKED struct err *tenant_gate_log_bytes(struct tenant_gate *g, struct slice tenant,
                                              const struct tenant_limits *limits, size_t share,
                                              uint64_t lines, uint64_t bytes);
