/*
 * What whole LogQL queries cost over lines in memory: megabytes of log a CPU second, the pipeline, the grouping of lines or
 * series, and the engine above them included.
 *
 *     logquery_bench [LINES [QUERY]]      200000 JSON lines of about 250 bytes in 100 streams, a minute apart in all
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "common/base/mem.h"
#include "querier/logs/logjson.h"
#include "querier/logs/logtable.h"

#define STREAMS 100
#define STEP_NS 1000000ll

static int64_t cpu_ns(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
    return ts.tv_sec * 1000000000ll + ts.tv_nsec;
}

static void fill(struct logtable *t, size_t n)
{
    static const char *const levels[] = {"info", "info", "info", "debug", "warn", "error"};
    uint64_t x = 88172645463325252ull;

    for (size_t k = 0; k < n; k++) {
        size_t i =
            k % (n / STREAMS) * STREAMS + k / (n / STREAMS); /* a stream's lines lie together */
        struct label ls[2] = {{SLICE("app"), SLICE("shop")}, {SLICE("service"), {0}}};
        struct logsource_entry entry = {.ts_ns = (int64_t)i * STEP_NS};
        char service[32], line[512];

        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        snprintf(service, sizeof(service), "s%zu", i % STREAMS);
        ls[1].value = slice_cstr(service);
        snprintf(
            line, sizeof(line),
            "{\"ts\":\"2026-01-01T00:00:00Z\",\"level\":\"%s\",\"caller\":\"http/"
            "handler.go:%u\",\"msg\":"
            "\"request done\",\"method\":\"%s\",\"path\":\"/api/v1/users/%u/orders\",\"status\":%u,"
            "\"latency_ms\":%u,\"trace_id\":\"%016llx%016llx\",\"bytes\":%u}",
            levels[x % 6], (unsigned)(x >> 4) % 900, x & 1 ? "GET" : "POST",
            (unsigned)(x >> 20) % 100000, x % 50 ? 200 : 503, (unsigned)(x >> 24) % 1500,
            (unsigned long long)x, (unsigned long long)~x, (unsigned)(x >> 12) % 100000);
        entry.line = slice_cstr(line);
        logtable_add(t, (struct labels){ls, 2}, &entry);
    }
}

static void run(struct logtable *t, const struct engine *eng, size_t n, const char *text)
{
    struct logquery q = {.expr = slice_cstr(text),
                         .end_ns = (int64_t)n * STEP_NS,
                         .step_ns = (int64_t)n * STEP_NS / 100 / 1000000 * 1000000,
                         .limit = 1000};
    struct arena *a = arena_new(0);
    struct logquery_result r;
    int64_t start = cpu_ns(), ns;
    struct buf out = {0};
    struct err *e = logquery(eng, &q, logtable_source(t), a, &r);

    if (!e)
        logjson_data(&out, &r, false);
    ns = cpu_ns() - start;
    if (e) {
        fprintf(stderr, "logquery_bench: %s: %s\n", text, err_msg(e));
        exit(1);
    }
    printf("%-80s %7.0f MB/s %9llu lines, %llu kept, %llu in the answer\n", text,
           (double)r.stats.bytes / (double)ns * 1000, (unsigned long long)r.stats.lines,
           (unsigned long long)r.stats.lines_kept, (unsigned long long)r.stats.entries);
    buf_done(&out);
    arena_free(a);
}

int main(int argc, char **argv)
{
    static const char *const queries[] = {
        "{app=\"shop\"} |= `nowhere`",
        "{app=\"shop\"} | json | latency_ms > 1000",
        "{app=\"shop\"} | json | latency_ms > 1499",
        "count_over_time({app=\"shop\"} |= `error` [10s])",
        "sum by (service) (rate({app=\"shop\"} |= `error` [10s]))",
        "sum by (level) (rate({app=\"shop\"} | json [10s]))",
        "sum by (service) (count_over_time({app=\"shop\"} | json | latency_ms > 1000 [10s]))",
        "quantile_over_time(0.99, {app=\"shop\"} | json | unwrap latency_ms [10s]) by (method)",
        "max by (service) (max_over_time({app=\"shop\"} | json | unwrap latency_ms [10s]) by "
        "(service))",
        "topk(5, sum by (path) (bytes_rate({app=\"shop\"} | json [10s])))",
    };
    size_t n = (argc > 1 ? strtoul(argv[1], NULL, 10) : 200000) / STREAMS * STREAMS;
    struct logtable *t = logtable_new();
    struct engine *eng = logquery_engine();

    fill(t, n);
    for (size_t i = 0; argc <= 2 && i < ORR_COUNT(queries); i++)
        run(t, eng, n, queries[i]);
    if (argc > 2)
        run(t, eng, n, argv[2]);
    engine_free(eng);
    logtable_free(t);
    return 0;
}
