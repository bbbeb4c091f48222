#include "tests/sim/sim_member.h"

#include <stdio.h>
#include <stdlib.h>

#include "common/base/mem.h"
#include "common/base/vec.h"

static void end(struct sim_member *m, struct err *e)
{
    if (e)
        sim_fail(m->sim, "node %d: %s", m->node, err_msg(e));
    err_free(e);
}

static void on_send(void *arg, const char *addr, struct slice bytes)
{
    struct sim_member *m = arg;
    struct buf b = {0};

    buf_byte(&b, 'G');
    buf_slice_append(&b, bytes);
    sim_send(m->sim, m->node, atoi(addr), buf_slice(&b));
    buf_done(&b);
}

static void on_changed(void *arg, const struct member *entry)
{
    struct sim_member *m = arg;

    ring_unref(m->ring);
    m->ring = NULL;
    m->is_dirty = true;
    if (m->changed && entry)
        m->changed(m, entry);
}

/* After each turn: the view is on disk before anything is answered on the strength of it. */
static void save_view(struct sim_member *m)
{
    struct buf b = {0};

    if (!m->is_dirty)
        return;
    gossip_save(m->gossip, &b);
    sim_replace(m->sim, m->node, SIM_MEMBER_VIEW, buf_slice(&b));
    m->is_dirty = false;
    buf_done(&b);
}

static void save_own(struct sim_member *m)
{
    const struct member *self = gossip_self(m->gossip);
    struct tokens_file f = {self->registered_ms, self->incarnation, (uint32_t *)self->tokens,
                            self->n_tokens};
    struct buf b = {0};

    tokens_file_encode(&b, &f);
    sim_replace(m->sim, m->node, SIM_MEMBER_OWN, buf_slice(&b));
    buf_done(&b);
}

void sim_member_set_state(struct sim_member *m, enum member_state state)
{
    sim_note(m->sim, "node %d: %s", m->node, member_state_name(state));
    gossip_set_state(m->gossip, state, sim_mono_ns(m->sim, m->node), sim_wall_ms(m->sim, m->node));
    save_own(m);
    save_view(m);
}

static void tick(void *arg)
{
    struct sim_member *m = arg;
    int64_t mono = sim_mono_ns(m->sim, m->node);

    gossip_tick(m->gossip, mono, sim_wall_ms(m->sim, m->node));
    save_view(m);
    sim_node_at(m->sim, m->node, ORR_MAX(gossip_next_ns(m->gossip) - mono, NS_PER_MS), tick, m);
}

static int cmp_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void pick_tokens(struct sim_member *m)
{
    VEC(struct tokens_owner) owners = {0};
    VEC(uint32_t) taken = {0};
    uint32_t tokens[SIM_MEMBER_TOKENS];

    for (size_t i = 0; i < gossip_count(m->gossip); i++) {
        const struct member *o = gossip_entry(m->gossip, i).member;

        for (size_t t = 0; t < o->n_tokens; t++)
            vec_push(&taken, o->tokens[t]);
        if (strcmp(o->zone, m->zone) == 0)
            vec_push(&owners, ((struct tokens_owner){o->tokens, o->n_tokens}));
    }
    if (taken.len)
        qsort(taken.ptr, taken.len, sizeof(*taken.ptr), cmp_u32);
    tokens_pick(sim_rng(m->sim), owners.ptr, owners.len, taken.ptr, taken.len, SIM_MEMBER_TOKENS,
                tokens);
    end(m, gossip_set_tokens(m->gossip, tokens, SIM_MEMBER_TOKENS));
    vec_done(&owners);
    vec_done(&taken);
}

static void become_active(void *arg)
{
    struct sim_member *m = arg;

    if (gossip_self(m->gossip)->state == MEMBER_JOINING)
        sim_member_set_state(m, m->wants_out ? MEMBER_LEAVING : MEMBER_ACTIVE);
}

