/* Any text as a query over a small store, with limits: a result or an error, soon. */
#include <stdlib.h>

#include "querier/engine/engine.h"
#include "querier/engine/memstore.h"
#include "querier/engine/reach.h"
#include "querier/engine/result_json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct memstore *small_store(void)
{
    static const char *const names[] = {"a_total", "b", "h_bucket", "n"};
    static const double buckets[] = {1, 2, 3}, bounds[] = {1, 5};
    static const struct histogram_span span = {0, 3};
    struct memstore *m = memstore_new();

    for (size_t i = 0; i < 8; i++) {
        struct label ls[] = {{SLICE(LABEL_NAME), slice_cstr(names[i % 4])},
                             {SLICE("le"), i < 4 ? SLICE("1") : SLICE("+Inf")}};
        struct histogram h = {.schema = i < 4 ? 1 : HISTOGRAM_CUSTOM_SCHEMA,
                              .count = 6,
                              .sum = 3,
                              .pos_spans = &span,
                              .n_pos_spans = 1,
                              .pos_buckets = buckets,
                              .n_pos_buckets = 3,
                              .custom_bounds = bounds,
                              .n_custom_bounds = i < 4 ? 0 : 2};

        for (int64_t k = 0; k < 20; k++) {
            double v = k == 7    ? sample_from_bits(SAMPLE_STALE_BITS)
                       : k == 11 ? 1 / 0.0
                                 : (double)(k % 9);

            h.count += 1;
            memstore_add(m, (struct labels){ls, 2}, k * 15000, v, i % 4 == 3 && k != 7 ? &h : NULL,
                         0);
        }
    }
    return m;
}

struct shards {
    const struct engine *eng;
    struct storage *st;
    struct arena *arena;
};

static void run_shards(void *arg, struct engine_job *jobs, size_t n)
{
    struct shards *s = arg;

    for (size_t i = 0; i < n; i++)
        jobs[i].err = engine_query(s->eng, &jobs[i].q, s->st, s->arena, &jobs[i].result);
}

/* The same in shards; and what times it speaks of. */
static void ask_otherwise(struct shards *s, const struct engine_query *q, struct buf *json)
{
    struct engine_result r;
    struct reach reach;
    struct err *e = engine_query_split(s->eng, q, s->st, s->arena, 3, run_shards, s, NULL, &r);

    if (!e)
        result_json_data(json, &r);
    err_free(e);
    if (!(e = reach_of(s->eng, q, s->arena, &reach)))
        ORR_ASSERT(reach.back_ms >= 0 && reach.ahead_ms >= 0 && reach.text.len > 0);
    err_free(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct memstore *m;
    static struct engine *engines[2];
    struct arena *a = arena_new(32 << 20);
    struct engine_query q = {.expr = slice_of(data, size),
                             .start_ms = 60000,
                             .end_ms = 240000,
                             .step_ms = 30000,
                             .max_samples = 20000};
    struct engine_result r;
    struct buf json = {0};
    struct err *e;

    if (!m) {
        const struct engine_opts opts = {.has_experimental = true,
                                         .has_delayed_name_removal = true,
                                         .has_start_timestamps = true};

        m = small_store();
        engines[0] = engine_new(&opts);
        engines[1] = engine_new(&(struct engine_opts){.has_experimental = true});
    }
    for (int i = 0; i < 2; i++) {
        if (!(e = engine_query(engines[i], &q, memstore_storage(m), a, &r)))
            result_json_data(&json, &r);
        err_free(e);
        ask_otherwise(&(struct shards){engines[i], memstore_storage(m), a}, &q, &json);
        q.end_ms = q.start_ms;
        q.step_ms = 0;
    }
    buf_done(&json);
    arena_free(a);
    return 0;
}
