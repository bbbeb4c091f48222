/*
 * Reads a message of remote write that holds numbers and texts only, field by field, into a struct: what
 * the cursors of 1.0 and 2.0 (rw_cursor.h, rw2_cursor.h) have in common. Strictness is that of rw_cursor.h.
 * Within this directory only.
 *
 *     static const struct rw_message label = {"Label: ...", "Label: malformed", 2,
 *                                             {{RW_TAG(1, RW_BYTES), offsetof(struct label, name)}, ...}};
 *     rw_message_read(&label, bytes, &l, &error)
 *
 * The struct's members are a uint64_t for RW_VARINT, a double for RW_FIXED64, a struct slice for
 * RW_BYTES; those whose field does not come stay as they are. Any thread.
 */
#pragma once
#include "common/model/sample.h"
#include "ingester/door/rw_wire.h"

/* Tag of a field: number << 3 | wire type. */
#define RW_TAG(number, type) ((uint32_t)(number) << 3 | (uint32_t)(type))

struct rw_message_field {
    uint32_t tag, offset;
};
struct rw_message {
    const char *misused;   /* said of a known field with the wire type of another */
    const char *malformed; /* and of the rest */
    uint32_t n;
    struct rw_message_field fields[4];
};
/* False when the bytes are wrong; then *error says how, unless it said something before. */
bool rw_message_read(const struct rw_message *m, struct slice bytes, void *to, const char **error);

/* Says what if nothing was said before; NULL. */
static inline const uint8_t *rw_message_bad(const char **error, const char *what)
{
    if (!*error)
        *error = what;
    return NULL;
}

/* A sample of either version; start_ms stays as it is in 1.0, which has no such field. */
struct rw_message_sample {
    double v;
    uint64_t t_ms, start_ms;
};
extern const struct rw_message rw_message_sample_1, rw_message_sample_2;

/* What clients send: a value and a time that both differ from 0, in this order, and nothing else. */
static inline bool rw_message_plain_sample(struct slice bytes, struct sample *ret)
{
    const uint8_t *p = bytes.ptr, *end = bytes.ptr + bytes.len;
    uint64_t t = 0;

    if (end - p < 11 || p[0] != RW_TAG(1, RW_FIXED64) || p[9] != RW_TAG(2, RW_VARINT))
        return false;
    memcpy(&ret->v, p + 1, 8);
    if (rw_wire_u64(p + 10, end, &t) != end)
        return false;
    ret->t_ms = (int64_t)t;
    return true;
}
