/*
 * Which rules of a group may be evaluated side by side: those of which none reads what another one writes. Rules stay in their order:
 * a batch is rules that stand one behind the other.
 *
 *     a: x + y      b: sum(z)     │ c: a / b │ d: rate(w[5m])   e: {job="j"}  │ f: q
 *     └── side by side ───────────┘          │ what e reads is not known: alone │
 *
 * A recording rule writes its name, an alerting rule ALERTS and ALERTS_FOR_STATE. What rules read are the names that their selectors
 * ask for; a selector without a name, or with a pattern of one, may read anything. Rules over log lines read no series at all.
 * Queries in templates are not looked at: those are asked one after the other anyway.
 *
 * Pure.
 */
#pragma once
#include "ruler/rule_file.h"

#define RULE_DEPS_MAX_BATCH 8 /* each holds the answer to its query meanwhile */

/* ret_ends[i]: behind the last rule of the batch that begins with rule i, for each that begins one; n_rules of them. */
void rule_deps_batches(const struct rule_group *g, size_t *ret_ends);
