/*
 * A range query step by step: steps that are known from before are taken from where they are kept, the
 * others are computed, long stretches of them in parts side by side.
 *
 *     steps      0 ........................................ n-1
 *     pieces     |        |        |        |        |            STEPWISE_PIECE_STEPS each, cut where time
 *     kept         =======|========|========|===                  is a multiple, so that queries meet in them
 *     jobs       ##                             ############      what is left, cut at multiples of split_ms
 *                                               ^ younger than keep_until_ms: not kept
 *
 * Only where a step's value follows from its own time (engine/reach.h); other queries are one job. So the
 * answer is the same to the byte, kept or not. What that needs:
 *   - a job has at least two steps: of one alone the engine may read series in another order, and sums
 *     round by order;
 *   - annotations are those of all steps of a piece, so a piece that has some is used only by a query that
 *     has all its steps, and by none that writes the expression differently, for they tell positions. A job
 *     across pieces that has some leaves a mark, and the next time it is cut where pieces end;
 *   - an answer that warns of anything but the query itself (data that did not come) is not kept, nor one
 *     that has more annotations than are shown;
 *   - when a limit ends a job, or all steps together are more than the samples allowed, the query is run as
 *     one, and its error is that of the whole.
 *
 * A piece is a result as bytes (result_wire.h) under the key
 *
 *   lstr tenant | lstr canonical text | lstr settings | varint step_ms, start mod step, lookback_ms, number
 *
 * Blocks, on a worker; memory is the query's arena, and that of the jobs, which the answer points to.
 */
#pragma once
#include "querier/engine/reach.h"
#include "querier/plan/answer_cache.h"

#define STEPWISE_PIECE_STEPS 256

struct stepwise_ask {
    const struct engine_query *q;
    const struct reach *reach;
    int64_t split_ms;           /* 0: stretches are not cut for length */
    struct answer_cache *cache; /* NULL: nothing is kept. The rest is of no account then. */
    struct slice tenant;
    struct slice settings; /* whatever else an answer hangs on */
    uint64_t version;      /* of the data; taken before */
    int64_t keep_until_ms; /* what looks at something newer is not kept */
    /* Nor what looks at something as old as this or older; INT64_MIN: none. */
    int64_t visible_min_ms;
};

struct stepwise_stats {
    size_t steps_kept, steps_run, jobs; /* steps that were not computed; jobs that were run */
    /* Pieces that steps came from, and others that were looked for. */
    size_t pieces_hit, pieces_missed;
};

/* As engine_query(), with run() doing what is to be computed. */
ORR_CHECKED struct err *stepwise_query(const struct stepwise_ask *ask, struct arena *a,
                                       engine_run_fn *run, void *arg,
                                       struct stepwise_stats *ret_stats, struct engine_result *ret);
