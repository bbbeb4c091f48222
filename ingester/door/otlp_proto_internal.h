/*
 * What the parts of the protobuf decoder share: otlp_proto.c (the request down to its metrics),
 * otlp_proto_point.c (data points and exemplars), otlp_proto_attr.c (attributes). Walking is wire_fields.h.
 */
#pragma once
#include "common/model/otlp_value.h"
#include "ingester/door/otlp.h"
#include "ingester/door/wire_fields.h"

/* ---- attributes ---- */

/* Under way: room for all that the message has. */
struct attrs {
    struct label *ptr;
    size_t n;
};
bool otlp_proto_attrs_room(struct wire_decoder *d, size_t n, struct attrs *ret);
/* The KeyValue that the field of f is. Malformed bytes of the field itself are left to end_of(). */
bool otlp_proto_attr(struct wire_decoder *d, struct fields *f, struct attrs *to);
static inline struct otlp_attrs attrs_of(const struct attrs *as)
{
    return (struct otlp_attrs){as->ptr, as->n};
}

/* An AnyValue, and a KeyValue, as they are. */
bool otlp_proto_value(struct wire_decoder *d, struct slice m, struct otlp_value *ret);
bool otlp_proto_member(struct wire_decoder *d, struct slice m, struct otlp_member *ret);
/* Room for as many KeyValues as m has fields with this tag; NULL for none. False when it was told why. */
bool otlp_proto_members_room(struct wire_decoder *d, struct slice m, uint32_t tag,
                             struct otlp_member **ret);

/* ---- points ---- */

/* ret is zeroed. */
bool otlp_proto_point(struct wire_decoder *d, struct slice m, enum otlp_kind kind,
                      struct otlp_point *ret);
