#include "common/rpc/peercall.h"
#include "tests/unit/test.h"

/* A server and a pool on one loop with a thread of its own; the test is the thread that waits. */
struct fixture {
    struct loop *loop;
    struct rpc_server *server;
    struct rpc_pool *pool;
    struct rpc_call *held; /* loop's: "hang" does not answer */
    struct peercall_opts opts;
};

static void on_echo(void *arg, struct rpc_call *call)
{
    (void)arg;
    rpc_reply(call, rpc_call_payload(call));
}

static void on_stream(void *arg, struct rpc_call *call)
{
    (void)arg;
    (void)rpc_stream_send(call, SLICE("one "));
    (void)rpc_stream_send(call, SLICE("two"));
    rpc_stream_end(call);
}

static void on_fail(void *arg, struct rpc_call *call)
{
    (void)arg;
    rpc_reply_err(call, err_new(ERR_NOT_FOUND, "no such thing"));
}

static void on_hang(void *arg, struct rpc_call *call)
{
    ((struct fixture *)arg)->held = call;
}

static void setup(struct fixture *f)
{
    *f = (struct fixture){0};
    CHECK_OK(loop_new("test", &f->loop));
    CHECK_OK(rpc_server_new(
        &(struct rpc_server_opts){.loop = f->loop, .address = "inproc://peercall-test"},
        &f->server));
    rpc_server_handle(f->server, "echo", on_echo, f);
    rpc_server_handle(f->server, "stream", on_stream, f);
    rpc_server_handle(f->server, "fail", on_fail, f);
    rpc_server_handle(f->server, "hang", on_hang, f);
    rpc_server_start(f->server);
    CHECK_OK(rpc_pool_new(&(struct rpc_pool_opts){.loop = f->loop, .name = "test"}, &f->pool));
    CHECK_OK(loop_start(f->loop));
    f->opts = (struct peercall_opts){.pool = f->pool,
                                     .loop = f->loop,
                                     .address = "inproc://peercall-test",
                                     .timeout_ms = 20000,
                                     .max_bytes = 100};
}

static void teardown(struct fixture *f)
{
    loop_join(f->loop);
    if (f->held)
        rpc_reply(f->held, SLICE_EMPTY);
    rpc_pool_free(f->pool);
    rpc_server_free(f->server);
    loop_free(f->loop);
}

TEST(peercall_returns_the_whole_answer)
{
    struct buf answer = {0};
    struct fixture f;

    setup(&f);
    f.opts.method = "echo";
    CHECK_OK(peercall_run(&f.opts, SLICE("hello"), &answer));
    CHECK_SLICE(buf_slice(&answer), "hello");
    f.opts.method = "stream";
    CHECK_OK(peercall_run(&f.opts, SLICE_EMPTY, &answer));
    CHECK_SLICE(buf_slice(&answer), "one two");
    CHECK_OK(peercall_run(&f.opts, SLICE_EMPTY, NULL));
    buf_done(&answer);
    teardown(&f);
}

TEST(peercall_says_who_failed)
{
    struct fixture f;

    setup(&f);
    f.opts.method = "fail";
    CHECK_ERR(peercall_run(&f.opts, SLICE_EMPTY, NULL), ERR_NOT_FOUND,
              "fail at inproc://peercall-test: ");
    f.opts.method = "stream";
    f.opts.max_bytes = 5;
    CHECK_ERR(peercall_run(&f.opts, SLICE_EMPTY, NULL), ERR_TOO_LARGE, "more than 5 bytes");
    teardown(&f);
}

TEST(peercall_runs_several_at_a_time)
{
    struct peercall *calls[20];
    struct buf answer = {0};
    struct fixture f;

    setup(&f);
    f.opts.method = "echo";
    for (uint8_t i = 0; i < 20; i++)
        calls[i] = peercall_start(&f.opts, slice_of(&i, 1));
    for (uint8_t i = 0; i < 20; i++) {
        CHECK_OK(peercall_wait(calls[i], &answer));
        CHECK_INT(answer.ptr[0], i);
    }
    buf_done(&answer);
    teardown(&f);
}

TEST(peercall_ends_when_it_must_stop)
{
    atomic_bool stop = true;
    struct fixture f;

    setup(&f);
    f.opts.method = "hang";
    f.opts.stop = &stop;
    CHECK_ERR(peercall_run(&f.opts, SLICE_EMPTY, NULL), ERR_CANCELED, "stopping");
    teardown(&f);
}

TEST(peercall_has_its_patience)
{
    struct fixture f;

    setup(&f);
    f.opts.method = "hang";
    f.opts.patience_ms = 1;
    CHECK_ERR(peercall_run(&f.opts, SLICE_EMPTY, NULL), ERR_TIMEOUT, "no answer in 1 ms");
    f.opts.method = "echo";
    f.opts.patience_ms = 20000;
    CHECK_OK(peercall_run(&f.opts, SLICE_EMPTY, NULL));
    teardown(&f);
}
