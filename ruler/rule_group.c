#include "ruler/rule_group.h"

#include "common/base/log.h"
#include "ruler/rule_deps.h"
#include "ruler/rule_fill.h"

struct rule_group_run *rule_group_new(const struct rule_file *f, size_t index, bool needs_restore,
                                      const struct rule_group_settings *set)
{
    struct rule_group_run *g = mem_new(struct rule_group_run);

    g->file = rule_file_ref(f);
    g->group = &f->groups[index];
    g->needs_restore = needs_restore;
    g->evaluated_ms = g->first_ms = RULE_NEVER;
    g->states = mem_new_array(struct rule_state *, g->group->n_rules + 1);
    for (size_t i = 0; i < g->group->n_rules; i++) {
        const struct rule *r = &g->group->rules[i];

        g->states[i] =
            rule_eval_new(r, !r->is_alert || !needs_restore || r->for_ms < set->grace_ms);
        g->has_records = g->has_records || !r->is_alert;
    }
    g->batch_ends = mem_new_array(size_t, g->group->n_rules + 1);
    rule_deps_batches(g->group, g->batch_ends);
    rule_catchup_init(&g->catchup, rule_group_interval_ms(g, set));
    g->seeks_hole = needs_restore && g->has_records && set->catch_up_ms > 0;
    return g;
}

void rule_group_free(struct rule_group_run *g)
{
    if (!g)
        return;
    for (size_t i = 0; i < g->group->n_rules; i++)
        rule_eval_free(g->states[i]);
    mem_free(g->states);
    rule_fill_stop(g);
    mem_free(g->batch_ends);
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

struct rule_eval_in rule_group_in(const struct rule_group_run *g,
                                  const struct rule_group_settings *set,
                                  const struct rule_group_ops *ops, int64_t ts_ms)
{
    return (struct rule_eval_in){
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
}

void rule_group_missed(struct rule_group_run *g, const struct rule_group_settings *set,
                       int64_t first_ms, int64_t last_ms)
{
    if (g->has_records && set->catch_up_ms > 0)
        g->given_up += rule_catchup_add(&g->catchup, first_ms, last_ms);
}

/* ---- an evaluation ---- */

/* Rules whose queries are asked side by side. */
struct batch {
    struct rule_group_run *g;
    const struct rule_group_settings *set;
    const struct rule_group_ops *ops;
    int64_t ts_ms;
    size_t from, n;
    struct {
        struct arena *arena;
        struct rule_eval_in in; /* with the answer */
        struct err *error;
        double seconds;
    } asked[RULE_DEPS_MAX_BATCH];
};

static void ask(void *arg, size_t i)
{
    struct batch *b = arg;
    const struct rule *r = b->g->states[b->from + i]->rule;
    struct rule_eval_in *in = &b->asked[i].in;
    int64_t start_ns = clock_mono_ns(&clock_system);

    b->asked[i].arena = arena_new(b->set->max_bytes);
    *in = rule_group_in(b->g, b->set, b->ops, b->ts_ms);
    b->asked[i].error = b->ops->query(b->ops->arg, b->asked[i].arena, r->lang, r->query,
                                      b->ts_ms - in->query_offset_ms, &in->answer);
    b->asked[i].seconds = seconds_since(start_ns);
}

/* What becomes of the answer. */
static struct err *settle(struct batch *b, size_t i)
{
    const struct rule_group_ops *ops = b->ops;
    struct rule_state *s = b->g->states[b->from + i];
    struct rule_eval_out out = {0};
    struct err *e = rule_eval_run(s, &b->asked[i].in, b->asked[i].arena, &out);

    if (e)
        return e;
    if (out.alerts.len)
        ops->notify(ops->arg, s->rule, out.alerts.ptr, out.alerts.len);
    if (out.series.len)
        e = err_wrap(ops->write(ops->arg, out.series.ptr, out.series.len), "write");
    rule_eval_out_done(&out);
    return e;
}

static void end_rule(struct batch *b, size_t i)
{
    struct rule_group_run *g = b->g;
    struct rule_state *s = g->states[b->from + i];
    int64_t start_ns = clock_mono_ns(&clock_system);
    struct err *e = b->asked[i].error;

    if (!e)
        e = settle(b, i);
    else if (!s->rule->is_alert && rule_eval_is_passing(e))
        rule_group_missed(g, b->set, b->ts_ms, b->ts_ms);
    if (e) {
        g->failures++;
        LOG_WARN(ruler, "rule failed", KV_SLICE("group", g->group->name),
                 KV_SLICE("rule", s->rule->name), KV_ERR(e));
    }
    rule_eval_note(s, b->ts_ms, b->asked[i].seconds + seconds_since(start_ns), e);
}

/* False: it was cancelled in between. */
static bool run_batch(struct batch *b, const atomic_bool *is_cancelled)
{
    size_t done = 0;

    if (b->n > 1)
        b->ops->beside(b->ops->arg, b->n, ask, b);
    else
        ask(b, 0);
    for (; done < b->n && !(done && is_cancelled && *is_cancelled); done++)
        end_rule(b, done);
    for (size_t i = 0; i < b->n; i++) {
        if (i >= done)
            err_free(b->asked[i].error);
        arena_free(b->asked[i].arena);
    }
    return done == b->n;
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

    for (size_t from = 0, end; from < g->group->n_rules; from = end) {
        struct batch b = {.g = g, .set = set, .ops = ops, .ts_ms = ts_ms, .from = from};

        if (is_cancelled && *is_cancelled)
            return;
        end = ops->beside ? g->batch_ends[from] : from + 1;
        b.n = end - from;
        if (!run_batch(&b, is_cancelled))
            return;
    }
    write_stale(g, ops);
    g->evaluated_ms = ts_ms;
    if (!g->evaluations++)
        g->first_ms = ts_ms;
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
    g->first_ms = old->first_ms;
    g->failures = old->failures;
    g->filled = old->filled;
    g->given_up = old->given_up;
    g->seeks_hole = old->seeks_hole && g->has_records;
    if (g->has_records && g->catchup.interval_ms == old->catchup.interval_ms)
        g->catchup = old->catchup; /* else the slots are others */
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
