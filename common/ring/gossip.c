#include "common/ring/gossip.h"

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/ring/gossip_internal.h"

/* Our own changes go to this many members at once. */
#define GOSSIP_PUSH_PEERS 6

/* ---- nodes ---- */

/* Index of instance, or where it would be. */
static size_t place_of(const struct gossip *g, struct slice instance, bool *ret_found)
{
    size_t lo = 0, hi = g->nodes.len;

    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        int c = slice_cmp(slice_cstr(g->nodes.ptr[mid].member->instance), instance);

        if (c == 0) {
            *ret_found = true;
            return mid;
        }
        if (c < 0)
            lo = mid + 1;
        else
            hi = mid;
    }
    *ret_found = false;
    return lo;
}

static struct gossip_node *find_node(const struct gossip *g, struct slice instance)
{
    bool found;
    size_t i = place_of(g, instance, &found);

    return found ? &g->nodes.ptr[i] : NULL;
}

static struct gossip_node *self_node(const struct gossip *g)
{
    struct gossip_node *n = find_node(g, slice_cstr(g->self_name));

    ORR_ASSERT(n);
    return n;
}

static bool is_self(const struct gossip *g, const struct gossip_node *n)
{
    return strcmp(n->member->instance, g->self_name) == 0;
}

static void notify(struct gossip *g, const struct member *m)
{
    if (g->ops.changed)
        g->ops.changed(g->ops.arg, m);
}

static struct gossip_node *insert_node(struct gossip *g, const struct member *m)
{
    bool found;
    size_t at = place_of(g, slice_cstr(m->instance), &found);

    vec_reserve(&g->nodes, 1);
    memmove(g->nodes.ptr + at + 1, g->nodes.ptr + at, (g->nodes.len - at) * sizeof(*g->nodes.ptr));
    g->nodes.len++;
    g->nodes.ptr[at] = (struct gossip_node){.member = member_ref(m), .is_healthy = true};
    return &g->nodes.ptr[at];
}

static void remove_node(struct gossip *g, size_t i)
{
    const struct member *m = g->nodes.ptr[i].member;

    memmove(g->nodes.ptr + i, g->nodes.ptr + i + 1, (g->nodes.len - i - 1) * sizeof(*g->nodes.ptr));
    g->nodes.len--;
    notify(g, NULL);
    member_unref(m);
}

static void replace_member(struct gossip_node *n, const struct member *m)
{
    const struct member *old = n->member;

    n->member = member_ref(m);
    member_unref(old);
}

static bool is_expired(const struct gossip *g, const struct member *m, int64_t wall_ms)
{
    return m->state == MEMBER_LEFT && wall_ms - m->state_ms > g->opts.tombstone_ns / NS_PER_MS;
}

/* ---- messages ---- */

struct gossip_msg gossip_msg_new(const struct gossip *g, uint8_t flags)
{
    const struct member *self = self_node(g)->member;

    return (struct gossip_msg){.flags = flags,
                               .cluster = slice_cstr(g->cluster),
                               .sender = slice_cstr(self->instance),
                               .sender_addr = slice_cstr(self->rpc_addr)};
}

void gossip_send_msg(struct gossip *g, const char *addr, struct gossip_msg *m)
{
    struct buf out = {0};

    gossip_wire_encode(&out, m);
    if (out.len > g->opts.max_message_bytes) {
        g->metrics.oversized++;
    } else {
        g->metrics.sent++;
        g->metrics.sent_bytes += out.len;
        g->ops.send(g->ops.arg, addr, buf_slice(&out));
    }
    buf_done(&out);
}

static void add_news(struct gossip_msg *m, const struct gossip_node *n)
{
    vec_push(&m->members, ((struct gossip_news){n->heartbeat, member_ref(n->member)}));
}

static void add_digests(const struct gossip *g, struct gossip_msg *m)
{
    VEC_FOREACH (n, &g->nodes)
        vec_push(&m->digests,
                 ((struct gossip_digest){slice_cstr(n->member->instance), n->member->incarnation,
                                         n->member->version, n->heartbeat}));
}