static void become_joining(void *arg)
{
    struct sim_member *m = arg;

    if (gossip_self(m->gossip)->n_tokens == 0)
        pick_tokens(m);
    sim_member_set_state(m, MEMBER_JOINING);
    sim_node_at(m->sim, m->node, NS_PER_S, become_active, m);
}

void sim_member_settle(struct sim_member *m, int64_t registered_ms)
{
    uint32_t tokens[SIM_MEMBER_TOKENS];
    struct tokens_file f = {registered_ms, 1, tokens, SIM_MEMBER_TOKENS};
    struct buf b = {0};

    tokens_pick(sim_rng(m->sim), NULL, 0, NULL, 0, SIM_MEMBER_TOKENS, tokens);
    tokens_file_encode(&b, &f);
    sim_replace(m->sim, m->node, SIM_MEMBER_OWN, buf_slice(&b));
    buf_done(&b);
}

void sim_member_start(struct sim_member *m)
{
    struct slice own = sim_content(m->sim, m->node, SIM_MEMBER_OWN);
    struct slice view = sim_content(m->sim, m->node, SIM_MEMBER_VIEW);
    int64_t mono = sim_mono_ns(m->sim, m->node), wall = sim_wall_ms(m->sim, m->node);
    struct gossip_ops ops = {.send = on_send, .changed = on_changed, .arg = m};
    struct tokens_file f = {0};
    char name[16], addr[16], seeds[SIM_MAX_NODES][16];
    const char *seed_ptrs[SIM_MAX_NODES];
    struct member self = {.instance = name,
                          .zone = m->zone,
                          .rpc_addr = addr,
                          .http_addr = addr,
                          .roles = m->roles ? m->roles : MEMBER_INGESTER,
                          .signals = MEMBER_ALL_SIGNALS};

    snprintf(name, sizeof(name), "n%02d", m->node);
    snprintf(addr, sizeof(addr), "%d", m->node);
    if (own.len)
        end(m, tokens_file_decode(own, &f));
    self.state = f.n ? MEMBER_JOINING : MEMBER_PENDING;
    self.registered_ms = f.registered_ms;
    self.incarnation = f.incarnation + 1;
    self.tokens = f.tokens;
    self.n_tokens = f.n;
    m->opts.seed = rng_u64(sim_rng(m->sim));
    end(m, gossip_new(&self, &m->opts, &ops, mono, wall, &m->gossip));
    tokens_file_done(&f);
    for (int i = 0; i < m->seeds; i++) {
        snprintf(seeds[i], sizeof(seeds[i]), "%d", i);
        seed_ptrs[i] = seeds[i];
    }
    gossip_set_seeds(m->gossip, seed_ptrs, (size_t)m->seeds);
    if (view.len)
        end(m, gossip_load(m->gossip, view, mono, wall));
    m->is_dirty = true;
    save_own(m);
    save_view(m);
    tick(m);
    sim_node_at(m->sim, m->node, NS_PER_S,
                self.state == MEMBER_PENDING ? become_joining : become_active, m);
}

void sim_member_stop(struct sim_member *m)
{
    ring_unref(m->ring);
    m->ring = NULL;
    gossip_free(m->gossip);
    m->gossip = NULL;
}

void sim_member_receive(struct sim_member *m, struct slice packet)
{
    end(m, gossip_receive(m->gossip, slice_from(packet, 1), sim_mono_ns(m->sim, m->node),
                          sim_wall_ms(m->sim, m->node)));
    save_view(m);
}

struct ring *sim_member_ring(struct sim_member *m)
{
    size_t n = gossip_count(m->gossip);
    struct ring_input *in;

    if (m->ring)
        return m->ring;
    in = mem_new_array(struct ring_input, n + 1);
    for (size_t i = 0; i < n; i++) {
        struct gossip_entry e = gossip_entry(m->gossip, i);

        in[i] = (struct ring_input){e.member, e.is_healthy};
    }
    m->ring = ring_new(in, n, &m->ring_opts);
    mem_free(in);
    return m->ring;
}
