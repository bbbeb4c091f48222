#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/loop.h"
#include "common/base/thread.h"
#include "tests/unit/test.h"

struct note {
    struct loop *loop;
    struct loop_timer *timer;
    struct loop_io *io;
    int order[16], n;
    int fd;
    int64_t due_ms;
    bool was_mine;
};

static void note_1(void *arg)
{
    struct note *t = arg;

    t->order[t->n++] = 1;
}

static void note_2(void *arg)
{
    struct note *t = arg;

    t->order[t->n++] = 2;
}

static void note_and_post(void *arg)
{
    struct note *t = arg;

    t->order[t->n++] = 3;
    loop_post(t->loop, note_1, t);
}

static void note_and_stop(void *arg)
{
    struct note *t = arg;

    note_2(t);
    loop_stop(t->loop);
}

TEST(loop_runs_posted_functions_in_order_and_not_at_once)
{
    struct note t = {0};

    CHECK_OK(loop_new("t", &t.loop));
    loop_post(t.loop, note_and_post, &t);
    loop_post(t.loop, note_2, &t);
    CHECK_INT(t.n, 0);
    while (t.n < 3)
        loop_run_once(t.loop, 1000);
    CHECK_INT(t.order[0], 3);
    CHECK_INT(t.order[1], 2);
    CHECK_INT(t.order[2], 1);
    loop_free(t.loop);
}

TEST(loop_free_runs_what_is_still_posted_and_what_that_posts)
{
    struct note t = {0};

    CHECK_OK(loop_new("t", &t.loop));
    loop_post(t.loop, note_and_post, &t);
    loop_free(t.loop);
    CHECK_INT(t.n, 2);
    CHECK_INT(t.order[1], 1);
}

TEST(loop_stop_before_run_ends_the_run_after_what_was_posted)
{
    struct note t = {0};

    CHECK_OK(loop_new("t", &t.loop));
    loop_post(t.loop, note_1, &t);
    loop_stop(t.loop);
    loop_run(t.loop);
    CHECK_INT(t.n, 1);
    /* The stop is used up: a second run needs one of its own. */
    loop_post(t.loop, note_and_stop, &t);
    loop_run(t.loop);
    CHECK_INT(t.n, 2);
    loop_free(t.loop);
}

static void note_due(void *arg)
{
    struct note *t = arg;

    CHECK(clock_mono_ms(&clock_system) >= t->due_ms);
    t->was_mine = loop_is_mine(t->loop) && loop_current() == t->loop;
    t->n++;
}

TEST(loop_timer_is_never_early_and_fires_once)
{
    struct note t = {0};
    struct loop_timer *other;

    CHECK_OK(loop_new("t", &t.loop));
    t.timer = loop_timer_new(t.loop, note_due, &t);
    other = loop_timer_new(t.loop, note_due, &t);
    t.due_ms = loop_now_ms(t.loop) + 7;
    loop_timer_arm_ms(t.timer, 7);
    loop_timer_arm_ms(other, 7);
    loop_timer_cancel(other);
    CHECK(!loop_timer_is_armed(other));
    while (t.n < 1)
        loop_run_once(t.loop, 1000);
    CHECK(t.was_mine);
    CHECK(!loop_timer_is_armed(t.timer));
    loop_run_once(t.loop, 0);
    CHECK_INT(t.n, 1);
    loop_timer_free(t.timer);
    loop_timer_free(other);
    loop_free(t.loop);
}

TEST(loop_timer_rearming_replaces)
{
    struct note t = {0};

    CHECK_OK(loop_new("t", &t.loop));
    t.timer = loop_timer_new(t.loop, note_1, &t);
    loop_timer_arm_ms(t.timer, INT64_MAX);
    loop_timer_arm_ms(t.timer, -5);
    while (t.n < 1)
        loop_run_once(t.loop, 1000);
    loop_timer_free(t.timer);
    loop_free(t.loop);
}

static void free_own_timer(void *arg)
{
    struct note *t = arg;

    loop_timer_free(t->timer);
    t->timer = NULL;
}

