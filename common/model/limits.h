/*
 * What one tenant may do: a table of limits with defaults from the configuration (section
 * "limits") and overrides per tenant from a file that is read again while the process runs.
 *
 *     limits:                                     overrides file:
 *       ingestion-rate: 50000                       overrides:
 *       overrides-file: /etc/orrery/over.yaml         team-a:
 *                                                       ingestion_rate: 250000
 *                                                       out_of_order_time_window: 30m
 *
 * In the overrides a limit may be spelled as in the configuration, too: ingestion-rate; and as Loki nests them:
 * shard_streams: {enabled: true} is shard_streams_enabled. Lists, texts
 * and relabel rules of a tenant stand there as well: tenant_rules.h.
 *
 * Each role that needs limits makes its own object; the section is shared. The file is looked at
 * every limits.overrides-period; when its time of change, size or inode differ it is read anew. A
 * file with an unknown limit, a bad value or a bad tenant id is refused as a whole, logged, counted,
 * and what held before goes on to hold; a missing file at start is an error, later it is a refusal
 * like any other.
 *
 * 0 means "no limit" for every row, save the durations, whose help says what 0 is. To add a limit,
 * add a row: key, override, --help, /runtime_config and the struct follow.
 *
 * Any thread, save where stated.
 */
#pragma once
#include "common/base/clock.h"
#include "common/base/conf.h"
#include "common/base/job.h"
#include "common/base/loop.h"
#include "common/base/slice.h"
#include "common/model/tenant_rules.h"

/* X(KIND, name, configuration key, default, help). Members: RATE double, COUNT and BYTES int64_t,
 * DURATION int64_t <name>_ns, BOOL bool. */
