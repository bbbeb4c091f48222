/* Blocks of replicas before they are merged: what one of them has lost the others make up for, or the error names it. */
#include "common/base/fsx.h"
#include "common/block/block_store.h"
#include "common/block/block_writer.h"
#include "common/block/chunk_build.h"
#include "common/objstore/objstore_fs.h"
#include "querier/store/blockloss.h"
#include "querier/store/store.h"
#include "tests/unit/querier/store/peers_fixture.h"

#define TENANT SLICE("t")
#define SIGNAL SLICE("metrics")
#define SERIES 12
#define SAMPLES 30
/* From one byte that is wrong to the next. */
#ifdef ORR_SANITIZED
#define STEP 53
#else
#define STEP 7
#endif

struct rig {
    struct peers peers;
    struct ring *queriers; /* NULL: blocks have no owners */
    struct objstore *bucket;
    struct store *store;
    struct arena *arena;
    struct block_meta metas[12];
    uint64_t lost;
    struct slice warned; /* of the last answer, a line each; in the arena */
};

static struct ring *queriers_of(void *arg)
{
    return ring_ref(((struct rig *)arg)->queriers);
}

static void open_store(struct rig *g)
{
    g->store = store_new(&(struct store_opts){.pool = g->peers.pool,
                                              .queriers = queriers_of,
                                              .queriers_arg = g,
                                              .self = "q0",
                                              .block_replication = g->queriers ? 1 : 0,
                                              .loop = g->peers.loop,
                                              .ring = peers_ring,
                                              .ring_arg = &g->peers,
                                              .objstore = g->bucket,
                                              .straggler_ms = 100,
                                              .ingester_lookback_ms = 3600000,
                                              .tombstone_max_age_ms = 3600000});
}

/* What is held of blocks goes, as after a restart. */
static void restart(struct rig *g)
{
    store_free(g->store);
    open_store(g);
}

struct adding {
    struct block_meta *meta;
    const char *zone, *instance;
};

static struct err *add_block(void *arg, struct catalogue *c, bool *ret_changed)
{
    struct adding *x = arg;
    struct catalogue_block b = catalogue_block_of_meta(x->meta);

    b.origin.zone = slice_cstr(x->zone);
    b.origin.instance = slice_cstr(x->instance);
    catalogue_add(c, &b);
    *ret_changed = true;
    return NULL;
}

static struct labels labels_of(struct rig *g, unsigned k)
{
    struct label *ls = arena_array(g->arena, struct label, 2);

    ls[0] = (struct label){SLICE("a"), slice_cstr(arena_printf(g->arena, "v%02u", k))};
    ls[1] = (struct label){SLICE("b"), SLICE("x")};
    return (struct labels){ls, 2};
}

static struct chunk floats(struct rig *g, int64_t t0, unsigned series)
{
    struct buf b = {0};
    int64_t t[SAMPLES];
    double v[SAMPLES];
    struct chunk c;

    for (int i = 0; i < SAMPLES; i++) {
        t[i] = t0 + i * 1000;
        v[i] = series * 1000 + i * i;
    }
    chunk_xor_encode(&b, t, v, SAMPLES);
    c = (struct chunk){CHUNK_XOR, t[0], t[SAMPLES - 1], arena_dup(g->arena, buf_slice(&b))};
    buf_done(&b);
    return c;
}

static void name_in_catalogue(struct rig *g, unsigned i, const char *zone)
{
    struct adding x = {&g->metas[i], zone, ""};

    CHECK_OK(catalogue_update(g->bucket, SIGNAL, TENANT, add_block, &x, NULL));
}

/* The segment of one ingester as a block: all have the same samples. */
static void put_block(struct rig *g, unsigned i, const char *zone)
{
    struct block_writer_opts o = {.dir = tmp_path("work"), .no_sync = true};
    struct block_writer *w;

    o.meta.ulid = ulid_make(i + 1, (const uint8_t[10]){0});
    o.meta.level = 1;
    o.meta.tenant = TENANT;
    CHECK_OK(block_writer_open(&o, &w));
    for (unsigned k = 0; k < SERIES; k++) {
        struct chunk c[2] = {floats(g, 1000, k), floats(g, 100000, k)};
        struct labels ls = labels_of(g, k);

        CHECK_OK(
            block_writer_add(w, &(struct block_series){.labels = ls, .chunks = c, .n_chunks = 2}));
    }
    CHECK_OK(block_writer_finish(w, g->arena, &g->metas[i]));
    block_writer_close(w);
    CHECK_OK(block_store_upload(
        g->bucket, SIGNAL, TENANT,
        arena_printf(g->arena, "%s/%s", tmp_path("work"), ulid_print(g->metas[i].ulid).s),
        &g->metas[i]));
    name_in_catalogue(g, i, zone);
}

