#include "common/base/thread.h"
#include "common/objstore/objpages.h"
#include "tests/unit/common/objstore/counting_store.h"

#define KEY SLICE("metrics/t/block/index")
#define PAGES 40
#define OBJECT_BYTES ((PAGES - 1) * (size_t)OBJPAGES_PAGE + 1000)

static uint8_t byte_at(uint64_t off)
{
    return (uint8_t)(off * 31 + off / OBJPAGES_PAGE * 7);
}

static void put_object(struct counting_store *s)
{
    uint8_t *p = mem_alloc(OBJECT_BYTES);

    for (size_t i = 0; i < OBJECT_BYTES; i++)
        p[i] = byte_at(i);
    CHECK_OK(objstore_put(&s->base, KEY, slice_of(p, OBJECT_BYTES), NULL, NULL));
    mem_free(p);
}

static struct objpages *open_pages(struct counting_store *s, size_t max_bytes)
{
    counting_store_open(s);
    put_object(s);
    return objpages_new(&(struct objpages_opts){.store = &s->base, .max_bytes = max_bytes});
}

static void check_read(struct objpages *p, uint64_t off, size_t len, size_t want)
{
    struct buf b = {0};
    uint64_t bytes = 0;

    CHECK_OK(objpages_read(p, KEY, off, len, &b, &bytes));
    CHECK_INT(b.len, want);
    CHECK_INT(bytes, OBJECT_BYTES);
    for (size_t i = 0; i < b.len; i++)
        if (b.ptr[i] != byte_at(off + i))
            test_fail(__FILE__, __LINE__, "byte %zu of a read at %zu is wrong", i, (size_t)off);
    buf_done(&b);
}

/* Who reads a last chunk guesses how long it is. */
TEST(objpages_read_over_the_end_with_the_page_before_it_at_hand)
{
    struct counting_store s;
    struct objpages *p = open_pages(&s, 64u << 20);
    struct buf b = {0};

    check_read(p, OBJECT_BYTES - 900, 300, 300);
    CHECK_INT(s.gets, 1);
    check_read(p, OBJECT_BYTES - 500, 2 * OBJPAGES_PAGE, 500);
    check_read(p, OBJECT_BYTES - 500, 2 * OBJPAGES_PAGE, 500); /* known by now */
    CHECK_INT(s.gets, 3);
    CHECK_ERR(objpages_read(p, KEY, OBJECT_BYTES + 8 * (uint64_t)OBJPAGES_PAGE, 10, &b, NULL),
              ERR_CORRUPT, "");
    buf_done(&b);
    objpages_free(p);
    counting_store_close(&s);
}

TEST(objpages_read_what_the_object_has_and_ask_for_a_page_once)
{
    struct counting_store s;
    struct objpages *p = open_pages(&s, 64u << 20);

    check_read(p, 10, 100, 100);
    CHECK_INT(s.gets, 1);
    check_read(p, 0, OBJPAGES_PAGE, OBJPAGES_PAGE);
    CHECK_INT(s.gets, 1);
    check_read(p, OBJPAGES_PAGE - 5, 10, 10);
    CHECK_INT(s.gets, 2);
    check_read(p, OBJECT_BYTES - 500, 5000, 500); /* over the end */
    CHECK_INT(s.gets, 3);
    check_read(p, 0, OBJECT_BYTES, OBJECT_BYTES); /* what is there already is not read again … */
    CHECK_INT(s.gets, 4);
    s.bytes = 0;
    check_read(p, 0, OBJECT_BYTES, OBJECT_BYTES);
    CHECK_INT(s.bytes, 0);
    objpages_free(p);
    counting_store_close(&s);
}

TEST(objpages_join_ranges_that_are_near_and_no_others)
{
    struct counting_store s;
    struct objpages *p = open_pages(&s, 64u << 20);
    struct objpages_range near[] = {{KEY, 5 * OBJPAGES_PAGE, 10, false},
                                    {KEY, 100, 10, false},
                                    {KEY, 3 * OBJPAGES_PAGE, 10, false},
                                    {KEY, 120, 10, false}};
    struct objpages_range far[] = {{KEY, 8 * OBJPAGES_PAGE, 10, false},
                                   {KEY, 30 * OBJPAGES_PAGE, 10, false}};
    struct objpages_hold *h;
    struct objpages_stats st;

    CHECK_OK(objpages_hold(p, near, 4, &h));
    CHECK_INT(s.gets, 1);
    objpages_stats_get(p, &st);
    CHECK_INT(st.pages, 3); /* those between are read and not kept */
    CHECK(st.held_bytes == st.bytes && st.bytes > 3 * OBJPAGES_PAGE);
    objpages_unhold(p, h);
    objpages_stats_get(p, &st);
    CHECK_INT(st.held_bytes, 0);
    CHECK_OK(objpages_hold(p, far, 2, &h));
    CHECK_INT(s.gets, 3);
    objpages_unhold(p, h);
    objpages_free(p);
    counting_store_close(&s);
}