#define LIMITS(X)                                                                                  \
    X(RATE, ingestion_rate, "ingestion-rate", "0",                                                 \
      "Samples per second a tenant may write, over the whole cluster.")                            \
    X(COUNT, ingestion_burst_size, "ingestion-burst-size", "0",                                    \
      "Samples that may come at once, at each ingester; 0: one second's worth, at least 10000.")   \
    X(RATE, request_rate, "request-rate", "0",                                                     \
      "Write requests per second of a tenant, over the whole cluster.")                            \
    X(COUNT, request_burst_size, "request-burst-size", "0",                                        \
      "Write requests that may come at once, at each ingester; 0: one second's worth.")            \
    X(COUNT, max_global_series_per_user, "max-global-series-per-user", "0",                        \
      "Active series of a tenant, over the whole cluster, before replication.")                    \
    X(COUNT, max_global_metadata_per_user, "max-global-metadata-per-user", "0",                    \
      "Metric families of a tenant with metadata, over the whole cluster.")                        \
    X(COUNT, max_open_windows_per_user, "max-open-windows-per-user", "128",                        \
      "2-hour windows of a tenant with samples that are in no block yet, at each ingester.")       \
    X(COUNT, max_label_names_per_series, "max-label-names-per-series", "200",                      \
      "Labels of one series, the name included.")                                                  \
    X(COUNT, max_label_name_length, "max-label-name-length", "1024", "Bytes of a label's name.")   \
    X(COUNT, max_label_value_length, "max-label-value-length", "16384",                            \
      "Bytes of a label's value.")                                                                 \
    X(COUNT, max_metadata_length, "max-metadata-length", "4096",                                   \
      "Bytes of a family name, help or unit; longer metadata is dropped and counted.")             \
    X(RATE, ingestion_rate_mb, "ingestion-rate-mb", "4",                                           \
      "Megabytes (2^20) per second of log lines and structured metadata that a tenant may write, " \
      "over the whole cluster.")                                                                   \
    X(RATE, ingestion_burst_size_mb, "ingestion-burst-size-mb", "6",                               \
      "Megabytes of log lines that may come at once, at each ingester; 0: one second's worth.")    \
    X(COUNT, max_global_streams_per_user, "max-global-streams-per-user", "5000",                   \
      "Active log streams of a tenant, over the whole cluster, before replication.")               \
    X(COUNT, max_streams_per_user, "max-streams-per-user", "0",                                    \
      "Active log streams of a tenant at each ingester.")                                          \
    X(BYTES, per_stream_rate_limit, "per-stream-rate-limit", "0",                                  \
      "Bytes per second of log lines and structured metadata of one stream, at each ingester "     \
      "that has it.")                                                                              \
    X(BYTES, per_stream_rate_limit_burst, "per-stream-rate-limit-burst", "0",                      \
      "Bytes of a stream that may come at once; 0: five seconds' worth.")                          \
    X(BOOL, shard_streams_enabled, "shard-streams-enabled", "true",                                \
      "Bring a log stream that comes fast to several ingesters; queries see one stream.")          \
    X(BYTES, shard_streams_desired_rate, "shard-streams-desired-rate", "1536KiB",                  \
      "Bytes per second of a stream beyond which it is shared out; 0: never.")                     \
    X(COUNT, max_label_names_per_stream, "max-label-names-per-stream", "15",                       \
      "Labels of a log stream, without service_name where it was not sent.")                       \
    X(COUNT, max_stream_label_value_length, "max-stream-label-value-length", "2048",               \
      "Bytes of the value of a log stream's label.")                                               \
    X(BYTES, max_line_size, "max-line-size", "256KiB", "Bytes of a log line.")                     \
    X(BOOL, max_line_size_truncate, "max-line-size-truncate", "false",                             \
      "Cut longer log lines instead of refusing them.")                                            \
    X(BOOL, increment_duplicate_timestamp, "increment-duplicate-timestamp", "false",               \
      "Of log lines of a stream that come at once with one time, move each a nanosecond behind "   \
      "the one before, so that equal ones are kept.")                                              \
    X(BOOL, reject_old_samples, "reject-old-samples", "true",                                      \
      "Refuse log lines older than reject-old-samples-max-age.")                                   \
    X(DURATION, reject_old_samples_max_age, "reject-old-samples-max-age", "168h",                  \
      "How far behind the clock a log line may be; 0: however far.")                               \
    X(BOOL, allow_structured_metadata, "allow-structured-metadata", "true",                        \
      "Take log lines with structured metadata.")                                                  \
    X(BYTES, max_structured_metadata_size, "max-structured-metadata-size", "64KiB",                \
      "Bytes of names and values of a log line's structured metadata.")                            \
    X(COUNT, max_structured_metadata_entries_count, "max-structured-metadata-entries-count",       \
      "128", "Pairs of a log line's structured metadata.")                                         \
    X(BOOL, discover_service_name, "discover-service-name", "true",                                \
      "Give log streams without it a label service_name, from the labels that name a service.")    \
    X(BOOL, discover_log_levels, "discover-log-levels", "true",                                    \
      "Give log lines their level as structured metadata detected_level.")                         \
    X(BYTES, traces_rate_limit_bytes, "traces-rate-limit-bytes", "15000000",                       \
      "Bytes per second of spans that a tenant may write, over the whole cluster.")                \
    X(BYTES, traces_burst_size_bytes, "traces-burst-size-bytes", "20000000",                       \
      "Bytes of spans that may come at once, at each ingester; 0: one second's worth.")            \
    X(BYTES, max_attribute_bytes, "max-attribute-bytes", "2048",                                   \
      "Bytes of a key, a value or a name in a span; what is longer is cut.")                       \
    X(COUNT, max_attributes_per_span, "max-attributes-per-span", "1024",                           \
      "Attributes of a span, a resource, an event or a link; those beyond are dropped and "        \
      "counted.")                                                                                  \
    X(COUNT, max_events_per_span, "max-events-per-span", "1024",                                   \
      "Events of a span; those beyond are dropped and counted.")                                   \
    X(COUNT, max_links_per_span, "max-links-per-span", "1024",                                     \
      "Links of a span; those beyond are dropped and counted.")                                    \
    X(BYTES, max_span_bytes, "max-span-bytes", "1MiB", "Bytes of a span.")                         \
    X(COUNT, max_traces_per_user, "max-traces-per-user", "10000",                                  \
      "Live traces of a tenant at each ingester: those that had spans lately.")                    \
    X(COUNT, max_global_traces_per_user, "max-global-traces-per-user", "0",                        \
      "Live traces of a tenant, over the whole cluster, before replication.")                      \
    X(BYTES, max_bytes_per_trace, "max-bytes-per-trace", "5000000",                                \
      "Bytes of the spans of a live trace.")                                                       \
    X(COUNT, max_native_histogram_buckets, "max-native-histogram-buckets", "1000",                 \
      "Buckets of a native histogram, both signs.")                                                \
    X(COUNT, max_otel_delta_streams_per_user, "max-otel-delta-streams-per-user", "100000",         \
      "Streams of OpenTelemetry deltas that an ingester adds up.")                                 \
    X(COUNT, max_aggregation_inputs_per_user, "max-aggregation-inputs-per-user", "1000000",        \
      "Series of a tenant that an ingester adds up by aggregation_rules.")                         \
    X(COUNT, max_aggregated_series_per_user, "max-aggregated-series-per-user", "10000",            \
      "Series of a tenant that an ingester makes of them.")                                        \
    X(DURATION, out_of_order_time_window, "out-of-order-time-window", "0s",                        \
      "How far behind the newest sample of its series a sample may be; 0: not at all.")            \
    X(DURATION, creation_grace_period, "creation-grace-period", "10m",                             \
      "How far ahead of the clock a sample may be; 0: however far.")                               \
    X(DURATION, past_grace_period, "past-grace-period", "0s",                                      \
      "How far behind the clock a sample may be; 0: however far.")                                 \
    X(BOOL, created_timestamp_zero_ingestion, "created-timestamp-zero-ingestion", "false",         \
      "Store a zero at the time a counter says it was created.")                                   \
    X(BOOL, start_timestamp_storage, "start-timestamp-storage", "false",                           \
      "Keep with each sample when its counter began, where the sender tells, for rate and the "    \
      "like.")                                                                                     \
    X(BOOL, accept_ha_samples, "accept-ha-samples", "false",                                       \
      "Of replicas that send the same, take the samples of one.")                                  \
    X(COUNT, ha_max_clusters, "ha-max-clusters", "100", "Clusters of replicas a tenant may have.") \
    X(DURATION, ha_tracker_failover_timeout, "ha-tracker-failover-timeout", "30s",                 \
      "Silence of the elected replica after which another one is taken.")                          \
    X(DURATION, ha_tracker_update_timeout, "ha-tracker-update-timeout", "15s",                     \
      "How often an elected replica is told to the other ingesters.")                              \
    X(COUNT, ingestion_tenant_shard_size, "ingestion-tenant-shard-size", "0",                      \
      "Ingesters that hold a tenant's series (shuffle shard); 0: all.")                            \
    X(DURATION, compactor_blocks_retention_period, "compactor-blocks-retention-period", "0s",      \
      "How long blocks are kept after their newest sample; 0: for ever.")                          \
    X(DURATION, logs_retention_period, "logs-retention-period", "0s",                              \
      "How long blocks of log lines are kept after their newest line; 0: for ever.")               \
    X(DURATION, traces_retention_period, "traces-retention-period", "0s",                          \
      "How long blocks of traces are kept after the end of their newest span; 0: for ever.")       \
    X(COUNT, compactor_split_and_merge_shards, "compactor-split-and-merge-shards", "0",            \
      "Blocks that the first compaction splits a tenant's series into, 64 at most; 1: one, "       \
      "however large; 0: as many as the next two ask for, which is one for most tenants.")         \
    X(COUNT, compactor_max_block_series, "compactor-max-block-series", "8000000",                  \
      "Series of a block beyond which compaction splits it; 0: any number.")                       \
    X(BYTES, compactor_max_block_bytes, "compactor-max-block-bytes", "0",                          \
      "Bytes of a block beyond which compaction splits it; 0: compactor.max-block-bytes, which "   \
      "is the most for all.")                                                                      \
    X(BOOL, downsampling, "downsampling", "false",                                                 \
      "Make aggregates of 5 minutes and of an hour of old blocks, for long queries.")              \
    X(DURATION, compactor_retention_raw, "compactor-retention-raw", "0s",                          \
      "How long blocks as measured are kept, but not before they are downsampled where they are "  \
      "to be; 0: compactor-blocks-retention-period, which is the most for all.")                   \
    X(DURATION, compactor_retention_5m, "compactor-retention-5m", "0s",                            \
      "The same of blocks of aggregates of 5 minutes.")                                            \
    X(DURATION, compactor_retention_1h, "compactor-retention-1h", "0s",                            \
      "The same of blocks of aggregates of an hour.")                                              \
    X(DURATION, max_query_lookback, "max-query-lookback", "0s",                                    \
      "How far back queries may look; the range is cut to it; 0: all there is.")                   \
    X(DURATION, max_total_query_length, "max-total-query-length", "0s",                            \
      "Longest time range of one query; 0: any.")                                                  \
    X(DURATION, max_cache_freshness, "max-cache-freshness", "10m",                                 \
      "Steps of range queries that are younger than this, or 80s, are computed anew each time.")   \
    X(BOOL, cache_results, "cache-results", "true",                                                \
      "Keep steps of range queries that are older than max-cache-freshness.")                      \
    X(DURATION, query_timeout, "query-timeout", "2m",                                              \
      "Longest time a query may take; 0: the process's.")                                          \
    X(COUNT, max_concurrent_queries, "max-concurrent-queries", "0",                                \
      "Queries of a tenant under way at once, at each querier.")                                   \
    X(COUNT, max_samples_per_query, "max-samples-per-query", "50000000",                           \
      "Samples a query may hold in memory at once.")                                               \
    X(COUNT, max_entries_limit_per_query, "max-entries-limit-per-query", "5000",                   \
      "Lines that the limit of a query for log lines may ask for.")                                \
    X(DURATION, max_query_length, "max-query-length", "721h",                                      \
      "Longest time range of one query over log lines; 0: any.")                                   \
    X(COUNT, max_query_series, "max-query-series", "500",                                          \
      "Series of the answer to a metric query over log lines.")                                    \
    X(BYTES, max_query_bytes_read, "max-query-bytes-read", "0",                                    \
      "Bytes of log lines that a query may look at.")                                              \
    X(COUNT, max_concurrent_tail_requests, "max-concurrent-tail-requests", "10",                   \
      "Tails of log queries of a tenant at once, at each querier.")                                \
    X(COUNT, max_fetched_series_per_query, "max-fetched-series-per-query", "0",                    \
      "Series a query may touch.")                                                                 \
    X(BYTES, max_fetched_bytes_per_query, "max-fetched-bytes-per-query", "0",                      \
      "Bytes of chunks and labels a query may fetch.")                                             \
    X(COUNT, ruler_max_rules_per_rule_group, "ruler-max-rules-per-rule-group", "20",               \
      "Rules of a group that comes by the API of rule configurations.")                            \
    X(COUNT, ruler_max_rule_groups_per_tenant, "ruler-max-rule-groups-per-tenant", "70",           \
      "Groups of rules that a tenant may have in the bucket, of each language.")                   \
    X(COUNT, alertmanager_max_silences_count, "alertmanager-max-silences-count", "10000",          \
      "Silences of a tenant that have not expired.")                                               \
    X(BYTES, alertmanager_max_silences_bytes, "alertmanager-max-silences-bytes", "67108864",       \
      "Memory of a tenant's silences, those expired and compiled expressions included.")           \
    X(BYTES, alertmanager_max_config_size_bytes, "alertmanager-max-config-size-bytes", "1048576",  \
      "Bytes of a tenant's configuration that comes by API, templates left out.")                  \
    X(COUNT, alertmanager_max_templates_count, "alertmanager-max-templates-count", "100",          \
      "Template files of a tenant.")                                                               \
    X(BYTES, alertmanager_max_template_size_bytes, "alertmanager-max-template-size-bytes",         \
      "1048576", "Bytes of one template file of a tenant.")

