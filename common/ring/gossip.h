/*
 * Membership by gossip: a pure state machine. Time comes in with each call, messages go out through
 * an interface, randomness is seeded; nothing here knows a socket or a clock.
 *
 * Each round (1 s) a process bumps its own heartbeat and sends a digest {instance, incarnation,
 * version, heartbeat}… to a few random peers; who knows better answers with entries and asks for
 * those it lacks. Every 30 s one peer gets everything, and answers with everything. Peers are the
 * known members, and the seeds until one answers (and again each full sync, so that two halves of a
 * cluster that lost sight of each other find together).
 *
 * Health is this observer's own: a member whose (incarnation, version, heartbeat) has not moved for
 * unhealthy_after_ns by our mono clock is unhealthy.
 *
 * Own entry: seeing a copy of it that outranks ours (we restarted with a step of the clock, or were
 * forgotten) makes us take a higher incarnation and say it again.
 *
 * Forgetting: a tombstone outranks every copy of that incarnation; only its owner, alive, comes
 * back with a higher one. Tombstones are dropped when their state_ms is tombstone_ns ago. A member
 * unhealthy for forget_after_ns is forgotten by itself once can_forget() agrees.
 *
 * Channels carry other state to everybody, or to the members of the roles that have the channel:
 * opaque deltas are passed on with a bounded number of repeats, and full states are exchanged with
 * the full sync, so a lost delta arrives in the end. Deltas go to healthy members one after the
 * other, so that what we broadcast goes to each of them at least twice in a cluster of up to
 * GOSSIP_DELTA_SENDS / 2. Merging must be idempotent. gossip_kv.h is a ready-made one.
 *
 * Message, integers LEB128, lstr = length and bytes:
 *   u8 0xd7 | u8 format (1) | u8 flags (1: answer with differences, 2: answer with everything) |
 *   lstr cluster | lstr sender instance | lstr sender rpc address |
 *   n digests { lstr instance, incarnation, version, heartbeat } |
 *   n wanted { lstr instance } | n members { heartbeat, lstr member } |
 *   n deltas { lstr channel, lstr bytes } | n states { lstr channel, lstr bytes }
 * Everything (flag 2) is one message with all members, then one for each channel's state, or for each part of it.
 * A message of another cluster, or malformed, is counted and changes nothing.
 *
 * Owner: one thread.
 */
#pragma once
#include "common/base/rng.h"
#include "common/ring/member.h"

struct gossip;

#define GOSSIP_MAX_MEMBERS 4096
#define GOSSIP_MAX_CHANNELS 16
#define GOSSIP_DELTA_SENDS 24 /* of one of our deltas, at most, unless a large cluster needs more */

struct gossip_opts {            /* 0 or NULL: the default */
    const char *cluster;        /* "" ; both sides must name the same */
    int64_t round_ns;           /* 1 s */
    int64_t delta_ns;           /* 200 ms: between rounds when deltas wait */
    int64_t full_ns;            /* 30 s */
    int64_t unhealthy_after_ns; /* 10 s */
    int64_t forget_after_ns;    /* 10 min; negative: never by itself */
    int64_t tombstone_ns;       /* 7 days */
    unsigned fanout;            /* 3 peers a round */
    size_t max_message_bytes;   /* 16 MiB; what arrives longer is refused; deltas wait their turn */
    size_t max_queued_bytes; /* 16 MiB of waiting deltas; the oldest give way (full sync repairs) */
    uint64_t seed;
};

struct gossip_ops {
    /* bytes are lent. Losing it is allowed. Must not call back into the gossip. */
    void (*send)(void *arg, const char *rpc_addr, struct slice bytes);
    /* Something about member changed: entry or health. May be NULL. m is lent; NULL when the
     * tombstone of an instance was dropped. Must not call gossip_* but the const ones. */
    void (*changed)(void *arg, const struct member *m);
    /* Whether nothing depends on an unhealthy member any more. NULL: always. */
    bool (*can_forget)(void *arg, const struct member *m);
    void *arg;
};

/* self: own entry (copied); its incarnation and version are taken care of from here on: incarnation
 * becomes max(self->incarnation, wall_ms). */
ORR_CHECKED struct err *gossip_new(const struct member *self, const struct gossip_opts *opts,
                                   const struct gossip_ops *ops, int64_t mono_ns, int64_t wall_ms,
                                   struct gossip **ret);
