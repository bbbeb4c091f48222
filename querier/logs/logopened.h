/*
 * Blocks of log lines, open as origins (logstored.h): those of a view, side by side, for each waits for some reads, one after the
 * other, when blocks are far away; and those that a question will want, opened before it is asked.
 *
 * Owner: one thread at a time. Those of a view are opened on the threads of the store, too.
 */
#pragma once
#include "querier/logs/logjoin.h"
#include "querier/store/store.h"

/*
 * Opens those blocks of the view that are NULL in origins. q: what each is asked; steps: of volumes; n_readers: questions that share the memory to read
 * ahead. All origins count in stats and are charged to a, also those that were there. On an error all are closed.
 */
ORR_CHECKED struct err *logopened_fill(struct store_query *sq, struct arena *a,
                                       const struct blockset_view *v,
                                       const struct logblock_query *q, struct log_steps steps,
                                       struct logsource_stats *stats,
                                       struct logjoin_origin **origins);

struct logopened;
/* The blocks of q's range, by a catalogue that may be older than the one that will count; the first reads of each are made. What q
 * points to outlives it. ERR_LIMIT: opened they take more memory than a has. Memory: a child of a; of a block that was taken, its question's. */
ORR_CHECKED struct err *logopened_ahead(struct store_query *sq, struct arena *a,
                                        const struct logblock_query *q, struct logopened **ret);
/* The block, if it is there: the caller's then, but not to outlive o. NULL: it is not, or o is NULL. */
struct logjoin_origin *logopened_take(struct logopened *o, struct ulid ulid);
void logopened_close(struct logopened *o); /* NULL is allowed */
