/*
 * Whole traces of a source, in columns, some at a time: what searches and metrics of TraceQL run over.
 *
 *   for each of some ranges of ids, as wide as what was found in those before lets expect TRACESCAN_TRACES of:
 *     with filters, unless they are broad: ids of traces that may match, from all; else all ids
 *     if they are many: those that a source has in columns, in one place whole ─▶ the caller
 *     pieces of the others that may match, from all ─ united ─▶ columns, up to so many spans at once ─▶ the caller
 *
 * Memory: the columns of one part and the ids of one range, charged to the arena; ERR_LIMIT when it is over.
 *
 * Owner: one worker.
 */
#pragma once
#include "querier/traces/tracesource.h"

#define TRACESCAN_SPANS 65536  /* of one part; a trace that has more is one by itself */
#define TRACESCAN_TRACES 65536 /* of one range, or ids of them; and ids of one question */
#define TRACESCAN_MAX_RANGES 256
#define TRACESCAN_FEW 256

struct tracescan_opts {
    const struct tracesource *source;
    struct tracesource_request req; /* first, last, ids and ids_only are left open */
    /* What the caller looks at; NULL: all, which only pieces have. Other members of columns may be NULL. */
    const struct tracegroup_want *want;
    /* Traces of which nothing is after this are of no use (any more): it may rise while the scan goes on, and is looked at before each range.
     * Of a trace that goes on past it, what ends before it may be missing. NULL: req says it all. */
    const int64_t *useful_from_ns;
    size_t few; /* so many candidates are had by pieces; 0: TRACESCAN_FEW */
    /* The first range is one of so many, a power of two up to TRACESCAN_MAX_RANGES; 0: 1, which is all at once. Those behind it may be
     * wider: each makes sources read anew what lies at its bounds. */
    unsigned ranges;
    struct arena *arena; /* whose limit is the query's memory */
};
struct tracescan_stats {
    uint64_t traces, spans; /* that were looked at whole */
    uint64_t in_columns;    /* of the traces: had without pieces */
};
/* Columns are lent for the call. An error ends the scan and is its. *ret_stop: the caller has enough. */
typedef struct err *tracescan_fn(void *arg, const struct tracecols *cols, bool *ret_stop);
ORR_CHECKED struct err *tracescan(const struct tracescan_opts *opts, tracescan_fn *fn, void *arg,
                                  struct tracescan_stats *stats);
/* The same of the traces with these ids, ascending, whatever req's filters say. */
ORR_CHECKED struct err *tracescan_ids(const struct tracescan_opts *opts, const uint8_t (*ids)[16],
                                      size_t n, tracescan_fn *fn, void *arg,
                                      struct tracescan_stats *stats);
/* All there is of one trace, united; ret->n_spans 0: nothing. What it points to is the arena's. */
ORR_CHECKED struct err *tracescan_find(const struct tracescan_opts *opts, const uint8_t id[16],
                                       struct tracepiece *ret);
