/*
 * What alertmanagers ask each other before one speaks: RPC "alertmanager.claim", tenant in the call.
 *
 *   question: u8 format (1) | uvarint stamp of the asker's claim | lstr key of the log's entry
 *   answer:   u8 format (1) | u8 stage (enum dispatch_stage) | uvarint stamp of that claim |
 *             lstr entry as in nflog.h, "" for none
 *
 * Each of two that are about to speak stamps its claim before it asks, so at least one of them hears
 * of the other. Who sends goes first; of two that ask, the lower stamp, then the lower instance name.
 * Stamps are of Lamport's clock: who let another one go first makes its own claim with a higher stamp
 * and waits, whatever the turns; so the two judge alike (Ricart and Agrawala's mutual exclusion).
 * An answer that does not come holds nobody: never zero notifications is worth more than one.
 *
 * The clock is one number per process, from the wall clock in ms at its start, so that a restart does
 * not go back. Integers LEB128. The caller's thread.
 */
#pragma once
#include "alertmanager/dispatch.h"

#define AMCLAIM_TIMEOUT_NS 2000000000ll /* for an answer; less with a short peer timeout */

struct amclaim_rank {
    uint64_t stamp;
    struct slice instance;
};

static inline int64_t amclaim_timeout_ns(int64_t peer_timeout_ns)
{
    return ORR_MIN(AMCLAIM_TIMEOUT_NS, peer_timeout_ns / 2);
}
void amclaim_question(struct buf *out, struct slice key, uint64_t stamp);
/* d: the tenant's, NULL if there is none. ERR_INVALID, ERR_UNSUPPORTED for what is no question. */
ORR_CHECKED struct err *amclaim_answer(struct buf *out, struct slice question,
                                       const struct dispatch *d, const struct nflog *log,
                                       uint64_t *clock);
/* Merges what peer has logged (*ret_news: we did not have it) and says whether own may speak as far
 * as peer is concerned. On an error nothing is merged or said. */
ORR_CHECKED struct err *amclaim_take(struct slice answer, struct slice peer,
                                     const struct amclaim_rank *own, struct nflog *log,
                                     int64_t wall_ms, uint64_t *clock, bool *ret_may_speak,
                                     bool *ret_news);
