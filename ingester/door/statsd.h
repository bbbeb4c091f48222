/*
 * The StatsD server within: adds up what statsd_line.h reads, and every flush period shows each
 * series once, as a scrape would.
 *
 *   lines ──statsd_take()──▶ series by name and tags ──statsd_flush()──▶ statsd_decode() per slice
 *
 * Mapping, which is statsd_exporter's:
 *   names          plain_name.h: api.requests becomes api_requests, tags labels of that kind
 *   counter c, m   NAME, ever growing from when it was first seen (rate() does the rest)
 *   gauge g        NAME
 *   ms, h, d       a summary: NAME_count and NAME_sum ever growing, NAME{quantile="0.5|0.9|0.99"} of
 *                  the values of the last period (of a uniform sample of STATSD_SAMPLE of them), each
 *                  of which counts 1/rate times; ms become seconds, h and d stay what they are
 *                  With opts.has_histograms instead: NAME, a native histogram (expbuckets.h), ever growing:
 *                  quantiles of any range, over any number of instances
 *   set s          NAME, a gauge: different elements of the last period
 *   instance       a label of this process (opts.instance_label), unless the tags have one: totals of
 *                  several ingesters behind one address stay apart, and sum() adds them
 *
 * Name and tags that come with two types keep the first; the other is dropped and counted.
 * A series that nothing came for during opts.expiry_ms ends with a stale marker and is forgotten.
 *
 * Bounds: series, and bytes of all of it (labels, samples, elements). What comes above is dropped and
 * counted, by reason. Totals of a process that ends are gone: counters begin anew, as rate() expects.
 *
 * Owner: one loop.
 */
#pragma once
#include "ingester/door/push_builder.h"

#define STATSD_SAMPLE 1024       /* values of a summary kept per period */
#define STATSD_SLICE_SERIES 4096 /* in one write: a flush leaves the loop in between */

struct statsd_opts {
    size_t max_series, max_bytes;
    int64_t expiry_ms;
    const char *instance_label, *instance; /* "" or NULL: no such label; copied */
    bool has_histograms;                   /* timers are native histograms, not summaries */
    uint64_t seed;                         /* of the sampling */
};

struct statsd_metrics {
    uint64_t lines, bad, other, conflicts, over_series, over_bytes, expired;
    int64_t series, bytes;
};

struct statsd;
struct statsd *statsd_new(const struct statsd_opts *opts);
void statsd_free(struct statsd *s); /* NULL is allowed */
/* Whole lines. */
void statsd_take(struct statsd *s, struct slice lines, int64_t now_ms);
const struct statsd_metrics *statsd_metrics(const struct statsd *s);

/* Begins a flush of all series as of now. One under way is ended first. */
void statsd_flush(struct statsd *s, int64_t now_ms);
void statsd_flush_end(struct statsd *s);           /* leaves out what is left of it */
bool statsd_flush_is_done(const struct statsd *s); /* nothing is left for statsd_decode() */
/* push_decode_fn; arg is the struct statsd: the next slice of the flush. What is of the last period
 * is forgotten with it, whatever becomes of the write. */
struct err *statsd_decode(struct push_builder *b, const void *arg);
