/* What others see of the membership: rings, subscribers, metrics. */
#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/base/metric.h"
#include "common/ring/membership.h"
#include "common/ring/membership_internal.h"

static const struct view_ring {
    uint32_t role, signal;
} view_rings[MEMBERSHIP_RINGS] = {
    {MEMBER_INGESTER, MEMBER_METRICS},
    {MEMBER_INGESTER, MEMBER_LOGS},
    {MEMBER_INGESTER, MEMBER_TRACES},
    {MEMBER_INGESTER, MEMBER_PROFILES},
    {MEMBER_QUERIER, 0},
    {MEMBER_COMPACTOR, 0},
    {MEMBER_RULER, 0},
    {MEMBER_ALERTMANAGER, 0},
};

static const struct metric_field gossip_fields[] = {
    METRIC_COUNTER(struct gossip_metrics, sent, "orrery_gossip_sent_messages_total",
                   "Gossip messages sent."),
    METRIC_COUNTER(struct gossip_metrics, sent_bytes, "orrery_gossip_sent_bytes_total",
                   "Bytes of gossip messages sent."),
    METRIC_COUNTER(struct gossip_metrics, received, "orrery_gossip_received_messages_total",
                   "Gossip messages received."),
    METRIC_COUNTER(struct gossip_metrics, received_bytes, "orrery_gossip_received_bytes_total",
                   "Bytes of gossip messages received."),
    METRIC_COUNTER(struct gossip_metrics, refused, "orrery_gossip_refused_total",
                   "Gossip messages and members refused: malformed, of another cluster, too many."),
    METRIC_COUNTER(struct gossip_metrics, merged, "orrery_gossip_merged_members_total",
                   "Entries of members taken over from others."),
    METRIC_COUNTER(struct gossip_metrics, refuted, "orrery_gossip_refuted_total",
                   "Times this process outranked an entry of its own that others held."),
    METRIC_COUNTER(struct gossip_metrics, forgotten, "orrery_gossip_forgotten_members_total",
                   "Members forgotten here, by themselves or by an operator."),
    METRIC_COUNTER(struct gossip_metrics, deltas_queued, "orrery_gossip_deltas_total",
                   "Deltas of channels queued to be passed on."),
    METRIC_COUNTER(struct gossip_metrics, deltas_dropped, "orrery_gossip_dropped_deltas_total",
                   "Deltas dropped for want of room; the full sync repairs that."),
    METRIC_COUNTER(struct gossip_metrics, oversized, "orrery_gossip_oversized_total",
                   "Messages not sent because they were too large."),
    METRIC_COUNTER(struct gossip_metrics, name_conflicts, "orrery_gossip_name_conflicts_total",
                   "Messages of another process that goes by our name."),
};

static const struct metric_field view_fields[] = {
    METRIC_GAUGE(struct membership_gauges, members, "orrery_ring_members",
                 "Members known that have not left."),
    METRIC_GAUGE(struct membership_gauges, unhealthy, "orrery_ring_unhealthy_members",
                 "Members whose heartbeat this process has not seen move for too long."),
    METRIC_GAUGE(struct membership_gauges, active, "orrery_ring_active_members",
                 "Members that are ACTIVE and healthy."),
};

void membership_view_init(struct membership *ms)
{
    for (size_t k = 0; k < MEMBERSHIP_RINGS; k++)
        snapshot_cell_init(&ms->cells[k], LOCK_RING);
    metric_register(gossip_metrics(ms->gossip), gossip_fields, ORR_COUNT(gossip_fields), NULL);
    metric_register(&ms->gauges, view_fields, ORR_COUNT(view_fields), NULL);
    ms->rings_are_due = true;
    membership_publish(ms);
}

void membership_view_done(struct membership *ms)
{
    metric_unregister(gossip_metrics(ms->gossip));
    metric_unregister(&ms->gauges);
    for (size_t k = 0; k < MEMBERSHIP_RINGS; k++)
        snapshot_cell_done(&ms->cells[k]);
    vec_done(&ms->subs);
    vec_done(&ms->kv_subs);
}

static bool is_of(const struct view_ring *kind, const struct member *m)
{
    return (m->roles & kind->role) && (!kind->signal || (m->signals & kind->signal));
}

