/*
 * Blocks that are not on a disk of ours: the same answers, whatever the memory, for few requests.
 */
#include "tests/unit/querier/store/far_fixture.h"

static void check_same(struct rig *g, struct store *s)
{
    static const char *const res[] = {".+", "0000.", "00.*7", "none"};

    for (int how = 0; how < HOWS; how++)
        for (size_t i = 0; i < ORR_COUNT(res); i++)
            for (int64_t to = END_MS; to > 1000; to -= END_MS / 2 - 1) {
                uint64_t want = digest(g->near, how, res[i], 1000, to);

                CHECK(how != PLAIN || (want != 0) == (strcmp(res[i], "none") != 0));
                CHECK(digest(s, how, res[i], 1000, to) == want);
            }
}

TEST(store_far_blocks_answer_the_same_with_much_memory_and_with_little)
{
    struct store_stats st;
    struct rig g;

    rig_up(&g);
    check_same(&g, g.far);
    store_stats_get(g.far, &st);
    CHECK_INT(st.pages.evictions, 0);
    check_same(&g, g.tight);
    store_stats_get(g.tight, &st);
    CHECK(st.pages.evictions > 0);
    CHECK(st.pages.bytes <= st.pages.max_bytes);
    CHECK_INT(st.pages.held_bytes, st.blocks.reader_bytes);
    rig_down(&g);
}

/* Readers that are in memory, and do not all fit into half of it. */
TEST(store_far_blocks_are_closed_when_readers_take_too_much)
{
    struct store *small;
    struct store_stats st;
    uint64_t want;
    struct rig g;

    rig_up(&g);
    want = digest(g.near, PLAIN, ".+", 0, END_MS);
    small = store_new(&(struct store_opts){.objstore = &g.bucket.base,
                                           .block_cache_bytes = 128u << 10,
                                           .catalogue_max_age_ms = 3600000,
                                           .tombstone_max_age_ms = 3600000});
    for (uint64_t round = 1; round <= 2; round++) {
        CHECK(digest(small, PLAIN, ".+", 0, END_MS) == want);
        store_stats_get(small, &st);
        CHECK(st.blocks.opened > BLOCKS * (round - 1));
        CHECK(st.blocks.open < BLOCKS);
        CHECK(st.blocks.reader_bytes <= st.pages.max_bytes / 2);
        CHECK_INT(st.pages.held_bytes, st.blocks.reader_bytes);
    }
    store_free(small);
    rig_down(&g);
}

TEST(store_far_blocks_cost_six_gets_each_and_then_none)
{
    struct rig g;
    struct store_stats st;

    rig_up(&g);
    g.bucket.gets = 0;
    (void)digest(g.far, PLAIN, ".+", 0, END_MS);
    store_stats_get(g.far, &st);
    CHECK(st.pages.gets <= 6 * BLOCKS);
    CHECK(g.bucket.gets <= st.pages.gets + 2); /* the catalogue, and deletions */
    g.bucket.gets = 0;
    (void)digest(g.far, GROUPED, ".+", 0, END_MS);
    (void)digest(g.far, LABELS, ".+", 0, END_MS);
    CHECK_INT(g.bucket.gets, 0);
    rig_down(&g);
}

#define THREADS 4
struct asking {
    struct rig *g;
    enum how how;
    uint64_t want;
    bool is_same;
};

static void *ask(void *arg)
{
    struct asking *x = arg;

    x->is_same = true;
    for (int i = 0; i < 4; i++)
        x->is_same &= digest(x->g->tight, x->how, ".+", 0, END_MS) == x->want;
    return NULL;
}

TEST(store_far_blocks_are_read_by_many_with_little_memory)
{
    struct asking x[THREADS];
    pthread_t t[THREADS];
    struct store_stats st;
    struct rig g;

    rig_up(&g);
    for (int i = 0; i < THREADS; i++)
        x[i] =
            (struct asking){&g, (enum how)i, digest(g.near, (enum how)i, ".+", 0, END_MS), false};
    for (int i = 0; i < THREADS; i++)
        CHECK_OK(thread_start("asking", ask, &x[i], &t[i]));
    for (int i = 0; i < THREADS; i++)
        (void)pthread_join(t[i], NULL);
    for (int i = 0; i < THREADS; i++)
        CHECK(x[i].is_same);
    store_stats_get(g.tight, &st);
    CHECK_INT(st.pages.held_bytes, st.blocks.reader_bytes);
    rig_down(&g);
}
