/*
 * Three queriers with a store each, over one bucket. q0 asks; between it and the others' servers stand proxies that
 * pass on, refuse, hang or break off.
 */
#define SERIES 150 /* some frames a block, and soon done under a sanitizer */

#include "querier/store/source_owned.h"
#include "tests/unit/querier/store/far_fixture.h"

#define N 3

enum mood { WELL, REFUSES, HANGS, BREAKS };

struct querier {
    struct town *town;
    struct loop *loop;
    struct rpc_server *server, *proxy; /* the proxy is what the ring knows */
    struct rpc_pool *pool;
    struct store *store;
    char name[8];
    _Atomic int mood;
    _Atomic int asked;
    VEC(struct rpc_call *) hung; /* loop's */
};

struct town {
    struct rig rig;
    struct querier q[N];
    struct ring *ring;
};

struct passing {
    struct querier *q;
    struct rpc_call *call; /* NULL: answered */
    struct {
        struct buf *ptr;
        size_t len, cap;
    } messages; /* of the real one */
    size_t sent;
    struct err *err;
    bool has_all;
};

static void passing_free(struct passing *p)
{
    VEC_FOREACH (m, &p->messages)
        buf_done(m);
    vec_done(&p->messages);
    err_free(p->err);
    mem_free(p);
}

/* Sends what there are credits for. */
static void pass_on(void *arg)
{
    struct passing *p = arg;

    while (p->call && p->sent < p->messages.len) {
        if (p->q->mood == BREAKS && p->sent == 3) {
            rpc_reply_err(p->call, err_new(ERR_NET, "cut off"));
            p->call = NULL;
        } else if (!rpc_stream_send(p->call, buf_slice(&p->messages.ptr[p->sent]))) {
            return;
        } else {
            p->sent++;
        }
    }
    if (!p->has_all)
        return;
    if (p->call && p->err)
        rpc_reply_err(p->call, err_copy(p->err));
    else if (p->call)
        rpc_stream_end(p->call);
    passing_free(p);
}

/* Back from the real one. */
static void on_answer(void *arg, struct slice payload, bool is_last, const struct err *e)
{
    struct passing *p = arg;

    if (payload.len)
        buf_slice_append(vec_add(&p->messages), payload);
    p->has_all = is_last;
    p->err = err_copy(e);
    pass_on(p);
}

static void on_block(void *arg, struct rpc_call *call)
{
    struct querier *q = arg;
    struct passing *p;

    q->asked++;
    if (q->mood == REFUSES) {
        rpc_reply_err(call, err_new(ERR_UNAVAILABLE, "not now"));
        return;
    }
    if (q->mood == HANGS) {
        vec_push(&q->hung, call);
        return;
    }
    p = mem_new(struct passing);
    *p = (struct passing){.q = q, .call = call};
    rpc_stream_on_writable(call, pass_on, p);
    rpc_call(rpc_pool_peer(q->pool, rpc_server_address(q->server)),
             &(struct rpc_call_opts){
                 .method = "querier.block", .tenant = rpc_call_tenant(call), .credits = 4},
             rpc_call_payload(call), on_answer, p, NULL);
}

static struct ring *ring_of_town(void *arg)
{
    return ring_ref(((struct town *)arg)->ring);
}

static void make_server(struct querier *q, struct rpc_server **ret)
{
    static int serial;
    char *address = mem_printf("inproc://owned-%d", ++serial);

    CHECK_OK(rpc_server_new(&(struct rpc_server_opts){.loop = q->loop, .address = address}, ret));
    mem_free(address);
}

static void querier_up(struct town *t, size_t i, unsigned replication, bool is_old)
{
    struct querier *q = &t->q[i];

    q->town = t;
    snprintf(q->name, sizeof(q->name), "q%zu", i);
    CHECK_OK(loop_new(q->name, &q->loop));
    make_server(q, &q->server);
    make_server(q, &q->proxy);
    CHECK_OK(rpc_pool_new(&(struct rpc_pool_opts){.loop = q->loop, .name = q->name}, &q->pool));
    q->store = store_new(&(struct store_opts){.catalogue_max_age_ms = 3600000,
                                              .tombstone_max_age_ms = 3600000,
                                              .objstore = &t->rig.bucket.base,
                                              .pool = q->pool,
                                              .loop = q->loop,
                                              .queriers = ring_of_town,
                                              .queriers_arg = t,
                                              .self = q->name,
                                              .block_replication = replication,
                                              .straggler_ms = 300,
                                              .server = q->server});
    if (!is_old)
        rpc_server_handle(q->proxy, "querier.block", on_block, q);
    rpc_server_start(q->server);
    rpc_server_start(q->proxy);
    CHECK_OK(loop_start(q->loop));
}

