/*
 * What the door sends to a replica: samples by series fingerprint, in the bytes that the head works
 * on directly. A process that is its own replica hands the same bytes by pointer.
 *
 * Door side (writer):
 *
 *     struct batch_writer w;
 *     batch_writer_init(&w, first_t_ms);
 *     batch_sample(&w, fp, t_ms, v);           steady state: one float sample, no labels
 *     batch_series_begin(&w, fp);              anything else
 *     batch_series_labels(&w, canonical);
 *     batch_series_sample(&w, t_ms, v); ... batch_series_histogram() ... batch_series_exemplar()
 *     batch_series_end(&w);
 *     batch_metadata(&w, ...);
 *     batch_finish(&w, &out);                  out holds the wire bytes; w is empty again
 *
 * The n-th series added (from 0) is series index n in the reply. A series whose labels the replica
 * does not know and the batch does not carry comes back in `unknown`; nothing of it was stored, and
 * the door sends it again with labels (canonical bytes, see common/model/labels.h; the replica
 * checks that they are well formed and sorted, and that the fingerprint is theirs).
 *
 * Bytes, little endian:
 *
 *   offset  size  field
 *        0     8  magic "ORRBAT" 0 1
 *        8     4  n: number of series
 *       12     4  m: number of metadata entries
 *       16     8  base_t_ms (i64)
 *       24     4  size of the extras
 *       28     4  size of the metadata
 *       32  n*32  entries
 *        -     -  extras, then metadata, then the end
 *
 *   entry       0  16  fingerprint (lo, hi)
 *              16   4  x: 0 = the series has exactly the sample of this entry and no labels here;
 *                      else 1 + offset of its record in the extras
 *              20   4  t_ms - base_t_ms (i32)
 *              24   8  value bits
 *   extra       u8 flags (BATCH_F_*), then in this order those that the flags name:
 *                 LABELS     uvarint length, canonical label bytes
 *                 SAMPLES    uvarint count, count * (i64 t_ms, f64 value)
 *                 HISTOGRAMS uvarint count, count * (i64 t_ms, uvarint length, histogram)
 *                 EXEMPLARS  uvarint count, count * (i64 t_ms, f64 value, uvarint length,
 *                            canonical labels)
 *                 CREATED    i64 ms: before what the series has here, a zero at this time, if the
 *                            series has nothing as new. Replicas of before refuse it: sent only
 *                            for tenants with created_timestamp_zero_ingestion
 *                 START      varint ms: start timestamp of all samples and histograms here, not 0.
 *                            Replicas of before refuse it: sent only for tenants with
 *                            start_timestamp_storage
 *               With INLINE the sample in the entry counts too, as the first.
 *   histogram   u8 1 integer | 2 has custom bounds | hint << 4; varint schema;
 *               f64 zero_threshold, zero_count, count, sum;
 *               positive then negative: uvarint spans * (varint offset, uvarint length),
 *               uvarint buckets * f64; [uvarint bounds * f64]
 *   metadata    u8 type (enum sample_metric_type), lstr family, lstr help, lstr unit
 *
 * Owner: one thread per writer; an opened batch is read-only and may be read by any thread.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/reader.h"
#include "common/base/vec.h"
#include "common/model/sample.h"

#define BATCH_HEADER_BYTES 32
#define BATCH_ENTRY_BYTES 32
#define BATCH_MAX_SERIES (1u << 20)
#define BATCH_MAX_BYTES (256u << 20)
#define BATCH_MAX_BUCKETS 65536 /* of one histogram, both signs */

enum batch_flag {
    BATCH_F_INLINE = 1,
    BATCH_F_LABELS = 2,
    BATCH_F_SAMPLES = 4,
    BATCH_F_HISTOGRAMS = 8,
    BATCH_F_EXEMPLARS = 16,
    BATCH_F_CREATED = 32,
    BATCH_F_START = 64,
};

/* ---- writing ---- */

struct batch_writer {
    struct buf entries, extras, meta;
    int64_t base_t_ms;
    uint32_t n, n_meta;
    /* the series between begin and end */
    struct hash128 fp;
    struct slice labels;
    struct buf samples, histograms, exemplars;
    uint32_t n_samples, n_histograms, n_exemplars;
    int64_t created_ms, start_ms; /* 0: none */
};

void batch_writer_init(struct batch_writer *w, int64_t base_t_ms);
void batch_writer_done(struct batch_writer *w); /* frees */
static inline uint32_t batch_writer_series(const struct batch_writer *w)
{
    return w->n;
}
size_t batch_writer_bytes(const struct batch_writer *w); /* what batch_finish() would write */

