#include "common/base/rng.h"
#include "common/block/block_store.h"
#include "common/block/block_writer.h"
#include "common/block/catalogue.h"
#include "common/objstore/objstore_fs.h"
#include "querier/store/store.h"
#include "tests/unit/querier/store/peers_fixture.h"

#define TENANT SLICE("t")

struct rig {
    struct peers peers;
    struct store *store;
    struct objstore *bucket;
    struct arena *arena;
    struct store_query sq;
    atomic_bool cancel;
};

static void rig_up(struct rig *g, const char *zones, unsigned rf, bool with_bucket)
{
    *g = (struct rig){0};
    peers_up(&g->peers, zones, rf);
    if (with_bucket)
        CHECK_OK(objstore_fs_open(tmp_path("bucket"), &(struct objstore_fs_opts){.no_sync = true},
                                  &g->bucket));
    g->store = store_new(&(struct store_opts){.pool = g->peers.pool,
                                              .loop = g->peers.loop,
                                              .ring = peers_ring,
                                              .ring_arg = &g->peers,
                                              .objstore = g->bucket,
                                              .local_root = tmp_path("bucket"),
                                              .straggler_ms = 100,
                                              .ingester_lookback_ms = 3600000});
    g->arena = arena_new(0);
    store_query_init(&g->sq, g->store,
                     &(struct store_query_opts){
                         .tenant = TENANT,
                         .arena = g->arena,
                         .deadline_mono_ms = clock_mono_ms(&clock_system) + 20000,
                         .cancel = &g->cancel,
                     });
}

static void rig_down(struct rig *g)
{
    store_query_done(&g->sq);
    arena_free(g->arena);
    peers_down(&g->peers);
    store_free(g->store);
    objstore_close(g->bucket);
}

static struct chunk floats(struct arena *a, int64_t t0, size_t n, double v0)
{
    int64_t *t = arena_array(a, int64_t, n);
    double *v = arena_array(a, double, n);
    struct buf b = {0};
    struct chunk c;

    for (size_t i = 0; i < n; i++) {
        t[i] = t0 + (int64_t)i;
        v[i] = v0 + (double)i;
    }
    chunk_xor_encode(&b, t, v, n);
    c = (struct chunk){CHUNK_XOR, t[0], t[n - 1], arena_dup(a, buf_slice(&b))};
    buf_done(&b);
    return c;
}

static struct labels named(struct arena *a, const char *name, unsigned i)
{
    struct label *ls = arena_array(a, struct label, 2);

    ls[0] = (struct label){SLICE("__name__"), slice_cstr(arena_strdup(a, name))};
    ls[1] = (struct label){SLICE("i"), slice_cstr(arena_printf(a, "%03u", i))};
    return (struct labels){ls, 2};
}

/* "name{i}:first..last(n) ..." of a select of everything in 0..1000000. */
static struct err *read_all(struct rig *g, struct buf *out)
{
    struct matcher m = {.op = MATCHER_NE, .name = SLICE("__name__"), .value = SLICE("")};
    struct storage_request req = {.matchers = {&m, 1}, .start_ms = 0, .end_ms = 1000000};
    struct storage_series s;
    struct series_set *set;
    struct err *e;

    buf_reset(out);
    if ((e = storage_select(&g->sq.storage, g->arena, &req, &set)))
        return e;
    while (series_set_next(set, &s)) {
        buf_printf(out, "%.*s%.*s:", SLICE_ARG(labels_get(s.labels, SLICE("__name__"))),
                   SLICE_ARG(labels_get(s.labels, SLICE("i"))));
        for (size_t i = 0; i < s.n; i++)
            buf_printf(out, "%s%lld=%g", i ? "," : "", (long long)s.t_ms[i], s.v[i]);
        buf_byte(out, ' ');
    }
    return series_set_close(set);
}

static void fill_same(struct rig *g)
{
    for (size_t i = 0; i < g->peers.n; i++)
        peer_add_series(&g->peers.p[i], named(g->arena, "up", 1),
                        (struct chunk[]){floats(g->arena, 10, 3, 5)}, 1);
}

