#include "common/ring/membership.h"

#include <stdlib.h>

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/ring/membership_internal.h"
#include "common/rpc/rpc.h"

#define MEMBERSHIP_KV_MAX 1000000
#define MEMBERSHIP_CALL_MS 5000
/* The members file is written at most this often; it need not be of the last second. */
#define MEMBERS_EVERY_NS (2 * NS_PER_S)
#define RESOLVE_EVERY_NS (30 * NS_PER_S)

int64_t membership_mono(const struct membership *ms)
{
    return clock_mono_ns(ms->clock);
}

int64_t membership_wall(const struct membership *ms)
{
    return clock_wall_ms(ms->clock);
}

/* ---- own entry ---- */

static void enter(struct membership *ms, enum member_state state)
{
    LOG_INFO(ring, "own state", KV_STR("state", member_state_name(state)),
             KV_STR("instance", gossip_self(ms->gossip)->instance));
    gossip_set_state(ms->gossip, state, membership_mono(ms), membership_wall(ms));
}

/* Whether another newcomer of our zone, earlier by name, has yet to pick its tokens. */
static bool is_behind_another(const struct membership *ms)
{
    const struct member *self = gossip_self(ms->gossip);

    for (size_t i = 0; i < gossip_count(ms->gossip); i++) {
        struct gossip_entry e = gossip_entry(ms->gossip, i);

        if (!e.is_self && e.is_healthy && e.member->state == MEMBER_PENDING &&
            strcmp(e.member->zone, self->zone) == 0 &&
            strcmp(e.member->instance, self->instance) < 0)
            return true;
    }
    return false;
}

