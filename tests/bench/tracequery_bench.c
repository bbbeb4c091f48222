/*
 * What questions about traces cost over blocks in a directory, through the source of a querier and TraceQL's engine, of the traffic of a
 * generated shop (spangen.h). No process and no ingester: what is measured is what a worker does.
 *
 *     tracequery_bench [SPANS [BLOCKS]]     1,000,000 spans in 8 blocks; a trace by its id over 200 blocks
 *     tracequery_bench SPANS 0 QUERY [N]    one search N times (10), for a profiler
 *
 * Speeds are per second of this thread's CPU, of all spans that the blocks have; latencies are of the wall, warm.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "common/base/vec.h"
#include "common/block/block_store.h"
#include "common/objstore/objstore_fs.h"
#include "querier/traces/tracecond.h"
#include "querier/traces/tracemetric.h"
#include "querier/traces/tracesearch.h"
#include "querier/traces/tracestored.h"
#include "querier/traces/tracewant.h"
#include "tests/bench/spangen.h"

#define T0 1764400000000000000ull
#define SIGNAL SLICE("traces")
#define TENANT SLICE("t")

struct trace_id {
    uint8_t id[16];
};

struct bench {
    char *dir, *work;
    struct objstore *bucket;
    struct store *store;
    unsigned blocks;
    uint64_t spans;
    VEC(struct trace_id) some; /* one of each block */
};

