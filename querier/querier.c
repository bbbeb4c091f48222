#include "querier/querier.h"

#include <stdio.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/fault.h"
#include "common/base/mem.h"
#include "common/base/metric.h"
#include "common/model/late_writes.h"
#include "common/model/limits.h"
#include "common/process/elastic_page.h"
#include "common/process/process_conf.h"
#include "common/process/rules_page.h"
#include "querier/api/correlate.h"
#include "querier/api/elastic_api.h"
#include "querier/api/jaeger_api.h"
#include "querier/api/loki_api.h"
#include "querier/api/prom_api.h"
#include "querier/api/tempo_api.h"
#include "querier/api/zipkin_api.h"
#include "querier/engine/engine.h"
#include "querier/logs/logpiece_serve.h"
#include "querier/store/store.h"
#include "querier/tomb_news.h"
#include "querier/traces/tracejoin.h"
#include "querier/traces/traceremote.h"
#include "querier/traces/tracestats.h"
#include "querier/traces/tracestored.h"
#include "querier/ui/ui.h"

#define DRAIN_GRACE_MS 10000 /* queries under way may take this long at shutdown */
#define BLOCK_DISK_DIR "querier/blocks"
#define CATALOGUE_PREFIX "catalogue/" /* and signal/tenant */

struct querier_conf {
    int64_t max_concurrent, max_queued, max_open_blocks, split_threads, split_at_samples;
    int64_t timeout_ns, straggler_ns, ingester_lookback_ns, catalogue_max_age_ns, lookback_ns;
    int64_t max_memory, max_response;
    int64_t tombstone_max_age_ns, max_tenants;
    int64_t cache_bytes, cache_max_age_ns, split_interval_ns;
    int64_t block_cache_bytes, block_disk_bytes, block_heads_bytes, block_replication;
    bool has_experimental, has_federation, has_admin, shares_queries;
};

