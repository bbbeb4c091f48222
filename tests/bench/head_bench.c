/*
 * The metrics head alone: CPU per sample by thread, anonymous memory per series, restart.
 *
 *     head_bench DIR [series 1000000] [rounds 60] [batch 5000] [shards 0]
 *
 * Each round is one sample of every series, 15 s apart. A third of the series are counters, a third
 * noisy gauges, a third constant. Ten labels each, of which two are of high cardinality.
 */
#include <dirent.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/base/clock.h"
#include "common/base/mem.h"
#include "common/base/metric.h"
#include "common/base/rng.h"
#include "common/model/labels.h"
#include "ingester/metrics/head.h"

#define STEP_MS 15000
#define INFLIGHT 8

struct bench {
    struct wal *wal;
    struct head *head;
    uint64_t series, rounds, batch;
    unsigned shards;
    struct hash128 *fps;
    double *values;
    sem_t room;
    uint64_t rejected, unknown, failed;
    struct rng rng;
    int64_t t0;
};

static void must(struct err *e)
{
    if (e) {
        fprintf(stderr, "%s\n", err_msg(e));
        exit(1);
    }
}

struct inflight {
    struct bench *b;
    struct buf bytes;
};

static void on_done(void *arg, struct err *e, struct batch_reply *reply)
{
    struct inflight *f = arg;

    if (e)
        METRIC_ADD(f->b->failed, 1);
    err_free(e);
    METRIC_ADD(f->b->rejected, batch_rejected(reply));
    METRIC_ADD(f->b->unknown, reply->unknown.len);
    buf_done(&f->bytes);
    sem_post(&f->b->room);
    mem_free(f);
}

static void send_batch(struct bench *b, struct batch_writer *w)
{
    struct inflight *f = mem_new(struct inflight);

    f->b = b;
    batch_finish(w, &f->bytes);
    sem_wait(&b->room);
    must(head_push(b->head, SLICE("bench"), buf_slice(&f->bytes), &(struct head_limits){0}, on_done,
                   f));
}

static void drain(struct bench *b)
{
    for (int i = 0; i < INFLIGHT; i++)
        sem_wait(&b->room);
    for (int i = 0; i < INFLIGHT; i++)
        sem_post(&b->room);
}

static void canonical_of(uint64_t i, struct buf *out)
{
    char v[10][48];
    const char *names[10] = {"__name__", "cluster",   "container", "env", "instance",
                             "job",      "namespace", "path",      "pod", "region"};
    struct label ls[10];

    snprintf(v[0], 48, "metric_name_%03llu_total", (unsigned long long)(i % 500));
    snprintf(v[1], 48, "cluster-%llu", (unsigned long long)(i / 500 % 4));
    snprintf(v[2], 48, "container-%llu", (unsigned long long)(i / 500 % 7));
    snprintf(v[3], 48, "production");
    snprintf(v[4], 48, "10.0.%llu.%llu:9100", (unsigned long long)(i / 500 / 250),
             (unsigned long long)(i / 500 % 250));
    snprintf(v[5], 48, "job-%llu", (unsigned long long)(i / 500 % 20));
    snprintf(v[6], 48, "namespace-%llu", (unsigned long long)(i / 500 % 30));
    snprintf(v[7], 48, "/api/v1/%llu", (unsigned long long)(i % 500 / 10));
    snprintf(v[8], 48, "app-7d9f8b6c5-%05llu", (unsigned long long)(i / 500));
    snprintf(v[9], 48, "eu-west-%llu", (unsigned long long)(i % 3));
    for (int k = 0; k < 10; k++)
        ls[k] = (struct label){slice_cstr(names[k]), slice_cstr(v[k])};
    buf_reset(out);
    labels_canonical(out, (struct labels){ls, 10});
}

static double next_value(struct bench *b, uint64_t i)
{
    switch (i % 3) {
    case 0:
        return b->values[i] += (double)rng_below(&b->rng, 100);
    case 1:
        return b->values[i] = 20 + (double)rng_below(&b->rng, 10000) / 100;
    default:
        return b->values[i];
    }
}

