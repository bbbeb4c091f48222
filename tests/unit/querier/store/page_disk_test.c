#include <errno.h>
#include <ftw.h>

#include "common/base/hash.h"
#include "common/base/mem.h"
#include "common/base/reader.h"
#include "common/base/thread.h"
#include "common/kv/kv.h"
#include "querier/store/page_disk.h"
#include "tests/unit/common/objstore/counting_store.h"

#define BYTES 10000

static struct objpages_below_page page_of(struct buf *key, struct buf *bytes, unsigned i)
{
    buf_reset(key);
    buf_reset(bytes);
    buf_printf(key, "metrics/t/block/index");
    buf_byte(key, 0);
    buf_u64be(key, i);
    for (unsigned k = 0; k < BYTES; k++)
        buf_byte(bytes, (uint8_t)(i * 7 + k * k % 251));
    return (struct objpages_below_page){buf_slice(key), 1000000 + i, buf_slice(bytes)};
}

static void put(struct page_disk *d, unsigned i)
{
    struct buf key = {0}, bytes = {0};
    struct objpages_below_page g = page_of(&key, &bytes, i);

    page_disk_below(d)->put(page_disk_below(d)->arg, &g, 1);
    buf_done(&key);
    buf_done(&bytes);
}

static bool has(struct page_disk *d, unsigned i)
{
    struct buf key = {0}, bytes = {0};
    struct objpages_below_page g = page_of(&key, &bytes, i);
    struct slice got = {0};
    uint64_t object_bytes;
    bool found = page_disk_below(d)->get(page_disk_below(d)->arg, g.key, &got, &object_bytes);

    if (found) {
        CHECK(slice_eq(got, g.bytes));
        CHECK_INT(object_bytes, g.object_bytes);
    }
    buf_done(&key);
    buf_done(&bytes);
    mem_free((void *)got.ptr);
    return found;
}

TEST(page_disk_keeps_pages_over_a_restart)
{
    struct page_disk *d = page_disk_open(tmp_path("cache"), 1u << 20);
    struct page_disk_stats before, after;

    CHECK(!has(d, 1));
    for (unsigned i = 0; i < 5; i++)
        put(d, i);
    put(d, 3);
    page_disk_stats_get(d, &before);
    CHECK_INT(before.puts, 5);
    page_disk_close(d);
    d = page_disk_open(tmp_path("cache"), 1u << 20);
    page_disk_stats_get(d, &after);
    CHECK_INT(after.bytes, before.bytes);
    CHECK_INT(after.pages, 5);
    for (unsigned i = 0; i < 5; i++)
        CHECK(has(d, i));
    CHECK(!has(d, 5));
    page_disk_close(d);
}

TEST(page_disk_drops_the_oldest_that_nobody_read)
{
    struct page_disk *d = page_disk_open(tmp_path("cache"), 10 * (BYTES + 100));
    struct page_disk_stats st;

    for (unsigned i = 0; i < 10; i++)
        put(d, i);
    CHECK(has(d, 0)); /* used: it gets another turn */
    for (unsigned i = 10; i < 15; i++)
        put(d, i);
    page_disk_stats_get(d, &st);
    CHECK(st.bytes <= st.max_bytes);
    CHECK_INT(st.evictions, 5);
    CHECK(has(d, 0));
    for (unsigned i = 1; i < 6; i++)
        CHECK(!has(d, i));
    for (unsigned i = 6; i < 15; i++)
        CHECK(has(d, i));
    /* A smaller budget the next time. */
    page_disk_close(d);
    d = page_disk_open(tmp_path("cache"), 3 * (BYTES + 100));
    put(d, 20);
    page_disk_stats_get(d, &st);
    CHECK(st.bytes <= st.max_bytes && st.pages == 3);
    CHECK(has(d, 20));
    page_disk_close(d);
}

static struct err *spoil_one(void *arg, struct slice key, struct slice value)
{
    struct buf *out = arg;

    buf_reset(out);
    buf_lstr(out, key);
    buf_slice_append(out, value);
    return NULL;
}

static uint64_t disk_bytes; /* found so far */

