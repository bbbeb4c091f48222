/*
 * What blocks of traces cost and save, of the traffic of a generated shop (spangen.h), beside zstd -3 of the same pieces and memcpy in
 * the same run.
 *
 *     traceblock_bench [SPANS [BLOCKS]]     2,000,000 spans; the ids of 200 blocks
 *
 * Speeds are per second of this thread's CPU; latencies are of the wall.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <zstd.h>

#include "common/base/fsx.h"
#include "common/base/mem.h"
#include "common/base/vec.h"
#include "common/traceblock/traceblock.h"
#include "tests/bench/spangen.h"

#define T0 1764400000000000000ull

struct stored {
    uint8_t id[16];
    size_t at, len; /* of its piece */
};
struct corpus {
    struct buf bytes; /* pieces */
    VEC(struct stored) traces;
    uint64_t spans;
};

static int64_t clock_ns(clockid_t which)
{
    struct timespec ts;

    clock_gettime(which, &ts);
    return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static int64_t cpu_ns(void)
{
    return clock_ns(CLOCK_THREAD_CPUTIME_ID);
}

static void must(struct err *e)
{
    if (!e)
        return;
    fprintf(stderr, "traceblock_bench: %s\n", err_msg(e));
    exit(1);
}

static double per_s(uint64_t n, int64_t ns)
{
    return (double)n / (double)ORR_MAX(ns, (int64_t)1) * 1e9;
}

static int by_id(const void *a, const void *b)
{
    return memcmp(((const struct stored *)a)->id, ((const struct stored *)b)->id, 16);
}

static void make_corpus(struct corpus *c, uint64_t seed, uint64_t spans)
{
    struct tracepiece_encoder *e = tracepiece_encoder_new();
    struct arena *a = arena_new(0);
    struct spangen g;

    spangen_init(&g, seed, T0, 7200000000000ull / (spans / 19 + 1));
    while (c->spans < spans) {
        const struct tracepiece *p = spangen_trace(&g);
        struct stored s = {.at = c->bytes.len};

        memcpy(s.id, p->trace_id, 16);
        tracepiece_encode(e, p, &c->bytes);
        s.len = c->bytes.len - s.at;
        vec_push(&c->traces, s);
        c->spans += p->n_spans;
    }
    qsort(c->traces.ptr, c->traces.len, sizeof(*c->traces.ptr), by_id);
    spangen_done(&g);
    arena_free(a);
    tracepiece_encoder_free(e);
}

static void free_corpus(struct corpus *c)
{
    buf_done(&c->bytes);
    vec_done(&c->traces);
}

static struct ulid id_of(unsigned n)
{
    struct ulid id = {{0}};

    id.bytes[14] = (uint8_t)(n >> 8);
    id.bytes[15] = (uint8_t)n;
    return id;
}

/* CPU of the block alone: pieces are decoded before. */
static int64_t write_block(const char *dir, const struct corpus *c, unsigned n,
                           struct block_meta *ret_meta, struct arena *meta_arena)
{
    struct traceblock_writer_opts o = {.dir = dir,
                                       .meta = {.ulid = id_of(n), .level = 1, .tenant = SLICE("t")},
                                       .has_summary = true,
                                       .no_sync = true};
    struct arena *a = arena_new(0);
    struct traceblock_writer *w;
    int64_t ns = 0, at;

    must(traceblock_writer_open(&o, &w));
    VEC_FOREACH (s, &c->traces) {
        struct tracepiece p, whole;

        arena_reset(a);
        must(tracepiece_decode(a, slice_of(c->bytes.ptr + s->at, s->len), &p));
        tracepiece_unite(a, &p, 1, &whole);
        at = cpu_ns();
        must(traceblock_writer_trace(w, &whole));
        ns += cpu_ns() - at;
    }
    at = cpu_ns();
    must(traceblock_writer_finish(w, meta_arena, ret_meta));
    ns += cpu_ns() - at;
    traceblock_writer_close(w);
    arena_free(a);
    return ns;
}

struct open_block {
    struct block_reader *reader;
    struct traceblock *block;
};

static void open_block(const char *dir, unsigned n, struct open_block *ret)
{
    char *path = mem_printf("%s/%s", dir, ulid_print(id_of(n)).s);

    must(block_reader_open_dir(path, &ret->reader));
    must(traceblock_open(ret->reader, &ret->block));
    mem_free(path);
}

static void close_block(struct open_block *b)
{
    traceblock_close(b->block);
    block_reader_close(b->reader);
}

/* { resource.service.name = "payments" && duration > 300ms } */
static struct err *match(void *arg, struct arena *scratch, const struct tracecols *c, uint8_t *want)
{
    uint32_t service = UINT32_MAX;

    (void)arg;
    (void)scratch;
    for (uint32_t i = 0; i < c->n_dict; i++)
        if (slice_eq_cstr(c->dict[i], "payments"))
            service = i;
    for (uint32_t i = 0; i < c->n_spans; i++)
        if (c->service[i] == service && c->end_ns[i] - c->start_ns[i] > 300000000)
            want[c->trace[i]] = 1;
    return NULL;
}

static struct traceblock_query all_of(void)
{
    struct traceblock_query q = {.start_ns = 0, .end_ns = INT64_MAX};

    memset(q.last, 0xff, sizeof(q.last));
    return q;
}

static uint64_t ask(struct open_block *b, const struct traceblock_query *q,
                    struct traceblock_stats *stats)
{
    struct arena *a = arena_new(0);
    struct traceblock_set *set;
    struct traceblock_trace t;
    uint64_t spans = 0;

    must(traceblock_select(b->block, a, q, &set));
    while (traceblock_set_next(set, &t))
        spans += q->ids_only ? 1 : t.piece->n_spans;
    traceblock_set_stats(set, stats);
    must(traceblock_set_close(set));
    arena_free(a);
    return spans;
}

static void bench_questions(struct open_block *b, uint64_t spans)
{
    struct traceblock_query q = all_of();
    struct traceblock_stats stats;
    int64_t at = cpu_ns(), least = INT64_MAX;
    uint64_t found;

    found = ask(b, &q, &stats);
    printf("   all traces back: %.2f M spans/CPU-s (%llu)\n", per_s(found, cpu_ns() - at) / 1e6,
           (unsigned long long)found);
    q.match = match;
    q.ids_only = true;
    for (unsigned i = 0; i < 5; i++) {
        at = cpu_ns();
        found = ask(b, &q, &stats);
        least = ORR_MIN(least, cpu_ns() - at);
    }
    printf("   search by service and duration: %.1f M spans/CPU-s (%llu of the traces; %.1f bytes "
           "read a span)\n",
           per_s(spans, least) / 1e6, (unsigned long long)found,
           (double)stats.bytes / (double)spans);
    q.ids_only = false;
    at = cpu_ns();
    found = ask(b, &q, &stats);
    printf("   the same with the traces: %.1f M spans/CPU-s (%llu spans)\n",
           per_s(spans, cpu_ns() - at) / 1e6, (unsigned long long)found);
}

static void bench_merge(const char *dir, struct open_block *b, uint64_t spans)
{
    struct traceblock_writer_opts o = {
        .dir = dir,
        .meta = {.ulid = id_of(9999), .level = 2, .tenant = SLICE("t")},
        .no_sync = true};
    struct traceblock_source sources[3];
    struct arena *a = arena_new(0);
    struct traceblock_writer *w;
    struct block_meta meta;
    int64_t at;

    must(traceblock_writer_open(&o, &w));
    for (unsigned i = 0; i < 3; i++)
        must(traceblock_source_block(b->block, &sources[i]));
    at = cpu_ns();
    must(traceblock_merge(sources, 3, 0, NULL, w, NULL));
    must(traceblock_writer_finish(w, a, &meta));
    printf("   merge of three equal blocks: %.0f k spans/CPU-s, of what comes out\n",
           per_s(spans, cpu_ns() - at) / 1e3);
    traceblock_writer_close(w);
    arena_free(a);
}

static int by_value(const void *a, const void *b)
{
    const int64_t *l = a, *r = b;

    return (*l > *r) - (*l < *r);
}

static void bench_ids(const char *dir, unsigned n)
{
    struct open_block *blocks = mem_calloc(n, sizeof(*blocks));
    VEC(int64_t) took = {0};
    VEC(struct stored) ids = {0};
    struct arena *a = arena_new(0);
    struct traceblock_stats stats;
    struct rng r;

    rng_seed(&r, 5);
    for (unsigned i = 0; i < n; i++) {
        struct corpus c = {0};
        struct block_meta meta;

        make_corpus(&c, 1000 + i, 20000);
        (void)write_block(dir, &c, 1 + i, &meta, a);
        vec_push(&ids, c.traces.ptr[rng_below(&r, c.traces.len)]);
        vec_push(&ids, c.traces.ptr[rng_below(&r, c.traces.len)]);
        open_block(dir, 1 + i, &blocks[i]);
        free_corpus(&c);
    }
    for (unsigned round = 0; round < 6; round++) {
        VEC_FOREACH (id, &ids) {
            struct traceblock_query q = all_of();
            int64_t at = clock_ns(CLOCK_MONOTONIC);
            uint64_t found = 0;

            q.ids = (const uint8_t(*)[16])id->id;
            q.n_ids = 1;
            for (unsigned i = 0; i < n; i++)
                found += ask(&blocks[i], &q, &stats);
            if (!found)
                abort();
            if (round)
                vec_push(&took, clock_ns(CLOCK_MONOTONIC) - at);
        }
    }
    qsort(took.ptr, took.len, sizeof(*took.ptr), by_value);
    printf("   trace by id over %u blocks: p50 %.2f ms, p99 %.2f ms\n", n,
           (double)took.ptr[took.len / 2] / 1e6, (double)took.ptr[took.len * 99 / 100] / 1e6);
    for (unsigned i = 0; i < n; i++)
        close_block(&blocks[i]);
    mem_free(blocks);
    vec_done(&took);
    vec_done(&ids);
    arena_free(a);
}

static void print_sizes(const char *dir, const struct block_meta *meta, const struct corpus *c)
{
    size_t room = ZSTD_compressBound(c->bytes.len), packed;
    uint8_t *to = mem_alloc(room);
    int64_t at = cpu_ns(), packing;

    (void)dir;
    packed = ZSTD_compress(to, room, c->bytes.ptr, c->bytes.len, 3);
    packing = cpu_ns() - at;
    printf("   pieces %.1f bytes a span; zstd -3 of them %.1f, at %.2f M spans/CPU-s\n",
           (double)c->bytes.len / (double)c->spans, (double)packed / (double)c->spans,
           per_s(c->spans, packing) / 1e6);
    for (size_t i = 0; i < meta->n_files; i++)
        printf("   %.*s: %.2f bytes a span\n", (int)meta->files[i].path.len,
               (const char *)meta->files[i].path.ptr,
               (double)meta->files[i].bytes / (double)c->spans);
    printf("   block: %.1f bytes a span\n", (double)block_meta_bytes(meta) / (double)c->spans);
    mem_free(to);
}

int main(int argc, char **argv)
{
    uint64_t spans = argc > 1 ? strtoull(argv[1], NULL, 10) : 2000000;
    unsigned blocks = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 200;
    char dir[] = "/tmp/traceblock-bench-XXXXXX";
    struct arena *a = arena_new(0);
    struct corpus c = {0};
    struct open_block b;
    struct block_meta meta;
    int64_t ns;

    if (!mkdtemp(dir))
        return 1;
    make_corpus(&c, 1, spans);
    printf("%llu spans of %zu traces\n", (unsigned long long)c.spans, c.traces.len);
    ns = write_block(dir, &c, 0, &meta, a);
    printf("   block written: %.0f k spans/CPU-s\n", per_s(c.spans, ns) / 1e3);
    print_sizes(dir, &meta, &c);
    open_block(dir, 0, &b);
    bench_questions(&b, c.spans);
    bench_merge(dir, &b, c.spans);
    close_block(&b);
    if (blocks)
        bench_ids(dir, blocks);
    free_corpus(&c);
    arena_free(a);
    must(fsx_remove_tree(dir));
    return 0;
}