static void create(struct bench *b)
{
    struct batch_writer w;
    struct buf canonical = {0};

    batch_writer_init(&w, b->t0);
    for (uint64_t i = 0; i < b->series; i++) {
        canonical_of(i, &canonical);
        b->fps[i] = labels_fingerprint_of_canonical(buf_slice(&canonical));
        b->values[i] = (double)i;
        batch_series_begin(&w, b->fps[i]);
        batch_series_labels(&w, buf_slice(&canonical));
        batch_series_sample(&w, b->t0, b->values[i]);
        batch_series_end(&w);
        if (batch_writer_series(&w) == b->batch || i + 1 == b->series)
            send_batch(b, &w);
    }
    drain(b);
    batch_writer_done(&w);
    buf_done(&canonical);
}

static void round_of(struct bench *b, uint64_t k)
{
    struct batch_writer w;
    int64_t t = b->t0 + (int64_t)k * STEP_MS;

    batch_writer_init(&w, t);
    for (uint64_t i = 0; i < b->series; i++) {
        batch_sample(&w, b->fps[i], t, next_value(b, i));
        if (batch_writer_series(&w) == b->batch || i + 1 == b->series)
            send_batch(b, &w);
    }
    batch_writer_done(&w);
}

/* CPU seconds of the threads whose name begins with prefix. */
static double cpu_of(const char *prefix)
{
    DIR *d = opendir("/proc/self/task");
    struct dirent *de;
    double sum = 0;

    while (d && (de = readdir(d))) {
        char path[320], name[32] = "";
        unsigned long long ns = 0;
        FILE *f;

        if (de->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "/proc/self/task/%s/comm", de->d_name);
        if ((f = fopen(path, "r"))) {
            (void)!fgets(name, sizeof(name), f);
            fclose(f);
        }
        snprintf(path, sizeof(path), "/proc/self/task/%s/schedstat", de->d_name);
        if (strncmp(name, prefix, strlen(prefix)) == 0 && (f = fopen(path, "r"))) {
            if (fscanf(f, "%llu", &ns) == 1)
                sum += (double)ns / 1e9;
            fclose(f);
        }
    }
    if (d)
        closedir(d);
    return sum;
}

static double now_s(void)
{
    return (double)clock_mono_ns(&clock_system) / 1e9;
}

static void open_head(struct bench *b, const char *dir)
{
    char *wal_dir = mem_printf("%s/wal", dir);

    must(wal_open(&(struct wal_opts){.dir = wal_dir}, &b->wal));
    must(head_open(&(struct head_opts){.dir = dir, .wal = b->wal, .shards = b->shards}, &b->head));
    mem_free(wal_dir);
}

static void measure_restart(struct bench *b, const char *dir)
{
    struct head_replay_stats st;
    struct batch_writer w;
    struct buf canonical = {0};
    double start, writable;

    head_abandon(b->head);
    must(wal_close(b->wal));
    start = now_s();
    open_head(b, dir);
    batch_writer_init(&w, b->t0);
    canonical_of(0, &canonical);
    batch_series_begin(&w, b->fps[0]);
    batch_series_labels(&w, buf_slice(&canonical));
    batch_series_sample(&w, b->t0 + (int64_t)(b->rounds + 1) * STEP_MS, 1);
    batch_series_end(&w);
    send_batch(b, &w);
    drain(b);
    writable = now_s() - start;
    must(head_wait_ready(b->head));
    head_replay_stats_get(b->head, &st);
    printf(
        "restart: writable %.2f s, whole %.2f s (checkpoint %.2f s: %llu series; log %.2f s: %llu "
        "samples)\n",
        writable, now_s() - start, (double)st.checkpoint_ms / 1e3, (unsigned long long)st.series,
        (double)st.replay_ms / 1e3, (unsigned long long)st.samples);
    batch_writer_done(&w);
    buf_done(&canonical);
}

