/*
 * io.prometheus.write.v2.Request (remote write 2.0) into a push.
 *
 * What is refused, and how far, is Prometheus' choice: bytes that are not the message refuse all of
 * it; a series is refused for bad labels, for references that lead nowhere (those of its metadata,
 * too), and for holding neither samples nor histograms; a histogram or exemplar for its own
 * faults. All else is stored and the answer is 400.
 *
 * Metadata comes with every series: what was stored within some minutes is not sent again
 * (push_builder_metadata_once()). Its family is the series' name without _bucket, _count and _sum
 * where the type is one of histograms or summaries.
 *
 * Created timestamps (of samples, or of the series in 2.0-rc) go into push_in.created_ms.
 *
 * Owner: one loop (the cache's).
 */
#pragma once
#include "ingester/door/push_builder.h"

extern const struct push_decoder rw2_request_decoder;
