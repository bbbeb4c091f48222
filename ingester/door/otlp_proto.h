/*
 * ExportMetricsServiceRequest (OTLP metrics) in protobuf, into struct otlp_metrics: one walk that
 * counts and one that fills, no copy of texts, arrays in an arena.
 *
 *   Request         1 ResourceMetrics*
 *   ResourceMetrics 1 Resource  2 ScopeMetrics*  3 schema_url     Resource  1 attributes*
 *   ScopeMetrics    1 Scope  2 Metric*  3 schema_url
 *   Scope           1 name  2 version  3 attributes*
 *   Metric          1 name 2 description 3 unit 5 gauge 7 sum 9 histogram 10 exponential 11 summary
 *   Gauge … Summary 1 points*  2 temporality  3 is_monotonic
 *   a point         2 start  3 time; attributes 7 (number, summary), 9 (histogram), 1
 *                   (exponential); exemplars 5, 8, 11; flags 8, 10, 10, 8 (number, histogram,
 *                   exponential, summary)
 *     number        4 as_double  6 as_int
 *     histogram     4 count  5 sum  6 bucket_counts*  7 explicit_bounds*
 *     exponential   4 count  5 sum  6 scale  7 zero_count  8 positive  9 negative
 *     summary       4 count  5 sum  6 quantiles*
 *   Exemplar        2 time  3 as_double  4 span_id  5 trace_id  6 as_int  7 attributes*
 *   KeyValue        1 key  2 AnyValue: 1 text 2 bool 3 int 4 double 5 list 6 map 7 bytes
 *
 * Strictness is that of rw_cursor.h. Besides: a message that may be there once and is there twice
 * is refused (protobuf would merge them; no encoder writes that), and the arrays of a request may
 * take eight times its bytes and a mebibyte.
 *
 * Any thread.
 */
#pragma once
#include "ingester/door/otlp.h"

/* ERR_INVALID: malformed. ERR_LIMIT: too much of nothing. Lends from body. */
ORR_CHECKED struct err *otlp_proto_decode(struct arena *a, struct slice body,
                                          struct otlp_metrics *ret);
