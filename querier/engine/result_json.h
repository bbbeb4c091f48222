/*
 * A query result as the data object of Prometheus' HTTP API:
 *     {"resultType":"matrix","result":[{"metric":{...},"values":[[1.5,"2"]],"histograms":[...]}]}
 * Any thread.
 */
#pragma once
#include "querier/engine/engine.h"

/* Appends the object. */
void result_json_data(struct buf *out, const struct engine_result *r);
struct result_json_opts {
    bool exact_histograms; /* as base64 of common/model/hist_wire.h: for rulers, who store them */
    /* After each series of a vector or matrix; may take away what out holds. Its error ends the
     * work. NULL: nobody. */
    struct err *(*on_series)(void *arg);
    void *arg;
};
/* The same. */
ORR_CHECKED struct err *result_json_pieces(struct buf *out, const struct engine_result *r,
                                           const struct result_json_opts *opts);
/* About how many bytes it will be: with usual labels and values rather less. */
size_t result_json_estimate(const struct engine_result *r);
/* Appends {"count":"..","sum":"..","buckets":[[rule,"lower","upper","count"],...]}. */
void result_json_histogram(struct buf *out, const struct histogram *h);
/* 1234 ms -> 1.234 */
void result_json_time(struct buf *out, int64_t t_ms);
