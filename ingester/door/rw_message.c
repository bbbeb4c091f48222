#include "ingester/door/rw_message.h"

#include <stddef.h>

#define SAMPLE_FIELDS                                                                              \
    {RW_TAG(1, RW_FIXED64), offsetof(struct rw_message_sample, v)},                                \
    {                                                                                              \
        RW_TAG(2, RW_VARINT), offsetof(struct rw_message_sample, t_ms)                             \
    }

const struct rw_message rw_message_sample_1 = {
    "Sample: a field with the wire type of another", "Sample: malformed", 2, {SAMPLE_FIELDS}};
const struct rw_message rw_message_sample_2 = {
    "Sample: a field with the wire type of another",
    "Sample: malformed",
    3,
    {SAMPLE_FIELDS, {RW_TAG(3, RW_VARINT), offsetof(struct rw_message_sample, start_ms)}}};

static const uint8_t *read_value(const uint8_t *p, const uint8_t *end, uint32_t tag, uint8_t *to)
{
    struct slice s;
    uint64_t u;
    double v;

    switch (tag & 7) {
    case RW_VARINT:
        if ((p = rw_wire_u64(p, end, &u)))
            memcpy(to, &u, sizeof(u));
        return p;
    case RW_FIXED64:
        if ((p = rw_wire_f64(p, end, &v)))
            memcpy(to, &v, sizeof(v));
        return p;
    default:
        if ((p = rw_wire_bytes(p, end, &s)))
            memcpy(to, &s, sizeof(s));
        return p;
    }
}

bool rw_message_read(const struct rw_message *m, struct slice bytes, void *to, const char **error)
{
    const uint8_t *p = bytes.ptr, *end = bytes.ptr + bytes.len;
    uint32_t tag, i;

    while (p && p < end) {
        if (!(p = rw_wire_tag(p, end, &tag)))
            break;
        for (i = 0; i < m->n && m->fields[i].tag >> 3 != tag >> 3; i++)
            ;
        if (i == m->n)
            p = rw_wire_skip(p, end, tag);
        else if (m->fields[i].tag == tag)
            p = read_value(p, end, tag, (uint8_t *)to + m->fields[i].offset);
        else
            p = rw_message_bad(error, m->misused);
    }
    return p || (rw_message_bad(error, m->malformed), false);
}