size_t gossip_pick_peers(struct gossip *g, size_t *ret, size_t max)
{
    size_t n = 0, seen = 0;

    for (size_t i = 0; i < g->nodes.len; i++) {
        const struct gossip_node *node = &g->nodes.ptr[i];

        if (node->member->state == MEMBER_LEFT || is_self(g, node) || !*node->member->rpc_addr)
            continue;
        seen++;
        if (n < max) {
            ret[n++] = i;
        } else { /* each stays with the same chance */
            uint64_t k = rng_below(&g->rng, seen);

            if (k < max)
                ret[k] = i;
        }
    }
    return n;
}

static const char *addr_of(const struct gossip *g, size_t node)
{
    return g->nodes.ptr[node].member->rpc_addr;
}

/* Everything we know, then the channels' states. */
static void send_all(struct gossip *g, const char *addr, uint8_t flags)
{
    struct gossip_msg m = gossip_msg_new(g, flags);

    VEC_FOREACH (n, &g->nodes)
        add_news(&m, n);
    gossip_send_msg(g, addr, &m);
    gossip_wire_done(&m);
    gossip_send_states(g, addr);
}

/* Tells some members of our own entry without waiting for the next round. */
static void push_self(struct gossip *g)
{
    size_t peers[GOSSIP_PUSH_PEERS];
    size_t n = gossip_pick_peers(g, peers, ORR_COUNT(peers));
    struct gossip_msg m = gossip_msg_new(g, 0);

    add_news(&m, self_node(g));
    for (size_t i = 0; i < n; i++)
        gossip_send_msg(g, addr_of(g, peers[i]), &m);
    gossip_wire_done(&m);
}

/* ---- own entry ---- */

/* A new version of our entry; changes holds the fields to take over. */
static void set_self(struct gossip *g, const struct member *changes, int64_t mono_ns)
{
    struct gossip_node *n = self_node(g);
    struct member *m;
    struct err *e = member_new(changes, &m);

    ORR_ASSERT(!e); /* made from a checked one */
    replace_member(n, m);
    n->heartbeat++;
    n->progress_ns = mono_ns;
    notify(g, m);
    member_unref(m);
}

/* Somebody holds an entry of ours that outranks it: take a higher incarnation. */
static void refute(struct gossip *g, uint64_t incarnation, int64_t mono_ns)
{
    struct member copy = *self_node(g)->member;

    if (incarnation >= (1ull << 62) - 1)
        return; /* cannot be outranked; decoding refuses such entries anyway */
    copy.incarnation = incarnation + 1;
    copy.version = 1;
    g->metrics.refuted++;
    set_self(g, &copy, mono_ns);
}

const struct member *gossip_self(const struct gossip *g)
{
    return self_node(g)->member;
}

void gossip_set_state(struct gossip *g, enum member_state state, int64_t mono_ns, int64_t wall_ms)
{
    struct member copy = *self_node(g)->member;

    if (copy.state == state)
        return;
    copy.state = state;
    copy.state_ms = wall_ms;
    copy.version++;
    if (state == MEMBER_LEAVING || state == MEMBER_LEFT) {
        if (!copy.left_ms)
            copy.left_ms = wall_ms;
    } else if (state == MEMBER_ACTIVE && (!copy.registered_ms || copy.left_ms)) {
        copy.registered_ms = wall_ms; /* coming back after leaving starts a new ownership */
        copy.left_ms = 0;
    }
    if (state == MEMBER_LEFT)
        copy.n_tokens = 0;
    set_self(g, &copy, mono_ns);
    push_self(g);
}

struct err *gossip_set_tokens(struct gossip *g, const uint32_t *tokens, size_t n)
{
    struct member copy = *self_node(g)->member;

