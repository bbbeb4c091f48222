#include "common/base/rng.h"
#include "ingester/door/trace_batch.h"
#include "ingester/traces/sampler.h"
#include "tests/unit/ingester/ring_fixture.h"
#include "tests/unit/ingester/traces/sampling_fixture.h"

#define NODES 5
#define TRACES 400
#define SPANS 8

/* Spans: each is some evidence, and where it was written to. */
struct world {
    struct ring *ring;
    struct clock_fake clock;
    struct sf_rules rules, other;
    struct node {
        struct world *w;
        char name[2];
        struct sampler *s;
        bool is_down;    /* answers nothing */
        bool has_others; /* reads other policies */
        int asked;
    } nodes[NODES];
    size_t n;
    int64_t first_ms; /* when traces were heard of */
    struct sampling_evidence spans[TRACES][SPANS];
    uint32_t at[TRACES][SPANS]; /* 1 << node */
    struct rng rng;
    double lost; /* of what is told */
    uint64_t sampling_calls;
};

static struct ring *world_ring(void *arg, struct slice tenant)
{
    CHECK_SLICE(tenant, "t");
    return ring_ref(((struct node *)arg)->w->ring);
}

static struct err *node_look(void *arg, struct slice tenant, const struct tail_rules *rules,
                             const uint8_t (*ids)[16], size_t n, struct sampling_evidence *ret)
{
    struct node *node = arg;
    struct world *w = node->w;

    (void)tenant;
    (void)rules;
    for (size_t i = 0; i < n; i++) {
        uint64_t t;

        memcpy(&t, ids[i] + 8, 8);
        for (size_t k = 0; t < TRACES && k < SPANS; k++)
            if (w->at[t][k] >> (node - w->nodes) & 1)
                sampling_unite(&ret[i], &w->spans[t][k]);
    }
    return NULL;
}

static struct node *node_of(struct world *w, const struct member *m)
{
    return &w->nodes[m->instance[0] - 'a'];
}

static void world_ask(void *arg, struct slice tenant, struct sampler_call *calls, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct node *to = node_of(((struct node *)arg)->w, calls[i].to);

        CHECK(to != arg);
        to->asked++;
        if (to->is_down)
            calls[i].err = err_new(ERR_UNAVAILABLE, "down");
        else
            calls[i].err =
                sampler_answer(to->s, tenant, to->has_others ? &to->w->other.r : &to->w->rules.r,
                               calls[i].question, node_look, to, &calls[i].answer);
    }
}

static void world_tell(void *arg, struct slice tenant, const struct member *m,
                       struct slice verdicts)
{
    struct world *w = ((struct node *)arg)->w;
    struct node *to = node_of(w, m);

    if (!to->is_down && !to->has_others && !rng_chance(&w->rng, w->lost))
        CHECK_OK(sampler_told(to->s, tenant, &w->rules.r, verdicts));
}

static struct ring *make_ring(size_t n, unsigned rf, uint32_t down, int64_t b_registered_ms)
{
    return ring_fixture_new(&(struct ring_fixture_opts){.signal = MEMBER_TRACES,
                                                        .n = n,
                                                        .rf = rf,
                                                        .down = down,
                                                        .b_registered_ms = b_registered_ms});
}

static void begin(struct world *w, size_t n, unsigned rf, const char *policies, uint64_t seed)
{
    memset(w, 0, sizeof(*w));
    w->ring = make_ring(n, rf, 0, 1);
    w->n = n;
    w->first_ms = 1000;
    clock_fake_init(&w->clock, 1700000000ll * NS_PER_S);
    rng_seed(&w->rng, seed);
    sf_parse(&w->rules, policies);
    sf_parse(&w->other, "{name: other, type: always_sample}");
    for (size_t i = 0; i < n; i++) {
        struct node *node = &w->nodes[i];

        *node = (struct node){.w = w, .name = {(char)('a' + i), 0}};
        node->s =
            sampler_new(&(struct sampler_opts){.instance = node->name,
                                               .ops = {world_ring, world_ask, world_tell, node},
                                               .clock = &w->clock.clock});
    }
}

static void end(struct world *w)
{
    for (size_t i = 0; i < w->n; i++)
        sampler_free(w->nodes[i].s);
    sf_done(&w->rules);
    sf_done(&w->other);
    ring_unref(w->ring);
}

