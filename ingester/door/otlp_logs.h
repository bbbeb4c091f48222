/*
 * OpenTelemetry logs (OTLP 1.x), from both encodings into log_builder.h.
 *
 *   Request       1 ResourceLogs*
 *   ResourceLogs  1 Resource  2 ScopeLogs*     Resource  1 attributes*  2 dropped count
 *   ScopeLogs     1 Scope  2 LogRecord*
 *   Scope         1 name  2 version  3 attributes*  4 dropped count
 *   LogRecord     1 time  2 severity number  3 severity text  5 body  6 attributes*
 *                 7 dropped count  8 flags  9 trace id  10 span id  11 observed time  12 event name
 *
 * and in JSON those names as otlp_json.h reads them. What becomes of them is Loki's rule:
 *
 *   labels of the stream   the attributes of the resource that the tenant's rule
 *                          default_resource_attributes_as_index_labels names
 *   the line               the body as text (otlp_value.h)
 *   the time               time, else observed time, else now
 *   structured metadata    all other attributes of resource, scope and record;
 *                          scope_name, scope_version, severity_number, severity_text, trace_id,
 *                          span_id (hexadecimal), flags, observed_timestamp (ns, where there is
 *                          a time beside it), [resource_|scope_]dropped_attributes_count: where
 *                          they are not empty or 0
 *
 * A record with an event name is an event (common/model/event.h): its stream has that name alone as a label, what would be labels are
 * structured metadata.
 *
 * Names have _ for what a label's name may not have; attributes that are maps become one pair per
 * member, name_member.
 *
 * Strictness and bounds: otlp_proto.h and otlp_json.h; arrays may take sixteen times the bytes of
 * the request and a mebibyte.
 *
 * Any thread.
 */
#pragma once
#include "common/base/jsonval.h"
#include "ingester/door/log_builder.h"

/* ERR_INVALID: it cannot be read. ERR_LIMIT, ERR_TOO_LARGE. Lends from body. */
ORR_CHECKED struct err *otlp_logs_decode_proto(struct log_builder *b, struct slice body);
/* Texts lie in the document: the caller has the batch keep *ret_doc (NULL when this
 * failed). */
ORR_CHECKED struct err *otlp_logs_decode_json(struct log_builder *b, struct slice body,
                                              struct jsonval_doc **ret_doc);
