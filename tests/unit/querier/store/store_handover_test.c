/*
 * Between ingesters and blocks: a catalogue that does not name what an ingester has dropped is not used, and what is in
 * both places counts once.
 */
#include <unistd.h>

#include "common/block/block_store.h"
#include "common/block/block_writer.h"
#include "common/block/catalogue.h"
#include "common/block/chunk_build.h"
#include "common/objstore/objstore_fs.h"
#include "querier/store/lookout.h"
#include "querier/store/store.h"
#include "tests/unit/querier/store/peers_fixture.h"

#define TENANT SLICE("t")
#define SIGNAL SLICE("metrics")

/* ---- a bucket that is well, fails, or hangs ---- */

enum mood { WELL, FAILS, HANGS };
static _Atomic int mood;
static struct objstore *real;

static struct err *moody(void)
{
    while (atomic_load(&mood) == HANGS)
        (void)usleep(2000);
    return atomic_load(&mood) == FAILS ? err_new(ERR_UNAVAILABLE, "the bucket is down") : NULL;
}

static struct err *moody_stat(struct objstore *s, struct slice key, struct objstore_info *ret)
{
    struct err *e = moody();

    (void)s;
    return e ? e : objstore_stat(real, key, ret);
}

static struct err *moody_get(struct objstore *s, struct slice key, const struct objstore_get *opts,
                             struct buf *ret, struct objstore_info *ret_info)
{
    struct err *e = moody();

    (void)s;
    return e ? e : real->ops->get(real, key, opts, ret, ret_info);
}

struct rig {
    struct peers peers;
    struct objstore_ops ops;
    struct objstore bucket; /* as the querier sees it */
    struct store *store;
    struct arena *arena;
    struct store_query sq;
};

/* A query has one catalogue at least as new as the last: another one is asked anew. */
static void new_query(struct rig *g)
{
    store_query_done(&g->sq);
    store_query_init(&g->sq, g->store,
                     &(struct store_query_opts){
                         .tenant = TENANT,
                         .arena = g->arena,
                         .deadline_mono_ms = clock_mono_ms(&clock_system) + 20000,
                     });
}

static void rig_up(struct rig *g, const char *zones, unsigned rf, int64_t catalogue_max_age_ms)
{
    *g = (struct rig){.arena = arena_new(0)};
    atomic_store(&mood, WELL);
    peers_up(&g->peers, zones, rf);
    CHECK_OK(
        objstore_fs_open(tmp_path("bucket"), &(struct objstore_fs_opts){.no_sync = true}, &real));
    g->ops = *real->ops;
    g->ops.stat = moody_stat;
    g->ops.get = moody_get;
    g->bucket = *real;
    g->bucket.ops = &g->ops;
    g->store = store_new(&(struct store_opts){.pool = g->peers.pool,
                                              .loop = g->peers.loop,
                                              .ring = peers_ring,
                                              .ring_arg = &g->peers,
                                              .objstore = &g->bucket,
                                              .straggler_ms = 100,
                                              .ingester_lookback_ms = 3600000,
                                              .catalogue_max_age_ms = catalogue_max_age_ms,
                                              .tombstone_max_age_ms = 3600000});
    new_query(g);
}

static void rig_down(struct rig *g)
{
    atomic_store(&mood, WELL);
    store_query_done(&g->sq);
    peers_down(&g->peers);
    store_free(g->store);
    arena_free(g->arena);
    objstore_close(real);
}

/* ---- data ---- */

static struct labels up(void)
{
    static const struct label name = {SLICE_INIT("__name__"), SLICE_INIT("up")};

    return (struct labels){&name, 1};
}

static struct chunk floats(struct rig *g, int64_t t0, size_t n, double v0)
{
    struct buf b = {0};
    int64_t t[16];
    double v[16];
    struct chunk c;

