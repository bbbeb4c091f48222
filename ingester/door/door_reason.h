/* Why the door itself refuses a series: what a person reads, and the name that counts it. */
#pragma once

/* X(symbol, name for metrics, text) */
#define DOOR_REASONS(X)                                                                            \
    X(DOOR_MISSING_NAME, "missing_metric_name", "series has no metric name")                       \
    X(DOOR_INVALID_NAME, "metric_name_invalid", "metric name is empty or not UTF-8")               \
    X(DOOR_INVALID_LABEL, "label_invalid", "label name is empty or not UTF-8")                     \
    X(DOOR_INVALID_VALUE, "label_value_invalid", "label value is not UTF-8")                       \
    X(DOOR_DUPLICATE_LABEL, "duplicate_label_names", "duplicate label name")                       \
    X(DOOR_MAX_LABELS, "max_label_names_per_series",                                               \
      "series has more labels than limit max_label_names_per_series allows")                       \
    X(DOOR_NAME_TOO_LONG, "label_name_too_long",                                                   \
      "label name is longer than limit max_label_name_length allows")                              \
    X(DOOR_VALUE_TOO_LONG, "label_value_too_long",                                                 \
      "label value is longer than limit max_label_value_length allows")                            \
    X(DOOR_HISTOGRAM_BUCKETS, "native_histogram_buckets",                                          \
      "native histogram has more buckets than limit max_native_histogram_buckets allows")          \
    X(DOOR_INVALID_HISTOGRAM, "native_histogram_invalid", "native histogram makes no sense")       \
    X(DOOR_INVALID_REFERENCE, "symbol_reference_invalid",                                          \
      "a reference leads outside of the symbols, or a label has no value")                         \
    X(DOOR_HA_CLUSTERS, "too_many_ha_clusters",                                                    \
      "more clusters of replicas than limit ha_max_clusters allows")                               \
    X(DOOR_DELTA_LATE, "otel_delta_late", "delta that is not later than the one before it")        \
    X(DOOR_DELTA_STREAMS, "max_otel_delta_streams_per_user",                                       \
      "more streams of deltas than limit max_otel_delta_streams_per_user allows")                  \
    X(DOOR_UNTRANSLATABLE, "otlp_parse_error", "data point that cannot be translated")             \
    X(DOOR_NO_SAMPLES, "no_samples", "series has neither samples nor histograms")                  \
    X(DOOR_BAD_LINE, "malformed_line", "line that cannot be read")
enum door_reason {
    DOOR_OK = -1,
#define X(sym, name, text) sym,
    DOOR_REASONS(X)
#undef X
        DOOR_REASON_COUNT
};
