/* Deltas and states of the channels that ride on the gossip. */
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/base/reader.h"
#include "common/ring/gossip.h"
#include "common/ring/gossip_internal.h"

static struct gossip_channel *find_channel(struct gossip *g, struct slice name)
{
    VEC_FOREACH (c, &g->channels)
        if (slice_eq_cstr(name, c->name))
            return c;
    return NULL;
}

struct err *gossip_add_channel(struct gossip *g, const struct gossip_channel *ch)
{
    if (find_channel(g, slice_cstr(ch->name)))
        return err_new(ERR_CONFLICT, "gossip: channel %s exists", ch->name);
    if (g->channels.len == GOSSIP_MAX_CHANNELS)
        return err_new(ERR_LIMIT, "gossip: more than %d channels", GOSSIP_MAX_CHANNELS);
    g->cursors[g->channels.len] = (size_t)rng_below(&g->rng, GOSSIP_MAX_MEMBERS);
    vec_push(&g->channels, *ch);
    return NULL;
}

static size_t delta_bytes(const struct gossip_delta *d)
{
    return d->bytes.len + d->key.len + 64;
}

static void remove_delta(struct gossip *g, size_t i)
{
    struct gossip_delta *d = &g->deltas.ptr[i];

    g->queued_bytes -= delta_bytes(d);
    buf_done(&d->key);
    buf_done(&d->bytes);
    memmove(d, d + 1, (g->deltas.len - i - 1) * sizeof(*d));
    g->deltas.len--;
}

void gossip_remove_channel(struct gossip *g, const char *name)
{
    for (size_t i = g->deltas.len; i-- > 0;)
        if (strcmp(g->deltas.ptr[i].channel, name) == 0)
            remove_delta(g, i);
    for (size_t i = 0; i < g->channels.len; i++) {
        if (strcmp(g->channels.ptr[i].name, name) == 0) {
            vec_remove_swap(&g->channels, i);
            g->cursors[i] = g->cursors[g->channels.len];
            return;
        }
    }
}

/* ---- whom deltas go to ---- */

typedef VEC(const char *) addr_vec;

/* Healthy members that have the channel, in order of name. */
static void peers_of(const struct gossip *g, const struct gossip_channel *c, addr_vec *ret)
{
    VEC_FOREACH (n, &g->nodes) {
        const struct member *m = n->member;

        if (n->is_healthy && m->state != MEMBER_LEFT && *m->rpc_addr &&
            (!c->roles || (m->roles & c->roles)) && strcmp(m->instance, g->self_name) != 0)
            vec_push(ret, m->rpc_addr);
    }
}

/* Enough that everybody hears with high probability; the full sync does the rest. Our own go to each
 * of a few twice, for certain. */
static unsigned sends_for(const struct gossip *g, const struct gossip_channel *c, bool is_own)
{
    addr_vec peers = {0};
    unsigned log2 = 1, ret;

    peers_of(g, c, &peers);
    while (log2 < 12 && (1u << log2) < peers.len + 2)
        log2++;
    ret = 3 * log2;
    if (is_own)
        ret = ORR_MAX(ret, (unsigned)ORR_MIN(2 * peers.len, GOSSIP_DELTA_SENDS));
    vec_done(&peers);
    return ret;
}

/* ---- deltas ---- */

static void queue_delta(struct gossip *g, const struct gossip_channel *c, struct slice key,
                        struct slice bytes, bool is_own, int64_t mono_ns)
{
    struct gossip_delta d = {
        .channel = c->name, .hash = hash_xxh64(key, 0), .left = sends_for(g, c, is_own)};

    for (size_t i = 0; key.len && i < g->deltas.len; i++) {
        struct gossip_delta *old = &g->deltas.ptr[i];

        if (old->hash == d.hash && strcmp(old->channel, c->name) == 0 &&
            slice_eq(buf_slice(&old->key), key)) {
            remove_delta(g, i);
            break;
        }
    }
    if (g->deltas.len == 0)
        g->next_delta_ns = mono_ns; /* at once; the next ones wait for their turn */
    buf_slice_append(&d.key, key);
    buf_slice_append(&d.bytes, bytes);
    g->queued_bytes += delta_bytes(&d);
    vec_push(&g->deltas, d);
    g->metrics.deltas_queued++;
    while (g->queued_bytes > g->opts.max_queued_bytes && g->deltas.len > 1) {
        remove_delta(g, 0);
        g->metrics.deltas_dropped++;
    }
}

struct err *gossip_broadcast(struct gossip *g, const char *channel, struct slice key,
                             struct slice bytes, int64_t mono_ns)
{
    struct gossip_channel *c = find_channel(g, slice_cstr(channel));

