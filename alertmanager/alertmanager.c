#include "alertmanager/alertmanager.h"

#include <stdatomic.h>

#include "alertmanager/alertmanager_asking.h"
#include "common/base/hash.h"
#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/metric.h"

#define MAX_SLEEP_MS 30000
#define SWEEP_NS (30 * NS_PER_S)
#define TENANTS_A_TURN 4 /* so that other work of the loop gets its turn */
#define DRAIN_POLL_MS 50
#define DRAIN_ROUNDS 200 /* 10 s for notifications under way */

static const struct conf_field fields[] = {
    CONF_STRING(struct alertmanager_conf, config_file, "config-file", "", CONF_RELOAD,
                "Alertmanager's configuration, for all tenants; read again when it changes. Empty: "
                "nobody is told."),
    CONF_STRING(struct alertmanager_conf, external_url, "external-url", "", CONF_FIXED,
                "Address under which people reach this, for links in notifications."),
    CONF_DURATION(struct alertmanager_conf, peer_timeout_ns, "peer-timeout", "15s", "100ms", "10m",
                  CONF_FIXED,
                  "How long each alertmanager waits for those whose turn is before its own."),
    CONF_INT(struct alertmanager_conf, max_alerts, "max-alerts", "100000", "0", "100000000",
             CONF_FIXED, "Alerts of one tenant at a time; 0: no bound."),
    CONF_INT(struct alertmanager_conf, max_groups, "max-groups", "10000", "0", "10000000",
             CONF_FIXED,
             "Aggregation groups of one tenant at a time: nobody is told of alerts that would need "
             "more; 0: no bound."),
    CONF_INT(struct alertmanager_conf, max_sends, "max-sends", "64", "1", "10000", CONF_FIXED,
             "Notifications of one tenant to one receiver under way at a time; others wait."),
    CONF_DURATION(struct alertmanager_conf, silence_retention_ns, "silence-retention", "120h", "1m",
                  "366d", CONF_FIXED, "How long silences are kept after their end."),
    CONF_DURATION(struct alertmanager_conf, tenants_poll_ns, "tenants-poll", "15s", "1s", "1h",
                  CONF_FIXED,
                  "How often the bucket is asked for configurations that tenants gave by API."),
    CONF_DURATION(struct alertmanager_conf, config_poll_ns, "config-poll", "5s", "100ms", "1h",
                  CONF_RELOAD, "How often config-file is looked at."),
};
const struct conf_section alertmanager_section = {
    "alertmanager", "Grouping, routing and sending of alerts.", sizeof(struct alertmanager_conf),
    fields, ORR_COUNT(fields)};

static const struct metric_field metric_fields[] = {
    METRIC_COUNTER(struct alertmanager_metrics, alerts_received,
                   "orrery_alertmanager_alerts_received_total", "Valid alerts posted."),
    METRIC_COUNTER(struct alertmanager_metrics, alerts_invalid,
                   "orrery_alertmanager_alerts_invalid_total", "Posts with invalid alerts."),
    METRIC_COUNTER(struct alertmanager_metrics, forwards_failed,
                   "orrery_alertmanager_forwards_failed_total", "Calls to peers that failed."),
    METRIC_COUNTER(struct alertmanager_metrics, config_reload_failures,
                   "orrery_alertmanager_config_reload_failures_total",
                   "Configurations refused; the old one stays."),
    METRIC_COUNTER(struct alertmanager_metrics, log_errors,
                   "orrery_alertmanager_nflog_errors_total",
                   "Entries of the notification log not read, written or spread."),
    METRIC_COUNTER(struct alertmanager_metrics, claims_failed,
                   "orrery_alertmanager_claims_failed_total",
                   "Peers that did not say in time whether they speak; they hold nobody back."),
    METRIC_COUNTER(struct alertmanager_metrics, silences_refused,
                   "orrery_alertmanager_silences_refused_total",
                   "Silences that could not be set or ended as asked."),
    METRIC_GAUGE(struct alertmanager_metrics, silences_active,
                 "orrery_alertmanager_silences_active", "Silences that mute."),
    METRIC_GAUGE(struct alertmanager_metrics, silences_pending,
                 "orrery_alertmanager_silences_pending", "Silences that have not begun."),
    METRIC_GAUGE(struct alertmanager_metrics, silences_expired,
                 "orrery_alertmanager_silences_expired", "Silences that are over and kept."),
    METRIC_GAUGE(struct alertmanager_metrics, tenant_configs, "orrery_alertmanager_tenant_configs",
                 "Tenants that gave a configuration by API."),
    METRIC_GAUGE(struct alertmanager_metrics, tenant_configs_refused,
                 "orrery_alertmanager_tenant_configs_refused",
                 "Of those, whose configuration was never one that can hold."),
    METRIC_COUNTER(struct alertmanager_metrics, tenant_config_errors,
                   "orrery_alertmanager_tenant_config_errors_total",
                   "Configurations of tenants not read from the bucket, or refused."),
    METRIC_GAUGE(struct alertmanager_metrics, config_last_reload_successful,
                 "orrery_alertmanager_config_last_reload_successful", "1 or 0."),
};
static const struct metric_field dispatch_fields[] = {
    METRIC_GAUGE(struct dispatch_metrics, groups, "orrery_alertmanager_aggregation_groups",
                 "Groups of alerts."),
    METRIC_GAUGE(struct dispatch_metrics, queued, "orrery_alertmanager_notifications_queued",
                 "Notifications that wait because max-sends others are under way."),
    METRIC_COUNTER(struct dispatch_metrics, groups_refused,
                   "orrery_alertmanager_aggregation_group_limit_reached_total",
                   "Alerts that found no group because the tenant has too many."),
    METRIC_COUNTER(struct dispatch_metrics, held, "orrery_alertmanager_notifications_held_total",
                   "Times that a notification was held back because a peer was speaking."),
};
static const struct metric_field notify_fields[] = {
    METRIC_COUNTER(struct notifier_metrics, sent, "orrery_alertmanager_notifications_total",
                   "Notifications sent."),
    METRIC_COUNTER(struct notifier_metrics, failed,
                   "orrery_alertmanager_notifications_failed_total",
                   "Attempts to notify that failed."),
    METRIC_COUNTER(struct notifier_metrics, unsupported,
                   "orrery_alertmanager_notifications_unsupported_total",
                   "Of those, through receivers that Orrery does not do."),
};