static void rig_up(struct rig *g, unsigned rf, const char *const zones[3])
{
    static char dir[512];

    *g = (struct rig){.arena = arena_new(0)};
    snprintf(dir, sizeof(dir), "%s", tmp_path("bucket"));
    CHECK_OK(fsx_remove_tree(dir));
    CHECK_OK(objstore_fs_open(dir, &(struct objstore_fs_opts){.no_sync = true}, &g->bucket));
    peers_up(&g->peers, "abc", rf);
    open_store(g);
    for (unsigned i = 0; i < 3; i++)
        if (zones[i])
            put_block(g, i, zones[i]);
}

static void rig_down(struct rig *g)
{
    peers_down(&g->peers);
    store_free(g->store);
    objstore_close(g->bucket);
    arena_free(g->arena);
}

/* As the engine does. */
static void take_warnings(struct rig *g, const struct series_set *set)
{
    struct buf b = {0};

    for (size_t i = 0; i < set->n_warnings; i++)
        buf_printf(&b, "%.*s\n", SLICE_ARG(set->warnings[i]));
    g->warned = arena_dup(g->arena, buf_slice(&b));
    buf_done(&b);
}

static struct err *select_once(struct rig *g, struct store_query *sq, double *ret_sum,
                               size_t *ret_n)
{
    struct matcher m = {.op = MATCHER_EQ, .name = SLICE("b"), .value = SLICE("x")};
    struct storage_request req = {.matchers = {&m, 1}, .start_ms = 0, .end_ms = 1000000};
    struct storage_series s;
    struct series_set *set;
    struct err *e;

    *ret_sum = 0;
    *ret_n = 0;
    if ((e = storage_select(&sq->storage, sq->opts.arena, &req, &set)))
        return e;
    while (series_set_next(set, &s))
        for (size_t i = 0; i < s.n; i++, ++*ret_n)
            *ret_sum += s.v[i];
    take_warnings(g, set);
    return series_set_close(set);
}

/* Samples of all series added up, so that none may be missing or count twice; one query that selects them so often. */
static struct err *ask_times(struct rig *g, int times, double *ret_sum, size_t *ret_n)
{
    struct arena *a = arena_new(0);
    struct store_stats st;
    struct store_query sq;
    struct err *e = NULL;

    store_query_init(
        &sq, g->store,
        &(struct store_query_opts){.tenant = TENANT,
                                   .arena = a,
                                   .deadline_mono_ms = clock_mono_ms(&clock_system) + 20000});
    for (int i = 0; !e && i < times; i++)
        e = select_once(g, &sq, ret_sum, ret_n);
    store_query_done(&sq);
    arena_free(a);
    store_stats_get(g->store, &st);
    g->lost = st.lost_blocks;
    return e;
}

static struct err *ask(struct rig *g, double *ret_sum, size_t *ret_n)
{
    return ask_times(g, 1, ret_sum, ret_n);
}

static size_t count_of(struct slice text, struct slice part)
{
    size_t n = 0;

    for (int64_t at; (at = slice_find(text, part, 0)) >= 0; n++)
        text = slice_from(text, (size_t)at + part.len);
    return n;
}

/* It is named with its range, once. */
static bool is_warned_of(struct rig *g, unsigned block)
{
    return count_of(g->warned,
                    slice_cstr(arena_printf(
                        g->arena, "block %s (1970-01-01T00:00:01Z to 1970-01-01T00:02:09Z) cannot",
                        ulid_print(g->metas[block].ulid).s))) == 1;
}

static void check_whole(struct rig *g)
{
    double sum, want = 0;
    size_t n;

    for (unsigned k = 0; k < SERIES; k++)
        for (int i = 0; i < SAMPLES; i++)
            want += 2 * (k * 1000 + i * i);
    CHECK_OK(ask(g, &sum, &n));
    CHECK_INT(n, 2 * SERIES * SAMPLES);
    CHECK(sum == want);
}

static void check_fails(struct rig *g, unsigned block)
{
    double sum;
    size_t n;

    CHECK_ERR(ask(g, &sum, &n), ERR_CORRUPT, ulid_print(g->metas[block].ulid).s);
}

