#include <stdatomic.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/thread.h"
#include "querier/store/lookout.h"
#include "tests/unit/test.h"

/* A bucket that answers when it is let. */
struct bucket {
    struct lock lock;
    pthread_cond_t changed;
    bool hangs, fails;
    _Atomic int looks;
};

static struct err *look(void *arg, struct slice name)
{
    struct bucket *b = arg;
    bool fails;

    CHECK(slice_eq_cstr(name, "tenant"));
    atomic_fetch_add(&b->looks, 1);
    lock_take(&b->lock);
    while (b->hangs)
        lock_wait(&b->lock, &b->changed);
    fails = b->fails;
    lock_release(&b->lock);
    return fails ? err_new(ERR_NET, "it fails") : NULL;
}

static void set(struct bucket *b, bool hangs, bool fails)
{
    lock_take(&b->lock);
    b->hangs = hangs;
    b->fails = fails;
    (void)pthread_cond_broadcast(&b->changed);
    lock_release(&b->lock);
}

static struct lookout *open_on(struct bucket *b, unsigned threads)
{
    *b = (struct bucket){0};
    lock_init(&b->lock, LOCK_LEAF_MODULE);
    lock_cond_init(&b->changed);
    return lookout_new(threads, look, b);
}

static void close_on(struct bucket *b, struct lookout *lo, struct lookout_state *st)
{
    lookout_free(lo);
    lookout_state_done(st);
    (void)pthread_cond_destroy(&b->changed);
    lock_done(&b->lock);
}

static int64_t now_ns(void)
{
    return clock_mono_ns(&clock_system);
}

static bool ask(struct lookout *lo, struct lookout_state *st, int64_t since_ns, enum err_code code)
{
    struct err *e = lookout_ask(lo, st, SLICE("tenant"), since_ns, false);
    bool ret = code ? err_is(e, code) : !e;

    err_free(e);
    return ret;
}

/* Asks until it is well. */
static bool asks_until(struct lookout *lo, struct lookout_state *st, int64_t since_ns)
{
    int64_t until_ns = now_ns() + 10 * NS_PER_S;

    while (!ask(lo, st, since_ns ? since_ns : now_ns(), 0)) {
        if (now_ns() > until_ns)
            return false;
        (void)usleep(1000);
    }
    return true;
}

TEST(lookout_looks_only_when_the_last_look_is_too_old)
{
    for (unsigned threads = 0; threads < 2; threads++) {
        struct lookout_state st = {0};
        struct bucket b;
        struct lookout *lo = open_on(&b, threads);
        int64_t t0 = now_ns();

        CHECK(ask(lo, &st, t0, 0));
        CHECK(ask(lo, &st, t0, 0));
        CHECK_INT(atomic_load(&b.looks), 1);
        CHECK(ask(lo, &st, now_ns(), 0));
        CHECK_INT(atomic_load(&b.looks), 2);
        close_on(&b, lo, &st);
    }
}

TEST(lookout_gives_up_on_a_bucket_that_hangs_and_takes_its_answer_later)
{
    struct lookout_state st = {0};
    struct bucket b;
    struct lookout *lo = open_on(&b, 1);
    int64_t t0 = now_ns();

    set(&b, true, false);
    CHECK(ask(lo, &st, t0, ERR_TIMEOUT));
    CHECK(now_ns() - t0 < 3 * LOOKOUT_PATIENCE_MS * NS_PER_MS);
    CHECK(!lookout_is_idle(lo, &st));
    t0 = now_ns();
    CHECK(ask(lo, &st, t0, ERR_TIMEOUT)); /* at once: this look has lasted too long already */
    CHECK(now_ns() - t0 < LOOKOUT_PATIENCE_MS * NS_PER_MS / 2);
    CHECK_INT(atomic_load(&b.looks), 1);
    set(&b, false, false);
    CHECK(asks_until(lo, &st, 1)); /* the one that hung will do for who asks for no later one */
    CHECK_INT(atomic_load(&b.looks), 1);
    CHECK(ask(lo, &st, now_ns(), 0));
    CHECK_INT(atomic_load(&b.looks), 2);
    close_on(&b, lo, &st);
}

TEST(lookout_rests_after_a_failure)
{
    struct lookout_state st = {0};
    struct bucket b;
    struct lookout *lo = open_on(&b, 1);

    set(&b, false, true);
    for (int i = 0; i < 100; i++)
        CHECK(ask(lo, &st, now_ns(), ERR_NET));
    CHECK(atomic_load(&b.looks) <= 2);
    set(&b, false, false);
    CHECK(asks_until(lo, &st, 0));
    close_on(&b, lo, &st);
}

struct patient {
    struct lookout *lo;
    struct lookout_state *st;
    bool is_well;
};

static void *wait_patiently(void *arg)
{
    struct patient *p = arg;
    struct err *e = lookout_ask(p->lo, p->st, SLICE("tenant"), now_ns(), true);

    p->is_well = !e;
    err_free(e);
    return NULL;
}

TEST(lookout_lets_who_is_patient_wait_for_the_end)
{
    struct lookout_state st = {0};
    struct bucket b;
    struct lookout *lo = open_on(&b, 1);
    struct patient p = {lo, &st, false};
    pthread_t thread;

    set(&b, true, false);
    CHECK(!thread_start("patient", wait_patiently, &p, &thread));
    CHECK(ask(lo, &st, now_ns(), ERR_TIMEOUT));
    set(&b, false, false);
    (void)pthread_join(thread, NULL);
    CHECK(p.is_well);
    close_on(&b, lo, &st);
}
