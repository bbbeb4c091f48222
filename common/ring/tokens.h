/*
 * The tokens of an instance on the 32-bit ring. A key belongs to the first token at or after it,
 * clockwise.
 *
 * Tokens are chosen to even out ownership within a zone, not at random: a newcomer takes its fair
 * share in equal pieces, each from the instance that owns most at that moment. From 3 to 100
 * instances that join one after the other each owns its share within 5% (random tokens: 10 to 30%).
 * Zones are even by themselves, because a replica set takes one instance of each; their tokens
 * differ.
 *
 * Pure: the same inputs give the same tokens.
 */
#pragma once
#include "common/base/buf.h"
#include "common/base/err.h"
#include "common/base/rng.h"
#include "common/base/slice.h"

#define TOKENS_DEFAULT 128

struct tokens_owner {       /* an instance that is already on the ring in the same zone */
    const uint32_t *tokens; /* ascending */
    size_t n;
};

/*
 * Writes want tokens, ascending, none equal to one of taken (all tokens of all zones, ascending).
 * owners: instances of the newcomer's own zone. rng: seeded by the caller; it places the first
 * instance of a zone.
 */
void tokens_pick(struct rng *rng, const struct tokens_owner *owners, size_t n_owners,
                 const uint32_t *taken, size_t n_taken, size_t want, uint32_t *ret);
/* Share of the ring each owner has among themselves, summing to 1. For pages, metrics and tests. */
void tokens_shares(const struct tokens_owner *owners, size_t n_owners, double *ret);

/*
 * What an instance keeps over restarts, in one file that the caller reads and writes (fsx.h):
 * text "orrery-ring 1 <registered_ms> <incarnation> <n>\n" followed by the tokens, one a line, and
 * "end\n". Bounded as member.h.
 */
struct tokens_file {
    int64_t registered_ms;
    uint64_t incarnation; /* of the last start */
    uint32_t *tokens;     /* owned: tokens_file_done() */
    size_t n;
};
void tokens_file_encode(struct buf *out, const struct tokens_file *f);
ORR_CHECKED struct err *tokens_file_decode(struct slice text, struct tokens_file *ret);
void tokens_file_done(struct tokens_file *f);
