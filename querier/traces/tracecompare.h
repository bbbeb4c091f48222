/*
 * compare(): in what the spans of a selection differ from the others, the baseline. For each attribute that any of
 * them has, how many spans have each value, of both sides, and how many have the attribute at all:
 *
 *   {__meta_type="baseline", resource.cluster="prod"}         the top n values of each attribute, by their counts
 *   {__meta_type="selection", resource.cluster="prod"}
 *   {__meta_type="baseline_total", resource.cluster=nil}      all values together
 *   {__meta_type="selection_total", resource.cluster=nil}
 *   {__meta_error="__too_many_values__", resource.cluster=nil} without points: one side at least has more than n values
 *
 * Attributes are those of spans, resources and instrumentation scopes (of an array its first value), and of what a span
 * always has: name, status, statusMessage, kind, rootName, rootServiceName, the instrumentation's name and version.
 * Durations and ids are as many as spans, and are left out.
 *
 * Bounds: TRACECOMPARE_MAX_VALUES values of an attribute and side are told apart. Those that come after them are in the
 * totals alone, and the attribute is said to have too many. Beyond TRACECOMPARE_MAX_BYTES for counts, ERR_LIMIT. A query has one compare():
 * the parser knows no arithmetic with it.
 *
 * Owner: one thread.
 */
#pragma once
#include "querier/traces/tracemetric.h"

#define TRACECOMPARE_MAX_VALUES 1000u
#define TRACECOMPARE_MAX_BYTES (128u << 20)
#define TRACECOMPARE_NO_POINT UINT32_MAX

struct tracecompare;

struct tracecompare *tracecompare_new(size_t n_points);
void tracecompare_free(struct tracecompare *c); /* NULL is allowed */
/* Of each span: the point that it counts at, or TRACECOMPARE_NO_POINT; and 1 for those of the selection. cols has all columns. */
ORR_CHECKED struct err *tracecompare_add(struct tracecompare *c, const struct tracecols *cols,
                                         const uint32_t *points, const uint8_t *is_selected);
/* By attribute, in a. */
struct tracemetric_set tracecompare_end(struct tracecompare *c, struct arena *a, int64_t top_n);
