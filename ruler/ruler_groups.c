/* Which groups this ruler owns, and when they are evaluated. All on loop 0 but work_*(). */
#include "common/base/log.h"
#include "ruler/rule_fill.h"
#include "ruler/rule_schedule.h"
#include "ruler/rule_view.h"
#include "ruler/ruler_internal.h"

/* A clock that steps is noticed after so long. */
#define MAX_SLEEP_MS 10000

#define FILLERS 4 /* what was missed is made up for by one worker of so many */

static void arm(struct ruler_group *g);

static int64_t interval_of(const struct ruler_group *g)
{
    return rule_group_interval_ms(g->run, &g->ruler->settings);
}

/* ---- one evaluation, on a worker ---- */

static void notify(void *arg, const struct rule *rule, const struct rule_alert *const *alerts,
                   size_t n)
{
    struct rule_remote *remote = arg;
    struct ruler_group *g = ORR_CONTAINER(remote, struct ruler_group, remote);
    struct buf body = {0};

    buf_byte(&body, '[');
    for (size_t i = 0; i < n; i++) {
        if (i)
            buf_byte(&body, ',');
        rule_view_postable(&body, rule, alerts[i], &g->ruler->settings);
    }
    buf_byte(&body, ']');
    alert_sender_post(g->ruler->sender, g->tenant, &body);
}

static void beside(void *arg, size_t n, void (*fn)(void *fn_arg, size_t i), void *fn_arg)
{
    struct rule_remote *remote = arg;
    struct ruler_group *g = ORR_CONTAINER(remote, struct ruler_group, remote);

    job_parallel(g->ruler->askers, n, fn, fn_arg);
}

static struct rule_group_ops ops_of(struct ruler_group *g)
{
    return (struct rule_group_ops){.query = rule_remote_query,
                                   .beside = g->ruler->askers ? beside : NULL,
                                   .write = rule_remote_write,
                                   .notify = notify,
                                   .stored = rule_remote_stored,
                                   .write_late = rule_remote_write_late,
                                   .last = rule_remote_last,
                                   .arg = &g->remote};
}

static void render(struct ruler_group *g, struct buf *out)
{
    buf_reset(out);
    rule_view_group(out, g->run, slice_cstr(g->file), &g->ruler->settings);
}

/* Of what was missed as much as leaves the evaluations of now their time: a part of the interval, and of the workers. */
static void fill(struct ruler_group *g, const struct rule_group_ops *ops)
{
    struct ruler *r = g->ruler;
    unsigned most = (unsigned)(r->conf->concurrency + FILLERS - 1) / FILLERS;
    int64_t interval_ms = interval_of(g), now_ms = clock_wall_ms(&clock_system);
    int64_t time_ms =
        rule_fill_time_ms(interval_ms, g->slot_ms + interval_ms - now_ms, g->run->duration_s);

    if (atomic_fetch_add(&r->n_filling, 1) < most)
        rule_fill(g->run, &r->settings, ops, g->slot_ms, clock_mono_ms(&clock_system) + time_ms,
                  &g->is_cancelled);
    atomic_fetch_sub(&r->n_filling, 1);
}

static void work_eval(void *arg)
{
    struct ruler_group *g = arg;
    struct rule_group_ops ops = ops_of(g);

    rule_group_eval(g->run, &g->ruler->settings, &ops, g->slot_ms, &g->is_cancelled);
    fill(g, &ops);
    render(g, &g->view_next);
}

static void work_retire(void *arg)
{
    struct ruler_group *g = arg;
    struct rule_group_ops ops = ops_of(g);

    rule_group_retire(g->run, &ops, clock_wall_ms(&clock_system));
}

/* ---- the life of a group ---- */

static void group_free(struct ruler_group *g)
{
    loop_timer_free(g->timer);
    mem_free(g->sources);
    rule_group_free(g->run);
    rule_group_free(g->next);
    rule_remote_done(&g->remote);
    buf_done(&g->view);
    buf_done(&g->view_next);
    mem_free(g->key);
    mem_free(g->tenant);
    mem_free(g->file);
    mem_free(g);
}

void ruler_groups_check_drained(struct ruler *r)
{
    process_done_fn *done = r->drained;

    if (!done || r->m.busy > 0 || r->n_loading > 0)
        return;
    r->drained = NULL;
    done(r->drained_arg);
}

static void on_retired(void *arg)
{
    struct ruler_group *g = arg;
    struct ruler *r = g->ruler;

    r->m.busy--;
    group_free(g);
    ruler_groups_check_drained(r);
}

/* g is in no table any more and its worker is done. */
static void dispose(struct ruler_group *g)
{
    struct ruler *r = g->ruler;
    struct err *e = NULL;

    if (g->fate == RULER_RETIRE && !r->is_stopping) {
        e = job_run(r->workers, r->loop, work_retire, on_retired, g);
        if (!e) {
            r->m.busy++;
            return;
        }
        LOG_WARN(ruler, "series of a group that is gone are not marked stale",
                 KV_STR("group", g->key), KV_ERR(e));
        err_free(e);
    }
    group_free(g);
}

