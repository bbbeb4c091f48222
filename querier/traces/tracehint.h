/*
 * What a TraceQL query asks for beside its answer: with(exemplars=true, most_recent=true).
 *
 *   most_recent      boolean: the newest traces that match, which is what a search gives anyway
 *   exemplars        a number of them, or true for as many as there may be, or false
 *   sample           boolean or a share in (0, 1]: an estimate is enough
 *   span_sample,
 *   trace_sample     a share in (0, 1]: likewise. Answers are the whole, not an estimate of it
 *
 * All others are refused by name, those among them by which Tempo is measured and tuned.
 *
 * Any thread.
 */
#pragma once
#include "common/base/err.h"
#include "common/lang/traceql.h"

struct tracehints {
    bool has_exemplars; /* it says how many */
    uint32_t exemplars; /* UINT32_MAX: as many as there may be */
};
/* ERR_INVALID names the hint. */
ORR_CHECKED struct err *tracehints_of(const struct traceql *q, struct tracehints *ret);
