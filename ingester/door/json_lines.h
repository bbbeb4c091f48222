/*
 * Logs as JSON objects, one a line, each being the log line itself, byte for byte (white space off
 * its ends):
 *
 *   {"_time":"2026-01-01T00:00:00Z","_msg":"text","service":"shop","level":"info"}
 *
 * A member that opts.stream_fields names becomes a label of the stream, if it is a text, number or
 * boolean; the time is the first of opts.time_field, "_time", "timestamp", "@timestamp", "time", "ts"
 * that is there: RFC 3339, or Unix seconds, milliseconds, microseconds or nanoseconds as a number;
 * else now. Names of members of members are joined by a dot.
 *
 * A line that is not a JSON object is refused and counted; the others go on.
 *
 * Any thread.
 */
#pragma once
#include "common/base/jsonval.h"
#include "ingester/door/log_builder.h"

#define JSON_LINES_MAX_DEPTH 32
#define JSON_LINES_MAX_LABELS 64

struct json_lines_opts {
    struct slice stream_fields; /* names, separated by commas */
    struct slice time_field;    /* empty: as above */
    struct slice job;           /* label job of streams without a label of their own; empty: none */
};

/* A document as a line: what stream it is in, and its time. index: label "index" (Elasticsearch);
 * empty: none. */
ORR_CHECKED struct err *json_lines_add(struct log_builder *b, const struct json_lines_opts *opts,
                                       struct slice index, struct slice line, bool *ret_ok);
ORR_CHECKED struct err *json_lines_decode(struct log_builder *b, struct slice body,
                                          const struct json_lines_opts *opts);
/* Unix time in whatever unit its size says. False: not a time. */
bool json_lines_time(struct jsonval v, int64_t *ret_ns);
/* A text, number or boolean as text, in the arena; ptr NULL: v is none. */
struct slice json_lines_text(struct arena *a, struct jsonval v);
