/* Parts of a piece by themselves, each with texts of its own: what tells equal ones, for columns and common/traceblock. Any thread. */
#pragma once
#include "common/traces/tracepiece.h"

/* An attribute, key and value. */
void tracepiece_member_bytes(struct tracepiece_encoder *e, const struct otlp_member *m,
                             struct buf *out);
/* Texts are lent from bytes, all else is the arena's. ERR_CORRUPT. */
ORR_CHECKED struct err *tracepiece_member_of(struct arena *a, struct slice bytes,
                                             struct otlp_member *ret);
/* An order by what they say; 0: they are equal. Of spans all but ids, kind, times, resource and scope. */
int tracepiece_resource_cmp(const struct tracepiece_resource *x,
                            const struct tracepiece_resource *y);
int tracepiece_scope_cmp(const struct tracepiece_scope *x, const struct tracepiece_scope *y);
int tracepiece_span_cmp(const struct tracepiece_span *x, const struct tracepiece_span *y);
/* Of what is equal they are equal. */
uint64_t tracepiece_resource_hash(const struct tracepiece_resource *r);
uint64_t tracepiece_scope_hash(const struct tracepiece_scope *s);
uint64_t tracepiece_span_hash(const struct tracepiece_span *s); /* of id and kind */
