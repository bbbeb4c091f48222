/*
 * Import of what targets expose:
 *
 *   POST /api/v1/import/prometheus[?extra_label=name=value][&timestamp=MS]
 *   POST, PUT /api/v1/import/prometheus/metrics/job/JOB[/LABEL/VALUE]...   as the Pushgateway takes
 *        it: the path's labels are extra labels; LABEL@base64: the value in URL-safe base64
 *
 *   Content-Type  application/openmetrics-text                        OpenMetrics 1.0
 *                 application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;
 *                   encoding=delimited                                family_wire.h
 *                 text/plain, application/x-www-form-urlencoded (what curl says), none: text 0.0.4
 *                 anything else: 415
 *   Content-Encoding  gzip, deflate, zstd, snappy
 *
 *   204 all is durable; 400 and the rest as for remote write (remote_write.h)
 *
 * Samples without a time get `timestamp`, or the time of arrival; exemplars without one that of
 * their sample. HELP, TYPE and UNIT become metadata. A text that cannot be read is refused whole.
 *
 * Lines ..._created of OpenMetrics are series like any other, unless the tenant's
 * created_timestamp_zero_ingestion or start_timestamp_storage is on: then they say when their series
 * began (expo_created.h), as the protobuf's created_timestamp always does.
 *
 * Owner: the request's loop.
 */
#pragma once
#include "ingester/door/line_request.h"

enum expo_format { EXPO_TEXT, EXPO_OPENMETRICS, EXPO_PROTOBUF };

/* The format a Content-Type names. ERR_MEDIA_TYPE. */
ORR_CHECKED struct err *expo_import_format(struct slice content_type, enum expo_format *ret);

struct expo_import {
    struct line_request q;
    enum expo_format format;
    int64_t t_ms; /* of samples without a time; 0: now */
};
/* push_decode_fn; arg is a struct expo_import. */
struct err *expo_import_decode(struct push_builder *b, const void *arg);

/* Adds the routes. Before the server listens; d outlives it. */
void expo_import_routes(struct http_server *s, struct door *d);