static int64_t clock_ns(clockid_t which)
{
    struct timespec ts;

    clock_gettime(which, &ts);
    return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static void must(struct err *e)
{
    if (!e)
        return;
    fprintf(stderr, "tracequery_bench: %s\n", err_msg(e));
    exit(1);
}

/* ---- blocks ---- */

static int by_id(const void *a, const void *b)
{
    return memcmp(((const struct tracepiece *)a)->trace_id,
                  ((const struct tracepiece *)b)->trace_id, 16);
}

static struct err *add(void *arg, struct catalogue *c, bool *ret_changed)
{
    struct catalogue_block b = catalogue_block_of_meta(arg);

    catalogue_add(c, &b);
    *ret_changed = true;
    return NULL;
}

static void put_block(struct bench *b, uint64_t spans)
{
    struct traceblock_writer_opts o = {
        .dir = b->work,
        .meta = {.ulid = ulid_make(++b->blocks, (const uint8_t[10]){0}),
                 .level = 1,
                 .tenant = TENANT},
        .has_summary = true,
        .no_sync = true};
    struct tracepiece_encoder *enc = tracepiece_encoder_new();
    struct arena *a = arena_new(0);
    struct buf bytes = {0};
    VEC(struct tracepiece) all = {0};
    struct traceblock_writer *w;
    struct block_meta meta;
    struct spangen g;
    uint64_t n = 0;

    spangen_init(&g, b->blocks, T0 + b->blocks * 7200000000000ull,
                 7200000000000ull / (spans / 19 + 1));
    while (n < spans) {
        struct tracepiece p;

        buf_reset(&bytes);
        tracepiece_encode(enc, spangen_trace(&g), &bytes);
        must(tracepiece_decode(a, arena_dup(a, buf_slice(&bytes)), &p));
        vec_push(&all, p);
        n += p.n_spans;
    }
    qsort(all.ptr, all.len, sizeof(*all.ptr), by_id);
    must(traceblock_writer_open(&o, &w));
    VEC_FOREACH (p, &all)
        must(traceblock_writer_trace(w, p));
    must(traceblock_writer_finish(w, a, &meta));
    traceblock_writer_close(w);
    must(block_store_upload(b->bucket, SIGNAL, TENANT,
                            arena_printf(a, "%s/%s", o.dir, ulid_print(meta.ulid).s), &meta));
    must(catalogue_update(b->bucket, SIGNAL, TENANT, add, &meta, NULL));
    must(fsx_remove_tree(o.dir));
    b->spans += n;
    memcpy(vec_add(&b->some)->id, all.ptr[all.len / 3].trace_id, 16);
    spangen_done(&g);
    vec_done(&all);
    buf_done(&bytes);
    arena_free(a);
    tracepiece_encoder_free(enc);
}

static void bench_open(struct bench *b, unsigned blocks, uint64_t spans)
{
    char *root;

    *b = (struct bench){.dir = mem_strdup("/tmp/tracequery-bench-XXXXXX")};
    if (!mkdtemp(b->dir))
        exit(1);
    root = mem_printf("%s/bucket", b->dir);
    b->work = mem_printf("%s/work", b->dir);
    must(objstore_fs_open(root, &(struct objstore_fs_opts){.no_sync = true}, &b->bucket));
    for (unsigned i = 0; i < blocks; i++)
        put_block(b, spans / blocks);
    b->store = store_new(&(struct store_opts){
        .objstore = b->bucket, .local_root = root, .catalogue_max_age_ms = 3600000});
    mem_free(root);
}

static void bench_close(struct bench *b)
{
    store_free(b->store);
    objstore_close(b->bucket);
    vec_done(&b->some);
    must(fsx_remove_tree(b->dir));
    mem_free(b->work);
    mem_free(b->dir);
}

/* ---- questions ---- */

struct question {
    struct arena *arena;
    struct store_query sq;
    struct tracestored stored;
    struct tracesource source;
    struct tracescan_opts scan;
};

static void question_begin(struct bench *b, struct question *q)
{
    q->arena = arena_new(4ull << 30);
    store_query_init(&q->sq, b->store,
                     &(struct store_query_opts){.tenant = TENANT, .arena = q->arena});
    q->stored.sq = &q->sq;
    q->source = tracestored_source(&q->stored);
    q->scan = (struct tracescan_opts){
        .source = &q->source, .req = {.end_ns = INT64_MAX}, .ranges = 16, .arena = q->arena};
}

static void question_end(struct question *q)
{
    store_query_done(&q->sq);
    arena_free(q->arena);
}

static void search(struct bench *b, const char *text)
{
    int64_t least = INT64_MAX;
    size_t found = 0;

    for (unsigned i = 0; i < 3; i++) {
        struct tracesearch_result res;
        struct question q;
        struct traceql ql;
        int64_t at;

        question_begin(b, &q);
        must(traceql_parse(q.arena, slice_cstr(text), &ql));
        at = clock_ns(CLOCK_THREAD_CPUTIME_ID);
        must(tracesearch(
            &(struct tracesearch_opts){
                .scan = q.scan, .query = &ql, .limit = 20, .spans_per_set = 3},
            &res));
        least = ORR_MIN(least, clock_ns(CLOCK_THREAD_CPUTIME_ID) - at);
        found = res.stats.traces;
        tracesearch_done(&res);
        question_end(&q);
    }
    printf("   %.2f M spans/CPU-s (%zu traces looked at whole): %s\n",
           (double)b->spans / (double)least * 1e3, found, text);
}

static struct err *count(void *arg, const struct tracecols *cols, bool *ret_stop)
{
    (void)ret_stop;
    return tracemetric_add(arg, cols);
}

static void measure(struct bench *b, const char *text)
{
    struct tracemetric_range range = {.start_ns = (int64_t)T0,
                                      .end_ns = (int64_t)T0 + 300 * 7200000000000ll / 20,
                                      .step_ns = 300000000000ll};
    struct tracescan_stats stats = {0};
    struct tracemetric *m;
    struct tracegroup_want want;
    struct tracecond cond;
    struct question q;
    struct traceql ql;
    int64_t at;

    question_begin(b, &q);
    must(traceql_parse(q.arena, slice_cstr(text), &ql));
    cond = tracecond_of(q.arena, &ql);
    q.scan.req.filters = cond.ptr;
    q.scan.req.n_filters = cond.n;
    want = tracewant_of_query(q.arena, &ql, false);
    q.scan.want = &want;
    must(tracemetric_new(&ql, &range, &m));
    at = clock_ns(CLOCK_THREAD_CPUTIME_ID);
    must(tracescan(&q.scan, count, m, &stats));
    printf("   %.2f M spans/CPU-s: %s\n",
           (double)b->spans / (double)(clock_ns(CLOCK_THREAD_CPUTIME_ID) - at) * 1e3, text);
    tracemetric_free(m);
    question_end(&q);
}

static int by_value(const void *a, const void *b)
{
    const int64_t *l = a, *r = b;

    return (*l > *r) - (*l < *r);
}

static void find(struct bench *b)
{
    VEC(int64_t) took = {0};

    for (unsigned round = 0; round < 6; round++)
        VEC_FOREACH (id, &b->some) {
            int64_t at = clock_ns(CLOCK_MONOTONIC);
            struct tracepiece p;
            struct question q;

            question_begin(b, &q);
            must(tracescan_find(&q.scan, id->id, &p));
            if (!p.n_spans)
                abort();
            question_end(&q);
            if (round)
                vec_push(&took, clock_ns(CLOCK_MONOTONIC) - at);
        }
    qsort(took.ptr, took.len, sizeof(*took.ptr), by_value);
    printf("   trace by id over %u blocks: p50 %.2f ms, p99 %.2f ms\n", b->blocks,
           (double)took.ptr[took.len / 2] / 1e6, (double)took.ptr[took.len * 99 / 100] / 1e6);
    vec_done(&took);
}

int main(int argc, char **argv)
{
    uint64_t spans = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;
    unsigned blocks = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 200;
    struct bench b;

    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    bench_open(&b, 8, spans);
    for (unsigned i = 0, n = argc > 4 ? (unsigned)strtoul(argv[4], NULL, 10) : 10;
         argc > 3 && i < n; i++)
        search(&b, argv[3]);
    if (argc > 3) {
        bench_close(&b);
        return 0;
    }
    printf("%llu spans in %u blocks\n", (unsigned long long)b.spans, b.blocks);
    search(&b, "{ resource.service.name = \"payments\" && duration > 300ms }");
    search(&b, "{ resource.service.name = \"payments\" && span.http.response.status_code >= 500 }");
    search(&b, "{ status = error } >> { kind = client }");
    search(&b, "{ }");
    measure(&b, "{ } | rate() by (resource.service.name)");
    bench_close(&b);
    bench_open(&b, blocks, 5000ull * blocks);
    find(&b);
    bench_close(&b);
    return 0;
}
