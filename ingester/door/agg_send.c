#include "ingester/door/agg_send.h"

#include "common/base/mem.h"
#include "common/base/metric.h"

struct agg_send_metrics {
    uint64_t batches, failures, resent;
};
static const struct metric_field agg_send_fields[] = {
    METRIC_COUNTER(struct agg_send_metrics, batches, "orrery_aggregation_batches_total",
                   "Batches of inputs given to the owners of their groups."),
    METRIC_COUNTER(struct agg_send_metrics, failures, "orrery_aggregation_batch_failures_total",
                   "Batches that an owner did not take whole."),
    METRIC_COUNTER(struct agg_send_metrics, resent, "orrery_aggregation_resent_series_total",
                   "Inputs sent again with labels because their owner did not know them."),
};

struct agg_sender {
    struct agg_send_opts opts;
    char *instance;
    struct agg_send_metrics m;
};

/* One owner's part. */
struct agg_target {
    struct agg_flight *f;
    uint16_t owner;
    bool is_local, is_again;
    struct batch_writer w;
    struct buf bytes;
    VEC(uint32_t) index; /* series of the batch to items of the load */
};

/* A load under way. Owner: its loop. */
struct agg_flight {
    struct agg_sender *s;
    struct loop *loop;
    const struct push *p;
    const struct agg_load *l;
    struct ring *ring;
    struct agg_target *targets;
    size_t n_targets, waiting;
    int64_t start_ms;
    uint64_t rejected[BATCH_REASON_COUNT];
    struct err *error;
    agg_send_fn *done;
    void *arg;
};

struct agg_sender *agg_sender_new(const struct agg_send_opts *opts)
{
    struct agg_sender *s = mem_new(struct agg_sender);

    s->opts = *opts;
    s->opts.clock = opts->clock ? opts->clock : &clock_system;
    s->opts.instance = s->instance = mem_strdup(opts->instance);
    metric_register(&s->m, agg_send_fields, ORR_COUNT(agg_send_fields), NULL);
    return s;
}

void agg_sender_free(struct agg_sender *s)
{
    if (!s)
        return;
    metric_unregister(&s->m);
    mem_free(s->instance);
    mem_free(s);
}

/* ---- as the owner ---- */

static struct ring *ring_of(struct agg_sender *s, struct slice tenant,
                            const struct tenant_limits *limits)
{
    struct ring *all = s->opts.ring(s->opts.arg);
    struct ring *ret =
        ring_subring(all, tenant, (unsigned)limits->ingestion_tenant_shard_size, INT64_MAX);

    ring_unref(all);
    return ret;
}

struct owner_view {
    struct tenant_limits limits;
    struct tenant_rules *rules;
    struct ring *ring;
    struct agg_pool_call call; /* points to those */
};

static void view_init(struct owner_view *v, struct agg_sender *s, struct slice tenant)
{
    limits_get(s->opts.limits, tenant, &v->limits);
    v->rules = limits_rules(s->opts.limits, tenant);
    v->ring = ring_of(s, tenant, &v->limits);
    v->call = (struct agg_pool_call){.tenant = tenant,
                                     .limits = &v->limits,
                                     .rules = &v->rules->aggregation,
                                     .ring = v->ring,
                                     .self = ring_find(v->ring, slice_cstr(s->instance)),
                                     .now_ms = clock_wall_ms(s->opts.clock)};
}

static void view_done(struct owner_view *v)
{
    tenant_rules_unref(v->rules);
    ring_unref(v->ring);
}

struct err *agg_send_take(struct agg_sender *s, struct slice tenant, struct slice batch,
                          struct batch_reply *ret)
{
    struct owner_view v;
    struct err *e;

    view_init(&v, s, tenant);
    e = agg_pool_take(s->opts.pool, &v.call, batch, ret);
    view_done(&v);
    return e;
}

static bool look(struct agg_sender *s, struct slice tenant)
{
    struct owner_view v;
    bool ret;

    view_init(&v, s, tenant);
    ret = agg_pool_look(s->opts.pool, &v.call);
    view_done(&v);
    return ret;
}