static int add_file(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)path;
    (void)at;
    disk_bytes += kind == FTW_F ? (uint64_t)st->st_blocks * 512 : 0;
    return 0;
}

/* Pages that had to go leave the disk, too, not only the books. */
TEST(page_disk_takes_little_more_than_its_budget)
{
    enum { BUDGET = 16 << 20, LARGE = 65000, N = 10 * BUDGET / LARGE };
    struct page_disk *d = page_disk_open(tmp_path("cache"), BUDGET);
    struct buf key = {0}, bytes = {0};
    struct page_disk_stats st;

    for (unsigned i = 0; i < N; i++) {
        struct objpages_below_page g = page_of(&key, &bytes, i);

        while (bytes.len < LARGE)
            buf_u64le(&bytes, hash_xxh64(slice_of(&i, sizeof(i)), bytes.len));
        g.bytes = buf_slice(&bytes);
        page_disk_below(d)->put(page_disk_below(d)->arg, &g, 1);
    }
    page_disk_stats_get(d, &st);
    CHECK(st.evictions > N / 2);
    page_disk_close(d);
    disk_bytes = 0;
    CHECK_INT(nftw(tmp_path("cache"), add_file, 16, FTW_PHYS), 0);
    if (disk_bytes > 2 * BUDGET + (16 << 20))
        test_fail(__FILE__, __LINE__, "%llu bytes on the disk", (unsigned long long)disk_bytes);
    buf_done(&key);
    buf_done(&bytes);
}

TEST(page_disk_a_corrupt_page_is_a_miss)
{
    struct page_disk *d = page_disk_open(tmp_path("cache"), 1u << 20);
    struct page_disk_stats st;
    struct buf b = {0};
    struct reader r;
    struct slice key;
    struct kv *kv;

    put(d, 1);
    page_disk_close(d);
    CHECK_OK(kv_open(tmp_path("cache"), NULL, &kv));
    CHECK_OK(kv_each(kv, SLICE("p"), spoil_one, &b));
    b.ptr[b.len - 5] ^= 1;
    r = reader_new(buf_slice(&b));
    key = reader_lstr(&r);
    CHECK_OK(kv_put(kv, key, reader_rest(&r), false));
    kv_close(kv);
    buf_done(&b);

    d = page_disk_open(tmp_path("cache"), 1u << 20);
    CHECK(!has(d, 1));
    page_disk_stats_get(d, &st);
    CHECK_INT(st.corrupt, 1);
    CHECK_INT(st.pages, 0);
    CHECK_INT(st.bytes, 0);
    put(d, 1);
    CHECK(has(d, 1));
    page_disk_close(d);
}

TEST(page_disk_that_is_full_is_gone_without)
{
    struct page_disk *d = page_disk_open(tmp_path("cache"), 1u << 20);
    struct page_disk_stats st;

    put(d, 1);
    fault_arm_point("kv.room", ENOSPC);
    put(d, 2);
    fault_disarm();
    put(d, 3); /* not so soon again */
    page_disk_stats_get(d, &st);
    CHECK(st.failures > 0);
    CHECK_INT(st.pages, 1);
    CHECK(has(d, 1) && !has(d, 2) && !has(d, 3));
    page_disk_close(d);
}

#define OBJECT SLICE("an/object")

TEST(page_disk_answers_for_the_object_store)
{
    struct counting_store s;
    struct page_disk *d = page_disk_open(tmp_path("cache"), 4u << 20);
    struct buf content = {0}, got = {0};
    struct objpages_stats st;
    struct objpages *p;

    counting_store_open(&s);
    for (unsigned i = 0; i < 200000; i++)
        buf_byte(&content, (uint8_t)(i / 100));
    CHECK_OK(objstore_put(&s.base, OBJECT, buf_slice(&content), NULL, NULL));
    for (int round = 0; round < 3; round++) {
        uint64_t bytes;

        p = objpages_new(
            &(struct objpages_opts){.store = &s.base, .max_bytes = 1, .below = page_disk_below(d)});
        CHECK_OK(objpages_read(p, OBJECT, 100, 250000, &got, &bytes));
        CHECK_INT(bytes, content.len);
        CHECK(slice_eq(buf_slice(&got), slice_from(buf_slice(&content), 100)));
        CHECK_INT(s.gets, 1);
        objpages_stats_get(p, &st);
        CHECK_INT(st.below_hits, round ? 4 : 0);
        objpages_free(p);
    }
    page_disk_close(d);
    buf_done(&content);
    buf_done(&got);
    counting_store_close(&s);
}

