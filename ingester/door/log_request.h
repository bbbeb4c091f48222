/*
 * The body of an HTTP request with log lines into log_builder.h, by its path and headers:
 *
 *   LOG_REQUEST_LOKI    POST /loki/api/v1/push   JSON: loki_json.h; else protobuf: loki_proto.h
 *   LOG_REQUEST_LEGACY  POST /api/prom/push      the same; JSON of the first version
 *   LOG_REQUEST_OTLP    POST /otlp/v1/logs       protobuf or JSON: otlp_logs.h
 *   LOG_REQUEST_LINES   JSON lines: json_lines.h (any Content-Type)
 *
 * Content-Encoding: none, gzip, deflate, zstd; "snappy" says nothing for Loki's two, as protobuf
 * there is in a snappy block in any case and JSON in none (Loki's clients rely on both).
 *
 * Any thread.
 */
#pragma once
#include "ingester/door/json_lines.h"
#include "ingester/door/log_builder.h"

enum log_request_kind {
    LOG_REQUEST_LOKI,
    LOG_REQUEST_LEGACY,
    LOG_REQUEST_OTLP,
    LOG_REQUEST_LINES,
};

struct log_request {
    enum log_request_kind kind;
    struct slice content_type, content_encoding; /* the headers; ptr NULL: not there */
    struct slice body;                           /* as sent */
    size_t max_body_bytes;                       /* decoded */
    struct json_lines_opts lines;
};

bool log_request_is_json(const struct log_request *q);
/* ERR_INVALID: it cannot be read. ERR_MEDIA_TYPE, ERR_TOO_LARGE, ERR_LIMIT. What it decodes lies in
 * the batch or is kept by it: the body is not needed any more. */
ORR_CHECKED struct err *log_request_decode(struct log_builder *b, const struct log_request *q);
