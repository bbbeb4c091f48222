/*
 * A block of log lines as an origin of them (logjoin.h).
 */
#pragma once
#include "common/logblock/logblock.h"
#include "common/model/log_steps.h"
#include "querier/logs/logjoin.h"

struct logstored_opts {
    struct logblock *block;      /* lent, as all that query points to */
    struct logblock_query query; /* copied */
    int64_t min_ms, max_ms;      /* of the block's lines; max is exclusive */
    struct log_steps steps;      /* of volumes; none: step 0 */
    size_t room;                 /* of memory of its own; 0: no limit */
    bool reads_ahead;            /* what will be wanted first is at hand from the beginning */
};
/*
 * On any thread, with memory of its own, up to room; logstored_adopt() before it is asked for a stream. Volumes are the share of the
 * block's that the query's range has of its time, as if lines came evenly: 1 at least.
 */
ORR_CHECKED struct err *logstored_new(const struct logstored_opts *opts,
                                      struct logjoin_origin **ret);
/* Again if need be: its memory is charged to a from now on, and what it has counted and will count is stats', which outlive it;
 * NULL: nobody's yet. */
void logstored_adopt(struct logjoin_origin *o, struct arena *a, struct logsource_stats *stats);
