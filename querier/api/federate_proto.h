/*
 * What /federate says in the protobuf exposition format, for a Prometheus that scrapes native
 * histograms: (uvarint length | io.prometheus.client.MetricFamily)*; the messages stand in
 * ingester/door/family_wire.h, which reads them.
 *
 * Floats are untyped. Histograms are float histograms, as Prometheus federates them: exponential
 * ones native, those of gauges in a family of that type, those with custom buckets classic.
 *
 * Pure; any thread.
 */
#pragma once
#include "common/base/buf.h"
#include "common/model/sample.h"

#define FEDERATE_PROTO_TYPE                                                                        \
    "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"

/* Whether an Accept header would rather have this than text/plain. accept.ptr may be NULL. */
bool federate_proto_is_wanted(struct slice accept);

enum federate_kind { FEDERATE_UNTYPED, FEDERATE_HISTOGRAM, FEDERATE_GAUGE_HISTOGRAM };
enum federate_kind federate_proto_kind(const struct histogram *h); /* NULL: a float */
/* Appends a Metric. The pairs are written as they are; h NULL: v. */
void federate_proto_metric(struct buf *out, const struct label *pairs, size_t n, int64_t t_ms,
                           double v, const struct histogram *h);
/* Appends the beginning of a family, whose metrics follow by federate_proto_append(). Their messages
 * have so many bytes: the sum of federate_proto_framed(). */
void federate_proto_family(struct buf *out, struct slice name, enum federate_kind kind,
                           size_t metric_bytes);
void federate_proto_append(struct buf *out, struct slice metric);
size_t federate_proto_framed(struct slice metric);
