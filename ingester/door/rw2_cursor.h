/*
 * Reads io.prometheus.write.v2.Request (remote write 2.0) where it lies.
 *
 *     rw2_cursor_init(&c, arena, body)                 finds the symbols
 *     while (rw2_cursor_next(&c))  c.series ...
 *     if (c.error)                                     a constant: what is wrong with the bytes
 *
 *   Request     4 symbol*  5 TimeSeries*               in any order
 *   TimeSeries  1 labels_refs*  2 Sample*  3 Histogram*  4 Exemplar*  5 Metadata
 *               6 int64 created_timestamp (2.0-rc)
 *   Sample      1 double value  2 int64 timestamp  3 int64 start_timestamp
 *   Histogram   as in 1.0 (rw_histogram.h); 17 int64 start_timestamp
 *   Exemplar    1 labels_refs*  2 double value  3 int64 timestamp
 *   Metadata    1 type  3 help_ref  4 unit_ref
 *
 * A reference is an index into the symbols; labels_refs are pairs of name and value. References are
 * numbers here: whoever looks one up asks rw2_cursor_symbol().
 *
 * All of a series is checked by rw2_cursor_next(), save the inside of histograms. Strictness is
 * that of rw_cursor.h. A number may come packed or not; of a message that comes twice, fields of
 * the later one count, as protobuf merges them.
 *
 * Memory: an array of symbols (16 bytes each) and arrays that all series share, in the arena.
 * Texts are the body's. Owner: one thread.
 */
#pragma once
#include "common/base/arena.h"
#include "common/model/sample.h"

/* Pairs that are read of one series; n_refs counts on, so that it can be refused. */
#define RW2_CURSOR_MAX_LABELS 4096

struct rw2_refs {
    uint32_t *ptr; /* the first 2 * RW2_CURSOR_MAX_LABELS */
    size_t n;      /* of all that came */
    size_t cap;
};

struct rw2_exemplar {
    struct rw2_refs refs;
    double v;
    int64_t t_ms;
};

struct rw2_series {
    struct rw2_refs refs;
    struct sample *samples;
    int64_t *created; /* of each sample; 0: not told */
    size_t n_samples, samples_cap;
    struct slice *histograms; /* messages, for rw_histogram_decode() */
    size_t n_histograms, histograms_cap;
    struct rw2_exemplar *exemplars;
    size_t n_exemplars, exemplars_cap;
    uint32_t type, help_ref, unit_ref; /* metadata; type is the number sent */
    int64_t created_ms;                /* of the series; 0: not told */
};

struct rw2_cursor {
    struct arena *arena;
    const uint8_t *p, *end;
    struct slice *symbols;
    size_t n_symbols;
    struct rw2_series series; /* until the next one */
    const char *error;
};

void rw2_cursor_init(struct rw2_cursor *c, struct arena *a, struct slice body);
bool rw2_cursor_next(struct rw2_cursor *c);
/* False when there is no such symbol. */
static inline bool rw2_cursor_symbol(const struct rw2_cursor *c, uint32_t ref, struct slice *ret)
{
    if (ref >= c->n_symbols)
        return false;
    *ret = c->symbols[ref];
    return true;
}
