/* The notification log among peers. */
#include "alertmanager/alertmanager_internal.h"
#include "common/base/log.h"

static int64_t wall_ms(void)
{
    return clock_wall_ms(&clock_system);
}

/* Whether it was news. */
static bool take_entry(struct alertmanager *am, struct slice bytes)
{
    bool news = false;
    struct err *e = nflog_merge(am->log, bytes, wall_ms(), &news);

    if (e) {
        am->metrics.log_errors++;
        LOG_WARN(nflog, "entry of a peer refused", KV_ERR(e));
        err_free(e);
        return false;
    }
    if (news)
        alertmanager_disk_write(am);
    return news;
}

static bool on_delta(void *arg, struct slice bytes)
{
    return take_entry(arg, bytes);
}

void alertmanager_log_on_told(void *arg, struct rpc_call *call)
{
    (void)take_entry(arg, rpc_call_payload(call));
    rpc_reply(call, SLICE_EMPTY);
}

static void write_state(void *arg, struct buf *out)
{
    struct alertmanager *am = arg;

    nflog_write_state(am->log, out);
}

static void merge_state(void *arg, struct slice bytes)
{
    struct alertmanager *am = arg;
    struct err *e = nflog_merge_state(am->log, bytes, wall_ms());

    if (e) {
        am->metrics.log_errors++;
        LOG_WARN(nflog, "state of a peer refused", KV_ERR(e));
    }
    err_free(e);
    alertmanager_disk_write(am);
}

/* Those whose turn comes next hear of it at once, everybody by gossip. */
static void spread_to_replicas(struct alertmanager *am, struct slice tenant, struct slice entry)
{
    struct alertmanager_replicas r = alertmanager_replicas(am, tenant);

    for (size_t i = 0; i < r.reps.n; i++)
        if (r.reps.at[i] != r.self)
            alertmanager_tell(am, ring_member(r.ring, r.reps.at[i]), ALERTMANAGER_TOLD, tenant,
                              entry);
    ring_unref(r.ring);
}

void alertmanager_log_told(struct alertmanager *am, struct slice tenant, struct slice key)
{
    struct membership *ms = process_membership(am->process);
    struct buf b = {0};
    struct err *e;

    nflog_entry(am->log, key, &b);
    spread_to_replicas(am, tenant, buf_slice(&b));
    e = gossip_broadcast(membership_gossip(ms), ALERTMANAGER_CHANNEL, key, buf_slice(&b),
                         clock_mono_ns(&clock_system));
    membership_wake(ms);
    if (e) {
        am->metrics.log_errors++;
        LOG_WARN(nflog, "entry not spread", KV_ERR(e));
    }
    err_free(e);
    buf_done(&b);
    alertmanager_disk_write(am);
}

struct err *alertmanager_log_open(struct alertmanager *am)
{
    struct gossip_channel ch = {
        ALERTMANAGER_CHANNEL, MEMBER_ALERTMANAGER, on_delta, write_state, merge_state, am, true};

    return gossip_add_channel(membership_gossip(process_membership(am->process)), &ch);
}

void alertmanager_log_close(struct alertmanager *am)
{
    gossip_remove_channel(membership_gossip(process_membership(am->process)), ALERTMANAGER_CHANNEL);
}
