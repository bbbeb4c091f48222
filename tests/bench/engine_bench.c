/*
 * The query engine alone, over series in memory: ns per sample read, for a few queries over
 * 10,000 series, 2 h at 15 s, as range queries of the same 2 h at 15 s.
 *
 *     engine_bench [SERIES]
 */
#include <stdio.h>
#include <stdlib.h>

#include "common/base/clock.h"
#include "querier/engine/engine.h"
#include "querier/engine/memstore.h"

#define SAMPLES 480
#define STEP_MS 15000

static void fill(struct memstore *m, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        char pod[32], job[32];
        struct label ls[] = {
            {SLICE(LABEL_NAME), SLICE("x_total")}, {SLICE("job"), {0}}, {SLICE("pod"), {0}}};

        snprintf(pod, sizeof(pod), "pod-%zu", i);
        snprintf(job, sizeof(job), "job-%zu", i % 20);
        ls[1].value = slice_cstr(job);
        ls[2].value = slice_cstr(pod);
        for (size_t k = 0; k < SAMPLES; k++)
            memstore_add(m, (struct labels){ls, 3}, (int64_t)k * STEP_MS,
                         (double)((k * (i % 7 + 1)) % 4000), NULL, 0);
    }
}

static void measure(struct engine *eng, struct memstore *m, const char *expr)
{
    struct arena *a = arena_new(0);
    struct engine_query q = {.expr = slice_cstr(expr),
                             .start_ms = 0,
                             .end_ms = (SAMPLES - 1) * STEP_MS,
                             .step_ms = STEP_MS,
                             .max_samples = UINT64_MAX};
    struct engine_result r;
    int64_t start = clock_mono_ns(&clock_system), took;
    struct err *e = engine_query(eng, &q, memstore_storage(m), a, &r);

    took = clock_mono_ns(&clock_system) - start;
    if (e) {
        printf("%-50s %s\n", expr, err_msg(e));
        err_free(e);
    } else {
        printf("%-50s %8.1f ms %7.2f ns/sample %8.1f MiB %6zu series\n", expr, (double)took / 1e6,
               (double)took / (double)r.stats.samples, (double)r.stats.peak_bytes / (1 << 20),
               r.n_series);
    }
    arena_free(a);
}

int main(int argc, char **argv)
{
    size_t n = argc > 1 ? strtoul(argv[1], NULL, 10) : 10000;
    struct memstore *m = memstore_new();
    struct engine *eng = engine_new(NULL);

    fill(m, n);
    measure(eng, m, "sum by (job) (rate(x_total[5m]))");
    measure(eng, m, "sum by (job) (x_total)");
    measure(eng, m, "max_over_time(x_total[5m])");
    measure(eng, m, "sum(sum_over_time(x_total[5m]))");
    measure(eng, m, "avg by (job) (quantile_over_time(0.9, x_total[5m]))");
    measure(eng, m, "topk(5, rate(x_total[5m]))");
    measure(eng, m, "count(x_total / on (pod, job) x_total)");
    engine_free(eng);
    memstore_free(m);
    return 0;
}
