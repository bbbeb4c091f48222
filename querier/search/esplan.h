/*
 * Which lines must be looked at for a query: what of it the log store can tell by itself, as selects (logsource.h). A document
 * that a query keeps is in exactly one of its selects; what they give beside is for esmatch_keeps() to drop.
 *
 * Of what must hold of every document:
 *   @timestamp ranges              the range of time
 *   _index, and a field that may be a label (label names are fields, and stand before the line's)
 *                                  a matcher: the label is that value, or there is none
 *   texts of a line                needles: |= "67890", which blocks have filters for, and heads search for
 *
 * A needle of a field that may be a label holds of those streams alone that have no such label: so there are two selects,
 * {user_id="67890"} and {user_id=""} |= "67890", of the field with the longest one. What may be in structured metadata gives no needle.
 *
 * What a needle is: of exact values the runs of letters, digits and punctuation that no encoder of JSON or logfmt escapes; of words,
 * which are compared without case, digits alone. A number may be written as 1.2345678E7, so of eight digits and more the first
 * and zeros at the end are left away. An encoder that writes letters as \u0061, or 12e2 for 1200, is none that is reckoned with.
 *
 * Pure. Memory: the arena; esplan_done() frees what matchers have beside.
 */
#pragma once
#include "common/model/matcher.h"
#include "querier/logs/logsource.h"
#include "querier/search/esquery.h"

#define ESPLAN_MAX_NEEDLES 16
#define ESPLAN_MAX_MATCHERS 32
#define ESPLAN_MAX_SELECTS 2

struct esplan_select {
    struct matcher matchers[ESPLAN_MAX_MATCHERS];
    size_t n_matchers;
    struct logql_logs logs; /* a hint: the needles as line filters */
    struct logql_stage stages[ESPLAN_MAX_NEEDLES];
    struct logql_needle needles[ESPLAN_MAX_NEEDLES];
};
struct esplan {
    int64_t from_ns, to_ns; /* from <= t < to */
    bool has_from, has_to;  /* else as far as there is something */
    bool is_nothing;        /* no document can fit */
    struct esplan_select selects[ESPLAN_MAX_SELECTS];
    size_t n_selects;
};

/* indices: names with *, one of which an index must be; none: any. On failure, too, esplan_done(). */
ORR_CHECKED struct err *esplan_make(struct arena *a, const struct esquery *q,
                                    const struct slice *indices, size_t n_indices,
                                    struct esplan *ret);
void esplan_done(struct esplan *p);
