#include "ingester/generator/generator.h"

#include "common/base/log.h"
#include "common/base/mem.h"
#include "common/base/metric.h"
#include "common/model/tenant_rules.h"
#include "ingester/door/trace_batch.h"
#include "ingester/generator/servicegraph.h"

#define ARENA_KEEP_BYTES (1u << 20)

struct generator_metrics {
    uint64_t spans, filtered, halves_bytes, broken;
};
#define F(type, member, name, help) METRIC_##type(struct generator_metrics, member, name, help)
static const struct metric_field generator_fields[] = {
    F(COUNTER, spans, "orrery_generator_spans_total", "Spans that metrics were made of."),
    F(COUNTER, filtered, "orrery_generator_filtered_spans_total",
      "Spans that filter_policies kept out of span metrics."),
    F(COUNTER, halves_bytes, "orrery_generator_sent_halves_bytes_total",
      "Bytes of halves of edges sent to the owners of their traces."),
    F(COUNTER, broken, "orrery_generator_broken_pieces_total",
      "Pieces of traces that could not be read."),
};
#undef F

struct gentenant {
    char *id;
    struct lock lock; /* rank LEAF_MODULE: all below */
    struct tenant_rules *rules;
    struct arena *arena; /* names of labels */
    struct gentable table;
    struct spanmetrics spans;
    struct servicegraph graph;
    int64_t next_ms;
};
struct generator {
    struct generator_opts opts;
    char *instance;
    struct generator_metrics m;
    struct lock lock;   /* rank LEAF_MODULE: tenants; not held with a tenant's */
    struct map tenants; /* struct gentenant; those that are here stay */
};

/* ---- tenants ---- */

static void set_rules(struct gentenant *t, struct tenant_rules *rules)
{
    const struct generator_rules *r = &rules->generator;

    servicegraph_done(&t->graph);
    gentable_done(&t->table);
    arena_free(t->arena);
    tenant_rules_unref(t->rules);
    t->rules = rules;
    t->arena = arena_new(0);
    gentable_init(&t->table, &(struct gentable_opts){r->max_series, r->has_classic, r->has_native});
    spanmetrics_init(&t->spans, r, t->arena);
    servicegraph_init(&t->graph, r, t->arena);
}

static struct gentenant *tenant_find(struct generator *g, struct slice id)
{
    struct gentenant *t;

    lock_take(&g->lock);
    t = map_get(&g->tenants, id);
    lock_release(&g->lock);
    return t;
}

static struct gentenant *tenant_of(struct generator *g, struct slice id)
{
    struct gentenant *t;
    void **slot;

    lock_take(&g->lock);
    slot = map_slot(&g->tenants, id);
    if (!*slot) {
        *slot = t = mem_new(struct gentenant);
        t->id = slice_dup(id);
        lock_init(&t->lock, LOCK_LEAF_MODULE);
    }
    t = *slot;
    lock_release(&g->lock);
    return t;
}

/* With its lock, and by these rules, of which it keeps a reference if they are new. */
static void enter(struct gentenant *t, struct tenant_rules *rules, int64_t now_ms)
{
    lock_take(&t->lock);
    if (t->rules && t->rules->generator.id == rules->generator.id)
        return;
    snapshot_ref(&rules->snap);
    set_rules(t, rules);
    t->next_ms = now_ms + rules->generator.interval_ns / NS_PER_MS;
}

static bool is_wanted(const struct tenant_rules *r)
{
    return r && (r->generator.has_spans || r->generator.has_graph);
}

bool generator_wants(struct generator *g, struct slice tenant)
{
    struct tenant_rules *r = g->opts.ops.rules(g->opts.ops.arg, tenant);
    bool ret = is_wanted(r);

    tenant_rules_unref(r);
    return ret;
}

/* ---- spans ---- */

/* Halves on their way to the owners of their traces. */
struct sorting {
    struct generator *g;
    struct ring *ring;
    struct buf *of; /* of each instance */
    struct buf half;
    size_t bytes; /* in of */
};

static void sorting_begin(struct sorting *so, struct generator *g, struct slice tenant)
{
    *so = (struct sorting){.g = g, .ring = g->opts.ops.ring(g->opts.ops.arg, tenant)};
    so->of = mem_new_array(struct buf, ring_size(so->ring) + 1);
}

static void keep_small(struct arena *scratch)
{
    if (arena_used(scratch) > ARENA_KEEP_BYTES)
        arena_reset(scratch);
}