TEST(loop_timer_may_be_freed_by_its_callback)
{
    struct note t = {0};

    CHECK_OK(loop_new("t", &t.loop));
    t.timer = loop_timer_new(t.loop, free_own_timer, &t);
    loop_timer_arm_ms(t.timer, 0);
    while (t.timer)
        loop_run_once(t.loop, 1000);
    loop_free(t.loop);
}

static void read_byte_and_free(void *arg)
{
    struct note *t = arg;
    char c;

    CHECK(read(t->fd, &c, 1) == 1);
    if (++t->n == 2) {
        loop_io_free(t->io);
        t->io = NULL;
    }
}

TEST(loop_io_is_called_while_readable_until_freed)
{
    struct note t = {0};
    int fds[2];

    CHECK(pipe2(fds, O_CLOEXEC) == 0);
    CHECK_OK(loop_new("t", &t.loop));
    t.fd = fds[0];
    t.io = loop_io_new(t.loop, fds[0], read_byte_and_free, &t);
    loop_run_once(t.loop, 0);
    CHECK_INT(t.n, 0);
    CHECK(write(fds[1], "abc", 3) == 3);
    while (t.io)
        loop_run_once(t.loop, 1000);
    loop_run_once(t.loop, 0);
    CHECK_INT(t.n, 2);
    loop_free(t.loop);
    close(fds[0]);
    close(fds[1]);
}

TEST(loop_signal_is_delivered_on_the_loop)
{
    struct note t = {0};
    struct loop_signal *s;

    CHECK_OK(loop_new("t", &t.loop));
    s = loop_signal_new(t.loop, SIGUSR1, note_1, &t);
    CHECK(raise(SIGUSR1) == 0);
    while (t.n < 1)
        loop_run_once(t.loop, 1000);
    loop_signal_free(s);
    loop_free(t.loop);
}

#define POSTERS 4
#define POSTS 5000

struct poster {
    struct loop *loop;
    pthread_t thread;
    int next;         /* of this poster's numbers; owned by the loop */
    _Atomic int *all; /* posts that have run */
    struct post *posts;
};

struct post {
    struct poster *poster;
    int number;
};

static void count_post(void *arg)
{
    struct post *p = arg;

    CHECK(loop_is_mine(p->poster->loop));
    CHECK_INT(p->number, p->poster->next);
    p->poster->next++;
    atomic_fetch_add(p->poster->all, 1);
}

static void *post_many(void *arg)
{
    struct poster *p = arg;

    CHECK(!loop_is_mine(p->loop));
    CHECK(loop_current() == NULL);
    for (int i = 0; i < POSTS; i++) {
        p->posts[i] = (struct post){p, i};
        loop_post(p->loop, count_post, &p->posts[i]);
    }
    return NULL;
}

TEST(loop_post_from_many_threads_keeps_each_ones_order)
{
    struct poster posters[POSTERS] = {0};
    _Atomic int all = 0;
    struct loop *l;

    CHECK_OK(loop_new("many", &l));
    CHECK_OK(loop_start(l));
    for (int i = 0; i < POSTERS; i++) {
        posters[i] = (struct poster){.loop = l, .all = &all};
        posters[i].posts = mem_new_array(struct post, POSTS);
        CHECK_OK(thread_start("poster", post_many, &posters[i], &posters[i].thread));
    }
    for (int i = 0; i < POSTERS; i++)
        pthread_join(posters[i].thread, NULL);
    loop_join(l);
    loop_free(l);
    CHECK_INT(all, POSTERS * POSTS);
    for (int i = 0; i < POSTERS; i++)
        mem_free(posters[i].posts);
}

TEST(loop_join_right_after_start_does_not_hang)
{
    for (int i = 0; i < 50; i++) {
        struct loop *l;

        CHECK_OK(loop_new("brief", &l));
        CHECK_OK(loop_start(l));
        loop_join(l);
        CHECK(loop_is_mine(l));
        loop_free(l);
    }
}

TEST(loop_new_and_start_give_back_everything_whichever_call_fails)
{
    FAULT_SWEEP (n) {
        struct loop *l = NULL;
        struct err *e = loop_new("t", &l);

        if (!e && !(e = loop_start(l)))
            loop_join(l);
        loop_free(l);
        CHECK(!fault_did_fire() || e);
        err_free(e);
    }
}
