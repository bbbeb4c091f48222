/*
 * One tenant's alerts and what becomes of them: a pure state machine. Time comes in with each call,
 * notifications and log entries go out through an interface; nothing here knows a socket or clock.
 *
 *   dispatch_put ─▶ routes ─▶ groups ── group_wait, then every group_interval ──▶ flush
 *   flush ─▶ inhibited, silenced and muted alerts left out ─▶ a note for each integration of the receiver
 *   note:  WAIT position × peer_timeout ─▶ ask the log ─▶ slot ─▶ ASK peers ─▶ SEND ─▶ told: into
 *          ▲                               │                      │           │       the log, spread
 *          │                               └─▶ known: done        └─▶ held    └─▶ failed
 *          └──────────────────────────────────────────────────── soon ──┴─ back-off ─┘
 *
 * Peers hold the same alerts and run the same groups. Position 0 speaks at once, the others wait
 * their turn, and by then find it in the log. While one retries a receiver that fails, the next in
 * turn tries as well (an alert that only one process tries to tell is lost with that process); each
 * asks the log before each attempt, so the first success ends it for all: who finds that a peer has
 * spoken since its flush stays silent until its next one. A note is given up when
 * the flush has lasted group_interval (at least 10 s) plus its wait; the next flush tries again.
 *
 * Two whose turns fall together (flushes drift apart after restarts) would not find each other in
 * the log. So each says that it is about to speak (dispatch_claim()), then asks the peers what they
 * have logged and whether they are about to speak too. One that sends holds the others back; of two
 * that only ask, who began first goes first (amclaim.h). Held back, a note asks again soon, and
 * speaks after another peer_timeout whatever the answer. A peer that does not answer holds nobody.
 *
 * At most max_sends notes of one receiver are in ASK or SEND; the others queue, so that a receiver
 * that hangs delays only itself.
 *
 * Resolved alerts leave a group once all its integrations were told; that is the end of one that is
 * empty then: the next alert waits group_wait again. Resolved alerts leave the tenant after 30 min.
 *
 * mono_ns drives timers, wall_ns is compared with alerts and the log.
 *
 * Owner: one thread.
 */
#pragma once
#include "alertmanager/alert.h"
#include "alertmanager/amconf.h"
#include "alertmanager/nflog.h"
#include "alertmanager/silences.h"
#include "common/base/map.h"
#include "common/base/rng.h"

struct dispatch;

struct dispatch_now {
    int64_t mono_ns, wall_ns;
};

/* A notification to be sent: lent until dispatch_sent(). */
struct dispatch_note {
    uint64_t id;
    struct amconf *conf; /* what route and integration are of */
    const struct amroute *route;
    const struct amconf_integration *integration;
    struct slice group_key, receiver;
    struct labels group_labels;
    const alert_vec *alerts; /* in order; those resolved only if the integration wants them */
    int64_t now_ns;          /* of the flush: what was resolved then is told as resolved */
    enum nflog_reason reason;
    unsigned attempt; /* from 1 */
    int64_t left_ms;  /* until it is given up */
};

struct dispatch_ops {
    /* Must end, later, in dispatch_sent(note->id). */
    void (*send)(void *arg, const struct dispatch_note *note);
    /* Something was told: spread the entry of this key. */
    void (*logged)(void *arg, struct slice nflog_key);
    /* This peer's turn for the group, 0 first. */
    unsigned (*position)(void *arg, struct slice group_key);
    /* Asks the peers: must end, later, in dispatch_asked(id). False: there is nobody to ask, and
     * nothing follows. NULL: never is. */
    bool (*ask)(void *arg, uint64_t id, struct slice nflog_key, uint64_t stamp);
    void *arg;
};

/* Of all tenants. */
struct dispatch_metrics {
    int64_t groups, queued; /* now: groups; notes that wait for a slot */
    uint64_t groups_refused /* alerts that found no group because there were too many */, held;
};

struct dispatch_opts {
    struct slice tenant;       /* copied */
    struct nflog *log;         /* shared, outlives it */
    struct silences *silences; /* likewise; NULL: none */
    int64_t peer_timeout_ns;
    size_t max_alerts;                /* 0: no bound */
    size_t max_groups;                /* 0: no bound */
    unsigned max_sends;               /* per receiver; 0: DISPATCH_MAX_SENDS */
    struct dispatch_metrics *metrics; /* shared, outlives it; NULL: not counted */
    uint64_t *claim_clock;            /* of all tenants, outlives it (amclaim.h); NULL: its own */
    uint64_t seed;                    /* of the back-off's jitter */
    bool forgets_log;                 /* simulation only: breaks the deduplication on purpose */
};
#define DISPATCH_MAX_SENDS 64
#define DISPATCH_TURN 200 /* flushes and notes that one dispatch_tick() does */

struct dispatch *dispatch_new(const struct dispatch_opts *opts, const struct dispatch_ops *ops,
                              struct amconf *conf, struct dispatch_now now);
void dispatch_free(struct dispatch *d);
/* Another configuration: groups are made anew. Takes its own reference. */
void dispatch_set_conf(struct dispatch *d, struct amconf *conf, struct dispatch_now now);
const struct amconf *dispatch_conf(const struct dispatch *d); /* lent */

/* ERR_LIMIT when there would be too many alerts, or groups; those that fit are taken. */
ORR_CHECKED struct err *dispatch_put(struct dispatch *d, const alert_vec *alerts,
                                     struct dispatch_now now);
/* Does some of what is due, so that a tenant with much to do does not stop the loop. */
void dispatch_tick(struct dispatch *d, struct dispatch_now now);
/* mono; when dispatch_tick() is due: past when more is to be done. O(1) */
int64_t dispatch_next_ns(const struct dispatch *d);
/* What the peers said; what they logged has been merged into the log. */
void dispatch_asked(struct dispatch *d, uint64_t id, bool may_speak, struct dispatch_now now);
/* How a send ended. may_retry: trying again may help. */
void dispatch_sent(struct dispatch *d, uint64_t id, bool is_ok, bool may_retry,
                   struct dispatch_now now);

/* What a peer that asks about an entry of the log must know. */
enum dispatch_stage { DISPATCH_QUIET, DISPATCH_ASKING, DISPATCH_SENDING };
struct dispatch_claim {
    enum dispatch_stage stage;
    uint64_t stamp;
};
struct dispatch_claim dispatch_claim(const struct dispatch *d, struct slice nflog_key);

/* ---- the view ---- */
const struct map *dispatch_alerts(const struct dispatch *d); /* struct alert; keys are theirs */
struct dispatch_group_view {
    const struct amroute *route;
    struct labels labels;
    struct slice key;
    const struct map *alerts; /* struct alert */
};
typedef void dispatch_group_fn(void *arg, const struct dispatch_group_view *g);
void dispatch_each_group(const struct dispatch *d, dispatch_group_fn *fn, void *arg);
/* The alert that mutes ls, lent, or NULL. */
const struct alert *dispatch_inhibitor(const struct dispatch *d, struct labels ls, int64_t wall_ns);
/* The silences that mute a, as silences_find(). */
bool dispatch_silencers(const struct dispatch *d, const struct alert *a, int64_t wall_ns,
                        silence_vec *ret);
size_t dispatch_groups(const struct dispatch *d);
/* Whether nothing is held and nothing under way. */
bool dispatch_is_idle(const struct dispatch *d);
