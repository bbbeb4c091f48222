/*
 * Traces in blocks: what random queries find in whole traces they find when their spans are spread over blocks and a head; what need not be
 * read is not; and the seam between ingesters and blocks.
 */
#include <stdlib.h>

#include "common/base/fsx.h"
#include "common/block/block_store.h"
#include "common/model/traces_rpc.h"
#include "querier/traces/tracejoin.h"
#include "querier/traces/tracemetric.h"
#include "querier/traces/traceremote.h"
#include "querier/traces/tracestored.h"
#include "tests/unit/common/objstore/counting_store.h"
#include "tests/unit/querier/store/peers_fixture.h"
#include "tests/unit/querier/traces/random_traces.h"

#define TENANT SLICE("t")
#define N_BLOCKS 3
#define N_TRACES 30
#define SECOND NS_PER_S
#define T0 (1764000000ll * SECOND)

struct rig {
    struct peers peers;
    struct counting_store bucket;
    struct store *store;
    struct arena *arena;
    struct store_query sq;
    struct traceremote remote;
    struct tracestored stored;
    struct tracesource both[2];
    struct tracejoin join;
    unsigned blocks; /* put so far */
};

/* A query of its own: it may look at another catalogue than the one before. */
static void new_query(struct rig *g)
{
    store_query_done(&g->sq);
    store_query_init(
        &g->sq, g->store,
        &(struct store_query_opts){.tenant = TENANT,
                                   .arena = g->arena,
                                   .deadline_mono_ms = clock_mono_ms(&clock_system) + 120000});
    g->remote.sq = g->stored.sq = &g->sq;
    g->both[0] = traceremote_source(&g->remote);
    g->both[1] = tracestored_source(&g->stored);
    g->join = (struct tracejoin){g->both, 2};
}

static void rig_up(struct rig *g, int64_t catalogue_max_age_ms)
{
    *g = (struct rig){.arena = arena_new(0)};
    CHECK_OK(fsx_remove_tree(tmp_path("bucket")));
    CHECK_OK(fsx_remove_tree(tmp_path("work")));
    counting_store_open(&g->bucket);
    peers_up(&g->peers, "abc", 3);
    g->store = store_new(&(struct store_opts){.pool = g->peers.pool,
                                              .loop = g->peers.loop,
                                              .traces_ring = peers_ring,
                                              .traces_ring_arg = &g->peers,
                                              .objstore = &g->bucket.base,
                                              .straggler_ms = 100,
                                              .ingester_lookback_ms = 3600000,
                                              .catalogue_max_age_ms = catalogue_max_age_ms});
    new_query(g);
}

static void rig_down(struct rig *g)
{
    store_query_done(&g->sq);
    peers_down(&g->peers);
    store_free(g->store);
    arena_free(g->arena);
    counting_store_close(&g->bucket);
}

/* ---- data ---- */

struct pieces {
    struct tracepiece *ptr;
    size_t len, cap;
};

static int by_id(const void *x, const void *y)
{
    return memcmp(((const struct tracepiece *)x)->trace_id,
                  ((const struct tracepiece *)y)->trace_id, 16);
}

static struct err *add_block(void *arg, struct catalogue *c, bool *ret_changed)
{
    struct catalogue_block b = catalogue_block_of_meta(arg);

    catalogue_add(c, &b);
    *ret_changed = true;
    return NULL;
}

/* A block of these in the bucket, and the catalogue a version on. Sorts them. */
static struct ulid put_block(struct rig *g, struct tracepiece *p, size_t n)
{
    struct traceblock_writer_opts o = {
        .dir = tmp_path("work"), .no_sync = true, .level = 1, .has_summary = true};
    struct traceblock_writer *w;
    struct block_meta m;

