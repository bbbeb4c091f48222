#include "ingester/door/rw2_cursor.h"

#include <stddef.h>

#include "ingester/door/rw_message.h"

#define TAG_SYMBOL RW_TAG(4, RW_BYTES)
#define TAG_SERIES RW_TAG(5, RW_BYTES)

/* One more element; the array lies in the arena and is used again for the next series. */
#define GROW(c, ptr, n, cap)                                                                       \
    ((n) == (cap) ? (void)((ptr) = arena_grow((c)->arena, (ptr), (cap) * sizeof(*(ptr)),           \
                                              ORR_MAX(2 * (cap), (size_t)8) * sizeof(*(ptr))),     \
                           (cap) = ORR_MAX(2 * (cap), (size_t)8))                                  \
                  : (void)0)

/* ---- references ---- */

static void add_ref(struct rw2_cursor *c, struct rw2_refs *r, uint64_t ref)
{
    if (r->n < (size_t)2 * RW2_CURSOR_MAX_LABELS) {
        GROW(c, r->ptr, r->n, r->cap);
        r->ptr[r->n] = (uint32_t)ref;
    }
    r->n++;
}

/* Packed, or one. */
static const uint8_t *read_refs(struct rw2_cursor *c, struct rw2_refs *r, const uint8_t *p,
                                const uint8_t *end, uint32_t tag)
{
    const uint8_t *q, *stop;
    struct slice m;
    uint64_t u = 0;

    if (tag == RW_TAG(1, RW_VARINT)) {
        if ((p = rw_wire_u64(p, end, &u)))
            add_ref(c, r, u);
        return p;
    }
    if (!(p = rw_wire_bytes(p, end, &m)))
        return NULL;
    for (q = m.ptr, stop = m.ptr + m.len; q < stop;) {
        if (ORR_LIKELY(*q < 0x80))
            u = *q++;
        else if (!(q = rw_wire_u64(q, stop, &u)))
            return NULL;
        add_ref(c, r, u);
    }
    return p;
}

/* ---- what a series holds ---- */

static bool parse_sample(struct rw2_cursor *c, struct slice m, struct sample *ret, int64_t *created)
{
    struct rw_message_sample raw = {0};
    bool is_ok;

    *created = 0;
    if (ORR_LIKELY(rw_message_plain_sample(m, ret)))
        return true;
    is_ok = rw_message_read(&rw_message_sample_2, m, &raw, &c->error);
    *ret = (struct sample){(int64_t)raw.t_ms, raw.v};
    *created = (int64_t)raw.start_ms;
    return is_ok;
}

static bool parse_exemplar(struct rw2_cursor *c, struct slice m, struct rw2_exemplar *ret)
{
    const uint8_t *p = m.ptr, *end = m.ptr + m.len;
    uint32_t tag;
    uint64_t t = 0;

    *ret = (struct rw2_exemplar){.refs = {ret->refs.ptr, 0, ret->refs.cap}};
    while (p && p < end) {
        if (!(p = rw_wire_tag(p, end, &tag)))
            break;
        if (tag == RW_TAG(1, RW_BYTES) || tag == RW_TAG(1, RW_VARINT))
            p = read_refs(c, &ret->refs, p, end, tag);
        else if (tag == RW_TAG(2, RW_FIXED64))
            p = rw_wire_f64(p, end, &ret->v);
        else if (tag == RW_TAG(3, RW_VARINT))
            p = rw_wire_u64(p, end, &t);
        else if (tag >> 3 <= 3)
            p = rw_message_bad(&c->error, "Exemplar: a field with the wire type of another");
        else
            p = rw_wire_skip(p, end, tag);
    }
    ret->t_ms = (int64_t)t;
    return p || (rw_message_bad(&c->error, "Exemplar: malformed"), false);
}

struct raw_metadata {
    uint64_t type, help_ref, unit_ref;
};

static bool parse_metadata(struct rw2_cursor *c, struct slice m, struct rw2_series *s)
{
    static const struct rw_message message = {
        "Metadata: a field with the wire type of another",
        "Metadata: malformed",
        3,
        {{RW_TAG(1, RW_VARINT), offsetof(struct raw_metadata, type)},
         {RW_TAG(3, RW_VARINT), offsetof(struct raw_metadata, help_ref)},
         {RW_TAG(4, RW_VARINT), offsetof(struct raw_metadata, unit_ref)}}};
    struct raw_metadata raw = {s->type, s->help_ref, s->unit_ref};
    bool is_ok = rw_message_read(&message, m, &raw, &c->error);

    s->type = (uint32_t)raw.type;
    s->help_ref = (uint32_t)raw.help_ref;
    s->unit_ref = (uint32_t)raw.unit_ref;
    return is_ok;
}