static const struct conf_field querier_fields[] = {
    CONF_INT(struct querier_conf, max_concurrent, "max-concurrent", "16", "1", "1024", CONF_FIXED,
             "Queries that run at once, a thread each."),
    CONF_INT(struct querier_conf, max_queued, "max-queued", "1000", "1", "1000000", CONF_FIXED,
             "Queries that may wait to be run; more are answered 503."),
    CONF_DURATION(struct querier_conf, timeout_ns, "timeout", "2m", "100ms", "24h", CONF_FIXED,
                  "Longest time a query may take, waiting included."),
    CONF_DURATION(struct querier_conf, lookback_ns, "lookback-delta", "5m", "1s", "24h", CONF_FIXED,
                  "How far back an instant selector looks for a sample."),
    CONF_BOOL(struct querier_conf, has_experimental, "promql-experimental-functions", "false",
              CONF_FIXED, "Prometheus' experimental PromQL functions and syntax."),
    CONF_BYTES(struct querier_conf, max_memory, "max-query-memory", "1GiB", "1MiB", "1TiB",
               CONF_FIXED, "Memory one query may use."),
    CONF_BYTES(struct querier_conf, max_response, "max-response", "256MiB", "1KiB", "16GiB",
               CONF_FIXED, "Largest answer to one query, before compression."),
    CONF_DURATION(struct querier_conf, straggler_ns, "straggler-wait", "500ms", "0s", "1h",
                  CONF_FIXED,
                  "How long a replica that is not needed for a whole answer may keep a query "
                  "waiting. 0: until the query's timeout."),
    CONF_DURATION(struct querier_conf, ingester_lookback_ns, "ingester-lookback", "13h", "1h",
                  "720h", CONF_FIXED,
                  "How long data may stay in ingesters before it is in blocks: for so long past "
                  "owners of a tenant's series are asked."),
    CONF_DURATION(struct querier_conf, catalogue_max_age_ns, "catalogue-max-age", "0s", "0s", "1h",
                  CONF_FIXED,
                  "For how long a catalogue is taken for true without looking at the bucket. Above "
                  "0, ingesters must keep segments for longer than this once they are in blocks."),
    CONF_DURATION(
        struct querier_conf, tombstone_max_age_ns, "tombstone-max-age", "5s", "0s", "1h",
        CONF_FIXED,
        "For how long a list of deletions is taken for true that nobody announced a newer "
        "one of. Deletions are announced to all queriers at once."),
    CONF_BOOL(
        struct querier_conf, has_admin, "enable-admin-api", "false", CONF_FIXED,
        "Lets tenants delete series: POST /api/v1/admin/tsdb/delete_series. Until a deletion has "
        "left the list (GET /api/v1/admin/tsdb/tombstones), samples that are written later "
        "within its series and times are hidden as well."),
    CONF_BOOL(struct querier_conf, has_federation, "tenant-federation", "false", CONF_FIXED,
              "Reads across tenants that X-Scope-OrgID joins: a|b."),
    CONF_INT(struct querier_conf, max_tenants, "tenant-federation-max-tenants", "16", "2", "1000",
             CONF_FIXED, "Tenants that one request may join."),
    CONF_INT(struct querier_conf, split_threads, "split-threads", "0", "0", "1024", CONF_FIXED,
             "Threads, and so parts, of one large query, or of one over log lines, in this "
             "process. 0: one per CPU; 1: queries are not split."),
    CONF_INT(struct querier_conf, split_at_samples, "split-at-samples", "2000000", "0",
             "1000000000000", CONF_FIXED,
             "Queries that read so many samples the last time they were asked are split by series "
             "over threads and queriers. 0: none."),
    CONF_DURATION(struct querier_conf, split_interval_ns, "split-interval", "24h", "0s", "8760h",
                  CONF_FIXED,
                  "Range queries are cut at multiples of this, and the stretches are run side by "
                  "side. 0: they are not."),
    CONF_BYTES(struct querier_conf, cache_bytes, "result-cache-size", "128MiB", "0", "1TiB",
               CONF_FIXED, "Memory for steps of range queries that are kept. 0: none are."),
    CONF_DURATION(struct querier_conf, cache_max_age_ns, "result-cache-max-age", "1h", "1s", "720h",
                  CONF_FIXED, "For how long steps are kept at most."),
    CONF_BOOL(struct querier_conf, shares_queries, "share-equal-queries", "true", CONF_FIXED,
              "Of equal queries runs one at a time, and one for all who waited meanwhile."),
    CONF_INT(struct querier_conf, max_open_blocks, "max-open-blocks", "1000", "1", "1000000",
             CONF_FIXED, "Blocks of each signal kept open though no query uses them."),
    CONF_BYTES(struct querier_conf, block_cache_bytes, "block-cache-size", "256MiB", "1MiB", "1TiB",
               CONF_FIXED,
               "Memory for what is read of blocks in an object store: open blocks (at most half of "
               "it) and pages of them. What a query reads ahead is bounded by what is free of it."),
    CONF_BYTES(struct querier_conf, block_disk_bytes, "block-disk-cache-size", "4GiB", "0", "1PiB",
               CONF_FIXED,
               "Room in the data directory for pages of blocks in an object store, below those in "
               "memory; they outlive a restart. 0: none."),
    CONF_BYTES(struct querier_conf, block_heads_bytes, "block-header-cache-size", "1GiB", "0",
               "1PiB", CONF_FIXED,
               "Room in the data directory for index headers of blocks in an object store, which "
               "are mapped. 0: none, they are in memory."),
    CONF_INT(
        struct querier_conf, block_replication, "block-replication", "2", "0", "15", CONF_FIXED,
        "Queriers that own a block in an object store: they read it, for themselves and for the "
        "others, so that its pages are fetched and kept so many times. With no more queriers "
        "than this, or 0, each reads all blocks itself."),
};
static const struct conf_section querier_section = {
    "querier", "Queries: admission, budgets, blocks.", sizeof(struct querier_conf), querier_fields,
    ORR_COUNT(querier_fields)};

struct querier {
    struct process *process;
    struct limits *limits;
    struct engine *engine;
    struct store *store;
    struct splitter *splitter;
    struct logpiece_serve *pieces;
    struct planner *planner;
    struct prom_api *api;
    struct loki_api *loki;
    struct tempo_api *tempo;
    struct elastic_api *elastic;
    struct correlate *correlate;
    struct loop_timer *drain_timer; /* loop 0's */
    process_done_fn *drained;
    void *drained_arg;
};

/* ---- metrics of the store ---- */

struct row {
    enum metric_type type;
    const char *name, *help;
    uint64_t value;
};

static void write_rows(const struct row *rows, size_t n, struct buf *out, bool is_openmetrics)
{
    for (size_t i = 0; i < n; i++) {
        metric_write_family(out, is_openmetrics, rows[i].type, rows[i].name, rows[i].help);
        metric_write_u64(out, rows[i].name, NULL, rows[i].value);
    }
}

static void collect_disk(const struct page_disk_stats *s, struct buf *out, bool is_openmetrics)
{
    const struct row rows[] = {
        {METRIC_T_GAUGE, "orrery_querier_block_disk_cache_bytes",
         "Pages of blocks on the local disk.", s->bytes},
        {METRIC_T_GAUGE, "orrery_querier_block_disk_cache_max_bytes",
         "Budget of pages of blocks on the local disk.", s->max_bytes},
        {METRIC_T_COUNTER, "orrery_querier_block_disk_cache_puts_total",
         "Pages of blocks written to the local disk.", s->puts},
        {METRIC_T_COUNTER, "orrery_querier_block_disk_cache_evictions_total",
         "Pages of blocks dropped from the local disk to make room.", s->evictions},
        {METRIC_T_COUNTER, "orrery_querier_block_disk_cache_corrupt_total",
         "Pages on the local disk that failed their checksum and were fetched again.", s->corrupt},
        {METRIC_T_COUNTER, "orrery_querier_block_disk_cache_failures_total",
         "Reads and writes of the local disk cache that failed.", s->failures},
    };

    write_rows(rows, ORR_COUNT(rows), out, is_openmetrics);
}

