#include "ruler/rule_fill.h"

#include "common/base/log.h"
#include "ruler/rule_schedule.h"

#define FILL_PART 4 /* of the interval */
#define MAX_FILL_MS 10000
#define SLOT_EVALUATIONS 4

int64_t rule_fill_time_ms(int64_t interval_ms, int64_t left_ms, double duration_s)
{
    double spare_ms =
        (double)(left_ms + interval_ms) - SLOT_EVALUATIONS * duration_s * (double)MS_PER_S;

    if (left_ms <= 0 || spare_ms <= 0)
        return 0;
    return ORR_MIN(ORR_MIN(interval_ms / FILL_PART, MAX_FILL_MS),
                   ORR_MIN(left_ms, (int64_t)spare_ms));
}

void rule_fill_stop(struct rule_group_run *g)
{
    for (size_t i = 0; g->fill_states && i < g->group->n_rules; i++)
        rule_eval_free(g->fill_states[i]);
    mem_free(g->fill_states);
    g->fill_states = NULL;
}

/* ---- what was missed before the group came here ---- */

/* The slot of the last evaluation that left something; RULE_NEVER: none is known. */
static struct err *find_last(struct rule_group_run *g, const struct rule_group_settings *set,
                             const struct rule_group_ops *ops, int64_t *ret_ms)
{
    struct rule_eval_in in = rule_group_in(g, set, ops, g->first_ms);
    size_t asked = 0;

    *ret_ms = RULE_NEVER;
    for (size_t i = 0; i < g->group->n_rules && asked < RULE_FILL_ASKED; i++) {
        const struct rule *r = &g->group->rules[i];
        int64_t last_ms = RULE_NEVER;
        struct arena *a;
        struct err *e;

        if (r->is_alert)
            continue;
        asked++;
        a = arena_new(set->max_bytes);
        /* just before what the first evaluation here has written */
        e = ops->last(ops->arg, a, r, g->first_ms - in.query_offset_ms - 1, set->catch_up_ms,
                      &last_ms);
        arena_free(a);
        if (e)
            return e;
        if (last_ms != RULE_NEVER)
            *ret_ms = ORR_MAX(*ret_ms, last_ms + in.query_offset_ms);
        if (*ret_ms >= g->first_ms - in.interval_ms)
            return NULL; /* the others have no later one */
    }
    return NULL;
}

static void seek_hole(struct rule_group_run *g, const struct rule_group_settings *set,
                      const struct rule_group_ops *ops)
{
    int64_t interval_ms = g->catchup.interval_ms, last_ms;
    struct err *e = find_last(g, set, ops, &last_ms);

    g->seeks_hole = rule_eval_is_passing(e); /* then it is asked again after the next evaluation */
    if (e) {
        LOG_WARN(ruler, "cannot find out which evaluations were missed",
                 KV_SLICE("group", g->group->name), KV_ERR(e));
        err_free(e);
        return;
    }
    if (last_ms != RULE_NEVER) {
        uint64_t n = rule_schedule_missed(last_ms - 1, g->first_ms, interval_ms);

        rule_group_missed(g, set, g->first_ms - (int64_t)n * interval_ms,
                          g->first_ms - interval_ms);
    }
}

/* ---- one missed evaluation ---- */

/* What of an evaluation is written. Just before a hole and just behind it everything is there already: the first says which series may
 * end in the hole, the second which of the hole's do. */
enum what { NOTHING, EVERYTHING, ENDS };

static void keep_ends(struct rule_eval_out *out)
{
    size_t n = 0;

    VEC_FOREACH (s, &out->series)
        if (sample_is_stale(s->h ? s->h->sum : s->v))
            out->series.ptr[n++] = *s;
    out->series.len = n;
}

