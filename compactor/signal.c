#include "compactor/signal.h"

#include "common/base/clock.h"
#include "common/block/sidecar.h"
#include "common/model/logs_rpc.h"
#include "common/model/metrics_rpc.h"
#include "common/model/traces_rpc.h"
#include "common/ring/member.h"
#include "compactor/logcheck.h"
#include "compactor/logmake.h"
#include "compactor/tracecheck.h"
#include "compactor/tracemake.h"

/* ---- metrics ---- */

static struct err *open_metrics(struct blockmake_input *in, struct slice tenant,
                                struct labels external)
{
    return segcheck_open(in->dir, tenant, in->ulid, external, &in->reader, &in->found);
}

static struct err *open_metrics_segment(struct blockmake_input *in, struct slice tenant)
{
    return open_metrics(in, tenant, (struct labels){0});
}

static void close_metrics(struct blockmake_input *in)
{
    block_reader_close(in->reader);
    in->reader = NULL;
}

static void ask_held_metrics(struct buf *out, const struct tombstone *t)
{
    rpc_select_encode(out, &(struct rpc_select){.kind = RPC_SELECT_LABELS,
                                                .matchers = t->matchers,
                                                .min_ms = t->min_ms,
                                                .max_ms = t->max_ms,
                                                .limit = 1});
}

static struct retention retention_of_metrics(const struct tenant_limits *limits,
                                             const struct tenant_rules *rules)
{
    return (struct retention){.rules = &rules->retention.rules,
                              .default_ms =
                                  limits->compactor_blocks_retention_period_ns / NS_PER_MS};
}

static bool is_metrics_file(struct slice name)
{
    return slice_eq_cstr(name, BLOCK_META_FILE) || slice_eq_cstr(name, "index") ||
           slice_eq_cstr(name, "tombstones") || slice_eq_cstr(name, BLOCK_STARTS_FILE) ||
           slice_eq_cstr(name, sidecar_file(SIDECAR_EXEMPLARS)) ||
           slice_eq_cstr(name, sidecar_file(SIDECAR_METADATA));
}

/* ---- logs ---- */

static struct err *open_log_segment(struct blockmake_input *in, struct slice tenant)
{
    return logcheck_open_segment(in->dir, tenant, in->ulid, &in->lines, &in->found);
}

static struct err *check_log_segment_again(struct blockmake_input *in)
{
    return logcheck_deep(in->lines);
}

static void close_logs(struct blockmake_input *in)
{
    logcheck_close(in->lines);
    block_reader_close(in->reader);
    in->lines = NULL;
    in->reader = NULL;
}

/* Streams have no labels but their own. */
static struct err *open_log_block(struct blockmake_input *in, struct slice tenant,
                                  struct labels external)
{
    struct err *e = block_reader_open_dir(in->dir, &in->reader);

    (void)external;
    if (e)
        return segcheck_as_corrupt(e);
    if ((e = logcheck_open_block(in->reader, tenant, in->ulid, &in->lines, &in->found)))
        close_logs(in);
    return e;
}

static bool is_no_file(struct slice name)
{
    (void)name;
    return false;
}

static void ask_held_logs(struct buf *out, const struct tombstone *t)
{
    rpc_logs_select_encode(out, &(struct rpc_logs_select){.kind = RPC_LOGS_NAMES,
                                                          .matchers = t->matchers,
                                                          .from_ns = logblock_ns(t->min_ms),
                                                          .to_ns = logblock_end_ns(t->max_ms),
                                                          .limit = 1});
}

static struct retention retention_of_logs(const struct tenant_limits *limits,
                                          const struct tenant_rules *rules)
{
    return (struct retention){.rules = &rules->logs_retention.rules,
                              .default_ms = limits->logs_retention_period_ns / NS_PER_MS};
}

/* ---- traces ---- */

static struct err *open_trace_segment(struct blockmake_input *in, struct slice tenant)
{
    (void)tenant; /* its files do not say */
    return tracecheck_open_segment(in->dir, in->ulid, &in->traces, &in->found);
}

static void close_traces(struct blockmake_input *in)
{
    tracecheck_close(in->traces);
    block_reader_close(in->reader);
    in->traces = NULL;
    in->reader = NULL;
}

static struct err *open_trace_block(struct blockmake_input *in, struct slice tenant,
                                    struct labels external)
{
    struct err *e = block_reader_open_dir(in->dir, &in->reader);

    (void)external;
    if (e)
        return segcheck_as_corrupt(e);
    if ((e = tracecheck_open_block(in->reader, tenant, in->ulid, &in->traces, &in->found)))
        close_traces(in);
    return e;
}

