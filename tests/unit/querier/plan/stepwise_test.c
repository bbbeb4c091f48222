#include <math.h>
#include <stdlib.h>

#include "common/base/rng.h"
#include "querier/engine/memstore.h"
#include "querier/engine/result_json.h"
#include "querier/plan/stepwise.h"
#include "tests/unit/test.h"

#ifdef ORR_SANITIZED
#define QUERIES 80
#else
#define QUERIES 400
#endif
#define SAMPLES 1200 /* of each series, 30 s apart: ten hours */
#define EVERY_MS 30000
#define LAST_MS ((int64_t)SAMPLES * EVERY_MS)
#define MAX_JOBS 512

/* ---- data: counters with resets, gauges of both signs, gaps, stale marks, NaN, Inf, histograms ---- */

static struct histogram some_histogram(double *buckets, double n, bool has_other_scale)
{
    static const struct histogram_span spans[] = {{0, 3}};

    for (size_t i = 0; i < 3; i++)
        buckets[i] = n * (double)(i + 1);
    return (struct histogram){.schema = has_other_scale ? 1 : 2,
                              .zero_threshold = 0.001,
                              .count = n * 6,
                              .sum = n * 1.7,
                              .pos_spans = spans,
                              .n_pos_spans = 1,
                              .pos_buckets = buckets,
                              .n_pos_buckets = 3};
}

static double next_value(struct rng *rng, const char *name, double last)
{
    if (strcmp(name, "g") != 0)
        return rng_chance(rng, 0.01) ? rng_unit(rng) : last + rng_unit(rng) * 10;
    if (rng_chance(rng, 0.005))
        return rng_chance(rng, 0.5) ? NAN : INFINITY;
    return (rng_unit(rng) - 0.5) * 1e3;
}

static void add_series(struct memstore *m, struct rng *rng, const char *name, struct labels ls,
                       size_t from, size_t to)
{
    double v = 0, buckets[3];
    size_t gap = 0;

    for (size_t i = from; i < to; i++) {
        int64_t t = (int64_t)i * EVERY_MS + (int64_t)rng_below(rng, 500);
        struct histogram h;

        v = next_value(rng, name, v);
        if (gap) {
            gap--;
            continue;
        }
        if (rng_chance(rng, 0.01)) {
            gap = rng_below(rng, 60);
            if (rng_chance(rng, 0.5))
                v = sample_from_bits(SAMPLE_STALE_BITS);
        }
        h = some_histogram(buckets, fabs(v), rng_chance(rng, 0.01));
        memstore_add(
            m, ls, t, v,
            strcmp(name, "h") == 0 || (strcmp(name, "mixed") == 0 && i / 300 % 2) ? &h : NULL, 0);
        if (sample_is_stale(v))
            v = 1;
    }
}

static void add_data(struct memstore *m, struct rng *rng, size_t from, size_t to)
{
    static const char *const names[] = {"c_total", "c", "g", "h", "mixed"};
    char job[8], pod[8];

    for (size_t n = 0; n < ORR_COUNT(names); n++)
        for (size_t i = 0; i < 6; i++) {
            struct label ls[] = {{SLICE(LABEL_NAME), slice_cstr(names[n])},
                                 {SLICE("job"), slice_cstr(job)},
                                 {SLICE("pod"), slice_cstr(pod)}};

            snprintf(job, sizeof(job), "j%zu", i % 2);
            snprintf(pod, sizeof(pod), "p%zu", i);
            for (size_t k = 1; k < 3; k++)
                ls[k].value = slice_cstr(k == 1 ? job : pod);
            /* some live only for a part of the time */
            add_series(m, rng, names[n], (struct labels){ls, 3}, i == 4 ? ORR_MAX(from, 500) : from,
                       i == 5 ? ORR_MIN(to, 700) : to);
        }
}

/* ---- running ---- */

struct fixture {
    struct engine *eng;
    struct memstore *m;
    struct answer_cache *cache;
    struct clock_fake clock;
    struct arena *arenas[MAX_JOBS]; /* of the jobs of one query */
    size_t n_arenas;
    size_t jobs_run;
    struct stepwise_stats last;
};

static void fixture_init(struct fixture *f, size_t cache_bytes)
{
    memset(f, 0, sizeof(*f));
    f->eng = engine_new(&(struct engine_opts){.has_experimental = true});
    f->m = memstore_new();
    clock_fake_init(&f->clock, 0);
    f->cache = answer_cache_new(cache_bytes, 3600000, &f->clock.clock);
}

static void fixture_done(struct fixture *f)
{
    answer_cache_free(f->cache);
    memstore_free(f->m);
    engine_free(f->eng);
}

