#include "ingester/ingester.h"

#include <signal.h>
#include <unistd.h>

#include "common/base/fsx.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/model/metrics_rpc.h"
#include "ingester/door/expo_import.h"
#include "ingester/door/graphite_write.h"
#include "ingester/door/influx_write.h"
#include "ingester/door/otlp_grpc.h"
#include "ingester/door/otlp_http.h"
#include "ingester/door/remote_write.h"
#include "ingester/ingester_internal.h"

#define LINE_DRAIN_MS 5000

static const struct conf_field ingester_fields[] = {
    CONF_DURATION(struct ingester_conf, push_timeout_ns, "push-timeout", "5s", "10ms", "5m",
                  CONF_FIXED, "How long a write may take until a quorum of replicas has it."),
    CONF_BYTES(struct ingester_conf, max_inflight_bytes, "max-inflight-push-bytes", "1GiB", "1MiB",
               NULL, CONF_FIXED,
               "Bytes of writes that replicas have not all answered; more are answered 503."),
    CONF_BYTES(struct ingester_conf, max_body_bytes, "max-recv-bytes", "32MiB", "1KiB", "1GiB",
               CONF_FIXED, "Largest body of a write, as sent and decompressed."),
    CONF_STRING(struct ingester_conf, otlp_http_address, "otlp-http-address", "0.0.0.0:4318",
                CONF_FIXED,
                "host:port of OTLP/HTTP, besides the paths on server.http-address. Empty: none."),
    CONF_STRING(struct ingester_conf, otlp_grpc_address, "otlp-grpc-address", "0.0.0.0:4317",
                CONF_FIXED,
                "host:port of OTLP/gRPC, which server.http-address speaks too. Empty: none."),
    CONF_BYTES(struct ingester_conf, door_cache_bytes, "door-cache-bytes", "256MiB", "1MiB", NULL,
               CONF_FIXED, "Memory for the fingerprints of series known to be valid."),
    CONF_BYTES(struct ingester_conf, wal_segment_bytes, "wal-segment-bytes", "128MiB", "1MiB",
               "1GiB", CONF_FIXED, "Size of a file of the write-ahead log."),
    CONF_BYTES(struct ingester_conf, wal_buffer_bytes, "wal-buffer-bytes", "64MiB", "1MiB", "4GiB",
               CONF_FIXED, "Bytes of log that may wait for the disk; more writes are refused."),
    CONF_BOOL(struct ingester_conf, wal_io_uring, "wal-io-uring", "true", CONF_FIXED,
              "Write the log through io_uring where the system allows it."),
    CONF_INT(struct ingester_conf, shards, "head-shards", "0", "0", "256", CONF_FIXED,
             "Threads that own series; 0: one per core. Kept by the data directory."),
    CONF_BYTES(struct ingester_conf, checkpoint_wal_bytes, "checkpoint-wal-bytes", "256MiB", "1MiB",
               NULL, CONF_FIXED, "A checkpoint is written after so much log."),
    CONF_BYTES(struct ingester_conf, replay_queue_bytes, "replay-queue-bytes", "256MiB", "1MiB",
               NULL, CONF_FIXED, "Writes that may wait for the end of the replay after a restart."),
    CONF_BYTES(struct ingester_conf, push_queue_bytes, "push-queue-bytes", "256MiB", "1MiB", NULL,
               CONF_FIXED, "Writes that may wait for the head's threads."),
    CONF_BYTES(
        struct ingester_conf, memory_chunk_bytes, "max-memory-chunk-bytes", "256MiB", "1KiB", NULL,
        CONF_FIXED,
        "Closed chunks kept in memory while no file can be made for them; past it, writes are "
        "refused."),
    CONF_BYTES(
        struct ingester_conf, regex_cache_bytes, "regex-cache-bytes", "64MiB", "64KiB", NULL,
        CONF_FIXED,
        "Memory for the label values that regexes of queries matched, kept for the next one."),
    CONF_INT(struct ingester_conf, exemplars_per_tenant, "exemplars-per-tenant", "100000", "1",
             "100000000", CONF_FIXED, "Exemplars kept of a tenant; the oldest give way."),
    CONF_DURATION(
        struct ingester_conf, cut_grace_ns, "cut-grace", "15m", "1s", "24h", CONF_FIXED,
        "How long after a two-hour window's end it is cut into a segment, of metrics and of "
        "log lines."),
    CONF_DURATION(struct ingester_conf, maintain_period_ns, "maintain-period", "1m", "100ms", "1h",
                  CONF_FIXED, "How often the head is looked at for what is due."),
    CONF_DURATION(struct ingester_conf, flush_wait_ns, "flush-wait", "30s", "0s", "1h", CONF_FIXED,
                  "How long POST /ingester/flush waits for compactors to take the segments."),
    CONF_BOOL(struct ingester_conf, cut_on_shutdown, "cut-on-shutdown", "true", CONF_FIXED,
              "Cut all metrics into segments when the process stops."),
    CONF_BOOL(struct ingester_conf, leave_on_shutdown, "leave-on-shutdown", "false", CONF_FIXED,
              "Leave the ring when the process stops: it waits until compactors have its data."),
    CONF_DURATION(struct ingester_conf, leave_grace_ns, "leave-grace", "5s", "0s", "10m",
                  CONF_FIXED, "How long a leaving ingester still takes writes."),
    CONF_DURATION(struct ingester_conf, self_upload_after_ns, "self-upload-after", "4h", "0s",
                  "168h", CONF_FIXED,
                  "A segment no compactor takes for so long is uploaded from here; 0: never."),
    CONF_DURATION(struct ingester_conf, visible_after_ns, "visible-after", "5m", "0s", "24h",
                  CONF_FIXED, "After which time readers know a block that was uploaded from here."),
    CONF_BYTES(struct ingester_conf, logs_open_bytes, "logs-open-bytes", "512MiB", "1MiB", NULL,
               CONF_FIXED,
               "Memory for log lines that are in no file yet; past it, writes are refused."),
    CONF_BYTES(struct ingester_conf, logs_seal_bytes, "logs-seal-bytes", "16MiB", "64KiB", "1GiB",
               CONF_FIXED, "Log lines of a tenant in a shard are put into a file past this."),
    CONF_DURATION(struct ingester_conf, logs_seal_age_ns, "logs-seal-age", "30m", "1s", "24h",
                  CONF_FIXED, "Or when the first of them came so long ago."),
    CONF_BYTES(struct ingester_conf, logs_seal_wal_bytes, "logs-seal-wal-bytes", "512MiB", "1MiB",
               NULL, CONF_FIXED,
               "Or when so much log was written since: what a restart has to read back."),
    CONF_DURATION(struct ingester_conf, logs_idle_ns, "logs-stream-idle", "1h", "1m", "168h",
                  CONF_FIXED, "A log stream without lines for so long does not count as active."),
    CONF_BYTES(struct ingester_conf, logs_cache_bytes, "logs-door-cache-bytes", "64MiB", "1MiB",
               NULL, CONF_FIXED, "Memory for the fingerprints of log streams known to be valid."),
    CONF_BOOL(struct ingester_conf, has_traces, "traces", "true", CONF_FIXED,
              "Takes spans; the same at all ingesters. Without any it costs three threads, and "
              "disk for a log."),
    CONF_DURATION(struct ingester_conf, traces_idle_ns, "traces-idle", "10s", "100ms", "1h",
                  CONF_FIXED, "A trace without spans for so long is cut."),
    CONF_DURATION(struct ingester_conf, traces_max_live_ns, "traces-max-live", "30s", "100ms", "1h",
                  CONF_FIXED, "Spans that come later than this keep their trace no longer live."),
    CONF_DURATION(struct ingester_conf, traces_cut_period_ns, "traces-cut-period", "10s", "100ms",
                  "10m", CONF_FIXED, "How often traces that are idle are cut, into one file."),
    CONF_INT(struct ingester_conf, traces_live_max, "traces-max-live-traces", "4000000", "1",
             "1000000000", CONF_FIXED,
             "Live traces of all tenants; 64 bytes of memory each. More writes are refused."),
    CONF_BYTES(struct ingester_conf, traces_segment_bytes, "traces-segment-bytes", "512MiB", "1MiB",
               NULL, CONF_FIXED, "A segment of traces of so much grows no more."),
    CONF_BYTES(struct ingester_conf, traces_buffer_bytes, "traces-buffer-bytes", "16MiB", "1MiB",
               "1GiB", CONF_FIXED, "Memory for spans of live traces that are not on disk yet."),
    CONF_INT(struct ingester_conf, traces_remembered, "traces-remembered", "1000000", "1",
             "1000000000", CONF_FIXED,
             "Traces judged by tail_sampling whose verdict is remembered for spans that come late; "
             "72 bytes of memory each."),
    CONF_DURATION(struct ingester_conf, traces_verdict_wait_ns, "traces-verdict-wait", "30s", "1s",
                  "1h", CONF_FIXED,
                  "How long a trace that has ended waits for the replica that judges it, before "
                  "another one does."),
    LINE_DOOR_FIELDS(struct ingester_conf),
    MESSAGE_DOOR_FIELDS(struct ingester_conf),
};
static const struct conf_section ingester_section = {
    "ingester", "Taking in and keeping recent data.", sizeof(struct ingester_conf), ingester_fields,
    ORR_COUNT(ingester_fields)};