/* Takes g out of the table; it goes once its worker is done. */
static void drop(struct ruler_group *g, int fate)
{
    g->fate = fate;
    g->is_cancelled = true;
    loop_timer_cancel(g->timer);
    (void)map_del(&g->ruler->groups, slice_cstr(g->key));
    if (!g->is_busy)
        dispose(g);
}

/* Whose data it reads. */
static void set_sources(struct ruler_group *g)
{
    const struct rule_group *rules = g->run->group;
    struct buf joined = {0};

    mem_free(g->sources);
    for (size_t i = 0; i < rules->n_sources; i++)
        buf_printf(&joined, "%s%.*s", i ? "|" : "", SLICE_ARG(rules->sources[i]));
    g->sources = joined.len ? slice_dup(buf_slice(&joined)) : NULL;
    g->remote.sources = g->sources;
    g->remote.is_refused = g->sources && !g->ruler->conf->has_federation;
    buf_done(&joined);
}

static void take_next(struct ruler_group *g)
{
    if (!g->next)
        return;
    rule_group_take_over(g->next, g->run, clock_wall_ms(&clock_system));
    rule_group_free(g->run);
    g->run = g->next;
    g->next = NULL;
    set_sources(g);
    g->failures_seen = g->run->failures;
    render(g, &g->view);
}

static void on_evaluated(void *arg)
{
    struct ruler_group *g = arg;
    struct ruler *r = g->ruler;

    r->m.busy--;
    g->is_busy = false;
    r->m.evaluations += g->run->group->n_rules;
    r->m.failures += g->run->failures - g->failures_seen;
    r->m.filled += g->run->filled - g->filled_seen;
    r->m.given_up += g->run->given_up - g->given_up_seen;
    g->failures_seen = g->run->failures;
    g->filled_seen = g->run->filled;
    g->given_up_seen = g->run->given_up;
    metric_hist_observe(&r->m.group_s, g->run->duration_s);
    if (g->fate != RULER_KEEP) {
        dispose(g);
    } else {
        struct buf old = g->view;

        g->view = g->view_next;
        g->view_next = old;
        take_next(g);
        if (!r->is_stopping)
            arm(g);
    }
    ruler_groups_check_drained(r);
}

/* The slots from first to last. */
static void miss(struct ruler_group *g, int64_t first_ms, int64_t last_ms, const char *why)
{
    uint64_t n = (uint64_t)((last_ms - first_ms) / interval_of(g)) + 1;

    g->ruler->m.missed += n;
    rule_group_missed(g->run, &g->ruler->settings, first_ms, last_ms);
    LOG_WARN(ruler, "evaluations missed", KV_STR("tenant", g->tenant), KV_STR("group", g->key),
             KV_U64("count", n), KV_STR("reason", why));
}

static void evaluate(struct ruler_group *g, int64_t slot_ms)
{
    struct ruler *r = g->ruler;
    uint64_t missed =
        g->slot_ms == RULE_NEVER ? 0 : rule_schedule_missed(g->slot_ms, slot_ms, interval_of(g));
    struct err *e;

    if (missed)
        miss(g, slot_ms - (int64_t)missed * interval_of(g), slot_ms - interval_of(g), "late");
    g->slot_ms = slot_ms;
    e = job_run(r->workers, r->loop, work_eval, on_evaluated, g);
    if (!e) {
        g->is_busy = true;
        r->m.busy++;
        return;
    }
    miss(g, slot_ms, slot_ms, "busy");
    err_free(e);
    arm(g);
}

static int64_t offset_of(const struct ruler_group *g)
{
    return rule_schedule_offset(slice_cstr(g->key), interval_of(g));
}

static void on_timer(void *arg)
{
    struct ruler_group *g = arg;
    int64_t now = clock_wall_ms(&clock_system);
    int64_t slot = rule_schedule_slot(now, interval_of(g), offset_of(g));

    if (slot > g->slot_ms)
        evaluate(g, slot);
    else
        arm(g);
}

/* Until the first slot after the last one; at once when that has passed. */
static void arm(struct ruler_group *g)
{
    int64_t now = clock_wall_ms(&clock_system);
    int64_t slot = rule_schedule_slot(now, interval_of(g), offset_of(g));
    int64_t next = slot > g->slot_ms ? slot : slot + interval_of(g);

    if (g->slot_ms > now) /* the clock went back: begin anew */
        g->slot_ms = slot;
    loop_timer_arm_ms(g->timer, ORR_MIN(ORR_MAX(next - now, 0), MAX_SLEEP_MS));
}

/* ---- what should be here ---- */

