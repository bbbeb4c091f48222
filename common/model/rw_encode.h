/*
 * prometheus.WriteRequest (remote write 1.0, protobuf) from samples, for writers inside the cluster.
 *
 *     WriteRequest { repeated TimeSeries timeseries = 1; }
 *     TimeSeries   { repeated Label labels = 1; repeated Sample samples = 2;
 *                    repeated Histogram histograms = 4; }
 *     Sample       { double value = 1; int64 timestamp = 2; }   milliseconds
 *     Histogram    as in common/proto/remote_write.proto, with float counts
 *
 * Requests put one behind the other are one request, so a buffer of several may be sent as it
 * stands. Any thread.
 */
#pragma once
#include "common/model/sample.h"

/* Appends one series with one sample. Labels sorted, as in struct labels. */
void rw_encode_sample(struct buf *out, struct labels ls, struct sample s);
/* The same with one native histogram; its counts become those of a float histogram. */
void rw_encode_histogram(struct buf *out, struct labels ls, int64_t t_ms,
                         const struct histogram *h);
