/*
 * What a write costs at the door: snappy, protobuf walk, fingerprints, cache, batch. Steady state:
 * every series is known and has one sample.
 *
 *     door_bench [SERIES [LABELS [ROUNDS]]]      200000 series of 10 labels, 20 rounds
 *
 * Prints nanoseconds of CPU per sample for each stage, and next to them how fast this machine
 * copies memory, as a measure of the machine.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/map.h"
#include "common/base/mem.h"
#include "common/net/codec.h"
#include "ingester/distribute.h"
#include "ingester/door/agg_match.h"
#include "ingester/door/agg_pool.h"
#include "ingester/door/rewrite.h"
#include "ingester/door/rw2_request.h"
#include "ingester/door/rw_cursor.h"
#include "ingester/door/write_request.h"
#include "tests/unit/ingester/door/rw_build.h"

#define PER_REQUEST 2000

struct bench {
    struct buf *requests;   /* snappy */
    struct buf *requests_2; /* the same as remote write 2.0, not compressed */
    struct slice *plain;
    size_t n, series, bytes;
    struct fp_cache known;
    struct rewrite *rewrite;
    struct loop *loop;
    struct distribute *distribute;
    struct ring *ring;
    size_t batch_bytes;
    struct tenant_rules *agg_rules;
    struct agg_match *agg_match;
    struct agg_pool *agg_pool;
    int64_t agg_ms;
};

static int64_t cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static void must(struct err *e)
{
    if (!e)
        return;
    fprintf(stderr, "door_bench: %s\n", err_msg(e));
    exit(1);
}

/* Labels such as node-exporter and Kubernetes give. */
static void put_series(struct buf *req, size_t i, size_t labels)
{
    static const char *const names[] = {"cluster", "container", "endpoint",  "instance",
                                        "job",     "le",        "namespace", "pod",
                                        "region",  "service",   "uid",       "zone"};
    struct buf m = {0};
    char value[64];

    (void)snprintf(value, sizeof(value), "http_request_duration_seconds_%zu", i % 200);
    rw_build_label(&m, "__name__", value);
    for (size_t k = 0; k + 1 < labels && k < ORR_COUNT(names); k++) {
        (void)snprintf(value, sizeof(value), "%s-%zu", names[k], k == 3 ? i : i % (7 * (k + 1)));
        rw_build_label(&m, names[k], value);
    }
    rw_build_sample(&m, (double)i * 1.5, 1767225600000 + (int64_t)(i % 15000));
    rw_build_field(req, 1, &m);
}

/* The same series as remote write 2.0: symbols in the order in which they come. */
static uint32_t symbol(struct map *symbols, struct buf *out, struct slice text)
{
    void **slot = map_slot(symbols, text);

    if (!*slot) {
        *slot = (void *)(uintptr_t)symbols->len;
        rw_build_slice(out, 4, text);
    }
    return (uint32_t)(uintptr_t)*slot - 1;
}

static void build_2(struct slice request, struct buf *out)
{
    struct map symbols = {0};
    struct buf all = {0};
    struct rw_cursor c;

    (void)symbol(&symbols, out, SLICE_EMPTY);
    rw_cursor_init(&c, request);
    while (rw_cursor_next(&c) == RW_CURSOR_SERIES) {
        struct rw_fields f = rw_fields_of(c.series.message);
        struct buf refs = {0}, series = {0};
        struct label l;

        while (rw_cursor_label(&f, &l)) {
            buf_uvarint(&refs, symbol(&symbols, out, l.name));
            buf_uvarint(&refs, symbol(&symbols, out, l.value));
        }
        rw_build_field(&series, 1, &refs);
        rw_build_sample(&series, c.series.last_sample.v, c.series.last_sample.t_ms);
        rw_build_field(&all, 5, &series);
    }
    buf_slice_append(out, buf_slice(&all));
    buf_done(&all);
    map_done(&symbols);
}

static void build(struct bench *b, size_t series, size_t labels)
{
    b->n = (series + PER_REQUEST - 1) / PER_REQUEST;
    b->series = b->n * PER_REQUEST;
    b->requests = mem_new_array(struct buf, b->n);
    b->plain = mem_new_array(struct slice, b->n);
    b->requests_2 = mem_new_array(struct buf, b->n);
    for (size_t r = 0; r < b->n; r++) {
        struct buf req = {0};
        size_t len;

        for (size_t i = 0; i < PER_REQUEST; i++)
            put_series(&req, r * PER_REQUEST + i, labels);
        b->bytes += req.len;
        must(codec_encode(CODEC_SNAPPY, 0, buf_slice(&req), &b->requests[r]));
        b->plain[r].ptr = buf_take(&req, &len);
        b->plain[r].len = len;
        build_2(b->plain[r], &b->requests_2[r]);
    }
    fp_cache_init(&b->known, 256 << 20);
}

