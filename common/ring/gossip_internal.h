/* What the files of the gossip share. */
#pragma once
#include "common/ring/gossip.h"
#include "common/ring/gossip_wire.h"

#define GOSSIP_MAX_FANOUT 16

struct gossip_node {
    const struct member *member; /* a reference */
    uint64_t heartbeat;
    int64_t progress_ns;
    bool is_healthy;
};

struct gossip_delta {
    const char *channel;
    uint64_t hash; /* of key */
    struct buf key, bytes;
    unsigned left; /* sends to go */
};

struct gossip {
    struct gossip_opts opts;
    struct gossip_ops ops;
    char *cluster;
    char *self_name;
    struct rng rng;
    VEC(struct gossip_node) nodes; /* in order of name; one of them is ours */
    VEC(char *) seeds;
    VEC(struct gossip_delta) deltas; /* oldest first */
    size_t queued_bytes;
    VEC(struct gossip_channel) channels;
    size_t cursors[GOSSIP_MAX_CHANNELS]; /* of each channel: whose turn for deltas it is */
    int64_t next_round_ns, next_full_ns, next_delta_ns; /* next_delta: meaningful with deltas */
    bool has_joined;
    struct gossip_metrics metrics;
};

/* An empty message with our name on it. */
struct gossip_msg gossip_msg_new(const struct gossip *g, uint8_t flags);
/* Encodes, sends and empties m. Too long a message is dropped and counted. */
void gossip_send_msg(struct gossip *g, const char *addr, struct gossip_msg *m);
/* Up to max random members other than ourselves that are not LEFT; indexes into nodes. */
size_t gossip_pick_peers(struct gossip *g, size_t *ret, size_t max);

/* gossip_channel.c */
/* Sends waiting deltas, as many as fit into a message per channel, to the next peers in turn, and
 * drops those that have been sent often enough. */
void gossip_send_deltas(struct gossip *g);
void gossip_on_deltas(struct gossip *g, const struct gossip_msg *m, int64_t mono_ns);
void gossip_on_states(struct gossip *g, const struct gossip_msg *m);
void gossip_send_states(struct gossip *g, const char *addr);
void gossip_channels_done(struct gossip *g);
