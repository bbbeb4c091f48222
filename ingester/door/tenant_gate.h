/*
 * How fast each tenant may come in: token buckets of samples, of bytes of log lines, of bytes of spans, of requests.
 *
 * What a bucket lets in: common/base/tokenbucket.h. A write larger than the burst is let in when nothing was before it
 * for a while.
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
/* bytes of so many spans. */
ORR_CHECKED struct err *tenant_gate_span_bytes(struct tenant_gate *g, struct slice tenant,
                                               const struct tenant_limits *limits, size_t share,
                                               uint64_t spans, uint64_t bytes);