static void run_jobs(void *arg, struct engine_job *jobs, size_t n)
{
    struct fixture *f = arg;

    CHECK(f->n_arenas + n <= MAX_JOBS);
    for (size_t i = 0; i < n; i++) {
        struct arena *a = f->arenas[f->n_arenas++] = arena_new(0);

        f->jobs_run++;
        jobs[i].err = engine_query(f->eng, &jobs[i].q, memstore_storage(f->m), a, &jobs[i].result);
    }
}

static int by_bytes(const void *a, const void *b)
{
    return slice_cmp(*(const struct slice *)a, *(const struct slice *)b);
}

static void write_texts(struct buf *out, struct arena *a, const struct slice *texts, size_t n)
{
    struct slice *sorted = arena_array(a, struct slice, n + 1);

    for (size_t i = 0; i < n; i++)
        sorted[i] = texts[i];
    qsort(sorted, n, sizeof(*sorted), by_bytes);
    for (size_t i = 0; i < n; i++)
        buf_printf(out, "\n%.*s", SLICE_ARG(sorted[i]));
}

/* The answer and its annotations, in the order of their texts; or the error. */
static void write_answer(struct buf *out, struct arena *a, struct err *e,
                         const struct engine_result *r)
{
    if (e) {
        buf_printf(out, "error %d: %s", (int)err_code(e), err_msg(e));
        err_free(e);
        return;
    }
    result_json_data(out, r);
    write_texts(out, a, r->warnings, r->n_warnings);
    write_texts(out, a, r->infos, r->n_infos);
}

static void ask_whole(struct fixture *f, const struct engine_query *q, struct buf *out)
{
    struct arena *a = arena_new(0);
    struct engine_result r;
    struct err *e = engine_query(f->eng, q, memstore_storage(f->m), a, &r);

    write_answer(out, a, e, &r);
    arena_free(a);
}

static void ask_stepwise(struct fixture *f, const struct engine_query *q, int64_t keep_until_ms,
                         uint64_t version, struct buf *out)
{
    struct arena *a = arena_new(0);
    struct reach reach;
    struct engine_result r;
    struct stepwise_ask ask = {.q = q,
                               .reach = &reach,
                               .split_ms = 7200000,
                               .cache = f->cache,
                               .tenant = SLICE("t"),
                               .version = version,
                               .keep_until_ms = keep_until_ms,
                               .visible_min_ms = INT64_MIN};
    struct err *e;

    CHECK_OK(reach_of(f->eng, q, a, &reach));
    e = stepwise_query(&ask, a, run_jobs, f, &f->last, &r);
    write_answer(out, a, e, &r);
    while (f->n_arenas)
        arena_free(f->arenas[--f->n_arenas]);
    arena_free(a);
}

static bool is_same(struct fixture *f, const struct engine_query *q, int64_t keep_until_ms,
                    uint64_t version)
{
    struct buf whole = {0}, steps = {0};
    bool is_equal;

    ask_whole(f, q, &whole);
    ask_stepwise(f, q, keep_until_ms, version, &steps);
    is_equal = slice_eq(buf_slice(&whole), buf_slice(&steps));
    if (!is_equal)
        fprintf(stderr, "%.*s from %lld to %lld step %lld, kept until %lld:\n%.600s\nnot\n%.600s\n",
                SLICE_ARG(q->expr), (long long)q->start_ms, (long long)q->end_ms,
                (long long)q->step_ms, (long long)keep_until_ms, buf_cstr(&steps),
                buf_cstr(&whole));
    buf_done(&whole);
    buf_done(&steps);
    return is_equal;
}

/* ---- random queries ---- */