static int cmp_u32(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

static void pick_tokens(struct membership *ms)
{
    const char *zone = gossip_self(ms->gossip)->zone;
    VEC(struct tokens_owner) owners = {0};
    VEC(uint32_t) taken = {0};
    uint32_t *tokens = mem_new_array(uint32_t, ms->opts.n_tokens);
    struct err *e;

    for (size_t i = 0; i < gossip_count(ms->gossip); i++) {
        const struct member *m = gossip_entry(ms->gossip, i).member;

        for (size_t t = 0; t < m->n_tokens; t++)
            vec_push(&taken, m->tokens[t]);
        /* Even among those who share our work in our zone. */
        if (m->n_tokens && (m->roles & gossip_self(ms->gossip)->roles) &&
            strcmp(m->zone, zone) == 0)
            vec_push(&owners, ((struct tokens_owner){m->tokens, m->n_tokens}));
    }
    if (taken.len)
        qsort(taken.ptr, taken.len, sizeof(*taken.ptr), cmp_u32);
    tokens_pick(&ms->rng, owners.ptr, owners.len, taken.ptr, taken.len, ms->opts.n_tokens, tokens);
    if ((e = gossip_set_tokens(ms->gossip, tokens, ms->opts.n_tokens)))
        LOG_ERROR(ring, "tokens not taken", KV_ERR(e));
    err_free(e);
    vec_done(&owners);
    vec_done(&taken);
    mem_free(tokens);
}

static void advance_pending(struct membership *ms)
{
    int64_t waited_ns = membership_mono(ms) - ms->started_ns;

    if (gossip_self(ms->gossip)->n_tokens == 0) {
        if (!gossip_has_joined(ms->gossip) && waited_ns < ms->opts.join_wait_ns)
            return;
        if (is_behind_another(ms) && waited_ns < 2 * ms->opts.join_wait_ns)
            return;
        pick_tokens(ms);
    }
    /* On disk before anybody counts on them. */
    if (!ms->has_stored_tokens)
        membership_store_tokens(ms);
    if (!ms->has_stored_tokens)
        return;
    ms->joining_ns = membership_mono(ms);
    enter(ms, MEMBER_JOINING);
}

/* Others have to know of us before we take writes, unless nobody else is there, or they do already. */
static bool is_announced(const struct membership *ms)
{
    if (ms->came_back && gossip_metrics(ms->gossip)->refuted == 0)
        return true;
    if (gossip_count(ms->gossip) == 1 && gossip_has_joined(ms->gossip))
        return true;
    return membership_mono(ms) - ms->joining_ns >= ms->opts.announce_ns;
}

/* One step of the own entry's life, when its time has come. */
static void advance(struct membership *ms)
{
    enum member_state state = gossip_self(ms->gossip)->state;

    if (state == MEMBER_PENDING) {
        advance_pending(ms);
    } else if (state == MEMBER_JOINING && ms->wants_active && is_announced(ms)) {
        bool is_first = gossip_self(ms->gossip)->registered_ms == 0;

        enter(ms, MEMBER_ACTIVE);
        if (is_first)
            ms->has_stored_tokens = false; /* now with registered_ms */
    } else if (state == MEMBER_ACTIVE && !ms->has_stored_tokens) {
        membership_store_tokens(ms);
    }
}

/* ---- turns ---- */

static int64_t next_turn_ms(struct membership *ms)
{
    int64_t wait_ns = gossip_next_ns(ms->gossip) - membership_mono(ms);

    /* While something is on its way the entry's life needs more than one look a second. */
    if (gossip_self(ms->gossip)->state < MEMBER_ACTIVE)
        wait_ns = ORR_MIN(wait_ns, 50 * NS_PER_MS);
    return wait_ns <= 0 ? 0 : (wait_ns + NS_PER_MS - 1) / NS_PER_MS;
}

/* After anything that may have changed something. */
static void settle(struct membership *ms)
{
    if (!ms->is_started)
        return;
    advance(ms);
    membership_publish(ms);
    if (ms->members_are_due && membership_mono(ms) - ms->members_stored_ns >= MEMBERS_EVERY_NS)
        membership_store_members(ms);
    loop_timer_arm_ms(ms->round_timer, next_turn_ms(ms));
}

static void on_round(void *arg)
{
    struct membership *ms = arg;

    if (membership_mono(ms) - ms->resolved_ns >= RESOLVE_EVERY_NS)
        membership_resolve_seeds(ms);
    gossip_tick(ms->gossip, membership_mono(ms), membership_wall(ms));
    settle(ms);
}

static void on_publish(void *arg)
{
    settle(arg);
}

static void on_reply(void *arg, struct slice payload, bool is_last, const struct err *e)
{
    (void)arg, (void)payload, (void)is_last, (void)e; /* a lost message is a lost message */
}

static void on_send(void *arg, const char *addr, struct slice bytes)
{
    struct membership *ms = arg;

    if (ms->opts.pool)
        rpc_call(
            rpc_pool_peer(ms->opts.pool, addr),
            &(struct rpc_call_opts){.method = MEMBERSHIP_METHOD, .timeout_ms = MEMBERSHIP_CALL_MS},
            bytes, on_reply, NULL, NULL);
}

static void on_changed(void *arg, const struct member *m)
{
    struct membership *ms = arg;

    (void)m;
    ms->rings_are_due = true;
    ms->members_are_due = true;
    if (ms->publish_timer && ms->is_started)
        loop_timer_arm_ms(ms->publish_timer, 0);
}

static bool on_can_forget(void *arg, const struct member *m)
{
    struct membership *ms = arg;

    return !ms->opts.can_forget || ms->opts.can_forget(ms->opts.arg, m);
}

/* ---- messages ---- */

struct incoming {
    struct membership *ms;
    struct rpc_call *call;
};

static void take_call(void *arg)
{
    struct incoming *in = arg;
    struct membership *ms = in->ms;
    struct err *e = gossip_receive(ms->gossip, rpc_call_payload(in->call), membership_mono(ms),
                                   membership_wall(ms));

    if (e) {
        LOG_WARN(ring, "gossip message refused", KV_ERR(e));
        rpc_reply_err(in->call, e);
    } else {
        rpc_reply(in->call, SLICE_EMPTY);
    }
    mem_free(in);
    settle(ms);
}

static void on_call(void *arg, struct rpc_call *call)
{
    struct membership *ms = arg;
    struct incoming *in = mem_new(struct incoming);

    *in = (struct incoming){ms, call};
    if (loop_is_mine(ms->opts.loop))
        take_call(in);
    else
        loop_post(ms->opts.loop, take_call, in);
}

/* ---- key/value ---- */

static void on_kv_change(void *arg, struct slice key, uint64_t version, struct slice value)
{
    struct membership *ms = arg;

    VEC_FOREACH (s, &ms->kv_subs)
        if (slice_has_prefix(key, slice_cstr(s->prefix)))
            s->fn(s->arg, key, version, value);
}

struct kv_post {
    struct membership *ms;
    struct buf key, value;
    uint64_t version;
};

static void tell_own(const struct kv_post *p)
{
    VEC_FOREACH (s, &p->ms->kv_subs)
        if (s->with_own && slice_has_prefix(buf_slice(&p->key), slice_cstr(s->prefix)))
            s->fn(s->arg, buf_slice(&p->key), p->version, buf_slice(&p->value));
}

static void take_kv(void *arg)
{
    struct kv_post *p = arg;
    struct err *e = gossip_kv_set(p->ms->kv, buf_slice(&p->key), p->version, buf_slice(&p->value),
                                  membership_mono(p->ms));

    if (e && !err_is(e, ERR_CONFLICT))
        LOG_WARN(ring, "key not shared", KV_ERR(e));
    if (!e)
        tell_own(p);
    err_free(e);
    settle(p->ms);
    buf_done(&p->key);
    buf_done(&p->value);
    mem_free(p);
}

void membership_kv_post(struct membership *ms, struct slice key, uint64_t version,
                        struct slice value)
{
    struct kv_post *p = mem_new(struct kv_post);

    p->ms = ms;
    p->version = version;
    buf_slice_append(&p->key, key);
    buf_slice_append(&p->value, value);
    loop_post(ms->opts.loop, take_kv, p);
}

/* ---- life ---- */

static void copy_opts(struct membership *ms, const struct membership_opts *opts)
{
    char **seeds = mem_new_array(char *, opts->n_seeds + 1);

    ms->opts = *opts;
    for (size_t i = 0; i < opts->n_seeds; i++)
        seeds[i] = mem_strdup(opts->seeds[i]);
    ms->opts.seeds = (const char *const *)seeds;
    ms->opts.tokens_path = mem_strdup(opts->tokens_path);
    ms->opts.members_path = mem_strdup(opts->members_path);
    ms->opts.n_tokens = opts->n_tokens ? opts->n_tokens : TOKENS_DEFAULT;
    ms->opts.rf = opts->rf ? opts->rf : 3;
    ms->opts.alertmanager_rf = opts->alertmanager_rf ? opts->alertmanager_rf : 3;
    ms->opts.join_wait_ns = opts->join_wait_ns ? opts->join_wait_ns : 5 * NS_PER_S;
    ms->opts.announce_ns = opts->announce_ns ? opts->announce_ns : 2 * NS_PER_S;
    ms->clock = opts->clock ? opts->clock : &clock_system;
    if (opts->gossip.seed)
        rng_seed(&ms->rng, opts->gossip.seed);
    else
        rng_seed_system(&ms->rng);
    ms->opts.gossip.seed = rng_u64(&ms->rng);
}

static struct err *new_gossip(struct membership *ms, const struct membership_opts *opts)
{
    struct gossip_ops ops = {on_send, on_changed, on_can_forget, ms};
    struct member self = {.instance = opts->instance,
                          .zone = opts->zone ? opts->zone : "",
                          .rpc_addr = opts->rpc_addr ? opts->rpc_addr : "",
                          .http_addr = opts->http_addr ? opts->http_addr : "",
                          .roles = opts->roles,
                          .signals = opts->signals};
    struct tokens_file f;
    struct err *e = membership_load_tokens(ms, &f);

    if (e)
        return e;
    self.state = f.n ? MEMBER_JOINING : MEMBER_PENDING;
    self.registered_ms = f.registered_ms;
    self.incarnation = f.incarnation + 1;
    self.tokens = f.tokens;
    self.n_tokens = f.n;
    ms->has_stored_tokens = f.n > 0;
    ms->came_back = f.registered_ms != 0;
    e = gossip_new(&self, &ms->opts.gossip, &ops, membership_mono(ms), membership_wall(ms),
                   &ms->gossip);
    tokens_file_done(&f);
    return e;
}

struct err *membership_new(const struct membership_opts *opts, struct membership **ret)
{
    struct membership *ms;
    struct err *e;

    if (opts->rf > RING_MAX_RF || opts->alertmanager_rf > RING_MAX_RF)
        return err_new(ERR_INVALID, "membership: replication factor above %d", RING_MAX_RF);
    if (opts->n_tokens > MEMBER_MAX_TOKENS)
        return err_new(ERR_INVALID, "membership: more than %d tokens", MEMBER_MAX_TOKENS);
    ms = mem_new(struct membership);
    copy_opts(ms, opts);
    if ((e = new_gossip(ms, opts)) ||
        (e = gossip_kv_new(ms->gossip, "kv", MEMBERSHIP_KV_MAX, on_kv_change, ms, &ms->kv))) {
        membership_free(ms);
        return err_wrap(e, "membership");
    }
    membership_load_members(ms);
    membership_view_init(ms);
    ms->round_timer = loop_timer_new(opts->loop, on_round, ms);
    ms->publish_timer = loop_timer_new(opts->loop, on_publish, ms);
    if (opts->server)
        rpc_server_handle(opts->server, MEMBERSHIP_METHOD, on_call, ms);
    *ret = ms;
    return NULL;
}

void membership_start(struct membership *ms)
{
    ms->is_started = true;
    ms->started_ns = ms->joining_ns = membership_mono(ms);
    /* As they stand at first, so that addresses need no resolver to begin with. */
    gossip_set_seeds(ms->gossip, ms->opts.seeds, ms->opts.n_seeds);
    membership_resolve_seeds(ms);
    loop_timer_arm_ms(ms->round_timer, 0);
}

void membership_stop(struct membership *ms)
{
    ms->is_started = false;
    loop_timer_cancel(ms->round_timer);
    loop_timer_cancel(ms->publish_timer);
}

void membership_free(struct membership *ms)
{
    if (!ms)
        return;
    loop_timer_free(ms->round_timer);
    loop_timer_free(ms->publish_timer);
    if (ms->round_timer)
        membership_view_done(ms);
    gossip_kv_free(ms->kv);
    gossip_free(ms->gossip);
    for (size_t i = 0; i < ms->opts.n_seeds; i++)
        mem_free((char *)ms->opts.seeds[i]);
    mem_free((void *)ms->opts.seeds);
    mem_free((char *)ms->opts.tokens_path);
    mem_free((char *)ms->opts.members_path);
    mem_free(ms);
}

void membership_set_active(struct membership *ms)
{
    ms->wants_active = true;
    settle(ms);
}

void membership_leave(struct membership *ms)
{
    ms->wants_active = false;
    enter(ms, MEMBER_LEAVING);
    settle(ms);
}

void membership_left(struct membership *ms)
{
    ms->wants_active = false;
    enter(ms, MEMBER_LEFT);
    membership_remove_tokens(ms);
    settle(ms);
}

struct gossip *membership_gossip(struct membership *ms)
{
    return ms->gossip;
}

void membership_wake(struct membership *ms)
{
    settle(ms);
}

struct gossip_kv *membership_kv(struct membership *ms)
{
    return ms->kv;
}
