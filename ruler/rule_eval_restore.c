/* What outlives a state: reloads of the rule files, and restarts. */
#include "ruler/rule_eval_internal.h"

bool rule_eval_continues(const struct rule *old, const struct rule *next)
{
    return old->is_alert == next->is_alert && slice_eq(old->name, next->name) &&
           labels_eq(old->labels, next->labels);
}

void rule_eval_take_over(struct rule_state *s, struct rule_state *old)
{
    struct map none = {0};

    ORR_ASSERT(s->active.len == 0 && s->previous.len == 0);
    s->active = old->active;
    s->previous = old->previous;
    s->is_restored = old->is_restored;
    old->active = old->previous = none;
}

bool rule_eval_is_passing(const struct err *e)
{
    return err_is(e, ERR_UNAVAILABLE) || err_is(e, ERR_NET) || err_is(e, ERR_IO) ||
           err_is(e, ERR_TIMEOUT) || err_is(e, ERR_CANCELED) || err_is(e, ERR_RATE);
}

size_t rule_eval_active(const struct rule_state *s)
{
    size_t n = 0;

    MAP_FOREACH (e, &s->active)
        n += ((const struct rule_alert *)e->value)->state != RULE_INACTIVE;
    return n;
}

static const struct rule_stored *stored_of(const struct rule_alert *al,
                                           const struct rule_stored *stored, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (labels_eq(stored[i].labels, al->labels))
            return &stored[i];
    return NULL;
}

void rule_eval_restore(struct rule_state *s, int64_t ts_ms, int64_t grace_ms,
                       const struct rule_stored *stored, size_t n)
{
    s->is_restored = true;
    MAP_FOREACH (e, &s->active) {
        struct rule_alert *al = e->value;
        const struct rule_stored *was = stored_of(al, stored, n);
        int64_t active_ms, left_ms;

        if (!was || was->is_stale || !(was->v > -9e15 && was->v < 9e15))
            continue;
        active_ms = (int64_t)was->v * 1000;
        left_ms = s->rule->for_ms - (was->t_ms - active_ms);
        if (left_ms > 0 && left_ms < grace_ms)
            active_ms = ts_ms + grace_ms - s->rule->for_ms;
        else if (left_ms > 0)
            active_ms += ts_ms - was->t_ms; /* the outage does not count as holding */
        al->active_ms = active_ms;
    }
}
