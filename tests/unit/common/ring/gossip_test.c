#include <stdlib.h>

#include "common/base/clock.h"
#include "common/base/reader.h"
#include "common/base/vec.h"
#include "common/ring/gossip.h"
#include "common/ring/gossip_kv.h"
#include "common/ring/gossip_wire.h"
#include "tests/unit/test.h"

/* A few nodes and the messages between them, delivered at once unless the line is cut. */
#define NODES 5
struct net {
    struct gossip *node[NODES];
    struct net_arg {
        struct net *net;
        int self;
    } arg[NODES];
    bool is_cut[NODES]; /* neither hears nor is heard */
    VEC(struct packet {
        int to;
        struct buf bytes;
    })
    queue;
    int64_t mono, wall_ms;
    uint64_t changes;
    bool may_forget;
    size_t max_message_bytes;  /* 0: the default */
    unsigned deltas_to[NODES]; /* messages with deltas */
};

static void net_send(void *arg, const char *addr, struct slice bytes)
{
    struct net_arg *a = arg;
    int to = atoi(addr);

    if (to < 0 || to >= NODES || a->net->is_cut[to] || a->net->is_cut[a->self])
        return;
    struct packet p = {.to = to};

    struct gossip_msg m;

    buf_slice_append(&p.bytes, bytes);
    vec_push(&a->net->queue, p);
    CHECK_OK(gossip_wire_decode(bytes, &m));
    a->net->deltas_to[to] += m.deltas.len > 0;
    gossip_wire_done(&m);
}

static void net_changed(void *arg, const struct member *m)
{
    struct net_arg *a = arg;

    (void)m;
    a->net->changes++;
}

static bool net_may_forget(void *arg, const struct member *m)
{
    struct net_arg *a = arg;

    (void)m;
    return a->net->may_forget;
}

static void start(struct net *n, int i, enum member_state state)
{
    char name[16], addr[16];
    const char *seed = "0";

    snprintf(name, sizeof(name), "n%d", i);
    snprintf(addr, sizeof(addr), "%d", i);
    n->arg[i] = (struct net_arg){n, i};
    CHECK_OK(gossip_new(&(struct member){.instance = name,
                                         .zone = "z",
                                         .rpc_addr = addr,
                                         .http_addr = addr,
                                         .roles = i < 3 ? MEMBER_ALERTMANAGER : MEMBER_INGESTER,
                                         .state = state},
                        &(struct gossip_opts){.seed = (uint64_t)i,
                                              .cluster = "t",
                                              .max_message_bytes = n->max_message_bytes,
                                              .forget_after_ns = 60 * NS_PER_S,
                                              .tombstone_ns = 3600 * NS_PER_S},
                        &(struct gossip_ops){net_send, net_changed, net_may_forget, &n->arg[i]},
                        n->mono, n->wall_ms, &n->node[i]));
    gossip_set_seeds(n->node[i], &seed, 1);
}

static struct net *net_new(int nodes)
{
    struct net *n = mem_new(struct net);

    n->mono = NS_PER_S;
    n->wall_ms = 1000000;
    for (int i = 0; i < nodes; i++)
        start(n, i, MEMBER_ACTIVE);
    return n;
}

static void net_free(struct net *n)
{
    for (int i = 0; i < NODES; i++)
        gossip_free(n->node[i]);
    VEC_FOREACH (p, &n->queue)
        buf_done(&p->bytes);
    vec_done(&n->queue);
    mem_free(n);
}

static void deliver(struct net *n)
{
    for (size_t i = 0; i < n->queue.len; i++) {
        struct packet p = n->queue.ptr[i];

        if (n->node[p.to])
            CHECK_OK(gossip_receive(n->node[p.to], buf_slice(&p.bytes), n->mono, n->wall_ms));
        buf_done(&p.bytes);
    }
    vec_clear(&n->queue);
}

static void run(struct net *n, int seconds)
{
    for (int t = 0; t < seconds * 10; t++) {
        n->mono += NS_PER_S / 10;
        n->wall_ms += 100;
        for (int i = 0; i < NODES; i++)
            if (n->node[i] && n->mono >= gossip_next_ns(n->node[i]))
                gossip_tick(n->node[i], n->mono, n->wall_ms);
        deliver(n);
    }
}