/* ---- what distribute, replica and flush ask of the process ---- */

struct ring *ingester_ring(void *arg)
{
    struct ingester *ing = arg;

    return membership_ring(process_membership(ing->process), MEMBER_INGESTER, MEMBER_METRICS);
}

static size_t active_ingesters(void *arg)
{
    struct ring *r = ingester_ring(arg);
    size_t n = ring_active(r);

    ring_unref(r);
    return n;
}

static struct err *push_local(void *arg, struct slice tenant, struct slice bytes, bool is_late,
                              distribute_local_fn *done, void *done_arg)
{
    return replica_push(((struct ingester *)arg)->replica, tenant, bytes, is_late, done, done_arg);
}

static void call_remote(struct ingester *ing, const char *method, const struct member *to,
                        struct slice tenant, struct slice bytes, int64_t timeout_ms,
                        rpc_reply_fn *on_reply, void *reply_arg)
{
    rpc_call(rpc_pool_peer(process_peers(ing->process), to->rpc_addr),
             &(struct rpc_call_opts){.method = method, .tenant = tenant, .timeout_ms = timeout_ms},
             bytes, on_reply, reply_arg, NULL);
}

static void push_remote(void *arg, const struct member *to, struct slice tenant, struct slice bytes,
                        bool is_late, int64_t timeout_ms, rpc_reply_fn *on_reply, void *reply_arg)
{
    call_remote(arg, is_late ? "ingester.push_late" : "ingester.push", to, tenant, bytes,
                timeout_ms, on_reply, reply_arg);
}

