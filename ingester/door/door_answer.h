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
/* NULL when all was taken, else as door_done_fn has it. Fills what is stored in *ret. */
ORR_CHECKED struct err *door_answer(const struct door_answer_input *in, struct door_written *ret);
const char *door_reason_name(enum door_reason reason);
