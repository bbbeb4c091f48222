/*
 * Equal queries that are asked at the same time are run once: the first is the pilot and runs it, those that
 * come while it does are passengers and get a copy of its answer, or of its error.
 *
 *     e = flight_board(fs, key, deadline, cancel, &f, &bytes)
 *     f != NULL: the pilot. Runs the query, then   flight_land(f, e, write, arg)
 *     else:      the answer of the pilot is in bytes, or e says what went wrong
 *
 * Each passenger keeps its own time limit and cancel flag. A pilot that is cancelled or out of time ends
 * alone: one of its passengers is the next pilot. The answer is put into bytes only when somebody waits for
 * it.
 *
 * A passenger sees the data as of when its pilot began, which is a little before it asked itself; what has
 * to be newer is part of the key.
 *
 * Threads: workers; passengers block theirs. One lock, held for a look at a table.
 */
#pragma once
#include <stdatomic.h>

#include "common/base/buf.h"
#include "common/base/err.h"

struct flights;
struct flight;

struct flights *flights_new(void);
void flights_free(struct flights *fs); /* when nobody is on board; NULL is allowed */

ORR_CHECKED struct err *flight_board(struct flights *fs, struct slice key, int64_t deadline_mono_ms,
                                     const atomic_bool *cancel, struct flight **ret_pilot,
                                     struct buf *ret_bytes);
/* Ends it: e is copied (NULL: success, and write(out, arg) gives the answer's bytes, if anybody waits). */
void flight_land(struct flight *f, const struct err *e, void (*write)(struct buf *out, void *arg),
                 void *arg);
uint64_t flights_passengers(struct flights *fs); /* so far */