static const char *const leaves[] = {
    "c_total",
    "g",
    "h",
    "mixed",
    "rate(c_total[5m])",
    "rate(c[5m])", /* has an info */
    "increase(c_total[7m]) ",
    "sum_over_time(g[10m])",
    "avg_over_time(g[3m])",
    "stddev_over_time(g[11m])",
    "quantile_over_time(0.7, g[9m])",
    "max_over_time(g[4m])",
    "rate(h[5m])",
    "rate(mixed[5m])", /* has warnings */
    "g offset 13m",
    "g offset -20m",
    "c_total @ 7200",
    "rate(c_total[5m] @ 3600)",
    "avg_over_time(rate(c_total[2m])[20m:1m])",
    "max_over_time(sum by (job) (g)[15m:90s] offset 5m)",
    "timestamp(g)",
    "g > 0",
    "g * on (job, pod) group_left c_total",
    "c_total / on (job, pod) g",
    "g or c_total",
    "g unless c_total > 100",
    "absent(g{pod=\"p5\"})",
    "absent_over_time(g{pod=\"p4\"}[5m])",
    "label_replace(g, \"pod\", \"$1\", \"pod\", \"p(.)\")",
    "histogram_quantile(0.9, rate(h[5m]))",
    "predict_linear(g[10m], 600)",
    "deriv(g[10m])",
    "changes(g[6m])",
    "resets(c_total[30m])",
    "last_over_time(g[2m])",
    "{job=\"j0\"}",
    "rate({job=\"j1\"}[5m])",
    "g @ end()",
    "g + start()",
    "rate(c_total[5m] smoothed)",
    "increase(c_total[5m] anchored)",
    "vector(time())",
    "g{pod=\"none\"}",
    "double_exponential_smoothing(g[10m], 0.3, 0.4)",
};
static const struct {
    const char *before, *behind;
} around[] = {
    {"", ""},
    {"", ""},
    {"sum by (job) (", ")"},
    {"sum(", ")"},
    {"avg by (pod) (", ")"},
    {"count(", ")"},
    {"stddev without (pod) (", ")"},
    {"quantile(0.3, ", ")"},
    {"topk(2, ", ")"},
    {"limitk(3, ", ")"},
    {"count_values(\"v\", ", ")"},
    {"-(", ")"},
    {"abs(", ")"},
    {"(", ") + 1"},
    {"sort_desc(", ")"},
    {"group by (job) (", ")"},
    {"quantile(1.5, ", ")"}, /* has a warning */
};

static void random_query(struct rng *rng, char *text, size_t size, struct engine_query *ret)
{
    static const int64_t steps[] = {15000, 15000, 60000, 60000, 37000, 300000, 1000, 3600000};
    int64_t step = steps[rng_below(rng, ORR_COUNT(steps))], phase, span;
    size_t outer = rng_below(rng, ORR_COUNT(around)), inner = rng_below(rng, ORR_COUNT(around));
    size_t n = 1 + rng_below(rng, rng_chance(rng, 0.2) ? 2 : 1500);

    snprintf(text, size, "%s%s%s%s%s", around[outer].before, around[inner].before,
             leaves[rng_below(rng, ORR_COUNT(leaves))], around[inner].behind, around[outer].behind);
    phase = rng_chance(rng, 0.2) ? 1234 % step : 0;
    span = ORR_MIN((int64_t)n * step, LAST_MS);
    *ret = (struct engine_query){.expr = slice_cstr(text), .step_ms = step};
    ret->start_ms = (int64_t)rng_below(rng, (uint64_t)(LAST_MS - span + 1)) / step * step + phase;
    ret->end_ms = ret->start_ms + span + (int64_t)rng_below(rng, (uint64_t)step);
}

/* Queries that come again, moved and stretched, over data that goes on behind what is kept. */
TEST(stepwise_answers_as_the_whole_whatever_is_kept)
{
    struct fixture f;
    struct rng rng;
    size_t mismatches = 0, hits = 0, kept = 0, several = 0, asked = 0;

    rng_seed(&rng, getenv("SEED") ? strtoull(getenv("SEED"), NULL, 10) : 11);
    fixture_init(&f, 8u << 20);
    add_data(f.m, &rng, 0, SAMPLES);
    for (size_t i = 0; i < QUERIES; i++) {
        struct engine_query q;
        char text[512];

        random_query(&rng, text, sizeof(text), &q);
        for (size_t k = 0; k < 4; k++) {
            mismatches += !is_same(&f, &q, (int64_t)rng_below(&rng, LAST_MS), 1);
            asked++;
            hits += f.last.pieces_hit > 0;
            kept += f.last.steps_kept;
            several += f.last.jobs > 1;
            q.start_ms += q.step_ms * ((int64_t)rng_below(&rng, 20) - 8);
            q.end_ms =
                ORR_MAX(q.end_ms + q.step_ms * ((int64_t)rng_below(&rng, 40) - 15), q.start_ms);
            if (rng_chance(&rng, 0.1)) /* means the same */
                q.expr = slice_cstr(strcat(text, " "));
        }
    }
    printf("%zu queries, %zu met kept steps (%zu), %zu ran several jobs, %zu mismatches\n", asked,
           hits, kept, several, mismatches);
    CHECK_INT(mismatches, 0);
    CHECK(hits > asked / 4 && several > asked / 10);
    fixture_done(&f);
}

