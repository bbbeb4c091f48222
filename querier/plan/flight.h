/*
 * Equal queries that are asked at the same time: at most one is under way, and one more for all who came
 * meanwhile.
 *
 *     e = flight_board(fs, key, deadline, cancel, arena, &f, &bytes)
 *     f != NULL: the pilot. Runs the query, then   flight_land(f, e, write, arg)
 *     else:      the answer of the pilot is in bytes, or e says what went wrong
 *
 *     A asks ── runs ─────────────┐
 *          B asks ── waits ───────┴ runs ────────┐
 *              C asks ── waits ──────────────────┴ has B's answer
 *                                     D asks ────┴ runs
 *
 * Nobody gets an answer of a run that began before it asked, so whatever was acknowledged before a query was sent is
 * in its answer. Who comes while a run is under way boards the flight behind it; when that run has ended one of
 * those aboard is the pilot, and the others get a copy of its answer, or of its error. So a query may wait for one
 * run more than its own.
 *
 * Each passenger keeps its own time limit and cancel flag. A pilot that is cancelled or out of time ends
 * alone: one of its passengers is the next pilot. The answer is written only when somebody waits for
 * it; bytes are in the passenger's arena.
 *
 * What of the data a query looked at before it boarded must be part of the key.
 *
 * Threads: workers; passengers block theirs. One lock, held for a look at a table.
 */
#pragma once
#include <stdatomic.h>

#include "common/base/arena.h"
#include "common/base/buf.h"
#include "common/base/err.h"

struct flights;
struct flight;

struct flights *flights_new(void);
void flights_free(struct flights *fs); /* when nobody is on board; NULL is allowed */

ORR_CHECKED struct err *flight_board(struct flights *fs, struct slice key, int64_t deadline_mono_ms,
                                     const atomic_bool *cancel, struct arena *a,
                                     struct flight **ret_pilot, struct slice *ret_bytes);
/* Ends it: e is copied (NULL: success, and write(out, arg) gives the answer's bytes, if anybody waits). */
void flight_land(struct flight *f, const struct err *e, void (*write)(struct buf *out, void *arg),
                 void *arg);

struct flights_stats {
    uint64_t carried; /* so far: got what another's run gave */
    size_t waiting;   /* now */
};
void flights_stats_get(struct flights *fs, struct flights_stats *ret);
