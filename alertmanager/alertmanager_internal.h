/*
 * The role's parts. All of it belongs to loop 0 ("the role's loop"), but for what is marked.
 */
#pragma once
#include "alertmanager/amapi.h"
#include "alertmanager/dispatch.h"
#include "alertmanager/notify.h"
#include "common/kv/kv.h"
#include "common/process/process.h"

#define ALERTMANAGER_CHANNEL "nflog"
#define ALERTMANAGER_PUT "alertmanager.alerts"
#define ALERTMANAGER_ASK "alertmanager.ask"

struct alertmanager_conf {
    char *config_file, *external_url;
    int64_t peer_timeout_ns, max_alerts, config_poll_ns;
};
extern const struct conf_section alertmanager_section;

struct alertmanager_metrics {
    uint64_t alerts_received, alerts_invalid, forwards_failed, config_reload_failures, log_errors;
    int64_t config_last_reload_successful;
};

struct alertmanager {
    struct process *process;
    struct loop *loop;
    struct amconf *conf;
    _Atomic int64_t resolve_ms; /* of conf; any thread */
    struct map tenants;         /* id → alertmanager.c's struct */
    struct nflog *log;
    struct kv *kv;
    struct notifier *notifier;
    struct loop_timer *timer;        /* dispatchers */
    struct loop_timer *config_timer; /* looks at the file */
    struct loop_timer *drain_timer;
    char *config_path; /* "": none */
    int64_t config_mtime_ns;
    char *external_url;
    int64_t peer_timeout_ns, start_ns;
    size_t max_alerts;
    bool is_reading; /* a job reads the configuration */
    bool is_writing; /* a job writes the log */
    bool must_write; /* again */
    bool is_draining;
    unsigned drain_rounds;
    process_done_fn *drained;
    void *drained_arg;
    struct alertmanager_metrics metrics;
};

struct dispatch_now alertmanager_now(void);
/* The tenant's dispatcher; made when makes. */
struct dispatch *alertmanager_tenant(struct alertmanager *am, struct slice tenant, bool makes);
/* am->conf has changed. */
void alertmanager_reconfigure(struct alertmanager *am);
/* After anything that may have moved a due time. */
void alertmanager_arm(struct alertmanager *am);

/* alertmanager_log.c: the log on disk and among peers */
struct err *alertmanager_log_open(struct alertmanager *am);
void alertmanager_log_close(struct alertmanager *am);
void alertmanager_log_told(struct alertmanager *am, struct slice key);
void alertmanager_log_write(struct alertmanager *am);

/* alertmanager_config.c */
struct err *alertmanager_config_open(struct alertmanager *am);
void alertmanager_config_watch(struct alertmanager *am);

/* alertmanager_api.c: HTTP and RPC */
void alertmanager_api_open(struct alertmanager *am);
/* This process's turn for a group, or the number of replicas when it is none of them. */
unsigned alertmanager_position(struct alertmanager *am, struct slice tenant, struct slice group);
