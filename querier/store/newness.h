/*
 * How new the catalogue that is held is, how new it has to be, and what follows: a pure state machine, so that the
 * simulator (tests/sim/handover_sim.c) runs what blockset.c runs.
 *
 *     newness_will_do(n, need) ──yes──▶ use what is held
 *             │ no
 *     newness_look_since(n, need, now)  look at the bucket ─▶ newness_looked(), and again from the top
 *             │ no answer
 *     newness_will_do_stale(n, need) ──yes──▶ use what is held, and say that it is stale
 *             │ no
 *           error
 *
 * There are two kinds of news. A hint is gossip: true mostly, and the bucket may overrule it. A need is what an ingester
 * says of itself: it has dropped what blocks of that version hold. Without those the answer has a gap, so nothing overrules it.
 *
 * Nothing here locks, reads a clock or blocks. Times: monotonic ns.
 */
#pragma once
#include <stdbool.h>
#include <stdint.h>

struct newness {
    bool has_held;
    uint64_t held;      /* version of what is held */
    int64_t checked_ns; /* when the look began that found it to be true */
    uint64_t hinted;    /* 0: nothing is announced */
};

/* How new the catalogue has to be. */
struct newness_need {
    int64_t not_before_ns; /* as new as the bucket's was then; INT64_MIN: any that is held */
    uint64_t version;      /* and at least this one; 0: any */
};

void newness_hint(struct newness *n, uint64_t version);
bool newness_will_do(const struct newness *n, const struct newness_need *need);
/* Though the bucket does not answer: when nothing newer is known of. */
bool newness_will_do_stale(const struct newness *n, const struct newness_need *need);
/* By when a look must have begun: one before the news of a newer version is none. *ret_is_patient: it is worth to wait
 * for the end of it, for there is nothing to go on with; not so for a need, of which the asker is better told soon. */
int64_t newness_look_since(const struct newness *n, const struct newness_need *need, int64_t now_ns,
                           bool *ret_is_patient);
/* A look that began at began_ns, when hinted was hinted_then, found this version; it is held now. */
void newness_looked(struct newness *n, uint64_t version, int64_t began_ns, uint64_t hinted_then);
