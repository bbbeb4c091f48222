#include "ruler/rule_group.h"

#include "common/base/log.h"

struct rule_group_run *rule_group_new(const struct rule_file *f, size_t index, bool needs_restore,
                                      const struct rule_group_settings *set)
{
    struct rule_group_run *g = mem_new(struct rule_group_run);

    g->file = rule_file_ref(f);
    g->group = &f->groups[index];
    g->needs_restore = needs_restore;
    g->evaluated_ms = RULE_NEVER;
    g->states = mem_new_array(struct rule_state *, g->group->n_rules + 1);
    for (size_t i = 0; i < g->group->n_rules; i++) {
        const struct rule *r = &g->group->rules[i];

        g->states[i] =
            rule_eval_new(r, !r->is_alert || !needs_restore || r->for_ms < set->grace_ms);
    }
    return g;
}

void rule_group_free(struct rule_group_run *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->group->n_rules; i++)
        rule_eval_free(g->states[i]);
    mem_free(g->states);
    rule_eval_out_done(&g->stale);
    arena_free(g->stale_arena);
    rule_file_unref(g->file);
    mem_free(g);
}

int64_t rule_group_interval_ms(const struct rule_group_run *g,
                               const struct rule_group_settings *set)
{
    return g->group->interval_ms ? g->group->interval_ms : set->default_interval_ms;
}

static double seconds_since(int64_t start_ns)
{
    return (double)(clock_mono_ns(&clock_system) - start_ns) / (double)NS_PER_S;
}

static struct err *eval_rule(struct rule_group_run *g, const struct rule_group_settings *set,
                             const struct rule_group_ops *ops, struct rule_state *s, int64_t ts_ms,
                             struct arena *a)
{
    struct rule_eval_out out = {0};
    struct rule_eval_in in = {
        .ts_ms = ts_ms,
        .query_offset_ms = g->group->query_offset_ms >= 0 ? g->group->query_offset_ms
                                                          : set->default_query_offset_ms,
        .interval_ms = rule_group_interval_ms(g, set),
        .resend_ms = set->resend_ms,
        .limit = g->group->limit,
        .external_labels = set->external_labels,
        .external_url = set->external_url,
        .query = ops->query,
        .query_arg = ops->arg,
    };
    struct err *e = ops->query(ops->arg, a, s->rule->lang, s->rule->query,
                               ts_ms - in.query_offset_ms, &in.answer);

    if (e)
        return e;
    if ((e = rule_eval_run(s, &in, a, &out)))
        return e;
    if (out.alerts.len)
        ops->notify(ops->arg, s->rule, out.alerts.ptr, out.alerts.len);
    if (out.series.len)
        e = err_wrap(ops->write(ops->arg, out.series.ptr, out.series.len), "write");
    rule_eval_out_done(&out);
    return e;
}

/* What was stored of an alert before this process, or before the group came here. */
static void restore(struct rule_group_run *g, const struct rule_group_settings *set,
                    const struct rule_group_ops *ops, int64_t ts_ms)
{
    bool is_whole = true;

    for (size_t i = 0; i < g->group->n_rules; i++) {
        struct rule_state *s = g->states[i];
        struct rule_stored *stored = NULL;
        struct arena *a;
        struct err *e = NULL;
        size_t n = 0;

        if (s->is_restored)
            continue;
        a = arena_new(set->max_bytes);
        if (rule_eval_active(s) > 0 && ops->stored)
            e = ops->stored(ops->arg, a, s->rule, ts_ms - set->outage_tolerance_ms, ts_ms,
                            rule_group_interval_ms(g, set), &stored, &n);
        if (e) {
            /* tried again after the next evaluation: starting `for` anew would be wrong for good */
            LOG_WARN(ruler, "cannot restore the state of an alert", KV_SLICE("rule", s->rule->name),
                     KV_ERR(e));
            err_free(e);
            is_whole = false;
        } else {
            rule_eval_restore(s, ts_ms, set->grace_ms, stored, n);
        }
        arena_free(a);
    }
    g->needs_restore = !is_whole;
}

static void write_stale(struct rule_group_run *g, const struct rule_group_ops *ops)
{
    struct err *e;

    if (g->stale.series.len &&
        (e = ops->write(ops->arg, g->stale.series.ptr, g->stale.series.len))) {
        LOG_WARN(ruler, "cannot mark series of former rules stale",
                 KV_SLICE("group", g->group->name), KV_ERR(e));
        err_free(e);
    }
    rule_eval_out_done(&g->stale);
    arena_free(g->stale_arena);
    g->stale_arena = NULL;
}

void rule_group_eval(struct rule_group_run *g, const struct rule_group_settings *set,
                     const struct rule_group_ops *ops, int64_t ts_ms,
                     const atomic_bool *is_cancelled)
{
    int64_t start_ns = clock_mono_ns(&clock_system);

    for (size_t i = 0; i < g->group->n_rules; i++) {
        int64_t rule_ns = clock_mono_ns(&clock_system);
        struct arena *a;
        struct err *e;

        if (is_cancelled && *is_cancelled)
            return;
        a = arena_new(set->max_bytes);
        e = eval_rule(g, set, ops, g->states[i], ts_ms, a);
        if (e) {
            g->failures++;
            LOG_WARN(ruler, "rule failed", KV_SLICE("group", g->group->name),
                     KV_SLICE("rule", g->group->rules[i].name), KV_ERR(e));
        }
        rule_eval_note(g->states[i], ts_ms, seconds_since(rule_ns), e);
        arena_free(a);
    }
    write_stale(g, ops);
    g->evaluated_ms = ts_ms;
    g->evaluations++;
    /* Not after the first: recording rules that alerts depend on may not have had a value yet. */
    if (g->needs_restore && g->evaluations >= 2)
        restore(g, set, ops, ts_ms);
    g->duration_s = seconds_since(start_ns);
}

static struct rule_state *take_match(struct rule_group_run *old, const struct rule *r)
{
    for (size_t i = 0; i < old->group->n_rules; i++) {
        struct rule_state *s = old->states[i];

        if (s && rule_eval_continues(s->rule, r)) {
            old->states[i] = NULL;
            return s;
        }
    }
    return NULL;
}

void rule_group_take_over(struct rule_group_run *g, struct rule_group_run *old, int64_t now_ms)
{
    g->needs_restore = old->needs_restore;
    g->evaluations = old->evaluations;
    g->evaluated_ms = old->evaluated_ms;
    g->failures = old->failures;
    g->stale_arena = arena_new(0);
    for (size_t i = 0; i < g->group->n_rules; i++) {
        struct rule_state *was = take_match(old, &g->group->rules[i]);

        /* a rule that is new here has nothing stored that is its own */
        g->states[i]->is_restored = true;
        if (was)
            rule_eval_take_over(g->states[i], was);
        rule_eval_free(was);
    }
    for (size_t i = 0; i < old->group->n_rules; i++)
        if (old->states[i])
            rule_eval_retire(old->states[i], g->stale_arena, now_ms, &g->stale);
    VEC_FOREACH (w, &old->stale.series) {
        struct rule_series s = *w;

        s.labels = labels_dup(g->stale_arena, s.labels);
        vec_push(&g->stale.series, s);
    }
}

void rule_group_retire(struct rule_group_run *g, const struct rule_group_ops *ops, int64_t t_ms)
{
    if (!g->stale_arena)
        g->stale_arena = arena_new(0);
    for (size_t i = 0; i < g->group->n_rules; i++)
        if (g->states[i])
            rule_eval_retire(g->states[i], g->stale_arena, t_ms, &g->stale);
    write_stale(g, ops);
}