static void lose_half(struct sorting *so, struct slice tenant)
{
    so->g->opts.ops.send(so->g->opts.ops.arg, NULL, tenant, buf_slice(&so->half));
    buf_reset(&so->half);
}

static void sort_halves(struct sorting *so, const struct generator_rules *r, struct arena *scratch,
                        struct slice tenant, const struct tracepiece *p)
{
    int owner;

    buf_reset(&so->half);
    for (uint32_t i = 0; i < p->n_spans; i++) {
        (void)servicegraph_half(r, scratch, p, &p->spans[i], &so->half);
        keep_small(scratch);
        if (so->bytes + so->half.len > GENERATOR_MAX_HALVES_BYTES)
            lose_half(so, tenant);
    }
    if (!so->half.len)
        return;
    owner = ring_owner(so->ring, trace_batch_token(tenant, p->trace_id));
    if (owner < 0) {
        lose_half(so, tenant);
        return;
    }
    so->bytes += so->half.len;
    if (!so->of[owner].len)
        buf_byte(&so->of[owner], SERVICEGRAPH_FORMAT);
    buf_slice_append(&so->of[owner], buf_slice(&so->half));
}

static void sorting_end(struct sorting *so, struct slice tenant)
{
    struct generator *g = so->g;
    int self = ring_find(so->ring, slice_cstr(g->instance));

    for (size_t i = 0; i < ring_size(so->ring); i++) {
        struct slice halves = buf_slice(&so->of[i]);

        if (halves.len && (int)i == self) {
            struct err *e = generator_edges(g, tenant, halves);

            if (e)
                LOG_ERROR(head, "halves of edges made here cannot be read", KV_ERR(e));
            err_free(e);
        } else if (halves.len) {
            METRIC_ADD(g->m.halves_bytes, halves.len);
            g->opts.ops.send(g->opts.ops.arg, ring_member(so->ring, i), tenant, halves);
        }
        buf_done(&so->of[i]);
    }
    mem_free(so->of);
    buf_done(&so->half);
    ring_unref(so->ring);
}

static void take_spans(struct generator *g, struct gentenant *t, struct tenant_rules *rules,
                       struct arena *scratch, const struct tracepiece *p)
{
    int64_t now_ms = clock_wall_ms(g->opts.clock);
    uint64_t filtered = 0;

    enter(t, rules, now_ms);
    for (uint32_t i = 0; i < p->n_spans; i++) {
        filtered += !spanmetrics_take(&t->spans, &t->table, scratch, p, &p->spans[i], now_ms);
        keep_small(scratch);
    }
    lock_release(&t->lock);
    METRIC_ADD(g->m.filtered, filtered);
}

void generator_take(struct generator *g, struct slice tenant, const struct slice *pieces, size_t n)
{
    struct tenant_rules *rules = g->opts.ops.rules(g->opts.ops.arg, tenant);
    struct gentenant *t;
    struct arena *a, *scratch;
    struct sorting so = {0};

    if (!is_wanted(rules)) {
        tenant_rules_unref(rules);
        return;
    }
    t = tenant_of(g, tenant);
    a = arena_new(0);
    scratch = arena_new(0);
    if (rules->generator.has_graph)
        sorting_begin(&so, g, tenant);
    for (size_t i = 0; i < n; i++) {
        struct tracepiece p;
        struct err *e = tracepiece_decode(a, pieces[i], &p);

        if (e) {
            METRIC_ADD(g->m.broken, 1);
            err_free(e);
            continue;
        }
        METRIC_ADD(g->m.spans, p.n_spans);
        spanmetrics_flatten(a, &p);
        if (rules->generator.has_spans)
            take_spans(g, t, rules, scratch, &p);
        if (rules->generator.has_graph)
            sort_halves(&so, &rules->generator, scratch, tenant, &p);
        keep_small(a);
    }
    if (rules->generator.has_graph)
        sorting_end(&so, tenant);
    arena_free(scratch);
    arena_free(a);
    tenant_rules_unref(rules);
}

/* ---- edges ---- */

struct err *generator_edges(struct generator *g, struct slice tenant, struct slice halves)
{
    struct tenant_rules *rules = g->opts.ops.rules(g->opts.ops.arg, tenant);
    int64_t now_ms = clock_wall_ms(g->opts.clock);
    struct err *e = NULL;

    if (rules && rules->generator.has_graph) {
        struct gentenant *t = tenant_of(g, tenant);

        enter(t, rules, now_ms);
        e = servicegraph_take(&t->graph, &t->table, halves, now_ms);
        lock_release(&t->lock);
    }
    tenant_rules_unref(rules);
    return e;
}

