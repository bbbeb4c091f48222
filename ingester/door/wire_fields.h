/*
 * How the protobuf decoders of this directory walk over messages: field by field, where they lie (rw_wire.h), with arrays from
 * an arena that a request may fill only so far.
 *
 * A parser gives false when it has told the decoder why; a malformed byte makes fields.p NULL,
 * which ends the walk, and end_of() tells it.
 */
#pragma once
#include "common/base/arena_room.h"
#include "common/base/err.h"
#include "ingester/door/rw_wire.h"

#define TAG(number, type) ((uint32_t)(number) << 3 | (uint32_t)(type))

/* A request under way. */
struct wire_decoder {
    struct arena *a;
    size_t max_bytes;  /* that a may have handed out */
    const char *error; /* a constant; the first stays */
    bool is_over;
    uint64_t n_points; /* of metrics */
};

static inline const uint8_t *bad(struct wire_decoder *d, const char *what)
{
    if (!d->error)
        d->error = what;
    return NULL;
}

/* NULL when the request takes more than it may. */
static inline void *array(struct wire_decoder *d, size_t n, size_t each)
{
    if (n > d->max_bytes / each || arena_used(d->a) + n * each > d->max_bytes ||
        !arena_room(d->a, n * each)) {
        d->is_over = true;
        return NULL;
    }
    return arena_zalloc(d->a, n * each);
}

/* 16 bytes of the 8 that some clients send; what is longer or shorter stays as it is. */
static inline struct slice whole_trace_id(struct wire_decoder *d, struct slice id)
{
    uint8_t *whole;

    if (id.len != 8 || !(whole = array(d, 16, 1)))
        return id;
    memcpy(whole + 8, id.ptr, 8);
    return slice_of(whole, 16);
}

/* ---- fields ---- */

/* Goes over the fields of a message. */
struct fields {
    const uint8_t *p, *end;
    uint32_t tag;
};

static inline struct fields fields_of(struct slice m)
{
    return (struct fields){m.ptr, m.ptr + m.len, 0};
}

/* False at the end and on malformed bytes, which end_of() tells apart. */
static inline bool next_field(struct fields *f)
{
    return f->p && f->p < f->end && (f->p = rw_wire_tag(f->p, f->end, &f->tag)) != NULL;
}

static inline void skip(struct fields *f)
{
    f->p = rw_wire_skip(f->p, f->end, f->tag);
}

static inline struct slice bytes(struct fields *f)
{
    struct slice s = SLICE_EMPTY;

    f->p = rw_wire_bytes(f->p, f->end, &s);
    return s;
}

static inline double f64(struct fields *f)
{
    double v = 0;

    f->p = rw_wire_f64(f->p, f->end, &v);
    return v;
}

static inline uint64_t fixed64(struct fields *f)
{
    uint64_t v = 0;

    if (f->end - f->p < 8) {
        f->p = NULL;
        return 0;
    }
    memcpy(&v, f->p, 8);
    f->p += 8;
    return v;
}

static inline uint32_t fixed32(struct fields *f)
{
    uint32_t v = 0;

    if (f->end - f->p < 4) {
        f->p = NULL;
        return 0;
    }
    memcpy(&v, f->p, 4);
    f->p += 4;
    return v;
}

static inline uint64_t varint(struct fields *f)
{
    uint64_t v = 0;

    f->p = rw_wire_u64(f->p, f->end, &v);
    return v;
}

/* Of a field that is not ours: refused if its number is (by what known says, a bit per number),
 * else stepped over. */
static inline void other(struct wire_decoder *d, struct fields *f, uint32_t known, const char *what)
{
    uint32_t number = f->tag >> 3;

    if (number < 32 && (known >> number & 1))
        f->p = bad(d, what);
    else
        skip(f);
}
#define N(number) (1u << (number))

static inline bool end_of(struct wire_decoder *d, const struct fields *f, const char *what)
{
    if (f->p)
        return true;
    (void)bad(d, what);
    return false;
}

/* How often a field with this tag is there. */
static inline size_t count(struct slice m, uint32_t tag)
{
    struct fields f = fields_of(m);
    size_t n = 0;

    while (next_field(&f)) {
        n += f.tag == tag;
        skip(&f);
    }
    return n;
}

/* Why the decoder gave up. factor: how often the n bytes may be held. */
ORR_CHECKED static inline struct err *wire_decoder_err(const struct wire_decoder *d, size_t n,
                                                       unsigned factor)
{
    if (d->is_over)
        return err_new(ERR_LIMIT, "proto: %zu bytes that take more than %u times their room", n,
                       factor);
    return err_new(ERR_INVALID, "proto: %s", d->error ? d->error : "malformed");
}
