/*
 * An ingester's answer to ingester.select_logs as an origin of lines (logjoin.h).
 *
 * Its frames come through the fan-out of the whole question, which waits for all ingesters at once: a failure that
 * replication does not make up for is the error of whichever origin meets it first.
 */
#pragma once
#include "querier/logs/logjoin.h"
#include "querier/store/store.h"

/* Stream i of f, which outlives it. lines (may be NULL) is raised by each line. */
struct logjoin_origin *logpeer_new(struct store_query *sq, struct fanout *f, size_t i,
                                   uint64_t *lines);