static void aggregate_remote(void *arg, const struct member *to, struct slice tenant,
                             struct slice bytes, int64_t timeout_ms, rpc_reply_fn *on_reply,
                             void *reply_arg)
{
    call_remote(arg, "ingester.aggregate", to, tenant, bytes, timeout_ms, on_reply, reply_arg);
}

static struct ring *compactor_ring(struct ingester *ing)
{
    return membership_ring(process_membership(ing->process), MEMBER_COMPACTOR, 0);
}

static size_t count_compactors(void *arg)
{
    struct ring *r = compactor_ring(arg);
    size_t n = ring_active(r);

    ring_unref(r);
    return n;
}

static struct catalogue_origin origin(void *arg, struct slice signal, int64_t from_ms)
{
    const struct ingester *ing = arg;
    unsigned takes = slice_eq_cstr(signal, "logs") ? MEMBER_LOGS : MEMBER_METRICS;
    struct ring *ring = membership_ring(process_membership(ing->process), MEMBER_INGESTER, takes);
    struct catalogue_origin ret = {.zone = SLICE_EMPTY};
    struct ring_read_set set;

    ring_read_set(ring, from_ms, &set);
    if (set.max_fail > 0)
        ret.instance = slice_cstr(process_instance(ing->process));
    if (set.max_fail > 0 && set.by_zone)
        ret.zone = slice_cstr(process_zone(ing->process));
    ring_read_set_done(&set);
    ring_unref(ring);
    return ret;
}