struct dispatch_now alertmanager_now(void)
{
    return (struct dispatch_now){clock_mono_ns(&clock_system), clock_wall_ns(&clock_system)};
}

/* ---- tenants ---- */

/* What the dispatcher of one tenant calls back with. */
struct tenant {
    struct alertmanager *am;
    struct slice id; /* the map's key */
};

static void on_send(void *arg, const struct dispatch_note *note)
{
    struct tenant *t = arg;

    notifier_send(t->am->notifier, t->id, note);
}

static void on_logged(void *arg, struct slice key)
{
    struct tenant *t = arg;

    alertmanager_log_told(t->am, t->id, key);
}

static unsigned on_position(void *arg, struct slice group)
{
    struct tenant *t = arg;

    return alertmanager_position(t->am, t->id, group);
}

static bool on_ask(void *arg, uint64_t id, struct slice key, uint64_t stamp)
{
    struct tenant *t = arg;

    return alertmanager_claim(t->am, t->id, id, key, stamp);
}

struct tenant_entry {
    struct tenant tenant;
    struct dispatch *dispatch;
    struct timeheap_item due;
};

static void on_sent(void *arg, struct slice tenant, uint64_t id, const struct err *e,
                    bool may_retry)
{
    struct alertmanager *am = arg;
    struct dispatch *d = alertmanager_tenant(am, tenant, false);

    if (d)
        dispatch_sent(d, id, !e, may_retry, alertmanager_now());
    alertmanager_arm(am, tenant);
}

struct dispatch *alertmanager_tenant(struct alertmanager *am, struct slice id, bool makes)
{
    struct tenant_entry *t = map_get(&am->tenants, id);
    struct dispatch_ops ops = {on_send, on_logged, on_position, on_ask, NULL};
    struct dispatch_opts opts = {
        .tenant = id,
        .log = am->log,
        .silences = am->silences,
        .peer_timeout_ns = am->peer_timeout_ns,
        .max_alerts = am->max_alerts,
        .max_groups = am->max_groups,
        .max_sends = am->max_sends,
        .metrics = &am->dispatch_metrics,
        .claim_clock = &am->claim_clock,
        .seed = hash_xxh64(id, (uint64_t)am->start_ns),
    };

    if (t || !makes)
        return t ? t->dispatch : NULL;
    t = mem_new(struct tenant_entry);
    t->tenant.am = am;
    t->tenant.id = slice_of(slice_dup(id), id.len);
    ops.arg = &t->tenant;
    t->dispatch = dispatch_new(&opts, &ops, alertmanager_conf_of(am, id), alertmanager_now());
    (void)map_put(&am->tenants, id, t);
    timeheap_set(&am->due, &t->due, dispatch_next_ns(t->dispatch));
    return t->dispatch;
}

static void arm_timer(struct alertmanager *am)
{
    int64_t now = clock_mono_ns(&clock_system), next = now + MAX_SLEEP_MS * NS_PER_MS;
    const struct timeheap_item *first = timeheap_first(&am->due);

    if (am->is_draining || !am->timer)
        return;
    if (first)
        next = ORR_MIN(next, first->at_ns);
    next = ORR_MAX(ORR_MIN(next, am->polled_ns + am->tenants_poll_ns), now);
    /* rounded up: never early */
    loop_timer_arm_ms(am->timer, (next - now + NS_PER_MS - 1) / NS_PER_MS);
}

