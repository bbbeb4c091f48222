/*
 * A block of log lines as an origin of them (logjoin.h).
 */
#pragma once
#include "common/logblock/logblock.h"
#include "common/model/log_steps.h"
#include "querier/logs/logjoin.h"

struct logstored_opts {
    struct logblock *block;        /* lent, as all that query points to */
    struct logblock_query query;   /* copied */
    int64_t min_ms, max_ms;        /* of the block's lines; max is exclusive */
    struct log_steps steps;        /* of volumes; none: step 0 */
    struct logsource_stats *stats; /* outlives it; raised as it goes on */
};
/*
 * Volumes are the share of the block's that the query's range has of its time, as if lines came evenly: 1 at least.
 * Memory: a child of a.
 */
ORR_CHECKED struct err *logstored_new(struct arena *a, const struct logstored_opts *opts,
                                      struct logjoin_origin **ret);
