/*
 * Jaeger's spans in Thrift (jaeger.thrift), binary protocol: a struct Batch by itself.
 *
 *   Batch    1 Process  2 list<Span>  3 i64 number  4 stats
 *   Process  1 service name  2 list<Tag>
 *   Span     1 i64 trace id, low  2 high  3 i64 span id  4 i64 parent, 0: none  5 operation name  6 list<SpanRef>  7 i32 flags
 *            8 i64 start, us  9 i64 duration, us  10 list<Tag>  11 list<Log>
 *   SpanRef  1 i32 type (0 CHILD_OF, 1 FOLLOWS_FROM)  2 i64 trace id, low  3 high  4 i64 span id
 *   Log      1 i64 time, us  2 list<Tag>
 *   Tag      1 key  2 i32 type (0 text, 1 double, 2 bool, 3 i64, 4 binary)  3 text  4 double  5 bool  6 i64  7 binary
 *
 *   struct: fields up to a byte 0; each: u8 type, u16 number, value      list: u8 type, i32 n, values      all big endian
 *   bool u8, double u64, i32, i64, text and binary: i32 length, bytes
 *
 * What becomes of a span: jaeger_span.h. Fields that are not ours are stepped over, JAEGER_THRIFT_MAX_DEPTH levels deep; one of ours with
 * another type is an error. A list has room only for what can still follow, so arrays take at most six times the bytes of the request.
 *
 * Any thread.
 */
#pragma once
#include "ingester/door/trace_builder.h"

#define JAEGER_THRIFT_MAX_DEPTH 16

/* ERR_INVALID: it cannot be read. Lends from body. */
ORR_CHECKED struct err *jaeger_thrift_decode(struct trace_builder *b, struct slice body);