/* ---- damage ---- */

static const char *const files[] = {"index", "chunks/000001", "meta.json"};

static struct slice key_of(struct rig *g, unsigned block, const char *file)
{
    return slice_cstr(
        arena_printf(g->arena, "metrics/t/%s/%s", ulid_print(g->metas[block].ulid).s, file));
}

static void flip(struct rig *g, unsigned block, const char *file, size_t at)
{
    struct buf b = {0};

    CHECK_OK(objstore_get(g->bucket, key_of(g, block, file), NULL, &b, NULL));
    b.ptr[at < b.len ? at : b.len - 1] ^= 0x10;
    CHECK_OK(objstore_put(g->bucket, key_of(g, block, file), buf_slice(&b), NULL, NULL));
    buf_done(&b);
}

static size_t size_of(struct rig *g, const char *file)
{
    struct objstore_info info;

    CHECK_OK(objstore_stat(g->bucket, key_of(g, 0, file), &info));
    return (size_t)info.bytes;
}

/* Whatever byte of whatever file of one replica's block is wrong, the answer is whole; and a good part of them was met. */
TEST(blockloss_of_any_byte_is_made_up_for_by_the_blocks_of_other_zones)
{
    struct rig g;

    rig_up(&g, 3, (const char *const[]){"a", "b", "c"});
    check_whole(&g);
    CHECK_INT(g.lost, 0);
    for (size_t f = 0; f < ORR_COUNT(files); f++) {
        size_t n = size_of(&g, files[f]), met = 0;

        for (size_t at = 0; at < n; at += STEP) {
            flip(&g, 0, files[f], at);
            restart(&g);
            check_whole(&g);
            CHECK(is_warned_of(&g, 0) == (g.lost > 0));
            met += g.lost > 0;
            flip(&g, 0, files[f], at);
        }
        CHECK(met >= n / STEP / 4);
    }
    rig_down(&g);
}

/* And where nobody else has it the answer is whole all the same, or an error that names the block: never one without a part. */
TEST(blockloss_that_nobody_makes_up_for_is_an_error_that_names_the_block)
{
    struct rig g;

    rig_up(&g, 3, (const char *const[]){"", NULL, NULL});
    check_whole(&g);
    for (size_t f = 0; f < ORR_COUNT(files); f++) {
        size_t n = size_of(&g, files[f]), met = 0;

        for (size_t at = 0; at < n; at += STEP) {
            double sum;
            size_t samples;
            struct err *e;

            flip(&g, 0, files[f], at);
            restart(&g);
            if ((e = ask(&g, &sum, &samples))) {
                CHECK(slice_find(slice_cstr(err_msg(e)), slice_cstr(ulid_print(g.metas[0].ulid).s),
                                 0) >= 0);
                met++;
                err_free(e);
            } else {
                check_whole(&g);
            }
            CHECK_INT(g.lost, 0);
            flip(&g, 0, files[f], at);
        }
        CHECK(met >= n / STEP / 4);
    }
    rig_down(&g);
}

/* meta.json has no checksum: another digit of a time is as good JSON as before, and a reader goes by it. */
TEST(blockloss_of_a_digit_of_meta_json)
{
    static const char *const members[] = {"\"minTime\":", "\"maxTime\":"};
    struct rig g;

    rig_up(&g, 3, (const char *const[]){"", NULL, NULL});
    for (size_t i = 0; i < ORR_COUNT(members); i++) {
        struct buf b = {0};
        struct slice json;
        int64_t at;

        CHECK_OK(objstore_get(g.bucket, key_of(&g, 0, "meta.json"), NULL, &b, NULL));
        json = buf_slice(&b);
        at = slice_find(json, slice_cstr(members[i]), 0) + (int64_t)strlen(members[i]);
        while (b.ptr[at] == ' ')
            at++;
        b.ptr[at + 1] ^= 1; /* 1000, 129001: the second one */
        CHECK_OK(objstore_put(g.bucket, key_of(&g, 0, "meta.json"), json, NULL, NULL));
        restart(&g);
        check_fails(&g, 0);
        b.ptr[at + 1] ^= 1;
        CHECK_OK(objstore_put(g.bucket, key_of(&g, 0, "meta.json"), json, NULL, NULL));
        restart(&g);
        check_whole(&g);
        buf_done(&b);
    }
    rig_down(&g);
}