/* A read that is made goes on to what is ahead and close, and that comes from the disk later; memory bounds it. */
TEST(page_disk_takes_what_is_ahead)
{
    struct counting_store s;
    struct page_disk *d = page_disk_open(tmp_path("cache"), 64u << 20);
    struct objpages_range ranges[] = {{OBJECT, 10, 100, false},
                                      {OBJECT, 1 * OBJPAGES_PAGE, 3 * OBJPAGES_PAGE, true},
                                      {OBJECT, 6 * OBJPAGES_PAGE, 100, true},
                                      {OBJECT, 20 * OBJPAGES_PAGE, 100, true}};
    struct objpages_hold *h;
    struct objpages_stats st;
    struct buf content = {0}, got = {0};
    struct objpages *p;

    counting_store_open(&s);
    for (unsigned i = 0; content.len < 40 * OBJPAGES_PAGE; i++)
        buf_u32le(&content, i);
    CHECK_OK(objstore_put(&s.base, OBJECT, buf_slice(&content), NULL, NULL));
    p = objpages_new(&(struct objpages_opts){
        .store = &s.base, .max_bytes = 4u << 20, .below = page_disk_below(d)});
    CHECK(objpages_keeps_ahead(p));
    CHECK_OK(objpages_hold(p, ranges, 4, &h));
    objpages_stats_get(p, &st);
    CHECK_INT(st.gets, 1);
    CHECK_INT(st.fetched, 7 * OBJPAGES_PAGE);
    CHECK_INT(st.pages, 1);
    objpages_unhold(p, h);
    for (unsigned i = 1; i < 4; i++) {
        CHECK_OK(objpages_read(p, OBJECT, i * OBJPAGES_PAGE + 5, 1000, &got, NULL));
        CHECK(
            slice_eq(buf_slice(&got), slice_sub(buf_slice(&content), i * OBJPAGES_PAGE + 5, 1000)));
    }
    CHECK_OK(objpages_read(p, OBJECT, 6 * OBJPAGES_PAGE, 1000, &got, NULL));
    objpages_stats_get(p, &st);
    CHECK_INT(st.gets, 1);
    CHECK_INT(st.below_hits, 4);
    /* What lay in between was nobody's; what is far was left. */
    CHECK_OK(objpages_read(p, OBJECT, 5 * OBJPAGES_PAGE, 10, &got, NULL));
    CHECK_OK(objpages_read(p, OBJECT, 20 * OBJPAGES_PAGE, 10, &got, NULL));
    objpages_stats_get(p, &st);
    CHECK_INT(st.gets, 3);
    objpages_free(p);
    /* Half of the memory: eight pages. */
    p = objpages_new(&(struct objpages_opts){
        .store = &s.base, .max_bytes = 16 * OBJPAGES_PAGE, .below = page_disk_below(d)});
    ranges[0] = (struct objpages_range){OBJECT, 22 * OBJPAGES_PAGE, 100, false};
    ranges[1] = (struct objpages_range){OBJECT, 23 * OBJPAGES_PAGE, 12 * OBJPAGES_PAGE, true};
    CHECK_OK(objpages_hold(p, ranges, 2, &h));
    objpages_stats_get(p, &st);
    CHECK_INT(st.fetched, 9 * OBJPAGES_PAGE);
    objpages_unhold(p, h);
    objpages_free(p);
    page_disk_close(d);
    buf_done(&content);
    buf_done(&got);
    counting_store_close(&s);
}

#define AHEADS 6
#define AHEAD_PAGES 9 /* of each object: one that is held, and all that may be ahead at a time */

