/*
 * The series that this ingester makes for a tenant: rows of counters and histograms that share labels.
 *
 *   row  labels without name ─ counters[], hists[] of its kind, each a series (a classic histogram: buckets + 3, a native one: 1) from when it
 *        was first counted
 *
 * Written (gentable_write) a series is a counter that begins with a zero at the time it was first counted, so that rate() sees its first
 * growth too. All have a label __metrics_gen_instance, the name of this ingester, as Tempo's have: a series has one writer. A row that nothing
 * was counted of for GENTABLE_STALE_MS ends with stale markers and is forgotten.
 *
 * Bound: max_series; of what would be beyond nothing is counted but that it was (refused).
 *
 * Nothing here locks.
 */
#pragma once
#include "common/base/map.h"
#include "ingester/door/push_builder.h"
#include "ingester/generator/genhist.h"

#define GENTABLE_STALE_MS (15 * 60 * 1000)
#define GENTABLE_SLICE_SERIES 4096 /* in one write */
#define GENTABLE_SLICE_BYTES                                                                       \
    (32u << 20) /* of it; one row more fits into a write (PUSH_BUILDER_MAX_BYTES) */
#define GENTABLE_KIND_MAX 3

struct genkind_name {
    const char *name,
        *help; /* of a counter as it is; of a histogram without suffix; NULL: no more */
};
/* A kind of rows; static. */
struct genkind {
    struct genkind_name counters[GENTABLE_KIND_MAX], hists[GENTABLE_KIND_MAX];
};

struct gencounter {
    double v;
    int64_t born_ms; /* 0: not counted yet */
    bool is_shown;
};
struct genrow {
    const struct genkind *kind;
    struct slice key; /* of the map */
    struct labels labels;
    struct gencounter counters[GENTABLE_KIND_MAX];
    struct genhist *hists[GENTABLE_KIND_MAX];
    struct gencounter shown[GENTABLE_KIND_MAX]; /* of hists: v is not used */
    const struct generator_buckets *buckets;
    int64_t seen_ms;
};

/* What of the rules a table needs; theirs, until gentable_done(). */
struct gentable_opts {
    uint64_t max_series; /* 0: no limit */
    bool has_classic, has_native;
};
struct gentable {
    struct gentable_opts opts;
    struct map by_key; /* struct genrow */
    VEC(struct genrow *) rows;
    struct buf key;
    uint64_t series, refused;
};

void gentable_init(struct gentable *t, const struct gentable_opts *opts);
void gentable_done(struct gentable *t);

/* The row of these labels, in any order; those without value are none, and of two with one name the first counts. buckets: of its histograms,
 * until gentable_done(). NULL: there is no room for more. */
struct genrow *gentable_row(struct gentable *t, const struct genkind *kind,
                            const struct label *labels, size_t n,
                            const struct generator_buckets *buckets, int64_t now_ms);
void gentable_count(struct gentable *t, struct genrow *row, size_t counter, double n,
                    int64_t now_ms);
void gentable_observe(struct gentable *t, struct genrow *row, size_t hist, double v, double n,
                      const uint8_t trace[16], int64_t now_ms);

/* The next slice of all rows; *io_next: SIZE_MAX at first, 0 when that was all. ERR_LIMIT: a row is too large for a write; the next slice
 * begins behind it. */
ORR_CHECKED struct err *gentable_write(struct gentable *t, struct push_builder *b,
                                       struct slice instance, int64_t now_ms, size_t *io_next);