    o.meta.ulid = ulid_make(++g->blocks, (const uint8_t[10]){0});
    o.meta.level = 1;
    o.meta.tenant = TENANT;
    qsort(p, n, sizeof(*p), by_id);
    CHECK_OK(traceblock_writer_open(&o, &w));
    for (size_t i = 0; i < n; i++)
        CHECK_OK(traceblock_writer_trace(w, &p[i]));
    CHECK_OK(traceblock_writer_finish(w, g->arena, &m));
    traceblock_writer_close(w);
    CHECK_OK(block_store_upload(
        g->bucket.below, SLICE("traces"), TENANT,
        arena_printf(g->arena, "%s/%s", tmp_path("work"), ulid_print(m.ulid).s), &m));
    CHECK_OK(catalogue_update(g->bucket.below, SLICE("traces"), TENANT, add_block, &m, NULL));
    return m.ulid;
}

/* One span of a service. */
static struct tracepiece one_span(struct arena *a, uint8_t trace, uint64_t span,
                                  const char *service, int64_t start_ns)
{
    struct tracepiece p = {.trace_id = {trace}, .n_resources = 1, .n_scopes = 1, .n_spans = 1};

    p.resources = arena_new_of(a, struct tracepiece_resource);
    p.scopes = arena_new_of(a, struct tracepiece_scope);
    p.spans = arena_new_of(a, struct tracepiece_span);
    if (service) {
        struct otlp_member *m = arena_new_of(a, struct otlp_member);

        *m = (struct otlp_member){SLICE("service.name"),
                                  {.kind = OTLP_VALUE_TEXT, .text = slice_cstr(service)}};
        p.resources->attributes = (struct tracepiece_attributes){.n = 1, .ptr = m};
    }
    *p.spans = (struct tracepiece_span){.span_id = span,
                                        .parent_id = span > 1 ? 1 : 0,
                                        .name = SLICE("GET /"),
                                        .start_ns = (uint64_t)start_ns,
                                        .end_ns = (uint64_t)(start_ns + 1000)};
    return p;
}
#define PUT(g, ...)                                                                                \
    put_block(g, (struct tracepiece[]){__VA_ARGS__},                                               \
              sizeof((struct tracepiece[]){__VA_ARGS__}) / sizeof(struct tracepiece))

/* What an ingester answers whatever it is asked, but for what it hands over then. */
static void tell(struct peer *p, const struct tracepiece *piece)
{
    struct tracepiece_encoder *enc = tracepiece_encoder_new();
    struct buf bytes = {0};
    struct slice s;

    tracepiece_encode(enc, piece, &bytes);
    s = buf_slice(&bytes);
    rpc_traces_item_encode(peer_frame(&p->traces),
                           &(struct rpc_traces_item){piece->trace_id, &s, 1});
    buf_done(&bytes);
    tracepiece_encoder_free(enc);
}

static void tell_nothing(struct peer *p)
{
    VEC_FOREACH (f, &p->traces)
        buf_done(f);
    vec_clear(&p->traces);
}

/* ---- questions ---- */

struct ask {
    const char *query;
    int64_t start_ns, end_ns; /* 0, 0: all */
};

/* "trace: spans" of what matches, a line each. */
static const char *search_text(struct rig *g, const struct tracesource *src, struct ask ask)
{
    struct tracescan_stats stats = {0};
    struct buf out = {0};
    struct traceql q;
    struct tracecond cond;
    const char *text;

    CHECK_OK(traceql_parse(g->arena, slice_cstr(ask.query), &q));
    cond = tracecond_of(g->arena, &q);
    CHECK_OK(
        tracescan(&(struct tracescan_opts){.source = src,
                                           .req = {.start_ns = ask.start_ns,
                                                   .end_ns = ask.end_ns ? ask.end_ns : INT64_MAX,
                                                   .filters = cond.ptr,
                                                   .n_filters = cond.n},
                                           .arena = g->arena},
                  find, &(struct finding){&q.pipeline, &out}, &stats));
    text = arena_cstr(g->arena, buf_slice(&out));
    buf_done(&out);
    return text;
}

static const char *search_blocks(struct rig *g, struct ask ask)
{
    return search_text(g, &g->both[1], ask);
}

