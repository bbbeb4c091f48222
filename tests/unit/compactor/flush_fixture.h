/* Flushes of segments into a bucket, and compaction of what they made: what is the same for signals whose segments are no blocks. */
#pragma once
#include "common/base/fsx.h"
#include "common/block/block_store.h"
#include "common/objstore/objstore_fs.h"
#include "compactor/levelmerge.h"
#include "compactor/segflush.h"
#include "tests/unit/test.h"

#define TENANT SLICE("t")
#define HOUR_MS 3600000ll

/* Segments in tmp_path("<ULID>"), a bucket, and what a flush of them needs. */
struct flushing {
    struct arena *a; /* borrowed */
    struct objstore *store;
    struct segflush_metrics m;
    struct segflush_opts opts;
    struct plan_input inputs[4];
    struct plan_job job;
    struct segflush_result res;
};

typedef struct err *flushing_fetch_fn(void *arg, struct slice tenant, const struct plan_input *in,
                                      const char *dir, uint64_t *ret_bytes);

static inline void open_bucket(struct flushing *x)
{
    static char bucket[512];

    snprintf(bucket, sizeof(bucket), "%s", tmp_path("bucket"));
    CHECK_OK(fsx_remove_tree(bucket));
    CHECK_OK(fsx_remove_tree(tmp_path("got")));
    CHECK_OK(objstore_fs_open(bucket, &(struct objstore_fs_opts){.no_sync = true}, &x->store));
    x->opts.store = x->store;
}

/* Of the n inputs, which are named already. */
static inline void flushing_open(struct flushing *x, struct arena *a, enum signal_kind signal,
                                 flushing_fetch_fn *fetch, size_t n)
{
    static char work[512];

    snprintf(work, sizeof(work), "%s", tmp_path("work"));
    x->a = a;
    x->job = (struct plan_job){TENANT, 0, x->inputs, n};
    x->opts = (struct segflush_opts){
        .signal = signal_of(signal), .work_dir = work, .fetch = fetch, .metrics = &x->m};
    open_bucket(x);
}

/* A file as it is fetched. */
static inline struct err *flushing_copy(const char *from, const char *to)
{
    struct buf b = {0};
    struct err *e = fsx_read(from, 1 << 30, &b);

    if (!e)
        e = fsx_write_atomic(to, buf_slice(&b));
    buf_done(&b);
    return e;
}

static inline struct err *flush(struct flushing *x)
{
    return segflush_run(&x->opts, &x->job, x->a, &x->res);
}

static inline struct catalogue *load(struct flushing *x)
{
    struct catalogue *c;

    CHECK_OK(catalogue_load(x->store, signal_name(x->opts.signal), TENANT, &c));
    return c;
}

static inline size_t blocks_of(struct flushing *x)
{
    struct catalogue *c = load(x);
    size_t n;

    (void)catalogue_blocks(c, &n);
    catalogue_free(c);
    return n;
}

static inline struct ulid first_block(struct flushing *x)
{
    struct catalogue *c = load(x);
    size_t n;
    struct ulid block = catalogue_blocks(c, &n)->ulid;

    CHECK(n > 0);
    catalogue_free(c);
    return block;
}

/* Whether the catalogue names the segment of the i-th input, from 1 on. */
static inline bool has_segment(struct flushing *x, size_t i)
{
    struct catalogue *c = load(x);
    bool has = catalogue_has_segment(c, slice_cstr(ulid_print(x->inputs[i - 1].ulid).s));

    catalogue_free(c);
    return has;
}

/* ---- what a block has ---- */

static inline const char *download(struct flushing *x, struct ulid block)
{
    const char *name = arena_printf(x->a, "got/%s", ulid_print(block).s);

    if (!fsx_exists(tmp_path(name)))
        CHECK_OK(block_store_download(
            x->store, block_store_prefix(x->a, signal_name(x->opts.signal), TENANT, block), block,
            tmp_path("got")));
    return tmp_path(name);
}

