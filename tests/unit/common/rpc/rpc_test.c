#include <errno.h>

#include "common/base/job.h"
#include "tests/unit/common/rpc/rpc_fixture.h"

static const char *const addresses[] = {"127.0.0.1:0", "inproc://rpc-test"};
static const char *const keys[] = {NULL, KEY_A};

#define FOR_EACH_KIND(a, k)                                                                        \
    for (size_t a = 0; a < ORR_COUNT(addresses); a++)                                              \
        for (size_t k = 0; k < ORR_COUNT(keys); k++)

TEST(rpc_echoes_payloads_of_all_sizes)
{
    static const size_t sizes[] = {0, 1, 1000, 128 << 10, (128 << 10) + 1, 1 << 20, 5000001};

    FOR_EACH_KIND(a, k)
    {
        struct rig rig;
        uint8_t *big = mem_alloc(5000001);

        for (size_t i = 0; i < 5000001; i++)
            big[i] = (uint8_t)(i * 31 + i / 4099);
        rig_up(&rig, addresses[a], keys[k]);
        for (size_t i = 0; i < ORR_COUNT(sizes); i++) {
            struct got g = call_and_wait(&rig, "echo", slice_of(big, sizes[i]));

            CHECK_INT(g.code, 0);
            CHECK_INT(g.calls, 1);
            CHECK_INT(g.bytes, sizes[i]);
            CHECK(memcmp(g.text, big, ORR_MIN(sizes[i], 200)) == 0 || big[0] == 0);
        }
        CHECK(rpc_peer_is_up(rig.peer));
        rig_down(&rig);
        mem_free(big);
    }
}

TEST(rpc_keeps_many_calls_in_flight)
{
    FOR_EACH_KIND(a, k)
    {
        enum { N = 1000 };
        struct got *got = mem_new_array(struct got, N);
        struct rig rig;
        uint8_t payload[3000] = {0};
        int done = 0;

        rig_up(&rig, addresses[a], keys[k]);
        for (int i = 0; i < N; i++)
            rpc_call(rig.peer, &(struct rpc_call_opts){.method = "echo", .timeout_ms = PATIENCE_MS},
                     slice_of(payload, (size_t)i * 3), on_got, &got[i], NULL);
        for (int i = 0; i < N; i++) {
            WAIT_FOR(rig.loop, got[i].last);
            CHECK_INT(got[i].code, 0);
            CHECK_INT(got[i].bytes, i * 3);
            done++;
        }
        CHECK_INT(done, N);
        rig_down(&rig);
        mem_free(got);
    }
}

TEST(rpc_loses_no_large_reply_of_many_at_once)
{
    FOR_EACH_KIND(a, k)
    {
        enum { N = 40 };
        struct got got[N] = {0};
        struct rig rig;
        uint8_t *payload = mem_zalloc(1 << 20);

        rig_up(&rig, addresses[a], keys[k]);
        for (int i = 0; i < N; i++)
            rpc_call(rig.peer, &(struct rpc_call_opts){.method = "echo", .timeout_ms = PATIENCE_MS},
                     slice_of(payload, 1 << 20), on_got, &got[i], NULL);
        for (int i = 0; i < N; i++) {
            WAIT_FOR(rig.loop, got[i].last);
            CHECK_INT(got[i].code, 0);
            CHECK_INT(got[i].bytes, 1 << 20);
        }
        rig_down(&rig);
        mem_free(payload);
    }
}

TEST(rpc_carries_errors_with_code_and_text)
{
    struct rig rig;
    struct got g;

    rig_up(&rig, "127.0.0.1:0", KEY_A);
    g = call_and_wait(&rig, "fail", SLICE_EMPTY);
    CHECK_INT(g.code, ERR_LIMIT);
    CHECK(strstr(g.text, "tenant t1 is over its limit"));
    CHECK(strstr(g.text, rig.address));
    g = call_and_wait(&rig, "nonesuch", SLICE_EMPTY);
    CHECK_INT(g.code, ERR_UNSUPPORTED);
    rig_down(&rig);
}