TEST(objpages_lend_what_is_held)
{
    struct counting_store s;
    struct objpages *p = open_pages(&s, 64u << 20);
    struct slice block = SLICE("metrics/t/block"), got;
    struct objpages_range some[] = {{KEY, 5 * OBJPAGES_PAGE, 2 * OBJPAGES_PAGE, false},
                                    {KEY, OBJECT_BYTES - 10, 10, false}};
    struct objpages_hold *h;

    CHECK(!objpages_keeps_ahead(p));
    CHECK_OK(objpages_hold(p, some, 2, &h));
    CHECK(objpages_hold_has_read(h));
    got = objpages_held(h, block, SLICE("/index"), 6 * OBJPAGES_PAGE + 100);
    CHECK_INT(got.len, OBJPAGES_PAGE - 100);
    CHECK_INT(got.ptr[7], byte_at(6 * OBJPAGES_PAGE + 107));
    got = objpages_held(h, block, SLICE("/index"), OBJECT_BYTES - 10);
    CHECK_INT(got.len, 10);
    CHECK_INT(objpages_held(h, block, SLICE("/index"), OBJECT_BYTES + 10).len, 0);
    CHECK_INT(objpages_held(h, block, SLICE("/index"), 7 * OBJPAGES_PAGE).len, 0);
    CHECK_INT(objpages_held(h, block, SLICE("/indez"), 6 * OBJPAGES_PAGE).len, 0);
    CHECK_INT(objpages_held(h, block, SLICE("/inde"), 6 * OBJPAGES_PAGE).len, 0);
    CHECK_INT(objpages_held(h, SLICE("metrics/t/blocks and more"), SLICE("/index"), 0).len, 0);
    objpages_unhold(p, h);
    CHECK_OK(objpages_hold(p, some, 1, &h));
    CHECK(!objpages_hold_has_read(h));
    objpages_unhold(p, h);
    objpages_free(p);
    counting_store_close(&s);
}

TEST(objpages_stay_in_their_budget_but_never_let_go_what_is_held)
{
    struct counting_store s;
    struct objpages *p = open_pages(&s, 4 * (OBJPAGES_PAGE + 1000));
    struct objpages_range all = {KEY, 0, OBJECT_BYTES, false};
    struct objpages_hold *h;
    struct objpages_stats st;

    check_read(p, 0, OBJECT_BYTES, OBJECT_BYTES);
    objpages_stats_get(p, &st);
    CHECK(st.bytes <= st.max_bytes);
    CHECK_INT(st.pages, 5); /* the last one of the object is small */
    CHECK_INT(st.evictions, PAGES - 5);
    CHECK(objpages_room(p) == st.max_bytes);

    CHECK_OK(objpages_hold(p, &all, 1, &h));
    CHECK_INT(objpages_room(p), 0);
    s.gets = 0;
    check_read(p, 0, OBJECT_BYTES, OBJECT_BYTES);
    CHECK_INT(s.gets, 0);
    objpages_unhold(p, h);
    objpages_stats_get(p, &st);
    CHECK(st.bytes <= st.max_bytes);
    objpages_free(p);
    counting_store_close(&s);
}

TEST(objpages_say_what_went_wrong_and_try_again_the_next_time)
{
    struct counting_store s;
    struct objpages *p = open_pages(&s, 64u << 20);
    struct objpages_stats st;
    struct buf b = {0};

    s.failing = 1;
    CHECK_ERR(objpages_read(p, KEY, 0, 10, &b, NULL), ERR_UNAVAILABLE, "told to fail");
    CHECK_ERR(objpages_read(p, SLICE("none"), 0, 10, &b, NULL), ERR_NOT_FOUND, "none");
    CHECK_ERR(objpages_read(p, KEY, 1ull << 40, 10, &b, NULL), ERR_CORRUPT, "");
    objpages_stats_get(p, &st);
    CHECK_INT(st.pages, 0);
    check_read(p, 0, 10, 10);
    buf_done(&b);
    objpages_free(p);
    counting_store_close(&s);
}

#define READERS 6
struct reading {
    struct objpages *p;
    unsigned seed;
};

static void *read_here_and_there(void *arg)
{
    struct reading *r = arg;
    unsigned x = r->seed;

    for (int i = 0; i < 300; i++) {
        uint64_t off;

        x = x * 1103515245 + 12345;
        off = x / 7 % (OBJECT_BYTES - 100);
        check_read(r->p, off, 100, 100);
    }
    return NULL;
}

TEST(objpages_are_fetched_once_for_many_readers)
{
    struct counting_store s;
    struct objpages *p = open_pages(&s, 64u << 20), *small;
    struct reading r[READERS];
    pthread_t t[READERS];

    for (unsigned i = 0; i < READERS; i++) {
        r[i] = (struct reading){p, i % 2};
        CHECK_OK(thread_start("reader", read_here_and_there, &r[i], &t[i]));
    }
    for (unsigned i = 0; i < READERS; i++)
        (void)pthread_join(t[i], NULL);
    CHECK(s.gets <= PAGES);

    /* With no room to speak of they all get what they ask for, too. */
    small = objpages_new(&(struct objpages_opts){.store = &s.base, .max_bytes = OBJPAGES_PAGE});
    for (unsigned i = 0; i < READERS; i++) {
        r[i] = (struct reading){small, i};
        CHECK_OK(thread_start("reader", read_here_and_there, &r[i], &t[i]));
    }
    for (unsigned i = 0; i < READERS; i++)
        (void)pthread_join(t[i], NULL);
    objpages_free(small);
    objpages_free(p);
    counting_store_close(&s);
}

TEST(objpages_are_counted_for_the_thread_that_asks)
{
    struct counting_store s;
    struct objpages *p = open_pages(&s, 64u << 20);
    struct objpages_range far[] = {{KEY, 0, 10, false},
                                   {KEY, 10 * OBJPAGES_PAGE, 10, false},
                                   {KEY, 30 * OBJPAGES_PAGE, 10, false}};
    struct objstore_tally t = {0};
    struct objpages_hold *h;

    CHECK(!objstore_tally_set(&t));
    CHECK_OK(objpages_hold(p, far, 3, &h));
    CHECK(objstore_tally_set(NULL) == &t);
    CHECK_INT(t.gets, 3);
    CHECK_INT(t.bytes, 3 * OBJPAGES_PAGE);
    objpages_unhold(p, h);
    objpages_free(p);
    counting_store_close(&s);
}
