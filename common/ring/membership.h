/*
 * This process's place in the cluster: runs the gossip over RPC (method "gossip") on a loop, walks
 * the own entry through its life, and publishes rings.
 *
 *     membership_new → [channels, subscribers] → membership_start → … → membership_set_active
 *     … → membership_leave → (segments handed over) → membership_left →
 *     membership_stop → membership_free
 *
 * Start: the entry is PENDING, or JOINING with its old tokens when tokens_path holds some (then it
 * is queried at once). After the first exchange with another member, or at once when there are no
 * seeds, or after join_wait_ns when none answers, tokens are picked, stored in tokens_path, and the
 * entry is JOINING. Newcomers of one zone pick in the order of their names, so that each sees the
 * others'. membership_set_active() asks for ACTIVE; it takes effect once JOINING has been visible
 * for announce_ns, so that readers know an owner before it takes its first write. A member that
 * comes back with tokens the others still know need not wait.
 *
 * Owner: the loop given. membership_ring(), membership_self_state() and membership_kv_post()
 * may be called from any thread. Files and names (DNS) are handled on the job pool.
 */
#pragma once
#include "common/base/clock.h"
#include "common/base/job.h"
#include "common/base/loop.h"
#include "common/ring/gossip.h"
#include "common/ring/gossip_kv.h"
#include "common/ring/ring.h"

struct membership;
struct rpc_server;
struct rpc_pool;

#define MEMBERSHIP_METHOD "gossip"

struct membership_opts {
    struct loop *loop;
    struct job_pool *jobs;
    struct rpc_server *server; /* receives MEMBERSHIP_METHOD; not yet started. NULL: nobody calls */
    struct rpc_pool *pool;     /* NULL: calls nobody, a cluster of one */
    const struct clock *clock; /* NULL: the system's */
    const char *instance, *zone, *rpc_addr, *http_addr;
    uint32_t roles, signals;
    /* host:port; a host name stands for all its addresses, resolved again at every full sync. Our
     * own address may be among them. */
    const char *const *seeds;
    size_t n_seeds;
    /* Files, NULL: not kept. Tokens and the members known; see tokens.h and gossip_save(). */
    const char *tokens_path, *members_path;
    size_t n_tokens;           /* 0: TOKENS_DEFAULT */
    unsigned rf;               /* of the ingesters' rings; 0: 3 */
    unsigned alertmanager_rf;  /* 0: 3 */
    bool needs_zones;          /* ring.h; for the ingesters' rings */
    int64_t join_wait_ns;      /* 0: 5 s */
    int64_t announce_ns;       /* 0: 2 s */
    struct gossip_opts gossip; /* seed 0: from the system */
    /* Asked before an unhealthy member is forgotten by itself. On the loop. NULL: always yes. */
    bool (*can_forget)(void *arg, const struct member *m);
    void *arg;
};

/* Reads the files (blocking: before the loop runs). A tokens file that cannot be read is an error:
 * its data would be out of reach under other tokens. */
ORR_CHECKED struct err *membership_new(const struct membership_opts *opts, struct membership **ret);
/* Begins to gossip. On the loop, or before it runs. */
void membership_start(struct membership *ms);
/* On the loop: says nothing more, starts no more jobs. Does not leave. Rings stay. */
void membership_stop(struct membership *ms);
/* After membership_stop(), with its jobs done (their ends have run on the loop) and the RPC server
 * freed; on the loop, or with the loop not running. */
void membership_free(struct membership *ms);

void membership_set_active(struct membership *ms);
/* ACTIVE → LEAVING: no more writes, still queried. */
void membership_leave(struct membership *ms);
/* → LEFT, and tells a few members at once; give the loop a second to send. The tokens file is
 * removed. */
void membership_left(struct membership *ms);
enum member_state membership_self_state(const struct membership *ms); /* any thread */

/*
 * The current ring of a role; a new reference, never NULL. signal: of an ingester's ring, one of
 * enum member_signal (required there), ignored otherwise. RF is opts.rf for ingesters,
 * opts.alertmanager_rf for alertmanagers, 1 for the others. Any thread.
 */
struct ring *membership_ring(struct membership *ms, uint32_t role, uint32_t signal);

/* fn(arg) on the loop after rings have changed. */
typedef void membership_fn(void *arg);
void membership_subscribe(struct membership *ms, membership_fn *fn, void *arg);
void membership_unsubscribe(struct membership *ms, membership_fn *fn, void *arg);

/* For channels, the key/value table, pages. On the loop. */
struct gossip *membership_gossip(struct membership *ms);
/* After a gossip_broadcast(): it goes out now, not with the next round. On the loop. */
void membership_wake(struct membership *ms);
/* The shared table "kv"; subscribers with a key prefix, to what others set. On the loop. */
struct gossip_kv *membership_kv(struct membership *ms);
/* prefix must outlive the membership. Before membership_start(). */
void membership_kv_subscribe(struct membership *ms, const char *prefix, gossip_kv_fn *fn,
                             void *arg);
/* The same, and what this process sets itself, for roles that tell each other: they may share a process. */
void membership_kv_subscribe_own(struct membership *ms, const char *prefix, gossip_kv_fn *fn,
                                 void *arg);
/* Sets a key from any thread; posts to the loop. A lower version than known is ignored, a refusal
 * logged. */
void membership_kv_post(struct membership *ms, struct slice key, uint64_t version,
                        struct slice value);
