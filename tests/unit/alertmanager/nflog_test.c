#include "alertmanager/nflog.h"
#include "common/base/rng.h"
#include "tests/unit/test.h"

#define HOUR 3600000ll

static const struct slice key = SLICE_INIT("k");

static struct nflog_alerts firing(const uint64_t *f, size_t n)
{
    return (struct nflog_alerts){.firing = f, .n_firing = n};
}

TEST(nflog_tells_why)
{
    struct nflog *l = nflog_new();
    uint64_t f[] = {1, 2}, r[] = {1};
    struct nflog_alerts one = firing(f, 1), both = firing(f, 2), none = {0};
    struct nflog_alerts over = {.resolved = r, .n_resolved = 1};
    struct nflog_alerts part = {&f[1], r, 1, 1};

    CHECK_INT(nflog_check(l, key, &over, true, HOUR, 0), NFLOG_NONE);
    CHECK_INT(nflog_check(l, key, &one, true, HOUR, 0), NFLOG_FIRST);
    nflog_set(l, key, &one, 0, 2 * HOUR);
    CHECK_INT(nflog_check(l, key, &one, true, HOUR, HOUR), NFLOG_NONE);
    CHECK_INT(nflog_check(l, key, &one, true, HOUR, HOUR + 1), NFLOG_REPEAT);
    CHECK_INT(nflog_check(l, key, &both, true, HOUR, 1), NFLOG_NEW);
    CHECK_INT(nflog_check(l, key, &over, false, HOUR, 1), NFLOG_ALL_RESOLVED);
    nflog_set(l, key, &both, 1, 2 * HOUR);
    CHECK_INT(nflog_check(l, key, &part, true, HOUR, 1), NFLOG_RESOLVED);
    CHECK_INT(nflog_check(l, key, &part, false, HOUR, 1), NFLOG_NONE);
    nflog_set(l, key, &over, 2, 2 * HOUR);
    CHECK_INT(nflog_check(l, key, &over, true, HOUR, 2), NFLOG_NONE);
    CHECK_INT(nflog_check(l, key, &none, true, HOUR, 2), NFLOG_NONE);
    CHECK_INT(nflog_check(l, key, &one, true, HOUR, 2), NFLOG_FIRST); /* again */
    nflog_free(l);
}

static void random_step(struct nflog *l, struct rng *rng, int64_t now)
{
    uint64_t f[8], r[8];
    struct nflog_alerts a = {.firing = f, .resolved = r};

    for (uint64_t i = 1; i <= 8; i++) {
        uint64_t what = rng_below(rng, 3);

        if (what == 0)
            f[a.n_firing++] = i;
        else if (what == 1)
            r[a.n_resolved++] = i;
    }
    nflog_set(l, rng_chance(rng, 0.5) ? key : SLICE("other"), &a, now, HOUR);
}

static void merge_all(struct nflog *into, const struct nflog *from, int64_t now)
{
    struct buf b = {0};

    nflog_write_state(from, &b);
    CHECK_OK(nflog_merge_state(into, buf_slice(&b), now));
    buf_done(&b);
}

static void check_same(const struct nflog *a, const struct nflog *b)
{
    const struct slice keys[] = {key, SLICE_INIT("other")};

    for (size_t i = 0; i < 2; i++) {
        struct buf x = {0}, y = {0};

        nflog_entry(a, keys[i], &x);
        nflog_entry(b, keys[i], &y);
        CHECK(slice_eq(buf_slice(&x), buf_slice(&y)));
        buf_done(&x);
        buf_done(&y);
    }
}

