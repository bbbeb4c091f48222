#include "ingester/door/ownfeed.h"

#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "ingester/door/door.h"
#include "ingester/door/drained.h"

struct ownfeed {
    struct ownfeed_opts opts;
    struct loop_timer *timer;
    struct map writing; /* tenant → struct ownfeed_turn */
    struct drained drained;
    bool is_draining, is_drained;
    struct ownfeed_metrics m;
};

/* What is due of a tenant, slice by slice. */
struct ownfeed_turn {
    struct ownfeed *f;
    char *tenant;
    struct ownfeed_flush flush;
    struct loop_timer *next;
};

static void tell_drained(struct ownfeed *f)
{
    if (!f->is_draining || f->writing.len || f->is_drained)
        return;
    f->is_drained = true;
    drained_one(&f->drained);
}

static void turn_free(struct ownfeed_turn *turn)
{
    loop_timer_free(turn->next);
    mem_free(turn->tenant);
    mem_free(turn);
}

static void on_written(void *arg, struct err *e, const struct door_written *written)
{
    struct ownfeed_turn *turn = arg;
    struct ownfeed *f = turn->f;

    (void)written;
    if (e) {
        METRIC_ADD(f->m.failed, 1);
        LOG_WARN(door, "series made in here were refused", KV_STR("reason", f->opts.name),
                 KV_STR("tenant", turn->tenant), KV_ERR(e));
        err_free(e);
    }
    loop_timer_arm_ms(turn->next, 0);
}

static void begin_turn(struct ownfeed *f, const char *tenant);

/* The next slice, or the end. */
static void on_next(void *arg)
{
    struct ownfeed_turn *turn = arg;
    struct ownfeed *f = turn->f;
    struct push_decoder decoder = {
        .name = f->opts.name, .decode = f->opts.decode, .arg = &turn->flush, .is_own = true};
    struct slice tenant = turn->flush.tenant;
    struct buf none = {0};

    if (!turn->flush.is_done) {
        METRIC_ADD(f->m.writes, 1);
        door_write(f->opts.door, f->opts.loop, tenant, &decoder, &none, on_written, turn);
        return;
    }
    (void)map_del(&f->writing, tenant);
    if (f->is_draining && !turn->flush.is_last)
        begin_turn(f, turn->tenant);
    turn_free(turn);
    tell_drained(f);
}

static void begin_turn(struct ownfeed *f, const char *tenant)
{
    struct ownfeed_turn *turn = mem_new(struct ownfeed_turn);

    turn->f = f;
    turn->tenant = mem_strdup(tenant);
    turn->flush = (struct ownfeed_flush){.of = f->opts.of,
                                         .tenant = slice_cstr(turn->tenant),
                                         .now_ms = clock_wall_ms(f->opts.clock),
                                         .is_last = f->is_draining,
                                         .next = SIZE_MAX};
    turn->next = loop_timer_new(f->opts.loop, on_next, turn);
    (void)map_put(&f->writing, turn->flush.tenant, turn);
    loop_timer_arm_ms(turn->next, 0);
}

static void begin_due(struct ownfeed *f)
{
    char **names;
    size_t n = f->opts.due(f->opts.due_arg, f->is_draining, &names);

    for (size_t i = 0; i < n; i++) {
        if (!map_has(&f->writing, slice_cstr(names[i])))
            begin_turn(f, names[i]);
        mem_free(names[i]);
    }
    mem_free(names);
}

static void on_timer(void *arg)
{
    struct ownfeed *f = arg;

    loop_timer_arm_ms(f->timer, OWNFEED_PERIOD_MS);
    begin_due(f);
}

struct err *ownfeed_new(const struct ownfeed_opts *opts, struct ownfeed **ret)
{
    struct ownfeed *f = mem_new(struct ownfeed);
    struct err *e;

    f->opts = *opts;
    f->opts.clock = opts->clock ? opts->clock : &clock_system;
    e = drained_init(&f->drained);
    f->timer = loop_timer_new(opts->loop, on_timer, f);
    metric_register(&f->m, opts->fields, opts->n_fields, NULL);
    if (e) {
        ownfeed_free(f);
        return e;
    }
    loop_timer_arm_ms(f->timer, OWNFEED_PERIOD_MS);
    *ret = f;
    return NULL;
}

void ownfeed_free(struct ownfeed *f)
{
    if (!f)
        return;
    metric_unregister(&f->m);
    loop_timer_free(f->timer);
    MAP_FOREACH (en, &f->writing)
        turn_free(en->value);
    map_done(&f->writing);
    drained_done(&f->drained);
    mem_free(f);
}

static void drain_on_loop(void *arg)
{
    struct ownfeed *f = arg;

    f->is_draining = true;
    loop_timer_cancel(f->timer);
    begin_due(f);
    tell_drained(f);
}

bool ownfeed_drain(struct ownfeed *f, int64_t timeout_ms)
{
    if (!f)
        return true;
    drained_expect(&f->drained, 1);
    loop_post(f->opts.loop, drain_on_loop, f);
    return drained_wait(&f->drained, timeout_ms);
}