/* Of all blocks: opened row groups, blocks skipped by a reason. */
static struct store_traces_stats stats_of(struct rig *g)
{
    struct store_stats s;

    store_stats_get(g->store, &s);
    return s.traces;
}

/* ---- whole traces however they are spread ---- */

struct world {
    struct tracepool *whole, *head;
    struct pieces blocks[N_BLOCKS];
};

/* Each span in one place at least, some in two; every other trace is in one alone. */
static void scatter(struct world *w, struct arena *a, struct rng *r, const struct tracepiece *p)
{
    size_t only = rng_chance(r, 0.5) ? rng_below(r, N_BLOCKS + 1) : SIZE_MAX;

    for (size_t k = 0; k <= N_BLOCKS; k++) {
        struct tracepiece part = *p;

        part.spans = arena_array(a, struct tracepiece_span, p->n_spans);
        part.n_spans = 0;
        for (uint32_t i = 0; i < p->n_spans; i++)
            if (only != SIZE_MAX ? k == only : i % (N_BLOCKS + 1) == k || rng_chance(r, 0.2))
                part.spans[part.n_spans++] = p->spans[i];
        if (part.n_spans && k == N_BLOCKS)
            add(w->head, &part);
        else if (part.n_spans)
            vec_push(&w->blocks[k], part);
    }
}

static void world_init(struct world *w, struct rig *g, struct rng *r)
{
    *w = (struct world){.whole = tracepool_new(), .head = tracepool_new()};
    for (uint8_t id = 1; id <= N_TRACES; id++) {
        struct tracepiece p = random_trace(g->arena, r, id);

        add(w->whole, &p);
        scatter(w, g->arena, r, &p);
    }
    tracepool_end(w->whole);
    tracepool_end(w->head);
    for (size_t k = 0; k < N_BLOCKS; k++)
        put_block(g, w->blocks[k].ptr, w->blocks[k].len);
    g->both[0] = tracepool_source(w->head);
}

static void world_done(struct world *w)
{
    tracepool_free(w->whole);
    tracepool_free(w->head);
    for (size_t k = 0; k < N_BLOCKS; k++)
        vec_done(&w->blocks[k]);
}

static void check(struct rig *g, struct world *w, struct traceql *q, const char *text)
{
    struct tracesource whole = tracepool_source(w->whole), all = tracejoin_source(&g->join);
    struct tracecond cond = tracecond_of(g->arena, q);
    struct buf want = search(&whole, q, (struct tracecond){0}, 1);

    for (int hinted = 0; hinted < 2; hinted++) {
        struct buf got = search(&all, q, hinted ? cond : (struct tracecond){0}, hinted ? 16 : 1);

        if (!slice_eq(buf_slice(&got), buf_slice(&want)))
            test_fail(__FILE__, __LINE__, "%s, hinted %d:\n%s\nnot\n%s", text, hinted,
                      buf_cstr(&got), buf_cstr(&want));
        buf_done(&got);
    }
    sort_lines(&want);
    for (int hinted = 0; hinted < 2; hinted++) {
        struct buf got = search_as(&all, q, hinted ? cond : (struct tracecond){0}, 4, true);

        sort_lines(&got);
        if (!slice_eq(buf_slice(&got), buf_slice(&want)))
            test_fail(__FILE__, __LINE__, "%s, in columns, hinted %d:\n%s\nnot\n%s", text, hinted,
                      buf_cstr(&got), buf_cstr(&want));
        buf_done(&got);
    }
    buf_done(&want);
}

static struct err *measure(void *arg, const struct tracecols *cols, bool *ret_stop)
{
    (void)ret_stop;
    return tracemetric_add(arg, cols);
}