TEST(nflog_merging_is_commutative_associative_idempotent)
{
    struct rng rng;

    rng_seed(&rng, 7);
    for (int round = 0; round < 200; round++) {
        struct nflog *l[3], *x = nflog_new(), *y = nflog_new();

        for (int i = 0; i < 3; i++) {
            l[i] = nflog_new();
            for (uint64_t k = rng_below(&rng, 4); k > 0; k--)
                random_step(l[i], &rng, 1000 + (int64_t)rng_below(&rng, 100));
        }
        for (int i = 0; i < 3; i++)
            merge_all(x, l[i], 2000);
        for (int i = 2; i >= 0; i--) {
            merge_all(y, l[i], 2000);
            merge_all(y, l[2], 2000);
        }
        check_same(x, y);
        merge_all(x, y, 2000);
        check_same(x, y);
        for (int i = 0; i < 3; i++)
            nflog_free(l[i]);
        nflog_free(x);
        nflog_free(y);
    }
}

TEST(nflog_two_halves_do_not_repeat_what_either_said)
{
    struct nflog *a = nflog_new(), *b = nflog_new();
    uint64_t f[] = {1, 2, 3};
    struct nflog_alerts one = firing(f, 1), all = firing(f, 3);

    nflog_set(a, key, &one, 1, HOUR);
    nflog_set(a, key, &one, 2, HOUR);
    nflog_set(b, key, &all, 1, HOUR);
    merge_all(a, b, 3);
    merge_all(b, a, 3);
    CHECK_INT(nflog_check(a, key, &all, true, HOUR, 3), NFLOG_NONE);
    CHECK_INT(nflog_check(b, key, &all, true, HOUR, 3), NFLOG_NONE);
    nflog_free(a);
    nflog_free(b);
}

TEST(nflog_an_old_copy_does_not_silence_a_new_alert)
{
    struct nflog *l = nflog_new();
    uint64_t f[] = {1, 2};
    struct nflog_alerts one = firing(f, 1), two = firing(&f[1], 1);
    struct buf old = {0};
    bool news = true;

    nflog_set(l, key, &one, 1, HOUR);
    nflog_entry(l, key, &old);
    nflog_set(l, key, &two, 2, HOUR); /* 1 is gone */
    CHECK_OK(nflog_merge(l, buf_slice(&old), 3, &news));
    CHECK(!news);
    CHECK_INT(nflog_check(l, key, &one, true, HOUR, 3), NFLOG_NEW);
    buf_done(&old);
    nflog_free(l);
}

static void count_dirty(void *arg, struct slice k, struct slice entry)
{
    int *counts = arg;

    (void)k;
    counts[entry.len ? 0 : 1]++;
}

TEST(nflog_forgets_what_has_expired_and_says_what_changed)
{
    struct nflog *l = nflog_new();
    uint64_t f[] = {1};
    struct nflog_alerts one = firing(f, 1);
    int counts[2] = {0};

    nflog_set(l, key, &one, 0, HOUR);
    nflog_take_dirty(l, count_dirty, counts);
    nflog_take_dirty(l, count_dirty, counts);
    CHECK_INT(counts[0], 1);
    nflog_mark_dirty(l, key); /* it could not be kept */
    nflog_take_dirty(l, count_dirty, counts);
    CHECK_INT(counts[0], 2);
    nflog_gc(l, HOUR - 1);
    CHECK_INT(nflog_count(l), 1);
    nflog_gc(l, HOUR);
    CHECK_INT(nflog_count(l), 0);
    nflog_take_dirty(l, count_dirty, counts);
    CHECK_INT(counts[1], 1);
    nflog_free(l);
}

TEST(nflog_refuses_malformed_entries)
{
    struct nflog *l = nflog_new();
    uint64_t f[] = {1, 2};
    struct nflog_alerts both = firing(f, 2);
    struct buf b = {0};

    nflog_set(l, key, &both, 0, HOUR);
    nflog_entry(l, key, &b);
    for (size_t n = 0; n < b.len; n++) {
        struct nflog *to = nflog_new();
        struct err *e = nflog_merge(to, slice_of(b.ptr, n), 0, NULL);

        CHECK(e != NULL);
        err_free(e);
        CHECK_INT(nflog_count(to), 0);
        nflog_free(to);
    }
    b.ptr[0] = 9;
    CHECK_ERR(nflog_merge(l, buf_slice(&b), 0, NULL), ERR_UNSUPPORTED, "format");
    buf_done(&b);
    nflog_free(l);
}