/* Changes when a ring made from in would. */
static uint64_t key_of(const struct ring_input *in, size_t n)
{
    uint64_t h = 1;

    for (size_t i = 0; i < n; i++) {
        uint64_t facts[3] = {in[i].member->incarnation, in[i].member->version, in[i].is_healthy};

        h = hash_xxh64(slice_cstr(in[i].member->instance), h);
        h = hash_xxh64(slice_of(facts, sizeof(facts)), h);
    }
    return h;
}

static bool publish_one(struct membership *ms, size_t k, struct ring_input *in)
{
    const struct view_ring *kind = &view_rings[k];
    struct ring_opts opts = {.role = kind->role, .signal = kind->signal, .rf = 1};
    size_t n = 0;
    uint64_t key;
    struct ring *ring;

    for (size_t i = 0; i < gossip_count(ms->gossip); i++) {
        struct gossip_entry e = gossip_entry(ms->gossip, i);

        if (is_of(kind, e.member))
            in[n++] = (struct ring_input){e.member, e.is_healthy};
    }
    key = key_of(in, n);
    if (key == ms->ring_keys[k])
        return false;
    ms->ring_keys[k] = key;
    if (kind->role == MEMBER_INGESTER) {
        opts.rf = ms->opts.rf;
        opts.needs_zones = ms->opts.needs_zones;
    } else if (kind->role == MEMBER_ALERTMANAGER) {
        opts.rf = ms->opts.alertmanager_rf;
    }
    ring = ring_new(in, n, &opts);
    snapshot_cell_set(&ms->cells[k], (struct snapshot *)ring);
    return true;
}

static void count_members(struct membership *ms)
{
    struct membership_gauges g = {0};

    for (size_t i = 0; i < gossip_count(ms->gossip); i++) {
        struct gossip_entry e = gossip_entry(ms->gossip, i);

        if (e.member->state == MEMBER_LEFT)
            continue;
        g.members++;
        g.unhealthy += !e.is_healthy;
        g.active += e.is_healthy && e.member->state == MEMBER_ACTIVE;
    }
    METRIC_SET(ms->gauges.members, g.members);
    METRIC_SET(ms->gauges.unhealthy, g.unhealthy);
    METRIC_SET(ms->gauges.active, g.active);
}

void membership_publish(struct membership *ms)
{
    struct ring_input *in;
    bool any = false;

    if (!ms->rings_are_due)
        return;
    ms->rings_are_due = false;
    atomic_store(&ms->self_state, (int)gossip_self(ms->gossip)->state);
    count_members(ms);
    in = mem_new_array(struct ring_input, gossip_count(ms->gossip) + 1);
    for (size_t k = 0; k < MEMBERSHIP_RINGS; k++)
        any |= publish_one(ms, k, in);
    mem_free(in);
    for (size_t i = 0; any && i < ms->subs.len; i++)
        ms->subs.ptr[i].fn(ms->subs.ptr[i].arg);
}

struct ring *membership_ring(struct membership *ms, uint32_t role, uint32_t signal)
{
    size_t k = 0;

    while (k < MEMBERSHIP_RINGS &&
           (view_rings[k].role != role || (view_rings[k].signal && view_rings[k].signal != signal)))
        k++;
    ORR_ASSERT(k < MEMBERSHIP_RINGS); /* one role, and one signal where it matters */
    return (struct ring *)snapshot_cell_get(&ms->cells[k]);
}

void membership_subscribe(struct membership *ms, membership_fn *fn, void *arg)
{
    vec_push(&ms->subs, ((struct membership_sub){fn, arg}));
}

void membership_unsubscribe(struct membership *ms, membership_fn *fn, void *arg)
{
    for (size_t i = 0; i < ms->subs.len; i++) {
        if (ms->subs.ptr[i].fn == fn && ms->subs.ptr[i].arg == arg) {
            vec_remove_swap(&ms->subs, i);
            return;
        }
    }
}

void membership_kv_subscribe(struct membership *ms, const char *prefix, gossip_kv_fn *fn, void *arg)
{
    vec_push(&ms->kv_subs, ((struct membership_kv_sub){prefix, fn, arg, false}));
}

void membership_kv_subscribe_own(struct membership *ms, const char *prefix, gossip_kv_fn *fn,
                                 void *arg)
{
    vec_push(&ms->kv_subs, ((struct membership_kv_sub){prefix, fn, arg, true}));
}

enum member_state membership_self_state(const struct membership *ms)
{
    return (enum member_state)atomic_load(&ms->self_state);
}
