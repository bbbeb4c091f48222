/*
 * Whose turn it is. A tenant's alerts are held by the first RF alertmanagers in ring order of its
 * name; among them the ring order of (tenant, group) says who speaks first, so that groups spread.
 * Health is each observer's own: two that see different members may both take turn 0, which costs a
 * repeat and never a silence.
 *
 * Any thread.
 */
#pragma once
#include "common/ring/ring.h"

struct amturn_replicas {
    uint16_t at[RING_MAX_RF];
    size_t n;
};
struct amturn_replicas amturn_replicas(const struct ring *r, struct slice tenant);
bool amturn_is_replica(const struct amturn_replicas *reps, int instance);
/* 0: first. The number of replicas for one that is none of them (and still holds alerts). */
unsigned amturn_position(const struct ring *r, struct slice self, struct slice tenant,
                         struct slice group_key);
