/* Parts of a piece by themselves, each with texts of its own: what tells equal ones. For tracepiece_unite.c and common/traceblock. */
#pragma once
#include "common/traces/tracepiece.h"

void tracepiece_resource_bytes(struct tracepiece_encoder *e, const struct tracepiece_resource *r,
                               struct buf *out);
void tracepiece_scope_bytes(struct tracepiece_encoder *e, const struct tracepiece_scope *s,
                            struct buf *out);
/* With the numbers of its resource and scope. */
void tracepiece_span_bytes(struct tracepiece_encoder *e, const struct tracepiece_span *s,
                           struct buf *out);
/* An attribute, key and value. */
void tracepiece_member_bytes(struct tracepiece_encoder *e, const struct otlp_member *m,
                             struct buf *out);
/* Texts are lent from bytes, all else is the arena's. ERR_CORRUPT. */
ORR_CHECKED struct err *tracepiece_member_of(struct arena *a, struct slice bytes,
                                             struct otlp_member *ret);
