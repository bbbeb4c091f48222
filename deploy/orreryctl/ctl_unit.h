/*
 * Unit tests of rules, in promtool's format (docs/configuration/unit_testing_rules.md of prometheus/prometheus): series that are made
 * up, rules that are evaluated over them step by step on the real engine, and what is expected of alerts and expressions.
 *
 * As promtool: the samples of a step are there when it is evaluated, none after it; groups of one test are evaluated in the order of
 * group_eval_order (those that are not in it first), all of them each evaluation_interval; what is expected at a time is compared with
 * the evaluation before it. Values are equal when they are the same, with fuzzy_compare also if they differ in their last bit.
 *
 * Memory is the arena's. One thread; blocks.
 */
#pragma once
#include "common/base/buf.h"
#include "ruler/rule_file.h"

struct ctl_unit_alert {
    struct labels labels, annotations; /* sorted */
};
struct ctl_unit_alerts { /* what fires under a name */
    int64_t at_ms;       /* since the start */
    struct slice name;
    struct ctl_unit_alert *expected;
    size_t n;
};
struct ctl_unit_sample {
    struct labels labels;
    double v;
    const struct histogram *h;
};
struct ctl_unit_expr {
    int64_t at_ms;
    struct slice expr;
    struct ctl_unit_sample *expected;
    size_t n;
};
struct ctl_unit_series {
    struct slice labels, values; /* as written */
};
struct ctl_unit_test {
    struct slice name, external_url;
    int64_t interval_ms, start_ms;
    struct labels external_labels;
    struct ctl_unit_series *series;
    struct ctl_unit_alerts *alerts;
    struct ctl_unit_expr *exprs;
    size_t n_series, n_alerts, n_exprs;
};
struct ctl_unit {
    const char *path;
    int64_t interval_ms; /* evaluation_interval */
    bool is_fuzzy;
    struct slice *rule_files, *order; /* as written; names of groups */
    size_t n_rule_files, n_order;
    struct ctl_unit_test *tests;
    size_t n_tests;
};

/* ERR_INVALID tells line and field. */
ORR_CHECKED struct err *ctl_unit_parse(struct arena *a, const char *path, struct slice text,
                                       struct ctl_unit *ret);
/* Runs the tests; run (may be NULL): only those whose name contains it. Appends what failed, a line each and indented; whether
 * there was nothing. */
bool ctl_unit_run(struct arena *a, const struct ctl_unit *u, const char *run, struct buf *out);
