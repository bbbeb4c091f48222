/*
 * How long series are kept, by selectors, beside the one period of their tenant. In the overrides file, as in Loki:
 *
 *     overrides:
 *       team-a:
 *         compactor_blocks_retention_period: 1y       of series that no rule matches; 0: for ever
 *         retention_stream:
 *           - {selector: '{env="dev"}', period: 7d}
 *           - {selector: '{job="billing"}', priority: 1, period: 0s}    0: for ever
 *
 * Of the rules that match a series the one of the highest priority (0 if none is given) counts, of those the one with the
 * shortest period. logs_retention_stream says the same of streams of log lines, beside logs_retention_period.
 *
 * Immutable; any thread. Memory is the arena's, compiled regexes apart (retention_rules_done()).
 */
#pragma once
#include "common/base/yaml.h"
#include "common/model/matcher.h"

#define RETENTION_RULE_MAX_RULES 100

struct retention_rule {
    struct matchers match;
    int64_t period_ms; /* 0: for ever */
    int64_t priority;
};
struct retention_rules {
    const struct retention_rule *ptr;
    size_t n;
};

/* key: what errors call the list. node: the list; null is none. ERR_INVALID names file, line and what is wrong. */
ORR_CHECKED struct err *retention_rules_parse(const char *file, const char *key,
                                              const struct yaml_node *node, struct arena *a,
                                              struct retention_rules *ret);
void retention_rules_done(struct retention_rules *r);
/* The one that counts for a series; NULL: none matches. */
const struct retention_rule *retention_rules_find(const struct retention_rules *r,
                                                  struct labels ls);