static struct gossip_entry look(struct net *n, int from, const char *name)
{
    struct gossip_entry e = {0};

    CHECK(gossip_find(n->node[from], slice_cstr(name), &e));
    return e;
}

TEST(gossip_spreads_entries_and_their_changes)
{
    struct net *n = net_new(5);

    run(n, 5);
    for (int i = 0; i < 5; i++) {
        CHECK_INT(gossip_count(n->node[i]), 5);
        CHECK(gossip_has_joined(n->node[i]));
    }
    gossip_set_state(n->node[3], MEMBER_LEAVING, n->mono, n->wall_ms);
    deliver(n);
    for (int i = 0; i < 5; i++)
        CHECK_INT(look(n, i, "n3").member->state, MEMBER_LEAVING);
    CHECK(look(n, 0, "n3").member->left_ms == n->wall_ms);
    net_free(n);
}

TEST(gossip_health_follows_the_heartbeat)
{
    struct net *n = net_new(3);

    run(n, 5);
    n->is_cut[2] = true;
    run(n, 9);
    CHECK(look(n, 0, "n2").is_healthy);
    run(n, 4);
    CHECK(!look(n, 0, "n2").is_healthy && !look(n, 1, "n2").is_healthy);
    CHECK(look(n, 0, "n1").is_healthy);
    CHECK(!look(n, 2, "n0").is_healthy); /* each has its own view */
    n->is_cut[2] = false;
    run(n, 3);
    CHECK(look(n, 0, "n2").is_healthy && look(n, 2, "n0").is_healthy);
    net_free(n);
}

TEST(gossip_forgets_the_dead_when_nothing_depends_on_them)
{
    struct net *n = net_new(3);

    run(n, 5);
    n->is_cut[2] = true;
    run(n, 120);
    CHECK_INT(look(n, 0, "n2").member->state, MEMBER_ACTIVE); /* can_forget says no */
    n->may_forget = true;
    run(n, 5);
    CHECK_INT(look(n, 0, "n2").member->state, MEMBER_LEFT);
    CHECK_INT(look(n, 1, "n2").member->state, MEMBER_LEFT);
    /* Back from the dead: its owner outranks the tombstone. */
    n->may_forget = false;
    n->is_cut[2] = false;
    run(n, 40);
    CHECK_INT(look(n, 0, "n2").member->state, MEMBER_ACTIVE);
    CHECK(look(n, 0, "n2").is_healthy);
    CHECK(gossip_metrics(n->node[2])->refuted > 0);
    net_free(n);
}

TEST(gossip_left_stays_left_until_the_tombstone_expires)
{
    struct net *n = net_new(4);
    uint64_t changes;

    run(n, 5);
    n->is_cut[1] = true; /* keeps an old copy that says ACTIVE */
    gossip_set_state(n->node[2], MEMBER_LEFT, n->mono, n->wall_ms);
    deliver(n);
    run(n, 2);
    gossip_free(n->node[2]);
    n->node[2] = NULL;
    n->is_cut[1] = false;
    run(n, 40);
    CHECK_INT(look(n, 1, "n2").member->state, MEMBER_LEFT);
    CHECK_INT(look(n, 0, "n2").member->state, MEMBER_LEFT);
    CHECK_INT(gossip_count(n->node[0]), 4);
    run(n, 3600);
    changes = n->changes;
    CHECK_INT(gossip_count(n->node[0]), 3);
    CHECK_INT(gossip_count(n->node[1]), 3);
    run(n, 60); /* and is not passed around any more */
    CHECK_INT(gossip_count(n->node[3]), 3);
    CHECK(n->changes == changes);
    net_free(n);
}

TEST(gossip_restart_with_a_stepped_back_clock_outranks_its_past)
{
    struct net *n = net_new(3);

    run(n, 5);
    gossip_free(n->node[2]);
    n->wall_ms -= 600000;
    start(n, 2, MEMBER_JOINING);
    run(n, 40);
    CHECK_INT(look(n, 0, "n2").member->state, MEMBER_JOINING);
    CHECK_INT(look(n, 1, "n2").member->state, MEMBER_JOINING);
    net_free(n);
}