/* A file that is not there at all. */
TEST(blockloss_of_a_whole_file)
{
    for (size_t f = 0; f < ORR_COUNT(files); f++) {
        struct rig g;

        rig_up(&g, 3, (const char *const[]){"a", "b", "c"});
        CHECK_OK(objstore_delete(g.bucket, key_of(&g, 0, files[f])));
        check_whole(&g);
        CHECK_INT(g.lost, 1);
        rig_down(&g);
    }
}

/* However many selects of it meet the block. */
TEST(blockloss_is_counted_and_warned_of_once_for_a_query)
{
    struct rig g;
    double sum;
    size_t n;

    rig_up(&g, 3, (const char *const[]){"a", "b", "c"});
    flip(&g, 0, "index", 0);
    CHECK_OK(ask_times(&g, 3, &sum, &n));
    CHECK_INT(n, 2 * SERIES * SAMPLES);
    CHECK_INT(g.lost, 1);
    CHECK(is_warned_of(&g, 0));
    CHECK_INT(count_of(g.warned, SLICE("\n")), 1);
    check_whole(&g); /* another query */
    CHECK_INT(g.lost, 2);
    rig_down(&g);
}

TEST(blockloss_names_some_and_says_that_there_are_more)
{
    struct rig g;

    rig_up(&g, 3, (const char *const[]){"a", "b", "c"});
    for (unsigned i = 3; i < ORR_COUNT(g.metas); i++)
        put_block(&g, i, "a");
    for (unsigned i = 0; i < ORR_COUNT(g.metas); i++)
        if (i != 1 && i != 2)
            flip(&g, i, "index", 0);
    check_whole(&g);
    CHECK_INT(g.lost, 10);
    CHECK_INT(count_of(g.warned, SLICE("\nmore blocks cannot be read")), 1);
    CHECK_INT(count_of(g.warned, SLICE("\n")), BLOCKLOSS_NAMED + 1);
    rig_down(&g);
}

/* Which is looked for several times, and with it one that is corrupt is met again. */
TEST(blockloss_is_counted_once_for_a_read)
{
    struct rig g;

    rig_up(&g, 3, (const char *const[]){"a", "b", "a"});
    flip(&g, 0, "index", 0);
    CHECK_OK(objstore_delete(g.bucket, key_of(&g, 2, "index")));
    check_whole(&g);
    CHECK_INT(g.lost, 2);
    rig_down(&g);
}

static void on_block(void *arg, struct rpc_call *call)
{
    (void)arg;
    rpc_reply_err(call, err_new(ERR_NOT_FOUND, "no such block"));
}

/* Likewise where all blocks are another querier's, who has none of them. */
TEST(blockloss_of_a_whole_file_that_an_owner_does_not_find)
{
    const uint32_t token = 17;
    struct rpc_server *server;
    struct ring_input in = {.is_healthy = true};
    struct loop *loop;
    struct member *m;

    CHECK_OK(loop_new("owner", &loop));
    CHECK_OK(rpc_server_new(
        &(struct rpc_server_opts){.loop = loop, .address = "inproc://blockloss-owner"}, &server));
    rpc_server_handle(server, "querier.block", on_block, NULL);
    rpc_server_start(server);
    CHECK_OK(loop_start(loop));
    CHECK_OK(member_new(&(struct member){.instance = "q1",
                                         .zone = "z",
                                         .rpc_addr = rpc_server_address(server),
                                         .http_addr = "h:1",
                                         .roles = MEMBER_QUERIER,
                                         .state = MEMBER_ACTIVE,
                                         .registered_ms = 1000,
                                         .tokens = &token,
                                         .n_tokens = 1},
                        &m));
    in.member = m;
    for (size_t f = 0; f < ORR_COUNT(files); f++) {
        struct rig g;

        rig_up(&g, 3, (const char *const[]){"a", "b", "c"});
        g.queriers = ring_new(&in, 1, &(struct ring_opts){.role = MEMBER_QUERIER, .rf = 1});
        restart(&g);
        CHECK_OK(objstore_delete(g.bucket, key_of(&g, 0, files[f])));
        check_whole(&g);
        CHECK_INT(g.lost, 1);
        ring_unref(g.queriers);
        rig_down(&g);
    }
    member_unref(m);
    loop_join(loop);
    rpc_server_free(server);
    loop_free(loop);
}