/* A span that a quorum of its replicas has, or more. */
static void add_span(struct world *w, uint64_t t, size_t k, struct sampling_evidence e)
{
    uint8_t id[16];
    struct ring_set set;
    unsigned missing;

    sf_id(id, t);
    set = ring_replicas(w->ring, trace_batch_token(SLICE("t"), id));
    missing = (unsigned)rng_below(&w->rng, set.n + 1); /* one of them, or none */
    w->spans[t][k] = e;
    for (unsigned i = 0; i < set.n; i++)
        if (i != missing || set.n < 3)
            w->at[t][k] |= 1u << set.instances[i];
}

static struct sampling_evidence all_of(const struct world *w, uint64_t t)
{
    struct sampling_evidence e = {0};

    for (size_t k = 0; k < SPANS; k++)
        if (w->at[t][k])
            sampling_unite(&e, &w->spans[t][k]);
    return e;
}

static enum sampler_fate judge(struct world *w, size_t node, uint64_t t, int64_t waited_ms,
                               bool must)
{
    uint8_t id[1][16];
    struct sampler_trace tr = {.id = id[0], .first_ms = w->first_ms, .waited_ms = waited_ms};

    sf_id(id[0], t);
    CHECK_OK(
        node_look(&w->nodes[node], SLICE("t"), &w->rules.r, (const uint8_t(*)[16])id, 1, &tr.own));
    sampler_judge(w->nodes[node].s, SLICE("t"), &w->rules.r, &tr, 1, must);
    return tr.fate;
}

static bool is_replica(const struct world *w, size_t node, uint64_t t)
{
    uint32_t any = 0;

    for (size_t k = 0; k < SPANS; k++)
        any |= w->at[t][k];
    return any >> node & 1;
}

static const char *const rules_of_evidence =
    "{name: e, type: status_code, status_code: {status_codes: [ERROR]}},"
    "{name: slow, type: latency, latency: {threshold_ms: 1000}},"
    "{name: both, type: and, and: {and_sub_policy: ["
    "  {name: x, type: boolean_attribute, boolean_attribute: {key: x, value: true}},"
    "  {name: y, type: boolean_attribute, boolean_attribute: {key: y, value: true}}]}},"
    "{name: p, type: probabilistic, probabilistic: {sampling_percentage: 10}},"
    "{name: d, type: drop, drop: {drop_sub_policy: ["
    "  {name: z, type: boolean_attribute, boolean_attribute: {key: z, value: true}}]}}";

static void random_traces(struct world *w)
{
    for (uint64_t t = 0; t < TRACES; t++)
        for (size_t k = 0, n = 1 + rng_below(&w->rng, SPANS); k < n; k++) {
            struct sampling_evidence e = {.spans = 1,
                                          .start_ns = 100 + rng_below(&w->rng, 600000000)};

            e.end_ns = e.start_ns + rng_below(&w->rng, 600000000);
            for (unsigned leaf = 0; leaf < 4; leaf++)
                e.leaves |= (uint64_t)rng_chance(&w->rng, leaf == 1 || leaf == 2 ? 0.2 : 0.03)
                            << leaf;
            add_span(w, t, k, e);
        }
}

/* Whatever spans a replica lacks, in whatever order they judge, and though verdicts are lost: all come to what is to be said of all spans. */
static void check_alike(size_t n, unsigned rf, double lost, uint64_t seed)
{
    struct world w;
    enum sampler_fate fates[NODES][TRACES];
    struct sampling_rates no_rates = {0};
    int kept = 0, waiting = 1;

    begin(&w, n, rf, rules_of_evidence, seed);
    random_traces(&w);
    w.lost = lost;
    for (size_t i = 0; i < n; i++)
        for (uint64_t t = 0; t < TRACES; t++)
            fates[i][t] = SAMPLER_WAIT;
    for (int64_t waited = 0; waiting; waited += 10000) {
        CHECK(waited <= 200000); /* each turn is somebody's; it does not go on for ever */
        waiting = 0;
        for (size_t turn = 0; turn < n * TRACES * 2; turn++) {
            size_t i = rng_below(&w.rng, n);
            uint64_t t = rng_below(&w.rng, TRACES);

            if (fates[i][t] == SAMPLER_WAIT && is_replica(&w, i, t))
                fates[i][t] = judge(&w, i, t, waited, false);
        }
        for (size_t i = 0; i < n; i++)
            for (uint64_t t = 0; t < TRACES; t++)
                waiting += fates[i][t] == SAMPLER_WAIT && is_replica(&w, i, t);
    }
    for (uint64_t t = 0; t < TRACES; t++) {
        struct sampling_evidence all = all_of(&w, t);
        uint8_t id[16];
        bool is_kept;

        sf_id(id, t);
        is_kept = sampling_judge(&w.rules.r, id, &all, &no_rates).is_kept;
        kept += is_kept;
        for (size_t i = 0; i < n; i++)
            if (is_replica(&w, i, t))
                CHECK_INT(fates[i][t], is_kept ? SAMPLER_KEEP : SAMPLER_DROP);
    }
    CHECK(kept > TRACES / 10 && kept < TRACES * 9 / 10);
    end(&w);
}