TEST(store_replicas_count_once)
{
    struct buf out = {0};
    struct rig g;

    rig_up(&g, "abc", 3, false);
    fill_same(&g);
    CHECK_OK(read_all(&g, &out));
    CHECK_SLICE(buf_slice(&out), "up001:10=5,11=6,12=7 ");
    buf_done(&out);
    rig_down(&g);
}

TEST(store_one_lost_replica_is_made_up_for_two_are_an_error)
{
    static const enum peer_mood moods[] = {PEER_REFUSES, PEER_HANGS, PEER_BREAKS};
    struct buf out = {0};
    struct rig g;

    rig_up(&g, "abc", 3, false);
    for (size_t i = 0; i < 3; i++) {
        peer_add_series(&g.peers.p[i], named(g.arena, "up", 1),
                        (struct chunk[]){floats(g.arena, 10, 2, 5)}, 1);
        peer_add_series(&g.peers.p[i], named(g.arena, "up", 2),
                        (struct chunk[]){floats(g.arena, 20, 2, 1)}, 1);
    }
    for (size_t k = 0; k < ORR_COUNT(moods); k++) {
        g.peers.p[1].mood = moods[k];
        CHECK_OK(read_all(&g, &out));
        CHECK_SLICE(buf_slice(&out), "up001:10=5,11=6 up002:20=1,21=2 ");
    }
    g.peers.p[1].mood = PEER_REFUSES;
    g.peers.p[2].mood = PEER_BREAKS;
    CHECK_ERR(read_all(&g, &out), ERR_UNAVAILABLE, "ingester-1 (zone b)");
    g.peers.p[0].mood = PEER_REFUSES;
    CHECK_ERR(read_all(&g, &out), ERR_UNAVAILABLE, "more ingesters failed than the 1 zone");
    buf_done(&out);
    rig_down(&g);
}

TEST(store_waits_for_a_straggler_once)
{
    struct store_stats before, after;
    struct buf out = {0};
    int64_t began;
    struct rig g;

    rig_up(&g, "abc", 3, false);
    fill_same(&g);
    g.peers.p[1].mood = PEER_HANGS;
    CHECK_OK(read_all(&g, &out));
    store_stats_get(g.store, &before);
    began = clock_mono_ms(&clock_system);
    for (size_t i = 0; i < 5; i++) /* 100 ms the first time, 10 ms each from then on */
        CHECK_OK(read_all(&g, &out));
    CHECK(clock_mono_ms(&clock_system) - began >= 50);
    store_stats_get(g.store, &after);
    CHECK_INT(before.stragglers, 1);
    CHECK_INT(after.stragglers, 6);
    buf_done(&out);
    rig_down(&g);
}

TEST(store_a_whole_zone_may_be_missing_but_no_instance_of_another)
{
    struct buf out = {0};
    struct rig g;

    rig_up(&g, "aabbcc", 3, false);
    fill_same(&g);
    g.peers.p[2].mood = PEER_REFUSES;
    g.peers.p[3].mood = PEER_HANGS;
    CHECK_OK(read_all(&g, &out));
    CHECK_SLICE(buf_slice(&out), "up001:10=5,11=6,12=7 ");
    g.peers.p[5].mood = PEER_REFUSES;
    CHECK_ERR(read_all(&g, &out), ERR_UNAVAILABLE, "ingester-5 (zone c)");
    buf_done(&out);
    rig_down(&g);
}

TEST(store_the_only_replica_is_waited_for_until_cancelled)
{
    struct buf out = {0};
    struct rig g;

    rig_up(&g, "a", 1, false);
    fill_same(&g);
    g.peers.p[0].mood = PEER_HANGS;
    g.sq.opts.deadline_mono_ms = clock_mono_ms(&clock_system) + 300;
    CHECK_ERR(read_all(&g, &out), ERR_TIMEOUT, "");
    g.sq.opts.deadline_mono_ms = 0;
    atomic_store(&g.cancel, true);
    CHECK_ERR(read_all(&g, &out), ERR_CANCELED, "");
    buf_done(&out);
    rig_down(&g);
}