static void collect_heads(const struct block_heads_stats *s, struct buf *out, bool is_openmetrics)
{
    const struct row rows[] = {
        {METRIC_T_GAUGE, "orrery_querier_block_header_cache_bytes",
         "Index headers of blocks on the local disk.", s->bytes},
        {METRIC_T_GAUGE, "orrery_querier_block_header_cache_max_bytes",
         "Budget of index headers of blocks on the local disk.", s->max_bytes},
        {METRIC_T_COUNTER, "orrery_querier_block_header_cache_built_total",
         "Index headers of blocks written to the local disk.", s->built},
        {METRIC_T_COUNTER, "orrery_querier_block_header_cache_evictions_total",
         "Index headers dropped from the local disk to make room.", s->evictions},
        {METRIC_T_COUNTER, "orrery_querier_block_header_cache_corrupt_total",
         "Index headers that failed a checksum and were made anew.", s->corrupt},
        {METRIC_T_COUNTER, "orrery_querier_block_header_cache_failures_total",
         "Index headers that could not be written.", s->failures},
    };

    write_rows(rows, ORR_COUNT(rows), out, is_openmetrics);
}

static void collect_pages(const struct objpages_stats *s, struct buf *out, bool is_openmetrics)
{
    const struct row rows[] = {
        {METRIC_T_COUNTER, "orrery_querier_block_cache_hits_total",
         "Pages of blocks found in memory.", s->hits},
        {METRIC_T_COUNTER, "orrery_querier_block_cache_misses_total",
         "Pages of blocks not found in memory.", s->misses},
        {METRIC_T_COUNTER, "orrery_querier_block_cache_disk_hits_total",
         "Pages of blocks not found in memory, but on the disk.", s->below_hits},
        {METRIC_T_COUNTER, "orrery_querier_block_cache_evictions_total",
         "Pages of blocks dropped from memory to make room.", s->evictions},
        {METRIC_T_COUNTER, "orrery_querier_block_gets_total",
         "Reads of blocks in the object store.", s->gets},
        {METRIC_T_COUNTER, "orrery_querier_block_read_bytes_total",
         "Bytes of blocks read from the object store.", s->fetched},
        {METRIC_T_GAUGE, "orrery_querier_block_cache_bytes",
         "Memory of open blocks and their pages.", s->bytes},
        {METRIC_T_GAUGE, "orrery_querier_block_cache_held_bytes",
         "Of that, what cannot be dropped now: open blocks, and pages that queries are reading.",
         s->held_bytes},
        {METRIC_T_GAUGE, "orrery_querier_block_cache_max_bytes",
         "Budget of open blocks and their pages.", s->max_bytes},
    };

    write_rows(rows, ORR_COUNT(rows), out, is_openmetrics);
}

static void collect_owned(const struct store_stats *s, struct buf *out, bool is_openmetrics)
{
    const struct row rows[] = {
        {METRIC_T_COUNTER, "orrery_querier_own_blocks_total",
         "Blocks of selects that this querier read itself, with owners by the ring.", s->owned.own},
        {METRIC_T_COUNTER, "orrery_querier_asked_blocks_total",
         "Blocks of selects that were asked of the queriers that own them.", s->owned.asked},
        {METRIC_T_COUNTER, "orrery_querier_failed_owners_total",
         "Owners of blocks that refused, were slow or broke off.", s->owned.failed},
        {METRIC_T_COUNTER, "orrery_querier_returned_blocks_total",
         "Blocks that were read here since no owner did.", s->owned.returned},
        {METRIC_T_COUNTER, "orrery_querier_served_blocks_total", "Blocks read for other queriers.",
         s->serve.calls},
        {METRIC_T_COUNTER, "orrery_querier_refused_blocks_total",
         "Blocks that were not read for other queriers: too many at once, or not understood.",
         s->serve.refused},
        {METRIC_T_GAUGE, "orrery_querier_serving_blocks",
         "Blocks that are being read for other queriers.", s->serve.running},
    };

    write_rows(rows, ORR_COUNT(rows), out, is_openmetrics);
}

static void write_skipped(const char *name, const char *help,
                          const uint64_t skipped[BLOCK_SKIP_REASONS], struct buf *out,
                          bool is_openmetrics)
{
    metric_write_family(out, is_openmetrics, METRIC_T_COUNTER, name, help);
    for (int i = 0; i < BLOCK_SKIP_REASONS; i++) {
        char labels[64];

        (void)snprintf(labels, sizeof(labels), "reason=\"%s\"",
                       block_skip_text((enum block_skip)i));
        metric_write_u64(out, name, labels, skipped[i]);
    }
}

