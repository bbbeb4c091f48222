#include "ruler/ruler.h"

#include <stdio.h>

#include "common/base/log.h"
#include "common/base/metric.h"
#include "common/model/tenant.h"
#include "ruler/ruler_internal.h"

#define TICK_MS 1000
#define MAX_QUEUED 100000
#define MAX_CHANGES 1000 /* that wait, of each changer */

static const struct conf_field ruler_fields[] = {
    CONF_STRING(
        struct ruler_conf, rule_path, "rule-path", "", CONF_FIXED,
        "Rule files: a directory (DIR/<tenant>/*.yml, and DIR/<tenant>/logs/*.yml for LogQL; "
        "those in DIR itself are the default tenant's), which must be there, or a pattern. "
        "Empty: none."),
    CONF_STRING(struct ruler_conf, default_tenant, "default-tenant", TENANT_DEFAULT, CONF_FIXED,
                "Tenant of rule files that no directory gives one."),
    CONF_DURATION(struct ruler_conf, interval_ns, "evaluation-interval", "1m", "100ms", "24h",
                  CONF_FIXED, "Between two evaluations of a group that says nothing else."),
    CONF_DURATION(struct ruler_conf, query_offset_ns, "query-offset", "0s", "0s", "24h", CONF_FIXED,
                  "How far in the past rules are evaluated, by default."),
    CONF_DURATION(struct ruler_conf, poll_ns, "poll-period", "15s", "1s", "1h", CONF_FIXED,
                  "How often rule files and the bucket are looked at for changes."),
    CONF_INT(struct ruler_conf, concurrency, "concurrency", "8", "1", "1000", CONF_FIXED,
             "Groups that are evaluated at once."),
    CONF_INT(
        struct ruler_conf, beside, "independent-rule-concurrency", "4", "0", "1000", CONF_FIXED,
        "Queries that are asked at once, over all groups, for rules that do not depend on each "
        "other, besides one of each group; 0: rules of a group are asked one after the other."),
    CONF_DURATION(struct ruler_conf, catch_up_ns, "catch-up", "1h", "0s", "24h", CONF_FIXED,
                  "For so long evaluations of recording rules that were missed are made up for; 0: "
                  "they are not."),
    CONF_BOOL(struct ruler_conf, has_federation, "tenant-federation", "false", CONF_FIXED,
              "Evaluate groups that name source_tenants, on the data of those: whoever may write "
              "rules of any tenant may then read all of them. Queriers need "
              "querier.tenant-federation."),
    CONF_STRING(struct ruler_conf, external_url, "external-url", "", CONF_FIXED,
                "Where users reach the query UI; for links in alerts. Empty: this process."),
    CONF_STRING(
        struct ruler_conf, logs_datasource, "logs-datasource-uid", "", CONF_FIXED,
        "UID of the data source of log lines in Grafana; for links in alerts of LogQL rules."),
    CONF_LIST(struct ruler_conf, external_labels, "external-labels", "", CONF_FIXED,
              "name=value: labels that alerts get on their way out."),
    CONF_LIST(struct ruler_conf, alertmanager_urls, "alertmanager-urls", "", CONF_FIXED,
              "Alertmanagers besides those of the cluster."),
    CONF_DURATION(struct ruler_conf, resend_ns, "resend-delay", "1m", "0s", "24h", CONF_FIXED,
                  "After which time an alert that still fires is sent again."),
    CONF_DURATION(struct ruler_conf, outage_tolerance_ns, "for-outage-tolerance", "1h", "0s",
                  "720h", CONF_FIXED, "Longest outage after which `for` goes on where it was."),
    CONF_DURATION(struct ruler_conf, grace_ns, "for-grace-period", "10m", "0s", "24h", CONF_FIXED,
                  "Least time from a restart until an alert fires again whose `for` was running."),
    CONF_DURATION(struct ruler_conf, query_timeout_ns, "query-timeout", "1m", "100ms", "10m",
                  CONF_FIXED, "Longest time of one query."),
    CONF_DURATION(struct ruler_conf, write_timeout_ns, "write-timeout", "10s", "100ms", "10m",
                  CONF_FIXED, "Longest time until an ingester has taken results."),
    CONF_DURATION(struct ruler_conf, notify_timeout_ns, "notify-timeout", "10s", "100ms", "10m",
                  CONF_FIXED, "Longest time until an alertmanager has taken alerts."),
    CONF_INT(struct ruler_conf, notify_queue, "notify-queue", "10000", "2", "1000000", CONF_FIXED,
             "Requests that may wait for one alertmanager; the oldest give way."),
    CONF_BYTES(struct ruler_conf, max_eval_bytes, "max-evaluation-bytes", "256MiB", "1MiB", NULL,
               CONF_FIXED, "Memory of the evaluation of one rule."),
    CONF_BYTES(struct ruler_conf, write_buffer_bytes, "write-buffer-bytes", "16MiB", "64KiB", NULL,
               CONF_FIXED, "Results of a group that wait for an ingester to take them."),
};
static const struct conf_section ruler_section = {
    "ruler", "Evaluating rules.", sizeof(struct ruler_conf), ruler_fields, ORR_COUNT(ruler_fields)};

