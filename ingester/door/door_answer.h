/*
 * What a client is told of its write: what was refused, how much of it, why, and some examples; and
 * how much was stored.
 *
 * Pure; any thread.
 */
#pragma once
#include "ingester/distribute.h"
#include "ingester/door/door.h"

struct door_answer_input {
    const struct push *push;
    const struct push_rejects *rejects; /* by the door */
    bool is_strict;                     /* as push_decoder */
    uint64_t aggregated; /* samples and histograms that are not in the push any more */
    const struct distribute_result *result; /* without an error */
};
/*
 * NULL when all was taken, else as door_done_fn has it. Fills what is stored in *ret; with is_strict
 * also counted, as Prometheus counts in the *-Written headers of remote write 2.0: elements refused
 * only because they are not newer than what the same write stored of their series before them, and
 * exemplars behind others.
 */
ORR_CHECKED struct err *door_answer(const struct door_answer_input *in, struct door_written *ret);
const char *door_reason_name(enum door_reason reason);