struct tenant_limits {
#define LIMITS_MEMBER_RATE(name) double name;
#define LIMITS_MEMBER_COUNT(name) int64_t name;
#define LIMITS_MEMBER_BYTES(name) int64_t name;
#define LIMITS_MEMBER_DURATION(name) int64_t name##_ns;
#define LIMITS_MEMBER_BOOL(name) bool name;
#define X(kind, name, key, def, help) LIMITS_MEMBER_##kind(name)
    LIMITS(X)
#undef X
    /* Differs when any limit of anybody may have changed: what was checked under another
     * generation is to be checked again. Never 0. */
    uint64_t generation;
};

struct limits;
extern const struct conf_section limits_section;

/* Reads the overrides file, if one is named. Blocking. role: whose, on its metrics: a process has one for each role. */
ORR_CHECKED struct err *limits_new(const struct conf *c, const char *role, struct limits **ret);
/* After limits_stop(), when the loop does not run; waits for a look at the file under way. NULL is
 * allowed. */
void limits_free(struct limits *l);
/* Looks at the file in the background: the timer on the loop, the file on a worker. On the loop, or
 * before it runs. */
void limits_start(struct limits *l, struct loop *loop, struct job_pool *jobs);
/* On the loop, or when it does not run any more. */
void limits_stop(struct limits *l);
/* Looks at the file now; *ret_changed (may be NULL). The error is why the old values stay.
 * Blocking. */
ORR_CHECKED struct err *limits_poll(struct limits *l, bool *ret_changed);
/* New defaults after a reload of the configuration. */
void limits_set_defaults(struct limits *l, const struct conf *c);

void limits_get(struct limits *l, struct slice tenant, struct tenant_limits *ret);
/* Earliest and latest time of a sample that may be written now; 0: no bound. */
struct limits_times {
    int64_t min_t_ms, max_t_ms;
};
static inline struct limits_times limits_times_at(const struct tenant_limits *l, int64_t now_ms)
{
    return (struct limits_times){
        .min_t_ms = l->past_grace_period_ns ? now_ms - l->past_grace_period_ns / NS_PER_MS : 0,
        .max_t_ms =
            l->creation_grace_period_ns ? now_ms + l->creation_grace_period_ns / NS_PER_MS : 0};
}
/* A reference. Another one than before has another generation, too. */
struct tenant_rules *limits_rules(struct limits *l, struct slice tenant);
uint64_t limits_generation(const struct limits *l); /* cheap */
/* YAML for /runtime_config: the defaults, then what each tenant overrides. */
void limits_print(struct limits *l, struct buf *out);
