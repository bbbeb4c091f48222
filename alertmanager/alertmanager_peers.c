/* The peers that hold a tenant's alerts, and what is asked of them before one speaks (amclaim.h). */
#include "alertmanager/alertmanager_internal.h"
#include "alertmanager/amclaim.h"
#include "common/base/log.h"
#include "common/base/mem.h"

#define TELL_TIMEOUT_MS 5000

struct alertmanager_replicas alertmanager_replicas(struct alertmanager *am, struct slice tenant)
{
    struct alertmanager_replicas r = {
        .ring = membership_ring(process_membership(am->process), MEMBER_ALERTMANAGER, 0)};

    r.reps = amturn_replicas(r.ring, tenant);
    r.self = ring_find(r.ring, slice_cstr(process_instance(am->process)));
    return r;
}

static void told(void *arg, struct slice payload, bool is_last, const struct err *e)
{
    struct alertmanager *am = arg;

    (void)payload;
    if (!is_last)
        return;
    am->calls--;
    am->metrics.forwards_failed += e != NULL;
}

void alertmanager_tell(struct alertmanager *am, const struct member *peer, const char *method,
                       struct slice tenant, struct slice payload)
{
    am->calls++;
    rpc_call(
        rpc_pool_peer(process_peers(am->process), peer->rpc_addr),
        &(struct rpc_call_opts){.method = method, .tenant = tenant, .timeout_ms = TELL_TIMEOUT_MS},
        payload, told, am, NULL);
}

unsigned alertmanager_position(struct alertmanager *am, struct slice tenant, struct slice group)
{
    struct ring *ring = membership_ring(process_membership(am->process), MEMBER_ALERTMANAGER, 0);
    unsigned ret = amturn_position(ring, slice_cstr(process_instance(am->process)), tenant, group);

    ring_unref(ring);
    return ret;
}

/* ---- asking ---- */

/* One note that waits for its peers' answers. */
struct claiming {
    struct alertmanager *am;
    struct slice tenant; /* heap */
    uint64_t id, stamp;
    unsigned waiting;
    bool may_speak, has_news;
};
/* One question. */
struct claim_call {
    struct claiming *claiming;
    struct slice peer; /* heap; instance */
};

static void all_answered(struct claiming *c)
{
    struct alertmanager *am = c->am;
    struct dispatch *d = alertmanager_tenant(am, c->tenant, false);

    if (c->has_news)
        alertmanager_disk_write(am);
    if (d && !am->is_draining)
        dispatch_asked(d, c->id, c->may_speak, alertmanager_now());
    alertmanager_arm(am, c->tenant);
    mem_free((void *)c->tenant.ptr);
    mem_free(c);
}

static void take_answer(struct claiming *c, struct slice peer, struct slice answer)
{
    struct amclaim_rank own = {c->stamp, slice_cstr(process_instance(c->am->process))};
    bool may_speak = true, news = false;
    struct err *e = amclaim_take(answer, peer, &own, c->am->log, clock_wall_ms(&clock_system),
                                 &c->am->claim_clock, &may_speak, &news);

    if (e) {
        c->am->metrics.claims_failed++;
        LOG_WARN(nflog, "answer of a peer refused", KV_SLICE("peer", peer), KV_ERR(e));
        err_free(e);
    }
    c->may_speak &= may_speak;
    c->has_news |= news;
}

static void answered(void *arg, struct slice payload, bool is_last, const struct err *e)
{
    struct claim_call *call = arg;
    struct claiming *c = call->claiming;

    if (!is_last)
        return;
    c->am->calls--;
    if (e)
        c->am->metrics.claims_failed++;
    else
        take_answer(c, call->peer, payload);
    mem_free((void *)call->peer.ptr);
    mem_free(call);
    if (--c->waiting == 0)
        all_answered(c);
}

static void ask_peer(struct claiming *c, const struct member *m, struct slice question)
{
    struct claim_call *call = mem_new(struct claim_call);
    struct rpc_call_opts opts = {
        .method = ALERTMANAGER_CLAIM,
        .tenant = c->tenant,
        .timeout_ms = amclaim_timeout_ns(c->am->peer_timeout_ns) / NS_PER_MS,
    };

    *call = (struct claim_call){c, slice_of(mem_strdup(m->instance), strlen(m->instance))};
    c->waiting++;
    c->am->calls++;
    rpc_call(rpc_pool_peer(process_peers(c->am->process), m->rpc_addr), &opts, question, answered,
             call, NULL);
}

bool alertmanager_claim(struct alertmanager *am, struct slice tenant, uint64_t id, struct slice key,
                        uint64_t stamp)
{
    struct alertmanager_replicas r = alertmanager_replicas(am, tenant);
    struct claiming *c = NULL;
    struct buf question = {0};

    amclaim_question(&question, key, stamp);
    for (size_t i = 0; i < r.reps.n; i++) {
        if (r.reps.at[i] == r.self)
            continue;
        if (!c) {
            c = mem_new(struct claiming);
            *c = (struct claiming){.am = am,
                                   .tenant = slice_of(slice_dup(tenant), tenant.len),
                                   .id = id,
                                   .stamp = stamp,
                                   .may_speak = true};
        }
        ask_peer(c, ring_member(r.ring, r.reps.at[i]), buf_slice(&question));
    }
    buf_done(&question);
    ring_unref(r.ring);
    return c != NULL; /* answers never come from within rpc_call() */
}

/* ---- being asked ---- */

void alertmanager_on_claim(void *arg, struct rpc_call *call)
{
    struct alertmanager *am = arg;
    struct dispatch *d = alertmanager_tenant(am, rpc_call_tenant(call), false);
    struct buf b = {0};
    struct err *e = amclaim_answer(&b, rpc_call_payload(call), d, am->log, &am->claim_clock);

    if (e)
        rpc_reply_err(call, e);
    else
        rpc_reply_buf(call, &b);
    buf_done(&b);
}