TEST(sampler_judges_alike_on_all_replicas)
{
    for (uint64_t seed = 1; seed <= 10; seed++) {
        check_alike(3, 3, 0, seed);
        check_alike(3, 3, 0.5, seed);
        check_alike(5, 3, 0.2, seed);
        check_alike(3, 1, 0, seed);
    }
}

/* Rates are the judge's alone: who hears of its verdict does as it says. */
TEST(sampler_judges_alike_by_rates)
{
    struct world w;
    int kept = 0;

    begin(&w, 3, 3, "{name: r, type: rate_limiting, rate_limiting: {spans_per_second: 6}}", 1);
    for (uint64_t t = 0; t < TRACES; t++)
        add_span(&w, t, 0, (struct sampling_evidence){0, 1, 2, 1});
    for (uint64_t t = 0; t < TRACES; t++) {
        enum sampler_fate fate = SAMPLER_WAIT;

        for (int64_t waited = 0; waited <= 40000; waited += 40000)
            for (size_t i = 0; i < 3; i++)
                if (is_replica(&w, i, t))
                    fate = judge(&w, i, t, waited, false);
        for (size_t i = 0; i < 3; i++)
            if (is_replica(&w, i, t))
                CHECK_INT(judge(&w, i, t, 0, false), fate);
        kept += fate == SAMPLER_KEEP;
    }
    CHECK(kept >= 100 &&
          kept <= 180 + 3); /* 30 s of the burst, of 6 a second; judges have about a third each */
    end(&w);
}

static void set_down(struct world *w, uint32_t down, bool is_known)
{
    for (size_t i = 0; i < w->n; i++)
        w->nodes[i].is_down = down >> i & 1;
    ring_unref(w->ring);
    w->ring = make_ring(w->n, 3, is_known ? down : 0, 1);
}

TEST(sampler_drops_nothing_on_half_of_the_evidence)
{
    static const char *const errors =
        "{name: e, type: status_code, status_code: {status_codes: [ERROR]}}";
    struct buf status = {0};
    struct world w;

    begin(&w, 3, 3, errors, 1);
    for (uint64_t t = 0; t < 3; t++) {
        w.spans[t][0] = (struct sampling_evidence){0, 1, 2, 1};
        w.spans[t][1] = (struct sampling_evidence){1, 1, 2, 1}; /* the error */
        w.at[t][0] = 1 | 2 | 4;
        w.at[t][1] = 2 | 4; /* a has not heard of it */
    }
    /* One down, two are a quorum: the error is there. */
    set_down(&w, 2, true);
    CHECK_INT(judge(&w, 0, 0, 40000, false), SAMPLER_KEEP);
    CHECK_INT(judge(&w, 2, 0, 0, false), SAMPLER_KEEP);
    /* Two down: it waits, then it is kept. */
    set_down(&w, 2 | 4, true);
    CHECK_INT(judge(&w, 0, 1, 20000, false), SAMPLER_WAIT);
    set_down(&w, 2 | 4, false); /* also if nobody has noticed */
    CHECK_INT(judge(&w, 0, 1, 20000, false), SAMPLER_WAIT);
    CHECK_INT(judge(&w, 0, 1, 40000, false), SAMPLER_KEEP);
    CHECK_INT(judge(&w, 0, 2, 0, true), SAMPLER_KEEP); /* it must */
    sampler_status(w.nodes[0].s, SLICE("t"), &status);
    CHECK(strstr(buf_cstr(&status), "{\"name\":\"_undecided\",\"keptTraces\":2"));
    buf_done(&status);
    end(&w);

    /* Who reads other policies is no witness; nor is who came after the trace began. */
    begin(&w, 3, 3, errors, 1);
    w.spans[0][0] = (struct sampling_evidence){0, 1, 2, 1};
    w.at[0][0] = 7;
    w.nodes[1].has_others = w.nodes[2].has_others = true;
    CHECK_INT(judge(&w, 0, 0, 40000, false), SAMPLER_KEEP);
    w.nodes[1].has_others = false;
    w.spans[1][0] = w.spans[0][0];
    w.at[1][0] = 7;
    ring_unref(w.ring);
    w.ring = make_ring(3, 3, 0, 2000); /* b; traces began at 1000 */
    CHECK_INT(judge(&w, 0, 1, 40000, false), SAMPLER_KEEP);
    w.nodes[2].has_others = false;
    w.spans[2][0] = w.spans[0][0];
    w.at[2][0] = 7;
    CHECK_INT(judge(&w, 0, 2, 40000, false), SAMPLER_DROP);
    end(&w);
}

