/*
 * Reads prometheus.WriteRequest (remote write 1.0) where it lies: no copies, no allocation.
 *
 *     rw_cursor_init(&c, body);
 *     while ((item = rw_cursor_next(&c)) != RW_CURSOR_END)
 *         switch (item) {
 *         case RW_CURSOR_SERIES:   c.series ...
 *         case RW_CURSOR_METADATA: c.metadata ...
 *         case RW_CURSOR_BAD:      c.error says what; nothing more comes
 *         }
 *
 *   WriteRequest  1 TimeSeries*   3 MetricMetadata*
 *   TimeSeries    1 Label*  2 Sample*  3 Exemplar*  4 Histogram*
 *   Label         1 name  2 value           Sample    1 double value  2 int64 timestamp
 *   Exemplar      1 Label*  2 double value  3 int64 timestamp
 *   Metadata      1 type  2 metric_family_name  4 help  5 unit
 *   Histogram     1 count_int 2 count_float 3 sum 4 schema 5 zero_threshold 6 zero_count_int
 *                 7 zero_count_float 8|11 spans 9|12 deltas 10|13 counts (negative|positive)
 *                 14 reset_hint 15 timestamp 16 custom_values
 *
 * What a series holds is walked once by rw_cursor_next(), so that the iterators below cannot meet a
 * malformed byte in samples, exemplars and histograms. Labels are only stepped over by their
 * lengths: a fingerprint that is known vouches for them; for one that is not, rw_cursor_label()
 * says whether they can be read.
 *
 * Strictness: field numbers and lengths have at most 5 bytes, groups are refused, a known field
 * with another wire type is refused, unknown fields are skipped, of a single field that comes twice
 * the last one counts. That is how protobuf-c reads, to which a fuzz target compares this.
 *
 * Owner: one thread. Lends from the body.
 */
#pragma once
#include "common/base/arena.h"
#include "common/base/err.h"
#include "common/model/sample.h"

enum rw_cursor_item { RW_CURSOR_END, RW_CURSOR_SERIES, RW_CURSOR_METADATA, RW_CURSOR_BAD };

struct rw_series {
    struct slice message; /* all of it */
    struct slice labels;  /* the label fields at its start, as they stand */
    uint32_t n_labels;    /* of those */
    bool has_more_labels; /* some come after other fields: labels are not all of them */
    uint32_t n_samples, n_exemplars, n_histograms;
    struct sample last_sample; /* the only one when n_samples is 1 */
};

struct rw_metadata {
    struct slice family, help, unit;
    enum sample_metric_type type; /* METRIC_UNKNOWN for numbers we do not know */
};

struct rw_cursor {
    const uint8_t *p, *end;
    struct rw_series series;
    struct rw_metadata metadata;
    const char *error; /* a constant */
};

void rw_cursor_init(struct rw_cursor *c, struct slice body);
enum rw_cursor_item rw_cursor_next(struct rw_cursor *c);

/* Iterates over the fields of one message. */
struct rw_fields {
    const uint8_t *p, *end;
    const char *error; /* why it stopped early */
};
static inline struct rw_fields rw_fields_of(struct slice message)
{
    return (struct rw_fields){message.ptr, message.ptr + message.len, NULL};
}
/* The next label of a TimeSeries or Exemplar message (wherever among its fields it is). False at
 * the end, or on malformed bytes (then error is set). */
bool rw_cursor_label(struct rw_fields *f, struct label *ret);
/* Of a TimeSeries message. */
bool rw_cursor_sample(struct rw_fields *f, struct sample *ret);

struct rw_exemplar {
    struct slice message; /* for rw_cursor_label() */
    double v;
    int64_t t_ms;
};
bool rw_cursor_exemplar(struct rw_fields *f, struct rw_exemplar *ret);
/* The next Histogram message's bytes. */
bool rw_cursor_histogram(struct rw_fields *f, struct slice *ret);
