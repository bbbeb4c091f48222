/* Two ingesters, each a door and an owner of traces. */
#include <pthread.h>
#include <stdlib.h>

#include "common/traces/tracepiece.h"
#include "ingester/generator/generator.h"
#include "tests/unit/ingester/door/push_text.h"
#include "tests/unit/ingester/ring_fixture.h"
#include "tests/unit/ingester/rules_fixture.h"

struct world {
    struct ring *ring;
    struct tenant_rules *rules;
    struct clock_fake clock;
    struct node {
        struct world *w;
        struct generator *g;
    } nodes[2];
    uint64_t sent, lost_bytes;
};

static struct tenant_rules *world_rules(void *arg, struct slice tenant)
{
    struct world *w = ((struct node *)arg)->w;

    if (!slice_eq_cstr(tenant, "t"))
        return tenant_rules_new(NULL);
    snapshot_ref(&w->rules->snap);
    return w->rules;
}

static struct ring *world_ring(void *arg, struct slice tenant)
{
    (void)tenant;
    return ring_ref(((struct node *)arg)->w->ring);
}

static void world_send(void *arg, const struct member *to, struct slice tenant, struct slice halves)
{
    struct world *w = ((struct node *)arg)->w;

    if (!to) {
        w->lost_bytes += halves.len;
        return;
    }
    (void)__atomic_fetch_add(&w->sent, 1, __ATOMIC_RELAXED);
    CHECK_OK(generator_edges(w->nodes[to->instance[0] - 'a'].g, tenant, halves));
}

static void set_rules(struct world *w, const char *yaml)
{
    tenant_rules_unref(w->rules);
    w->rules = rules_fixture_new(yaml);
}

static void begin(struct world *w, const char *yaml)
{
    *w = (struct world){0};
    clock_fake_init(&w->clock, PUSH_TEXT_NOW * NS_PER_MS);
    set_rules(w, yaml);
    w->ring =
        ring_fixture_new(&(struct ring_fixture_opts){.signal = MEMBER_TRACES, .n = 2, .rf = 1});
    for (size_t i = 0; i < 2; i++) {
        w->nodes[i].w = w;
        w->nodes[i].g = generator_new(
            &(struct generator_opts){.instance = ring_member(w->ring, i)->instance,
                                     .ops = {world_rules, world_ring, world_send, &w->nodes[i]},
                                     .clock = &w->clock.clock});
    }
}

static void end(struct world *w)
{
    for (size_t i = 0; i < 2; i++)
        generator_free(w->nodes[i].g);
    tenant_rules_unref(w->rules);
    ring_unref(w->ring);
}

/* One span to a door. */
static void take(struct world *w, size_t door, const char *tenant, uint8_t trace, uint64_t id,
                 uint64_t parent, uint8_t kind)
{
    struct otlp_member name = {
        SLICE("service.name"),
        {.kind = OTLP_VALUE_TEXT, .text = kind == 3 ? SLICE("front") : SLICE("shop")}};
    struct tracepiece_resource res = {.attributes = {1, 0, &name}};
    struct tracepiece_scope scope = {0};
    struct tracepiece_span s = {
        .span_id = id, .parent_id = parent, .kind = kind, .name = SLICE("GET"), .end_ns = 1000000};
    struct tracepiece p = {.trace_id = {trace},
                           .n_resources = 1,
                           .n_scopes = 1,
                           .n_spans = 1,
                           .resources = &res,
                           .scopes = &scope,
                           .spans = &s};
    struct tracepiece_encoder *enc = tracepiece_encoder_new();
    struct buf bytes = {0};
    struct slice pieces[2];

    tracepiece_encode(enc, &p, &bytes);
    pieces[0] = SLICE("no piece");
    pieces[1] = buf_slice(&bytes);
    generator_take(w->nodes[door].g, slice_cstr(tenant), pieces, 2);
    buf_done(&bytes);
    tracepiece_encoder_free(enc);
}

