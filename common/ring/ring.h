/*
 * Who owns what: an immutable snapshot of the instances of one role (and signal), with the replica
 * set of every token worked out beforehand.
 *
 *     struct ring *r = membership_ring(ms, MEMBER_INGESTER, MEMBER_METRICS);
 *     for each series   set = ring_set_index(r, labels_token(tenant, fp));   // a few ns
 *     for each set      ring_set(r, set, ...): the instances to push to
 *     ring_unref(r);
 *
 * Replica set of a key: walking clockwise from the key's token over ACTIVE instances, at most
 * ceil(RF / zones) of each zone until RF are found: RF distinct zones when there are that many,
 * else RF distinct instances spread as evenly as the zones allow. Unhealthy instances are passed
 * over. The allowance of a zone counts all ACTIVE instances, healthy or not: when a whole zone is
 * down its place stays empty, and does not go to a second instance of another zone, which would let
 * a write be acknowledged by one zone alone. So a set may hold fewer than RF instances; a write
 * still needs the majority of RF (ring_write_quorum()), not of the set.
 *
 * Reads ask every instance that may hold the data: ACTIVE, LEAVING and JOINING, healthy or not, of
 * the tenant's sub-ring of now and of the look-back, and tolerate one zone missing (quorum.h). The
 * past owners follow from the entries themselves: each says from when (registered_ms) until when
 * (left_ms) it owned its tokens, and an instance stays in the membership until its data is in
 * blocks.
 *
 * Sub-ring (shuffle shard): size instances, spread over the zones, picked by the tenant's hash; one
 * instance coming or going changes at most one place in it.
 *
 * All observers that know the same entries compute the same ring but for health, which is their
 * own.
 *
 * Immutable and reference-counted: any thread. Instances are numbered 0..n-1 in order of name.
 */
#pragma once
#include "common/base/snapshot.h"
#include "common/ring/member.h"

struct ring; /* starts with a struct snapshot */

#define RING_MAX_INSTANCES 4096
#define RING_MAX_RF 15

struct ring_input {
    const struct member *member; /* the ring takes a reference */
    bool is_healthy;             /* in this observer's view */
};

struct ring_opts {
    uint32_t role;   /* instances with this role; required */
    uint32_t signal; /* and this signal; 0: any */
    unsigned rf;     /* 1..RING_MAX_RF */
    /* With zones, set it: without, a process that has not heard of all zones yet may place two
     * replicas in one. The operator vouches for RF zones: one instance of a zone in a set at any time (so nothing is
     * acknowledged before a majority of zones is there), and reads always go by zone. */
    bool needs_zones;
};

/* Entries of other roles and LEFT ones are left out (LEFT ones say which zones there were, so pass
 * them in). More than RING_MAX_INSTANCES: the first ones by name (gossip refuses to grow so far).
 */
struct ring *ring_new(const struct ring_input *in, size_t n, const struct ring_opts *opts);
struct ring *ring_ref(const struct ring *r);
void ring_unref(const struct ring *r); /* NULL is allowed */

unsigned ring_rf(const struct ring *r);
unsigned ring_write_quorum(const struct ring *r); /* RF / 2 + 1 */
size_t ring_size(const struct ring *r);           /* instances, in any state but LEFT */
size_t ring_active(const struct ring *r);         /* ACTIVE and healthy ones */
size_t ring_zones(const struct ring *r);          /* distinct zones of owning instances */
const struct member *ring_member(const struct ring *r, size_t i); /* lent */
bool ring_is_healthy(const struct ring *r, size_t i);
unsigned ring_zone(const struct ring *r,
                   size_t i); /* its zone's number, 0..; zones in order of name */
/* Number of the instance with this name, or -1. */
int ring_find(const struct ring *r, struct slice instance);
/* Hash of everything that decides ownership (instances, states, tokens, not health): equal on
 * observers that agree. */
uint64_t ring_fingerprint(const struct ring *r);

/* ---- writes ---- */

/* Replica sets are numbered 0..ring_set_count()-1; equal sets have one number. */
uint32_t ring_set_index(const struct ring *r, uint32_t token);
uint32_t ring_set_count(const struct ring *r);
struct ring_set {
    const uint16_t *instances; /* ascending; lent by the ring */
    unsigned n;                /* 0..RF */
};
struct ring_set ring_set(const struct ring *r, uint32_t index);
/* The set of one key. */
struct ring_set ring_replicas(const struct ring *r, uint32_t token);

/* ---- reads ---- */

struct ring_read_set {
    uint16_t *instances; /* ascending; ring_read_set_done() */
    uint16_t *zones;     /* of each */
    unsigned n, n_zones; /* zones present among them */
    bool by_zone;        /* the unit of failure is a zone; else an instance */
    unsigned max_fail;   /* units that may fail: RF / 2 */
    unsigned min_ok; /* units that must answer at least: with needs_zones RF - max_fail, else 1 */
};
/*
 * Everybody who may hold data of the ring from from_ms (Unix ms; older data is in blocks) on.
 * by_zone only with needs_zones, or if there were RF owning zones all the time since from_ms (but
 * for RING_ZONE_SLACK_MS, in which a writer may not have heard of the last one), so that no write
 * in that time can have been acknowledged by one zone.
 */
#define RING_ZONE_SLACK_MS 30000
void ring_read_set(const struct ring *r, int64_t from_ms, struct ring_read_set *ret);
void ring_read_set_done(struct ring_read_set *s);

/* ---- sub-rings ---- */

/*
 * The ring of size instances (0, or no fewer than there are: r itself) for a tenant; a new
 * reference, cached within r. since_ms: reads pass the start of their look-back, and get besides
 * the instances of now those that served the tenant at any time since; writes pass INT64_MAX.
 */
struct ring *ring_subring(struct ring *r, struct slice tenant, unsigned size, int64_t since_ms);

/* ---- ownership of work (compactors, rulers, alertmanagers, queriers) ---- */

/*
 * Work has one owner, replicas of zones play no part, and so it does not follow the tokens: those are
 * even within a zone only, and the shares of three zones with an instance each may differ tenfold.
 * Each instance bids a hash of the key and its own name, and the highest bid wins (rendezvous
 * hashing): even for any number of instances and zones, and one that comes or goes moves only what
 * it wins or had.
 */

/* The healthy ACTIVE instance that owns key, or -1 if there is none. */
int ring_owner(const struct ring *r, uint32_t key);
/* Key of a name of work: tenant, or tenant and group, joined by the caller. */
uint32_t ring_key(struct slice name);
/* Up to max instances in the order of preference for key, all healthy and ACTIVE: ring_owner()
 * first, then the one that would own key without it, and so on. For retries with affinity. */
size_t ring_order(const struct ring *r, uint32_t key, uint16_t *ret, size_t max);
