/*
 * The operators and how they are made from the syntax tree. Internal to querier/engine.
 * Each maker builds its children itself, on the grid they need.
 */
#pragma once
#include "common/lang/promql.h"
#include "querier/engine/exec.h"

/* Any expression of type scalar or vector. NULL when x has an error. */
struct node *build_node(struct exec *x, const struct promql_expr *e, struct grid grid);
/* The same value at every step. */
bool build_is_invariant(const struct promql_expr *e);
/* May yield two series that differ in nothing but their names. */
bool build_has_many_names(const struct promql_expr *e);
/* Wraps n, which has dropped names of what e selects, so that equal label sets are found. */
struct node *build_unique(struct exec *x, struct node *n, const struct promql_expr *e);

/* What a selector or subquery says about time. */
struct timeref {
    bool has_at;
    int64_t at_ms, offset_ms;
};
struct timeref timeref_of(const struct exec *x, enum promql_at at, int64_t at_ms,
                          int64_t offset_ms);
static inline int64_t timeref_at(const struct timeref *r, const struct grid *g, size_t i)
{
    return (r->has_at ? r->at_ms : grid_t(g, i)) - r->offset_ms;
}

/* What selects know of their surroundings, for the storage's hints. */
struct select_hint {
    struct slice func;
    bool is_by;
    const struct slice *grouping;
    size_t n_grouping;
    bool is_grouped; /* as storage_request says */
};
/* Takes exec.hint. */
struct select_hint select_hint_take(struct exec *x);
enum select_mode { SELECT_VALUE, SELECT_TIMESTAMP, SELECT_START_TIMESTAMP };
struct node *op_select(struct exec *x, struct grid grid, const struct promql_expr *e,
                       enum select_mode mode);

struct node *op_window(struct exec *x, struct grid grid, const struct promql_expr *call);
bool op_window_has(enum promql_fn fn); /* op_window() makes it */
struct node *op_absent(struct exec *x, struct grid grid, const struct promql_expr *call);
struct node *op_aggregate(struct exec *x, struct grid grid, const struct promql_expr *e);
/* What the shards said of the aggregation e; NULL: it was not split. */
struct node *op_given(struct exec *x, struct grid grid, const struct promql_expr *e);
/* make(e), or what another place of the query with the same text and steps yields, evaluated once. */
struct node *op_shared(struct exec *x, struct grid grid, const struct promql_expr *e,
                       struct node *(*make)(struct exec *x, const struct promql_expr *e,
                                            struct grid grid));
struct slice op_shared_text(const struct exec *x, const struct promql_expr *e);
struct node *op_rank(struct exec *x, struct grid grid, const struct promql_expr *e);
struct node *op_count_values(struct exec *x, struct grid grid, const struct promql_expr *e);
struct node *op_binary_scalar(struct exec *x, struct grid grid, const struct promql_expr *e);
struct node *op_binary_vector(struct exec *x, struct grid grid, const struct promql_expr *e);
struct node *op_binary_set(struct exec *x, struct grid grid, const struct promql_expr *e);
struct node *op_negate(struct exec *x, struct grid grid, const struct promql_expr *e);
struct node *op_call(struct exec *x, struct grid grid, const struct promql_expr *e);
struct node *op_math(struct exec *x, struct grid grid, const struct promql_expr *e);
struct node *op_date(struct exec *x, struct grid grid, const struct promql_expr *e);
struct node *op_label_replace(struct exec *x, struct grid grid, const struct promql_expr *e);
struct node *op_label_join(struct exec *x, struct grid grid, const struct promql_expr *e);
struct node *op_sort(struct exec *x, struct grid grid, const struct promql_expr *e);
struct node *op_hist_value(struct exec *x, struct grid grid, const struct promql_expr *e);
struct node *op_hist_quantile(struct exec *x, struct grid grid, const struct promql_expr *e);
struct node *op_info(struct exec *x, struct grid grid, const struct promql_expr *e);

/* Shared by labels, aggregation and matching. */
bool ops_names_have(struct promql_names names, struct slice name);
/* Labels of a group: kept ones (by) or all but these and the name (without). In a. */
struct labels ops_group_labels(struct arena *a, struct labels ls, bool is_without,
                               struct promql_names names);
/* Labels by which the sides of a binary operation meet. In a. */
struct labels ops_match_labels(struct arena *a, struct labels ls, bool is_on,
                               struct promql_names names);
/* Whether e's groups are to come by labels: in a range query something above may add them up or choose among
 * equals in the order they come, and the order they first appear in hangs on where the range begins. */
bool ops_wants_order(const struct exec *x, const struct promql_expr *e);
/* For qsort() of whatever begins with a struct labels. */
int ops_by_labels(const void *a, const void *b);
/* A string argument's text (a literal, maybe in parentheses). */
struct slice ops_text(const struct promql_expr *e);
/* The metric name a row is spoken of by; "" if it has none. */
struct slice ops_name_of(struct labels ls);

/* One float operation, or comparison (then *ret_keep; the value is the left side's or, with
 * is_bool, 0 or 1). */
double ops_binary_f64(enum promql_op op, double l, double r);
bool ops_compare(enum promql_op op, double l, double r);
static inline double ops_divide(const struct exec *x, double l, double r)
{
    return x->opts->divides_as_logql && r == 0 ? (double)__builtin_nan("") : l / r;
}
double ops_quantile(double q, double *values, size_t n); /* reorders values */

/* Neumaier's sum, as Prometheus adds. */
struct kahan {
    double sum, lost;
};
static inline void kahan_add(struct kahan *k, double x)
{
    double t = k->sum + x;

    if (__builtin_isinf(t))
        k->lost = 0;
    else if (__builtin_fabs(k->sum) >= __builtin_fabs(x))
        k->lost += (k->sum - t) + x;
    else
        k->lost += (x - t) + k->sum;
    k->sum = t;
}
static inline double kahan_value(const struct kahan *k)
{
    return __builtin_isinf(k->sum) ? k->sum : k->sum + k->lost;
}