/* Series a line each. *in_columns: how many traces were had in columns. */
static struct buf metrics(struct rig *g, const struct tracesource *source, const struct traceql *q,
                          bool in_columns, uint64_t *ret_in_columns)
{
    struct tracemetric_range range = {.start_ns = 0, .end_ns = 4000, .step_ns = 500};
    struct tracegroup_want want = tracewant_of_query(g->arena, q, false);
    struct tracescan_opts opts = {.source = source,
                                  .req = {.end_ns = INT64_MAX},
                                  .want = in_columns ? &want : NULL,
                                  .few = 1,
                                  .ranges = 2,
                                  .arena = g->arena};
    struct tracescan_stats stats = {0};
    struct tracemetric *m;
    struct tracemetric_set set;
    struct buf out = {0};

    CHECK_OK(tracemetric_new(q, &range, &m));
    CHECK_OK(tracescan(&opts, measure, m, &stats));
    set = tracemetric_end(m, g->arena);
    for (size_t i = 0; i < set.n; i++) {
        for (size_t k = 0; k < set.ptr[i].n_labels; k++) {
            traceql_print_static(&out, &set.ptr[i].labels[k].value);
            buf_byte(&out, ' ');
        }
        for (size_t k = 0; k < set.n_points; k++) {
            buf_byte(&out, ' ');
            buf_printf(&out, "%.9g", set.ptr[i].values[k]); /* sums go by the order */
        }
        buf_byte(&out, '\n');
    }
    tracemetric_free(m);
    sort_lines(&out);
    *ret_in_columns += stats.in_columns;
    return out;
}

TEST(tracestored_measures_in_columns_what_pieces_say)
{
    static const char *const ends[] = {
        "rate() by (name)",
        "count_over_time() by (.x, rootName)",
        "sum_over_time(duration) by (status)",
        "max_over_time(span.x) by (kind, resource.y)",
        "quantile_over_time(duration, 0.5) by (instrumentation:name, statusMessage)",
        "count_over_time() by (rootServiceName, span:childCount)"};
    uint64_t in_columns = 0, none = 0;
    size_t n_valid = 0;
    struct rng r;

    rng_seed(&r, 14);
    for (int round = 0; round < 4; round++) {
        struct world w;
        struct rig g;

        rig_up(&g, 0);
        world_init(&w, &g, &r);
        for (int i = 0; i < 60; i++) {
            struct tracesource all = tracejoin_source(&g.join), whole = tracepool_source(w.whole);
            struct buf query = {0}, want, got;
            struct traceql q;
            struct err *e;

            put_spanset(&query, &r, 2);
            buf_printf(&query, " | %s", ends[rng_below(&r, ORR_COUNT(ends))]);
            if (!(e = traceql_parse(g.arena, buf_slice(&query), &q))) {
                n_valid++;
                want = metrics(&g, &whole, &q, true, &none);
                got = metrics(&g, &all, &q, true, &in_columns);
                if (!slice_eq(buf_slice(&got), buf_slice(&want)))
                    test_fail(__FILE__, __LINE__, "%s:\n%s\nnot\n%s", buf_cstr(&query),
                              buf_cstr(&got), buf_cstr(&want));
                buf_done(&want);
                buf_done(&got);
            }
            err_free(e);
            buf_done(&query);
        }
        world_done(&w);
        rig_down(&g);
    }
    CHECK(n_valid > 50 && none == 0);
    CHECK(in_columns > n_valid * N_TRACES / 4);
}

TEST(tracestored_finds_in_blocks_and_head_what_whole_traces_have)
{
    size_t n_valid = 0, n_hinted = 0;
    struct rng r;

    rng_seed(&r, 11);
    for (int round = 0; round < 5; round++) {
        struct world w;
        struct rig g;

        rig_up(&g, 0);
        world_init(&w, &g, &r);
        for (int i = 0; i < 50; i++) {
            struct buf query = {0};
            struct traceql q;
            struct err *e;

            put_spanset(&query, &r, 2);
            e = traceql_parse(g.arena, buf_slice(&query), &q);
            if (!e) {
                n_valid++;
                n_hinted += tracecond_of(g.arena, &q).n > 0;
                check(&g, &w, &q, buf_cstr(&query));
            }
            err_free(e); /* types that do not go together */
            buf_done(&query);
        }
        world_done(&w);
        rig_down(&g);
    }
    CHECK(n_valid > 60);
    CHECK(n_hinted > 25);
}