static void town_up(struct town *t, unsigned replication, bool others_are_old)
{
    struct ring_input in[N];

    *t = (struct town){0};
    rig_up(&t->rig);
    for (size_t i = 0; i < N; i++)
        querier_up(t, i, replication, i && others_are_old);
    for (size_t i = 0; i < N; i++) {
        uint32_t token = (uint32_t)i * 1000003u + 17;
        struct member *m;

        CHECK_OK(member_new(&(struct member){.instance = t->q[i].name,
                                             .zone = "z",
                                             .rpc_addr = rpc_server_address(t->q[i].proxy),
                                             .http_addr = "h:1",
                                             .roles = MEMBER_QUERIER,
                                             .state = MEMBER_ACTIVE,
                                             .registered_ms = 1000,
                                             .tokens = &token,
                                             .n_tokens = 1},
                            &m));
        in[i] = (struct ring_input){m, true};
    }
    t->ring = ring_new(in, N, &(struct ring_opts){.role = MEMBER_QUERIER, .rf = 3});
    for (size_t i = 0; i < N; i++)
        member_unref(in[i].member);
}

static void town_down(struct town *t)
{
    for (size_t i = 0; i < N; i++) {
        struct querier *q = &t->q[i];

        loop_join(q->loop);
    }
    for (size_t i = 0; i < N; i++) {
        struct querier *q = &t->q[i];

        VEC_FOREACH (c, &q->hung)
            rpc_reply_err(*c, err_new(ERR_UNAVAILABLE, "over"));
        vec_done(&q->hung);
        store_free(q->store);
        rpc_server_free(q->proxy);
        rpc_server_free(q->server);
        rpc_pool_free(q->pool);
        loop_free(q->loop);
    }
    ring_unref(t->ring);
    rig_down(&t->rig);
}

/* Everything that can be asked says what the mapped blocks say; returns how long the slowest took. */
static int64_t check_answers(struct town *t)
{
    static const char *const res[] = {".+", "00.*7", "none"};
    int64_t slowest = 0;

    for (int how = 0; how < HOWS; how++)
        for (size_t i = 0; i < ORR_COUNT(res); i++) {
            uint64_t want = digest(t->rig.near, how, res[i], 1000, END_MS);
            int64_t began = clock_mono_ms(&clock_system);

            CHECK(digest(t->q[0].store, how, res[i], 1000, END_MS) == want);
            slowest = ORR_MAX(slowest, clock_mono_ms(&clock_system) - began);
        }
    return slowest;
}

static unsigned owned_by(struct town *t, size_t who, unsigned replication)
{
    unsigned n = 0;

    for (unsigned k = 0; k < BLOCKS; k++) {
        uint16_t o[BLOCK_OWNERS_MAX];
        unsigned found = block_owners_of(t->ring, TENANT, ulid_make(k + 1, (const uint8_t[10]){0}),
                                         replication, o);

        for (unsigned i = 0; i < found; i++)
            n += o[i] == who;
    }
    return n;
}

TEST(source_owned_says_the_same_and_only_owners_open_a_block)
{
    for (unsigned replication = 0; replication <= 4; replication++) {
        struct store_stats st[N];
        struct town t;

        town_up(&t, replication, false);
        (void)check_answers(&t);
        for (size_t i = 0; i < N; i++)
            store_stats_get(t.q[i].store, &st[i]);
        CHECK_INT(st[0].owned.failed, 0);
        CHECK_INT(st[0].owned.returned, 0);
        CHECK_INT(st[1].serve.calls + st[2].serve.calls, st[0].owned.asked);
        if (replication == 1)
            for (size_t i = 0; i < N; i++)
                CHECK_INT(st[i].blocks.opened, owned_by(&t, i, 1));
        else if (replication == 2)
            CHECK_INT(st[0].blocks.opened, owned_by(&t, 0, 2));
        else
            CHECK_INT(st[0].blocks.opened, BLOCKS);
        CHECK_INT(st[1].serve.running + st[2].serve.running, 0);
        town_down(&t);
    }
}

/* Whatever owners do: whole answers, and soon. */
static void with_moods(enum mood one, enum mood other, unsigned replication)
{
    struct store_stats st;
    struct town t;
    int64_t slowest;

    town_up(&t, replication, false);
    t.q[1].mood = (int)one;
    t.q[2].mood = (int)other;
    slowest = check_answers(&t);
    CHECK(slowest < 20000); /* some hundred ms, but on a machine under load */
    store_stats_get(t.q[0].store, &st);
    CHECK(st.owned.failed > 0);
    CHECK(st.owned.returned > 0 || replication > 1);
    town_down(&t);
}