/* Of traces only all there is up to a time is deleted (orreryctl tenant delete). */
static struct err *trace_block_holds(struct block_reader *services, const struct tombstone *t,
                                     const atomic_bool *stop, bool *ret)
{
    const struct block_meta *m = block_reader_meta(services);

    (void)stop;
    *ret = m->stats.samples > 0 && m->min_t <= t->max_ms; /* min_t: when its first span began */
    return NULL;
}

static void ask_held_traces(struct buf *out, const struct tombstone *t)
{
    struct rpc_traces_select s = {
        .start_ns = INT64_MIN, .end_ns = tombstone_after_ns(t), .ids_only = true};

    memset(s.last, 0xff, sizeof(s.last));
    rpc_traces_select_encode(out, &s);
}

static struct retention retention_of_traces(const struct tenant_limits *limits,
                                            const struct tenant_rules *rules)
{
    (void)rules;
    return (struct retention){.default_ms = limits->traces_retention_period_ns / NS_PER_MS};
}

/* ---- the table ---- */

static const struct signal signals[] = {
    [SIGNAL_METRICS] = {.name = "metrics",
                        .member = MEMBER_METRICS,
                        .list_method = "ingester.segments",
                        .read_method = "ingester.segment_read",
                        .dropped_method = "ingester.segment_dropped",
                        .has_file = is_metrics_file,
                        .numbered_dir = "chunks",
                        .max_files = 4096,
                        .has_tiers = true,
                        .open_segment = open_metrics_segment,
                        .open_block = open_metrics,
                        .close = close_metrics,
                        .make = blockmake,
                        .held_method = "ingester.select",
                        .ask_held = ask_held_metrics,
                        .retention = retention_of_metrics},
    [SIGNAL_LOGS] = {.name = "logs",
                     .metric_labels = "signal=\"logs\"",
                     .member = MEMBER_LOGS,
                     .list_method = "ingester.segments_logs",
                     .read_method = "ingester.segment_read_logs",
                     .dropped_method = "ingester.segment_dropped_logs",
                     .begins_with_id = true,
                     .has_file = is_no_file,
                     .numbered_dir = LOGCHECK_FRAMES_FILE,
                     .is_joined = true,
                     .max_files = 200000, /* of 16 MiB of lines each, in two hours */
                     .key_offset = 1u << 31,
                     .has_ends = true,
                     .has_states = true,
                     .open_segment = open_log_segment,
                     .check_again = check_log_segment_again,
                     .open_block = open_log_block,
                     .close = close_logs,
                     .make = logmake,
                     .holds = logcheck_holds,
                     .held_method = "ingester.select_logs",
                     .ask_held = ask_held_logs,
                     .retention = retention_of_logs},
    [SIGNAL_TRACES] = {.name = "traces",
                       .metric_labels = "signal=\"traces\"",
                       .member = MEMBER_TRACES,
                       .list_method = "ingester.segments_traces",
                       .read_method = "ingester.segment_read_traces",
                       .dropped_method = "ingester.segment_dropped_traces",
                       .begins_with_id = true,
                       .has_file = is_no_file,
                       .numbered_dir = TRACECHECK_DIR,
                       .max_files = TRACECHECK_MAX_FILES,
                       .key_offset = 1u << 30,
                       .has_ends = true,
                       .has_free_times = true,
                       .open_segment = open_trace_segment,
                       .open_block = open_trace_block,
                       .close = close_traces,
                       .make = tracemake,
                       .holds = trace_block_holds,
                       .held_method = "ingester.select_traces",
                       .ask_held = ask_held_traces,
                       .retention = retention_of_traces},
};

const struct signal *signal_of(enum signal_kind kind)
{
    return &signals[kind];
}

int64_t signal_end_ms(const struct signal *sig, const struct catalogue_block *b)
{
    return sig->has_free_times ? ORR_MIN(b->max_t, ulid_time_ms(b->ulid) + SIGNAL_LATEST_MS)
                               : b->max_t;
}

const struct catalogue_block *signal_blocks(const struct signal *sig,
                                            const struct catalogue_block *blocks, size_t n,
                                            struct arena *a)
{
    struct catalogue_block *out;

    if (!sig->has_free_times)
        return blocks;
    out = arena_copy(a, (struct catalogue_block *)(uintptr_t)blocks, n);
    for (size_t i = 0; i < n; i++) {
        out[i].max_t = signal_end_ms(sig, &blocks[i]);
        out[i].min_t = ORR_MIN(out[i].min_t, out[i].max_t - 1);
    }
    return out;
}

struct err *signal_tombstones(const struct signal *sig, struct objstore *store, struct slice tenant,
                              struct tombstone_list **ret)
{
    struct err *e;

    if (!signal_has_tombstones(sig)) {
        *ret = tombstone_list_new(tenant);
        return NULL;
    }
    e = tombstone_list_load(store, signal_name(sig), tenant, ret, NULL);
    if (!e && sig->has_states)
        tombstone_list_keep_begun(*ret);
    return e;
}
