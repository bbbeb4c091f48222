/*
 * The answer to a LogQL query as Loki's HTTP API writes it:
 *
 *     {"resultType":"streams","result":[{"stream":{…},"values":[["1700000000000000000","line"]]}],
 *      "stats":{…}}
 *
 * and for metrics a matrix, a vector or a scalar as Prometheus has them. With categorized labels (the
 * encoding flag categorize-labels) a stream has only its own labels, and each line says what else it
 * has: ["…","line",{"structuredMetadata":{…},"parsed":{…}}]; the answer then says so in
 * "encodingFlags". Any thread.
 */
#pragma once
#include "querier/logs/logquery.h"

struct logjson_opts {
    bool categorizes;
    /* After each stream or series; may take away what out holds. Its error ends the work. NULL: nobody. */
    struct err *(*on_series)(void *arg);
    void *arg;
};
/* Appends the data object; half of it if that is past out's bound (buf_ok()). opts NULL: neither. */
ORR_CHECKED struct err *logjson_data(struct buf *out, const struct logquery_result *r,
                                     const struct logjson_opts *opts);