static void reconfigure(struct alertmanager *am, struct tenant_entry *t)
{
    struct amconf *conf = alertmanager_conf_of(am, t->tenant.id);

    if (conf == dispatch_conf(t->dispatch))
        return;
    dispatch_set_conf(t->dispatch, conf, alertmanager_now());
    timeheap_set(&am->due, &t->due, dispatch_next_ns(t->dispatch));
}

void alertmanager_reconfigure(struct alertmanager *am)
{
    MAP_FOREACH (e, &am->tenants)
        reconfigure(am, e->value);
    arm_timer(am);
}

void alertmanager_reconfigure_tenant(struct alertmanager *am, struct slice tenant)
{
    struct tenant_entry *t = map_get(&am->tenants, tenant);

    if (t)
        reconfigure(am, t);
    arm_timer(am);
}

static void tenant_free(struct tenant_entry *t)
{
    timeheap_drop(&t->tenant.am->due, &t->due);
    dispatch_free(t->dispatch);
    mem_free((void *)t->tenant.id.ptr);
    mem_free(t);
}

/* ---- time ---- */

void alertmanager_arm(struct alertmanager *am, struct slice tenant)
{
    struct tenant_entry *t = map_get(&am->tenants, tenant);

    if (t)
        timeheap_set(&am->due, &t->due, dispatch_next_ns(t->dispatch));
    arm_timer(am);
}

static void tick_tenant(struct alertmanager *am, struct tenant_entry *t, struct dispatch_now now)
{
    dispatch_tick(t->dispatch, now);
    if (dispatch_is_idle(t->dispatch)) {
        (void)map_del(&am->tenants, t->tenant.id);
        tenant_free(t);
    } else { /* one that has more to do is behind those that are due already */
        timeheap_set(&am->due, &t->due, ORR_MAX(dispatch_next_ns(t->dispatch), now.mono_ns));
    }
}

static void log_refusals(struct alertmanager *am)
{
    uint64_t refused = am->dispatch_metrics.groups_refused;

    if (refused != am->refusals_logged)
        LOG_ERROR(alertmanager, "too many aggregation groups of a tenant: alerts told to nobody",
                  KV_U64("count", refused - am->refusals_logged));
    am->refusals_logged = refused;
}

void alertmanager_count_silences(struct alertmanager *am, int64_t now_ns)
{
    struct silences_count c = silences_count(am->silences, now_ns);

    am->metrics.silences_active = (int64_t)c.by_state[SILENCE_ACTIVE];
    am->metrics.silences_pending = (int64_t)c.by_state[SILENCE_PENDING];
    am->metrics.silences_expired = (int64_t)c.by_state[SILENCE_EXPIRED];
}

static void sweep(struct alertmanager *am, struct dispatch_now now)
{
    if (now.mono_ns - am->swept_ns < SWEEP_NS)
        return;
    am->swept_ns = now.mono_ns;
    nflog_gc(am->log, now.wall_ns / NS_PER_MS);
    silences_gc(am->silences, now.wall_ns);
    alertmanager_count_silences(am, now.wall_ns);
    log_refusals(am);
    alertmanager_disk_write(am);
}

static void tick(void *arg)
{
    struct alertmanager *am = arg;
    struct dispatch_now now = alertmanager_now();
    struct timeheap_item *i;

    for (int left = TENANTS_A_TURN;
         left && (i = timeheap_first(&am->due)) && i->at_ns <= now.mono_ns; left--)
        tick_tenant(am, ORR_CONTAINER(i, struct tenant_entry, due), now);
    sweep(am, now);
    if (now.mono_ns - am->polled_ns >= am->tenants_poll_ns)
        alertmanager_tenants_poll(am);
    arm_timer(am);
}

static void look_at_config(void *arg)
{
    alertmanager_config_watch(arg);
}

/* ---- life ---- */

static void close_state(struct alertmanager *am)
{
    alertmanager_log_close(am);
    alertmanager_silences_close(am);
    alertmanager_disk_close(am);
    alertmanager_tenants_close(am);
    if (am->limits)
        limits_stop(am->limits);
    limits_free(am->limits);
}

static struct err *open_role(struct process *p, void **ret)
{
    struct alertmanager *am = mem_new(struct alertmanager);
    struct conf *c = process_conf(p);
    const struct alertmanager_conf *conf = conf_section(c, "alertmanager");
    struct err *e;