/* More messages than a call has credits, different on every replica. */
TEST(store_merges_long_streams)
{
    struct buf out = {0}, want = {0};
    struct rig g;
    struct rng rng;

    rig_up(&g, "abc", 3, false);
    rng_seed(&rng, 7);
    for (unsigned i = 0; i < 300; i++) {
        unsigned who = rng_u32(&rng) % 7 + 1;

        for (size_t p = 0; p < 3; p++)
            if (who >> p & 1)
                peer_add_series(
                    &g.peers.p[p], named(g.arena, "m", i),
                    (struct chunk[]){floats(g.arena, 100 + (int64_t)p, 2, 1 + (double)p)}, 1);
        buf_printf(&want, "m%03u:", i);
        for (unsigned t = 0, n = 0; t < 4; t++) /* peer p has p+1 at 100+p and p+2 at 101+p */
            if ((t < 3 && who >> t & 1) || (t > 0 && who >> (t - 1) & 1))
                buf_printf(&want, "%s%u=%u", n++ ? "," : "", 100 + t, 1 + t);
        buf_byte(&want, ' ');
    }
    CHECK_OK(read_all(&g, &out));
    CHECK(slice_eq(buf_slice(&out), buf_slice(&want)));
    g.peers.p[2].mood = PEER_BREAKS;
    CHECK_OK(read_all(&g, &out));
    buf_done(&out);
    buf_done(&want);
    rig_down(&g);
}

TEST(store_budget_names_its_limit)
{
    struct buf out = {0};
    struct rig g;

    rig_up(&g, "a", 1, false);
    for (unsigned i = 0; i < 4; i++)
        peer_add_series(&g.peers.p[0], named(g.arena, "m", i),
                        (struct chunk[]){floats(g.arena, 1, 2, 1)}, 1);
    g.sq.budget.max_series = 3;
    CHECK_ERR(read_all(&g, &out), ERR_LIMIT, "max-fetched-series-per-query");
    buf_done(&out);
    rig_down(&g);
}

TEST(store_answers_nothing_before_it_knows_an_ingester)
{
    struct buf out = {0};
    struct rig g;

    rig_up(&g, "", 3, false);
    CHECK_ERR(read_all(&g, &out), ERR_UNAVAILABLE, "no ingester");
    buf_done(&out);
    rig_down(&g);
}

/* ---- blocks ---- */

static struct ulid ulid_of(unsigned i)
{
    uint8_t entropy[10] = {0};

    entropy[9] = (uint8_t)i;
    return ulid_make(1700000000000ll, entropy);
}

struct new_block {
    const struct catalogue_block *add;
    const struct ulid *retire;
};

static struct err *edit(void *arg, struct catalogue *c, bool *ret_changed)
{
    const struct new_block *nb = arg;

    if (nb->add)
        catalogue_add(c, nb->add);
    if (nb->retire)
        CHECK(catalogue_retire(c, *nb->retire, 1));
    *ret_changed = true;
    return NULL;
}

static void put_block(struct rig *g, unsigned i, struct labels ls, struct chunk chunk,
                      struct slice exemplars, struct catalogue_block *ret)
{
    struct block_writer_opts o = {.dir = tmp_path("work"), .no_sync = true};
    struct block_meta meta;
    struct block_writer *w;

    o.meta.ulid = ulid_of(i);
    o.meta.level = 1;
    o.meta.tenant = TENANT;
    CHECK_OK(block_writer_open(&o, &w));
    CHECK_OK(
        block_writer_add(w, &(struct block_series){.labels = ls, .chunks = &chunk, .n_chunks = 1}));
    if (exemplars.len)
        CHECK_OK(block_writer_sidecar(w, "exemplars", exemplars));
    CHECK_OK(block_writer_finish(w, g->arena, &meta));
    block_writer_close(w);
    CHECK_OK(block_store_upload(
        g->bucket, SLICE("metrics"), TENANT,
        arena_printf(g->arena, "%s/%s", tmp_path("work"), ulid_print(o.meta.ulid).s), &meta));
    *ret = catalogue_block_of_meta(&meta);
}

static void publish(struct rig *g, const struct catalogue_block *add, const struct ulid *retire)
{
    struct new_block nb = {add, retire};

    CHECK_OK(catalogue_update(g->bucket, SLICE("metrics"), TENANT, edit, &nb, NULL));
}

