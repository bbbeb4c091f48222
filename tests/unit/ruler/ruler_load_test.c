#include <unistd.h>

#include "common/objstore/objstore_fs.h"
#include "ruler/ruler_load.c"
#include "tests/unit/test.h"

/* A changer that is at work until it is let go. */
static void work_wait(void *arg)
{
    while (!*(atomic_bool *)arg)
        (void)usleep(1000);
}

TEST(ruler_load_queues_no_more_sweeps_than_a_few)
{
    struct objstore *store;
    struct job_pool *changer = job_pool_new("changer", 1, 1000);
    struct ruler r = {.loop = NULL};
    atomic_bool may_go = false;

    CHECK_OK(
        objstore_fs_open(tmp_path("bucket"), &(struct objstore_fs_opts){.no_sync = true}, &store));
    CHECK_OK(job_run(changer, NULL, work_wait, NULL, &may_go));
    for (int i = 0; i < 500; i++)
        sweep(&r, store, SLICE("rules/t/metrics/n"), changer);
    CHECK(r.n_loading > 0);
    CHECK(r.n_loading <= MAX_SWEEPS + 1);
    may_go = true;
    job_pool_free(changer);
    CHECK_INT(r.n_loading, 0);
    objstore_close(store);
}

TEST(ruler_load_sweeps_when_the_ring_has_settled)
{
    struct ruler_load load = {.opened_ms = 1000};
    struct ruler r = {.load = &load};

    CHECK(!may_sweep(&r, 1000 + SWEEP_AFTER_MS - 1));
    CHECK(may_sweep(&r, 1000 + SWEEP_AFTER_MS));
    r.ring_changed_ms = 5000;
    CHECK(!may_sweep(&r, 1000 + SWEEP_AFTER_MS));
    CHECK(may_sweep(&r, 5000 + SWEEP_AFTER_MS));
}

TEST(ruler_load_news_are_behind_all_that_is_known_whatever_the_clock_says)
{
    CHECK_INT(ruler_next_news(0, 5000), 5000);
    CHECK_INT(ruler_next_news(5000, 5000), 5001); /* twice in a millisecond */
    CHECK_INT(ruler_next_news(9000, 5000), 9001); /* of one whose clock is ahead */
}