/* ---- writing ---- */

/* When it is time, it is that for what was due before, too. */
static bool is_due(struct gentenant *t, int64_t now_ms, bool is_last)
{
    bool ret = false;

    lock_take(&t->lock);
    if (t->rules) {
        servicegraph_expire(&t->graph, &t->table, now_ms, is_last);
        ret = t->table.rows.len && (is_last || now_ms >= t->next_ms);
        if (now_ms >= t->next_ms)
            t->next_ms = now_ms + t->rules->generator.interval_ns / NS_PER_MS;
    }
    lock_release(&t->lock);
    return ret;
}

size_t generator_due(void *arg, bool is_last, char ***ret)
{
    struct generator *g = arg;
    int64_t now_ms = clock_wall_ms(g->opts.clock);
    VEC(struct gentenant *) all = {0};
    VEC(char *) due = {0};

    lock_take(&g->lock);
    MAP_FOREACH (en, &g->tenants)
        vec_push(&all, (struct gentenant *)en->value);
    lock_release(&g->lock);
    VEC_FOREACH (t, &all)
        if (is_due(*t, now_ms, is_last))
            vec_push(&due, mem_strdup((*t)->id));
    vec_done(&all);
    *ret = due.ptr;
    return due.len;
}

struct err *generator_decode(struct push_builder *b, const void *arg)
{
    struct ownfeed_flush *f = (struct ownfeed_flush *)arg;
    struct generator *g = f->of;
    struct gentenant *t = tenant_find(g, f->tenant);
    struct err *e = NULL;

    f->is_done = true;
    if (!t)
        return NULL;
    lock_take(&t->lock);
    e = gentable_write(&t->table, b, slice_cstr(g->instance), f->now_ms, &f->next);
    lock_release(&t->lock);
    f->is_done = f->next == 0; /* what comes behind a row that fits into no write is written, too */
    return e;
}

struct err *generator_feed(struct generator *g, struct loop *loop, struct door *door,
                           struct ownfeed **ret)
{
    static const struct metric_field fields[] = {
        METRIC_COUNTER(struct ownfeed_metrics, writes, "orrery_generator_writes_total",
                       "Writes of series made of spans."),
        METRIC_COUNTER(struct ownfeed_metrics, failed, "orrery_generator_failed_writes_total",
                       "Those of which some or all was refused or lost."),
    };

    return ownfeed_new(&(struct ownfeed_opts){.loop = loop,
                                              .door = door,
                                              .name = "generator",
                                              .fields = fields,
                                              .n_fields = ORR_COUNT(fields),
                                              .due = generator_due,
                                              .due_arg = g,
                                              .decode = generator_decode,
                                              .of = g,
                                              .clock = g->opts.clock},
                       ret);
}

void generator_status(struct generator *g, struct slice tenant, struct buf *out)
{
    struct gentenant none = {0}, *t = tenant_find(g, tenant);

    if (t)
        lock_take(&t->lock);
    else
        t = &none;
    buf_printf(out,
               "{\"series\":%llu,\"refused\":%llu,\"edges\":%llu,\"unpaired\":%llu,"
               "\"dropped\":%llu,\"waiting\":%zu}\n",
               (unsigned long long)t->table.series, (unsigned long long)t->table.refused,
               (unsigned long long)t->graph.edges, (unsigned long long)t->graph.unpaired,
               (unsigned long long)t->graph.dropped, t->graph.waiting.len);
    if (t != &none)
        lock_release(&t->lock);
}

/* ---- life ---- */

struct generator *generator_new(const struct generator_opts *opts)
{
    struct generator *g = mem_new(struct generator);

    g->opts = *opts;
    g->opts.clock = opts->clock ? opts->clock : &clock_system;
    g->instance = mem_strdup(opts->instance);
    lock_init(&g->lock, LOCK_LEAF_MODULE);
    metric_register(&g->m, generator_fields, ORR_COUNT(generator_fields), NULL);
    return g;
}

void generator_free(struct generator *g)
{
    if (!g)
        return;
    metric_unregister(&g->m);
    MAP_FOREACH (en, &g->tenants) {
        struct gentenant *t = en->value;

        servicegraph_done(&t->graph);
        gentable_done(&t->table);
        arena_free(t->arena);
        tenant_rules_unref(t->rules);
        lock_done(&t->lock);
        mem_free(t->id);
        mem_free(t);
    }
    map_done(&g->tenants);
    lock_done(&g->lock);
    mem_free(g->instance);
    mem_free(g);
}
