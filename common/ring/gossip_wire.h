/*
 * Gossip messages in memory and as bytes (format in gossip.h). Pure; slices of a decoded message
 * borrow from its bytes.
 */
#pragma once
#include "common/base/vec.h"
#include "common/ring/member.h"

#define GOSSIP_WIRE_MAGIC 0xd7
#define GOSSIP_WIRE_FORMAT 1
enum gossip_wire_flag { GOSSIP_WIRE_WANTS_DIFF = 1, GOSSIP_WIRE_WANTS_ALL = 2 };

struct gossip_digest {
    struct slice instance;
    uint64_t incarnation, version, heartbeat;
};
struct gossip_news {
    uint64_t heartbeat;
    const struct member *member; /* a reference */
};
struct gossip_blob {
    struct slice channel, bytes;
};

struct gossip_msg {
    uint8_t flags;
    struct slice cluster, sender, sender_addr;
    VEC(struct gossip_digest) digests;
    VEC(struct slice) wanted;
    VEC(struct gossip_news) members;
    VEC(struct gossip_blob) deltas;
    VEC(struct gossip_blob) states;
};

/* Whether it carries anything but its header. */
bool gossip_wire_is_empty(const struct gossip_msg *m);
void gossip_wire_encode(struct buf *out, const struct gossip_msg *m);
/* All or nothing: on an error nothing is to be freed. */
ORR_CHECKED struct err *gossip_wire_decode(struct slice bytes, struct gossip_msg *ret);
void gossip_wire_done(struct gossip_msg *m);