static uint64_t number(struct world *w, size_t node, const char *name)
{
    struct buf out = {0};
    const char *at;
    uint64_t ret;

    generator_status(w->nodes[node].g, SLICE("t"), &out);
    at = strstr(buf_cstr(&out), name);
    CHECK(at);
    ret = strtoull(at + strlen(name) + 2, NULL, 10);
    buf_done(&out);
    return ret;
}

static size_t due(struct world *w, size_t node, bool is_last)
{
    char **names;
    size_t n = generator_due(w->nodes[node].g, is_last, &names);

    for (size_t i = 0; i < n; i++) {
        CHECK_STR(names[i], "t");
        mem_free(names[i]);
    }
    mem_free(names);
    return n;
}

TEST(generator_pairs_halves_that_came_by_two_doors)
{
    struct world w;

    begin(&w, "metrics_generator: {processors: [service-graphs]}");
    for (uint8_t trace = 1; trace <= 40; trace++) {
        take(&w, trace % 2, "t", trace, 1, 9, 3);
        take(&w, 1 - trace % 2, "t", trace, 2, 1, 2);
    }
    take(&w, 0, "other", 1, 1, 9, 3);
    CHECK_INT(number(&w, 0, "edges") + number(&w, 1, "edges"), 40);
    CHECK(number(&w, 0, "edges") > 5 && number(&w, 1, "edges") > 5);
    CHECK_INT(w.sent, 40);
    CHECK(!generator_wants(w.nodes[0].g, SLICE("other")) &&
          generator_wants(w.nodes[0].g, SLICE("t")));
    CHECK_ERR(generator_edges(w.nodes[0].g, SLICE("t"), SLICE("\1x")), ERR_INVALID, "malformed");
    end(&w);
}

/* Each half has the texts of its resource, which the write has once. */
TEST(generator_holds_no_more_halves_of_a_write_than_it_may)
{
    static struct tracepiece_span spans[100000];
    struct buf text = {0}, bytes = {0};
    struct otlp_member name = {SLICE("service.name"), {.kind = OTLP_VALUE_TEXT}};
    struct tracepiece_resource res = {.attributes = {1, 0, &name}};
    struct tracepiece_scope scope = {.name = SLICE_EMPTY};
    struct tracepiece p = {.trace_id = {1},
                           .n_resources = 1,
                           .n_scopes = 1,
                           .n_spans = ORR_COUNT(spans),
                           .resources = &res,
                           .scopes = &scope,
                           .spans = spans};
    struct tracepiece_encoder *enc = tracepiece_encoder_new();
    struct slice pieces[1];
    struct world w;

    buf_fill(&text, 's', 1000);
    name.value.text = buf_slice(&text);
    for (size_t i = 0; i < ORR_COUNT(spans); i++)
        spans[i] = (struct tracepiece_span){.span_id = i + 1, .kind = 3};
    tracepiece_encode(enc, &p, &bytes);
    pieces[0] = buf_slice(&bytes);
    CHECK(bytes.len < 4u << 20);
    begin(&w, "metrics_generator: {processors: [service-graphs]}");
    generator_take(w.nodes[0].g, SLICE("t"), pieces, 1);
    CHECK(w.lost_bytes > 100000 * 1000 - GENERATOR_MAX_HALVES_BYTES);
    end(&w);
    tracepiece_encoder_free(enc);
    buf_done(&text);
    buf_done(&bytes);
}

/* Prints what there is behind the zero of a series. */
static struct err *decode(struct push_builder *b, const void *arg)
{
    struct err *e = generator_decode(b, arg);

    VEC_FOREACH (s, &b->push->series)
        if (s->extra && s->extra->n_samples)
            s->sample = s->extra->samples[s->extra->n_samples - 1];
    return e;
}

static struct ownfeed_flush flush_of(const struct world *w, size_t node)
{
    return (struct ownfeed_flush){.of = w->nodes[node].g,
                                  .tenant = SLICE("t"),
                                  .now_ms = PUSH_TEXT_NOW + 20000,
                                  .next = SIZE_MAX};
}

