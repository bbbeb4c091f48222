/*
 * Influx line protocol over HTTP, for telegraf and what else writes to InfluxDB:
 *
 *   POST /write, /api/v2/write, /influx/write, /influx/api/v2/write,
 *        /api/v1/push/influx/write (Mimir's), /api/v1/push/influx/api/v2/write
 *        [?precision=ns|n|us|u|ms|s|m|h][&extra_label=name=value]       db, org, bucket, rp: not used
 *   GET  …/ping, /ping      204
 *   GET, POST …/query, /query   q=CREATE DATABASE and SHOW DATABASES, which telegraf asks; the rest
 *        is refused: data are asked for with PromQL
 *
 * Mapping, which is Mimir's but for its internal label (VictoriaMetrics keeps "value" as a suffix):
 *   each numeric field is a series  measurement_field{tag="value"}
 *   a field named "value"           measurement{tag="value"}
 *   names                           plain_name.h; a tag __name__ is left out
 *   true, false                     1, 0
 *   texts                           left out, and counted
 *   no time stamp                   time of arrival
 *
 * Answers: 204; {"error": …} for the paths of 1.x, {"code": …, "message": …} for those of 2.x.
 * Points that cannot be read are refused with 400 and said where, the rest is stored.
 *
 * Owner: the request's loop; the decoder, any one.
 */
#pragma once
#include "ingester/door/line_request.h"

/* As it comes over TCP or UDP, or (q) in a request. */
struct influx_write {
    struct line_request *q; /* NULL: the body of the push */
    int64_t unit_ns;
    /* Filled by the decoder when not NULL. */
    struct influx_write_result *result;
};
struct influx_write_result {
    uint64_t points, bad, strings; /* strings: fields left out */
    size_t bad_line;               /* the first */
    const char *bad_why;
};
/* push_decode_fn; arg is a struct influx_write. */
struct err *influx_write_decode(struct push_builder *b, const void *arg);

void influx_write_routes(struct http_server *s, struct door *d);