TEST(store_merges_blocks_with_ingesters_and_sees_a_new_catalogue_at_once)
{
    struct catalogue_block one, two;
    struct buf out = {0};
    struct ulid first = ulid_of(1);
    struct rig g;

    rig_up(&g, "a", 1, true);
    peer_add_series(&g.peers.p[0], named(g.arena, "up", 1),
                    (struct chunk[]){floats(g.arena, 12, 3, 7)}, 1);
    CHECK_OK(read_all(&g, &out));
    CHECK_SLICE(buf_slice(&out), "up001:12=7,13=8,14=9 ");
    put_block(&g, 1, named(g.arena, "up", 1), floats(g.arena, 10, 3, 5), SLICE_EMPTY, &one);
    CHECK_OK(read_all(&g, &out)); /* not in the catalogue yet */
    CHECK_SLICE(buf_slice(&out), "up001:12=7,13=8,14=9 ");
    publish(&g, &one, NULL);
    CHECK_OK(read_all(&g, &out));
    CHECK_SLICE(buf_slice(&out), "up001:10=5,11=6,12=7,13=8,14=9 ");
    /* compacted: another block takes its place and it is deleted */
    put_block(&g, 2, named(g.arena, "up", 0), floats(g.arena, 5, 1, 1), SLICE_EMPTY, &two);
    publish(&g, &two, &first);
    CHECK_OK(
        block_store_delete(g.bucket, block_store_prefix(g.arena, SLICE("metrics"), TENANT, first)));
    CHECK_OK(read_all(&g, &out));
    CHECK_SLICE(buf_slice(&out), "up000:5=1 up001:12=7,13=8,14=9 ");
    buf_done(&out);
    rig_down(&g);
}

TEST(store_a_block_that_is_missing_from_the_bucket_is_an_error)
{
    struct catalogue_block one;
    struct buf out = {0};
    struct rig g;

    rig_up(&g, "a", 1, true);
    put_block(&g, 1, named(g.arena, "up", 1), floats(g.arena, 10, 3, 5), SLICE_EMPTY, &one);
    publish(&g, &one, NULL);
    CHECK_OK(block_store_delete(g.bucket,
                                block_store_prefix(g.arena, SLICE("metrics"), TENANT, ulid_of(1))));
    CHECK_ERR(read_all(&g, &out), ERR_UNAVAILABLE, "block");
    buf_done(&out);
    rig_down(&g);
}

/* ---- beside samples ---- */

TEST(store_names_of_all_places_once)
{
    struct catalogue_block one;
    struct store_names names;
    struct matcher m = {.op = MATCHER_EQ, .name = SLICE("__name__"), .value = SLICE("up")};
    struct matchers ms = {&m, 1};
    struct rig g;

    rig_up(&g, "ab", 2, true);
    for (size_t i = 0; i < 2; i++) {
        struct buf *b = peer_frame(&g.peers.p[i].names);

        buf_lstr(b, SLICE("__name__"));
        buf_lstr(b, i ? SLICE("job") : SLICE("zone"));
    }
    put_block(&g, 1, named(g.arena, "up", 1), floats(g.arena, 10, 3, 5), SLICE_EMPTY, &one);
    publish(&g, &one, NULL);
    for (size_t n = 0; n < 2; n++) {
        CHECK_OK(store_names(&g.sq, &ms, n, (struct slice){0}, 0, 100, &names));
        CHECK_INT(names.n, 4);
        CHECK_SLICE(names.ptr[0], "__name__");
        CHECK_SLICE(names.ptr[1], "i");
        CHECK_SLICE(names.ptr[2], "job");
        CHECK_SLICE(names.ptr[3], "zone");
    }
    rig_down(&g);
}

TEST(store_metadata_of_all_replicas_once)
{
    struct rpc_metadata *m;
    struct rig g;
    size_t n;

    rig_up(&g, "abc", 3, false);
    for (size_t i = 0; i < 3; i++) {
        struct buf *b = peer_frame(&g.peers.p[i].metadata);

        rpc_metadata_encode(
            b, &(struct rpc_metadata){SLICE("up"), SLICE("Is it?"), SLICE(""), METRIC_GAUGE_TYPE});
        if (i == 2)
            rpc_metadata_encode(b, &(struct rpc_metadata){SLICE("cpu"), SLICE("Time."), SLICE("s"),
                                                          METRIC_COUNTER_TYPE});
    }
    CHECK_OK(store_metadata(&g.sq, SLICE_EMPTY, &m, &n));
    CHECK_INT(n, 2);
    CHECK_SLICE(m[0].family, "cpu");
    CHECK_SLICE(m[1].help, "Is it?");
    CHECK_OK(store_metadata(&g.sq, SLICE("cpu"), &m, &n));
    CHECK_INT(n, 1);
    rig_down(&g);
}