TEST(rpc_streams_to_a_slow_consumer_with_bounded_memory)
{
    struct rig rig;
    struct got g = {0};
    struct rpc_request *r;
    uint8_t *chunk = mem_zalloc(1 << 20);

    rig_up(&rig, "127.0.0.1:0", KEY_A);
    rig.chunk = slice_of(chunk, 1 << 20);
    rig.to_send = 30;
    rpc_call(
        rig.peer,
        &(struct rpc_call_opts){
            .method = "stream", .timeout_ms = PATIENCE_MS, .credits = 2, .manual_credit = true},
        SLICE_EMPTY, on_got, &g, &r);
    for (int i = 2; i <= 30; i++) {
        WAIT_FOR(rig.loop, g.calls >= i);
        CHECK_INT(g.calls - g.last, i);    /* never more than was credited */
        WAIT_FOR(rig.loop, rig.sent >= i); /* counted after it was sent */
        CHECK_INT(rig.sent, i);
        if (!g.last) /* the end may have come with the 30th */
            rpc_request_credit(r, 1);
    }
    WAIT_FOR(rig.loop, g.last);
    CHECK_INT(g.code, 0);
    CHECK_INT(g.calls, 31);
    CHECK_INT(g.bytes, 30 << 20);
    rig_down(&rig);
    mem_free(chunk);
}

/* With the first message of a stream, with one that is empty, with an error; and with a message of many frames. */
TEST(rpc_marks_go_with_all_answers)
{
    static const struct {
        const char *method;
        int64_t to_send;
        size_t bytes;
        uint64_t mark;
    } cases[] = {{"stream", 3, 10, 17},
                 {"stream", 0, 0, UINT64_MAX},
                 {"stream", 1, 300000, 18},
                 {"fail", 0, 0, 19},
                 {"stream", 2, 10, 0}};

    FOR_EACH_KIND(a, k)
    {
        uint8_t *chunk = mem_zalloc(300000);

        for (size_t i = 0; i < ORR_COUNT(cases); i++) {
            struct rig rig;
            struct got g = {0};

            rig_up(&rig, addresses[a], keys[k]);
            rig.chunk = slice_of(chunk, cases[i].bytes);
            rig.to_send = cases[i].to_send;
            rig.mark = cases[i].mark;
            rpc_call(rig.peer,
                     &(struct rpc_call_opts){.method = cases[i].method,
                                             .timeout_ms = PATIENCE_MS,
                                             .credits = 1,
                                             .manual_credit = true},
                     SLICE_EMPTY, on_got, &g, &g.request);
            WAIT_FOR(rig.loop, g.calls > 0);
            CHECK_INT(g.mark, cases[i].mark);
            while (!g.last) {
                rpc_request_credit(g.request, 1);
                loop_run_once(rig.loop, 20);
            }
            CHECK_INT(g.mark, cases[i].mark);
            rig_down(&rig);
        }
        mem_free(chunk);
    }
}

TEST(rpc_streams_with_automatic_credit)
{
    FOR_EACH_KIND(a, k)
    {
        struct rig rig;
        struct got g;
        uint8_t *chunk = mem_zalloc(300000);

        rig_up(&rig, addresses[a], keys[k]);
        rig.chunk = slice_of(chunk, 300000);
        rig.to_send = 100;
        g = call_and_wait(&rig, "stream", SLICE_EMPTY);
        CHECK_INT(g.code, 0);
        CHECK_INT(g.bytes, 100 * 300000);
        rig_down(&rig);
        mem_free(chunk);
    }
}

TEST(rpc_deadline_ends_the_call_on_both_sides)
{
    struct rig rig;
    struct got g = {0};

    rig_up(&rig, "127.0.0.1:0", KEY_A);
    CHECK_INT(call_and_wait(&rig, "echo", SLICE_EMPTY).code, 0);
    rpc_call(rig.peer, &(struct rpc_call_opts){.method = "park", .timeout_ms = 50}, SLICE_EMPTY,
             on_got, &g, NULL);
    WAIT_FOR(rig.loop, g.last);
    CHECK_INT(g.code, ERR_TIMEOUT);
    WAIT_FOR(rig.loop, rig.canceled == 1);
    WAIT_FOR(rig.loop, rpc_server_inflight(rig.server) == 0);
    rig_down(&rig);
}

