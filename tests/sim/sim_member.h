/*
 * A simulated process with the real gossip and ring in it: what a scenario about replicas builds on.
 * Keeps its tokens and the members it knows on its disk, in the files 6 and 7.
 *
 * Node numbers are addresses. Packets begin with a byte for their kind; 'G' is the gossip's.
 */
#pragma once
#include "common/ring/gossip.h"
#include "common/ring/ring.h"
#include "common/ring/tokens.h"
#include "tests/sim/sim.h"

#define SIM_MEMBER_TOKENS 8
#define SIM_MEMBER_VIEW 6
#define SIM_MEMBER_OWN 7

struct sim_member {
    struct sim *sim;
    int node, seeds; /* nodes 0..seeds-1 are its seeds */
    char zone[4];
    struct gossip_opts opts;
    struct ring_opts ring_opts;
    uint32_t roles; /* 0: MEMBER_INGESTER */
    bool wants_out; /* leaves, or has left: a restart goes on leaving */
    void (*changed)(struct sim_member *m, const struct member *entry); /* may be NULL */
    void *owner;
    /* gone in a crash */
    struct gossip *gossip;
    struct ring *ring; /* NULL: to be made */
    bool is_dirty;     /* the view has changed since it was saved */
};

/* Writes the file of one that has been ACTIVE since registered_ms. */
void sim_member_settle(struct sim_member *m, int64_t registered_ms);
void sim_member_start(struct sim_member *m);
void sim_member_stop(struct sim_member *m);
void sim_member_receive(struct sim_member *m, struct slice packet); /* a 'G' packet */
void sim_member_set_state(struct sim_member *m, enum member_state state);
struct ring *sim_member_ring(struct sim_member *m); /* lent until the next call */
