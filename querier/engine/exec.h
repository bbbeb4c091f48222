/*
 * One running query: the contract between the engine's operators. Internal to querier/engine.
 *
 * A query is a tree of nodes. Each yields rows, one series at a time, with the values of all steps
 * of the node's grid:
 *
 *     while (node_next(child, &row))
 *         use(row.labels, row.v[0 .. n-1]);     lent and writable until the next call
 *     the end, or x->err is set: whoever called asks exec_ok()
 *
 * Errors latch in exec.err: the first one stays, every node_next() answers false from then on.
 * Nodes are made in the query's arena; what they hold besides memory (series sets, child
 * arenas) goes in their done(), called for all nodes when the query ends, in reverse order.
 *
 * A step without a sample has the stale marker's bits in v (they cannot be the result of any
 * arithmetic) and NULL in h. A step with a histogram has it in h and absence in v.
 *
 * Owner: the thread that runs the query.
 */
#pragma once
#include "common/model/fhist.h"
#include "querier/engine/annot.h"
#include "querier/engine/engine.h"
#include "querier/engine/turns.h"

struct grid {
    int64_t start_ms, step_ms;
    size_t n; /* 0: no step at all */
};

static inline int64_t grid_t(const struct grid *g, size_t i)
{
    return g->start_ms + (int64_t)i * g->step_ms;
}
static inline int64_t grid_last(const struct grid *g)
{
    return g->n ? grid_t(g, g->n - 1) : g->start_ms;
}

struct row {
    struct labels labels;
    bool drop_name; /* the name is to be removed at the end (delayed name removal) */
    double *v;
    const struct fhist **h; /* NULL: no histograms */
};

#define ROW_ABSENT sample_from_bits(SAMPLE_STALE_BITS)
static inline bool row_has_float(const struct row *r, size_t i)
{
    return sample_bits(r->v[i]) != SAMPLE_STALE_BITS;
}
static inline bool row_has_hist(const struct row *r, size_t i)
{
    return r->h && r->h[i];
}
static inline bool row_has(const struct row *r, size_t i)
{
    return row_has_float(r, i) || row_has_hist(r, i);
}
static inline void row_clear(struct row *r, size_t i)
{
    r->v[i] = ROW_ABSENT;
    if (r->h)
        r->h[i] = NULL;
}

struct node;
struct node_ops {
    bool (*next)(struct node *n, struct row *ret);
    void (*done)(struct node *n); /* may be NULL */
};
/* First member of every operator. */
struct node {
    const struct node_ops *ops;
    struct exec *x;
    struct grid grid;
    bool is_scalar;    /* exactly one row, no labels, a float at every step */
    struct arena *tmp; /* of the row lent last; NULL until node_tmp() is called */
    struct node *next_made;
};

/* 500 million points with the default of max_samples: some seconds. A plain aggregation over 40,000 series may have
 * 11,000 steps; what Prometheus allows is a tenth of it. */
#define EXEC_POINTS_PER_SAMPLE 10

struct promql_expr;
struct exec {
    const struct engine_opts *opts;
    const struct promql_expr *root; /* of the query */
    struct shared *shared;          /* op_shared.c */
    const struct engine_query *q;
    struct storage *st;
    struct arena *arena;
    struct grid grid; /* of the whole query */
    int64_t lookback_ms;
    uint64_t max_samples;
    uint64_t held; /* samples in memory now */
    /* Steps of all rows of all nodes, so far; at most EXEC_POINTS_PER_SAMPLE x max_samples. */
    uint64_t points;
    /* While building: inside histogram_count() and its like, and inside what needs whole histograms. */
    unsigned stats_wanted, stats_blocked;
    const struct select_hint *hint; /* while building: for the select made next, which takes it */
    struct err *err;
    struct annots annots;
    struct engine_stats stats;
    struct node *made;
    struct turn turn;
    uint32_t ticks;
    uint64_t work; /* since the last look at the clock */
};

static inline bool exec_ok(const struct exec *x)
{
    return !x->err;
}
/* Takes e; keeps the first. Returns false, so a node can end with it. */
bool exec_fail(struct exec *x, struct err *e);
/* Once per row or batch: budget, deadline, cancel flag. False when the query has to end. */
bool exec_tick(struct exec *x);
/* As exec_tick(), for long work inside of one row: n units of a few nanoseconds done. */
bool exec_work(struct exec *x, uint64_t n);
/* Before something of that size is built within a row, where no tick looks: whether the query's memory allows
 * it. On the way up through nested calls each makes its part without a tick in between. */
bool exec_room(struct exec *x, size_t bytes);
/* Counts n samples that stay in memory; false when over the limit. */
bool exec_hold(struct exec *x, uint64_t n);
void exec_release(struct exec *x, uint64_t n);
/* Calls done() of all nodes. */
void exec_done(struct exec *x);

void *node_make(struct exec *x, size_t bytes, const struct node_ops *ops, struct grid grid);
#define node_new_of(x, type, ops, grid) ((type *)node_make((x), sizeof(type), (ops), (grid)))
bool node_next(struct node *n, struct row *ret);
/* Arena for what the next lent row needs, emptied at each call. */
struct arena *node_tmp(struct node *n);

/* Columns of n steps. */
double *row_column(struct arena *a, size_t n); /* all absent */
const struct fhist **row_hist_column(struct arena *a, size_t n);

/* ls without __name__, __type__ and __unit__; ls itself if it has none of them. */
struct labels row_nameless(struct arena *a, struct labels ls);
/* Removes the name, now or (delayed) by flag. */
void row_drop_name(struct exec *x, struct arena *a, struct row *r);

/* Rows held by an operator, labels and histograms copied into the query's arena. */
struct rowset {
    struct row *ptr;
    size_t n, cap;
};
void rowset_add(struct exec *x, struct rowset *s, const struct row *r, size_t steps);
/* All rows of a node. */
bool rowset_fill(struct exec *x, struct rowset *s, struct node *child);

/* Label sets to index: a hash table in the query's arena. */
struct labelmap {
    struct arena *arena;
    struct labelmap_slot *slots;
    size_t n, cap;
};
/* The index of the set; a new one gets the next number and *ret_is_new. ls is copied if new. */
size_t labelmap_index(struct labelmap *m, struct labels ls, bool *ret_is_new);
struct labels labelmap_labels(const struct labelmap *m, size_t index); /* O(cap): for messages */

/* Nodes that serve others. */
struct node *node_number(struct exec *x, struct grid grid, double v);
struct node *node_repeat(struct exec *x, struct grid grid,
                         struct node *single); /* one step to all */
/* Merges rows with equal labels; fails if both have a sample at one step, or always (is_strict). */
struct node *node_merge(struct exec *x, struct node *child, bool is_strict);
/* If n is such a merge: it need not hold rows, for its reader takes them as well in pieces
 * (those of one label set, each with other steps). */
void node_merge_streams(struct node *n);
/* The column of a scalar node. NULL on error. */
const double *node_scalar(struct node *n);
