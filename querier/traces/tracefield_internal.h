/* Values of one span (tracefield.c), of which masks over all spans (tracefield_mask.c) are made where there is no column. */
#pragma once
#include "common/base/re.h"
#include "common/base/vec.h"
#include "querier/traces/tracefield.h"

struct tracefield_regex {
    const struct traceql_field *of; /* the constant that it was compiled from */
    struct re *re;
};

/* The columns of an attribute of the query. */
struct tracefield_found {
    const struct traceql_attribute *of;
    const struct tracecol *cols[TRACE_TABLES];
};

struct tracefield {
    const struct tracecols *cols;
    struct arena *scratch; /* of one span, or of one mask */
    VEC(struct tracefield_regex) regexes;
    VEC(struct tracefield_found) founds;
};

/* What one value says to a comparison: nothing, if its type does not go with the constant's. */
enum tracefield_verdict { TRACEFIELD_NO_SAY, TRACEFIELD_NO, TRACEFIELD_YES };

/* By name once for a query, not once for a span. NULL: no row has it. */
const struct tracecol *tracefield_column(struct tracefield *ctx, const struct traceql_attribute *a,
                                         enum tracetable table);
/* Where an attribute without a scope is looked for, first to last. */
extern const enum tracetable tracefield_scopes[TRACE_TABLES];
/* NIL for an array. */
struct traceql_static tracefield_cell(const struct tracecols *c, uint8_t type, uint64_t value);
/* The verdict of the positive form of op: of = for !=, of =~ for !~. rhs: what r is the value of. */
enum tracefield_verdict tracefield_judge(struct tracefield *ctx, enum traceql_op op,
                                         const struct traceql_static *l,
                                         const struct traceql_static *r,
                                         const struct traceql_field *rhs);
/* What the verdicts on all values come to. */
bool tracefield_sum_up(enum traceql_op op, bool has_yes, bool has_no);
/* Whether f is true of one span. */
bool tracefield_is_true(struct tracefield *ctx, const struct traceql_field *f, uint32_t row);