/* A dashboard's panel: the range moves on with the clock, new samples come, the oldest steps go. */
TEST(stepwise_computes_only_the_new_of_a_range_that_moves)
{
    struct fixture f;
    struct rng rng;
    size_t kept = 0, steps = 0;

    rng_seed(&rng, 5);
    fixture_init(&f, 8u << 20);
    add_data(f.m, &rng, 0, 600);
    for (size_t i = 600; i < 700; i += 2) {
        int64_t now = (int64_t)i * EVERY_MS;
        struct engine_query q = {.expr = SLICE("sum by (job) (rate(c_total[5m]))"),
                                 .start_ms = now - 3600000,
                                 .end_ms = now,
                                 .step_ms = 15000};

        CHECK(is_same(&f, &q, now - 600000, 1));
        kept += f.last.steps_kept;
        steps += 241;
        add_data(f.m, &rng, i, i + 2);
    }
    CHECK(kept > steps * 7 / 10);
    fixture_done(&f);
}

static struct engine_query plain(const char *expr)
{
    return (struct engine_query){
        .expr = slice_cstr(expr), .start_ms = 3600000, .end_ms = 7200000, .step_ms = 15000};
}

TEST(stepwise_keeps_nothing_of_what_may_change)
{
    static const char *const exprs[] = {"g offset -3h",
                                        "g @ 10000",
                                        "g @ end()",
                                        "g + end()",
                                        "avg_over_time(g[5m:1m] @ start())",
                                        "{job=\"j0\"} offset -2h",
                                        "rate({job=\"j0\"}[5m])"};
    struct fixture f;
    struct rng rng;

    rng_seed(&rng, 6);
    fixture_init(&f, 8u << 20);
    add_data(f.m, &rng, 0, SAMPLES);
    for (size_t i = 0; i < ORR_COUNT(exprs); i++) {
        struct engine_query q = plain(exprs[i]);

        for (size_t k = 0; k < 2; k++) {
            CHECK(is_same(&f, &q, 8000000, 1));
            CHECK_INT(f.last.steps_kept, 0);
        }
    }
    fixture_done(&f);
}

TEST(stepwise_forgets_with_the_version_the_age_and_the_settings)
{
    struct engine_query q = plain("sum(g)");
    struct fixture f;
    struct rng rng;

    rng_seed(&rng, 7);
    fixture_init(&f, 8u << 20);
    add_data(f.m, &rng, 0, SAMPLES);
    CHECK(is_same(&f, &q, 8000000, 1));
    CHECK(is_same(&f, &q, 8000000, 1));
    CHECK_INT(f.last.steps_kept, 241);
    CHECK_INT(f.last.jobs, 0);
    CHECK(is_same(&f, &q, 8000000, 2)); /* something was deleted */
    CHECK_INT(f.last.steps_kept, 0);
    CHECK(is_same(&f, &q, 8000000, 2));
    CHECK_INT(f.last.steps_kept, 241);
    clock_fake_advance(&f.clock, 3601 * NS_PER_S);
    CHECK(is_same(&f, &q, 8000000, 2));
    CHECK_INT(f.last.steps_kept, 0);
    q.lookback_ms = 60000;
    CHECK(is_same(&f, &q, 8000000, 2));
    CHECK_INT(f.last.steps_kept, 0);
    fixture_done(&f);
}

/* 241 steps of 24 values of g and others are within the limit for no single series, but for each stretch. */
TEST(stepwise_meets_the_limits_of_the_whole)
{
    struct engine_query q = plain("{job=~\"j.\"}");
    struct fixture f;
    struct rng rng;

    rng_seed(&rng, 8);
    fixture_init(&f, 8u << 20);
    add_data(f.m, &rng, 0, SAMPLES);
    q.start_ms = 0;
    q.end_ms = LAST_MS;
    q.step_ms = 30000;
    for (q.max_samples = 2000; q.max_samples < 100000; q.max_samples *= 2)
        for (size_t k = 0; k < 2; k++)
            CHECK(is_same(&f, &q, LAST_MS, 1));
    fixture_done(&f);
}

TEST(stepwise_stays_within_its_memory)
{
    struct answer_cache_stats s;
    struct fixture f;
    struct rng rng;

    rng_seed(&rng, 9);
    fixture_init(&f, 500000);
    add_data(f.m, &rng, 0, SAMPLES);
    for (int i = 0; i < 60; i++) {
        struct engine_query q;
        char text[40];

        snprintf(text, sizeof(text), "sum by (pod) (g) + %d", i);
        q = plain(text);
        CHECK(is_same(&f, &q, LAST_MS, 1));
        answer_cache_stats_get(f.cache, &s);
        CHECK(s.bytes <= 500000);
    }
    CHECK(s.evictions > 0 && s.pieces > 0);
    fixture_done(&f);
}