static void sidecar_exemplar(struct buf *b, struct labels series, int64_t t, double v,
                             struct labels ls)
{
    struct buf x = {0};

    labels_canonical(&x, series);
    buf_lstr(b, buf_slice(&x));
    buf_u64le(b, (uint64_t)t);
    buf_f64le(b, v);
    buf_reset(&x);
    labels_canonical(&x, ls);
    buf_lstr(b, buf_slice(&x));
    buf_done(&x);
}

static bool is_of_one(void *arg, const struct exemplar *ex)
{
    (void)arg;
    return ex->value > 1;
}

TEST(store_exemplars_of_ingesters_and_blocks)
{
    struct label id = {SLICE("trace_id"), SLICE("abc")};
    struct exemplar ex = {{&id, 1}, 1.5, 11}, later = {{&id, 1}, 2.5, 40};
    struct matcher m = {.op = MATCHER_EQ, .name = SLICE("__name__"), .value = SLICE("up")};
    struct matchers ms = {&m, 1};
    struct store_exemplars_request req = {&ms, 1, 0, 30, NULL, NULL};
    struct rpc_exemplars *got;
    struct catalogue_block one;
    struct buf side = {0};
    struct rig g;
    size_t n;

    rig_up(&g, "ab", 2, true);
    for (size_t i = 0; i < 2; i++)
        rpc_exemplars_encode(
            peer_frame(&g.peers.p[i].exemplars),
            &(struct rpc_exemplars){named(g.arena, "up", 1), (struct exemplar[]){ex, later}, 2});
    buf_append(&side, "ORREXM\0\1", 8);
    sidecar_exemplar(&side, named(g.arena, "up", 1), 11, 1.5, ex.labels);
    sidecar_exemplar(&side, named(g.arena, "up", 1), 9, 0.5, ex.labels);
    sidecar_exemplar(&side, named(g.arena, "down", 1), 9, 0.5, ex.labels);
    buf_u32le(&side, hash_crc32c(buf_slice(&side)));
    put_block(&g, 1, named(g.arena, "up", 1), floats(g.arena, 5, 30, 5), buf_slice(&side), &one);
    publish(&g, &one, NULL);
    CHECK_OK(store_exemplars(&g.sq, &req, &got, &n));
    CHECK_INT(n, 1);
    CHECK_INT(got[0].n, 2);
    CHECK(got[0].ptr[0].value == 0.5 && got[0].ptr[1].value == 1.5);
    CHECK_SLICE(got[0].ptr[1].labels.ptr[0].value, "abc");
    req.keep = is_of_one;
    CHECK_OK(store_exemplars(&g.sq, &req, &got, &n)); /* of both, those alone that are wanted */
    CHECK_INT(n, 1);
    CHECK_INT(got[0].n, 1);
    CHECK(got[0].ptr[0].value == 1.5);
    buf_done(&side);
    rig_down(&g);
}

/* ---- what is deleted; what is in memory ---- */

static struct err *add_tombstone(void *arg, struct tombstone_list *l, bool *ret_changed)
{
    struct arena *a = arena_new(0);
    struct matcher m;
    struct tombstone t = {.min_ms = 0, .max_ms = 1000000, .matchers = {&m, 1}};
    struct err *e;

    t.ulid.bytes[0] = 1;
    CHECK_OK(matcher_init(a, MATCHER_EQ, SLICE("i"), slice_cstr(arg), &m));
    e = tombstone_list_add(l, &t);
    *ret_changed = true;
    arena_free(a);
    return e;
}

