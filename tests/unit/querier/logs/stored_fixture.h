/*
 * A store over fake ingesters and blocks of log lines in a bucket that is far away, and what is asked of it.
 */
#pragma once
#include <stdlib.h>

#include "common/block/block_store.h"
#include "common/block/catalogue.h"
#include "querier/logs/logquery.h"
#include "querier/logs/logremote.h"
#include "tests/unit/common/objstore/counting_store.h"
#include "tests/unit/querier/store/peers_fixture.h"

#define TENANT SLICE("t")
#define HOUR (3600ll * NS_PER_S)
#define T0 (1764000000ll / 7200 * 7200 * NS_PER_S) /* where a window of two hours begins */

struct rig {
    struct peers peers;
    struct counting_store bucket;
    struct store *store;
    struct engine *eng;
    struct arena *arena;
    struct store_query sq;
    struct logremote remote;
    struct logquery_result r;
    struct buf out;
    unsigned blocks; /* put so far */
    struct job_pool *pool;
    unsigned lanes;     /* of queries; 0: they are not cut */
    uint64_t cut_bytes; /* of pieces */
};

static inline void new_query(struct rig *g)
{
    store_query_done(&g->sq);
    store_query_init(
        &g->sq, g->store,
        &(struct store_query_opts){.tenant = TENANT,
                                   .arena = g->arena,
                                   .deadline_mono_ms = clock_mono_ms(&clock_system) + 120000});
    logremote_init(&g->remote, &(struct logremote_opts){.sq = &g->sq, .cut_bytes = g->cut_bytes});
}

static inline void rig_up_with(struct rig *g, int64_t catalogue_max_age_ms, size_t cache_bytes)
{
    *g = (struct rig){
        .arena = arena_new(0), .eng = logquery_engine(), .pool = job_pool_new("t", 4, 100)};
    counting_store_open(&g->bucket);
    peers_up(&g->peers, "abc", 3);
    g->store = store_new(&(struct store_opts){.pool = g->peers.pool,
                                              .loop = g->peers.loop,
                                              .logs_ring = peers_ring,
                                              .logs_ring_arg = &g->peers,
                                              .objstore = &g->bucket.base,
                                              .block_cache_bytes = cache_bytes,
                                              .straggler_ms = 100,
                                              .ingester_lookback_ms = 3600000,
                                              .catalogue_max_age_ms = catalogue_max_age_ms});
    new_query(g);
}

static inline void rig_up(struct rig *g, int64_t catalogue_max_age_ms)
{
    rig_up_with(g, catalogue_max_age_ms, 0);
}

static inline void rig_down(struct rig *g)
{
    buf_done(&g->out);
    store_query_done(&g->sq);
    engine_free(g->eng);
    job_pool_free(g->pool);
    peers_down(&g->peers);
    store_free(g->store);
    arena_free(g->arena);
    counting_store_close(&g->bucket);
}

/* ---- data: lines of streams {app="…"} ---- */

struct line {
    const char *app;
    int64_t t_ns;
    const char *text, *id; /* id: structured metadata, NULL: none */
};

static inline struct labels labels_of(struct arena *a, const char *app)
{
    struct label *l = arena_new_of(a, struct label);

    *l = (struct label){SLICE("app"), slice_cstr(app)};
    return (struct labels){l, 1};
}

static inline struct labels metadata_of(struct arena *a, const struct line *l)
{
    struct label *m = arena_new_of(a, struct label);

    *m = (struct label){SLICE("id"), slice_cstr(l->id ? l->id : "")};
    return (struct labels){m, l->id != NULL};
}

static inline struct hash128 fingerprint_of(const char *app)
{
    struct label l = {SLICE("app"), slice_cstr(app)};

    return labels_fingerprint((struct labels){&l, 1});
}

static inline int by_place(const void *a, const void *b)
{
    const struct line *x = a, *y = b;
    int c = x->app == y->app ? 0 : hash128_cmp(fingerprint_of(x->app), fingerprint_of(y->app));

    if (!c)
        c = (x->t_ns > y->t_ns) - (x->t_ns < y->t_ns);
    if (!c)
        c = strcmp(x->text, y->text);
    return c;
}

static inline struct err *add_block(void *arg, struct catalogue *c, bool *ret_changed)
{
    struct catalogue_block b = catalogue_block_of_meta(arg);

    catalogue_add(c, &b);
    *ret_changed = true;
    return NULL;
}