static void collect_skipped(const struct store_stats *s, struct buf *out, bool is_openmetrics)
{
    write_skipped("orrery_querier_skipped_blocks_total",
                  "Blocks that were not opened, by what said that nothing of them is wanted.",
                  s->skipped, out, is_openmetrics);
    write_skipped("orrery_querier_logs_skipped_blocks_total",
                  "Blocks of log lines that were not opened, by what said so.", s->logs.skipped,
                  out, is_openmetrics);
    metric_write_family(
        out, is_openmetrics, METRIC_T_COUNTER, "orrery_querier_bad_block_summaries_total",
        "Summaries of blocks that could not be read, were broken or of another block.");
    metric_write_u64(out, "orrery_querier_bad_block_summaries_total", NULL,
                     s->blocks.bad_summaries + s->log_blocks.bad_summaries +
                         s->trace_blocks.bad_summaries);
}

static void collect_logs(const struct store_stats *s, struct buf *out, bool is_openmetrics)
{
    const struct row rows[] = {
        {METRIC_T_COUNTER, "orrery_querier_logs_selects_total",
         "Selects over ingesters and blocks of log lines: a query makes one for each stretch of "
         "time.",
         s->logs.selects},
        {METRIC_T_COUNTER, "orrery_querier_logs_failed_selects_total",
         "Selects of log lines that could not begin.", s->logs.failures},
        {METRIC_T_COUNTER, "orrery_querier_logs_selected_blocks_total",
         "Blocks of log lines that selects read.", s->logs.blocks},
        {METRIC_T_COUNTER, "orrery_querier_logs_ahead_blocks_total",
         "Of these, those whose first reads were made while older pieces of the query were read.",
         s->logs.ahead},
        {METRIC_T_COUNTER, "orrery_querier_logs_asked_pieces_total",
         "Pieces of queries over log lines that were asked of queriers which own their blocks.",
         s->logs.asked},
        {METRIC_T_COUNTER, "orrery_querier_logs_returned_pieces_total",
         "Pieces that were run here since their owner did not.", s->logs.returned},
        {METRIC_T_COUNTER, "orrery_querier_logs_pages_total", "Pages of log lines that were read.",
         s->logs.pages},
        {METRIC_T_COUNTER, "orrery_querier_logs_skipped_pages_total",
         "Pages of streams that queries asked for that were not read: their times, or the filter, "
         "said that no line of them is wanted.",
         s->logs.pages_skipped},
        {METRIC_T_COUNTER, "orrery_querier_logs_page_bytes_total",
         "Bytes of these, as they are stored.", s->logs.page_bytes},
        {METRIC_T_COUNTER, "orrery_querier_logs_filter_bytes_total",
         "Bytes of filters that were read to tell which pages to skip.", s->logs.filter_bytes},
        {METRIC_T_COUNTER, "orrery_querier_logs_block_lines_total",
         "Log lines that blocks gave to queries.", s->logs.lines},
        {METRIC_T_GAUGE, "orrery_querier_logs_open_blocks", "Blocks of log lines held open.",
         s->log_blocks.open},
        {METRIC_T_COUNTER, "orrery_querier_logs_opened_blocks_total", "Blocks of log lines opened.",
         s->log_blocks.opened},
        {METRIC_T_GAUGE, "orrery_querier_logs_open_block_bytes",
         "Memory of the blocks of log lines held open.", s->log_blocks.reader_bytes},
        {METRIC_T_COUNTER, "orrery_querier_logs_catalogue_loads_total",
         "Catalogues of log lines read.", s->log_blocks.catalogue_loads},
        {METRIC_T_COUNTER, "orrery_querier_logs_catalogue_checks_total",
         "Looks at the bucket for a newer catalogue of log lines.", s->log_blocks.catalogue_checks},
        {METRIC_T_GAUGE, "orrery_querier_logs_tombstones",
         "Deletions of log lines that answers are filtered by, of the tenants known here.",
         s->log_tombstones.tombstones},
        {METRIC_T_COUNTER, "orrery_querier_logs_tombstone_checks_total",
         "Looks at the bucket for newer deletions of log lines.", s->log_tombstones.checks},
        {METRIC_T_COUNTER, "orrery_querier_logs_deleted_lines_total",
         "Log lines that queries passed over because a deletion hides them.", s->logs.deleted},
    };

    write_rows(rows, ORR_COUNT(rows), out, is_openmetrics);
}