TEST(gossip_forget_by_operator)
{
    struct net *n = net_new(3);

    run(n, 5);
    CHECK_ERR(gossip_forget(n->node[0], SLICE("nobody"), n->mono, n->wall_ms), ERR_NOT_FOUND, "");
    CHECK_ERR(gossip_forget(n->node[0], SLICE("n0"), n->mono, n->wall_ms), ERR_INVALID, "itself");
    n->is_cut[2] = true;
    CHECK_OK(gossip_forget(n->node[0], SLICE("n2"), n->mono, n->wall_ms));
    run(n, 3);
    CHECK_INT(look(n, 1, "n2").member->state, MEMBER_LEFT);
    net_free(n);
}

TEST(gossip_refuses_other_clusters_and_garbage)
{
    struct net *n = net_new(2);
    struct gossip_msg m = {
        .cluster = SLICE("other"), .sender = SLICE("x"), .sender_addr = SLICE("9")};
    struct buf out = {0};
    uint64_t before;

    run(n, 2);
    gossip_wire_encode(&out, &m);
    before = gossip_metrics(n->node[0])->refused;
    CHECK_ERR(gossip_receive(n->node[0], buf_slice(&out), n->mono, n->wall_ms), ERR_FORBIDDEN,
              "other");
    for (size_t k = 0; k < out.len; k++) {
        struct err *e = gossip_receive(n->node[0], slice_of(out.ptr, k), n->mono, n->wall_ms);

        CHECK(e != NULL);
        err_free(e);
    }
    CHECK_INT(gossip_metrics(n->node[0])->refused - before, out.len + 1);
    CHECK_INT(gossip_count(n->node[0]), 2);
    buf_done(&out);
    net_free(n);
}

static int kv_changes;
static void on_kv(void *arg, struct slice key, uint64_t version, struct slice value)
{
    (void)arg, (void)key, (void)version, (void)value;
    kv_changes++;
}

TEST(gossip_kv_reaches_everybody_and_the_highest_version_wins)
{
    struct net *n = net_new(5);
    struct gossip_kv *kv[5];
    uint64_t version;
    struct slice value;

    kv_changes = 0;
    for (int i = 0; i < 5; i++)
        CHECK_OK(gossip_kv_new(n->node[i], "kv", 2, on_kv, NULL, &kv[i]));
    run(n, 3);
    CHECK_OK(gossip_kv_set(kv[0], SLICE("catalogue/t"), 2, SLICE("two"), n->mono));
    CHECK_OK(gossip_kv_set(kv[4], SLICE("catalogue/t"), 1, SLICE("one"), n->mono));
    run(n, 1);
    for (int i = 0; i < 5; i++) {
        CHECK(gossip_kv_get(kv[i], SLICE("catalogue/t"), &version, &value));
        CHECK_INT(version, 2);
        CHECK_SLICE(value, "two");
    }
    CHECK(kv_changes >= 4);
    CHECK_ERR(gossip_kv_set(kv[1], SLICE("catalogue/t"), 1, SLICE("x"), n->mono), ERR_CONFLICT, "");
    /* One who was away gets it with the full sync; the bound holds. */
    n->is_cut[3] = true;
    CHECK_OK(gossip_kv_set(kv[0], SLICE("b"), 1, SLICE("B"), n->mono));
    CHECK_ERR(gossip_kv_set(kv[0], SLICE("c"), 1, SLICE("C"), n->mono), ERR_LIMIT, "");
    run(n, 30);
    n->is_cut[3] = false;
    run(n, 61);
    CHECK(gossip_kv_get(kv[3], SLICE("b"), &version, &value));
    for (int i = 0; i < 5; i++)
        gossip_kv_free(kv[i]);
    net_free(n);
}

/* ---- channels ---- */

static bool on_delta(void *arg, struct slice bytes)
{
    unsigned *heard = arg;

    CHECK_SLICE(bytes, "news");
    return (*heard)++ == 0;
}

/* Nobody passes it on, so whoever hears heard it from the one who said it. */
static bool on_delta_quietly(void *arg, struct slice bytes)
{
    (void)bytes;
    ++*(unsigned *)arg;
    return false;
}

