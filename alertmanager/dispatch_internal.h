/* What flushing and the rest of the dispatcher share. */
#pragma once
#include "alertmanager/amroute.h"
#include "alertmanager/dispatch.h"

enum note_state { NOTE_WAIT, NOTE_SENDING, NOTE_DONE };

struct group {
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
    uint64_t id;
    enum note_state state;
    struct group *group; /* NULL: the group is gone (reload), the answer is still logged */
    struct amconf *conf; /* a reference: route and integration point into it */
    const struct amroute *route;
    const struct amconf_integration *integration;
    struct slice key, group_key; /* heap; nflog key */
    struct labels group_labels;  /* one heap block */
    alert_vec told;              /* what is sent */
    VEC(uint64_t) firing, resolved;
    int64_t now_ns, next_ns, deadline_ns, backoff_ns;
    uint64_t version; /* of the log's entry at the flush */
    enum nflog_reason reason;
    unsigned attempt;
};

struct dispatch {
    struct slice tenant;
    struct nflog *log;
    struct dispatch_ops ops;
    struct amconf *conf;
    struct map alerts; /* fingerprint bytes → struct alert */
    struct map groups; /* ordinal and group labels' fingerprint → struct group */
    VEC(struct note *) notes;
    uint64_t next_id;
    int64_t peer_timeout_ns, housekeeping_ns, gc_ns;
    size_t max_alerts;
    struct rng rng;
    bool forgets_log;
};

void dispatch_flush(struct dispatch *d, struct group *g, struct dispatch_now now);
void dispatch_run_notes(struct dispatch *d, struct dispatch_now now);
void dispatch_note_free(struct note *n);