    for (size_t i = 0; i < n; i++) {
        t[i] = t0 + (int64_t)i;
        v[i] = v0 + (double)i;
    }
    chunk_xor_encode(&b, t, v, n);
    c = (struct chunk){CHUNK_XOR, t[0], t[n - 1], arena_dup(g->arena, buf_slice(&b))};
    buf_done(&b);
    return c;
}

static struct err *add_block(void *arg, struct catalogue *c, bool *ret_changed)
{
    struct catalogue_block b = catalogue_block_of_meta(arg);

    catalogue_add(c, &b);
    *ret_changed = true;
    return NULL;
}

/* A block with this chunk in the real bucket, and its catalogue a version on. */
static void hand_over(struct rig *g, unsigned number, struct chunk chunk)
{
    struct block_writer_opts o = {.dir = tmp_path("work"), .no_sync = true};
    struct block_writer *w;
    struct block_meta m;

    o.meta.ulid = ulid_make(number, (const uint8_t[10]){0});
    o.meta.level = 1;
    o.meta.tenant = TENANT;
    CHECK_OK(block_writer_open(&o, &w));
    CHECK_OK(block_writer_add(
        w, &(struct block_series){.labels = up(), .chunks = &chunk, .n_chunks = 1}));
    CHECK_OK(block_writer_finish(w, g->arena, &m));
    block_writer_close(w);
    CHECK_OK(block_store_upload(
        real, SIGNAL, TENANT,
        arena_printf(g->arena, "%s/%s", tmp_path("work"), ulid_print(m.ulid).s), &m));
    CHECK_OK(catalogue_update(real, SIGNAL, TENANT, add_block, &m, NULL));
}

static void mark_all(struct rig *g, uint64_t version)
{
    for (size_t i = 0; i < g->peers.n; i++)
        atomic_store(&g->peers.p[i].mark, version);
}

/* "t=v,…" of the one series; histograms as t=count. */
static struct err *read_all(struct rig *g, struct buf *out)
{
    struct matcher m = {.op = MATCHER_EQ, .name = SLICE("__name__"), .value = SLICE("up")};
    struct storage_request req = {.matchers = {&m, 1}, .start_ms = 0, .end_ms = 1000000};
    struct storage_series s;
    struct series_set *set;
    struct err *e;

    buf_reset(out);
    new_query(g);
    if ((e = storage_select(&g->sq.storage, g->arena, &req, &set)))
        return e;
    while (series_set_next(set, &s))
        for (size_t i = 0; i < s.n; i++)
            buf_printf(out, "%lld=%g,", (long long)s.t_ms[i],
                       s.h && s.h[i] ? s.h[i]->count : s.v[i]);
    return series_set_close(set);
}

/* ---- no gap ---- */

TEST(store_looks_again_when_ingesters_have_dropped_by_a_newer_catalogue)
{
    struct buf out = {0};
    struct rig g;

    rig_up(&g, "abc", 3, 3600000); /* nothing makes it look for an hour */
    hand_over(&g, 1, floats(&g, 10, 2, 5));
    CHECK_OK(read_all(&g, &out));
    CHECK_SLICE(buf_slice(&out), "10=5,11=6,");
    hand_over(&g, 2, floats(&g, 12, 2, 7));
    CHECK_OK(read_all(&g, &out));
    CHECK_SLICE(buf_slice(&out), "10=5,11=6,"); /* peers of before do not say */
    atomic_store(&g.peers.p[1].mark, 2);        /* one is enough */
    CHECK_OK(read_all(&g, &out));
    CHECK_SLICE(buf_slice(&out), "10=5,11=6,12=7,13=8,");
    mark_all(&g, 1); /* long known */
    CHECK_OK(read_all(&g, &out));
    CHECK_SLICE(buf_slice(&out), "10=5,11=6,12=7,13=8,");
    buf_done(&out);
    rig_down(&g);
}