TEST(tracestored_gives_a_trace_by_id_out_of_all_blocks)
{
    struct rng r;
    struct rig g;
    struct world w;

    rng_seed(&r, 12);
    rig_up(&g, 0);
    world_init(&w, &g, &r);
    for (uint8_t id = 1; id <= N_TRACES; id++) {
        uint8_t bytes[16] = {(uint8_t)(id * 37), id};
        struct tracesource all = tracejoin_source(&g.join), whole = tracepool_source(w.whole);
        struct tracescan_opts opts = {
            .source = &all, .req = {.end_ns = INT64_MAX}, .arena = g.arena};
        struct tracescan_opts of_whole = opts;
        struct tracepiece got, want;

        of_whole.source = &whole;
        CHECK_OK(tracescan_find(&opts, bytes, &got));
        CHECK_OK(tracescan_find(&of_whole, bytes, &want));
        CHECK_INT(got.n_spans, want.n_spans);
        for (uint32_t i = 0; i < got.n_spans; i++) {
            CHECK_INT(got.spans[i].span_id, want.spans[i].span_id);
            CHECK_INT(got.spans[i].n_events, want.spans[i].n_events);
            CHECK_INT(got.spans[i].attributes.n, want.spans[i].attributes.n);
        }
        bytes[15] = 1;
        CHECK_OK(tracescan_find(&opts, bytes, &got));
        CHECK_INT(got.n_spans, 0);
    }
    world_done(&w);
    rig_down(&g);
}

/* ---- what is not read ---- */

TEST(tracestored_opens_no_block_out_of_the_range_of_time)
{
    struct rig g;

    rig_up(&g, 0);
    PUT(&g, one_span(g.arena, 1, 1, "web", T0));
    PUT(&g, one_span(g.arena, 2, 1, "web", T0 + 3600 * SECOND));
    PUT(&g, one_span(g.arena, 3, 1, "web", T0 + 7200 * SECOND));
    CHECK_STR(search_blocks(
                  &g, (struct ask){"{ name = \"GET /\" }", T0 + 3600 * SECOND, T0 + 3601 * SECOND}),
              "0200: 1\n");
    CHECK(stats_of(&g).skipped[BLOCK_SKIP_TIME] > 0);
    CHECK_INT(stats_of(&g).skipped[BLOCK_SKIP_TIME], 2 * stats_of(&g).blocks);
    CHECK_STR(search_blocks(&g, (struct ask){"{ }", 0, 0}), "0100: 1\n0200: 1\n0300: 1\n");
    rig_down(&g);
}

TEST(tracestored_opens_no_block_without_the_service)
{
    struct rig g;

    rig_up(&g, 0);
    PUT(&g, one_span(g.arena, 1, 1, "web", T0));
    PUT(&g, one_span(g.arena, 2, 1, "db", T0));
    PUT(&g, one_span(g.arena, 3, 1, "cache", T0), one_span(g.arena, 4, 1, "db", T0));
    CHECK_STR(search_blocks(
                  &g, (struct ask){"{ resource.service.name = \"db\" && kind != client }", 0, 0}),
              "0200: 1\n0400: 1\n");
    CHECK(stats_of(&g).skipped[BLOCK_SKIP_SUMMARY] > 0);
    /* one that is open already is not judged by its summary, but by its index */
    CHECK_STR(search_blocks(&g, (struct ask){"{ }", 0, 0}), "0100: 1\n0200: 1\n0300: 1\n0400: 1\n");
    CHECK_STR(search_blocks(&g, (struct ask){"{ \"web\" = resource.service.name }", 0, 0}),
              "0100: 1\n");
    CHECK_STR(search_blocks(&g, (struct ask){"{ resource.service.name = \"none\" }", 0, 0}), "");
    CHECK_STR(search_blocks(&g, (struct ask){"{ resource.service.name = \"web\" || "
                                             "resource.service.name = \"cache\" }",
                                             0, 0}),
              "0100: 1\n0300: 1\n");
    rig_down(&g);
}

