/*
 * What tenants' rules for log lines have done, by tenant and rule, as metrics:
 *
 *   orrery_log_rule_lines_total{tenant="team-a",rule="no-debug",action="drop"}
 *   orrery_log_rule_bytes_total{…}
 *
 * lines that the rule dropped, sampled away or changed, and their bytes as they came.
 *
 * Rules beyond LOG_RULE_COUNTS_MAX are counted together, as rule "other" of no tenant.
 *
 * Any thread.
 */
#pragma once
#include "common/base/slice.h"

#define LOG_RULE_COUNTS_MAX 10000

struct log_rule_counts;
struct log_rule_counts *log_rule_counts_new(void);
void log_rule_counts_free(struct log_rule_counts *c); /* NULL is allowed */
void log_rule_counts_add(struct log_rule_counts *c, struct slice tenant, struct slice rule,
                         const char *action, uint64_t lines, uint64_t bytes);
