#include "common/ring/gossip_wire.h"

#include "common/base/reader.h"
#include "common/ring/gossip.h"

#define WIRE_MAX_CLUSTER 128
#define WIRE_MAX_CHANNEL 64

bool gossip_wire_is_empty(const struct gossip_msg *m)
{
    return !m->flags && !m->digests.len && !m->wanted.len && !m->members.len && !m->deltas.len &&
           !m->states.len;
}

static void put_blobs(struct buf *out, const struct gossip_blob *blobs, size_t n)
{
    buf_uvarint(out, n);
    for (size_t i = 0; i < n; i++) {
        buf_lstr(out, blobs[i].channel);
        buf_lstr(out, blobs[i].bytes);
    }
}

void gossip_wire_encode(struct buf *out, const struct gossip_msg *m)
{
    struct buf one = {0};

    buf_byte(out, GOSSIP_WIRE_MAGIC);
    buf_byte(out, GOSSIP_WIRE_FORMAT);
    buf_byte(out, m->flags);
    buf_lstr(out, m->cluster);
    buf_lstr(out, m->sender);
    buf_lstr(out, m->sender_addr);
    buf_uvarint(out, m->digests.len);
    VEC_FOREACH (d, &m->digests) {
        buf_lstr(out, d->instance);
        buf_uvarint(out, d->incarnation);
        buf_uvarint(out, d->version);
        buf_uvarint(out, d->heartbeat);
    }
    buf_uvarint(out, m->wanted.len);
    VEC_FOREACH (w, &m->wanted)
        buf_lstr(out, *w);
    buf_uvarint(out, m->members.len);
    VEC_FOREACH (n, &m->members) {
        buf_uvarint(out, n->heartbeat);
        buf_reset(&one);
        member_encode(&one, n->member);
        buf_lstr(out, buf_slice(&one));
    }
    buf_done(&one);
    put_blobs(out, m->deltas.ptr, m->deltas.len);
    put_blobs(out, m->states.ptr, m->states.len);
}

/* A count that the rest of the message can hold, at least min_bytes each. */
static uint64_t get_count(struct reader *r, uint64_t max, size_t min_bytes)
{
    uint64_t n = reader_uvarint(r);

    if (n > max || n * min_bytes > reader_left(r)) {
        reader_fail(r);
        return 0;
    }
    return n;
}

static struct slice get_text(struct reader *r, size_t max)
{
    struct slice s = reader_lstr(r);

    if (s.len > max || (s.len && memchr(s.ptr, 0, s.len)))
        reader_fail(r);
    return reader_ok(r) ? s : SLICE_EMPTY;
}

static void get_names(struct reader *r, struct gossip_msg *m)
{
    uint64_t n = get_count(r, GOSSIP_MAX_MEMBERS, 4);

    while (n-- && reader_ok(r)) {
        struct gossip_digest d = {.instance = get_text(r, MEMBER_MAX_NAME)};

        d.incarnation = reader_uvarint(r);
        d.version = reader_uvarint(r);
        d.heartbeat = reader_uvarint(r);
        vec_push(&m->digests, d);
    }
    n = get_count(r, GOSSIP_MAX_MEMBERS, 1);
    while (n-- && reader_ok(r))
        vec_push(&m->wanted, get_text(r, MEMBER_MAX_NAME));
}

static struct err *get_members(struct reader *r, struct gossip_msg *m)
{
    uint64_t n = get_count(r, GOSSIP_MAX_MEMBERS, 2);

    while (n-- && reader_ok(r)) {
        uint64_t heartbeat = reader_uvarint(r);
        struct slice bytes = reader_lstr(r);
        struct member *member;
        struct err *e;

        if (!reader_ok(r))
            break;
        if ((e = member_decode(bytes, &member)))
            return e;
        vec_push(&m->members, ((struct gossip_news){heartbeat, member}));
    }
    return NULL;
}

static struct gossip_blob get_blob(struct reader *r)
{
    struct gossip_blob b;

    b.channel = get_text(r, WIRE_MAX_CHANNEL);
    b.bytes = reader_lstr(r);
    return b;
}

struct err *gossip_wire_decode(struct slice bytes, struct gossip_msg *ret)
{
    struct reader r = reader_new(bytes);
    struct gossip_msg m = {0};
    struct err *e;
    uint64_t n;
    uint8_t format;

    if (reader_u8(&r) != GOSSIP_WIRE_MAGIC)
        return err_new(ERR_INVALID, "gossip: not a gossip message");
    if ((format = reader_u8(&r)) != GOSSIP_WIRE_FORMAT && reader_ok(&r))
        return err_new(ERR_UNSUPPORTED, "gossip: format %u, this is %d", format,
                       GOSSIP_WIRE_FORMAT);
    m.flags = reader_u8(&r);
    m.cluster = get_text(&r, WIRE_MAX_CLUSTER);
    m.sender = get_text(&r, MEMBER_MAX_NAME);
    m.sender_addr = get_text(&r, MEMBER_MAX_ADDR);
    get_names(&r, &m);
    if ((e = get_members(&r, &m)))
        goto fail;
    for (n = get_count(&r, UINT32_MAX, 2); n && reader_ok(&r); n--)
        vec_push(&m.deltas, get_blob(&r));
    for (n = get_count(&r, GOSSIP_MAX_CHANNELS, 2); n && reader_ok(&r); n--)
        vec_push(&m.states, get_blob(&r));
    if (!reader_ok(&r)) {
        e = err_new(ERR_INVALID, "gossip: malformed or truncated message");
        goto fail;
    }
    *ret = m;
    return NULL;
fail:
    gossip_wire_done(&m);
    return e;
}

void gossip_wire_done(struct gossip_msg *m)
{
    VEC_FOREACH (n, &m->members)
        member_unref(n->member);
    vec_done(&m->digests);
    vec_done(&m->wanted);
    vec_done(&m->members);
    vec_done(&m->deltas);
    vec_done(&m->states);
}
