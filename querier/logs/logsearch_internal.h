/* What running and printing of searches share. */
#pragma once
#include "querier/logs/logsearch.h"

/* One block of memory: labels, metadata and line behind it. */
struct logsearch_hit {
    struct essort_value values[ESBODY_MAX_KEYS];
    int64_t ts_ns;
    uint64_t order;
    size_t len;
    uint8_t bytes[];
};
