/*
 * OpenTelemetry traces (OTLP 1.x), from both encodings into trace_builder.h.
 *
 *   Request        1 ResourceSpans*
 *   ResourceSpans  1 Resource  2 ScopeSpans*  3 schema URL     Resource  1 attributes*  2 dropped count
 *   ScopeSpans     1 Scope  2 Span*  3 schema URL
 *   Scope          1 name  2 version  3 attributes*  4 dropped count
 *   Span           1 trace id  2 span id  3 trace state  4 parent span id  5 name  6 kind  7 start  8 end  9 attributes*
 *                  10 dropped attributes  11 Event*  12 dropped events  13 Link*  14 dropped links  15 Status  16 flags
 *   Event          1 time  2 name  3 attributes*  4 dropped count
 *   Link           1 trace id  2 span id  3 trace state  4 attributes*  5 dropped count  6 flags
 *   Status         2 message  3 code
 *
 * and in JSON those names as otlp_json.h reads them: ids in hexadecimal, kind and code as numbers or names. All of it is kept. A link
 * whose ids are none is dropped and counted by the span as dropped. Numbers of a kind or code that do not exist are 0.
 *
 * Strictness and bounds: otlp_proto.h and otlp_json.h; arrays may take thirty-two times the bytes of the request and a mebibyte.
 *
 * Any thread.
 */
#pragma once
#include "common/base/jsonval.h"
#include "ingester/door/trace_builder.h"

#define OTLP_TRACES_BASE_BYTES (1u << 20)
#define OTLP_TRACES_FACTOR 32

/* ERR_INVALID: it cannot be read. ERR_LIMIT, ERR_TOO_LARGE. Lends from body. */
ORR_CHECKED struct err *otlp_traces_decode_proto(struct trace_builder *b, struct slice body);
/* Texts lie in the document, which the caller frees after trace_builder_end(); *ret_doc is NULL when this failed. */
ORR_CHECKED struct err *otlp_traces_decode_json(struct trace_builder *b, struct slice body,
                                                struct jsonval_doc **ret_doc);
