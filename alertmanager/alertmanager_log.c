#include <errno.h>

#include "alertmanager/alertmanager_internal.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/reader.h"

#define SPREAD_TIMEOUT_MS 5000

/*
 * On disk: a key "n" and the entry's key → the entry (nflog.h). Written in batches by a worker,
 * synced.
 */

static int64_t wall_ms(void)
{
    return clock_wall_ms(&clock_system);
}

/* ---- peers ---- */

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
        alertmanager_log_write(am);
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
    alertmanager_log_write(am);
}

static void spread(void *arg, struct slice payload, bool is_last, const struct err *e)
{
    struct alertmanager *am = arg;

    (void)payload;
    if (!is_last)
        return;
    am->calls--;
    am->metrics.forwards_failed += e != NULL;
}

/* Those whose turn comes next hear of it at once, everybody by gossip. */
static void spread_to_replicas(struct alertmanager *am, struct slice tenant, struct slice entry)
{
    struct alertmanager_replicas r = alertmanager_replicas(am, tenant);
    struct rpc_call_opts opts = {
        .method = ALERTMANAGER_TOLD, .tenant = tenant, .timeout_ms = SPREAD_TIMEOUT_MS};

    for (size_t i = 0; i < r.reps.n; i++)
        if (r.reps.at[i] != r.self) {
            am->calls++;
            rpc_call(rpc_pool_peer(process_peers(am->process),
                                   ring_member(r.ring, r.reps.at[i])->rpc_addr),
                     &opts, entry, spread, am, NULL);
        }
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
    alertmanager_log_write(am);
}

/* ---- disk ---- */

struct writing {
    struct alertmanager *am;
    struct kv_batch *batch;
    struct buf keys;  /* lstr each: to be written again if this fails */
    struct kv *kv;    /* opened by this job: the disk was full at start */
    struct buf found; /* lstr each: its entries */
    struct err *e;
};

static void writing_free(struct writing *w)
{
    kv_batch_free(w->batch);
    buf_done(&w->keys);
    buf_done(&w->found);
    mem_free(w);
}

static void add_dirty(void *arg, struct slice key, struct slice entry)
{
    struct writing *w = arg;
    struct buf k = {0};

    buf_byte(&k, 'n');
    buf_slice_append(&k, key);
    if (entry.len)
        kv_batch_put(w->batch, buf_slice(&k), entry);
    else
        kv_batch_delete(w->batch, buf_slice(&k));
    buf_lstr(&w->keys, key);
    buf_done(&k);
}

static struct err *open_kv(struct alertmanager *am, struct kv **ret)
{
    char *dir = mem_printf("%s/alertmanager", process_data_dir(am->process));
    struct err *e = kv_open(dir, NULL, ret);

    mem_free(dir);
    return e;
}

static struct err *collect(void *arg, struct slice key, struct slice value)
{
    (void)key;
    buf_lstr(arg, value);
    return NULL;
}

static void write_batch(void *arg)
{
    struct writing *w = arg;
    struct kv *kv = w->am->kv;

    if (!kv) {
        if ((w->e = open_kv(w->am, &w->kv)) ||
            (w->e = kv_each(w->kv, SLICE("n"), collect, &w->found)))
            return;
        kv = w->kv;
    }
    w->e = kv_write(kv, w->batch, true);
}

static void merge_entry(struct alertmanager *am, struct slice entry)
{
    struct err *e = nflog_merge(am->log, entry, wall_ms(), NULL);

    if (!e)
        return;
    am->metrics.log_errors++;
    LOG_WARN(nflog, "entry on disk refused", KV_U64("bytes", entry.len), KV_ERR(e));
    err_free(e);
}

/* What a disk that was full at start had to tell. */
static void take_kv(struct writing *w)
{
    if (!w->kv)
        return;
    w->am->kv = w->kv;
    for (struct reader r = reader_new(buf_slice(&w->found)); reader_left(&r);)
        merge_entry(w->am, reader_lstr(&r));
}

static void written(void *arg)
{
    struct writing *w = arg;
    struct alertmanager *am = w->am;

    take_kv(w);
    if (w->e) {
        am->metrics.log_errors++;
        LOG_ERROR(nflog, "notification log not written, it will be tried again", KV_ERR(w->e));
        for (struct reader r = reader_new(buf_slice(&w->keys)); reader_left(&r);)
            nflog_mark_dirty(am->log, reader_lstr(&r));
    }
    err_free(w->e);
    writing_free(w);
    am->is_writing = false;
    if (am->must_write)
        alertmanager_log_write(am);
}

void alertmanager_log_write(struct alertmanager *am)
{
    struct writing *w;
    struct err *e;

    am->must_write = am->is_writing;
    if (am->is_writing)
        return;
    w = mem_new(struct writing);
    w->am = am;
    w->batch = kv_batch_new();
    nflog_take_dirty(am->log, add_dirty, w);
    if (kv_batch_count(w->batch) == 0 && am->kv) {
        writing_free(w);
        return;
    }
    am->is_writing = true;
    if ((e = job_run(process_jobs(am->process), am->loop, write_batch, written, w))) {
        w->e = e;
        written(w);
    }
}

static struct err *load(void *arg, struct slice key, struct slice value)
{
    (void)key;
    merge_entry(arg, value);
    return NULL;
}

/* On a full disk notifications go on, with the log in memory and at the peers; alertmanager_log_write
 * opens it later. */
static struct err *open_and_load(struct alertmanager *am)
{
    struct err *e = open_kv(am, &am->kv);

    if (!e)
        return kv_each(am->kv, SLICE("n"), load, am);
    if (err_errnum_of(e) != ENOSPC)
        return e;
    am->metrics.log_errors++;
    LOG_ERROR(nflog, "notification log not opened, it will be tried again", KV_ERR(e));
    err_free(e);
    return NULL;
}

struct err *alertmanager_log_open(struct alertmanager *am)
{
    struct gossip_channel ch = {ALERTMANAGER_CHANNEL, MEMBER_ALERTMANAGER, on_delta,
                                write_state,          merge_state,         am};
    struct err *e;

    am->log = nflog_new();
    if (!(e = open_and_load(am)))
        e = gossip_add_channel(membership_gossip(process_membership(am->process)), &ch);
    return e;
}

void alertmanager_log_close(struct alertmanager *am)
{
    gossip_remove_channel(membership_gossip(process_membership(am->process)), ALERTMANAGER_CHANNEL);
    if (am->is_writing)
        return; /* a shutdown that ran out of time: a worker still holds them */
    kv_close(am->kv);
    nflog_free(am->log);
}
