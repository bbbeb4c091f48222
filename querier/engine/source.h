/*
 * Raw samples for range functions: the series of a range selector, or of a subquery (whose inner
 * expression is evaluated on its own grid). Internal to querier/engine.
 *
 * Floats and histograms are apart, stale markers gone, both sorted by time. A raw series is lent
 * until the next call. Samples outside of any window may be among them.
 */
#pragma once
#include "querier/engine/ops.h"

struct raw {
    struct labels labels;
    bool drop_name;
    size_t n;
    const int64_t *t;
    const double *v;
    const int64_t *st; /* start timestamps of the floats; NULL: none known */
    const double
        *w; /* if wanted: how many samples each stands for (storage_point); NULL: for itself */
    size_t nh;
    const int64_t *ht;
    const struct fhist *const *h;
    const int64_t *hst;
    const double *hw;
};

struct source;
/* e: PROMQL_RANGE or PROMQL_SUBQUERY, maybe in parentheses. func: for the storage. */
struct source *source_new(struct exec *x, struct grid grid, const struct promql_expr *e,
                          struct slice func);
/* Before the first series: w and hw are looked at. */
void source_want_weights(struct source *s);
bool source_next(struct source *s, struct raw *ret); /* false: end, or x->err */
/* The window of a step: samples with start < t <= end. */
void source_window(const struct source *s, size_t step, int64_t *ret_start, int64_t *ret_end);
int64_t source_range_ms(const struct source *s);
bool source_is_anchored(const struct source *s);
bool source_is_smoothed(const struct source *s);
