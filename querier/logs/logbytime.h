/*
 * Lines of results by time, whatever streams they are of: results come by the labels of their streams, and who shows lines of many streams
 * wants them as they happened.
 *
 * Any thread.
 */
#pragma once
#include "querier/logs/logquery.h"

struct logbytime {
    int64_t key;  /* the time, or its negative: the least comes first */
    size_t order; /* of coming, for lines of one moment */
    const struct logquery_stream *stream;
    const struct logquery_line *line;
};
/* All lines of the n results, oldest first or newest first; in the arena, and lent from the results. How many. */
size_t logbytime(struct arena *a, const struct logquery_result *results, size_t n, bool is_forward,
                 struct logbytime **ret);