static void measure_select(struct bench *b)
{
    struct arena *a = arena_new(0);
    struct matcher m;
    struct head_query q = {.tenant = SLICE("bench"), .matchers = {&m, 1}, .max_ms = INT64_MAX};
    struct head_set *set;
    struct head_series s;
    uint64_t n = 0, chunks = 0;
    double start = now_s();

    must(matcher_init(a, MATCHER_EQ, SLICE("__name__"), SLICE("metric_name_007_total"), &m));
    must(head_select(b->head, &q, &set));
    while (head_set_next(set, &s)) {
        n++;
        chunks += s.n_chunks;
    }
    must(head_set_close(set));
    printf("select: %llu series, %llu chunks in %.2f ms\n", (unsigned long long)n,
           (unsigned long long)chunks, (now_s() - start) * 1e3);
    matcher_done(&m);
    arena_free(a);
}

int main(int argc, char **argv)
{
    struct bench b = {.series = 1000000, .rounds = 60, .batch = 5000};
    size_t before, after;
    double start, shard_cpu, wal_cpu, wall;
    double samples;

    if (argc < 2) {
        fprintf(stderr, "usage: head_bench DIR [series] [rounds] [batch] [shards]\n");
        return 2;
    }
    b.series = argc > 2 ? strtoull(argv[2], NULL, 10) : b.series;
    b.rounds = argc > 3 ? strtoull(argv[3], NULL, 10) : b.rounds;
    b.batch = argc > 4 ? strtoull(argv[4], NULL, 10) : b.batch;
    b.shards = argc > 5 ? (unsigned)strtoul(argv[5], NULL, 10) : 0;
    b.t0 = 1699999200000ll;
    rng_seed(&b.rng, 1);
    sem_init(&b.room, 0, INFLIGHT);
    b.fps = mem_new_array(struct hash128, b.series);
    b.values = mem_new_array(double, b.series);
    open_head(&b, argv[1]);
    must(head_wait_ready(b.head));
    before = mem_allocated_bytes();

    start = now_s();
    create(&b);
    wall = now_s() - start;
    printf("create: %llu series in %.2f s, shard threads %.0f ns a series, %.0f bytes a series\n",
           (unsigned long long)b.series, wall, cpu_of("head-") / (double)b.series * 1e9,
           (double)(mem_allocated_bytes() - before) / (double)b.series);

    shard_cpu = cpu_of("head-");
    wal_cpu = cpu_of("wal");
    start = now_s();
    for (uint64_t k = 1; k <= b.rounds; k++) {
        round_of(&b, k);
        if (k % 40 == 0) {
            drain(&b);
            printf("  round %llu: %.0f bytes a series\n", (unsigned long long)k,
                   (double)(mem_allocated_bytes() - before) / (double)b.series);
        }
        if (k == b.rounds - ORR_MIN(b.rounds, 20))
            must(head_checkpoint(b.head));
    }
    drain(&b);
    wall = now_s() - start;
    samples = (double)(b.rounds * b.series);
    after = mem_allocated_bytes();
    printf("steady: %.1f M samples in %.2f s; shard threads %.1f ns a sample, wal thread %.1f\n",
           samples / 1e6, wall, (cpu_of("head-") - shard_cpu) / samples * 1e9,
           (cpu_of("wal") - wal_cpu) / samples * 1e9);
    printf("memory: %.0f bytes a series; rejected %llu unknown %llu failed %llu\n",
           (double)(after - before) / (double)b.series, (unsigned long long)b.rejected,
           (unsigned long long)b.unknown, (unsigned long long)b.failed);
    measure_select(&b);
    measure_restart(&b, argv[1]);
    measure_select(&b);
    start = now_s();
    must(head_cut(b.head, SLICE_EMPTY, INT64_MAX, NULL));
    printf("cut: %.2f s\n", now_s() - start);
    must(head_close(b.head));
    must(wal_close(b.wal));
    return 0;
}
