/*
 * The door: takes what clients write, in whatever protocol, checks it, and has it distributed.
 *
 *   HTTP (remote_write.h …), RPC ingester.write ──▶ door_write(): a protocol's decoder
 *   (push_builder.h) decodes and validates, rate ──▶ distribute_push() ──▶ done: NULL, or why some
 *   or all of it was refused
 *
 *   (what aggregation rules are about goes to the owners of its groups first: agg_send.h)
 *
 * A loop has its own cache of known series per tenant (fp_cache.h): a client's connection stays on
 * one loop, and so do its series. Over the budget of a loop the tenant that was quiet longest loses
 * its cache.
 *
 * Threads: any of the loops given; everything of one write happens on one.
 */
#pragma once
#include "common/base/loop.h"
#include "common/model/limits.h"
#include "ingester/distribute.h"
#include "ingester/door/push_builder.h"

struct door;

struct door_opts {
    struct loop **loops;
    size_t n_loops;
    struct limits *limits;
    struct distribute *distribute;
    struct ha_tracker *ha;      /* NULL: samples of all replicas are taken */
    struct agg_sender *agg;     /* NULL: aggregation rules are not followed */
    const struct clock *clock;  /* NULL: the system's */
    size_t (*share)(void *arg); /* ingesters that share a tenant's rate */
    void *share_arg;
    size_t cache_bytes;    /* of all loops together */
    size_t max_body_bytes; /* of a decoded body */
};

struct door *door_new(const struct door_opts *opts);
void door_free(struct door *d); /* no write under way; NULL is allowed */

size_t door_max_body_bytes(const struct door *d);
/* Before a body is read: request rate (ERR_RATE) and room (ERR_UNAVAILABLE). */
ORR_CHECKED struct err *door_admit(struct door *d, struct slice tenant, size_t body_bytes);

struct door_written {
    uint64_t samples, histograms, exemplars; /* stored */
    uint64_t deduplicated; /* samples of replicas that are not elected: dropped without an error */
};
/*
 * e: NULL: all is durable. ERR_INVALID, ERR_LIMIT: some of it was refused and says why, the rest is
 * durable (written says how much), unless nothing could be read at all. ERR_RATE: nothing was
 * taken. ERR_UNAVAILABLE: try again, some may be stored. Takes e.
 */
typedef void door_done_fn(void *arg, struct err *e, const struct door_written *written);

/* Takes *body over: decompressed; empty for what comes by decoder->arg alone. decoder is used until
 * this returns. done on the same loop, possibly before this returns. */
void door_write(struct door *d, struct loop *loop, struct slice tenant,
                const struct push_decoder *decoder, struct buf *body, door_done_fn *done,
                void *arg);
