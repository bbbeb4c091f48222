/* What ruler.c (the role), ruler_load.c (what rules there are), ruler_groups.c (which groups are here, and when), ruler_api.c and
 * ruler_change.c share. */
#pragma once
#include "common/base/metric.h"
#include "common/model/limits.h"
#include "ruler/alert_sender.h"
#include "ruler/rule_group.h"
#include "ruler/rule_remote.h"
#include "ruler/rule_set.h"
#include "ruler/ruler.h"

#define RULER_CHANGERS 4
#define RULER_NEWS_PREFIX                                                                          \
    "rules/" /* in the table of membership_kv(): rules in the bucket have changed */

struct ruler_conf {
    char *rule_path, *default_tenant, *external_url, *logs_datasource;
    struct conf_list external_labels, alertmanager_urls;
    int64_t interval_ns, query_offset_ns, poll_ns, resend_ns, outage_tolerance_ns, grace_ns;
    int64_t query_timeout_ns, write_timeout_ns, notify_timeout_ns;
    int64_t concurrency, beside, max_eval_bytes, write_buffer_bytes, notify_queue;
    int64_t catch_up_ns;
    bool has_federation;
};

struct ruler_metrics {
    uint64_t evaluations, failures, missed, reloads, reload_failures; /* loop 0 writes */
    uint64_t filled, given_up;                                        /* likewise */
    uint64_t changes, changes_refused;                                /* loop 0 writes */
    int64_t groups_owned, groups, files_bad, stored_bad, busy;
    struct metric_hist group_s;
};

/*
 * A group that this ruler owns. Loop 0 owns it, but while is_busy the worker owns run, remote and
 * view_next.
 */
struct ruler_group {
    struct ruler *ruler;
    char *key; /* of struct rule_set_group */
    char *tenant, *file;
    char *sources;                     /* "a|b"; NULL: it reads its tenant's data */
    struct rule_group_run *run, *next; /* next: continues run once the worker is done */
    struct rule_remote remote;
    struct loop_timer *timer;
    struct buf view, view_next; /* JSON, see rule_view.h */
    int64_t slot_ms;            /* of the evaluation last begun; RULE_NEVER: none yet */
    uint64_t failures_seen, filled_seen, given_up_seen;
    bool is_busy;
    atomic_bool is_cancelled;                           /* set by the loop, read by the worker */
    enum { RULER_KEEP, RULER_RETIRE, RULER_LOSE } fate; /* once the worker is done */
};

struct ruler_load; /* ruler_load.c */

struct ruler {
    struct process *process;
    struct loop *loop; /* 0 */
    const struct ruler_conf *conf;
    struct conf *conf_ref, *conf_seen; /* conf_seen: what a reload is told by */
    struct job_pool *workers;
    struct job_pool *askers;    /* of queries side by side; NULL: there are none such */
    _Atomic unsigned n_filling; /* workers that make up for what was missed */
    struct rule_remote_shared shared;
    struct rule_group_settings settings;
    struct arena *settings_arena;
    struct alert_sender *sender;
    struct limits *limits;
    struct job_pool *changers
        [RULER_CHANGERS]; /* of one thread each, for all changes of a tenant's rules in the bucket */
    struct rule_set *set; /* NULL: nothing was read yet */
    struct map groups;    /* key → struct ruler_group, those owned */
    struct loop_timer *poll_timer;
    int64_t polled_ms;
    int64_t ring_changed_ms; /* monotonic */
    uint64_t news_version;   /* the highest that was seen or told of RULER_NEWS_PREFIX */
    struct ruler_load *load;
    unsigned n_loading; /* jobs of ruler_load.c and ruler_api.c under way */
    bool is_stopping;
    process_done_fn *drained;
    void *drained_arg;
    struct ruler_metrics m;
};

/* The version of news, behind all that is known: a ruler whose clock is late must not tell what nobody takes for news. The clock is for
 * those that know nothing yet, as after a restart of all. */
static inline uint64_t ruler_next_news(uint64_t known, int64_t wall_ms)
{
    return ORR_MAX(known + 1, (uint64_t)wall_ms);
}

/* ruler_load.c: reads files and bucket, each on a worker, and puts what they say into force. On loop 0. */
void ruler_load_open(struct ruler *r); /* before anything else */
void ruler_load_files(struct ruler *r);
void ruler_load_bucket(struct ruler *r);
/* The bucket is read with the next tick. */
void ruler_load_soon(struct ruler *r);
bool ruler_load_is_due(struct ruler *r); /* asked for by ruler_load_soon(); once */
/* Appends why not. Any loop. */
bool ruler_load_is_ready(const struct ruler *r, struct buf *ret);
void ruler_load_close(struct ruler *r);

/* Starts what this ruler owns, and drops what it does not, by the ring of now. On loop 0.
 * before: what was known until now (NULL: nothing was); a group that is not in it is new,
 * and has nothing to be restored. */
void ruler_groups_reconcile(struct ruler *r, const struct rule_set *before);
/* Ends the drain if nothing is under way. On loop 0. */
void ruler_groups_check_drained(struct ruler *r);
/* Begins no more evaluations. On loop 0. */
void ruler_groups_stop(struct ruler *r);
/* Once loops and workers have ended. */
void ruler_groups_free(struct ruler *r);

void ruler_api_open(struct ruler *r);

/* ruler_change.c: a change of a tenant's rules in the bucket, checked and made. Blocks: on the tenant's changer. before: what is
 * known of the bucket, may be NULL. ERR_INVALID, ERR_NOT_FOUND and ERR_CONFLICT with the texts that clients are told. */
struct rpc_rules_change;
ORR_CHECKED struct err *ruler_change_make(struct ruler *r, struct slice tenant,
                                          const struct rpc_rules_change *change,
                                          const struct rule_set *before);
