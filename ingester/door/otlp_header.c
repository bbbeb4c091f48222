#include "ingester/door/otlp_header.h"

/* False when it was told why; malformed bytes of the field itself are left to end_of(). */
static bool attribute(struct wire_decoder *d, struct fields *f, struct otlp_header *to)
{
    struct slice m = bytes(f);

    return !f->p || otlp_proto_member(d, m, &to->members[to->n++]);
}

bool otlp_header_proto_resource(struct wire_decoder *d, struct slice m, struct otlp_header *ret)
{
    struct fields f = fields_of(m);

    if (!otlp_proto_members_room(d, m, TAG(1, RW_BYTES), &ret->members))
        return false;
    while (next_field(&f)) {
        if (f.tag == TAG(1, RW_BYTES)) {
            if (!attribute(d, &f, ret))
                return false;
        } else if (f.tag == TAG(2, RW_VARINT)) {
            ret->dropped = (uint32_t)varint(&f);
        } else {
            other(d, &f, N(1) | N(2), "Resource: a field with the wire type of another");
        }
    }
    return end_of(d, &f, "Resource: malformed");
}

bool otlp_header_proto_scope(struct wire_decoder *d, struct slice m, struct otlp_header *ret)
{
    struct fields f = fields_of(m);

    if (!otlp_proto_members_room(d, m, TAG(3, RW_BYTES), &ret->members))
        return false;
    while (next_field(&f)) {
        if (f.tag == TAG(1, RW_BYTES)) {
            ret->name = bytes(&f);
        } else if (f.tag == TAG(2, RW_BYTES)) {
            ret->version = bytes(&f);
        } else if (f.tag == TAG(3, RW_BYTES)) {
            if (!attribute(d, &f, ret))
                return false;
        } else if (f.tag == TAG(4, RW_VARINT)) {
            ret->dropped = (uint32_t)varint(&f);
        } else {
            other(d, &f, N(1) | N(2) | N(3) | N(4),
                  "InstrumentationScope: a field with the wire type of another");
        }
    }
    return end_of(d, &f, "InstrumentationScope: malformed");
}

/* What both have. */
static void described(struct otlp_json *j, struct slice key, struct jsonval m,
                      struct otlp_header *ret)
{
    if (otlp_json_is(key, "attributes"))
        ret->members = otlp_json_members(j, m, "attributes", &ret->n);
    else if (otlp_json_is(key, "droppedAttributesCount"))
        ret->dropped = otlp_json_u32(j, m, "droppedAttributesCount");
}

void otlp_header_json_resource(struct otlp_json *j, struct jsonval v, struct otlp_header *ret)
{
    struct jsonval_iter it = otlp_json_walk(j, v, "resource");
    struct jsonval m;
    struct slice key;

    while (otlp_json_next(&it, &key, &m))
        described(j, key, m, ret);
}

void otlp_header_json_scope(struct otlp_json *j, struct jsonval v, struct otlp_header *ret)
{
    struct jsonval_iter it = otlp_json_walk(j, v, "scope");
    struct jsonval m;
    struct slice key;

    while (otlp_json_next(&it, &key, &m))
        if (otlp_json_is(key, "name"))
            ret->name = otlp_json_text(j, m, "name");
        else if (otlp_json_is(key, "version"))
            ret->version = otlp_json_text(j, m, "version");
        else
            described(j, key, m, ret);
}

struct otlp_attrs otlp_header_labels(struct arena *a, const struct otlp_header *h)
{
    struct label *labels = arena_array(a, struct label, h->n);

    for (size_t i = 0; i < h->n; i++)
        labels[i] = (struct label){h->members[i].key, otlp_value_text(a, &h->members[i].value)};
    return (struct otlp_attrs){labels, h->n};
}