    am->process = p;
    am->loop = process_loop(p, 0);
    am->config_path = mem_strdup(conf->config_file);
    am->external_url = conf->external_url[0] ? mem_strdup(conf->external_url)
                                             : mem_printf("http://%s", process_instance(p));
    am->peer_timeout_ns = conf->peer_timeout_ns;
    am->tenants_poll_ns = conf->tenants_poll_ns;
    am->max_alerts = (size_t)conf->max_alerts;
    am->max_groups = (size_t)conf->max_groups;
    am->max_sends = (unsigned)conf->max_sends;
    am->start_ns = clock_wall_ns(&clock_system);
    am->claim_clock = (uint64_t)ORR_MAX(am->start_ns / NS_PER_MS, 0);
    e = limits_new(c, "alertmanager", &am->limits);
    conf_unref(c);
    if (e || (e = alertmanager_disk_open(am)) || (e = alertmanager_log_open(am)) ||
        (e = alertmanager_silences_open(am)) || (e = alertmanager_config_open(am))) {
        close_state(am);
        amconf_unref(am->conf);
        mem_free(am->config_path);
        mem_free(am->external_url);
        mem_free(am);
        return e;
    }
    am->notifier = notifier_new(process_http_client(p), process_jobs(p), am->loop,
                                slice_cstr(am->external_url), on_sent, am);
    alertmanager_api_open(am);
    alertmanager_tenants_api_open(am);
    alertmanager_page_open(am);
    metric_register(&am->metrics, metric_fields, ORR_COUNT(metric_fields), NULL);
    metric_register(&am->dispatch_metrics, dispatch_fields, ORR_COUNT(dispatch_fields), NULL);
    metric_register(notifier_metrics(am->notifier), notify_fields, ORR_COUNT(notify_fields), NULL);
    *ret = am;
    return NULL;
}

static void begin(void *arg)
{
    struct alertmanager *am = arg;

    am->timer = loop_timer_new(am->loop, tick, am);
    am->config_timer = loop_timer_new(am->loop, look_at_config, am);
    limits_start(am->limits, am->loop, process_jobs(am->process));
    alertmanager_config_watch(am);
    alertmanager_tenants_poll(am);
    tick(am);
}

static struct err *start_role(void *role)
{
    struct alertmanager *am = role;

    loop_post(am->loop, begin, am);
    return NULL;
}

/* Notifications under way end first, if they do so soon: cut off, a peer might say them again. Calls
 * end by their time-outs. */
static void drain_tick(void *arg)
{
    struct alertmanager *am = arg;
    bool is_busy =
        am->is_polling || am->is_writing || am->is_reading || notifier_busy(am->notifier);

    if (am->calls || (is_busy && am->drain_rounds++ < DRAIN_ROUNDS)) {
        loop_timer_arm_ms(am->drain_timer, DRAIN_POLL_MS);
        return;
    }
    am->drained(am->drained_arg);
}

static void drain_begin(void *arg)
{
    struct alertmanager *am = arg;

    am->is_draining = true;
    loop_timer_cancel(am->timer);
    loop_timer_cancel(am->config_timer);
    am->drain_timer = loop_timer_new(am->loop, drain_tick, am);
    drain_tick(am);
}

static void drain_role(void *role, process_done_fn *done, void *arg)
{
    struct alertmanager *am = role;

    am->drained = done;
    am->drained_arg = arg;
    loop_post(am->loop, drain_begin, am);
}

static void close_role(void *role)
{
    struct alertmanager *am = role;

    metric_unregister(&am->metrics);
    metric_unregister(&am->dispatch_metrics);
    metric_unregister(notifier_metrics(am->notifier));
    loop_timer_free(am->timer);
    loop_timer_free(am->config_timer);
    loop_timer_free(am->drain_timer);
    notifier_free(am->notifier);
    MAP_FOREACH (e, &am->tenants)
        tenant_free(e->value);
    map_done(&am->tenants);
    timeheap_done(&am->due);
    close_state(am);
    amconf_unref(am->conf);
    mem_free(am->config_path);
    mem_free(am->external_url);
    if (!am->is_writing && !am->is_reading && !am->is_polling)
        mem_free(am);
}

static bool is_ready(void *role, struct buf *ret)
{
    return alertmanager_tenants_ready(role, ret);
}

static void reload_role(void *role, const struct conf *c)
{
    limits_set_defaults(((struct alertmanager *)role)->limits, c);
}

static const struct conf_section *const sections[] = {&alertmanager_section, &limits_section, NULL};
const struct process_role alertmanager_role = {
    .name = "alertmanager",
    .bit = MEMBER_ALERTMANAGER,
    .sections = sections,
    .open = open_role,
    .start = start_role,
    .is_ready = is_ready,
    .drain = drain_role,
    .reload = reload_role,
    .close = close_role,
};
