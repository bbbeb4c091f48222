/* Silences: set and ended by HTTP, spread among the alertmanagers. */
#include "alertmanager/alertmanager_asking.h"
#include "alertmanager/silence_json.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/metric.h"

#define CHANNEL "silences"
#define SPREAD_TIMEOUT_MS                                                                          \
    1000 /* that a reply waits for replicas; gossip brings it to them anyway */

static int64_t wall_ns(void)
{
    return clock_wall_ns(&clock_system);
}

/* ---- from peers ---- */

static void refused(struct alertmanager *am, struct err *e)
{
    if (!e)
        return;
    am->metrics.log_errors++;
    LOG_WARN(alertmanager, "silence of a peer refused", KV_ERR(e));
    err_free(e);
}

static bool on_delta(void *arg, struct slice bytes)
{
    struct alertmanager *am = arg;
    bool news = false;

    refused(am, silences_merge(am->silences, bytes, wall_ns(), &news));
    if (news)
        alertmanager_disk_write(am);
    return news;
}

static void write_state(void *arg, struct buf *out)
{
    struct alertmanager *am = arg;

    silences_write_state(am->silences, out);
}

static void merge_state(void *arg, struct slice bytes)
{
    struct alertmanager *am = arg;

    refused(am, silences_merge_state(am->silences, bytes, wall_ns()));
    alertmanager_disk_write(am);
}

void alertmanager_on_silences(void *arg, struct rpc_call *call)
{
    merge_state(arg, rpc_call_payload(call));
    rpc_reply(call, SLICE_EMPTY);
}

struct err *alertmanager_silences_open(struct alertmanager *am)
{
    struct gossip_channel ch = {
        CHANNEL, MEMBER_ALERTMANAGER, on_delta, write_state, merge_state, am, true};

    return gossip_add_channel(membership_gossip(process_membership(am->process)), &ch);
}

void alertmanager_silences_close(struct alertmanager *am)
{
    gossip_remove_channel(membership_gossip(process_membership(am->process)), CHANNEL);
}

/* ---- to peers ---- */

static void kept(void *arg)
{
    struct asking *a = arg;

    if (--a->waiting == 0)
        asking_answered(a);
}

static void replica_has_it(void *arg, struct slice payload, bool is_last, const struct err *e)
{
    struct asking *a = arg;

    (void)payload;
    if (!is_last)
        return;
    a->am->calls--;
    a->am->metrics.forwards_failed += e != NULL;
    kept(a);
}

static void gossip(struct alertmanager *am, struct slice key, struct slice entry)
{
    struct err *e = gossip_broadcast(membership_gossip(process_membership(am->process)), CHANNEL,
                                     key, entry, clock_mono_ns(&clock_system));

    if (!e)
        return;
    am->metrics.log_errors++;
    LOG_WARN(alertmanager, "silence not spread", KV_ERR(e));
    err_free(e);
}

/* Those who may be about to speak hear of it before who asked for it does; everybody by gossip. */
static void spread(struct asking *a, struct slice state)
{
    struct alertmanager_replicas r = alertmanager_replicas(a->am, a->tenant);
    struct rpc_call_opts opts = {
        .method = ALERTMANAGER_SILENCES, .tenant = a->tenant, .timeout_ms = SPREAD_TIMEOUT_MS};

    for (size_t i = 0; i < r.reps.n; i++)
        if (r.reps.at[i] != r.self) {
            a->waiting++;
            a->am->calls++;
            rpc_call(rpc_pool_peer(process_peers(a->am->process),
                                   ring_member(r.ring, r.reps.at[i])->rpc_addr),
                     &opts, state, replica_has_it, a, NULL);
        }
    ring_unref(r.ring);
}

/* The reply waits until the silence of this id, and the one that it replaces, are kept. */
static void keep(struct asking *a, struct slice id, struct slice replaced)
{
    const struct slice ids[] = {replaced, id};
    struct buf state = {0};

    for (size_t i = 0; i < ORR_COUNT(ids); i++) {
        struct buf key = {0}, entry = {0};

        if (!ids[i].len || (i && slice_eq(id, replaced)))
            continue;
        silences_key(&key, a->tenant, ids[i]);
        silences_entry(a->am->silences, buf_slice(&key), &entry);
        if (entry.len) {
            buf_lstr(&state, buf_slice(&entry));
            gossip(a->am, buf_slice(&key), buf_slice(&entry));
        }
        buf_done(&key);
        buf_done(&entry);
    }
    membership_wake(process_membership(a->am->process));
    alertmanager_count_silences(a->am, wall_ns());
    a->waiting = 2; /* the disk, and us until all calls have been started */
    spread(a, buf_slice(&state));
    buf_done(&state);
    alertmanager_disk_write_then(a->am, kept, a);
    kept(a);
}

/* ---- asked for; on the role's loop ---- */

static void failed(struct asking *a, struct err *e)
{
    METRIC_ADD(a->am->metrics.silences_refused, 1); /* loops of requests do too */
    amapi_error(&a->answer, e);
    asking_answered(a);
}

static void run_set(void *arg)
{
    struct asking *a = arg;
    struct tenant_limits tl;
    struct silences_limits limits;
    struct slice id;
    struct err *e;

    limits_get(a->am->limits, a->tenant, &tl);
    limits = (struct silences_limits){(size_t)tl.alertmanager_max_silences_count,
                                      (size_t)tl.alertmanager_max_silences_bytes};
    if ((e = silences_set(a->am->silences, a->tenant, &a->silence, &limits, wall_ns(), &id))) {
        failed(a, e);
        return;
    }
    a->answer.status = 200;
    buf_str(&a->answer.body, "{\"silenceID\":");
    buf_json_str(&a->answer.body, id);
    buf_str(&a->answer.body, "}\n");
    keep(a, id, a->silence.id);
}

static void run_expire(void *arg)
{
    struct asking *a = arg;
    struct err *e = silences_expire(a->am->silences, a->tenant, a->silence.id, wall_ns());

    if (e) {
        failed(a, e);
        return;
    }
    a->answer.status = 200;
    keep(a, a->silence.id, SLICE_EMPTY);
}

/* ---- on the loop of the request ---- */

void alertmanager_change_silence(struct asking *a, bool is_new)
{
    loop_post(a->am->loop, is_new ? run_set : run_expire, a);
}

void alertmanager_handle_post_silence(struct http_request *r)
{
    struct asking *a = asking_new(r);
    struct err *e;

    if (!a)
        return;
    if ((e = silence_from_json(r->arena, r->body, &a->silence))) {
        METRIC_ADD(a->am->metrics.silences_refused, 1);
        amapi_error(&a->answer, e);
        asking_reply(a);
        return;
    }
    alertmanager_change_silence(a, true);
}

void alertmanager_handle_delete_silence(struct http_request *r)
{
    struct asking *a = asking_new(r);

    if (!a)
        return;
    a->silence.id = http_request_segment(r, "id");
    alertmanager_change_silence(a, false);
}
