/*
 * A binary operation on two samples, each a float or a histogram. Internal to querier/engine.
 */
#pragma once
#include "querier/engine/ops.h"

struct cell {
    double v;
    const struct fhist *h; /* NULL: v is the sample */
};

struct cell_op {
    struct exec *x;
    enum promql_op op;
    uint32_t pos; /* for annotations */
    struct arena *arena;
};

/* Whether the result is no longer what the name says. */
bool cell_drops_name(enum promql_op op);
/* *ret_keep false: no sample (a comparison that failed, or types that do not go together). Comparisons
 * yield the left side. *ret_is_bad: the types do not go together, an annotation says so. */
struct cell cell_binary(const struct cell_op *c, struct cell l, struct cell r, bool *ret_keep,
                        bool *ret_is_bad);
