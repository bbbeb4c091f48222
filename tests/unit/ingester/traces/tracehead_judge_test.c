/* The head and its sampler: one replica, errors are kept. */
#include "tests/unit/ingester/ring_fixture.h"
#include "tests/unit/ingester/rules_fixture.h"
#include "tests/unit/ingester/traces/sampling_fixture.h"
#include "tests/unit/ingester/traces/tracehead_fixture.h"

struct world {
    struct fixture f;
    struct tenant_rules *rules; /* of tenant t */
    struct ring *ring;
    struct sampler *sampler;
    int asked, told;
    enum err_code answer; /* of the other replica */
};

static struct ring *world_ring(void *arg, struct slice tenant)
{
    (void)tenant;
    return ring_ref(((struct world *)arg)->ring);
}

static void world_ask(void *arg, struct slice tenant, struct sampler_call *calls, size_t n)
{
    struct world *w = arg;

    (void)tenant;
    for (size_t i = 0; i < n; i++)
        calls[i].err = err_new(ERR_UNAVAILABLE, "nobody is there");
    w->asked += (int)n;
}

static void world_tell(void *arg, struct slice tenant, const struct member *to,
                       struct slice verdicts)
{
    (void)tenant;
    (void)to;
    (void)verdicts;
    ((struct world *)arg)->told++;
}

static struct tenant_rules *world_rules(void *arg, struct slice tenant)
{
    struct world *w = arg;

    if (!slice_eq_cstr(tenant, "t"))
        return tenant_rules_new(NULL);
    snapshot_ref(&w->rules->snap);
    return w->rules;
}

static void begin(struct world *w, size_t replicas)
{
    w->rules = rules_fixture_new("tail_sampling: {policies: [{name: e, type: status_code, "
                                 "status_code: {status_codes: [ERROR]}}]}");
    CHECK(w->rules->tail.n == 1 && w->rules->tail.id);
    w->ring = ring_fixture_new(&(struct ring_fixture_opts){
        .signal = MEMBER_TRACES, .n = replicas, .rf = (unsigned)replicas});
    w->sampler = sampler_new(&(struct sampler_opts){.instance = "a",
                                                    .ops = {world_ring, world_ask, world_tell, w},
                                                    .clock = &w->f.clock.clock});
    w->f.opts.cut_period_ms = 1;
    w->f.opts.sampling = (struct tracehead_sampling){w->sampler, world_rules, w};
    fx_open(&w->f);
}

static void end(struct world *w)
{
    fx_close(&w->f);
    sampler_free(w->sampler);
    ring_unref(w->ring);
    tenant_rules_unref(w->rules);
}

static void push(struct world *w, const char *tenant, uint32_t trace, uint32_t span, uint8_t status)
{
    struct buf b = {0};

    buf_byte(&b, TRACE_BATCH_VERSION);
    fx_piece_with(&b, trace, span, 100, status);
    CHECK_OK(fx_push_bytes(&w->f, tenant, buf_slice(&b)));
    buf_done(&b);
}

static void idle(struct world *w, int64_t seconds)
{
    clock_fake_advance(&w->f.clock, seconds * NS_PER_S);
    CHECK_OK(tracehead_maintain(w->f.head));
}