static void collect(void *arg, struct buf *out, bool is_openmetrics)
{
    struct querier *q = arg;
    struct store_stats s;

    store_stats_get(q->store, &s);
    metric_write_family(out, is_openmetrics, METRIC_T_COUNTER, "orrery_querier_selects_total",
                        "Selects over ingesters and blocks.");
    metric_write_u64(out, "orrery_querier_selects_total", NULL, s.selects);
    metric_write_family(out, is_openmetrics, METRIC_T_COUNTER,
                        "orrery_querier_failed_selects_total", "Selects that could not begin.");
    metric_write_u64(out, "orrery_querier_failed_selects_total", NULL, s.failures);
    metric_write_family(out, is_openmetrics, METRIC_T_COUNTER, "orrery_querier_lost_blocks_total",
                        "Blocks that cannot be read and that queries did without, since other "
                        "replicas had what is in them; once for a query, which warns of it.");
    metric_write_u64(out, "orrery_querier_lost_blocks_total", NULL, s.lost_blocks);
    metric_write_family(out, is_openmetrics, METRIC_T_COUNTER,
                        "orrery_querier_selected_blocks_total",
                        "Blocks that selects read, by the resolution of what they hold.");
    metric_write_u64(out, "orrery_querier_selected_blocks_total", "resolution=\"raw\"",
                     s.tier_blocks[0]);
    metric_write_u64(out, "orrery_querier_selected_blocks_total", "resolution=\"5m\"",
                     s.tier_blocks[1]);
    metric_write_u64(out, "orrery_querier_selected_blocks_total", "resolution=\"1h\"",
                     s.tier_blocks[2]);
    collect_skipped(&s, out, is_openmetrics);
    collect_logs(&s, out, is_openmetrics);
    tracestats_write(&s, out, is_openmetrics);
    metric_write_family(out, is_openmetrics, METRIC_T_COUNTER, "orrery_querier_stragglers_total",
                        "Answers of ingesters that were not waited for any longer.");
    metric_write_u64(out, "orrery_querier_stragglers_total", NULL, s.stragglers);
    metric_write_family(out, is_openmetrics, METRIC_T_GAUGE, "orrery_querier_open_blocks",
                        "Blocks held open.");
    metric_write_u64(out, "orrery_querier_open_blocks", NULL, s.blocks.open);
    metric_write_family(out, is_openmetrics, METRIC_T_COUNTER, "orrery_querier_opened_blocks_total",
                        "Blocks opened.");
    metric_write_u64(out, "orrery_querier_opened_blocks_total", NULL, s.blocks.opened);
    metric_write_family(out, is_openmetrics, METRIC_T_GAUGE, "orrery_querier_open_block_bytes",
                        "Memory of the blocks held open.");
    metric_write_u64(out, "orrery_querier_open_block_bytes", NULL, s.blocks.reader_bytes);
    collect_pages(&s.pages, out, is_openmetrics);
    collect_disk(&s.disk, out, is_openmetrics);
    collect_owned(&s, out, is_openmetrics);
    collect_heads(&s.heads, out, is_openmetrics);
    metric_write_family(out, is_openmetrics, METRIC_T_COUNTER,
                        "orrery_querier_catalogue_loads_total", "Catalogues read.");
    metric_write_u64(out, "orrery_querier_catalogue_loads_total", NULL, s.blocks.catalogue_loads);
    metric_write_family(out, is_openmetrics, METRIC_T_COUNTER,
                        "orrery_querier_catalogue_checks_total",
                        "Looks at the bucket for a newer catalogue.");
    metric_write_u64(out, "orrery_querier_catalogue_checks_total", NULL, s.blocks.catalogue_checks);
    metric_write_family(out, is_openmetrics, METRIC_T_GAUGE, "orrery_querier_tombstones",
                        "Deletions that answers are filtered by, of the tenants known here.");
    metric_write_u64(out, "orrery_querier_tombstones", NULL, s.tombstones.tombstones);
    metric_write_family(out, is_openmetrics, METRIC_T_COUNTER,
                        "orrery_querier_tombstone_checks_total",
                        "Looks at the bucket for newer deletions.");
    metric_write_u64(out, "orrery_querier_tombstone_checks_total", NULL, s.tombstones.checks);
}

static void collect_splits(void *arg, struct buf *out, bool is_openmetrics)
{
    struct querier *q = arg;
    struct splitter_stats s;

    splitter_stats_get(q->splitter, &s);
    metric_write_family(out, is_openmetrics, METRIC_T_COUNTER, "orrery_querier_split_queries_total",
                        "Queries that were run in parts by series.");
    metric_write_u64(out, "orrery_querier_split_queries_total", NULL, s.split);
    metric_write_family(out, is_openmetrics, METRIC_T_COUNTER,
                        "orrery_querier_time_split_queries_total",
                        "Queries of which several stretches of time were run at once.");
    metric_write_u64(out, "orrery_querier_time_split_queries_total", NULL, s.time_split);
    metric_write_family(out, is_openmetrics, METRIC_T_COUNTER, "orrery_querier_parts_total",
                        "Parts of queries: run here, asked of others, done here because another "
                        "did not take them, run for others.");
    metric_write_u64(out, "orrery_querier_parts_total", "kind=\"local\"", s.parts_local);
    metric_write_u64(out, "orrery_querier_parts_total", "kind=\"remote\"", s.parts_remote);
    metric_write_u64(out, "orrery_querier_parts_total", "kind=\"returned\"", s.parts_returned);
    metric_write_u64(out, "orrery_querier_parts_total", "kind=\"served\"", s.parts_served);
}