static void on_hinted(void *arg, struct slice payload, bool is_last, const struct err *e)
{
    (void)arg;
    (void)payload;
    (void)is_last;
    if (e)
        LOG_DEBUG(flush, "a compactor did not take a hint, it will look by itself", KV_ERR(e));
}

static void hint(void *arg, struct slice tenant)
{
    struct ingester *ing = arg;
    struct ring *r = compactor_ring(ing);
    int owner = ring_owner(r, ring_key(tenant));

    if (owner >= 0)
        rpc_call(
            rpc_pool_peer(process_peers(ing->process), ring_member(r, (size_t)owner)->rpc_addr),
            &(struct rpc_call_opts){
                .method = "compactor.hint", .tenant = tenant, .timeout_ms = 5000},
            SLICE_EMPTY, on_hinted, NULL, NULL);
    ring_unref(r);
}

static void leave_on_loop(void *arg)
{
    membership_leave(arg);
}

static void left_on_loop(void *arg)
{
    membership_left(arg);
}

static void begin_leave(void *arg)
{
    struct ingester *ing = arg;

    loop_post(process_loop(ing->process, 0), leave_on_loop, process_membership(ing->process));
}

static void seal(void *arg)
{
    replica_seal(((struct ingester *)arg)->replica);
    ingester_logs_seal(arg);
    ingester_traces_seal(arg);
}

static void end_leave(void *arg)
{
    struct ingester *ing = arg;

    loop_post(process_loop(ing->process, 0), left_on_loop, process_membership(ing->process));
}

static void published(void *arg, struct slice signal, struct slice tenant, uint64_t version)
{
    struct ingester *ing = arg;
    char *key = mem_printf("catalogue/%.*s/%.*s", SLICE_ARG(signal), SLICE_ARG(tenant));

    membership_kv_post(process_membership(ing->process), slice_cstr(key), version, SLICE_EMPTY);
    mem_free(key);
}

static void stored(void *arg, const struct push *p)
{
    late_news_look(((struct ingester *)arg)->late_news, p);
}

/* The elected replicas of pairs, to and from the other ingesters. */
static void tell_elected(void *arg, struct slice key, uint64_t version, struct slice value)
{
    membership_kv_post(process_membership(((struct ingester *)arg)->process), key, version, value);
}

static void hear_elected(void *arg, struct slice key, uint64_t version, struct slice value)
{
    ha_tracker_learn(((struct ingester *)arg)->ha, key, version, value,
                     clock_wall_ms(&clock_system));
}

/* ---- building ---- */

static struct err *open_store(struct ingester *ing)
{
    const char *dir = process_data_dir(ing->process);
    const struct ingester_conf *c = &ing->conf;
    struct wal_opts wal = {.dir = dir,
                           .labels = "signal=\"metrics\"",
                           .segment_bytes = c->wal_segment_bytes,
                           .max_group_bytes = c->wal_buffer_bytes,
                           .without_io_uring = !c->wal_io_uring};
    struct head_opts head = {.dir = dir,
                             .shards = (unsigned)c->shards,
                             .replay_queue_bytes = c->replay_queue_bytes,
                             .push_queue_bytes = c->push_queue_bytes,
                             .checkpoint_wal_bytes = c->checkpoint_wal_bytes,
                             .memory_chunk_bytes = c->memory_chunk_bytes,
                             .regex_cache_bytes = c->regex_cache_bytes,
                             .grace_ms = c->cut_grace_ns / NS_PER_MS,
                             .exemplars_per_tenant = (uint32_t)c->exemplars_per_tenant};
    struct err *e = wal_open(&wal, &ing->wal);

    if (e)
        return e;
    head.wal = ing->wal;
    return head_open(&head, &ing->head);
}

