/*
 * What OTLP answers, in protobuf or JSON.
 *
 *   ExportMetricsServiceResponse   1 partial_success: 1 rejected_data_points  2 error_message
 *   ExportLogsServiceResponse      1 partial_success: 1 rejected_log_records  2 error_message
 *   ExportTraceServiceResponse     1 partial_success: 1 rejected_spans  2 error_message
 *   google.rpc.Status              1 code  2 message
 *
 * Any thread.
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/err.h"

/* rejected 0: full success, an empty message. */
void otlp_reply_response(struct buf *out, bool is_json, uint64_t rejected, const char *text);
void otlp_reply_logs_response(struct buf *out, bool is_json, uint64_t rejected, const char *text);
void otlp_reply_traces_response(struct buf *out, bool is_json, uint64_t rejected, const char *text);
/* The gRPC code that stands for e's. */
void otlp_reply_status(struct buf *out, bool is_json, const struct err *e);
/* The HTTP status: 400 for what cannot be read, 500 for a temporality that is not taken (as Prometheus
 * answers), 429 and 503 for what may be tried again. */
int otlp_reply_http_status(const struct err *e);