static const struct metric_field metrics[] = {
    METRIC_COUNTER(struct ruler_metrics, evaluations, "orrery_ruler_rule_evaluations_total",
                   "Evaluations of rules."),
    METRIC_COUNTER(struct ruler_metrics, failures, "orrery_ruler_rule_evaluation_failures_total",
                   "Evaluations of rules that failed."),
    METRIC_COUNTER(struct ruler_metrics, missed, "orrery_ruler_group_iterations_missed_total",
                   "Evaluations of groups that did not take place in time."),
    METRIC_COUNTER(struct ruler_metrics, filled, "orrery_ruler_group_iterations_caught_up_total",
                   "Evaluations of groups that were missed, and made up for."),
    METRIC_COUNTER(struct ruler_metrics, given_up, "orrery_ruler_group_iterations_given_up_total",
                   "Evaluations of groups that were missed, and are too old or too many to be made "
                   "up for."),
    METRIC_COUNTER(struct ruler_metrics, reloads, "orrery_ruler_reloads_total",
                   "Changes of rules, in files or the bucket, that were taken over."),
    METRIC_COUNTER(struct ruler_metrics, reload_failures, "orrery_ruler_reload_failures_total",
                   "Times that the rule files or the bucket could not be read."),
    METRIC_COUNTER(struct ruler_metrics, changes, "orrery_ruler_config_changes_total",
                   "Changes of rules by the API that were made."),
    METRIC_COUNTER(struct ruler_metrics, changes_refused,
                   "orrery_ruler_config_changes_refused_total",
                   "Changes of rules by the API that were not made."),
    METRIC_GAUGE(struct ruler_metrics, groups_owned, "orrery_ruler_groups_owned",
                 "Groups that this ruler evaluates."),
    METRIC_GAUGE(struct ruler_metrics, groups, "orrery_ruler_groups", "Groups of all rulers."),
    METRIC_GAUGE(struct ruler_metrics, files_bad, "orrery_ruler_files_refused",
                 "Rule files whose present content is refused."),
    METRIC_GAUGE(struct ruler_metrics, stored_bad, "orrery_ruler_stored_refused",
                 "Namespaces and groups in the bucket whose present content cannot be read, or of "
                 "which a tenant (or all of them) has too many."),
    METRIC_GAUGE(struct ruler_metrics, busy, "orrery_ruler_groups_running",
                 "Groups whose evaluation runs or waits for a worker."),
    METRIC_HIST(struct ruler_metrics, group_s, "orrery_ruler_group_seconds",
                "Time of an evaluation of a group."),
};
static const struct metric_field shared_metrics[] = {
    METRIC_COUNTER(struct rule_remote_shared, queries, "orrery_ruler_queries_total",
                   "Queries that rules asked."),
    METRIC_COUNTER(struct rule_remote_shared, query_failures, "orrery_ruler_query_failures_total",
                   "Queries of rules that no querier answered."),
    METRIC_COUNTER(struct rule_remote_shared, writes, "orrery_ruler_writes_total",
                   "Writes of results."),
    METRIC_COUNTER(struct rule_remote_shared, write_failures, "orrery_ruler_write_failures_total",
                   "Writes of results that no ingester took; most are repeated."),
    METRIC_COUNTER(struct rule_remote_shared, dropped_samples, "orrery_ruler_samples_dropped_total",
                   "Results that were given up."),
};

