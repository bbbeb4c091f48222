/*
 * The role's parts. All of it belongs to loop 0 ("the role's loop"), but for what is marked.
 */
#pragma once
#include "alertmanager/amapi.h"
#include "alertmanager/amturn.h"
#include "alertmanager/dispatch.h"
#include "alertmanager/notify.h"
#include "common/base/timeheap.h"
#include "common/kv/kv.h"
#include "common/model/limits.h"
#include "common/process/process.h"

#define ALERTMANAGER_CHANNEL "nflog"
#define ALERTMANAGER_PUT "alertmanager.alerts"
#define ALERTMANAGER_ASK "alertmanager.ask"
#define ALERTMANAGER_CLAIM "alertmanager.claim"
#define ALERTMANAGER_TOLD "alertmanager.told"
#define ALERTMANAGER_CONFIG "alertmanager.config"
#define ALERTMANAGER_SILENCES "alertmanager.silences"

struct alertmanager_conf {
    char *config_file, *external_url;
    int64_t peer_timeout_ns, max_alerts, max_groups, max_sends, config_poll_ns;
    int64_t silence_retention_ns, tenants_poll_ns;
};
extern const struct conf_section alertmanager_section;

typedef void alertmanager_wait_fn(void *arg);
struct alertmanager_wait {
    alertmanager_wait_fn *done;
    void *arg;
};
typedef VEC(struct alertmanager_wait) alertmanager_wait_vec;

struct alertmanager_metrics {
    uint64_t alerts_received, alerts_invalid, forwards_failed, config_reload_failures, log_errors;
    uint64_t claims_failed;
    uint64_t silences_refused;
    int64_t silences_active, silences_pending, silences_expired;
    uint64_t tenant_config_errors;
    int64_t tenant_configs, tenant_configs_refused;
    int64_t config_last_reload_successful;
};

struct alertmanager {
    struct process *process;
    struct loop *loop;
    struct amconf *conf;
    _Atomic int64_t resolve_ms; /* of conf; any thread */
    struct map confs;           /* tenant → alertmanager_tenants.c's struct */
    struct map confs_dirty;     /* tenants: not on disk as they are */
    uint64_t confs_generation;  /* of changes made here */
    bool is_polling, polls_again;
    int64_t polled_ns, tenants_poll_ns;
    _Atomic bool has_polled;
    struct map tenants;  /* id → alertmanager.c's struct */
    struct timeheap due; /* of those */
    struct nflog *log;
    struct silences *silences;
    struct limits *limits;
    struct kv *kv;
    struct notifier *notifier;
    struct loop_timer *timer;        /* dispatchers */
    struct loop_timer *config_timer; /* looks at the file */
    struct loop_timer *drain_timer;
    char *config_path; /* "": none */
    int64_t config_mtime_ns;
    char *external_url;
    int64_t peer_timeout_ns, start_ns, swept_ns;
    uint64_t claim_clock; /* amclaim.h */
    size_t max_alerts, max_groups;
    unsigned max_sends;
    uint64_t refusals_logged;    /* of metrics of the dispatchers */
    bool is_reading;             /* a job reads the configuration */
    bool is_writing;             /* a job writes the log */
    bool must_write;             /* again */
    alertmanager_wait_vec waits; /* for what is written next */
    bool is_draining;
    unsigned drain_rounds;
    unsigned calls; /* to peers under way whose end needs this struct */
    process_done_fn *drained;
    void *drained_arg;
    struct alertmanager_metrics metrics;
    struct dispatch_metrics dispatch_metrics;
};

struct dispatch_now alertmanager_now(void);
/* The tenant's dispatcher; made when makes. */
struct dispatch *alertmanager_tenant(struct alertmanager *am, struct slice tenant, bool makes);
/* am->conf has changed; a tenant's configuration has. */
void alertmanager_reconfigure(struct alertmanager *am);
void alertmanager_reconfigure_tenant(struct alertmanager *am, struct slice tenant);
/* After anything that may have moved a due time of the tenant. */
void alertmanager_arm(struct alertmanager *am, struct slice tenant);

/* alertmanager_disk.c: log and silences on disk */
struct err *alertmanager_disk_open(struct alertmanager *am);
void alertmanager_disk_close(struct alertmanager *am);
/* What has changed. */
void alertmanager_disk_write(struct alertmanager *am);
/* The same; done when it is there, or could not be written (which is logged, and tried again). */
void alertmanager_disk_write_then(struct alertmanager *am, alertmanager_wait_fn *done, void *arg);

/* alertmanager_log.c: the log among peers */
struct err *alertmanager_log_open(struct alertmanager *am);
void alertmanager_log_close(struct alertmanager *am);
void alertmanager_log_told(struct alertmanager *am, struct slice tenant, struct slice key);
void alertmanager_log_on_told(void *arg, struct rpc_call *call);

/* alertmanager_silences.c: silences among peers */
struct err *alertmanager_silences_open(struct alertmanager *am);
void alertmanager_silences_close(struct alertmanager *am);
void alertmanager_count_silences(struct alertmanager *am, int64_t now_ns); /* for the metrics */

/* alertmanager_config.c */
struct err *alertmanager_config_open(struct alertmanager *am);
void alertmanager_config_watch(struct alertmanager *am);
/* Logs what of it cannot be told. */
void alertmanager_warn_unsupported(const struct amconf *c);

/* alertmanager_tenants.c: configurations that tenants gave */
/* The one that holds for the tenant, lent. */
struct amconf *alertmanager_conf_of(struct alertmanager *am, struct slice tenant);
/* One that the disk remembers. */
void alertmanager_tenants_known(struct alertmanager *am, struct slice tenant, struct slice bytes);
/* As silences_take_dirty() and silences_mark_dirty(). */
void alertmanager_tenants_take_dirty(struct alertmanager *am, silences_dirty_fn *fn, void *arg);
void alertmanager_tenants_mark_dirty(struct alertmanager *am, struct slice tenant);
void alertmanager_tenants_poll(struct alertmanager *am);
bool alertmanager_tenants_ready(struct alertmanager *am, struct buf *ret); /* any thread */
void alertmanager_tenants_close(struct alertmanager *am);
/* The object in the bucket is now this; conf NULL: it is gone. Takes conf. */
void alertmanager_tenants_changed(struct alertmanager *am, struct slice tenant, struct slice bytes,
                                  struct amconf *conf);
void alertmanager_on_config(void *arg, struct rpc_call *call);
/* alertmanager_tenants_api.c */
void alertmanager_tenants_api_open(struct alertmanager *am);

/* alertmanager_api.c: HTTP and RPC */
void alertmanager_api_open(struct alertmanager *am);

/* alertmanager_peers.c: who else has the tenant's alerts, and what they say before one speaks */
struct alertmanager_replicas {
    struct ring *ring; /* a reference */
    struct amturn_replicas reps;
    int self;
};
struct alertmanager_replicas alertmanager_replicas(struct alertmanager *am, struct slice tenant);
/* A call to a peer whose answer matters to nobody: counted as under way, and if it fails. */
void alertmanager_tell(struct alertmanager *am, const struct member *peer, const char *method,
                       struct slice tenant, struct slice payload);
/* This process's turn for a group, or the number of replicas when it is none of them. */
unsigned alertmanager_position(struct alertmanager *am, struct slice tenant, struct slice group);
/* As dispatch_ops.ask. */
bool alertmanager_claim(struct alertmanager *am, struct slice tenant, uint64_t id, struct slice key,
                        uint64_t stamp);
void alertmanager_on_claim(void *arg, struct rpc_call *call);