    if (n > MEMBER_MAX_TOKENS)
        return err_new(ERR_INVALID, "gossip: %zu tokens, at most %d", n, MEMBER_MAX_TOKENS);
    copy.tokens = tokens;
    copy.n_tokens = n;
    copy.version++;
    set_self(g, &copy, self_node(g)->progress_ns);
    push_self(g);
    return NULL;
}

bool gossip_has_joined(const struct gossip *g)
{
    return g->has_joined || (g->seeds.len == 0 && g->nodes.len == 1);
}

/* ---- merging ---- */

static void merge(struct gossip *g, const struct member *m, uint64_t heartbeat, int64_t mono_ns,
                  int64_t wall_ms)
{
    struct gossip_node *n = find_node(g, slice_cstr(m->instance));
    int c;

    if (!n) {
        if (is_expired(g, m, wall_ms))
            return;
        if (g->nodes.len >= GOSSIP_MAX_MEMBERS) {
            g->metrics.refused++;
            return;
        }
        n = insert_node(g, m);
        n->heartbeat = heartbeat;
        n->progress_ns = mono_ns;
        g->metrics.merged++;
        notify(g, m);
        return;
    }
    c = member_cmp(m, n->member);
    if (is_self(g, n)) {
        if (c > 0)
            refute(g, m->incarnation, mono_ns);
        return;
    }
    if (c < 0 || (c == 0 && heartbeat <= n->heartbeat))
        return;
    n->heartbeat = heartbeat;
    n->progress_ns = mono_ns;
    if (c == 0 && n->is_healthy)
        return;
    n->is_healthy = true;
    replace_member(n, m);
    g->metrics.merged++;
    notify(g, n->member);
}

/* What the other side knows of one instance: notes what to send and what to ask for. */
static void compare(struct gossip *g, const struct gossip_digest *d, struct gossip_msg *answer,
                    bool *mentioned, int64_t mono_ns)
{
    bool found;
    size_t i = place_of(g, d->instance, &found);
    struct gossip_node *n;
    int c;

    if (!found) {
        if (g->nodes.len < GOSSIP_MAX_MEMBERS)
            vec_push(&answer->wanted, d->instance);
        return;
    }
    n = &g->nodes.ptr[i];
    mentioned[i] = true;
    c = d->incarnation != n->member->incarnation
            ? (d->incarnation > n->member->incarnation ? 1 : -1)
            : (d->version > n->member->version) - (d->version < n->member->version);
    if (c > 0) {
        if (is_self(g, n)) {
            refute(g, d->incarnation, mono_ns);
            add_news(answer, n);
        } else {
            vec_push(&answer->wanted, d->instance);
        }
    } else if (c < 0) {
        add_news(answer, n);
    } else if (d->heartbeat > n->heartbeat && !is_self(g, n)) {
        n->heartbeat = d->heartbeat;
        n->progress_ns = mono_ns;
        if (!n->is_healthy) {
            n->is_healthy = true;
            notify(g, n->member);
        }
    }
}

/* Push-pull: what they lack goes out, what we lack is asked for. */
static void answer_digests(struct gossip *g, const struct gossip_msg *m, const char *addr,
                           int64_t mono_ns)
{
    struct gossip_msg answer = gossip_msg_new(g, 0);
    bool *mentioned = mem_new_array(bool, g->nodes.len + 1);
    size_t before = g->nodes.len;

    VEC_FOREACH (d, &m->digests)
        compare(g, d, &answer, mentioned, mono_ns);
    for (size_t i = 0; i < before; i++)
        if (!mentioned[i])
            add_news(&answer, &g->nodes.ptr[i]);
    mem_free(mentioned);
    if (!gossip_wire_is_empty(&answer)) {
        /* refute() may have replaced our entry, which the header lends from. */
        const struct member *self = self_node(g)->member;

        answer.sender = slice_cstr(self->instance);
        answer.sender_addr = slice_cstr(self->rpc_addr);
        gossip_send_msg(g, addr, &answer);
    }
    gossip_wire_done(&answer);
}