TEST(source_owned_makes_up_for_owners_that_refuse)
{
    with_moods(REFUSES, REFUSES, 1);
    with_moods(REFUSES, REFUSES, 2);
    with_moods(REFUSES, WELL, 2);
}

TEST(source_owned_makes_up_for_owners_that_hang)
{
    with_moods(HANGS, HANGS, 1);
    with_moods(WELL, HANGS, 2);
}

TEST(source_owned_makes_up_for_owners_that_break_off)
{
    with_moods(BREAKS, BREAKS, 1);
    with_moods(BREAKS, BREAKS, 2);
}

/* A release that does not know the question. */
TEST(source_owned_reads_the_blocks_of_old_queriers)
{
    struct store_stats st;
    struct town t;

    town_up(&t, 1, true);
    (void)check_answers(&t);
    store_stats_get(t.q[0].store, &st);
    CHECK(st.owned.returned > 0);
    CHECK_INT(st.owned.returned, st.owned.failed);
    CHECK_INT(st.blocks.opened, BLOCKS);
    town_down(&t);
}

/* Who refused is not asked again at once. */
TEST(source_owned_leaves_suspects_alone)
{
    struct town t;
    int asked;

    town_up(&t, 1, false);
    t.q[1].mood = t.q[2].mood = REFUSES;
    (void)digest(t.q[0].store, PLAIN, ".+", 1000, END_MS);
    asked = t.q[1].asked + t.q[2].asked;
    CHECK(asked > 0);
    (void)digest(t.q[0].store, PLAIN, ".+", 1000, END_MS);
    CHECK_INT(t.q[1].asked + t.q[2].asked, asked);
    town_down(&t);
}

/* What the owner reads of the bucket counts for who asked. */
TEST(source_owned_counts_what_owners_read)
{
    struct objstore_tally tally = {0}, *before;
    struct store_stats st[N];
    struct town t;

    town_up(&t, 1, false);
    before = objstore_tally_set(&tally);
    (void)digest(t.q[0].store, PLAIN, ".+", 1000, END_MS);
    (void)objstore_tally_set(before);
    for (size_t i = 0; i < N; i++)
        store_stats_get(t.q[i].store, &st[i]);
    CHECK(st[1].pages.gets + st[2].pages.gets > 0);
    CHECK(tally.gets >= st[0].pages.gets + st[1].pages.gets + st[2].pages.gets);
    CHECK(tally.bytes >= st[0].pages.fetched + st[1].pages.fetched + st[2].pages.fetched);
    town_down(&t);
}

static struct err *drop_block(void *arg, struct catalogue *c, bool *ret_changed)
{
    *ret_changed = catalogue_retire(c, *(struct ulid *)arg, 1);
    return NULL;
}

/* Compacted away behind the back of a catalogue that is taken for true: a fresh one is read. */
TEST(source_owned_starts_over_when_a_block_is_gone)
{
    struct arena *a = arena_new(0);
    struct ulid gone;
    uint64_t all;
    struct town t;

    town_up(&t, 1, false);
    for (unsigned k = 0;; k++) { /* one of somebody else */
        uint16_t o[BLOCK_OWNERS_MAX];

        CHECK(k < BLOCKS);
        gone = ulid_make(k + 1, (const uint8_t[10]){0});
        if (block_owners_of(t.ring, TENANT, gone, 1, o) == 1 && o[0] != 0)
            break;
    }
    all = digest(t.rig.near, PLAIN, ".+", 1000, END_MS);
    CHECK_INT(digest(t.q[0].store, PLAIN, ".+", -2000, -1000), 0); /* it holds the catalogue now */
    CHECK_OK(
        catalogue_update(&t.rig.bucket.base, SLICE("metrics"), TENANT, drop_block, &gone, NULL));
    CHECK_OK(block_store_delete(&t.rig.bucket.base,
                                block_store_prefix(a, SLICE("metrics"), TENANT, gone)));
    CHECK(digest(t.q[0].store, PLAIN, ".+", 1000, END_MS) != all);
    CHECK(digest(t.q[0].store, PLAIN, ".+", 1000, END_MS) ==
          digest(t.q[1].store, PLAIN, ".+", 1000, END_MS)); /* its catalogue was always new */
    arena_free(a);
    town_down(&t);
}
