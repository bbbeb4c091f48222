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

/* Appends the data object; half of it if that is past out's bound (buf_ok()). */
void logjson_data(struct buf *out, const struct logquery_result *r, bool categorizes);
/* ["1700000000000000000","line"], with its labels apart if it categorizes. */
void logjson_line(struct buf *out, const struct logquery_stream *s,
                  const struct logquery_line *line, bool categorizes);
