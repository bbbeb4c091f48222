/* What ruler.c (the role), ruler_groups.c (which groups, and when) and ruler_api.c share. */
#pragma once
#include "common/base/metric.h"
#include "ruler/alert_sender.h"
#include "ruler/rule_dir.h"
#include "ruler/rule_group.h"
#include "ruler/rule_remote.h"
#include "ruler/ruler.h"

struct ruler_conf {
    char *rule_path, *default_tenant, *external_url, *logs_datasource;
    struct conf_list external_labels, alertmanager_urls;
    int64_t interval_ns, query_offset_ns, poll_ns, resend_ns, outage_tolerance_ns, grace_ns;
    int64_t query_timeout_ns, write_timeout_ns, notify_timeout_ns;
    int64_t concurrency, max_eval_bytes, write_buffer_bytes, notify_queue;
};

struct ruler_metrics {
    uint64_t evaluations, failures, missed, reloads, reload_failures; /* loop 0 writes */
    int64_t groups_owned, groups, files_bad, busy;
    struct metric_hist group_s;
};

/*
 * A group that this ruler owns. Loop 0 owns it, but while is_busy the worker owns run, remote and
 * view_next.
 */
struct ruler_group {
    struct ruler *ruler;
    char *key; /* "tenant/file/name" */
    char *tenant, *file;
    struct rule_group_run *run, *next; /* next: continues run once the worker is done */
    struct rule_remote remote;
    struct loop_timer *timer;
    struct buf view, view_next; /* JSON, see rule_view.h */
    int64_t slot_ms;            /* of the evaluation last begun; RULE_NEVER: none yet */
    uint64_t failures_seen;
    bool is_busy;
    atomic_bool is_cancelled;                           /* set by the loop, read by the worker */
    enum { RULER_KEEP, RULER_RETIRE, RULER_LOSE } fate; /* once the worker is done */
};

struct ruler {
    struct process *process;
    struct loop *loop; /* 0 */
    const struct ruler_conf *conf;
    struct conf *conf_ref, *conf_seen; /* conf_seen: what a reload is told by */
    struct job_pool *workers;
    struct rule_remote_shared shared;
    struct rule_group_settings settings;
    struct arena *settings_arena;
    struct alert_sender *sender;
    struct rule_dir *dir; /* NULL: not read yet */
    struct map groups;    /* key → struct ruler_group, those owned */
    struct loop_timer *poll_timer;
    int64_t polled_ms;
    bool is_polling, is_stopping;
    process_done_fn *drained;
    void *drained_arg;
    struct ruler_metrics m;
};

/* Reads the rule files anew, on a worker, and then takes over what they say. On loop 0. */
void ruler_groups_reload(struct ruler *r);
/* Starts what this ruler owns, and drops what it does not, by the ring of now. On loop 0.
 * before: the files that were known until now (NULL: none were); a group that is not in them is new,
 * and has nothing to be restored. */
void ruler_groups_reconcile(struct ruler *r, const struct rule_dir *before);
/* Begins no more evaluations. On loop 0. */
void ruler_groups_stop(struct ruler *r);
/* Once loops and workers have ended. */
void ruler_groups_free(struct ruler *r);

void ruler_api_open(struct ruler *r);
