/*
 * Blocks in a bucket that is not on a disk of ours (and, for comparison, the same ones mapped): a few, of many series, which
 * overlap in labels and not in time; and a digest of what a store says of them.
 */
#pragma once
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
#ifndef SERIES
#define SERIES 500
#endif
#define END_MS (BLOCKS * BLOCK_MS)

struct rig {
    struct counting_store bucket;
    struct store *near, *far, *tight;
};

static inline struct chunk floats(struct arena *a, int64_t t0, size_t n, double v0)
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

static inline struct labels labels_of(struct arena *a, unsigned i)
{
    struct label *ls = arena_array(a, struct label, 4);

    ls[0] = (struct label){SLICE("__name__"), SLICE("m")};
    ls[1] = (struct label){SLICE("i"), slice_cstr(arena_printf(a, "%05u", i))};
    ls[2] = (struct label){SLICE("job"), slice_cstr(arena_printf(a, "j%u", i % 7))};
    ls[3] = (struct label){SLICE("where"), slice_cstr(arena_printf(a, "somewhere-%u", i / 3))};
    return (struct labels){ls, 4};
}

static inline struct err *add_block(void *arg, struct catalogue *c, bool *ret_changed)
{
    struct catalogue_block b = catalogue_block_of_meta(arg);

    catalogue_add(c, &b);
    *ret_changed = true;
    return NULL;
}

static inline void put_block(struct objstore *bucket, unsigned k)
{
    struct block_writer_opts o = {.dir = tmp_path(""), .no_sync = true, .has_summary = true};
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

static inline void rig_up(struct rig *g)
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

static inline void rig_down(struct rig *g)
{
    store_free(g->near);
    store_free(g->far);
    store_free(g->tight);
    counting_store_close(&g->bucket);
}

enum how { PLAIN, GROUPED, SHARDED, LABELS, HOWS };

/* Of everything: independent of the order of the series, which grouped ones come in any. */
static inline uint64_t digest(struct store *s, enum how how, const char *re, int64_t min_ms,
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