void batch_sample(struct batch_writer *w, struct hash128 fp, int64_t t_ms, double v);
void batch_series_begin(struct batch_writer *w, struct hash128 fp);
void batch_series_labels(struct batch_writer *w, struct slice canonical); /* borrowed until end */
void batch_series_sample(struct batch_writer *w, int64_t t_ms, double v);
void batch_series_histogram(struct batch_writer *w, int64_t t_ms, const struct histogram *h);
void batch_series_exemplar(struct batch_writer *w, struct slice canonical, int64_t t_ms, double v);
void batch_series_created(struct batch_writer *w, int64_t created_ms); /* 0: none */
void batch_series_start(struct batch_writer *w, int64_t start_ms);     /* 0: none */
void batch_series_end(struct batch_writer *w);
void batch_metadata(struct batch_writer *w, enum sample_metric_type type, struct slice family,
                    struct slice help, struct slice unit);
/* Appends the whole batch to out and empties w (memory is kept for the next one). */
void batch_finish(struct batch_writer *w, struct buf *out);

/* ---- reading ---- */

struct batch {
    const uint8_t *entries; /* n * 32, unaligned */
    uint32_t n, n_meta;
    int64_t base_t_ms;
    struct slice extras, meta;
};

/* Borrows bytes. Checks all of it, so that reading what it returned cannot fail. ERR_INVALID. */
ORR_CHECKED struct err *batch_open(struct slice bytes, struct batch *ret);

struct batch_entry {
    struct hash128 fp;
    struct slice labels; /* canonical; ptr NULL when absent */
    bool has_inline;
    struct sample inline_sample;
    uint32_t n_samples, n_histograms, n_exemplars; /* beside the inline one */
    struct slice samples, histograms, exemplars;
    int64_t created_ms, start_ms; /* 0: none */
};

static inline struct hash128 batch_fp(const struct batch *b, uint32_t i)
{
    struct hash128 fp;

    memcpy(&fp, b->entries + (size_t)i * BATCH_ENTRY_BYTES, sizeof(fp));
    return fp;
}
/* Fills ret; false (and an entry without data) if the bytes are not those batch_open() checked. */
bool batch_entry_get(const struct batch *b, uint32_t i, struct batch_entry *ret);
struct sample batch_entry_sample(const struct batch_entry *en, uint32_t i);

struct batch_exemplar {
    int64_t t_ms;
    double v;
    struct slice labels; /* canonical */
};
struct batch_meta {
    enum sample_metric_type type;
    struct slice family, help, unit;
};
/* Over entry.histograms, entry.exemplars, batch.meta. False at the end. */
bool batch_next_histogram(struct reader *r, int64_t *ret_t_ms, struct slice *ret_encoded);
bool batch_next_exemplar(struct reader *r, struct batch_exemplar *ret);
bool batch_next_meta(struct reader *r, struct batch_meta *ret);

/* The histogram's own bytes, also used in the WAL. Decoding allocates in a; ERR_INVALID. */
void batch_histogram_encode(struct buf *out, const struct histogram *h);
ORR_CHECKED struct err *batch_histogram_decode(struct arena *a, struct slice bytes,
                                               struct histogram *ret);
/* True when bytes are canonical label bytes: pairs, sorted, unique names, no empty value, nothing
 * behind. fn may be NULL. */
bool batch_labels_valid(struct slice canonical);

/* ---- the reply ---- */