TEST(tracehead_keeps_what_policies_keep)
{
    struct tracehead_query q = fx_all("other");
    struct world w = {0};
    struct buf status = {0};

    begin(&w, 1);
    push(&w, "t", 1, 1, 0);
    push(&w, "t", 1, 2, 0);
    push(&w, "t", 2, 3, 0);
    push(&w, "t", 2, 4, 2); /* an error, and what belongs to it */
    push(&w, "t", 3, 5, 0);
    push(&w, "other", 1, 6, 0); /* of a tenant without policies */
    fx_check(&w.f, "1:1,2 2:3,4 3:5");
    idle(&w, 60);
    fx_check(&w.f, "2:3,4");
    fx_check_query(&w.f, &q, "1:6");
    CHECK_INT(fx_stats(&w.f).live, 0);

    push(&w, "t", 1, 7, 0); /* late: of a dropped one; of a kept one; an error of a dropped one */
    push(&w, "t", 2, 8, 0);
    push(&w, "t", 3, 9, 2);
    idle(&w, 60);
    fx_check(&w.f, "2:3,4,8 3:9");
    sampler_status(w.sampler, SLICE("t"), &status);
    CHECK_STR(
        buf_cstr(&status),
        "{\"policies\":[{\"name\":\"_none\",\"keptTraces\":0,\"keptSpans\":0,\"droppedTraces\":2,"
        "\"droppedSpans\":3},{\"name\":\"e\",\"keptTraces\":2,\"keptSpans\":3,\"droppedTraces\":0,"
        "\"droppedSpans\":0}],\"remembered\":3}\n");
    buf_done(&status);
    fx_reopen(&w.f); /* the floor is behind what was dropped */
    CHECK_INT(fx_stats(&w.f).replayed, 0);
    fx_check(&w.f, "2:3,4,8 3:9");
    end(&w);
}

/* What is cut on command is judged, too. */
TEST(tracehead_judges_on_command)
{
    struct world w = {0};

    begin(&w, 1);
    push(&w, "t", 1, 1, 0);
    push(&w, "t", 2, 2, 2);
    CHECK_OK(tracehead_cut(w.f.head, SLICE("t"), NULL));
    fx_check(&w.f, "2:2");
    end(&w);
}

TEST(tracehead_waits_for_a_verdict_and_loses_nothing)
{
    struct world w = {0};

    begin(&w, 3); /* the others answer nothing */
    for (uint32_t i = 1; i <= 6; i++)
        push(&w, "t", i, i, 0);
    idle(&w, 11);
    fx_check(&w.f, "1:1 2:2 3:3 4:4 5:5 6:6");
    CHECK_INT(fx_stats(&w.f).live, 6);
    CHECK(w.asked > 0 && !w.told);
    push(&w, "t", 1, 7, 0); /* goes on while it waits */
    idle(&w, 1);
    CHECK_INT(fx_stats(&w.f).live, 6);
    fx_reopen(&w.f);
    fx_check(&w.f, "1:1,7 2:2 3:3 4:4 5:5 6:6");
    idle(&w, 50); /* 40 s behind their end: they are kept */
    CHECK_INT(fx_stats(&w.f).live, 0);
    fx_check(&w.f, "1:1,7 2:2 3:3 4:4 5:5 6:6");
    end(&w);
}

/* What comes while a trace is judged is not dropped with it. */
struct late {
    struct world w;
    bool is_pushed;
};

static struct ring *push_in_between(void *arg, struct slice tenant)
{
    struct late *l = arg;

    if (!l->is_pushed) {
        l->is_pushed = true;
        push(&l->w, "t", 1, 2, 2);
    }
    return world_ring(&l->w, tenant);
}

TEST(tracehead_does_not_drop_what_was_not_judged)
{
    struct late l = {0};

    begin(&l.w, 1);
    tracehead_close(l.w.f.head);
    CHECK_OK(wal_close(l.w.f.wal));
    sampler_free(l.w.sampler);
    l.w.sampler =
        sampler_new(&(struct sampler_opts){.instance = "a",
                                           .ops = {push_in_between, world_ask, world_tell, &l},
                                           .clock = &l.w.f.clock.clock});
    l.w.f.opts.sampling.sampler = l.w.sampler;
    fx_open_only(&l.w.f);
    CHECK_OK(tracehead_wait_ready(l.w.f.head));
    push(&l.w, "t", 1, 1, 0);
    idle(&l.w, 11);
    fx_check(&l.w.f, "1:2");
    idle(&l.w, 60);
    fx_check(&l.w.f, "1:2");
    end(&l.w);
}
