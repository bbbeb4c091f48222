/*
 * Native histograms to compute with, for the query engine and for aggregation at the door: buckets as
 * sorted sparse lists of absolute index and count. struct histogram (spans) is what is stored and sent.
 *
 * Exponential bucket i of schema s is (2^((i-1)/2^s), 2^(i/2^s)], mirrored on the negative side. Custom
 * bucket i is (bounds[i-1], bounds[i]], the first from -Inf, the one past the last bound to +Inf.
 *
 * Immutable once built: operations return new ones in the arena, which may share parts with their
 * operands: they must live as long. fhist_dup() makes one of its own. Any thread with its own arena.
 */
#pragma once
#include "common/base/buf.h"
#include "common/model/sample.h"

struct fhist_bucket {
    int32_t idx;
    double count;
    double lost; /* what rounding took from count while adding up; see fhist_sum_add() */
};

struct fhist_side {
    struct fhist_bucket *ptr; /* sorted by idx */
    size_t n;
};

struct fhist {
    int32_t schema;
    enum histogram_hint hint;
    double zero_threshold, zero_count, count, sum;
    double zero_lost, count_lost, sum_lost; /* as fhist_bucket.lost */
    struct fhist_side pos, neg;
    const double *bounds; /* custom schema: upper bounds without +Inf */
    size_t n_bounds;
};

static inline bool fhist_is_custom(const struct fhist *h)
{
    return h->schema == HISTOGRAM_CUSTOM_SCHEMA;
}

/* A deep copy. */
const struct fhist *fhist_from(struct arena *a, const struct histogram *h);
/* A deep copy without empty buckets, spans as short as they get. */
const struct histogram *fhist_to(struct arena *a, const struct fhist *h);
const struct fhist *fhist_dup(struct arena *a, const struct fhist *h);
struct fhist *fhist_with_hint(struct arena *a, const struct fhist *h, enum histogram_hint hint);

/* Count and sum alone; an unknown hint is found out from the sample before (NULL: stays unknown). */
const struct fhist *fhist_stats(struct arena *a, const struct histogram *h,
                                const struct histogram *prev);

/* What an addition found out besides the sum. */
struct fhist_notes {
    bool has_reset_conflict; /* one side says reset, the other not */
    bool has_reconciled;     /* custom bounds differed: the common ones were kept */
};
/* x + y, or x - y. NULL when one is exponential and the other has custom buckets. notes is or-ed. */
const struct fhist *fhist_add(struct arena *a, const struct fhist *x, const struct fhist *y,
                              struct fhist_notes *notes);
const struct fhist *fhist_sub(struct arena *a, const struct fhist *x, const struct fhist *y,
                              struct fhist_notes *notes);
/*
 * Adding up many: x + y with the rounding errors of x kept beside its counts (Neumaier), until
 * fhist_sum_done() adds them in. All other operations ignore them.
 */
const struct fhist *fhist_sum_add(struct arena *a, const struct fhist *x, const struct fhist *y,
                                  struct fhist_notes *notes);
const struct fhist *fhist_sum_done(struct arena *a, const struct fhist *x);
/* Mean of n so far and one more; as fhist_sum_add() of parts, where their sum would overflow. */
const struct fhist *fhist_mean_add(struct arena *a, const struct fhist *mean, const struct fhist *y,
                                   double n, struct fhist_notes *notes);
bool fhist_has_overflow(const struct fhist *h);
const struct fhist *fhist_mul(struct arena *a, const struct fhist *h, double f);
const struct fhist *fhist_div(struct arena *a, const struct fhist *h, double f);
/* To a coarser exponential schema; h itself if it is not finer. */
const struct fhist *fhist_coarsen(struct arena *a, const struct fhist *h, int32_t schema);
/* Empty, with the layout of h. */
const struct fhist *fhist_zero_like(struct arena *a, const struct fhist *h);

/* Whether a counter was reset between prev and cur. */
bool fhist_is_reset(struct arena *a, const struct fhist *cur, const struct fhist *prev);
bool fhist_eq(const struct fhist *a, const struct fhist *b); /* empty buckets and hints aside */

/* All non-empty buckets from lowest to highest, zero bucket included. */
struct fhist_range {
    double lower, upper, count;
};
size_t fhist_ranges(struct arena *a, const struct fhist *h, struct fhist_range **ret);

struct fhist_quantile_notes {
    bool is_nan_result, is_skewed; /* because of NaN observations */
};
double fhist_quantile(struct arena *a, double q, const struct fhist *h,
                      struct fhist_quantile_notes *notes);
double fhist_fraction(struct arena *a, double lower, double upper, const struct fhist *h,
                      bool *ret_has_nan);
double fhist_variance(struct arena *a, const struct fhist *h);
/* Observations below (upper: above) the bound only, as the operators </ and >/. */
const struct fhist *fhist_trim(struct arena *a, const struct fhist *h, double bound, bool is_upper);

/* "{count:20, sum:10, [-2,-1):2, [-0.001,0.001]:2, (0.5,1]:1}" */
void fhist_text(struct buf *out, struct arena *a, const struct fhist *h);
