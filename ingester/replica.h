/*
 * What this ingester does as one of the replicas: takes batches into its head under the tenant's
 * limits, unless it has been sealed because it is leaving.
 *
 * Limits that count for the whole cluster become this instance's share: with N active ingesters and
 * RF copies of each series an instance holds RF / N of a tenant's series.
 *
 * Any thread.
 */
#pragma once
#include "common/base/clock.h"
#include "common/model/limits.h"
#include "common/ring/ring.h"
#include "ingester/metrics/head.h"

struct replica;

struct replica_opts {
    struct head *head;
    struct limits *limits;
    struct ring *(*ring)(void *arg); /* the ingesters' ring; a new reference */
    void *ring_arg;
    const struct clock *clock; /* NULL: the system's */
};

struct replica *replica_new(const struct replica_opts *opts);
void replica_free(struct replica *r); /* NULL is allowed */
/* As head_push(); ERR_UNAVAILABLE once sealed. is_late: samples that a quorum took (distribute.h). */
ORR_CHECKED struct err *replica_push(struct replica *r, struct slice tenant, struct slice bytes,
                                     bool is_late, head_push_fn *done, void *arg);
/* Takes no more batches from now on. */
void replica_seal(struct replica *r);
/* What this instance may hold of a limit of the whole cluster, for a tenant with that part of the
 * ring; 0 stays 0: no limit. */
uint64_t replica_share(int64_t cluster, const struct ring *ring, int64_t shard_size);
/* The limits a batch of this tenant is held to here and now. */
void replica_limits(struct replica *r, struct slice tenant, struct head_limits *ret);