static void build_flush(struct ingester *ing)
{
    const struct ingester_conf *c = &ing->conf;

    ing->work_dir = mem_printf("%s/upload", process_data_dir(ing->process));
    err_free(fsx_remove_tree(
        ing->work_dir)); /* of a process that was killed; else the next upload says why */
    ing->flush = flush_new(&(struct flush_opts){
        .head = ing->head,
        .logs = ingester_logs_head(ing),
        .traces = ingester_traces_head(ing),
        .work_dir = ing->work_dir,
        .store = process_objstore(ing->process),
        .ops = {hint, count_compactors, begin_leave, seal, end_leave, origin, published, ing},
        .maintain_ms = c->maintain_period_ns / NS_PER_MS,
        .leave_grace_ms = c->leave_grace_ns / NS_PER_MS,
        .self_upload_after_ms = c->self_upload_after_ns / NS_PER_MS,
        .visible_after_ms = c->visible_after_ns / NS_PER_MS});
}

static struct err *build_door(struct ingester *ing)
{
    const struct ingester_conf *c = &ing->conf;
    size_t n = process_loop_count(ing->process);
    struct loop **loops = mem_new_array(struct loop *, n);
    struct err *e;

    for (size_t i = 0; i < n; i++)
        loops[i] = process_loop(ing->process, i);
    ing->replica = replica_new(&(struct replica_opts){
        .head = ing->head, .limits = ing->limits, .ring = ingester_ring, .ring_arg = ing});
    ing->late_news = late_news_new(process_membership(ing->process));
    ing->distribute = distribute_new(
        &(struct distribute_opts){.ops = {ingester_ring, push_local, push_remote, ing, stored},
                                  .instance = process_instance(ing->process),
                                  .timeout_ms = c->push_timeout_ns / NS_PER_MS,
                                  .max_inflight_bytes = c->max_inflight_bytes});
    ing->ha = ha_tracker_new(&(struct ha_tracker_opts){.tell = tell_elected, .arg = ing});
    membership_kv_subscribe(process_membership(ing->process), HA_TRACKER_PREFIX, hear_elected, ing);
    ing->agg_pool = agg_pool_new();
    ing->agg_sender =
        agg_sender_new(&(struct agg_send_opts){.pool = ing->agg_pool,
                                               .limits = ing->limits,
                                               .instance = process_instance(ing->process),
                                               .timeout_ms = c->push_timeout_ns / NS_PER_MS,
                                               .ring = ingester_ring,
                                               .remote = aggregate_remote,
                                               .arg = ing});
    ing->door = door_new(&(struct door_opts){.loops = loops,
                                             .n_loops = n,
                                             .limits = ing->limits,
                                             .ha = ing->ha,
                                             .agg = ing->agg_sender,
                                             .distribute = ing->distribute,
                                             .share = active_ingesters,
                                             .share_arg = ing,
                                             .cache_bytes = (size_t)c->door_cache_bytes,
                                             .max_body_bytes = (size_t)c->max_body_bytes});
    e = agg_send_feed(ing->agg_sender, loops[0], ing->door, &ing->agg_feed);
    if (!e)
        e = line_door_new(&(struct line_door_opts){.conf = &c->lines,
                                                   .door = ing->door,
                                                   .loops = loops,
                                                   .n_loops = n,
                                                   .instance = process_instance(ing->process)},
                          &ing->lines);
    mem_free(loops);
    return e;
}

/* A server of its own for one form of OTLP; NULL in *ret: none is wanted. */
static struct err *listen_otlp(struct ingester *ing, const char *name, const char *addr,
                               struct http_server **ret)
{
    struct err *e;

    *ret = NULL;
    if (!addr[0])
        return NULL;
    if ((e = process_http_more(ing->process, name, addr, ret)))
        return err_wrap(e, "ingester.%s-address", name);
    LOG_INFO(net, "OpenTelemetry", KV_STR("method", name), KV_STR("addr", addr),
             KV_U64("port", http_server_port(*ret)));
    return NULL;
}

static bool takes_writes(void *arg)
{
    return !flush_is_leaving(((struct ingester *)arg)->flush);
}

