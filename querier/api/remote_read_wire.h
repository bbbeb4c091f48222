/*
 * Remote read on the wire: prometheus.ReadRequest to our structs (common/proto/remote_read.proto),
 * and the messages of both kinds of answer.
 *
 *   samples   snappy of ReadResponse { results = 1: { timeseries = 1: TimeSeries }... }
 *   chunks    frames, each: uvarint length | u32be CRC-32C of the message | ChunkedReadResponse
 *             { chunked_series = 1: { labels = 1, chunks = 2: { min = 1, max = 2, type = 3, data = 4 } },
 *               query_index = 2 }
 *
 * TimeSeries and its samples and histograms are those of remote write 1.0
 * (common/proto/remote_write.proto).
 *
 * Bounds: REMOTE_READ_MAX_BYTES of a request, REMOTE_READ_MAX_QUERIES queries, each with
 * REMOTE_READ_MAX_MATCHERS matchers. Pure; any thread.
 */
#pragma once
#include "common/block/chunk.h"
#include "common/model/matcher.h"

#define REMOTE_READ_MAX_BYTES (4u << 20)
#define REMOTE_READ_MAX_QUERIES 1000
#define REMOTE_READ_MAX_MATCHERS 256

enum remote_read_kind { REMOTE_READ_SAMPLES, REMOTE_READ_CHUNKS };

struct remote_read_query {
    int64_t min_ms, max_ms; /* inclusive; narrowed to the hints, where those are narrower */
    struct matchers matchers;
    int64_t step_ms, range_ms;
    struct slice func;
};
struct remote_read {
    enum remote_read_kind kind;
    struct remote_read_query *queries;
    size_t n;
};
/* bytes: decompressed. Everything is in the arena; remote_read_done() frees the regexes. ERR_INVALID;
 * ERR_UNSUPPORTED when only kinds of answers are accepted that nobody has. */
ORR_CHECKED struct err *remote_read_decode(struct arena *a, struct slice bytes,
                                           struct remote_read *ret);
void remote_read_done(struct remote_read *r); /* {0} is allowed */

/* ---- samples ---- */

/* Fields of one TimeSeries: labels first, then samples and histograms in any mixture. */
void remote_read_labels(struct buf *out, struct labels ls);
void remote_read_sample(struct buf *out, int64_t t_ms, double v);
void remote_read_histogram(struct buf *out, int64_t t_ms, const struct histogram *h);
/* Wraps message as field of another one. */
void remote_read_nest(struct buf *out, unsigned field, struct slice message);

/* ---- chunks ---- */

void remote_read_chunk(struct buf *out, const struct chunk *c);
/* series: fields of one ChunkedSeries. */
void remote_read_frame(struct buf *out, struct slice series, size_t query_index);
