/*
 * The lines ..._created of an OpenMetrics text: when the counters, histograms and summaries in it
 * began. A line belongs to the series of its family with its labels, but for le and quantile; it may
 * stand before or behind them, so the text is read once for these lines alone.
 *
 * Owner: one thread; memory is in the arena.
 */
#pragma once
#include "common/base/hash.h"
#include "common/model/textformat.h"

struct expo_created_entry {
    struct hash128 of; /* both 0: free */
    int64_t t_ms;
};

struct expo_created {
    struct arena *arena;
    struct expo_created_entry *slots;
    size_t mask, n; /* mask + 1 slots, or slots NULL */
    struct buf key;
    struct label *sorted;
    size_t cap;
};

/* A text that cannot be read has the lines before the place. Ends with expo_created_done(). */
void expo_created_init(struct expo_created *c, struct arena *a, struct slice openmetrics);
void expo_created_done(struct expo_created *c);
/* Is the series that t is at such a line itself? */
bool expo_created_is(const struct textformat *t);
/* When the series that t is at began; 0: nothing says so. */
int64_t expo_created_of(struct expo_created *c, const struct textformat *t);
