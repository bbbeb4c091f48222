/*
 * GET /api/v1/rules and /api/v1/alerts, in Prometheus' format, for the tenant that asks; served by
 * queriers and by rulers alike.
 *
 * A ruler knows the groups it owns; so whoever is asked asks all of them (RPC "ruler.rules": empty → a
 * JSON list of groups, of the call's tenant), puts the answers together and filters them. A ruler that
 * does not answer is told in "warnings"; a group that two rulers have for a moment comes once.
 *
 * Filters: type, rule_name[], rule_group[], file[], match[] (on the labels of a rule, those that are
 * templates left out), exclude_alerts. Pages: group_limit groups, and groupNextToken to go on with.
 *
 * Handlers run on the request's loop.
 */
#pragma once
#include "common/process/process.h"

/* Under "" and /prometheus, and rules_config.h's; once a process, before its HTTP server listens. */
void rules_page_routes(struct process *p);
