/*
 * A group at work: its rules, evaluated one after the other, each seeing what those before it have
 * written. The queries of rules that do not see each other anyway may be asked side by side
 * (rule_deps.h). What it asks, writes and tells goes through struct rule_group_ops: queriers, ingesters
 * and alertmanagers in a ruler, a table in tests.
 *
 * Evaluations that were missed, or whose query nobody answered, are kept (rule_catchup.h) for rule_fill.h.
 *
 * Owner: one thread at a time.
 */
#pragma once
#include "common/base/clock.h"
#include "ruler/rule_catchup.h"
#include "ruler/rule_eval.h"

/* grace_ms: rules with a shorter `for` are not restored. */
struct rule_group_settings {
    int64_t default_interval_ms, default_query_offset_ms;
    int64_t resend_ms;
    int64_t grace_ms, outage_tolerance_ms;
    int64_t catch_up_ms; /* for so long missed evaluations are made up for; 0: they are not */
    uint64_t max_bytes;  /* memory of one rule's evaluation; 0: no bound */
    struct labels external_labels;
    struct slice external_url;
    struct slice logs_datasource; /* in links to queries over log lines; empty: none is named */
};

struct rule_group_ops {
    rule_query_fn *query; /* from several threads at once, if there is beside */
    /* Calls fn(fn_arg, i) for i in 0..n-1, side by side. NULL: one rule is asked after the other. */
    void (*beside)(void *arg, size_t n, void (*fn)(void *fn_arg, size_t i), void *fn_arg);
    /* May fail: the rule then shows it as its error. */
    struct err *(*write)(void *arg, const struct rule_series *s, size_t n);
    void (*notify)(void *arg, const struct rule *r, const struct rule_alert *const *alerts,
                   size_t n);
    /* The last ALERTS_FOR_STATE samples of an alert since from_ms; in the arena. NULL: none. */
    struct err *(*stored)(void *arg, struct arena *a, const struct rule *r, int64_t from_ms,
                          int64_t ts_ms, int64_t interval_ms, struct rule_stored **ret,
                          size_t *ret_n);
    /* rule_fill.h; both or none. As write, of samples that may be older than those their series have. */
    struct err *(*write_late)(void *arg, const struct rule_series *s, size_t n);
    /* The time of the last sample that a recording rule has written, at at_ms and at most window_ms before it; RULE_NEVER: none. */
    struct err *(*last)(void *arg, struct arena *a, const struct rule *r, int64_t at_ms,
                        int64_t window_ms, int64_t *ret_ms);
    void *arg;
};

struct rule_group_run {
    struct rule_file *file; /* a reference */
    const struct rule_group *group;
    struct rule_state **states; /* one a rule */
    size_t *batch_ends;         /* rule_deps_batches() */
    struct rule_eval_out stale; /* of rules that are gone: written with the next evaluation */
    struct arena *stale_arena;
    unsigned evaluations;
    bool needs_restore;
    int64_t evaluated_ms, first_ms; /* the last one and the first one; RULE_NEVER before it */
    double duration_s;
    uint64_t failures; /* rules that failed, in all */
    struct rule_catchup catchup;
    bool has_records, seeks_hole;    /* it is not known yet what was missed before the first */
    struct rule_state **fill_states; /* of rules at missed times; NULL: none is at work */
    int64_t filled_ms;               /* the slot they are at */
    uint64_t filled, given_up;       /* slots, in all */
};

/* needs_restore: nothing is known of what was before, and it may be stored. Takes a reference. */
struct rule_group_run *rule_group_new(const struct rule_file *f, size_t index, bool needs_restore,
                                      const struct rule_group_settings *set);
void rule_group_free(struct rule_group_run *g); /* NULL is allowed */
int64_t rule_group_interval_ms(const struct rule_group_run *g,
                               const struct rule_group_settings *set);
struct rule_eval_in rule_group_in(const struct rule_group_run *g,
                                  const struct rule_group_settings *set,
                                  const struct rule_group_ops *ops, int64_t ts_ms);
/* The slots from first to last were not evaluated. */
void rule_group_missed(struct rule_group_run *g, const struct rule_group_settings *set,
                       int64_t first_ms, int64_t last_ms);
/* Evaluates all rules for ts_ms. Between two rules, *is_cancelled (may be NULL) ends it. */
void rule_group_eval(struct rule_group_run *g, const struct rule_group_settings *set,
                     const struct rule_group_ops *ops, int64_t ts_ms,
                     const atomic_bool *is_cancelled);
/* After a reload: g continues old. Rules that are gone have their series marked stale. */
void rule_group_take_over(struct rule_group_run *g, struct rule_group_run *old, int64_t now_ms);
/* The group is gone for good: marks all its series stale at t_ms. */
void rule_group_retire(struct rule_group_run *g, const struct rule_group_ops *ops, int64_t t_ms);
