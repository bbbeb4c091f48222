/*
 * ExportMetricsServiceRequest (OTLP metrics) in JSON, into struct otlp_metrics: protobuf's JSON
 * mapping with OTLP's own rules.
 *
 *   names      as in {"timeUnixNano": …}, and in_underscores too; unknown ones are stepped over,
 *              null is "not there"; of a name that comes twice the last counts
 *   integers   a number or a string; doubles too, strings "NaN", "Infinity", "-Infinity" among them
 *   enums      their number or their name
 *   traceId, spanId   hexadecimal; bytesValue   base64
 *
 * Bounds: OTLP_JSON_MAX_BYTES of text (simdjson touches up to eight times the text), and of arrays
 * as much as otlp_proto.h allows.
 *
 * Any thread.
 */
#pragma once
#include "common/base/jsonval.h"
#include "ingester/door/otlp.h"

#define OTLP_JSON_MAX_BYTES (16u << 20)

/* ERR_INVALID says where ("resourceMetrics.resource.attributes: not a list"), ERR_TOO_LARGE,
 * ERR_LIMIT. Texts of *ret lie in the document or in a; the caller ends *ret_doc when done with
 * them. */
ORR_CHECKED struct err *otlp_json_decode(struct arena *a, struct slice body,
                                         struct jsonval_doc **ret_doc, struct otlp_metrics *ret);
