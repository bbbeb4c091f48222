/*
 * An ingester's answer to ingester.select_logs as an origin of lines (logjoin.h).
 *
 * Its frames come through the fan-out of the whole question, which waits for all ingesters at once: a failure that
 * replication does not make up for is the error of whichever origin meets it first.
 */
#pragma once
#include "common/model/log_steps.h"
#include "querier/logs/logjoin.h"
#include "querier/store/store.h"

/* Stream i of f, which outlives it. steps: that volumes were asked for, copied; without a step: none. is_spread: they were not asked
 * for, and what there is since from_ns is spread over them. lines (may be NULL) is raised by each line. */
struct logjoin_origin *logpeer_new(struct store_query *sq, struct fanout *f, size_t i,
                                   const struct log_steps *steps, bool is_spread, int64_t from_ns,
                                   uint64_t *lines);