/* Of the files that all blocks have, and these. */
static inline uint64_t bytes_hash(struct flushing *x, struct ulid block, const char *const *own,
                                  size_t n_own)
{
    static const char *const all[] = {"index", BLOCK_META_FILE, "summary"};
    const char *dir = download(x, block);
    uint64_t h = 0;

    for (size_t i = 0; i < ORR_COUNT(all) + n_own; i++) {
        char *path = mem_printf("%s/%s", dir, i < n_own ? own[i] : all[i - n_own]);
        struct buf b = {0};

        CHECK_OK(fsx_read(path, 1 << 30, &b));
        h = hash_xxh64(buf_slice(&b), h);
        buf_done(&b);
        mem_free(path);
    }
    return h;
}

/* One bit of the file, so many sixths of its length in. */
static inline void damage(const char *path, size_t sixths)
{
    struct buf b = {0};

    CHECK_OK(fsx_read(path, 1 << 30, &b));
    b.ptr[b.len * sixths / 6 - (sixths == 6 ? 20 : 0)] ^= 1;
    CHECK_OK(fsx_write_atomic(path, buf_slice(&b)));
    buf_done(&b);
}

/* ---- compaction ---- */

/* Each replica flushed by itself, so blocks overlap; then the job that makes one of them. */
struct compacting {
    struct flushing x;
    int64_t now_ms;
    struct catalogue *c;
    struct levels_job *jobs;
    size_t n_jobs;
    struct levelmerge_metrics m;
    struct levelmerge_opts opts;
    struct levelmerge_result res;
};

/* k->x has three inputs. */
static inline void compacting_open(struct compacting *k, int64_t now_ms)
{
    const struct levels_opts opts = {
        .ranges_ms = {2 * HOUR_MS}, .n_ranges = 1, .max_inputs = 64, .max_bytes = 1u << 30};
    const struct signal *signal = k->x.opts.signal;
    const struct catalogue_block *blocks;
    int64_t due_ms;
    size_t n;

    for (size_t i = 0; i < 3; i++) {
        k->x.job = (struct plan_job){TENANT, 0, &k->x.inputs[i], 1};
        CHECK_OK(flush(&k->x));
    }
    CHECK_INT(blocks_of(&k->x), 3);
    k->now_ms = now_ms;
    k->c = load(&k->x);
    blocks = catalogue_blocks(k->c, &n);
    if (signal->has_ends)
        blocks = levels_by_end(blocks, n, k->x.a);
    k->jobs = levels_plan(&opts, blocks, n, now_ms, NULL, NULL, k->x.a, &k->n_jobs, &due_ms);
    CHECK_INT(k->n_jobs, 1);
    k->opts = (struct levelmerge_opts){
        .signal = signal, .store = k->x.store, .work_dir = k->x.opts.work_dir, .metrics = &k->m};
}

static inline struct err *compact(struct compacting *k)
{
    return levelmerge_run(&k->opts, TENANT, k->jobs, k->now_ms, k->x.a, &k->res);
}

/* The catalogue has the one block of the job, instead of three. */
static inline void check_compacted(struct compacting *k)
{
    struct catalogue *c = load(&k->x);
    const struct catalogue_block *b;
    size_t n;

    b = catalogue_blocks(c, &n);
    CHECK_INT(n, 1);
    CHECK_INT(b->level, 2);
    CHECK_INT(b->n_segments, 3);
    (void)catalogue_retired(c, &n);
    CHECK_INT(n, 3);
    catalogue_free(c);
}

/* A job of which this file of the second input is damaged leaves that alone. */
static inline void check_leaves_alone(struct compacting *k, const char *file)
{
    struct ulid bad = k->jobs->inputs[1]->ulid;
    char *path = mem_printf("%s/%s/t/%s/%s", tmp_path("bucket"), k->x.opts.signal->name,
                            ulid_print(bad).s, file);

    damage(path, 3);
    CHECK_OK(compact(k));
    if (k->res.version)
        test_fail(__FILE__, __LINE__, "%s is taken for whole", file);
    CHECK(ulid_eq(k->res.bad, bad));
    CHECK_INT(blocks_of(&k->x), 3);
    mem_free(path);
}
