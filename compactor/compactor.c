#include "compactor/compactor.h"

#include "common/base/clock.h"
#include "common/base/fsx.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/thread.h"
#include "common/objstore/s3conf.h"
#include "compactor/compactor_internal.h"

#define SETTLE_MS 100 /* hints within this time of one another cost one round */

static const struct conf_field compactor_fields[] = {
    CONF_DURATION(struct compactor_conf, poll_interval_ns, "poll-interval", "10s", "100ms", "1h",
                  CONF_RELOAD, "How often ingesters are asked for their segments."),
    CONF_DURATION(struct compactor_conf, flush_wait_ns, "flush-wait", "2m", "0s", "24h",
                  CONF_RELOAD,
                  "How long segments of a window wait for those of ingesters that have none of it "
                  "yet."),
    CONF_DURATION(struct compactor_conf, early_wait_ns, "early-wait", "5s", "0s", "24h",
                  CONF_RELOAD,
                  "The same for segments that were cut before their time, on command or because "
                  "an ingester leaves."),
    CONF_DURATION(struct compactor_conf, cut_grace_ns, "cut-grace", "15m", "0s", "24h", CONF_RELOAD,
                  "How long after a window's end ingesters cut it by themselves."),
    CONF_DURATION(struct compactor_conf, drop_delay_ns, "drop-delay", "1s", "0s", "24h",
                  CONF_RELOAD,
                  "Time between a block's entry in the catalogue and the drop of its segments."),
    CONF_DURATION(struct compactor_conf, retry_min_ns, "retry-min", "5s", "10ms", "1h", CONF_RELOAD,
                  "Wait after a flush failed; doubled with each failure in a row."),
    CONF_DURATION(struct compactor_conf, retry_max_ns, "retry-max", "2m", "10ms", "24h",
                  CONF_RELOAD, "Longest such wait."),
    CONF_DURATION(struct compactor_conf, quarantine_ns, "quarantine", "1h", "1s", "720h",
                  CONF_RELOAD, "A corrupt segment is looked at again after this time."),
    CONF_DURATION(struct compactor_conf, rpc_timeout_ns, "rpc-timeout", "30s", "100ms", "10m",
                  CONF_RELOAD, "Longest time for 8 MiB of a segment to arrive."),
    CONF_INT(struct compactor_conf, concurrency, "concurrency", "1", "1", "64", CONF_RELOAD,
             "Flushes at a time."),
    CONF_BYTES(struct compactor_conf, max_segment_bytes, "max-segment-bytes", "64GiB", "1MiB",
               "16TiB", CONF_RELOAD, "Larger segments are refused as corrupt."),
    CONF_STRING(struct compactor_conf, block_ranges, "block-ranges", "2h,12h,24h", CONF_FIXED,
                "Ranges of time whose blocks become one, each a multiple of the one before."),
    CONF_STRING(struct compactor_conf, coarse_ranges, "downsampled-block-ranges", "24h,336h",
                CONF_FIXED, "The same for downsampled blocks, of which one holds more time."),
    CONF_DURATION(struct compactor_conf, after_5m_ns, "downsample-5m-after", "40h", "0s", "87600h",
                  CONF_RELOAD,
                  "Age at which a block of a tenant with limits.downsampling gets one beside it of "
                  "aggregates of 5 minutes."),
    CONF_DURATION(struct compactor_conf, after_1h_ns, "downsample-1h-after", "240h", "0s", "87600h",
                  CONF_RELOAD,
                  "Age at which a block of aggregates of 5 minutes gets one of an hour."),
    CONF_DURATION(struct compactor_conf, compaction_interval_ns, "compaction-interval", "5m",
                  "100ms", "24h", CONF_RELOAD, "How often the tenants' catalogues are looked at."),
    CONF_DURATION(struct compactor_conf, compaction_wait_ns, "compaction-wait", "30m", "0s", "24h",
                  CONF_RELOAD, "How long after its end a range waits for late blocks."),
    CONF_INT(struct compactor_conf, compaction_concurrency, "compaction-concurrency", "1", "1",
             "64", CONF_RELOAD, "Compactions at a time."),
    CONF_BYTES(struct compactor_conf, max_block_bytes, "max-block-bytes", "64GiB", "1MiB", "1TiB",
               CONF_RELOAD, "Blocks are not merged to more than about this."),
    CONF_DURATION(struct compactor_conf, sweep_interval_ns, "sweep-interval", "15m", "100ms", "24h",
                  CONF_RELOAD, "How often blocks that expired, were replaced or left are swept."),
    CONF_DURATION(struct compactor_conf, deletion_delay_ns, "deletion-delay", "12h", "0s", "720h",
                  CONF_RELOAD,
                  "How long the files of a block stay that was replaced or expired, for those who "
                  "still read it."),
    CONF_DURATION(
        struct compactor_conf, orphan_age_ns, "orphan-age", "24h", "0s", "720h", CONF_RELOAD,
        "Age of the newest file in a directory that the catalogue does not know before it "
        "is taken for an upload that came to nothing."),
    CONF_DURATION(
        struct compactor_conf, delete_rewrite_after_ns, "delete-rewrite-after", "12h", "0s",
        "8760h", CONF_RELOAD,
        "How long after a deletion the blocks that still hold what it deleted, because nothing "
        "was due to be merged with them, are rewritten by themselves."),
    CONF_BOOL(
        struct compactor_conf, is_dry, "dry-run", "false", CONF_RELOAD,
        "Only show on /compactor/status and in the log what compaction, retention and deletion "
        "would do. Flushes go on."),
};
const struct conf_section compactor_section = {"compactor", "Settings of orrery-compactor.",
                                               sizeof(struct compactor_conf), compactor_fields,
                                               ORR_COUNT(compactor_fields)};