static void set_ring(struct world *w, struct ring_fixture_opts o)
{
    o.signal = MEMBER_TRACES;
    o.n = w->n;
    o.rf = 3;
    ring_unref(w->ring);
    w->ring = ring_fixture_new(&o);
    for (size_t i = 0; i < w->n; i++)
        w->nodes[i].is_down = o.down >> i & 1;
}

/* A trace that all of its replicas have. */
static void add_trace(struct world *w, uint64_t t)
{
    w->spans[t][0] = (struct sampling_evidence){0, 1, 2, 1};
    w->at[t][0] = (1u << w->n) - 1;
}

/* It was heard of here after b had come, but may have begun elsewhere before. */
TEST(sampler_takes_no_latecomer_for_a_witness)
{
    struct world w;

    begin(&w, 3, 3, "{name: e, type: status_code, status_code: {status_codes: [ERROR]}}", 1);
    w.first_ms = 1000000;
    add_trace(&w, 0);
    add_trace(&w, 1);
    add_trace(&w, 2);
    set_ring(&w, (struct ring_fixture_opts){.down = 4, .b_registered_ms = 1000000 - 69999});
    CHECK_INT(judge(&w, 0, 0, 40000, false), SAMPLER_KEEP);
    CHECK_INT(judge(&w, 1, 0, 40000, false), SAMPLER_KEEP); /* nor is b for itself */
    set_ring(&w, (struct ring_fixture_opts){.b_registered_ms = 1000000 - 69999});
    CHECK_INT(judge(&w, 1, 1, 40000, false), SAMPLER_DROP); /* the others are two */
    set_ring(&w, (struct ring_fixture_opts){.down = 4, .b_registered_ms = 1000000 - 70000});
    CHECK_INT(judge(&w, 0, 2, 40000, false), SAMPLER_DROP);
    end(&w);
}

/* A trace whose replicas are the first of nodes. */
static uint64_t trace_of(const struct world *w, uint32_t replicas, uint64_t from)
{
    for (uint64_t t = from; t < TRACES; t++) {
        uint32_t all = 0;
        uint8_t id[16];
        struct ring_set set;

        sf_id(id, t);
        set = ring_replicas(w->ring, trace_batch_token(SLICE("t"), id));
        for (unsigned i = 0; i < set.n; i++)
            all |= 1u << set.instances[i];
        if (all == replicas)
            return t;
    }
    CHECK(!"there is one");
    return 0;
}

/* Of four, one has left, is not healthy, or was: its place was, or is, another's. Two of three do not have all spans then. */
TEST(sampler_wants_all_replicas_when_writes_may_have_gone_to_others)
{
    static const struct ring_fixture_opts changed[] = {
        {.has_b_left = true, .b_state_ms = 990000},
        {.down = 2},
        {.b_state_ms = 990000},
    };
    struct world w;
    uint64_t t = 0;

    begin(&w, 4, 3, "{name: e, type: status_code, status_code: {status_codes: [ERROR]}}", 1);
    w.first_ms = 1000000;
    for (size_t i = 0; i < ORR_COUNT(changed); i++) {
        set_ring(&w, changed[i]);
        t = trace_of(&w, 1 | 4 | 8, t);
        add_trace(&w, t);
        w.nodes[3].is_down = true; /* and nobody has noticed */
        CHECK_INT(judge(&w, 0, t, 20000, true), SAMPLER_KEEP);
        w.nodes[3].is_down = false;
        t = trace_of(&w, 1 | 4 | 8, t + 1);
        add_trace(&w, t);
        CHECK_INT(judge(&w, 0, t++, 20000, true), SAMPLER_DROP);
    }
    set_ring(&w, (struct ring_fixture_opts){.b_state_ms = 900000}); /* long ago */
    t = trace_of(&w, 1 | 4 | 8, t);
    add_trace(&w, t);
    w.nodes[3].is_down = true;
    CHECK_INT(judge(&w, 0, t, 20000, true), SAMPLER_DROP);
    end(&w);
}

