/*
 * Where the engine gets its samples: the interface between querier/engine and whatever holds the
 * data (ingesters and blocks in a querier, a table in tests).
 *
 * A select answers with a series set, pulled series by series:
 *
 *     if ((e = storage_select(st, arena, &req, &set)))
 *         return e;
 *     while (series_set_next(set, &s))
 *         use(s.labels, s.t_ms, s.v, s.n);     all lent until the next call on the set
 *     e = series_set_close(set);               NULL if the end was reached; always frees
 *
 * Order: series come sorted by labels_cmp(), each label set once (replicas already merged); samples
 * by time, strictly increasing. Stale markers are delivered, not filtered.
 *
 * Range: all samples with req.start_ms <= t_ms <= req.end_ms, both ends inclusive. A set may
 * deliver samples outside; the engine skips them. A series without a sample in the range may be
 * left out or delivered with n = 0.
 *
 * Threads: select, next and close are called from the one worker thread that runs the query and
 * may block (RPC, disk). They must give up with ERR_TIMEOUT or ERR_CANCELED once the request's
 * deadline has passed or its cancel flag is set. One query may have several sets open at a time.
 */
#pragma once
#include <stdatomic.h>

#include "common/base/err.h"
#include "common/model/matcher.h"
#include "common/model/sample.h"

struct storage_request {
    struct matchers matchers; /* lent until the set is closed; at least one does not match "" */
    int64_t start_ms, end_ms; /* inclusive */
    /* Hints: a storage may use them to send less, or ignore them. */
    int64_t step_ms;   /* 0: instant */
    int64_t range_ms;  /* of the range selector, 0 for an instant selector */
    struct slice func; /* innermost function or aggregation around it, "" if none */
    bool is_by;        /* the grouping of that aggregation: by (true) or without */
    const struct slice *grouping;
    size_t n_grouping;
    /* Of the labels only those in grouping (and then the name, if it is there) are looked at, and the
     * order of the series does not matter: they may come without the others, in any order, each still
     * on its own even if its labels then equal another's. */
    bool is_grouped;
    bool newest_only; /* of each series only the newest sample in the range is looked at */
    /* Not a hint: only series with labels_fingerprint().hi % shard_count == shard_index; 0: all. */
    uint32_t shard_index, shard_count;
    /* Not a hint either: where samples are left, they are not to be replaced by aggregates of more time than this. And
     * never, if needs_samples: what is done with them makes no sense of aggregates. */
    int64_t max_resolution_ms;
    bool needs_samples;
    /* Bounds of the query. */
    int64_t deadline_mono_ms;  /* clock_system's mono; 0: none */
    const atomic_bool *cancel; /* may be NULL */
};

/*
 * A sample that stands for all that came in a span of time. Its value fits func: their sum for sum_over_time, least for
 * min_over_time, greatest for max_over_time, the counter without resets for rate, increase and irate; otherwise their average.
 */
struct storage_point {
    double samples;  /* that it stands for; 1: a sample as it was measured */
    int64_t span_ms; /* 0: a sample as it was measured */
};

struct storage_series {
    struct labels labels;
    size_t n;
    const int64_t *t_ms;
    const double *v;
    /* NULL when all samples are floats; else h[i] NULL where sample i is a float. v[i] of a
     * histogram is its sum (so a stale histogram has the stale bits there). */
    const struct histogram *const *h;
    const int64_t *st_ms; /* start (created) timestamps, 0: unknown; NULL: none known */
    const struct storage_point *points; /* n; NULL: all are samples as they were measured */
};

struct series_set;
struct series_set_ops {
    bool (*next)(struct series_set *set, struct storage_series *ret);
    struct err *(*close)(struct series_set *set);
};
/* First member of an implementation's own set. */
struct series_set {
    const struct series_set_ops *ops;
    /* What went wrong without failing the query ("zone b did not answer: ..."); read by the engine
     * just before close. */
    const struct slice *warnings;
    size_t n_warnings;
};

struct storage;
struct storage_ops {
    /* arena: the query's, for what lives as long as the query; charged to its budget. */
    struct err *(*select)(struct storage *st, struct arena *arena,
                          const struct storage_request *req, struct series_set **ret);
};
/* First member of an implementation. */
struct storage {
    const struct storage_ops *ops;
};

ORR_CHECKED static inline struct err *storage_select(struct storage *st, struct arena *arena,
                                                     const struct storage_request *req,
                                                     struct series_set **ret)
{
    return st->ops->select(st, arena, req, ret);
}
static inline bool series_set_next(struct series_set *set, struct storage_series *ret)
{
    return set->ops->next(set, ret);
}
ORR_CHECKED static inline struct err *series_set_close(struct series_set *set)
{
    return set->ops->close(set);
}