/* "name=value" each, into labels that live as long as the ruler. */
static struct err *external_labels(struct ruler *r)
{
    const struct conf_list *list = &r->conf->external_labels;
    struct label *ls = arena_array(r->settings_arena, struct label, list->n + 1);
    struct slice dup;

    for (size_t i = 0; i < list->n; i++) {
        struct slice item = slice_cstr(list->items[i]);
        ptrdiff_t eq = slice_find_byte(item, '=', 0);

        if (eq <= 0 || !slice_is_utf8(item))
            return err_new(ERR_INVALID, "ruler.external-labels: %s: not name=value",
                           list->items[i]);
        ls[i] = (struct label){slice_sub(item, 0, (size_t)eq), slice_from(item, (size_t)eq + 1)};
    }
    if (!labels_sort(ls, list->n, &dup))
        return err_new(ERR_INVALID, "ruler.external-labels: %.*s twice", SLICE_ARG(dup));
    r->settings.external_labels = (struct labels){ls, list->n};
    return NULL;
}

static void ruler_close(void *role)
{
    struct ruler *r = role;

    r->is_stopping = true;
    job_pool_free(r->workers);
    job_pool_free(r->askers);
    for (size_t i = 0; i < RULER_CHANGERS; i++)
        job_pool_free(r->changers[i]);
    /* only when the drain was cut short: what workers posted still refers to r */
    for (int i = 0; i < 1000 && (r->m.busy > 0 || r->n_loading > 0); i++)
        loop_run_once(r->loop, 0);
    loop_timer_free(r->poll_timer);
    ruler_groups_free(r);
    ruler_load_close(r);
    alert_sender_free(r->sender);
    if (r->limits)
        limits_stop(r->limits);
    limits_free(r->limits);
    metric_unregister(&r->m);
    metric_unregister(&r->shared);
    arena_free(r->settings_arena);
    conf_unref(r->conf_seen);
    conf_unref(r->conf_ref);
    mem_free(r);
}

static void make_settings(struct ruler *r)
{
    const struct ruler_conf *c = r->conf;

    r->settings.default_interval_ms = c->interval_ns / NS_PER_MS;
    r->settings.default_query_offset_ms = c->query_offset_ns / NS_PER_MS;
    r->settings.resend_ms = c->resend_ns / NS_PER_MS;
    r->settings.grace_ms = c->grace_ns / NS_PER_MS;
    r->settings.outage_tolerance_ms = c->outage_tolerance_ns / NS_PER_MS;
    r->settings.external_url = slice_cstr(c->external_url);
    r->settings.logs_datasource = slice_cstr(c->logs_datasource);
    r->settings.catch_up_ms = c->catch_up_ns / NS_PER_MS;
    r->settings.max_bytes = (uint64_t)c->max_eval_bytes;
    r->shared.membership = process_membership(r->process);
    r->shared.peers = process_peers(r->process);
    r->shared.query_timeout_ms = c->query_timeout_ns / NS_PER_MS;
    r->shared.write_timeout_ms = c->write_timeout_ns / NS_PER_MS;
    r->shared.max_pending_bytes = (size_t)c->write_buffer_bytes;
}

/* A ruler has changed rules in the bucket; our own changes come here, too. */
static void on_news(void *arg, struct slice key, uint64_t version, struct slice value)
{
    struct ruler *r = arg;

    (void)key;
    (void)value;
    r->news_version = ORR_MAX(r->news_version, version);
    ruler_load_soon(r);
}

static struct err *ruler_open(struct process *p, void **ret)
{
    struct ruler *r = mem_new(struct ruler);
    struct err *e;