/* ---- the thread ---- */

static struct plan_opts plan_opts_of(const struct compactor_conf *conf)
{
    return (struct plan_opts){.flush_wait_ms = conf->flush_wait_ns / NS_PER_MS,
                              .early_wait_ms = conf->early_wait_ns / NS_PER_MS,
                              .grace_ms = conf->cut_grace_ns / NS_PER_MS,
                              .drop_delay_ms = conf->drop_delay_ns / NS_PER_MS,
                              .retry_min_ms = conf->retry_min_ns / NS_PER_MS,
                              .retry_max_ms = conf->retry_max_ns / NS_PER_MS,
                              .quarantine_ms = conf->quarantine_ns / NS_PER_MS};
}

/* Sleeps until then, or a hint (but not before soonest), or the end. */
static void sleep_until(struct compactor *c, int64_t soonest_ms, int64_t until_ms)
{
    lock_take(&c->lock);
    for (;;) {
        int64_t at_ms = c->is_hinted ? soonest_ms : until_ms;
        struct timespec at = {at_ms / MS_PER_S, at_ms % MS_PER_S * NS_PER_MS};

        if (atomic_load(&c->is_stopping) || clock_mono_ms(&clock_system) >= at_ms)
            break;
        lock_wait_until(&c->lock, &c->changed, &at);
    }
    c->is_hinted = false;
    lock_release(&c->lock);
}

/* Returns when to look again. */
static int64_t run_round(struct compactor *c)
{
    struct conf *conf = process_conf(c->process);
    const struct compactor_conf *cc = conf_section(conf, "compactor");
    const struct plan_opts opts = plan_opts_of(cc);
    int64_t next_ms, poll_ms = clock_mono_ms(&clock_system) + cc->poll_interval_ns / NS_PER_MS;

    for (size_t i = 0; i < ORR_COUNT(c->parts); i++)
        plan_set_opts(c->parts[i].plan, &opts);
    next_ms = compactor_round(c, cc);
    conf_unref(conf);
    return ORR_MIN(next_ms, poll_ms);
}

/* Threads come and go only by these, and the drain waits for the last. */
static void count_threads(struct compactor *c, int more)
{
    process_done_fn *done = NULL;

    lock_take(&c->lock);
    c->running_threads += (unsigned)more;
    if (!c->running_threads) {
        done = c->done;
        c->done = NULL;
    }
    lock_release(&c->lock);
    if (done)
        done(c->done_arg);
}

static void on_ended(void *arg)
{
    count_threads(arg, -1);
}

static void *run(void *arg)
{
    struct compactor *c = arg;

    while (!atomic_load(&c->is_stopping)) {
        int64_t next_ms = run_round(c);
        int64_t soonest_ms = clock_mono_ms(&clock_system) + SETTLE_MS;

        sleep_until(c, soonest_ms, ORR_MAX(next_ms, soonest_ms));
    }
    on_ended(c);
    return NULL;
}

void compactor_hint(struct compactor *c)
{
    lock_take(&c->lock);
    c->is_hinted = true;
    (void)pthread_cond_signal(&c->changed);
    lock_release(&c->lock);
}

/* ---- the bucket ---- */

/* Whether the ring gives a share of the tenants to this process. Any thread. */
static bool wants_share(void *arg, unsigned share)
{
    struct compactor *c = arg;
    struct ring *ring = membership_ring(c->membership, MEMBER_COMPACTOR, 0);
    char key[WRITELEASE_KEY_BYTES];
    bool is_ours;

    writelease_key(share, key);
    is_ours = compactor_is_given(c, ring, ring_key(slice_cstr(key)));
    ring_unref(ring);
    return is_ours;
}

static void on_share(void *arg)
{
    struct compactor *c = arg;

    atomic_store(&c->has_gained, true);
    compactor_hint(c);
    upkeep_hint(c->upkeep);
}

