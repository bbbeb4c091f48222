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
 * What cannot be translated is left out, counted by points under DOOR_UNTRANSLATABLE with up to three exact reasons, and the rest
 * is stored, as Mimir does and OTLP means it (partial success):
 *
 *   a point      attributes of which no name is left, a scale below -4, counts that do not add up, an exemplar without a value
 *   a metric     a name of which nothing is left, a kind that is not known; one without points is stepped over, nothing is lost
 *   a scope, a resource   attributes that become labels and have no name, or are too many; a resource also loses its target_info alone
 *
 * But a temporality that is not taken (deltas by otlp.delta, unknown ones) refuses the whole request, as Prometheus does:
 * it is a setting of the sender or ours that is wrong, all of its counters are, and a dashboard of gauges alone would hide it.
 *
 * Owner: the push's loop.
 */
#pragma once
#include "common/model/otlp_config.h"
#include "ingester/door/otlp.h"
#include "ingester/door/otlp_delta.h"
#include "ingester/door/push_builder.h"

/* ERR_UNSUPPORTED: a temporality, and nothing was added up; it names the metrics. ERR_LIMIT is push_builder_add()'s. delta
 * may be NULL when config adds none up. tmp: texts that are not needed once this returns. */
ORR_CHECKED struct err *otlp_translate(struct push_builder *b, const struct otlp_metrics *m,
                                       const struct otlp_config *config, struct otlp_delta *delta,
                                       struct arena *tmp);