/* ---- building ---- */

static struct ring *queriers(void *arg)
{
    struct querier *q = arg;

    return membership_ring(process_membership(q->process), MEMBER_QUERIER, 0);
}

/* The other queriers that are well, by address. */
static size_t other_queriers(void *arg, char (*ret)[SPLITTER_ADDR_BYTES], size_t max)
{
    struct querier *q = arg;
    struct ring *ring = queriers(q);
    uint16_t order[SPLITTER_MAX_PEERS + 1];
    size_t found = ring_order(ring, 0, order, ORR_MIN(max + 1, ORR_COUNT(order))), n = 0;

    for (size_t i = 0; i < found && n < max; i++) {
        const struct member *m = ring_member(ring, order[i]);

        if (strcmp(m->instance, process_instance(q->process)) == 0 ||
            strlen(m->rpc_addr) >= SPLITTER_ADDR_BYTES)
            continue;
        strcpy(ret[n++], m->rpc_addr);
    }
    ring_unref(ring);
    return n;
}

/* Of queries over log lines: others' here. Its own are the store's to count. */
static void collect_pieces(void *arg, struct buf *out, bool is_openmetrics)
{
    struct querier *q = arg;
    struct logpiece_serve_stats s;

    logpiece_serve_stats_get(q->pieces, &s);
    const struct row rows[] = {
        {METRIC_T_COUNTER, "orrery_querier_logs_served_pieces_total",
         "Pieces of queries over log lines that were run for other queriers.", s.calls},
        {METRIC_T_COUNTER, "orrery_querier_logs_refused_pieces_total",
         "Pieces that were not: too many at once, or not understood.", s.refused},
        {METRIC_T_COUNTER, "orrery_querier_logs_failed_pieces_total",
         "Of those that were run, those that failed, were canceled, or found no room for their "
         "answer.",
         s.failed},
        {METRIC_T_GAUGE, "orrery_querier_logs_serving_pieces",
         "Pieces that are being run for other queriers, or wait to be.", s.running},
        {METRIC_T_GAUGE, "orrery_querier_logs_serving_piece_bytes",
         "What was made of pieces for other queriers and was not taken yet.", s.held_bytes},
    };

    write_rows(rows, ORR_COUNT(rows), out, is_openmetrics);
}

static struct ring *ingesters(void *arg)
{
    struct querier *q = arg;

    return membership_ring(process_membership(q->process), MEMBER_INGESTER, MEMBER_METRICS);
}

static struct ring *log_ingesters(void *arg)
{
    struct querier *q = arg;

    return membership_ring(process_membership(q->process), MEMBER_INGESTER, MEMBER_LOGS);
}

static struct ring *trace_ingesters(void *arg)
{
    struct querier *q = arg;

    return membership_ring(process_membership(q->process), MEMBER_INGESTER, MEMBER_TRACES);
}

/* Of a query of Tempo's API: what ingesters hold, and blocks. */
static struct err *open_traces(void *arg, struct prom_task *t, int64_t start_ns, int64_t end_ns,
                               struct tracesource *ret)
{
    struct traceremote *remote = arena_new_of(t->arena, struct traceremote);
    struct tracestored *stored = arena_new_of(t->arena, struct tracestored);
    struct tracesource *both = arena_array(t->arena, struct tracesource, 2);
    struct tracejoin *join = arena_new_of(t->arena, struct tracejoin);

    (void)arg;
    (void)start_ns;
    (void)end_ns;
    remote->sq = stored->sq = &t->data.queries[0];
    both[0] = traceremote_source(remote); /* the one that is asked first: tracestored.h */
    both[1] = tracestored_source(stored);
    *join = (struct tracejoin){both, 2};
    *ret = tracejoin_source(join);
    return NULL;
}

static void on_catalogue(void *arg, struct slice key, uint64_t version, struct slice value)
{
    struct slice rest = slice_from(key, strlen(CATALOGUE_PREFIX)), signal;
    struct querier *q = arg;
    int errnum;

    (void)value;
    if (fault_hit("net.catalogue_news", &errnum)) /* gossip that did not come */
        return;
    if (slice_split(&rest, '/', &signal) && rest.len)
        store_hint(q->store, signal, rest, version);
}

static void on_tombstones(void *arg, struct slice key, uint64_t version, struct slice value)
{
    struct querier *q = arg;
    struct slice rest = slice_from(key, strlen(TOMB_NEWS_PREFIX)), signal;

    (void)value;
    if (slice_split(&rest, '/', &signal) && rest.len)
        store_hint_tombstones(q->store, signal, rest, version);
}