TEST(rpc_cancel_reaches_the_handler_and_no_callback_follows)
{
    struct rig rig;
    struct got g = {0};
    struct rpc_request *r;

    rig_up(&rig, "127.0.0.1:0", KEY_A);
    rpc_call(rig.peer, &(struct rpc_call_opts){.method = "park", .timeout_ms = PATIENCE_MS},
             SLICE_EMPTY, on_got, &g, &r);
    WAIT_FOR(rig.loop, rig.handled == 1);
    rpc_request_cancel(r);
    WAIT_FOR(rig.loop, rig.canceled == 1);
    CHECK_INT(g.calls, 0);
    rig_down(&rig);
}

TEST(rpc_notices_a_dead_server_and_its_return)
{
    struct rig rig;
    struct got g = {0};
    char address[160];
    int64_t start_ms;

    rig_up(&rig, "127.0.0.1:0", KEY_A);
    rpc_call(rig.peer, &(struct rpc_call_opts){.method = "park", .timeout_ms = PATIENCE_MS},
             SLICE_EMPTY, on_got, &g, NULL);
    WAIT_FOR(rig.loop, rig.handled == 1);
    snprintf(address, sizeof(address), "%s", rig.address);
    start_ms = clock_mono_ms(&clock_system);
    server_down(&rig);
    CHECK_INT(rig.canceled, 1);
    WAIT_FOR(rig.loop, g.last);
    CHECK_INT(g.code, ERR_UNAVAILABLE);
    CHECK(clock_mono_ms(&clock_system) - start_ms < 3000);

    /* While it is away, and known to be, calls fail at once. */
    for (bool is_fast = false; !is_fast;) {
        start_ms = clock_mono_ms(&clock_system);
        g = call_and_wait(&rig, "echo", SLICE_EMPTY);
        CHECK_INT(g.code, ERR_UNAVAILABLE);
        is_fast = clock_mono_ms(&clock_system) - start_ms < 20;
    }
    server_up_with(&rig, address, keyring_of(KEY_A, NULL), 0);
    WAIT_FOR(rig.loop, rpc_peer_is_up(rig.peer));
    CHECK_INT(call_and_wait(&rig, "echo", SLICE("hi")).code, 0);
    rig_down(&rig);
}

TEST(rpc_cancels_the_calls_of_a_client_that_dies)
{
    struct rig rig;
    struct got g = {0};
    struct loop *other;

    rig_up(&rig, "127.0.0.1:0", KEY_A);
    rpc_call(rig.peer, &(struct rpc_call_opts){.method = "park", .timeout_ms = PATIENCE_MS},
             SLICE_EMPTY, on_got, &g, NULL);
    WAIT_FOR(rig.loop, rig.handled == 1);
    pool_down(&rig);
    CHECK_INT(g.code, ERR_CANCELED);
    CHECK_OK(loop_new("wait", &other));
    WAIT_FOR(other, rig.canceled == 1);
    loop_free(other);
    server_down(&rig);
}

TEST(rpc_refuses_what_is_over_a_bound)
{
    struct rig rig = {0};
    struct got g[4] = {0}, last;
    uint8_t *payload = mem_zalloc(RPC_MAX_MESSAGE_BYTES + 1);

    server_up_with(&rig, "127.0.0.1:0", keyring_of(KEY_A, NULL), 2);
    pool_up_with(&rig, keyring_of(KEY_A, NULL), (struct rpc_pool_opts){.max_inflight_per_peer = 3});
    for (int i = 0; i < 4; i++)
        rpc_call(rig.peer, &(struct rpc_call_opts){.method = "park", .timeout_ms = PATIENCE_MS},
                 SLICE_EMPTY, on_got, &g[i], NULL);
    WAIT_FOR(rig.loop, g[3].last); /* the client's bound */
    CHECK_INT(g[3].code, ERR_UNAVAILABLE);
    CHECK(strstr(g[3].text, "in flight"));
    WAIT_FOR(rig.loop, g[2].last); /* the server's */
    CHECK_INT(g[2].code, ERR_UNAVAILABLE);
    CHECK(strstr(g[2].text, "overloaded"));
    last = call_and_wait(&rig, "echo", slice_of(payload, RPC_MAX_MESSAGE_BYTES + 1));
    CHECK_INT(last.code, ERR_TOO_LARGE);
    rig_down(&rig);
    CHECK_INT(rig.canceled, 2);
    mem_free(payload);
}

