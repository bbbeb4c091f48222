/*
 * OpenTelemetry metrics to series, as Prometheus' OTLP receiver translates them.
 *
 *   gauge, sum       a sample of NAME (the names: otlp_name.h, the labels: otlp_labels.h)
 *   histogram        NAME_bucket{le=…}, NAME_sum, NAME_count; or NAME with custom buckets
 *   exponential      NAME, a native histogram
 *   summary          NAME{quantile=…}, NAME_sum, NAME_count
 *   resource         target_info (otlp_target.h)
 *
 * A point "without a recorded value" is a stale marker. Exemplars of sums and histograms go with
 * them, trace_id and span_id first; one with more than 128 characters loses its attributes. A start
 * time is the created time of counters, histograms and summaries; that of a delta is only the start
 * timestamp of its sample. Each family's type, unit and
 * description become metadata.
 *
 * As with Prometheus, one metric that cannot be translated refuses the whole request: deltas and
 * unknown temporalities (but see otlp.delta), a metric without points, names of which nothing is
 * left, a scale below -4, a histogram that does not add up.
 *
 * Owner: the push's loop.
 */
#pragma once
#include "common/model/otlp_config.h"
#include "ingester/door/otlp.h"
#include "ingester/door/otlp_delta.h"
#include "ingester/door/push_builder.h"

/* ERR_UNSUPPORTED names the metrics that were refused; ERR_LIMIT is push_builder_add()'s. delta
 * may be NULL when config adds none up. tmp: texts that are not needed once this returns. */
ORR_CHECKED struct err *otlp_translate(struct push_builder *b, const struct otlp_metrics *m,
                                       const struct otlp_config *config, struct otlp_delta *delta,
                                       struct arena *tmp);
