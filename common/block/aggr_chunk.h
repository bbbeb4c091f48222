/*
 * Chunks of aggregates: what a downsampled block holds instead of samples, as Thanos writes them (encoding 255).
 *
 * Time is divided into windows of the block's resolution (300000 or 3600000 ms), aligned to Unix time. A window in
 * which a series has samples is one point; one without is none, so gaps stay gaps. The chunk's data:
 *
 *     count | sum | min | max | counter     each:  uvarint n | u8 encoding | n bytes as in chunk.h;  n = 0: absent
 *
 * A point's time is the last millisecond of its window; the last point of a chunk lies at the newest sample that
 * it sums up, so that nothing lies beyond the block. Count, sum, min and max have a sample for each point.
 *
 * counter of floats is what rate() needs. First comes the first sample as it was, at its own time; then, for each point,
 * the value at the end of its window with resets within the chunk taken out (so it never falls); then once more at the time
 * of the last point the last sample as it was. Whoever reads chunk after chunk compares that with the first sample of the
 * next and so finds the resets between them (aggr_counter_*).
 *
 * Native histograms: count is of floats, sum is of gauge histograms added up, min and max are absent.
 * counter begins with the first histogram if that lies before the first point, and has the last histogram of each window.
 * A chunk of a counter holds no reset, it is cut there; the header of the next one's counter says "counter reset".
 *
 * Stale markers and floats that are NaN are no samples here, as in Thanos: count does not count them, the others are of the samples
 * beside them, and a window that has nothing else is a gap. A histogram whose sum is NaN (one NaN was observed) is a sample: its
 * counts are what they are, and the sum of its window is NaN.
 *
 * Any thread; nothing here holds state of its own.
 */
#pragma once
#include <math.h>

#include "common/base/buf.h"
#include "common/block/chunk_build.h"

#define AGGR_KINDS(X)                                                                              \
    X(AGGR_COUNT, "count")                                                                         \
    X(AGGR_SUM, "sum")                                                                             \
    X(AGGR_MIN, "min")                                                                             \
    X(AGGR_MAX, "max")                                                                             \
    X(AGGR_COUNTER, "counter")
enum aggr_kind {
#define X(sym, name) sym,
    AGGR_KINDS(X)
#undef X
        AGGR_KIND_COUNT
};

#define AGGR_5M_MS 300000
#define AGGR_1H_MS 3600000
#define AGGR_MAX_POINTS (CHUNK_MAX_SAMPLES - 2) /* counter has two more */

struct aggr_part {
    uint8_t encoding; /* CHUNK_NONE: absent */
    struct slice data;
};
struct aggr_chunk {
    struct aggr_part parts[AGGR_KIND_COUNT];
};

/* Lent by data. ERR_CORRUPT. */
ORR_CHECKED struct err *aggr_chunk_split(struct slice data, struct aggr_chunk *ret);
void aggr_chunk_join(struct buf *out, const struct aggr_chunk *c);
/* Points of the chunk, as its count says; 0 if it is none. */
size_t aggr_chunk_points(struct slice data);

struct aggr_columns {
    bool is_hist;
    size_t n; /* points */
    const int64_t *t;
    const double *count;           /* above 0 */
    const double *sum, *min, *max; /* of floats */
    const struct histogram *sum_h; /* of histograms */
    /* Samples of counter, in strictly ascending time; the floats' last one at its own time again is in last. */
    size_t n_counter;
    const int64_t *counter_t;
    const double *counter;
    const struct histogram *counter_h;
    double last;
};

/*
 * The columns of parts (AGGR_BIT(AGGR_SUM) | …, or AGGR_ALL), in memory of the arena; n and t come with any but counter,
 * and count of histograms always. What is decoded is checked, and agrees on the times; with AGGR_ALL all five are there (of
 * histograms three). ERR_CORRUPT, ERR_UNSUPPORTED.
 */
#define AGGR_BIT(kind) (1u << (kind))
#define AGGR_ALL (AGGR_BIT(AGGR_KIND_COUNT) - 1)
ORR_CHECKED struct err *aggr_chunk_decode(struct arena *a, struct slice data, unsigned parts,
                                          struct aggr_columns *ret);
/* The same of a chunk that was split. */
ORR_CHECKED struct err *aggr_chunk_decode_split(struct arena *a, const struct aggr_chunk *c,
                                                unsigned parts, struct aggr_columns *ret);
/*
 * Its counter of floats alone, as aggr_columns has it, into t and v, which have room for aggr_chunk_counter_room(). *ret_n is 1 at
 * least. ERR_CORRUPT, also for a counter that is absent or of histograms.
 */
ORR_CHECKED struct err *aggr_chunk_counter(const struct aggr_chunk *c, int64_t *t, double *v,
                                           size_t *ret_n, double *ret_last);
/* 0 for one that cannot be, which the call then says. */
size_t aggr_chunk_counter_room(const struct aggr_chunk *c);
/*
 * Appends chunks of the points (encoded anew): of floats one; of histograms one more wherever their layout or a reset
 * asks for it, or where those of one chunk would not fit together. why: what the first one's counter says of itself.
 */
void aggr_chunk_encode(struct arena *a, const struct aggr_columns *c, enum chunk_hist_fit why,
                       struct chunk_build *out);
/* Appends what is left of a chunk without the points that is_out names; adds up in *io_dropped. */
typedef bool aggr_point_fn(void *arg, int64_t t);
ORR_CHECKED struct err *aggr_chunk_without(struct arena *a, const struct chunk *c,
                                           aggr_point_fn *is_out, void *arg,
                                           struct chunk_build *out, uint64_t *io_dropped);

/* A counter whose resets are taken out, over any number of samples and chunks. {0} at first. */
struct aggr_counter {
    double total;  /* never falls */
    double last;   /* what the next value is compared with */
    double offset; /* of the total above the value */
};
static inline double aggr_counter_add(struct aggr_counter *c, double v)
{
    if (v < c->last)
        c->offset = c->total;
    c->last = v;
    return c->total = v + c->offset;
}
/* At the end of a chunk: what the counter's value was in truth. */
static inline void aggr_counter_end(struct aggr_counter *c, double last)
{
    c->last = last;
    c->offset = c->total - last;
    if (isnan(c->offset)) /* infinities have no difference */
        c->offset = 0;
}