/* One replica of a trace judges it, each about as many: a rate's parts are even. The others wait, and take over. */
TEST(sampler_has_one_judge)
{
    int judged[3] = {0};
    struct world w;

    begin(&w, 3, 3, "{name: a, type: always_sample}", 1);
    w.lost = 1;
    for (uint64_t t = 0; t < TRACES; t++) {
        int judges = 0;

        w.spans[t][0] = (struct sampling_evidence){0, 1, 2, 1};
        w.at[t][0] = 7;
        for (size_t i = 0; i < 3; i++) {
            bool is_judge = judge(&w, i, t, 29999, false) == SAMPLER_KEEP;

            judges += is_judge;
            judged[i] += is_judge;
        }
        CHECK_INT(judges, 1);
        for (size_t i = 0; i < 3; i++)
            CHECK_INT(judge(&w, i, t, 30000, false), SAMPLER_KEEP);
    }
    for (size_t i = 0; i < 3; i++)
        CHECK(judged[i] > TRACES / 4 && judged[i] < TRACES * 5 / 12);
    end(&w);
}

TEST(sampler_keeps_what_is_another_replicas_now)
{
    struct world w;
    uint64_t t = 0;

    begin(&w, 5, 3,
          "{name: d, type: drop, drop: {drop_sub_policy: [{name: a, type: always_sample}]}}", 1);
    for (uint8_t id[16];; t++) {
        struct ring_set set;

        sf_id(id, t);
        set = ring_replicas(w.ring, trace_batch_token(SLICE("t"), id));
        if (set.instances[0] != 0)
            break;
    }
    w.spans[t][0] = (struct sampling_evidence){0, 1, 2, 1};
    w.at[t][0] = 1;
    CHECK_INT(judge(&w, 0, t, 0, false), SAMPLER_KEEP);
    end(&w);
}

TEST(sampler_judges_late_spans_by_what_they_add)
{
    struct world w;
    int asked;

    begin(&w, 3, 3, "{name: e, type: status_code, status_code: {status_codes: [ERROR]}}", 1);
    w.spans[0][0] = (struct sampling_evidence){0, 10, 20, 1};
    w.at[0][0] = 7;
    CHECK_INT(judge(&w, 0, 0, 0, true), SAMPLER_DROP);
    asked = w.nodes[1].asked;
    for (size_t i = 0; i < 3; i++)
        CHECK_INT(judge(&w, i, 0, 0, false), SAMPLER_DROP);   /* told */
    w.spans[0][0] = (struct sampling_evidence){0, 12, 15, 1}; /* late, nothing new */
    CHECK_INT(judge(&w, 0, 0, 0, false), SAMPLER_DROP);
    CHECK_INT(w.nodes[1].asked, asked);
    w.spans[0][1] = (struct sampling_evidence){1, 12, 15, 1}; /* late, an error */
    w.at[0][1] = 2 | 4;
    CHECK_INT(judge(&w, 1, 0, 0, true), SAMPLER_KEEP);
    for (size_t i = 0; i < 3; i++)
        CHECK_INT(judge(&w, i, 0, 0, false), SAMPLER_KEEP);
    end(&w);
}

TEST(sampler_refuses_what_is_malformed)
{
    struct buf b = {0}, out = {0};
    struct world w;
    struct node *a;

    begin(&w, 3, 3, "{name: a, type: always_sample}", 1);
    a = &w.nodes[0];
    buf_byte(&b, 1);
    buf_u64le(&b, w.rules.r.id);
    for (size_t len = 0; len <= b.len; len++)
        CHECK_ERR(
            sampler_answer(a->s, SLICE("t"), &w.rules.r, slice_of(b.ptr, len), node_look, a, &out),
            ERR_INVALID, "malformed");
    buf_uvarint(&b, 2);
    buf_fill(&b, 0, 31);
    CHECK_ERR(sampler_answer(a->s, SLICE("t"), &w.rules.r, buf_slice(&b), node_look, a, &out),
              ERR_INVALID, "malformed");
    CHECK_ERR(sampler_told(a->s, SLICE("t"), &w.rules.r, buf_slice(&b)), ERR_INVALID, "malformed");
    buf_byte(&b, 0);
    CHECK_OK(sampler_answer(a->s, SLICE("t"), &w.rules.r, buf_slice(&b), node_look, a, &out));
    CHECK_INT(out.len, 1 + 2 * (3 + SAMPLING_EVIDENCE_BYTES));
    CHECK_ERR(sampler_answer(a->s, SLICE("t"), &w.other.r, buf_slice(&b), node_look, a, &out),
              ERR_UNAVAILABLE, "policies");
    buf_done(&b);
    buf_done(&out);
    end(&w);
}