TEST(generator_writes_each_interval)
{
    struct world w;
    struct ownfeed_flush f;

    begin(&w, "metrics_generator: {processors: [span-metrics], collection_interval: 20s, "
              "processor: {span_metrics: {histogram_buckets: [1]}}}");
    take(&w, 0, "t", 1, 1, 0, 2);
    clock_fake_advance(&w.clock, 19ll * NS_PER_S);
    CHECK_INT(due(&w, 0, false), 0);
    CHECK_INT(due(&w, 1, false), 0);
    CHECK_INT(due(&w, 0, true), 1); /* the last time it does not wait */
    clock_fake_advance(&w.clock, 1ll * NS_PER_S);
    CHECK_INT(due(&w, 0, false), 1);
    CHECK_INT(due(&w, 0, false), 0);
    f = flush_of(&w, 0);
    push_text_check(
        push_text(decode, &f, SLICE_EMPTY),
#define LABELS "__metrics_gen_instance=\"a\", "
#define REST                                                                                       \
    "service=\"shop\", span_kind=\"SPAN_KIND_SERVER\", span_name=\"GET\", "                        \
    "status_code=\"STATUS_CODE_UNSET\"}"
        "counter traces_spanmetrics_calls_total \"Total count of the spans\" \n"
        "counter traces_spanmetrics_size_total \"Total size of the spans in bytes\" \n"
        "histogram traces_spanmetrics_latency \"Duration of the spans in seconds\" \n"
        "traces_spanmetrics_calls_total{" LABELS REST " 1 @1700000020000\n"
        "traces_spanmetrics_size_total{" LABELS REST " 44 @1700000020000\n"
        "traces_spanmetrics_latency_bucket{" LABELS "le=\"1\", " REST
        " 1 @1700000020000 # {trace_id=\"01000000000000000000000000000000\"} 0.001 @1700000000000\n"
        "traces_spanmetrics_latency_bucket{" LABELS "le=\"+Inf\", " REST " 1 @1700000020000\n"
        "traces_spanmetrics_latency_count{" LABELS REST " 1 @1700000020000\n"
        "traces_spanmetrics_latency_sum{" LABELS REST " 0.001 @1700000020000\n");
    CHECK(f.is_done);
    set_rules(&w, "metrics_generator: {processors: [span-metrics], collection_interval: 30s}");
    take(&w, 0, "t", 1, 1, 0, 2); /* other rules: it begins anew */
    CHECK_INT(number(&w, 0, "series"), 2 + 17);
    clock_fake_advance(&w.clock, 29ll * NS_PER_S);
    CHECK_INT(due(&w, 0, false), 0);
    clock_fake_advance(&w.clock, 1ll * NS_PER_S);
    CHECK_INT(due(&w, 0, false), 1);
    end(&w);
}

/* ---- everything at once ---- */

struct sender {
    pthread_t thread;
    struct world *w;
    uint8_t first;
};

static void *take_many(void *arg)
{
    struct sender *s = arg;

    for (uint8_t i = 0; i < 100; i++) {
        take(s->w, i % 2, "t", (uint8_t)(s->first + i), 1, 9, 3);
        take(s->w, (i + 1) % 2, "t", (uint8_t)(s->first + i), 2, 1, 2);
    }
    return NULL;
}

TEST(generator_counts_all_while_it_is_written)
{
    struct sender senders[2];
    struct world w;

    begin(&w, "metrics_generator: {processors: [span-metrics, service-graphs]}");
    for (size_t i = 0; i < ORR_COUNT(senders); i++) {
        senders[i] = (struct sender){.w = &w, .first = (uint8_t)(1 + 100 * i)};
        CHECK(!pthread_create(&senders[i].thread, NULL, take_many, &senders[i]));
    }
    for (int i = 0; i < 20; i++) {
        struct ownfeed_flush f = flush_of(&w, (size_t)i % 2);
        struct buf out = push_text(decode, &f, SLICE_EMPTY);

        buf_done(&out);
        (void)due(&w, (size_t)i % 2, false);
    }
    for (size_t i = 0; i < ORR_COUNT(senders); i++)
        (void)pthread_join(senders[i].thread, NULL);
    CHECK_INT(number(&w, 0, "edges") + number(&w, 1, "edges"), 200);
    CHECK_INT(number(&w, 0, "waiting") + number(&w, 1, "waiting"), 0);
    end(&w);
}
