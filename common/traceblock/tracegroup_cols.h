/* Columns of TraceQL's engine that are being made of a row group. Within common/traceblock only. */
#pragma once
#include "common/traceblock/tracegroup_internal.h"

struct tracegroup_making_cols {
    struct tracegroup *g;
    struct arena *a;
    struct arena *scratch; /* of one value */
    struct tracecols *out;
    struct map texts; /* -> number in dict + 1 */
    struct slice *dict;
    size_t n_dict;
    struct tracearray *arrays;
    size_t n_arrays;
};

uint32_t tracegroup_number_of(struct tracegroup_making_cols *c, struct slice text);
/* Numbers of a column's texts in the dict. */
uint32_t *tracegroup_numbers_of(struct tracegroup_making_cols *c,
                                const struct tracegroup_read *col);
/* The values of a key, of each row of its table that has it. */
ORR_CHECKED struct err *tracegroup_attribute_column(struct tracegroup_making_cols *c,
                                                    const struct tracegroup_key *key,
                                                    struct tracecol *ret);