void gossip_free(struct gossip *g);

/* Addresses to join through; replaces the former ones (as DNS says now). Own address is left out.
 */
void gossip_set_seeds(struct gossip *g, const char *const *addrs, size_t n);
/* Does what is due. */
void gossip_tick(struct gossip *g, int64_t mono_ns, int64_t wall_ms);
/* When gossip_tick() has something to do next, mono. */
int64_t gossip_next_ns(const struct gossip *g);
/* A message arrived. ERR_INVALID, ERR_UNSUPPORTED, ERR_FORBIDDEN (another cluster), ERR_TOO_LARGE.
 */
ORR_CHECKED struct err *gossip_receive(struct gossip *g, struct slice bytes, int64_t mono_ns,
                                       int64_t wall_ms);

/* ---- own entry ---- */

const struct member *gossip_self(const struct gossip *g); /* lent until the next change */
/* Sets state and stamps it; spreads at once. registered_ms is set at the first ACTIVE. */
void gossip_set_state(struct gossip *g, enum member_state state, int64_t mono_ns, int64_t wall_ms);
ORR_CHECKED struct err *gossip_set_tokens(struct gossip *g, const uint32_t *tokens, size_t n);
/* True once a message of another member was merged (or there is nobody to ask). */
bool gossip_has_joined(const struct gossip *g);

/* ---- the view ---- */

struct gossip_entry {
    const struct member *member; /* lent until the next call that may change it */
    uint64_t heartbeat;
    int64_t progress_ns; /* mono, when it last moved here */
    bool is_healthy, is_self;
};
size_t gossip_count(const struct gossip *g); /* tombstones included */
/* In order of name. */
struct gossip_entry gossip_entry(const struct gossip *g, size_t i);
bool gossip_find(const struct gossip *g, struct slice instance, struct gossip_entry *ret);
/* Operator's button. ERR_NOT_FOUND; ERR_INVALID for ourselves. */
ORR_CHECKED struct err *gossip_forget(struct gossip *g, struct slice instance, int64_t mono_ns,
                                      int64_t wall_ms);

/*
 * The members known, to be kept over a restart and given to the new gossip before its first tick: so
 * that a process that comes back while it is cut off does not take its part for the whole, and knows
 * whom to ask without seeds. Bytes are a message.
 */
void gossip_save(const struct gossip *g, struct buf *out);
/* As gossip_receive(), but does not count as having joined. */
ORR_CHECKED struct err *gossip_load(struct gossip *g, struct slice bytes, int64_t mono_ns,
                                    int64_t wall_ms);

/* ---- channels ---- */

struct gossip_channel {
    const char *name; /* at most 64 bytes; must outlive the gossip */
    uint32_t roles;   /* deltas go to members that have one of these alone; 0: to everybody */
    /* A delta arrived; true: it was news and is passed on. Must not call gossip_*. */
    bool (*on_delta)(void *arg, struct slice bytes);
    /* Writes everything, for a full sync. */
    void (*write_state)(void *arg, struct buf *out);
    void (*merge_state)(void *arg, struct slice bytes);
    void *arg;
    bool is_list; /* the state is entries, each as lstr: a long one is sent, and merged, in parts */
};
/* ERR_CONFLICT when the name is taken, ERR_LIMIT when there are too many. */
ORR_CHECKED struct err *gossip_add_channel(struct gossip *g, const struct gossip_channel *ch);
void gossip_remove_channel(struct gossip *g, const char *name);
/* Queues a delta. key non-empty: replaces a waiting delta of the same channel and key. It is due
 * at once when nothing else waits (gossip_next_ns() has changed), or with what waits. */
ORR_CHECKED struct err *gossip_broadcast(struct gossip *g, const char *channel, struct slice key,
                                         struct slice bytes, int64_t mono_ns);

struct gossip_metrics {
    uint64_t sent, sent_bytes, received, received_bytes, refused, merged, refuted, forgotten;
    uint64_t deltas_queued, deltas_dropped;
    uint64_t
        oversized; /* states, or entries of one, left out of a full sync: above max_message_bytes */
    uint64_t name_conflicts; /* messages of another process that uses our name */
};
const struct gossip_metrics *gossip_metrics(const struct gossip *g);