/* A trace that one block makes wanted has the spans that only another has, though those are of another time or match nothing. */
TEST(tracestored_gives_all_that_blocks_of_the_range_have_of_a_trace)
{
    struct tracesource_request req = {.end_ns = INT64_MAX};
    struct tracesource_set *set;
    struct tracesource_trace t;
    struct tracecond cond;
    struct traceql q;
    struct rig g;

    rig_up(&g, 0);
    PUT(&g, one_span(g.arena, 1, 1, "web", T0), one_span(g.arena, 9, 1, "web", T0));
    PUT(&g, one_span(g.arena, 1, 2, "db", T0 + 10 * SECOND),
        one_span(g.arena, 2, 1, "db", T0 - 10 * SECOND));
    /* both blocks reach into the first two seconds, of which the second has no span */
    CHECK_STR(search_blocks(&g, (struct ask){"{ }", T0, T0 + 2 * SECOND}), "0100: 1 2\n0900: 1\n");
    CHECK_STR(search_blocks(&g, (struct ask){"{ resource.service.name = \"web\" } >> { }", 0, 0}),
              "0100: 2\n");
    /* who asks for pieces at once gets the same */
    CHECK_OK(traceql_parse(
        g.arena, SLICE("{ resource.service.name = \"db\" && span:id = \"0000000000000002\" }"),
        &q));
    cond = tracecond_of(g.arena, &q);
    CHECK_INT(cond.n, 1);
    memset(req.last, 0xff, sizeof(req.last));
    req.filters = cond.ptr;
    req.n_filters = cond.n;
    CHECK_OK(tracesource_select(&g.both[1], g.arena, &req, &set));
    CHECK(tracesource_set_next(set, &t));
    CHECK_INT(t.id[0], 1);
    CHECK_INT(t.n, 2);
    CHECK(!tracesource_set_next(set, &t));
    CHECK_OK(tracesource_set_close(set));
    rig_down(&g);
}

/* ---- names ---- */

static bool take_name(void *arg, struct slice s, enum tracecell_type type)
{
    buf_printf(arg, "%.*s/%d ", SLICE_ARG(s), type);
    return true;
}

static const char *names_of(struct rig *g, struct tracesource_names_request req)
{
    struct buf out = {0};
    const char *text;

    req.end_ns = req.end_ns ? req.end_ns : INT64_MAX;
    CHECK_OK(tracesource_names(&g->both[1], &req, take_name, &out));
    text = arena_cstr(g->arena, buf_slice(&out));
    buf_done(&out);
    return text;
}

TEST(tracestored_offers_names_and_values)
{
    struct rig g;

    rig_up(&g, 0);
    CHECK_STR(names_of(&g, (struct tracesource_names_request){.table = TRACE_RESOURCES}), "");
    PUT(&g, one_span(g.arena, 1, 1, "web", T0), one_span(g.arena, 2, 1, "db", T0));
    PUT(&g, one_span(g.arena, 3, 1, "old", T0 - 3600 * SECOND));
    new_query(&g);
    CHECK_STR(names_of(&g, (struct tracesource_names_request){.table = TRACE_RESOURCES,
                                                              .start_ns = T0,
                                                              .end_ns = T0 + SECOND}),
              "service.name/3 ");
    CHECK_STR(names_of(&g, (struct tracesource_names_request){.table = TRACE_RESOURCES,
                                                              .attribute = SLICE("service.name"),
                                                              .start_ns = T0,
                                                              .end_ns = T0 + SECOND}),
              "db/3 web/3 ");
    CHECK_STR(names_of(&g, (struct tracesource_names_request){.intrinsic = TRACEQL_ROOT_NAME,
                                                              .start_ns = T0,
                                                              .end_ns = T0 + SECOND}),
              "GET //3 ");
    CHECK_STR(names_of(&g, (struct tracesource_names_request){.intrinsic = TRACEQL_ROOT_SERVICE,
                                                              .end_ns = T0}),
              "old/3 ");
    CHECK_STR(names_of(&g, (struct tracesource_names_request){.intrinsic = TRACEQL_SPAN_STATUS,
                                                              .end_ns = T0}),
              "unset/0 ");
    rig_down(&g);
}

