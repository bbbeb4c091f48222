#include "ingester/door/agg_feed.h"

#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/metric.h"
#include "ingester/door/drained.h"

struct agg_feed_metrics {
    uint64_t writes, failed;
};
static const struct metric_field agg_feed_fields[] = {
    METRIC_COUNTER(struct agg_feed_metrics, writes, "orrery_aggregation_writes_total",
                   "Writes of aggregated series."),
    METRIC_COUNTER(struct agg_feed_metrics, failed, "orrery_aggregation_failed_writes_total",
                   "Writes of aggregated series of which some or all was refused or lost."),
};

struct agg_feed {
    struct agg_feed_opts opts;
    struct loop_timer *timer;
    struct map writing; /* tenant → struct agg_turn */
    struct drained drained;
    bool is_draining, is_drained;
    struct agg_feed_metrics m;
};

/* What is due of a tenant, slice by slice. */
struct agg_turn {
    struct agg_feed *f;
    char *tenant;
    struct agg_pool_flush flush;
    struct loop_timer *next;
};

static void tell_drained(struct agg_feed *f)
{
    if (!f->is_draining || f->writing.len || f->is_drained)
        return;
    f->is_drained = true;
    drained_one(&f->drained);
}

static void turn_free(struct agg_turn *turn)
{
    loop_timer_free(turn->next);
    mem_free(turn->tenant);
    mem_free(turn);
}

static void on_written(void *arg, struct err *e, const struct door_written *written)
{
    struct agg_turn *turn = arg;
    struct agg_feed *f = turn->f;

    (void)written;
    if (e) {
        METRIC_ADD(f->m.failed, 1);
        LOG_WARN(door, "aggregated series were refused", KV_STR("tenant", turn->tenant), KV_ERR(e));
        err_free(e);
    }
    loop_timer_arm_ms(turn->next, 0);
}

static void begin_turn(struct agg_feed *f, const char *tenant);

/* The next slice, or the end. */
static void on_next(void *arg)
{
    struct push_decoder decoder = {
        .name = "aggregation", .decode = agg_pool_decode, .is_own = true};
    struct agg_turn *turn = arg;
    struct agg_feed *f = turn->f;
    struct slice tenant = slice_cstr(turn->tenant);
    struct buf none = {0};

    if (!turn->flush.is_done) {
        METRIC_ADD(f->m.writes, 1);
        decoder.arg = &turn->flush;
        door_write(f->opts.door, f->opts.loop, tenant, &decoder, &none, on_written, turn);
        return;
    }
    (void)map_del(&f->writing, tenant);
    if (f->is_draining && !turn->flush.is_last)
        begin_turn(f, turn->tenant);
    turn_free(turn);
    tell_drained(f);
}

static void begin_turn(struct agg_feed *f, const char *tenant)
{
    struct agg_turn *turn = mem_new(struct agg_turn);

    turn->f = f;
    turn->tenant = mem_strdup(tenant);
    turn->flush = (struct agg_pool_flush){.pool = f->opts.pool,
                                          .tenant = slice_cstr(turn->tenant),
                                          .now_ms = clock_wall_ms(f->opts.clock),
                                          .is_last = f->is_draining,
                                          .next = SIZE_MAX};
    turn->next = loop_timer_new(f->opts.loop, on_next, turn);
    (void)map_put(&f->writing, slice_cstr(tenant), turn);
    loop_timer_arm_ms(turn->next, 0);
}

static void each_tenant(struct agg_feed *f)
{
    char **names;
    size_t n = agg_pool_tenants(f->opts.pool, &names);

    for (size_t i = 0; i < n; i++) {
        struct slice tenant = slice_cstr(names[i]);
        bool is_due = agg_send_look(f->opts.sender, tenant) || f->is_draining;

        if (is_due && !map_has(&f->writing, tenant))
            begin_turn(f, names[i]);
        mem_free(names[i]);
    }
    mem_free(names);
}

static void on_timer(void *arg)
{
    struct agg_feed *f = arg;

    loop_timer_arm_ms(f->timer, AGG_FEED_PERIOD_MS);
    each_tenant(f);
}

struct err *agg_feed_new(const struct agg_feed_opts *opts, struct agg_feed **ret)
{
    struct agg_feed *f = mem_new(struct agg_feed);
    struct err *e;

    f->opts = *opts;
    f->opts.clock = opts->clock ? opts->clock : &clock_system;
    e = drained_init(&f->drained);
    f->timer = loop_timer_new(opts->loop, on_timer, f);
    metric_register(&f->m, agg_feed_fields, ORR_COUNT(agg_feed_fields), NULL);
    if (e) {
        agg_feed_free(f);
        return e;
    }
    loop_timer_arm_ms(f->timer, AGG_FEED_PERIOD_MS);
    *ret = f;
    return NULL;
}

void agg_feed_free(struct agg_feed *f)
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
    struct agg_feed *f = arg;

    f->is_draining = true;
    loop_timer_cancel(f->timer);
    each_tenant(f);
    tell_drained(f);
}

bool agg_feed_drain(struct agg_feed *f, int64_t timeout_ms)
{
    if (!f)
        return true;
    agg_pool_seal(f->opts.pool);
    drained_expect(&f->drained, 1);
    loop_post(f->opts.loop, drain_on_loop, f);
    return drained_wait(&f->drained, timeout_ms);
}
