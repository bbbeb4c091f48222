/* What flushing, telling and the rest of the dispatcher share. */
#pragma once
#include "alertmanager/amroute.h"
#include "alertmanager/dispatch.h"
#include "alertmanager/inhibit.h"
#include "common/base/timeheap.h"

enum note_state {
    NOTE_WAIT,   /* in dispatch.due_notes */
    NOTE_QUEUED, /* for a slot, in its lane */
    NOTE_ASKING, /* has a slot, is in dispatch.claims */
    NOTE_SENDING /* likewise */
};

/* The slots of one receiver, by name: it lives on when the configuration is read again. */
struct lane {
    unsigned taken;
    struct note *first, *last; /* queued */
};

struct group {
    struct timeheap_item due; /* in dispatch.due_groups unless it has notes */
    const struct amroute *route;
    struct labels labels; /* one heap block */
    struct slice key;     /* heap */
    struct map alerts;    /* fingerprint bytes → struct alert, a reference each */
    int64_t next_ns;      /* of the flush */
    bool has_flushed;
    unsigned notes;           /* under way: the next flush waits for them */
    bool has_failed;          /* one of them, in this flush */
    bool yields, has_yielded; /* to a peer that spoke meanwhile: in this flush, in the last */
    alert_vec resolved;       /* of this flush, to be dropped when all went well */
};

struct note {
    struct timeheap_item due;
    uint64_t id;
    enum note_state state;
    struct lane *lane;
    struct note *next; /* queued behind this one */
    bool has_slot;
    uint64_t stamp;      /* of its claim */
    struct group *group; /* NULL: the group is gone (reload), the answer is still logged */
    struct amconf *conf; /* a reference: route and integration point into it */
    const struct amroute *route;
    const struct amconf_integration *integration;
    struct slice key, group_key; /* heap; nflog key */
    struct labels group_labels;  /* one heap block */
    alert_vec told;              /* what is sent */
    VEC(uint64_t) firing, resolved;
    int64_t now_ns, deadline_ns, backoff_ns;
    int64_t held_until_ns; /* 0: not held back since its last attempt */
    uint64_t version;      /* of the log's entry at the flush */
    enum nflog_reason reason;
    unsigned attempt;
};

struct dispatch {
    struct slice tenant;
    struct nflog *log;
    struct silences *silences;
    struct dispatch_ops ops;
    struct amconf *conf;
    struct map alerts; /* fingerprint bytes → struct alert */
    struct inhibit *inhibit;
    struct map groups; /* ordinal and group labels' fingerprint → struct group */
    struct map notes;  /* id → struct note */
    struct map claims; /* nflog key → struct note that asks or sends */
    struct map lanes;  /* receiver → struct lane */
    struct timeheap due_groups, due_notes;
    uint64_t next_id;
    int64_t peer_timeout_ns, housekeeping_ns, gc_ns;
    size_t max_alerts, max_groups;
    unsigned max_sends;
    struct dispatch_metrics *metrics, uncounted;
    uint64_t *claim_clock, own_clock;
    struct rng rng;
    bool forgets_log;
};

/* dispatch_flush.c */
void dispatch_flush(struct dispatch *d, struct group *g, struct dispatch_now now);
/* A note of g's has ended. */
void dispatch_note_ended(struct dispatch *d, struct group *g, bool is_ok);
/* When g has no notes: its next flush is waited for. */
void dispatch_schedule(struct dispatch *d, struct group *g);

/* dispatch_note.c */
/* Takes n, which is complete but for id and lane; it is due at at_ns. */
void dispatch_note_start(struct dispatch *d, struct note *n, int64_t at_ns);
void dispatch_note_run(struct dispatch *d, struct note *n, struct dispatch_now now);
/* Groups and configuration go: ends all notes but those under way. */
void dispatch_notes_cut(struct dispatch *d, struct dispatch_now now);
void dispatch_notes_done(struct dispatch *d);
