/*
 * The traces that are live: what must be known of each while its pieces lie elsewhere. 64 bytes and a slot of a hash table a trace.
 *
 * They stand in the order of their last spans; one that is older than max_live keeps its place.
 *
 * Nothing here locks.
 */
#pragma once
#include "common/base/vec.h"

#define TRACELIVE_NONE UINT32_MAX

struct tracelive {
    uint8_t id[16];
    uint64_t first_seq; /* of the log: the first record with something of it */
    int64_t first_ms, last_ms;
    uint64_t bytes; /* of its pieces */
    uint32_t tenant;
    uint32_t older, newer; /* neighbours; TRACELIVE_NONE: at the end */
    uint32_t next;         /* in its slot, or of what is free */
};
_Static_assert(sizeof(struct tracelive) == 64, "what the memory budget counts on");

struct tracelives {
    VEC(struct tracelive) all; /* by number */
    uint32_t *slots;
    size_t n_slots, n;
    uint32_t oldest, newest, free;
    uint64_t bytes;
};

void tracelives_init(struct tracelives *t);
void tracelives_done(struct tracelives *t);
/* TRACELIVE_NONE: it is not live. Numbers are good until the next remove. */
uint32_t tracelives_find(const struct tracelives *t, uint32_t tenant, const uint8_t id[16]);
/* Spans of a trace, live or not yet, came in record seq at now_ms. *ret_new: it was not. */
void tracelives_touch(struct tracelives *t, uint32_t tenant, const uint8_t id[16], size_t bytes,
                      uint64_t seq, int64_t now_ms, int64_t max_live_ms, bool *ret_new);
/* Takes it out. */
struct tracelive tracelives_remove(struct tracelives *t, uint32_t i);
/* Puts back what was taken out; spans may have come in between. Where it stands then is the end of those that are oldest. *ret_new: as above. */
void tracelives_restore(struct tracelives *t, const struct tracelive *l, bool *ret_new);