static struct err *fill_rule(struct rule_group_run *g, const struct rule_group_settings *set,
                             const struct rule_group_ops *ops, struct rule_state *s,
                             int64_t slot_ms, enum what what)
{
    struct arena *a = arena_new(set->max_bytes);
    struct rule_eval_in in = rule_group_in(g, set, ops, slot_ms);
    struct rule_eval_out out = {0};
    struct err *e = ops->query(ops->arg, a, s->rule->lang, s->rule->query,
                               slot_ms - in.query_offset_ms, &in.answer);

    if (!e)
        e = rule_eval_run(s, &in, a, &out);
    if (what == ENDS)
        keep_ends(&out);
    if (!e && what != NOTHING && out.series.len)
        e = err_wrap(ops->write_late(ops->arg, out.series.ptr, out.series.len), "write");
    rule_eval_out_done(&out);
    arena_free(a);
    return e;
}

/* False: others are away, and it is to be tried again. */
static bool fill_rules(struct rule_group_run *g, const struct rule_group_settings *set,
                       const struct rule_group_ops *ops, int64_t slot_ms, enum what what)
{
    for (size_t i = 0; i < g->group->n_rules; i++) {
        struct err *e;
        bool is_passing;

        if (g->group->rules[i].is_alert)
            continue;
        if (!(e = fill_rule(g, set, ops, g->fill_states[i], slot_ms, what)))
            continue;
        is_passing = rule_eval_is_passing(e);
        LOG_DEBUG(ruler, "rule failed at a time that was missed", KV_SLICE("group", g->group->name),
                  KV_SLICE("rule", g->group->rules[i].name), KV_ERR(e));
        err_free(e);
        if (is_passing)
            return false;
    }
    return true;
}

/* Of a hole that begins at the slot, unless it is the one at work. */
static bool begin(struct rule_group_run *g, const struct rule_group_settings *set,
                  const struct rule_group_ops *ops, int64_t slot_ms)
{
    int64_t before_ms = slot_ms - g->catchup.interval_ms;

    if (g->fill_states && g->filled_ms == before_ms)
        return true;
    rule_fill_stop(g);
    g->fill_states = mem_new_array(struct rule_state *, g->group->n_rules + 1);
    for (size_t i = 0; i < g->group->n_rules; i++)
        g->fill_states[i] = rule_eval_new(&g->group->rules[i], true);
    g->filled_ms = RULE_NEVER; /* until that has gone well */
    if (!fill_rules(g, set, ops, before_ms, NOTHING))
        return false;
    g->filled_ms = before_ms;
    return true;
}

/* The oldest one that is missing. False: it is to be tried again. */
static bool fill_slot(struct rule_group_run *g, const struct rule_group_settings *set,
                      const struct rule_group_ops *ops, int64_t slot_ms)
{
    int64_t behind_ms = slot_ms + g->catchup.interval_ms, next_ms;

    if (!begin(g, set, ops, slot_ms) || !fill_rules(g, set, ops, slot_ms, EVERYTHING))
        return false;
    g->filled_ms = slot_ms;
    g->filled++;
    rule_catchup_pop(&g->catchup);
    if (!rule_catchup_next(&g->catchup, &next_ms) || next_ms != behind_ms) {
        (void)fill_rules(g, set, ops, behind_ms, ENDS); /* if it fails, they end by themselves */
        rule_fill_stop(g);
    }
    return true;
}

/* Whether the evaluation of now was answered: else there is nobody to ask about then. */
static bool went_well(const struct rule_group_run *g, int64_t ts_ms)
{
    const struct rule_catchup *c = &g->catchup;

    return g->evaluated_ms == ts_ms && (!c->n || c->runs[c->n - 1].last_ms < ts_ms);
}

void rule_fill(struct rule_group_run *g, const struct rule_group_settings *set,
               const struct rule_group_ops *ops, int64_t ts_ms, int64_t until_ms,
               const atomic_bool *is_cancelled)
{
    int64_t slot_ms;

    if (!set->catch_up_ms || !ops->write_late)
        return;
    g->given_up += rule_catchup_expire(&g->catchup, ts_ms - set->catch_up_ms);
    if (!went_well(g, ts_ms))
        return;
    if (g->seeks_hole)
        seek_hole(g, set, ops);
    while (rule_catchup_next(&g->catchup, &slot_ms) && !(is_cancelled && *is_cancelled) &&
           clock_mono_ms(&clock_system) < until_ms && fill_slot(g, set, ops, slot_ms))
        continue;
    if (!g->catchup.n)
        rule_fill_stop(g);
}
