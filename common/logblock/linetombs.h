/*
 * Log lines against a list of deletions (common/block/tombstone_list.h): which of a stream's lines are deleted.
 *
 *     linetombs_new(budget, list, &ms, from_ns, to_ns)       NULL: nothing of that is deleted, lines need not be asked about
 *     linetombs_stream(lt, labels, &any)                     once per stream; any: some of it may be
 *     if (any && linetombs_has(lt, ts_ns, line, metadata))   it is
 *
 * A deletion takes the lines of a stream that its matchers accept whose time, in ms rounded down, lies in its range; all of
 * them, or, if its query has a pipeline, those that the pipeline lets through. What a pipeline makes of a line is of no account, and a
 * line with which a parser fails passes, as in a query.
 *
 * Matchers are looked at once per stream. A pipeline is compiled when the first stream comes that it is for, and run on lines of its
 * time alone. Memory: the budget.
 *
 * A query on the list that does not compile, as that of another version of Orrery may not, is ERR_INTERNAL: what it deletes would be
 * seen again. It says nothing against a block. ERR_LIMIT: the budget.
 *
 * Owner: one thread.
 */
#pragma once
#include "common/block/tombstone_list.h"
#include "common/logblock/logblock.h"

struct linetombs;

/* Of the deletions that reach into [from_ns, to_ns) and may be about streams that ms accepts (NULL: all). list
 * outlives it. */
struct linetombs *linetombs_new(struct arena *budget, const struct tombstone_list *list,
                                const struct matchers *ms, int64_t from_ns, int64_t to_ns);
void linetombs_free(struct linetombs *lt); /* NULL is allowed */

/* labels are borrowed until the next stream. */
ORR_CHECKED struct err *linetombs_stream(struct linetombs *lt, struct labels labels, bool *ret_any);
/* Whether all that the stream may have in [from_ns, to_ns) is deleted, whatever the lines. */
bool linetombs_takes_all(const struct linetombs *lt, int64_t from_ns, int64_t to_ns);
/* line and metadata are borrowed for the call. */
bool linetombs_has(struct linetombs *lt, int64_t ts_ns, struct slice line, struct labels metadata);

/* ---- one by one: to find the streams of which lines are deleted ---- */

size_t linetombs_count(const struct linetombs *lt);
const struct tombstone *linetombs_at(const struct linetombs *lt, size_t i);
/* The first that is about the stream. */
size_t linetombs_first(const struct linetombs *lt);
/* Whether the i-th takes all lines of its streams. */
ORR_CHECKED struct err *linetombs_is_whole(struct linetombs *lt, size_t i, bool *ret);
/* Texts that each line has which the i-th deletes: max at most, in a. None: any line may be. */
ORR_CHECKED struct err *linetombs_needles(struct linetombs *lt, size_t i, struct arena *a,
                                          struct slice *ret, size_t max, size_t *ret_n);