/* ---- outputs ---- */

static size_t list_due(void *arg, bool is_last, char ***ret)
{
    struct agg_sender *s = arg;
    size_t n = agg_pool_tenants(s->opts.pool, ret), n_due = 0;

    for (size_t i = 0; i < n; i++) {
        char *tenant = (*ret)[i];

        if (look(s, slice_cstr(tenant)) || is_last)
            (*ret)[n_due++] = tenant;
        else
            mem_free(tenant);
    }
    return n_due;
}

struct err *agg_send_feed(struct agg_sender *s, struct loop *loop, struct door *door,
                          struct ownfeed **ret)
{
    static const struct metric_field fields[] = {
        METRIC_COUNTER(struct ownfeed_metrics, writes, "orrery_aggregation_writes_total",
                       "Writes of aggregated series."),
        METRIC_COUNTER(struct ownfeed_metrics, failed, "orrery_aggregation_failed_writes_total",
                       "Writes of aggregated series of which some or all was refused or lost."),
    };

    return ownfeed_new(&(struct ownfeed_opts){.loop = loop,
                                              .door = door,
                                              .name = "aggregation",
                                              .fields = fields,
                                              .n_fields = ORR_COUNT(fields),
                                              .due = list_due,
                                              .due_arg = s,
                                              .decode = agg_pool_decode,
                                              .of = s->opts.pool,
                                              .clock = s->opts.clock},
                       ret);
}

/* ---- the end ---- */

static void flight_end(struct agg_flight *f)
{
    f->done(f->arg, f->error, f->rejected);
    for (size_t i = 0; i < f->n_targets; i++) {
        batch_writer_done(&f->targets[i].w);
        buf_done(&f->targets[i].bytes);
        vec_done(&f->targets[i].index);
    }
    mem_free(f->targets);
    ring_unref(f->ring);
    mem_free(f);
}

static void settle(struct agg_flight *f)
{
    if (--f->waiting == 0)
        flight_end(f);
}

static void fail(struct agg_target *t, const char *why)
{
    struct agg_flight *f = t->f;

    METRIC_ADD(f->s->m.failures, 1);
    if (!f->error)
        f->error = err_new(ERR_UNAVAILABLE, "ingester %s: %s",
                           ring_member(f->ring, t->owner)->instance, why);
    settle(f);
}

static void send_target(struct agg_target *t);

/* Those it does not know, with labels. False when its answer makes no sense. */
static bool build_again(struct agg_target *t, const struct batch_reply *r)
{
    VEC(uint32_t) index = {0};

    buf_reset(&t->bytes);
    batch_writer_init(&t->w, t->f->start_ms);
    VEC_FOREACH (i, &r->unknown) {
        if (*i >= t->index.len)
            break;
        distribute_write_series(&t->w, &t->f->l->items.ptr[t->index.ptr[*i]].s, true);
        vec_push(&index, t->index.ptr[*i]);
    }
    batch_finish(&t->w, &t->bytes);
    vec_done(&t->index);
    t->index.ptr = index.ptr;
    t->index.len = index.len;
    t->index.cap = index.cap;
    t->is_again = true;
    METRIC_ADD(t->f->s->m.resent, index.len);
    return index.len == r->unknown.len;
}

static void answer(struct agg_target *t, const struct batch_reply *r)
{
    for (unsigned i = 0; i < BATCH_REASON_COUNT; i++)
        t->f->rejected[i] += r->rejected[i];
    if (!r->unknown.len)
        settle(t->f);
    else if (t->is_again || !build_again(t, r))
        fail(t, "aggregation: its answer makes no sense");
    else
        send_target(t);
}

