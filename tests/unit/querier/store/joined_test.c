#include "querier/store/joined.h"
#include "tests/unit/querier/store/peers_fixture.h"

static const struct slice two[] = {SLICE_INIT("a"), SLICE_INIT("b")};

struct rig {
    struct peers peers;
    struct store *store;
    struct arena *arena;
    struct joined j;
};

/* The fakes answer every tenant alike. */
static void rig_up(struct rig *g, size_t n)
{
    struct label up[] = {{SLICE("__name__"), SLICE("up")}, {SLICE("z"), SLICE("1")}};
    struct label mine[] = {{SLICE("__name__"), SLICE("x")}, {SLICE(JOINED_LABEL), SLICE("old")}};
    const int64_t t[] = {1000};
    const double v[] = {1};
    struct buf b = {0};
    struct chunk c;

    *g = (struct rig){.arena = arena_new(0)};
    peers_up(&g->peers, "a", 1);
    chunk_xor_encode(&b, t, v, 1);
    c = (struct chunk){CHUNK_XOR, 1000, 1000, buf_slice(&b)};
    peer_add_series(&g->peers.p[0], (struct labels){up, 2}, &c, 1);
    peer_add_series(&g->peers.p[0], (struct labels){mine, 2}, &c, 1);
    buf_done(&b);
    buf_lstr(peer_frame(&g->peers.p[0].names), SLICE("z"));
    buf_lstr(peer_frame(&g->peers.p[0].names), SLICE(JOINED_LABEL));
    g->store = store_new(&(struct store_opts){.pool = g->peers.pool,
                                              .loop = g->peers.loop,
                                              .ring = peers_ring,
                                              .ring_arg = &g->peers,
                                              .ingester_lookback_ms = 3600000});
    joined_init(&g->j, g->store,
                &(struct store_query_opts){
                    .arena = g->arena, .deadline_mono_ms = clock_mono_ms(&clock_system) + 20000},
                two, n);
}

static void rig_down(struct rig *g)
{
    joined_done(&g->j);
    peers_down(&g->peers);
    store_free(g->store);
    arena_free(g->arena);
}

static void check_series(struct rig *g, const char *name, enum matcher_op op, const char *value,
                         const char *want)
{
    struct matcher m;
    struct storage_request req = {.matchers = {&m, 1}, .start_ms = 0, .end_ms = 5000};
    struct storage_series s;
    struct series_set *set;
    struct buf out = {0};

    CHECK_OK(matcher_init(g->arena, op, slice_cstr(name), slice_cstr(value), &m));
    CHECK_OK(storage_select(&g->j.storage, g->arena, &req, &set));
    while (series_set_next(set, &s)) {
        CHECK_INT(s.n, 1);
        labels_text(&out, s.labels);
        buf_byte(&out, ' ');
    }
    CHECK_OK(series_set_close(set));
    CHECK_STR(buf_cstr(&out), want);
    buf_reset(&out);
    CHECK_OK(joined_series(&g->j, req.matchers, 0, 5000, &set));
    while (series_set_next(set, &s)) {
        labels_text(&out, s.labels);
        buf_byte(&out, ' ');
    }
    CHECK_OK(series_set_close(set));
    CHECK_STR(buf_cstr(&out), want);
    matcher_done(&m);
    buf_done(&out);
}

TEST(joined_series_say_whose_they_are)
{
    struct rig g;

    rig_up(&g, 2);
    check_series(&g, "__name__", MATCHER_RE, ".+",
                 "up{__tenant_id__=\"a\", z=\"1\"} up{__tenant_id__=\"b\", z=\"1\"} "
                 "x{__tenant_id__=\"a\", original___tenant_id__=\"old\"} "
                 "x{__tenant_id__=\"b\", original___tenant_id__=\"old\"} ");
    check_series(&g, JOINED_LABEL, MATCHER_EQ, "b",
                 "up{__tenant_id__=\"b\", z=\"1\"} "
                 "x{__tenant_id__=\"b\", original___tenant_id__=\"old\"} ");
    check_series(&g, JOINED_LABEL, MATCHER_NRE, "a|b", "");
    rig_down(&g);
}

TEST(joined_alone_a_tenant_is_as_it_is)
{
    struct rig g;

    rig_up(&g, 1);
    check_series(&g, "__name__", MATCHER_RE, ".+", "up{z=\"1\"} x{__tenant_id__=\"old\"} ");
    rig_down(&g);
}

TEST(joined_names_and_tenants)
{
    struct store_names names;
    struct matcher m;
    struct matchers set = {&m, 1};
    struct rig g;

    rig_up(&g, 2);
    CHECK_OK(joined_names(&g.j, NULL, 0, (struct slice){0}, 0, 5000, &names));
    CHECK_INT(names.n, 3);
    CHECK_SLICE(names.ptr[0], JOINED_LABEL);
    CHECK_SLICE(names.ptr[1], JOINED_ORIGINAL);
    CHECK_SLICE(names.ptr[2], "z");
    CHECK_OK(joined_names(&g.j, NULL, 0, SLICE(JOINED_LABEL), 0, 5000, &names));
    CHECK_INT(names.n, 2);
    CHECK_SLICE(names.ptr[1], "b");
    CHECK_OK(matcher_init(g.arena, MATCHER_EQ, SLICE(JOINED_LABEL), SLICE("a"), &m));
    CHECK_OK(joined_names(&g.j, &set, 1, SLICE(JOINED_LABEL), 0, 5000, &names));
    CHECK_INT(names.n, 1);
    CHECK_SLICE(names.ptr[0], "a");
    joined_warn(&g.j, SLICE("w"));
    joined_warn(&g.j, SLICE("w"));
    store_query_warn(&g.j.queries[1], SLICE("slow"));
    joined_gather_warnings(&g.j);
    CHECK_INT(g.j.warnings.len, 2);
    CHECK_SLICE(g.j.warnings.ptr[1], "tenant b: slow");
    rig_down(&g);
}

TEST(joined_fails_naming_the_tenant)
{
    struct matcher m;
    struct storage_request req = {.matchers = {&m, 1}, .start_ms = 0, .end_ms = 5000};
    struct series_set *set;
    struct rig g;

    rig_up(&g, 2);
    g.peers.p[0].mood = PEER_REFUSES;
    CHECK_OK(matcher_init(g.arena, MATCHER_EQ, SLICE("__name__"), SLICE("up"), &m));
    CHECK_ERR(storage_select(&g.j.storage, g.arena, &req, &set), ERR_UNAVAILABLE, "tenant a: ");
    rig_down(&g);
}
