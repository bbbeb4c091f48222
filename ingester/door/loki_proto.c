#include "ingester/door/loki_proto.h"

#include "common/base/clock.h"
#include "ingester/door/log_labels.h"
#include "ingester/door/rw_wire.h"

#define TAG(number, type) ((uint32_t)(number) << 3 | (uint32_t)(type))
#define MAX_SECONDS (INT64_MAX / NS_PER_S)

struct decoder {
    struct log_builder *b;
    const char *bad; /* a constant */
    size_t body_bytes;
    struct label *pairs;
    size_t cap_pairs;
};

static bool fail(struct decoder *d, const char *what)
{
    if (!d->bad)
        d->bad = what;
    return false;
}

/* A field that is not read: refused if its number is one of ours (at most max), else stepped
 * over. */
static const uint8_t *other(const uint8_t *p, const uint8_t *end, uint32_t tag, uint32_t max)
{
    return tag >> 3 <= max ? NULL : rw_wire_skip(p, end, tag);
}

static bool parse_time(struct decoder *d, struct slice m, int64_t *ret)
{
    const uint8_t *p = m.ptr, *end = m.ptr + m.len;
    uint64_t s = 0, ns = 0;
    int64_t sum;
    uint32_t tag;

    while (p && p < end && (p = rw_wire_tag(p, end, &tag))) {
        if (tag == TAG(1, RW_VARINT))
            p = rw_wire_u64(p, end, &s);
        else if (tag == TAG(2, RW_VARINT))
            p = rw_wire_u64(p, end, &ns);
        else
            p = other(p, end, tag, 2);
    }
    if (!p)
        return fail(d, "Timestamp: malformed");
    if ((int64_t)s > MAX_SECONDS || (int64_t)s < -MAX_SECONDS ||
        __builtin_add_overflow((int64_t)s * NS_PER_S, (int64_t)(int32_t)ns, &sum))
        return fail(d, "Timestamp: out of range");
    *ret = sum;
    return true;
}

static bool parse_pair(struct decoder *d, struct slice m, struct label *ret)
{
    const uint8_t *p = m.ptr, *end = m.ptr + m.len;
    uint32_t tag;

    *ret = (struct label){SLICE_EMPTY, SLICE_EMPTY};
    while (p && p < end && (p = rw_wire_tag(p, end, &tag))) {
        if (tag == TAG(1, RW_BYTES))
            p = rw_wire_bytes(p, end, &ret->name);
        else if (tag == TAG(2, RW_BYTES))
            p = rw_wire_bytes(p, end, &ret->value);
        else
            p = other(p, end, tag, 2);
    }
    return p || fail(d, "LabelPair: malformed");
}

static bool add_pair(struct decoder *d, struct slice m, size_t *n)
{
    if (*n == d->cap_pairs) {
        size_t cap = d->cap_pairs ? 2 * d->cap_pairs : 16;

        d->pairs = arena_grow(log_builder_arena(d->b), d->pairs, d->cap_pairs * sizeof(*d->pairs),
                              cap * sizeof(*d->pairs));
        d->cap_pairs = cap;
    }
    return parse_pair(d, m, &d->pairs[(*n)++]);
}

static bool parse_entry(struct decoder *d, struct slice m, struct log_in *ret)
{
    const uint8_t *p = m.ptr, *end = m.ptr + m.len;
    struct slice s;
    uint32_t tag;

    *ret = (struct log_in){.line = SLICE_EMPTY};
    while (p && p < end && (p = rw_wire_tag(p, end, &tag))) {
        if (tag == TAG(1, RW_BYTES)) {
            if ((p = rw_wire_bytes(p, end, &s)) && !parse_time(d, s, &ret->t_ns))
                return false;
        } else if (tag == TAG(2, RW_BYTES)) {
            p = rw_wire_bytes(p, end, &ret->line);
        } else if (tag == TAG(3, RW_BYTES)) {
            if ((p = rw_wire_bytes(p, end, &s)) && !add_pair(d, s, &ret->n_metadata))
                return false;
        } else if (tag == TAG(4, RW_BYTES)) {
            p = rw_wire_skip(p, end, tag);
        } else {
            p = other(p, end, tag, 4);
        }
    }
    ret->metadata = d->pairs;
    return p || fail(d, "Entry: malformed");
}

/* The labels of a Stream message, and how many entries it has. */
static bool parse_head(struct decoder *d, struct slice m, struct slice *ret_labels,
                       size_t *ret_entries)
{
    const uint8_t *p = m.ptr, *end = m.ptr + m.len;
    struct slice s;
    uint32_t tag;

    *ret_labels = SLICE_EMPTY;
    *ret_entries = 0;
    while (p && p < end && (p = rw_wire_tag(p, end, &tag))) {
        if (tag == TAG(1, RW_BYTES)) {
            p = rw_wire_bytes(p, end, ret_labels);
        } else if (tag == TAG(2, RW_BYTES)) {
            (*ret_entries)++;
            p = rw_wire_bytes(p, end, &s);
        } else if (tag == TAG(3, RW_VARINT)) {
            p = rw_wire_skip(p, end, tag);
        } else {
            p = other(p, end, tag, 3);
        }
    }
    return p || fail(d, "Stream: malformed");
}

/* The message was walked by parse_head(). */
static struct err *parse_entries(struct decoder *d, struct slice m, const struct log_builder_at *at)
{
    const uint8_t *p = m.ptr, *end = m.ptr + m.len;
    struct err *e = NULL;
    struct log_in in;
    struct slice s;
    uint32_t tag;

    while (!e && p && p < end && (p = rw_wire_tag(p, end, &tag))) {
        if (tag != TAG(2, RW_BYTES)) {
            p = rw_wire_skip(p, end, tag);
            continue;
        }
        if (!(p = rw_wire_bytes(p, end, &s)) || !parse_entry(d, s, &in))
            break; /* the caller tells */
        e = log_builder_entry(d->b, at, &in);
    }
    return e;
}

static struct err *parse_stream(struct decoder *d, struct slice m)
{
    struct log_builder_at at;
    struct slice text;
    struct labels ls;
    size_t entries;
    struct err *e;

    if (!parse_head(d, m, &text, &entries))
        return NULL;
    if ((e = log_labels_parse(log_builder_arena(d->b), text, &ls)) || !entries)
        return e;
    if (!d->b->batch->entries.len) /* as if the other streams were like the first */
        log_batch_expect(d->b->batch, entries * (d->body_bytes / m.len + 1));
    at = log_builder_stream(d->b, ls);
    return parse_entries(d, m, &at);
}

struct err *loki_proto_decode(struct log_builder *b, struct slice body)
{
    const uint8_t *p = body.ptr, *end = body.ptr + body.len;
    struct decoder d = {.b = b, .body_bytes = body.len};
    struct err *e = NULL;
    struct slice s;
    uint32_t tag;

    while (!e && !d.bad && p && p < end && (p = rw_wire_tag(p, end, &tag))) {
        if (tag != TAG(1, RW_BYTES))
            p = other(p, end, tag, 1);
        else if ((p = rw_wire_bytes(p, end, &s)))
            e = parse_stream(&d, s);
    }
    if (e)
        return e;
    if (!p && !d.bad)
        d.bad = "PushRequest: malformed";
    return d.bad ? err_new(ERR_INVALID, "protobuf: %s", d.bad) : NULL;
}