static void on_remote(void *arg, struct slice payload, bool is_last, const struct err *e)
{
    struct agg_target *t = arg;
    struct batch_reply r = {0};
    struct err *bad;

    if (!is_last)
        return;
    if (e) {
        fail(t, err_msg(e));
        return;
    }
    if ((bad = batch_reply_decode(payload, &r))) {
        fail(t, err_msg(bad));
        err_free(bad);
        return;
    }
    answer(t, &r);
    batch_reply_done(&r);
}

static void send_target(struct agg_target *t)
{
    struct agg_flight *f = t->f;
    struct agg_sender *s = f->s;
    struct batch_reply r = {0};
    struct err *e;

    METRIC_ADD(s->m.batches, 1);
    if (!t->is_local) {
        int64_t left_ms = f->start_ms + s->opts.timeout_ms - loop_now_ms(f->loop);

        s->opts.remote(s->opts.arg, ring_member(f->ring, t->owner), f->p->tenant,
                       buf_slice(&t->bytes), ORR_MAX(left_ms, 1), on_remote, t);
        return;
    }
    if ((e = agg_send_take(s, f->p->tenant, buf_slice(&t->bytes), &r)))
        fail(t, err_msg(e));
    else
        answer(t, &r);
    err_free(e);
    batch_reply_done(&r);
}

/* ---- the beginning ---- */

#define OWNERS 256

/* Of places asked for before in a load: who owns one is a question to all instances of the ring. */
struct owners {
    struct {
        uint32_t token;
        int owner;
        bool is_set;
    } at[OWNERS];
};

static int owner_of(struct owners *o, const struct ring *ring, uint32_t token)
{
    size_t i = token % OWNERS;

    if (!o->at[i].is_set || o->at[i].token != token) {
        o->at[i].token = token;
        o->at[i].owner = ring_owner(ring, token);
        o->at[i].is_set = true;
    }
    return o->at[i].owner;
}

static struct agg_target *target_of(struct agg_flight *f, struct agg_target **of_instance,
                                    int owner)
{
    struct agg_target *t = of_instance[owner];

    if (t)
        return t;
    t = of_instance[owner] = &f->targets[f->n_targets++];
    t->f = f;
    t->owner = (uint16_t)owner;
    t->is_local = strcmp(ring_member(f->ring, (size_t)owner)->instance, f->s->instance) == 0;
    batch_writer_init(&t->w, f->start_ms);
    return t;
}

static void build(struct agg_flight *f)
{
    struct agg_target **of_instance = mem_new_array(struct agg_target *, ring_size(f->ring) + 1);
    struct owners owners = {0};

    for (size_t i = 0; i < f->l->items.len && !f->error; i++) {
        const struct agg_item *item = &f->l->items.ptr[i];
        int owner = owner_of(&owners, f->ring, item->token);
        struct agg_target *t;

        if (owner < 0) {
            f->error = err_new(ERR_UNAVAILABLE, "aggregation: no ingester is active and healthy");
            break;
        }
        t = target_of(f, of_instance, owner);
        distribute_write_series(&t->w, &item->s, !item->s.is_known);
        vec_push(&t->index, (uint32_t)i);
    }
    for (size_t i = 0; i < f->n_targets; i++)
        batch_finish(&f->targets[i].w, &f->targets[i].bytes);
    mem_free(of_instance);
}

void agg_send(struct agg_sender *s, struct loop *loop, const struct push *p,
              const struct agg_load *l, agg_send_fn *done, void *arg)
{
    struct agg_flight *f = mem_new(struct agg_flight);

    f->s = s;
    f->loop = loop;
    f->p = p;
    f->l = l;
    f->done = done;
    f->arg = arg;
    f->start_ms = loop_now_ms(loop);
    f->ring = ring_of(s, p->tenant, &p->limits);
    f->targets = mem_new_array(struct agg_target, ring_size(f->ring) + 1);
    build(f);
    f->waiting = 1; /* held until all have been sent: an answer may come at once */
    for (size_t i = 0, n = f->error ? 0 : f->n_targets; i < n; i++) {
        f->waiting++;
        send_target(&f->targets[i]);
    }
    settle(f);
}