TEST(gossip_deltas_go_to_each_that_has_the_channel_and_to_nobody_else)
{
    struct net *n = net_new(NODES);
    unsigned heard[NODES] = {0};

    for (int i = 0; i < 3; i++)
        CHECK_OK(
            gossip_add_channel(n->node[i], &(struct gossip_channel){.name = "c",
                                                                    .roles = MEMBER_ALERTMANAGER,
                                                                    .on_delta = on_delta_quietly,
                                                                    .arg = &heard[i]}));
    run(n, 5);
    for (int round = 1; round <= 50; round++) {
        CHECK_OK(gossip_broadcast(n->node[0], "c", SLICE("k"), SLICE("news"), n->mono));
        CHECK(gossip_next_ns(n->node[0]) <= n->mono); /* now, not with the next round */
        gossip_tick(n->node[0], n->mono, n->wall_ms);
        deliver(n);
        CHECK(heard[1] > 0 && heard[2] > 0);
        run(n, 2);
        CHECK(heard[1] > 1 && heard[2] > 1); /* again: the first may have been lost */
        heard[1] = heard[2] = 0;
    }
    CHECK_INT(n->deltas_to[3] + n->deltas_to[4], 0);
    net_free(n);
}

TEST(gossip_deltas_pass_by_the_unhealthy_and_are_relayed)
{
    struct net *n = net_new(NODES);
    unsigned heard[NODES] = {0}, before;

    for (int i = 0; i < NODES; i++)
        CHECK_OK(gossip_add_channel(
            n->node[i],
            &(struct gossip_channel){.name = "c", .on_delta = on_delta, .arg = &heard[i]}));
    run(n, 5);
    n->is_cut[4] = true;
    run(n, 15);
    before = n->deltas_to[1];
    CHECK_OK(gossip_broadcast(n->node[0], "c", SLICE_EMPTY, SLICE("news"), n->mono));
    run(n, 2);
    for (int i = 1; i < 4; i++)
        CHECK(heard[i] > 0);
    CHECK(n->deltas_to[1] > before);
    CHECK_INT(n->deltas_to[4], 0);
    CHECK_INT(heard[4], 0);
    net_free(n);
}

#define ENTRIES 100
struct listed {
    bool is_full, has[ENTRIES];
    unsigned merges;
};

static void write_list(void *arg, struct buf *out)
{
    const struct listed *l = arg;
    struct buf entry = {0};

    for (unsigned i = 0; i < ENTRIES && l->is_full; i++) {
        buf_reset(&entry);
        buf_byte(&entry, (uint8_t)i);
        while (entry.len < 1000)
            buf_byte(&entry, 'x');
        buf_lstr(out, buf_slice(&entry));
    }
    buf_done(&entry);
}

static void merge_list(void *arg, struct slice bytes)
{
    struct listed *l = arg;

    l->merges++;
    for (struct reader r = reader_new(bytes); reader_left(&r);) {
        struct slice entry = reader_lstr(&r);

        CHECK(reader_ok(&r) && entry.len == 1000 && entry.ptr[0] < ENTRIES);
        l->has[entry.ptr[0]] = true;
    }
}

TEST(gossip_states_that_are_lists_come_in_parts_when_they_are_long)
{
    for (int is_list = 0; is_list < 2; is_list++) {
        struct net *n = net_new(0);
        struct listed l[2] = {{.is_full = true}};

        n->max_message_bytes = 20000;
        for (int i = 0; i < 2; i++) {
            start(n, i, MEMBER_ACTIVE);
            CHECK_OK(
                gossip_add_channel(n->node[i], &(struct gossip_channel){.name = "c",
                                                                        .write_state = write_list,
                                                                        .merge_state = merge_list,
                                                                        .arg = &l[i],
                                                                        .is_list = is_list}));
        }
        run(n, 65);
        CHECK((l[1].merges >= 10) == is_list);
        CHECK((gossip_metrics(n->node[0])->oversized > 0) == !is_list);
        for (unsigned i = 0; i < ENTRIES; i++)
            CHECK(l[1].has[i] == is_list);
        net_free(n);
    }
}
