/*
 * What searches by tags are in TraceQL: conditions within braces.
 *
 *   key = value   an attribute of the span, its resource or one of its events, as a text or, where the value reads as one, as a number or
 *                 boolean (whoever asks has only texts). error, span.kind, otel.status_code and otel.scope.… are what the door
 *                 made of them: status, kind, the instrumentation's name and version
 *
 * Any thread.
 */
#pragma once
#include "common/base/buf.h"

/* Before each condition of an empty buffer's, and behind the last. */
void tagquery_also(struct buf *out);
void tagquery_end(struct buf *out);
/* A text of TraceQL with its quotes. */
void tagquery_text(struct buf *out, struct slice s);
/* The service of the span. */
void tagquery_service(struct buf *out, struct slice service);
/* operand, as TraceQL writes it, is a text that value stands in somewhere, in capitals or not; or it is that number or boolean. */
void tagquery_contains(struct buf *out, struct slice operand, struct slice value);
void tagquery_equals(struct buf *out, struct slice key, struct slice value);
/* It has such an attribute, or an event of that name. */
void tagquery_exists(struct buf *out, struct slice key);
void tagquery_name(struct buf *out, struct slice name);
void tagquery_duration(struct buf *out, const char *op, int64_t ns);