static struct err *build_otlp(struct ingester *ing, const struct conf *c)
{
    const struct ingester_conf *ic = conf_section(c, "ingester");
    struct http_server *http, *grpc;
    struct err *e;

    if ((e = otlp_door_new(ing->door, ing->limits, c, &ing->otlp)) ||
        (e = listen_otlp(ing, "otlp-http", ic->otlp_http_address, &http)) ||
        (e = listen_otlp(ing, "otlp-grpc", ic->otlp_grpc_address, &grpc)))
        return e;
    otlp_http_routes(process_http(ing->process), ing->otlp);
    otlp_grpc_methods(process_grpc(ing->process), ing->otlp);
    ingester_logs_methods(ing, process_grpc(ing->process));
    ingester_traces_methods(ing, process_grpc(ing->process));
    if (http) {
        otlp_http_routes(http, ing->otlp);
        ingester_logs_routes(ing, http);
        ingester_traces_routes(ing, http);
    }
    if (grpc) {
        ing->otlp_grpc = grpc_server_new(grpc, takes_writes, ing);
        otlp_grpc_methods(ing->otlp_grpc, ing->otlp);
        ingester_logs_methods(ing, ing->otlp_grpc);
        ingester_traces_methods(ing, ing->otlp_grpc);
    }
    return NULL;
}

static void ingester_close(void *role)
{
    struct ingester *ing = role;
    struct err *e = NULL;

    feeds_free(ing->feeds);
    flush_free(ing->flush);
    ingester_logs_stop(ing);
    ingester_traces_stop(ing);
    if (ing->head)
        e = head_close(ing->head);
    if (ing->wal)
        e = err_first(e, wal_close(ing->wal));
    if (e)
        LOG_ERROR(head, "closing failed, the log will be replayed", KV_ERR(e));
    err_free(e);
    distribute_free(ing->distribute);
    late_news_free(ing->late_news);
    grpc_server_free(ing->otlp_grpc);
    otlp_door_free(ing->otlp);
    line_door_free(ing->lines);
    ownfeed_free(ing->agg_feed);
    ingester_generator_free(ing);
    door_free(ing->door);
    agg_sender_free(ing->agg_sender);
    agg_pool_free(ing->agg_pool);
    ha_tracker_free(ing->ha);
    replica_free(ing->replica);
    ingester_logs_free(ing);
    ingester_traces_free(ing);
    if (ing->limits)
        limits_stop(ing->limits);
    limits_free(ing->limits);
    mem_free(ing->work_dir);
    mem_free(ing);
}

static struct err *ingester_open(struct process *p, void **ret)
{
    struct ingester *ing = mem_new(struct ingester);
    struct conf *c = process_conf(p);
    struct err *e;

    ing->process = p;
    ing->conf = *(const struct ingester_conf *)conf_section(c, "ingester");
    ing->start_ms = clock_wall_ms(&clock_system);
    if ((e = limits_new(c, "ingester", &ing->limits)) || (e = open_store(ing)))
        goto fail;
    ing->feeds = feeds_new(process_jobs(p));
    if ((e = ingester_logs_open(ing)) || (e = ingester_traces_open(ing)))
        goto fail;
    build_flush(ing);
    if ((e = build_door(ing)) || (e = ingester_generator_open(ing)) || (e = build_otlp(ing, c)))
        goto fail;
    ing->conf.lines = (struct line_door_conf){0}; /* its strings are c's */
    ing->conf.messages = (struct message_door_conf){0};
    conf_unref(c);
    ingester_rpc_handle(ing);
    ingester_read_handle(ing);
    ingester_segment_handle(ing);
    ingester_pages_routes(ing);
    ingester_logs_handle(ing);
    ingester_logs_routes(ing, process_http(p));
    ingester_traces_handle(ing);
    ingester_traces_routes(ing, process_http(p));
    ingester_generator_handle(ing);
    remote_write_routes(process_http(p), ing->door);
    expo_import_routes(process_http(p), ing->door);
    influx_write_routes(process_http(p), ing->door);
    graphite_write_routes(process_http(p), ing->door);
    *ret = ing;
    return NULL;
fail:
    conf_unref(c);
    ingester_close(ing);
    return e;
}

