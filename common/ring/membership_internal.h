/* What the files of the membership share. */
#pragma once
#include <stdatomic.h>

#include "common/base/snapshot.h"
#include "common/base/vec.h"
#include "common/ring/membership.h"
#include "common/ring/tokens.h"

#define MEMBERSHIP_RINGS 8

struct membership {
    struct membership_opts opts; /* strings are copies of our own */
    const struct clock *clock;
    struct gossip *gossip;
    struct gossip_kv *kv;
    struct rng rng;
    struct loop_timer *round_timer, *publish_timer;
    _Atomic int self_state;

    /* life of the own entry */
    int64_t started_ns, joining_ns;
    bool is_started, wants_active, came_back;
    bool is_storing_tokens, has_stored_tokens;

    /* view */
    struct snapshot_cell cells[MEMBERSHIP_RINGS];
    uint64_t ring_keys[MEMBERSHIP_RINGS]; /* of what the ring in the cell was made from */
    bool rings_are_due, members_are_due, is_storing_members;
    int64_t members_stored_ns;
    VEC(struct membership_sub {
        membership_fn *fn;
        void *arg;
    })
    subs;
    VEC(struct membership_kv_sub {
        const char *prefix;
        gossip_kv_fn *fn;
        void *arg;
        bool with_own; /* also what this process sets */
    })
    kv_subs;

    bool is_resolving;
    int64_t resolved_ns;
    struct membership_gauges {
        int64_t members, unhealthy, active;
    } gauges;
};

int64_t membership_mono(const struct membership *ms);
int64_t membership_wall(const struct membership *ms);

/* membership_view.c: rings, subscribers, metrics */
void membership_view_init(struct membership *ms);
void membership_view_done(struct membership *ms);
/* Builds the rings whose inputs have changed and tells the subscribers. */
void membership_publish(struct membership *ms);

/* membership_files.c: what blocks, on the job pool */
ORR_CHECKED struct err *membership_load_tokens(struct membership *ms, struct tokens_file *ret);
void membership_load_members(struct membership *ms);
/* Sets has_stored_tokens when done. */
void membership_store_tokens(struct membership *ms);
void membership_remove_tokens(struct membership *ms);
void membership_store_members(struct membership *ms);
void membership_resolve_seeds(struct membership *ms);
