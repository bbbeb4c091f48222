#include <math.h>

#include "common/base/clock.h"
#include "querier/engine/engine.h"
#include "querier/engine/memstore.h"
#include "querier/engine/result_json.h"
#include "tests/unit/test.h"

/* m{i="0"..} with n samples each, 15 s apart, value i. */
static struct memstore *some_series(size_t series, size_t n)
{
    struct memstore *m = memstore_new();
    char text[32];

    for (size_t i = 0; i < series; i++) {
        struct label ls[3] = {{SLICE(LABEL_NAME), SLICE("m_total")},
                              {SLICE("g"), slice_cstr(i % 2 ? "odd" : "even")},
                              {SLICE("i"), {0}}};

        snprintf(text, sizeof(text), "%zu", i);
        ls[2].value = slice_cstr(text);
        for (size_t k = 0; k < n; k++)
            memstore_add(m, (struct labels){ls, 3}, (int64_t)k * 15000, (double)i, NULL, 0);
    }
    return m;
}

struct fixture {
    struct engine *eng;
    struct memstore *m;
    struct arena *a;
    struct engine_query q;
    struct engine_result r;
};

static struct fixture fixture_new(size_t series, const char *expr)
{
    struct fixture f = {.eng = engine_new(NULL), .m = some_series(series, 40), .a = arena_new(0)};

    f.q = (struct engine_query){.expr = slice_cstr(expr), .start_ms = 300000, .end_ms = 300000};
    return f;
}

static struct err *run(struct fixture *f)
{
    return engine_query(f->eng, &f->q, memstore_storage(f->m), f->a, &f->r);
}

static void fixture_done(struct fixture *f)
{
    engine_free(f->eng);
    memstore_free(f->m);
    arena_free(f->a);
}

static void check_error(size_t series, const char *expr, enum err_code code, const char *text)
{
    struct fixture f = fixture_new(series, expr);

    CHECK_ERR(run(&f), code, text);
    fixture_done(&f);
}

static void check_json(size_t series, const char *expr, const char *json)
{
    struct fixture f = fixture_new(series, expr);
    struct buf b = {0};

    CHECK_OK(run(&f));
    result_json_data(&b, &f.r);
    CHECK_SLICE(buf_slice(&b), json);
    buf_done(&b);
    fixture_done(&f);
}