static void answer_wanted(struct gossip *g, const struct gossip_msg *m, const char *addr)
{
    struct gossip_msg answer = gossip_msg_new(g, 0);

    VEC_FOREACH (w, &m->wanted) {
        struct gossip_node *n = find_node(g, *w);

        if (n)
            add_news(&answer, n);
    }
    if (!gossip_wire_is_empty(&answer))
        gossip_send_msg(g, addr, &answer);
    gossip_wire_done(&answer);
}

static void apply(struct gossip *g, const struct gossip_msg *m, const char *addr, int64_t mono_ns,
                  int64_t wall_ms)
{
    VEC_FOREACH (n, &m->members)
        merge(g, n->member, n->heartbeat, mono_ns, wall_ms);
    g->has_joined = true;
    if (m->flags & GOSSIP_WIRE_WANTS_DIFF)
        answer_digests(g, m, addr, mono_ns);
    if (m->wanted.len)
        answer_wanted(g, m, addr);
    gossip_on_states(g, m);
    gossip_on_deltas(g, m, mono_ns);
    if (m->flags & GOSSIP_WIRE_WANTS_ALL)
        send_all(g, addr, 0);
}

struct err *gossip_receive(struct gossip *g, struct slice bytes, int64_t mono_ns, int64_t wall_ms)
{
    struct gossip_msg m;
    struct err *e = NULL;
    char *addr;

    g->metrics.received++;
    g->metrics.received_bytes += bytes.len;
    if (bytes.len > g->opts.max_message_bytes)
        e = err_new(ERR_TOO_LARGE, "gossip: a message of %zu bytes", bytes.len);
    else
        e = gossip_wire_decode(bytes, &m);
    if (e) {
        g->metrics.refused++;
        return e;
    }
    addr = slice_dup(m.sender_addr);
    if (!slice_eq_cstr(m.cluster, g->cluster)) {
        g->metrics.refused++;
        e = err_new(ERR_FORBIDDEN, "gossip: %s is of cluster \"%.*s\", this is \"%s\"", addr,
                    SLICE_ARG(m.cluster), g->cluster);
    } else if (slice_eq_cstr(m.sender, g->self_name)) {
        /* Our own words, through a seed address that is ours; or a namesake. */
        g->metrics.name_conflicts += strcmp(addr, self_node(g)->member->rpc_addr) != 0;
    } else {
        apply(g, &m, addr, mono_ns, wall_ms);
    }
    mem_free(addr);
    gossip_wire_done(&m);
    return e;
}

void gossip_save(const struct gossip *g, struct buf *out)
{
    struct gossip_msg m = gossip_msg_new(g, 0);

    VEC_FOREACH (n, &g->nodes)
        add_news(&m, n);
    gossip_wire_encode(out, &m);
    gossip_wire_done(&m);
}

struct err *gossip_load(struct gossip *g, struct slice bytes, int64_t mono_ns, int64_t wall_ms)
{
    struct gossip_msg m;
    struct err *e = gossip_wire_decode(bytes, &m);

    if (e)
        return err_wrap(e, "saved members");
    if (slice_eq_cstr(m.cluster, g->cluster))
        VEC_FOREACH (n, &m.members)
            merge(g, n->member, n->heartbeat, mono_ns, wall_ms);
    else
        e = err_new(ERR_FORBIDDEN, "saved members are of cluster \"%.*s\"", SLICE_ARG(m.cluster));
    gossip_wire_done(&m);
    return e;
}

/* ---- rounds ---- */

struct err *gossip_forget(struct gossip *g, struct slice instance, int64_t mono_ns, int64_t wall_ms)
{
    struct gossip_node *n = find_node(g, instance);
    struct member *tombstone;

    if (!n)
        return err_new(ERR_NOT_FOUND, "gossip: no member %.*s", SLICE_ARG(instance));
    if (is_self(g, n))
        return err_new(ERR_INVALID, "gossip: %s cannot forget itself", g->self_name);
    if (n->member->state == MEMBER_LEFT)
        return NULL;
    tombstone = member_forgotten(n->member, wall_ms);
    replace_member(n, tombstone);
    n->progress_ns = mono_ns;
    g->metrics.forgotten++;
    notify(g, tombstone);
    member_unref(tombstone);
    return NULL;
}

