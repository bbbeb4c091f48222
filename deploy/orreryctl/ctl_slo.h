/*
 * Service level objectives, from a file to rules and their unit tests.
 *
 *     service: checkout
 *     owner: shop                       # label of all alerts
 *     runbook_url: https://runbooks/{service}/{slo}     # {service} and {slo} are put in
 *     labels: {env: prod}               # optional: of all alerts
 *     slos:
 *       - name: availability
 *         description: Orders are taken.          # optional
 *         objective: 99.9               # percent
 *         window: 30d                   # default
 *         by: [cluster]                 # optional: an objective for each of its values
 *         ratio:                        # counters: of what goes wrong, and of all
 *           errors: http_requests_total{job="checkout",code=~"5.."}
 *           total: http_requests_total{job="checkout"}
 *       - name: latency
 *         objective: 99
 *         latency:                      # a histogram: what takes longer is wrong; seconds
 *           buckets: http_request_duration_seconds_bucket{job="checkout"}     # classic; it needs a bucket that ends there
 *           threshold: 0.3
 *         alert: CheckoutIsSlow         # default: of service and name, CheckoutLatencyErrorBudgetBurn
 *         burn_rates:                   # default: CTL_SLO_BURNS
 *           - {factor: 14.4, long: 1h, short: 5m, for: 2m, severity: page}    # short may be absent
 *
 * In the place of buckets, `histogram:` names a native one. Selectors are of counters: the windows of their rates are put in.
 *
 * Rules are groups of each objective: the share of errors over each window (long windows less often), and alerts that fire when the budget
 * burns faster than factor over the long window, and over the short one still. An alert that could never fire, because even errors alone
 * do not burn so fast, is left out. What is recorded:
 *
 *     slo:sli_error:ratio_rate5m{service,slo,BY…}    the share of errors, of each window
 *     slo:objective:ratio{service,slo}, slo:error_budget:ratio{service,slo}
 *     slo:error_budget_remaining:ratio{service,slo,BY…}     over `window`: 1 untouched, 0 used up
 *
 * Tests (promtool's format): within the objective nothing fires, and when all is wrong all alerts do. They begin with series that the selectors
 * match, if such can be found, else with the recorded shares.
 *
 * Memory is the arena's. One thread.
 */
#pragma once
#include "common/base/buf.h"
#include "common/model/matcher.h"
#include "ruler/rule_file.h"

/* X(factor, long, short, for, severity): minutes, 0: none */
#define CTL_SLO_BURNS(X)                                                                           \
    X(14.4, 60, 5, 2, "page")                                                                      \
    X(6, 360, 30, 15, "page")                                                                      \
    X(1, 4320, 360, 60, "ticket")                                                                  \
    X(0.5, 1440, 0, 60, "ticket")
#define CTL_SLO_MAX_BURNS 16

struct ctl_slo_burn {
    double factor;
    int64_t long_ms, short_ms, for_ms; /* short 0: none */
    struct slice severity;
};
enum ctl_slo_kind { CTL_SLO_RATIO, CTL_SLO_BUCKETS, CTL_SLO_NATIVE };
struct ctl_slo {
    struct slice name, description, alert, runbook_url;
    double budget;         /* of errors: 0.001 */
    const char *objective; /* as percent */
    int64_t window_ms;
    struct slice *by;
    size_t n_by;
    enum ctl_slo_kind kind;
    struct slice errors, total; /* selectors as PromQL prints them; total alone of a histogram */
    double threshold;
    struct ctl_slo_burn burns[CTL_SLO_MAX_BURNS];
    size_t n_burns;
};
struct ctl_slo_file {
    const char *path;
    struct slice service, owner;
    struct labels labels;
    struct ctl_slo *slos;
    size_t n;
};

/* ERR_INVALID tells line and field. */
ORR_CHECKED struct err *ctl_slo_parse(struct arena *a, const char *path, struct slice text,
                                      struct ctl_slo_file *ret);
/* ctl_slorules.c: a rule file; notes: what is left out, a line each. */
void ctl_slo_rules(struct arena *a, const struct ctl_slo_file *f, struct buf *out,
                   struct buf *notes);
/* ctl_slotests.c: tests of these rules, which lie beside them as rules_name. */
void ctl_slo_tests(struct arena *a, const struct ctl_slo_file *f, const char *rules_name,
                   struct buf *out, struct buf *notes);

/* Shared by both: whether it can fire; "slo:sli_error:ratio_rate5m"; labels of the alert of a burn rate, without those of `by`; its summary for
 * a share of errors as humanizePercentage prints it. */
bool ctl_slo_can_fire(const struct ctl_slo *s, const struct ctl_slo_burn *b);
struct slice ctl_slo_record(struct arena *a, int64_t window_ms);
struct labels ctl_slo_alert_labels(struct arena *a, const struct ctl_slo_file *f,
                                   const struct ctl_slo *s, const struct ctl_slo_burn *b);
struct labels ctl_slo_annotations(struct arena *a, const struct ctl_slo_file *f,
                                  const struct ctl_slo *s, const struct ctl_slo_burn *b,
                                  const char *share);
/* The windows of its burn rates that can fire, and its own; sorted, each once. */
size_t ctl_slo_windows(const struct ctl_slo *s, int64_t ret[2 * CTL_SLO_MAX_BURNS + 1]);
/* Inserts a matcher, as le="0.3", into a printed selector. */
struct slice ctl_slo_with(struct arena *a, struct slice selector, const char *matcher);
/* le=~"1|1.0", le="0.3" */
const char *ctl_slo_le(struct arena *a, double threshold);