static void start_group(struct ruler *r, const struct rule_set_group *f, bool needs_restore)
{
    struct ruler_group *g = mem_new(struct ruler_group);
    int64_t now = clock_wall_ms(&clock_system);

    g->ruler = r;
    g->key = mem_strdup(f->key);
    g->tenant = mem_strdup(f->tenant);
    g->file = mem_strdup(f->file);
    g->run = rule_group_new(f->rules, f->index, needs_restore, &r->settings);
    g->remote = (struct rule_remote){
        .shared = &r->shared, .tenant = g->tenant, .key = ring_key(slice_cstr(g->key))};
    set_sources(g);
    g->timer = loop_timer_new(r->loop, on_timer, g);
    /* the slot that is running belongs to whoever had the group before */
    g->slot_ms = rule_schedule_slot(now, interval_of(g), offset_of(g));
    render(g, &g->view);
    (void)map_put(&r->groups, slice_cstr(g->key), g);
    arm(g);
}

/* It may say something else now. */
static void change_group(struct ruler_group *g, const struct rule_set_group *f)
{
    const struct rule_group *now = (g->next ? g->next : g->run)->group;

    if (now->hash == rule_set_group_of(f)->hash)
        return;
    rule_group_free(g->next);
    g->next = rule_group_new(f->rules, f->index, false, &g->ruler->settings);
    if (g->is_busy)
        return;
    take_next(g);
    arm(g);
}

static bool is_mine(const struct ring *ring, int self, const char *key)
{
    return self >= 0 && ring_owner(ring, ring_key(slice_cstr(key))) == self;
}

/* The keys of all groups of set. */
static void collect_keys(const struct rule_set *set, struct map *ret)
{
    for (size_t i = 0; set && i < set->n; i++)
        (void)map_put(ret, slice_cstr(set->groups[i].key), ret);
}

/* Whether something of it may be stored: it was known before, or nobody here could know. */
static bool may_have_been(const struct rule_set *before, const struct map *known_before,
                          const struct rule_set_group *g)
{
    if (!before || (g->is_stored ? !before->store || rule_set_is_unread(before, g) : !before->dir))
        return true;
    return map_has(known_before, slice_cstr(g->key));
}

static void drop_others(struct ruler *r, const struct map *wanted, const struct map *known)
{
    VEC(struct ruler_group *) gone = {0};

    MAP_FOREACH (e, &r->groups)
        if (!map_has(wanted, e->key))
            vec_push(&gone, e->value);
    VEC_FOREACH (g, &gone)
        drop(*g, map_has(known, slice_cstr((*g)->key)) ? RULER_LOSE : RULER_RETIRE);
    vec_done(&gone);
}

/* Only the membership knows where others reach us. Before the first group starts, so that no worker
 * reads it yet. */
static void set_external_url(struct ruler *r, const struct ring *ring, int self)
{
    if (r->settings.external_url.len == 0 && self >= 0)
        r->settings.external_url = slice_cstr(arena_printf(
            r->settings_arena, "http://%s", ring_member(ring, (size_t)self)->http_addr));
}

void ruler_groups_reconcile(struct ruler *r, const struct rule_set *before)
{
    struct ring *ring;
    struct map known = {0}, known_before = {0}, wanted = {0};
    int self;

    if (!r->set || r->is_stopping)
        return;
    ring = membership_ring(process_membership(r->process), MEMBER_RULER, 0);
    self = ring_find(ring, slice_cstr(process_instance(r->process)));
    set_external_url(r, ring, self);
    collect_keys(r->set, &known);
    collect_keys(before, &known_before);
    for (size_t i = 0; i < r->set->n; i++) {
        const struct rule_set_group *f = &r->set->groups[i];
        struct ruler_group *g = map_get(&r->groups, slice_cstr(f->key));

        if (!is_mine(ring, self, f->key))
            continue;
        (void)map_put(&wanted, slice_cstr(f->key), r);
        if (g)
            change_group(g, f);
        else
            start_group(r, f, may_have_been(before, &known_before, f));
    }
    drop_others(r, &wanted, &known);
    r->m.groups_owned = (int64_t)r->groups.len;
    r->m.groups = (int64_t)known.len;
    map_done(&known);
    map_done(&known_before);
    map_done(&wanted);
    ring_unref(ring);
}

/* ---- the end ---- */

void ruler_groups_stop(struct ruler *r)
{
    r->is_stopping = true;
    if (r->poll_timer)
        loop_timer_cancel(r->poll_timer);
    MAP_FOREACH (e, &r->groups) {
        struct ruler_group *g = e->value;

        g->is_cancelled = true; /* what waits in the queue ends before its first rule */
        loop_timer_cancel(g->timer);
    }
    ruler_groups_check_drained(r);
}

void ruler_groups_free(struct ruler *r)
{
    MAP_FOREACH (e, &r->groups)
        group_free(e->value);
    map_done(&r->groups);
    rule_set_unref(r->set);
}