/* ---- life ---- */

static void start_on_loop(void *arg)
{
    struct ingester *ing = arg;

    limits_start(ing->limits, process_loop(ing->process, 0), process_jobs(ing->process));
    /* Writes are taken while the log is still being replayed: no need to wait for readiness. */
    membership_set_active(process_membership(ing->process));
}

static struct err *ingester_start(void *role)
{
    struct ingester *ing = role;

    struct err *e = ingester_logs_start(ing);

    if (e || (e = ingester_traces_start(ing)))
        return e;
    loop_post(process_loop(ing->process, 0), start_on_loop, ing);
    return flush_start(ing->flush);
}

static bool ingester_is_ready(void *role, struct buf *ret)
{
    struct ingester *ing = role;
    struct err *stuck = head_is_stuck(ing->head);
    const char *why[] = {
        head_is_ready(ing->head) ? NULL : "the write-ahead log is being replayed",
        wal_is_healthy(ing->wal) ? NULL : "the write-ahead log cannot be written",
        stuck ? err_msg(stuck) : NULL,
        ingester_logs_trouble(ing),
        ingester_traces_trouble(ing),
        flush_is_leaving(ing->flush) ? "leaving" : NULL,
    };
    bool is_ready = true;

    for (size_t i = 0; i < ORR_COUNT(why); i++) {
        if (why[i])
            buf_printf(ret, "%s%s", is_ready ? "" : "; ", why[i]);
        is_ready = is_ready && !why[i];
    }
    err_free(stuck);
    return is_ready;
}

struct draining {
    struct ingester *ing;
    process_done_fn *done;
    void *arg;
};

/* On the flush thread. */
static void on_drained(void *arg, struct err *e, const struct flush_report *report)
{
    struct draining *d = arg;

    if (e)
        LOG_WARN(flush, "not all was cut before the end, the log will be replayed", KV_ERR(e));
    else
        LOG_INFO(flush, "cut before the end", KV_U64("count", report->cut));
    err_free(e);
    flush_stop(d->ing->flush);
    d->done(d->arg);
    mem_free(d);
}

static void ingester_drain(void *role, process_done_fn *done, void *arg)
{
    struct ingester *ing = role;
    struct draining *d;

    if (!line_door_drain(ing->lines, LINE_DRAIN_MS))
        LOG_WARN(door, "not all lines were written before the end");
    if (!ingester_logs_drain(ing, LINE_DRAIN_MS))
        LOG_WARN(door, "not all log messages were written before the end");
    agg_pool_seal(ing->agg_pool);
    if (!ownfeed_drain(ing->agg_feed, LINE_DRAIN_MS))
        LOG_WARN(door, "not all aggregated series were written before the end");
    if (!ingester_generator_drain(ing, LINE_DRAIN_MS))
        LOG_WARN(door, "not all series made of spans were written before the end");
    if (!ing->conf.leave_on_shutdown && (!ing->conf.cut_on_shutdown || !head_is_ready(ing->head))) {
        flush_stop(ing->flush);
        done(arg);
        return;
    }
    d = mem_new(struct draining);
    *d = (struct draining){ing, done, arg};
    if (ing->conf.leave_on_shutdown)
        flush_leave(ing->flush, on_drained, d);
    else
        flush_cut_to_stop(ing->flush, on_drained, d);
}

static const struct conf_section *const sections[] = {&ingester_section, &limits_section,
                                                      &otlp_section, NULL};

static void ingester_reload(void *role, const struct conf *c)
{
    struct ingester *ing = role;

    limits_set_defaults(ing->limits, c);
    otlp_door_set_conf(ing->otlp, c);
    ingester_logs_reload(ing);
}

const struct process_role ingester_role = {
    .name = "ingester",
    .bit = MEMBER_INGESTER,
    .sections = sections,
    .open = ingester_open,
    .start = ingester_start,
    .is_ready = ingester_is_ready,
    .reload = ingester_reload,
    .drain = ingester_drain,
    .close = ingester_close,
};