/* As long as it is one zone's. */
TEST(blockloss_in_two_zones_is_an_error)
{
    struct rig g;

    rig_up(&g, 3, (const char *const[]){"a", "b", "a"});
    flip(&g, 0, "chunks/000001", 60);
    flip(&g, 2, "index", 0);
    check_whole(&g);
    CHECK_INT(g.lost, 2);
    name_in_catalogue(&g, 2, "c");
    restart(&g);
    flip(&g, 0, "index", 0);
    check_fails(&g, 2);
    flip(&g, 2, "index", 0);
    restart(&g);
    check_whole(&g);
    name_in_catalogue(&g, 0, "");
    check_fails(&g, 0);
    rig_down(&g);
}

/* An ingester that does not answer may be the one that has what its zone has not in a block yet. */
TEST(blockloss_beside_an_ingester_that_fails)
{
    struct rig g;

    rig_up(&g, 3, (const char *const[]){"a", "b", "c"});
    flip(&g, 0, "chunks/000001", 60);
    g.peers.p[0].mood = PEER_REFUSES; /* of its own zone */
    check_whole(&g);
    CHECK_INT(g.lost, 1);
    g.peers.p[0].mood = PEER_WELL;
    g.peers.p[1].mood = PEER_REFUSES;
    restart(&g);
    check_fails(&g, 0);
    CHECK_INT(g.lost, 0);
    rig_down(&g);
}

/* It fails when the block has been done without already. */
TEST(blockloss_before_an_ingester_fails_in_the_middle)
{
    struct err *e;
    double sum;
    size_t n;
    struct rig g;

    rig_up(&g, 3, (const char *const[]){"a", "b", "c"});
    for (unsigned k = 0; k < 8; k++)
        peer_add_series(&g.peers.p[1], labels_of(&g, k), (struct chunk[]){floats(&g, 1000, k)}, 1);
    flip(&g, 0, "index", 0);
    check_whole(&g);
    g.peers.p[1].mood = PEER_BREAKS;
    restart(&g);
    e = ask(&g, &sum, &n);
    CHECK(e &&
          slice_find(slice_cstr(err_msg(e)), slice_cstr(ulid_print(g.metas[0].ulid).s), 0) >= 0);
    err_free(e);
    rig_down(&g);
}

/* Where it is not sure that there were zones all the time an instance is what may be lost, and each has a block of its own. */
TEST(blockloss_of_one_instance)
{
    struct rig g;

    rig_up(&g, 3, (const char *const[]){"", "", ""});
    for (unsigned i = 0; i < 3; i++)
        CHECK_OK(catalogue_update(g.bucket, SIGNAL, TENANT, add_block,
                                  &(struct adding){&g.metas[i], "", g.peers.p[i].name}, NULL));
    flip(&g, 0, "chunks/000001", 60);
    g.peers.p[0].mood = PEER_REFUSES;
    check_whole(&g);
    CHECK_INT(g.lost, 1);
    flip(&g, 1, "chunks/000001", 60);
    restart(&g);
    check_fails(&g, 1);
    flip(&g, 1, "chunks/000001", 60);
    g.peers.p[0].mood = PEER_WELL;
    g.peers.p[2].mood = PEER_REFUSES;
    restart(&g);
    check_fails(&g, 0);
    rig_down(&g);
}

/* What others have is good enough for an answer. What this one has yet of what was deleted they need not have. */
TEST(blockloss_leaves_unsure_whether_anything_is_left)
{
    struct store_query sq;
    bool has, is_sure;
    struct rig g;

    rig_up(&g, 3, (const char *const[]){"a", NULL, NULL});
    store_query_init(&sq, g.store, &(struct store_query_opts){.tenant = TENANT, .arena = g.arena});
    CHECK_OK(store_has_samples(&sq, (struct matchers){0}, 500000, 600000, &has, &is_sure));
    CHECK(!has && is_sure);
    store_query_done(&sq);
    flip(&g, 0, "index", 0);
    restart(&g);
    store_query_init(&sq, g.store, &(struct store_query_opts){.tenant = TENANT, .arena = g.arena});
    CHECK_OK(store_has_samples(&sq, (struct matchers){0}, 0, 1000000, &has, &is_sure));
    CHECK(!has && !is_sure);
    store_query_done(&sq);
    rig_down(&g);
}

TEST(blockloss_without_replication_is_an_error)
{
    struct rig g;

    rig_up(&g, 1, (const char *const[]){"a", "b", "c"});
    flip(&g, 0, "chunks/000001", 60);
    check_fails(&g, 0);
    rig_down(&g);
}