    r->process = p;
    r->loop = process_loop(p, 0);
    r->conf_ref = process_conf(p);
    r->conf_seen = conf_ref(r->conf_ref);
    r->conf = conf_section(r->conf_ref, "ruler");
    r->settings_arena = arena_new(0);
    metric_register(&r->m, metrics, ORR_COUNT(metrics), NULL);
    metric_register(&r->shared, shared_metrics, ORR_COUNT(shared_metrics), NULL);
    make_settings(r);
    ruler_load_open(r);
    if ((e = limits_new(r->conf_ref, "ruler", &r->limits)) ||
        (e = rule_dir_check(r->conf->rule_path)) || (e = external_labels(r)) ||
        (e = tenant_check(slice_cstr(r->conf->default_tenant)))) {
        ruler_close(r);
        return e;
    }
    r->sender = alert_sender_new(
        &(struct alert_sender_opts){.loop = r->loop,
                                    .client = process_http_client(p),
                                    .membership = process_membership(p),
                                    .urls = (const char *const *)r->conf->alertmanager_urls.items,
                                    .n_urls = r->conf->alertmanager_urls.n,
                                    .timeout_ms = r->conf->notify_timeout_ns / NS_PER_MS,
                                    .max_queued = (size_t)r->conf->notify_queue});
    ruler_api_open(r);
    membership_kv_subscribe_own(process_membership(p), RULER_NEWS_PREFIX, on_news, r);
    *ret = r;
    return NULL;
}

static void on_ring(void *arg)
{
    struct ruler *r = arg;

    r->ring_changed_ms = clock_mono_ms(&clock_system);
    ruler_groups_reconcile(r, r->set);
}

/* Each second: has the configuration been reloaded, or is it time to look at the rules? */
static void on_tick(void *arg)
{
    struct ruler *r = arg;
    struct conf *now = process_conf(r->process);
    int64_t now_ms = clock_mono_ms(&clock_system);

    if (now != r->conf_seen || now_ms - r->polled_ms >= r->conf->poll_ns / NS_PER_MS) {
        conf_unref(r->conf_seen);
        r->conf_seen = conf_ref(now);
        r->polled_ms = now_ms;
        ruler_load_files(r);
        ruler_load_soon(r);
    }
    if (ruler_load_is_due(r))
        ruler_load_bucket(r);
    conf_unref(now);
    loop_timer_arm_ms(r->poll_timer, TICK_MS);
}

static void start_on_loop(void *arg)
{
    struct ruler *r = arg;

    if (r->is_stopping)
        return;
    membership_subscribe(process_membership(r->process), on_ring, r);
    r->poll_timer = loop_timer_new(r->loop, on_tick, r);
    r->polled_ms = clock_mono_ms(&clock_system);
    limits_start(r->limits, r->loop, process_jobs(r->process));
    ruler_load_files(r);
    ruler_load_bucket(r);
    loop_timer_arm_ms(r->poll_timer, TICK_MS);
}

static struct err *ruler_start(void *role)
{
    struct ruler *r = role;

    r->workers = job_pool_new("ruler", (unsigned)r->conf->concurrency, MAX_QUEUED);
    if (r->conf->beside > 0)
        r->askers = job_pool_new("rule-queries", (unsigned)r->conf->beside, MAX_QUEUED);
    for (size_t i = 0; i < RULER_CHANGERS; i++) {
        char name[16];

        (void)snprintf(name, sizeof(name), "rules-%zu", i);
        r->changers[i] = job_pool_new(name, 1, MAX_CHANGES);
    }
    loop_post(r->loop, start_on_loop, r);
    return NULL;
}

static bool ruler_is_ready(void *role, struct buf *ret)
{
    return ruler_load_is_ready(role, ret);
}

/* What the drain asks of loop 0. */
struct drain {
    struct ruler *ruler;
    process_done_fn *done;
    void *arg;
};

static void drain_on_loop(void *arg)
{
    struct drain *d = arg;
    struct ruler *r = d->ruler;

    if (r->poll_timer)
        membership_unsubscribe(process_membership(r->process), on_ring, r);
    r->drained = d->done;
    r->drained_arg = d->arg;
    mem_free(d);
    ruler_groups_stop(r);
}

static void ruler_drain(void *role, process_done_fn *done, void *arg)
{
    struct drain *d = mem_new(struct drain);

    *d = (struct drain){role, done, arg};
    loop_post(((struct ruler *)role)->loop, drain_on_loop, d);
}

static void ruler_reload(void *role, const struct conf *c)
{
    limits_set_defaults(((struct ruler *)role)->limits, c);
}

static const struct conf_section *const ruler_sections[] = {&ruler_section, &limits_section, NULL};

const struct process_role ruler_role = {
    .name = "ruler",
    .bit = MEMBER_RULER,
    .sections = ruler_sections,
    .open = ruler_open,
    .start = ruler_start,
    .is_ready = ruler_is_ready,
    .reload = ruler_reload,
    .drain = ruler_drain,
    .close = ruler_close,
};