static bool add_sample(struct rw2_cursor *c, struct slice m)
{
    struct rw2_series *s = &c->series;
    size_t cap = s->samples_cap;

    GROW(c, s->created, s->n_samples, cap);
    GROW(c, s->samples, s->n_samples, s->samples_cap);
    return parse_sample(c, m, &s->samples[s->n_samples], &s->created[s->n_samples]) &&
           (s->n_samples++, true);
}

static bool add_exemplar(struct rw2_cursor *c, struct slice m)
{
    struct rw2_series *s = &c->series;
    size_t before = s->exemplars_cap;

    GROW(c, s->exemplars, s->n_exemplars, s->exemplars_cap);
    if (s->exemplars_cap > before)
        memset(s->exemplars + before, 0, (s->exemplars_cap - before) * sizeof(*s->exemplars));
    return parse_exemplar(c, m, &s->exemplars[s->n_exemplars]) && (s->n_exemplars++, true);
}

/* A field that is a message. */
static bool series_message(struct rw2_cursor *c, uint32_t tag, struct slice m)
{
    struct rw2_series *s = &c->series;

    switch (tag) {
    case RW_TAG(2, RW_BYTES):
        return add_sample(c, m);
    case RW_TAG(3, RW_BYTES):
        GROW(c, s->histograms, s->n_histograms, s->histograms_cap);
        s->histograms[s->n_histograms++] = m;
        return true;
    case RW_TAG(4, RW_BYTES):
        return add_exemplar(c, m);
    default:
        return parse_metadata(c, m, s);
    }
}

static bool parse_series(struct rw2_cursor *c, struct slice m)
{
    const uint8_t *p = m.ptr, *end = m.ptr + m.len;
    struct rw2_series *s = &c->series;
    struct slice inner;
    uint32_t tag;
    uint64_t u;

    s->refs.n = s->n_samples = s->n_histograms = s->n_exemplars = 0;
    s->type = s->help_ref = s->unit_ref = 0;
    s->created_ms = 0;
    while (p && p < end) {
        if (!(p = rw_wire_tag(p, end, &tag)))
            break;
        if (tag == RW_TAG(1, RW_BYTES) || tag == RW_TAG(1, RW_VARINT)) {
            p = read_refs(c, &s->refs, p, end, tag);
        } else if ((tag & 7) == RW_BYTES && tag >> 3 <= 5) {
            if ((p = rw_wire_bytes(p, end, &inner)) && !series_message(c, tag, inner))
                p = NULL;
        } else if (tag == RW_TAG(6, RW_VARINT)) {
            if ((p = rw_wire_u64(p, end, &u)))
                s->created_ms = (int64_t)u;
        } else if (tag >> 3 <= 6) {
            p = rw_message_bad(&c->error, "TimeSeries: a field with the wire type of another");
        } else {
            p = rw_wire_skip(p, end, tag);
        }
    }
    return p || (rw_message_bad(&c->error, "TimeSeries: malformed"), false);
}

/* ---- the request ---- */

/* The next field with this tag; what is not to be there is an error. NULL at the end, too. */
static const uint8_t *next_field(struct rw2_cursor *c, const uint8_t *p, uint32_t want,
                                 struct slice *ret)
{
    uint32_t tag;

    while (p && p < c->end) {
        if (!(p = rw_wire_tag(p, c->end, &tag)))
            break;
        if (tag == want)
            return (p = rw_wire_bytes(p, c->end, ret))
                       ? p
                       : rw_message_bad(&c->error, "Request: malformed");
        if (tag != TAG_SYMBOL && tag != TAG_SERIES && (tag >> 3 == 4 || tag >> 3 == 5))
            return rw_message_bad(&c->error, "Request: a field with the wire type of another");
        p = rw_wire_skip(p, c->end, tag);
    }
    return p ? NULL : rw_message_bad(&c->error, "Request: malformed");
}

void rw2_cursor_init(struct rw2_cursor *c, struct arena *a, struct slice body)
{
    const uint8_t *p = body.ptr;
    size_t cap = 0;
    struct slice s;

    *c = (struct rw2_cursor){.arena = a, .p = body.ptr, .end = body.ptr + body.len};
    while ((p = next_field(c, p, TAG_SYMBOL, &s))) {
        GROW(c, c->symbols, c->n_symbols, cap);
        c->symbols[c->n_symbols++] = s;
    }
}

bool rw2_cursor_next(struct rw2_cursor *c)
{
    struct slice m;

    if (c->error || !(c->p = next_field(c, c->p, TAG_SERIES, &m)))
        return false;
    return parse_series(c, m);
}
