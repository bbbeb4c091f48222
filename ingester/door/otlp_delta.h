/*
 * Deltas of OpenTelemetry added up: sums and histograms that say what came since the last time
 * become ones that say what came since their start (setting otlp.delta: cumulative).
 *
 *   stream     a metric's points with the same labels, of one tenant
 *   first      is the beginning: it is taken as it is, and its start time is the stream's
 *   next       is added; one that is not later than the last is left out and counted (so a request
 *              that a client sends again adds nothing twice)
 *   restart    bounds that differ, a scale that cannot be brought together: the stream begins anew
 *   silence    a stream not heard of for OTLP_DELTA_SILENCE_MS is forgotten, and begins anew
 *
 * What was added up lives in this process only: a client's deltas must come in through one ingester
 * (one connection does that; spreading requests over several does not), and begin anew when it
 * restarts, which reads as the restart of a counter.
 *
 * Bounds: streams of a tenant (limit max_otel_delta_streams_per_user), buckets of a histogram
 * (max_native_histogram_buckets; exponential ones are made coarser).
 *
 * Any thread; locked.
 */
#pragma once
#include "common/base/hash.h"
#include "ingester/door/otlp.h"

#define OTLP_DELTA_SILENCE_MS (15 * 60 * 1000)

struct otlp_delta;
struct otlp_delta *otlp_delta_new(void);
void otlp_delta_free(struct otlp_delta *d); /* NULL is allowed */

enum otlp_delta_result {
    OTLP_DELTA_TAKEN,
    OTLP_DELTA_LATE,    /* not later than the last one */
    OTLP_DELTA_FULL,    /* too many streams */
    OTLP_DELTA_BUCKETS, /* an explicit histogram with too many, an exponential one too coarse */
};

struct otlp_delta_opts {
    size_t max_streams; /* 0: no limit */
    size_t max_buckets; /* 0: no limit */
    int64_t now_ms;
};
/* stream: a fingerprint of the labels, name among them. *ret: the point with what it adds up to;
 * arrays in a. */
enum otlp_delta_result otlp_delta_add(struct otlp_delta *d, struct slice tenant,
                                      const struct otlp_delta_opts *opts, struct hash128 stream,
                                      enum otlp_kind kind, const struct otlp_point *p,
                                      struct arena *a, struct otlp_point *ret);
