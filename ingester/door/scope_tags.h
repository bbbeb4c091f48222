/*
 * The instrumentation scope of spans whose protocol has none: in tags, as OpenTelemetry's exporters write it.
 *
 *   otel.scope.name, otel.scope.version; before those otel.library.name, otel.library.version
 *
 * Owner: one decoder.
 */
#pragma once
#include "common/base/map.h"
#include "ingester/door/trace_builder.h"

struct scope_tags {
    struct map numbers; /* name and version -> number + 1 */
    struct buf key;
};

void scope_tags_done(struct scope_tags *t); /* zeroed is new */
/* Whether the tag is one of those, and is in s now. */
bool scope_tags_take(struct tracepiece_scope *s, struct slice key, struct slice value);
/* The number that equal ones share. */
uint32_t scope_tags_number(struct scope_tags *t, struct trace_builder *b,
                           const struct tracepiece_scope *s);