    if (!c)
        return err_new(ERR_NOT_FOUND, "gossip: no channel %s", channel);
    if (bytes.len + MEMBER_MAX_BYTES > g->opts.max_message_bytes)
        return err_new(ERR_TOO_LARGE, "gossip: a delta of %zu bytes", bytes.len);
    queue_delta(g, c, key, bytes, true, mono_ns);
    return NULL;
}

/* Fills m with deltas of c, as many as fit, and counts them as sent n_peers times. */
static void take_deltas(struct gossip *g, const struct gossip_channel *c, unsigned n_peers,
                        struct gossip_msg *m)
{
    size_t room = g->opts.max_message_bytes / 2;

    VEC_FOREACH (d, &g->deltas) {
        if (d->channel != c->name)
            continue;
        if (delta_bytes(d) > room && m->deltas.len)
            break;
        vec_push(&m->deltas, ((struct gossip_blob){slice_cstr(d->channel), buf_slice(&d->bytes)}));
        room -= ORR_MIN(room, delta_bytes(d));
        d->left -= ORR_MIN(d->left, n_peers);
    }
}

static void drop_sent(struct gossip *g)
{
    size_t kept = 0;

    for (size_t i = 0; i < g->deltas.len; i++) {
        struct gossip_delta *d = &g->deltas.ptr[i];

        if (d->left) {
            g->deltas.ptr[kept++] = *d;
            continue;
        }
        g->queued_bytes -= delta_bytes(d);
        buf_done(&d->key);
        buf_done(&d->bytes);
    }
    g->deltas.len = kept;
}

static void send_deltas_of(struct gossip *g, const struct gossip_channel *c, size_t *cursor)
{
    struct gossip_msg m = gossip_msg_new(g, 0);
    addr_vec peers = {0};
    size_t n;

    peers_of(g, c, &peers);
    n = ORR_MIN(peers.len, ORR_MIN(g->opts.fanout, GOSSIP_MAX_FANOUT));
    /* with nobody to hear it a delta counts down all the same: who comes gets the whole state */
    take_deltas(g, c, n ? (unsigned)n : 1, &m);
    for (size_t i = 0; i < n && m.deltas.len; i++)
        gossip_send_msg(g, peers.ptr[(*cursor)++ % peers.len], &m);
    gossip_wire_done(&m);
    vec_done(&peers);
}

void gossip_send_deltas(struct gossip *g)
{
    for (size_t i = 0; i < g->channels.len; i++)
        send_deltas_of(g, &g->channels.ptr[i], &g->cursors[i]);
    drop_sent(g);
}

void gossip_on_deltas(struct gossip *g, const struct gossip_msg *m, int64_t mono_ns)
{
    VEC_FOREACH (b, &m->deltas) {
        struct gossip_channel *c = find_channel(g, b->channel);

        if (c && c->on_delta && c->on_delta(c->arg, b->bytes))
            queue_delta(g, c, SLICE_EMPTY, b->bytes, false, mono_ns);
    }
}

void gossip_on_states(struct gossip *g, const struct gossip_msg *m)
{
    VEC_FOREACH (b, &m->states) {
        struct gossip_channel *c = find_channel(g, b->channel);

        if (c && c->merge_state)
            c->merge_state(c->arg, b->bytes);
    }
}

/* As many whole entries of a state as fit, at least one; all of what is no list. */
static struct slice first_part(const struct gossip *g, const struct gossip_channel *c,
                               struct slice state)
{
    const size_t room = g->opts.max_message_bytes / 2;
    struct reader r = reader_new(state);
    size_t end = 0;

    while (c->is_list && end < room && reader_left(&r)) {
        (void)reader_lstr(&r);
        if (!reader_ok(&r) || (end && reader_pos(&r) > room))
            break;
        end = reader_pos(&r);
    }
    return end ? slice_sub(state, 0, end) : state;
}

void gossip_send_states(struct gossip *g, const char *addr)
{
    VEC_FOREACH (c, &g->channels) {
        struct buf state = {0};
        struct slice rest, part;

        if (!c->write_state)
            continue;
        c->write_state(c->arg, &state);
        for (rest = buf_slice(&state); rest.len; rest = slice_from(rest, part.len)) {
            struct gossip_msg m = gossip_msg_new(g, 0);

            part = first_part(g, c, rest);
            vec_push(&m.states, ((struct gossip_blob){slice_cstr(c->name), part}));
            gossip_send_msg(g, addr, &m);
            gossip_wire_done(&m);
        }
        buf_done(&state);
    }
}

void gossip_channels_done(struct gossip *g)
{
    while (g->deltas.len)
        remove_delta(g, g->deltas.len - 1);
    vec_done(&g->deltas);
    vec_done(&g->channels);
}