/* A block of these in the bucket, and the catalogue a version on. Sorts them. */
static inline void put_block(struct rig *g, struct line *lines, size_t n)
{
    struct logblock_writer_opts o = {
        .dir = tmp_path("work"), .no_sync = true, .level = 1, .has_summary = true};
    struct logblock_writer *w;
    struct block_meta m;

    o.meta.ulid = ulid_make(++g->blocks, (const uint8_t[10]){0});
    o.meta.level = 1;
    o.meta.tenant = TENANT;
    qsort(lines, n, sizeof(*lines), by_place);
    CHECK_OK(logblock_writer_open(&o, &w));
    for (size_t i = 0; i < n; i++) {
        struct labels ls = labels_of(g->arena, lines[i].app);

        if (!i || strcmp(lines[i - 1].app, lines[i].app) != 0)
            CHECK_OK(logblock_writer_stream(w, labels_fingerprint(ls), ls));
        CHECK_OK(logblock_writer_entry(
            w, &(struct logpage_entry){.ts_ns = lines[i].t_ns,
                                       .line = slice_cstr(lines[i].text),
                                       .meta = metadata_of(g->arena, &lines[i])}));
    }
    CHECK_OK(logblock_writer_finish(w, g->arena, &m));
    logblock_writer_close(w);
    CHECK_OK(block_store_upload(
        g->bucket.below, SLICE("logs"), TENANT,
        arena_printf(g->arena, "%s/%s", tmp_path("work"), ulid_print(m.ulid).s), &m));
    CHECK_OK(catalogue_update(g->bucket.below, SLICE("logs"), TENANT, add_block, &m, NULL));
}
#define PUT(g, ...)                                                                                \
    put_block(g, (struct line[]){__VA_ARGS__},                                                     \
              sizeof((struct line[]){__VA_ARGS__}) / sizeof(struct line))

/* A few items a frame. */
static inline void say(struct peer *p, const struct rpc_logs_item *item)
{
    bool is_new = !p->logs.len || vec_last(&p->logs).len > 4096;

    rpc_logs_item_encode(is_new ? peer_frame(&p->logs) : &vec_last(&p->logs), item);
}

/* What an ingester answers whatever it is asked, in the direction that is asked for. Sorts them. */
static inline void tell(struct rig *g, struct peer *p, struct line *lines, size_t n,
                        bool is_forward)
{
    struct buf b = {0};

    VEC_FOREACH (f, &p->logs)
        buf_done(f);
    vec_clear(&p->logs);
    qsort(lines, n, sizeof(*lines), by_place);
    for (size_t i = 0, end; i < n; i = end) {
        struct labels ls = labels_of(g->arena, lines[i].app);

        for (end = i; end < n && strcmp(lines[end].app, lines[i].app) == 0;)
            end++;
        buf_reset(&b);
        labels_canonical(&b, ls);
        say(p, &(struct rpc_logs_item){
                   .tag = RPC_LOGS_STREAM, .fp = labels_fingerprint(ls), .text = buf_slice(&b)});
        for (size_t k = i; k < end; k++) {
            const struct line *l = &lines[is_forward ? k : end - 1 - (k - i)];

            say(p, &(struct rpc_logs_item){.tag = RPC_LOGS_ENTRY,
                                           .t_ns = l->t_ns,
                                           .text = slice_cstr(l->text),
                                           .metadata = metadata_of(g->arena, l)});
        }
    }
    buf_done(&b);
}

static inline void mark_all(struct rig *g, uint64_t version)
{
    for (size_t i = 0; i < g->peers.n; i++)
        atomic_store(&g->peers.p[i].mark, version);
}

/* ---- questions ---- */

static inline struct err *ask(struct rig *g, struct logquery q)
{
    new_query(g);
    q.pool = g->lanes ? g->pool : NULL;
    q.lanes = g->lanes;
    return logquery(g->eng, &q, &g->remote.source, g->arena, &g->r);
}

/* "{labels} seconds-since-T0=line …" */
static inline struct slice text_of(struct buf *out, const struct logquery_result *r)
{
    buf_reset(out);
    for (size_t i = 0; i < r->n_streams; i++) {
        labels_text(out, r->streams[i].labels);
        for (size_t k = 0; k < r->streams[i].n; k++)
            buf_printf(out, " %lld=%.*s",
                       (long long)((r->streams[i].lines[k].ts_ns - T0) / NS_PER_S),
                       SLICE_ARG(r->streams[i].lines[k].line));
        buf_byte(out, ' ');
    }
    return buf_slice(out);
}

static inline struct logquery lines_of(const char *expr, bool is_forward, uint32_t limit)
{
    return (struct logquery){.expr = slice_cstr(expr),
                             .start_ns = T0,
                             .end_ns = T0 + 24 * HOUR,
                             .step_ns = NS_PER_S,
                             .is_forward = is_forward,
                             .limit = limit};
}

static inline void check_lines(struct rig *g, const char *expr, const char *want)
{
    CHECK_OK(ask(g, lines_of(expr, true, 1000)));
    CHECK_SLICE(text_of(&g->out, &g->r), want);
}

/* Blocks that selects have read, as the metric says. */
static inline uint64_t selected(struct rig *g)
{
    struct store_stats st;

    store_stats_get(g->store, &st);
    return st.logs.blocks;
}

static inline uint64_t opened(struct rig *g)
{
    struct store_stats st;

    store_stats_get(g->store, &st);
    return st.log_blocks.opened;
}

static inline void check_metric(const struct engine_result *got, const struct engine_result *want)
{
    CHECK_INT(got->n_series, want->n_series);
    for (size_t i = 0; i < want->n_series; i++) {
        CHECK(labels_eq(got->series[i].labels, want->series[i].labels));
        CHECK_INT(got->series[i].n, want->series[i].n);
        for (size_t k = 0; k < want->series[i].n; k++)
            CHECK(got->series[i].v[k] == want->series[i].v[k]);
    }
}
