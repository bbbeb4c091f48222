/*
 * Rules and alerts as others read them: JSON of Prometheus' /api/v1/rules, of Alertmanager's
 * POST /api/v2/alerts, and the link from an alert to its expression. Any thread.
 */
#pragma once
#include "ruler/rule_group.h"

/* Appends one group as an element of data.groups. file: shown as its file. A group that is not PromQL's says so
 * in "language", one that reads other tenants' data in "sourceTenants". */
void rule_view_group(struct buf *out, const struct rule_group_run *g, struct slice file,
                     const struct rule_group_settings *set);
/* Appends an element of Alertmanager's postable alerts. Labels of set.external_labels that the
 * alert does not have are added. */
void rule_view_postable(struct buf *out, const struct rule *r, const struct rule_alert *al,
                        const struct rule_group_settings *set);
/* URL/graph?g0.expr=…&g0.tab=1; to a query over log lines, as Loki's ruler has it, Grafana's
 * URL/explore?left={"queries":[{"expr":…,"queryType":"range"}]}, escaped. */
void rule_view_link(struct buf *out, const struct rule_group_settings *set, enum rule_lang lang,
                    struct slice query);
/* When an alert ends, as alertmanagers are told: when it ended, or when to give up on us. */
int64_t rule_view_ends_ms(const struct rule_alert *al);
/* 2006-01-02T15:04:05.999Z; the year 1 for RULE_NEVER. */
void rule_view_time(struct buf *out, int64_t t_ms);