/* Health, forgetting, expired tombstones. */
static void sweep(struct gossip *g, int64_t mono_ns, int64_t wall_ms)
{
    for (size_t i = g->nodes.len; i-- > 0;) {
        struct gossip_node *n = &g->nodes.ptr[i];
        int64_t still_ns = mono_ns - n->progress_ns;

        if (is_self(g, n))
            continue;
        if (is_expired(g, n->member, wall_ms)) {
            remove_node(g, i);
            continue;
        }
        if (n->is_healthy && still_ns > g->opts.unhealthy_after_ns) {
            n->is_healthy = false;
            notify(g, n->member);
        }
        if (n->member->state != MEMBER_LEFT && g->opts.forget_after_ns >= 0 &&
            still_ns > ORR_MAX(g->opts.forget_after_ns, g->opts.unhealthy_after_ns) &&
            (!g->ops.can_forget || g->ops.can_forget(g->ops.arg, n->member))) {
            struct err *e = gossip_forget(g, slice_cstr(n->member->instance), mono_ns, wall_ms);

            err_free(e); /* neither absent nor ourselves */
        }
    }
}

static void round_of_digests(struct gossip *g)
{
    size_t peers[GOSSIP_MAX_FANOUT];
    size_t n = gossip_pick_peers(g, peers, ORR_MIN(g->opts.fanout, GOSSIP_MAX_FANOUT));
    struct gossip_msg m = gossip_msg_new(g, GOSSIP_WIRE_WANTS_DIFF);

    add_digests(g, &m);
    for (size_t i = 0; i < n; i++)
        gossip_send_msg(g, addr_of(g, peers[i]), &m);
    gossip_wire_done(&m);
    /* Nobody has answered so far: ask all seeds. */
    if (!g->has_joined)
        VEC_FOREACH (s, &g->seeds)
            send_all(g, *s, GOSSIP_WIRE_WANTS_ALL);
}

/* One member and one seed: the seed may be in a half of the cluster that we do not know. */
static void round_of_full(struct gossip *g)
{
    size_t peer;

    if (gossip_pick_peers(g, &peer, 1))
        send_all(g, addr_of(g, peer), GOSSIP_WIRE_WANTS_ALL);
    if (g->seeds.len && g->has_joined)
        send_all(g, g->seeds.ptr[rng_below(&g->rng, g->seeds.len)], GOSSIP_WIRE_WANTS_ALL);
}

void gossip_tick(struct gossip *g, int64_t mono_ns, int64_t wall_ms)
{
    if (mono_ns >= g->next_round_ns) {
        struct gossip_node *self = self_node(g);

        self->heartbeat++;
        self->progress_ns = mono_ns;
        sweep(g, mono_ns, wall_ms);
        round_of_digests(g);
        /* A little unevenness keeps the cluster from talking in step. */
        g->next_round_ns = mono_ns + g->opts.round_ns - g->opts.round_ns / 10 +
                           (int64_t)rng_below(&g->rng, (uint64_t)g->opts.round_ns / 5 + 1);
    }
    if (g->deltas.len && mono_ns >= g->next_delta_ns) {
        gossip_send_deltas(g);
        g->next_delta_ns = mono_ns + g->opts.delta_ns;
    }
    if (mono_ns >= g->next_full_ns) {
        round_of_full(g);
        g->next_full_ns = mono_ns + g->opts.full_ns;
    }
}

int64_t gossip_next_ns(const struct gossip *g)
{
    int64_t at = ORR_MIN(g->next_round_ns, g->next_full_ns);

    return g->deltas.len ? ORR_MIN(at, g->next_delta_ns) : at;
}

/* ---- life and view ---- */