static struct push *decode(struct bench *b, size_t r, bool with_snappy)
{
    struct push *p = push_new(SLICE("bench"), &(struct tenant_limits){.generation = 1});
    struct push_builder builder;

    if (with_snappy)
        must(codec_decode(CODEC_SNAPPY, buf_slice(&b->requests[r]), 64 << 20, &p->body));
    else
        buf_slice_append(&p->body, b->plain[r]);
    push_builder_init(&builder, p, &b->known, 0);
    must(write_request_decoder.decode(&builder, NULL));
    return p;
}

static void stage_snappy(struct bench *b, size_t r)
{
    struct buf out = {0};

    must(codec_decode(CODEC_SNAPPY, buf_slice(&b->requests[r]), 64 << 20, &out));
    buf_done(&out);
}

static void stage_cursor(struct bench *b, size_t r)
{
    struct rw_cursor c;

    rw_cursor_init(&c, b->plain[r]);
    while (rw_cursor_next(&c) == RW_CURSOR_SERIES)
        ;
}

static void stage_decode(struct bench *b, size_t r)
{
    push_free(decode(b, r, true));
}

static void decode_2(struct bench *b, size_t r, struct rewrite *rewrite)
{
    struct push *p = push_new(SLICE("bench"), &(struct tenant_limits){.generation = 1});
    struct push_builder builder;

    buf_slice_append(&p->body, buf_slice(&b->requests_2[r]));
    push_builder_init(&builder, p, &b->known, 0);
    builder.rewrite = rewrite;
    must(rw2_request_decoder.decode(&builder, NULL));
    push_builder_remember(p, &b->known);
    push_free(p);
}

static void stage_write_2(struct bench *b, size_t r)
{
    decode_2(b, r, NULL);
}

static void stage_relabel(struct bench *b, size_t r)
{
    decode_2(b, r, b->rewrite);
}

/* Two rules that change every series. */
static void build_rewrite(struct bench *b)
{
    static const char *const yaml = "[{source_labels: [pod], target_label: workload, regex: "
                                    "'(.+)-.*'}, {action: labeldrop, regex: uid}]";
    struct tenant_rules *rules = tenant_rules_new(NULL);
    struct arena *a = arena_new(0);
    struct yaml_node *root = NULL;
    struct yaml_key key = {.text = SLICE("metric_relabel_configs"), .line = 1};
    bool is_known;

    must(yaml_load("bench", slice_cstr(yaml), a, &root));
    must(tenant_rules_read(rules, "bench", &key, root, &is_known));
    b->rewrite = rewrite_new(SLICE("bench"), rules, false, 512 << 20);
    arena_free(a);
}

static struct ring *ring_of(void *arg)
{
    return ring_ref(((struct bench *)arg)->ring);
}

static struct err *take_batch(void *arg, struct slice tenant, struct slice bytes, bool is_late,
                              distribute_local_fn *done, void *done_arg)
{
    struct bench *b = arg;
    struct batch_reply r = {0};

    (void)is_late;
    (void)tenant;
    b->batch_bytes += bytes.len;
    done(done_arg, NULL, &r);
    return NULL;
}

static void on_done(void *arg, const struct push *p, const struct distribute_result *r)
{
    (void)p;
    (void)r;
    *(int *)arg += 1;
}

static void stage_all(struct bench *b, size_t r)
{
    int done = 0;

    distribute_push(b->distribute, b->loop, decode(b, r, true), on_done, &done);
    while (!done)
        loop_run_once(b->loop, 0);
}

static void build_distribute(struct bench *b)
{
    static const uint32_t tokens[] = {1, 1u << 31};
    struct member *m;

    must(member_new(&(struct member){.instance = "self",
                                     .zone = "",
                                     .rpc_addr = "self",
                                     .http_addr = "",
                                     .roles = MEMBER_INGESTER,
                                     .signals = MEMBER_METRICS,
                                     .state = MEMBER_ACTIVE,
                                     .incarnation = 1,
                                     .registered_ms = 1,
                                     .tokens = tokens,
                                     .n_tokens = 2},
                    &m));
    b->ring =
        ring_new(&(struct ring_input){m, true}, 1,
                 &(struct ring_opts){.role = MEMBER_INGESTER, .signal = MEMBER_METRICS, .rf = 1});
    member_unref(m);
    must(loop_new("bench", &b->loop));
    b->distribute =
        distribute_new(&(struct distribute_opts){.ops = {ring_of, take_batch, NULL, b, NULL},
                                                 .instance = "self",
                                                 .timeout_ms = 1000,
                                                 .max_inflight_bytes = 1 << 30});
}

