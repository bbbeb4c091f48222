#include "ingester/generator/generator_feed.h"

#include "common/base/log.h"
#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/base/metric.h"
#include "ingester/door/drained.h"

struct generator_feed_metrics {
    uint64_t writes, failed;
};
static const struct metric_field generator_feed_fields[] = {
    METRIC_COUNTER(struct generator_feed_metrics, writes, "orrery_generator_writes_total",
                   "Writes of series made of spans."),
    METRIC_COUNTER(struct generator_feed_metrics, failed, "orrery_generator_failed_writes_total",
                   "Those of which some or all was refused or lost."),
};

struct generator_feed {
    struct generator_feed_opts opts;
    struct loop_timer *timer;
    struct map writing; /* tenant → struct generator_turn */
    struct drained drained;
    bool is_draining, is_last_begun, is_drained;
    struct generator_feed_metrics m;
};

/* A tenant's table, slice by slice. */
struct generator_turn {
    struct generator_feed *f;
    char *tenant;
    struct generator_flush flush;
    struct loop_timer *next;
};

static void turn_free(struct generator_turn *turn)
{
    loop_timer_free(turn->next);
    mem_free(turn->tenant);
    mem_free(turn);
}

static void begin_due(struct generator_feed *f);

/* What is under way goes first: then the last turn of all. */
static void drain_on(struct generator_feed *f)
{
    if (!f->is_draining || f->writing.len || f->is_drained)
        return;
    if (!f->is_last_begun) {
        f->is_last_begun = true;
        begin_due(f);
        if (f->writing.len)
            return;
    }
    f->is_drained = true;
    drained_one(&f->drained);
}

static void on_written(void *arg, struct err *e, const struct door_written *written)
{
    struct generator_turn *turn = arg;
    struct generator_feed *f = turn->f;

    (void)written;
    if (e) {
        METRIC_ADD(f->m.failed, 1);
        LOG_WARN(door, "series made of spans were refused", KV_STR("tenant", turn->tenant),
                 KV_ERR(e));
        err_free(e);
    }
    loop_timer_arm_ms(turn->next, 0);
}

/* The next slice, or the end. */
static void on_next(void *arg)
{
    struct push_decoder decoder = {.name = "generator", .decode = generator_decode, .is_own = true};
    struct generator_turn *turn = arg;
    struct generator_feed *f = turn->f;
    struct buf none = {0};

    if (turn->flush.next) {
        METRIC_ADD(f->m.writes, 1);
        decoder.arg = &turn->flush;
        door_write(f->opts.door, f->opts.loop, turn->flush.tenant, &decoder, &none, on_written,
                   turn);
        return;
    }
    (void)map_del(&f->writing, turn->flush.tenant);
    turn_free(turn);
    drain_on(f);
}

static void begin_turn(struct generator_feed *f, const char *tenant)
{
    struct generator_turn *turn = mem_new(struct generator_turn);

    turn->f = f;
    turn->tenant = mem_strdup(tenant);
    turn->flush = (struct generator_flush){.g = f->opts.generator,
                                           .tenant = slice_cstr(turn->tenant),
                                           .now_ms = clock_wall_ms(f->opts.clock),
                                           .next = SIZE_MAX};
    turn->next = loop_timer_new(f->opts.loop, on_next, turn);
    (void)map_put(&f->writing, slice_cstr(tenant), turn);
    loop_timer_arm_ms(turn->next, 0);
}

static void begin_due(struct generator_feed *f)
{
    char **names;
    size_t n = generator_due(f->opts.generator, f->is_last_begun, &names);

    for (size_t i = 0; i < n; i++) {
        if (!map_has(&f->writing, slice_cstr(names[i])))
            begin_turn(f, names[i]);
        mem_free(names[i]);
    }
    mem_free(names);
}

static void on_timer(void *arg)
{
    struct generator_feed *f = arg;

    loop_timer_arm_ms(f->timer, GENERATOR_FEED_PERIOD_MS);
    begin_due(f);
}

struct err *generator_feed_new(const struct generator_feed_opts *opts, struct generator_feed **ret)
{
    struct generator_feed *f = mem_new(struct generator_feed);
    struct err *e;

    f->opts = *opts;
    f->opts.clock = opts->clock ? opts->clock : &clock_system;
    e = drained_init(&f->drained);
    f->timer = loop_timer_new(opts->loop, on_timer, f);
    metric_register(&f->m, generator_feed_fields, ORR_COUNT(generator_feed_fields), NULL);
    if (e) {
        generator_feed_free(f);
        return e;
    }
    loop_timer_arm_ms(f->timer, GENERATOR_FEED_PERIOD_MS);
    *ret = f;
    return NULL;
}

void generator_feed_free(struct generator_feed *f)
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
    struct generator_feed *f = arg;

    f->is_draining = true;
    loop_timer_cancel(f->timer);
    drain_on(f);
}

bool generator_feed_drain(struct generator_feed *f, int64_t timeout_ms)
{
    if (!f)
        return true;
    drained_expect(&f->drained, 1);
    loop_post(f->opts.loop, drain_on_loop, f);
    return drained_wait(&f->drained, timeout_ms);
}