static void set_defaults(struct gossip_opts *o)
{
    const struct gossip_opts def = {.round_ns = NS_PER_S,
                                    .delta_ns = 200 * NS_PER_MS,
                                    .full_ns = 30 * NS_PER_S,
                                    .unhealthy_after_ns = 10 * NS_PER_S,
                                    .forget_after_ns = 600 * NS_PER_S,
                                    .tombstone_ns = 7 * 86400 * NS_PER_S,
                                    .fanout = 3,
                                    .max_message_bytes = 16u << 20,
                                    .max_queued_bytes = 16u << 20};

#define DEFAULT(field) o->field = o->field ? o->field : def.field
    DEFAULT(round_ns);
    DEFAULT(delta_ns);
    DEFAULT(full_ns);
    DEFAULT(unhealthy_after_ns);
    DEFAULT(forget_after_ns);
    DEFAULT(tombstone_ns);
    DEFAULT(fanout);
    DEFAULT(max_message_bytes);
    DEFAULT(max_queued_bytes);
#undef DEFAULT
}

struct err *gossip_new(const struct member *self, const struct gossip_opts *opts,
                       const struct gossip_ops *ops, int64_t mono_ns, int64_t wall_ms,
                       struct gossip **ret)
{
    struct member copy = *self;
    struct member *m;
    struct gossip *g;
    struct gossip_node *n;
    struct err *e;

    if (wall_ms > 0 && copy.incarnation < (uint64_t)wall_ms)
        copy.incarnation = (uint64_t)wall_ms;
    copy.version = 1;
    if (!copy.state_ms)
        copy.state_ms = wall_ms;
    if ((e = member_new(&copy, &m)))
        return e;
    g = mem_new(struct gossip);
    g->opts = *opts;
    set_defaults(&g->opts);
    g->ops = *ops;
    g->cluster = mem_strdup(opts->cluster ? opts->cluster : "");
    g->opts.cluster = g->cluster;
    g->self_name = mem_strdup(m->instance);
    rng_seed(&g->rng, opts->seed);
    n = insert_node(g, m);
    n->progress_ns = mono_ns;
    member_unref(m);
    g->next_round_ns = mono_ns;
    g->next_full_ns =
        mono_ns + (int64_t)rng_below(&g->rng, (uint64_t)g->opts.full_ns) + g->opts.round_ns;
    *ret = g;
    return NULL;
}

void gossip_free(struct gossip *g)
{
    if (!g)
        return;
    gossip_channels_done(g);
    VEC_FOREACH (n, &g->nodes)
        member_unref(n->member);
    vec_done(&g->nodes);
    VEC_FOREACH (s, &g->seeds)
        mem_free(*s);
    vec_done(&g->seeds);
    mem_free(g->cluster);
    mem_free(g->self_name);
    mem_free(g);
}

void gossip_set_seeds(struct gossip *g, const char *const *addrs, size_t n)
{
    const char *own = self_node(g)->member->rpc_addr;

    VEC_FOREACH (s, &g->seeds)
        mem_free(*s);
    vec_clear(&g->seeds);
    for (size_t i = 0; i < n; i++)
        if (strcmp(addrs[i], own) != 0)
            vec_push(&g->seeds, mem_strdup(addrs[i]));
}

size_t gossip_count(const struct gossip *g)
{
    return g->nodes.len;
}

struct gossip_entry gossip_entry(const struct gossip *g, size_t i)
{
    const struct gossip_node *n;

    ORR_ASSERT(i < g->nodes.len);
    n = &g->nodes.ptr[i];
    return (struct gossip_entry){n->member, n->heartbeat, n->progress_ns, n->is_healthy,
                                 is_self(g, n)};
}

bool gossip_find(const struct gossip *g, struct slice instance, struct gossip_entry *ret)
{
    bool found;
    size_t i = place_of(g, instance, &found);

    if (found)
        *ret = gossip_entry(g, i);
    return found;
}

const struct gossip_metrics *gossip_metrics(const struct gossip *g)
{
    return &g->metrics;
}