/* X(symbol, stable number, name for metrics, what a person reads) */
#define BATCH_REASONS(X)                                                                           \
    X(BATCH_OUT_OF_ORDER, 0, "out_of_order", "out of order sample")                                \
    X(BATCH_TOO_OLD, 1, "too_old", "sample is too old")                                            \
    X(BATCH_DUPLICATE, 2, "duplicate_timestamp",                                                   \
      "duplicate sample for timestamp with different value")                                       \
    X(BATCH_TOO_FAR, 3, "too_far_in_future", "sample is too far in the future")                    \
    X(BATCH_MAX_SERIES_LIMIT, 4, "per_tenant_series_limit",                                        \
      "per-tenant active series limit exceeded")                                                   \
    X(BATCH_BAD_LABELS, 5, "bad_labels",                                                           \
      "labels do not belong to the fingerprint or are malformed")                                  \
    X(BATCH_BAD_HISTOGRAM, 6, "bad_histogram", "invalid native histogram")                         \
    X(BATCH_EXEMPLAR, 7, "exemplar", "exemplar is out of order or its series is unknown")          \
    X(BATCH_METADATA_LIMIT, 8, "per_tenant_metadata_limit", "per-tenant metadata limit exceeded")  \
    X(BATCH_WINDOWS_LIMIT, 9, "per_tenant_open_windows_limit",                                     \
      "sample opens one more 2-hour window than limit max_open_windows_per_user allows")           \
    X(BATCH_AGG_INPUTS, 10, "per_tenant_aggregation_inputs_limit",                                 \
      "series to be aggregated over limit max_aggregation_inputs_per_user")                        \
    X(BATCH_AGG_SERIES, 11, "per_tenant_aggregated_series_limit",                                  \
      "aggregated series over limit max_aggregated_series_per_user")                               \
    X(BATCH_AGG_CONFLICT, 12, "aggregation_conflict",                                              \
      "two aggregation_rules make the same series of different ones")                              \
    X(BATCH_MAX_STREAMS_LIMIT, 13, "per_tenant_stream_limit",                                      \
      "active log streams over limit max_global_streams_per_user")                                 \
    X(BATCH_STREAM_RATE, 14, "per_stream_rate_limit",                                              \
      "their stream comes faster than limit per_stream_rate_limit")                                \
    X(BATCH_MAX_TRACES_LIMIT, 15, "per_tenant_live_traces_limit",                                  \
      "live traces over limit max_traces_per_user")                                                \
    X(BATCH_TRACE_TOO_LARGE, 16, "trace_too_large",                                                \
      "the trace is larger than limit max_bytes_per_trace allows")
enum batch_reason {
#define X(sym, num, name, text) sym = num,
    BATCH_REASONS(X)
#undef X
        BATCH_REASON_COUNT
};
const char *batch_reason_name(enum batch_reason r);
const char *batch_reason_text(enum batch_reason r);

/* A sample or histogram that was not stored: the writer must know which, since a sample counts as
 * written only where enough replicas have taken that very one. */
struct batch_refusal {
    enum batch_reason reason;
    uint32_t series; /* index in the batch */
    int64_t t_ms;
};
struct batch_reply {
    uint64_t accepted; /* samples and histograms stored (repeats of stored ones count) */
    uint64_t rejected[BATCH_REASON_COUNT];
    VEC(struct batch_refusal) refusals; /* samples and histograms; not exemplars, not metadata */
    VEC(uint32_t) unknown; /* series indexes, ascending, nothing of them stored: send with labels */
    /* Where streams were over the tenant's limit: the label of which this replica knows the most values, and about how
     * many. Owned; empty: none was. */
    struct slice widest;
    uint64_t widest_values;
};
void batch_reply_done(struct batch_reply *r);
/* Adds the reply to another part of the batch, and empties that. */
void batch_reply_merge(struct batch_reply *into, struct batch_reply *from);
void batch_reject(struct batch_reply *r, enum batch_reason reason, uint32_t series, int64_t t_ms);
/* All samples and histograms of an entry; how many they are. */
uint32_t batch_reject_entry(struct batch_reply *r, enum batch_reason reason, uint32_t series,
                            const struct batch_entry *en);
/* Whether a rejection for this reason is of a sample or histogram, and so fails a write. */
static inline bool batch_reason_is_sample(enum batch_reason r)
{
    return r != BATCH_EXEMPLAR && r != BATCH_METADATA_LIMIT;
}
uint64_t batch_rejected(const struct batch_reply *r); /* all reasons */
/* Of two such the one with more values, in *io; takes `widest` over or frees it. */
void batch_reply_widest(struct slice *io_widest, uint64_t *io_values, struct slice widest,
                        uint64_t values);
/* u8 version 2, or 3 when a label is named (of log lines only); uvarint accepted; uvarint count of unknown, each as uvarint distance from the one
 * before (first: from 0); uvarint reasons * (u8 reason, uvarint count); uvarint refusals * (u8
 * reason, uvarint series, varint t_ms); version 3: lstr label, uvarint values. Doors of before do not read version 3: while they are
 * upgraded, what a tenant sends over its limit of streams is answered there with 503 instead of 429. */
void batch_reply_encode(struct buf *out, const struct batch_reply *r);
ORR_CHECKED struct err *batch_reply_decode(struct slice bytes, struct batch_reply *ret);
