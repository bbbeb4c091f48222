#include "compactor/signal.h"

#include "common/base/clock.h"
#include "common/block/sidecar.h"
#include "common/model/metrics_rpc.h"
#include "common/ring/member.h"

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

/* ---- the table ---- */

static const struct signal signals[] = {
    [SIGNAL_METRICS] = {.name = "metrics",
                        .member = MEMBER_METRICS,
                        .list_method = "ingester.segments",
                        .read_method = "ingester.segment_read",
                        .dropped_method = "ingester.segment_dropped",
                        .has_file = is_metrics_file,
                        .numbered_dir = "chunks",
                        .has_tiers = true,
                        .open_segment = open_metrics_segment,
                        .open_block = open_metrics,
                        .close = close_metrics,
                        .make = blockmake,
                        .held_method = "ingester.select",
                        .ask_held = ask_held_metrics,
                        .retention = retention_of_metrics},
};

const struct signal *signal_of(enum signal_kind kind)
{
    return &signals[kind];
}