static void on_late_writes(void *arg, struct slice key, uint64_t version, struct slice value)
{
    struct querier *q = arg;

    (void)value;
    planner_late_writes(q->planner, slice_from(key, strlen(LATE_WRITES_PREFIX)), version);
}

static void announce(void *arg, struct slice signal, struct slice tenant, uint64_t version)
{
    struct querier *q = arg;

    tomb_news_tell(q->process, signal, tenant, version);
}

static struct err *forward(void *arg, struct slice signal, struct slice tenant, struct slice change,
                           uint64_t *ret_version)
{
    struct querier *q = arg;

    return tomb_news_forward(q->process, signal, tenant, change, ret_version);
}

/* Where blocks can be mapped instead of fetched; NULL if they are on no disk of ours. */
static char *local_root(struct process *p, const struct process_storage_conf *conf)
{
    if (conf->backend != PROCESS_FILESYSTEM)
        return NULL;
    return conf->path[0] ? mem_strdup(conf->path) : mem_printf("%s/bucket", process_data_dir(p));
}

static void build_store(struct querier *q, const struct querier_conf *conf,
                        const struct process_storage_conf *storage)
{
    char *root = local_root(q->process, storage);
    char *disk = mem_printf("%s/" BLOCK_DISK_DIR, process_data_dir(q->process));

    q->store = store_new(&(struct store_opts){
        .pool = process_peers(q->process),
        .loop = process_loop(q->process, 0),
        .ring = ingesters,
        .ring_arg = q,
        .logs_ring = log_ingesters,
        .logs_ring_arg = q,
        .traces_ring = trace_ingesters,
        .traces_ring_arg = q,
        .objstore = process_objstore(q->process),
        .local_root = root,
        .queriers = queriers,
        .queriers_arg = q,
        .self = process_instance(q->process),
        .block_replication = (unsigned)conf->block_replication,
        .server = process_rpc(q->process),
        .max_open_blocks = (size_t)conf->max_open_blocks,
        .block_cache_bytes = (size_t)conf->block_cache_bytes,
        .block_disk_dir = disk,
        .block_disk_bytes = (uint64_t)conf->block_disk_bytes,
        .block_heads_bytes = (uint64_t)conf->block_heads_bytes,
        .straggler_ms = conf->straggler_ns / NS_PER_MS,
        .ingester_lookback_ms = conf->ingester_lookback_ns / NS_PER_MS,
        .catalogue_max_age_ms = conf->catalogue_max_age_ns / NS_PER_MS,
        .tombstone_max_age_ms = conf->tombstone_max_age_ns / NS_PER_MS,
    });
    mem_free(root);
    mem_free(disk);
}

static void querier_close(void *role)
{
    struct querier *q = role;

    if (!q)
        return;
    loop_timer_free(q->drain_timer);
    loki_api_stop(q->loki);
    prom_api_free(q->api);
    correlate_free(q->correlate);
    loki_api_free(q->loki);
    tempo_api_free(q->tempo);
    elastic_api_free(q->elastic);
    planner_free(q->planner);
    if (q->splitter)
        metric_unregister_collector(collect_splits, q);
    splitter_free(q->splitter);
    if (q->pieces)
        metric_unregister_collector(collect_pieces, q);
    logpiece_serve_free(q->pieces);
    if (q->store)
        metric_unregister_collector(collect, q);
    store_free(q->store);
    engine_free(q->engine);
    if (q->limits)
        limits_stop(q->limits);
    limits_free(q->limits);
    mem_free(q);
}

