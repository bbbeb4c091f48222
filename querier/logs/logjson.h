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
 *
 * As Loki's old endpoint /api/prom/query wrote lines:
 *
 *     {"streams":[{"labels":"{a=\"b\"}","entries":[{"ts":"2006-01-02T15:04:05.999999999Z","line":"…"}]}],"stats":{…}
 */
#pragma once
#include "querier/logs/logquery.h"

/* Appends the data object; half of it if that is past out's bound (buf_ok()). */
void logjson_data(struct buf *out, const struct logquery_result *r, bool categorizes);
/* The same in the old form, without the brace that closes it. The result is of lines. */
void logjson_old(struct buf *out, const struct logquery_result *r);
/* ["1700000000000000000","line"], with its labels apart if it categorizes. */
void logjson_line(struct buf *out, const struct logquery_stream *s,
                  const struct logquery_line *line, bool categorizes);
