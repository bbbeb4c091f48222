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

#include "common/base/mem.h"
#include "common/net/codec.h"
#include "ingester/distribute.h"
#include "ingester/door/rw_cursor.h"
#include "ingester/door/write_request.h"
#include "tests/unit/ingester/door/rw_build.h"

#define PER_REQUEST 2000

struct bench {
    struct buf *requests; /* snappy */
    struct slice *plain;
    size_t n, series, bytes;
    struct fp_cache known;
    struct loop *loop;
    struct distribute *distribute;
    struct ring *ring;
    size_t batch_bytes;
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

static void build(struct bench *b, size_t series, size_t labels)
{
    b->n = (series + PER_REQUEST - 1) / PER_REQUEST;
    b->series = b->n * PER_REQUEST;
    b->requests = mem_new_array(struct buf, b->n);
    b->plain = mem_new_array(struct slice, b->n);
    for (size_t r = 0; r < b->n; r++) {
        struct buf req = {0};
        size_t len;

        for (size_t i = 0; i < PER_REQUEST; i++)
            put_series(&req, r * PER_REQUEST + i, labels);
        b->bytes += req.len;
        must(codec_encode(CODEC_SNAPPY, 0, buf_slice(&req), &b->requests[r]));
        b->plain[r].ptr = buf_take(&req, &len);
        b->plain[r].len = len;
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

static struct ring *ring_of(void *arg)
{
    return ring_ref(((struct bench *)arg)->ring);
}

static struct err *take_batch(void *arg, struct slice tenant, struct slice bytes,
                              distribute_local_fn *done, void *done_arg)
{
    struct bench *b = arg;
    struct batch_reply r = {0};

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
    b->distribute = distribute_new(&(struct distribute_opts){.ops = {ring_of, take_batch, NULL, b},
                                                             .instance = "self",
                                                             .timeout_ms = 1000,
                                                             .max_inflight_bytes = 1 << 30});
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
    return 0;
}
