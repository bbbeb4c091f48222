#include "ingester/traces/tracelive.h"
#include "tests/unit/test.h"

static void id_of(uint8_t id[16], uint32_t n)
{
    memset(id, 0, 16);
    memcpy(id, &n, sizeof(n));
}

static void touch(struct tracelives *t, uint32_t n, int64_t now_ms)
{
    uint8_t id[16];
    bool is_new;

    id_of(id, n);
    tracelives_touch(t, n % 3, id, 10, 1000 + n, now_ms, 50, &is_new);
}

static uint32_t find(struct tracelives *t, uint32_t n)
{
    uint8_t id[16];

    id_of(id, n);
    return tracelives_find(t, n % 3, id);
}

TEST(tracelive_finds_what_was_touched_and_not_removed)
{
    struct tracelives t;

    tracelives_init(&t);
    CHECK(find(&t, 1) == TRACELIVE_NONE);
    for (uint32_t n = 0; n < 5000; n++)
        touch(&t, n, n);
    for (uint32_t n = 0; n < 5000; n += 2)
        (void)tracelives_remove(&t, find(&t, n));
    CHECK_INT(t.n, 2500);
    CHECK_INT(t.bytes, 25000);
    for (uint32_t n = 0; n < 5000; n++)
        CHECK((find(&t, n) == TRACELIVE_NONE) == (n % 2 == 0));
    for (uint32_t n = 0; n < 5000; n += 2)
        touch(&t, n, 6000);
    CHECK_INT(t.n, 5000);
    CHECK_INT(t.all.len, 5000); /* places are used again */
    tracelives_done(&t);
}

/* Oldest first; one past its time keeps its place. */
TEST(tracelive_stands_by_last_spans)
{
    uint32_t want[] = {1, 3, 2}, at;
    struct tracelives t;
    size_t i = 0;

    tracelives_init(&t);
    touch(&t, 1, 0);
    touch(&t, 2, 10);
    touch(&t, 3, 20);
    touch(&t, 2, 30);
    touch(&t, 1, 60); /* it is older than 50 */
    for (at = t.oldest; at != TRACELIVE_NONE; at = t.all.ptr[at].newer, i++) {
        uint32_t n;

        memcpy(&n, t.all.ptr[at].id, sizeof(n));
        CHECK_INT(n, want[i]);
    }
    CHECK_INT(i, 3);
    CHECK_INT(t.all.ptr[find(&t, 1)].last_ms, 0);
    CHECK_INT(t.all.ptr[find(&t, 1)].bytes, 20);
    tracelives_done(&t);
}

TEST(tracelive_takes_back_what_was_taken_out)
{
    struct tracelives t;
    struct tracelive one, two;
    bool is_new;

    tracelives_init(&t);
    touch(&t, 1, 0);
    touch(&t, 2, 10);
    one = tracelives_remove(&t, find(&t, 1));
    two = tracelives_remove(&t, find(&t, 2));
    CHECK(t.oldest == TRACELIVE_NONE && t.newest == TRACELIVE_NONE && t.bytes == 0);
    touch(&t, 2, 40); /* in between */
    tracelives_restore(&t, &two, &is_new);
    CHECK(!is_new);
    tracelives_restore(&t, &one, &is_new);
    CHECK(is_new);
    CHECK_INT(t.n, 2);
    CHECK_INT(t.bytes, 30);
    CHECK(t.oldest == find(&t, 1) && t.newest == find(&t, 2));
    CHECK_INT(t.all.ptr[find(&t, 2)].first_ms, 10);
    CHECK_INT(t.all.ptr[find(&t, 2)].bytes, 20);
    tracelives_done(&t);
}