TEST(engine_answers_each_type)
{
    check_json(1, "1 + 1", "{\"resultType\":\"scalar\",\"result\":[300,\"2\"]}");
    check_json(1, "\"a\\\"b\"", "{\"resultType\":\"string\",\"result\":[300,\"a\\\"b\"]}");
    check_json(2, "sum(m_total)",
               "{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":[300,\"1\"]}]}");
    check_json(1, "m_total[20s]",
               "{\"resultType\":\"matrix\",\"result\":[{\"metric\":{\"__name__\":\"m_total\",\"g\":"
               "\"even\",\"i\":\"0\"},"
               "\"values\":[[285,\"0\"],[300,\"0\"]]}]}");
    check_json(0, "m_total", "{\"resultType\":\"vector\",\"result\":[]}");
}

TEST(engine_drops_names_at_once_without_delayed_removal)
{
    check_json(1, "sum by (__name__) (-m_total)",
               "{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":[300,\"0\"]}]}");
}

TEST(engine_refuses_what_has_two_meanings)
{
    check_error(4, "m_total + on (g) m_total", ERR_EXEC,
                "found duplicate series for the match group {g=\"even\"} on the right hand-side");
    check_error(4, "m_total + on (g) m_total{i=~\"0|1\"}", ERR_EXEC,
                "many-to-one matching must be explicit");
    check_error(4, "m_total{i=~\"0|1\"} + on (g) group_right m_total{i=~\"0|1\"} + on (g) m_total",
                ERR_EXEC, "found duplicate series");
    check_error(4, "label_replace(m_total, \"i\", \"\", \"i\", \".*\")", ERR_EXEC,
                "vector cannot contain metrics with the same labelset");
    check_error(1, "sum(", ERR_INVALID, "parse error");
    check_error(1, "topk(scalar(m_total{i=\"9\"}), m_total)", ERR_EXEC, "Parameter value is NaN");
}

/* target_info{instance="i",job="j",v=v} with a sample at t_ms. */
static void add_info(struct memstore *m, const char *v, int64_t t_ms)
{
    const struct label ls[] = {{SLICE(LABEL_NAME), SLICE("target_info")},
                               {SLICE("instance"), SLICE("i")},
                               {SLICE("job"), SLICE("j")},
                               {SLICE("v"), slice_cstr(v)}};

    memstore_add(m, (struct labels){ls, v ? 4 : 3}, t_ms, 1, NULL, 0);
}

TEST(engine_refuses_equally_new_info_series)
{
    const struct label w[] = {{SLICE(LABEL_NAME), SLICE("w")},
                              {SLICE("instance"), SLICE("i")},
                              {SLICE("job"), SLICE("j")}};
    struct fixture f = fixture_new(0, "info(w)");

    engine_free(f.eng);
    f.eng = engine_new(&(struct engine_opts){.has_experimental = true});
    memstore_add(f.m, (struct labels){w, 3}, 290000, 1, NULL, 0);
    memstore_add(f.m, (struct labels){w, 3}, 310000, 1, NULL, 0);
    add_info(f.m, "a", 280000);
    add_info(f.m, "b", 280000);
    add_info(f.m, "b", 310000);
    CHECK_ERR(run(&f), ERR_EXEC,
              "found duplicate series for info metric: existing {__name__=\"target_info\", "
              "instance=\"i\", job=\"j\", v=\"a\"} @ 280000, new {__name__=\"target_info\", "
              "instance=\"i\", job=\"j\", v=\"b\"} @ 280000");
    f.q.expr = SLICE("info(w, {v=\"b\"})"); /* the other is not asked for */
    CHECK_OK(run(&f));
    CHECK_INT(f.r.n_series, 1);
    f.q.expr = SLICE("info(w)");
    f.q.start_ms = f.q.end_ms = 310000; /* one is newer */
    CHECK_OK(run(&f));
    CHECK_INT(f.r.n_series, 1);
    CHECK_SLICE(labels_get(f.r.series[0].labels, SLICE("v")), "b");
    f.q.start_ms = f.q.end_ms = 285000; /* nothing to be joined then */
    CHECK_OK(run(&f));
    CHECK_INT(f.r.n_series, 0);
    fixture_done(&f);
}

TEST(engine_refuses_range_queries_of_other_types_and_odd_times)
{
    struct fixture f = fixture_new(1, "m_total[5m]");

    f.q.step_ms = 1000;
    CHECK_ERR(run(&f), ERR_INVALID, "invalid expression type \"range vector\" for range query");
    f.q.expr = SLICE("m_total");
    f.q.end_ms = f.q.start_ms - 1;
    CHECK_ERR(run(&f), ERR_INVALID, "end timestamp");
    f.q.end_ms = f.q.start_ms + 11000 * 1000;
    CHECK_ERR(run(&f), ERR_INVALID, "exceeded maximum resolution of 11000 points");
    f.q.step_ms = 0;
    CHECK_ERR(run(&f), ERR_INVALID, "zero or negative query resolution");
    fixture_done(&f);
}

TEST(engine_ends_over_its_sample_limit)
{
    struct fixture f = fixture_new(100, "sort(rate(m_total[5m]))");

    f.q.max_samples = 99;
    CHECK_ERR(run(&f), ERR_LIMIT, "too many samples into memory");
    f.q.max_samples = 1000;
    CHECK_OK(run(&f));
    CHECK_INT(f.r.n_series, 100);
    f.q.expr = SLICE("max_over_time(vector(1)[10y:1s])");
    CHECK_ERR(run(&f), ERR_LIMIT, "too many samples into memory");
    fixture_done(&f);
}

/* 100 series at a time, and none of them held. */
TEST(engine_ends_over_what_it_computes)
{
    struct fixture f = fixture_new(100, "max_over_time(sum(m_total)[50s:1s])");

    f.q.max_samples = 1000;
    f.q.step_ms = 0;
    f.q.end_ms = f.q.start_ms;
    CHECK_OK(run(&f));
    f.q.expr = SLICE("max_over_time(sum(m_total)[900s:1s])");
    CHECK_ERR(run(&f), ERR_LIMIT, "computes more than 10000 points");
    fixture_done(&f);
}

TEST(engine_hyperbolics_overflow_where_go_does)
{
    struct fixture f = fixture_new(1, "sinh(vector(-710))");

    CHECK_OK(run(&f));
    CHECK(f.r.n_series == 1 && f.r.series[0].v[0] == -INFINITY);
    f.q.expr = SLICE("cosh(vector(710))");
    CHECK_OK(run(&f));
    CHECK(f.r.n_series == 1 && f.r.series[0].v[0] == INFINITY);
    f.q.expr = SLICE("sinh(vector(709))");
    CHECK_OK(run(&f));
    CHECK(f.r.n_series == 1 && f.r.series[0].v[0] > 4e307 && f.r.series[0].v[0] < 4.2e307);
    fixture_done(&f);
}

TEST(engine_ends_over_its_memory_budget)
{
    struct fixture f = fixture_new(200, "m_total * on (i) m_total");
    struct arena *small = arena_new(64 << 10);

    CHECK_ERR(engine_query(f.eng, &f.q, memstore_storage(f.m), small, &f.r), ERR_LIMIT,
              "more memory than its limit of 65536 bytes");
    arena_free(small);
    fixture_done(&f);
}

/* m_total with label_replace(.., "i", "$1$1", "i", "(.*)") around it so often. */
static void print_doubled(struct buf *out, unsigned times)
{
    for (unsigned k = 0; k < times; k++)
        buf_str(out, "label_replace(");
    buf_str(out, "m_total");
    for (unsigned k = 0; k < times; k++)
        buf_str(out, ", \"i\", \"$1$1\", \"i\", \"(.*)\")");
}

static void print_join(struct buf *out, const char *from, unsigned sources)
{
    buf_printf(out, "label_join(%s, \"i\", \"\"", from);
    for (unsigned k = 0; k < sources; k++)
        buf_str(out, ", \"i\"");
    buf_byte(out, ')');
}

TEST(engine_bounds_the_label_values_that_a_query_makes)
{
    struct buf b = {0}, joined = {0};

    print_doubled(&b, 20);
    /* the longest there may be */
    buf_printf(&joined, "count(%s)", buf_cstr(&b));
    check_json(1, buf_cstr(&joined),
               "{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":[300,\"1\"]}]}");
    buf_reset(&joined);
    print_join(&joined, buf_cstr(&b), 400); /* 400 MiB, were they made */
    check_error(1, buf_cstr(&joined), ERR_LIMIT,
                "label_join() would give label \"i\" a value of more than 1048576 bytes");
    buf_reset(&b);
    print_doubled(&b, 21);
    check_error(1, buf_cstr(&b), ERR_LIMIT,
                "label_replace() would give label \"i\" a value of more than 1048576 bytes");
    buf_done(&b);
    buf_done(&joined);
}

/* Nested calls make their values one after the other, with no row and so no look at the budget in between. */
TEST(engine_looks_at_its_memory_before_each_label_value)
{
    struct fixture f = fixture_new(1, "");
    struct arena *small = arena_new(4 << 20);
    struct buf b = {0};

    for (unsigned k = 0; k < 100; k++)
        buf_str(&b, "label_replace(");
    print_doubled(&b, 19);
    for (unsigned k = 0; k < 100; k++)
        buf_printf(&b, ", \"a%u\", \"$1\", \"i\", \"(.*)\")", k);
    f.q.expr = slice_cstr(buf_cstr(&b));
    CHECK_ERR(engine_query(f.eng, &f.q, memstore_storage(f.m), small, &f.r), ERR_LIMIT,
              "more memory than its limit of 4194304 bytes");
    CHECK(arena_used(small) < 8 << 20);
    arena_free(small);
    buf_done(&b);
    fixture_done(&f);
}

TEST(engine_streams_aggregations_within_groups_times_steps)
{
    struct fixture f = fixture_new(1000, "sum by (g) (rate(m_total[1m]))");
    struct arena *small = arena_new(256 << 10);

    f.q.start_ms = 0;
    f.q.end_ms = 600000;
    f.q.step_ms = 1000; /* 1000 series x 601 steps would be 4.8 MB */
    CHECK_OK(engine_query(f.eng, &f.q, memstore_storage(f.m), small, &f.r));
    CHECK_INT(f.r.n_series, 2);
    arena_free(small);
    fixture_done(&f);
}

TEST(engine_stops_when_canceled_or_late)
{
    struct fixture f = fixture_new(10, "m_total");
    atomic_bool cancel = true;

    f.q.cancel = &cancel;
    CHECK_ERR(run(&f), ERR_CANCELED, "canceled");
    cancel = false;
    CHECK_OK(run(&f));
    f.q.deadline_mono_ms = 1; /* long ago */
    CHECK_ERR(run(&f), ERR_TIMEOUT, "timed out");
    fixture_done(&f);
}

TEST(engine_lookback_is_left_open)
{
    struct fixture f = fixture_new(1, "m_total");

    f.q.start_ms = f.q.end_ms = 39 * 15000 + 299999; /* last sample at 585 s */
    CHECK_OK(run(&f));
    CHECK_INT(f.r.n_series, 1);
    f.q.start_ms = f.q.end_ms = 39 * 15000 + 300000;
    CHECK_OK(run(&f));
    CHECK_INT(f.r.n_series, 0);
    f.q.lookback_ms = 300001;
    CHECK_OK(run(&f));
    CHECK_INT(f.r.n_series, 1);
    fixture_done(&f);
}

/* A storage whose set breaks off. */
static bool broken_next(struct series_set *set, struct storage_series *ret)
{
    (void)set;
    (void)ret;
    return false;
}

static struct err *broken_close(struct series_set *set)
{
    (void)set;
    return err_new(ERR_UNAVAILABLE, "zone b and c did not answer");
}

static struct err *broken_select(struct storage *st, struct arena *arena,
                                 const struct storage_request *req, struct series_set **ret)
{
    static const struct series_set_ops ops = {broken_next, broken_close};
    static const struct slice warning = SLICE_INIT("zone a was slow");
    static struct series_set set = {&ops, &warning, 1};

    (void)st;
    (void)arena;
    (void)req;
    *ret = &set;
    return NULL;
}

TEST(engine_passes_on_errors_and_warnings_of_the_storage)
{
    static const struct storage_ops ops = {broken_select};
    struct storage broken = {&ops};
    struct fixture f = fixture_new(1, "sum(rate(m_total[5m])) + sum(m_total)");

    CHECK_ERR(engine_query(f.eng, &f.q, &broken, f.a, &f.r), ERR_UNAVAILABLE, "did not answer");
    CHECK_INT(f.r.n_warnings, 1);
    CHECK_SLICE(f.r.warnings[0], "zone a was slow");
    fixture_done(&f);
}

TEST(engine_tells_where_an_annotation_belongs)
{
    struct fixture f = fixture_new(1, "1 +\n quantile(2, m_total)");

    CHECK_OK(run(&f));
    CHECK_INT(f.r.n_warnings, 1);
    CHECK_SLICE(f.r.warnings[0],
                "PromQL warning: quantile value should be between 0 and 1, got 2 (2:11)");
    fixture_done(&f);
}

static uint64_t samples_of(const char *expr)
{
    struct fixture f = fixture_new(100, expr);
    uint64_t n;

    CHECK_OK(run(&f));
    n = f.r.stats.samples;
    fixture_done(&f);
    return n;
}

TEST(engine_evaluates_what_is_said_twice_once)
{
    CHECK_INT(samples_of("sum(m_total)"), 100);
    CHECK_INT(samples_of("sum(m_total) + sum(m_total)"), 100);
    CHECK_INT(samples_of("sum(m_total) + sum by (g) (m_total) + count(m_total)"), 300);
    CHECK_INT(samples_of("sum(m_total) + sum(m_total offset 15s)"), 200);
    check_json(
        100, "sum(m_total) + (-sum(m_total)) + count(m_total) * sum(m_total)",
        "{\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":[300,\"495000\"]}]}");
}

/* ---- in shards ---- */

struct shards {
    struct fixture *f;
    size_t jobs;
};

static void run_shards(void *arg, struct engine_job *jobs, size_t n)
{
    struct shards *s = arg;

    s->jobs += n;
    for (size_t i = n; i-- > 0;)
        jobs[i].err = engine_query(s->f->eng, &jobs[i].q, memstore_storage(s->f->m), s->f->a,
                                   &jobs[i].result);
}

static void check_split(const char *expr, size_t jobs)
{
    struct fixture f = fixture_new(100, expr);
    struct shards s = {.f = &f};
    struct buf whole = {0}, split = {0};
    bool was_split;

    CHECK_OK(run(&f));
    result_json_data(&whole, &f.r);
    CHECK_OK(engine_query_split(f.eng, &f.q, memstore_storage(f.m), f.a, 4, run_shards, &s,
                                &was_split, &f.r));
    result_json_data(&split, &f.r);
    CHECK_STR(buf_cstr(&split), buf_cstr(&whole));
    CHECK_INT(s.jobs, jobs);
    CHECK(was_split == (jobs > 0));
    buf_done(&whole);
    buf_done(&split);
    fixture_done(&f);
}

TEST(engine_in_shards_says_the_same)
{
    check_split("sum by (g) (rate(m_total[2m]))", 4);
    check_split("count(m_total) + sum(m_total) + count(m_total)", 8);
    check_split("max(m_total > 10) - on() min(m_total)", 8);
    check_split("group without (i) (m_total)", 4);
    check_split("max_over_time(sum(m_total)[2m:30s])", 0); /* has steps of its own */
    check_split("avg(m_total)", 4);
    check_split("avg without (i, __name__) (rate(m_total[2m])) + stddev by (g) (m_total)", 8);
    check_split("stdvar(m_total * 0 + 0.1)", 4); /* equal values: exactly 0 */
    check_split("sum(count_values by (g) (\"v\", m_total % 7))", 4);
    check_split("quantile by (g) (0.3, m_total) > 7", 4);
    check_split("quantile(scalar(m_total), m_total)", 0); /* its parameter is none of the parts' */
    check_split("topk(3, m_total)", 0);
    check_split("sum(m_total @ 100)", 0); /* the same at every step: for one step */
    check_split("sum(m_total + on(i) m_total)", 0);
}

TEST(engine_streams_sums_over_many_names)
{
    struct fixture f = fixture_new(0, "sum(rate({i!=\"\"}[2m]))");
    const char *const names[] = {"a_total", "b_total"};

    f.q.start_ms = 300000;
    f.q.end_ms = 600000;
    f.q.step_ms = 15000;
    for (size_t i = 0; i < 2000; i++) {
        char text[16];
        struct label ls[] = {{SLICE(LABEL_NAME), slice_cstr(names[i & 1])}, {SLICE("i"), {0}}};

        snprintf(text, sizeof(text), "%zu", i);
        ls[1].value = slice_cstr(text);
        for (size_t k = 0; k < 40; k++)
            memstore_add(f.m, (struct labels){ls, 2}, (int64_t)k * 15000, (double)(k * 15), NULL,
                         0);
    }
    CHECK_OK(run(&f));
    CHECK_INT(f.r.n_series, 1);
    CHECK(fabs(f.r.series[0].v[5] - 2000) < 1e-6);
    CHECK(f.r.stats.peak_bytes < 500000); /* with 2,000 rows held it is twice that */
    /* the same labels but for the name, at the same time */
    for (size_t n = 0; n < 2; n++) {
        struct label ls[] = {{SLICE(LABEL_NAME), slice_cstr(names[n])}, {SLICE("i"), SLICE("x")}};

        for (size_t k = 0; k < 40; k++)
            memstore_add(f.m, (struct labels){ls, 2}, (int64_t)k * 15000, 1, NULL, 0);
    }
    CHECK_ERR(run(&f), ERR_EXEC, "same labelset");
    fixture_done(&f);
}