static void build(struct querier *q, const struct querier_conf *conf)
{
    unsigned threads = conf->split_threads ? (unsigned)conf->split_threads
                                           : (unsigned)ORR_MAX(sysconf(_SC_NPROCESSORS_ONLN), 1);

    q->engine = engine_new(&(struct engine_opts){.lookback_ms = conf->lookback_ns / NS_PER_MS,
                                                 .has_experimental = conf->has_experimental,
                                                 .has_start_timestamps = true});
    q->splitter = splitter_new(&(struct splitter_opts){
        .engine = q->engine,
        .store = q->store,
        .threads = threads,
        .split_at_samples = (uint64_t)conf->split_at_samples,
        .max_part_bytes = (size_t)conf->max_memory,
        .pool = process_peers(q->process),
        .peers = other_queriers,
        .peers_arg = q,
    });
    splitter_serve(q->splitter, process_rpc(q->process));
    metric_register_collector(collect_splits, q);
    q->planner = planner_new(&(struct planner_opts){
        .engine = q->engine,
        .splitter = q->splitter,
        .max_bytes = (size_t)conf->cache_bytes,
        .max_age_ms = conf->cache_max_age_ns / NS_PER_MS,
        .split_ms = threads > 1 ? conf->split_interval_ns / NS_PER_MS : 0,
        .shares = conf->shares_queries,
    });
    q->pieces = logpiece_serve_new(
        &(struct logpiece_serve_opts){
            .store = q->store, .threads = threads, .max_bytes = (size_t)conf->max_memory},
        process_rpc(q->process));
    metric_register_collector(collect_pieces, q);
    q->api = prom_api_new(&(struct prom_tasks_opts){
        .store = q->store,
        .engine = q->engine,
        .planner = q->planner,
        .limits = q->limits,
        .max_concurrent = (unsigned)conf->max_concurrent,
        .max_queued = (size_t)conf->max_queued,
        .timeout_ms = conf->timeout_ns / NS_PER_MS,
        .max_memory_bytes = (size_t)conf->max_memory,
        .max_response_bytes = (size_t)conf->max_response,
        .max_tenants = conf->has_federation ? (size_t)conf->max_tenants : 1,
        .lookback_ms = conf->lookback_ns / NS_PER_MS,
        .has_experimental = conf->has_experimental,
        .admin = {conf->has_admin, process_objstore(q->process), announce, q, forward},
    });
    prom_api_routes(q->api, process_http(q->process));
    q->loki = loki_api_new(&(struct loki_api_opts){
        .tasks = prom_api_tasks(q->api), .pool = splitter_pool(q->splitter), .lanes = threads});
    loki_api_routes(q->loki, process_http(q->process));
    q->tempo = tempo_api_new(
        &(struct tempo_api_opts){.tasks = prom_api_tasks(q->api), .open = open_traces, .arg = q});
    tempo_api_routes(q->tempo, process_http(q->process));
    jaeger_api_routes(q->tempo, process_http(q->process));
    zipkin_api_routes(q->tempo, process_http(q->process));
    q->correlate = correlate_new(q->tempo, q->loki);
    correlate_routes(q->correlate, process_http(q->process));
    q->elastic = elastic_api_new(prom_api_tasks(q->api));
    elastic_api_routes(q->elastic, process_http(q->process));
    if (!(process_roles(q->process) & MEMBER_INGESTER)) /* whose door has them, for _bulk */
        elastic_page_routes(process_http(q->process));
    rules_page_routes(q->process);
    ui_routes(process_http(q->process));
    prom_api_rpc(q->api, process_rpc(q->process));
    loki_api_rpc(q->loki, process_rpc(q->process));
    metric_register_collector(collect, q);
    membership_kv_subscribe_own(process_membership(q->process), CATALOGUE_PREFIX, on_catalogue, q);
    membership_kv_subscribe_own(process_membership(q->process), TOMB_NEWS_PREFIX, on_tombstones, q);
    membership_kv_subscribe_own(process_membership(q->process), LATE_WRITES_PREFIX, on_late_writes,
                                q);
}

static struct err *querier_open(struct process *p, void **ret)
{
    struct querier *q = mem_new(struct querier);
    struct conf *c = process_conf(p);
    const struct querier_conf *conf = conf_section(c, "querier");
    struct err *e;

    q->process = p;
    if (!(e = limits_new(c, "querier", &q->limits))) {
        build_store(q, conf, conf_section(c, "storage"));
        build(q, conf);
    }
    conf_unref(c);
    if (e) {
        querier_close(q);
        return e;
    }
    *ret = q;
    return NULL;
}

static void start_limits(void *arg)
{
    struct querier *q = arg;

    limits_start(q->limits, process_loop(q->process, 0), process_jobs(q->process));
}

static struct err *querier_start(void *role)
{
    struct querier *q = role;

    loop_post(process_loop(q->process, 0), start_limits, q);
    return NULL;
}

static void on_drain_grace(void *arg)
{
    struct querier *q = arg;

    prom_api_cancel(q->api);
}

static void start_grace(void *arg)
{
    struct querier *q = arg;

    q->drain_timer = loop_timer_new(process_loop(q->process, 0), on_drain_grace, q);
    loop_timer_arm_ms(q->drain_timer, DRAIN_GRACE_MS);
}

static void on_tails_drained(void *arg)
{
    struct querier *q = arg;

    prom_api_drain(q->api, q->drained, q->drained_arg);
}

static void querier_drain(void *role, process_done_fn *done, void *arg)
{
    struct querier *q = role;

    loop_post(process_loop(q->process, 0), start_grace, q);
    q->drained = done;
    q->drained_arg = arg;
    loki_api_drain(q->loki, on_tails_drained, q);
}

static const struct conf_section *const querier_sections[] = {&querier_section, &limits_section,
                                                              NULL};

static void querier_reload(void *role, const struct conf *c)
{
    struct querier *q = role;

    limits_set_defaults(q->limits, c);
}

const struct process_role querier_role = {
    .name = "querier",
    .bit = MEMBER_QUERIER,
    .sections = querier_sections,
    .open = querier_open,
    .start = querier_start,
    .reload = querier_reload,
    .drain = querier_drain,
    .close = querier_close,
};