static void open_store(struct compactor *c)
{
    struct conf *conf = process_conf(c->process);
    const struct s3conf *s3 = conf_section(conf, "s3");

    c->writers =
        writers_new(&(struct writers_opts){.below = process_objstore(c->process),
                                           .instance = process_instance(c->process),
                                           .lease_ms = ORR_MAX(s3->lease_timeout_ns / NS_PER_MS, 1),
                                           .put_ms = ORR_MAX(s3->request_timeout_ns / NS_PER_MS, 1),
                                           .wants = wants_share,
                                           .gained = on_share,
                                           .arg = c});
    c->store = writers_store(c->writers);
    c->deletes_ms = (s3->operation_timeout_ns + 2 * s3->request_timeout_ns) / NS_PER_MS;
    conf_unref(conf);
}

/* ---- the role ---- */

static void role_close(void *role);

static struct err *open_limits(struct compactor *c)
{
    struct conf *conf = process_conf(c->process);
    struct err *e = limits_new(conf, "compactor", &c->limits);

    conf_unref(conf);
    return e;
}

static struct err *role_open(struct process *p, void **ret)
{
    struct compactor *c = mem_new(struct compactor);
    struct err *e;

    c->process = p;
    c->peers = process_peers(p);
    c->loop = process_loop(p, 0);
    c->membership = process_membership(p);
    open_store(c);
    c->work_dir = mem_printf("%s/compactor/work", process_data_dir(p));
    for (size_t i = 0; i < ORR_COUNT(c->parts); i++) {
        c->parts[i].signal = signal_of((enum signal_kind)i);
        c->parts[i].plan = plan_new(&(struct plan_opts){0});
    }
    c->pool_threads = 1;
    lock_init(&c->lock, LOCK_LEAF_MODULE);
    lock_cond_init(&c->changed);
    compactor_pages_open(c);
    compactor_changes_open(c);
    /* what a crash left behind; every flush starts from the segments anew */
    if ((e = fsx_remove_tree(c->work_dir)) || (e = fsx_mkdirs(c->work_dir)) ||
        (e = open_limits(c)) || (e = upkeep_new(c, &c->upkeep))) {
        role_close(c);
        return e;
    }
    *ret = c;
    return NULL;
}

static void start_limits(void *arg)
{
    struct compactor *c = arg;

    limits_start(c->limits, c->loop, process_jobs(c->process));
}

/* Of a start that had no thread to begin with. */
static struct err *counted(struct compactor *c, struct err *e)
{
    if (e)
        on_ended(c);
    return e;
}

static struct err *role_start(void *role)
{
    struct compactor *c = role;
    struct err *e;

    count_threads(c, 1);
    e = counted(c, thread_start("compactor", run, c, &c->thread));
    c->has_thread = e == NULL;
    if (e)
        return e;
    loop_post(c->loop, start_limits, c);
    count_threads(c, 1);
    if ((e = counted(c, upkeep_start(c->upkeep, on_ended, c))))
        return e;
    count_threads(c, 1);
    return counted(c, writers_start(c->writers, on_ended, c));
}

static void stop(struct compactor *c)
{
    atomic_store(&c->is_stopping, true);
    lock_take(&c->lock);
    (void)pthread_cond_signal(&c->changed);
    lock_release(&c->lock);
}

/* A flush or job under way is broken off: the next one to own it starts over. */
static void role_drain(void *role, process_done_fn *done, void *arg)
{
    struct compactor *c = role;

    lock_take(&c->lock);
    c->done = done;
    c->done_arg = arg;
    lock_release(&c->lock);
    stop(c);
    upkeep_stop(c->upkeep);
    writers_stop(c->writers);
    count_threads(c, 0);
}

static void role_close(void *role)
{
    struct compactor *c = role;

    stop(c);
    if (c->has_thread)
        (void)pthread_join(c->thread, NULL);
    upkeep_free(c->upkeep);
    writers_free(c->writers);
    if (c->limits)
        limits_stop(c->limits);
    limits_free(c->limits);
    compactor_pages_close(c);
    job_pool_free(c->pool);
    compactor_catalogues_done(c);
    for (size_t i = 0; i < ORR_COUNT(c->parts); i++) {
        plan_free(c->parts[i].plan);
        buf_done(&c->parts[i].rows);
    }
    vec_done(&c->running);
    (void)pthread_cond_destroy(&c->changed);
    lock_done(&c->lock);
    mem_free(c->work_dir);
    mem_free(c);
}

static const struct conf_section *const sections[] = {&compactor_section, &limits_section, NULL};

static void role_reload(void *role, const struct conf *conf)
{
    struct compactor *c = role;

    limits_set_defaults(c->limits, conf);
}

const struct process_role compactor_role = {
    .name = "compactor",
    .bit = MEMBER_COMPACTOR,
    .sections = sections,
    .open = role_open,
    .start = role_start,
    .reload = role_reload,
    .drain = role_drain,
    .close = role_close,
};
