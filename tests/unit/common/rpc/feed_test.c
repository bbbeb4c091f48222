#include <unistd.h>

#include "common/rpc/feed.h"
#include "tests/unit/common/rpc/rpc_fixture.h"

/* A server with one worker. "long" answers in LONG frames, "short" in one. */
#define LONG 200
struct yard {
    struct rig rig;
    struct feeds *feeds;
    struct job_pool *jobs;
    _Atomic int frames; /* of the long answer, so far */
    _Atomic int frames_before_short;
};

static struct err *long_next(void *src, struct buf *frame, bool *ret_more)
{
    struct yard *y = src;
    int64_t until = clock_mono_ms(&clock_system) + PATIENCE_MS;

    while (y->frames == 0 && job_pool_queued(y->jobs) == 0 && clock_mono_ms(&clock_system) < until)
        (void)usleep(100);
    buf_fill(frame, 'l', 1000);
    *ret_more = ++y->frames < LONG;
    return NULL;
}

static struct err *short_next(void *src, struct buf *frame, bool *ret_more)
{
    struct yard *y = src;

    y->frames_before_short = y->frames;
    buf_byte(frame, 's');
    *ret_more = false;
    return NULL;
}

static void keep(void *src)
{
    (void)src;
}

static void on_long(void *arg, struct rpc_call *call)
{
    static const struct feed_ops ops = {NULL, long_next, keep};
    struct yard *y = arg;

    feed_start(y->feeds, call, &ops, y);
}

static void on_short(void *arg, struct rpc_call *call)
{
    static const struct feed_ops ops = {NULL, short_next, keep};
    struct yard *y = arg;

    feed_start(y->feeds, call, &ops, y);
}

static void yard_up(struct yard *y)
{
    struct rig *rig = &y->rig;

    y->jobs = job_pool_new("worker", 1, 100);
    y->feeds = feeds_new(y->jobs);
    CHECK_OK(loop_new("server", &rig->server_loop));
    CHECK_OK(rpc_server_new(
        &(struct rpc_server_opts){.loop = rig->server_loop, .address = "127.0.0.1:0"},
        &rig->server));
    rpc_server_handle(rig->server, "long", on_long, y);
    rpc_server_handle(rig->server, "short", on_short, y);
    snprintf(rig->address, sizeof(rig->address), "%s", rpc_server_address(rig->server));
    rpc_server_start(rig->server);
    CHECK_OK(loop_start(rig->server_loop));
    pool_up_with(rig, NULL, (struct rpc_pool_opts){0});
}

static void yard_down(struct yard *y)
{
    pool_down(&y->rig);
    loop_join(y->rig.server_loop);
    feeds_free(y->feeds);
    job_pool_free(y->jobs);
    rpc_server_free(y->rig.server);
    loop_free(y->rig.server_loop);
}

TEST(feed_makes_way_for_others_between_two_frames)
{
    struct yard y = {0};
    struct got first = {0}, second = {0};

    yard_up(&y);
    rpc_call(
        y.rig.peer,
        &(struct rpc_call_opts){.method = "long", .timeout_ms = PATIENCE_MS, .credits = LONG + 1},
        SLICE_EMPTY, on_got, &first, NULL);
    rpc_call(y.rig.peer,
             &(struct rpc_call_opts){.method = "short", .timeout_ms = PATIENCE_MS, .credits = 2},
             SLICE_EMPTY, on_got, &second, NULL);
    WAIT_FOR(y.rig.loop, first.last && second.last);
    CHECK_INT(first.code, 0);
    CHECK_INT(first.bytes, LONG * 1000);
    CHECK_INT(second.code, 0);
    CHECK_INT(second.bytes, 1);
    CHECK_INT(y.frames_before_short, 1);
    yard_down(&y);
}
