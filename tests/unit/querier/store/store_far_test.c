/*
 * Blocks that are not on a disk of ours: the same answers, whatever the memory, for few requests.
 */
#include "common/base/clock.h"
#include "common/base/hash.h"
#include "common/base/thread.h"
#include "common/block/block_store.h"
#include "common/block/block_writer.h"
#include "querier/store/store.h"
#include "tests/unit/common/objstore/counting_store.h"

#define TENANT SLICE("t")
#define BLOCKS 6
#define BLOCK_MS 1000000
#define SERIES 500
#define END_MS (BLOCKS * BLOCK_MS)

struct rig {
    struct counting_store bucket;
    struct store *near, *far, *tight;
};

static struct chunk floats(struct arena *a, int64_t t0, size_t n, double v0)
{
    int64_t *t = arena_array(a, int64_t, n);
    double *v = arena_array(a, double, n);
    struct buf b = {0};
    struct chunk c;

    for (size_t i = 0; i < n; i++) {
        t[i] = t0 + (int64_t)i * 1000;
        v[i] = v0 * (double)(i * i % 17);
    }
    chunk_xor_encode(&b, t, v, n);
    c = (struct chunk){CHUNK_XOR, t[0], t[n - 1], arena_dup(a, buf_slice(&b))};
    buf_done(&b);
    return c;
}

static struct labels labels_of(struct arena *a, unsigned i)
{
    struct label *ls = arena_array(a, struct label, 4);

    ls[0] = (struct label){SLICE("__name__"), SLICE("m")};
    ls[1] = (struct label){SLICE("i"), slice_cstr(arena_printf(a, "%05u", i))};
    ls[2] = (struct label){SLICE("job"), slice_cstr(arena_printf(a, "j%u", i % 7))};
    ls[3] = (struct label){SLICE("where"), slice_cstr(arena_printf(a, "somewhere-%u", i / 3))};
    return (struct labels){ls, 4};
}

static struct err *add_block(void *arg, struct catalogue *c, bool *ret_changed)
{
    struct catalogue_block b = catalogue_block_of_meta(arg);

    catalogue_add(c, &b);
    *ret_changed = true;
    return NULL;
}

static void put_block(struct objstore *bucket, unsigned k)
{
    struct block_writer_opts o = {.dir = tmp_path(""), .no_sync = true};
    struct arena *a = arena_new(0);
    struct block_writer *w;
    struct block_meta m;

    o.meta.ulid = ulid_make(k + 1, (const uint8_t[10]){0});
    o.meta.level = 1;
    o.meta.tenant = TENANT;
    o.meta.origin = SLICE("compactor");
    CHECK_OK(block_writer_open(&o, &w));
    for (unsigned i = k; i < SERIES; i += 1 + (i + k) % 2) {
        struct chunk c[4];

        for (unsigned n = 0; n < 4; n++)
            c[n] = floats(a, (int64_t)k * BLOCK_MS + n * 130000, 120, i + 0.1 * n);
        CHECK_OK(block_writer_add(
            w, &(struct block_series){.labels = labels_of(a, i), .chunks = c, .n_chunks = 4}));
    }
    CHECK_OK(block_writer_finish(w, a, &m));
    block_writer_close(w);
    CHECK_OK(
        block_store_upload(bucket, SLICE("metrics"), TENANT, tmp_path(ulid_print(m.ulid).s), &m));
    CHECK_OK(catalogue_update(bucket, SLICE("metrics"), TENANT, add_block, &m, NULL));
    arena_free(a);
}

static void rig_up(struct rig *g)
{
    struct store_opts opts = {.catalogue_max_age_ms = 3600000, .tombstone_max_age_ms = 3600000};

    counting_store_open(&g->bucket);
    for (unsigned k = 0; k < BLOCKS; k++)
        put_block(&g->bucket.base, k);
    opts.objstore = &g->bucket.base;
    opts.block_cache_bytes = 64u << 20;
    g->far = store_new(&opts);
    opts.block_cache_bytes = 1u << 20;
    opts.block_disk_dir = tmp_path("cache");
    opts.block_heads_bytes = 64u << 20;
    g->tight = store_new(&opts);
    opts.local_root = tmp_path("bucket");
    g->near = store_new(&opts);
}

static void rig_down(struct rig *g)
{
    store_free(g->near);
    store_free(g->far);
    store_free(g->tight);
    counting_store_close(&g->bucket);
}

enum how { PLAIN, GROUPED, SHARDED, LABELS, HOWS };

/* Of everything: independent of the order of the series, which grouped ones come in any. */
static uint64_t digest(struct store *s, enum how how, const char *re, int64_t min_ms,
                       int64_t max_ms)
{
    struct arena *a = arena_new(0);
    struct slice job = SLICE("job");
    struct matcher m[2];
    struct storage_request req = {
        .matchers = {m, 2}, .start_ms = min_ms, .end_ms = max_ms, .n_grouping = 1};
    struct store_query sq;
    struct storage_series x;
    struct series_set *set;
    uint64_t sum = 0;

    CHECK_OK(matcher_init(a, MATCHER_EQ, SLICE("__name__"), SLICE("m"), &m[0]));
    CHECK_OK(matcher_init(a, MATCHER_RE, SLICE("i"), slice_cstr(re), &m[1]));
    req.grouping = &job;
    req.is_grouped = how == GROUPED;
    if (how == SHARDED) {
        req.shard_index = 1;
        req.shard_count = 3;
    }
    store_query_init(&sq, s, &(struct store_query_opts){.tenant = TENANT, .arena = a});
    CHECK_OK(how == LABELS ? store_series(&sq, req.matchers, min_ms, max_ms, &set)
                           : storage_select(&sq.storage, a, &req, &set));
    while (series_set_next(set, &x)) {
        struct slice shown = labels_get(x.labels, SLICE("job"));
        uint64_t one = hash_xxh64(shown, 0);

        if (how != GROUPED)
            one = one * 31 + hash_xxh64(labels_get(x.labels, SLICE("i")), 0);
        if (how != LABELS) {
            one = one * 31 + hash_xxh64(slice_of(x.t_ms, x.n * sizeof(*x.t_ms)), 0);
            one = one * 31 + hash_xxh64(slice_of(x.v, x.n * sizeof(*x.v)), 0);
        }
        sum += one * (one >> 7 | 1);
    }
    CHECK_OK(series_set_close(set));
    store_query_done(&sq);
    matchers_done(req.matchers);
    arena_free(a);
    return sum;
}

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