struct ahead_reader {
    struct objpages *p;
    char object[16];
};

static void *read_one_ahead(void *arg)
{
    struct ahead_reader *r = arg;
    struct slice object = slice_cstr(r->object);
    struct objpages_range ranges[] = {
        {object, 0, 100, false}, {object, OBJPAGES_PAGE, (AHEAD_PAGES - 1) * OBJPAGES_PAGE, true}};
    struct objpages_hold *h;
    struct buf got = {0};

    CHECK_OK(objpages_hold(r->p, ranges, 2, &h));
    CHECK(objpages_hold_has_read(h));
    objpages_unhold(r->p, h);
    CHECK_OK(objpages_read(r->p, object, (AHEAD_PAGES - 1) * OBJPAGES_PAGE, 4, &got, NULL));
    CHECK_INT(got.len, 4);
    buf_done(&got);
    return NULL;
}

/* Who finds that others read ahead with all the memory there is for it waits: one read each, not many short ones. */
TEST(page_disk_waits_for_room_to_read_ahead)
{
    struct counting_store s;
    struct page_disk *d = page_disk_open(tmp_path("cache"), 64u << 20);
    struct ahead_reader r[AHEADS];
    pthread_t t[AHEADS];
    struct buf content = {0};
    struct objpages *p;

    counting_store_open(&s);
    buf_fill(&content, 'x', AHEAD_PAGES * OBJPAGES_PAGE);
    p = objpages_new(&(struct objpages_opts){.store = &s.base,
                                             .max_bytes = 2 * (AHEAD_PAGES - 1) * OBJPAGES_PAGE,
                                             .below = page_disk_below(d)});
    for (unsigned i = 0; i < AHEADS; i++) {
        r[i].p = p;
        (void)snprintf(r[i].object, sizeof(r[i].object), "object-%u", i);
        CHECK_OK(objstore_put(&s.base, slice_cstr(r[i].object), buf_slice(&content), NULL, NULL));
    }
    for (unsigned i = 0; i < AHEADS; i++)
        CHECK_OK(thread_start("reader", read_one_ahead, &r[i], &t[i]));
    for (unsigned i = 0; i < AHEADS; i++)
        (void)pthread_join(t[i], NULL);
    CHECK_INT(s.gets, AHEADS);
    objpages_free(p);
    page_disk_close(d);
    buf_done(&content);
    counting_store_close(&s);
}

TEST(page_disk_is_not_trusted_with_what_proved_wrong)
{
    struct counting_store s;
    struct page_disk *d = page_disk_open(tmp_path("cache"), 4u << 20);
    struct objpages_range all = {OBJECT, 0, 200000, false};
    struct objpages_hold *h;
    struct objpages_stats st;
    struct buf content = {0}, got = {0};
    struct objpages *p;

    counting_store_open(&s);
    buf_fill(&content, 'x', 200000);
    CHECK_OK(objstore_put(&s.base, OBJECT, buf_slice(&content), NULL, NULL));
    p = objpages_new(&(struct objpages_opts){
        .store = &s.base, .max_bytes = 1u << 20, .below = page_disk_below(d)});
    CHECK_OK(objpages_hold(p, &all, 1, &h));
    objpages_distrust(p, SLICE("another/"));
    CHECK_OK(objpages_read(p, OBJECT, 0, 200000, &got, NULL));
    CHECK_INT(s.gets, 1);
    objpages_distrust(p, SLICE("an/"));
    CHECK_OK(
        objpages_read(p, OBJECT, 0, 200000, &got, NULL)); /* though it is held, it is read again */
    CHECK_INT(s.gets, 2);
    objpages_stats_get(p, &st);
    CHECK_INT(st.pages, 8);
    objpages_unhold(p, h);
    objpages_stats_get(p, &st);
    CHECK_INT(st.pages, 4);
    CHECK_INT(st.held_bytes, 0);
    CHECK_INT(st.below_hits, 0);
    objpages_free(p);
    page_disk_close(d);
    buf_done(&content);
    buf_done(&got);
    counting_store_close(&s);
}
