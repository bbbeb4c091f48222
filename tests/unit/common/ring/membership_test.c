#include <stdlib.h>

#include "common/base/fsx.h"
#include "common/ring/membership.h"
#include "common/ring/ring_pages.h"
#include "common/rpc/rpc.h"
#include "tests/unit/test.h"

/* Processes of a cluster, all on one loop, talking over loopback. */
#define MAX_PROCS 4
struct proc {
    char name[16], tokens[4096], members[4096];
    struct rpc_server *server;
    struct rpc_pool *pool;
    struct job_pool *jobs;
    struct membership *ms;
    int changes, kv_changes, own_changes;
};
struct cluster {
    struct loop *loop;
    struct proc procs[MAX_PROCS];
    char seed[64];
};

static struct cluster *cluster_new(void)
{
    struct cluster *c = mem_new(struct cluster);

    CHECK_OK(loop_new("cluster", &c->loop));
    return c;
}

static void on_change(void *arg)
{
    ((struct proc *)arg)->changes++;
}

static void on_kv(void *arg, struct slice key, uint64_t version, struct slice value)
{
    (void)key, (void)version, (void)value;
    ((struct proc *)arg)->kv_changes++;
}

static void on_kv_own(void *arg, struct slice key, uint64_t version, struct slice value)
{
    CHECK_SLICE(key, "own/t");
    CHECK_INT(version, 8);
    CHECK_INT(value.len, 0);
    ((struct proc *)arg)->own_changes++;
}

static void start(struct cluster *c, int i)
{
    struct proc *p = &c->procs[i];
    const char *seeds[] = {c->seed};
    char zone[2] = {(char)('a' + i % 3), 0}, members[24];

    snprintf(p->name, sizeof(p->name), "p%d", i);
    snprintf(p->tokens, sizeof(p->tokens), "%s", tmp_path(p->name));
    snprintf(members, sizeof(members), "members%d", i);
    snprintf(p->members, sizeof(p->members), "%s", tmp_path(members));
    p->jobs = job_pool_new(p->name, 1, 100);
    CHECK_OK(rpc_server_new(&(struct rpc_server_opts){.loop = c->loop, .address = "127.0.0.1:0"},
                            &p->server));
    CHECK_OK(rpc_pool_new(&(struct rpc_pool_opts){.loop = c->loop, .name = p->name}, &p->pool));
    if (!*c->seed)
        snprintf(c->seed, sizeof(c->seed), "%s", rpc_server_address(p->server));
    CHECK_OK(membership_new(&(struct membership_opts){.loop = c->loop,
                                                      .jobs = p->jobs,
                                                      .server = p->server,
                                                      .pool = p->pool,
                                                      .instance = p->name,
                                                      .zone = zone,
                                                      .rpc_addr = rpc_server_address(p->server),
                                                      .http_addr = "127.0.0.1:9009",
                                                      .roles = MEMBER_INGESTER | MEMBER_QUERIER,
                                                      .signals = MEMBER_METRICS,
                                                      .seeds = seeds,
                                                      .n_seeds = 1,
                                                      .tokens_path = p->tokens,
                                                      .members_path = p->members,
                                                      .n_tokens = 16,
                                                      .join_wait_ns = NS_PER_S / 5,
                                                      .announce_ns = NS_PER_S / 10,
                                                      .gossip = {.cluster = "test",
                                                                 .seed = (uint64_t)i + 1,
                                                                 .round_ns = NS_PER_S / 50,
                                                                 .delta_ns = NS_PER_S / 100,
                                                                 .full_ns = NS_PER_S / 2,
                                                                 .unhealthy_after_ns = NS_PER_S,
                                                                 .forget_after_ns = -1}},
                            &p->ms));
    membership_subscribe(p->ms, on_change, p);
    membership_kv_subscribe(p->ms, "catalogue/", on_kv, p);
    membership_kv_subscribe_own(p->ms, "own/", on_kv_own, p);
    rpc_server_start(p->server);
    membership_start(p->ms);
}

static void stop(struct cluster *c, int i)
{
    struct proc *p = &c->procs[i];

    membership_stop(p->ms);
    job_pool_free(p->jobs); /* what its jobs still have to say to the loop: */
    for (int k = 0; k < 3; k++)
        loop_run_once(c->loop, 0);
    rpc_server_free(p->server);
    rpc_pool_free(p->pool);
    membership_free(p->ms);
    *p = (struct proc){0};
}