TEST(store_fails_rather_than_miss_what_ingesters_have_dropped)
{
    struct buf out = {0};
    int64_t began_ms;
    struct err *e;
    struct rig g;

    rig_up(&g, "abc", 3, 0);
    hand_over(&g, 1, floats(&g, 10, 2, 5));
    mark_all(&g, 1);
    CHECK_OK(read_all(&g, &out));
    hand_over(&g, 2, floats(&g, 12, 2, 7));
    atomic_store(&mood, FAILS);
    CHECK_OK(
        read_all(&g, &out)); /* nothing newer is known of: what is held will do, which is said */
    CHECK_SLICE(buf_slice(&out), "10=5,11=6,");
    CHECK_INT(g.sq.warnings.len, 1);
    mark_all(&g, 2);
    CHECK_ERR(read_all(&g, &out), ERR_UNAVAILABLE,
              "version 2 of the catalogue of tenant t, and here it is at 1: stat");
    (void)usleep((LOOKOUT_PAUSE_MS + 100) * 1000); /* or it would not be asked again */
    atomic_store(&mood, HANGS);
    began_ms = clock_mono_ms(&clock_system);
    CHECK_ERR(read_all(&g, &out), ERR_UNAVAILABLE, "here it is at 1: the object store has not");
    CHECK(clock_mono_ms(&clock_system) - began_ms >= LOOKOUT_PATIENCE_MS / 2);
    atomic_store(&mood, WELL);
    while ((e = read_all(&g, &out)) && clock_mono_ms(&clock_system) - began_ms < 30000)
        err_free(e); /* until the look that hung has ended */
    CHECK_OK(e);
    CHECK_SLICE(buf_slice(&out), "10=5,11=6,12=7,13=8,");
    buf_done(&out);
    rig_down(&g);
}

TEST(store_says_when_the_bucket_itself_is_behind_the_ingesters)
{
    struct buf out = {0};
    struct rig g;

    rig_up(&g, "a", 1, 0);
    hand_over(&g, 1, floats(&g, 10, 2, 5));
    mark_all(&g, 7);
    CHECK_ERR(read_all(&g, &out), ERR_UNAVAILABLE,
              "version 7 of the catalogue of tenant t, and here it is at 1: the object store has");
    store_hint(g.store, SLICE("metrics"), TENANT,
               7); /* a hint is overruled by the bucket, a mark is not */
    CHECK_ERR(read_all(&g, &out), ERR_UNAVAILABLE, "the object store has no newer one");
    mark_all(&g, 0);
    CHECK_OK(read_all(&g, &out));
    buf_done(&out);
    rig_down(&g);
}

TEST(store_names_exemplars_and_metadata_miss_nothing_either)
{
    struct matcher m = {.op = MATCHER_EQ, .name = SLICE("__name__"), .value = SLICE("up")};
    struct matchers ms = {&m, 1};
    struct rpc_exemplars *exemplars;
    struct rpc_metadata *metadata;
    struct store_names names;
    struct series_set *set;
    struct rig g;
    size_t n;

    rig_up(&g, "ab", 2, 3600000);
    CHECK_OK(store_names(&g.sq, &ms, 1, (struct slice){0}, 0, 100, &names));
    CHECK_INT(names.n, 0);
    hand_over(&g, 1, floats(&g, 10, 2, 5));
    mark_all(&g, 1);
    new_query(&g);
    CHECK_OK(store_names(&g.sq, &ms, 1, (struct slice){0}, 0, 100, &names));
    CHECK_INT(names.n, 1);
    atomic_store(&mood, FAILS);
    mark_all(&g, 2);
    new_query(&g);
    CHECK_ERR(store_names(&g.sq, &ms, 1, (struct slice){0}, 0, 100, &names), ERR_UNAVAILABLE,
              "here it is at 1");
    new_query(&g);
    CHECK_ERR(store_exemplars(&g.sq, &(struct store_exemplars_request){&ms, 1, 0, 100, NULL, NULL},
                              &exemplars, &n),
              ERR_UNAVAILABLE, "here it is at 1");
    new_query(&g);
    CHECK_ERR(store_metadata(&g.sq, SLICE_EMPTY, &metadata, &n), ERR_UNAVAILABLE,
              "here it is at 1");
    new_query(&g);
    CHECK_ERR(store_series(&g.sq, ms, 0, 100, &set), ERR_UNAVAILABLE, "here it is at 1");
    rig_down(&g);
}

