#include "common/model/otlp_value.h"
#include "ingester/door/otlp_proto_internal.h"

static bool parse_value(struct wire_decoder *d, struct slice m, unsigned depth,
                        struct otlp_value *ret);

static bool parse_key_value(struct wire_decoder *d, struct slice m, unsigned depth,
                            struct otlp_member *ret)
{
    struct fields f = fields_of(m);
    bool has_value = false;

    *ret = (struct otlp_member){.key = SLICE_EMPTY};
    while (next_field(&f)) {
        switch (f.tag) {
        case TAG(1, RW_BYTES):
            ret->key = bytes(&f);
            break;
        case TAG(2, RW_BYTES): {
            struct slice value = bytes(&f);

            if (has_value)
                return bad(d, "KeyValue: its value comes twice") != NULL;
            has_value = true;
            if (f.p && !parse_value(d, value, depth, &ret->value))
                return false;
            break;
        }
        default:
            other(d, &f, N(1) | N(2), "KeyValue: a field with the wire type of another");
        }
    }
    return end_of(d, &f, "KeyValue: malformed");
}

static bool parse_members(struct wire_decoder *d, struct slice m, unsigned depth,
                          struct otlp_value *ret)
{
    bool is_map = ret->kind == OTLP_VALUE_MAP;
    struct fields f = fields_of(m);
    size_t n = count(m, TAG(1, RW_BYTES));

    ret->n = 0;
    if (depth >= OTLP_MAX_DEPTH)
        return bad(d, "AnyValue: too deep") != NULL;
    if (!(ret->members = array(d, n, sizeof(*ret->members))))
        return false;
    while (next_field(&f)) {
        struct slice item;

        if (f.tag != TAG(1, RW_BYTES)) {
            other(d, &f, N(1), "AnyValue: a field with the wire type of another");
            continue;
        }
        item = bytes(&f);
        if (!f.p)
            break;
        if (is_map ? !parse_key_value(d, item, depth + 1, &ret->members[ret->n])
                   : !parse_value(d, item, depth + 1, &ret->members[ret->n].value))
            return false;
        ret->n++;
    }
    return end_of(d, &f, "AnyValue: malformed");
}

static bool parse_value(struct wire_decoder *d, struct slice m, unsigned depth,
                        struct otlp_value *ret)
{
    struct fields f = fields_of(m);

    *ret = (struct otlp_value){.kind = OTLP_VALUE_EMPTY};
    while (next_field(&f)) {
        switch (f.tag) {
        case TAG(1, RW_BYTES):
        case TAG(7, RW_BYTES):
            ret->kind = f.tag == TAG(1, RW_BYTES) ? OTLP_VALUE_TEXT : OTLP_VALUE_BYTES;
            ret->text = bytes(&f);
            break;
        case TAG(2, RW_VARINT):
            ret->kind = OTLP_VALUE_BOOL;
            ret->b = varint(&f) != 0;
            break;
        case TAG(3, RW_VARINT):
            ret->kind = OTLP_VALUE_INT;
            ret->i = (int64_t)varint(&f);
            break;
        case TAG(4, RW_FIXED64):
            ret->kind = OTLP_VALUE_DOUBLE;
            ret->d = f64(&f);
            break;
        case TAG(5, RW_BYTES):
        case TAG(6, RW_BYTES): {
            struct slice members = bytes(&f);

            if (ret->kind == OTLP_VALUE_LIST || ret->kind == OTLP_VALUE_MAP)
                return bad(d, "AnyValue: a list or map comes twice") != NULL;
            ret->kind = f.tag == TAG(5, RW_BYTES) ? OTLP_VALUE_LIST : OTLP_VALUE_MAP;
            if (f.p && !parse_members(d, members, depth, ret))
                return false;
            break;
        }
        default:
            other(d, &f, N(1) | N(2) | N(3) | N(4) | N(5) | N(6) | N(7),
                  "AnyValue: a field with the wire type of another");
        }
    }
    return end_of(d, &f, "AnyValue: malformed");
}

bool otlp_proto_attrs_room(struct wire_decoder *d, size_t n, struct attrs *ret)
{
    ret->n = 0;
    return !n || (ret->ptr = array(d, n, sizeof(*ret->ptr))) != NULL;
}

/* A KeyValue whose value is a text, as encoders write it; false: anything else. */
static bool is_plain(struct slice m, struct label *ret)
{
    const uint8_t *p = m.ptr, *end = m.ptr + m.len;
    uint32_t len;

    if (p == end || *p != TAG(1, RW_BYTES) || !(p = rw_wire_bytes(p + 1, end, &ret->name)))
        return false;
    if (p == end || *p != TAG(2, RW_BYTES) || !(p = rw_wire_u32(p + 1, end, &len)) ||
        len != (size_t)(end - p) || p == end || *p != TAG(1, RW_BYTES))
        return false;
    return rw_wire_bytes(p + 1, end, &ret->value) == end;
}

bool otlp_proto_attr(struct wire_decoder *d, struct fields *f, struct attrs *to)
{
    struct slice m = bytes(f);
    struct otlp_member kv;

    if (!f->p)
        return true; /* the caller's end_of() says so */
    if (ORR_LIKELY(is_plain(m, &to->ptr[to->n]))) {
        to->n++;
        return true;
    }
    if (!parse_key_value(d, m, 0, &kv))
        return false;
    to->ptr[to->n++] = (struct label){kv.key, otlp_value_text(d->a, &kv.value)};
    return true;
}

bool otlp_proto_value(struct wire_decoder *d, struct slice m, struct otlp_value *ret)
{
    return parse_value(d, m, 0, ret);
}

bool otlp_proto_member(struct wire_decoder *d, struct slice m, struct otlp_member *ret)
{
    return parse_key_value(d, m, 0, ret);
}

bool otlp_proto_members_room(struct wire_decoder *d, struct slice m, uint32_t tag,
                             struct otlp_member **ret)
{
    size_t n = count(m, tag);

    *ret = NULL;
    return !n || (*ret = array(d, n, sizeof(**ret))) != NULL;
}