static void cluster_free(struct cluster *c)
{
    for (int i = 0; i < MAX_PROCS; i++)
        if (c->procs[i].ms)
            stop(c, i);
    loop_free(c->loop);
    mem_free(c);
}

/* Instances in this state that process i sees as healthy. */
static int seen(struct cluster *c, int i, enum member_state state)
{
    struct ring *r = membership_ring(c->procs[i].ms, MEMBER_INGESTER, MEMBER_METRICS);
    int n = 0;

    for (size_t k = 0; k < ring_size(r); k++)
        n += ring_member(r, k)->state == state && ring_is_healthy(r, k);
    ring_unref(r);
    return n;
}

/* Turns the loop until all processes see n instances in state; fails after ten seconds. */
static void wait_for(struct cluster *c, int n, enum member_state state)
{
    int64_t end_ns = clock_mono_ns(&clock_system) + 10 * NS_PER_S;

    for (;;) {
        bool all = true;

        for (int i = 0; i < MAX_PROCS; i++)
            all &= !c->procs[i].ms || seen(c, i, state) == n;
        if (all)
            return;
        if (clock_mono_ns(&clock_system) > end_ns)
            test_fail(__FILE__, __LINE__, "not %d %s in time", n, member_state_name(state));
        loop_run_once(c->loop, 10);
    }
}

TEST(membership_of_one_is_active_at_once)
{
    struct cluster *c = cluster_new();
    struct ring *r;

    start(c, 0);
    membership_set_active(c->procs[0].ms);
    wait_for(c, 1, MEMBER_ACTIVE);
    CHECK_INT(membership_self_state(c->procs[0].ms), MEMBER_ACTIVE);
    r = membership_ring(c->procs[0].ms, MEMBER_QUERIER, 0);
    CHECK_INT(ring_owner(r, 7), 0);
    ring_unref(r);
    r = membership_ring(c->procs[0].ms, MEMBER_RULER, 0);
    CHECK_INT(ring_size(r), 0);
    ring_unref(r);
    cluster_free(c);
}

TEST(membership_grows_shares_keys_and_shrinks)
{
    struct cluster *c = cluster_new();
    int64_t end_ns;

    for (int i = 0; i < 3; i++) {
        start(c, i);
        membership_set_active(c->procs[i].ms);
    }
    wait_for(c, 3, MEMBER_ACTIVE);
    membership_kv_post(c->procs[2].ms, SLICE("catalogue/t"), 7, SLICE(""));
    membership_kv_post(c->procs[2].ms, SLICE("own/t"), 8, SLICE(""));
    end_ns = clock_mono_ns(&clock_system) + 10 * NS_PER_S;
    while (!c->procs[0].kv_changes || !c->procs[1].kv_changes || !c->procs[0].own_changes ||
           !c->procs[1].own_changes) {
        CHECK(clock_mono_ns(&clock_system) < end_ns);
        loop_run_once(c->loop, 10);
    }
    CHECK_INT(c->procs[2].own_changes, 1);
    CHECK_INT(c->procs[2].kv_changes, 0);
    CHECK(c->procs[1].changes > 0);
    membership_leave(c->procs[2].ms);
    wait_for(c, 1, MEMBER_LEAVING);
    membership_left(c->procs[2].ms);
    wait_for(c, 0, MEMBER_LEAVING);
    wait_for(c, 2, MEMBER_ACTIVE);
    stop(c, 2);
    CHECK(!fsx_exists(tmp_path("p2")));
    cluster_free(c);
}

/* Turns the loop until the file of members, which is written now and then, names one. */
static void wait_for_saved(struct cluster *c, const char *path, struct slice name)
{
    int64_t end_ns = clock_mono_ns(&clock_system) + 10 * NS_PER_S;
    bool is_there = false;

    while (!is_there) {
        struct buf bytes = {0};

        CHECK(clock_mono_ns(&clock_system) < end_ns);
        loop_run_once(c->loop, 10);
        if (!fsx_exists(path))
            continue;
        CHECK_OK(fsx_read(path, 1 << 20, &bytes));
        is_there = slice_find(buf_slice(&bytes), name, 0) >= 0;
        buf_done(&bytes);
    }
}