/* ---- the seam ---- */

TEST(tracestored_sees_what_ingesters_have_handed_over_whatever_catalogue_is_held)
{
    struct tracesource all;
    struct rig g;

    rig_up(&g, 3600000); /* what is held is good for an hour */
    all = tracejoin_source(&g.join);
    for (size_t i = 0; i < 3; i++) {
        struct tracepiece p = one_span(g.arena, 1, 1, "web", T0);

        tell(&g.peers.p[i], &p);
    }
    CHECK_STR(search_text(&g, &all, (struct ask){"{ }", 0, 0}), "0100: 1\n");
    /* in both */
    PUT(&g, one_span(g.arena, 1, 1, "web", T0));
    new_query(&g);
    CHECK_STR(search_text(&g, &all, (struct ask){"{ }", 0, 0}), "0100: 1\n");
    /* in the block alone, of which this store has not heard */
    for (size_t i = 0; i < 3; i++) {
        tell_nothing(&g.peers.p[i]);
        g.peers.p[i].mark = 1;
    }
    new_query(&g);
    CHECK_STR(search_text(&g, &all, (struct ask){"{ }", 0, 0}), "0100: 1\n");
    /* a catalogue that is not there yet is no answer without it */
    g.peers.p[1].mark = 7;
    new_query(&g);
    CHECK_ERR(tracescan(&(struct tracescan_opts){.source = &all,
                                                 .req = {.end_ns = INT64_MAX},
                                                 .arena = g.arena},
                        NULL, NULL, &(struct tracescan_stats){0}),
              ERR_UNAVAILABLE, "version 7");
    rig_down(&g);
}

TEST(tracestored_block_that_is_gone_is_looked_for_in_a_fresh_catalogue)
{
    struct rig g;

    rig_up(&g, 3600000);
    PUT(&g, one_span(g.arena, 1, 1, "web", T0));
    g.bucket.hides = "/front";
    g.bucket.hiding = 1;
    CHECK_STR(search_blocks(&g, (struct ask){"{ }", 0, 0}), "0100: 1\n");
    CHECK_INT(g.bucket.hiding, 0);
    rig_down(&g);
}

/* ---- limits ---- */

static atomic_bool is_canceled = true;

TEST(tracestored_ends_with_its_query)
{
    struct arena *small = arena_new(3000);
    struct tracesource_set *set;
    struct tracesource_trace t;
    struct rig g;
    struct rng r;
    struct world w;

    rng_seed(&r, 13);
    rig_up(&g, 0);
    world_init(&w, &g, &r);
    CHECK_ERR(tracesource_select(&g.both[1], g.arena,
                                 &(struct tracesource_request){
                                     .last = {0xff}, .end_ns = INT64_MAX, .cancel = &is_canceled},
                                 &set),
              ERR_CANCELED, "");
    CHECK_ERR(tracesource_select(
                  &g.both[1], g.arena,
                  &(struct tracesource_request){
                      .last = {0xff}, .end_ns = INT64_MAX, .ids_only = true, .max_bytes = 32},
                  &set),
              ERR_LIMIT, "more than 2 traces");
    g.sq.opts.arena = small;
    {
        struct err *e = tracesource_select(
            &g.both[1], g.arena, &(struct tracesource_request){.last = {0xff}, .end_ns = INT64_MAX},
            &set);

        while (!e && tracesource_set_next(set, &t))
            continue;
        if (!e)
            e = tracesource_set_close(set);
        CHECK_ERR(e, ERR_LIMIT, "");
    }
    g.sq.opts.arena = g.arena;
    world_done(&w);
    rig_down(&g);
    arena_free(small);
}