TEST(store_leaves_out_what_is_deleted)
{
    struct label id = {SLICE("trace_id"), SLICE("x")};
    struct exemplar ex = {{&id, 1}, 1, 150};
    struct rpc_exemplars *exemplars;
    struct store_names names;
    struct storage_series s;
    struct series_set *set;
    struct arena *a = arena_new(0);
    struct rig g;
    size_t n = 0, n_ex;
    bool has, is_sure;

    rig_up(&g, "abc", 3, true);
    for (size_t i = 0; i < 3; i++)
        for (unsigned k = 1; k <= 2; k++) {
            struct chunk c = floats(a, 100, 100, k);

            peer_add_series(&g.peers.p[i], named(a, "m", k), &c, 1);
            rpc_exemplars_encode(peer_frame(&g.peers.p[i].exemplars),
                                 &(struct rpc_exemplars){named(a, "m", k), &ex, 1});
        }
    CHECK_OK(tombstone_list_update(g.bucket, SLICE("metrics"), TENANT, add_tombstone, (void *)"001",
                                   NULL));
    CHECK_OK(store_series(&g.sq, (struct matchers){0}, 0, 1000, &set));
    while (series_set_next(set, &s)) {
        CHECK_SLICE(labels_get(s.labels, SLICE("i")), "002");
        n++;
    }
    CHECK_OK(series_set_close(set));
    CHECK_INT(n, 1);
    CHECK_OK(store_names(&g.sq, NULL, 0, SLICE("i"), 0, 1000, &names));
    CHECK_INT(names.n, 1);
    CHECK_SLICE(names.ptr[0], "002");
    CHECK_OK(store_exemplars(&g.sq,
                             &(struct store_exemplars_request){
                                 .sets = &(struct matchers){0}, .n_sets = 1, .max_ms = 1000},
                             &exemplars, &n_ex));
    CHECK_INT(n_ex, 1);
    CHECK_SLICE(labels_get(exemplars[0].labels, SLICE("i")), "002");
    CHECK_OK(store_has_samples(&g.sq, (struct matchers){0}, 0, 1000, &has, &is_sure));
    CHECK(has);
    CHECK_OK(store_has_samples(&g.sq, (struct matchers){0}, 5000, 6000, &has, &is_sure));
    CHECK(!has && is_sure);
    g.peers.p[2].mood = PEER_REFUSES; /* it may have some */
    CHECK_OK(store_has_samples(&g.sq, (struct matchers){0}, 5000, 6000, &has, &is_sure));
    CHECK(!has && !is_sure);
    arena_free(a);
    rig_down(&g);
}

TEST(store_counts_pairs_without_replicas)
{
    struct store_pair *pairs;
    struct rpc_head h;
    uint64_t series;
    struct rig g;
    size_t n;

    rig_up(&g, "abc", 3, false);
    for (size_t i = 0; i < 3; i++) {
        struct buf *b = peer_frame(&g.peers.p[i].pairs);

        rpc_pair_encode(b, &(struct rpc_pair){SLICE(""), SLICE(""), 30});
        rpc_pair_encode(b, &(struct rpc_pair){SLICE("job"), SLICE("a"), 20});
        rpc_pair_encode(b, &(struct rpc_pair){SLICE("job"), i ? SLICE("b") : SLICE("c"), 10});
        rpc_head_encode(peer_frame(&g.peers.p[i].head),
                        &(struct rpc_head){30, 3, 60, 3000, 9, 100 + (int64_t)i, 200});
    }
    CHECK_OK(store_pairs(&g.sq, (struct matchers){0}, (struct slice){0}, &pairs, &n, &series));
    CHECK_INT(series, 30);
    CHECK_INT(n, 3);
    CHECK_SLICE(pairs[0].value, "a");
    CHECK_INT(pairs[0].series, 20);
    CHECK_INT(pairs[1].series, 7); /* two of three have it */
    CHECK_OK(store_head(&g.sq, &h));
    CHECK_INT(h.series, 30);
    CHECK_INT(h.chunks, 60);
    CHECK_INT(h.rate_milli, 9);
    CHECK_INT(h.min_ms, 100);
    g.peers.p[1].mood = PEER_REFUSES; /* one less to divide by */
    CHECK_OK(store_pairs(&g.sq, (struct matchers){0}, (struct slice){0}, &pairs, &n, &series));
    CHECK_INT(series, 30);
    CHECK_INT(pairs[0].series, 20);
    rig_down(&g);
}