TEST(membership_keeps_its_tokens_over_a_restart)
{
    struct cluster *c = cluster_new();
    uint32_t before[16];
    struct gossip_entry e;

    for (int i = 0; i < 3; i++) {
        start(c, i);
        membership_set_active(c->procs[i].ms);
    }
    wait_for(c, 3, MEMBER_ACTIVE);
    memcpy(before, gossip_self(membership_gossip(c->procs[1].ms))->tokens, sizeof(before));
    wait_for_saved(c, c->procs[1].members, SLICE("p2"));
    stop(c, 1);
    start(c, 1);
    CHECK_INT(membership_self_state(c->procs[1].ms), MEMBER_JOINING); /* queried at once */
    CHECK(memcmp(before, gossip_self(membership_gossip(c->procs[1].ms))->tokens, sizeof(before)) ==
          0);
    CHECK(gossip_self(membership_gossip(c->procs[1].ms))->registered_ms != 0);
    CHECK(gossip_find(membership_gossip(c->procs[1].ms), SLICE("p2"), &e)); /* from its file */
    membership_set_active(c->procs[1].ms);
    wait_for(c, 3, MEMBER_ACTIVE);
    cluster_free(c);
}

TEST(membership_refuses_a_broken_tokens_file)
{
    struct membership *ms;
    struct loop *loop;

    CHECK_OK(loop_new("x", &loop));
    CHECK_OK(fsx_write_atomic(tmp_path("bad"), SLICE("orrery-ring 1 5")));
    CHECK_ERR(membership_new(&(struct membership_opts){.loop = loop,
                                                       .instance = "x",
                                                       .roles = MEMBER_INGESTER,
                                                       .tokens_path = tmp_path("bad")},
                             &ms),
              ERR_INVALID, "bad: tokens");
    loop_free(loop);
}

TEST(membership_pages_show_and_forget)
{
    struct cluster *c = cluster_new();
    struct buf out = {0};

    for (int i = 0; i < 3; i++) {
        start(c, i);
        membership_set_active(c->procs[i].ms);
    }
    wait_for(c, 3, MEMBER_ACTIVE);
    ring_pages_ring(c->procs[0].ms, MEMBER_INGESTER, true, &out);
    CHECK(slice_find(buf_slice(&out), SLICE("\"instance\":\"p2\",\"zone\":\"c\""), 0) > 0);
    CHECK(slice_find(buf_slice(&out), SLICE("\"state\":\"ACTIVE\""), 0) > 0);
    CHECK(slice_find(buf_slice(&out), SLICE("\"rf\":3,\"active\":3,\"zones\":3"), 0) > 0);
    CHECK(slice_find(buf_slice(&out), SLICE("querier\",\"signals"), 0) < 0); /* other rings */
    buf_reset(&out);
    ring_pages_ring(c->procs[0].ms, 0, false, &out);
    CHECK(slice_find(buf_slice(&out), SLICE("value=\"p1\">forget"), 0) > 0);
    buf_reset(&out);
    ring_pages_memberlist(c->procs[0].ms, true, &out);
    CHECK(slice_find(buf_slice(&out), SLICE("\"cluster\":\"test\",\"self\":\"p0\""), 0) > 0);
    buf_reset(&out);
    ring_pages_memberlist(c->procs[0].ms, false, &out);
    CHECK(slice_find(buf_slice(&out), SLICE("<td>p0</td>"), 0) > 0);
    buf_done(&out);

    CHECK_ERR(ring_pages_forget(c->procs[0].ms, SLICE("nobody"), false), ERR_NOT_FOUND, "nobody");
    CHECK_ERR(ring_pages_forget(c->procs[0].ms, SLICE("p0"), true), ERR_INVALID, "itself");
    CHECK_ERR(ring_pages_forget(c->procs[0].ms, SLICE("p2"), false), ERR_CONFLICT, "force");
    stop(c, 2);
    wait_for(c, 2, MEMBER_ACTIVE); /* unhealthy by now */
    CHECK_OK(ring_pages_forget(c->procs[0].ms, SLICE("p2"), false));
    loop_run_once(c->loop, 10);
    {
        struct ring *r = membership_ring(c->procs[0].ms, MEMBER_INGESTER, MEMBER_METRICS);

        CHECK_INT(ring_size(r), 2);
        ring_unref(r);
    }
    cluster_free(c);
}
