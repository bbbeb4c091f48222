/*
 * What a sample costs in the text decoders, from bytes to a push: steady state, every series is known.
 *
 *     lines_bench [SERIES [ROUNDS]]      20000 series of 6 labels, 20 rounds
 *
 * Prints nanoseconds of CPU and bytes of text per sample for each protocol.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/mem.h"
#include "ingester/door/expo_import.h"
#include "ingester/door/graphite_write.h"
#include "ingester/door/influx_write.h"
#include "ingester/door/statsd.h"

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
    fprintf(stderr, "lines_bench: %s\n", err_msg(e));
    exit(1);
}

static void report(const char *what, int64_t ns, size_t bytes, size_t samples)
{
    printf("%-12s %6.0f ns/sample  %4zu bytes/sample\n", what, (double)ns / (double)samples,
           bytes / samples);
}

static uint64_t decode(push_decode_fn *fn, const void *arg, struct slice body,
                       struct fp_cache *known)
{
    static const struct tenant_limits limits = {.generation = 1};
    struct push *p = push_new(SLICE("t"), &limits);
    struct push_builder b;
    uint64_t samples;

    push_builder_init(&b, p, known, 1700000000000);
    buf_slice_append(&p->body, body);
    must(fn(&b, arg));
    push_builder_remember(p, known);
    samples = p->samples;
    push_free(p);
    return samples;
}

static void run(const char *what, push_decode_fn *fn, const void *arg, struct slice body,
                size_t rounds)
{
    struct fp_cache known;
    uint64_t samples;
    int64_t from;

    fp_cache_init(&known, 64 << 20);
    samples = decode(fn, arg, body, &known);
    from = cpu_ns();
    for (size_t i = 0; i < rounds; i++)
        (void)decode(fn, arg, body, &known);
    report(what, (cpu_ns() - from) / (int64_t)rounds, body.len, samples);
    fp_cache_done(&known);
}

static void run_import(const char *what, enum expo_format format, struct slice body, size_t rounds)
{
    struct arena *a = arena_new(0);
    struct expo_import x = {.q = {.arena = a, .body = body}, .format = format};
    struct fp_cache known;
    uint64_t samples;
    int64_t from;

    fp_cache_init(&known, 64 << 20);
    samples = decode(expo_import_decode, &x, SLICE_EMPTY, &known);
    from = cpu_ns();
    for (size_t i = 0; i < rounds; i++)
        (void)decode(expo_import_decode, &x, SLICE_EMPTY, &known);
    report(what, (cpu_ns() - from) / (int64_t)rounds, body.len, samples);
    fp_cache_done(&known);
    arena_free(a);
}

static void run_statsd(struct slice lines, size_t n, size_t rounds)
{
    struct statsd *s = statsd_new(
        &(struct statsd_opts){.max_series = 1 << 20, .max_bytes = 1 << 30, .expiry_ms = 1000});
    int64_t from;

    statsd_take(s, lines, 0);
    from = cpu_ns();
    for (size_t i = 0; i < rounds; i++)
        statsd_take(s, lines, 0);
    report("statsd", (cpu_ns() - from) / (int64_t)rounds, lines.len, n);
    statsd_free(s);
}

int main(int argc, char **argv)
{
    size_t n = argc > 1 ? (size_t)atoll(argv[1]) : 20000;
    size_t rounds = argc > 2 ? (size_t)atoll(argv[2]) : 20;
    struct buf text = {0}, influx = {0}, graphite = {0}, statsd = {0};

    for (size_t i = 0; i < n; i++) {
        buf_printf(
            &text,
            "http_requests_total{cluster=\"eu-1\",instance=\"10.0.%zu.%zu:9100\",job=\"api\","
            "method=\"GET\",path=\"/v1/items\",status=\"%zu\"} %zu.25 1700000000000\n",
            i / 250, i % 250, 200 + i % 5, i);
        buf_printf(&influx,
                   "http,cluster=eu-1,instance=10.0.%zu.%zu:9100,job=api,method=GET,path=/v1/items,"
                   "status=%zu requests=%zu.25 1700000000000000000\n",
                   i / 250, i % 250, 200 + i % 5, i);
        buf_printf(&graphite,
                   "http.requests;cluster=eu-1;instance=10.0.%zu.%zu:9100;job=api;method=GET;"
                   "path=/v1/items;status=%zu %zu.25 1700000000\n",
                   i / 250, i % 250, 200 + i % 5, i);
        buf_printf(&statsd,
                   "http.requests:1|c|#cluster:eu-1,instance:10.0.%zu.%zu,job:api,method:GET,"
                   "path:/v1/items,status:%zu\n",
                   i / 250, i % 250, 200 + i % 5);
    }
    run_import("text", EXPO_TEXT, buf_slice(&text), rounds);
    run("influx", influx_write_decode, &(struct influx_write){.unit_ns = 1}, buf_slice(&influx),
        rounds);
    run("graphite", graphite_write_decode, NULL, buf_slice(&graphite), rounds);
    run_statsd(buf_slice(&statsd), n, rounds);
    buf_done(&text);
    buf_done(&influx);
    buf_done(&graphite);
    buf_done(&statsd);
    return 0;
}
