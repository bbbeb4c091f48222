/*
 * What avg, stddev and stdvar make their results of, as rows: so the shards of a query give it to each other.
 * Of each group there are three, its labels with one more, MOMENTS_LABEL, which no series can have and which
 * sorts behind all others. In this order:
 *
 *     "c"  the number of samples
 *     "l"  avg: what the sum lost in rounding; stddev, stdvar: the mean
 *     "v"  avg: the sum;                       stddev, stdvar: the sum of the squares of differences
 *
 * Owner: the thread that runs the query; memory is the query's arena.
 */
#pragma once
#include "common/lang/promql.h"
#include "querier/engine/exec.h"

#define MOMENTS_LABEL "\xff"
enum { MOMENTS_COUNT, MOMENTS_LOST, MOMENTS_VALUE, MOMENTS_ROWS };

/* Whether that is what an aggregation's parts give. */
bool moments_are_of(enum promql_agg op);
/* Which of them a label set is of; MOMENTS_ROWS: none. */
unsigned moments_kind(struct labels ls);
/* A group's labels with the mark, in a. */
struct labels moments_labels(struct arena *a, struct labels ls, unsigned kind);

struct moments {
    struct labels labels; /* of the group */
    double *column[MOMENTS_ROWS];
    unsigned n; /* rows of this group so far */
};
/* One row after the other. True when a group is complete: m then has its labels and columns, until the next
 * call. Rows in any other order end the query (they come from elsewhere). */
bool moments_take(struct exec *x, struct moments *m, const struct row *r, size_t steps);
