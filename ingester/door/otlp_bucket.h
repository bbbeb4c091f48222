/*
 * Histograms of OpenTelemetry as native ones: exponential buckets, and explicit ones as custom
 * buckets (NHCB).
 *
 *   exponential  scale is the schema; above 8 neighbours are added up until it is 8, below -4 there
 *                is no native form. Bucket i of OTLP is bucket i+1 here. The zero bucket's width is
 *                always 1e-128, as Prometheus has it
 *   explicit     the bounds are the custom values; the bucket above the last bound is the last
 *
 * Runs of more than two empty buckets are left out; more than 65536 counts on a side are refused.
 * Delta histograms have the hint of a gauge: they do not go on from one to the next.
 *
 * Any thread.
 */
#pragma once
#include "ingester/door/otlp.h"
#include "ingester/push.h"

/* ERR_UNSUPPORTED: no native form. ERR_INVALID: counts that do not add up. Arrays in a. */
ORR_CHECKED struct err *otlp_bucket_exponential(struct arena *a, const struct otlp_point *p,
                                                bool is_delta, struct push_histogram *ret);
ORR_CHECKED struct err *otlp_bucket_custom(struct arena *a, const struct otlp_point *p,
                                           bool is_delta, struct push_histogram *ret);
