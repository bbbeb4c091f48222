/*
 * What of a row group of a block (common/traceblock/tracegroup.h) a filter looks at, and which traces of it it wants: filters as columns
 * to be read, services that the group has to have, and a match over what was read.
 *
 * Any thread; a tracewant is read-only once it is made, and may be shared.
 */
#pragma once
#include "common/traceblock/traceblock.h"
#include "querier/traces/tracesource.h"

struct tracewant {
    const struct traceql_field *const *filters; /* as tracesource_request.filters */
    size_t n_filters;
    struct tracegroup_want columns;
    /* Of each trace that is wanted some span is of one of these; n 0: nothing is known. TRACEBLOCK_NO_SERVICE is among them, for those that
     * a block does not tell apart. */
    const struct slice *services;
    size_t n_services;
};
/* Which TRACEGROUP_… fields an intrinsic is made of; 0: it is always there. */
unsigned tracewant_fields(enum traceql_intrinsic i);
/* In the arena; what filters point to is lent. */
void tracewant_init(struct tracewant *w, struct arena *a,
                    const struct traceql_field *const *filters, size_t n_filters);
/* All that the evaluation of a query looks at; is_search: and what a search shows of what it finds. In the arena; the query is lent. */
struct traceql;
struct tracegroup_want tracewant_of_query(struct arena *a, const struct traceql *q, bool is_search);
/* A traceblock_match_fn; arg: the tracewant. */
struct err *tracewant_match(void *arg, struct arena *scratch, const struct tracecols *cols,
                            uint8_t *want);