static void call_from_loop(void *arg);
struct caller {
    struct rig *rig;
    struct loop *loop;
    struct got got;
    _Atomic int ended;
    bool was_own_loop;
};

static void on_caller(void *arg, struct slice payload, bool is_last, const struct err *e)
{
    struct caller *c = arg;

    on_got(&c->got, payload, is_last, e);
    c->was_own_loop = loop_current() == c->loop;
    if (c->got.last < 50 && !e)
        call_from_loop(c);
    else
        c->ended = 1;
}

static void call_from_loop(void *arg)
{
    struct caller *c = arg;

    rpc_call(c->rig->peer, &(struct rpc_call_opts){.method = "echo", .timeout_ms = PATIENCE_MS},
             SLICE("from another loop"), on_caller, c, NULL);
}

TEST(rpc_calls_back_on_the_loop_that_called)
{
    struct caller callers[3] = {0};
    struct rig rig;

    rig_up(&rig, "127.0.0.1:0", KEY_A);
    for (size_t i = 0; i < 3; i++) {
        callers[i].rig = &rig;
        CHECK_OK(loop_new("caller", &callers[i].loop));
        CHECK_OK(loop_start(callers[i].loop));
        loop_post(callers[i].loop, call_from_loop, &callers[i]);
    }
    for (size_t i = 0; i < 3; i++) {
        WAIT_FOR(rig.loop, callers[i].ended);
        CHECK_INT(callers[i].got.code, 0);
        CHECK_INT(callers[i].got.last, 50);
        CHECK(callers[i].was_own_loop);
        loop_join(callers[i].loop);
    }
    rig_down(&rig);
    for (size_t i = 0; i < 3; i++)
        loop_free(callers[i].loop);
}

TEST(rpc_tells_bad_addresses_from_dead_ones)
{
    struct rig rig;
    struct rpc_server *s;
    struct got g;

    rig_up(&rig, "127.0.0.1:0", NULL);
    rig.peer = rpc_pool_peer(rig.pool, "nonsense");
    CHECK_INT(call_and_wait(&rig, "echo", SLICE_EMPTY).code, ERR_INVALID);
    rig.peer = rpc_pool_peer(rig.pool, "ipc:///tmp/x");
    CHECK_INT(call_and_wait(&rig, "echo", SLICE_EMPTY).code, ERR_INVALID);
    rig.peer = rpc_pool_peer(rig.pool, "127.0.0.1:1");
    g = call_and_wait(&rig, "echo", SLICE_EMPTY);
    CHECK_INT(g.code, ERR_UNAVAILABLE);
    CHECK(strstr(g.text, "cannot be reached"));
    rig.peer = rpc_pool_peer(rig.pool, "no-such-host.invalid:7946");
    g = call_and_wait(&rig, "echo", SLICE_EMPTY);
    CHECK_INT(g.code, ERR_UNAVAILABLE);
    CHECK_ERR(
        rpc_server_new(&(struct rpc_server_opts){.loop = rig.loop, .address = rig.address}, &s),
        ERR_NET, "Address already in use");
    rpc_pool_forget(rig.pool, "127.0.0.1:1");
    rig_down(&rig);
}

TEST(rpc_resolves_host_names)
{
    struct rig rig;
    char name[160];

    rig_up(&rig, "127.0.0.1:0", KEY_A);
    snprintf(name, sizeof(name), "localhost%s", strrchr(rig.address, ':'));
    rig.peer = rpc_pool_peer(rig.pool, name);
    CHECK_INT(call_and_wait(&rig, "echo", SLICE("hi")).code, 0);
    rig_down(&rig);
}