/* A replica that does not answer says nothing of what it has dropped, and nothing of it is needed: the others hold, or
 * have dropped, what it had. */
TEST(store_does_not_wait_for_what_a_lost_replica_has_dropped)
{
    struct buf out = {0};
    struct rig g;

    rig_up(&g, "abc", 3, 0);
    for (size_t i = 0; i < 3; i++)
        peer_add_series(&g.peers.p[i], up(), (struct chunk[]){floats(&g, 12, 2, 7)}, 1);
    hand_over(&g, 1, floats(&g, 10, 2, 5));
    CHECK_OK(read_all(&g, &out));
    atomic_store(&mood, FAILS);
    atomic_store(&g.peers.p[2].mark, 9);
    g.peers.p[2].mood = PEER_HANGS;
    CHECK_OK(read_all(&g, &out));
    CHECK_SLICE(buf_slice(&out), "10=5,11=6,12=7,13=8,");
    buf_done(&out);
    rig_down(&g);
}

/* ---- no double count ---- */

static struct chunk histograms(struct rig *g, int64_t t0, size_t n)
{
    static const struct histogram_span spans[] = {{0, 2}};
    struct chunk_build b;
    struct chunk c;

    chunk_build_init(&b);
    chunk_build_begin(&b, g->arena);
    for (size_t i = 0; i < n; i++) {
        double at = (double)(t0 + (int64_t)i), buckets[] = {at, at};

        chunk_build_histogram(&b, t0 + (int64_t)i,
                              &(struct histogram){.count = 2 * at,
                                                  .sum = at,
                                                  .pos_spans = spans,
                                                  .n_pos_spans = 1,
                                                  .pos_buckets = buckets,
                                                  .n_pos_buckets = 2});
    }
    chunk_build_end(&b);
    CHECK_INT(b.chunks.len, 1);
    c = b.chunks.ptr[0];
    chunk_build_done(&b);
    return c;
}

/* The block is visible, two of the ingesters still have its segment and one has newer data, too. */
TEST(store_counts_once_what_is_in_a_block_and_still_with_ingesters)
{
    struct buf out = {0};
    struct rig g;

    rig_up(&g, "abc", 3, 0);
    peer_add_series(&g.peers.p[0], up(), (struct chunk[]){floats(&g, 10, 3, 5)}, 1);
    peer_add_series(&g.peers.p[1], up(), (struct chunk[]){floats(&g, 10, 5, 5)}, 1);
    atomic_store(&g.peers.p[2].mark, 1);
    hand_over(&g, 1, floats(&g, 10, 3, 5));
    CHECK_OK(read_all(&g, &out));
    CHECK_SLICE(buf_slice(&out), "10=5,11=6,12=7,13=8,14=9,");
    buf_done(&out);
    rig_down(&g);
}

TEST(store_counts_native_histograms_once_too)
{
    struct buf out = {0};
    struct rig g;

    rig_up(&g, "abc", 3, 0);
    peer_add_series(&g.peers.p[0], up(), (struct chunk[]){histograms(&g, 10, 3)}, 1);
    peer_add_series(&g.peers.p[1], up(), (struct chunk[]){histograms(&g, 11, 3)}, 1);
    atomic_store(&g.peers.p[2].mark, 1);
    hand_over(&g, 1, histograms(&g, 10, 3));
    CHECK_OK(read_all(&g, &out));
    CHECK_SLICE(buf_slice(&out), "10=20,11=22,12=24,13=26,");
    buf_done(&out);
    rig_down(&g);
}