/* One rule that takes every series, over all pods and the like. */
static void build_aggregation(struct bench *b)
{
    static const char *const yaml = "[{match: '{__name__!=\"\"}', without: [pod, uid, instance], "
                                    "outputs: [total], drop_input: true}]";
    struct arena *a = arena_new(0);
    struct yaml_node *root = NULL;

    b->agg_rules = tenant_rules_new(NULL);
    must(yaml_load("bench", slice_cstr(yaml), a, &root));
    must(agg_rules_parse("bench", root, b->agg_rules->arena, &b->agg_rules->aggregation));
    b->agg_match = agg_match_new(b->agg_rules, 512 << 20);
    b->agg_pool = agg_pool_new();
    arena_free(a);
}

/* At one door that is the owner of all groups, too. */
static void stage_aggregate(struct bench *b, size_t r)
{
    struct push *p = decode(b, r, true);
    struct tenant_limits limits = {.generation = 1};
    struct agg_pool_call call = {SLICE("bench"), &limits, &b->agg_rules->aggregation,
                                 b->ring,        0,       1};
    struct agg_load load = {0};
    struct batch_reply reply = {0};
    struct batch_writer w;
    struct buf bytes = {0};

    agg_match_take(b->agg_match, p, &b->known, 1, &load);
    b->agg_ms++;
    batch_writer_init(&w, b->agg_ms);
    VEC_FOREACH (item, &load.items) {
        item->s.sample.t_ms = b->agg_ms; /* later than the last time */
        distribute_write_series(&w, &item->s, !item->s.is_known);
    }
    batch_finish(&w, &bytes);
    batch_writer_done(&w);
    must(agg_pool_take(b->agg_pool, &call, buf_slice(&bytes), &reply));
    if (reply.accepted != PER_REQUEST)
        must(err_new(ERR_INTERNAL, "not all was added up"));
    agg_match_remember(b->agg_match, &load);
    batch_reply_done(&reply);
    buf_done(&bytes);
    agg_load_done(&load);
    push_free(p);
}

static double measure(struct bench *b, size_t rounds, void (*stage)(struct bench *, size_t))
{
    int64_t start = cpu_ns();

    for (size_t i = 0; i < rounds; i++)
        for (size_t r = 0; r < b->n; r++)
            stage(b, r);
    return (double)(cpu_ns() - start) / (double)(rounds * b->series);
}

static double copy_gb_s(void)
{
    size_t n = 256 << 20;
    uint8_t *from = mem_alloc(n), *to = mem_alloc(n);
    int64_t start;

    memset(from, 1, n);
    memset(to, 2, n);
    start = cpu_ns();
    for (int i = 0; i < 4; i++)
        memcpy(to, from, n);
    start = cpu_ns() - start;
    mem_free(from);
    mem_free(to);
    return 4.0 * (double)n / (double)start;
}

int main(int argc, char **argv)
{
    size_t series = argc > 1 ? strtoul(argv[1], NULL, 10) : 200000;
    size_t labels = argc > 2 ? strtoul(argv[2], NULL, 10) : 10;
    size_t rounds = argc > 3 ? strtoul(argv[3], NULL, 10) : 20;
    struct bench b = {0};

    build(&b, series, labels);
    build_distribute(&b);
    for (size_t r = 0; r < b.n; r++) {
        struct push *p = decode(&b, r, true);

        push_builder_remember(p, &b.known);
        push_free(p);
    }
    printf("series %zu, labels %zu, bytes per series %.0f\n", b.series, labels,
           (double)b.bytes / (double)b.series);
    printf("memory copy          %8.2f GB/s\n", copy_gb_s());
    printf("snappy               %8.1f ns per sample\n", measure(&b, rounds, stage_snappy));
    printf("cursor               %8.1f ns per sample\n", measure(&b, rounds, stage_cursor));
    printf("snappy to push       %8.1f ns per sample\n", measure(&b, rounds, stage_decode));
    printf("snappy to batch      %8.1f ns per sample\n", measure(&b, rounds, stage_all));
    (void)measure(&b, 1, stage_write_2);
    printf("2.0 to push          %8.1f ns per sample\n", measure(&b, rounds, stage_write_2));
    build_aggregation(&b);
    printf("aggregated, new      %8.1f ns per sample\n", measure(&b, 1, stage_aggregate));
    printf("aggregated, known    %8.1f ns per sample\n", measure(&b, rounds, stage_aggregate));
    build_rewrite(&b);
    printf("2.0, rules, new      %8.1f ns per sample\n", measure(&b, 1, stage_relabel));
    printf("2.0, rules, known    %8.1f ns per sample\n", measure(&b, rounds, stage_relabel));
    return 0;
}
