#include "querier/tomb_news.h"

#include "common/base/lock.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/reader.h"
#include "common/block/writelease.h"
#include "common/rpc/peercall.h"

#define FORWARD_TIMEOUT_MS 60000
#define FORWARD_MAX_BYTES 64

/* Shared by the caller and the calls, the last of which may end after the caller has gone. */
struct news {
    struct lock lock;
    pthread_cond_t changed;
    size_t pending;
    unsigned refs;
};

static void news_unref(struct news *n) /* with the lock; gives it back */
{
    bool is_last = --n->refs == 0;

    lock_release(&n->lock);
    if (!is_last)
        return;
    (void)pthread_cond_destroy(&n->changed);
    lock_done(&n->lock);
    mem_free(n);
}

static void on_heard(void *arg, struct slice payload, bool is_last, const struct err *e)
{
    struct news *n = arg;

    (void)payload;
    if (!is_last)
        return;
    if (e)
        LOG_WARN(querier, "a querier did not hear of a deletion; gossip will tell it", KV_ERR(e));
    lock_take(&n->lock);
    n->pending--;
    (void)pthread_cond_signal(&n->changed);
    news_unref(n);
}

/* Each signal has a method: who knows of no other signal refuses those of its lists. */
static const char *method_of(struct slice signal, const char *metrics, const char *logs)
{
    return slice_eq_cstr(signal, "logs") ? logs : metrics;
}

static void call_all(struct process *p, struct news *n, struct slice signal, struct slice tenant,
                     uint64_t version)
{
    struct ring *ring = membership_ring(process_membership(p), MEMBER_QUERIER, 0);
    struct rpc_call_opts opts = {
        .method = method_of(signal, "querier.tombstones", "querier.tombstones_logs"),
        .tenant = tenant,
        .timeout_ms = TOMB_NEWS_WAIT_MS};
    struct buf b = {0};

    buf_uvarint(&b, version);
    for (size_t i = 0; i < ring_size(ring); i++) {
        const struct member *m = ring_member(ring, i);

        if (!ring_is_healthy(ring, i) || strcmp(m->instance, process_instance(p)) == 0)
            continue;
        lock_take(&n->lock);
        n->pending++;
        n->refs++;
        lock_release(&n->lock);
        rpc_call(rpc_pool_peer(process_peers(p), m->rpc_addr), &opts, buf_slice(&b), on_heard, n,
                 NULL);
    }
    ring_unref(ring);
    buf_done(&b);
}

static void wait_all(struct news *n)
{
    struct timespec until;
    int64_t left_ms = TOMB_NEWS_WAIT_MS;

    lock_take(&n->lock);
    while (n->pending && left_ms > 0) {
        (void)clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += 50 * NS_PER_MS;
        if (until.tv_nsec >= NS_PER_S) {
            until.tv_nsec -= NS_PER_S;
            until.tv_sec++;
        }
        lock_wait_until(&n->lock, &n->changed, &until);
        left_ms -= 50; /* a call that ends early only makes this shorter */
    }
    news_unref(n);
}

void tomb_news_tell(struct process *p, struct slice signal, struct slice tenant, uint64_t version)
{
    struct news *n = mem_new(struct news);
    char *key = mem_printf(TOMB_NEWS_PREFIX "%.*s/%.*s", SLICE_ARG(signal), SLICE_ARG(tenant));

    lock_init(&n->lock, LOCK_LEAF_MODULE);
    lock_cond_init(&n->changed);
    n->refs = 1;
    membership_kv_post(process_membership(p), slice_cstr(key), version, SLICE_EMPTY);
    mem_free(key);
    call_all(p, n, signal, tenant, version);
    wait_all(n);
}

struct err *tomb_news_forward(struct process *p, struct slice signal, struct slice tenant,
                              struct slice change, uint64_t *ret_version)
{
    struct ring *ring = membership_ring(process_membership(p), MEMBER_COMPACTOR, 0);
    struct peercall_opts opts = {
        .pool = process_peers(p),
        .loop = process_loop(p, 0),
        .method = method_of(signal, "compactor.tombstones", "compactor.tombstones_logs"),
        .tenant = tenant,
        .timeout_ms = FORWARD_TIMEOUT_MS,
        .max_bytes = FORWARD_MAX_BYTES};
    char key[WRITELEASE_KEY_BYTES];
    struct buf answer = {0};
    struct reader r;
    struct err *e;
    int owner;

    writelease_key(writelease_shard(tenant), key);
    owner = ring_owner(ring, ring_key(slice_cstr(key)));
    if (owner < 0) {
        e = err_new(ERR_UNAVAILABLE, "the bucket has no conditional puts, so a compactor has to "
                                     "write a deletion, and there is none (s3.one-writer)");
    } else {
        opts.address = ring_member(ring, (size_t)owner)->rpc_addr;
        e = peercall_run(&opts, change, &answer);
    }
    ring_unref(ring);
    if (!e) {
        r = reader_new(buf_slice(&answer));
        *ret_version = reader_uvarint(&r);
        if (!reader_ok(&r))
            e = err_new(ERR_CORRUPT, "a compactor answers a deletion with no version");
    }
    buf_done(&answer);
    return e;
}