TEST(rpc_drains)
{
    struct rig rig;
    struct got g;

    rig_up(&rig, "127.0.0.1:0", NULL);
    CHECK_INT(call_and_wait(&rig, "echo", SLICE("a")).code, 0);
    loop_join(rig.server_loop);
    rpc_server_drain(rig.server);
    CHECK_OK(loop_start(rig.server_loop));
    g = call_and_wait(&rig, "echo", SLICE("b"));
    CHECK_INT(g.code, ERR_UNAVAILABLE);
    CHECK(strstr(g.text, "shutting down"));
    rig_down(&rig);
}

/* nanomsg drops a reply it cannot send at once. We never let it come to that; should it happen
 * all the same, the caller learns it at the next frame and the connection starts anew. */
TEST(rpc_notices_a_lost_reply)
{
    struct rig rig;
    struct got lost = {0};

    rig_up(&rig, "127.0.0.1:0", KEY_A);
    CHECK_INT(call_and_wait(&rig, "echo", SLICE("a")).code, 0);
    fault_arm_point("rpc.drop", EAGAIN);
    rpc_call(rig.peer, &(struct rpc_call_opts){.method = "echo", .timeout_ms = PATIENCE_MS},
             SLICE("b"), on_got, &lost, NULL);
    WAIT_FOR(rig.loop, rig.handled == 2);
    WAIT_FOR(rig.loop, rpc_server_inflight(rig.server) == 0);
    fault_disarm();
    (void)call_and_wait(&rig, "echo", SLICE("c"));
    WAIT_FOR(rig.loop, lost.last);
    CHECK_INT(lost.code, ERR_UNAVAILABLE);
    CHECK_INT(call_and_wait(&rig, "echo", SLICE("d")).code, 0);
    rig_down(&rig);
}

TEST(rpc_opens_and_closes_with_calls_under_way)
{
    for (int round = 0; round < 60; round++) {
        struct rig rig;
        struct got got[20] = {0};
        uint8_t payload[50000] = {0};

        rig_up(&rig, addresses[round % 2], keys[round / 2 % 2]);
        for (int i = 0; i < 20; i++)
            rpc_call(rig.peer, &(struct rpc_call_opts){.method = "echo"},
                     slice_of(payload, sizeof(payload)), on_got, &got[i], NULL);
        if (round % 3)
            WAIT_FOR(rig.loop, got[round % 7].last);
        if (round % 4 == 0)
            server_down(&rig);
        pool_down(&rig);
        for (int i = 0; i < 20; i++)
            CHECK_INT(got[i].last, 1);
        if (rig.server)
            server_down(&rig);
    }
}

static struct job_pool *workers;

static void reply_on_worker(void *arg)
{
    rpc_reply(arg, rpc_call_payload(arg));
}

static void handle_on_worker(void *arg, struct rpc_call *call)
{
    struct err *e = job_run(workers, NULL, reply_on_worker, NULL, call);

    (void)arg;
    if (e)
        rpc_reply_err(call, e);
}

TEST(rpc_takes_answers_from_any_thread)
{
    enum { N = 300 };
    struct got got[N] = {0};
    struct rig rig = {0};
    uint8_t *payload = mem_zalloc(200000);

    workers = job_pool_new("answers", 4, 1000);
    CHECK_OK(loop_new("server", &rig.server_loop));
    CHECK_OK(rpc_server_new(
        &(struct rpc_server_opts){.loop = rig.server_loop, .address = "127.0.0.1:0"}, &rig.server));
    rpc_server_handle(rig.server, "work", handle_on_worker, &rig);
    snprintf(rig.address, sizeof(rig.address), "%s", rpc_server_address(rig.server));
    rpc_server_start(rig.server);
    CHECK_OK(loop_start(rig.server_loop));
    pool_up_with(&rig, NULL, (struct rpc_pool_opts){0});
    for (int i = 0; i < N; i++)
        rpc_call(rig.peer, &(struct rpc_call_opts){.method = "work", .timeout_ms = PATIENCE_MS},
                 slice_of(payload, (size_t)i * 600), on_got, &got[i], NULL);
    for (int i = 0; i < N; i++) {
        WAIT_FOR(rig.loop, got[i].last);
        CHECK_INT(got[i].code, 0);
        CHECK_INT(got[i].bytes, i * 600);
    }
    job_pool_free(workers);
    rig_down(&rig);
    mem_free(payload);
}
